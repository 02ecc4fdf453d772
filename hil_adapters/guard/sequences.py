"""The sequences of writes that bring a command into force, keep it there, and let go of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from hil_adapters.errors import ExceptionReplyError, GuardError, HilError, MapError
from hil_adapters.guard.book import CommandRecord, Decision
from hil_adapters.guard.contention import matches
from hil_adapters.guard.door import DeviationError, Door, GuardedSession, Occasion, Purpose
from hil_adapters.guard.messages import Limits
from hil_adapters.guard.rules import (
    Accepted,
    Range,
    Refused,
    admit_constant,
    admit_point,
    held_between,
    ramp_allowance,
    ramp_start,
)
from hil_adapters.maps.binding import (
    PointWrite,
    carriers_of,
    command_writes,
    release_writes,
    safe_writes,
    set_point_of,
    watchdog_of,
)
from hil_adapters.maps.schema import RegisterMap, ValueType, WriteRules
from hil_adapters.samples import NOTHING

__all__ = ["Aim", "Sequences", "points_of_command", "safe_state_objections", "timers_of"]

_HEARTBEATS = 65536


def timers_of(register_map: RegisterMap, command: str) -> frozenset[str]:
    """Return the points of a command that belong to its watchdog; they may run by themselves."""
    watchdog = watchdog_of(register_map, command)
    return frozenset() if watchdog is None or watchdog.point is None else frozenset((watchdog.point,))


def points_of_command(register_map: RegisterMap, command: str) -> frozenset[str]:
    """Return the points that a command writes, without those of its watchdog, which commands may share."""
    writes = register_map.commands[command].writes
    return frozenset(str(write.point) for write in writes) - timers_of(register_map, command)


def safe_state_objections(register_map: RegisterMap, command: str) -> tuple[str, ...]:
    """Return why a command could not be let go of; a command with objections must never be written."""
    try:
        writes = (*safe_writes(register_map, command), *release_writes(register_map, command))
        set_point = str(set_point_of(register_map, command).point)
        rules = register_map.writes[set_point]
    except (HilError, KeyError) as error:
        return (f"{command}: {error}",)
    found = [
        verdict.reason
        for write in dict.fromkeys(writes)
        if isinstance(
            verdict := admit_constant(write.point, write.value, register_map.writes.get(write.point)), Refused
        )
    ]
    if rules.watchdog is None and rules.waiver is None:
        found.append(f"{command}: {set_point} has neither a watchdog nor a waiver")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a command shall go."""

    value: float
    """In its unit, within ``allowed``."""
    allowed: Range
    lab: Limits | None
    whole: Decision
    """APPLY: the whole sequence; FOLLOW: the points that carry the value, where it changes."""


