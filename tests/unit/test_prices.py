"""Prices and emissions of a scenario over the steps of its run."""

from datetime import datetime

import numpy as np
import pytest

from models.feeder import load_feeder
from models.market import price_year
from twin.assembly import build_plant
from twin.clock import utc_s
from twin.errors import ScenarioError
from twin.plant import NO_MARKET
from twin.scenario import load_scenario

NETWORK = "pandapower:create_cigre_network_lv"
# 4 July 2016 is a Monday; Monday 2 July 2018 is the nearest
HEAD = f"""\
feeder: {{source: "{NETWORK}"}}
period: {{start: 2016-07-04, days: 1, step_s: 15 min}}
strategies: {{none: }}
devices: [{{kind: load, from: feeder, profile: constant}}]
"""
SOURCES = "sources: {spot: {file: spot.csv, unit: EUR/MWh, time_zone: UTC}, co2: {file: co2.csv, unit: g/kWh, time_zone: UTC}}\n"


@pytest.fixture(scope="module")
def feeder():
    return load_feeder(NETWORK)


@pytest.fixture(autouse=True)
def files(tmp_path):
    hours = np.arange("2016-07-03T22", "2016-07-04T22", dtype="datetime64[h]")
    for name, column, first in (("spot", "nord", 50), ("co2", "it", 200)):
        rows = [f"{hour}:00,{first + index},{-1}" for index, hour in enumerate(hours)]
        (tmp_path / f"{name}.csv").write_text("\n".join([f"time,{column},below", *rows]) + "\n")


@pytest.fixture
def plant_of(tmp_path, feeder):
    def build(extra="", head=HEAD):
        path = tmp_path / "s.yaml"
        path.write_text(f"{head}{extra}\n")
        return build_plant(load_scenario(path), feeder)[0]

    return build


def zone_2018(first, hours):
    start = utc_s(datetime.fromisoformat(first))
    return price_year("north_italy_2018").at(start + 3600 * np.arange(hours))


def test_flat_prices_are_the_same_in_every_step(plant_of):
    plant = plant_of("prices: {import_eur_kwh: 0.3, export_eur_kwh: 0.1}")
    assert plant.tariff.price_import_eur_kwh.tolist() == [0.3] * 96
    assert plant.tariff.price_export_eur_kwh.tolist() == [0.1] * 96
    assert (plant.market.fixed_eur_year, plant.market.power_eur_kw_year, plant.market.vat_percent) == (
        0,
        0,
        0,
    )


def test_the_zonal_price_is_that_of_the_same_weekday_of_2018(plant_of):
    plant = plant_of("prices: {export_eur_kwh: zone}")
    assert np.array_equal(plant.market.zone_eur_mwh, np.repeat(zone_2018("2018-07-02", 24), 4))
    assert plant.tariff.price_export_eur_kwh == pytest.approx(plant.market.zone_eur_mwh / 1000, rel=1e-15)
    (about_zone,) = (text for text in plant.market.assumed if "Zonal prices" in text)
    assert "Northern Italy in 2018 (Bundesnetzagentur | SMARD.de, CC BY 4.0)" in about_zone
    assert "same weekday" in about_zone
    assert "holidays are not treated specially" in about_zone


def test_a_run_in_2018_has_its_own_prices(plant_of):
    head = HEAD.replace("2016-07-04", "2018-10-28").replace("days: 1", "days: 2")
    plant = plant_of(head=head)
    assert np.array_equal(plant.market.zone_eur_mwh, np.repeat(zone_2018("2018-10-28", 49), 4))
    (about_zone,) = (text for text in plant.market.assumed if "Zonal prices" in text)
    assert "weekday" not in about_zone


def test_a_run_that_starts_within_an_hour_has_the_price_of_that_hour_first(plant_of):
    plant = plant_of(head=HEAD.replace("2016-07-04", "2016-07-04T10:30"))
    hourly = zone_2018("2018-07-02T10:00", 3)
    assert plant.market.zone_eur_mwh[:7].tolist() == [*[hourly[0]] * 2, *[hourly[1]] * 4, hourly[2]]


def test_a_zonal_price_of_the_user_is_kept_per_megawatt_hour(plant_of):
    plant = plant_of(SOURCES + "prices: {zone_eur_mwh: spot.nord, export_eur_kwh: zone}")
    assert plant.market.zone_eur_mwh == pytest.approx(np.repeat(50.0 + np.arange(24), 4), rel=1e-12)
    assert plant.tariff.price_export_eur_kwh == pytest.approx(np.repeat(0.05 + 0.001 * np.arange(24), 4))
    assert not any("Zonal prices" in text for text in plant.market.assumed)
    assert plant_of("prices: {zone_eur_mwh: 61.5}").market.zone_eur_mwh.tolist() == [61.5] * 96


