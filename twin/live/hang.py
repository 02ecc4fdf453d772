"""A watch on a run that no longer finishes steps: mosaik itself would wait for ever."""

import faulthandler
import os
import sys
import threading
from types import TracebackType
from typing import Self

from twin.simulators.pace import Pace

__all__ = ["HANG_EXIT", "WatchedPace"]

HANG_EXIT = 1


class WatchedPace:
    """A pace that ends the process when a step takes too long.

    Nothing in this process can be trusted to clean up then: the guardian writes the safe state by itself, and the
    store keeps what was flushed. The exit is immediate; the stacks of all threads are written to stderr.
    """

    def __init__(self, pace: Pace, *, limit_s: float) -> None:
        """Watch ``pace``; a step that works longer than ``limit_s`` [s] counts as hung."""
        self._pace = pace
        self._limit_s = limit_s
        self._timer: threading.Timer | None = None

    def begin_step(self, step: int) -> None:
        """Let the step begin and watch it."""
        self._pace.begin_step(step)
        self._timer = threading.Timer(self._limit_s, self._give_up, (step,))
        self._timer.daemon = True
        self._timer.start()

    def end_step(self, step: int) -> None:
        """Stop watching the step."""
        self._cancel()
        self._pace.end_step(step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancel()

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _give_up(self, step: int) -> None:
        sys.stderr.write(
            f"error: step {step} did not finish within {self._limit_s:g} s; the run is given up, the guardian writes the "
            "safe state, stored steps are kept\n"
        )
        faulthandler.dump_traceback()
        sys.stderr.flush()
        os._exit(HANG_EXIT)
