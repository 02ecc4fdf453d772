"""From points to the twin's signals and from its commands to points: units, signs, percentages and sequences."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hil_adapters.errors import GuardError, MapError
from hil_adapters.maps.schema import (
    Command,
    CommandWrite,
    Point,
    PointRef,
    RegisterMap,
    SignalBinding,
    Watchdog,
    candidates,
    decided,
)
from hil_adapters.maps.units import factor_between, factor_through, unit_of_signal
from hil_adapters.samples import NOTHING, Quality, Sample

__all__ = [
    "PointWrite",
    "carriers_of",
    "command_writes",
    "release_writes",
    "resolve",
    "safe_writes",
    "set_point_of",
    "signals_of",
    "unresolved",
    "watchdog_of",
]

_SIGNS = {"consumption": 1.0, "generation": -1.0, "none": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class PointWrite:
    """One value for one point."""

    point: str
    value: float
    """In the unit of the point."""


def resolve(register_map: RegisterMap) -> RegisterMap:
    """Return the map with one point for each reference: the first candidate that the device has.

    Signals, commands and identities without any are left out, :func:`unresolved` names them; so are the rules of points
    that are not there, and writes marked optional.
    """
    names = {point.name for point in register_map.points}
    signals = {name: _resolve_signal(binding, names) for name, binding in register_map.signals.items()}
    commands = {name: _resolve_command(command, names) for name, command in register_map.commands.items()}
    identity = {key: _first(reference, names) for key, reference in register_map.identity.items()}
    return register_map.model_copy(
        update={
            "signals": {name: binding for name, binding in signals.items() if binding is not None},
            "commands": {name: command for name, command in commands.items() if command is not None},
            "identity": {key: point for key, point in identity.items() if point is not None},
            "writes": {point: rules for point, rules in register_map.writes.items() if point in names},
        }
    )


def unresolved(register_map: RegisterMap) -> tuple[str, ...]:
    """Return what a device cannot do because it lacks points: ``signal soc``, ``command p_limit_kw``, ``identity serial``."""
    resolved = resolve(register_map)
    return (
        *(f"signal {name}" for name in register_map.signals if name not in resolved.signals),
        *(f"command {name}" for name in register_map.commands if name not in resolved.commands),
        *(f"identity {key}" for key in register_map.identity if key not in resolved.identity),
    )


def signals_of(register_map: RegisterMap, values: Mapping[str, Sample]) -> dict[str, Sample]:
    """Return the signals of a resolved map, in the twin's units, consumption positive.

    Args:
        register_map: Resolved.
        values: Samples by point, in the points' units.

    Returns:
        A sample for every signal of the map; its quality is the worst and its time the oldest of what went into it.
    """
    points = _bydecided(register_map)
    return {name: _signal(name, binding, points, values) for name, binding in register_map.signals.items()}


def command_writes(
    register_map: RegisterMap, command: str, value: float, values: Mapping[str, Sample]
) -> tuple[PointWrite, ...]:
    """Return the writes that bring a set-point into force, in order; the release where ``value`` is infinite.

    Where two writes carry the value they are the ends of a window, its upper one first. They come in the order in which
    the window in between is never empty: the upper end first where the set-point lies above the window as it is, else the
    lower end first. While ``values`` do not tell the upper end, it is first.

    Args:
        register_map: Resolved.
        command: ``p_limit_kw``, ``p_set_kw``, ...
        value: In the unit of the command's name, consumption positive.
        values: Samples by point; those that percentages refer to must be good.

    Raises:
        MapError: the map has no such command.
        GuardError: the value is not a number, or the point of a percentage is not known.
    """
    if math.isinf(value):
        return release_writes(register_map, command)
    if math.isnan(value):
        raise GuardError(f"{command}: not a number cannot be a set-point; send a number, or stop sending")
    points = _bydecided(register_map)
    writes = tuple(
        _write(register_map, command, write, points, value=value, values=values)
        for write in _command(register_map, command).writes
    )
    return _never_empty(writes, carriers_of(register_map, command), values)


def release_writes(register_map: RegisterMap, command: str) -> tuple[PointWrite, ...]:
    """Return the writes that give the device back to itself.

    Raises:
        MapError: the map has no such command.
    """
    points = _bydecided(register_map)
    return tuple(
        _write(register_map, command, write, points, value=math.nan, values={})
        for write in _command(register_map, command).release
    )


def safe_writes(register_map: RegisterMap, command: str) -> tuple[PointWrite, ...]:
    """Return the writes of the safe state: the command with the ``safe`` values of its points, or else its release.

    Raises:
        MapError: the map has no such command.
    """
    carriers = carriers_of(register_map, command)
    safe = {decided(write.point): register_map.writes[decided(write.point)].safe for write in carriers}
    if any(value is None for value in safe.values()):
        return release_writes(register_map, command)
    points = _bydecided(register_map)
    return tuple(
        PointWrite(point=decided(write.point), value=value)
        if write in carriers and (value := safe[decided(write.point)]) is not None
        else _write(register_map, command, write, points, value=math.nan, values={})
        for write in _command(register_map, command).writes
    )


def carriers_of(register_map: RegisterMap, command: str) -> tuple[CommandWrite, ...]:
    """Return the writes of a command that carry its value: one, or the upper and the lower end of a window.

    Raises:
        MapError: the map has no such command.
    """
    writes = _command(register_map, command).writes
    return tuple(write for write in writes if write.value is None and not write.from_watchdog)


def set_point_of(register_map: RegisterMap, command: str) -> CommandWrite:
    """Return the first write of a command that carries its value.

    Raises:
        MapError: the map has no such command, or none of its writes carries the value.
    """
    carriers = carriers_of(register_map, command)
    if not carriers:
        raise MapError(
            f"{register_map.name}: command {command}: no write carries its value; leave out 'value' in one"
        )
    return carriers[0]


def watchdog_of(register_map: RegisterMap, command: str) -> Watchdog | None:
    """Return the watchdog of the point that carries a command's value; None where a waiver stands instead.

    Raises:
        MapError: the map has no such command, or no rules for its point.
    """
    point = decided(set_point_of(register_map, command).point)
    if point not in register_map.writes:
        raise MapError(
            f"{register_map.name}: {point} has no rules in 'writes' and is never written; add them"
        )
    return register_map.writes[point].watchdog


def _first(reference: PointRef, names: Iterable[str]) -> str | None:
    return next((name for name in candidates(reference) if name in names), None)


def _resolve_signal(binding: SignalBinding, names: set[str]) -> SignalBinding | None:
    point = _first(binding.point, names)
    base = None if binding.percent_of is None else _first(binding.percent_of, names)
    if point is None or (binding.percent_of is not None and base is None):
        return None
    return binding.model_copy(update={"point": point, "percent_of": base})


def _resolve_command(command: Command, names: set[str]) -> Command | None:
    """Return the first of the sequences that the device has all points of; None where it has none."""
    found = (_resolve_sequence(sequence, names) for sequence in (command, *command.alternatives))
    return next((sequence for sequence in found if sequence is not None), None)


def _resolve_sequence(command: Command, names: set[str]) -> Command | None:
    writes = _resolve_writes(command.writes, names)
    release = _resolve_writes(command.release, names)
    if not writes or not release:
        return None
    return command.model_copy(update={"writes": writes, "release": release, "alternatives": ()})


def _resolve_writes(writes: tuple[CommandWrite, ...], names: set[str]) -> tuple[CommandWrite, ...]:
    """Return the writes with their points; none at all where one that is needed has no point."""
    found: list[CommandWrite] = []
    for write in writes:
        point = _first(write.point, names)
        base = None if write.percent_of is None else _first(write.percent_of, names)
        if point is not None and (write.percent_of is None or base is not None):
            found.append(write.model_copy(update={"point": point, "percent_of": base}))
        elif not write.optional:
            return ()
    return tuple(found)


def _bydecided(register_map: RegisterMap) -> dict[str, Point]:
    return {point.name: point for point in register_map.points}


def _command(register_map: RegisterMap, command: str) -> Command:
    if command not in register_map.commands:
        have = ", ".join(register_map.commands) or "none"
        raise MapError(f"{register_map.name}: there is no command {command}; the device has {have}")
    return register_map.commands[command]


def _signal(
    name: str, binding: SignalBinding, points: Mapping[str, Point], values: Mapping[str, Sample]
) -> Sample:
    point = points[decided(binding.point)]
    sample = values.get(point.name, NOTHING)
    inputs = [sample]
    value = sample.value * _SIGNS[binding.sign] * binding.factor
    if binding.percent_of is None:
        value *= factor_through(point.unit, unit_of_signal(name), binding.factor_unit)
    else:
        base = points[decided(binding.percent_of)]
        inputs.append(values.get(base.name, NOTHING))
        value *= (
            factor_between(point.unit, "1")
            * inputs[1].value
            * factor_between(base.unit, unit_of_signal(name))
        )
    quality = max(entry.quality for entry in inputs)
    return Sample(
        value=math.nan if quality is Quality.BAD else value + 0.0,  # + 0.0: a zero has no sign
        quality=quality,
        received_s=_oldest(inputs),
        device_time_s=sample.device_time_s,
    )


def _oldest(samples: list[Sample]) -> float:
    times = [sample.received_s for sample in samples]
    return math.nan if any(math.isnan(time) for time in times) else min(times)


def _write(
    register_map: RegisterMap,
    command: str,
    write: CommandWrite,
    points: Mapping[str, Point],
    *,
    value: float,
    values: Mapping[str, Sample],
) -> PointWrite:
    point = points[decided(write.point)]
    if write.value is not None:
        return PointWrite(point=point.name, value=write.value)
    if write.from_watchdog:
        return PointWrite(point=point.name, value=_watchdog_time(register_map, command, point))
    scaled = value * _SIGNS[write.sign] * write.factor
    unit = unit_of_signal(command)
    if write.percent_of is None:
        return PointWrite(
            point=point.name, value=scaled * factor_through(unit, point.unit, write.factor_unit) + 0.0
        )
    base = points[decided(write.percent_of)]
    rating = _rating(command, base, values) * factor_between(base.unit, unit)
    return PointWrite(point=point.name, value=scaled / rating * factor_between("1", point.unit) + 0.0)


def _never_empty(
    writes: tuple[PointWrite, ...], carriers: tuple[CommandWrite, ...], values: Mapping[str, Sample]
) -> tuple[PointWrite, ...]:
    """Return the writes with the ends of a window in the order that leaves no empty window in between."""
    ends = [write for write in writes if write.point in {decided(carrier.point) for carrier in carriers}]
    if len(ends) <= 1:
        return writes
    upper, sign = ends[0], _SIGNS[carriers[0].sign]
    held = values.get(upper.point, NOTHING)
    if held.quality is Quality.BAD or sign * upper.value > sign * held.value:
        return writes
    turned = iter(reversed(ends))
    return tuple(next(turned) if write in ends else write for write in writes)


def _watchdog_time(register_map: RegisterMap, command: str, point: Point) -> float:
    watchdog = watchdog_of(register_map, command)
    if watchdog is None:
        raise MapError(
            f"{register_map.name}: command {command} writes {point.name} from a watchdog it does not have"
        )
    return watchdog.timeout_s * factor_between("s", point.unit)


def _rating(command: str, base: Point, values: Mapping[str, Sample]) -> float:
    sample = values.get(base.name, NOTHING)
    if sample.quality is not Quality.GOOD or not sample.value > 0:
        raise GuardError(
            f"{command}: it is a percentage of {base.name}, which is {sample.value:g} {base.unit} "
            f"({sample.quality.name.lower()}); read a good value above zero first"
        )
    return sample.value
