"""Fleets in a process of their own: the same results and errors as in this process, and nothing left behind."""

import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest
from fmu_leaks import PATIENCE_S, Place, ended, processes_with
from tiny_fmus import build_fmu
from worker_fleets import DT_S, run, spec_of

from models.errors import FmuCrashError, FmuError, FmuMappingError, FmuStepError, StateError
from models.fmu.base import Wire
from models.fmu.fleet import FmuFleet, open_fleet
from models.fmu.isolation.supervisor import WorkerFleet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is read from /proc")

# --- the same as in this process ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_a_worker_gives_bit_for_bit_what_the_fleet_gives_in_this_process(place: Place, fmi: str) -> None:
    spec = spec_of(build_fmu(place.work, fmi=fmi), step_s=20.0, parameters={"k": np.array([1.0, 0.3])})
    here, there = FmuFleet(spec), WorkerFleet(spec)
    try:
        assert (there.label, there.size, there.inputs, there.outputs) == (
            here.label,
            here.size,
            here.inputs,
            here.outputs,
        )
        assert there.start().tobytes() == here.start().tobytes()
        assert run(there, 5).tobytes() == run(here, 5).tobytes()
        assert there.events == ()
    finally:
        here.close()
        there.close()


def test_an_output_of_a_worker_belongs_to_the_caller(place: Place) -> None:
    with_spec = WorkerFleet(spec_of(build_fmu(place.work)))
    try:
        first = run(with_spec, 1)[0]
        first[:] = -1.0
        assert run(with_spec, 1, first=1).min() > 0
    finally:
        with_spec.close()


def test_a_worker_says_the_same_as_the_fleet_when_a_variable_is_unknown(place: Place) -> None:
    spec = spec_of(build_fmu(place.work), inputs=(Wire(signal="vm_pu", variable="voltage"),))
    with pytest.raises(FmuMappingError) as here:
        FmuFleet(spec)
    with pytest.raises(FmuMappingError) as there:
        WorkerFleet(spec)
    assert str(there.value) == str(here.value)
    assert "voltage" in str(there.value)


def test_a_worker_says_the_same_as_the_fleet_when_a_value_is_out_of_bounds_and_can_still_be_closed(
    place: Place,
) -> None:
    spec = spec_of(build_fmu(place.work), outputs=(Wire(signal="p_kw", variable="y", high=1e4),))
    said = []
    for kind in (FmuFleet, WorkerFleet):
        fleet = kind(spec)
        with pytest.raises(FmuStepError) as caught:
            run(fleet, 5)
        fleet.close()
        fleet.close()
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_state_moves_from_one_worker_to_another(place: Place) -> None:
    spec = spec_of(build_fmu(place.work))
    first, second = WorkerFleet(spec), WorkerFleet(spec)
    try:
        run(first, 3)
        second.restore(first.save())
        assert run(second, 2, first=3).tobytes() == run(first, 2, first=3).tobytes()
    finally:
        first.close()
        second.close()


def test_a_state_that_cannot_be_saved_is_an_error_that_leaves_the_worker_running(place: Place) -> None:
    spec = spec_of(build_fmu(place.work, capabilities={"canSerializeFMUstate": "false"}))
    fleet = WorkerFleet(spec)
    try:
        with pytest.raises(StateError):
            fleet.save()
        assert run(fleet, 1).shape == (1, 1, 2)
    finally:
        fleet.close()


def test_foreign_fmus_run_in_a_worker_and_trusted_ones_here(place: Place) -> None:
    file = build_fmu(place.work)
    kinds = []
    for trusted in (False, True):
        fleet = open_fleet(spec_of(file, trusted=trusted))
        kinds.append(type(fleet))
        fleet.close()
    assert kinds == [WorkerFleet, FmuFleet]


def test_a_fleet_that_is_closed_says_so(place: Place) -> None:
    fleet = WorkerFleet(spec_of(build_fmu(place.work)))
    fleet.close()
    with pytest.raises(FmuError, match="closed; open it again"):
        fleet.start()


def test_inputs_of_another_shape_are_refused_before_they_are_sent(place: Place) -> None:
    fleet = WorkerFleet(spec_of(build_fmu(place.work)))
    try:
        with pytest.raises(ValueError, match=r"\(3, 2\), expected \(1, 2\)"):
            fleet.step(np.ones((3, 2)), time_s=0.0, dt_s=DT_S)
    finally:
        fleet.close()


def test_messages_larger_than_the_buffers_between_the_processes_arrive_whole(place: Place) -> None:
    names, size = [f"u{k}" for k in range(20)], 2000
    file = build_fmu(place.work, fmi="3.0", array=True, inputs=names, step_code="y = u0 + u19;")
    wires = tuple(Wire(signal=f"a{k}", variable=name) for k, name in enumerate(names))
    plain = (Wire(signal="p_kw", variable="y"),)
    fleet = WorkerFleet(spec_of(file, size=size, array_size="n", inputs=wires, outputs=plain))
    try:
        given = np.random.default_rng(1).normal(size=(len(names), size))
        outputs = fleet.step(given, time_s=0.0, dt_s=DT_S)
        assert np.array_equal(outputs, given[:1] + given[-1:])
    finally:
        fleet.close()


