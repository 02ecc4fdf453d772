"""Devices with a state of their own, in a run: what reaches them, when, and what becomes of what they give."""

import dataclasses

import numpy as np
import pytest

from models.errors import DeviceError, FmuStepError
from twin.control import Proposal
from twin.control.checks import checked
from twin.environment import TwinEnv
from twin.errors import ControllerError, RunError
from twin.plant import BlockPlan
from twin.prepare import prepare
from twin.scenario import load_scenario
from twin.signals import Axis
from twin.simulators.blocks import AS_MUCH_AS_POSSIBLE_KW, open_blocks
from twin.world import StrategyRun, run_world


class Tank:
    """Draws what it is asked to, up to 4 kW, keeps count of steps, remembers its inputs; fails at a step if told to.

    ``turned`` stands for a sign turned round: what it says is the negative of what it does.
    """

    label = "tank"

    def __init__(self, size, inputs, *, outputs=("p_kw", "count"), fails_at=None, turned=1.0, most_kw=4.0):
        self.size, self.inputs, self.outputs = size, inputs, outputs
        self.seen, self.closed, self._count, self._fails_at = [], 0, 0, fails_at
        self.events = ("hummed",)
        self._turned, self._most_kw = turned, most_kw

    def start(self):
        return np.zeros((len(self.outputs), self.size))

    def step(self, inputs, *, time_s, dt_s):
        if self._count == self._fails_at:
            raise FmuStepError(f"tank: broke at {time_s:g} s")
        self.seen.append((time_s, dt_s, inputs.copy()))
        self._count += 1
        given = {
            "p_kw": self._turned * np.minimum(inputs[0], self._most_kw),
            "soc": np.full(self.size, 0.5 + 0.001 * self._count),
            "q_kvar": 0.25 * np.abs(np.minimum(inputs[0], self._most_kw)),
            "count": np.full(self.size, float(self._count)),
        }
        return np.array([given[name] for name in self.outputs])

    def save(self):
        return b""

    def restore(self, state):
        del state

    def close(self):
        self.closed += 1


class Memory:
    def __init__(self):
        self.steps = []

    def append(self, step, values):
        self.steps.append({key: np.array(value) for key, value in values.items()})

    def series(self, key):
        return np.array([values[key] for values in self.steps])


class Asks:
    """Asks appliances for a power that grows from step to step, batteries for 1 kW."""

    def __init__(self, site):
        self.site, self.seen = site, []

    def decide(self, seen):
        self.seen.append(seen)
        return Proposal(
            battery_kw=np.ones(len(self.site.battery_home)),
            appliance_kw=np.full(len(self.site.appliance_home), 0.1 * seen.step),
        )


@pytest.fixture
def prepared(small_scenario):
    return prepare(load_scenario(small_scenario()))


def with_block(prepared, axis, block, *, positions=(0, 2), record=(), **series):
    """Return the prepared scenario with a block on an axis."""
    plant = prepared.plant
    at = np.array(positions)
    homes = {Axis.LOAD: plant.load_home, Axis.PV: plant.pv_home, Axis.BATTERY: plant.battery_home}[axis]
    plan = BlockPlan(
        label="devices[9] tank",
        axis=axis,
        position=at,
        home=homes[at],
        open=lambda: block,
        series=series,
        record=record,
    )
    load_p_kw = plant.load_p_kw.copy()
    load_p_kw[:, at] = 0.0 if axis is Axis.LOAD else load_p_kw[:, at]
    plant = dataclasses.replace(plant, blocks=(plan,), load_p_kw=load_p_kw)
    site = dataclasses.replace(
        prepared.site,
        appliance_name=tuple(plant.load_name[position] for position in plant.appliance_load),
        appliance_home=plant.load_home[plant.appliance_load],
    )
    return dataclasses.replace(prepared, plant=plant, site=site)


def play(prepared, controller=None):
    run = StrategyRun(
        plant=prepared.plant,
        feeder=prepared.feeder,
        engine=prepared.engine,
        controller=controller or prepared.controller("self_consumption")[0],
        site=prepared.site,
        forecast=prepared.controller("self_consumption")[1],
        sink=Memory(),
    )
    run_world(run, lambda done: None)
    return run.sink


