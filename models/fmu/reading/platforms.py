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

__all__ = ["library_file", "this_machine"]

_SYSTEMS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}
_SUFFIXES = {"linux": ".so", "darwin": ".dylib", "windows": ".dll"}
_SHORT = {"linux": "linux", "darwin": "darwin", "windows": "win"}
_NAMES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "i386": "x86", "i586": "x86", "i686": "x86"}
_POINTER_BYTES_64 = 8
_ELF = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}
"""``e_machine`` of the System V ABI."""
_PE = {0x014C: "x86", 0x01C4: "arm", 0x8664: "x86_64", 0xAA64: "aarch64"}
"""``Machine`` of the PE format."""
_MACH_O = {7: "x86", 12: "arm", 0x01000007: "x86_64", 0x0100000C: "aarch64"}
"""``cputype`` of the Mach-O format."""
_MACH_O_64 = 0xFEEDFACF
_MACH_O_32 = 0xFEEDFACE
_MACH_O_FAT = 0xCAFEBABE
_MOST_SLICES = 16


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
        found = _machines(file)
        if machine in found:
            return file
        wrong.append(f"binaries/{folder}/{file.name} is {_said(found)}")
    raise FmuArchiveError(_nothing_fits(unpacked, identifier, wrong=wrong, architecture=architecture))


def _folders(machine: str) -> Iterator[str]:
    """Yield the folders that may hold a binary for this machine, the most exact first."""
    architecture, _, system = machine.partition("-")
    yield machine
    if architecture == "x86":
        yield f"{_SHORT[system]}32"
        return
    yield f"{_SHORT[system]}64"


def _machines(file: Path) -> set[str]:
    """Return for which machines a shared library is, by its header; empty if it is no shared library."""
    with file.open("rb") as stream:
        head = stream.read(4096)
    if head[:4] == b"\x7fELF":
        return _elf_machines(head)
    if head[:2] == b"MZ":
        return _pe_machines(head)
    return _mach_o_machines(head)


def _elf_machines(head: bytes) -> set[str]:
    if len(head) < 20:  # noqa: PLR2004  # identification, type and machine
        return set()
    order = ">" if head[5] == 2 else "<"  # noqa: PLR2004  # ELFDATA2MSB
    (code,) = struct.unpack_from(f"{order}H", head, 18)
    return {f"{_ELF.get(code, f'machine {code}')}-linux"}


def _pe_machines(head: bytes) -> set[str]:
    if len(head) < 0x40:  # noqa: PLR2004  # header of DOS
        return set()
    (at,) = struct.unpack_from("<I", head, 0x3C)
    if head[at : at + 4] != b"PE\0\0" or len(head) < at + 6:
        return set()
    (code,) = struct.unpack_from("<H", head, at + 4)
    return {f"{_PE.get(code, f'machine {code:#x}')}-windows"}


def _mach_o_machines(head: bytes) -> set[str]:
    if len(head) < 8:  # noqa: PLR2004  # magic number and type
        return set()
    magic, code = struct.unpack_from("<II", head)
    if magic in {_MACH_O_32, _MACH_O_64}:
        return {f"{_MACH_O.get(code, f'machine {code:#x}')}-darwin"}
    magic, count = struct.unpack_from(">II", head)
    if magic != _MACH_O_FAT or count > _MOST_SLICES or len(head) < 8 + 20 * count:
        return set()
    codes = (struct.unpack_from(">I", head, 8 + 20 * k)[0] for k in range(count))
    return {f"{_MACH_O.get(code, f'machine {code:#x}')}-darwin" for code in codes}


def _said(machines: set[str]) -> str:
    return f"for {' and '.join(sorted(machines))}" if machines else "no shared library"


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