def test_without_restart_a_crash_ends_the_run_and_the_fleet(place: Place) -> None:
    fleet = WorkerFleet(spec_of(build_fmu(place.work, step_code="if (time >= 420) abort(); y = u;")))
    try:
        with pytest.raises(FmuCrashError, match="SIGABRT"):
            run(fleet, 8)
        with pytest.raises(FmuError, match="process has ended"):
            run(fleet, 1)
    finally:
        fleet.close()


@pytest.mark.parametrize("timeout_s", [np.inf, np.nan, 0.0, -1.0, 1e-9, 1e300])
def test_a_timeout_that_makes_no_sense_is_refused(place: Place, timeout_s: float) -> None:
    with pytest.raises(
        FmuError,
        match=rf"devices\[0\] pump .*timeout of {timeout_s:g} s .*from 0.001 to 1000000".replace("+", r"\+"),
    ):
        WorkerFleet(spec_of(build_fmu(place.work), timeout_s=timeout_s))


def test_a_long_timeout_is_taken(place: Place) -> None:
    fleet = WorkerFleet(spec_of(build_fmu(place.work), timeout_s=1e6))
    run(fleet, 1)
    fleet.close()


# --- nothing outlives its user -------------------------------------------------------------------------------------

FOREVER = "for (;;);"
USER = """
import numpy
from pathlib import Path
from models.fmu.base import FleetSpec, Wire
from models.fmu.isolation.supervisor import WorkerFleet
spec = FleetSpec(label="x", file=Path({file!r}), size=1, inputs=(Wire(signal="a", variable="u"),),
                 outputs=(Wire(signal="b", variable="y"),))
fleet = WorkerFleet(spec)
fleet.step(numpy.ones((1, 1)), time_s=0.0, dt_s=1.0)
fleet.close()
"""
TELL_AND_HANG = '{{ FILE *f = fopen("{fifo}", "w"); fputs("hangs", f); fclose(f); for (;;); }}'


@pytest.mark.parametrize(
    ("where", "number"), [("step", signal.SIGKILL), ("load", signal.SIGKILL), ("step", signal.SIGINT)]
)
def test_a_worker_that_hangs_dies_with_its_killed_user(
    place: Place, where: str, number: signal.Signals
) -> None:
    fifo = place.work / "fifo"
    os.mkfifo(fifo)
    hang = TELL_AND_HANG.format(fifo=fifo)
    loading = f"__attribute__((constructor)) static void at_load(void) {hang}"
    codes: dict[str, Any] = {"step_code": hang} if where == "step" else {"extra_code": loading}
    file = build_fmu(place.work, **codes)
    user = subprocess.Popen([sys.executable, "-c", USER.format(file=str(file))])
    assert fifo.read_text() == "hangs"
    running = [pid for pid in processes_with(str(place.temporary)) if pid != user.pid]
    assert len(running) == 2
    user.send_signal(number)
    assert user.wait(PATIENCE_S) == -number
    assert all(ended(pid) for pid in running)


def test_an_interrupted_step_ends_the_worker_so_that_no_late_answer_is_taken_for_another(
    place: Place,
) -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    code = f"kill({os.getpid()}, SIGUSR1); y = u;"
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        fleet = WorkerFleet(spec_of(build_fmu(place.work, step_code=code + FOREVER), size=1))
        with pytest.raises(KeyboardInterrupt):
            fleet.step(np.ones((1, 1)), time_s=0.0, dt_s=DT_S)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(FmuError, match="process has ended"):
        fleet.start()
    fleet.close()
    assert fleet.events == ()


def test_a_worker_that_hangs_dies_with_its_killed_guard(place: Place) -> None:
    fleet = WorkerFleet(spec_of(build_fmu(place.work, step_code="if (time > 0) for (;;); y = u;")))
    run(fleet, 1)
    worker = fleet._process
    assert worker is not None
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(FmuCrashError, match="SIGKILL"):
        run(fleet, 1, first=1)
    fleet.close()


def test_what_an_fmu_has_started_ends_with_it(place: Place) -> None:
    code = 'system("sleep 600 &"); y = u;'
    fleet = WorkerFleet(spec_of(build_fmu(place.work, step_code=code), size=1))
    fleet.step(np.ones((1, 1)), time_s=0.0, dt_s=DT_S)
    assert len(processes_with(str(place.temporary))) == 3
    fleet.close()


def test_a_file_that_an_fmu_leaves_in_the_temporary_folder_goes_with_it(place: Place) -> None:
    code = 'char f[500]; snprintf(f, 500, "%s/left", getenv("TMPDIR")); fclose(fopen(f, "w")); y = u;'
    fleet = WorkerFleet(spec_of(build_fmu(place.work, step_code=code)))
    run(fleet, 1)
    assert list(place.temporary.glob("*/left"))
    fleet.close()


def test_a_folder_of_the_user_that_is_named_like_ours_is_not_taken_for_it(place: Place) -> None:
    (place.work / "models").mkdir()
    (place.work / "models" / "__init__.py").write_text("raise SystemExit(7)", encoding="utf-8")
    script = USER.format(file=str(build_fmu(place.work)))
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=place.work, check=False)
    assert done.returncode == 0
