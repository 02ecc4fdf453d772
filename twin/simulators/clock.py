"""The clock: first in the step. Offline it returns at once; live it waits for the step's deadline."""

from collections.abc import Mapping

from twin.simulators.pace import Pace
from twin.simulators.ports import Array, Port

__all__ = ["ClockCore"]


class ClockCore:
    """Holds every step back until its time has come. It stands before the only simulator that nothing precedes."""

    name = "clock"
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    def __init__(self, *, dt_s: float, pace: Pace) -> None:
        self.dt_s = dt_s
        self._pace = pace

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return when the step may start."""
        self._pace.begin_step(step)
        return {}
