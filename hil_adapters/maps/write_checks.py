"""Mistakes that would let something unsafe be written: rules of points, watchdogs, sequences of commands."""

from collections.abc import Iterator, Mapping

from hil_adapters.errors import MapError
from hil_adapters.maps.codec import encode
from hil_adapters.maps.point_checks import Mistake
from hil_adapters.maps.schema import (
    Access,
    Command,
    CommandWrite,
    LinkDefaults,
    Point,
    RegisterMap,
    ValueType,
    Watchdog,
    WriteClass,
    WriteRules,
    candidates,
)
from hil_adapters.maps.units import factor_between, factor_through, unit_of_signal

__all__ = ["command_mistakes", "rule_mistakes"]

Where = tuple[str | int, ...]

_ENDS = 2
"""Of a window."""


def rule_mistakes(register_map: RegisterMap) -> Iterator[Mistake]:
    """Yield the mistakes in ``writes``."""
    points = {point.name: point for point in register_map.points}
    guards = {rules.watchdog.point for rules in register_map.writes.values() if rules.watchdog is not None}
    for name, rules in register_map.writes.items():
        where = ("writes", name)
        point = points.get(name)
        if point is not None:
            yield from _access(where, point, rules)
        elif register_map.discovery is None:
            yield where, "there is no such point; correct the name"
        yield from _range(where, rules)
        if rules.watchdog is None and rules.waiver is None and name not in guards:
            yield (
                where,
                (
                    "has neither watchdog nor waiver, so a dead controller's last value would stay; name the device's "
                    "watchdog, or have a person sign a waiver"
                ),
            )
        if rules.watchdog is not None:
            yield from _watchdog((*where, "watchdog"), rules.watchdog, points, register_map)


def _range(where: Where, rules: WriteRules) -> Iterator[Mistake]:
    if rules.low > rules.high:
        yield (*where, "low"), f"{rules.low:g} must not lie above high {rules.high:g}"
    elif rules.safe is not None and not rules.low <= rules.safe <= rules.high:
        yield (*where, "safe"), f"{rules.safe:g} must lie from low {rules.low:g} to high {rules.high:g}"


def _access(where: Where, point: Point, rules: WriteRules) -> Iterator[Mistake]:
    if point.access is Access.READ:
        yield where, "the point can only be read (access: r); correct the access or remove the rules"
    if point.access is Access.WRITE and rules.verify:
        yield (*where, "verify"), "the point cannot be read back (access: w); write verify: false"
    if point.type is ValueType.STRING:
        yield where, "text is never written; remove the rules"
        return
    if point.scale_point is None:
        plain = point.model_copy(update={"missing": ()})
        for field, value in (("low", rules.low), ("high", rules.high)):
            if not _codable(plain, value):
                yield (
                    (*where, field),
                    f"{value:g} {point.unit} does not fit {point.type} with scale {point.scale:g}",
                )
    for field, value in (("low", rules.low), ("high", rules.high)):
        if (point.low is not None and value < point.low) or (point.high is not None and value > point.high):
            yield (*where, field), f"{value:g} lies beyond low and high of the point itself; narrow it"


def _codable(point: Point, value: float) -> bool:
    try:
        encode(point, value, LinkDefaults(), scale_exponent=None)
    except MapError:
        return False
    return True


def _watchdog(
    where: Where, watchdog: Watchdog, points: Mapping[str, Point], register_map: RegisterMap
) -> Iterator[Mistake]:
    if watchdog.kind == "traffic":
        if watchdog.point is not None:
            yield (*where, "point"), "any request counts for a watchdog of kind traffic; leave the point out"
        return
    if watchdog.point is None:
        if watchdog.kind == "timer":
            yield (*where, "point"), "a watchdog of kind timer needs its point; add it"
        return
    if watchdog.kind == "heartbeat" and watchdog.point in _commanded(register_map):
        yield (
            (*where, "point"),
            (
                f"{watchdog.point} belongs to a command and counting up would change it; leave the point out where the "
                "set-point itself must be written again"
            ),
        )
    rules = register_map.writes.get(watchdog.point)
    if rules is None:
        yield (
            (*where, "point"),
            f"{watchdog.point} has no rules in 'writes' and would never be written; add them",
        )
        return
    point = points.get(watchdog.point)
    if watchdog.kind == "heartbeat" or point is None:
        return
    try:
        time = watchdog.timeout_s * factor_between("s", point.unit)
    except MapError:
        yield (*where, "point"), f"{point.name} is in {point.unit}, a timer is in s or min; correct the unit"
        return
    if not rules.low <= time <= rules.high:
        yield (
            (*where, "timeout_s"),
            f"{time:g} {point.unit} lies beyond what {point.name} may be written ({rules.low:g} to {rules.high:g})",
        )


def _commanded(register_map: RegisterMap) -> set[str]:
    """Return every point that a command writes."""
    commands = [
        sequence
        for command in register_map.commands.values()
        for sequence in (command, *command.alternatives)
    ]
    writes = [write for command in commands for write in (*command.writes, *command.release)]
    return {name for write in writes for name in candidates(write.point)}


