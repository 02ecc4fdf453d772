"""One compiled loop over all instances of an FMU: set the inputs, make the step, get the outputs.

A call of a C function from Python costs some microseconds, the function itself often less than a tenth of one. The loop
gets the addresses of functions, instances and buffers as numbers, so that it is compiled once for all FMUs and kept on
disk. It holds no lock of the interpreter; a message of an FMU takes it for itself. It stops at the first instance that
needs attention and can go on behind it.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fmu.base import FloatArray
from models.fmu.binding.native import caller, compiled, emitted

__all__ = ["Head", "Int64Array", "Phase", "Transfer", "run"]

Int64Array = NDArray[np.int64]


class Phase(IntEnum):
    """What the loop was doing when it stopped."""

    SETTING = 0
    STEPPING = 1
    GETTING = 2
    DONE = 3


class Head(IntEnum):
    """Entries of the head: what holds for the whole run of the loop."""

    VERSION = 0
    """Of FMI: 2 or 3."""
    DO_STEP = 1
    """Address of the function, 0 to make no step."""
    NO_SET_STATE = 2
    """1 where no earlier state will be set any more."""
    FLAGS = 3
    """Address of the flags event, terminate, early return (FMI 3.0)."""
    LAST_TIME = 4
    """Address of the last successful time (FMI 3.0)."""
    SETTERS = 5
    """The first so many transfers go in, the rest come out."""
    START = 6
    STOP = 7
    """First instance, and the one to stop before."""
    SIZE = 8


class Transfer(IntEnum):
    """Columns of a transfer: values of one type, in or out of each instance."""

    FUNCTION = 0
    REFERENCES = 1
    """Address of the value references."""
    COUNT = 2
    """Number of value references."""
    VALUES = 3
    """Number of values."""
    BUFFER = 4
    """Address of the values of the first instance."""
    STRIDE = 5
    """Bytes from one instance to the next."""
    SIZE = 6


_FMI_2 = 2
_WARNING = 1
_VERSION, _DO_STEP, _NO_SET_STATE = int(Head.VERSION), int(Head.DO_STEP), int(Head.NO_SET_STATE)
_FLAGS, _LAST_TIME, _SETTERS = int(Head.FLAGS), int(Head.LAST_TIME), int(Head.SETTERS)
_START, _STOP = int(Head.START), int(Head.STOP)
_FUNCTION, _REFERENCES, _COUNT = int(Transfer.FUNCTION), int(Transfer.REFERENCES), int(Transfer.COUNT)
_VALUES, _BUFFER, _STRIDE = int(Transfer.VALUES), int(Transfer.BUFFER), int(Transfer.STRIDE)
_SETTING, _STEPPING, _GETTING, _DONE = (int(phase) for phase in Phase)


@emitted
def _values_2(
    _context: Any, _function: int, _instance: int, _references: int, _count: int, _buffer: int
) -> tuple[Any, Any]:
    return caller("ppnp")


@emitted
def _values_3(
    _context: Any, _function: int, _instance: int, _references: int, _count: int, _buffer: int, _values: int
) -> tuple[Any, Any]:
    return caller("ppnpn")


@emitted
def _step_2(
    _context: Any, _function: int, _instance: int, _time: float, _step: float, _no_set_state: int
) -> tuple[Any, Any]:
    return caller("pddi")


@emitted
def _step_3(
    _context: Any,
    _function: int,
    _instance: int,
    _time: float,
    _step: float,
    _no_set_state: int,
    _event: int,
    _end: int,
    _early: int,
    _last: int,
) -> tuple[Any, Any]:
    return caller("pddipppp")


@compiled
def _move(version: int, row: Int64Array, instance: int, index: int) -> int:
    buffer = row[_BUFFER] + index * row[_STRIDE]
    if version == _FMI_2:
        status: int = _values_2(row[_FUNCTION], instance, row[_REFERENCES], row[_COUNT], buffer)
    else:
        status = _values_3(row[_FUNCTION], instance, row[_REFERENCES], row[_COUNT], buffer, row[_VALUES])
    return status


@compiled
def _step(head: Int64Array, instance: int, span: FloatArray, flags: NDArray[np.uint8]) -> int:
    do_step, final, at = head[_DO_STEP], head[_NO_SET_STATE], head[_FLAGS]
    if head[_VERSION] == _FMI_2:
        status: int = _step_2(do_step, instance, span[0], span[1], final)
    else:
        flags[:] = 0
        last = head[_LAST_TIME]
        status = _step_3(do_step, instance, span[0], span[1], final, at, at + 1, at + 2, last)
    return status


@compiled
def run(
    head: Int64Array, transfers: Int64Array, instances: Int64Array, span: FloatArray, flags: NDArray[np.uint8]
) -> tuple[int, int, int]:
    """Run the loop from instance START of the head to before STOP.

    Args:
        head: what holds for the whole run, shape (Head.SIZE,), int64.
        transfers: shape (transfers, Transfer.SIZE), int64; setters first.
        instances: shape (N, 2), int64: address of the instance, number of its warnings (counted here).
        span: begin of the step and its length [s], shape (3,), float64; the third is where FMI 3.0 writes the last time.
        flags: shape (3,), uint8: where FMI 3.0 writes event, terminate, early return.

    Returns:
        The instance at which it stopped, what it was doing (a ``Phase``) and the status; STOP, ``DONE`` and 0 at the end.
        With ``STEPPING`` and status 0 or 1 one of the flags is set.
    """
    version = head[_VERSION]
    setters = head[_SETTERS]
    for index in range(head[_START], head[_STOP]):
        instance = instances[index, 0]
        for number in range(setters):
            status = _move(version, transfers[number], instance, index)
            if status > _WARNING or status < 0:
                return index, _SETTING, status
            instances[index, 1] += status
        if head[_DO_STEP] != 0:
            status = _step(head, instance, span, flags)
            if status > _WARNING or status < 0 or flags[0] | flags[1] | flags[2]:
                return index, _STEPPING, status
            instances[index, 1] += status
        for number in range(setters, transfers.shape[0]):
            status = _move(version, transfers[number], instance, index)
            if status > _WARNING or status < 0:
                return index, _GETTING, status
            instances[index, 1] += status
    return head[_STOP], _DONE, 0