def test_an_appliance_draws_at_its_home_and_the_strategy_sees_it_in_the_same_step(prepared):
    draw_kw = np.linspace(0.0, 2.0, 96)[:, None] * np.array([[1.0, 2.0]])
    block = Tank(2, ("draw", "vm_pu", "hour"), outputs=("p_kw", "q_kvar", "count"))
    with_tank = with_block(prepared, Axis.LOAD, block, record=(("count", "1"),), draw=draw_kw)
    controller = Asks(with_tank.site)
    seen = play(with_tank, controller)
    assert np.array_equal(seen.series("load.p_kw")[:, [0, 2]], draw_kw)
    assert np.array_equal(seen.series("load.q_kvar")[:, [0, 2]], 0.25 * draw_kw)
    balance = seen.series("feeder.p_balance_kw")
    assert np.abs(balance).max() < 1e-4
    assert np.array_equal([entry.appliance_kw for entry in controller.seen], draw_kw)
    home = with_tank.plant.blocks[0].home
    assert all(entry.load_kw[home[1]] >= entry.appliance_kw[1] for entry in controller.seen)


def test_an_appliance_sees_the_voltage_and_the_set_point_of_the_step_before(prepared):
    block = Tank(2, ("p_set_kw", "vm_pu", "v_v", "home_p_kw", "p_limit_kw", "time_s"))
    with_tank = with_block(prepared, Axis.LOAD, block)
    seen = play(with_tank, Asks(with_tank.site))
    p_set, vm_pu, v_v, home_kw, limit_kw, time_s = np.array([inputs for _, _, inputs in block.seen]).swapaxes(
        0, 1
    )
    assert np.array_equal(p_set[0], [AS_MUCH_AS_POSSIBLE_KW] * 2)
    assert np.allclose(p_set[1:, 0], 0.1 * np.arange(95))
    assert np.array_equal(limit_kw, p_set)
    assert np.array_equal(vm_pu[0], [1.0, 1.0])
    homes = with_tank.plant.blocks[0].home
    buses = with_tank.plant.home_bus[homes]
    assert np.array_equal(vm_pu[1:], seen.series("bus.vm_pu")[:-1, buses])
    assert np.array_equal(v_v, 230.0 * vm_pu)
    assert np.array_equal(home_kw[1:], seen.series("home.p_kw")[:-1, homes])
    assert np.array_equal(time_s[:, 0], 900.0 * np.arange(96))


def test_the_hour_is_the_local_one(prepared):
    block = Tank(2, ("hour",))
    play(with_block(prepared, Axis.LOAD, block))
    hours = np.array([inputs[0, 0] for _, _, inputs in block.seen])
    assert np.allclose(hours, np.arange(96) / 4)


def test_a_generator_keeps_its_own_reactive_power(prepared):
    block = Tank(2, ("p_available_kw", "p_limit_kw"), outputs=("p_kw", "q_kvar"))
    seen = play(with_block(prepared, Axis.PV, block))
    available = seen.series("pv.p_available_kw")[:, [0, 2]]
    assert available.min() < -1.0
    assert np.array_equal(seen.series("pv.p_kw")[:, [0, 2]], available)
    assert np.allclose(seen.series("pv.q_kvar")[:, [0, 2]], 0.25 * np.abs(available), atol=1e-12)
    assert np.abs(seen.series("feeder.p_balance_kw")).max() < 1e-4
    assert np.array_equal(
        [inputs[1] for _, _, inputs in block.seen], np.full((96, 2), AS_MUCH_AS_POSSIBLE_KW)
    )


def test_a_battery_gives_power_and_state_of_charge(prepared):
    block = Tank(2, ("p_set_kw",), outputs=("p_kw", "soc"))
    with_tank = with_block(prepared, Axis.BATTERY, block, positions=(1, 3))
    controller = Asks(with_tank.site)
    seen = play(with_tank, controller)
    assert np.array_equal(seen.series("battery.p_kw")[:, [1, 3]], np.ones((96, 2)))
    soc = seen.series("battery.soc")
    assert np.allclose(soc[1:, 1], 0.5 + 0.001 * np.arange(1, 96)), "the state at the start of each step"
    assert np.allclose([entry.soc[3] for entry in controller.seen[1:]], soc[1:, 3])


