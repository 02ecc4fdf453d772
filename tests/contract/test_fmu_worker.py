"""Fleets in a process of their own: the same results and errors as in this process, restarts, and nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from fmu_leaks import PATIENCE_S, Place, ended, processes_with, watched_place
from tiny_fmus import build_fmu

from models.devices.base import DeviceBlock
from models.errors import FmuCrashError, FmuError, FmuMappingError, FmuStepError, StateError
from models.fmu.base import FleetSpec, FloatArray, OnFailure, Take, Wire
from models.fmu.fleet import FmuFleet, open_fleet
from models.fmu.isolation.supervisor import MAX_RESTARTS, WorkerFleet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is read from /proc")

DT_S = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with watched_place(tmp_path) as made:
        yield made


def spec_of(file: Path, **changes: Any) -> FleetSpec:
    base: dict[str, Any] = {
        "label": "devices[0] pump",
        "file": file,
        "size": 2,
        "inputs": (Wire(signal="vm_pu", variable="u", factor=230.0),),
        "outputs": (Wire(signal="p_kw", variable="y", factor=1000.0, take=Take.MEAN),),
        "timeout_s": 20.0,
    }
    return FleetSpec(**{**base, **changes})


def inputs_of(step: int) -> FloatArray:
    return np.array([[1.0 + 0.01 * step, 0.9 - 0.02 * step]])


def run(fleet: DeviceBlock, steps: int, first: int = 0) -> FloatArray:
    return np.array(
        [fleet.step(inputs_of(k), time_s=k * DT_S, dt_s=DT_S) for k in range(first, first + steps)]
    )


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


# --- restarts ------------------------------------------------------------------------------------------------------

CRASH_ONCE = """
y += k * u * dt;
if (time >= {at} && access("{mark}", F_OK) != 0) {{ fclose(fopen("{mark}", "w")); abort(); }}
"""


def crashing_once(place: Place, *, at: float = 420.0, **changes: Any) -> Path:
    code = CRASH_ONCE.format(at=at, mark=place.work / "crashed")
    return build_fmu(place.work, name="once", parameters={"k": 1.0}, step_code=code, **changes)


@pytest.mark.parametrize(("save_every", "at_s"), [(1, 180), (3, 0), (4, 420)])
def test_a_run_goes_on_from_the_last_saved_state_with_the_same_results(
    place: Place, save_every: int, at_s: int
) -> None:
    file = crashing_once(place, at=at_s)
    calm = FmuFleet(spec_of(build_fmu(place.work)))
    shaky = WorkerFleet(spec_of(file, on_failure=OnFailure.RESTART, save_every=save_every))
    try:
        assert run(shaky, 10).tobytes() == run(calm, 10).tobytes()
        assert len(shaky.events) == 1
        assert "SIGABRT" in shaky.events[0]
        assert f"in the step from t = {at_s} s" in shaky.events[0]
        assert "Restart 1 of at most 3" in shaky.events[0]
    finally:
        calm.close()
        shaky.close()


def test_two_crashes_with_progress_between_them_are_two_first_restarts(place: Place) -> None:
    marks = [place.work / "first", place.work / "second"]
    later = "".join(
        f'if (time >= {at} && access("{mark}", F_OK) != 0) {{ fclose(fopen("{mark}", "w")); abort(); }}'
        for at, mark in zip((120, 300), marks, strict=True)
    )
    file = build_fmu(place.work, step_code=f"y += u; {later}")
    fleet = WorkerFleet(spec_of(file, on_failure=OnFailure.RESTART, save_every=4))
    try:
        run(fleet, 8)
        assert len(fleet.events) == 2
        assert all("Restart 1 of at most 3" in event for event in fleet.events)
    finally:
        fleet.close()


def test_a_run_goes_on_after_a_hang(place: Place) -> None:
    code = CRASH_ONCE.replace("abort();", "for (;;);").format(at=60.0, mark=place.work / "hung")
    file = build_fmu(place.work, parameters={"k": 1.0}, step_code=code)
    fleet = WorkerFleet(spec_of(file, on_failure=OnFailure.RESTART, timeout_s=4.0))
    try:
        assert np.isfinite(run(fleet, 3)).all()
        assert "no answer within 4 s" in fleet.events[0]
    finally:
        fleet.close()


def test_a_state_restored_by_the_caller_is_what_a_restart_goes_back_to(place: Place) -> None:
    calm = WorkerFleet(spec_of(build_fmu(place.work)))
    shaky = WorkerFleet(spec_of(crashing_once(place), on_failure=OnFailure.RESTART))
    try:
        for fleet in (calm, shaky):
            run(fleet, 2)
            state = fleet.save()
            run(fleet, 2, first=2)
            fleet.restore(state)
        assert run(shaky, 8, first=2).tobytes() == run(calm, 8, first=2).tobytes()
        assert len(shaky.events) == 1
    finally:
        calm.close()
        shaky.close()


def test_a_run_ends_when_fresh_processes_fail_at_the_same_step(place: Place) -> None:
    file = build_fmu(place.work, step_code="if (time >= 120) raise(SIGSEGV); y = u;")
    fleet = WorkerFleet(spec_of(file, on_failure=OnFailure.RESTART))
    try:
        run(fleet, 2)
        with pytest.raises(
            FmuCrashError, match=r"SIGSEGV(.|\n)*in the step from t = 120 s(.|\n)*3 fresh processes"
        ):
            run(fleet, 1, first=2)
        assert len(fleet.events) == MAX_RESTARTS
    finally:
        fleet.close()


def test_a_restart_needs_an_fmu_that_can_save_its_state(place: Place) -> None:
    file = build_fmu(place.work, capabilities={"canSerializeFMUstate": "false"})
    with pytest.raises(FmuError, match="`on_failure: restart` needs an FMU that can save its state"):
        WorkerFleet(spec_of(file, on_failure=OnFailure.RESTART))


def test_a_state_that_is_not_complete_is_told_after_a_restart(place: Place) -> None:
    code = "hidden += u; y = hidden;" + CRASH_ONCE.replace("y += k * u * dt;", "")
    file = build_fmu(
        place.work,
        step_code=code.format(at=240.0, mark=place.work / "crashed"),
        extra_code="static double hidden = 0;",
    )
    fleet = WorkerFleet(spec_of(file, on_failure=OnFailure.RESTART, save_every=3))
    try:
        run(fleet, 6)
        assert "the state that the FMU saves is not complete" in fleet.events[1]
    finally:
        fleet.close()


def test_without_restart_a_crash_ends_the_run_and_the_fleet(place: Place) -> None:
    fleet = WorkerFleet(spec_of(crashing_once(place)))
    try:
        with pytest.raises(FmuCrashError, match="SIGABRT"):
            run(fleet, 8)
        with pytest.raises(FmuError, match="process has ended"):
            run(fleet, 1)
    finally:
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
