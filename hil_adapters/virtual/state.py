"""What an emulated device knows of itself after a step, in units of the twin, and what follows from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

__all__ = ["NOMINAL_HZ", "NOMINAL_V", "START_KWH", "DeviceState", "Operation"]

NOMINAL_V: Final = 230.0
"""Between phase and neutral."""
NOMINAL_HZ: Final = 50.0
START_KWH: Final = 1.0
"""Counters start here: a SunSpec counter at 0 says that it is not implemented."""
_WHOLE_POWER_FACTOR: Final = 1.0


class Operation(Enum):
    """What an inverter is doing."""

    OFF = "off"
    """Commanded off the grid."""
    STARTING = "starting"
    """Waits for the grid to be good."""
    STANDBY = "standby"
    """On the grid, without power."""
    RUNNING = "running"
    THROTTLED = "throttled"
    """On the grid, held below what it could do."""
    TRIPPED = "tripped"
    """Opened by its interface protection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """Consumption positive."""

    p_kw: float = 0.0
    q_kvar: float = 0.0
    vm_v: float = NOMINAL_V
    frequency_hz: float = NOMINAL_HZ
    soc: float | None = None
    """None: no storage."""
    e_import_kwh: float = START_KWH
    e_export_kwh: float = START_KWH
    temp_degc: float = 25.0
    operation: Operation = Operation.STANDBY
    tripped_by: str | None = None
    """Relay that opened it, e.g. ``59.S1``."""
    is_unheard: bool = False
    """Whether it stands still because the heartbeat of its controller has stopped."""
    beats: int = 0
    """Whole seconds of its own clock since it started."""
    others: Mapping[str, float] = field(default_factory=dict)
    """Further signals of its physics, by name."""

    @property
    def s_kva(self) -> float:
        """Apparent power [kVA]."""
        return math.hypot(self.p_kw, self.q_kvar)

    @property
    def power_factor(self) -> float:
        """Share of active in apparent power, 0 to 1; 1 without power."""
        return abs(self.p_kw) / self.s_kva if self.s_kva > 0.0 else _WHOLE_POWER_FACTOR

    def current_a(self, phases: int) -> float:
        """Current of one phase [A]; 0 without voltage."""
        return self.s_kva * 1000.0 / (phases * self.vm_v) if self.vm_v > 0.0 else 0.0

    def signals(self, phases: int) -> Mapping[str, float]:
        """Return what a register map may bind, by signal; power on the side of direct current counts generation positive."""
        amperes = self.current_a(phases)
        found = dict(self.others) | {
            "p_kw": self.p_kw,
            "q_kvar": self.q_kvar,
            "s_kva": self.s_kva,
            "vm_v": self.vm_v,
            "frequency_hz": self.frequency_hz,
            "i_a": amperes,
            "e_import_kwh": self.e_import_kwh,
            "e_export_kwh": self.e_export_kwh,
            "temp_degc": self.temp_degc,
            "p_dc_kw": -self.p_kw,
            "power_factor": self.power_factor,
        }
        for phase in range(1, phases + 1):
            found[f"vm_l{phase}_v"] = self.vm_v
            found[f"i_l{phase}_a"] = amperes
            found[f"p_l{phase}_kw"] = self.p_kw / phases
            found[f"q_l{phase}_kvar"] = self.q_kvar / phases
        return found if self.soc is None else found | {"soc": self.soc}
