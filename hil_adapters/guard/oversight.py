"""Whether a device holds what was written to it: a second master is told of, not fought."""

from hil_adapters.device.events import SessionState
from hil_adapters.errors import HilError
from hil_adapters.guard.book import CommandRecord
from hil_adapters.guard.contention import ContentionWatch
from hil_adapters.guard.door import GuardedSession
from hil_adapters.guard.sequences import timers_of
from hil_adapters.guard.telling import Teller
from hil_adapters.samples import Quality

__all__ = ["Oversight"]

_SHORTEST_PERIOD_S = 0.5
_TOLERATED = 3
"""Times in a row that a value was written again and another one was found; then the guard trips."""


class Oversight:
    """Looks at one device."""

    def __init__(self, session: GuardedSession, teller: Teller, *, poll_s: float) -> None:
        self._session = session
        self._teller = teller
        self._period_s = max(poll_s, _SHORTEST_PERIOD_S)
        self._looked_s = 0.0
        self._watch = ContentionWatch()

    def begin_again(self) -> None:
        """Something is about to be written; earlier readings say nothing any more."""
        self._watch.clear()

    async def look(self, records: list[CommandRecord], *, now_s: float) -> str | None:
        """Compare what is in force with what the device holds; return why to trip, None where that is not needed.

        What differs is marked, told, and written again at the next refresh, not earlier.

        Raises:
            RecordingError: the audit cannot take it.
        """
        in_force = [record for record in records if record.in_force]
        if not in_force or self._session.state is not SessionState.IDENTIFIED:
            return None
        try:
            await self._read_unpolled(in_force, now_s)
        except HilError as error:
            self._teller.once("read back", f"cannot be read back: {error}")
            return None
        self._teller.settle("read back")
        for record in in_force:
            reason = self._compare(record, now_s)
            if reason is not None:
                return reason
        return None

    def _compare(self, record: CommandRecord, now_s: float) -> str | None:
        rules = self._session.map.writes
        found = self._watch.look(
            self._watched(record),
            {point: rules[point].tolerance for point in record.points},
            self._session.values,
            written_s=record.written_s,
        )
        if found is None:
            held_s = now_s - record.written_s
            if not record.mismatched and held_s > 2.0 * self._period_s:
                record.mismatches = 0
            return None
        if record.mismatched:
            return None
        record.mismatched = True
        record.mismatches += 1
        text = (
            f"{found.point} holds {found.read:g}, {found.written:g} was written: "
            "another master writes, or its watchdog has let go"
        )
        self._teller.contention(text)
        return f"contention: {text}" if record.mismatches >= _TOLERATED else None

    async def _read_unpolled(self, records: list[CommandRecord], now_s: float) -> None:
        """Read, at most once in a period, the written points that polling has not brought."""
        if now_s - self._looked_s < self._period_s:
            return
        values = self._session.values
        old = [
            point
            for record in records
            for point in self._watched(record)
            if (sample := values.get(point)) is None
            or sample.quality is Quality.BAD
            or sample.age_s(now_s) > self._period_s
        ]
        self._looked_s = now_s
        if old:
            await self._session.read(old)

    def _watched(self, record: CommandRecord) -> dict[str, float]:
        register_map = self._session.map
        timers = timers_of(register_map, record.command)
        return {
            point: value
            for point, value in record.points.items()
            if point not in timers and register_map.writes[point].verify
        }
