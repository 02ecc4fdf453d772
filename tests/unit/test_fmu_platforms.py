"""Which binary of an FMU is taken, and what is said where none fits."""

import zipfile
from pathlib import Path

import pytest
from tiny_binaries import binary

from models.errors import FmuArchiveError
from models.fmu.reading.archive import unpacked
from models.fmu.reading.platforms import library_file, this_machine

XML = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="{fmi}" modelName="empty" guid="token" instantiationToken="token">
  <CoSimulation modelIdentifier="empty">{sources}</CoSimulation>
  <ModelVariables/>
  <ModelStructure/>
</fmiModelDescription>
"""
ARCHITECTURE, _, SYSTEM = this_machine().partition("-")
SUFFIX = {"linux": ".so", "darwin": ".dylib", "windows": ".dll"}[SYSTEM]
FMI_2_FOLDER = {"linux": "linux64", "darwin": "darwin64", "windows": "win64"}[SYSTEM]
OTHER = "aarch64" if ARCHITECTURE == "x86_64" else "x86_64"


def fmu(folder: Path, binaries: dict[str, bytes], *, fmi: str = "2.0", sources: str = "") -> Path:
    file = folder / "some.fmu"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("modelDescription.xml", XML.format(fmi=fmi, sources=sources))
        for name, content in binaries.items():
            archive.writestr(f"binaries/{name}", content)
        if sources:
            archive.writestr("sources/empty.c", "")
    return file


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
@pytest.mark.parametrize("folder", [FMI_2_FOLDER, this_machine()])
def test_the_folder_may_be_named_as_either_version_of_the_standard_names_it(tmp_path, folder, fmi):
    file = fmu(
        tmp_path, {f"{folder}/empty{SUFFIX}": binary(SYSTEM, ARCHITECTURE), "other/empty.so": b""}, fmi=fmi
    )
    with unpacked(file) as found:
        assert library_file(found, "empty") == found.folder / "binaries" / folder / f"empty{SUFFIX}"


def test_a_binary_of_another_machine_in_the_right_folder_is_passed_over(tmp_path):
    names = {
        f"{this_machine()}/empty{SUFFIX}": binary(SYSTEM, OTHER),
        f"{FMI_2_FOLDER}/empty{SUFFIX}": binary(SYSTEM, ARCHITECTURE),
    }
    with unpacked(fmu(tmp_path, names)) as found:
        assert library_file(found, "empty").parent.name == FMI_2_FOLDER


def test_a_binary_of_another_machine_is_told(tmp_path):
    file = fmu(tmp_path, {f"{FMI_2_FOLDER}/empty{SUFFIX}": binary(SYSTEM, OTHER)})
    with unpacked(file) as found, pytest.raises(FmuArchiveError) as caught:
        library_file(found, "empty")
    assert f"binaries/{FMI_2_FOLDER}/empty{SUFFIX} is for {OTHER}-{SYSTEM}" in str(caught.value)
    assert f"no binary for this machine ({this_machine()})" in str(caught.value)


def test_a_binary_that_is_cut_short_is_told_and_passed_over(tmp_path):
    short, whole = binary(SYSTEM, ARCHITECTURE)[:-1], binary(SYSTEM, ARCHITECTURE)
    with (
        unpacked(fmu(tmp_path, {f"{FMI_2_FOLDER}/empty{SUFFIX}": short})) as found,
        pytest.raises(FmuArchiveError) as caught,
    ):
        library_file(found, "empty")
    assert (
        f"binaries/{FMI_2_FOLDER}/empty{SUFFIX} is cut short: it has {len(short)} bytes, its own tables name "
        f"{len(whole)} (export or copy it again)"
    ) in str(caught.value)
    names = {f"{this_machine()}/empty{SUFFIX}": short, f"{FMI_2_FOLDER}/empty{SUFFIX}": whole}
    with unpacked(fmu(tmp_path, names)) as found:
        assert library_file(found, "empty").parent.name == FMI_2_FOLDER


def test_what_is_no_library_is_told(tmp_path):
    file = fmu(tmp_path, {f"{FMI_2_FOLDER}/empty{SUFFIX}": b"version https://git-lfs.github.com/spec/v1"})
    with unpacked(file) as found, pytest.raises(FmuArchiveError, match="is no shared library"):
        library_file(found, "empty")


@pytest.mark.parametrize(("fmi", "wanted"), [("2.0", FMI_2_FOLDER), ("3.0", this_machine())])
def test_an_fmu_for_other_platforms_names_them_and_what_to_ask_for(tmp_path, fmi, wanted):
    file = fmu(tmp_path, {"vxworks/empty.o": b"", "qnx/empty.so": b""}, fmi=fmi)
    with unpacked(file) as found, pytest.raises(FmuArchiveError) as caught:
        library_file(found, "empty")
    wanted = this_machine() if ARCHITECTURE == "aarch64" else wanted
    assert str(caught.value) == (
        f"{file}: holds no binary for this machine ({this_machine()}): it has qnx, vxworks; ask for an export with "
        f"{wanted}"
    )


def test_an_fmu_without_binaries_but_with_sources_names_the_command_that_builds_it(tmp_path):
    file = fmu(tmp_path, {}, sources='<SourceFiles><File name="empty.c"/></SourceFiles>')
    with unpacked(file) as found, pytest.raises(FmuArchiveError) as caught:
        library_file(found, "empty")
    assert "it has no binaries" in str(caught.value)
    assert str(caught.value).endswith("C compiler and cmake: fmpy compile some.fmu")


def test_a_library_of_another_name_is_told(tmp_path):
    file = fmu(tmp_path, {f"{FMI_2_FOLDER}/other{SUFFIX}": binary(SYSTEM, ARCHITECTURE)})
    with unpacked(file) as found, pytest.raises(FmuArchiveError, match=rf"hold no empty\{SUFFIX}"):
        library_file(found, "empty")


@pytest.mark.parametrize(
    "identifier", ["", ".", "..", "../../other/evil", "a/b", "a\\b", "C:evil", "/usr/lib/libc"]
)
def test_an_identifier_that_leads_elsewhere_is_refused(tmp_path, identifier):
    file = fmu(tmp_path, {f"{FMI_2_FOLDER}/empty{SUFFIX}": binary(SYSTEM, ARCHITECTURE)})
    with unpacked(file) as found, pytest.raises(FmuArchiveError, match="is no name of a file"):
        library_file(found, identifier)
