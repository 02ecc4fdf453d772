"""``twin fmu`` as a user runs it: in a process of its own, by what it prints and its exit code."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from tiny_fmus import Var, build_fmu

from models.fmu.ours.catalogue import SHIPPED, shipped_fmu
from models.fmu.reading.description import read_info
from models.fmu.reading.proposal import propose
from twin.console_fmu_mapping import mapping_text
from twin.scenario import load_scenario

SHORT = ("--step-s", 1, "--stop-s", 5)


def test_inspect_shows_what_an_fmu_is_and_a_mapping(twin, tmp_path):
    file = build_fmu(
        tmp_path,
        name="pump",
        inputs=(Var("T_amb", "input", start=293.15, unit="K"), Var("mode", "input", start=0.0)),
        outputs=(Var("P_el", "output", unit="W"),),
        step_code="P_el = T_amb + mode;",
    )
    done = twin("fmu", "inspect", file, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in ("pump.fmu", "2.0: Co-Simulation", "T_amb", "293.15", "P_el", "serialises its state"):
        assert text in done.stdout
    (entry,) = yaml.safe_load(done.stdout.partition("of a scenario:\n")[2])
    assert entry["kind"] == "fmu"
    assert entry["fmu"]["inputs"] == {"T_amb": {"signal": "temp_air_degc"}}
    assert entry["fmu"]["outputs"] == {"p_kw": {"variable": "P_el", "sign": "consumption"}}


def test_inspect_as_json_has_all_of_it(twin, tmp_path):
    file = build_fmu(tmp_path, outputs=(Var("P", "output", unit="kW"),), step_code="P = u;")
    done = twin("fmu", "inspect", file, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["sha256"] == read_info(file).sha256
    assert [entry["name"] for entry in data["variables"]] == ["u", "P"]
    assert data["unit_factors"]["kW"]["factor"] == 1000
    (wire,) = data["proposed"]
    assert (wire["signal"], wire["variable"], wire["unit"]) == ("p_kw", "P", "kW")


def test_the_mapping_of_each_of_our_fmus_loads_in_a_scenario_as_it_is(small_scenario, tmp_path):
    entries = ""
    for kind in SHIPPED:
        file = tmp_path / f"{kind}.fmu"
        file.write_bytes(shipped_fmu(kind, "3.0").read_bytes())
        info = read_info(file)
        entries += "".join(f"  {line}\n" for line in mapping_text(info, propose(info)).splitlines())
    loaded = load_scenario(small_scenario(("devices:\n", "devices:\n" + entries)))
    ours = [entry for entry in loaded.scenario.devices if getattr(entry, "fmu", None) is not None]
    assert [entry.fmu.file for entry in ours] == [f"{kind}.fmu" for kind in SHIPPED]
    assert {entry.fmu.array for entry in ours} == {"n"}


@pytest.mark.parametrize(
    ("code", "exit_code", "verdict"),
    [
        ("y = u;", 0, "works (18 pass, 2 skip)"),
        ("m->next_event += dt; y = m->next_event;", 0, "works with warnings"),
        ("abort();", 1, "does not work"),
    ],
)
def test_check_ends_with_its_verdict(twin, tmp_path, code, exit_code, verdict):
    done = twin("fmu", "check", build_fmu(tmp_path, step_code=code), *SHORT)
    assert (done.returncode, done.stderr) == (exit_code, "")
    assert done.stdout.splitlines()[-1].startswith(verdict)


@pytest.mark.parametrize("how", [(), ("--trusted",)])
def test_check_as_json_is_data_and_nothing_else_whatever_the_fmu_prints(twin, tmp_path, how):
    file = build_fmu(tmp_path, step_code='printf("hello\\n"); y = k * u;', parameters={"k": 1.0})
    done = twin("fmu", "check", file, *SHORT, "--json", "--set", "u=2", "--set", "k=3.5", *how)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["verdict"] == "works"
    assert "in this process" in data["how"] if how else "in a process of its own" in data["how"]
    assert ("hello" in done.stderr) == bool(how)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "nonsense"), "--set nonsense: must be NAME=VALUE"),
        (("--timeout-s", -1), "--timeout-s -1: must be more than 0"),
    ],
)
def test_bad_options_of_check_are_one_line_with_exit_code_2(twin, tmp_path, arguments, message):
    done = twin("fmu", "check", build_fmu(tmp_path), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_check_may_be_strict_about_warnings(twin, tmp_path):
    file = build_fmu(tmp_path, step_code="m->next_event += dt; y = m->next_event;")
    assert twin("fmu", "check", file, *SHORT, "--strict").returncode == 1


def test_a_parameter_that_is_not_there_is_bad_input(twin, tmp_path):
    done = twin("fmu", "check", build_fmu(tmp_path), *SHORT, "--set", "kk=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'kk'" in done.stderr


def test_a_file_that_is_not_there_is_bad_input(twin, tmp_path):
    done = twin("fmu", "check", tmp_path / "none.fmu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.fmu: there is no such file" in done.stderr


def test_a_file_that_is_no_fmu_is_bad_input(twin, tmp_path):
    (tmp_path / "text.fmu").write_text("hello")
    done = twin("fmu", "inspect", tmp_path / "text.fmu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "text.fmu" in done.stderr
    assert "defect" not in done.stderr


def test_list_names_our_devices_and_their_variables(twin):
    done = twin("fmu", "list")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\w+) {2,}", done.stdout, flags=re.MULTILINE) == list(SHIPPED)
    one = json.loads(twin("fmu", "list", "battery", "--json").stdout)
    assert {"capacity_kwh", "p_set_kw", "soc"} <= {entry["name"] for entry in one["battery"]["variables"]}
    unknown = twin("fmu", "list", "toaster")
    assert unknown.returncode == 2
    assert "battery" in unknown.stderr


@pytest.mark.parametrize("fmi", ["2", "3"])
def test_export_writes_an_fmu_with_the_users_parameters(twin, tmp_path, fmi):
    done = twin("fmu", "export", "battery", "--fmi", fmi, "--param", "capacity_kwh=7.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / f"battery_fmi{fmi}.fmu"
    assert file.name in done.stderr
    assert float(read_info(file).variable("capacity_kwh").start) == 7.5
    assert twin("fmu", "check", file, "--stop-s", 600, "--set", "p_set_kw=2", "--trusted").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("battery", "--param", "capacity_kwh=-1"), "capacity_kwh"),
        (("battery", "--param", "capacity_kwh=much"), "must be a number"),
        (("battery", "--to", "battery.zip"), "must end in .fmu"),
        (("battery", "--to", "nowhere/battery.fmu"), "nowhere"),
    ],
)
def test_bad_options_of_export_write_nothing(twin, tmp_path, arguments, message):
    done = twin("fmu", "export", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("inspect", "a.fmu"), ("check", "a.fmu"), ("export", "battery"), ("list",)]
)
def test_without_the_extra_every_command_says_how_to_install_it(arguments):
    code = "import sys; sys.modules['fmpy'] = None; from twin.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "fmu", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install "gemello[fmu]"' in done.stderr


def test_the_commands_do_not_import_the_importer_of_fmus():
    code = (
        "import sys, twin.cli.fmu\n"
        "print(sorted({'fmpy', 'numpy', 'numba', 'ctypes', 'models.fmu', 'pydantic'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help(twin):
    done = twin("fmu", "--help")
    assert done.returncode == 0
    for command in ("inspect", "check", "export", "list"):
        assert re.search(rf"^  {command} ", done.stdout, flags=re.MULTILINE)
