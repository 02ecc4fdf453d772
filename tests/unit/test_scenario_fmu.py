"""Water heaters, EVs, FMUs and detailed batteries in a scenario file: what loads, and every mistake at its place."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.devices.base import Causality
from models.devices.numpy_block import KINDS as OUR_KINDS
from twin.assembly.fmu_wiring import SIGNAL_UNITS
from twin.errors import ScenarioError
from twin.scenario import (
    BatteryDetailSpec,
    EvSpec,
    LoadedScenario,
    PvDetailSpec,
    WaterHeaterSpec,
    load_scenario,
)
from twin.scenario.base import Spec
from twin.scenario.fmu import package_file
from twin.scenario.quantities import parse_quantity

GUIDE = Path(__file__).parents[2] / "docs" / "scenarios.md"
HEAD = """\
feeder: {source: simbench:1-LV-rural3--2-sw}
period: {start: 2016-07-04, days: 1, step_s: 60}
strategies: {none: }
"""
SOURCES = """\
sources:
  w: {file: s.csv, unit: l/min, time_zone: Europe/Rome}
  kw: {file: s.csv, unit: kWh, time_zone: Europe/Rome}
  t: {file: s.csv, unit: degC, time_zone: Europe/Rome}
  one: {file: s.csv, unit: '1', time_zone: Europe/Rome}
