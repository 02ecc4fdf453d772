"""One of our FMUs with the user's parameters, for use in other tools."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from models.errors import FmuError
from models.fmu.ours.catalogue import check_values, device_kind, hidden_states, shipped_fmu
from models.fmu.ours.description import model_description

__all__ = ["export_fmu", "write_archive"]

_DESCRIPTION: Final = "modelDescription.xml"
_PARAMETERS: Final = "resources/parameters.csv"
_DATE: Final = (1980, 1, 1, 0, 0, 0)


def export_fmu(kind: str, to: Path, *, fmi: str, parameters: Mapping[str, float]) -> Path:
    """Write the FMU of a kind to ``to`` with other start values of parameters and inputs, and return ``to``.

    Nothing is compiled: the binaries read the values from ``resources/parameters.csv``. The token of the FMU carries
    a hash of that file, so that a description and values that do not belong together are refused.

    Args:
        kind: One of ``models.fmu.ours.catalogue.SHIPPED``.
        to: File to write; replaced where it is there.
        fmi: "2.0" (one device) or "3.0" (arrays).
        parameters: Values by name, in the units of the table; others keep their start.

    Raises:
        FmuMappingError: a kind or an FMI version that we do not have.
        DeviceError: an unknown name, a value out of bounds, or parameters that contradict each other.
        FmuError: the folder of ``to`` cannot be written.
    """
    table = device_kind(kind)
    shipped = shipped_fmu(kind, fmi)
    check_values(kind, label=f"export of {kind}", size=1, parameters=parameters)
    with ZipFile(shipped) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if parameters:
        starts = {
            entry.name: float(parameters[entry.name]) for entry in table.variables if entry.name in parameters
        }
        content = _parameter_file(starts)
        token = f"{_token(members[_DESCRIPTION])}+{_hash(content):016x}"
        members[_DESCRIPTION] = model_description(
            table, hidden_states(kind), fmi=fmi, token=token, starts=starts
        )
        members[_PARAMETERS] = content
    try:
        write_archive(to, members)
    except OSError as error:
        raise FmuError(f"cannot write {to}: {error.strerror or error}; choose another file") from error
    return to


def write_archive(file: Path, members: Mapping[str, bytes]) -> None:
    """Write an FMU whose bytes depend on ``members`` alone: fixed order, dates and rights."""
    names = sorted(members, key=lambda name: (name != _DESCRIPTION, name))
    with ZipFile(file, "w") as archive:
        for name in names:
            entry = ZipInfo(name, _DATE)
            entry.compress_type = ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, members[name], compresslevel=9)


def _parameter_file(starts: Mapping[str, float]) -> bytes:
    lines = ["name,value,bits"]
    lines += [f"{name},{value!r},{struct.pack('>d', value).hex()}" for name, value in starts.items()]
    return ("\n".join(lines) + "\n").encode()


def _hash(content: bytes) -> int:
    """FNV-1a with 64 bit, as the binaries compute it (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    value = 14695981039346656037
    for byte in content:
        value = ((value ^ byte) * 1099511628211) % 2**64
    return value


def _token(description: bytes) -> str:
    """Return the token in a description of ours."""
    start = description.index(b'="{') + 2
    return description[start : description.index(b"}", start) + 1].decode()
