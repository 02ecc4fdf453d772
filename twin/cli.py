"""The commands. They parse, call and translate errors into exit codes; nothing is computed here.

Exit codes: 0 done, 1 a run failed, 2 bad input, 3 finished but limits violated (only with
``--fail-on-violation``), 130 interrupted.
"""

import contextlib
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.errors import InputError, ScenarioError, TwinError

if TYPE_CHECKING:
    from twin.runner import RunResult

__all__ = ["app", "main"]

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_VIOLATED = 3
EXIT_INTERRUPTED = 130

OPTION_NAMES = {"period.start": "--from", "period.days": "--days", "seed": "--seed"}
"""Options that override a scenario value, by the field they set."""
MOST_MISTAKES = 50
"""More are counted, not shown."""

app = typer.Typer(
    name="twin",
    help="gemello: a digital twin of a distribution feeder with its energy communities.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file (YAML).")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run: results/<scenario>/<run>.")]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]


def main() -> None:
    """Run the command line."""
    app()


@app.command("run")
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
        loaded = load_scenario(scenario, overrides=changed, option_names=OPTION_NAMES)
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

    _guarded(work, debug=debug)


@app.command()
def check(scenario: ScenarioFile, debug: Debug = False) -> None:
    """Check a scenario and everything it refers to, without running it."""

    def work() -> int:
        from twin import console
        from twin.prepare import prepare
        from twin.runner_files import communities_in_words, implausible, left_out
        from twin.scenario import load_scenario

        prepared = prepare(load_scenario(scenario))
        plant, feeder = prepared.plant, prepared.feeder
        console.say(
            f"{scenario}: good. {len(feeder.bus_name)} buses, {plant.n_homes} homes, {len(plant.pv_name)} PV, "
            f"{len(plant.battery_name)} batteries, {plant.n_steps} steps of {plant.dt_s} s, engine "
            f"{prepared.engine.name}, strategies {', '.join(prepared.strategies)}."
        )
        for community in communities_in_words(plant.communities):
            console.say(community)
        for note in (*feeder.notes, *left_out(prepared), *implausible(prepared), *plant.communities.notes):
            console.say(f"note: {note}")
        return 0

    _guarded(work, debug=debug)


@app.command("check-controller")
def check_controller_command(
    controller: Annotated[
        str, typer.Argument(metavar="CLASS", help="module:Class, file.py:Class or a built-in name.")
    ],
    scenario: Annotated[
        Path | None,
        typer.Option("--scenario", help="Check on the plant of this scenario instead of a made-up one."),
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="A parameter; may be repeated.")
    ] = None,
    limit_ms: Annotated[
        float, typer.Option("--limit-ms", help="Largest median time of decide; a finding above it.")
    ] = 50.0,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Check that a strategy keeps to the contract; exit code 1 if it does not."""

    def work() -> int:
        from twin import console
        from twin.conformance import Limits, Subject, check_controller, read_params
        from twin.console_conformance import conformance_table
        from twin.control.registry import resolve

        params, limits = read_params(() if param is None else param), Limits(decide_ms=limit_ms)
        # what is printed while a class is loaded must not mix with the result
        with contextlib.redirect_stdout(sys.stderr):
            subject = Subject(name=controller, factory=resolve(controller, Path.cwd()), params=params)
            case = None
            if scenario is not None:
                from twin.conformance.from_scenario import case_of_file

                case = case_of_file(scenario)
        report = check_controller(subject, case=case, limits=limits)
        if json_out:
            console.json_line(report.to_dict())
        else:
            conformance_table(report)
        return 0 if report.passed else EXIT_FAILED

    _guarded(work, debug=debug)


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from twin import console
    from twin.scenario import scenario_json_schema

    console.json_line(scenario_json_schema())


@app.command()
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

    _guarded(work, debug=debug)


@app.command()
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

    _guarded(work, debug=debug)


@app.command()
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

    _guarded(work, debug=debug)


@app.command()
def feeder(
    source: Annotated[
        str,
        typer.Argument(metavar="CODE|FILE", help="simbench:CODE, pandapower:NAME, or a .json or .xlsx file."),
    ],
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Print what is on a feeder."""

    def work() -> int:
        from models.errors import FeederError
        from models.feeder import describe, load_feeder
        from twin import console

        try:
            description = describe(load_feeder(_full_source(source), Path.cwd()))
        except FeederError as error:
            raise InputError(str(error)) from error
        if json_out:
            console.json_line(description)
        else:
            console.feeder_table(description)
        return 0

    _guarded(work, debug=debug)


def _full_source(source: str) -> str:
    """Let a bare SimBench code stand for itself."""
    is_file = Path(source).suffix.lower() in {".json", ".xlsx", ".xls"} or Path(source).exists()
    is_code = ":" not in source and not is_file
    return f"simbench:{source}" if is_code else source


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


def _error_text(error: TwinError) -> str:
    if not isinstance(error, ScenarioError) or len(error.mistakes) <= MOST_MISTAKES:
        return f"error: {error}"
    shown = "\n".join(str(mistake) for mistake in error.mistakes[:MOST_MISTAKES])
    return f"error: {shown}\n... and {len(error.mistakes) - MOST_MISTAKES} more mistakes"


def _guarded(work: Callable[[], int], *, debug: bool) -> None:
    """Run a command's work and leave with its exit code; one line per error unless ``debug``."""
    # a job that is cancelled ends like one that is interrupted, with what it has stored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = work()
    except KeyboardInterrupt:
        typer.echo("interrupted; what was stored is kept", err=True)
        code = EXIT_INTERRUPTED
    except TwinError as error:
        if debug:
            traceback.print_exc()
        typer.echo(_error_text(error), err=True)
        code = EXIT_BAD_INPUT if isinstance(error, InputError) else EXIT_FAILED
    except Exception as error:  # noqa: BLE001  # the last resort of a command line
        if debug:
            traceback.print_exc()
        typer.echo(
            f"error: {type(error).__name__}: {error} (this is a defect; --debug shows where)", err=True
        )
        code = EXIT_FAILED
    sys.exit(code)
