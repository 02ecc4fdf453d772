"""FMUs that start processes of their own: no wrong answer, the right reason for an end, and nothing left behind."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fmu_leaks import PATIENCE_S, Place, ended, processes_with
from tiny_fmus import build_fmu

from models.errors import FmuCrashError
from models.fmu.base import FleetSpec, OnFailure, Wire
from models.fmu.checking.options import CheckOptions
from models.fmu.checking.report import FmuReport, Outcome
from models.fmu.checking.suite import check_fmu
from models.fmu.isolation.supervisor import WorkerFleet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends all that an FMU starts")

ASLEEP = "sleep(600); _exit(0);"
DAEMON = f"if (fork() == 0) {{ setsid(); {ASLEEP} }}"
DAEMON_OF_ORPHAN = f"""
    int waitpid(int, int *, int);
    int between = fork();
    if (between == 0) {{ setsid(); if (fork() == 0) {{ setsid(); {ASLEEP} }} _exit(0); }}
    waitpid(between, 0, 0);
"""
"""The daemon is there when the step is done, and what started it is not."""
TIMEOUT_S = 60.0
"""A crash that is told as a hang takes that long, and the text is another."""


def fleet_of(file: Path, **changes: Any) -> WorkerFleet:
    base: dict[str, Any] = {
        "label": "devices[0] pump",
        "file": file,
        "size": 1,
        "inputs": (Wire(signal="vm_pu", variable="u"),),
        "outputs": (Wire(signal="p_kw", variable="y"),),
        "timeout_s": TIMEOUT_S,
    }
    return WorkerFleet(FleetSpec(**{**base, **changes}))


def run(fleet: WorkerFleet, steps: int) -> list[float]:
    ones = np.ones((1, 1))
    return [float(fleet.step(ones, time_s=float(k), dt_s=1.0)[0, 0]) for k in range(steps)]


def checked(file: Path, timeout_s: float = TIMEOUT_S) -> FmuReport:
    return check_fmu(file, CheckOptions(step_s=1.0, stop_s=4.0, timeout_s=timeout_s))


def outcomes(report: FmuReport) -> dict[str, Outcome]:
    return {check.id: check.outcome for check in report.checks}


# --- a second process that comes back from a call ------------------------------------------------------------------


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_a_fork_that_comes_back_from_a_step_does_not_answer(place: Place, fmi: str) -> None:
    file = build_fmu(place.work, fmi=fmi, step_code="if (m->s.steps == 2) fork(); y += u;")
    fleet = fleet_of(file)
    try:
        assert run(fleet, 8) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    finally:
        fleet.close()


@pytest.mark.parametrize("hook", ["instantiate_code", "init_code"])
def test_a_fork_that_comes_back_while_it_is_loaded_does_not_answer(place: Place, hook: str) -> None:
    codes: dict[str, Any] = {hook: "fork();"}
    fleet = fleet_of(build_fmu(place.work, step_code="y += u;", **codes))
    try:
        assert run(fleet, 4) == [1.0, 2.0, 3.0, 4.0]
    finally:
        fleet.close()


def test_a_fork_that_comes_back_from_a_step_does_not_make_checks(place: Place) -> None:
    plain = build_fmu(place.work, name="plain", step_code="y += u;")
    forks = build_fmu(place.work, name="forks", step_code="if (m->s.steps == 2) fork(); y += u;")
    assert outcomes(checked(forks)) == outcomes(checked(plain))


# --- what outlives the process that the FMU runs in ----------------------------------------------------------------


@pytest.mark.parametrize("start", [DAEMON, DAEMON_OF_ORPHAN], ids=["child", "orphan"])
@pytest.mark.parametrize("death", ["abort();", "exit(3);"])
def test_a_crash_is_told_as_such_although_a_daemon_of_the_fmu_lives(
    place: Place, start: str, death: str
) -> None:
    fleet = fleet_of(build_fmu(place.work, step_code=f"{start} {death}"))
    how = "crashed with SIGABRT" if death == "abort();" else "ended its process with exit code 3"
    with pytest.raises(FmuCrashError, match=f"{how} .*in the step from t = 0 s"):
        run(fleet, 1)
    assert processes_with(str(place.temporary)) == []
    fleet.close()


@pytest.mark.parametrize("start", [DAEMON, DAEMON_OF_ORPHAN], ids=["child", "orphan"])
def test_a_daemon_of_an_fmu_ends_with_its_fleet(place: Place, start: str) -> None:
    fleet = fleet_of(build_fmu(place.work, step_code=f"{start} y = u;"))
    with contextlib.closing(fleet):
        run(fleet, 1)
        assert len(processes_with(str(place.temporary))) == 3
    assert processes_with(str(place.temporary)) == []


def test_an_fmu_that_leaves_its_group_and_hangs_is_ended(place: Place) -> None:
    away = "setpgid(0, getpgid(getppid())); prctl(PR_SET_PDEATHSIG, 0); for (;;);"
    file = build_fmu(place.work, step_code=away, extra_code="#include <sys/prctl.h>\n")
    fleet = fleet_of(file, timeout_s=1.0)
    with pytest.raises(FmuCrashError, match="hung in the step"):
        run(fleet, 1)
    assert processes_with(str(place.temporary)) == []
    fleet.close()


def test_the_end_is_seen_although_a_process_that_nothing_ends_holds_the_channel(place: Place) -> None:
    told = place.work / "daemon"
    fmu_code = f"""
        if (fork() == 0) {{
            setsid(); close(1); close(2);
            FILE *f = fopen("{told}", "w"); fprintf(f, "%d", (int)getpid()); fclose(f);
            sleep(600); _exit(0);
        }}
        while (access("{told}", F_OK) != 0) usleep(1000);
        kill(getppid(), SIGKILL);
        for (;;) pause();
    """
    fleet = fleet_of(build_fmu(place.work, step_code=fmu_code))
    try:
        with pytest.raises(FmuCrashError, match=r"crashed with SIGKILL .*in the step"):
            run(fleet, 1)
    finally:
        daemon = int(told.read_text())
        os.kill(daemon, signal.SIGKILL)
        assert ended(daemon)
        fleet.close()


def test_a_run_goes_on_in_a_fresh_process_beside_no_daemon_of_the_first(place: Place) -> None:
    mark = place.work / "crashed"
    code = f'y += u; if (m->s.steps == 2 && access("{mark}", F_OK) != 0) {{ fclose(fopen("{mark}", "w")); {DAEMON} abort(); }}'
    fleet = fleet_of(build_fmu(place.work, step_code=code), on_failure=OnFailure.RESTART)
    try:
        assert run(fleet, 5) == [1.0, 2.0, 3.0, 4.0, 5.0]
        assert len(fleet.events) == 1
        assert "SIGABRT" in fleet.events[0]
        assert len(processes_with(str(place.temporary))) == 2
    finally:
        fleet.close()


# --- checks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [f"if (fork() == 0) {{ {ASLEEP} }}", DAEMON, 'system("sleep 600 &");'],
    ids=["child", "daemon", "program"],
)
def test_a_check_does_not_wait_for_a_helper_that_keeps_the_pipes_open(place: Place, start: str) -> None:
    plain = build_fmu(place.work, name="plain", step_code="y += u;")
    helped = build_fmu(
        place.work,
        name="helped",
        instantiate_code=f"if (!helped++) {{ {start} }}",
        extra_code="static int helped;",
        step_code="y += u;",
    )
    assert outcomes(checked(helped)) == outcomes(checked(plain))
    assert processes_with(str(place.temporary)) == []


CHECKER = """
from pathlib import Path
from models.fmu.checking.options import CheckOptions
from models.fmu.checking.suite import check_fmu
check_fmu(Path({file!r}), CheckOptions(step_s=1.0, stop_s=4.0))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_check_has_unpacked_is_removed(place: Place, number: signal.Signals) -> None:
    fifo = place.work / "fifo"
    os.mkfifo(fifo)
    hang = f'FILE *f = fopen("{fifo}", "w"); fputs("hangs", f); fclose(f); for (;;);'
    file = build_fmu(place.work, step_code=hang)
    user = subprocess.Popen([sys.executable, "-c", CHECKER.format(file=str(file))])
    assert fifo.read_text() == "hangs"
    running = [pid for pid in processes_with(str(place.temporary)) if pid != user.pid]
    assert len(running) == 2
    assert len(place.folders()) == 2
    user.send_signal(number)
    assert user.wait(PATIENCE_S) == -number
    assert all(ended(pid) for pid in running)
    assert place.folders() == []


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise(SIGRTMIN + 3);", "crashed with signal 37"),
        ("abort();", "crashed with SIGABRT"),
        ("for (;;);", "did not answer within 2 s"),
    ],
)
def test_the_folder_of_a_check_stays_for_the_checks_after_a_crash(place: Place, code: str, told: str) -> None:
    report = checked(
        build_fmu(place.work, step_code=f"{code} y += u;"), timeout_s=2.0 if "for" in code else TIMEOUT_S
    )
    by_id = {check.id: check for check in report.checks}
    assert by_id["steps"].outcome is Outcome.FAILED
    assert told in by_id["steps"].evidence
    assert by_id["bad_reference"].outcome is Outcome.PASSED  # loads the library again, in a fresh process
