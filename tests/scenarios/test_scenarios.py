"""Every file in ``scenarios/`` runs, shortened to a day, and shows what its comment says."""

import json
from pathlib import Path

import numpy as np
import pytest

from twin import RunOptions, load_scenario, run
from twin.prepare import prepare
from twin.report import write_report
from twin.results import RunReader, RunStatus
from twin.signals import Axis

FOLDER = Path(__file__).parents[2] / "scenarios"
LIVE = {"04_hil_inverter.yaml", "09_controller_in_the_loop.yaml"}
"""Run in real time; they have tests of their own."""
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name not in LIVE)
OF_FMUS = "03_fmu_devices.yaml"
CHOSEN = {OF_FMUS: ("self_consumption",)}
"""What is run where not all strategies are: a day in minutes takes long, and others bring nothing further for FMUs."""


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """Run a scenario for one day, once, and return its reader."""
    done = {}

    def once(name):
        if name not in done:
            loaded = load_scenario(FOLDER / name, overrides={"period.days": 1})
            chosen = CHOSEN.get(name)
            if chosen is not None:
                prepare(loaded)  # the parameters of the others are right too
            result = run(loaded, RunOptions(out=tmp_path_factory.mktemp("results"), strategies=chosen))
            assert [entry.message for entry in result.failed] == []
            done[name] = RunReader(result.folder)
        return done[name]

    return once


def test_there_are_scenarios():
    assert len(FILES) >= 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_says_what_it_shows_and_runs(path, play):
    assert path.read_text().startswith("# "), "the first line says what the scenario shows"
    reader = play(path.name)
    assert reader.manifest.status is RunStatus.FINISHED
    for strategy in reader.strategies:
        values = {row["name"]: row["value"] for row in reader.strategy(strategy).kpis()}
        assert values["balance_error_max_kw"] < 1e-3
        assert 0.8 < values["vm_min_pu"] <= values["vm_max_pu"] < 1.2
    assert write_report(reader.folder).stat().st_size < 2_000_000


def test_the_mpc_of_scenario_01_lowers_the_peaks(play):
    reader = play("01_rural_feeder.yaml")
    peak = {
        name: np.abs(reader.strategy(name).series("feeder.p_import_kw")).max() for name in reader.strategies
    }
    assert peak["mpc"] < peak["self_consumption"] <= peak["none"] + 1e-6


def paid(reader, strategy):
    """Return the communities of a strategy by name, as it is paid."""
    content = json.loads((reader.folder / strategy / "settlement.json").read_text())
    lines = content["rules"][content["pays"]][content["pooled"]]["communities"]
    return {line["name"]: line for line in lines}


def test_the_third_community_of_scenario_02_does_not_share_with_those_under_another_substation(play):
    reader = play("02_two_communities.yaml")
    cems, aggregator = paid(reader, "cems"), paid(reader, "aggregator")
    assert len({line["cp"] for line in cems.values()}) == 2
    alone = cems.pop("CER Campagna")
    assert aggregator["CER Campagna"]["shared_kwh"] == alone["shared_kwh"] == alone["own_shared_kwh"] > 0.0
    assert sum(aggregator[name]["shared_kwh"] for name in cems) > sum(
        line["shared_kwh"] for line in cems.values()
    )


def test_each_level_of_scenario_06_leaves_the_members_better_off(play):
    reader = play("06_optimised_levels.yaml")
    net_eur = {
        name: {row["name"]: row["value"] for row in reader.strategy(name).kpis()}["members_net_eur"]
        for name in reader.strategies
    }
    assert net_eur["aggregator_mpc"] < net_eur["cems_mpc"] < net_eur["ems_mpc"] < net_eur["none"]
    assert net_eur["aggregator_mpc"] < net_eur["aggregator_persistence"] < net_eur["none"]


def test_the_fmus_of_scenario_03_give_the_key_figures_of_the_models(play, tmp_path):
    reader = play(OF_FMUS)
    text = (FOLDER / OF_FMUS).read_text()
    assert text.count("as: fmu") >= 4
    path = tmp_path / "as_models.yaml"
    path.write_text(text.replace("as: fmu", "as: model"))
    options = RunOptions(out=tmp_path, strategies=CHOSEN[OF_FMUS])
    as_models = RunReader(run(load_scenario(path), options).folder)
    (name,) = CHOSEN[OF_FMUS]
    by_fmu, by_model = (
        {row["name"]: row["value"] for row in found.strategy(name).kpis() if row["value"] is not None}
        for found in (reader, as_models)
    )
    assert by_fmu["load_kwh"] > 0.0
    del by_fmu["balance_error_percent"], by_model["balance_error_percent"]  # rounding of the power flow
    assert by_fmu == pytest.approx(by_model, rel=1e-6, abs=1e-6)


def test_the_foreign_fmus_of_scenario_03_do_what_their_comments_say(play):
    strategy = play(OF_FMUS).strategy(*CHOSEN[OF_FMUS])
    names = strategy.names(Axis.LOAD)
    lamps, pump = (names.index(name) for name in ("Heat lamps", "Well pump"))
    p_kw, q_kvar = strategy.series("load.p_kw", [lamps, pump]), strategy.series("load.q_kvar", [pump])
    low_pu, high_pu = (strategy.series(f"feeder.vm_{end}_pu")[:-1, 0] for end in ("min", "max"))
    assert np.all(p_kw[1:, 0] >= 3.0 * (2 * low_pu - 1) - 1e-3), "voltage of the step before"
    assert np.all(p_kw[1:, 0] <= 3.0 * (2 * high_pu - 1) + 1e-3)
    assert np.all(p_kw[:360, 1] == 0.0)
    assert p_kw[365, 1] == pytest.approx(4.0 * 5.5 / 10, abs=0.05), "half way up after five minutes"
    assert np.allclose(p_kw[370:, 1], 4.0, atol=1e-3)
    assert np.allclose(q_kvar[:, 0], p_kw[:, 1] / 2, atol=2e-3)


def test_the_strategy_of_scenario_07_is_the_users_own(play):
    reader = play("07_own_strategy.yaml")
    assert reader.strategies == ("none", "self_consumption", "night_charger")
    power = reader.strategy("night_charger").series("battery.p_kw")
    assert power[:16].max() > 0.0, "charges at night"
    assert np.all(reader.strategy("none").series("battery.p_kw") == 0.0)


def test_the_workshop_of_scenario_04_is_what_mosaik_csv_plays(play):
    reader = play("08_third_party_simulator.yaml")
    assert reader.strategies == ("none", "self_consumption")
    strategy = reader.strategy("none")
    position = strategy.names(Axis.LOAD).index("workshop")
    lines = (FOLDER / "data" / "workshop.csv").read_text().splitlines()[2 : 2 + 96]
    expected_kw = np.array([float(line.split(",")[1]) for line in lines]) / 1000
    assert np.allclose(strategy.series("load.p_kw", [position])[:, 0], expected_kw, atol=1e-3)


def test_the_inverters_of_scenario_05_absorb_and_curtail(play):
    strategy = play("05_voltage_support.yaml").strategy("none")
    assert strategy.series("pv.q_kvar").max() > 0.5, "Q(V) absorbs at high voltage"
    curtailed_kw = strategy.series("pv.p_kw") - strategy.series("pv.p_available_kw")
    assert curtailed_kw.max() > 0.1, "P(V) reduces feed-in"
    assert strategy.series("feeder.residual_kva").max() < 1e-2
