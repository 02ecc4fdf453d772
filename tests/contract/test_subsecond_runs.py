"""Runs with steps shorter than a second: the figures of whole seconds, stored, reported and exported like them."""

import csv
import json
import re
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from twin.control import Proposal
from twin.environment import TwinEnv
from twin.errors import ControllerError
from twin.prepare import prepare
from twin.results import RunReader
from twin.runner import RunOptions, run
from twin.scenario import load_scenario
from twin.world import StrategyRun, run_world

HEAD = """
name: short
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20T12:00, duration_s: DURATION, step_s: STEP}
"""
CONSTANT = """
devices:
  - {kind: load, from: feeder, profile: constant}
strategies: {none: }
"""
DRIVEN = """
sources:
  minutes: {file: minutes.csv, unit: kW, time_zone: Europe/Rome}
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: load, name: Mill, home: Load R1, profile: minutes.mill, p_kw: 1}
  - {kind: pv, name: Roof, home: Load C12, p_peak_kw: 40, profile: clear_sky, place: {latitude_deg: 38, longitude_deg: 13}}
  - {kind: battery, name: Store, home: Load R1, capacity_kwh: 8, power_kw: 4}
  - {kind: ev, name: Car, home: Load R1, trips: generated, km_day: 40, capacity_kwh: 50, p_max_kw: 4, soc_start: 0.5}
  - {kind: water_heater, name: Tank, home: Load C12, draw: generated, litres_day: 120, temp_air_degc: 20}
communities:
  - name: a
    kind: CER
    area: Bus 0
    members: [{home: Load R1}, {home: Load C12}]
strategies: {none: }
"""
MILL_KW = (3, 9, 1, 7, 2, 8, 4, 6, 5, 5, 0, 12, 2, 2, 4)


@pytest.fixture
def stored(tmp_path):
    """Run a scenario with a step and return its reader."""
    rows = [f"2026-06-20T12:{minute:02d},{p_kw}" for minute, p_kw in enumerate(MILL_KW)]
    (tmp_path / "minutes.csv").write_text("\n".join(["time,mill", *rows]) + "\n")

    def stored(text, *, step, duration):
        result = run(
            scenario(tmp_path, text, step=step, duration=duration),
            RunOptions(out=tmp_path / "results" / step),
        )
        assert [entry.message for entry in result.failed] == []
        return RunReader(result.folder)

    return stored


def scenario(folder, text, *, step, duration):
    path = folder / "short.yaml"
    path.write_text(HEAD.replace("DURATION", duration).replace("STEP", step) + text)
    return load_scenario(path)


def figures(reader):
    return {entry["name"]: entry["value"] for entry in reader.strategy("none").kpis()}


def test_two_seconds_at_100_ms_have_the_figures_of_whole_seconds_and_of_the_closed_form(stored):
    coarse, fine = (stored(CONSTANT, step=step, duration="2 s") for step in ("1 s", "100 ms"))
    assert (coarse.manifest.n_steps, fine.manifest.n_steps) == (2, 20)
    found, expected = figures(fine), figures(coarse)
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), name
    strategy = fine.strategy("none")
    load_kw = strategy.series("load.p_kw")
    assert load_kw.shape[0] == 20
    assert found["load_kwh"] == pytest.approx(float(load_kw[0].sum()) * 2 / 3600, rel=1e-6)
    import_kwh = strategy.series("feeder.p_import_kw").astype(float).sum() * 0.1 / 3600
    assert found["import_kwh"] == pytest.approx(import_kwh, rel=1e-6)
    assert found["import_kwh"] == pytest.approx(found["load_kwh"] + found["loss_kwh"], rel=1e-6)


def test_a_quarter_of_an_hour_at_250_ms_has_the_peaks_and_energies_of_whole_seconds(stored):
    coarse, fine = (stored(DRIVEN, step=step, duration="15 min") for step in ("1 s", "250 ms"))
    assert (coarse.manifest.n_steps, fine.manifest.n_steps) == (900, 3600)
    found, expected = figures(fine), figures(coarse)
    import_kw = fine.strategy("none").series("feeder.p_import_kw").astype(float)
    assert found["peak_import_kw"] == pytest.approx(import_kw.mean(), rel=1e-6)
    mill = fine.strategy("none").names("load").index("Mill")
    mill_kw = fine.strategy("none").series("load.p_kw")[:, mill]
    assert mill_kw.tolist() == np.repeat(MILL_KW, 240).tolist()
    # the tank heats and the car charges by what they see at the start of a step, so their last bits differ
    for name, value in expected.items():
        assert found[name] == (None if value is None else pytest.approx(value, rel=2e-3, abs=1e-5)), name
    for name in ("peak_import_kw", "load_kwh", "import_kwh", "pv_kwh", "co2_net_kg"):
        assert found[name] == pytest.approx(expected[name], rel=1e-5), name


@pytest.mark.parametrize("table", ["member_hours.parquet", "community_hours.parquet"])
def test_the_hours_of_members_are_those_of_whole_seconds(stored, table):
    coarse, fine = (
        pq.read_table(stored(DRIVEN, step=step, duration="15 min").folder / "none" / table).to_pydict()
        for step in ("1 s", "500 ms")
    )
    assert coarse.keys() == fine.keys()
    for name, values in coarse.items():
        assert len(values) > 0
        is_number = isinstance(values[0], float)
        assert fine[name] == (pytest.approx(values, rel=2e-3, abs=1e-5) if is_number else values), name


