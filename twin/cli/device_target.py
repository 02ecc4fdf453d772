"""Options that say where a device is, and errors of the wire as errors of a command."""

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.errors import InputError, RunError

if TYPE_CHECKING:
    from hil_adapters.maps.schema import RegisterMap
    from hil_adapters.wire.base import Target

__all__ = [
    "Host",
    "Line",
    "MapName",
    "ParityOption",
    "Port",
    "Unit",
    "existing_file",
    "parity_option",
    "target_of",
    "unit_of",
    "wire_errors",
]

MapName = Annotated[
    str,
    typer.Argument(metavar="MAP", help="Register map: a shipped one by name, or a file ending in .yaml."),
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host", help="Address of the device: HOST, HOST:PORT, or rtu+tcp://HOST:PORT for a serial server."
    ),
]
Port = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="TCP port instead of that of the map.")
]
Unit = Annotated[
    int | None, typer.Option("--unit", min=0, max=255, help="Unit id instead of that of the map.")
]
Line = Annotated[
    str | None,
    typer.Option("--line", metavar="PATH[@BAUD]", help="Serial line instead of --host: /dev/ttyUSB0@19200."),
]


class ParityOption(StrEnum):
    """Parity of a serial line."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


parity_option = Annotated[ParityOption, typer.Option("--parity", help="Parity of the serial line.")]


def target_of(
    *, host: str | None, port: int | None, line: str | None, parity: ParityOption, default_port: int
) -> "Target":
    """Return where the device is.

    Raises:
        InputError: the options name no place, or two.
    """
    import dataclasses

    from hil_adapters.errors import LinkError
    from hil_adapters.wire.base import Parity, SerialTarget, TcpTarget
    from hil_adapters.wire.targets import parse_target

    if (host is None) == (line is None):
        raise InputError("say where the device is: --host ADDRESS, or --line /dev/ttyUSB0@19200")
    try:
        if line is not None:
            if port is not None:
                raise InputError("--port goes with --host; a serial line has none")
            target = parse_target(f"rtu:{line}")
            if isinstance(target, SerialTarget):
                return dataclasses.replace(target, parity=Parity(parity.value))
            return target
        target = parse_target(str(host))
    except LinkError as error:
        raise InputError(str(error)) from error
    says_port = str(host).rpartition("]")[2].count(":") == 1 or "://" in str(host)
    if isinstance(target, TcpTarget) and not says_port:
        return dataclasses.replace(target, port=default_port if port is None else port)
    if port is not None:
        raise InputError(f"--host {host} and --port {port} both say a port; keep one")
    return target


def unit_of(unit: int | None, register_map: "RegisterMap") -> int:
    """Return the unit that was asked for, or that of the map."""
    return register_map.link.unit if unit is None else unit


def existing_file(file: Path) -> Path:
    """Return a file that is there.

    Raises:
        InputError: it is not.
    """
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    return file


@contextlib.contextmanager
def wire_errors() -> Iterator[None]:
    """Translate errors of the wire: a map or a script that is wrong is bad input, everything else a failure."""
    from hil_adapters.errors import FaultScriptError, HilError, MapError

    try:
        yield
    except (MapError, FaultScriptError) as error:
        raise InputError(str(error)) from error
    except HilError as error:
        raise RunError(str(error)) from error
