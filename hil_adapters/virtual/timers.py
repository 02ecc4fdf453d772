"""What makes an emulated device let go of a command that nobody refreshes: timers, heartbeats and traffic watchdogs."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hil_adapters.maps.schema import CommandWrite, RegisterMap, Watchdog
from hil_adapters.maps.units import factor_between
from hil_adapters.virtual.registers import RegisterStore

__all__ = ["FallBack", "Heartbeat", "Reversion", "Reversions", "TrafficMode", "reversions_of_map"]


class TrafficMode(StrEnum):
    """Which requests keep a traffic watchdog quiet."""

    DISABLED = "disabled"
    TELEGRAM = "telegram"
    """Every request of a client."""
    WRITE = "write"
    """Writes only."""


class Heartbeat:
    """Watches that a number goes on changing, from its first change on."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._beat: float | None = None
        self._changed_s = math.inf

    def is_lost(self, beat: float | None, *, now_s: float) -> bool:
        """Return whether ``beat`` has stood still for too long at ``now_s`` [s]."""
        if self._beat is not None and beat != self._beat:
            self._changed_s = now_s
        self._beat = beat
        return now_s - self._changed_s >= self._timeout_s


@dataclass(frozen=True, slots=True, kw_only=True)
class FallBack:
    """What a point becomes: ``value``, or what the point ``from_point`` holds then."""

    point: str
    value: float = math.nan
    from_point: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversion:
    """A function of a device that falls back unless it is refreshed."""

    name: str
    refreshed_by: frozenset[str]
    """Points whose writing, even of the same value, starts its time again; none: any request counts."""
    fall_back: tuple[FallBack, ...]
    timeout_point: str | None = None
    """Holds the time; 0 or not implemented: never."""
    timeout_s: float = math.inf
    """Its time where no point holds it [s]."""
    counts_while: str | None = None
    """Point that must not be 0 for the time to count."""
    remaining_point: str | None = None
    """Shows the time left [s]."""


class Reversions:
    """All of a device, on a clock that is given as an argument."""

    def __init__(self, store: RegisterStore, reversions: Sequence[Reversion]) -> None:
        """Watch ``reversions``; entries whose points the device does not have are left out."""
        self._store = store
        self._entries = [entry for entry in reversions if _is_there(entry, store)]
        self._since_s: dict[str, float] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the functions watched."""
        return tuple(entry.name for entry in self._entries)

    def restart(self) -> None:
        """Forget every time that runs."""
        self._since_s.clear()

    def written(self, points: Collection[str], *, now_s: float) -> None:
        """Take note that a client wrote these points."""
        for entry in self._entries:
            if not entry.refreshed_by.isdisjoint(points):
                self._since_s[entry.name] = now_s

    def step(self, *, now_s: float, last_traffic_s: float = -math.inf) -> tuple[str, ...]:
        """Let functions fall back whose time has passed and return their names.

        ``last_traffic_s`` is the last request that counts for a traffic watchdog, on the same clock.
        """
        expired: list[str] = []
        for entry in self._entries:
            left_s = self._left_s(entry, now_s=now_s, last_traffic_s=last_traffic_s)
            if left_s <= 0.0:
                self._fall_back(entry)
                expired.append(entry.name)
            if entry.remaining_point is not None:
                self._store.set(entry.remaining_point, left_s if 0.0 < left_s < math.inf else 0.0)
        return tuple(expired)

    def _left_s(self, entry: Reversion, *, now_s: float, last_traffic_s: float) -> float:
        """Return the time until a function falls back [s]; infinite where it does not count."""
        if entry.counts_while is not None and not self._store.number(entry.counts_while):
            self._since_s.pop(entry.name, None)
            return math.inf
        timeout_s = self._timeout_s(entry)
        if not entry.refreshed_by:
            return last_traffic_s + timeout_s - now_s if self._differs(entry) else math.inf
        since_s = self._since_s.get(entry.name)
        return math.inf if since_s is None else since_s + timeout_s - now_s

    def _timeout_s(self, entry: Reversion) -> float:
        if entry.timeout_point is None:
            return entry.timeout_s
        value = self._store.number(entry.timeout_point)
        if value is None or value <= 0.0:
            return math.inf
        unit = self._store.cells[entry.timeout_point].point.unit
        return value if unit == "1" else value * factor_between(unit, "s")

    def _differs(self, entry: Reversion) -> bool:
        return any(self._store.number(step.point) != self._aim(step) for step in entry.fall_back)

    def _fall_back(self, entry: Reversion) -> None:
        self._since_s.pop(entry.name, None)
        for step in entry.fall_back:
            aim = self._aim(step)
            if aim is not None:
                self._store.set(step.point, aim)

    def _aim(self, step: FallBack) -> float | None:
        return step.value if step.from_point is None else self._store.number(step.from_point)


def reversions_of_map(map_: RegisterMap) -> tuple[Reversion, ...]:
    """Return what the watchdogs in a resolved map say: a command falls back to its release.

    A timer point with unit ``1`` counts seconds.
    """
    found: list[Reversion] = []
    for name, command in map_.commands.items():
        points = [_point(write) for write in command.writes]
        watchdog = next(
            (rule.watchdog for point in points if (rule := map_.writes.get(point)) and rule.watchdog), None
        )
        if watchdog is not None:
            fall_back = tuple(
                FallBack(point=_point(write), value=write.value)
                for write in command.release
                if write.value is not None
            )
            found.append(_of_watchdog(name, watchdog, points, fall_back))
    return tuple(found)


def _of_watchdog(
    name: str, watchdog: Watchdog, points: Sequence[str], fall_back: tuple[FallBack, ...]
) -> Reversion:
    builders: Final[dict[str, Callable[[], Reversion]]] = {
        "timer": lambda: Reversion(
            name=name,
            refreshed_by=frozenset(points),
            fall_back=fall_back,
            timeout_point=watchdog.point,
        ),
        "heartbeat": lambda: Reversion(
            name=name,
            refreshed_by=frozenset([*points, *([] if watchdog.point is None else [watchdog.point])]),
            fall_back=fall_back,
            timeout_s=watchdog.timeout_s,
        ),
        "traffic": lambda: Reversion(
            name=name, refreshed_by=frozenset(), fall_back=fall_back, timeout_s=watchdog.timeout_s
        ),
    }
    return builders[watchdog.kind]()


def _point(write: CommandWrite) -> str:
    return write.point if isinstance(write.point, str) else write.point[0]


def _is_there(entry: Reversion, store: RegisterStore) -> bool:
    named = [step.point for step in entry.fall_back] + [
        name for name in (entry.timeout_point, entry.counts_while, entry.remaining_point) if name is not None
    ]
    return bool(entry.fall_back) and all(name in store.cells for name in named)
