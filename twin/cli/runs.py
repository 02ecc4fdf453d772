"""Commands that run a scenario, and those that read a stored run."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from twin.cli.options import EXIT_VIOLATED, Debug, Duration, Json, RunFolder, ScenarioFile
from twin.cli.running import OPTION_NAMES, changed_values, check_out, exit_code_of, run_and_show
from twin.cli.shell import guarded
from twin.errors import InputError

__all__ = ["compare", "export", "report", "run_command"]


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
    duration: Duration = None,
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
        from twin.runner import RunOptions
        from twin.scenario import load_scenario

        check_out(out)
        changed = changed_values(start=start, days=days, duration=duration, seed=seed)
        loaded = load_scenario(scenario, overrides=changed, option_names=OPTION_NAMES)
        options = RunOptions(strategies=strategy, out=out, changed=changed)
        result = run_and_show(loaded, options, json_out=json_out, quiet=quiet)
        code = exit_code_of(result)
        return EXIT_VIOLATED if code == 0 and fail_on_violation and result.violated else code

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
