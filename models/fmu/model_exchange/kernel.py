"""The compiled inner loop of Model Exchange: CVode and the FMU call each other without Python between them.

One internal step of CVode costs some microseconds of C; a callback in Python costs ten times as much. Addresses of
functions, of the instance and of CVode travel as numbers in a table, so that the code is compiled once for all FMUs and
kept on disk.
"""

import math
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fmu.base import FloatArray
from models.fmu.binding.native import c_callback, caller, compiled, emitted, reader, writer

__all__ = ["Outcome", "Slot", "event_indicators", "march", "slopes"]

Int64Array = NDArray[np.int64]


class Slot(IntEnum):
    """Entries of the table, int64; it must stay where it is while CVode lives."""

    INSTANCE = 0
    SET_TIME = 1
    """This and the next four: addresses of functions of the FMU."""
    SET_STATES = 2
    GET_SLOPES = 3
    GET_INDICATORS = 4
    COMPLETED = 5
    N_STATES = 6
    N_INDICATORS = 7
    STATUS = 8
    """Written: the last status above warning, 0 where there was none."""
    CALLED = 9
    """Written: slot of the function that gave it."""
    BAD_STATE = 10
    """Written: number of a state whose derivative is not finite, -1 for none."""
    WARNINGS = 11
    """Written: calls that were answered with a warning."""
    MEMORY = 12
    """This and the next four: of CVode."""
    SET_STOP_TIME = 13
    CVODE = 14
    STATES = 15
    """The vector that CVode writes the states to."""
    STATES_DATA = 16
    SPAN = 17
    """Address of the span, whose first entry CVode writes the time to."""
    FLAGS = 18
    """Address of the flags."""
    TABLE = 19
    """Address of this table."""
    SIZE = 20


class Outcome(IntEnum):
    """Why the loop stopped."""

    REACHED = 0
    """At the stop time."""
    EVENT = 1
    """An event indicator changed its sign, or the FMU wants an event."""
    END = 2
    """The FMU asks to end."""
    REFUSED = 3
    """The FMU refused a call: see STATUS and CALLED."""
    SOLVER = 4
    """CVode cannot go on."""
    TOO_MANY = 5
    """More internal steps than allowed, or steps that do not move on."""


_INSTANCE, _SET_TIME, _SET_STATES = int(Slot.INSTANCE), int(Slot.SET_TIME), int(Slot.SET_STATES)
_GET_SLOPES, _GET_INDICATORS, _COMPLETED = int(Slot.GET_SLOPES), int(Slot.GET_INDICATORS), int(Slot.COMPLETED)
_N_STATES, _N_INDICATORS, _STATUS = int(Slot.N_STATES), int(Slot.N_INDICATORS), int(Slot.STATUS)
_CALLED, _BAD_STATE, _WARNINGS = int(Slot.CALLED), int(Slot.BAD_STATE), int(Slot.WARNINGS)
_MEMORY, _SET_STOP_TIME, _CVODE = int(Slot.MEMORY), int(Slot.SET_STOP_TIME), int(Slot.CVODE)
_STATES, _STATES_DATA, _SPAN = int(Slot.STATES), int(Slot.STATES_DATA), int(Slot.SPAN)
_FLAGS, _TABLE = int(Slot.FLAGS), int(Slot.TABLE)
_REACHED, _EVENT, _END, _REFUSED, _SOLVER, _TOO_MANY = (int(outcome) for outcome in Outcome)
_WORD = 8
"""Bytes of an int64 and of a double."""
_VECTOR_DATA = 16
"""Bytes before the address of the values in a serial N_Vector of SUNDIALS: length (int64), ownership (int, padded)."""
_WARNING, _DISCARD = 1, 2
_RECOVERABLE, _FAILED = 1, -1
"""What CVode takes from its callbacks: try a smaller step, or give up."""
_ONE_STEP, _ROOT_RETURN = 2, 2
_FIRST_OF_CALLBACKS, _LAST_OF_CALLBACKS = -8, -12
"""Answers of CVode that tell of a failure in a callback."""
_MOST_STUCK = 1000
"""Internal steps in a row that do not move time on by more than its rounding."""
_JUMPED = 99
"""In place of an answer of CVode, which has none above this but a warning that is not used."""
_SHORTEST = 16 * 2.220446049250313e-16
"""Intervals below this share of the time are rounding: CVode refuses those of one or two, nothing changes in them."""


@emitted
def _call_time(_context: Any, _function: int, _instance: int, _time: float) -> tuple[Any, Any]:
    return caller("pd")


@emitted
def _call_array(_context: Any, _function: int, _instance: int, _array: int, _count: int) -> tuple[Any, Any]:
    return caller("ppn")


@emitted
def _call_completed(
    _context: Any, _function: int, _instance: int, _keep: int, _event: int, _end: int
) -> tuple[Any, Any]:
    return caller("pipp")


@emitted
def _call_cvode(
    _context: Any, _function: int, _memory: int, _stop: float, _states: int, _reached: int, _task: int
) -> tuple[Any, Any]:
    return caller("pdppi")


@emitted
def _int_at(_context: Any, _address: int) -> tuple[Any, Any]:
    return reader("n")


@emitted
def _double_at(_context: Any, _address: int) -> tuple[Any, Any]:
    return reader("d")


@emitted
def _put_int(_context: Any, _address: int, _value: int) -> tuple[Any, Any]:
    return writer("n")


