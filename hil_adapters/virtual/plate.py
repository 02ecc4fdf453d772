"""What is written on an emulated device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

__all__ = ["Plate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """Ratings and identity; powers as magnitudes."""

    p_rated_kw: float
    """Largest feed-in; of a load its largest power."""
    s_rated_kva: float
    charge_kw: float = 0.0
    discharge_kw: float = 0.0
    capacity_kwh: float = 0.0
    """0: no storage."""
    phases: int = 3
    manufacturer: str = "gemello"
    model: str = "virtual"
    version: str = "1"
    serial: str = "1"

    @classmethod
    def of(cls, nameplate: Mapping[str, float], *, model: str, serial: str, phases: int) -> Self:
        """Return the plate of a device with the nameplate of its physics.

        What the nameplate does not name follows from what it names: the rated power of a battery is its larger power.
        """
        charge_kw, discharge_kw = nameplate.get("charge_kw", 0.0), nameplate.get("discharge_kw", 0.0)
        p_rated_kw = nameplate.get("p_rated_kw", max(charge_kw, discharge_kw))
        return cls(
            p_rated_kw=p_rated_kw,
            s_rated_kva=nameplate.get("s_rated_kva", p_rated_kw),
            charge_kw=charge_kw,
            discharge_kw=discharge_kw,
            capacity_kwh=nameplate.get("capacity_kwh", 0.0),
            phases=phases,
            model=model,
            serial=serial,
        )

    @property
    def largest_kw(self) -> float:
        """Largest of its powers."""
        return max(self.p_rated_kw, self.s_rated_kva, self.charge_kw, self.discharge_kw)
