"""Our FMUs with the user's parameters, and fleets of them."""

import hashlib
import pickle
import shutil
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from fmpy.validation import validate_fmu

from models.devices.base import Causality, DeviceKind, Variable
from models.errors import DeviceError, FmuError, FmuMappingError
from models.fmu.base import Interface, Take
from models.fmu.binding.instances import make_instance
from models.fmu.binding.logs import MessageLog
from models.fmu.ours import catalogue as ours
from models.fmu.ours.description import FMI_VERSIONS, model_description
from models.fmu.ours.export import export_fmu, write_archive
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info

PARAMETERS = {"capacity_kwh": 13.5, "eta_charge": 0.1 + 0.2, "soc_start": 0.7, "temp_ambient_degc": -3.0}
DEFAULT_POWER_KW = 5.0


def value(instance: Any, reference: int) -> float:
    getter = instance.getReal if hasattr(instance, "getReal") else instance.getFloat64
    return float(getter([reference])[0])


def reference(name: str) -> int:
    return [entry.name for entry in ours.device_kind("battery").variables].index(name)


def read_values(file: Path, names: tuple[str, ...]) -> dict[str, float]:
    """What the binary holds before anything is set, and its outputs after initialisation."""
    with unpacked(file) as fmu:
        instance = make_instance(fmu, name="a", kind="co_simulation", log=MessageLog())
        try:
            if hasattr(instance, "setupExperiment"):
                instance.setupExperiment(startTime=0.0)
            instance.enterInitializationMode()
            instance.exitInitializationMode()
            return {name: value(instance, reference(name)) for name in names}
        finally:
            instance.freeInstance()


def changed(file: Path, to: Path, member: str, content: bytes | None) -> Path:
    with ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    del members[member]
    write_archive(to, members if content is None else {**members, member: content})
    return to


@pytest.mark.parametrize("fmi", FMI_VERSIONS)
def test_the_binary_of_an_export_starts_with_the_given_parameters(tmp_path, fmi):
    file = export_fmu("battery", tmp_path / "home.fmu", fmi=fmi, parameters=PARAMETERS)
    names = (*PARAMETERS, "charge_kw", "soc")
    assert read_values(file, names) == {**PARAMETERS, "charge_kw": DEFAULT_POWER_KW, "soc": 0.7}


@pytest.mark.parametrize("fmi", FMI_VERSIONS)
def test_the_description_of_an_export_has_the_given_parameters_and_is_valid(tmp_path, fmi):
    file = export_fmu("battery", tmp_path / "home.fmu", fmi=fmi, parameters=PARAMETERS)
    info = read_info(file)
    starts = {entry.name: entry.start for entry in info.variables if entry.name in PARAMETERS}
    assert {name: float(str(start)) for name, start in starts.items()} == PARAMETERS
    assert validate_fmu(str(file)) == []


@pytest.mark.parametrize("fmi", FMI_VERSIONS)
def test_an_export_without_parameters_holds_what_is_shipped(tmp_path, fmi):
    file = export_fmu("battery", tmp_path / "same.fmu", fmi=fmi, parameters={})
    with ZipFile(file) as one, ZipFile(ours.shipped_fmu("battery", fmi)) as other:
        assert {n: one.read(n) for n in one.namelist()} == {n: other.read(n) for n in other.namelist()}


def test_the_same_parameters_in_another_order_give_the_same_bytes(tmp_path):
    backwards = dict(reversed(PARAMETERS.items()))
    files = [
        export_fmu("battery", tmp_path / name, fmi="3.0", parameters=parameters)
        for name, parameters in (("a.fmu", PARAMETERS), ("b.fmu", backwards))
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("fmi", FMI_VERSIONS)
def test_an_export_runs_from_a_folder_with_blanks_and_letters_beyond_ascii(tmp_path, fmi, monkeypatch):
    folder = tmp_path / "mia città 50%"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    file = export_fmu("battery", folder / "home.fmu", fmi=fmi, parameters=PARAMETERS)
    assert read_values(file, ("soc",)) == {"soc": 0.7}


@pytest.mark.parametrize("fmi", FMI_VERSIONS)
@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot read parameters.csv"),
        (b"name,value,bits\nsoc_start,0.6,3fe3333333333333\n", "is not the one this FMU was exported with"),
    ],
    ids=["missing", "changed"],
)
def test_an_export_whose_values_are_missing_or_changed_is_refused(tmp_path, fmi, content, text):
    file = export_fmu("battery", tmp_path / "home.fmu", fmi=fmi, parameters=PARAMETERS)
    broken = changed(file, tmp_path / "broken.fmu", "resources/parameters.csv", content)
    with pytest.raises(FmuError, match=text):
        read_values(broken, ("soc",))


def test_values_are_read_whatever_the_language_of_the_host_writes_numbers_like(tmp_path):
    file = export_fmu("battery", tmp_path / "home.fmu", fmi="3.0", parameters={"soc_start": 0.7})
    with ZipFile(file) as archive:
        lines = archive.read("resources/parameters.csv").decode().splitlines()
    assert lines == ["name,value,bits", f"soc_start,0.7,{np.float64(0.7).view(np.uint64):016x}"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"capacity": 5.0}, "has no parameter 'capacity'; it has capacity_kwh"),
        ({"soc": 0.5}, "has no parameter 'soc'"),
        ({"capacity_kwh": -1.0}, "capacity_kwh of device 0 is -1"),
        ({"capacity_kwh": float("nan")}, "capacity_kwh of device 0 is nan"),
        ({"soc_min": 0.9, "soc_max": 0.5}, "soc_min"),
    ],
    ids=["unknown", "an output", "out of bounds", "not a number", "contradiction"],
)
def test_parameters_that_cannot_be_are_refused(tmp_path, parameters, text):
    with pytest.raises(DeviceError, match=text):
        export_fmu("battery", tmp_path / "x.fmu", fmi="2.0", parameters=parameters)
    assert not (tmp_path / "x.fmu").exists()


