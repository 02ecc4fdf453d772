"""``twin device``: find a device on the wire, look at it, serve one, spoil one, test one."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from twin.cli.device_check import check_command
from twin.cli.device_proxy import proxy_command
from twin.cli.device_serve import serve_command
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
from twin.errors import InputError, RunError

__all__ = ["device_app"]

device_app = typer.Typer(
    name="device",
    help="Devices on Modbus: find one, read it, watch it, test it; serve a virtual one; put faults in between.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

device_app.command("check")(check_command)
device_app.command("serve")(serve_command)
device_app.command("proxy")(proxy_command)

_LAST_UNIT = 255
_MODBUS_PORT = 502
_USUAL_UNITS = "1-10,71,255"
"""The first ones, and those of the shipped maps."""


@device_app.command("maps")
def maps_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this map: a shipped one, or a file.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="The JSON Schema of register maps.")] = False,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """List the register maps that are shipped, or show one."""

    def work() -> int:
        from hil_adapters.maps.loader import json_schema, load_map, map_names
        from twin import console, console_maps

        if schema and name is not None:
            raise InputError("--schema is about all maps; leave out the name")
        with wire_errors():
            if schema:
                console.json_line(json_schema())
            elif name is None:
                shown = [load_map(each) for each in map_names()]
                if json_out:
                    console.json_line([console_maps.map_for_json(each) for each in shown])
                else:
                    console_maps.maps(shown)
            elif json_out:
                console.json_line(
                    load_map(name).model_dump(mode="json", by_alias=True, exclude_defaults=True)
                )
            else:
                console_maps.one_map(load_map(name))
        return 0

    guarded(work, debug=debug)


@device_app.command("scan")
def scan_command(
    where: Annotated[
        str, typer.Argument(metavar="HOST[:PORT]", help="Address; rtu:/dev/ttyUSB0@19200 for a serial line.")
    ],
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="TCP port, where HOST says none.")
    ] = None,
    units: Annotated[
        str, typer.Option("--units", metavar="LIST", help="Units to try, numbers and ranges.")
    ] = _USUAL_UNITS,
    parity: Parity = ParityOption.EVEN,
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0.05, max=10.0, help="Wait for each answer [s].")
    ] = 0.5,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Find out which units answer and which register maps fit them. Nothing is written."""

    def work() -> int:
        from hil_adapters.acceptance.scanning import UnitFound, scan_units
        from hil_adapters.errors import LinkLostError
        from hil_adapters.wire.base import TcpTarget
        from twin import console, console_device

        target = Place(host=where, port=port, line=None, parity=parity).target(_MODBUS_PORT)
        tried = _units(units)

        async def scan() -> list[UnitFound]:
            found = []
            async for unit in scan_units(target, tried, timeout_s=timeout_s):
                found.append(unit)
                if not json_out:
                    console_device.scanned(unit)
            return found

        with wire_errors():
            try:
                found = asyncio.run(scan())
            except LinkLostError as error:
                if not isinstance(target, TcpTarget) or target.port != _MODBUS_PORT:
                    raise
                raise LinkLostError(f"{error}; for another port write HOST:PORT") from error
        if json_out:
            console.json_line([console_device.unit_for_json(unit) for unit in found])
        elif not found:
            console.say(f"{target}: none of the units {units} answers; try others with --units")
        return 0 if found else EXIT_FAILED

    guarded(work, debug=debug)