class Sequences:
    """Writes commands of one device, point by point, each read back."""

    def __init__(
        self,
        session: GuardedSession,
        door: Door,
        *,
        clock: Callable[[], float],
        note: Callable[[str], object],
    ) -> None:
        self._session = session
        self._door = door
        self._clock = clock
        self._note = note
        self._heartbeat = 0

    async def bring(self, record: CommandRecord, aim: Aim, occasion: Occasion) -> None:
        """Bring a command nearer to its aim: as far as its ramp allows at this turn.

        Raises:
            GuardError: refused by a rule, or not permitted any more. DeviationError: it does not hold.
            RecordingError, LinkError, MapError: see ``Door.write``.
        """
        register_map, started_s = self._session.map, self._clock()
        values = self._session.values
        writes = command_writes(register_map, record.command, aim.value, values)
        point = str(set_point_of(register_map, record.command).point)
        per_unit = _value_at(point, command_writes(register_map, record.command, 1.0, values))
        rules = _inside(self._session, point, aim.allowed, per_unit=per_unit)
        target = min(max(_value_at(point, writes), rules.low), rules.high)
        if aim.whole is Decision.FOLLOW and not self._is_due(record, target, rules):
            return
        if not record.touched and started_s - record.last_written_s < rules.min_interval_s:
            return
        if math.isinf(record.written_s):
            await self._remember(record, register_map)
        value = await self._admitted(
            record, aim, PointWrite(point=point, value=_value_at(point, writes)), rules, per_unit=per_unit
        )
        carriers = {str(write.point) for write in carriers_of(register_map, record.command)}
        for write in command_writes(register_map, record.command, value / per_unit, values):
            if write.point == point:
                record.aimed, record.sent = target, value
                record.last_written_s = self._clock()
                record.points[point] = await self._put(record, PointWrite(point=point, value=value), occasion)
            elif aim.whole is Decision.APPLY or write.point in carriers:
                record.points[write.point] = await self._put(record, write, occasion)
        if aim.whole is Decision.APPLY:
            await self._beat(record, occasion)
            record.refreshed_s = started_s
            record.in_force = True
        for name, written in record.points.items():
            if name not in timers_of(register_map, record.command):
                await self._verify(register_map, name, written)
        record.written_s = self._clock()
        record.last_point = record.points[point]
        record.commanded = record.points[point] / per_unit

    async def let_go(self, record: CommandRecord, writes: tuple[PointWrite, ...], occasion: Occasion) -> None:
        """Write a release or a safe state, read it back, and give timers their old values.

        Raises: like :meth:`bring`; called again it writes only what the device does not hold already.
        """
        register_map = self._session.map
        is_release = writes == release_writes(register_map, record.command)
        failed: HilError | None = None
        for write in writes:
            try:
                if record.in_force or not await self._holds(write):
                    written = await self._put(record, write, occasion)
                    await self._verify(register_map, write.point, written)
            except (ExceptionReplyError, MapError, DeviationError) as error:
                # each write of a release gives something back; in another sequence a later one may enable what is not there
                if not is_release:
                    raise
                failed = error if failed is None else failed
        if failed is not None:
            raise failed
        record.in_force = False
        for name, value in record.previous_timers.items():
            rules, timer = _rules(register_map, name), PointWrite(point=name, value=value)
            if rules.low <= value <= rules.high and not await self._holds(timer):
                await self._put(record, timer, occasion)
        record.released()

    def _is_due(self, record: CommandRecord, target: float, rules: WriteRules) -> bool:
        """Return whether a set-point changes enough, and whether its last write is long enough ago."""
        if target == record.sent:
            return False
        on_its_way = record.sent != record.aimed
        if not on_its_way and record.aimed is not None and abs(target - record.aimed) < rules.step:
            return False
        return self._clock() - record.written_s >= rules.min_interval_s

    async def _admitted(
        self, record: CommandRecord, aim: Aim, asked: PointWrite, rules: WriteRules, *, per_unit: float
    ) -> float:
        ramps = [] if rules.ramp_per_s is None else [rules.ramp_per_s]
        if aim.lab is not None and aim.lab.ramp_per_s is not None:
            ramps.append(aim.lab.ramp_per_s * abs(per_unit))
        # also over connections that were lost: a line that flaps must not make a ramp steeper
        since_s = self._clock() - record.last_written_s
        allowance = ramp_allowance(
            min(ramps, default=None), since_s=since_s, min_interval_s=rules.min_interval_s
        )
        previous = record.sent
        if previous is None and math.isfinite(allowance):
            previous = await self._start(record, aim, point=asked.point, per_unit=per_unit)
        match admit_point(asked.point, asked.value, rules, previous=previous, allowance=allowance):
            case Refused(reason):
                raise GuardError(reason)
            case Accepted(value, notes):
                for note in notes:
                    self._note(note)
                return value

    async def _start(self, record: CommandRecord, aim: Aim, *, point: str, per_unit: float) -> float | None:
        """Return where a ramp begins, in the unit of the point."""
        if record.last_point is not None:
            held = await self._session.read_back(point)
            if matches(held, record.last_point, _rules(self._session.map, point).tolerance):
                return held
        start = ramp_start(record.command, aim.allowed, self._session.signals())
        return None if start is None else start * per_unit

    async def _remember(self, record: CommandRecord, register_map: RegisterMap) -> None:
        """Keep what timers held before the first write, to give it back."""
        for name in timers_of(register_map, record.command):
            watchdog = watchdog_of(register_map, record.command)
            if watchdog is not None and watchdog.kind == "timer" and name not in record.previous_timers:
                record.previous_timers[name] = await self._session.read_back(name)

    async def _put(self, record: CommandRecord, write: PointWrite, occasion: Occasion) -> float:
        register_map = self._session.map
        if write.point != str(set_point_of(register_map, record.command).point):
            verdict = admit_constant(write.point, write.value, register_map.writes.get(write.point))
            if isinstance(verdict, Refused):
                raise GuardError(verdict.reason)
        written = await self._door.write(write.point, write.value, occasion)
        if occasion.purpose is Purpose.COMMAND and write.point in timers_of(register_map, record.command):
            # without a running watchdog no set-point follows: 0 would mean for ever
            await self._door.verify(write.point, written, _rules(register_map, write.point).tolerance)
        return written

    async def _verify(self, register_map: RegisterMap, point: str, written: float) -> None:
        rules = _rules(register_map, point)
        if rules.verify:
            await self._door.verify(point, written, rules.tolerance)

    async def _beat(self, record: CommandRecord, occasion: Occasion) -> None:
        register_map = self._session.map
        watchdog = watchdog_of(register_map, record.command)
        if watchdog is None or watchdog.kind != "heartbeat" or watchdog.point is None:
            return
        rules = _rules(register_map, watchdog.point)
        span = min(int(rules.high - rules.low) + 1, _HEARTBEATS)
        self._heartbeat = (self._heartbeat + 1) % span
        await self._door.write(watchdog.point, rules.low + self._heartbeat, occasion)

    async def _holds(self, write: PointWrite) -> bool:
        rules = _rules(self._session.map, write.point)
        if not rules.verify:
            return False
        return matches(await self._session.read_back(write.point), write.value, rules.tolerance)


def _rules(register_map: RegisterMap, point: str) -> WriteRules:
    rules = register_map.writes.get(point)
    if rules is None:
        raise GuardError(f"{point}: has no rules in the register map and is never written")
    return rules


def _inside(session: GuardedSession, point: str, allowed: Range, *, per_unit: float) -> WriteRules:
    """Return the rules of a set-point, narrowed to values that its registers hold within the range of its command.

    What lies between two values of a register is rounded to the nearer one, which may lie outside.

    Raises:
        GuardError: the point has no rules, or no value of its registers lies inside.
    """
    rules = _rules(session.map, point)
    found = next(entry for entry in session.map.points if entry.name == point)
    ends = sorted((allowed.low * per_unit, allowed.high * per_unit))
    low, high = max(rules.low, ends[0]), min(rules.high, ends[1])
    if found.type not in {ValueType.FLOAT32, ValueType.FLOAT64}:
        exponent = 0.0 if found.scale_point is None else session.values.get(found.scale_point, NOTHING).value
        low, high = held_between(low, high, step=abs(found.scale) * 10.0**exponent, offset=found.offset)
    if not low <= high:
        raise GuardError(f"{point}: its registers hold no value between {ends[0]:g} and {ends[1]:g}")
    return rules.model_copy(update={"low": low, "high": high})


def _value_at(point: str, writes: tuple[PointWrite, ...]) -> float:
    return next(write.value for write in writes if write.point == point)
