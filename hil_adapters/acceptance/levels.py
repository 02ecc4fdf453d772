"""Which values of a command are tried: within the limits of the lab, and so that the step shows. Pure."""

from dataclasses import dataclass

from hil_adapters.guard.messages import Limits
from hil_adapters.guard.rules import is_limit

__all__ = ["Levels", "levels_of"]

_LEAST_STEP_BANDS = 3.0
"""A step shows when it is wider than so many bands within which the power may lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Which values of a command are tried, in its unit."""

    beyond: float
    """Above the lab's limit; the guard must clamp it."""
    first: float
    second: float
    biting: bool
    """Whether the step from ``first`` to ``second`` shows in the power of the device."""


def levels_of(
    command: str, limits: Limits, *, present_kw: float, rated_kw: float | None, band_kw: float
) -> Levels:
    """Return the values to try: a limit goes half way down from what the device gives, a set-point to both sides of zero.

    Args:
        command: ``p_limit_kw`` or ``p_set_kw``.
        limits: of the lab.
        present_kw: what the device gives at the moment, counted as its limit counts it.
        rated_kw: its rating, where it is known.
        band_kw: within which a step counts as carried out.
    """
    top = limits.high if rated_kw is None else min(limits.high, rated_kw)
    if is_limit(command):
        low = max(limits.low, 0.0)
        ceiling = min(top, present_kw)
        biting = ceiling - low > 2.0 * _LEAST_STEP_BANDS * band_kw
        second = low + ((ceiling if biting else top) - low) / 2.0
        return Levels(beyond=limits.high + 1.0, first=top, second=second, biting=biting)
    bottom = limits.low if rated_kw is None else max(limits.low, -rated_kw)
    first = top
    second = bottom / 2.0 if bottom < 0.0 <= top else bottom + (top - bottom) / 2.0
    biting = abs(first - second) > _LEAST_STEP_BANDS * band_kw
    return Levels(beyond=limits.high + 1.0, first=first, second=second, biting=biting)
