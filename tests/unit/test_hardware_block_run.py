"""A whole run with devices on the wire that do at once what they are told: the run of the models, one step later."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from block_plants import Shelf
from numpy.typing import NDArray

from hil_adapters.guard.messages import DeviceImage, GuardState, Image, SetPoints
from hil_adapters.samples import Quality, Sample
from models.devices.base import Causality
from models.devices.numpy_block import KINDS, NumpyBlock
from twin.control.base import Observation, Proposal
from twin.hil import HilPlan
from twin.missing_data import SourceUsed
from twin.prepare import Prepared, prepare
from twin.scenario import load_scenario
from twin.simulators.exchange import HilExchange
from twin.world import StrategyRun, run_world

HEAD = """\
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20T12:00, duration_s: 12 min, step_s: 1 min}
strategies: {none: }
devices:
  - {kind: load, from: feeder, profile: constant}
"""
DEVICES = """\
  - {kind: battery, home: Load R11, name: store, capacity_kwh: 0.2, power_kw: 4, soc_start: 0.2, detail: {}, as: WORD,
     modbus: {map: sunspec_battery, stands_for: TIMES}}
  - {kind: pv, home: Load R1, name: roof, p_peak_kw: 30, profile: constant, detail: {}, as: WORD,
     modbus: {map: sunspec_pv, stands_for: TIMES}}
"""
FloatArray = NDArray[np.float64]


class AtOnce:
    """Guardian and host of devices that answer in no time, each with the model that the plan says is inside."""

    def __init__(self, plan: HilPlan, *, dt_s: float) -> None:
        self._slots, self._dt_s, self._time_s = plan.slots, dt_s, 0.0
        self._around: dict[str, dict[str, float]] = {}
        self._blocks: dict[str, NumpyBlock] = {}
        self._signals: dict[str, dict[str, float]] = {}
        for slot in plan.slots:
            assert slot.emulated is not None
            kind = KINDS[slot.emulated.kind]
            self._blocks[slot.name] = NumpyBlock(
                kind,
                size=1,
                parameters=dict(slot.emulated.parameters),
                inputs=kind.KIND.named(Causality.INPUT),
                outputs=tuple(slot.signals),
                label=slot.name,
            )
            self._signals[slot.name] = self._named(slot.name, self._blocks[slot.name].start())

    def world(self, values: Mapping[str, Mapping[str, float]]) -> None:
        for device, named in values.items():
            self._around[device] = dict(named)

    def exchange(self, set_points: SetPoints | None) -> Image:
        if set_points is not None:
            for slot in self._slots:
                block = self._blocks[slot.name]
                given = self._around[slot.name] | set_points.values[slot.name]
                column = np.array([[min(given[name], 1e9)] for name in block.inputs])
                found = block.step(column, time_s=self._time_s, dt_s=self._dt_s)
                self._signals[slot.name] = self._named(slot.name, found)
            self._time_s += self._dt_s
        return Image(devices={slot.name: self._image(slot.name) for slot in self._slots}, events=())

    def _named(self, device: str, rows: FloatArray) -> dict[str, float]:
        return dict(zip(self._blocks[device].outputs, rows[:, 0].tolist(), strict=True))

    def _image(self, device: str) -> DeviceImage:
        signals = {
            name: Sample(value=value, quality=Quality.GOOD, received_s=0.0)
            for name, value in self._signals[device].items()
        }
        return DeviceImage(state=GuardState.ARMED, signals=signals, commanded={})


class Changing:
    """Charges, discharges, and holds the sun back by turns."""

    def decide(self, seen: Observation) -> Proposal:
        charge_kw = 4.0 if seen.step % 4 < 2 else -3.0
        limit_kw = np.array([12.0 if seen.step % 3 == 0 else np.inf])
        return Proposal(battery_kw=np.array([charge_kw]), pv_limit_kw=limit_kw)


class Memory:
    def __init__(self) -> None:
        self.steps: list[dict[str, FloatArray]] = []

    def append(self, step: int, values: Mapping[str, FloatArray]) -> None:
        self.steps.append({key: np.array(value) for key, value in values.items()})

    def series(self, key: str) -> FloatArray:
        return np.array([values[key][0] for values in self.steps])


def prepared_as(folder: Path, word: str, times: int) -> Prepared:
    Shelf(folder)
    path = folder / "case.yaml"
    path.write_text(HEAD + DEVICES.replace("WORD", word).replace("TIMES", str(times)))
    return prepare(load_scenario(path))


def play(prepared: Prepared, exchange: HilExchange | None) -> Memory:
    memory = Memory()
    run_world(
        StrategyRun(
            plant=prepared.plant,
            feeder=prepared.feeder,
            engine=prepared.engine,
            controller=Changing(),
            site=prepared.site,
            forecast=prepared.controller("none")[1],
            sink=memory,
            exchange=exchange,
        ),
        lambda _: None,
    )
    return memory


@pytest.mark.parametrize("times", [1, 5])
def test_devices_that_answer_at_once_give_the_run_of_the_models_one_step_later(
    tmp_path: Path, times: int
) -> None:
    offline = play(prepared_as(tmp_path, "model", times), None)
    prepared = prepared_as(tmp_path, "virtual", times)
    devices = AtOnce(prepared.plant.hil, dt_s=60.0)
    exchange = HilExchange(
        prepared.plant.hil,
        devices,
        worlds=[(devices, ["store", "roof"])],
        expires_s=1.0,
        clock=lambda: 0.0,
    )
    live = play(prepared, exchange)
    assert len(live.steps) == 12
    assert len(set(offline.series("battery.p_kw").tolist())) > 2, "it fills up on the way"
    for key in ("battery.p_kw", "pv.p_kw"):
        assert live.series(key)[1:] == pytest.approx(offline.series(key)[:-1]), key
    assert live.series("battery.soc")[1:] == pytest.approx(offline.series("battery.soc")[:-1])
    assert np.abs(live.series("feeder.p_balance_kw")).max() < 1e-4
    assert exchange.tallies["store", "soc"].steps == {SourceUsed.LIVE: 12}
