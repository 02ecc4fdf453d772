"""What a KPI is, one value of it, and what must be known about a run to compute KPIs.

Sign: consumption positive. Times are steps of the run; :meth:`KpiContext.time_text` gives the local time.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from twin.clock import clock_text, is_whole_steps, step_length, step_time
from twin.errors import RunFolderError
from twin.units import hours

__all__ = [
    "PROJECT_SOURCE",
    "QUARTER_S",
    "Better",
    "FloatArray",
    "IntArray",
    "Kpi",
    "KpiContext",
    "KpiLimits",
    "KpiValue",
    "Question",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Better = Literal["lower", "higher", "neutral"]
Question = Literal[
    "voltage", "reverse_flow", "peak", "loading", "losses", "energy", "community", "money", "co2", "quality"
]

PROJECT_SOURCE = "project definition"
"""Source of the KPIs that are defined here."""

QUARTER_S = 900
"""A quarter of an hour [s]: the window of peaks, and what every step divides."""

_WINDOW_GRID_S = 1800
"""Least common multiple of the 10-min and the 15-min window [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One entry of the catalogue."""

    name: str
    label: str
    unit: str
    better: Better
    question: Question
    definition: str
    source: str
    """Standard, paper or project choice; "K" marks a rule that was not checked against its source."""


@dataclass(frozen=True, slots=True)
class KpiValue:
    """One KPI of one strategy."""

    name: str
    value: float | None
    """In the unit of the KPI; None where it does not apply, with the reason in ``note``."""
    where: str = ""
    """Element that sets the value; empty if it is none in particular."""
    step: int | None = None
    """Step at which the value occurs; None if it is none in particular."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiLimits:
    """Limits a run is judged by; None is a limit that was not set."""

    vm_min_pu: float = 0.90
    vm_max_pu: float = 1.10
    line_loading_percent: float = 100.0
    trafo_loading_percent: float = 100.0
    reverse_hours_percent: float | None = None
    peak_import_kw: float | None = None
    peak_export_kw: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiContext:
    """The run that KPIs are computed for. Sequences and arrays are kept as tuples.

    ``*_home`` are positions in ``home_name`` for each device, ``head_trafos`` positions in ``trafo_name``,
    ``held_buses`` positions in ``bus_name``.

    Raises:
        ValueError: a step that does not divide 15 min, no steps, lengths or positions that do not fit.
    """

    dt_s: float
    n_steps: int
    start_utc_s: int
    bus_name: tuple[str, ...]
    line_name: tuple[str, ...]
    trafo_name: tuple[str, ...]
    trafo_level: tuple[str, ...]
    head_trafos: tuple[int, ...]
    home_name: tuple[str, ...]
    load_home: tuple[int, ...]
    pv_home: tuple[int, ...]
    battery_home: tuple[int, ...]
    battery_capacity_kwh: tuple[float, ...]
    limits: KpiLimits
    held_buses: tuple[int, ...] = ()
    """Positions of buses whose voltage is an input of the model (slack); they do not count as the feeder's."""
    n_states: int = 0
    """Stored outputs of devices that keep their own state."""
    unmet_state: tuple[int, ...] = ()
    """Positions of those that tell what a device lacked in a step [kWh] ..."""
    unmet_device: tuple[str, ...] = ()
    """... and the names of the devices."""

    def __post_init__(self) -> None:
        """Turn arrays into tuples of plain values and refuse what does not fit together."""
        object.__setattr__(self, "dt_s", step_length(self.dt_s))
        for name in ("n_steps", "start_utc_s", "n_states"):
            object.__setattr__(self, name, int(getattr(self, name)))
        for name in ("bus_name", "line_name", "trafo_name", "trafo_level", "home_name", "unmet_device"):
            object.__setattr__(self, name, tuple(str(entry) for entry in getattr(self, name)))
        for name in ("head_trafos", "held_buses", "load_home", "pv_home", "battery_home", "unmet_state"):
            object.__setattr__(self, name, tuple(int(entry) for entry in getattr(self, name)))
        capacity = tuple(float(entry) for entry in self.battery_capacity_kwh)
        object.__setattr__(self, "battery_capacity_kwh", capacity)
        self._check()

    @property
    def free_buses(self) -> IntArray:
        """Positions of the buses whose voltage the feeder decides; all of them if every bus is held."""
        free = np.setdiff1d(np.arange(len(self.bus_name)), self.held_buses)
        return free if len(free) else np.arange(len(self.bus_name))

    def _check(self) -> None:
        if not is_whole_steps(QUARTER_S, self.dt_s):
            raise ValueError(f"dt_s must divide {QUARTER_S} s, got {self.dt_s}")
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {self.n_steps}")
        if len(self.trafo_level) != len(self.trafo_name):
            raise ValueError(f"{len(self.trafo_name)} transformers but {len(self.trafo_level)} levels")
        if len(self.battery_capacity_kwh) != len(self.battery_home):
            raise ValueError(
                f"{len(self.battery_home)} batteries but {len(self.battery_capacity_kwh)} capacities"
            )
        if not all(capacity > 0 for capacity in self.battery_capacity_kwh):
            raise ValueError("every battery capacity must be above 0 kWh")
        sizes = {"load_home": self.home_name, "pv_home": self.home_name, "battery_home": self.home_name}
        for name, names in {**sizes, "head_trafos": self.trafo_name, "held_buses": self.bus_name}.items():
            bad = [position for position in getattr(self, name) if not 0 <= position < len(names)]
            if bad:
                raise ValueError(f"{name} holds position {bad[0]}, there are {len(names)} entries")

    @property
    def dt_h(self) -> float:
        """Length of a step [h]."""
        return hours(self.dt_s)

    @property
    def starts_on_step(self) -> bool:
        """Whether the start lies on a multiple of the step by the clock; a full second does where steps are shorter."""
        return is_whole_steps(self.start_utc_s, self.dt_s)

    @property
    def window_offset_s(self) -> int:
        """Time from the last border of the clock windows (10 and 15 min) to the run's start [s].

        0 where the start does not lie on a multiple of the step: windows then count from the start.
        """
        if not self.starts_on_step:
            return 0
        return self.start_utc_s % _WINDOW_GRID_S

    def time_text(self, step: int) -> str:
        """Return the local time (Europe/Rome) at which ``step`` begins, e.g. ``2016-07-12 13:15``."""
        at = step_time(self.start_utc_s, step, self.dt_s)
        return f"{at:%Y-%m-%d} {clock_text(at, self.dt_s)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can carry."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return the context that :meth:`to_dict` gave, also after a trip through JSON.

        Raises:
            RunFolderError: a field is missing, unknown or does not fit.
        """
        wanted = {entry.name for entry in fields(cls)}
        different = sorted(wanted ^ set(content))
        if different:
            raise RunFolderError(
                f"KPI context: fields {', '.join(different)} are missing or unknown; "
                "the run was stored by another version, repeat it with this one"
            )
        try:
            limits = KpiLimits(**content["limits"])
            return cls(**{**content, "limits": limits})
        except (TypeError, ValueError) as error:
            raise RunFolderError(
                f"KPI context: {error}; the stored file is damaged, repeat the run"
            ) from error
