"""Every mistake in a scenario: its line, its field, what is wrong, and the remedy."""

import pytest

from twin.errors import ScenarioError
from twin.scenario import load_scenario

HEAD = """\
feeder: {source: simbench:1-LV-rural3--2-sw}
period: {start: 2016-07-04, days: 1}
strategies: {none: }
"""
BATTERY = "- {kind: battery, bus: b1, name: bat, capacity_kwh: 10, power_kw: 5"
PV = "- {kind: pv, bus: b1, name: pv, p_peak_kw: 3"


@pytest.fixture
def load(tmp_path):
    def load(text):
        file = tmp_path / "s.yaml"
        file.write_text(text, encoding="utf-8")
        return load_scenario(file)

    return load


@pytest.fixture
def mistakes(load):
    """Return (line, field, message) of every mistake."""

    def mistakes(text):
        with pytest.raises(ScenarioError) as caught:
            load(text)
        return [(mistake.line, mistake.field, mistake.message) for mistake in caught.value.mistakes]

    return mistakes


@pytest.mark.parametrize(
    ("entry", "field", "parts"),
    [
        ("limits: {vm_min_pu: 1.2}", "limits.vm_min_pu", ["must be below vm_max_pu 1.1"]),
        ("limits: {vm_min_pu: .nan}", "limits.vm_min_pu", ["finite"]),
        ("limits: {line_loading_percent: .inf}", "limits.line_loading_percent", ["finite"]),
        ("limits: {trafo_loading_percent: 1e999}", "limits.trafo_loading_percent", ["finite"]),
        (f"limits: {{vm_max_pu: 1{'0' * 280}}}", "limits.vm_max_pu", ["at most 2"]),
        ("limits: 3", "limits", ["must be a mapping"]),
        ("seed: no", "seed", ["must be a number", "'no'"]),
        ("seed: true", "seed", ["must be a number", "true"]),
        ("seed: 1.5", "seed", ["whole number", "1.5"]),
        ("seed: -1", "seed", ["at least 0", "-1"]),
        ("name: a/b", "name", ["cannot name a folder"]),
        ("output: {detail: some}", "output.detail", ["kpi, selected or all", "'some'"]),
        ("output: {detail: selected}", "output.selected", ["is empty"]),
        ("output: {selected: [a]}", "output.selected", ["has no effect"]),
        ("prices: {import_eur_kwh: market.day_ahead}", "prices.import_eur_kwh", ["no source 'market'"]),
        ("prices: {import_eur_kwh: 3 kW}", "prices.import_eur_kwh", ["'kW' does not fit", "SOURCE.COLUMN"]),
        ("sources: {feeder: {file: s.csv, unit: kW}}", "sources.feeder", ["cannot name a source"]),
        ("sources: {m: {file: s.txt, unit: kW}}", "sources.m.file", [".csv or .parquet"]),
        ("sources: {m: {file: s.csv, unit: kW}}", "sources.m.file", ["there is no file", "relative to"]),
        ("sources: {m: {file: s.csv, unit: kW, time_zone: Europe/Roma}}", "sources.m.time_zone", ["IANA"]),
        ("colour: red", "colour", ["unknown key"]),
        ("limit: {}", "limit", ["did you mean 'limits'?"]),
        (
            "external: [{name: x, model: M, attr: p, unit: W, sign: consumption, bus: b}]",
            "external[0]",
            ["not how to"],
        ),
        (
            "external: [{name: x, python: nocolon, model: M, attr: p, unit: W, sign: generation, bus: b}]",
            "external[0].python",
            ["module:Class"],
        ),
        (
            "external: [{name: x, connect: host, model: M, attr: p, unit: W, sign: generation, bus: b}]",
            "external[0].connect",
            ["host:port"],
        ),
        (
            "external: [{name: x, cmd: c, connect: 'h:1', model: M, attr: p, unit: W, sign: generation, bus: b}]",
            "external[0].connect",
            ["started twice, by cmd and connect"],
        ),
    ],
)
def test_a_mistake_at_the_top_is_named_with_its_line(mistakes, entry, field, parts):
    found = mistakes(HEAD + entry + "\n")
    line, message = next((line, message) for line, place, message in found if place == field)
    assert line == 4
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("entry", "field", "part"),
    [
        ("- {kind: battery}", "", "add one of from, bus, home, share, beside, csv"),
        ("- {kind: battery, from: feeder, bus: b}", ".bus", "placed twice, by from and bus"),
        ("- {kind: battery, bus: b, capacity_kwh: 1, power_kw: 1}", "", "name is missing"),
        ("- {kind: battery, from: feeder, name: x}", ".name", "goes with bus or home"),
        ("- {kind: battery, from: feeder, prefix: x}", ".prefix", "goes with share"),
        (BATTERY + ", match: x}", ".match", "goes with from"),
        ("- {kind: battery, from: grid}", ".from", "must be feeder (got 'grid')"),
        ("- {kind: battery, share: 120 %, capacity_kwh: 1, power_kw: 1}", ".share", "at most 1 (got 1.2)"),
        (
            "- {kind: battery, share: 0.5, capacity_kwh: -5, power_kw: 1}",
            ".capacity_kwh",
            "greater than 0 (got -5)",
        ),
        (
            "- {kind: battery, share: 0.5, capacity_kwh: 0 kWh, power_kw: 1}",
            ".capacity_kwh",
            "greater than 0",
        ),
        ("- {kind: battery, share: 0.5, power_kw: 1}", "", "capacity_kwh is missing"),
        ("- {kind: battery, share: 0.5, capacity_kwh: 1, charge_kw: 1}", "", "discharge_kw is missing"),
        (BATTERY + ", charge_kw: 5}", ".charge_kw", "the same twice"),
        (BATTERY + ", soc_min: 96 %}", ".soc_min", "soc_min 0.96 must be below soc_max 0.95"),
        (BATTERY + ", soc_start: 0}", ".soc_start", "between soc_min 0.1 and soc_max 0.95"),
        (BATTERY + ", eta_charge: 0}", ".eta_charge", "greater than 0"),
        (BATTERY + ", soc_mni: 0.2}", ".soc_mni", "did you mean 'soc_min'?"),
        (BATTERY + ", inverter: {s_rated_kva: 4}}", ".inverter.s_rated_kva", "below the rated power 5 kW"),
        (BATTERY + ", inverter: {functon: q_v}}", ".inverter.functon", "did you mean 'function'?"),
        (BATTERY + ", inverter: {v1i_pu: 0.89}}", ".inverter.v2i_pu", "v2i_pu 0.9 must be below v1i_pu 0.89"),
        (BATTERY + ", inverter: {v1s_pu: 1.2}}", ".inverter.v1s_pu", "must be below v2s_pu 1.1"),
        (BATTERY + ", inverter: {absorbs: 1}}", ".inverter.absorbs", "must be true or false (got 1)"),
        (BATTERY + ", inverter: {p_v: {start_pu: 1.1}}}", ".inverter.p_v.start_pu", "must be below end_pu"),
        ("- {kind: load, bus: b, name: x, profile: constant}", "", "p_kw is missing"),
        ("- {kind: load, bus: b, name: x, p_kw: 1}", "", "profile is missing"),
        ("- {kind: load, bus: b, name: x, profile: feeder}", ".profile", "needs from: feeder"),
        (
            "- {kind: load, bus: b, name: x, profile: constnt, p_kw: 1}",
            ".profile",
            "must be feeder, feeder:NAME, constant",
        ),
        ("- {kind: load, bus: b, name: x, profile: m.a}", ".profile", "there is no source 'm'"),
        ("- {kind: load, bus: [b], name: x, profile: constant, p_kw: 1}", ".bus", "must be text"),
        (PV + ", profile: clear_sky}", "", "place is missing"),
        (PV + ", profile: weather:s.epw}", "", "place is missing"),
        (PV + ", profile: sunny}", ".profile", "clear_sky"),
        (PV + ", profile: feeder}", ".profile", "needs from: feeder"),
        (
            PV + ", profile: clear_sky, place: {latitude_deg: 95, longitude_deg: 9}}",
            ".place.latitude_deg",
            "at most 90",
        ),
        (PV + ", profile: clear_sky, place: {latitude_deg: 45}}", ".place.longitude_deg", "is missing"),
        (PV + ", profile: 'feeder:PV1', tilt_deg: 1 rad}", ".tilt_deg", "unit 'rad' does not fit; use deg"),
        ("- {kind: wind, bus: b}", "", "the kinds are load, pv, battery"),
        ("- {kind: batery, bus: b}", "", "did you mean 'battery'?"),
        ("- {bus: b}", "", "kind is missing"),
        ("- just text", "", "must be a mapping"),
        ("- {kind: load, csv: homes.csv}", ".csv", "there is no file"),
    ],
)
def test_a_mistake_in_a_device_is_named_with_its_line(mistakes, entry, field, part):
    good = "  - {kind: load, from: feeder, profile: feeder}\n"
    found = mistakes(f"{HEAD}devices:\n{good}  {entry}\n")
    line, message = next((line, message) for line, place, message in found if place == f"devices[1]{field}")
    assert line == 6
    assert part in message


