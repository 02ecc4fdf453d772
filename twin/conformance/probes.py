"""What a strategy must not depend on, turned for a while: random state, clock, stdout.

They reach what Python code can see; a library in C that asks the operating system itself is not deceived.
"""

import contextlib
import datetime as dt
import io
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["Printed", "captured_stdout", "seeded", "shifted_clock"]

_JUMP_S = 1.0
"""Counters that measure durations run ahead by this with every reading: a budget of wall time is then used up."""


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Set the global random states of Python and numpy, and put back what they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global state is meant
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global state is meant
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - the global state is meant


@contextlib.contextmanager
def shifted_clock(shift_s: float, module_name: str) -> Iterator[None]:
    """Let Python code see another time of day and another date, and durations that pass faster.

    Replaced are the functions of ``time``, the classes of ``datetime``, and what the module of the strategy imported
    from them under whatever name.

    Args:
        shift_s: how far the clock is put forward [s].
        module_name: module in which the class of the strategy is defined.
    """
    stand_ins = _stand_ins(shift_s)
    undo: list[tuple[ModuleType, str, Any]] = []
    modules = [time, dt, *([sys.modules[module_name]] if module_name in sys.modules else [])]
    for module in modules:
        for name, value in list(vars(module).items()):
            stand_in = _stand_in(value, stand_ins)
            if stand_in is not None:
                undo.append((module, name, value))
                setattr(module, name, stand_in)
    try:
        yield
    finally:
        for module, name, value in undo:
            setattr(module, name, value)


def _stand_in(value: Any, stand_ins: list[tuple[Any, Any]]) -> Any:
    return next((stand_in for real, stand_in in stand_ins if value is real), None)


def _stand_ins(shift_s: float) -> list[tuple[Any, Any]]:
    """Return pairs of what is replaced and by what."""
    real_time, real_datetime, real_date = time.time, dt.datetime, dt.date
    shift = dt.timedelta(seconds=shift_s)

    class ShiftedDatetime(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return real_datetime.now(tz) + shift

        @classmethod
        def utcnow(cls) -> Any:
            return real_datetime.now(dt.UTC).replace(tzinfo=None) + shift

        @classmethod
        def today(cls) -> Any:
            return real_datetime.now(None) + shift

    class ShiftedDate(dt.date):
        @classmethod
        def today(cls) -> Any:
            return (real_datetime.now(None) + shift).date()

    def at_shifted(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda seconds=None: function(real_time() + shift_s if seconds is None else seconds)

    return [
        (time.time, lambda: real_time() + shift_s),
        (time.time_ns, lambda: int((real_time() + shift_s) * 1e9)),
        (time.localtime, at_shifted(time.localtime)),
        (time.gmtime, at_shifted(time.gmtime)),
        *((counter, _ahead(counter)) for counter in (time.monotonic, time.perf_counter, time.process_time)),
        (real_datetime, ShiftedDatetime),
        (real_date, ShiftedDate),
    ]


def _ahead(counter: Callable[[], float]) -> Callable[[], float]:
    readings = 0

    def ahead() -> float:
        nonlocal readings
        readings += 1
        return counter() + _JUMP_S * readings

    return ahead


class Printed:
    """What was written to stdout while it was captured."""

    def __init__(self) -> None:
        self.text = ""


@contextlib.contextmanager
def captured_stdout() -> Iterator[Printed]:
    """Keep what Python and libraries in C write to stdout; the caller's own output must wait."""
    printed, from_python = Printed(), io.StringIO()
    with tempfile.TemporaryFile() as from_c:
        for stream in (sys.stdout, sys.__stdout__):
            if stream is not None:
                stream.flush()
        kept = os.dup(1)
        os.dup2(from_c.fileno(), 1)
        try:
            with contextlib.redirect_stdout(from_python):
                yield printed
        finally:
            if sys.__stdout__ is not None:
                sys.__stdout__.flush()
            os.dup2(kept, 1)
            os.close(kept)
            from_c.seek(0)
            printed.text = from_python.getvalue() + from_c.read().decode(errors="replace")
