"""What an acceptance test found, and its report."""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from hil_adapters.device.identity import Identity
from hil_adapters.guard.evidence import (
    AcceptanceReport,
    Check,
    DeviceIdentity,
    WatchdogProof,
    map_sha256,
)
from hil_adapters.maps.schema import RegisterMap

__all__ = [
    "AcceptanceResult",
    "CheckResult",
    "Outcome",
    "Trace",
    "failed",
    "not_applicable",
    "passed",
    "report_of",
]

NOT_APPLICABLE = "not applicable"
"""Value of a check in the report that could not be made here; it does not count against the device."""


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = NOT_APPLICABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check."""

    name: str
    outcome: Outcome
    text: str
    """What was seen, and where it failed: what to do."""
    value: float | str | None = None
    unit: str = ""
    needed: bool = True
    """Whether its failure keeps the device from being armed; others are for information."""


def passed(name: str, text: str, *, value: float | str | None = None, unit: str = "") -> CheckResult:
    """Return a check that passed."""
    return CheckResult(name=name, outcome=Outcome.PASSED, text=text, value=value, unit=unit)


def failed(name: str, text: str, *, value: float | str | None = None, unit: str = "") -> CheckResult:
    """Return a check that failed and keeps the device from being armed."""
    return CheckResult(name=name, outcome=Outcome.FAILED, text=text, value=value, unit=unit)


def not_applicable(name: str, text: str) -> CheckResult:
    """Return a check that could not be made."""
    return CheckResult(name=name, outcome=Outcome.NOT_APPLICABLE, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Power of the device around one test of a command, for a figure."""

    command: str
    title: str
    power_kw: tuple[tuple[float, float], ...]
    """Times from the beginning [s], and measured power, consumption positive [kW]."""
    asked_kw: tuple[tuple[float, float | None], ...]
    """Times from the beginning [s], and what was asked from then on in the unit of the command; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceResult:
    """Everything that was found."""

    report: AcceptanceReport
    results: tuple[CheckResult, ...]
    target: str
    unit: int
    seconds: float
    """How long it took [s]."""
    writes: int
    """Frames that were written to the device."""
    traces: tuple[Trace, ...] = ()
    events: tuple[str, ...] = ()
    """What the guard told meanwhile."""

    @property
    def passed(self) -> bool:
        """Whether the device may be armed with the report."""
        return self.report.passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the checks of commands bring besides their results."""

    watchdogs: Mapping[str, WatchdogProof] = field(default_factory=dict)
    slope_kw_v: float | None = None


def report_of(
    results: Sequence[CheckResult],
    findings: Findings,
    *,
    identity: Identity,
    loaded: RegisterMap,
    performed: dt.datetime,
    valid_days: float,
) -> AcceptanceReport:
    """Return the report that is kept on file and needed to arm.

    Args:
        results: of all checks.
        findings: release times by command, slope.
        identity: of the device.
        loaded: its map as loaded, before discovery.
        performed: aware time.
        valid_days: how long the report counts.
    """
    return AcceptanceReport(
        device=DeviceIdentity(**asdict(identity)),
        map=loaded.name,
        map_sha256=map_sha256(loaded),
        performed=performed,
        valid_days=valid_days,
        passed=not any(result.outcome is Outcome.FAILED and result.needed for result in results),
        checks=tuple(_check(result) for result in results),
        watchdog=dict(findings.watchdogs),
        slope_kw_v=findings.slope_kw_v,
    )


def _check(result: CheckResult) -> Check:
    value = NOT_APPLICABLE if result.outcome is Outcome.NOT_APPLICABLE else result.value
    if isinstance(value, float) and not math.isfinite(value):
        value = None
    text = (
        result.text
        if result.needed or result.outcome is not Outcome.FAILED
        else f"{result.text} (does not keep it from being armed)"
    )
    return Check(name=result.name, passed=result.outcome is not Outcome.FAILED, value=value, text=text)