def test_a_kind_or_version_we_do_not_have_is_refused(tmp_path):
    with pytest.raises(FmuMappingError, match="no FMU of the kind 'pump'; there are battery"):
        export_fmu("pump", tmp_path / "x.fmu", fmi="2.0", parameters={})
    with pytest.raises(FmuMappingError, match=r"no FMU of FMI 1\.0; choose one of 2\.0, 3\.0"):
        export_fmu("battery", tmp_path / "x.fmu", fmi="1.0", parameters={})


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FmuError, match=r"cannot write .*nowhere.*choose another file"):
        export_fmu("battery", tmp_path / "nowhere" / "x.fmu", fmi="2.0", parameters={})


def test_an_archive_depends_on_its_files_alone(tmp_path):
    members = {"b.txt": b"two", "modelDescription.xml": b"<x/>", "a.txt": b"one"}
    write_archive(tmp_path / "one.fmu", members)
    write_archive(tmp_path / "two.fmu", dict(reversed(members.items())))
    assert (tmp_path / "one.fmu").read_bytes() == (tmp_path / "two.fmu").read_bytes()
    with ZipFile(tmp_path / "one.fmu") as archive:
        assert archive.namelist() == ["modelDescription.xml", "a.txt", "b.txt"]


@pytest.mark.parametrize("fmi", FMI_VERSIONS)
@pytest.mark.parametrize("kind", ours.SHIPPED)
def test_what_is_shipped_says_what_the_table_says(kind, fmi):
    info = read_info(ours.shipped_fmu(kind, fmi))
    for position, entry in enumerate(ours.device_kind(kind).variables):
        found = info.variable(entry.name)
        assert found is not None
        assert found.value_reference == position
        assert (found.causality, found.unit, found.text) == (entry.causality.value, entry.unit, entry.text)
        assert found.low == (None if np.isneginf(entry.low) else entry.low)
        assert found.high == (None if np.isposinf(entry.high) else entry.high)
        assert found.shape == (() if fmi == "2.0" else ("n",))
        given = None if entry.causality == Causality.OUTPUT else entry.start
        assert (None if found.start is None else float(found.start)) == given
    assert {entry.name for entry in info.variables if entry.causality == "local"} == {
        entry.name for entry in ours.hidden_states(kind)
    }
    assert info.can_serialise_state
    assert info.can_handle_variable_step
    assert not info.once_per_process
    assert info.has_sources
    assert info.problems == ()


def test_a_fleet_is_one_array_fmu_in_this_process():
    spec = ours.fleet_spec(
        "battery",
        label="cells",
        size=3,
        parameters={"capacity_kwh": np.array([5.0, 10.0, 15.0]), "temp_ambient_degc": 10.0},
        inputs=["p_set_kw"],
        outputs=["p_kw", "soc"],
    )
    assert (spec.file, spec.array_size, spec.trusted) == (ours.shipped_fmu("battery", "3.0"), "n", True)
    assert spec.interface is Interface.CO_SIMULATION
    assert [(wire.signal, wire.take) for wire in spec.outputs] == [("p_kw", Take.MEAN), ("soc", Take.LAST)]
    assert pickle.loads(pickle.dumps(spec)).size == spec.size  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"inputs": ["p_kw"]}, "has no input 'p_kw'"),
        ({"outputs": ["p"]}, "has no output 'p'"),
        ({"parameters": {"capacity_kwh": np.array([1.0, -2.0])}}, "cells: capacity_kwh of device 1 is -2"),
        ({"parameters": {"capacity_kwh": np.ones(3)}}, "has shape"),
    ],
    ids=["input", "output", "bounds", "shape"],
)
def test_a_fleet_that_cannot_be_is_refused(change, text):
    fields = {"parameters": {}, "inputs": ["p_set_kw"], "outputs": ["p_kw"], **change}
    with pytest.raises(DeviceError, match=text):
        ours.fleet_spec("battery", label="cells", size=2, **fields)


def test_a_unit_that_is_not_defined_is_named():
    odd = Variable(name="x_ft", causality=Causality.INPUT, unit="ft", start=0.0, text="Length.")
    kind = DeviceKind(name="odd", text="Odd.", variables=(odd,))
    guid = "{}"
    with pytest.raises(FmuError, match="the unit 'ft' is not known"):
        model_description(kind, (), fmi="2.0", token=guid, starts={})


def test_an_export_leaves_the_shipped_file_as_it_is(tmp_path):
    shipped = ours.shipped_fmu("battery", "2.0")
    before = hashlib.sha256(shipped.read_bytes()).hexdigest()
    copy = tmp_path / "copy.fmu"
    shutil.copy(shipped, copy)
    export_fmu("battery", copy, fmi="2.0", parameters=PARAMETERS)
    assert hashlib.sha256(shipped.read_bytes()).hexdigest() == before
    assert read_info(copy).token != read_info(shipped).token
