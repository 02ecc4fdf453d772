"""Build the FMUs that are shipped: ``python -m tools.build_fmus``, from the top folder, with the extra ``dev``.

Every FMU holds binaries for six platforms and its own sources. The same sources, tables and compiler give the same
bytes: ``--check`` builds again and compares with what is shipped. Where the compiler has not built for a platform before,
it first builds that platform's C library: half a minute, for Windows some minutes.
"""

import argparse
import hashlib
import importlib.util
import itertools
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from models.fmu.ours.catalogue import LIBRARY, SHIPPED, SOURCES, device_kind, hidden_states, shipped_fmu
from models.fmu.ours.description import (
    FMI_VERSIONS,
    build_description,
    model_description,
    source_files,
)
from models.fmu.ours.export import write_archive
from tools.fmu_headers import model_header, variables_header

__all__ = ["main"]

COMPILER: Final = "0.17.1"
"""Version of ziglang; another one gives other bytes."""
_FLAGS: Final = (
    "-O2",
    "-g0",
    "-s",
    "-ffp-contract=off",
    "-fPIC",
    "-fvisibility=hidden",
    "-shared",
    "-Wall",
    "-Wextra",
    "-Werror",
)
_SHELL: Final = ("fmi_core.c", "fmi_core.h", "fmi_export.h", "fmi_log.c", "fmi_resources.c", "fmi_state.c")
_NAMESPACE: Final = uuid.UUID("6d3f2b1e-5a0c-4e53-9b0e-3c1f4a7d9e21")
_LICENSE: Final = Path(__file__).parents[1] / "LICENSE"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A platform: its folder in FMI 2.0 and 3.0, the compiler's name for it, and what a library is called there."""

    folder_2: str
    folder_3: str
    triple: str
    suffix: str
    flags: tuple[str, ...] = ()


_MACOS: Final = ("-Wl,-install_name,@rpath/{name}.dylib",)
TARGETS: Final = (
    Target(folder_2="linux64", folder_3="x86_64-linux", triple="x86_64-linux-gnu.2.17", suffix=".so"),
    Target(folder_2="aarch64-linux", folder_3="aarch64-linux", triple="aarch64-linux-gnu.2.17", suffix=".so"),
    Target(folder_2="win64", folder_3="x86_64-windows", triple="x86_64-windows-gnu", suffix=".dll"),
    Target(
        folder_2="aarch64-windows", folder_3="aarch64-windows", triple="aarch64-windows-gnu", suffix=".dll"
    ),
    Target(
        folder_2="darwin64",
        folder_3="x86_64-darwin",
        triple="x86_64-macos.11.0",
        suffix=".dylib",
        flags=_MACOS,
    ),
    Target(
        folder_2="aarch64-darwin",
        folder_3="aarch64-darwin",
        triple="aarch64-macos.11.0",
        suffix=".dylib",
        flags=_MACOS,
    ),
)


def main() -> int:
    """Build or check; return the exit status."""
    arguments = _arguments()
    differences = sum(_header(kind, check=arguments.check) for kind in arguments.kind)
    if arguments.headers:
        return 1 if differences else 0
    installed = version("ziglang")
    if installed != COMPILER:
        sys.stderr.write(f"ziglang {installed} is installed; the FMUs are built with {COMPILER}\n")
        return 2
    targets = [target for target in TARGETS if target.folder_3 in arguments.target]
    for kind, fmi in itertools.product(arguments.kind, FMI_VERSIONS):
        members = _members(kind, fmi, targets)
        file = arguments.to / shipped_fmu(kind, fmi).name
        if arguments.check:
            differences += _compare(file, members)
        else:
            write_archive(file, members)
            sys.stdout.write(f"{file.name}: {len(members)} files\n")
    return 1 if differences else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [target.folder_3 for target in TARGETS]
    parser.add_argument("--headers", action="store_true", help="only the headers <kind>_variables.h")
    parser.add_argument("--check", action="store_true", help="build and compare with the FMUs in the folder")
    parser.add_argument("--kind", nargs="+", choices=SHIPPED, default=SHIPPED)
    parser.add_argument("--target", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--to", type=Path, default=LIBRARY, help="folder of the FMUs; the shipped ones by default"
    )
    arguments = parser.parse_args()
    if set(arguments.target) != set(names) and arguments.to == LIBRARY and not arguments.check:
        parser.error("what is shipped holds all platforms: give --to FOLDER for some of them")
    return arguments


