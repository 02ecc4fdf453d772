"""Points whose readings cannot be used, told by cause: once when it begins and once when it is over. Does no I/O."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from hil_adapters.device.events import EventKind
from hil_adapters.device.judging import Finding
from hil_adapters.maps.schema import Point

__all__ = ["Oddities", "in_short", "merged"]

_NAMED = 3
"""How many points an event names; the others are counted."""


class Oddities:
    """Which points are without a value for an odd reason, over one map.

    A scale factor that cannot be used is one cause for all points behind it, in whatever read they come; points of one read
    whose values cannot be true are told together.
    """

    def __init__(self, points: Mapping[str, Point]) -> None:
        self._points = points
        self._standing: dict[str, str] = {}
        """Cause by point."""

    def take(self, read: Iterable[str], reasons: Mapping[str, str]) -> list[Finding]:
        """Return what begins and what is over with a read.

        Args:
            read: points that were read.
            reasons: why some of them have no value, where that is odd.
        """
        if not self._standing and not reasons:
            return []
        known = set(self._standing.values())
        over = [name for name in read if name in self._standing and name not in reasons]
        begun: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            if name in self._standing:
                continue
            cause = self._cause(name, reason)
            self._standing[name] = cause
            if cause not in known:
                begun.setdefault(cause if cause != name else "", []).append(name)
        found = [
            Finding(kind=EventKind.IMPOSSIBLE, text=f"{in_short(names)}: {reasons[names[0]]}")
            for names in begun.values()
        ]
        return [*found, *self._ended(over)]

    def _cause(self, name: str, reason: str) -> str:
        scale_point = self._points[name].scale_point
        return scale_point if scale_point is not None and scale_point in reason else name

    def _ended(self, names: Sequence[str]) -> list[Finding]:
        gone = {name: self._standing.pop(name) for name in names}
        left = set(self._standing.values())
        ended: dict[str, list[str]] = {}
        for name, cause in gone.items():
            if cause not in left:
                ended.setdefault(cause if cause != name else "", []).append(name)
        return [
            Finding(
                kind=EventKind.RECOVERED,
                text=f"scale factor {cause} can be used again"
                if cause
                else f"{in_short(told)}: can be true again",
            )
            for cause, told in ended.items()
        ]


def in_short(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def merged(findings: Collection[tuple[str, Finding]], points: Mapping[str, Point]) -> list[Finding]:
    """Return the findings of one read, by point, with one for all that jumped with the same scale factor."""
    if not findings:
        return []
    jumped: dict[str, list[tuple[str, Finding]]] = {}
    found: list[Finding] = []
    for name, finding in findings:
        scale_point = points[name].scale_point
        if finding.kind is EventKind.SCALE_CHANGED and scale_point is not None:
            jumped.setdefault(scale_point, []).append((name, finding))
        else:
            found.append(finding)
    for (_, first), *others in jumped.values():
        text = first.text
        if others:
            text += f"; so are {in_short([name for name, _ in others])}"
        found.append(Finding(kind=first.kind, text=text))
    return found
