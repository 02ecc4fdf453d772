"""What the tables of a shared library say, and that one which is cut short is noticed before it is loaded."""

import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_binaries import elf, mach_o, pe
from tiny_fmus import build_fmu
from tiny_fmus_zips import changed

from models.errors import FmuArchiveError
from models.fmu.base import FleetSpec, Wire
from models.fmu.fleet import FmuFleet
from models.fmu.ours.catalogue import shipped_fmu
from models.fmu.reading.binaries import machines_of, needed_bytes
from models.fmu.reading.platforms import this_machine

TINY = {
    "ELF": (elf("x86_64"), {"x86_64-linux"}),
    "ELF for ARM": (elf("aarch64"), {"aarch64-linux"}),
    "ELF of 32 bits": (elf("riscv", width=32), {"riscv-linux"}),
    "ELF with the high byte first": (elf("aarch64", order=">"), {"aarch64-linux"}),
    "PE": (pe("x86_64"), {"x86_64-windows"}),
    "PE for ARM": (pe("aarch64"), {"aarch64-windows"}),
    "Mach-O": (mach_o("x86_64"), {"x86_64-darwin"}),
    "Mach-O of 32 bits": (mach_o("aarch64", width=32), {"aarch64-darwin"}),
    "Mach-O for two": (mach_o("x86_64", "aarch64"), {"x86_64-darwin", "aarch64-darwin"}),
}
PLATFORMS = ("linux64", "aarch64-linux", "win64", "aarch64-windows", "darwin64", "aarch64-darwin")


def written(folder: Path, content: bytes) -> Path:
    file = folder / "library"
    file.write_bytes(content)
    return file


def shipped(platform: str) -> bytes:
    """Return the binary of our battery for a platform: made by a real linker."""
    with zipfile.ZipFile(shipped_fmu("battery", "2.0")) as archive:
        (name,) = (entry for entry in archive.namelist() if entry.startswith(f"binaries/{platform}/battery."))
        return archive.read(name)


@pytest.mark.parametrize(("content", "machines"), TINY.values(), ids=TINY)
def test_the_header_of_a_library_names_its_machine_and_its_tables_the_end(tmp_path, content, machines):
    file = written(tmp_path, content)
    assert machines_of(file) == machines
    assert needed_bytes(file) == len(content)


@pytest.mark.parametrize(("content", "machines"), TINY.values(), ids=TINY)
def test_a_library_that_is_cut_anywhere_is_no_library_or_too_short(tmp_path, content, machines):
    for length in range(len(content)):
        file = written(tmp_path, content[:length])
        assert machines_of(file) == set() or needed_bytes(file) > length, length


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x7fELF",
        b"MZ",
        b"MZ" + bytes(100),
        b"#!/bin/sh\nexit 0\n",
        struct.pack(">II", 0xCAFEBABE, 61) + bytes(200),
    ],
)
def test_what_is_no_library_is_for_no_machine(tmp_path, content):
    assert machines_of(written(tmp_path, content)) == set()


def test_this_machine_is_what_its_own_libraries_are_for_and_they_are_whole():
    for file in (Path(np._core._multiarray_umath.__file__), Path(sys.executable).resolve()):
        assert this_machine() in machines_of(file)
        assert needed_bytes(file) <= file.stat().st_size


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_library_of_a_real_linker_is_whole_and_half_of_it_is_not(tmp_path, platform):
    content = shipped(platform)
    assert needed_bytes(written(tmp_path, content)) == len(content)
    half = written(tmp_path, content[: len(content) // 2])
    assert machines_of(half)
    assert needed_bytes(half) > len(content) // 2


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_fmu_whose_library_is_cut_short_is_refused_in_this_process(tmp_path, share):
    """Loading it would end this process: the system maps pages that are not in the file."""
    file = build_fmu(tmp_path)
    with zipfile.ZipFile(file) as archive:
        (library,) = (name for name in archive.namelist() if name.startswith("binaries/"))
    short = changed(
        file, tmp_path / "short.fmu", edit={library: lambda content: content[: int(share * len(content))]}
    )
    spec = FleetSpec(
        label="cut",
        file=short,
        size=1,
        inputs=(),
        outputs=(Wire(signal="y", variable="y"),),
        trusted=True,
    )
    with pytest.raises(FmuArchiveError, match="is cut short"):
        FmuFleet(spec)