@pytest.mark.parametrize(
    ("period", "field", "part"),
    [
        ("{start: 2016-07-04, days: 1, step_s: 7 min}", ".step_s", "must divide 15 min (900 s)"),
        ("{start: 2016-07-04, days: 1, step_s: 1800}", ".step_s", "at most 900"),
        ("{start: 2016-07-04, days: 1, step_s: 0}", ".step_s", "at least 0.1"),
        ("{start: 2016-07-04, days: 1, step_s: 50 ms}", ".step_s", "at least 0.1"),
        ("{start: 2016-07-04, days: 1, step_s: 0.3}", ".step_s", "whole seconds, or 0.1, 0.2, 0.25, 0.5 s"),
        ("{start: 2016-07-04, days: 1, step_s: 1500 ms}", ".step_s", "(got 1.5 s)"),
        ("{start: 2016-07-04, days: 0}", ".days", "at least 1"),
        ("{start: 2016-07-04, days: .nan}", ".days", "finite"),
        ("{start: 2016-13-04, days: 1}", ".start", "must be a date such as"),
        ("{start: 20160704, days: 1}", ".start", "must be a date such as"),
        ("{start: '0001-01-01', days: 1}", ".start", "the year must lie between"),
        ("{start: '2016-07-04T00:07', days: 1}", ".start", "full quarter"),
        ("{start: '2016-03-27T02:30', days: 1}", ".start", "twice or not at all"),
        ("{start: '2016-10-30T02:30', days: 1}", ".start", "twice or not at all"),
        ("{days: 1}", ".start", "is missing"),
        ("[]", "", "must be a mapping"),
        ("", "", "must be a mapping"),
    ],
)
def test_a_mistake_in_the_period_is_named(mistakes, period, field, part):
    ((line, place, message),) = mistakes(
        f"feeder: {{source: a.json}}\nperiod: {period}\nstrategies: {{none: }}\n"
    )[-1:]
    assert (line, place) == (2, f"period{field}")
    assert part in message


