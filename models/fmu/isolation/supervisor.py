"""Fleets of foreign FMUs, each in a process of its own, so that a crash, an end or a hang does not end the run."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from models.errors import FmuCrashError, FmuError, ModelError, StateError
from models.fmu.base import FleetSpec, FloatArray, OnFailure
from models.fmu.isolation.process import WorkerProcess
from models.fmu.isolation.protocol import Request, opening, read_array, stepping

__all__ = ["MAX_RESTARTS", "WorkerFleet"]

MAX_RESTARTS = 3
"""Fresh processes in a row, without one step of progress."""
_WORKER = "models.fmu.isolation.worker"
_CLOSING_S = 10.0
_SAME = 1e-6
"""Relative difference up to which replayed outputs count as the same; a solver that starts anew makes a small one."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    inputs: FloatArray
    time_s: float
    dt_s: float
    outputs: FloatArray


class WorkerFleet:
    """A fleet that runs in a process of its own (a ``DeviceBlock``).

    With ``OnFailure.RESTART`` the state is saved every ``save_every`` steps. When the process crashes, ends or hangs, a
    fresh one goes on from that state: the inputs since then are replayed, the state is saved, then the step is made
    again. ``events`` tells what happened.
    """

    def __init__(self, spec: FleetSpec) -> None:
        """Start the process and load the FMU in it.

        Raises:
            FmuError: the fleet cannot be opened (as ``FmuFleet`` says), or is to restart after a failure and its FMU
                cannot save and restore its state.
            FmuCrashError: the process crashed, ended or hung while it loaded the FMU.
        """
        self._spec = spec
        self._name = f"{spec.label} ({spec.file.name})"
        self._events: list[str] = []
        self._saved: bytes | None = None
        self._since: list[_Step] = []
        self._restarts = 0
        self._size, self._inputs, self._outputs = 0, (), ()
        self._process: WorkerProcess | None = self._opened()
        if spec.on_failure == OnFailure.RESTART:
            try:
                self._keep_first_state()
            except BaseException:
                self.close()
                raise

    @property
    def label(self) -> str:
        """Name for messages."""
        return self._spec.label

    @property
    def size(self) -> int:
        """Number of devices N."""
        return self._size

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the rows that :meth:`step` takes."""
        return self._inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the rows that :meth:`step` returns."""
        return self._outputs

    @property
    def events(self) -> tuple[str, ...]:
        """What happened to the process, one text for each time; empty where all went well."""
        return tuple(self._events)

    def start(self) -> FloatArray:
        """Return the outputs before the first step, shape (outputs, N)."""
        return self._insist(lambda: self._array(Request.START, doing="at its start"))

    def step(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        """Advance all devices from ``time_s`` by ``dt_s`` [s] with ``inputs`` held, shape (inputs, N).

        Raises:
            FmuStepError: a bad status, or an output that is not finite or out of bounds.
            FmuCrashError: the process crashed, ended or hung and is not, or not again, replaced; or a fresh one cannot
                go on from the last saved state.
        """
        given = np.array(inputs, dtype=np.float64)
        if given.shape != (len(self._inputs), self._size):
            raise ValueError(
                f"{self._name}: inputs have the shape {given.shape}, expected {(len(self._inputs), self._size)}"
            )
        outputs = self._insist(lambda: self._stepped(given, time_s=time_s, dt_s=dt_s))
        if self._saved is not None:
            self._restarts = 0
            self._since.append(_Step(given, time_s, dt_s, outputs.copy()))
            if len(self._since) >= self._spec.save_every:
                self._keep(self._save())
        return outputs

    def save(self) -> bytes:
        """Return the state of all devices; raise ``StateError`` where the FMU cannot give it."""
        return self._save()

    def restore(self, state: bytes) -> None:
        """Go back to a saved state; raise ``StateError`` where the FMU cannot."""
        self._insist(lambda: self._ask(Request.RESTORE, state, doing="while its state was restored"))
        if self._saved is not None:
            self._keep(state)

    def close(self) -> None:
        """End the process; may be called again. A failure while it frees the FMU is told in ``events``."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if not process.has_ended:
                timeout_s = min(_CLOSING_S, self._spec.timeout_s)
                process.ask(Request.CLOSE, doing="while the FMU was freed", timeout_s=timeout_s)
        except ModelError as error:
            self._events.append(str(error))
        finally:
            process.close()

    def _opened(self) -> WorkerProcess:
        process = WorkerProcess(self._name, module=_WORKER, timeout_s=self._spec.timeout_s)
        doing = "while it was loaded"
        try:
            answer = process.ask(Request.OPEN, opening(self._spec), doing=doing)
            try:
                face = json.loads(answer)
                self._size = int(face["size"])
                self._inputs, self._outputs = tuple(face["inputs"]), tuple(face["outputs"])
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                process.damaged(doing, error)
        except BaseException:
            process.close()
            raise
        return process

    def _running(self) -> WorkerProcess:
        if self._process is None:
            raise FmuError(f"{self._name}: the fleet is closed; open it again")
        return self._process

    def _ask(self, request: Request, content: bytes = b"", *, doing: str) -> bytes:
        return self._running().ask(request, content, doing=doing)

    def _stepped(self, inputs: FloatArray, *, time_s: float, dt_s: float) -> FloatArray:
        doing = f"in the step from t = {time_s:g} s"
        return self._array(Request.STEP, stepping(inputs, time_s=time_s, dt_s=dt_s), doing=doing)

    def _array(self, request: Request, content: bytes = b"", *, doing: str) -> FloatArray:
        process = self._running()
        answer = process.ask(request, content, doing=doing)
        try:
            return read_array(answer, shape=(len(self._outputs), self._size))
        except ValueError as error:
            process.damaged(doing, error)

    def _save(self) -> bytes:
        return self._insist(lambda: self._ask(Request.SAVE, doing="while its state was saved"))

    def _keep(self, state: bytes) -> None:
        self._saved = state
        self._since.clear()

    def _keep_first_state(self) -> None:
        """Save the state, and see whether the FMU can go back to it before the run relies on that."""
        try:
            state = self._save()
            self._ask(Request.RESTORE, state, doing="while its state was restored")
        except (StateError, FmuCrashError) as error:
            kind = FmuCrashError if isinstance(error, FmuCrashError) else FmuError
            raise kind(
                f"{self._name}: `on_failure: restart` needs an FMU that can save its state and go back to it: {error}; "
                "use `on_failure: end`"
            ) from error
        self._keep(state)

    def _insist(self, act: Callable[[], T]) -> T:
        """Return what ``act`` returns, from a fresh process where the policy says so."""
        while True:
            try:
                return act()
            except FmuCrashError as error:
                self._replace(error)

    def _replace(self, failure: FmuCrashError) -> None:
        """Go on in a fresh process that is where the failed one was before its last request; else raise."""
        while True:
            if self._process is not None:
                self._process.close()
            if self._saved is None:
                raise failure
            if self._restarts == MAX_RESTARTS:
                raise FmuCrashError(
                    f"{failure}\nThe same happened in {MAX_RESTARTS} fresh processes."
                ) from failure
            self._restarts += 1
            self._events.append(f"{failure}\nRestart {self._restarts} of at most {MAX_RESTARTS} in a row.")
            try:
                self._process = self._opened()
                self._catch_up(self._saved)
            except FmuCrashError as again:
                failure = again
            except (ModelError, OSError, TypeError, ValueError) as error:
                self._running().close()
                raise FmuCrashError(
                    f"{failure}\nA fresh process could not go on from the last saved state: {error}. Use "
                    "`on_failure: end`, and tell the author of the FMU"
                ) from error
            else:
                return

    def _catch_up(self, state: bytes) -> None:
        self._ask(Request.RESTORE, state, doing="while its state was restored")
        worst, at_s = 0.0, 0.0
        for past in self._since:
            outputs = self._stepped(past.inputs, time_s=past.time_s, dt_s=past.dt_s)
            scale = np.maximum(np.abs(past.outputs), 1.0)
            apart = float(np.max(np.abs(outputs - past.outputs) / scale, initial=0.0))
            if apart > worst:
                worst, at_s = apart, past.time_s
        if worst > _SAME:
            self._events.append(
                f"{self._name}: steps made again after the restart differ from the first time, most in the step from "
                f"t = {at_s:g} s (by {worst:.2g} relative): the state that the FMU saves is not complete, or its "
                "solver starts anew from it"
            )
        if self._since and self._restarts > 1:
            # progress: an FMU that dies after a number of steps would die again before the next state is saved. Not at
            # the first restart: a solver that starts anew from the saved state would change the results
            self._keep(self._ask(Request.SAVE, doing="while its state was saved"))
