"""The process that runs the FMU for the checks: ``python -m models.fmu.checking.child``.

A line of JSON with the work comes on stdin; a line of JSON goes to stdout when a check begins and when it ends. What
the FMU prints goes to stderr. The process ends when stdin is closed, so that it never outlives the one that checks.
"""

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from models.fmu.base import Interface, UnpackedFmu
from models.fmu.checking.catalogue import CHECKS, made
from models.fmu.checking.options import CheckOptions
from models.fmu.checking.report import Outcome
from models.fmu.checking.trial import Trial
from models.fmu.reading.description import read_info

__all__ = ["job_line", "main"]

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def job_line(trial: Trial, *, done: list[str], failed: list[str]) -> str:
    """Return the line that tells the process what to do: all checks but those of ``done``."""
    options = trial.options
    return json.dumps(
        {
            "file": str(trial.info.file.resolve()),
            "folder": str(trial.unpacked.folder),
            "interface": trial.interface.value,
            "done": done,
            "failed": failed,
            "options": {
                "stop_s": options.stop_s,
                "step_s": options.step_s,
                "parameters": dict(options.parameters),
                "timeout_s": options.timeout_s,
            },
        }
    )


def main() -> None:
    """Make the checks that are asked for."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    results = os.fdopen(os.dup(_STDOUT), "w", encoding="utf-8")
    os.dup2(_STDERR, _STDOUT)
    interface = Interface(job["interface"])
    info = read_info(Path(job["file"]), interface=interface)
    trial = Trial(
        unpacked=UnpackedFmu(info=info, folder=Path(job["folder"])),
        options=CheckOptions(**job["options"]),
        interface=interface,
    )
    failed = set(job["failed"])
    for check in CHECKS:
        if check.id in job["done"]:
            continue
        _say(results, {"begins": check.id})
        result = made(check, trial, failed)
        if result.outcome is Outcome.FAILED:
            failed.add(check.id)
        _say(results, {"result": {**asdict(result), "outcome": result.outcome.value}})


def _say(results: TextIO, message: dict[str, Any]) -> None:
    results.write(json.dumps(message) + "\n")
    results.flush()


def _end_with_parent() -> None:
    """Wait for the end of stdin and leave at once, even if the FMU hangs."""
    # read past Python's buffer: a thread that waits inside it would stop the interpreter from ending
    while os.read(_STDIN, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
