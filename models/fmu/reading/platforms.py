"""Which binary of an FMU is for this machine.

FMI 2.0 names folders linux64, win64, darwin64 (2.0.4 adds aarch64-linux and aarch64-darwin); FMI 3.0 names them
architecture-system. Tools mix both, and some put ARM binaries into linux64, so what counts is the machine that the
header of the file names.
"""

import platform
import struct
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from models.errors import FmuArchiveError
from models.fmu.base import UnpackedFmu
from models.fmu.reading.binaries import machines_of, needed_bytes

__all__ = ["library_file", "this_machine"]

_SYSTEMS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}
_SUFFIXES = {"linux": ".so", "darwin": ".dylib", "windows": ".dll"}
_SHORT = {"linux": "linux", "darwin": "darwin", "windows": "win"}
_NAMES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "i386": "x86", "i586": "x86", "i686": "x86"}
_POINTER_BYTES_64 = 8


def this_machine() -> str:
    """Return architecture and system of the running Python as FMI 3.0 writes them, e.g. ``x86_64-linux``.

    Raises:
        FmuArchiveError: a system that FMUs are not made for.
    """
    system = _SYSTEMS.get(sys.platform)
    if system is None:
        raise FmuArchiveError(
            f"FMUs run on Linux, Windows and macOS, this is {sys.platform}; run there instead"
        )
    # on Windows the machine may be ARM and the Python x86: what loads the library is the Python
    machine = sysconfig.get_platform().rpartition("-")[2] if system == "windows" else platform.machine()
    name = _NAMES.get(machine.lower(), machine.lower())
    if name == "x86_64" and struct.calcsize("P") < _POINTER_BYTES_64:
        name = "x86"
    return f"{name}-{system}"


def library_file(unpacked: UnpackedFmu, identifier: str) -> Path:
    """Return the binary of an unpacked FMU that this machine can load.

    Args:
        unpacked: the FMU on disk.
        identifier: model identifier of the interface: the name of the file.

    Raises:
        FmuArchiveError: there is none; the text says for which machines there are, and what to do.
    """
    machine = this_machine()
    architecture, _, system = machine.partition("-")
    if not identifier or any(sign in identifier for sign in "/\\:\0") or identifier.strip(".") == "":
        raise FmuArchiveError(
            f"{unpacked.info.file}: the model identifier {identifier!r} is no name of a file; export it again"
        )
    wrong = []
    for folder in _folders(machine):
        file = unpacked.folder / "binaries" / folder / f"{identifier}{_SUFFIXES[system]}"
        if not file.is_file():
            continue
        fault = _fault(file, machine)
        if not fault:
            return file
        wrong.append(f"binaries/{folder}/{file.name} {fault}")
    raise FmuArchiveError(_nothing_fits(unpacked, identifier, wrong=wrong, architecture=architecture))


def _folders(machine: str) -> Iterator[str]:
    """Yield the folders that may hold a binary for this machine, the most exact first."""
    architecture, _, system = machine.partition("-")
    yield machine
    if architecture == "x86":
        yield f"{_SHORT[system]}32"
        return
    yield f"{_SHORT[system]}64"


def _fault(file: Path, machine: str) -> str:
    """Return why a file cannot be loaded here; empty where nothing speaks against it."""
    machines = machines_of(file)
    if machine not in machines:
        return f"is for {' and '.join(sorted(machines))}" if machines else "is no shared library"
    needed, there = needed_bytes(file), file.stat().st_size
    if needed > there:
        return f"is cut short: it has {there} bytes, its own tables name {needed} (export or copy it again)"
    return ""


def _nothing_fits(unpacked: UnpackedFmu, identifier: str, *, wrong: list[str], architecture: str) -> str:
    info, machine = unpacked.info, this_machine()
    if wrong:
        has = "; ".join(wrong)
    elif machine in info.platforms or any(folder in info.platforms for folder in _folders(machine)):
        has = f"its folders {', '.join(info.platforms)} hold no {identifier}{_SUFFIXES[machine.partition('-')[2]]}"
    else:
        has = f"it has {', '.join(info.platforms) or 'no binaries'}"
    folder = (
        machine
        if info.fmi_version == "3.0" or architecture == "aarch64"
        else next(name for name in _folders(machine) if name != machine)
    )
    remedy = f"ask for an export with {folder}"
    if info.has_sources:
        remedy += (
            f", or build it from its C sources with a C compiler and cmake: fmpy compile {info.file.name}"
        )
    return f"{info.file}: holds no binary for this machine ({machine}): {has}; {remedy}"
