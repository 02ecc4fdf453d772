"""What the commands that run a scenario share."""

import contextlib
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin.cli.options import EXIT_FAILED, EXIT_INTERRUPTED
from twin.errors import InputError

if TYPE_CHECKING:
    from twin.runner import RunOptions, RunResult
    from twin.scenario import LoadedScenario

__all__ = ["OPTION_NAMES", "changed_values", "check_out", "exit_code_of", "run_and_show"]

OPTION_NAMES = {
    "period.start": "--from",
    "period.days": "--days",
    "period.duration_s": "--duration",
    "seed": "--seed",
}
"""Options that override a scenario value, by the field they set."""


def check_out(out: Path) -> None:
    """Refuse a file where a folder is meant."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")


def run_and_show(
    loaded: "LoadedScenario", options: "RunOptions", *, json_out: bool, quiet: bool
) -> "RunResult":
    """Run a scenario, write the report, show progress and the comparison."""
    from twin import console
    from twin.report import write_report
    from twin.runner import run

    if not quiet:
        options = replace(options, live=replace(options.live, say=console.say))
    if json_out:
        # what a strategy prints must not mix with the JSON
        with contextlib.redirect_stdout(sys.stderr):
            result = run(loaded, options)
    elif quiet:
        result = run(loaded, options)
    else:
        with console.ProgressBars() as progress:
            result = run(loaded, options, progress)
    for failed in result.failed:
        console.say(f"error: {failed.label}: {failed.message}")
    if json_out or quiet:  # else the table has them below it
        for entry in result.strategies:
            for reason in () if entry.live is None else entry.live.invalid:
                console.say(f"error: {entry.label}: the run does not count: {reason}")
    report = write_report(result.folder)
    _show_result(result, report, json_out=json_out, quiet=quiet)
    return result


def exit_code_of(result: "RunResult") -> int:
    """Return the exit code of a run, limits aside."""
    if result.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILED if result.failed or result.invalid else 0


def changed_values(
    *,
    start: str | None = None,
    days: int | None = None,
    duration: str | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Return the scenario values that options replace, by field."""
    given = {"period.start": start, "period.days": days, "period.duration_s": duration, "seed": seed}
    if days is not None and duration is not None:
        raise InputError("--days and --duration say the same twice; give one")
    if start is not None:
        try:
            date.fromisoformat(start)
        except ValueError as error:
            raise InputError(f"--from {start}: not a date such as 2016-07-04") from error
    return {path: value for path, value in given.items() if value is not None}


def _show_result(result: "RunResult", report: Path, *, json_out: bool, quiet: bool) -> None:
    from twin import console

    if json_out:
        console.json_line(
            {
                "run": str(result.folder),
                "report": str(report),
                "strategies": {
                    entry.name: {
                        "status": entry.status.value,
                        "message": entry.message,
                        "invalid": [] if entry.live is None else list(entry.live.invalid),
                        **console.rows_for_json(entry.values, entry.verdicts),
                    }
                    for entry in result.strategies
                },
            }
        )
    elif not quiet:
        finished = [entry for entry in result.strategies if entry not in result.failed]
        if finished:
            console.comparison(
                {entry.label: {value.name: value for value in entry.values} for entry in finished},
                {entry.label: entry.verdicts for entry in finished},
                title=f"Strategies compared: {result.folder.parent.name}",
            )
            for caution in result.cautions:
                console.say(f"note: {caution}")
        console.say(f"report: {console.path_text(report)}")
