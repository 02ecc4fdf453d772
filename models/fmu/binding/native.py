"""Compiled code that calls C functions by their address: what numba needs for it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from llvmlite import ir
from numba import cfunc, njit, types
from numba.extending import intrinsic

__all__ = ["c_callback", "caller", "compiled", "emitted", "reader", "writer"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_POINTER = ir.IntType(8).as_pointer()
_C_TYPES = {"p": _POINTER, "n": ir.IntType(64), "d": ir.DoubleType(), "i": ir.IntType(32)}
_NUMBA_TYPES = {"p": types.int64, "n": types.int64, "d": types.float64, "i": types.int64}


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile when first called, keep on disk where there is a place, hold no lock of the interpreter."""
    try:
        made: Callable[_P, _R] = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder that it may write to
        made = njit(nogil=True)(function)
    return made


def c_callback(kinds: str) -> Callable[[Callable[..., int]], Callable[[], int]]:
    """Make of a function what C code can call and that gives an int: a function that returns its address.

    It is compiled when its address is first asked for. ``kinds`` has a letter for each argument, as in :func:`caller`;
    pointers arrive as numbers.
    """
    signature = types.int32(*(_NUMBA_TYPES[kind] for kind in kinds))

    def decorate(function: Callable[..., int]) -> Callable[[], int]:
        @functools.cache
        def made() -> Any:
            try:
                return cfunc(signature, cache=True)(function)
            except RuntimeError:  # numba found no folder that it may write to
                return cfunc(signature)(function)

        return lambda: int(made().address)

    return decorate


def emitted(function: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """Make a call in compiled code of what ``function`` emits; numba counts its arguments."""
    made: Callable[..., Any] = intrinsic(function)
    return made


def caller(kinds: str) -> tuple[Any, Any]:
    """Return what :func:`emitted` wants for a call of a C function that gives an int, its address first.

    ``kinds`` has a letter for each argument; p: pointer, n: size, d: double, i: int or bool. A bool goes as an int of
    value 0 or 1, which the calling conventions of all 64-bit systems read alike.
    """

    def generate(_context: Any, builder: Any, _signature: Any, values: Sequence[Any]) -> Any:
        function_type = ir.FunctionType(ir.IntType(32), [_C_TYPES[kind] for kind in kinds])
        given = []
        for kind, value in zip(kinds, values[1:], strict=True):
            if kind == "p":
                given.append(builder.inttoptr(value, _POINTER))
            else:
                given.append(builder.trunc(value, _C_TYPES["i"]) if kind == "i" else value)
        status = builder.call(builder.inttoptr(values[0], function_type.as_pointer()), given)
        return builder.sext(status, ir.IntType(64))

    return types.int64(types.int64, *(_NUMBA_TYPES[kind] for kind in kinds)), generate


def reader(kind: str) -> tuple[Any, Any]:
    """Return what :func:`emitted` wants for reading an int64 (``n``) or a double (``d``) at an address."""

    def generate(_context: Any, builder: Any, _signature: Any, values: Sequence[Any]) -> Any:
        return builder.load(builder.inttoptr(values[0], _C_TYPES[kind].as_pointer()))

    return _NUMBA_TYPES[kind](types.int64), generate


def writer(kind: str) -> tuple[Any, Any]:
    """Return what :func:`emitted` wants for writing an int64 (``n``) or a double (``d``) to an address."""

    def generate(context: Any, builder: Any, _signature: Any, values: Sequence[Any]) -> Any:
        builder.store(values[1], builder.inttoptr(values[0], _C_TYPES[kind].as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, _NUMBA_TYPES[kind]), generate
