"""Scenario 04 as a user runs it: whole, in real time, with its faults; against the same file with models."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hil_adapters.guard.places import RUNTIME_VARIABLE
from hil_adapters.recording.reader import read_frames
from hil_adapters.samples import Quality
from twin.results import RunReader, RunStatus
from twin.results.reader import StrategyReader
from twin.signals import Axis

ROOT = Path(__file__).parents[2]
FILE = ROOT / "scenarios/04_hil_inverter.yaml"
GUIDE = (ROOT / "docs/virtual_devices.md").read_text(encoding="utf-8")
NAME = "self_consumption"
N_STEPS = 240
BUS = "LV3.101 Bus 125"
WRITES = {6, 16}
"""Function codes."""

pytestmark = [pytest.mark.live, pytest.mark.timeout(480)]

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Runs:
    """The run in real time, what it printed, and the run of the models."""

    live: RunReader
    said: str
    offline: RunReader

    @property
    def both(self) -> tuple[StrategyReader, StrategyReader]:
        return self.live.strategy(NAME), self.offline.strategy(NAME)

    def series(self, key: str, position: int = 0) -> tuple[FloatArray, FloatArray]:
        """Return a series of both."""
        live, offline = (each.series(key, [position])[:, 0] for each in self.both)
        return live, offline


def twin(*arguments: str | Path, place: Path) -> str:
    """Run the command and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "twin", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=420,
        check=False,
        env={**os.environ, RUNTIME_VARIABLE: str(place), "NO_COLOR": "1", "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_of(folder: Path) -> RunReader:
    return RunReader(next(folder.glob("*/*")))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("hil")
    text = FILE.read_text(encoding="utf-8")
    assert text.count("    as: virtual\n") == 2
    models = text.replace("    as: virtual\n", "    as: model\n").replace(
        "file: data/", f"file: {FILE.parent}/data/"
    )
    as_models = folder / "as_models.yaml"
    as_models.write_text(models, encoding="utf-8")
    place = tmp_path_factory.mktemp("g")
    twin("run", as_models, "--out", folder / "offline", place=place)
    said = twin("run", FILE, "--out", folder / "live", place=place)
    return Runs(run_of(folder / "live"), said, run_of(folder / "offline"))


def stated(what: str) -> float:
    """Return by how much the guide says that a value of the two runs differs at most."""
    (row,) = re.findall(rf"^\| {re.escape(what)} \| ([\d.]+).*? \|", GUIDE, re.MULTILINE)
    return float(row)


def position_of(reader: StrategyReader, axis: Axis, name: str) -> int:
    return reader.names(axis).index(name)


def state(reader: StrategyReader, name: str) -> FloatArray:
    """Return a stored output of a device on the wire, shape (steps,)."""
    return reader.series("state.value", [position_of(reader, Axis.STATE, name)])[:, 0]


def is_live(reader: StrategyReader, device: str) -> NDArray[np.bool_]:
    return state(reader, f"{device} quality [1]") <= Quality.UNCERTAIN


def test_it_takes_the_time_that_it_simulates_and_counts(runs: Runs) -> None:
    manifest = runs.live.manifest
    assert manifest.status is RunStatus.FINISHED
    assert manifest.strategies[NAME].invalid == ()
    assert manifest.finished is not None
    took_s = (manifest.finished - manifest.created).total_seconds()
    assert N_STEPS - 1 <= took_s < N_STEPS + 90


def test_its_report_holds_the_evidence_of_time(runs: Runs) -> None:
    timing = runs.live.manifest.strategies[NAME].live["timing"]
    lines = (runs.live.folder / NAME / "timing.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(N_STEPS))
    assert timing["n_steps"] == N_STEPS
    assert timing["lost_ticks"] <= 0.05 * N_STEPS
    report = (runs.live.folder / "report.html").read_text(encoding="utf-8")
    assert "Real time and devices on the wire" in report
    for device in ("Roof", "Store"):
        assert device in report.partition('id="live"')[2]
    assert len(report) < 2_000_000
    assert "Real time and devices on the wire" not in (runs.offline.folder / "report.html").read_text(
        encoding="utf-8"
    )


ENERGIES = ("import_kwh", "load_kwh", "loss_kwh", "pv_kwh", "stored_change_kwh", "battery_throughput_kwh")
COSTS = ("cost_total_eur", "market_value_eur")


@pytest.mark.parametrize(
    ("names", "what"), [(ENERGIES, "energies, each"), (COSTS, "costs")], ids=["energies", "costs"]
)
def test_energies_and_costs_agree_with_the_models_within_the_stated_share(
    runs: Runs, names: tuple[str, ...], what: str
) -> None:
    live, offline = ({row["name"]: row["value"] for row in each.kpis()} for each in runs.both)
    compared = [name for name in names if offline.get(name)]
    assert len(compared) >= 2
    for name in compared:
        assert live[name] == pytest.approx(offline[name], rel=stated(what) / 100), name


def test_what_is_curtailed_agrees_with_the_models(runs: Runs) -> None:
    live, offline = ({row["name"]: row["value"] for row in each.kpis()} for each in runs.both)
    assert abs(live["curtailed_kwh"] - offline["curtailed_kwh"]) < stated("`curtailed_kwh`")


@pytest.mark.parametrize("name", ["line_loading_max_percent", "trafo_loading_max_percent"])
def test_loadings_agree_with_the_models_as_stated(runs: Runs, name: str) -> None:
    live, offline = ({row["name"]: row["value"] for row in each.kpis()} for each in runs.both)
    assert offline[name] > 5.0
    assert abs(live[name] - offline[name]) < stated("highest loading, points of a hundred")


@pytest.mark.parametrize("key", ["feeder.vm_max_pu", "feeder.vm_min_pu"])
def test_voltages_agree_with_the_models_as_stated(runs: Runs, key: str) -> None:
    live, offline = runs.series(key)
    end = np.max if key.endswith("max_pu") else np.min
    assert abs(end(live) - end(offline)) < stated("highest and lowest voltage")
    assert np.abs(live - offline).max() < stated("highest and lowest voltage of a step")


@pytest.mark.parametrize(
    ("key", "device", "what"),
    [
        ("pv.p_kw", "Roof", "power of the inverter, mean over the steps"),
        ("pv.q_kvar", "Roof", "reactive power of the inverter, mean over the steps"),
        ("battery.p_kw", "Store", "power of the battery, mean over the steps"),
    ],
)
def test_powers_agree_with_the_models_as_stated(runs: Runs, key: str, device: str, what: str) -> None:
    live, offline = runs.series(key)
    assert np.abs(live - offline).mean() < stated(what), device


def test_the_battery_ends_with_the_charge_of_the_model(runs: Runs) -> None:
    live, offline = runs.series("battery.soc")
    assert abs(live[-1] - offline[-1]) * 100 < stated("state of charge at the end, points of a hundred")


def test_every_fault_that_strikes_is_survived(runs: Runs) -> None:
    live, _ = runs.both
    told = " | ".join(str(event.get("message", "")) for event in live.events())
    for part in ("the connection is lost", "no answer for", "beyond -10 to 10", "serial number"):
        assert part in told
    assert "tripped" not in told
    assert "steps without a live reading of p_kw" in runs.said
    for device, outages, shortest in (("Roof", 4, 2), ("Store", 1, 1)):
        answers = is_live(live, device)
        spans = [(fine, len(list(steps))) for fine, steps in groupby(answers.tolist())]
        missing = [n_steps for fine, n_steps in spans if not fine]
        assert sum(n_steps >= shortest for n_steps in missing) >= outages, missing
        assert max(missing) <= 15, "the device is back soon after each"
        assert answers[-20:].mean() > 0.7, "and well at the end"


def test_no_wrong_value_was_accepted(runs: Runs) -> None:
    live, offline = runs.both
    fine = is_live(live, "Roof")
    power, model = live.series("pv.p_kw")[:, 0], offline.series("pv.p_kw")[:, 0]
    close_kw = stated(
        "power of the inverter where its reading is live, against the model's of the last five steps"
    )
    checked = [step for step in range(4, N_STEPS) if fine[step]]
    assert len(checked) > N_STEPS / 2
    for step in checked:
        around = model[
            step - 4 : step + 1
        ]  # a reading is live for three quarters of a second, and a step late
        assert around.min() - close_kw < power[step] < around.max() + close_kw, step


def test_volt_var_acts_on_the_simulated_voltage(runs: Runs) -> None:
    live, offline = runs.both
    position = position_of(live, Axis.BUS, BUS)
    (vm_pu, vm_model_pu), (q_kvar, q_model_kvar) = (
        [each.series(key, [at])[:, 0] for each in (live, offline)]
        for key, at in (("bus.vm_pu", position), ("pv.q_kvar", 0))
    )
    order = np.argsort(vm_model_pu)
    of_voltage = np.interp(vm_pu, vm_model_pu[order], q_model_kvar[order])
    fine = is_live(live, "Roof")[1:]
    error = np.abs(q_kvar[1:] - of_voltage[:-1])[fine]
    assert np.ptp(q_kvar) > 5.0, "it does something"
    assert np.median(error) < stated(
        "reactive power against the curve at the voltage of the step before, median"
    )


def test_every_write_on_the_wire_is_in_the_audit(runs: Runs) -> None:
    folder = runs.live.folder / NAME / "devices/virtual"
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()]
    audited = [(line["device"], line["address"]) for line in lines if line["event"] == "write"]
    frames = read_frames(folder).to_pylist()
    sent = [frame for frame in frames if frame["direction"] == "sent" and frame["frame"][7] in WRITES]
    on_wire = [(frame["device"], int.from_bytes(frame["frame"][8:10], "big")) for frame in sent]
    assert len(on_wire) > 20
    assert sorted(on_wire) == sorted(audited)
    times = [datetime.fromisoformat(line["utc"]).timestamp() for line in lines]
    assert times == sorted(times)


def test_the_replay_gives_the_same_series_bit_for_bit(runs: Runs, tmp_path: Path) -> None:
    twin("replay", runs.live.folder, "--out", tmp_path, place=tmp_path)
    again = run_of(tmp_path).strategy(NAME)
    live = runs.live.strategy(NAME)
    assert again.kpis() == live.kpis()
    for one, other in zip(live.chunks(), again.chunks(), strict=True):
        for key, values in one.arrays.items():
            assert values.tobytes() == other.arrays[key].tobytes(), key
