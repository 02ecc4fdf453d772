"""Prices, bills, emissions and reinforcement in a scenario: what is read, and every mistake with its line."""

import pytest

from twin.errors import ScenarioError
from twin.scenario import load_scenario, scenario_json_schema

HEAD = """\
feeder: {source: simbench:1-LV-rural3--2-sw}
period: {start: 2016-07-04, days: 1}
strategies: {none: }
"""
SOURCES = "sources: {spot: {file: m.csv, unit: EUR/MWh}, co2: {file: m.csv, unit: g/kWh}, w: {file: m.csv, unit: kW}}\n"


@pytest.fixture
def load(tmp_path):
    (tmp_path / "m.csv").touch()

    def load(text, name="s.yaml"):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return load_scenario(file)

    return load


@pytest.fixture
def mistakes(load):
    def mistakes(text):
        with pytest.raises(ScenarioError) as caught:
            load(text)
        return {mistake.field: (mistake.line, mistake.message) for mistake in caught.value.mistakes}

    return mistakes


def test_a_scenario_without_prices_has_the_flat_ones(load):
    scenario = load(HEAD).scenario
    assert (scenario.prices.import_eur_kwh, scenario.prices.export_eur_kwh) == (0.25, 0.08)
    assert scenario.prices.bill is None
    assert scenario.prices.zone_eur_mwh == "north_italy_2018"
    assert scenario.emissions.factor_kg_kwh == 0.26
    assert scenario.reinforcement is None


def test_everything_about_the_market_arrives_in_its_unit(load):
    text = """\
prices:
  bill:
    bands_eur_kwh: {f1: 140 EUR/MWh, f2: 12 ct/kWh, f3: 0.1 EUR/kWh}
    charges_eur_kwh: 60 EUR/MWh
    vat_percent: 22 %
    fixed_eur_year: 5 EUR/month
    power_eur_kw_year: 22 EUR/kW/year
  export_eur_kwh: zone
  zone_eur_mwh: 6 ct/kWh
emissions: {factor_kg_kwh: 310 g/kWh}
reinforcement: {growth_percent_year: 2 %, discount_percent: 5 %, cost_eur: 80 kEUR, horizon_years: 30 years}
"""
    scenario = load(HEAD + text).scenario
    bill = scenario.prices.bill
    assert (bill.bands_eur_kwh.f1, bill.bands_eur_kwh.f2, bill.bands_eur_kwh.f3) == (0.14, 0.12, 0.1)
    assert (bill.charges_eur_kwh, bill.excise_eur_kwh, bill.vat_percent) == (0.06, 0.0227, 22.0)
    assert (bill.fixed_eur_year, bill.power_eur_kw_year) == (60.0, 22.0)
    assert scenario.prices.import_eur_kwh is None
    assert (scenario.prices.export_eur_kwh, scenario.prices.zone_eur_mwh) == ("zone", 60.0)
    assert scenario.emissions.factor_kg_kwh == 0.31
    growth = scenario.reinforcement
    assert (growth.growth_percent_year, growth.discount_percent) == (2.0, 5.0)
    assert (growth.cost_eur, growth.horizon_years) == (80_000.0, 30.0)


@pytest.mark.parametrize(
    "prices",
    [
        "prices: {bill: {zone_spread_eur_kwh: 0.01}}",
        "prices: {bill: {bands_eur_kwh: {f1: 0.1, f2: 0.1, f3: 0.1}}, zone_eur_mwh: spot.nord}",
        "prices: {import_eur_kwh: spot.a, export_eur_kwh: zone}\nemissions: {factor_kg_kwh: co2.it}",
        "prices: {bill: null}",
    ],
)
def test_a_resolved_scenario_loads_again_to_the_same(load, prices):
    loaded = load(HEAD + SOURCES + prices)
    again = load(loaded.resolved_yaml(), name="again.yaml")
    assert again.scenario.prices == loaded.scenario.prices
    assert again.scenario.emissions == loaded.scenario.emissions


