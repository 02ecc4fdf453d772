"""The checks in a process of their own: a crash, an exit or a hang of the FMU ends one check, not the program."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from models.fmu.checking.catalogue import CHECKS, Check
from models.fmu.checking.child import Ask, check_of, job_of, result_in
from models.fmu.checking.report import CheckResult, Finding, Outcome
from models.fmu.checking.trial import Trial
from models.fmu.isolation.process import ProcessLostError, WorkerProcess

__all__ = ["checked_apart"]

_CHILD = "models.fmu.checking.child"
_PREPARING_S = 60.0
"""To load FMPy and read the description; the FMU itself is not touched."""
_LINES_SHOWN = 3
_ENDS = Check(
    id="ends",
    title="Ends cleanly",
    work=lambda _: Finding.skipped(""),
    remedy="results are not affected; tell the author of the FMU",
)


def checked_apart(trial: Trial) -> Iterator[CheckResult]:
    """Yield the results of all checks; after a crash, or the status `fatal`, the rest goes on in a fresh process.

    Raises:
        FmuError: the process cannot be started, or is lost before the first check.
    """
    waiting = list(CHECKS)
    failed: set[str] = set()
    last = _ENDS.result(Finding.skipped("the process did not live to its end"))
    while waiting:
        with _Child(trial) as child:
            while waiting and not child.is_spent:
                result = child.made(waiting.pop(0), failed)
                if result.outcome is Outcome.FAILED:
                    failed.add(result.id)
                yield result
            if not child.is_lost:
                last = _ended(child.end())
    yield last


def _ended(how: str) -> CheckResult:
    if how:
        return _ENDS.broken(f"after the last check it {how}")
    return _ENDS.result(Finding.passed("the process ends with code 0 after the library is unloaded"))


class _Child:
    """A process that makes checks; ended on every path."""

    def __init__(self, trial: Trial) -> None:
        """Start the process, without the FMU."""
        self.is_spent = False
        """No further check can be made in this process."""
        self.is_lost = False
        """It is gone."""
        self._process = WorkerProcess(
            trial.info.file.name,
            module=_CHILD,
            timeout_s=trial.options.timeout_s,
            leftover=trial.unpacked.folder,
        )
        try:
            job = job_of(trial)
            self._process.ask(Ask.PREPARE, job, doing="before the first check", timeout_s=_PREPARING_S)
        except BaseException:
            self._process.close()
            raise

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._process.close()

    def made(self, check: Check, failed: set[str]) -> CheckResult:
        """Make a check; where the FMU takes the process with it, that is its result."""
        doing = f"in the check '{check.title}'"
        try:
            answer = self._process.ask(Ask.CHECK, check_of(check.id, failed), doing=doing)
            try:
                result, self.is_spent = result_in(answer)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                self._process.damaged(doing, error)
        except ProcessLostError as lost:
            self.is_spent = self.is_lost = True
            said = f"; it last printed: {' | '.join(lost.printed[-_LINES_SHOWN:])}" if lost.printed else ""
            return check.broken(f"the FMU {lost.how}{said}")
        except (
            OSError,
            TypeError,
            ValueError,
        ) as error:  # of what the FMU gave, e.g. a text that is no UTF-8
            return check.broken(f"{type(error).__name__}: {error}")
        return result

    def end(self) -> str:
        """Let the process end by itself and return how it did; empty where all is well."""
        return self._process.end()
