"""A register map laid over the models that a device has."""

from collections.abc import Mapping

from hil_adapters.errors import MapError
from hil_adapters.maps.binding import resolve
from hil_adapters.maps.plan import fits_one_read
from hil_adapters.maps.schema import Point, PointRef, RegisterMap
from hil_adapters.sunspec.chain import Chain, chain_points

__all__ = ["chain_map"]


def chain_map(map_: RegisterMap, chain: Chain) -> RegisterMap:
    """Return ``map_`` with every point of ``chain`` at its address; choices among points stay open.

    Points are named by model: ``103.W``, ``160.1.DCW`` in the first repetition of a group, ``203_2.W`` in the second
    model 203. A point that the map itself holds under such a name stays as the map has it. Left out are ratings and
    settings that the device does not implement, and points too far from their scale point to be read together with it.
    What signals read and commands write is polled in the group ``fast``, except ratings and settings, which are ``slow``.

    Raises:
        MapError: a model that the map requires is missing, or nothing of the map's signals is there.
    """
    _check_models(map_, chain)
    filled = map_.model_copy(update={"points": tuple(_points(map_, chain).values())})
    chosen = resolve(filled)
    if map_.signals and not chosen.signals:
        raise MapError(
            f"map {map_.name}: the device has none of the points of its signals "
            f"(models: {_models(chain)}); use another map"
        )
    used = _used(chosen)
    return filled.model_copy(update={"points": tuple(_polled(point, used) for point in filled.points)})


def _points(map_: RegisterMap, chain: Chain) -> dict[str, Point]:
    points = {point.name: point for point in chain_points(chain)} | {
        point.name: point for point in map_.points
    }
    return {
        name: point
        for name, point in points.items()
        if name not in chain.absent and _is_readable(point, points, map_)
    }


def _is_readable(point: Point, points: Mapping[str, Point], map_: RegisterMap) -> bool:
    if point.scale_point is None:
        return True
    return point.scale_point in points and fits_one_read(point, points[point.scale_point], map_.link)


def _check_models(map_: RegisterMap, chain: Chain) -> None:
    wanted = () if map_.discovery is None else map_.discovery.models
    absent = [str(model) for model in wanted if chain.find(model) is None]
    if absent:
        raise MapError(
            f"map {map_.name}: the device lacks the SunSpec models {', '.join(absent)}; it has {_models(chain)}; "
            "use another map"
        )


def _models(chain: Chain) -> str:
    return ", ".join(str(model.model) for model in chain.models) or "none"


def _used(chosen: RegisterMap) -> set[PointRef | None]:
    """Return the points that a resolved map needs in operation."""
    signals = [ref for binding in chosen.signals.values() for ref in (binding.point, binding.percent_of)]
    writes = [
        ref
        for command in chosen.commands.values()
        for write in (*command.writes, *command.release)
        for ref in (write.point, write.percent_of)
    ]
    return {*signals, *writes}


def _polled(point: Point, used: set[PointRef | None]) -> Point:
    if point.name not in used:
        return point
    return point.model_copy(update={"group": "slow" if point.group == "once" else "fast"})