def _header(kind: str, *, check: bool) -> int:
    """Write the header that the model includes, or compare it; return the number of differences."""
    file = SOURCES / f"{kind}_variables.h"
    content = variables_header(device_kind(kind), hidden_states(kind)).encode()
    if not check:
        file.write_bytes(content)
    elif not file.exists() or file.read_bytes() != content:
        sys.stdout.write(f"{file.name} differs from what the table of {kind} gives\n")
        return 1
    return 0


def _members(kind: str, fmi: str, targets: Iterable[Target]) -> dict[str, bytes]:
    """Return the files of an FMU by their path in it."""
    table = device_kind(kind)
    states = hidden_states(kind)
    names = (*_SHELL, f"fmi{fmi[0]}_shell.c", f"{kind}.c")
    sources = {name: (SOURCES / name).read_bytes() for name in names}
    sources[f"{kind}_variables.h"] = variables_header(table, states).encode()
    if fmi == "3.0":
        sources["buildDescription.xml"] = build_description(table)
    token = _token(sources, model_description(table, states, fmi=fmi, token="", starts={}))
    sources["model.h"] = model_header(table, states, token).encode()
    description = model_description(table, states, fmi=fmi, token=token, starts={})
    return {
        "modelDescription.xml": description,
        **{f"binaries/{path}": content for path, content in _binaries(kind, fmi, sources, targets)},
        "documentation/licenses/license.txt": _LICENSE.read_bytes(),
        "documentation/licenses/mingw-w64.txt": _mingw_license(),
        **{f"sources/{name}": content for name, content in sources.items()},
    }


def _mingw_license() -> bytes:
    """Return the terms of the start-up code of mingw-w64 that the compiler links into the libraries for Windows."""
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        raise FileNotFoundError("ziglang is not installed; install the extra dev")
    return (Path(found.origin).parent / "lib" / "libc" / "mingw" / "COPYING").read_bytes()


def _token(sources: Mapping[str, bytes], description: bytes) -> str:
    """Return a token that changes with everything that goes into the binaries."""
    digest = hashlib.sha256(f"{COMPILER} {_FLAGS}".encode())
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + sources[name] + b"\0")
    digest.update(description)
    return f"{{{uuid.uuid5(_NAMESPACE, digest.hexdigest())}}}"


def _binaries(
    kind: str, fmi: str, sources: Mapping[str, bytes], targets: Iterable[Target]
) -> Iterable[tuple[str, bytes]]:
    """Compile for each target; relative paths keep the folder out of the files."""
    with tempfile.TemporaryDirectory(prefix="gemello-build-") as name:
        folder = Path(name)
        for file, content in sources.items():
            (folder / file).write_bytes(content)
        for target in targets:
            library = f"{kind}{target.suffix}"
            flags = (*_FLAGS, *(flag.format(name=kind) for flag in target.flags))
            files = source_files(device_kind(kind), fmi)
            command = (
                sys.executable,
                "-m",
                "ziglang",
                "cc",
                "-target",
                target.triple,
                *flags,
                "-o",
                library,
                *files,
            )
            libraries = () if target.suffix == ".dll" else ("-lm",)
            subprocess.run((*command, *libraries), cwd=folder, check=True)  # noqa: S603 - our own command
            yield (
                f"{target.folder_2 if fmi == '2.0' else target.folder_3}/{library}",
                (folder / library).read_bytes(),
            )


def _compare(shipped: Path, members: Mapping[str, bytes]) -> int:
    """Print and count the files that differ; files of platforms that were not built are left out."""
    with ZipFile(shipped) as archive:
        present = {name: archive.read(name) for name in archive.namelist()}
    extra = {name for name in present if name not in members and not name.startswith("binaries/")}
    different = sorted({name for name, content in members.items() if present.get(name) != content} | extra)
    for name in different:
        sys.stdout.write(f"{shipped.name}: {name} differs from what its sources give\n")
    return len(different)


if __name__ == "__main__":
    sys.exit(main())
