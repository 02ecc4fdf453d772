"""Amounts that surround a device (``..._kwh``): told for a whole step of a run, taken tick by tick."""

from collections.abc import Mapping
from typing import Final

__all__ = ["Amounts", "is_amount"]

_ROUNDING_S: Final = 1e-9
"""Sums of ticks reach the end of a step within this."""


def is_amount(name: str) -> bool:
    """Return whether a name of the world holds an amount of a step and not a value that lasts."""
    return name.endswith("_kwh")


class Amounts:
    """What is left of the amounts that were told. Nothing is lost: what a step leaves over joins the next."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}
        self._left_s = 0.0

    def tell(self, amounts: Mapping[str, float], *, step_s: float) -> None:
        """Add the amounts of a step of ``step_s`` [s]; with 0 the next tick takes them whole."""
        for name, amount in amounts.items():
            self._left[name] = self._left.get(name, 0.0) + amount
        if amounts:
            self._left_s = step_s

    def take(self, dt_s: float) -> dict[str, float]:
        """Return what falls into the next ``dt_s`` [s], by name; 0 where nothing is left."""
        share = 1.0 if self._left_s - dt_s <= _ROUNDING_S else dt_s / self._left_s
        taken = {name: share * amount for name, amount in self._left.items()}
        self._left = {name: amount - taken[name] for name, amount in self._left.items()}
        self._left_s = max(self._left_s - dt_s, 0.0)
        return taken
