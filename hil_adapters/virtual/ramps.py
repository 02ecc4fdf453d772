"""Set-points of an emulated device on their way: ``*_RmpTms`` of the SunSpec models 123 and 124."""

from dataclasses import dataclass

__all__ = ["Ramps"]


@dataclass(slots=True)
class _Way:
    value: float
    aim: float
    left_s: float = 0.0


class Ramps:
    """Moves set-points in a straight line, each from where it is to its aim, in the time that stands when its aim changes."""

    def __init__(self) -> None:
        self._ways: dict[str, _Way] = {}
        self._moved: set[str] = set()
        self._dt_s = 0.0

    def begin(self, dt_s: float) -> None:
        """Begin a tick of ``dt_s`` [s]; set-points that did not move in the one before are not in force and forgotten."""
        self._ways = {name: way for name, way in self._ways.items() if name in self._moved}
        self._moved.clear()
        self._dt_s = dt_s

    def move(self, name: str, aim: float, *, start: float, ramp_s: float) -> float:
        """Return where a set-point is at the end of the tick.

        Args:
            name: of the set-point.
            aim: where it goes.
            start: where it begins when it comes into force.
            ramp_s: time for the whole way [s]; 0: at once.
        """
        way = self._ways.setdefault(name, _Way(value=start, aim=start))
        self._moved.add(name)
        if aim != way.aim:
            way.aim, way.left_s = aim, ramp_s
        if way.left_s <= self._dt_s:
            way.value, way.left_s = aim, 0.0
        else:
            way.value += (aim - way.value) * self._dt_s / way.left_s
            way.left_s -= self._dt_s
        return way.value
