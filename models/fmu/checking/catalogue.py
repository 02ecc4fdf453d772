"""The checks that run an FMU, in their order, and how one of them is made."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from models.errors import ModelError
from models.fmu.checking import convergence, dynamic, raw
from models.fmu.checking.report import CheckResult, Finding, Outcome
from models.fmu.checking.trial import Trial

__all__ = ["CHECKS", "Check", "made"]

_SPENT = "not tried, as the FMU has answered 'fatal' and is not called again in this process"
_REMEDY = "give parameters or start values it needs (--set), or tell the author of the FMU"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check that runs the FMU."""

    id: str
    title: str
    work: Callable[[Trial], Finding]
    needs: tuple[str, ...] = ("loads",)
    """Checks that must not have failed."""
    if_broken: Outcome = Outcome.WARNING
    """How the check ends where the FMU answers with an error, crashes or hangs in it."""
    remedy: str = _REMEDY

    def result(self, finding: Finding) -> CheckResult:
        """Return a finding with the name of this check."""
        return CheckResult.of(self.id, self.title, finding)

    def broken(self, evidence: str) -> CheckResult:
        """Return how the check ends where the FMU breaks in it."""
        return self.result(Finding(outcome=self.if_broken, evidence=evidence, remedy=self.remedy))


_RUNS = ("loads", "outputs", "steps")
_NO_RESTART = "do not use on_failure: restart with this FMU, and tell its author"

CHECKS: tuple[Check, ...] = (
    Check(
        id="loads",
        title="Loads and starts",
        work=dynamic.loads,
        needs=(),
        if_broken=Outcome.FAILED,
    ),
    Check(id="start_values", title="Start values hold", work=raw.starts_hold),
    Check(
        id="outputs",
        title="Outputs at the start",
        work=dynamic.outputs,
        if_broken=Outcome.FAILED,
    ),
    Check(
        id="steps",
        title="Runs",
        work=dynamic.steps,
        needs=("loads", "outputs"),
        if_broken=Outcome.FAILED,
        remedy="try a smaller --step-s, other start values (--set), or --interface model_exchange",
    ),
    Check(id="bounds", title="Own bounds", work=dynamic.bounds, needs=_RUNS),
    Check(id="repeats", title="Same inputs, same outputs", work=dynamic.repeats, needs=_RUNS),
    Check(
        id="instances",
        title="Two instances",
        work=dynamic.instances,
        needs=_RUNS,
        if_broken=Outcome.FAILED,
        remedy="use the FMU for one device only, and tell its author",
    ),
    Check(
        id="fleet",
        title="Fleet of three",
        work=dynamic.fleet,
        needs=_RUNS,
        if_broken=Outcome.FAILED,
        remedy="use the FMU for one device only, and tell its author",
    ),
    Check(id="state", title="State saved and restored", work=dynamic.state, needs=_RUNS, remedy=_NO_RESTART),
    Check(id="reset", title="Reset", work=raw.reset, needs=_RUNS, remedy=raw.NO_RESET),
    Check(id="step_size", title="Communication step", work=convergence.step_size, needs=_RUNS),
    Check(id="model_exchange", title="Co-Simulation and CVode", work=convergence.model_exchange, needs=_RUNS),
    Check(id="process", title="Leaves the process alone", work=raw.process_kept, needs=_RUNS),
    # last: some FMUs answer `fatal`, and are not called again in that process
    Check(
        id="bad_reference",
        title="Unknown variable refused",
        work=raw.bad_reference,
        remedy="names are checked before a run, so a scenario never asks for an unknown variable; tell its author",
    ),
)


def made(check: Check, trial: Trial, failed: Collection[str]) -> CheckResult:
    """Make one check; skip it where one that it needs has failed.

    Args:
        check: the check.
        trial: the FMU.
        failed: checks that failed before.
    """
    missing = [need for need in check.needs if need in failed]
    if missing:
        return check.result(Finding.skipped(f"not tried, as '{missing[0]}' failed"))
    if trial.is_spent:
        return check.result(Finding.skipped(_SPENT, "try it without --trusted: in a fresh process"))
    try:
        return check.result(check.work(trial))
    except ModelError as error:
        return check.broken(str(error))
