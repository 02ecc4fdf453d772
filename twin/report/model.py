"""What a report shows, independent of where it was stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twin.report.clock import Clock
from twin.report.communities.run import CommunityRun
from twin.report.device_data import DeviceRun
from twin.report.live_data import LiveRun

__all__ = [
    "Array",
    "BusSample",
    "Card",
    "Comparison",
    "ComparisonGroup",
    "ComparisonRow",
    "FeederMap",
    "IntArray",
    "ReportData",
    "StrategyData",
    "Table",
    "VoltageBand",
    "Worst",
]

Array = NDArray[np.floating]
IntArray = NDArray[np.integer]


@dataclass(frozen=True, slots=True, kw_only=True)
class VoltageBand:
    """The user's voltage limits."""

    vm_min_pu: float
    vm_max_pu: float


@dataclass(frozen=True, kw_only=True, eq=False)
class FeederMap:
    """What is drawn of a feeder: N buses, L lines, M transformers."""

    name: str
    has_geo: bool
    bus_name: tuple[str, ...]
    x: Array
    """Shape (N,): degrees east, or any unit where ``has_geo`` is false."""
    y: Array
    vn_kv: Array
    distance_km: Array
    """Along the lines from the feeder head, shape (N,); NaN where there is no way."""
    bus_free: NDArray[np.bool_]
    """Whether the feeder decides the voltage, shape (N,); the upstream grid holds the others."""
    line_name: tuple[str, ...]
    line_from: IntArray
    line_to: IntArray
    line_open: NDArray[np.bool_]
    """Whether a switch keeps the line from connecting its two buses, shape (L,)."""
    trafo_name: tuple[str, ...]
    trafo_hv: IntArray
    trafo_lv: IntArray
    trafo_rating_kva: Array
    trafo_level: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class BusSample:
    """Bus and line values at chosen steps (K of them), the extreme steps always among them."""

    steps: IntArray
    """Shape (K,), increasing."""
    vm_pu: Array
    """Shape (K, N) [pu]."""
    line_loading_percent: Array
    """Shape (K, L) [%]."""
    every: int
    """Spacing of the regular steps; 1 means that nothing was left out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Worst:
    """Extremes of each element over the period."""

    vm_min_pu: Array
    """Shape (N,)."""
    vm_max_pu: Array
    line_loading_percent: Array
    """Shape (L,)."""
    trafo_loading_percent: Array
    """Shape (M,)."""
    free: NDArray[np.bool_]
    """Whether the feeder decides a bus voltage, shape (N,); the upstream grid holds the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A data table; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    """Columns set flush right."""
    calm: bool = False
    """Nothing in it comes near a limit: left out on paper."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StrategyData:
    """One strategy's results."""

    key: str
    label: str
    feeder: Mapping[str, Array]
    """Series of the feeder axis by signal name (``p_import_kw``), shape (T,) each, T steps stored."""
    flow_kw: Array
    """Power through the watched transformers, shape (T,) [kW]; negative is reverse flow."""
    trafo_loading_percent: Array
    """Highest loading over the transformers, shape (T,) [%]."""
    worst: Worst | None
    sample: BusSample | None
    tables: tuple[Table, ...] = ()

    @property
    def n_steps(self) -> int:
        """Steps stored."""
        return len(self.flow_kw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The verdict on one question for one strategy."""

    question: str
    strategy: str
    verdict: str
    """pass, fail, indicative or not assessed, with where an indicative one leans to: see ``verdict_words``."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One KPI over all strategies."""

    name: str
    label: str
    unit: str
    values: tuple[str, ...]
    """One text per strategy, without the unit."""
    differences: tuple[str, ...]
    """Signed difference to the first whole strategy; empty for itself, incomplete ones and where there is no number."""
    best: tuple[bool, ...]
    """Whether the strategy is (among) the best whole ones; all false where no direction is better or all are equal."""
    where: tuple[str, ...]
    """Place and time of each value; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonGroup:
    """The KPIs of one question."""

    title: str
    rows: tuple[ComparisonRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The table of KPIs against strategies."""

    strategies: tuple[str, ...]
    groups: tuple[ComparisonGroup, ...]
    left_out: tuple[str, ...] = ()
    """KPIs that no strategy has a value for, with the reason."""
    base: str = ""
    """The strategy that differences refer to; empty if none ran to its end."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """Everything a report needs."""

    title: str
    description: str
    facts: tuple[tuple[str, str], ...]
    """Label and value of the title block."""
    problem: str
    """Why the run is incomplete; empty for a complete run."""
    clock: Clock
    band: VoltageBand
    trafo_limit_percent: float
    peak_import_kw: float | None
    peak_export_kw: float | None
    feeder: FeederMap
    flow_label: str
    """What ``flow_kw`` runs through, in words."""
    strategies: tuple[StrategyData, ...]
    comparison: Comparison
    cards: tuple[Card, ...]
    questions: tuple[tuple[str, str], ...]
    """Key and words of each question, in the order of the cards."""
    answer: tuple[str, ...]
    """Plain sentences."""
    held: str
    """Buses whose voltage the upstream grid holds, in words; empty if there are none."""
    no_series: str
    """Why there are no bus series; empty if there are."""
    notes: tuple[str, ...] = ()
    """What was changed when the feeder was read, and warnings of the run."""
    grid_tables: tuple[Table, ...] = ()
    voltage_tables: tuple[Table, ...] = ()
    method_tables: tuple[Table, ...] = ()
    version_tables: tuple[Table, ...] = ()
    method_notes: tuple[str, ...] = ()
    communities: CommunityRun | None = None
    """None for a run without communities."""
    devices: DeviceRun | None = None
    """None for a run without devices that keep their own state."""
    live: LiveRun | None = None
    """None for a run offline."""
    extras: Mapping[str, str] = field(default_factory=dict)