@pytest.mark.parametrize("source", ["1-LV-rural3--2-sw", "'simbench:'", "'pandapower: '", "net.xml"])
def test_a_feeder_source_that_is_written_in_no_known_way_is_refused(mistakes, source):
    text = HEAD.replace("simbench:1-LV-rural3--2-sw", source)
    ((line, field, message), *_) = mistakes(text)
    assert (line, field) == (1, "feeder.source")
    assert "simbench:CODE" in message


@pytest.mark.parametrize("strategies", ["{}", "", "[none]"])
def test_a_scenario_without_a_strategy_is_refused(mistakes, strategies):
    ((line, field, _),) = mistakes(HEAD.replace("{none: }", strategies))
    assert (line, field) == (3, "strategies")


@pytest.mark.parametrize(
    ("spec", "field", "part"),
    [
        ("{x: {use: 'a b'}}", "strategies.x.use", "module:Class"),
        ("{x: {use: 'mine.py:Charger'}}", "strategies.x.use", "there is no file"),
        ("{x: {parms: {}}}", "strategies.x.parms", "did you mean 'params'?"),
        ("{x: {params: {limit_kw: 3 kWh}}}", "strategies.x.params", "'kWh' does not fit; use W, kW, MW"),
        ("{x: {params: {a: [1, {b: .nan}]}}}", "strategies.x.params", "not a finite number"),
        ("{'a/b': }", "strategies.a/b", "is no valid name"),
        ("{x: 3}", "strategies.x", "must be a mapping"),
    ],
)
def test_a_mistake_in_a_strategy_is_named(mistakes, spec, field, part):
    found = mistakes(HEAD.replace("{none: }", spec))
    message = next(message for line, place, message in found if (line, place) == (3, field))
    assert part in message


def test_a_missing_part_is_reported_for_the_file(mistakes):
    found = mistakes("# nothing yet\nseed: 3\n")
    assert [(line, field) for line, field, _ in found] == [(2, "feeder"), (2, "period"), (2, "strategies")]
    assert all("is missing; add it" in message for _, _, message in found)


def test_a_name_used_twice_is_reported_where_it_is_used_again(mistakes):
    devices = f"devices:\n  {BATTERY}}}\n  {PV.replace('name: pv', 'name: bat')}, profile: 'feeder:PV1'}}\n"
    ((line, field, message),) = mistakes(HEAD + devices)
    assert (line, field) == (6, "devices[1].name")
    assert "'bat' is already used at" in message
    assert "s.yaml:5" in message


def test_two_shares_of_one_kind_need_prefixes_of_their_own(mistakes):
    entry = "  - {kind: battery, share: 10 %, capacity_kwh: 5, power_kw: 2}\n"
    ((line, field, message),) = mistakes(HEAD + "devices:\n" + entry + entry)
    assert (line, field) == (6, "devices[1].prefix")
    assert "choose another" in message


