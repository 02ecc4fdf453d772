"""The closed loop of scenario 01 on mosaik with mosaik-pandapower-2 and on ours, in one process, in turn.

Both sides play the same feeder, profiles and rule for the batteries. The peer's world is what its users build: one
scalar entity per load and generator, the buses' power as inputs, voltages fed back to the controller, everything
collected. Ours also stores all results and computes the KPIs.
"""

import copy
import time
from pathlib import Path
from statistics import median

import mosaik
import mosaik_api_v3
import numpy as np
import pytest

from models import battery
from twin.kpis import KpiAccumulator
from twin.prepare import prepare, signal_names
from twin.results import Detail, StrategyWriter
from twin.scenario import load_scenario
from twin.world import StrategyRun, run_world

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

SCENARIO = Path(__file__).parents[2] / "scenarios" / "01_rural_feeder.yaml"
PEER_STEPS = 24
ROUNDS = 3
DT_S = 900


class Scalars(mosaik_api_v3.Simulator):
    """Base of the peer's own simulators: many entities, one scalar each."""

    model, attrs = "Source", ["P", "Q", "vm", "soc"]

    def __init__(self):
        super().__init__({"api_version": "3.0", "type": "time-based", "models": {}})
        self.meta["models"] = {
            self.model: {
                "public": True,
                "params": [],
                "attrs": self.attrs,
                "any_inputs": self.model == "Sink",
            }
        }

    def init(self, sid, time_resolution=1.0, **given):
        self.given = given
        return self.meta

    def create(self, num, model):
        self.eids = [f"e{position}" for position in range(num)]
        return [{"eid": eid, "type": model} for eid in self.eids]


class Series(Scalars):
    def step(self, time, inputs, max_advance):
        self.row = time // DT_S
        return time + DT_S

    def get_data(self, outputs):
        p, q = self.given["p_mw"][self.row], self.given["q_mvar"][self.row]
        return {
            eid: {attr: float((p if attr == "P" else q)[int(eid[1:])]) for attr in attrs}
            for eid, attrs in outputs.items()
        }


class Batteries(Scalars):
    def step(self, time, inputs, max_advance):
        fleet, soc = self.given["fleet"], self.given["soc"]
        net_kw = np.array([1e3 * sum(inputs[eid]["P"].values()) for eid in self.eids])
        self.p_kw = battery.clip_power_kw(fleet, soc, -net_kw, DT_S)
        self.given["soc"], _ = battery.advance(fleet, soc, self.p_kw, DT_S)
        return time + DT_S

    def get_data(self, outputs):
        return {eid: {"P": float(self.p_kw[int(eid[1:])]) * 1e-3} for eid in outputs}


class Sink(Scalars):
    model, attrs = "Sink", []

    def step(self, time, inputs, max_advance):
        # mosaik goes on using the dictionaries
        self.given["store"].append(
            {eid: {attr: dict(of) for attr, of in row.items()} for eid, row in inputs.items()}
        )
        return time + DT_S

    def get_data(self, outputs):
        return {}


PEER = {
    "Series": {"python": f"{__name__}:Series"},
    "Batteries": {"python": f"{__name__}:Batteries"},
    "Sink": {"python": f"{__name__}:Sink"},
    "Grid": {"python": "mosaik_components.pandapower:Simulator"},
}


