"""One compiled loop over all instances of an FMU: set the inputs, make the step, get the outputs.

A call of a C function from Python costs some microseconds, the function itself often less than a tenth of one. The loop
gets the addresses of functions, instances and buffers as numbers, so that it is compiled once for all FMUs and kept on
disk. It holds no lock of the interpreter; a message of an FMU takes it for itself. It stops at the first instance that
needs attention and can go on behind it.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, ParamSpec, TypeVar

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships no type information
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from models.fmu.base import FloatArray

__all__ = ["Head", "Int64Array", "Phase", "Transfer", "run"]

Int64Array = NDArray[np.int64]
_P = ParamSpec("_P")
_R = TypeVar("_R")


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


_WARNING = 1
_VERSION, _DO_STEP, _NO_SET_STATE = int(Head.VERSION), int(Head.DO_STEP), int(Head.NO_SET_STATE)
_FLAGS, _LAST_TIME, _SETTERS = int(Head.FLAGS), int(Head.LAST_TIME), int(Head.SETTERS)
_START, _STOP = int(Head.START), int(Head.STOP)
_FUNCTION, _REFERENCES, _COUNT = int(Transfer.FUNCTION), int(Transfer.REFERENCES), int(Transfer.COUNT)
_VALUES, _BUFFER, _STRIDE = int(Transfer.VALUES), int(Transfer.BUFFER), int(Transfer.STRIDE)
_SETTING, _STEPPING, _GETTING, _DONE = (int(phase) for phase in Phase)


def _compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile when first called, keep on disk where there is a place, hold no lock of the interpreter."""
    try:
        made: Callable[_P, _R] = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder that it may write to
        made = njit(nogil=True)(function)
    return made


def _emitted(function: Callable[..., tuple[Any, Any]]) -> Callable[..., int]:
    """Make a call in compiled code of what ``function`` emits."""
    made: Callable[..., int] = intrinsic(function)
    return made


def _emit(builder: Any, arguments: Any, kinds: str) -> Any:
    """Emit a call of the function at the address ``arguments[0]``; p: pointer, n: size, d: double, i: int or bool.

    A bool goes as an int of value 0 or 1, which the calling conventions of all 64-bit systems read alike.
    """
    pointer = ir.IntType(8).as_pointer()
    c_types = {"p": pointer, "n": ir.IntType(64), "d": ir.DoubleType(), "i": ir.IntType(32)}
    function_type = ir.FunctionType(ir.IntType(32), [c_types[kind] for kind in kinds])
    values = []
    for kind, value in zip(kinds, arguments[1:], strict=True):
        if kind == "p":
            values.append(builder.inttoptr(value, pointer))
        else:
            values.append(builder.trunc(value, c_types["i"]) if kind == "i" else value)
    status = builder.call(builder.inttoptr(arguments[0], function_type.as_pointer()), values)
    return builder.sext(status, ir.IntType(64))


def _caller(kinds: str) -> tuple[Any, Any]:
    """Return what numba's ``intrinsic`` wants for a C function with arguments of these kinds."""
    arguments = [types.float64 if kind == "d" else types.int64 for kind in kinds]

    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return _emit(builder, values, kinds)

    return types.int64(types.int64, *arguments), generate


@_emitted
def _values_2(
    _context: Any, _function: int, _instance: int, _references: int, _count: int, _buffer: int
) -> tuple[Any, Any]:
    return _caller("ppnp")


@_emitted
def _values_3(
    _context: Any, _function: int, _instance: int, _references: int, _count: int, _buffer: int, _values: int
) -> tuple[Any, Any]:
    return _caller("ppnpn")


@_emitted
def _step_2(
    _context: Any, _function: int, _instance: int, _time: float, _step: float, _no_set_state: int
) -> tuple[Any, Any]:
    return _caller("pddi")


@_emitted
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
    return _caller("pddipppp")


@_compiled
def _move(version: int, row: Int64Array, instance: int, index: int) -> int:
    buffer = row[_BUFFER] + index * row[_STRIDE]
    if version == 2:  # noqa: PLR2004  # FMI 2.0
        return _values_2(row[_FUNCTION], instance, row[_REFERENCES], row[_COUNT], buffer)
    return _values_3(row[_FUNCTION], instance, row[_REFERENCES], row[_COUNT], buffer, row[_VALUES])


@_compiled
def _step(head: Int64Array, instance: int, span: FloatArray, flags: NDArray[np.uint8]) -> int:
    if head[_VERSION] == 2:  # noqa: PLR2004  # FMI 2.0
        return _step_2(head[_DO_STEP], instance, span[0], span[1], head[_NO_SET_STATE])
    flags[:] = 0
    at = head[_FLAGS]
    return _step_3(
        head[_DO_STEP], instance, span[0], span[1], head[_NO_SET_STATE], at, at + 1, at + 2, head[_LAST_TIME]
    )


@_compiled
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
