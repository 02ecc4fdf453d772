"""What the checks of an FMU found."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["CheckResult", "Finding", "FmuReport", "Outcome", "Verdict"]


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "pass"
    FAILED = "fail"
    """The FMU cannot be used as it is."""
    WARNING = "warning"
    """The FMU can be used; something is worth a look."""
    SKIPPED = "skip"
    """Does not apply, or could not be tried."""


class Verdict(StrEnum):
    """What all checks together say."""

    WORKS = "works"
    WORKS_WITH_WARNINGS = "works with warnings"
    DOES_NOT_WORK = "does not work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check saw."""

    outcome: Outcome
    evidence: str
    """With variable, value and time."""
    remedy: str = ""
    """What to do about it; empty where nothing is to be done."""

    @classmethod
    def passed(cls, evidence: str) -> "Finding":
        """All is well."""
        return cls(outcome=Outcome.PASSED, evidence=evidence)

    @classmethod
    def skipped(cls, evidence: str, remedy: str = "") -> "Finding":
        """The check does not apply."""
        return cls(outcome=Outcome.SKIPPED, evidence=evidence, remedy=remedy)

    @classmethod
    def warning(cls, evidence: str, remedy: str) -> "Finding":
        """The FMU can be used with care."""
        return cls(outcome=Outcome.WARNING, evidence=evidence, remedy=remedy)

    @classmethod
    def failed(cls, evidence: str, remedy: str) -> "Finding":
        """The FMU cannot be used as it is."""
        return cls(outcome=Outcome.FAILED, evidence=evidence, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check."""

    id: str
    """Stable name for CI, e.g. ``step_size``."""
    title: str
    outcome: Outcome
    evidence: str
    remedy: str = ""

    @classmethod
    def of(cls, check_id: str, title: str, finding: Finding) -> "CheckResult":
        """Return a finding with the name of its check."""
        return cls(
            id=check_id,
            title=title,
            outcome=finding.outcome,
            evidence=finding.evidence,
            remedy=finding.remedy,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FmuReport:
    """All checks of one FMU."""

    file: str
    sha256: str
    """Empty where the file could not be read."""
    model: str
    fmi_version: str
    how: str
    """Interface, step and length of the trial runs, in words; empty where none was made."""
    checks: tuple[CheckResult, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst that a check found."""
        if self.of(Outcome.FAILED):
            return Verdict.DOES_NOT_WORK
        return Verdict.WORKS_WITH_WARNINGS if self.of(Outcome.WARNING) else Verdict.WORKS

    def of(self, outcome: Outcome) -> tuple[CheckResult, ...]:
        """Return the checks that ended so."""
        return tuple(check for check in self.checks if check.outcome is outcome)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "model": self.model,
            "fmi_version": self.fmi_version,
            "how": self.how,
            "verdict": self.verdict.value,
            "counts": {outcome.value: len(self.of(outcome)) for outcome in Outcome},
            "checks": [{**asdict(check), "outcome": check.outcome.value} for check in self.checks],
        }