def peer_world(prepared, store):
    """Return a world of the peer that is ready to run, and the names of its buses in our order."""
    plant, feeder = prepared.plant, prepared.feeder
    net = copy.deepcopy(feeder.net)
    for table in ("load", "sgen", "storage"):
        net[table]["in_service"] = False
    p_kw = np.hstack([plant.load_p_kw[:PEER_STEPS], plant.pv_available_kw[:PEER_STEPS]])
    q_kvar = np.hstack([plant.load_q_kvar[:PEER_STEPS], np.zeros_like(plant.pv_available_kw[:PEER_STEPS])])
    world = mosaik.World(PEER, skip_greetings=True, configure_logging=False, cache=False)
    grid = world.start("Grid", step_size=DT_S).Grid(net=net)
    buses = {int(child.eid.split("-")[1]): child for child in grid.children if child.eid.startswith("Bus-")}
    lines = [child for child in grid.children if child.eid.startswith("Line-")]
    series = world.start("Series", p_mw=p_kw * 1e-3, q_mvar=q_kvar * 1e-3).Source.create(p_kw.shape[1])
    fleet = world.start("Batteries", fleet=plant.battery, soc=plant.battery_soc_start.copy())
    units = fleet.Source.create(len(plant.battery_name))
    sink = world.start("Sink", store=store).Sink()
    at_bus = [buses[int(row)] for row in feeder.index.bus]
    for entity, bus in zip(series, np.concatenate([plant.load_bus, plant.pv_bus]), strict=True):
        world.connect(entity, at_bus[bus], ("P", "P_load[MW]"), ("Q", "Q_load[MVar]"))
    homes = np.concatenate([plant.load_home, plant.pv_home])
    for unit, home, bus in zip(units, plant.battery_home, plant.battery_bus, strict=True):
        for position in np.flatnonzero(homes == home):
            world.connect(series[position], unit, "P")
        world.connect(unit, at_bus[bus], ("P", "P_load[MW]"))
        world.connect(at_bus[bus], unit, ("Vm[pu]", "vm"), time_shifted=DT_S, initial_data={"Vm[pu]": 1.0})
    for bus in buses.values():
        world.connect(bus, sink, "Vm[pu]")
    for line in lines:
        world.connect(line, sink, "loading[%]")
    return world, [bus.full_id for bus in at_bus]


class Memory:
    """Keeps the voltages of each step and passes everything on."""

    def __init__(self, writer):
        self.writer, self.vm_pu = writer, []

    def append(self, step, values):
        self.vm_pu.append(values["bus.vm_pu"])
        self.writer.append(step, values)


def play_ours(prepared, folder):
    """Run the whole period with storage and KPIs; return CPU ms per step and the voltages, shape (T, NB)."""
    controller, forecast = prepared.controller("self_consumption")
    accumulator = KpiAccumulator(prepared.context)
    with StrategyWriter(
        folder,
        names=signal_names(prepared),
        detail=Detail.ALL,
        selected={},
        steps_per_part=96,
        on_chunk=accumulator.add,
    ) as writer:
        sink = Memory(writer)
        run = StrategyRun(
            plant=prepared.plant,
            feeder=prepared.feeder,
            engine=prepared.engine,
            controller=controller,
            site=prepared.site,
            forecast=forecast,
            sink=sink,
        )
        start_s = time.process_time()
        run_world(run, lambda done: None)
    accumulator.values()
    return 1e3 * (time.process_time() - start_s) / prepared.plant.n_steps, np.array(sink.vm_pu)


def play_peer(prepared):
    """Run the first steps on the peer; return CPU ms per step and the voltages, shape (PEER_STEPS, NB)."""
    store = []
    world, bus_ids = peer_world(prepared, store)
    with world:
        start_s = time.process_time()
        world.run(until=PEER_STEPS * DT_S, print_progress=False)
        elapsed_s = time.process_time() - start_s
    vm_pu = np.array([[step["e0"]["Vm[pu]"][bus] for bus in bus_ids] for step in store])
    return 1e3 * elapsed_s / PEER_STEPS, vm_pu


def test_closed_loop_against_mosaik_pandapower(tmp_path, capsys):
    prepared = prepare(load_scenario(SCENARIO, overrides={"period.days": 2}), ["self_consumption"])
    play_peer(prepared)  # warms up both the interpreter and numba's compiled functions
    ours_ms, peer_ms = [], []
    for turn in range(ROUNDS):
        elapsed_ms, ours_vm_pu = play_ours(prepared, tmp_path / str(turn))
        ours_ms.append(elapsed_ms)
        elapsed_ms, peer_vm_pu = play_peer(prepared)
        peer_ms.append(elapsed_ms)
        assert np.abs(ours_vm_pu[:PEER_STEPS] - peer_vm_pu).max() < 1e-6, "both sides solve the same feeder"
    ratio = median(peer / ours for peer, ours in zip(peer_ms, ours_ms, strict=True))
    with capsys.disabled():
        print(
            f"\nclosed loop on 1-LV-rural3--2-sw, CPU per step: mosaik-pandapower-2 {median(peer_ms):.1f} ms, "
            f"ours {median(ours_ms):.2f} ms with results and KPIs stored, ratio {ratio:.0f}"
        )
