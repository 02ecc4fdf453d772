"""Commands that run a scenario, and those that read a stored run."""

import contextlib
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.cli.options import EXIT_FAILED, EXIT_VIOLATED, Debug, Json, RunFolder, ScenarioFile
from twin.cli.shell import guarded
from twin.errors import InputError

if TYPE_CHECKING:
    from twin.runner import RunResult

__all__ = ["compare", "export", "report", "run_command"]

_OPTION_NAMES = {"period.start": "--from", "period.days": "--days", "seed": "--seed"}
"""Options that override a scenario value, by the field they set."""


def run_command(
    scenario: ScenarioFile,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", help="Run only this strategy; may be repeated.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="First day instead of the scenario's, e.g. 2016-07-04."),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", help="Number of days instead of the scenario's.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed instead of the scenario's.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for results.")] = Path("results"),
    fail_on_violation: Annotated[
        bool, typer.Option("--fail-on-violation", help="Exit with 3 if a strategy violates a limit.")
    ] = False,
    json_out: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
    debug: Debug = False,
) -> None:
    """Run every strategy of a scenario, compare them and write a report."""

    def work() -> int:
        from twin import console
        from twin.report import write_report
        from twin.runner import RunOptions, run
        from twin.scenario import load_scenario

        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out}: is a file; name a folder")
        changed = _changed(start=start, days=days, seed=seed)
        loaded = load_scenario(scenario, overrides=changed, option_names=_OPTION_NAMES)
        options = RunOptions(strategies=strategy, out=out, changed=changed)
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
        report = write_report(result.folder)
        _show_result(result, report, json_out=json_out, quiet=quiet)
        if result.failed:
            return EXIT_FAILED
        return EXIT_VIOLATED if fail_on_violation and result.violated else 0

    guarded(work, debug=debug)


def report(
    run: RunFolder,
    member: Annotated[
        list[str] | None,
        typer.Option("--member", help="Also write a page for this member of a community; may be repeated."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Build the HTML report of a stored run again."""

    def work() -> int:
        from twin import console
        from twin.report import write_member_page, write_report
        from twin.results import latest_run

        folder = latest_run(run)
        pages = {home: write_member_page(folder, home) for home in member or ()}
        console.say(f"report: {console.path_text(write_report(folder))}")
        for home, page in pages.items():
            console.say(f"member {home}: {console.path_text(page)}")
        return 0

    guarded(work, debug=debug)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Compare the strategies of stored runs in one table."""

    def work() -> int:
        from twin import console
        from twin.compare import stored_columns

        columns = stored_columns(runs)
        if json_out:
            for line in (*columns.legend, *(f"warning: {entry}" for entry in columns.warnings)):
                console.say(line)
            console.json_line(
                {
                    label: console.rows_for_json(column.values, column.verdicts)
                    for label, column in columns.items()
                }
            )
        else:
            console.comparison(
                {label: {value.name: value for value in column.values} for label, column in columns.items()},
                {label: column.verdicts for label, column in columns.items()},
                title="Comparison of stored runs",
                incomplete=columns.incomplete,
                legend=columns.legend,
                warnings=columns.warnings,
            )
        return 0

    guarded(work, debug=debug)


def export(
    run: RunFolder,
    strategy: Annotated[str, typer.Option("--strategy", help="Name of the strategy.")],
    axis: Annotated[str, typer.Option("--axis", help="feeder, bus, line, trafo, home, load, pv or battery.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="CSV file to write.")],
    debug: Debug = False,
) -> None:
    """Write the stored steps of one strategy as CSV."""

    def work() -> int:
        from twin import console
        from twin.report.feeder_file import read_context
        from twin.results import RunReader, latest_run
        from twin.results.export import export_csv
        from twin.signals import Axis

        known = [entry.value for entry in Axis]
        if axis not in known:
            raise InputError(f"--axis {axis}: must be one of {', '.join(known)}")
        reader = RunReader(latest_run(run))
        context = read_context(reader.folder)
        start = datetime.fromtimestamp(context.start_utc_s, tz=UTC)
        export_csv(reader.strategy(strategy), Axis(axis), to, start=start, dt_s=context.dt_s)
        console.say(f"{axis} of {strategy}: {console.path_text(to)}")
        return 0

    guarded(work, debug=debug)


def _changed(*, start: str | None, days: int | None, seed: int | None) -> dict[str, Any]:
    given = {"period.start": start, "period.days": days, "seed": seed}
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
