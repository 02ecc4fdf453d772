"""Virtual and real devices in a scenario file: what loads, every mistake at its place, and what one word changes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twin.errors import ScenarioError
from twin.scenario import GridSourceSpec, InvalidIfSpec, LiveSpec, LoadedScenario, ModbusSpec, load_scenario
from twin.scenario.base import Spec
from twin.scenario.missing import MissingSpec
from twin.scenario.modbus import LabLimitSpec, LineSpec, TlsSpec

GUIDE = Path(__file__).parents[2] / "docs" / "scenarios.md"
HEAD = """\
feeder: {source: simbench:1-LV-rural3--2-sw}
period: {start: 2016-07-04, days: 1, step_s: 1}
strategies: {none: }
"""
BATTERY = "- {kind: battery, bus: b, name: a, capacity_kwh: 10, power_kw: 5"
EV = "- {kind: ev, bus: b, name: a, trips: generated"
REAL = "host: 10.0.0.7, serial: A1"

Load = Callable[..., LoadedScenario]
Mistakes = Callable[..., list[tuple[str, str]]]


@pytest.fixture(name="load")
def _load(tmp_path: Path) -> Load:
    def load(devices: str, rest: str = "") -> LoadedScenario:
        path = tmp_path / "case.yaml"
        path.write_text(f"{HEAD}{rest}devices:\n  {devices}\n")
        return load_scenario(path)

    return load


@pytest.fixture(name="mistakes")
def _mistakes(load: Load) -> Mistakes:
    def mistakes(devices: str, rest: str = "") -> list[tuple[str, str]]:
        with pytest.raises(ScenarioError) as caught:
            load(devices, rest)
        assert all(mistake.line is not None for mistake in caught.value.mistakes)
        return [(mistake.field, mistake.message) for mistake in caught.value.mistakes]

    return mistakes


def modbus_of(loaded: LoadedScenario) -> ModbusSpec:
    spec: Any = loaded.devices[0].spec
    assert isinstance(spec.modbus, ModbusSpec)
    return spec.modbus


def test_every_field_of_a_device_on_the_wire_loads_with_its_units(load: Load, tmp_path: Path) -> None:
    for name in ("check.json", "faults.yaml", "ca.pem", "us.pem", "us.key"):
        (tmp_path / name).write_text("")
    spec = modbus_of(
        load(
            f"{BATTERY}, as: hardware, modbus: {{map: sunspec_battery, {REAL}, port: 1502, unit: 3, stands_for: 4,"
            " tls: {authority: ca.pem, certificate: us.pem, key: us.key}, acceptance: check.json, slope_kw_v: 0.4,"
            " limits: {p_set_kw: {min: -2500 W, max: 2.5 kW, ramp: 30 kW/min}, soc: {min: 20 %, max: 0.9}},"
            " missing: {p_kw: {hold: 3 s, then: safe, safe: 500 W}, soc: {hold: 2 min, then: stop}},"
            " protection: {start_wait_s: 10}, faults: faults.yaml}}"
        )
    )
    assert spec.limits["p_set_kw"] == LabLimitSpec(min=-2.5, max=2.5, ramp=0.5)
    assert spec.limits["soc"] == LabLimitSpec(min=0.2, max=0.9)
    assert spec.missing["p_kw"] == MissingSpec(hold=3.0, then="safe", safe=0.5)
    assert spec.missing["soc"] == MissingSpec(hold=120.0, then="stop")
    assert (spec.port, spec.unit, spec.stands_for, spec.slope_kw_v) == (1502, 3, 4.0, 0.4)
    assert spec.protection == {"start_wait_s": 10}


def test_a_serial_line_loads(load: Load) -> None:
    spec = modbus_of(
        load(
            f"{BATTERY}, as: hardware, modbus: {{map: m, serial: 17,"
            " line: {path: /dev/ttyUSB0, baudrate: 9600, parity: none, stopbits: 2, turnaround: 0.5 s}}}"
        )
    )
    assert spec.line == LineSpec(
        path="/dev/ttyUSB0", baudrate=9600, parity="none", stopbits=2, turnaround=0.5
    )
    assert spec.serial == "17"


def test_real_time_has_defaults_and_units(load: Load) -> None:
    assert load(f"{BATTERY}}}").scenario.live == LiveSpec()
    live = load(
        f"{BATTERY}}}",
        "live: {speed: 10, poll: 200 ms, on_late: catch_up, late_limit: 100 ms, feed_timeout: 3 s, armed_for: 30 min,"
        " loop_gain: refuse, invalid_if: {late_share: 1 %, stale_share: 20 %}}\n",
    ).scenario.live
    assert (live.speed, live.poll, live.on_late, live.late_limit) == (10.0, 0.2, "catch_up", 0.1)
    assert (live.feed_timeout, live.armed_for, live.loop_gain) == (3.0, 1800.0, "refuse")
    assert live.invalid_if == InvalidIfSpec(late_share=0.01, stale_share=0.2)


@pytest.mark.parametrize(
    ("device", "field", "parts"),
    [
        (f"{BATTERY}, as: virtual}}", "devices[0]", ["modbus is missing", "as: virtual"]),
        (f"{BATTERY}, as: hardware}}", "devices[0]", ["modbus is missing", "as: hardware"]),
        (f"{BATTERY}, as: virtual, modbus: {{}}}}", "devices[0].modbus.map", ["is missing"]),
        (f"{BATTERY}, as: hardware, modbus: {{map: m, serial: x}}}}", "devices[0].modbus", ["host: ADDRESS"]),
        (
            f"{BATTERY}, as: hardware, modbus: {{map: m, host: x}}}}",
            "devices[0].modbus",
            ["serial is missing"],
        ),
        (
            f"{BATTERY}, as: hardware, modbus: {{map: m, {REAL}, line: {{path: /dev/x}}}}}}",
            "devices[0].modbus.host",
            ["two ways"],
        ),
        (
            f"{BATTERY}, as: hardware, modbus: {{map: m, {REAL}, rtu_over_tcp: true}}}}",
            "devices[0].modbus.port",
            ["is missing"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: m, limits: {{p_set_kw: {{min: 3, max: 1}}}}}}}}",
            "devices[0].modbus.limits.p_set_kw.min",
            ["must not be above"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: m, limits: {{p_set_kw: {{min: 3 V, max: 1}}}}}}}}",
            "devices[0].modbus.limits",
            ["p_set_kw.min", "unit 'V' does not fit"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: m, missing: {{p_kw: {{then: safe}}}}}}}}",
            "devices[0].modbus.missing.p_kw.safe",
            ["is missing"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: m, missing: {{p_kw: {{safe: 0 kW}}}}}}}}",
            "devices[0].modbus.missing.p_kw.safe",
            ["has no effect with then: model"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: m, protection: 5}}}}",
            "devices[0].modbus.protection",
            ["true, false or a mapping"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: m, faults: [late]}}}}",
            "devices[0].modbus.faults",
            ["a list of rules"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: m, rtu_over_tcp: {{}}}}}}",
            "devices[0].modbus.rtu_over_tcp",
            ["must be true or false"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: mine.yaml}}}}",
            "devices[0].modbus.map",
            ["there is no file"],
        ),
        (
            f"{BATTERY}, as: virtual, modbus: {{map: m, faults: gone.yaml}}}}",
            "devices[0].modbus.faults",
            ["there is no file"],
        ),
        (
            f"{BATTERY}, as: hardware, modbus: {{map: m, {REAL}, acceptance: gone.json}}}}",
            "devices[0].modbus.acceptance",
            ["there is no file"],
        ),
        (
            "- {kind: battery, from: feeder, as: virtual, modbus: {map: m}}",
            "devices[0].from",
            ["needs home or bus"],
        ),
        (
            f"- {{kind: battery, share: 50 %, capacity_kwh: 5, power_kw: 2, as: hardware, modbus: {{map: m, {REAL}}}}}",
            "devices[0].share",
            ["at one place"],
        ),
        (
            f"{EV}, as: virtual, modbus: {{map: m, stands_for: 3}}, fmu: {{file: a.fmu, outputs: {{p_kw: y}}}}}}",
            "devices[0].modbus.stands_for",
            ["cannot be divided"],
        ),
    ],
)
def test_a_mistake_in_a_device_on_the_wire_names_its_field(
    mistakes: Mistakes, tmp_path: Path, device: str, field: str, parts: list[str]
) -> None:
    (tmp_path / "a.fmu").write_bytes(b"")
    found = mistakes(device)
    message = next((text for where, text in found if where == field), None)
    assert message is not None, found
    for part in parts:
        assert part in message
    assert len(found) == 1


@pytest.mark.parametrize(
    ("live", "field"),
    [
        ("{speed: 0}", "live.speed"),
        ("{poll: 0.01}", "live.poll"),
        ("{on_late: wait}", "live.on_late"),
        ("{poll: 2 s, feed_timeout: 1 s}", "live.feed_timeout"),
        ("{invalid_if: {late_share: 2}}", "live.invalid_if.late_share"),
    ],
)
def test_a_mistake_in_real_time_names_its_field(mistakes: Mistakes, live: str, field: str) -> None:
    assert [where for where, _ in mistakes(f"{BATTERY}}}", f"live: {live}\n")] == [field]


@pytest.mark.parametrize("word", ["model", "fmu"])
def test_the_block_has_no_effect_offline_even_where_its_files_are_not_there(load: Load, word: str) -> None:
    block = "modbus: {map: gone.yaml, acceptance: gone.json, faults: gone.yaml, tls: {authority: a, certificate: b, key: c}}"
    spec: Any = load(f"{BATTERY}, as: {word}, {block}}}").devices[0].spec
    assert not spec.is_on_wire
    assert spec.is_block is (word == "fmu")


@pytest.mark.parametrize(
    "unused", ["acceptance: gone.json", "tls: {authority: a, certificate: b, key: c}", REAL]
)
def test_what_only_hardware_uses_has_no_effect_on_a_virtual_device(load: Load, unused: str) -> None:
    spec = modbus_of(load(f"{BATTERY}, as: virtual, modbus: {{map: m, {unused}}}}}"))
    assert spec.map == "m"


@pytest.mark.parametrize("unused", ["faults: gone.yaml", "protection: true"])
def test_what_only_virtual_devices_use_has_no_effect_on_hardware(load: Load, unused: str) -> None:
    spec = modbus_of(load(f"{BATTERY}, as: hardware, modbus: {{map: m, {REAL}, {unused}}}}}"))
    assert spec.map == "m"


def test_a_mistake_in_the_block_is_one_offline_too(mistakes: Mistakes) -> None:
    found = mistakes(f"{BATTERY}, modbus: {{map: m, prot: 502}}}}")
    assert [where for where, _ in found] == ["devices[0].modbus.prot"]


def test_a_resolved_scenario_with_devices_on_the_wire_loads_to_the_same(load: Load, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    loaded = load(
        f"{BATTERY}, as: hardware, modbus: {{map: mine.yaml, {REAL}, limits: {{p_set_kw: {{min: 0 W, max: 2 kW}}}},"
        " missing: {p_kw: {then: safe, safe: 1 kW}, q_kvar: {then: safe, safe: 200 var}}}}",
        "live: {poll: 1 s}\n",
    )
    elsewhere = tmp_path / "results"
    elsewhere.mkdir()
    (elsewhere / "again.yaml").write_text(loaded.resolved_yaml(relative_to=elsewhere))
    again = load_scenario(elsewhere / "again.yaml")
    assert modbus_of(again).map == "../mine.yaml"
    assert modbus_of(again).model_copy(update={"map": "mine.yaml"}) == modbus_of(loaded)
    assert modbus_of(again).missing["q_kvar"].safe == 0.2
    assert again.scenario.live == loaded.scenario.live


def test_rows_of_a_file_share_the_block_of_their_entry(load: Load, tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("name,bus,capacity_kwh\nx,b,5\ny,c,6\n")
    loaded = load("- {kind: battery, csv: some.csv, power_kw: 2, as: virtual, modbus: {map: m}}")
    specs: list[Any] = [device.spec for device in loaded.devices]
    assert [(spec.name, spec.modbus.map) for spec in specs] == [("x", "m"), ("y", "m")]


def test_the_block_is_no_column(mistakes: Mistakes, tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("name,bus,capacity_kwh,modbus.map\nx,b,5,m\n")
    found = mistakes("- {kind: battery, csv: some.csv, power_kw: 2, as: virtual, modbus: {map: m}}")
    assert "unknown column 'modbus.map'" in found[0][1]


@pytest.mark.parametrize(
    "model",
    [ModbusSpec, GridSourceSpec, LineSpec, TlsSpec, LabLimitSpec, MissingSpec, LiveSpec, InvalidIfSpec],
)
def test_every_field_is_in_the_guide(model: type[Spec]) -> None:
    section = GUIDE.read_text().split("## Virtual and real devices")[1].split("\n## ")[0]
    absent = {name for name in model.model_fields if not re.search(rf"\b{name}\b", section)}
    assert absent == set()


def test_the_entries_of_the_guide_load(tmp_path: Path) -> None:
    section = GUIDE.read_text().split("## Virtual and real devices")[1].split("\n## ")[0]
    for name in ("house_battery.yaml", "inverter_check.json", "faults.yaml"):
        (tmp_path / name).write_text("")
    written = "\n".join(re.findall(r"```yaml\n(.*?)```", section, flags=re.DOTALL))
    assert "devices:" in written
    assert "live:" in written
    path = tmp_path / "guide.yaml"
    path.write_text(HEAD + written)
    loaded = load_scenario(path)
    words: list[Any] = [device.spec for device in loaded.devices]
    assert {spec.as_ for spec in words} == {"virtual", "hardware"}