def test_a_stored_run_says_its_step_and_exports_stamps_with_milliseconds(stored, twin, tmp_path):
    fine = stored(CONSTANT, step="100 ms", duration="2 s")
    manifest = json.loads((fine.folder / "manifest.json").read_text())
    assert (manifest["dt_s"], manifest["n_steps"]) == (0.1, 20)
    again = load_scenario(fine.folder / "scenario.yaml").scenario.period
    assert (again.step_s, again.duration_s) == (0.1, 2)
    file = tmp_path / "feeder.csv"
    arguments = ("export", fine.folder, "--strategy", "none", "--axis", "feeder", "--to", file)
    assert twin(*arguments).returncode == 0
    stamps = [row["time_utc"] for row in csv.DictReader(file.read_text().splitlines())]
    assert stamps[:4:3] == ["2026-06-20T10:00:00.000Z", "2026-06-20T10:00:00.300Z"]
    assert (len(stamps), stamps[-1]) == (20, "2026-06-20T10:00:01.900Z")
    assert twin("report", fine.folder).returncode == 0
    report = (fine.folder / "report.html").read_text()
    assert "0.1 s, 20 steps" in report
    assert "12:00:02.000" in report


def test_whole_seconds_are_stored_as_whole_numbers(stored):
    coarse = stored(CONSTANT, step="1000 ms", duration="2 s")
    for name in ("manifest.json", "context.json"):
        assert re.search(r'"dt_s": 1[,\n]', (coarse.folder / name).read_text())
    assert re.search(r"step_s: 1\n", (coarse.folder / "scenario.yaml").read_text())


class Sink:
    """A sink that keeps one signal."""

    def __init__(self):
        self.import_kw = []

    def append(self, step, values):
        self.import_kw.append(float(values["feeder.p_import_kw"][0]))


def test_a_strategy_that_fails_in_a_short_step_is_named_with_its_time(tmp_path):
    class Broken:
        def decide(self, seen):
            if seen.step == 13:
                raise ZeroDivisionError("oops")
            return Proposal(battery_kw=0 * seen.soc)

    prepared = prepare(scenario(tmp_path, CONSTANT, step="100 ms", duration="2 s"))
    _, forecast = prepared.controller("none")
    parts = {name: getattr(prepared, name) for name in ("plant", "feeder", "engine", "site")}
    with pytest.raises(
        ControllerError, match=r"step 13 \(2026-06-20T12:00:01\.300\+02:00\): .*ZeroDivisionError"
    ):
        run_world(
            StrategyRun(**parts, controller=Broken(), forecast=forecast, sink=Sink()), lambda done: None
        )


def test_the_environment_plays_the_same_short_steps_as_a_run(tmp_path):
    text = CONSTANT.replace(
        "strategies", "  - {kind: battery, share: 0.3, capacity_kwh: 8, power_kw: 4}\nstrategies"
    )
    prepared = prepare(scenario(tmp_path, text, step="200 ms", duration="2 s"))
    controller, forecast = prepared.controller("none")
    parts = {name: getattr(prepared, name) for name in ("plant", "feeder", "engine", "site")}
    ran, played = Sink(), Sink()
    run_world(StrategyRun(**parts, controller=controller, forecast=forecast, sink=ran), lambda done: None)
    env = TwinEnv(prepared, sink=played)
    env.reset(seed=1)
    done, steps = False, 0
    while not done:
        _, _, terminated, truncated, _ = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
        done, steps = terminated or truncated, steps + 1
        assert steps == 1 or env.seen.time_s == pytest.approx(0.2 * min(steps, 9))
    assert steps == 10
    assert played.import_kw == ran.import_kw


VIRTUAL = """
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: pv, name: Roof, home: Load R1, p_peak_kw: 30 kW, profile: constant, as: virtual, modbus: {map: sunspec_pv}}
  - {kind: battery, name: Store, home: Load R1, capacity_kwh: 1, power_kw: 10, as: virtual, modbus: {map: sunspec_battery}}
live: {poll: 50 ms}
strategies: {self_consumption: }
"""


def test_devices_on_the_wire_are_commanded_every_100_ms_and_a_replay_gives_the_same_bytes(tmp_path, twin):
    file = tmp_path / "short.yaml"
    file.write_text(HEAD.replace("DURATION", "3 s").replace("STEP", "100 ms") + VIRTUAL)
    began_s = time.monotonic()
    done = twin("live", file, "--dry-run", "--quiet", "--out", tmp_path / "live")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began_s > 2.9, "thirty ticks of 100 ms last three seconds"
    done = twin("replay", tmp_path / "live", "--quiet", "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    live, again = (RunReader(next((tmp_path / name).glob("*/*"))) for name in ("live", "again"))
    timing = live.manifest.strategies["self_consumption"].live["timing"]
    assert (timing["tick_s"], timing["n_steps"]) == (0.1, 30)
    first, second = live.strategy("self_consumption"), again.strategy("self_consumption")
    assert first.kpis() == second.kpis()
    for one, other in zip(first.chunks(), second.chunks(), strict=True):
        for key, values in one.arrays.items():
            assert values.tobytes() == other.arrays[key].tobytes(), key
    p_kw = first.series("battery.p_kw")[:, 0]
    assert p_kw[0] == 0.0
    assert p_kw[-1] < -1.0, "the battery was asked for, and answered"