def command_mistakes(register_map: RegisterMap) -> Iterator[Mistake]:
    """Yield the mistakes in ``commands``."""
    for name, command in register_map.commands.items():
        yield from _command(("commands", name), name, command, register_map)
        for at, other in enumerate(command.alternatives):
            where = ("commands", name, "alternatives", at)
            yield from _command(where, name, other, register_map)
            if other.alternatives:
                yield where, "an alternative has no alternatives; put them beside it"


def _command(where: Where, name: str, command: Command, register_map: RegisterMap) -> Iterator[Mistake]:
    carriers = [write for write in command.writes if write.value is None and not write.from_watchdog]
    if not carriers:
        yield (
            (*where, "writes"),
            "none of the writes carries the value of the command; leave out 'value' in one",
        )
    yield from _window((*where, "writes"), carriers)
    if any(write.optional for write in carriers):
        yield (*where, "writes"), "a write that carries the value cannot be optional"
    for at, write in enumerate(command.writes):
        yield from _command_write((*where, "writes", at), name, write, register_map)
    for at, write in enumerate(command.release):
        if write.value is None:
            yield (*where, "release", at), "the release writes constants; add value"
        yield from _command_write((*where, "release", at), name, write, register_map)
    for carrier in carriers:
        yield from _timer_first((*where, "writes"), carrier, command, register_map)
    yield from _one_watchdog((*where, "writes"), carriers, register_map)


def _window(where: Where, carriers: list[CommandWrite]) -> Iterator[Mistake]:
    """Two writes that carry the value are the upper and the lower end of a window, in this order."""
    if len(carriers) > _ENDS:
        yield where, f"{len(carriers)} writes carry the value; one does, or the two ends of a window"
    signs = [write.sign for write in carriers]
    if signs[:1] == ["generation"] and signs[1:] not in ([], ["generation"]):
        yield where, "the upper end of a window (towards consumption) comes first; turn the two around"


def _command_write(
    where: Where, command: str, write: CommandWrite, register_map: RegisterMap
) -> Iterator[Mistake]:
    constant = write.value is not None
    if constant and write.from_watchdog:
        yield where, "is a constant and the time of the watchdog at once; keep one"
    shaped = write.percent_of is not None or write.sign != "none" or write.factor != 1 or write.factor_unit
    if (constant or write.from_watchdog) and shaped:
        yield where, "sign, percent_of and factor belong to the value of the command only; remove them"
    points = {point.name: point for point in register_map.points}
    for name in candidates(write.point):
        rules = register_map.writes.get(name)
        if rules is None:
            yield (*where, "point"), f"{name} has no rules in 'writes' and is never written; add them"
            continue
        if rules.write_class is not WriteClass.VOLATILE:
            yield (
                (*where, "point"),
                (
                    f"{name} is of class {rules.write_class} and a command is written in a loop, which wears out flash; "
                    "remove the command, or give the class volatile where the manual says so"
                ),
            )
        if write.value is not None and not rules.low <= write.value <= rules.high:
            yield (
                (*where, "value"),
                f"{write.value:g} lies beyond what {name} may be written ({rules.low:g} to {rules.high:g})",
            )
        if name in points and not constant and not write.from_watchdog:
            yield from _units(where, command, write, points[name], points)


def _units(
    where: Where, command: str, write: CommandWrite, point: Point, points: Mapping[str, Point]
) -> Iterator[Mistake]:
    unit = unit_of_signal(command)
    try:
        if write.percent_of is None:
            factor_through(unit, point.unit, write.factor_unit)
            return
        factor_between("1", point.unit)
        for name in candidates(write.percent_of):
            if name in points:
                factor_between(points[name].unit, unit)
    except MapError as error:
        yield where, f"{command} to {point.name}: {error}"


def _timer_first(
    where: Where, carrier: CommandWrite, command: Command, register_map: RegisterMap
) -> Iterator[Mistake]:
    """Yield a mistake where a set-point would come into force before the timer that takes it back."""
    before = command.writes[: command.writes.index(carrier)]
    timers = {name for write in before if write.from_watchdog for name in candidates(write.point)}
    for name in candidates(carrier.point):
        rules = register_map.writes.get(name)
        watchdog = None if rules is None else rules.watchdog
        if watchdog is not None and watchdog.kind == "timer" and watchdog.point not in timers:
            yield (
                where,
                f"{name} is taken back by {watchdog.point}; write that first, with from_watchdog: true",
            )
        elif timers and (watchdog is None or watchdog.kind != "timer"):
            yield (
                where,
                f"{name} has no watchdog with a timer, and a timer is written before it; correct its rules",
            )


def _one_watchdog(where: Where, carriers: list[CommandWrite], register_map: RegisterMap) -> Iterator[Mistake]:
    """Yield a mistake where the ends of a window are taken back by different watchdogs."""
    names = [name for carrier in carriers[:1] for name in candidates(carrier.point)]
    for carrier in carriers[1:]:
        for name, other in zip(names, candidates(carrier.point), strict=False):
            rules = [register_map.writes[point] for point in (name, other) if point in register_map.writes]
            if len({repr(entry.watchdog) for entry in rules}) > 1:
                yield (
                    where,
                    f"{name} and {other} carry one value under different watchdogs; give both the same",
                )
