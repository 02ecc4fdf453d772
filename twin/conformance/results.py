"""What the checks found."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["CheckResult", "Outcome", "Report"]


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "pass"
    FAILED = "fail"
    """The strategy breaks the contract; the command exits with 1."""
    ADVICE = "advice"
    """Allowed, and worth a look; does not fail."""
    SKIPPED = "skip"
    """Does not apply, or could not be tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check."""

    id: str
    """Stable name for CI, e.g. ``no_shared_state``."""
    title: str
    outcome: Outcome
    evidence: str
    """What was seen, with numbers, step and line."""
    remedy: str = ""
    """What to do about it; empty where nothing is to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All checks of one strategy."""

    controller: str
    params: dict[str, Any]
    plant: str
    """Plant that most checks were made on."""
    checks: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        """True if no check failed."""
        return not self.of(Outcome.FAILED)

    def of(self, outcome: Outcome) -> tuple[CheckResult, ...]:
        """Return the checks that ended so."""
        return tuple(check for check in self.checks if check.outcome is outcome)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "controller": self.controller,
            "params": self.params,
            "plant": self.plant,
            "passed": self.passed,
            "counts": {outcome.value: len(self.of(outcome)) for outcome in Outcome},
            "checks": [{**asdict(check), "outcome": check.outcome.value} for check in self.checks],
        }
