"""``twin fmu``: look at an FMU, check it, and export our devices as FMUs."""

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.cli.options import EXIT_FAILED, Debug, Json
from twin.cli.shell import guarded
from twin.errors import InputError

if TYPE_CHECKING:
    from models.fmu.base import Value

__all__ = ["fmu_app"]

fmu_app = typer.Typer(
    name="fmu",
    help="FMUs: look at one, check it, export our devices.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

FmuFile = Annotated[Path, typer.Argument(metavar="FILE", help="FMU file, FMI 2.0 or 3.0.")]


class InterfaceOption(StrEnum):
    """Interface of an FMU, as a scenario writes it."""

    AUTO = "auto"
    CO_SIMULATION = "co_simulation"
    MODEL_EXCHANGE = "model_exchange"


class VersionOption(StrEnum):
    """Version of the FMI standard."""

    FMI2 = "2"
    FMI3 = "3"


@fmu_app.command("inspect")
def inspect_command(
    file: FmuFile,
    every: Annotated[bool, typer.Option("--all", help="List local variables too.")] = False,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Show the variables of an FMU, what it can do, and a mapping to start from."""

    def work() -> int:
        with _fmu_errors():
            from models.fmu.reading.description import read_info
            from models.fmu.reading.proposal import propose
            from twin import console, console_fmu

            info = read_info(_existing(file))
            wires = propose(info)
        if json_out:
            console.json_line(console_fmu.inspection_for_json(info, wires))
        else:
            console_fmu.inspection(info, wires, with_locals=every)
        return 0

    guarded(work, debug=debug)


@fmu_app.command("check")
def check_command(
    file: FmuFile,
    step_s: Annotated[
        float | None, typer.Option("--step-s", help="Communication step [s] instead of the FMU's own.")
    ] = None,
    stop_s: Annotated[
        float | None, typer.Option("--stop-s", help="Length of the trial runs [s] instead of the FMU's own.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter or start value; may be repeated."),
    ] = None,
    interface: Annotated[
        InterfaceOption, typer.Option("--interface", help="Which interface is tried.")
    ] = InterfaceOption.AUTO,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="In this process: a crash of the FMU ends the command.")
    ] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", help="A check that takes longer counts as hung.")
    ] = 60.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 also where it works with warnings.")
    ] = False,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Check an FMU by its description and by trial runs; exit code 1 if it does not work."""

    def work() -> int:
        with _fmu_errors():
            from models.fmu.base import Interface
            from models.fmu.checking.options import CheckOptions
            from models.fmu.checking.printing import printed_to_stderr
            from models.fmu.checking.report import Verdict
            from models.fmu.checking.suite import check_fmu
            from twin import console, console_fmu

            if timeout_s <= 0:
                raise InputError(f"--timeout-s {timeout_s:g}: must be more than 0")
            options = CheckOptions(
                stop_s=stop_s,
                step_s=step_s,
                interface=Interface(interface.value),
                parameters=_values("--set", values or ()),
                trusted=trusted,
                timeout_s=timeout_s,
            )
            # what an FMU prints must not mix with the result
            with console_fmu.CheckProgress() as progress, printed_to_stderr():
                report = check_fmu(_existing(file), options, watch=progress.show)
        if json_out:
            console.json_line(report.to_dict())
        else:
            console_fmu.check_table(report)
        accepted = {Verdict.WORKS} if strict else {Verdict.WORKS, Verdict.WORKS_WITH_WARNINGS}
        return 0 if report.verdict in accepted else EXIT_FAILED

    guarded(work, debug=debug)


@fmu_app.command("export")
def export_command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Kind of device; `twin fmu list` has them.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the device; may be repeated."),
    ] = None,
    fmi: Annotated[
        VersionOption, typer.Option("--fmi", help="2: one device; 3: as many as its parameter n says.")
    ] = VersionOption.FMI2,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="File to write; default KIND_fmi2.fmu here.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Write one of our devices with your parameters as an FMU for other tools."""

    def work() -> int:
        with _fmu_errors():
            from models.fmu.ours.export import export_fmu
            from twin import console

            file = Path(f"{kind}_fmi{fmi.value}.fmu") if to is None else to
            if file.suffix.lower() != ".fmu":
                raise InputError(f"--to {file}: must end in .fmu")
            written = export_fmu(
                kind, file, fmi=f"{fmi.value}.0", parameters=_numbers("--param", param or ())
            )
        console.say(f"{kind}, FMI {fmi.value}.0: {console.path_text(written)}")
        return 0

    guarded(work, debug=debug)


@fmu_app.command("list")
def list_command(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="Show the variables of this kind.")
    ] = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """List the devices that are shipped as FMUs, or the variables of one."""

    def work() -> int:
        with _fmu_errors():
            from models.fmu.ours.catalogue import SHIPPED, device_kind
            from twin import console, console_fmu_kinds

            shown = [device_kind(name) for name in (SHIPPED if kind is None else [kind])]
        if json_out:
            console.json_line(console_fmu_kinds.kinds_for_json(shown))
        else:
            console_fmu_kinds.kinds(shown, with_variables=kind is not None)
        return 0

    guarded(work, debug=debug)


@contextlib.contextmanager
def _fmu_errors() -> Iterator[None]:
    """Translate what is wrong with an FMU into bad input; refuse to begin without FMPy."""
    if importlib.util.find_spec("fmpy") is None:
        raise InputError('FMUs need FMPy, which is not installed; pip install "gemello[fmu]"')
    from models.errors import DeviceError, FmuError

    try:
        yield
    except (DeviceError, FmuError) as error:
        raise InputError(str(error)) from error


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    return file


def _values(option: str, given: Iterable[str]) -> "dict[str, Value]":
    """Return ``NAME=VALUE`` options: numbers, true and false, or text; quotes make a text of anything."""
    values: dict[str, Value] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name.strip() or not equals:
            raise InputError(f"{option} {text}: must be NAME=VALUE, e.g. {option} mass.m=2.5")
        values[name.strip()] = _value(value.strip())
    return values


def _value(text: str) -> "Value":
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


def _numbers(option: str, given: Iterable[str]) -> dict[str, float]:
    values = _values(option, given)
    for name, value in values.items():
        if isinstance(value, str):
            raise InputError(f"{option} {name}={value}: must be a number")
    return {name: float(value) for name, value in values.items()}
