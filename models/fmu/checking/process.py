"""The checks in a process of their own: a crash, an exit or a hang of the FMU ends one check, not the program."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import models
from models.errors import FmuCrashError
from models.fmu.checking.catalogue import CHECKS, Check
from models.fmu.checking.child import job_line
from models.fmu.checking.report import CheckResult, Finding, Outcome
from models.fmu.checking.trial import Trial

__all__ = ["checked_apart"]

_START_S = 60.0
"""To start Python and import what the checks need."""
_LINES_KEPT = 3
_PRINTED_KEPT = 4096
_ENDS = Check(
    id="ends",
    title="Ends cleanly",
    work=lambda _: Finding.skipped(""),
    remedy="results are not affected; tell the author of the FMU",
)


def checked_apart(trial: Trial) -> Iterator[CheckResult]:
    """Yield the results of all checks; after each crash the rest goes on in a fresh process."""
    results: list[CheckResult] = []
    ended = "no process came to its end"
    while len(results) < len(CHECKS):
        done = [result.id for result in results]
        failed = [result.id for result in results if result.outcome is Outcome.FAILED]
        with _Child(trial, done=done, failed=failed) as child:
            for result in child.results():
                results.append(result)
                yield result
            ended = child.how_it_ended
    clean = Finding.passed("the process ends with code 0 after the library is unloaded")
    yield _ENDS.result(clean) if not ended else _ENDS.broken(f"after the last check {ended}")


class _Child:
    """A process that makes checks; killed and waited for on every path."""

    def __init__(self, trial: Trial, *, done: list[str], failed: list[str]) -> None:
        self.how_it_ended = ""
        """Empty where the process ended by itself with code 0."""
        self._trial = trial
        self._line = job_line(trial, done=done, failed=failed)
        self._todo = [check for check in CHECKS if check.id not in done]
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._printed = b""

    def __enter__(self) -> Self:
        """Start the process."""
        root = str(Path(models.__file__).parents[1])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "models.fmu.checking.child",
            ],  # -P: a folder `models` here is not ours
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._readers = [
            threading.Thread(target=self._read_results, daemon=True),
            threading.Thread(target=self._read_text, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process and wait for it."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        _pipe(self._process.stderr).close()

    def results(self) -> Iterator[CheckResult]:
        """Yield results until all checks are made or the process is gone; the check it died in comes last."""
        running: Check | None = None
        self._send()
        while self._todo:
            patience_s = _START_S if running is None else self._trial.options.timeout_s
            try:
                message = self._messages.get(timeout=patience_s)
            except queue.Empty:
                yield self._died(running, f"did not return within {patience_s:g} s")
                return
            if message is None:
                yield self._died(running, self._end_in_words() or "ended with exit code 0")
                return
            if "begins" in message:
                running = self._todo[0]
            else:
                running = None
                self._todo.pop(0)
                result = message["result"]
                yield CheckResult(**{**result, "outcome": Outcome(result["outcome"])})
        self.how_it_ended = self._end_in_words()

    def _died(self, running: Check | None, how: str) -> CheckResult:
        printed = self._printed.decode("utf-8", errors="replace").split("\n")
        last = [line.strip() for line in printed if line.strip()][-_LINES_KEPT:]
        said = f"; it last printed: {' | '.join(last)}" if last else ""
        if running is None:
            raise FmuCrashError(
                f"{self._trial.info.file.name}: the process for the checks {how} between checks{said}"
            )
        return running.broken(f"the process of the FMU {how}{said}")

    def _send(self) -> None:
        stdin = _pipe(self._process.stdin)
        # a process that is gone is noticed where its results are read
        with contextlib.suppress(BrokenPipeError):
            stdin.write(f"{self._line}\n".encode())
            stdin.flush()

    def _end_in_words(self) -> str:
        """Wait for the process to end and return how it did; '' for code 0."""
        timeout_s = self._trial.options.timeout_s
        try:
            code = self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return f"did not end within {timeout_s:g} s"
        self._readers[1].join()
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        return "" if code == 0 else f"ended with exit code {code}"

    def _read_results(self) -> None:
        for line in _pipe(self._process.stdout):
            self._messages.put(json.loads(line))
        self._messages.put(None)

    def _read_text(self) -> None:
        stream = _pipe(self._process.stderr)
        while part := os.read(stream.fileno(), _PRINTED_KEPT):
            self._printed = (self._printed + part)[-_PRINTED_KEPT:]


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise FmuCrashError("the process for the checks has no pipe; this is a defect")
    return stream
