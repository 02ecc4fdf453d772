"""Loading: units, inheritance, device lists in CSV, overrides, the resolved scenario, the schema."""

import datetime as dt
import re
import subprocess
import sys
from pathlib import Path

import pytest

from twin.errors import ScenarioError
from twin.scenario import BatterySpec, LoadSpec, load_scenario, scenario_json_schema
from twin.scenario.quantities import parse_quantity

SCENARIOS = Path(__file__).parents[2] / "scenarios"
HEAD = """\
feeder: {source: simbench:1-LV-rural3--2-sw}
period: {start: 2016-07-04, days: 1}
strategies: {none: }
"""
FULL = (
    HEAD
    + """\
description: "12:30"
sources: {m: {file: m.csv, unit: '1', time_zone: Europe/Rome}}
devices:
  - {kind: load, from: feeder, match: 'LV*', profile: feeder}
  - {kind: load, bus: 007, name: 1, profile: m.a, p_kw: 2 kW}
  - kind: pv
    share: 60 %
    p_peak_kw: 3000 W
    profile: clear_sky
    place: {latitude_deg: 45.5 deg, longitude_deg: 9}
    inverter: {function: q_v, p_v: {}}
  - {kind: battery, home: h1, name: 'no', capacity_kwh: 5000 Wh, power_kw: 2.5}
prices: {import_eur_kwh: 250 EUR/MWh}
external:
  - {name: x, python: 'a.b:C', model: M, attr: p, unit: W, sign: generation, bus: b, params: {a: null, b: ['no', 1.5]}}
"""
)


