"""A killed run: a process writes, gets SIGKILL, and another one reads what it left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import twin.results
from twin.results.manifest import RunStatus
from twin.results.reader import RunReader
from twin.signals import Axis

# the writer of every test; the lines are: step just appended
CHILD = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from twin.results.layout import Detail
from twin.results.manifest import Manifest, RunStatus, write_manifest
from twin.results.writer import StrategyWriter
from twin.signals import RECORDED, Axis

folder, steps_per_part, seconds_per_step = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
kill_event, kill_at = sys.argv[4], int(sys.argv[5])
NAMES = {axis: ("a", "b", "c") if axis is not Axis.FEEDER else ("feeder",) for axis in Axis}


class SteadyClock:
    step = 0

    def monotonic_s(self):
        return self.step * seconds_per_step

    def utc_now(self):
        return datetime(2026, 7, 1, tzinfo=UTC)


def kill_before(event, args):
    global kill_at
    if event == kill_event:
        kill_at -= 1
        if kill_at == 0:
            os.kill(os.getpid(), signal.SIGKILL)


manifest = Manifest.begin(
    scenario="killed", scenario_sha256="0" * 64, seed=1, created=datetime(2026, 7, 1, tzinfo=UTC),
    n_steps=10**6, dt_s=900, labels={"none": "PV only"},
)
write_manifest(folder, manifest.with_strategy("none", RunStatus.RUNNING))
clock = SteadyClock()
with StrategyWriter(
    folder / "none", names=NAMES, detail=Detail.ALL, selected={}, steps_per_part=steps_per_part,
    on_chunk=lambda chunk: None, clock=clock,
) as writer:
    sys.addaudithook(kill_before)
    for step in range(10**6):
        clock.step = step
        values = {s.key: step + np.arange(len(NAMES[s.axis])) / 10 for s in RECORDED}
        writer.append(step, values)
        print(step, flush=True)
"""


def start(folder, *, steps_per_part, seconds_per_step=0.0, kill_event="none", kill_at=0):
    source = Path(twin.results.__file__).parents[2]
    arguments = [str(folder), str(steps_per_part), str(seconds_per_step), kill_event, str(kill_at)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )


def read_back(folder):
    """Return the number of steps that can be read, after checking every one of them."""
    run = RunReader(folder)
    assert run.manifest.status is RunStatus.UNFINISHED
    assert run.manifest.strategies["none"].status is RunStatus.UNFINISHED
    reader = run.strategy("none")
    n_steps = reader.last_step + 1
    steps = np.arange(n_steps, dtype=np.float64)[:, np.newaxis]
    for key in ("bus.vm_pu", "battery.soc", "feeder.p_import_kw"):
        width = len(reader.names(Axis(key.split(".", maxsplit=1)[0])))
        expected = (steps + np.arange(width) / 10).astype(np.float32)
        np.testing.assert_array_equal(reader.series(key), expected)
    assert sum(chunk.n_steps for chunk in reader.chunks()) == n_steps
    return n_steps


@pytest.mark.parametrize(
    ("steps_per_part", "seconds_per_step", "kill_after", "at_most_lost"),
    [(100_000, 0.0, 1234, 500), (100_000, 0.5, 321, 4), (96, 0.0, 401, 96), (96, 0.5, 401, 4)],
    ids=["500 steps in the tail", "2 s in the tail", "parts only", "parts and tail"],
)
def test_a_run_killed_at_any_step_reads_back_to_its_last_flush(
    tmp_path, steps_per_part, seconds_per_step, kill_after, at_most_lost
):
    with start(tmp_path, steps_per_part=steps_per_part, seconds_per_step=seconds_per_step) as child:
        for line in child.stdout:
            if int(line) == kill_after:
                child.kill()
                break
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert read_back(tmp_path) >= kill_after + 1 - at_most_lost


N_AXES = 9


@pytest.mark.parametrize("renames", [1, 2, N_AXES, N_AXES + 1, N_AXES + 2, 2 * N_AXES])
def test_a_run_killed_before_a_rename_of_a_part_loses_nothing_that_was_flushed(tmp_path, renames):
    """Parts of 10 steps on 9 axes, a flush every 5th step: the second part has its flush at steps 14 and 19."""
    with start(
        tmp_path, steps_per_part=10, seconds_per_step=0.4, kill_event="os.rename", kill_at=renames
    ) as child:
        appended = [int(line) for line in child.stdout]
        child.wait()
    assert child.returncode == -signal.SIGKILL
    first_part_is_whole = renames > N_AXES
    assert appended[-1] == (18 if first_part_is_whole else 8)
    assert read_back(tmp_path) == (15 if first_part_is_whole else 6)


def test_a_run_killed_between_the_last_rename_and_the_deletion_of_the_tail_reads_each_step_once(tmp_path):
    with start(tmp_path, steps_per_part=10, seconds_per_step=0.4, kill_event="os.remove", kill_at=2) as child:
        for _ in child.stdout:
            pass
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / "none" / "tail.arrows").exists()
    assert read_back(tmp_path) == 20
