"""The Gymnasium environment is the run: same cores, same bits, and what Gymnasium asks of an environment."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from models.battery import advance
from models.errors import PowerFlowError
from twin.clock import utc_s
from twin.community.meters import NEEDED, MeterAccumulator
from twin.community.sharing import community_hours
from twin.control import Proposal
from twin.control.mpc import Mpc
from twin.control.rules import NoControl, PeakShaving, SelfConsumption
from twin.environment import ActionLayout, CostAndVoltage, PolicyController, TwinEnv, part_of
from twin.environment.env import ENV_ID, ControllerPolicy
from twin.environment.window import day_starts
from twin.errors import ControllerError, InputError, RunError
from twin.kpis import KPIS, KpiAccumulator
from twin.members import Communities
from twin.prepare import prepare, signal_names
from twin.results import Detail, RunReader, StrategyWriter
from twin.runner import RunOptions, run
from twin.scenario import load_scenario
from twin.signals import Axis, Chunk
from twin.world import ExternalSource, StrategyRun, run_world


class Memory:
    """A sink that keeps everything."""

    def __init__(self):
        self.steps = []

    def append(self, step, values):
        assert step == len(self.steps)
        self.steps.append({key: np.array(value) for key, value in values.items()})


class Limiter:
    """Charges in the night and cuts half of the PV: a proposal with both parts."""

    def __init__(self, site):
        self.site = site

    def decide(self, seen):
        night = seen.step % 96 < 24
        return Proposal(
            battery_kw=(0.7 if night else -0.3) * self.site.battery.charge_kw,
            pv_limit_kw=0.5 * self.site.pv_rated_kw,
        )


def mosaik_steps(prepared, make):
    controller = make(prepared.site)
    sink = Memory()
    run_world(
        StrategyRun(
            plant=prepared.plant,
            feeder=prepared.feeder,
            engine=prepared.engine,
            controller=controller,
            site=prepared.site,
            forecast=prepared.forecast(controller),
            sink=sink,
        ),
        lambda done: None,
    )
    return sink.steps


def played(env, make):
    """Play one episode exactly; return the infos."""
    env.reset(seed=0)
    policy, infos, ended = ControllerPolicy(env, make), [], False
    while not ended:
        _, _, _, ended, info = env.propose(policy.proposal())
        infos.append(info)
    return infos


@pytest.fixture
def prepared(load_small):
    return prepare(load_small())


@pytest.fixture
def three_days(small_scenario):
    """Write the small scenario with three days and return its path."""
    path = small_scenario(("days: 1,", "days: 3,"))
    rows = [f"2026-06-{20 + n // 24}T{n % 24:02d}:00,{0.2 + 0.01 * (n % 29):.2f}\n" for n in range(72)]
    (path.parent / "shape.csv").write_text("time,share\n" + "".join(rows))
    return path


@pytest.fixture
def env(prepared):
    return TwinEnv(prepared)


@pytest.mark.parametrize("make", [NoControl, SelfConsumption, Limiter, Mpc])
def test_the_proposals_of_a_strategy_give_the_same_bits_as_on_mosaik(make, prepared):
    sink = Memory()
    played(TwinEnv(prepared, sink=sink), make)
    expected = mosaik_steps(prepared, make)
    assert len(sink.steps) == len(expected) == 96
    for here, there in zip(sink.steps, expected, strict=True):
        assert here.keys() == there.keys()
        for key in there:
            assert here[key].tobytes() == there[key].tobytes(), key


def test_voltage_dependent_inverters_give_the_same_bits_as_on_mosaik(load_small):
    functions = "{function: q_v, v1s_pu: 1.0, v2s_pu: 1.01, p_v: {start_pu: 1.0, end_pu: 1.005}}"
    prepared = prepare(
        load_small(
            ("p_peak_kw: 8,", f"p_peak_kw: 40, inverter: {functions},"),
            ("power_kw: 4}", f"power_kw: 4, inverter: {functions}}}"),
        )
    )
    sink = Memory()
    played(TwinEnv(prepared, sink=sink), SelfConsumption)
    for here, there in zip(sink.steps, mosaik_steps(prepared, SelfConsumption), strict=True):
        for key in there:
            assert here[key].tobytes() == there[key].tobytes(), key


def test_an_episode_stores_the_same_files_and_kpis_as_the_command(load_small, tmp_path):
    loaded = load_small(extra="\noutput: {detail: all}\n")
    stored = RunReader(run(loaded, RunOptions(out=tmp_path / "out")).folder)
    prepared = prepare(loaded)
    accumulator = KpiAccumulator(prepared.context)
    writer = StrategyWriter(
        tmp_path / "episode",
        names=signal_names(prepared),
        detail=Detail.ALL,
        selected={},
        steps_per_part=96,
        on_chunk=accumulator.add,
    )
    with writer:
        infos = played(TwinEnv(prepared, sink=writer), SelfConsumption)
    for axis in set(Axis) - {Axis.STATE}:
        there = sorted((stored.folder / "self_consumption" / axis.value).glob("*.parquet"))
        here = sorted((tmp_path / "episode" / axis.value).glob("*.parquet"))
        assert there, f"axis {axis} has parts"
        assert [path.read_bytes() for path in here] == [path.read_bytes() for path in there], axis
    kpis = infos[-1]["kpi"]
    rows = {row["name"]: row["value"] for row in stored.strategy("self_consumption").kpis()}
    assert kpis == {name: rows[name] for name in kpis}
    assert {"vm_min_pu", "peak_import_kw", "cost_total_eur"} <= kpis.keys()
    assert all("kpi" not in info for info in infos[:-1])
    # what the guide says is not among them
    left_out = re.compile(r"shared_|members_|incentive_|valorisation_|social_kept_|co2_|market_value_")
    assert kpis.keys() == {entry.name for entry in KPIS if not left_out.match(entry.name)}


@pytest.mark.parametrize("actions", ["battery", "battery_and_pv"])
@pytest.mark.parametrize("days", [None, 1])
def test_gymnasium_finds_nothing_to_complain_about(actions, days, three_days):
    made = gymnasium.make(
        f"twin.environment.env:{ENV_ID}", scenario=str(three_days), actions=actions, episode_days=days
    )
    check_env(made.unwrapped)


def test_every_value_has_a_name_a_unit_and_stays_within_its_bounds(env):
    observation, _ = env.reset(seed=5)
    env.action_space.seed(5)
    size = len(observation)
    assert len(set(env.observation_names)) == size == len(env.observation_units)
    assert len(env.action_names) == env.action_space.shape[0]
    assert set(env.observation_units) == {"kW", "pu", "1", "EUR/kWh"}
    assert np.all(np.isfinite(env.observation_space.low))
    assert np.all(np.isfinite(env.observation_space.high))
    ended = False
    while not ended:
        observation, _, terminated, ended, _ = env.step(env.action_space.sample())
        assert not terminated
        assert observation.dtype == np.float32
        assert env.observation_space.contains(observation)


def test_in_the_first_step_what_was_not_measured_is_flagged_and_not_nan(env, prepared):
    names, n_homes = np.array(env.observation_names), prepared.plant.n_homes
    first, _ = env.reset(seed=0)
    second, *_ = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
    flags = np.char.endswith(names, ": measured")
    volts = np.char.endswith(names, ": voltage before")
    assert flags.sum() == volts.sum() == n_homes
    assert np.all(first[flags] == 0.0)
    assert np.all(first[volts] == 1.0)
    assert np.all(second[flags] == 1.0)
    assert np.array_equal(second[volts], env.seen.vm_pu.astype(np.float32))
    assert np.any(second[volts] != 1.0)


def test_an_action_is_a_share_of_rated_power(prepared):
    sink = Memory()
    env = TwinEnv(prepared, actions="battery_and_pv", sink=sink)
    env.reset(seed=0)
    n_batteries, n_pv = prepared.plant.battery.n, len(prepared.plant.pv_name)
    for step in range(52):
        share = 0.25 if step < 51 else -0.5
        env.step(np.concatenate((np.full(n_batteries, share), np.full(n_pv, 0.1))).astype(np.float32))
    charging, noon = sink.steps[0]["battery.p_kw"], sink.steps[51]
    assert charging == pytest.approx(0.25 * prepared.plant.battery.charge_kw, rel=1e-6)
    assert noon["battery.p_kw"] == pytest.approx(-0.5 * prepared.plant.battery.discharge_kw, rel=1e-6)
    assert noon["pv.p_available_kw"].min() < -0.2 * prepared.plant.pv_inverter.p_rated_kw.max()
    assert noon["pv.p_kw"] == pytest.approx(-0.1 * prepared.plant.pv_inverter.p_rated_kw, rel=1e-6)


def test_actions_outside_the_bounds_count_as_the_bound_and_full_share_is_no_limit(prepared):
    sinks = Memory(), Memory()
    for sink, value in zip(sinks, (1.0, 7.0), strict=True):
        env = TwinEnv(prepared, actions="battery_and_pv", sink=sink)
        env.reset(seed=0)
        for _ in range(50):
            env.step(np.full(env.action_space.shape, value, dtype=np.float32))
    one, other = (sink.steps[-1] for sink in sinks)
    assert one["battery.p_kw"].tobytes() == other["battery.p_kw"].tobytes()
    assert one["pv.p_kw"].tobytes() == one["pv.p_available_kw"].tobytes()


def test_a_strategy_as_a_policy_differs_by_the_rounding_of_float32_only(prepared):
    exact, rounded = Memory(), Memory()
    played(TwinEnv(prepared, sink=exact), SelfConsumption)
    env = TwinEnv(prepared, sink=rounded)
    observation, _ = env.reset(seed=0)
    policy, ended = ControllerPolicy(env, SelfConsumption), False
    while not ended:
        observation, _, _, ended, _ = env.step(policy(observation))
    powers = [np.array([step["battery.p_kw"] for step in sink.steps]) for sink in (exact, rounded)]
    assert np.abs(powers[0]).max() > 1.0
    assert powers[1] == pytest.approx(powers[0], abs=1e-5)


def test_a_trained_policy_runs_as_a_strategy_with_the_same_bits(prepared):
    def policy(observation):
        soc = observation[-4 - prepared.plant.battery.n : -4]
        return np.where(observation[-1] < 0.0, 0.8 * (1.0 - soc), -0.6 * soc).astype(np.float32)

    part = part_of(prepared, first_step=0, n_steps=96)  # the site knows when the run starts
    sink = Memory()
    env = TwinEnv(prepared, sink=sink)
    observation, _ = env.reset(seed=0)
    ended = False
    while not ended:
        observation, _, _, ended, _ = env.step(policy(observation))
    there = mosaik_steps(part, lambda site: PolicyController(site, policy))
    assert np.ptp([step["battery.p_kw"] for step in there]) > 1.0
    for here, other in zip(sink.steps, there, strict=True):
        assert here["bus.vm_pu"].tobytes() == other["bus.vm_pu"].tobytes()


def test_the_default_reward_is_what_the_homes_pay_and_a_penalty_on_voltage(load_small):
    def episode(prepared, reward):
        env = TwinEnv(prepared, reward=reward)
        env.reset(seed=0)
        _, reward_eur, _, _, info = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
        return env, reward_eur, info

    prepared = prepare(load_small(extra="\nlimits: {vm_min_pu: 0.99, vm_max_pu: 1.1}\n"))
    env, reward_eur, info = episode(prepared, CostAndVoltage(penalty_eur_pu_h=10.0))
    tariff, dt_h = prepared.plant.tariff, 0.25
    p_kw = env.seen.grid_kw
    cost_eur = dt_h * float(
        np.maximum(p_kw, 0.0).sum() * tariff.price_import_eur_kwh[0]
        - np.maximum(-p_kw, 0.0).sum() * tariff.price_export_eur_kwh[0]
    )
    assert info["cost_eur"] == pytest.approx(cost_eur)
    assert 0.0 < info["voltage_excess_pu_h"] < 0.25 * 0.1 * len(prepared.feeder.bus_name)
    assert info["voltage_excess_pu_h"] >= 0.25 * (0.99 - info["vm_min_pu"])
    assert reward_eur == pytest.approx(-cost_eur - 10.0 * info["voltage_excess_pu_h"])
    assert info["import_kwh"] - info["export_kwh"] == pytest.approx(dt_h * p_kw.sum())


def community_of(plant):
    homes = np.array(
        [int(plant.pv_home[0]), *(h for h in range(plant.n_homes) if h not in plant.pv_home)][:4]
    )
    n = len(homes)
    return Communities(
        name=("north",),
        kind=("CER",),
        perimeter=("cp",),
        area=("CP",),
        cp=np.zeros(1, dtype=np.int64),
        cp_name=("CP",),
        member_home=homes,
        member_community=np.zeros(n, dtype=np.int64),
        member_first_step=np.zeros(n, dtype=np.int64),
        member_end_step=np.full(n, plant.n_steps),
        member_contract_kw=np.full(n, 6.0),
        member_opted_out=np.zeros(n, dtype=np.bool_),
        plant_pv=np.zeros(1, dtype=np.int64),
        plant_member=np.zeros(1, dtype=np.int64),
        plant_kw=plant.pv_inverter.p_rated_kw[:1],
    )


def battery_behind_a_member_without_a_plant(prepared):
    """Move one battery to the last member of a community, which has no PV and hardly any load."""
    plant, members = prepared.plant, community_of(prepared.plant)
    assert not members.member_has_plant[-1]
    battery_home = plant.battery_home.copy()
    battery_home[0] = members.member_home[-1]
    load_p_kw = np.where(plant.load_home == members.member_home[-1], 0.01, 1.0) * plant.load_p_kw
    return replace(
        prepared,
        plant=replace(plant, communities=members, battery_home=battery_home, load_p_kw=load_p_kw),
        site=replace(
            prepared.site,
            communities=members,
            battery_home=battery_home,
            shared_value_eur_kwh=np.array([0.11]),
        ),
    )


class DischargesAtNoon(NoControl):
    """Gives while members lack energy and the sun shines, from every battery."""

    def decide(self, seen):
        noon = 32 <= seen.step < 64
        return Proposal(battery_kw=np.full(len(seen.soc), -0.4 if noon else 0.0))


@pytest.mark.parametrize("make", [NoControl, DischargesAtNoon])
def test_shared_energy_is_that_of_the_settlement_hour_by_hour(make, load_small):
    # the members lack more than the roof gives, so what a battery alone injects would count if it could
    prepared = battery_behind_a_member_without_a_plant(
        prepare(load_small(("p_peak_kw: 8,", "p_peak_kw: 20,")))
    )
    plant = prepared.plant
    sink = Memory()
    infos = played(TwinEnv(prepared, sink=sink), make)
    meters = MeterAccumulator(
        plant.communities,
        dt_s=plant.dt_s,
        start_utc_s=plant.start_utc_s,
        n_steps=plant.n_steps,
        pv_home=plant.pv_home,
    )
    arrays = {key: np.array([step[key] for step in sink.steps]) for key in NEEDED}
    meters.add(Chunk(first_step=0, arrays=arrays))
    hours = community_hours(plant.communities, meters.hourly())
    shared_kwh = np.array([info["shared_kwh"] for info in infos]).reshape(24, 4)
    assert np.all(shared_kwh[:, :3] == 0.0)
    assert shared_kwh[:, 3] == pytest.approx(hours.shared_kwh[:, 0])
    assert shared_kwh.sum() > 1.0
    assert [info["shared_value_eur"] for info in infos] == pytest.approx(0.11 * shared_kwh.ravel())
    alone_kwh = meters.hourly().injected_kwh[:, ~plant.communities.member_has_plant].sum()
    assert (alone_kwh > 0.5) == (make is DischargesAtNoon)


class Empties(NoControl):
    """Gives all there is, at once."""

    def decide(self, seen):
        return Proposal(battery_kw=np.full(len(seen.soc), -1e3))


@pytest.mark.parametrize("make", [NoControl, SelfConsumption, Empties])
def test_the_last_step_of_an_episode_values_what_is_stored_as_the_accounts_of_a_run_do(make, prepared):
    sink, rewards = Memory(), []
    env = TwinEnv(
        prepared, sink=sink, reward=lambda outcome: rewards.append(CostAndVoltage()(outcome)) or 0.0
    )
    infos = played(env, make)
    battery, tariff = prepared.plant.battery, prepared.plant.tariff
    last = sink.steps[-1]
    end, _ = advance(battery, last["battery.soc"], last["battery.p_kw"], 900)
    change_kwh = (end - sink.steps[0]["battery.soc"]) * battery.capacity_kwh
    middle = (tariff.price_import_eur_kwh.mean() + tariff.price_export_eur_kwh.mean()) / 2
    value_eur = float((battery.eta_discharge * change_kwh).sum() * middle)
    # the accounts of a run take the last step without its losses
    assert infos[-1]["stored_value_eur"] == pytest.approx(value_eur, abs=0.01)
    assert [info["stored_value_eur"] for info in infos[:-1]] == [0.0] * 95
    rest = infos[-1]["shared_value_eur"] - infos[-1]["cost_eur"] - 100.0 * infos[-1]["voltage_excess_pu_h"]
    assert rewards[-1] == pytest.approx(rest + infos[-1]["stored_value_eur"])
    if make is Empties:
        assert infos[-1]["stored_value_eur"] < -0.5


def test_what_is_stored_is_worth_the_same_whichever_day_is_drawn(three_days):
    prepared = prepare(load_scenario(three_days))
    tariff = prepared.plant.tariff
    dearer = replace(tariff, price_import_eur_kwh=np.repeat([0.1, 0.3, 0.5], 96))
    env = TwinEnv(replace(prepared, plant=replace(prepared.plant, tariff=dearer)), episode_days=1)
    worth_eur_kwh = []
    for day in range(3):
        env.reset(options={"first_day": day})
        ended, info = False, {}
        while not ended:
            *_, ended, info = env.propose(Proposal(battery_kw=np.zeros(env.action_space.shape)))
        worth_eur_kwh.append(info["stored_value_eur"] / info["kpi"]["stored_change_kwh"])
    middle = (0.3 + tariff.price_export_eur_kwh.mean()) / 2
    assert worth_eur_kwh == pytest.approx([prepared.plant.battery.eta_discharge[0] * middle] * 3)


def test_an_agent_is_not_paid_for_selling_what_is_stored_when_it_starts(prepared):
    # no load to serve and no sun: all that is discharged is sold at 0.08 EUR/kWh, half of what it is worth later
    plant = prepared.plant
    dark = replace(plant, load_p_kw=0.0 * plant.load_p_kw, pv_available_kw=0.0 * plant.pv_available_kw)
    env = TwinEnv(
        replace(prepared, plant=dark), reward=lambda outcome: rewards.append(CostAndVoltage()(outcome)) or 0.0
    )
    total_eur = {}
    for make in (NoControl, Empties):
        rewards = []
        infos = played(env, make)
        cost_eur = sum(info["cost_eur"] for info in infos)
        total_eur[make] = sum(rewards)
        assert (cost_eur < -0.5) == (make is Empties), "selling earns something"
    assert total_eur[Empties] < total_eur[NoControl] - 0.5


def test_the_shared_value_is_part_of_the_reward(env):
    env.reset(seed=0)
    outcomes = []
    env._reward = lambda outcome: outcomes.append(outcome) or 0.0
    env.step(np.zeros(env.action_space.shape, dtype=np.float32))
    reward = CostAndVoltage()
    richer = replace(outcomes[0], shared_value_eur=3.0)
    assert reward(richer) - reward(outcomes[0]) == pytest.approx(3.0)


def test_days_are_drawn_by_the_seed_and_are_those_of_the_run(three_days):
    prepared = prepare(load_scenario(three_days))
    env = TwinEnv(prepared, episode_days=1)
    starts = [env.reset(seed=seed)[1]["start_utc_s"] for seed in range(12)]
    again = [env.reset(seed=seed)[1]["start_utc_s"] for seed in range(12)]
    days = [(start - prepared.plant.start_utc_s) / 86400 for start in starts]
    assert starts == again
    assert set(days) == {0.0, 1.0, 2.0}
    _, info = env.reset(options={"first_day": 2})
    assert info["start_utc_s"] - prepared.plant.start_utc_s == 2 * 86400
    assert env.episode_prepared.plant.n_steps == 96
    assert np.array_equal(env.episode_prepared.plant.pv_available_kw, prepared.plant.pv_available_kw[192:])


def test_a_second_environment_over_the_same_scenario_draws_from_all_of_its_days(three_days):
    first = TwinEnv(three_days, episode_days=1)
    first.reset(seed=0)
    assert first.scenario_prepared.plant.n_steps == 288
    second = TwinEnv(first.scenario_prepared, episode_days=1)
    starts = {second.reset(seed=seed)[1]["start_utc_s"] for seed in range(12)}
    assert len(starts) == 3
    assert not hasattr(first, "prepared"), "which of the two it were would be a guess"


@pytest.mark.parametrize(
    ("first", "hours"), [(date(2026, 3, 28), [24, 23, 24]), (date(2026, 10, 24), [24, 25, 24])]
)
def test_days_have_23_and_25_hours_where_clocks_change(first, hours, prepared):
    plant = replace(prepared.plant, start_utc_s=utc_s(first), n_steps=4 * sum(hours))
    assert [n_steps / 4 for _, n_steps in day_starts(plant, 1)] == hours
    assert [start for start, _ in day_starts(plant, 2)] == [0, 96]


def test_a_part_of_a_run_shifts_memberships_and_silences(prepared):
    members = replace(
        community_of(prepared.plant),
        member_first_step=np.array([0, 10, 50, 96]),
        member_end_step=np.array([96, 40, 96, 96]),
        silent=np.array([[1, 20, 60], [2, 0, 5]]),
    )
    whole = replace(prepared, plant=replace(prepared.plant, communities=members))
    part = part_of(whole, first_step=30, n_steps=20)
    for step in range(20):
        assert np.array_equal(part.site.communities.active(step), members.active(step + 30))
    assert part.plant.communities.silent.tolist() == [[1, 0, 20], [2, 0, 0]]
    assert part.plant.start_utc_s == prepared.plant.start_utc_s + 30 * 900
    with pytest.raises(ValueError, match="not within the run of 96 steps"):
        part_of(whole, first_step=90, n_steps=20)


def test_a_step_without_reset_and_after_the_end_is_refused(env):
    idle = np.zeros(env.action_space.shape, dtype=np.float32)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(idle)
    env.reset(seed=0)
    ends = [env.step(idle)[2:4] for _ in range(96)]
    assert ends == [(False, False)] * 95 + [(False, True)]
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(idle)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (np.zeros(2), r"shape \(\d+,\), one value for each of action_names \(got \(2,\)\)"),
        (np.nan, "action 0 .* is not a number"),
    ],
)
def test_an_action_that_is_none_says_which_value(action, words, env):
    env.reset(seed=0)
    bad = np.full(env.action_space.shape, action) if np.ndim(action) == 0 else action
    with pytest.raises(ValueError, match=words):
        env.step(bad)


def test_a_proposal_that_is_none_can_be_made_again(env):
    env.reset(seed=0)
    with pytest.raises(ControllerError, match="battery_kw: shape"):
        env.propose(Proposal(battery_kw=np.zeros(1)))
    *_, info = env.propose(Proposal(battery_kw=np.zeros(env.action_space.shape)))
    assert info["step"] == 0


@pytest.mark.parametrize(
    ("changes", "kwargs", "words"),
    [
        ((), {"episode_days": 2}, "episode_days 2: must be at least 1 and at most the days of the run"),
        ((), {"episode_days": 0}, "episode_days 0"),
        ((), {"actions": "all"}, "choose one of battery, battery_and_pv"),
        ((("- {kind: battery", "# - {kind: battery"),), {}, "there is nothing to decide; add batteries"),
    ],
)
def test_what_cannot_be_an_environment_says_why(changes, kwargs, words, small_scenario):
    with pytest.raises(InputError, match=words):
        TwinEnv(small_scenario(*changes), **kwargs)


def test_a_power_flow_that_diverges_names_the_step(prepared):
    class Diverges:
        name, left = "diverges", 7

        def solve(self, p_kw, q_kvar):
            if not self.left:
                raise PowerFlowError("no convergence in 20 iterations")
            self.left -= 1
            return prepared.engine.solve(p_kw, q_kvar)

    env = TwinEnv(replace(prepared, engine=Diverges()))
    with pytest.raises(RunError, match=r"step 7 \(2026-06-20T01:45.*no convergence"):
        played(env, NoControl)


def test_a_proposal_and_its_action_are_the_same_thing_within_float32(prepared):
    site = prepared.site
    layout = ActionLayout(site, "battery_and_pv")
    n_pv = len(site.pv_home)
    limit_kw = np.concatenate(([np.inf, 0.0], np.linspace(0.1, 0.9, n_pv - 2) * site.pv_rated_kw[2:]))
    asked = Proposal(
        battery_kw=np.linspace(-0.9, 0.9, site.battery.n) * site.battery.charge_kw, pv_limit_kw=limit_kw
    )
    back = layout.proposal(layout.action(asked))
    assert back.battery_kw == pytest.approx(asked.battery_kw, abs=1e-6)
    assert back.pv_limit_kw == pytest.approx(limit_kw, abs=1e-6)
    free = layout.proposal(layout.action(Proposal(battery_kw=1e6 * site.battery.charge_kw)))
    assert np.all(np.isinf(free.pv_limit_kw))
    assert np.array_equal(free.battery_kw, site.battery.charge_kw)
    assert ActionLayout(site).action(asked).shape == (site.battery.n,)


def test_unknown_options_and_days_are_refused(env):
    with pytest.raises(InputError, match="option day is not known; there is first_day"):
        env.reset(options={"day": 1})
    with pytest.raises(InputError, match="first_day 1 must be a whole number from 0 to 0"):
        env.reset(options={"first_day": 1})


def test_third_party_simulators_are_refused_by_name(prepared):
    source = ExternalSource(
        name="wind", starter={}, init={}, model="M", params={}, entity=None, attr="P", load=0, kw_per_unit=1.0
    )
    with pytest.raises(InputError, match=r"third-party simulators \(wind\) need mosaik"):
        TwinEnv(replace(prepared, external=(source,)))


def test_each_episode_gets_a_strategy_of_its_own(three_days):
    env = TwinEnv(three_days, episode_days=1)
    made = []

    def make(site):
        made.append(site.start_utc_s)
        return PeakShaving(site, limit_kw=2.0)

    policy = ControllerPolicy(env, make)
    for day in (0, 2):
        observation, _ = env.reset(options={"first_day": day})
        for _ in range(2):
            observation, *_ = env.step(policy(observation))
    assert [start - made[0] for start in made] == [0, 0, 2 * 86400]


def test_without_gymnasium_the_error_says_what_to_install_and_trained_policies_still_run():
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "from twin.environment import PolicyController\n"
        "from twin.environment import TwinEnv\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "line 3" in done.stderr
    assert "pip install 'gemello[gym]'" in done.stderr


def test_the_example_of_the_guide_runs_and_its_rule_is_ten_lines(three_days, capsys):
    guide = (Path(__file__).parents[2] / "docs/strategies.md").read_text()
    (text,) = re.findall(r"```python\n(import numpy.*?TwinEnv\(.*?)```", guide, flags=re.DOTALL)
    rule = text[text.index("def night_and_evening") : text.index("for policy in")]
    assert len([line for line in rule.splitlines() if line.strip()]) <= 10
    exec(text.replace("scenarios/01_rural_feeder.yaml", str(three_days)), {})  # noqa: S102 - our own guide
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, *_ in lines] == ["at_random", "night_and_evening"]
    assert float(lines[0][1]) != float(lines[1][1])
