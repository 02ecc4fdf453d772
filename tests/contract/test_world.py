"""mosaik orchestrates the software loop: laws of a run, and what happens when a part of it fails."""

import asyncio
import dataclasses
import hashlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from models.errors import PowerFlowError
from twin.control import Proposal
from twin.errors import ControllerError, RunError, ScenarioError
from twin.prepare import prepare
from twin.signals import RECORDED
from twin.simulators.group import GROUPS, links
from twin.simulators.wiring import CONNECTIONS
from twin.world import ExternalSource, StrategyRun, run_world

FAULTY = Path(__file__).parent / "simulators" / "faulty.py"


class Memory:
    """A sink that keeps everything."""

    def __init__(self):
        self.steps = []

    def append(self, step, values):
        assert step == len(self.steps)
        self.steps.append({key: np.array(value) for key, value in values.items()})

    def series(self, key):
        return np.array([values[key] for values in self.steps])


def strategy_run(prepared, strategy="self_consumption", **changes):
    controller, forecast = prepared.controller(strategy)
    run = StrategyRun(
        plant=prepared.plant,
        feeder=prepared.feeder,
        engine=prepared.engine,
        controller=controller,
        site=prepared.site,
        forecast=forecast,
        sink=Memory(),
        external=prepared.external,
    )
    return dataclasses.replace(run, **changes)


def play(prepared, strategy="self_consumption", **changes):
    run = strategy_run(prepared, strategy, **changes)
    run_world(run, lambda done: None)
    return run.sink


@pytest.fixture
def prepared(load_small):
    return prepare(load_small())


def test_every_recorded_signal_arrives_in_every_step_with_its_size(prepared):
    seen = play(prepared)
    assert len(seen.steps) == 96
    for values in seen.steps:
        assert set(values) == {entry.key for entry in RECORDED}
    assert seen.series("bus.vm_pu").shape == (96, len(prepared.feeder.bus_name))
    assert seen.series("battery.soc").shape == (96, len(prepared.plant.battery_name))


def test_import_is_losses_plus_everything_that_is_connected(prepared):
    seen = play(prepared)
    devices = sum(seen.series(f"{axis}.p_kw").sum(axis=1) for axis in ("load", "pv", "battery"))
    balance = seen.series("feeder.p_import_kw")[:, 0] - seen.series("feeder.p_loss_kw")[:, 0] - devices
    assert np.abs(balance).max() < 1e-4
    assert np.abs(seen.series("home.p_kw").sum(axis=1) - devices).max() < 1e-9


def test_the_rule_sees_the_meter_of_its_own_step(prepared):
    seen = play(prepared)
    plant = prepared.plant
    with_battery = plant.battery_home
    home = seen.series("home.p_kw")[:, with_battery]
    soc = seen.series("battery.soc")
    power = seen.series("battery.p_kw")
    free = (np.abs(power) < plant.battery.charge_kw - 1e-6) & (soc > 0.25) & (soc < 0.8)
    assert free.any()
    assert np.abs(home[free]).max() < 1e-6, "a battery with room leaves nothing at the meter"


def test_stored_energy_follows_the_power_that_was_reached(prepared):
    seen = play(prepared)
    fleet, dt_h = prepared.plant.battery, prepared.plant.dt_s / 3600
    soc, power = seen.series("battery.soc"), seen.series("battery.p_kw")
    kept = (1 - fleet.loss_per_day) ** (dt_h / 24)
    stored = soc * fleet.capacity_kwh
    expected = (
        kept * stored[:-1]
        + fleet.eta_charge * np.maximum(power[:-1], 0) * dt_h
        - np.maximum(-power[:-1], 0) * dt_h / fleet.eta_discharge
    )
    assert np.abs(stored[1:] - expected).max() < 1e-9


def test_voltage_dependent_limits_keep_the_state_of_charge_honest(load_small):
    functions = "{function: q_v, v1s_pu: 1.0, v2s_pu: 1.01, p_v: {start_pu: 1.0, end_pu: 1.005}}"
    loaded = load_small(
        ("p_peak_kw: 8,", f"p_peak_kw: 40, inverter: {functions},"),
        ("power_kw: 4}", f"power_kw: 4, inverter: {functions}}}"),
    )
    seen = play(prepare(loaded))
    curtailed = seen.series("pv.p_kw") - seen.series("pv.p_available_kw")
    assert curtailed.min() > -1e-9
    assert curtailed.max() > 1.0
    assert seen.series("feeder.residual_kva").max() < 1e-3
    assert seen.series("feeder.iterations").max() > 1


