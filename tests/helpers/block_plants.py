"""Plants with devices that keep their own state: assembled from a few lines of a scenario, and stepped without a run."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from models.devices.base import DeviceBlock
from models.feeder import load_feeder
from models.feeder.base import Feeder
from twin.assembly import build_plant
from twin.errors import ScenarioError
from twin.plant import BlockPlan, FloatArray, Plant
from twin.scenario import load_scenario

__all__ = ["HEAD", "Build", "Mistakes", "Shelf", "only", "run"]

Build = Callable[..., Plant]
Mistakes = Callable[[str], list[tuple[str, str]]]

HEAD = """\
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20, days: 1, step_s: 1 min}
strategies: {none: }
sources:
  s: {file: s.csv, unit: kWh, time_zone: Europe/Rome}
  w: {file: s.csv, unit: l, time_zone: Europe/Rome}
  t: {file: s.csv, unit: degC, time_zone: Europe/Rome}
  one: {file: s.csv, unit: '1', time_zone: Europe/Rome}
devices:
  - {kind: load, from: feeder, profile: constant}
"""


@cache
def _feeder() -> Feeder:
    return load_feeder("pandapower:create_cigre_network_lv")


class Shelf:
    """A folder for scenarios, with the series that their sources name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        hours = [
            f"2026-06-20T{hour:02d}:00,{hour},{int(8 <= hour < 10)},{int(not 8 <= hour < 11)}"
            for hour in range(24)
        ]
        (folder / "s.csv").write_text("\n".join(["time,hour,trip,there", *hours]) + "\n")

    def plant(self, devices: str, head: str = HEAD) -> Plant:
        """Build the plant of a scenario with these devices beside the loads of the network."""
        path = self.folder / "plant.yaml"
        path.write_text(head + devices)
        return build_plant(load_scenario(path), _feeder())[0]

    def mistakes(self, devices: str) -> list[tuple[str, str]]:
        """Return (field, message) of every mistake in these devices."""
        with pytest.raises(ScenarioError) as caught:
            self.plant(devices)
        assert all(mistake.line is not None and mistake.line >= 9 for mistake in caught.value.mistakes)
        return [(mistake.field, mistake.message) for mistake in caught.value.mistakes]


def only(plant: Plant) -> BlockPlan:
    """Return the one block of a plant."""
    (plan,) = plant.blocks
    return plan


def run(plan: BlockPlan, steps: int, **live: FloatArray) -> FloatArray:
    """Return the outputs of some steps of a minute, shape (steps, outputs, N); ``live`` values have shape (steps, N)."""
    block: DeviceBlock = plan.open()
    try:
        found = []
        for step in range(steps):
            rows = []
            for name in block.inputs:
                series = plan.series.get(name)
                row = live[name][step] if series is None else series[step if len(series) > 1 else 0]
                rows.append(np.broadcast_to(row, block.size))
            found.append(block.step(np.array(rows, dtype=np.float64), time_s=60.0 * step, dt_s=60.0))
        return np.array(found)
    finally:
        block.close()