@device_app.command("read")
def read_command(
    map_: MapName,
    host: Host = None,
    port: Port = None,
    unit: Unit = None,
    line: Line = None,
    parity: Parity = ParityOption.EVEN,
    tls_ca: TlsAuthority = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    point: Annotated[
        list[str] | None, typer.Option("--point", metavar="NAME", help="Only this point; may be repeated.")
    ] = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Read every point of a device once. Nothing is written."""

    def work() -> int:
        from hil_adapters.acceptance.looking import look_at
        from hil_adapters.maps.loader import load_map
        from twin import console, console_device

        place = Place(
            host=host, port=port, line=line, parity=parity, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key
        )
        with wire_errors():
            register_map = load_map(map_)
            target = place.target(register_map.link.port)
            seen = asyncio.run(look_at(register_map, target, unit_of(unit, register_map), points=point))
        if json_out:
            console.json_line(console_device.look_for_json(seen))
        else:
            console_device.look(seen)
        if point is None and not seen.says_anything:
            raise RunError(
                f"{target}, unit {seen.unit}: no point of map {seen.map.name} can be read; wrong map?"
            )
        return 0

    guarded(work, debug=debug)


@device_app.command("watch")
def watch_command(
    map_: MapName,
    host: Host = None,
    port: Port = None,
    unit: Unit = None,
    line: Line = None,
    parity: Parity = ParityOption.EVEN,
    tls_ca: TlsAuthority = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    poll_s: Annotated[float, typer.Option("--poll-s", min=0.05, max=60.0, help="Period [s].")] = 0.5,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.0, help="End by itself after this time [s].")
    ] = None,
    debug: Debug = False,
) -> None:
    """Show the signals of a device as they change; q or Ctrl-C ends it. Nothing is written.

    Where the output is not a terminal, one line of JSON is written for every period.
    """

    def work() -> int:
        from hil_adapters.maps.loader import load_map
        from twin.console_watch import watch

        place = Place(
            host=host, port=port, line=line, parity=parity, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key
        )
        with wire_errors():
            register_map = load_map(map_)
            target = place.target(register_map.link.port)
            used_unit = unit_of(unit, register_map)
            if not watch(register_map, target, used_unit, poll_s=poll_s, seconds=seconds):
                raise RunError(
                    f"{target}, unit {used_unit}: never answered; check address, unit, cabling and other clients"
                )
        return 0

    guarded(work, debug=debug)


@device_app.command("discover")
def discover_command(
    host: Host = None,
    port: Port = None,
    unit: Annotated[int, typer.Option("--unit", min=0, max=255, help="Unit id.")] = 1,
    line: Line = None,
    parity: Parity = ParityOption.EVEN,
    tls_ca: TlsAuthority = None,
    tls_cert: TlsCertificate = None,
    tls_key: TlsKey = None,
    points: Annotated[bool, typer.Option("--points", help="With every point and its value.")] = False,
    yaml: Annotated[
        Path | None,
        typer.Option(
            "--yaml", metavar="FILE", help="Write a register map with what was found, to start from."
        ),
    ] = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Find the SunSpec models of a device, their addresses and points. Nothing is written to it."""

    def work() -> int:
        from hil_adapters.acceptance.looking import explore
        from hil_adapters.maps.loader import load_map
        from twin import console, console_device

        place = Place(
            host=host, port=port, line=line, parity=parity, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key
        )
        with wire_errors():
            default_port = load_map("sunspec_pv").link.port
            target = place.target(default_port)
            found = asyncio.run(explore(target, unit))
            if yaml is not None:
                from hil_adapters.acceptance.drafting import write_draft

                write_draft(found, yaml)
        if json_out:
            console.json_line(console_device.discovery_for_json(found))
        else:
            console_device.discovery(found, with_points=points)
        if yaml is not None:
            console.say(f"a register map to start from: {console.path_text(yaml)}")
        return 0

    guarded(work, debug=debug)


def _units(text: str) -> list[int]:
    """Return the units of a list such as ``1-10, 71``, each once."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--units {text}: write numbers and ranges, as in 1-10,71")
        low, high = int(first), int(last) if dash else int(first)
        if not low <= high <= _LAST_UNIT:
            raise InputError(f"--units {text}: units are 0 to {_LAST_UNIT}, the smaller one first")
        found.extend(range(low, high + 1))
    return list(dict.fromkeys(found))
