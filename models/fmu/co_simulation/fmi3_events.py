"""Event mode in FMI 3.0 Co-Simulation: discrete states that settle, and the times of events an FMU tells in advance.

An FMU that can return early ends its step at an event by itself. One that cannot relies on steps that end there
(``nextEventTime`` of ``fmi3UpdateDiscreteStates``); its next event is kept with the instance.
"""

import ctypes
import math
import struct
from collections.abc import Sequence
from typing import Any

from models.errors import StateError
from models.fmu.base import FmuInfo
from models.fmu.binding.instances import WARNING
from models.fmu.co_simulation.halts import Halt

__all__ = [
    "call",
    "cut_at_event",
    "handle_event",
    "has_event_until",
    "knows_events",
    "leave_event_mode",
    "split_events",
    "with_events",
]

_MAX_EVENT_ROUNDS = 100
_ROUNDING = 1e-12
"""Relative difference of two times that counts as none."""
_MAGIC = b"GEMELLO-FMU-EVENTS-1\n"
_COUNT = struct.Struct("<Q")


def knows_events(info: FmuInfo) -> bool:
    """Return whether steps are to end where an FMU has its next event."""
    return info.has_event_mode and not info.may_return_early and info.can_handle_variable_step


def has_event_until(instance: Any, end_s: float) -> bool:
    """Return whether the next event of an instance lies before a time, or so near behind that it is the same."""
    is_due: bool = instance.next_event_s <= end_s + _ROUNDING * abs(end_s)
    return is_due


def cut_at_event(instance: Any, *, now_s: float, length_s: float) -> float:
    """Return the length of a step that ends at the next event of an instance, where that lies inside it.

    An event at the end of the step but for rounding is reached to the last digit: the FMU compares the times.
    """
    if has_event_until(instance, now_s + length_s):
        left_s: float = instance.next_event_s - now_s
        return left_s
    return length_s


def call(halt: Halt, function: str) -> None:
    """Call a function of the instance.

    Raises:
        FmuStepError: its status is above warning.
    """
    status = halt.instance.status_of(function, halt.instance.component)
    if status > WARNING:
        raise halt.refused(function, status)


def handle_event(halt: Halt, info: FmuInfo, *, at_s: float) -> None:
    """Go through event mode at a time.

    Raises:
        FmuStepError: the FMU refuses, asks to end, or its discrete states do not settle.
    """
    call(halt, "fmi3EnterEventMode")
    leave_event_mode(halt, info, at_s=at_s)


def leave_event_mode(halt: Halt, info: FmuInfo, *, at_s: float) -> None:
    """Update the discrete states until they stand still, keep the time of the next event, and go back to stepping.

    Raises:
        FmuStepError: the FMU refuses, asks to end, or its discrete states do not settle.
    """
    for _ in range(_MAX_EVENT_ROUNDS):
        more, terminate, next_event_s = _update_discrete_states(halt)
        if terminate:
            raise halt.asked_to_end()
        if not more:
            # one that is not ahead is none: some FMUs go on telling the one that is over
            halt.instance.next_event_s = (
                next_event_s if knows_events(info) and next_event_s > at_s else math.inf
            )
            call(halt, "fmi3EnterStepMode")
            return
    raise halt.error(
        f"its discrete states do not stand still after {_MAX_EVENT_ROUNDS} rounds of an event",
        "check parameters and inputs",
    )


def _update_discrete_states(halt: Halt) -> tuple[bool, bool, float]:
    """Return whether another round is needed, whether the FMU asks to end, and its next event [s], inf for none."""
    flags = [ctypes.c_bool(False) for _ in range(5)]
    next_time = ctypes.c_double(math.inf)
    pointers = [ctypes.byref(flag) for flag in flags]
    status = halt.instance.status_of(
        "fmi3UpdateDiscreteStates", halt.instance.component, *pointers, ctypes.byref(next_time)
    )
    if status > WARNING:
        raise halt.refused("fmi3UpdateDiscreteStates", status)
    again, terminate, _, _, is_defined = (flag.value for flag in flags)
    return again, terminate, next_time.value if is_defined else math.inf


def with_events(state: bytes, instances: Sequence[Any]) -> bytes:
    """Return a saved state with the next event of each instance before it."""
    times = [instance.next_event_s for instance in instances]
    return _MAGIC + _COUNT.pack(len(times)) + struct.pack(f"<{len(times)}d", *times) + state


def split_events(state: bytes, *, instances: int, label: str) -> tuple[list[float], bytes]:
    """Return the next events [s] and the rest of a state made by :func:`with_events` of so many instances.

    Raises:
        StateError: it was not made so, is of another number of instances, or is cut short.
    """
    start = len(_MAGIC) + _COUNT.size
    if state[: len(_MAGIC)] != _MAGIC or len(state) < start:
        raise StateError(f"{label}: these bytes are not the saved state of FMUs with events")
    (count,) = _COUNT.unpack_from(state, len(_MAGIC))
    if count != instances:
        raise StateError(f"{label}: the saved state is of {count} instances, there are {instances} here")
    end = start + 8 * count
    if len(state) < end:
        raise StateError(f"{label}: the saved state is cut short; save it again")
    return list(struct.unpack_from(f"<{count}d", state, start)), state[end:]