def test_a_bill_by_bands_taxes_energy_charges_and_excise(plant_of):
    bill = "bands_eur_kwh: {f1: 0.14, f2: 0.12, f3: 0.10}, charges_eur_kwh: 0.06, excise_eur_kwh: 0.02, vat_percent: 10"
    plant = plant_of(
        f"prices: {{bill: {{{bill}, fixed_eur_year: 60, power_eur_kw_year: 22}}}}",
    )
    by_hour = plant.tariff.price_import_eur_kwh.reshape(24, 4)
    assert np.ptp(by_hour, axis=1).max() == 0.0
    # (0.14 + 0.06 + 0.02) x 1.1 = 0.242; 0.12 gives 0.220, 0.10 gives 0.198
    expected = [0.198] * 7 + [0.220] + [0.242] * 11 + [0.220] * 4 + [0.198]
    assert by_hour[:, 0] == pytest.approx(expected, rel=1e-12)
    market = plant.market
    assert (market.fixed_eur_year, market.power_eur_kw_year, market.vat_percent) == (60.0, 22.0, 10.0)
    assert not any("excise" in text or "no charges" in text for text in market.assumed)
    assert any("VAT of 10 %" in text and "not verified" in text for text in market.assumed)


def test_a_bill_at_the_zonal_price_adds_its_spread_before_taxes(plant_of):
    plant = plant_of("prices: {bill: {zone_spread_eur_kwh: 0.01, charges_eur_kwh: 0.05, vat_percent: 22}}")
    energy = np.repeat(zone_2018("2018-07-02", 24), 4) / 1000 + 0.01
    assert plant.tariff.price_import_eur_kwh == pytest.approx((energy + 0.05 + 0.0227) * 1.22, rel=1e-12)


def test_a_bill_with_one_price_and_defaults_says_what_it_assumes(plant_of):
    plant = plant_of("prices: {bill: {energy_eur_kwh: 0.1}}")
    assert plant.tariff.price_import_eur_kwh == pytest.approx(np.full(96, (0.1 + 0.0227) * 1.1))
    text = " ".join(plant.market.assumed)
    assert "excise of 0.0227 EUR/kWh and VAT of 10 % (defaults for households, not verified)" in text
    assert "no charges per kWh, no fixed charges, no charges on contract power" in text


def test_emissions_are_a_factor_or_a_series_in_kilograms(plant_of):
    flat = plant_of().market
    assert flat.co2_kg_kwh.tolist() == [0.26] * 96
    assert any("0.26 kg/kWh" in text and "not verified" in text for text in flat.assumed)
    hourly = plant_of(SOURCES + "emissions: {factor_kg_kwh: co2.it}").market
    assert hourly.co2_kg_kwh == pytest.approx(np.repeat(0.2 + 0.001 * np.arange(24), 4))
    assert not any("kg/kWh" in text for text in hourly.assumed)


@pytest.mark.parametrize(
    ("extra", "field", "message"),
    [
        ("prices: {zone_eur_mwh: spot.sud}", "prices.zone_eur_mwh", "no column 'sud'"),
        ("prices: {import_eur_kwh: spot.sud}", "prices.import_eur_kwh", "no column 'sud'"),
        ("emissions: {factor_kg_kwh: co2.below}", "emissions.factor_kg_kwh", "negative values"),
    ],
)
def test_a_series_that_does_not_serve_is_named_with_its_line(plant_of, extra, field, message):
    with pytest.raises(ScenarioError) as caught:
        plant_of(SOURCES + extra)
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.field) == (6, field)
    assert message in mistake.message


def test_prices_that_follow_a_missing_zonal_price_add_no_mistakes_of_their_own(plant_of):
    prices = "prices: {zone_eur_mwh: spot.sud, export_eur_kwh: zone, bill: {zone_spread_eur_kwh: 0.01}}"
    with pytest.raises(ScenarioError) as caught:
        plant_of(SOURCES + prices)
    assert [mistake.field for mistake in caught.value.mistakes] == ["prices.zone_eur_mwh"]


def test_a_plant_without_a_market_has_empty_series():
    assert NO_MARKET.zone_eur_mwh.shape == NO_MARKET.co2_kg_kwh.shape == (0,)
    assert NO_MARKET.assumed == ()
