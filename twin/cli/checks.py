"""Commands that check or describe what a scenario is made of."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from twin.cli.options import EXIT_FAILED, Debug, Json, ScenarioFile
from twin.cli.shell import guarded
from twin.errors import InputError

__all__ = ["check", "check_controller_command", "feeder", "schema"]


def check(scenario: ScenarioFile, debug: Debug = False) -> None:
    """Check a scenario and everything it refers to, without running it."""

    def work() -> int:
        from twin import console
        from twin.prepare import prepare, start_devices
        from twin.runner_files import communities_in_words, devices_in_words, implausible, left_out
        from twin.scenario import load_scenario

        prepared = prepare(load_scenario(scenario))
        start_devices(prepared)
        plant, feeder = prepared.plant, prepared.feeder
        console.say(
            f"{scenario}: good. {len(feeder.bus_name)} buses, {plant.n_homes} homes, {len(plant.pv_name)} PV, "
            f"{len(plant.battery_name)} batteries, {plant.n_steps} steps of {plant.dt_s} s, engine "
            f"{prepared.engine.name}, strategies {', '.join(prepared.strategies)}."
        )
        for sentence in (*communities_in_words(plant.communities), *devices_in_words(plant)):
            console.say(sentence)
        if prepared.loop is not None:
            console.say(prepared.loop.text)
        for note in (*feeder.notes, *left_out(prepared), *implausible(prepared), *plant.communities.notes):
            console.say(f"note: {note}")
        return 0

    guarded(work, debug=debug)


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

    guarded(work, debug=debug)


def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    from twin import console
    from twin.scenario import scenario_json_schema

    console.json_line(scenario_json_schema())


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

    guarded(work, debug=debug)


def _full_source(source: str) -> str:
    """Let a bare SimBench code stand for itself."""
    is_file = Path(source).suffix.lower() in {".json", ".xlsx", ".xls"} or Path(source).exists()
    is_code = ":" not in source and not is_file
    return f"simbench:{source}" if is_code else source
