"""A small scenario on a network of pandapower, and ways to run it."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from twin.scenario import load_scenario

SHAPE = "time,share\n" + "".join(f"2026-06-20T{hour:02d}:00,{0.2 + 0.02 * hour:.2f}\n" for hour in range(24))

SCENARIO = """
name: small
seed: 3
feeder:
  source: pandapower:create_cigre_network_lv
period: {start: 2026-06-20, days: 1, step_s: 15 min}
sources:
  shape: {file: shape.csv, unit: "1", time_zone: Europe/Rome}
devices:
  - {kind: load, from: feeder, profile: shape.share}
  - {kind: pv, share: 0.5, profile: clear_sky, p_peak_kw: 8, place: {latitude_deg: 38.1, longitude_deg: 13.4}}
  - {kind: battery, share: 0.5, capacity_kwh: 8, power_kw: 4}
strategies:
  none:
  self_consumption:
"""


def write_scenario(folder: Path, *changes: tuple[str, str], extra: str = "") -> Path:
    """Write the small scenario into a folder, with text replaced or added, and return its path."""
    text = SCENARIO
    for old, new in changes:
        assert old in text, f"{old!r} is not in the scenario"
        text = text.replace(old, new)
    (folder / "shape.csv").write_text(SHAPE)
    path = folder / "small.yaml"
    path.write_text(text + extra)
    return path


@pytest.fixture
def small_scenario(tmp_path):
    """Write the small scenario with changes and return its path."""
    return partial(write_scenario, tmp_path)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """Run the small scenario once with the command; return the folder of results and what was printed."""
    folder = tmp_path_factory.mktemp("finished")
    return folder / "results", run_twin("run", write_scenario(folder), "--out", folder / "results")


def run_twin(*arguments, **options):
    """Run the command ``twin`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "twin", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
        **options,
    )


@pytest.fixture
def twin():
    """The command ``twin``."""
    return run_twin


@pytest.fixture
def load_small(small_scenario):
    """Load the small scenario with changes."""

    def load(*changes: tuple[str, str], extra: str = ""):
        return load_scenario(small_scenario(*changes, extra=extra))

    return load
