"""A stored run with communities against plain arithmetic on its own meters: shared energy, premium, bill, CO2."""

import json

import numpy as np
import pytest

from twin import RunOptions, load_scenario, run
from twin.results import RunReader

POWER_QUANTUM_KW = 1e-3
SCENARIO = """
name: golden
feeder: {source: "simbench:1-LV-rural3--2-sw"}
period: {start: 2016-07-09, days: 1, step_s: 15 min}
devices:
  - {kind: load, from: feeder, profile: feeder}
  - {kind: pv, from: feeder, profile: feeder}
  - {kind: battery, from: feeder}
communities:
  - {name: One, kind: CER, members: [{share: 40 %}]}
  - {name: Two, kind: CER, members: [{share: 70 %}]}
strategies: {none: , ems: {use: self_consumption}, cems: , aggregator: }
prices:
  bill:
    bands_eur_kwh: {f1: 0.14, f2: 0.13, f3: 0.12}
    charges_eur_kwh: 0.06
    fixed_eur_year: 73.2
    power_eur_kw_year: 36.6
  export_eur_kwh: zone
emissions: {factor_kg_kwh: 0.3}
reinforcement: {growth_percent_year: 2, discount_percent: 5, cost_eur: 10000, horizon_years: 100}
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("communities")
    path = folder / "golden.yaml"
    path.write_text(SCENARIO)
    result = run(load_scenario(path), RunOptions(out=folder / "results"))
    assert [entry.message for entry in result.failed] == []
    return result


def settlement(stored, strategy, rules="cacer_2023", pooled="community"):
    content = json.loads((stored.folder / strategy / "settlement.json").read_text())
    return content["rules"][rules][pooled]


def meters(stored, strategy, found):
    """Return home -> power of the 96 steps, for the members of a settlement."""
    reader = RunReader(stored.folder).strategy(strategy)
    names = list(reader.names("home"))
    series = reader.series("home.p_kw").astype(float)
    return {line["home"]: series[:, names.index(line["home"])] for line in found["members"]}


def hourly(power_kw):
    return np.add.reduceat(np.maximum(power_kw, 0.0), range(0, 96, 4)) / 4


@pytest.mark.parametrize("strategy", ["none", "ems", "cems", "aggregator"])
def test_shared_energy_and_premium_are_those_of_the_stored_meters(stored, strategy):
    found = settlement(stored, strategy)
    power = meters(stored, strategy, found)
    plants = {line["home"] for line in found["plants"]}
    for community in found["communities"]:
        homes = [line["home"] for line in found["members"] if line["community"] == community["name"]]
        injected = sum(hourly(-power[home]) for home in homes if home in plants)
        withdrawn = sum(hourly(power[home]) for home in homes)
        shared = np.minimum(injected, withdrawn)
        slack = 24 * len(homes) * POWER_QUANTUM_KW / 2
        assert community["own_shared_kwh"] == pytest.approx(shared.sum(), abs=slack)
        assert community["shared_kwh"] == community["own_shared_kwh"] > 1.0
        # every plant is below 200 kW and the zonal price below 140: the cap of 120, and 10 for the north
        assert community["incentive_eur"] == pytest.approx(0.130 * community["shared_kwh"], rel=1e-9)
        assert community["valorisation_eur"] == pytest.approx(0.01057 * community["shared_kwh"], rel=1e-9)


def test_a_bill_is_bands_charges_excise_and_tax_on_the_stored_meter(stored):
    found = settlement(stored, "ems")
    power = meters(stored, "ems", found)
    # a Saturday: F2 from 7 to 23, F3 else
    band_eur = np.array([0.13 if 7 <= hour < 23 else 0.12 for hour in range(24)])
    for line in found["members"]:
        energy = hourly(power[line["home"]])
        fixed = (73.2 + 36.6 * line["contract_kw"]) / 366
        expected = 1.1 * (float(energy @ (band_eur + 0.06 + 0.0227)) + fixed)
        assert line["bill_eur"] == pytest.approx(expected, abs=1.1 * 0.22 * 24 * POWER_QUANTUM_KW / 2)


def test_money_adds_up_from_members_to_key_figures(stored):
    for entry in stored.strategies:
        values = {value.name: value.value for value in entry.values}
        pooled = "cp" if entry.name == "aggregator" else "community"
        lines = settlement(stored, entry.name, pooled=pooled)["communities"]
        for key, name in (
            ("shared_kwh", "shared_kwh"),
            ("own_shared_kwh", "shared_own_kwh"),
            ("incentive_eur", "incentive_eur"),
            ("bill_eur", "members_bill_eur"),
            ("sale_eur", "members_sale_eur"),
            ("stored_eur", "members_stored_eur"),
        ):
            assert values[name] == pytest.approx(sum(line[key] for line in lines), rel=1e-12)
        net = values["members_bill_eur"] - values["members_sale_eur"] - values["incentive_eur"]
        net -= values["valorisation_eur"] + values["members_stored_eur"]
        net += sum(line["social_kept_eur"] for line in lines)
        assert values["members_net_eur"] == pytest.approx(net, abs=1e-9)


def test_what_batteries_hold_more_is_worth_the_middle_price_after_losses(stored):
    found = settlement(stored, "ems")
    reader = RunReader(stored.folder).strategy("ems")
    prices = [reader.series(f"feeder.price_{way}_eur_kwh").mean() for way in ("import", "export")]
    ems = {value.name: value.value for value in stored.strategies[1].values}
    scenario = load_scenario(stored.folder / "scenario.yaml")
    eta = scenario.devices[2].spec.eta_discharge
    everything = sum(line["stored_eur"] for line in found["members"])
    change = ems["stored_change_kwh"]
    # some of the batteries stand at homes that are no members
    assert 0 < everything / change <= eta * float(np.mean(prices)) + 1e-9


def test_co2_is_the_factor_times_the_stored_import(stored):
    for entry in stored.strategies:
        values = {value.name: value.value for value in entry.values}
        reader = RunReader(stored.folder).strategy(entry.name)
        import_kwh = reader.series("feeder.p_import_kw").sum(dtype=float) / 4
        assert values["co2_net_kg"] == pytest.approx(0.3 * import_kwh, abs=0.3 * 96 * POWER_QUANTUM_KW)
        avoided = 0.3 * (values["load_kwh"] - import_kwh)
        assert values["co2_avoided_kg"] == pytest.approx(avoided, abs=0.3 * 96 * POWER_QUANTUM_KW)


def test_the_year_of_reinforcement_follows_the_loading(stored):
    content = json.loads((stored.folder / "reinforcement.json").read_text())
    assert content["base"] == "none"
    for entry in stored.strategies:
        values = {value.name: value.value for value in entry.values}
        worst = max(values["trafo_loading_max_percent"], values["line_loading_max_percent"])
        years = np.log(100 / worst) / np.log(1.02)
        assert content["strategies"][entry.name]["years"] == pytest.approx(years, rel=1e-12)
    assert content["strategies"]["none"]["deferral_years"] == content["strategies"]["none"]["npv_eur"] == 0.0