def played_in_the_environment(prepared, controller):
    env = TwinEnv(prepared)
    try:
        env.reset()
        ended = False
        while not ended:
            *_, ended, _ = env.propose(controller.decide(env.seen))
    finally:
        env.close()


@pytest.mark.parametrize("player", [play, played_in_the_environment])
def test_a_generator_that_draws_stops_the_run_and_says_that_the_sign_is_wrong(prepared, player):
    block = Tank(2, ("p_available_kw",), turned=-1.0)
    with_tank = with_block(prepared, Axis.PV, block)
    name = with_tank.plant.pv_name[0]
    with pytest.raises(RunError) as caught:
        player(with_tank, Asks(with_tank.site))
    text = str(caught.value)
    assert text.startswith("step ")
    assert "2026-06-20T0" in text
    assert f"devices[9] tank: {name!r} " in text
    assert "of its rated" in text
    assert "`sign:` of p_kw" in text
    assert 1 < len(block.seen) < 48, "in the morning, not at night"
    assert block.closed


def test_a_battery_whose_energy_moves_against_its_power_stops_the_run(prepared):
    block = Tank(2, ("p_set_kw",), outputs=("p_kw", "soc"), turned=-1.0)
    with_tank = with_block(prepared, Axis.BATTERY, block, positions=(1, 3))
    plant = with_tank.plant
    large = dataclasses.replace(plant.battery, capacity_kwh=np.full(plant.battery.n, 250.0))
    with_tank = dataclasses.replace(with_tank, plant=dataclasses.replace(plant, battery=large))
    message = (
        rf"step 2 \(2026-06-20T00:30\+02:00\): devices\[9\] tank: '{plant.battery_name[1]}' \(and 1 more device\) "
        r"discharges with p_kw = -1 kW, but its stored energy \(soc\) rises by 0\.25 kWh"
    )
    with pytest.raises(RunError, match=message):
        play(with_tank, Asks(with_tank.site))


@pytest.mark.parametrize("player", [play, played_in_the_environment])
def test_a_power_flow_that_fails_names_the_device_with_the_largest_power(prepared, player):
    draw_kw = np.full((96, 1), 3.0) * np.array([[1.0, 1.0]])
    draw_kw[5, 1] = 1e9
    block = Tank(2, ("draw",), most_kw=np.inf)
    with_tank = with_block(prepared, Axis.LOAD, block, draw=draw_kw)
    name = with_tank.plant.load_name[2]
    with pytest.raises(RunError) as caught:
        player(with_tank, Asks(with_tank.site))
    text = str(caught.value)
    assert text.startswith("step 5 (2026-06-20T01:15")
    assert f"the largest power has devices[9] tank: {name!r} with 1e+09 kW;" in text
    for remedy in ("`unit`", "`factor`", "`max`"):
        assert remedy in text


def test_stored_outputs_are_named_and_ordered(prepared):
    block = Tank(2, ("p_set_kw",))
    record = (("count", "1"), ("p_kw", "kW"))
    with_tank = with_block(prepared, Axis.LOAD, block, record=record)
    names = [with_tank.plant.load_name[position] for position in (0, 2)]
    assert tuple(stored.name for stored in with_tank.plant.stored_outputs) == (
        f"{names[0]} count [1]",
        f"{names[1]} count [1]",
        f"{names[0]} p_kw [kW]",
        f"{names[1]} p_kw [kW]",
    )
    seen = play(with_tank, Asks(with_tank.site)).series("state.value")
    assert np.array_equal(seen[:, 0], np.arange(1, 97))
    assert np.allclose(seen[1:, 3], np.minimum(0.1 * np.arange(95), 4.0))


@pytest.mark.parametrize("fails_at", [None, 7])
def test_a_block_is_closed_when_the_run_ends_whatever_happens(prepared, fails_at):
    block = Tank(2, ("vm_pu",), fails_at=fails_at)
    with_tank = with_block(prepared, Axis.LOAD, block)
    if fails_at is None:
        play(with_tank)
    else:
        message = r"step 7 \(2026-06-20T01:45\+02:00\): tank: broke at 6300 s \(before that: devices\[9\] tank: hummed\)"
        with pytest.raises(RunError, match=message):
            play(with_tank)
    assert block.closed == 1