"""
HEATER = "- {kind: water_heater, bus: b, name: a"
EV = "- {kind: ev, bus: b, name: a"
BATTERY = "- {kind: battery, bus: b, name: a, capacity_kwh: 10, power_kw: 5"
PV = "- {kind: pv, bus: b, name: a, p_peak_kw: 3, profile: constant"


def spec_of(loaded: LoadedScenario, device: int = 0) -> Any:
    """Return what is said of a device."""
    return loaded.devices[device].spec


def fmu(*inside: str, kind: str = "fmu", rest: str = "") -> str:
    lines = "".join(f"\n      {line}" for line in inside)
    return f"- kind: {kind}\n    bus: b\n    name: a{rest}\n    fmu:\n      file: a.fmu{lines}"


Load = Callable[..., LoadedScenario]
Mistakes = Callable[..., list[tuple[str, str]]]


@pytest.fixture(name="load")
def _load(tmp_path: Path) -> Load:
    (tmp_path / "s.csv").write_text("time,c\n2016-07-04T00:00,1\n")
    (tmp_path / "a.fmu").write_bytes(b"")

    def load(devices: str, head: str = HEAD + SOURCES) -> LoadedScenario:
        file = tmp_path / "s.yaml"
        file.write_text(f"{head}devices:\n  {devices}\n", encoding="utf-8")
        return load_scenario(file)

    return load


@pytest.fixture(name="mistakes")
def _mistakes(load: Load) -> Mistakes:
    """Return (field, message) of every mistake."""

    def mistakes(devices: str, **options: str) -> list[tuple[str, str]]:
        with pytest.raises(ScenarioError) as caught:
            load(devices, **options)
        return [(mistake.field, mistake.message) for mistake in caught.value.mistakes]

    return mistakes


@pytest.mark.parametrize(
    ("written", "unit", "value"),
    [
        ("21 degC", "degC", 21.0),
        ("-5 °C", "degC", -5.0),
        ("0.2 m3", "l", 200.0),
        ("120 l/h", "l/min", 2.0),
        ("1.5 W/K", "kW/K", 0.0015),
        ("18 kWh/100km", "kWh/km", 0.18),
        ("6 %/min", "1/s", 0.001),
    ],
)
def test_units_of_appliances_are_converted(written: str, unit: str, value: float) -> None:
    assert parse_quantity(written, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (WaterHeaterSpec, "water_heater"),
        (EvSpec, "ev_charger"),
        (BatteryDetailSpec, "battery"),
        (PvDetailSpec, "pv_inverter"),
    ],
)
def test_defaults_of_the_scenario_are_those_of_the_model(model: type[Spec], kind: str) -> None:
    table = {
        entry.name: entry
        for entry in OUR_KINDS[kind].KIND.variables
        if entry.causality == Causality.PARAMETER
    }
    shared = set(table) & set(model.model_fields)
    assert len(shared) >= 2
    for name in shared:
        assert model.model_fields[name].default == table[name].start, name


def test_every_field_of_detail_is_a_parameter() -> None:
    for model, kind in ((BatteryDetailSpec, "battery"), (PvDetailSpec, "pv_inverter")):
        assert set(model.model_fields) <= set(OUR_KINDS[kind].KIND.named(Causality.PARAMETER))


def test_every_parameter_of_a_heater_and_a_charger_is_a_field() -> None:
    for model, kind in ((WaterHeaterSpec, "water_heater"), (EvSpec, "ev_charger")):
        assert set(OUR_KINDS[kind].KIND.named(Causality.PARAMETER)) <= set(model.model_fields)


def test_times_of_day_are_read_as_hours(load: Load) -> None:
    spec = spec_of(load(f"{EV}, trips: generated, departure: '06:45', arrival: 19}}"))
    assert (spec.departure, spec.arrival) == (6.75, 19.0)


def test_short_forms_of_wires_mean_what_the_long_ones_say(load: Load) -> None:
    short = load(fmu("inputs: {u: vm_pu, w: 3}", "outputs: {p_kw: y}"))
    long = load(fmu("inputs: {u: {signal: vm_pu}, w: {value: 3.0}}", "outputs: {p_kw: {variable: y}}"))
    assert spec_of(short).fmu == spec_of(long).fmu


def test_the_resolved_scenario_loads_to_the_same(load: Load, tmp_path: Path) -> None:
    loaded = load(
        fmu(
            "inputs: {a.b: {signal: v_v, unit: kV}, 'c[1]': {column: one.c, unit: '1'}}",
            "outputs: {p_kw: {variable: y, unit: W, sign: generation, max: 5}}",
            "parameters: {flag: true, 'off': false, n: 3, x: 1.5, word: 'no', many: [1, 2.5]}",
            "step: 10 s",
            "record: [a.b]",
        )
        + f"\n  {BATTERY.replace('name: a', 'name: d')}, as: fmu, detail: {{standby_kw: 15 W}}}}"
    )
    again = tmp_path / "again.yaml"
    again.write_text(loaded.resolved_yaml())
    assert load_scenario(again).scenario == loaded.scenario
    assert spec_of(loaded, 1).detail.standby_kw == 0.015


def test_the_file_of_an_fmu_follows_the_scenario_and_that_in_a_package_stays(
    load: Load, tmp_path: Path
) -> None:
    text = load(fmu("outputs: {p_kw: y}")).resolved_yaml(relative_to=tmp_path / "results")
    assert "file: ../a.fmu" in text
    inside = fmu("outputs: {p_kw: y}").replace("a.fmu", "package:models/fmu/ours/library/battery_fmi2.fmu")
    assert "package:models/fmu/ours/library/battery_fmi2.fmu" in load(inside).resolved_yaml(
        relative_to=tmp_path / "r"
    )


def test_detail_of_a_battery_can_be_a_column(load: Load, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "name,bus,capacity_kwh,power_kw,detail.standby_kw\na,b,5,2,10 W\nc,b,5,2,\n"
    )
    loaded = load("- {kind: battery, csv: list.csv, detail: {taper_low_soc: 5 %}}")
    assert [spec_of(loaded, at).detail.standby_kw for at in range(2)] == [0.01, 0.0]
    assert [spec_of(loaded, at).detail.taper_low_soc for at in range(2)] == [0.05, 0.05]


def test_detail_of_pv_is_read_in_its_units_and_written_again(load: Load, tmp_path: Path) -> None:
    loaded = load(f"{PV}, detail: {{response_s: 0.5 min, ramp_up_share_s: 20 %/min}}}}")
    assert spec_of(loaded).detail == PvDetailSpec(response_s=30.0, ramp_up_share_s=0.2 / 60)
    assert spec_of(loaded).is_block
    assert not spec_of(load(f"{PV}}}")).is_block
    again = tmp_path / "again.yaml"
    again.write_text(loaded.resolved_yaml())
    assert load_scenario(again).scenario == loaded.scenario


@pytest.mark.parametrize(
    ("devices", "field", "parts"),
    [
        (f"{HEATER}}}", "devices[0]", ["draw is missing", "draw: generated"]),
        (f"{HEATER}, draw: sometimes}}", "devices[0].draw", ["generated or SOURCE.COLUMN"]),
        (f"{HEATER}, draw: kw.c}}", "devices[0].draw", ["'kw' holds kWh", "l or l/min"]),
        (f"{HEATER}, draw: x.c}}", "devices[0].draw", ["no source 'x'"]),
        (f"{HEATER}, draw: w.c, litres_day: 100}}", "devices[0].litres_day", ["no effect with a column"]),
        (f"{HEATER}, draw: generated, volume_l: 3 kW}}", "devices[0].volume_l", ["'kW' does not fit", "m3"]),
        (
            f"{HEATER}, draw: generated, temp_use_degc: 60}}",
            "devices[0].temp_use_degc",
            ["at most temp_set_degc 53"],
        ),
        (f"{HEATER}, draw: generated, temp_air_degc: kw.c}}", "devices[0].temp_air_degc", ["one in degC"]),
        (
            f"{HEATER}, draw: generated, temp_air_degc: warm}}",
            "devices[0].temp_air_degc",
            ["or write SOURCE.COLUMN"],
        ),
        (f"{HEATER}, draw: generated, weather: w.epw}}", "devices[0].weather", ["there is no file"]),
        (
            f"{HEATER}, draw: generated, weather: s.csv, temp_air_degc: 3}}",
            "devices[0].temp_air_degc",
            ["the same twice"],
        ),
        (f"{HEATER}, draw: generated, as: fmi}}", "devices[0].as", ["model, fmu", "did you mean 'fmu'"]),
        ("- {kind: water_heater, from: feeder, draw: generated}", "devices[0].from", ["no such devices"]),
        (f"{EV}}}", "devices[0]", ["trips is missing"]),
        (f"{EV}, trips: t.c}}", "devices[0].trips", ["'t' holds degC", "power or energy"]),
        (f"{EV}, trips: kw.c, plugged: kw.c}}", "devices[0].plugged", ["'kw' holds kWh", "one in 1"]),
        (f"{EV}, trips: kw.c, km_day: 3}}", "devices[0].km_day", ["no effect with a column"]),
        (
            f"{EV}, trips: generated, plugged: one.c}}",
            "devices[0].plugged",
            ["goes with trips: SOURCE.COLUMN"],
        ),
        (f"{EV}, trips: generated, departure: 7:5}}", "devices[0].departure", ["time of day such as 07:30"]),
        (f"{EV}, trips: generated, departure: '24:00'}}", "devices[0].departure", ["00:00 to 23:59"]),
        (f"{EV}, trips: generated, arrival: '07:30'}}", "devices[0].arrival", ["must differ"]),
        (
            f"{EV}, trips: generated, km_day: 9, driven_kwh_day: 3}}",
            "devices[0].driven_kwh_day",
            ["the same as km_day"],
        ),
        (f"{EV}, trips: generated, p_max_kw: 1}}", "devices[0].p_min_kw", ["must not be above p_max_kw 1"]),
        ("- {kind: fmu, bus: b, name: a}", "devices[0]", ["fmu is missing"]),
        (
            f"{BATTERY}, as: fmu, inverter: {{p_v: {{}}}}}}",
            "devices[0].inverter.p_v",
            ["P(V) needs as: model"],
        ),
        (f"{BATTERY}, detail: {{}}, inverter: {{p_v: {{}}}}}}", "devices[0].inverter.p_v", ["no detail"]),
        (
            f"{BATTERY}, detail: {{temp_derate_start_degc: 60, temp_derate_end_degc: 50}}}}",
            "devices[0].detail.temp_derate_start_degc",
            ["below temp_derate_end_degc 50"],
        ),
        (f"{BATTERY}, fmu: {{file: a.fmu}}}}", "devices[0].fmu", ["no effect without as: fmu"]),
        (f"{PV}, detail: {{response_s: -1}}}}", "devices[0].detail.response_s", ["at least 0"]),
        (f"{PV}, detail: {{ramp_up_share_s: 1 kW}}}}", "devices[0].detail.ramp_up_share_s", ["does not fit"]),
        (f"{PV}, detail: {{ramp: 1}}}}", "devices[0].detail.ramp", ["unknown key", "ramp_up_share_s"]),
        (
            f"{PV}, as: fmu, detail: {{}}, fmu: {{file: a.fmu}}}}",
            "devices[0].detail",
            ["no effect on an FMU of one's own"],
        ),
        (
            f"{PV}, as: fmu, inverter: {{cos_phi: 0.9}}, fmu: {{file: a.fmu}}}}",
            "devices[0].inverter",
            ["no effect beside an FMU"],
        ),
    ],
)
def test_a_mistake_in_a_device_names_its_field(
    mistakes: Mistakes, devices: str, field: str, parts: list[str]
) -> None:
    found = mistakes(devices)
    assert [entry for entry, _ in found if entry == field] == [field], found
    message = dict(found)[field]
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("inside", "kind", "field", "parts"),
    [
        (["inputs: {u: vm_pv}", "outputs: {p_kw: y}"], "fmu", "inputs.u", ["no signal 'vm_pv'", "'vm_pu'"]),
        (["inputs: {u: plugged}", "outputs: {p_kw: y}"], "fmu", "inputs.u", ["no signal 'plugged'"]),
        (["inputs: {u: {}}", "outputs: {p_kw: y}"], "fmu", "inputs.u", ["says not what feeds it"]),
        (
            ["inputs: {u: {signal: vm_pu, value: 2}}", "outputs: {p_kw: y}"],
            "fmu",
            "inputs.u.value",
            ["fed twice, by signal and value"],
        ),
        (
            ["inputs: {u: {value: 2, unit: W}}", "outputs: {p_kw: y}"],
            "fmu",
            "inputs.u.unit",
            ["no effect on a fixed value"],
        ),
        (["inputs: {u: {column: x}}", "outputs: {p_kw: y}"], "fmu", "inputs.u.column", ["SOURCE.COLUMN"]),
        (["inputs: {u: {column: x.c}}", "outputs: {p_kw: y}"], "fmu", "inputs.u.column", ["no source 'x'"]),
        (
            ["inputs: {u: {signal: vm_pu, sign: generation}}", "outputs: {p_kw: y}"],
            "fmu",
            "inputs.u.sign",
            ["goes with powers"],
        ),
        (["inputs: {u: temp_air_degc}", "outputs: {p_kw: y}"], "fmu", "inputs.u", ["add weather: FILE"]),
        ([], "fmu", "outputs", ["p_kw is missing"]),
        (["outputs: {p_kw: y, soc: s}"], "fmu", "outputs.soc", ["gives no 'soc'"]),
        (["outputs: {p_kw: {variable: y, factor: 0}}"], "fmu", "outputs.p_kw.factor", ["must not be 0"]),
        (["outputs: {p_kw: {variable: y, min: 2, max: 1}}"], "fmu", "outputs.p_kw.min", ["below max 1"]),
        (["outputs: {p_kw: {variable: y, take: first}}"], "fmu", "outputs.p_kw.take", ["mean or last"]),
        (["outputs: {p_kw: y}", "step: 0 s"], "fmu", "step", ["greater than 0"]),
        (["outputs: {p_kw: y}", "timeout: 3 kW"], "fmu", "timeout", ["'kW' does not fit"]),
        (["outputs: {p_kw: y}", "interface: cosim"], "fmu", "interface", ["co_simulation"]),
        (
            ["outputs: {p_kw: y}", "trusted: true", "on_failure: restart"],
            "fmu",
            "on_failure",
            ["process of its own"],
        ),
        (["outputs: {p_kw: y}", "parameters: {k: {}}"], "fmu", "parameters.k", ["must be a number"]),
        (["outputs: {p_kw: y}", "parameters: {k: .nan}"], "fmu", "parameters.k", ["finite"]),
        (["outputs: {p_kw: y}", "record: [a, a]"], "fmu", "record[1]", ["twice"]),
        (["outputs: {p_kw: y}", "colour: red"], "fmu", "colour", ["unknown key"]),
        (["inputs: {u: p_set_kw}", "outputs: {p_kw: y}"], "battery", "outputs", ["soc is missing"]),
        (["outputs: {p_kw: y, soc: s}"], "battery", "inputs", ["no variable takes p_set_kw"]),
        (["outputs: {p_kw: y}"], "pv", "inputs", ["no variable takes p_available_kw"]),
    ],
)
def test_a_mistake_in_an_fmu_block_names_its_field(
    mistakes: Mistakes, inside: list[str], kind: str, field: str, parts: list[str]
) -> None:
    rest = {
        "fmu": "",
        "battery": "\n    as: fmu\n    capacity_kwh: 5\n    power_kw: 2",
        "pv": "\n    as: fmu\n    p_peak_kw: 5\n    profile: constant",
    }[kind]
    found = mistakes(fmu(*inside, kind=kind, rest=rest))
    where = f"devices[0].fmu.{field}"
    assert where in dict(found), found
    for part in parts:
        assert part in dict(found)[where]


def test_all_mistakes_of_an_fmu_block_come_at_once(mistakes: Mistakes) -> None:
    found = mistakes(fmu("inputs: {u: nothing, w: {}}", "outputs: {q_kvar: {variable: y, min: 1, max: 0}}"))
    assert {field for field, _ in found} == {
        "devices[0].fmu.inputs.u",
        "devices[0].fmu.inputs.w",
        "devices[0].fmu.outputs.q_kvar.min",
    }, "what a wrong output would give is not said to be missing"
    found = mistakes(fmu("inputs: {a.b: nothing, w: plugged}", "outputs: {q_kvar: y, watts: z}"))
    assert [field for field, _ in found] == [
        "devices[0].fmu.inputs.a.b",
        "devices[0].fmu.inputs.w",
        "devices[0].fmu.outputs.watts",
        "devices[0].fmu.outputs",
    ]


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("b.fmu", "there is no file"),
        ("a.zip", "must end in .fmu"),
        ("package:no_such_package_here/a.fmu", "no Python package 'no_such_package_here'"),
        ("package:models/../a.fmu", "without '..'"),
        ("package:models", "must end in .fmu"),
        ("package:a.b/c.fmu", "must be package:NAME/path"),
        ("package:models/a.fmu", "no file"),
    ],
)
def test_an_fmu_that_is_not_there_says_where_it_was_looked_for(
    mistakes: Mistakes, file: str, part: str
) -> None:
    found = mistakes(fmu("outputs: {p_kw: y}").replace("file: a.fmu", f"file: {file}"))
    assert {field for field, _ in found} == {"devices[0].fmu.file"}
    assert part in found[0][1]


def test_a_file_in_a_package_is_found_without_running_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quiet_package").mkdir()
    (tmp_path / "quiet_package" / "__init__.py").write_text("raise RuntimeError('it ran')")
    (tmp_path / "quiet_package" / "x.fmu").write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_file("package:quiet_package/x.fmu") == tmp_path / "quiet_package" / "x.fmu"
    assert "quiet_package" not in sys.modules


def test_the_devices_of_the_guide_load(load: Load, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(devices:\n.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    for name in ("milan.epw", "pump.fmu"):
        (tmp_path / name).write_bytes(b"")
    units = {"meter": "l/min", "van": "kWh", "yard": "'1'"}
    text = "".join(
        f"  {name}: {{file: s.csv, unit: {unit}, time_zone: Europe/Rome}}\n" for name, unit in units.items()
    )
    for block in blocks:
        file = tmp_path / "guide.yaml"
        file.write_text(f"{HEAD}sources:\n{text}{block}")
        assert load_scenario(file).devices


def test_the_detail_of_the_guide_loads(load: Load) -> None:
    of_battery, of_pv = re.findall(r"```yaml\ndetail: .*?\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    battery = "- kind: battery\n    bus: b\n    name: a\n    capacity_kwh: 5\n    power_kw: 2\n    detail:\n"
    pv = "- kind: pv\n    bus: b\n    name: a\n    p_peak_kw: 3\n    profile: constant\n    detail:\n"
    of_battery, of_pv = (
        "".join(f"    {line}\n" for line in block.splitlines()) for block in (of_battery, of_pv)
    )
    assert spec_of(load(battery + of_battery)).detail.fade_per_cycle == pytest.approx(5e-5)
    assert spec_of(load(pv + of_pv)).detail.ramp_up_share_s == pytest.approx(0.2 / 60)


def test_every_signal_of_the_guide_exists() -> None:
    table = GUIDE.read_text().split("| kind | needs in |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", table)) - {"battery", "pv", "water_heater", "ev", "fmu"}
    assert named <= set(SIGNAL_UNITS)
