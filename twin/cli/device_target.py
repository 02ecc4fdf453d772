"""Options that say where a device is, and errors of the wire as errors of a command."""

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.errors import InputError, RunError

if TYPE_CHECKING:
    from hil_adapters.maps.schema import RegisterMap
    from hil_adapters.wire.base import Target, TcpTarget

__all__ = [
    "Host",
    "Line",
    "MapName",
    "Parity",
    "ParityOption",
    "Place",
    "Port",
    "TlsAuthority",
    "TlsCertificate",
    "TlsKey",
    "Unit",
    "existing_file",
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


_RTU = "rtu:"


class ParityOption(StrEnum):
    """Parity of a serial line."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


Parity = Annotated[ParityOption, typer.Option("--parity", help="Parity of the serial line.")]
TlsAuthority = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", metavar="FILE", help="Modbus/TCP Security: certificates of those who sign for devices."
    ),
]
TlsCertificate = Annotated[
    Path | None,
    typer.Option("--tls-cert", metavar="FILE", help="Certificate of this program, with its role."),
]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a device is, as a person typed it."""

    host: str | None
    port: int | None
    line: str | None
    parity: ParityOption
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def target(self, default_port: int) -> "Target":
        """Return where the device is.

        Raises:
            InputError: the options name no place, or two, or TLS is not complete.
        """
        from hil_adapters.errors import LinkError

        if (self.host is None) == (self.line is None):
            raise InputError("say where the device is: --host ADDRESS, or --line /dev/ttyUSB0@19200")
        try:
            if self.line is not None:
                return self._serial(self.line)
            return self._network(str(self.host), default_port)
        except LinkError as error:
            raise InputError(str(error)) from error

    def _serial(self, line: str) -> "Target":
        from hil_adapters.wire.base import Parity as LineParity
        from hil_adapters.wire.base import SerialTarget
        from hil_adapters.wire.targets import parse_target

        if self.port is not None or self._tls_files() is not None:
            raise InputError("--port and --tls-... go with --host; a serial line has neither")
        target = parse_target(line if line.startswith(_RTU) else f"{_RTU}{line}")
        if isinstance(target, SerialTarget):
            return dataclasses.replace(target, parity=LineParity(self.parity.value))
        return target

    def _network(self, host: str, default_port: int) -> "Target":
        from hil_adapters.wire.base import TcpTarget
        from hil_adapters.wire.targets import parse_target

        if host.startswith(_RTU):
            return self._serial(host)
        target = parse_target(host)
        says_port = host.rpartition("]")[2].count(":") == 1 or "://" in host
        if says_port and self.port is not None:
            raise InputError(f"--host {host} and --port {self.port} both say a port; keep one")
        files = self._tls_files()
        if not isinstance(target, TcpTarget):
            if files is not None:
                raise InputError("TLS goes with Modbus TCP, not with a serial server")
            return target
        if not says_port:
            target = dataclasses.replace(target, port=default_port if self.port is None else self.port)
        return target if files is None else _with_tls(target, files)

    def _tls_files(self) -> tuple[Path, Path, Path] | None:
        """Return the files of TLS: authority, certificate, key; None without TLS."""
        match (self.tls_ca, self.tls_cert, self.tls_key):
            case (None, None, None):
                return None
            case (Path() as authority, Path() as certificate, Path() as key):
                return existing_file(authority), existing_file(certificate), existing_file(key)
            case _:
                raise InputError("TLS needs all three of --tls-ca, --tls-cert and --tls-key")


def _with_tls(target: "TcpTarget", files: tuple[Path, Path, Path]) -> "TcpTarget":
    import ssl

    from hil_adapters.wire.tls import client_context

    authority, certificate, key = files
    try:
        context = client_context(authority, cert=certificate, key=key)
    except (ssl.SSLError, OSError) as error:
        raise InputError(f"{certificate}: the files of TLS cannot be used: {error}") from error
    return dataclasses.replace(target, tls=context)


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
    """Translate errors of the wire: a map or a script that is wrong is bad input, everything else a failure.

    Raises:
        InputError: a package is missing that a device on the wire may need, or bad input.
        RunError: everything else of the wire.
    """
    from hil_adapters.errors import FaultScriptError, HilError, MapError
    from twin.installed import require_hil

    require_hil(["pyserial", "pysunspec2"])
    try:
        yield
    except (MapError, FaultScriptError) as error:
        raise InputError(str(error)) from error
    except HilError as error:
        raise RunError(str(error)) from error
