"""One device in Model Exchange: an instance of the FMU, its solver, and the events between them.

The order of calls follows FMI 2.0.4 section 3.2 and FMI 3.0.2 section 3.2.
"""

import math
from typing import Any

from models.fmu.base import FmuInfo
from models.fmu.model_exchange.solver import CVodeSolver, EndedError, SolverError

__all__ = ["Device"]

_MAX_EVENTS = 100_000
"""Events in one communication step; an FMU that needs more chatters or does not move on."""
_MAX_UPDATES = 1000
"""Rounds of one event until its discrete states agree."""
_ROUNDING = 1e-12
"""Relative difference of two times that counts as none."""


class Device:
    """An initialised instance in Model Exchange; left in continuous-time mode between calls."""

    def __init__(self, instance: Any, info: FmuInfo, *, tolerance: float) -> None:
        """Take an instance that has just left initialisation mode, so is in event mode.

        Raises:
            EndedError: the FMU asks to end at once.
            SolverError: its first event does not end, or the solver refuses to start.
            FmuError: there is no solver for this machine.
        """
        self.instance = instance
        self.time_s = 0.0
        self.next_event_s = math.inf
        is_fmi3 = info.fmi_version.startswith("3")
        self._new_discrete_states = instance.updateDiscreteStates if is_fmi3 else instance.newDiscreteStates
        self._update()
        instance.enterContinuousTimeMode()
        self._solver = CVodeSolver(instance, info, time_s=0.0, tolerance=tolerance)

    def enter_event(self) -> None:
        """Enter event mode, where inputs may be changed."""
        self.instance.enterEventMode()

    def leave_event(self) -> None:
        """Let the discrete states settle and go back to continuous time; the solver starts afresh.

        Raises:
            EndedError: the FMU asked to end.
            SolverError: the event does not end.
        """
        self._update()
        self.instance.enterContinuousTimeMode()
        self._solver.restart(self.time_s)

    def run_to(self, stop_s: float) -> None:
        """Solve the equations up to ``stop_s``, through all events on the way and at the end.

        Raises:
            EndedError: the FMU asked to end.
            SolverError: the solver cannot go on, or the end is not reached in a sensible number of steps.
            Exception: FMPy's, for a call that the FMU refused.
        """
        for _ in range(_MAX_EVENTS):
            is_event = self._event_is_due()
            if not is_event and self.time_s < stop_s:
                goal_s = min(stop_s, self.next_event_s)
                self.time_s, is_event = self._solver.march(self.time_s, goal_s)
            elif not is_event:
                return
            if is_event:
                self.enter_event()
                self.leave_event()
        raise SolverError(
            f"more than {_MAX_EVENTS} events, {stop_s - self.time_s:g} s before the end of the step"
        )

    def go_back(self, *, time_s: float, next_event_s: float) -> None:
        """Take the time that belongs to a state that was just set."""
        self.time_s = time_s
        self.next_event_s = next_event_s
        self.instance.setTime(time_s)
        self._solver.restart(time_s)

    def close(self) -> None:
        """Free the solver, not the instance; may be called again."""
        self._solver.close()

    def _event_is_due(self) -> bool:
        return self.next_event_s - self.time_s <= _ROUNDING * abs(self.time_s)

    def _update(self) -> None:
        for _ in range(_MAX_UPDATES):
            again, ends, _, _, is_defined, next_event_s = self._new_discrete_states()
            if ends:
                raise EndedError
            if not again:
                self.next_event_s = next_event_s if is_defined else math.inf
                return
        raise SolverError(f"the event at {self.time_s:g} s does not end: {_MAX_UPDATES} rounds")
