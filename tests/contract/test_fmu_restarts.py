"""Fleets whose process dies and is replaced: the same results as without, and an honest end where that is not possible."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fmu_leaks import Place
from tiny_fmus import build_fmu
from worker_fleets import DT_S, run, spec_of

from models.errors import FmuCrashError, FmuError
from models.fmu.base import FleetSpec, OnFailure, Wire
from models.fmu.fleet import FmuFleet
from models.fmu.isolation.supervisor import MAX_RESTARTS, WorkerFleet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is read from /proc")


def one_of(file: Path, **changes: Any) -> FleetSpec:
    plain = (Wire(signal="p_kw", variable="y"),)
    return spec_of(file, size=1, inputs=(Wire(signal="vm_pu", variable="u"),), outputs=plain, **changes)


def run_ones(fleet: WorkerFleet, steps: int) -> list[float]:
    ones = np.ones((1, 1))
    return [float(fleet.step(ones, time_s=k * DT_S, dt_s=DT_S)[0, 0]) for k in range(steps)]


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


@pytest.mark.parametrize(("dies_at", "save_every"), [(2, 60), (5, 60), (5, 5)])
def test_a_run_goes_on_although_every_process_dies_after_a_number_of_steps(
    place: Place, dies_at: int, save_every: int
) -> None:
    file = build_fmu(
        place.work,
        step_code=f"y += u; if (++made == {dies_at}) abort();",
        extra_code="static int made = 0;",
    )
    fleet = WorkerFleet(one_of(file, on_failure=OnFailure.RESTART, save_every=save_every))
    try:
        assert run_ones(fleet, 7) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        assert all("SIGABRT" in event for event in fleet.events)
        assert len(fleet.events) >= 1
    finally:
        fleet.close()


# --- a state that cannot be gone back to ---------------------------------------------------------------------------

FAILS_TO_RESTORE = """
#undef fmi2SetFMUstate
EXPORT int fmi2SetFMUstate(void *c, void *state) {{
    if ({when}) {{ {failure} }}
    return static_fmi2SetFMUstate(c, state);
}}
"""
"""For an FMU that is built without its own function."""


def failing_to_restore(place: Place, *, when: str, failure: str = "return ERROR;") -> Path:
    mark = place.work / "crashed"
    crash = f'y += u; if (m->s.steps == 2 && access("{mark}", F_OK) != 0) {{ fclose(fopen("{mark}", "w")); abort(); }}'
    code = FAILS_TO_RESTORE.format(when=when.format(mark=mark), failure=failure)
    return build_fmu(place.work, step_code=crash, extra_code=code, omit=("fmi2SetFMUstate",))


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        ("return ERROR;", FmuError, "cannot be restored"),
        ("abort();", FmuCrashError, "SIGABRT .*was restored"),
    ],
)
def test_a_restart_needs_an_fmu_that_can_restore_its_state(
    place: Place, failure: str, kind: type[FmuError], text: str
) -> None:
    file = failing_to_restore(place, when="1", failure=failure)
    with pytest.raises(
        FmuError, match=f"needs an FMU that can save its state and go back to it(.|\n)*{text}"
    ) as caught:
        WorkerFleet(one_of(file, on_failure=OnFailure.RESTART))
    assert type(caught.value) is kind
    assert "use `on_failure: end`" in str(caught.value)


def test_a_restart_needs_an_fmu_that_has_the_function_to_restore_its_state(place: Place) -> None:
    file = build_fmu(place.work, omit=("fmi2SetFMUstate",))
    with pytest.raises(
        FmuError, match="`on_failure: restart` needs an FMU that can save its state and go back to it"
    ):
        WorkerFleet(one_of(file, on_failure=OnFailure.RESTART))


def test_a_fresh_process_that_cannot_restore_the_state_does_not_hide_the_crash(place: Place) -> None:
    file = failing_to_restore(place, when='access("{mark}", F_OK) == 0')
    fleet = WorkerFleet(one_of(file, on_failure=OnFailure.RESTART))
    with pytest.raises(
        FmuCrashError, match=r"SIGABRT(.|\n)*fresh process could not go on(.|\n)*cannot be restored"
    ):
        run_ones(fleet, 3)
    with pytest.raises(FmuError, match="process has ended"):
        run_ones(fleet, 1)
    fleet.close()


def test_a_replayed_step_that_fails_does_not_hide_the_crash(place: Place) -> None:
    mark = place.work / "crashed"
    code = f"""
        if (access("{mark}", F_OK) == 0) {{ say(m, ERROR, "logStatusError", "no licence"); return ERROR; }}
        if (m->s.steps == 2) {{ fclose(fopen("{mark}", "w")); abort(); }}
        y += u;
    """
    fleet = WorkerFleet(one_of(build_fmu(place.work, step_code=code), on_failure=OnFailure.RESTART))
    with pytest.raises(FmuCrashError, match=r"SIGABRT(.|\n)*fresh process could not go on(.|\n)*no licence"):
        run_ones(fleet, 3)
    with pytest.raises(FmuError, match="process has ended"):
        run_ones(fleet, 1)
    fleet.close()
