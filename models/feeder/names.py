"""Names of network elements: every element gets one, and no two in a table share it."""

from collections.abc import Iterable, Sequence

__all__ = ["fallback_names", "listing", "unique_names"]

_SHOWN = 5


def unique_names(given: Sequence[object], index: Sequence[int], kind: str) -> tuple[str, ...]:
    """Return one name per element, unique among them.

    An element without a name becomes ``<kind> <index>``; the second of two equal names becomes ``<name> #2``.

    Args:
        given: what the network says, any type; None, NaN and blanks count as no name.
        index: row number of each element in the network's table.
        kind: word for the fallback, e.g. ``bus``.
    """
    wanted = fallback_names(given, index, kind)
    reserved = set(wanted)
    used: set[str] = set()
    names = []
    for name in wanted:
        unique, count = name, 1
        while unique in used or (count > 1 and unique in reserved):
            count += 1
            unique = f"{name} #{count}"
        used.add(unique)
        names.append(unique)
    return tuple(names)


def fallback_names(given: Sequence[object], index: Sequence[int], kind: str) -> tuple[str, ...]:
    """Return the names given, ``<kind> <index>`` where there is none."""
    return tuple(_text(name) or f"{kind} {row}" for name, row in zip(given, index, strict=True))


def listing(names: Iterable[str]) -> str:
    """Return names for a message: the first few in quotes, then how many more."""
    every = tuple(names)
    shown = ", ".join(f"'{name}'" for name in every[:_SHOWN])
    return shown if len(every) <= _SHOWN else f"{shown} and {len(every) - _SHOWN} more"


def _text(name: object) -> str:
    missing = name is None or name != name  # noqa: PLR0124 - NaN of any type is the one value unequal to itself
    return "" if missing else str(name).strip()
