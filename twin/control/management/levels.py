"""The level of management a strategy belongs to, and how the communities are paid under it.

0 unmanaged, 1 EMS of each user, 2 CEMS of each community, 3 aggregator over the communities of a primary substation,
4 aggregator that serves the ancillary services market (MSD) as well. A strategy says so in two class attributes,
``level`` and ``settles``; both may be left out.
"""

from typing import Literal, get_args

from twin.control.base import Controller
from twin.errors import InputError

__all__ = ["LEVEL_NAME", "Settles", "level_of", "settles_of"]

Settles = Literal["community", "cp"]
"""Whether each configuration is settled alone, or those under one primary substation (CP) as one."""

LEVEL_NAME = ("unmanaged", "EMS", "EMS + CEMS", "aggregator", "aggregator on MSD")
"""Name of each level, by its number."""


def level_of(controller: Controller) -> int | None:
    """Return the level of management of a strategy, 0 to 4; None where it does not say.

    Raises:
        InputError: its attribute ``level`` is no such number.
    """
    level = getattr(controller, "level", None)
    if level is None:
        return None
    if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level < len(LEVEL_NAME):
        raise InputError(
            f"{type(controller).__name__}.level: must be a whole number from 0 to {len(LEVEL_NAME) - 1} "
            f"(got {level!r}); correct it, or leave it out"
        )
    return level


def settles_of(controller: Controller) -> Settles | None:
    """Return how the communities are paid under a strategy; None where it does not say.

    Raises:
        InputError: its attribute ``settles`` is no such word.
    """
    settles = getattr(controller, "settles", None)
    if settles is None:
        return None
    for known in get_args(Settles):
        if settles == known:
            return known  # type: ignore[no-any-return] # get_args is untyped
    raise InputError(
        f"{type(controller).__name__}.settles: must be one of {', '.join(get_args(Settles))} (got {settles!r}); "
        "correct it, or leave it out"
    )
