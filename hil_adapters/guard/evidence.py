"""What must be on file before a real device is armed: the report of its acceptance test."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hil_adapters.errors import GuardError
from hil_adapters.maps.schema import RegisterMap

__all__ = [
    "AcceptanceReport",
    "Check",
    "DeviceIdentity",
    "WatchdogProof",
    "load_report",
    "map_sha256",
    "objections",
    "release_objection",
]

_CLOCK_SKEW = dt.timedelta(minutes=5)
_LONGEST_VALID_DAYS = 366
"""A device changes; no acceptance test counts for longer than about a year."""
_LATE_SHARE = 1.5
"""A device may take half as long again as its watchdog says, ..."""
_LATE_S = 2.0
"""... and this much more [s]: polling and reaction of the device."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DeviceIdentity(_Part):
    """Who answered; fields that the device does not tell are null."""

    manufacturer: str | None
    model: str | None
    version: str | None
    serial: str | None
    fingerprint: str | None = Field(description="Of its register map, where that was discovered.")


class Check(_Part):
    """One check of the test."""

    name: str
    passed: bool
    value: float | str | None
    text: str


class WatchdogProof(_Part):
    """How long after the last refresh a device let go of a command."""

    timeout_s: float = Field(gt=0)
    released_after_s: float | None = Field(ge=0, description="null: it did not let go.")


class AcceptanceReport(_Part):
    """Result of the acceptance test of one device, as JSON."""

    format: Literal[1] = 1
    device: DeviceIdentity
    map: str
    map_sha256: str
    performed: dt.datetime
    valid_days: float = Field(gt=0, le=_LONGEST_VALID_DAYS)
    passed: bool
    checks: tuple[Check, ...]
    watchdog: dict[str, WatchdogProof] = Field(description="By command.")
    slope_kw_v: float | None = Field(description="Change of power by voltage; null: not measured.")


def map_sha256(map_: RegisterMap) -> str:
    """Return the digest of a register map as loaded (before discovery); layout and comments of its file do not count."""
    text = json.dumps(map_.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load_report(path: Path) -> AcceptanceReport:
    """Read a report; ``GuardError`` where it is missing or has another form."""
    try:
        return AcceptanceReport.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GuardError(f"{path}: no acceptance report: {error}; run `twin device check`") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GuardError(f"{path}: not an acceptance report: {where}: {first['msg']}") from error


def objections(
    report: AcceptanceReport, *, identity: Mapping[str, str | None], digest: str, now: dt.datetime
) -> tuple[str, ...]:
    """Return everything in a report that forbids arming the device that answers at the moment.

    Args:
        report: The report on file.
        identity: What answers: ``serial``, ``version``, ``fingerprint``, as far as the device tells them.
        digest: :func:`map_sha256` of the map in use.
        now: Aware time.
    """
    found: list[str] = []
    if not report.passed:
        failed = ", ".join(check.name for check in report.checks if not check.passed)
        found.append(f"its acceptance test failed ({failed})")
    performed = report.performed
    if performed.tzinfo is None:
        found.append("its acceptance report has a time without time zone")
    elif performed > now + _CLOCK_SKEW:
        found.append(f"its acceptance test lies in the future ({performed.isoformat()}); check the clock")
    elif now > performed + dt.timedelta(days=report.valid_days):
        found.append(
            f"its acceptance test of {performed.date()} was valid for {report.valid_days:g} days; repeat it"
        )
    if report.map_sha256 != digest:
        found.append("its register map has changed since the acceptance test; repeat it")
    tested = report.device.model_dump()
    for name in ("serial", "version", "fingerprint"):
        answers = identity.get(name)
        if answers != tested[name]:
            found.append(
                f"{name} {answers!r} answers, {tested[name]!r} was tested; repeat the acceptance test"
            )
    return tuple(found)


def release_objection(report: AcceptanceReport, command: str, *, timeout_s: float) -> str | None:
    """Return why a command with a watchdog of ``timeout_s`` [s] may not be used; None where its release was proven."""
    proof = report.watchdog.get(command)
    if proof is None:
        return f"{command}: the acceptance test did not prove that its watchdog releases it"
    if proof.timeout_s != timeout_s:
        return f"{command}: its watchdog was tested with {proof.timeout_s:g} s, the map says {timeout_s:g} s"
    if proof.released_after_s is None:
        return f"{command}: the device did not let go of it when the refresh stopped"
    longest_s = _LATE_SHARE * timeout_s + _LATE_S
    if proof.released_after_s > longest_s:
        return f"{command}: was released after {proof.released_after_s:g} s only, {longest_s:g} s are allowed"
    return None
