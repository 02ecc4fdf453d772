"""What a register map must hold besides its schema: references, overlaps, limits, watchdogs, units.

Maps with discovery name points that only the device knows; a reference without a point is no mistake there.
"""

from collections.abc import Iterator, Mapping

from hil_adapters.errors import MapError
from hil_adapters.maps.point_checks import Mistake, point_mistakes
from hil_adapters.maps.schema import (
    Access,
    Point,
    PointRef,
    RegisterMap,
    SignalBinding,
    ValueType,
    candidates,
)
from hil_adapters.maps.units import factor_between, factor_through, unit_of_signal
from hil_adapters.maps.write_checks import command_mistakes, rule_mistakes

__all__ = ["Mistake", "mistakes_in"]


def mistakes_in(register_map: RegisterMap) -> Iterator[Mistake]:
    """Yield path and text of every mistake of a map that fits the schema."""
    if register_map.discovery is None and not register_map.points:
        yield ("points",), "the map has no points and no discovery; add one of them"
    yield from point_mistakes(register_map)
    yield from rule_mistakes(register_map)
    yield from _signals(register_map)
    yield from command_mistakes(register_map)
    yield from _references(register_map)


def _signals(register_map: RegisterMap) -> Iterator[Mistake]:
    points = {point.name: point for point in register_map.points}
    for name, binding in register_map.signals.items():
        for candidate in candidates(binding.point):
            if candidate in points:
                text = _signal_mistake(name, binding, points[candidate], points)
                if text:
                    yield ("signals", name), text


def _signal_mistake(name: str, binding: SignalBinding, point: Point, points: Mapping[str, Point]) -> str:
    """Return what is wrong with a signal that is read from a point; empty where nothing is."""
    if point.type is ValueType.STRING:
        return f"{point.name} is text, a signal is a number; correct the point"
    if point.access is Access.WRITE:
        return f"{point.name} cannot be read (access: w); correct the point"
    unit = unit_of_signal(name)
    try:
        if binding.percent_of is None:
            factor_through(point.unit, unit, binding.factor_unit)
            return ""
        factor_between(point.unit, "1")
        for candidate in candidates(binding.percent_of):
            if candidate in points:
                factor_between(points[candidate].unit, unit)
    except MapError as error:
        return f"from {point.name}: {error}"
    return ""


def _references(register_map: RegisterMap) -> Iterator[Mistake]:
    """Yield references to points that are not there; alternatives are for discovery."""
    if register_map.discovery is not None:
        return
    names = {point.name for point in register_map.points}
    for where, reference in _all_references(register_map):
        absent = [name for name in candidates(reference) if name not in names]
        if absent:
            yield where, f"there is no point {' or '.join(absent)}; correct the name"


def _all_references(register_map: RegisterMap) -> Iterator[tuple[tuple[str | int, ...], PointRef]]:
    for key, reference in register_map.identity.items():
        yield ("identity", key), reference
    for name, binding in register_map.signals.items():
        yield ("signals", name, "point"), binding.point
        if binding.percent_of is not None:
            yield ("signals", name, "percent_of"), binding.percent_of
    for name, command in register_map.commands.items():
        for part, writes in (("writes", command.writes), ("release", command.release)):
            for at, write in enumerate(writes):
                yield ("commands", name, part, at, "point"), write.point
                if write.percent_of is not None:
                    yield ("commands", name, part, at, "percent_of"), write.percent_of