@emitted
def _put_double(_context: Any, _address: int, _value: float) -> tuple[Any, Any]:
    return writer("d")


@compiled
def _judged(table: int, called: int, status: int) -> int:
    """Keep a status above warning with the function that gave it; return what CVode takes from a callback."""
    if status == 0:
        return 0
    if status == _WARNING:
        _put_int(table + _WORD * _WARNINGS, _int_at(table + _WORD * _WARNINGS) + 1)
        return 0
    _put_int(table + _WORD * _STATUS, status)
    _put_int(table + _WORD * _BAD_STATE, -1)
    _put_int(table + _WORD * _CALLED, called)
    return _RECOVERABLE if status == _DISCARD else _FAILED


@compiled
def _placed(table: int, time: float, states: int) -> int:
    """Set time and states of the FMU; the result is as of ``_judged``."""
    instance = _int_at(table + _WORD * _INSTANCE)
    worst = _judged(table, _SET_TIME, _call_time(_int_at(table + _WORD * _SET_TIME), instance, time))
    count = _int_at(table + _WORD * _N_STATES)
    if worst == 0 and count > 0:
        function = _int_at(table + _WORD * _SET_STATES)
        worst = _judged(table, _SET_STATES, _call_array(function, instance, states, count))
    return worst


@c_callback("dppp")
def slopes(time: float, states: int, result: int, table: int) -> int:
    """Give the derivatives (CVRhsFn); one that is not finite asks for a smaller step."""
    worst = _placed(table, time, _int_at(_int_at(states) + _VECTOR_DATA))
    values = _int_at(_int_at(result) + _VECTOR_DATA)
    count = _int_at(table + _WORD * _N_STATES)
    if worst != 0:
        return worst
    if count == 0:
        _put_double(values, 0.0)
        return 0
    function = _int_at(table + _WORD * _GET_SLOPES)
    instance = _int_at(table + _WORD * _INSTANCE)
    worst = _judged(table, _GET_SLOPES, _call_array(function, instance, values, count))
    if worst != 0:
        return worst
    for number in range(count):
        if not math.isfinite(_double_at(values + _WORD * number)):
            _put_int(table + _WORD * _BAD_STATE, number)
            _put_int(table + _WORD * _STATUS, 0)
            return _RECOVERABLE
    return 0


@c_callback("dppp")
def event_indicators(time: float, states: int, result: int, table: int) -> int:
    """Give the event indicators (CVRootFn)."""
    worst = _placed(table, time, _int_at(_int_at(states) + _VECTOR_DATA))
    if worst != 0:
        return worst
    function = _int_at(table + _WORD * _GET_INDICATORS)
    instance = _int_at(table + _WORD * _INSTANCE)
    count = _int_at(table + _WORD * _N_INDICATORS)
    return _judged(table, _GET_INDICATORS, _call_array(function, instance, result, count))


@compiled
def _advance(table: Int64Array, span: FloatArray, stop: float) -> int:
    """Let CVode make one internal step; an interval that is only rounding is jumped over."""
    if stop - span[0] <= _SHORTEST * max(abs(span[0]), abs(stop)):
        span[0] = stop
        return _JUMPED
    flag: int = _call_time(table[_SET_STOP_TIME], table[_MEMORY], stop)
    if flag >= 0:
        flag = _call_cvode(table[_CVODE], table[_MEMORY], stop, table[_STATES], table[_SPAN], _ONE_STEP)
    return flag


@compiled
def _settle(table: Int64Array, flags: NDArray[np.uint8], time: float) -> int:
    """Put the FMU where CVode is and tell it that the step is complete; the result is as of ``_judged``."""
    bad = _placed(table[_TABLE], time, table[_STATES_DATA])
    if bad == 0:
        flags[:] = 0
        at = table[_FLAGS]
        status = _call_completed(table[_COMPLETED], table[_INSTANCE], 1, at, at + len(flags) // 2)
        bad = _judged(table[_TABLE], _COMPLETED, status)
    return bad


@compiled
def march(table: Int64Array, span: FloatArray, flags: NDArray[np.uint8], most: int) -> tuple[int, int]:
    """Let CVode make internal steps until the stop time, an event, or something that needs attention.

    Args:
        table: see ``Slot``, shape (Slot.SIZE,), int64.
        span: time reached (written) and stop time [s], shape (2,), float64.
        flags: where the FMU says that it wants an event (first half) or the end (second half), shape (8,), uint8.
        most: internal steps that are allowed.

    Returns:
        An ``Outcome`` and the last answer of CVode.
    """
    stop = span[1]
    stuck = 0
    table[_STATUS], table[_BAD_STATE] = 0, -1
    for _ in range(most):
        before = span[0]
        flag = _advance(table, span, stop)
        if flag < 0:
            is_refusal = _LAST_OF_CALLBACKS <= flag <= _FIRST_OF_CALLBACKS and table[_STATUS] != 0
            return (_REFUSED if is_refusal else _SOLVER), flag
        if _settle(table, flags, span[0]) != 0:
            return _REFUSED, flag
        if flags[4:].any():
            return _END, flag
        if flag == _ROOT_RETURN or flags[:4].any():
            return _EVENT, flag
        if span[0] >= stop:
            return _REACHED, flag
        stuck = stuck + 1 if span[0] - before <= _SHORTEST * abs(span[0]) else 0
        if stuck > _MOST_STUCK:
            break
    return _TOO_MANY, 0