def test_same_scenario_and_seed_give_the_same_bytes(load_small):
    digests = []
    for _ in range(2):
        seen = play(prepare(load_small()))
        content = b"".join(values[key].tobytes() for values in seen.steps for key in sorted(values))
        digests.append(hashlib.sha256(content).hexdigest())
    assert digests[0] == digests[1]


def test_another_seed_places_devices_elsewhere(load_small):
    homes = [prepare(load_small(("seed: 3", f"seed: {seed}"))).plant.pv_home.tolist() for seed in (3, 4)]
    assert homes[0] != homes[1]


def test_the_order_of_devices_in_the_file_changes_nothing(load_small):
    pv = "  - {kind: pv, share: 0.5, profile: clear_sky, p_peak_kw: 8, place: {latitude_deg: 38.1, longitude_deg: 13.4}}\n"
    battery = "  - {kind: battery, share: 0.5, capacity_kwh: 8, power_kw: 4}\n"
    one = play(prepare(load_small()))
    other = play(prepare(load_small((pv + battery, battery + pv))))
    for key in ("bus.vm_pu", "battery.soc", "feeder.p_import_kw"):
        assert np.array_equal(one.series(key), other.series(key))


def test_a_run_works_where_an_event_loop_is_running(prepared):
    async def notebook():
        return play(prepared, "none")

    assert len(asyncio.run(notebook()).steps) == 96


class DivergesAt:
    """The engine of a run that does not converge from a step on."""

    def __init__(self, engine, step):
        self.name, self._engine, self._left = engine.name, engine, step

    def solve(self, p_kw, q_kvar):
        if self._left == 0:
            raise PowerFlowError("no convergence in 20 iterations")
        self._left -= 1
        return self._engine.solve(p_kw, q_kvar)


def test_a_power_flow_that_diverges_names_the_step_and_keeps_what_was_done(prepared):
    run = strategy_run(prepared, "none", engine=DivergesAt(prepared.engine, 7))
    with pytest.raises(RunError, match=r"step 7 \(2026-06-20T01:45.*no convergence"):
        run_world(run, lambda done: None)
    assert len(run.sink.steps) == 7


@pytest.mark.parametrize(
    ("battery_kw", "message"),
    [
        (lambda n: np.full(n, np.nan), "nan|finite"),
        (lambda n: np.zeros(n + 1), "shape"),
    ],
    ids=["a set-point that is not a number", "one set-point too many"],
)
def test_a_bad_proposal_stops_the_run_with_the_reason(prepared, battery_kw, message):
    class Bad:
        def decide(self, seen):
            return Proposal(battery_kw=battery_kw(len(seen.soc)))

    with pytest.raises(ControllerError, match=message):
        play(prepared, "none", controller=Bad())


def test_a_defect_in_a_users_strategy_is_reported_with_its_step(prepared):
    class Broken:
        def decide(self, seen):
            if seen.step == 5:
                raise ZeroDivisionError("oops")
            return Proposal(battery_kw=0 * seen.soc)

    with pytest.raises(ControllerError, match=r"step 5 \(.*ZeroDivisionError.*test_world.py:\d+"):
        play(prepared, "none", controller=Broken())


def test_a_strategy_that_leaves_the_program_fails_like_any_other_defect(prepared):
    class Leaves:
        def decide(self, seen):
            sys.exit(5)

    with pytest.raises(ControllerError, match="SystemExit: 5"):
        play(prepared, "none", controller=Leaves())


def test_what_a_strategy_sees_cannot_be_changed_by_it(prepared):
    class Vandal:
        def decide(self, seen):
            seen.soc[:] = 1.0

    with pytest.raises(ControllerError, match="read-only"):
        play(prepared, "none", controller=Vandal())


EXTERNAL = """
external:
  - {{name: guest, {start}, init: {init}, model: Source, attr: P, unit: kW, sign: {sign}, bus: "Bus R1"}}
"""


