"""What every power-flow engine takes and gives, in arrays.

Sign: consumption positive at every bus and at the feeder head, so an import from the upstream grid is positive
and a reverse flow negative. Flow through a transformer is positive from its high to its low voltage side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BoolArray",
    "Engine",
    "EngineFactory",
    "Feeder",
    "FeederDevices",
    "FeederProfiles",
    "FloatArray",
    "Flow",
    "Grid",
    "IntArray",
    "NetIndex",
    "TrafoWindings",
    "missing_support",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def _no_positions() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The node-branch model of a network: what an engine solves. Per unit on ``base_mva``.

    Nodes are electrical nodes: buses joined by closed bus-bus switches are one node. A branch is a pi element
    with series impedance ``r + jx``, total shunt admittance ``g + jb``, an off-nominal ratio ``tap`` and a phase
    ``shift_degree`` at its from side (the convention of MATPOWER, Zimmerman et al. 2011,
    doi:10.1109/TPWRS.2010.2051168).
    """

    base_mva: float
    node_vn_kv: FloatArray
    """Nominal voltage per node, shape (NN,) [kV]."""
    node_g_mw: FloatArray
    """Shunt conductance per node, shape (NN,) [MW at 1 pu], consumption positive."""
    node_b_mvar: FloatArray
    """Shunt susceptance per node, shape (NN,) [Mvar at 1 pu], injection positive."""
    branch_from: IntArray
    branch_to: IntArray
    r_pu: FloatArray
    x_pu: FloatArray
    g_pu: FloatArray
    b_pu: FloatArray
    tap: FloatArray
    shift_degree: FloatArray
    slack_node: IntArray
    """Nodes held at a voltage, shape (NS,)."""
    slack_vm_pu: FloatArray
    slack_va_degree: FloatArray
    unsupported: tuple[str, ...] = ()
    """What this model cannot carry (e.g. voltage-controlled generators); empty if it is exact."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FeederDevices:
    """The loads, static generators and storages that the network itself brings. Only those in service.

    Powers are nominal values with the network's own scaling applied. ``*_bus`` are positions in the feeder's bus
    arrays. ``*_profile`` names a profile of the network (SimBench) or is None.
    """

    load_name: tuple[str, ...] = ()
    load_bus: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    load_p_kw: FloatArray = field(default_factory=lambda: np.zeros(0))
    load_q_kvar: FloatArray = field(default_factory=lambda: np.zeros(0))
    load_profile: tuple[str | None, ...] = ()
    sgen_name: tuple[str, ...] = ()
    sgen_bus: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    sgen_p_kw: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Nominal power, consumption positive: a generator is negative."""
    sgen_q_kvar: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Consumption positive."""
    sgen_s_kva: FloatArray = field(default_factory=lambda: np.zeros(0))
    sgen_kind: tuple[str, ...] = ()
    """The network's own word for the type, e.g. ``PV`` or ``WP``; empty where it says nothing."""
    sgen_profile: tuple[str | None, ...] = ()
    storage_name: tuple[str, ...] = ()
    storage_bus: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    storage_p_kw: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Rated power, positive."""
    storage_e_kwh: FloatArray = field(default_factory=lambda: np.zeros(0))


class FeederProfiles(Protocol):
    """Time series that come with a network (SimBench: 2016, 15 min, one relative series per profile name)."""

    start_utc_s: int
    """First value's start, seconds since 1970-01-01 UTC."""
    dt_s: int
    n_steps: int
    generation_names: tuple[str, ...]
    """Names of generation shapes that :meth:`generation` knows, e.g. ``PV3``."""
    load_names: tuple[str, ...]
    """Names of load shapes that :meth:`load_share` knows, e.g. ``H0-A``."""

    def generation(self, name: str, first: int, count: int) -> FloatArray:
        """Return a generation shape, shape (count,), as a share of rated power, at least 0; KeyError if unknown."""
        ...

    def load_share(self, name: str, first: int, count: int) -> FloatArray:
        """Return a load shape, shape (count,), as a share of nominal active power; KeyError if unknown."""
        ...

    def load_p_kw(self, first: int, count: int, devices: FeederDevices) -> FloatArray:
        """Return active power of the network's loads, shape (count, n_loads) [kW]."""
        ...

    def load_q_kvar(self, first: int, count: int, devices: FeederDevices) -> FloatArray:
        """Return reactive power of the network's loads, shape (count, n_loads) [kvar]."""
        ...

    def sgen_p_kw(self, first: int, count: int, devices: FeederDevices) -> FloatArray:
        """Return active power of the network's static generators, shape (count, n_sgens) [kW], negative."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class TrafoWindings:
    """The currents that count for the loading of transformers, shape (NW,) each, sorted by transformer.

    A two-winding transformer has two entries (high and low voltage side), a three-winding one three. Its loading is the
    largest ratio of current to rated current among them.
    """

    trafo: IntArray = field(default_factory=_no_positions)
    """Position of the transformer in the feeder."""
    branch: IntArray = field(default_factory=_no_positions)
    """Branch in the grid."""
    at_from: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    """Whether the current at the from side of the branch counts, else the one at its to side."""
    rating_ka: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Rated current with parallel units and derating applied [kA]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NetIndex:
    """Which row of the pandapower tables each bus, line and transformer of a feeder is.

    The feeder's transformers are first all two-winding ones, then all three-winding ones.
    """

    bus: IntArray = field(default_factory=_no_positions)
    line: IntArray = field(default_factory=_no_positions)
    trafo: IntArray = field(default_factory=_no_positions)
    trafo3w: IntArray = field(default_factory=_no_positions)


@dataclass(frozen=True, kw_only=True, eq=False)
class Feeder:
    """A compiled network. The order of buses, lines and transformers is fixed here and holds everywhere."""

    name: str
    source: str
    """What the user wrote to get it, e.g. ``simbench:1-LV-rural3--2-sw``."""
    sha256: str
    """Hash of the electrical content."""
    notes: tuple[str, ...]
    """What was changed or left out when the network was read, in words for the report."""
    bus_name: tuple[str, ...]
    """Unique names of the supplied in-service buses, shape (NB,)."""
    bus_node: IntArray
    """Node of each bus in ``grid``, shape (NB,)."""
    bus_vn_kv: FloatArray
    bus_x: FloatArray
    """Map coordinates, shape (NB,): degrees east where ``has_geo``, else a generated layout."""
    bus_y: FloatArray
    has_geo: bool
    line_name: tuple[str, ...]
    line_from_bus: IntArray
    line_to_bus: IntArray
    line_branch: IntArray
    """Branch of each line in ``grid``, shape (NL,)."""
    line_length_km: FloatArray
    line_rating_ka: FloatArray
    """Thermal rating with parallel circuits and derating applied, shape (NL,) [kA]."""
    trafo_name: tuple[str, ...]
    trafo_hv_bus: IntArray
    trafo_lv_bus: IntArray
    trafo_branch: IntArray
    """Branch in ``grid`` whose from side is the high voltage side, shape (NT,)."""
    trafo_rating_kva: FloatArray
    trafo_level: tuple[str, ...]
    """Voltage levels in words: ``HV/MV``, ``MV/LV``, ... (LV up to 1 kV, MV up to 36 kV, HV up to 150 kV, else EHV)."""
    head_trafos: IntArray
    """Transformers to watch when there is no HV/MV one; positions, shape (any,)."""
    grid: Grid
    devices: FeederDevices
    profiles: FeederProfiles | None
    net: Any
    """The pandapower network, for the reference engine only."""
    windings: TrafoWindings = field(default_factory=TrafoWindings)
    """What the loading of transformers is computed from."""
    index: NetIndex = field(default_factory=NetIndex)
    """Rows of ``net`` behind the arrays, for the reference engine only."""

    @property
    def held_buses(self) -> IntArray:
        """Positions of the buses at a slack node: their voltage is an input, not a result."""
        return np.flatnonzero(np.isin(self.bus_node, self.grid.slack_node)).astype(np.int64)

    @property
    def free_buses(self) -> IntArray:
        """Positions of all other buses; of all buses if every one is held."""
        free = np.flatnonzero(~np.isin(self.bus_node, self.grid.slack_node)).astype(np.int64)
        return free if len(free) else np.arange(len(self.bus_name), dtype=np.int64)

    @property
    def line_is_open(self) -> NDArray[np.bool_]:
        """Which lines carry no through current because a switch at one end is open, shape (NL,)."""
        grid = self.grid
        from_node, to_node = grid.branch_from[self.line_branch], grid.branch_to[self.line_branch]
        is_open: NDArray[np.bool_] = (from_node != self.bus_node[self.line_from_bus]) | (
            to_node != self.bus_node[self.line_to_bus]
        )
        return is_open


@dataclass(frozen=True, kw_only=True, eq=False)
class Flow:
    """One solved power flow."""

    vm_pu: FloatArray
    """Voltage magnitude per bus, shape (NB,) [pu]."""
    line_loading_percent: FloatArray
    """Larger end current over rating, shape (NL,) [%]."""
    trafo_loading_percent: FloatArray
    """Larger side current over rated current, shape (NT,) [%]."""
    trafo_p_kw: FloatArray
    """Active power into the high voltage side, shape (NT,) [kW]; negative is reverse flow."""
    trafo_q_kvar: FloatArray
    p_import_kw: float
    """Active power from the upstream grid, all slack nodes together [kW]; negative is export."""
    q_import_kvar: float
    p_loss_kw: float
    """Active losses of lines, transformers and shunts [kW]."""
    p_other_kw: float = 0.0
    """Active power of what is neither a bus power nor a loss, e.g. voltage-controlled generators [kW], consumption
    positive. 0 where ``grid.unsupported`` is empty. Import = sum of bus powers + losses + this."""


class Engine(Protocol):
    """Solves one feeder again and again for new bus powers."""

    name: str

    def solve(self, p_kw: FloatArray, q_kvar: FloatArray) -> Flow:
        """Solve for the powers drawn at each bus, shape (NB,) each, consumption positive.

        The arrays returned are fresh: a later call does not change them.

        Raises:
            PowerFlowError: no convergence, or a value that is not finite.
        """
        ...


class EngineFactory(Protocol):
    """Makes an engine for a feeder."""

    def __call__(self, feeder: Feeder) -> Engine:
        """Return an engine, or raise ``FeederError`` if the feeder holds something it cannot carry."""
        ...


def missing_support(feeder: Feeder) -> Sequence[str]:
    """Return what the array model of ``feeder`` cannot carry; empty if engines may use it."""
    return feeder.grid.unsupported
