"""``twin device check``: the acceptance test of a device, needed before it may be commanded."""

import asyncio
import datetime as dt
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.cli.device_target import (
    Host,
    Line,
    MapName,
    Parity,
    ParityOption,
    Place,
    Port,
    TlsAuthority,
    TlsCertificate,
    TlsKey,
    Unit,
    unit_of,
    wire_errors,
)
from twin.cli.options import EXIT_FAILED, Debug, Json
from twin.cli.shell import guarded
from twin.errors import InputError

if TYPE_CHECKING:
    from hil_adapters.acceptance.options import MeterOptions
    from hil_adapters.device.identity import Identity
    from hil_adapters.guard.messages import Limits
    from hil_adapters.maps.schema import RegisterMap

__all__ = ["check_command"]

_LOW_HIGH = 2
_WITH_RAMP = 3


def check_command(
    map_: MapName,
    host: Host = None,
    port: Port = None,
    unit: Unit = None,
    line: Line = None,
    parity: Parity = ParityOption.EVEN,
    tls_ca: TlsAuthority = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    serial: Annotated[
        str | None, typer.Option("--serial", help="Serial number that must answer; else any device will do.")
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write/--no-write", help="Try commands too, within --limit; needed to arm the device."
        ),
    ] = False,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="COMMAND=LOW:HIGH[:RAMP]",
            help="Limits of the lab for a command, kW and kW/s: p_limit_kw=0:5; or for a signal, which ends the test "
            "outside: temp_degc=0:70, soc=0.1:0.9; may be repeated.",
        ),
    ] = None,
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", metavar="SERIAL", help="Allow writes without asking; for scripts."),
    ] = None,
    meter: Annotated[
        str | None,
        typer.Option("--meter", metavar="MAP@HOST[:PORT]", help="A meter at the terminal of the device."),
    ] = None,
    meter_unit: Annotated[
        int | None, typer.Option("--meter-unit", min=0, max=255, help="Unit id of the meter.")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1.0, max=86400.0, help="How long it is only read [s].")
    ] = 60.0,
    poll_s: Annotated[
        float, typer.Option("--poll-s", min=0.05, max=10.0, help="Period of readings [s].")
    ] = 0.2,
    settle_s: Annotated[
        float, typer.Option("--settle-s", min=1.0, max=600.0, help="How long a step may take to settle [s].")
    ] = 15.0,
    valid_days: Annotated[
        float, typer.Option("--valid-days", min=0.01, max=366.0, help="How long the report counts.")
    ] = 30.0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="JSON file; default acceptance_MAP_SERIAL.json here."),
    ] = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Test a device: who it is, how fast it answers, whether it does what it is told and lets go by itself.

    Writes a report (JSON for the guard, HTML for people) and everything that was sent and read. Exit code 1 where it failed.
    """

    def work() -> int:
        from hil_adapters.acceptance.looking import who_answers
        from hil_adapters.acceptance.options import AcceptanceOptions
        from hil_adapters.acceptance.pages import write_reports
        from hil_adapters.acceptance.suite import run_acceptance
        from hil_adapters.maps.loader import load_map, map_file
        from twin import console, console_acceptance

        place = Place(
            host=host, port=port, line=line, parity=parity, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key
        )
        with wire_errors():
            register_map = load_map(map_)
            target = place.target(register_map.link.port)
            limits = _limits(limit or [], register_map)
            if write and not set(limits) & set(register_map.commands):
                raise InputError(
                    "--write needs a limit of the lab for each command to try: --limit p_limit_kw=0:5"
                )
            used_unit = unit_of(unit, register_map)
            meter_options = None if meter is None else _meter(meter, meter_unit)
            file = out
            if file is not None and file.suffix != ".json":
                raise InputError(f"--out {file}: must end in .json")
            identity = asyncio.run(who_answers(register_map, target, used_unit, serial=serial))
            console.say(f"{target}, unit {used_unit}: {identity}")
            confirmation = _confirmation(identity, confirm) if write else None
            if file is None:
                file = Path(f"acceptance_{register_map.name}_{_in_a_name(identity.serial)}.json")
            started = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
            options = AcceptanceOptions(
                map_file=map_file(map_).absolute(),
                target=target,
                unit=used_unit,
                folder=file.with_name(f"{file.stem}_evidence") / started,
                serial=identity.serial,
                confirmation=confirmation,
                limits=limits,
                meter=meter_options,
                seconds=seconds,
                poll_s=poll_s,
                settle_s=settle_s,
                valid_days=valid_days,
            )
            console.say(f"reading for {seconds:g} s ...")
            try:
                result = asyncio.run(run_acceptance(options, watch=console_acceptance.check_line))
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None
            page = write_reports(result, file)
        if json_out:
            console.json_line(result.report.model_dump(mode="json"))
        console_acceptance.verdict(result)
        console.say(f"report: {console.path_text(file)}, {console.path_text(page)}")
        return 0 if result.passed else EXIT_FAILED

    guarded(work, debug=debug)


def _limits(given: list[str], register_map: "RegisterMap") -> "dict[str, Limits]":
    """Return the limits of the lab: of commands, and of measured signals, which the guard watches."""
    from hil_adapters.guard.messages import Limits

    found: dict[str, Limits] = {}
    for text in given:
        command, sign, bounds = text.partition("=")
        numbers = [_number(part) for part in bounds.split(":")]
        if not sign or len(numbers) not in {_LOW_HIGH, _WITH_RAMP} or any(each is None for each in numbers):
            raise InputError(f"--limit {text}: write COMMAND=LOW:HIGH or COMMAND=LOW:HIGH:RAMP in kW, kW/s")
        if command not in {*register_map.commands, *register_map.signals}:
            has = ", ".join((*register_map.commands, *register_map.signals))
            raise InputError(f"--limit {text}: the map has no command or signal {command}; it has {has}")
        low, high, *ramp = (each for each in numbers if each is not None)
        if not low < high or (ramp and not ramp[0] > 0.0):
            raise InputError(f"--limit {text}: the smaller bound comes first, and a ramp is above zero")
        found[command] = Limits(low=low, high=high, ramp_per_s=ramp[0] if ramp else None)
    return found


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _meter(text: str, unit: int | None) -> "MeterOptions":
    from hil_adapters.acceptance.options import MeterOptions
    from hil_adapters.maps.loader import load_map, map_file

    name, sign, host = text.partition("@")
    if not sign or not name or not host:
        raise InputError(f"--meter {text}: write MAP@HOST or MAP@HOST:PORT")
    register_map = load_map(name)
    place = Place(host=host, port=None, line=None, parity=ParityOption.EVEN)
    return MeterOptions(
        map_file=map_file(name).absolute(),
        target=place.target(register_map.link.port),
        unit=unit_of(unit, register_map),
    )


def _confirmation(identity: "Identity", given: str | None) -> str:
    """Return the serial number as a person typed it."""
    if identity.serial is None:
        raise InputError(
            "the device tells no serial number; it cannot be written to (test it with --no-write)"
        )
    if given is None:
        if not sys.stdin.isatty():
            raise InputError("nobody is there to confirm writes; run in a terminal or give --confirm SERIAL")
        typer.echo(
            "This device will be commanded within the limits given, and left alone to see whether it lets go by itself. "
            "Somebody must be able to switch it off. Type its serial number to go on:",
            err=True,
        )
        given = str(typer.prompt("serial number", err=True)).strip()
    if given != identity.serial:
        raise InputError(
            f"{given} is not the serial number that answers ({identity.serial}); nothing was written"
        )
    return given


def _in_a_name(serial: str | None) -> str:
    """Return a serial number as a part of a file name."""
    return "".join(each if each.isalnum() or each in "-_" else "_" for each in serial or "unknown")