@pytest.mark.parametrize(
    ("entry", "field", "parts"),
    [
        ("prices: {import_eur_kwh: null}", "prices.import_eur_kwh", ["is missing", "a bill in its place"]),
        (
            "prices: {import_eur_kwh: 0.25, bill: {energy_eur_kwh: 0.1}}",
            "prices.import_eur_kwh",
            ["import_eur_kwh 0.25 and bill", "keep one"],
        ),
        (
            "prices: {import_eur_kwh: spot.a, bill: {energy_eur_kwh: 0.1}}",
            "prices.import_eur_kwh",
            ["import_eur_kwh 'spot.a' and bill", "keep one"],
        ),
        ("prices: {bill: {}}", "prices.bill", ["add one of energy_eur_kwh, bands_eur_kwh"]),
        ("prices: {bill: 0.25}", "prices.bill", ["must be a mapping"]),
        (
            "prices: {bill: {energy_eur_kwh: 0.1, zone_spread_eur_kwh: 0.1}}",
            "prices.bill.zone_spread_eur_kwh",
            ["twice, by energy_eur_kwh and zone_spread_eur_kwh"],
        ),
        (
            "prices: {bill: {bands_eur_kwh: {f1: 0.1, f2: 0.1}}}",
            "prices.bill.bands_eur_kwh.f3",
            ["is missing"],
        ),
        (
            "prices: {bill: {energy_eur_kwh: 0.1, vat_percent: 120}}",
            "prices.bill.vat_percent",
            ["at most 100"],
        ),
        (
            "prices: {bill: {energy_eur_kwh: 0.1, fixed_eur_year: 5 EUR}}",
            "prices.bill.fixed_eur_year",
            ["use EUR/year, EUR/month"],
        ),
        (
            "prices: {bill: {energy_eur_kwh: 0.1, fixd_eur_year: 5}}",
            "prices.bill.fixd_eur_year",
            ["did you mean 'fixed_eur_year'?"],
        ),
        ("prices: {export_eur_kwh: zonal}", "prices.export_eur_kwh", ["write zone or SOURCE.COLUMN"]),
        ("prices: {export_eur_kwh: zon}", "prices.export_eur_kwh", ["did you mean 'zone'?"]),
        ("prices: {import_eur_kwh: zone}", "prices.import_eur_kwh", ["or write SOURCE.COLUMN"]),
        ("prices: {export_eur_kwh: null}", "prices.export_eur_kwh", ["must be a number", "nothing"]),
        ("prices: {zone_eur_mwh: north_italy}", "prices.zone_eur_mwh", ["did you mean 'north_italy_2018'?"]),
        ("prices: {zone_eur_mwh: 60 kW}", "prices.zone_eur_mwh", ["'kW' does not fit; use EUR/MWh"]),
        ("prices: {zone_eur_mwh: .nan}", "prices.zone_eur_mwh", ["finite"]),
        ("prices: {zone_eur_mwh: gme.nord}", "prices.zone_eur_mwh", ["no source 'gme'"]),
        ("prices: {zone_eur_mwh: co2.a}", "prices.zone_eur_mwh", ["holds g/kWh", "EUR/MWh"]),
        ("prices: {export_eur_kwh: w.a}", "prices.export_eur_kwh", ["holds kW", "EUR/kWh or EUR/MWh"]),
        ("emissions: {factor_kg_kwh: spot.a}", "emissions.factor_kg_kwh", ["holds EUR/MWh", "g/kWh or kg/kWh"]),
        ("emissions: {factor_kg_kwh: -0.1}", "emissions.factor_kg_kwh", ["at least 0 (got -0.1)"]),
        ("emissions: {factor_kg_kwh: 3 kg}", "emissions.factor_kg_kwh", ["'kg' does not fit; use kg/kWh"]),
        ("emissions: {factor: 0.3}", "emissions.factor", ["did you mean 'factor_kg_kwh'?"]),
        (
            "devices: [{kind: load, bus: b, name: x, profile: co2.a}]",
            "devices[0].profile",
            ["holds g/kWh", "power or energy"],
        ),
        (
            "reinforcement: {discount_percent: 5, cost_eur: 1, horizon_years: 30}",
            "reinforcement.growth_percent_year",
            ["is missing"],
        ),
        (
            "reinforcement: {growth_percent_year: -1, discount_percent: 5, cost_eur: 1, horizon_years: 30}",
            "reinforcement.growth_percent_year",
            ["at least 0"],
        ),
        (
            "reinforcement: {growth_percent_year: 1, discount_percent: 5, cost_eur: 1 kW, horizon_years: 30}",
            "reinforcement.cost_eur",
            ["use EUR, kEUR"],
        ),
        (
            "reinforcement: {growth_percent_year: 1, discount_percent: 5, cost_eur: 1, horizon_years: 0}",
            "reinforcement.horizon_years",
            ["greater than 0"],
        ),
    ],
)  # fmt: skip
def test_a_mistake_about_the_market_is_named_with_its_line(mistakes, entry, field, parts):
    line, message = mistakes(HEAD + SOURCES + entry + "\n")[field]
    assert line == 5
    for part in parts:
        assert part in message


def test_a_good_market_is_the_only_one_mistake_is_about(mistakes):
    found = mistakes(HEAD + "prices: {import_eur_kwh: 0.2, bill: {energy_eur_kwh: 0.1}}\n")
    assert list(found) == ["prices.import_eur_kwh"]


def test_a_wrong_price_does_not_hide_a_contradiction_of_others(mistakes):
    text = """\
prices:
  import_eur_kwh: 0.2
  bill: {energy_eur_kwh: 0.1}
  zone_eur_mwh: nord
"""
    assert list(mistakes(HEAD + text)) == ["prices.import_eur_kwh", "prices.zone_eur_mwh"]


def test_a_wrong_part_of_a_bill_does_not_hide_that_energy_is_priced_twice(mistakes):
    text = "prices: {bill: {energy_eur_kwh: 0.1, zone_spread_eur_kwh: 0.1, vat: 10}}\n"
    assert set(mistakes(HEAD + text)) == {"prices.bill.vat", "prices.bill.zone_spread_eur_kwh"}


def test_the_schema_carries_the_market_with_units():
    schema = scenario_json_schema()
    assert {"prices", "emissions", "reinforcement"} <= set(schema["properties"])
    prices, bill = schema["$defs"]["Prices"]["properties"], schema["$defs"]["Bill"]["properties"]
    assert prices["zone_eur_mwh"]["x-unit"] == "EUR/MWh"
    assert prices["zone_eur_mwh"]["default"] == "north_italy_2018"
    assert prices["import_eur_kwh"]["default"] == 0.25
    assert bill["power_eur_kw_year"]["x-unit"] == "EUR/kW/year"
    assert schema["$defs"]["Emissions"]["properties"]["factor_kg_kwh"]["x-unit"] == "kg/kWh"
    assert {"kg/kWh", "g/kWh"} <= set(schema["$defs"]["SourceSpec"]["properties"]["unit"]["enum"])
