"""The process that runs the FMU for the checks, from the inside; started and guarded as that of a fleet."""

import json
from dataclasses import asdict
from enum import IntEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from models.fmu.base import Interface, UnpackedFmu
from models.fmu.checking.catalogue import CHECKS, made
from models.fmu.checking.options import CheckOptions
from models.fmu.checking.report import CheckResult, Outcome
from models.fmu.checking.trial import Trial
from models.fmu.isolation.serving import serve
from models.fmu.reading.description import read_info

__all__ = ["Ask", "check_of", "job_of", "result_in", "work"]


class Ask(IntEnum):
    """What is asked of the process."""

    PREPARE = 0
    """Read what the FMU says of itself, and look at the process before anything of it runs."""
    CHECK = 1
    """Make one check."""


def job_of(trial: Trial) -> bytes:
    """Return the content of ``PREPARE``."""
    options = trial.options
    job = {
        "file": str(trial.info.file.resolve()),
        "folder": str(trial.unpacked.folder),
        "interface": trial.interface.value,
        "options": {
            "stop_s": options.stop_s,
            "step_s": options.step_s,
            "parameters": dict(options.parameters),
            "timeout_s": options.timeout_s,
        },
    }
    return json.dumps(job).encode()


def check_of(check_id: str, failed: set[str]) -> bytes:
    """Return the content of ``CHECK``: which one, and those that failed before."""
    return json.dumps({"check": check_id, "failed": sorted(failed)}).encode()


def result_in(answer: bytes) -> tuple[CheckResult, bool]:
    """Return the answer to ``CHECK``: the result, and whether no further check can be made in that process.

    Raises:
        ValueError, TypeError, KeyError: the answer is damaged.
    """
    told = json.loads(answer)
    result = told["result"]
    return CheckResult(**{**result, "outcome": Outcome(result["outcome"])}), bool(told["spent"])


def work(channel: "Connection[bytes, bytes]", folder: str) -> None:
    """Make checks until nobody asks any more; called by the guard.

    Args:
        channel: to the process that checks.
        folder: for temporary files.
    """
    trials: list[Trial] = []

    def answer(request: int, content: bytes) -> bytes:
        told = json.loads(content)
        if Ask(request) is Ask.PREPARE:
            trials.append(_prepared(told))
            return b""
        check = next(entry for entry in CHECKS if entry.id == told["check"])
        result = made(check, trials[0], told["failed"])
        plain = {**asdict(result), "outcome": result.outcome.value}
        return json.dumps({"result": plain, "spent": trials[0].is_spent}).encode()

    serve(channel, answer, folder=folder)


def _prepared(job: dict[str, Any]) -> Trial:
    interface = Interface(job["interface"])
    return Trial(
        unpacked=UnpackedFmu(
            info=read_info(Path(job["file"]), interface=interface), folder=Path(job["folder"])
        ),
        options=CheckOptions(**job["options"]),
        interface=interface,
    )
