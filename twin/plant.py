"""The plant of one scenario in arrays: homes, fleets and exogenous series. Built by ``twin.assembly``.

Sign: consumption positive. Order is the scenario's and is fixed at assembly; index arrays map device -> home and
home -> bus. A *home* is a connection point (POD): everything behind one meter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.battery import BatteryFleet
from models.devices.base import DeviceBlock
from models.inverter import InverterFleet
from twin.hil import HilPlan, WirePlan
from twin.members import NOBODY, Communities
from twin.signals import Axis

__all__ = [
    "NO_MARKET",
    "BlockPlan",
    "FloatArray",
    "IntArray",
    "Market",
    "Plant",
    "StoredOutput",
    "Tariff",
    "total_by",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def total_by(group: IntArray, values: FloatArray, n_groups: int) -> FloatArray:
    """Return the sum of ``values`` in each group, shape (n_groups,); both arguments have shape (N,)."""
    total: FloatArray = np.bincount(group, weights=values, minlength=n_groups).astype(np.float64, copy=False)
    return total


@dataclass(frozen=True, kw_only=True, eq=False)
class Tariff:
    """Energy prices at the meter for every step, shape (T,)."""

    price_import_eur_kwh: FloatArray
    price_export_eur_kwh: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Market:
    """What a settlement needs beside the prices at the meter. Without a bill there are no fixed charges."""

    zone_eur_mwh: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Hourly zonal price in every step, shape (T,)."""
    co2_kg_kwh: FloatArray = field(default_factory=lambda: np.zeros(0))
    """CO2 of a kWh from the grid in every step, shape (T,)."""
    fixed_eur_year: float = 0.0
    """Charge per connection point, without VAT."""
    power_eur_kw_year: float = 0.0
    """Charge per contract power, without VAT."""
    vat_percent: float = 0.0
    """VAT on the fixed charges; the prices at the meter include theirs."""
    assumed: tuple[str, ...] = ()
    """Sentences for the report: what was assumed, and which parameters are not verified (K)."""


NO_MARKET = Market()
"""A plant without zonal prices: its series are empty."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockPlan:
    """N devices that keep their own state: a model in arrays, or an FMU. Opened afresh for every strategy."""

    label: str
    axis: Axis
    """What the devices are to the plant: LOAD, PV or BATTERY."""
    position: IntArray
    """Position of each device on that axis, shape (N,)."""
    home: IntArray
    """Home of each device, shape (N,)."""
    open: Callable[[], DeviceBlock]
    """Return a fresh block; raises an error of ``models`` where it cannot start."""
    series: Mapping[str, NDArray[np.floating]]
    """Inputs that are known ahead, by name: shape (T, N), or (T, 1) or (1, N) where one value serves all.

    Every other input of the block is a live signal; ``twin.simulators.blocks`` has the list.
    """
    record: tuple[tuple[str, str], ...] = ()
    """Outputs that are stored: name of the output, unit."""
    unmet: str | None = None
    """The stored output that tells what a device lacked in a step [kWh]; it is counted in the key figures."""
    origin: str = "a model in arrays"
    """What computes the devices, for the manifest: for an FMU its file, fingerprint, tool, interface and where it runs."""
    wire: WirePlan | None = None
    """Where the devices are behind a register map; ``open`` then makes the model that runs beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """One place of the axis ``state``: an output of a device with a state of its own."""

    device: str
    output: str
    unit: str
    is_unmet: bool
    """Whether it tells what the device lacked in a step [kWh]."""

    @property
    def name(self) -> str:
        """Name on the axis: device, output and unit."""
        return f"{self.device} {self.output} [{self.unit}]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Plant:
    """Everything the simulators need that does not depend on the strategy. H homes, L loads, P PV, B batteries."""

    start_utc_s: int
    """Start of the run, seconds since 1970-01-01 UTC."""
    dt_s: float
    n_steps: int
    home_name: tuple[str, ...]
    home_bus: IntArray
    """Bus position of each home, shape (H,)."""
    load_name: tuple[str, ...]
    load_home: IntArray
    load_p_kw: NDArray[np.float32]
    """Active power of each load, shape (T, L), at least 0 for ordinary loads."""
    load_q_kvar: NDArray[np.float32]
    pv_name: tuple[str, ...]
    pv_home: IntArray
    pv_available_kw: NDArray[np.float32]
    """Power the generator could give, shape (T, P), consumption positive: at most 0."""
    pv_inverter: InverterFleet
    battery_name: tuple[str, ...]
    battery_home: IntArray
    battery: BatteryFleet
    battery_inverter: InverterFleet
    battery_soc_start: FloatArray
    tariff: Tariff
    communities: Communities = NOBODY
    market: Market = NO_MARKET
    blocks: tuple[BlockPlan, ...] = ()
    """Devices of the plant that keep their own state; their entries in the arrays above hold places and ratings."""

    @property
    def n_homes(self) -> int:
        """Number of homes H."""
        return len(self.home_name)

    @property
    def hil(self) -> HilPlan:
        """Devices behind a register map; a run with any needs real time and a guardian."""
        return HilPlan(slots=tuple(slot for plan in self.blocks if plan.wire for slot in plan.wire.slots))

    @property
    def appliance_load(self) -> IntArray:
        """Position among the loads of each appliance, shape (A,): a load that keeps its own state."""
        found = [plan.position for plan in self.blocks if plan.axis is Axis.LOAD]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    @property
    def stored_outputs(self) -> tuple[StoredOutput, ...]:
        """What is stored of devices with a state of their own: by block, output and device."""
        names = {Axis.LOAD: self.load_name, Axis.PV: self.pv_name, Axis.BATTERY: self.battery_name}
        return tuple(
            StoredOutput(
                device=names[plan.axis][position], output=output, unit=unit, is_unmet=output == plan.unmet
            )
            for plan in self.blocks
            for output, unit in plan.record
            for position in plan.position
        )

    @property
    def load_bus(self) -> IntArray:
        """Bus of each load, shape (L,)."""
        return self.home_bus[self.load_home]

    @property
    def pv_bus(self) -> IntArray:
        """Bus of each PV generator, shape (P,)."""
        return self.home_bus[self.pv_home]

    @property
    def battery_bus(self) -> IntArray:
        """Bus of each battery, shape (B,)."""
        return self.home_bus[self.battery_home]
