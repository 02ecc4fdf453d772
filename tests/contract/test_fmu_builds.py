"""The shipped FMUs are what their sources give, follow the standard, and hold the right file for each platform."""

import re
import struct
import subprocess
import sys
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from zipfile import ZipFile

import pytest
from fmpy.validation import validate_fmu

from models.fmu.ours import catalogue as ours
from models.fmu.ours.description import FMI_VERSIONS

ROOT = Path(__file__).parents[2]
SHIPPED = [ours.shipped_fmu(kind, fmi) for kind in ours.SHIPPED for fmi in FMI_VERSIONS]
PLATFORMS = {
    "2": ("linux64", "aarch64-linux", "win64", "aarch64-windows", "darwin64", "aarch64-darwin"),
    "3": (
        "x86_64-linux",
        "aarch64-linux",
        "x86_64-windows",
        "aarch64-windows",
        "x86_64-darwin",
        "aarch64-darwin",
    ),
}
ARM = "aarch64"
FUNCTIONS = {"2": 44, "3": 75}
"""How many functions the standard has, with those for Model Exchange and Scheduled Execution."""


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "tools.build_fmus", *arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def members(file: Path) -> dict[str, bytes]:
    with ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def binaries(file: Path) -> Mapping[str, bytes]:
    return {
        name.split("/")[1]: content for name, content in members(file).items() if name.startswith("binaries/")
    }


def version_of(file: Path) -> str:
    return file.stem[-1]


@pytest.mark.timeout(600)
def test_linux_binaries_headers_and_descriptions_are_what_the_sources_give():
    done = build("--check", "--target", "x86_64-linux", "aarch64-linux")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_a_difference_is_named(tmp_path):
    for file in SHIPPED:
        content = bytearray(file.read_bytes())
        if file.name == "battery_fmi2.fmu":
            with ZipFile(file) as archive, ZipFile(tmp_path / file.name, "w") as copy:
                for name in archive.namelist():
                    copy.writestr(name, archive.read(name) + (b" " if name == "sources/fmi_core.c" else b""))
                copy.writestr("sources/extra.c", b"")
        else:
            (tmp_path / file.name).write_bytes(content)
    done = build("--check", "--kind", "battery", "--target", "x86_64-linux", "--to", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "battery_fmi2.fmu: sources/extra.c differs from what its sources give",
        "battery_fmi2.fmu: sources/fmi_core.c differs from what its sources give",
    ]


def test_what_is_shipped_cannot_lose_platforms():
    done = build("--kind", "battery", "--target", "x86_64-linux")
    assert done.returncode == 2
    assert "what is shipped holds all platforms" in done.stderr


def test_each_kind_is_shipped_in_each_version_and_nothing_else():
    assert sorted(ours.LIBRARY.iterdir()) == sorted(SHIPPED)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_fmpy_finds_no_problem(file):
    assert validate_fmu(str(file)) == []


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_fmutool_finds_no_problem(file, tmp_path):
    command = (sys.executable, "-m", "fmu_manipulation_toolbox", "-input", str(file), "-check")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert f"This FMU seems to be compliant with FMI-{version_of(file)}.0." in said
    assert "No semantic error" in said
    assert "ERROR" not in said


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_all_six_platforms_have_a_file_for_their_machine(file):
    found = binaries(file)
    assert tuple(sorted(found)) == tuple(sorted(PLATFORMS[version_of(file)]))
    for folder, content in found.items():
        is_arm = folder.startswith(ARM)
        if "linux" in folder:
            assert content[:5] == b"\x7fELF\x02"
            assert struct.unpack_from("<H", content, 18)[0] == (183 if is_arm else 62)
        elif "win" in folder and "darwin" not in folder:
            header = struct.unpack_from("<I", content, 60)[0]
            assert content[:2] == b"MZ"
            assert content[header : header + 4] == b"PE\0\0"
            assert struct.unpack_from("<H", content, header + 4)[0] == (0xAA64 if is_arm else 0x8664)
        else:
            assert struct.unpack_from("<II", content) == (0xFEEDFACF, 0x0100000C if is_arm else 0x01000007)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_binary_has_every_function_of_the_standard(file):
    version = version_of(file)
    pattern = re.compile(rf"(?<![A-Za-z0-9])_?(fmi{version}[A-Z][A-Za-z0-9]+)\0".encode())
    for folder, content in binaries(file).items():
        assert len(set(pattern.findall(content))) == FUNCTIONS[version], folder


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_binaries_run_on_old_systems_and_name_no_folder_of_the_builder(file):
    for folder, content in binaries(file).items():
        wanted = [int(number) for number in re.findall(rb"GLIBC_2\.(\d+)", content)]
        assert max(wanted, default=0) <= 17, folder
        assert b"gemello-build-" not in content
        assert b"/home/" not in content
        if "darwin" in folder:
            assert macos_version(content) == (11, 0)


def macos_version(content: bytes) -> tuple[int, int]:
    """The oldest macOS that a Mach-O file runs on, from its load command LC_BUILD_VERSION."""
    count, offset = struct.unpack_from("<I", content, 16)[0], 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", content, offset)
        if command == 0x32:
            version = struct.unpack_from("<I", content, offset + 12)[0]
            return version >> 16, version >> 8 & 0xFF
        offset += size
    raise AssertionError("no LC_BUILD_VERSION")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_sources_and_licence_are_inside(file):
    kind = file.stem.rpartition("_")[0]
    inside = members(file)
    for name in (
        f"{kind}.c",
        "fmi_core.c",
        "fmi_core.h",
        "fmi_log.c",
        f"fmi{version_of(file)}_shell.c",
        f"{kind}_variables.h",
    ):
        assert inside[f"sources/{name}"] == (ours.SOURCES / name).read_bytes()
    assert inside["documentation/licenses/license.txt"] == (ROOT / "LICENSE").read_bytes()
    # the libraries for Windows hold start-up code of mingw-w64, whose terms ask for its notices in binary copies
    assert b"mingw-w64 project" in inside["documentation/licenses/mingw-w64.txt"]


def test_the_sources_call_each_other_one_way_only():
    """No file calls one that calls it, directly or through others."""
    texts = {file.stem: file.read_text(encoding="utf-8") for file in ours.SOURCES.glob("fmi_*.c")}
    defined = {
        stem: set(re.findall(r"^[\w ]+[ *]((?:core|log|resources)_\w+)\([^;]*?\)\n\{", text, re.MULTILINE))
        for stem, text in texts.items()
    }
    assert {"log_tell"} < defined["fmi_log"]
    uses = {
        stem: {
            other
            for other in texts
            if other != stem and any(re.search(rf"\b{name}\(", text) for name in defined[other])
        }
        for stem, text in texts.items()
    }
    assert "fmi_log" in uses["fmi_core"]
    tuple(TopologicalSorter(uses).static_order())  # raises at a cycle


def test_the_wheel_holds_fmus_and_sources(tmp_path):
    command = (
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(ROOT),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"models/fmu/ours/library/{file.name}" for file in SHIPPED} <= names
    assert {f"models/fmu/ours/sources/{file.name}" for file in ours.SOURCES.glob("*.[ch]")} <= names
    assert not {name for name in names if name.startswith("tools/")}