def test_a_share_profile_needs_a_power_to_scale_it(mistakes, tmp_path):
    (tmp_path / "m.csv").touch()
    text = (
        HEAD
        + "sources: {m: {file: m.csv, unit: '1'}}\ndevices:\n- {kind: load, bus: b, name: x, profile: m.shape}\n"
    )
    ((line, field, message),) = mistakes(text)
    assert (line, field) == (6, "devices[0]")
    assert "p_kw is missing" in message


def test_prices_and_loads_refuse_sources_of_the_other_kind(mistakes, tmp_path):
    (tmp_path / "m.csv").touch()
    text = HEAD + (
        "sources: {spot: {file: m.csv, unit: EUR/MWh}, meter: {file: m.csv, unit: kWh}}\n"
        "prices: {import_eur_kwh: meter.a, export_eur_kwh: spot.a}\n"
        "devices:\n- {kind: load, bus: b, name: x, profile: spot.a}\n"
    )
    found = mistakes(text)
    assert [(line, field) for line, field, _ in found] == [
        (5, "prices.import_eur_kwh"),
        (7, "devices[0].profile"),
    ]


def test_a_simulator_of_a_third_party_cannot_follow_steps_shorter_than_a_second(mistakes):
    head = HEAD.replace("days: 1", "duration_s: 2 s, step_s: 100 ms")
    one = "external: [{name: x, python: m:C, model: M, attr: p, unit: W, sign: generation, bus: b}]\n"
    assert mistakes(head + one) == [
        (4, "external", "a third party's simulator counts whole seconds, a step has 0.1 s; lengthen the step")
    ]


def test_all_mistakes_come_at_once_in_file_order(mistakes):
    text = """\
feeder: {source: simbench:1-LV, engin: pgm}
period:
  start: 2016-07-04
  days: 0
  step_s: 7 min
devices:
  - kind: battery
    bus: 12
    name: b1
    capacity_kWh: 5
    power_kw: 5 kvar
  - kind: batery
  - kind: battery
    home: h
    name: b1
    capacity_kwh: -5 kWh
seed: no
seed: 3
strategies: {none: }
prices: {import_eur_kwh: market.price}
"""
    assert [(line, field) for line, field, _ in mistakes(text)] == [
        (1, "feeder.engin"),
        (4, "period.days"),
        (5, "period.step_s"),
        (10, "devices[0].capacity_kWh"),
        (11, "devices[0].power_kw"),
        (12, "devices[1]"),
        (15, "devices[2].name"),
        (16, "devices[2].capacity_kwh"),
        (17, "seed"),
        (18, "seed"),
        (20, "prices.import_eur_kwh"),
    ]


def test_two_contradictions_in_one_block_are_both_reported(mistakes):
    found = mistakes(HEAD + f"devices:\n  {BATTERY}, charge_kw: 3, soc_min: 0.99}}\n")
    assert [field for _, field, _ in found] == ["devices[0].charge_kw", "devices[0].soc_min"]


def test_a_wrong_field_does_not_hide_a_contradiction_of_others(mistakes):
    entry = BATTERY.replace("10", "-10") + ", charge_kw: 3, soc_min: 0.99, soc_start: 1 kW}"
    found = mistakes(HEAD + f"limits: {{vm_min_pu: 1.2, peak_import_kw: -1}}\ndevices:\n  {entry}\n")
    assert [field for _, field, _ in found] == [
        "limits.peak_import_kw",
        "limits.vm_min_pu",
        "devices[0].capacity_kwh",
        "devices[0].soc_start",
        "devices[0].charge_kw",
        "devices[0].soc_min",
    ]


def test_a_wrong_field_is_not_reported_again_as_missing_or_contradicting(mistakes):
    entry = "- {kind: battery, bus: [b], name: x, capacity_kwh: 5, power_kw: a, soc_max: b, soc_min: 0.96}"
    found = mistakes(HEAD + f"devices:\n  {entry}\n")
    assert [field for _, field, _ in found] == ["devices[0].bus", "devices[0].power_kw", "devices[0].soc_max"]


def test_a_mistake_found_later_is_placed_by_its_field_path(load, tmp_path):
    loaded = load(HEAD + f"devices:\n  - kind: load\n    from: feeder\n    profile: feeder\n  {BATTERY}}}\n")
    mistake = loaded.mistake("devices[1].bus", "no such bus")
    assert str(mistake) == f"{tmp_path / 's.yaml'}:8: devices[1].bus: no such bus"
    assert loaded.mistake("devices[0].match", "x").line == 5
    assert loaded.mistake("limits.vm_min_pu", "x").line == 1
