"""``twin device``: every command against devices that another process serves."""

import contextlib
import inspect
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from guard_rig import until
from outside import program
from typer.testing import CliRunner, Result

from hil_adapters.guard.evidence import load_report
from hil_adapters.maps.loader import load_map, map_names
from twin.cli import app
from twin.cli.device import scan_command

SERIAL = "SN-0815"
WATCHDOG_S = 5


@dataclass(frozen=True)
class Served:
    """A device of another process."""

    map: str
    port: int

    @property
    def where(self) -> list[str]:
        """Options that name it."""
        return ["--host", f"127.0.0.1:{self.port}"]


def twin(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, ["device", *arguments])


def answer(*arguments: str) -> Any:
    """Run a command that succeeds and return its JSON."""
    result = twin(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def quick_map(folder: Path) -> str:
    """Write the map of a SunSpec inverter that lets go after a few seconds."""
    text = (Path(load_map.__code__.co_filename).parent / "library" / "sunspec_pv.yaml").read_text()
    file = folder / "quick_pv.yaml"
    file.write_text(
        text.replace("timeout_s: 30", f"timeout_s: {WATCHDOG_S}").replace(
            "name: sunspec_pv", "name: quick_pv"
        )
    )
    return str(file)


def served(*arguments: str) -> Iterator[int]:
    """Serve a device in a process of its own; gives its port."""
    line = [sys.executable, "-m", "twin", "device", "serve", *arguments, "--port", "0", "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = ""
            while not told.endswith("}\n"):
                part = process.stdout.readline()
                assert part, "the device did not start"
                told += part
            yield json.loads(told)["port"]
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.fixture(scope="module")
def inverter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A SunSpec inverter of 6 kW in full sun."""
    file = quick_map(tmp_path_factory.mktemp("maps"))
    for port in served(file, "--set", "p_rated_kw=6", "--set", f"serial={SERIAL}", "--set", "vm_pu=1.0"):
        yield Served(map=file, port=port)


@pytest.fixture(scope="module")
def meter() -> Iterator[Served]:
    """A meter that sees what the inverter feeds in."""
    for port in served("generic_meter", "--set", "p_kw=-6.02", "--set", "serial=M-1"):
        yield Served(map="generic_meter", port=port)


@pytest.fixture(scope="module")
def charger() -> Iterator[Served]:
    """A charging station at unit 255."""
    for port in served("keba_p30", "--set", "serial=17579483"):
        yield Served(map="keba_p30", port=port)


@pytest.fixture
def guardians(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep locks and notes of guardians in a folder of the test, whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="device-") as place:
        monkeypatch.setenv("GEMELLO_RUNTIME_DIR", place)
        monkeypatch.chdir(tmp_path)
        yield


# ---------------------------------------------------------------------- maps


def test_maps_lists_every_shipped_map() -> None:
    assert [entry["name"] for entry in answer("maps")] == list(map_names())
    listed = twin("maps").stdout
    assert all(name in listed for name in map_names())


def test_maps_shows_one_with_its_source_its_points_and_what_lets_go() -> None:
    shown = twin("maps", "generic_load").stdout
    for expected in ("p_limit_timeout", "Defined by this file", "without refresh for 30 s", "release:"):
        assert expected in shown


def test_maps_gives_the_schema_and_one_map_as_data() -> None:
    assert answer("maps", "--schema")["title"].startswith("Register map")
    assert answer("maps", "generic_meter")["kind"] == "meter"


def test_an_unknown_map_is_bad_input_in_one_line() -> None:
    result = twin("maps", "no_such_map")
    assert result.exit_code == 2
    assert "there is no register map 'no_such_map'" in result.output
    assert len(result.output.strip().splitlines()) == 1


# ---------------------------------------------------------------------- scan


def test_scan_finds_the_unit_that_answers_and_the_map_that_fits(inverter: Served, meter: Served) -> None:
    found = answer("scan", f"127.0.0.1:{inverter.port}", "--units", "1-3")
    assert [(entry["unit"], entry["fits"][0]["map"]) for entry in found] == [(1, "sunspec_pv")]
    assert found[0]["fits"][0]["identity"]["serial"] == SERIAL
    assert answer("scan", f"127.0.0.1:{meter.port}", "--units", "1")[0]["fits"][0]["map"] == "generic_meter"


def test_scan_of_units_that_are_not_there_ends_with_1(inverter: Served) -> None:
    result = twin("scan", f"127.0.0.1:{inverter.port}", "--units", "7,9")
    assert result.exit_code == 1
    assert "none of the units 7,9 answers" in result.output


def test_scan_tries_the_units_of_all_shipped_maps() -> None:
    tried: set[int] = set()
    for part in inspect.signature(scan_command).parameters["units"].default.split(","):
        first, _, last = part.partition("-")
        tried.update(range(int(first), int(last or first) + 1))
    assert {load_map(name).link.unit for name in map_names()} <= tried


def test_scan_finds_a_charging_station_at_its_unit_with_the_port_as_an_option(charger: Served) -> None:
    found = answer("scan", "127.0.0.1", "--port", str(charger.port), "--units", "255")
    assert [(entry["unit"], entry["fits"][0]["map"]) for entry in found] == [(255, "keba_p30")]


def test_scan_of_a_port_where_nobody_listens_says_how_to_name_another() -> None:
    # no server of a test listens at the port of Modbus
    result = twin("scan", "127.0.0.1")
    assert (result.exit_code, "write HOST:PORT" in result.output) == (1, True), result.output
    result = twin("scan", "127.0.0.1", "--port", "1")
    assert (result.exit_code, "write HOST:PORT" in result.output) == (1, False), result.output


@pytest.mark.parametrize("units", ["", "1-", "5-2", "300", "a"])
def test_units_that_are_none_are_bad_input(units: str) -> None:
    assert twin("scan", "127.0.0.1:1", "--units", units).exit_code == 2


# ---------------------------------------------------------------------- read, discover, watch


def test_read_gives_every_point_with_value_registers_and_quality(inverter: Served) -> None:
    read = answer("read", inverter.map, *inverter.where)
    assert read["identity"]["serial"] == SERIAL
    points = {point["name"]: point for point in read["points"]}
    assert (points["103.W"]["value"], points["103.W"]["quality"], points["103.W"]["registers"]) == (
        6000.0,
        "good",
        [6000],
    )
    assert points["103.St"]["meaning"] == "MPPT"
    assert any(
        point["quality"] == "bad" and point["reason"].startswith("not implemented")
        for point in points.values()
    )
    assert read["signals"]["p_kw"] == {"value": -6.0, "quality": "good"}


def test_read_with_a_map_of_which_nothing_can_be_read_ends_with_1(inverter: Served) -> None:
    result = twin("read", "eastron_sdm630", *inverter.where)
    assert result.exit_code == 1, result.output
    assert result.output.count("no point of map eastron_sdm630 can be read; wrong map?") == 1


def test_read_agrees_with_mbpoll(inverter: Served) -> None:
    point = next(
        point for point in answer("read", inverter.map, *inverter.where, "--point", "120.WRtg")["points"]
    )
    assert point["value"] == 6000.0
    # 40122 is where model 120 begins; WRtg is its fourth register (SunSpec model 120), counted from 1 by mbpoll
    line = [
        program("mbpoll"),
        "-m",
        "tcp",
        "-p",
        str(inverter.port),
        "-a",
        "1",
        "-t",
        "4",
        "-r",
        "40126",
        "-c",
        "1",
        "-1",
        "127.0.0.1",
    ]
    told = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20).stdout
    values = re.findall(r"^\[40126\]:\s+(\d+)", told, re.MULTILINE)
    assert [int(value) for value in values] == point["registers"]


def test_read_shows_a_table(meter: Served) -> None:
    shown = twin("read", meter.map, *meter.where, "--point", "p_total").stdout
    assert re.search(r"p_total\s+-6020\s+W\s+C5BC 2000\s+good", shown)


def test_discover_shows_the_models_and_writes_a_map_that_reads_the_same(
    inverter: Served, tmp_path: Path
) -> None:
    file = tmp_path / "draft.yaml"
    found = answer("discover", *inverter.where, "--yaml", str(file))
    assert found["base"] == 40000
    assert [entry["model"] for entry in found["models"]][:2] == [1, 103]
    draft = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert "discovery" not in draft
    read = answer("read", str(file), *inverter.where)
    assert read["identity"]["serial"] == SERIAL
    assert read["signals"]["p_kw"]["value"] == -6.0
    shown = twin("discover", *inverter.where).stdout
    assert "map that fits best: sunspec_pv" in shown


def test_discover_of_a_device_without_sunspec_is_told(meter: Served) -> None:
    result = twin("discover", *meter.where)
    assert result.exit_code == 2
    assert "no 'SunS'" in result.output


def test_watch_writes_a_line_for_every_period_where_there_is_no_terminal(meter: Served) -> None:
    result = twin("watch", meter.map, *meter.where, "--poll-s", "0.1", "--seconds", "1")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) >= 4
    assert lines[-1]["signals"]["p_kw"]["value"] == pytest.approx(-6.02, abs=1e-4)
    assert lines[-1]["signals"]["p_kw"]["age_s"] < 5.0


def test_watch_of_a_device_that_never_answers_ends_with_1() -> None:
    result = twin("watch", "generic_meter", "--host", "127.0.0.1:1", "--poll-s", "0.1", "--seconds", "0.5")
    assert result.exit_code == 1
    assert "never answered" in result.output


def test_watch_ends_well_on_ctrl_c(meter: Served) -> None:
    line = [sys.executable, "-m", "twin", "device", "watch", meter.map, *meter.where, "--poll-s", "0.1"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["state"] == "identified"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_watch_in_a_terminal_shows_a_table_and_q_ends_it(meter: Served) -> None:
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "twin", "device", "watch", meter.map, *meter.where, "--poll-s", "0.1"]
    with subprocess.Popen(line, stdin=theirs, stdout=theirs, env=os.environ | {"TERM": "xterm"}) as process:
        os.close(theirs)
        shown = b""
        while b"q or Ctrl-C ends" not in shown or b"-6.02" not in shown:
            assert select.select([ours], [], [], 20.0)[0], shown
            shown += os.read(ours, 65536)
        os.write(ours, b"q")
        with contextlib.suppress(OSError):  # the other end closes with the process
            while os.read(ours, 65536):
                pass
        assert process.wait(20) == 0
    os.close(ours)
    assert b"identified" in shown


@pytest.fixture
def serial_line(meter: Served, tmp_path: Path) -> Iterator[str]:
    """A serial line with the meter at its other end, behind ``twin device proxy``."""
    device, ours = tmp_path / "device", tmp_path / "ours"
    pair = [program("socat"), *(f"pty,raw,echo=0,link={end}" for end in (device, ours))]
    faults = tmp_path / "faults.yaml"
    faults.write_text("rules:\n  - {fault: silent, units: [9]}\n")
    proxy = [
        sys.executable, "-m", "twin", "device", "proxy", f"127.0.0.1:{meter.port}", "--listen", f"rtu:{device}@19200",
        "--faults", str(faults), "--json",
    ]  # fmt: skip
    with subprocess.Popen(pair) as lines:
        try:
            until(lambda: device.exists() and ours.exists(), "socat made the line")
            with subprocess.Popen(proxy, stdout=subprocess.PIPE, text=True) as between:
                try:
                    assert between.stdout is not None
                    assert "{" in between.stdout.readline(), "the proxy did not start"
                    yield f"{ours}@19200"
                finally:
                    between.send_signal(signal.SIGINT)
        finally:
            lines.terminate()


def test_a_device_on_a_serial_line_is_read_and_scanned_through_a_proxy(serial_line: str) -> None:
    read = answer("read", "generic_meter", "--line", serial_line, "--point", "p_total")
    assert read["points"][0]["value"] == pytest.approx(-6020.0)
    assert read["target"].startswith("rtu:")
    found = answer("scan", f"rtu:{serial_line}", "--units", "1", "--timeout-s", "0.3")
    assert found[0]["fits"][0]["map"] == "generic_meter"


# ---------------------------------------------------------------------- where


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "say where the device is"),
        (["--host", "127.0.0.1", "--line", "/dev/null"], "say where the device is"),
        (["--host", "127.0.0.1:5", "--port", "6"], "both say a port"),
        (["--line", "/dev/null", "--port", "6"], "a serial line has neither"),
        (["--host", "http://x"], "names no device"),
        (["--host", "127.0.0.1", "--tls-ca", __file__], "all three"),
        (
            ["--host", "127.0.0.1", "--tls-ca", "no.pem", "--tls-cert", "no.pem", "--tls-key", "no.pem"],
            "no such file",
        ),
    ],
)
def test_a_place_that_is_none_is_bad_input(options: list[str], says: str) -> None:
    result = twin("read", "generic_meter", *options)
    assert (result.exit_code, says in result.output) == (2, True), result.output


def test_a_device_that_does_not_answer_ends_with_1_and_one_line() -> None:
    result = twin("read", "generic_meter", "--host", "127.0.0.1:1")
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1
    assert "127.0.0.1:1" in result.output


# ---------------------------------------------------------------------- check


@pytest.mark.usefixtures("guardians")
def test_check_passes_a_good_inverter_and_writes_its_reports(
    inverter: Served, meter: Served, tmp_path: Path
) -> None:
    result = twin(
        "check", inverter.map, *inverter.where, "--seconds", "2", "--write", "--limit", "p_limit_kw=1:5", "--confirm", SERIAL,
        "--meter", f"generic_meter@127.0.0.1:{meter.port}",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = load_report(tmp_path / f"acceptance_quick_pv_{SERIAL}.json")
    assert report.passed
    proof = report.watchdog["p_limit_kw"]
    assert proof.timeout_s == WATCHDOG_S
    assert proof.released_after_s == pytest.approx(WATCHDOG_S, abs=1.5)
    assert (tmp_path / f"acceptance_quick_pv_{SERIAL}.html").stat().st_size < 200_000
    audits = list((tmp_path / f"acceptance_quick_pv_{SERIAL}_evidence").glob("*/audit.jsonl"))
    assert len(audits) == 1
    assert "passed: it may be armed with p_limit_kw for 30 days" in result.output


@pytest.mark.usefixtures("guardians")
def test_check_without_write_writes_nothing_and_says_so(meter: Served, tmp_path: Path) -> None:
    file = tmp_path / "lab" / "meter.json"
    report = answer("check", meter.map, *meter.where, "--seconds", "1", "--out", str(file))
    assert report["passed"]
    assert load_report(file).device.serial == "M-1"
    audit = next((tmp_path / "lab").glob("meter_evidence/*/audit.jsonl")).read_text(encoding="utf-8")
    assert '"event": "write"' not in audit


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--write"], 2, "--write needs a limit"),
        (["--write", "--limit", "temp_degc=0:70"], 2, "--write needs a limit"),
        (["--limit", "p_limit_kw"], 2, "write COMMAND=LOW:HIGH"),
        (["--limit", "p_limit_kw=nan:5"], 2, "write COMMAND=LOW:HIGH"),
        (["--limit", "p_limit_kw=5:1"], 2, "the smaller bound comes first"),
        (["--limit", "p_limit_kw=1:5:0"], 2, "a ramp is above zero"),
        (["--limit", "q_limit_kvar=1:5"], 2, "the map has no command or signal q_limit_kvar"),
        (["--out", "report.txt"], 2, "must end in .json"),
        (["--meter", "generic_meter"], 2, "write MAP@HOST"),
        (["--serial", "SN-1"], 1, SERIAL),
        (["--write", "--limit", "p_limit_kw=1:5", "--confirm", "SN-1"], 2, f"answers ({SERIAL})"),
        (["--write", "--limit", "p_limit_kw=1:5"], 2, "nobody is there to confirm"),
    ],
)
@pytest.mark.usefixtures("guardians")
def test_what_cannot_be_tested_is_told_before_anything_is_written(
    inverter: Served, options: list[str], code: int, says: str
) -> None:
    result = twin("check", inverter.map, *inverter.where, *options)
    assert (result.exit_code, says in result.output) == (code, True), result.output


@pytest.mark.usefixtures("guardians")
def test_check_that_is_interrupted_releases_the_device_and_ends_with_130(inverter: Served) -> None:
    line = [
        sys.executable, "-m", "twin", "device", "check", inverter.map, *inverter.where, "--seconds", "1", "--write",
        "--limit", "p_limit_kw=1:5", "--confirm", SERIAL,
    ]  # fmt: skip
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for told in process.stderr:
            if "guard of p_limit_kw" in told:
                break
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        assert process.wait(30) == 130
    points = answer("read", inverter.map, *inverter.where, "--point", "123.WMaxLim_Ena")["points"]
    enabled = next(point for point in points if point["name"] == "123.WMaxLim_Ena")
    assert enabled["value"] == 0.0


@pytest.mark.usefixtures("guardians")
def test_a_person_who_types_another_serial_number_lets_nothing_be_written(inverter: Served) -> None:
    ours, theirs = pty.openpty()
    line = [
        sys.executable,
        "-m",
        "twin",
        "device",
        "check",
        inverter.map,
        *inverter.where,
        "--write",
        "--limit",
        "p_limit_kw=1:5",
    ]
    with subprocess.Popen(line, stdin=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        os.write(ours, b"SN-0000\n")
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(20) == 2
    os.close(ours)
    assert "Somebody must be able to switch it off" in said
    assert "SN-0000 is not the serial number that answers" in said


@pytest.mark.parametrize(
    "command",
    [
        ["read", "sunspec_pv", "--host", "127.0.0.1"],
        ["serve", "sunspec_pv"],
        ["discover", "--host", "127.0.0.1"],
    ],
)
def test_without_the_extra_a_command_says_which_one_to_install(command):
    code = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "sunspec2":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv[0] = "twin"
from twin.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "device", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert 'need pysunspec2; install it with: pip install "gemello[hil]"' in done.stderr