def external(start, init="{}", sign="consumption"):
    return EXTERNAL.format(start=start, init=init, sign=sign)


def command():
    return f'cmd: "{sys.executable} {FAULTY} %(addr)s"'


@pytest.mark.parametrize(("sign", "expected_kw"), [("consumption", 1.0), ("generation", -1.0)])
def test_a_third_party_simulator_in_its_own_process_drives_a_load(load_small, sign, expected_kw):
    prepared = prepare(load_small(extra=external(command(), sign=sign)))
    seen = play(prepared, "none")
    position = prepared.plant.load_name.index("guest")
    assert np.all(seen.series("load.p_kw")[:, position] == expected_kw)


def listens(address):
    """Whether a local port is open, seen without connecting to it: the simulator takes one connection only."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(port) and row[3] == "0A" for row in rows)


def test_a_third_party_simulator_that_is_already_running_is_connected_to(load_small):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    server = subprocess.Popen(
        [sys.executable, FAULTY, address, "--remote"], stderr=subprocess.PIPE, text=True
    )
    try:
        until_s = time.monotonic() + 30.0
        while not listens(address) and time.monotonic() < until_s:
            assert server.poll() is None, server.stderr.read()
        prepared = prepare(load_small(extra=external(f'connect: "{address}"')))
        seen = play(prepared, "none")
        assert np.all(seen.series("load.p_kw")[:, prepared.plant.load_name.index("guest")] == 1.0)
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "stopped after|early|simulated defect"),
        ("die", "stopped after|early|closed|Connection"),
        ("none_value", "no value"),
        ("nan", "finite"),
        ("hang", "no step finished within"),
    ],
)
def test_a_third_party_simulator_that_fails_makes_the_run_fail(load_small, fault, message):
    prepared = prepare(load_small(extra=external(command(), init=f"{{fault: {fault}, fault_step: 5}}")))
    run = strategy_run(prepared, "none", stall_s=2.0)
    with pytest.raises(RunError, match=message):
        run_world(run, lambda done: None)
    assert len(run.sink.steps) in {4, 5}  # a simulator may be one step ahead of the recorder


def test_an_unknown_attribute_of_a_third_party_simulator_is_named(prepared):
    guest = ExternalSource(
        name="guest",
        starter={"cmd": f"{sys.executable} {FAULTY} %(addr)s"},
        init={},
        model="Source",
        params={},
        entity=None,
        attr="Q",
        load=0,
        kw_per_unit=1.0,
    )
    with pytest.raises(RunError, match=r"no attribute 'Q'; it has P"):
        play(prepared, "none", external=(guest,))


def test_a_bus_that_does_not_exist_is_a_mistake_of_the_scenario(load_small):
    loaded = load_small(extra=external(command()).replace("Bus R1", "Bus R99"))
    with pytest.raises(ScenarioError, match=r"small.yaml:\d+: external\[0\].*no bus 'Bus R99'; did you mean"):
        prepare(loaded)


def test_at_most_five_simulators_are_in_the_software_loop():
    cores = {row.source for row in CONNECTIONS} | {row.target for row in CONNECTIONS}
    # the clock passes no values: it holds the step back
    assert sorted(core for members in GROUPS.values() for core in members) == sorted({"clock", *cores})
    assert len(GROUPS) <= 5
    ends = {row.source for row in links()} | {row.target for row in links()}
    assert ends == set(GROUPS)


def test_the_voltage_band_of_the_feeder_leaves_out_the_slack(prepared):
    seen = play(prepared, "none")
    held = prepared.feeder.held_buses
    assert len(held) >= 1
    free = np.delete(seen.series("bus.vm_pu"), held, axis=1)
    assert np.array_equal(seen.series("feeder.vm_min_pu")[:, 0], free.min(axis=1))
    assert np.array_equal(seen.series("feeder.vm_max_pu")[:, 0], free.max(axis=1))
    for key, share in (("feeder.vm_p05_pu", 0.05), ("feeder.vm_median_pu", 0.5), ("feeder.vm_p95_pu", 0.95)):
        assert np.allclose(seen.series(key)[:, 0], np.quantile(free, share, axis=1), atol=1e-12)