@pytest.fixture
def write(tmp_path):
    def write(**files):
        """Write each file (``name__ext`` for name.ext) and return the path of the first."""
        paths = [tmp_path / name.replace("__", ".") for name in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths[0]

    return write


@pytest.fixture
def mistakes_of():
    def mistakes_of(path, **options):
        with pytest.raises(ScenarioError) as caught:
            load_scenario(path, **options)
        return [(Path(m.file).name, m.line, m.field, m.message) for m in caught.value.mistakes]

    return mistakes_of


@pytest.mark.parametrize(
    ("written", "unit", "value"),
    [
        ("5 kW", "kW", 5.0),
        ("5kW", "kW", 5.0),
        ("250 w", "kW", 0.25),
        (".5 MW", "kW", 500.0),
        ("1e3 W", "kW", 1.0),
        (3, "kW", 3),
        ("3", "kW", 3.0),
        ("5000 Wh", "kWh", 5.0),
        ("15 min", "s", 900.0),
        ("1 h", "s", 3600.0),
        ("24 h", "h", 24.0),
        ("90 min", "h", 1.5),
        ("60 %", "1", 0.6),
        ("35 %", "1", 0.35),
        ("7%", "1", 0.07),
        ("80 %", "%", 80.0),
        ("105 %", "pu", 1.05),
        ("30 deg", "deg", 30.0),
        ("-12.5 °", "deg", -12.5),
        ("50 EUR/MWh", "EUR/kWh", 0.05),
        ("25 ct/kWh", "EUR/kWh", 0.25),
    ],
)
def test_a_quantity_is_read_in_the_unit_of_its_field(written, unit, value):
    assert parse_quantity(written, unit) == value


@pytest.mark.parametrize(
    "written", ["5 kvar", "kW", "", "5 5 kW", "5,5 kW", "nan kW", "inf", "1e999", True, None, [5]]
)
def test_what_is_no_power_is_refused_with_the_accepted_units(written):
    with pytest.raises(ValueError, match=r"W, kW, MW|finite"):
        parse_quantity(written, "kW")


def test_a_decimal_comma_is_explained():
    with pytest.raises(ValueError, match="decimal point"):
        parse_quantity("5,5 kW", "kW")


def test_everything_in_a_full_scenario_arrives(write):
    loaded = load_scenario(write(s__yaml=FULL, m__csv=""))
    scenario = loaded.scenario
    load, scaled, pv, battery = (device.spec for device in loaded.devices)
    assert (load.placement, load.match) == ("from", "LV*")
    assert (scaled.bus, scaled.name, scaled.p_kw) == ("7", "1", 2.0)
    assert (pv.share, pv.p_peak_kw, pv.place.latitude_deg) == (0.6, 3.0, 45.5)
    assert (pv.inverter.function, pv.inverter.v2s_pu, pv.inverter.p_v.start_pu) == ("q_v", 1.10, 1.078)
    assert (battery.name, battery.capacity_kwh, battery.charge_kw, battery.discharge_kw) == (
        "no",
        5.0,
        2.5,
        2.5,
    )
    assert scenario.prices.import_eur_kwh == 0.25
    assert scenario.name == "s"
    assert scenario.period.start == dt.datetime(2016, 7, 4)  # noqa: DTZ001 - local time is what the file says
    assert scenario.period.step_s == 900
    assert scenario.strategies["none"].use == "none"


def test_a_scenario_cannot_be_changed_after_loading(write):
    scenario = load_scenario(write(s__yaml=HEAD)).scenario
    with pytest.raises(ValueError, match="frozen"):
        scenario.seed = 2


def test_a_time_with_an_offset_settles_the_hour_that_is_twice(write):
    text = HEAD.replace("2016-07-04", "'2016-10-30T02:30+01:00'")
    assert load_scenario(write(s__yaml=text)).scenario.period.start.utcoffset() == dt.timedelta(hours=1)


def test_the_resolved_scenario_loads_again_to_the_same(write):
    first = load_scenario(write(s__yaml=FULL, m__csv=""))
    again = load_scenario(write(t__yaml=first.resolved_yaml()))
    assert again.scenario == first.scenario
    assert again.devices == first.devices
    assert again.sha256 == first.sha256
    assert again.resolved_yaml() == first.resolved_yaml()


def test_the_resolved_scenario_can_be_stored_in_another_folder(write, tmp_path):
    text = FULL.replace("clear_sky", "weather:m.csv").replace("{none: }", "{mine: {use: 'mine.py:Charger'}}")
    first = load_scenario(write(s__yaml=text, m__csv="", mine__py=""))
    folder = tmp_path / "results" / "run"
    folder.mkdir(parents=True)
    stored = folder / "scenario.yaml"
    stored.write_text(first.resolved_yaml(relative_to=folder), encoding="utf-8")
    again = load_scenario(stored).scenario
    assert again.sources["m"].file == "../../m.csv"
    assert again.devices[2].profile == "weather:../../m.csv"
    assert again.strategies["mine"].use == "../../mine.py:Charger"


def test_the_hash_follows_content_and_not_layout(write):
    plain = load_scenario(write(s__yaml=HEAD)).sha256
    assert (
        load_scenario(write(s__yaml="# words\n" + HEAD.replace("1}", "1, step_s: 15 min}"))).sha256 == plain
    )
    assert load_scenario(write(s__yaml=HEAD + "seed: 2\n")).sha256 != plain


def test_a_file_inherits_key_by_key_and_replaces_lists_and_strategies(write):
    base = (
        HEAD
        + "limits: {vm_min_pu: 0.94, vm_max_pu: 1.06}\ndevices:\n  - {kind: load, from: feeder, profile: feeder}\n"
    )
    child = "extends: base.yaml\nlimits: {vm_max_pu: 1.05}\ndevices: []\nstrategies: {mpc: }\n"
    scenario = load_scenario(write(s__yaml=child, base__yaml=base)).scenario
    assert (scenario.limits.vm_min_pu, scenario.limits.vm_max_pu) == (0.94, 1.05)
    assert scenario.devices == ()
    assert list(scenario.strategies) == ["mpc"]


def test_mistakes_point_to_the_file_a_value_came_from(write, mistakes_of):
    base = HEAD + "limits:\n  vm_min_pu: -1\n  line_loading_percent: 0\ndevices:\n  - {kind: batery}\n"
    child = "extends: base.yaml\nlimits:\n  line_loading_percent: -5\n  vm_mx_pu: 1\ndevices:\n\n  - {kind: pvv}\n"
    found = mistakes_of(write(s__yaml=child, base__yaml=base))
    assert [entry[:3] for entry in found] == [
        ("s.yaml", 3, "limits.line_loading_percent"),
        ("s.yaml", 4, "limits.vm_mx_pu"),
        ("s.yaml", 7, "devices[0]"),
        ("base.yaml", 5, "limits.vm_min_pu"),
    ]


def test_file_names_in_a_base_are_relative_to_the_base(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "m.csv").touch()
    (tmp_path / "common" / "base.yaml").write_text(
        HEAD + "sources: {m: {file: m.csv, unit: kW}}\n", encoding="utf-8"
    )
    child = tmp_path / "s.yaml"
    child.write_text("extends: common/base.yaml\n", encoding="utf-8")
    assert load_scenario(child).scenario.sources["m"].file == "common/m.csv"


@pytest.mark.parametrize(
    ("extends", "part"),
    [
        ("a" * 300 + ".yaml", "there is no file"),
        ("s.yaml", "circle: s.yaml -> s.yaml"),
        ("other.yaml", "circle: s.yaml -> other.yaml -> s.yaml"),
        ("none.yaml", "there is no file"),
        ("[a.yaml]", "must be the name of a scenario file"),
        ('"a\\0b"', "must be the name of a scenario file"),
    ],
)
def test_a_base_that_cannot_be_followed_is_refused(write, mistakes_of, extends, part):
    found = mistakes_of(write(s__yaml=f"extends: {extends}\n", other__yaml="extends: s.yaml\n"))
    assert found[0][2] == "extends"
    assert part in found[0][3]


CSV_HEAD = (
    HEAD
    + "devices:\n  - kind: battery\n    csv: homes.csv\n    soc_min: 20 %\n    inverter: {function: q_v}\n"
)


def test_a_csv_list_becomes_one_device_a_row(write):
    rows = "name,home,capacity_kwh,power_kw,soc_min,inverter.s_rated_kva\nb1,h1,5,2.5 kW,,\nb2,h2,10 kWh,5,0.3,6\n\n"
    loaded = load_scenario(write(s__yaml=CSV_HEAD, homes__csv=rows))
    first, second = (device.spec for device in loaded.devices)
    assert isinstance(first, BatterySpec)
    assert (first.name, first.home, first.capacity_kwh, first.charge_kw, first.soc_min) == (
        "b1",
        "h1",
        5.0,
        2.5,
        0.2,
    )
    assert (second.capacity_kwh, second.soc_min, second.inverter.s_rated_kva) == (10.0, 0.3, 6.0)
    assert second.inverter.function == "q_v"
    assert len(loaded.scenario.devices) == 1
    mistake = loaded.mistake(f"{loaded.devices[1].field}.home", "no such home")
    assert str(mistake).endswith("homes.csv:3: home: no such home")


def test_changing_a_csv_list_changes_the_hash(write):
    rows = "name,home,capacity_kwh,power_kw\nb1,h1,5,2.5\n"
    first = load_scenario(write(s__yaml=CSV_HEAD, homes__csv=rows)).sha256
    assert load_scenario(write(s__yaml=CSV_HEAD, homes__csv=rows.replace("5,2.5", "6,2.5"))).sha256 != first


def test_semicolons_separate_as_well_and_names_keep_their_zeros(write):
    rows = "\ufeffname;bus;p_kw;profile\n007;1e3;2;constant\n"
    text = HEAD + "devices:\n  - {kind: load, csv: homes.csv}\n"
    (device,) = load_scenario(write(s__yaml=text, homes__csv=rows)).devices
    assert isinstance(device.spec, LoadSpec)
    assert (device.spec.name, device.spec.bus, device.spec.p_kw) == ("007", "1e3", 2.0)


def test_mistakes_in_rows_name_file_row_and_column_all_at_once(write, mistakes_of):
    rows = "name,home,capacity_kwh,power_kw\nb1,h1,-5,2\nb2,h2,abc,2\nb1,h3,5,2\nb4,,5,2\nb5,h5,5\n"
    found = mistakes_of(write(s__yaml=CSV_HEAD + "seed: -1\n", homes__csv=rows))
    assert [entry[:3] for entry in found] == [
        ("s.yaml", 9, "seed"),
        ("homes.csv", 2, "capacity_kwh"),
        ("homes.csv", 3, "capacity_kwh"),
        ("homes.csv", 4, "name"),
        ("homes.csv", 5, ""),
        ("homes.csv", 6, ""),
    ]


@pytest.mark.parametrize(
    ("rows", "line", "part"),
    [
        ("", None, "the file is empty"),
        ("name,home\n", 1, "there is no row"),
        ("name,home,capacity\n", 1, "unknown column 'capacity'; did you mean 'capacity_kwh'?"),
        ("name,name\n", 1, "twice"),
        ("name,share\n", 1, "unknown column 'share'"),
        ('name,home\n"b1,h1\n', 2, "not valid CSV"),
        ("name,home\nb\0,h\n", None, "binary"),
    ],
)
def test_a_csv_list_that_cannot_be_read_is_refused(write, mistakes_of, rows, line, part):
    ((file, found_line, _, message),) = mistakes_of(write(s__yaml=CSV_HEAD, homes__csv=rows))
    assert (file, found_line) == ("homes.csv", line)
    assert part in message


def test_a_mistake_beside_csv_is_reported_once_and_not_for_every_row(write, mistakes_of):
    rows = "name,home,capacity_kwh,power_kw\nb1,h1,5,2\nb2,h2,5,2\n"
    ((file, line, field, _),) = mistakes_of(write(s__yaml=CSV_HEAD.replace("20 %", "2"), homes__csv=rows))
    assert (file, line, field) == ("s.yaml", 7, "devices[0].soc_min")


def test_thousands_of_rows_arrive_complete(write):
    rows = "name,home,capacity_kwh,power_kw\n" + "".join(f"b{n},h{n},{n + 1},2\n" for n in range(5000))
    loaded = load_scenario(write(s__yaml=CSV_HEAD, homes__csv=rows))
    assert sum(device.spec.capacity_kwh for device in loaded.devices) == 5000 * 5001 / 2


def test_overrides_replace_values_and_are_checked_like_the_file(write, mistakes_of):
    file = write(s__yaml=HEAD)
    changed = {"period.days": 3, "period.start": dt.date(2016, 1, 1), "seed": 7, "output.detail": "kpi"}
    scenario = load_scenario(file, overrides=changed).scenario
    assert (scenario.period.days, scenario.seed, scenario.output.detail) == (3, 7, "kpi")
    assert scenario.period.start.month == 1
    found = mistakes_of(
        file, overrides={"period.days": 0, "output.detial": "kpi", "seed.x": 1, "feeder.source.x": 1}
    )
    assert {entry[:3] for entry in found} == {
        ("option period.days", None, "period.days"),
        ("option output.detial", None, "output.detial"),
        ("option seed.x", None, "seed"),
        ("option feeder.source.x", None, "feeder.source.x"),
    }


@pytest.mark.parametrize(
    ("stem", "name"), [("my feeder (2)", "my-feeder-2"), ("01_rural", "01_rural"), ("ß", "scenario")]
)
def test_the_name_defaults_to_the_file_name(tmp_path, stem, name):
    file = tmp_path / f"{stem}.yaml"
    file.write_text(HEAD, encoding="utf-8")
    assert load_scenario(file).scenario.name == name


def test_texts_with_a_unit_in_strategy_parameters_follow_their_key(write):
    text = HEAD.replace(
        "{none: }", "{x: {params: {limit_kw: 4000 W, horizon_h: 24 h, forecast: perfect, n: 3 kW}}}"
    )
    params = load_scenario(write(s__yaml=text)).scenario.strategies["x"].params
    assert params == {"limit_kw": 4.0, "horizon_h": 24.0, "forecast": "perfect", "n": "3 kW"}


def test_the_rural_feeder_scenario_loads():
    scenario = load_scenario(SCENARIOS / "01_rural_feeder.yaml").scenario
    assert [device.kind for device in scenario.devices] == ["load", "pv", "battery", "pv"]
    assert list(scenario.strategies) == ["none", "self_consumption", "peak_shaving", "mpc"]
    assert (scenario.period.days, scenario.period.step_s) == (7, 900)
    assert scenario.strategies["mpc"].params == {
        "horizon_h": 24.0,
        "forecast": "perfect",
        "peak_weight_eur_kw": 0.05,
    }


def _models_of(schema):
    return [schema, *schema["$defs"].values()]


def test_every_field_of_the_schema_has_a_description():
    for model in _models_of(scenario_json_schema()):
        for name, field in model["properties"].items():
            assert field.get("description"), name
        assert model["additionalProperties"] is False


def test_the_schema_says_number_or_text_with_a_unit():
    battery = scenario_json_schema()["$defs"]["BatterySpec"]["properties"]
    number, text = battery["eta_charge"]["anyOf"]
    assert (number["type"], number["exclusiveMinimum"], number["maximum"]) == ("number", 0, 1)
    assert re.search(text["pattern"], "95 %")
    assert not re.search(text["pattern"], "95 kW")


def test_the_schema_lets_a_file_that_extends_leave_out_the_rest():
    schema = scenario_json_schema()
    assert schema["anyOf"] == [{"required": ["extends"]}, {"required": ["feeder", "period", "strategies"]}]
    assert "required" not in schema
    assert next(iter(schema["properties"])) == "extends"


def test_importing_scenarios_loads_nothing_heavy():
    code = "import sys, twin.scenario; print([m for m in ('numpy', 'pandas', 'mosaik', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
