"""What a scenario says about payment, checked before a run."""

from dataclasses import replace

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin import load_scenario
from twin.control.planning.worth import StorageWorth
from twin.errors import ScenarioError
from twin.payment import stored_worth_eur_kwh
from twin.plant import Tariff
from twin.prepare import prepare

SCENARIO = """
name: pay
feeder: {{source: "pandapower:create_cigre_network_mv"}}
period: {{start: 2016-07-04, days: 1, step_s: 15 min}}
devices:
  - {{kind: load, from: feeder, profile: constant}}
  - {{kind: pv, name: roof, bus: Bus 3, p_peak_kw: {plant_kw}, profile: constant}}
communities:
  - {{name: one, kind: CER, area: Bus 3, {community} members: [{{share: 100 %}}]}}
strategies: {{none: }}
settlement: {{{settlement}}}
"""


@pytest.fixture
def prepared(tmp_path):
    def build(plant_kw=50, community="", settlement=""):
        path = tmp_path / "pay.yaml"
        path.write_text(SCENARIO.format(plant_kw=plant_kw, community=community, settlement=settlement))
        return prepare(load_scenario(path))

    return build


def two_batteries():
    one = np.ones(2)
    return BatteryFleet(
        capacity_kwh=10 * one,
        charge_kw=5 * one,
        discharge_kw=5 * one,
        eta_charge=one,
        eta_discharge=np.array([0.9, 0.8]),
        soc_min=0 * one,
        soc_max=one,
        loss_per_day=0 * one,
    )


@pytest.mark.parametrize("pays", ["flat_2020", "cacer_2023"])
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"community": "grant_share: 45 %,"}, "grant"),
        ({"plant_kw": 1200, "community": "max_plant_kw: 5000,"}, "above the 1000 kW"),
    ],
)
def test_what_one_rule_set_does_not_pay_is_a_mistake_whichever_pays(prepared, pays, changes, text):
    with pytest.raises(ScenarioError, match=text) as caught:
        prepared(settlement=f"pays: {pays}", **changes)
    (mistake,) = caught.value.mistakes
    assert (mistake.field, mistake.line) == ("communities[0]", 9)


def test_a_shared_kwh_is_worth_premium_and_charges_of_the_rules_that_pay(prepared):
    # 2018 prices lie below 140 EUR/MWh in July: the cap of 120, and 10 for the north
    cacer = prepared(settlement="pays: cacer_2023").site.shared_value_eur_kwh
    assert cacer == pytest.approx([(120 + 10 + 10.57) / 1000], rel=1e-12)
    flat = prepared(settlement="pays: flat_2020").site.shared_value_eur_kwh
    assert flat == pytest.approx([(110 + 7.61) / 1000], rel=1e-12)
    south = prepared(settlement="cacer_2023: {regional_eur_mwh: 0}").site.shared_value_eur_kwh
    assert south == pytest.approx([(120 + 10.57) / 1000], rel=1e-12)


def test_a_stored_kwh_is_worth_the_same_in_accounts_and_plans(prepared):
    plant = replace(prepared().plant, battery=two_batteries())
    tariff = Tariff(
        price_import_eur_kwh=np.linspace(0.1, 0.5, plant.n_steps),
        price_export_eur_kwh=np.full(plant.n_steps, 0.1),
    )
    worth = stored_worth_eur_kwh(replace(plant, tariff=tariff))
    assert worth == pytest.approx([0.9 * 0.2, 0.8 * 0.2], rel=1e-12), "the middle of 0.3 and 0.1"
    window = StorageWorth(np.array([0.9, 0.8])).see(tariff.price_import_eur_kwh, tariff.price_export_eur_kwh)
    assert worth.tolist() == window.tolist()


def test_a_split_that_cannot_work_is_a_mistake_of_the_settlement(prepared):
    with pytest.raises(ScenarioError, match="by_investment needs members who paid") as caught:
        prepared(settlement="member_split: by_investment")
    assert caught.value.mistakes[0].field == "settlement"
