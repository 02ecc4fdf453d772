"""A Co-Simulation step that did not simply succeed: what is known of it, its errors, and how to get to its end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from models.errors import FmuStepError
from models.fmu.binding.instances import DISCARD
from models.fmu.binding.logs import status_name

__all__ = ["Halt", "StepFinisher", "resume"]

_MAX_HALVINGS = 8
_MAX_ATTEMPTS = 10_000
"""An FMU that creeps to the end of a step in more pieces is stopped."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A step of one device that did not simply succeed."""

    label: str
    file_name: str
    device: str
    instance: Any
    time_s: float
    dt_s: float
    status: int
    is_final: bool = True
    """No earlier state will be set (noSetFMUStatePriorToCurrentPoint)."""
    event: bool = False
    terminate: bool = False
    early: bool = False
    last_time_s: float = np.nan

    @property
    def end_s(self) -> float:
        """End of the step that was asked for."""
        return self.time_s + self.dt_s

    def error(self, what: str, remedy: str) -> FmuStepError:
        """Return the error: what happened where and when, the FMU's own words, and the remedy."""
        return FmuStepError(
            f"{self.label}: {self.device} ({self.file_name}) at {self.time_s:g} s, step {self.dt_s:g} s: {what}; "
            f"{self.instance.log.tail()}; {remedy}"
        )

    def asked_to_end(self) -> FmuStepError:
        """Return the error of an FMU that wants the simulation to end."""
        return self.error(
            "the FMU asked to end the simulation", "end the run before this time, or look at its inputs"
        )

    def refused(self, function: str, status: int | None = None) -> FmuStepError:
        """Return the error of a status that nothing can be done about."""
        word = status_name(self.status if status is None else status)
        remedy = "take a smaller step, or check parameters and inputs with `twin fmu check`"
        if self.instance.binary.fatal:
            remedy = "the FMU is beyond repair in this process; check its parameters and inputs with `twin fmu check`"
        return self.error(f"{function} answered {word!r}", remedy)


class StepFinisher(Protocol):
    """What each version of FMI does to finish a step that did not simply succeed."""

    def __call__(self, halt: Halt) -> None:
        """Bring the instance to the end of the step.

        Raises:
            FmuStepError: it cannot be brought there.
        """
        ...


def resume(attempt: Callable[[float, float], float], *, halt: Halt, reached_s: float) -> bool:
    """Go on from ``reached_s`` to the end of a step, in halved steps where one is refused.

    Args:
        attempt: makes a step (time, length) and returns the time reached, the same time where it was refused.
        halt: the step that was not finished.
        reached_s: time up to which it was.

    Returns:
        Whether the end was reached.
    """
    now = reached_s
    if now >= halt.end_s:
        return True
    length = halt.end_s - now
    halvings = 0
    if now <= halt.time_s and halt.status == DISCARD:
        length, halvings = length / 2, 1
    for _ in range(_MAX_ATTEMPTS):
        left = halt.end_s - now
        last = length >= left * (1 - 1e-9)
        reached = attempt(now, left if last else length)
        if reached > now:
            now = halt.end_s if last and reached >= now + left * (1 - 1e-9) else reached
        else:
            halvings += 1
            length = min(length, left) / 2
        if now >= halt.end_s:
            return True
        if halvings > _MAX_HALVINGS:
            return False
    return False