def test_a_block_that_does_not_fit_its_plan_is_refused_and_closed(prepared):
    block = Tank(2, ("vm_pu", "wind_m_s"))
    with (
        pytest.raises(DeviceError, match="nothing feeds its input 'wind_m_s'"),
        open_blocks(with_block(prepared, Axis.LOAD, block).plant),
    ):
        pytest.fail("must not open")
    assert block.closed == 1
    block = Tank(2, ("vm_pu",), outputs=("count",))
    with pytest.raises(RunError, match=r"devices\[9\] tank: does not give 'p_kw'; it gives count"):
        play(with_block(prepared, Axis.LOAD, block))


def test_the_environment_steps_blocks_as_a_run_does(prepared):
    first, second = (Tank(2, ("vm_pu",), outputs=("p_kw", "count")) for _ in range(2))
    run = play(with_block(prepared, Axis.LOAD, first))
    memory = Memory()
    env = TwinEnv(with_block(prepared, Axis.LOAD, second), sink=memory)
    env.reset()
    controller = prepared.controller("self_consumption")[0]
    ended = False
    while not ended:
        *_, ended, _ = env.propose(controller.decide(env.seen))
    env.close()
    assert np.array_equal(memory.series("load.p_kw"), run.series("load.p_kw"))
    assert second.closed >= 1


CARS = """
  - {kind: ev, share: 1, trips: generated, km_day: 60, capacity_kwh: 40, p_max_kw: 7.4, soc_start: 0.3}
strategies:
"""


class CarsAtMost:
    """Lets every car draw as much as ``limit_kw``, batteries rest."""

    def __init__(self, site, limit_kw):
        self.site, self.limit_kw = site, limit_kw

    def decide(self, seen):
        del seen
        return Proposal(
            battery_kw=np.zeros(len(self.site.battery_home)),
            appliance_kw=np.full(len(self.site.appliance_name), self.limit_kw),
        )


def test_a_strategy_that_holds_cars_back_lowers_the_peak_and_pays_in_unmet_need(small_scenario):
    prepared = prepare(load_scenario(small_scenario(("strategies:\n", CARS.lstrip("\n")))))
    free, held, none = (play(prepared, CarsAtMost(prepared.site, limit)) for limit in (np.inf, 2.0, 0.0))
    cars = prepared.plant.appliance_load
    assert free.series("load.p_kw")[:, cars].max() == pytest.approx(7.4)
    assert held.series("load.p_kw")[1:, cars].max() == pytest.approx(2.0)
    assert np.all(none.series("load.p_kw")[1:, cars] == 0.0)
    peaks_kw = [run.series("load.p_kw")[1:, cars].sum(axis=1).max() for run in (none, held, free)]
    assert peaks_kw == sorted(peaks_kw)
    unmet = [at for at, stored in enumerate(prepared.plant.stored_outputs) if stored.is_unmet]
    assert prepared.context.unmet_state == tuple(unmet)
    lacking_kwh = [run.series("state.value")[:, unmet].sum() for run in (free, held, none)]
    assert lacking_kwh == sorted(lacking_kwh)
    assert lacking_kwh[-1] > 0.0


@pytest.mark.parametrize(
    ("appliance_kw", "message"),
    [
        (np.zeros(3), r"appliance_kw: shape \(3,\), expected \(2,\)"),
        (np.array([1.0, np.nan]), r"appliance_kw\[1\] = nan for appliance 1 .* or inf for as much"),
        (np.array([-np.inf, 0.0]), r"appliance_kw\[0\] = -inf"),
    ],
)
def test_a_set_point_of_appliances_that_makes_no_sense_stops_the_strategy(prepared, appliance_kw, message):
    with_tank = with_block(prepared, Axis.LOAD, Tank(2, ("p_set_kw",)))
    asked = Proposal(battery_kw=np.zeros(len(with_tank.site.battery_home)), appliance_kw=appliance_kw)
    with pytest.raises(ControllerError, match=message):
        checked(asked, with_tank.site)
