"""FMUs with every kind of fault: each ends as it is defined to, and leaves nothing behind."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fmu_leaks import Place
from tiny_fmus import Var, build_fmu
from tiny_fmus_zips import bomb, changed, for_machine, with_entry, with_link

from models.devices.base import DeviceBlock
from models.errors import FmuArchiveError, FmuCrashError, FmuError, FmuStepError, ModelError
from models.fmu.base import FleetSpec, FloatArray, Wire
from models.fmu.fleet import FmuFleet
from models.fmu.isolation.supervisor import WorkerFleet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left behind is read from /proc")

HANG_S = 2.0
"""Enough for a small FMU on a busy machine; a test of a hang takes that long."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How an FMU is built, and how a fleet of it ends."""

    error: type[ModelError]
    text: str
    build: dict[str, Any] = field(default_factory=dict)
    steps: int = 2
    """0: it cannot be opened."""
    size: int = 2
    timeout_s: float = 30.0


FOREVER = "for (;;);"
AT_LOAD = "__attribute__((constructor)) static void at_load(void) {{ {code} }}"

LETHAL = {
    "segfault in a step": Fault(
        build={"step_code": "*(volatile int *)8 = 1;"},
        error=FmuCrashError,
        text="crashed with SIGSEGV .* in the step from t = 0 s",
    ),
    "abort in a step": Fault(
        build={"step_code": 'fputs("assertion p > 0 failed\\n", stderr); abort();'},
        error=FmuCrashError,
        text=r"crashed with SIGABRT(.|\n)*The last it printed:\s+assertion p > 0 failed",
    ),
    "division by zero": Fault(
        build={"step_code": "volatile int zero = 0; y = 7 / zero;"},
        error=FmuCrashError,
        text="crashed with SIGFPE",
    ),
    "stack overflow": Fault(
        build={
            "extra_code": "static int deep(volatile int *at) { volatile int big[4096]; big[0] = *at + 1; return deep(big) + big[0]; }",
            "step_code": "volatile int one = 1; y = deep(&one);",
        },
        error=FmuCrashError,
        text="crashed with SIGSEGV",
    ),
    "exit(3) in a step": Fault(
        build={"step_code": "exit(3);"},
        error=FmuCrashError,
        text="ended its process with exit code 3 in the step",
    ),
    "exit(0) in a step": Fault(
        build={"step_code": "exit(0);"},
        error=FmuCrashError,
        text="ended its process with exit code 0 in the step",
    ),
    "endless loop in a step": Fault(
        build={"step_code": FOREVER},
        error=FmuCrashError,
        text="hung in the step from t = 0 s: no answer within 2 s",
        timeout_s=HANG_S,
    ),
    "endless loop while it is loaded": Fault(
        build={"extra_code": AT_LOAD.format(code=FOREVER)},
        error=FmuCrashError,
        text="hung while it was loaded",
        timeout_s=HANG_S,
        steps=0,
    ),
    "segfault while it is loaded": Fault(
        build={"extra_code": AT_LOAD.format(code="raise(SIGSEGV);")},
        error=FmuCrashError,
        text="crashed with SIGSEGV .* while it was loaded",
        steps=0,
    ),
    "exit while it is instantiated": Fault(
        build={"instantiate_code": "exit(1);"},
        error=FmuCrashError,
        text="ended its process with exit code 1 while it was loaded",
        steps=0,
    ),
    "segfault while it is initialised": Fault(
        build={"init_code": "raise(SIGSEGV);"},
        error=FmuCrashError,
        text="crashed with SIGSEGV .* while it was loaded",
        steps=0,
    ),
    "a signal without a name": Fault(
        build={"step_code": "raise(SIGRTMIN + 3);"}, error=FmuCrashError, text="crashed with signal 37"
    ),
    "it kills its process group": Fault(
        build={"step_code": "kill(0, SIGKILL);"}, error=FmuCrashError, text="crashed with SIGKILL"
    ),
    "it closes all its files": Fault(
        build={"step_code": "for (int f = 0; f < 1000; f++) close(f);"},
        error=FmuCrashError,
        text="in the step",
    ),
    "it begins an answer and hangs": Fault(
        build={"step_code": 'for (int f = 3; f < 100; f++) write(f, "\\0\\0\\0\\5he", 6); for (;;);'},
        error=FmuCrashError,
        text="hung in the step",
        timeout_s=HANG_S,
    ),
    "it repeats the answer before": Fault(
        build={
            "step_code": 'for (int f = 3; f < 100; f++) write(f, "\\0\\0\\0\\t\\0\\1\\0\\0\\0\\0\\0\\0", 13);'
        },
        error=FmuCrashError,
        text="damaged answer in the step from t = 0 s .request 2 got the answer to request 1",
    ),
    "it says something on the channel itself": Fault(
        build={"step_code": 'for (int f = 3; f < 100; f++) write(f, "\\0\\0\\0\\5hello", 9);'},
        error=FmuCrashError,
        text="damaged answer in the step",
    ),
}
"""What only a process of its own survives."""

STATUS = {
    "not a number": Fault(
        build={"step_code": "y = 0.0 / 0.0 * u;"}, error=FmuStepError, text="not a finite number"
    ),
    "infinite": Fault(build={"step_code": "y = HUGE_VAL;"}, error=FmuStepError, text="not a finite number"),
    "out of the bounds of the wire": Fault(
        build={"step_code": "y = 3e13;"}, error=FmuStepError, text=r"3e\+13"
    ),
    "out of the bounds of the FMU": Fault(
        build={"outputs": (Var("y", "output", high=5.0),), "step_code": "y = 6;"},
        error=FmuStepError,
        text="= 6",
    ),
    "it discards every step": Fault(
        build={"step_code": "return DISCARD;"},
        error=FmuStepError,
        text="discard|does not reach the end of the step",
    ),
    "it says error": Fault(
        build={"step_code": 'say(m, ERROR, "logStatusError", "pressure is %d", 7); return ERROR;'},
        error=FmuStepError,
        text="error(.|\n)*pressure is 7",
    ),
    "it says fatal": Fault(
        build={"step_code": 'say(m, FATAL, "logStatusFatal", "no way back"); return FATAL;'},
        error=FmuStepError,
        text="fatal(.|\n)*no way back",
    ),
    "it cannot be instantiated": Fault(
        build={"instantiate_code": 'say(m, ERROR, "logStatusError", "no licence"); return ERROR;'},
        error=FmuError,
        text="refuses to be instantiated(.|\n)*no licence",
        steps=0,
    ),
    "it cannot be initialised": Fault(
        build={"init_code": 'say(m, ERROR, "logStatusError", "no start values"); return ERROR;'},
        error=FmuError,
        text="while it was initialised(.|\n)*no start values",
        steps=0,
    ),
    "it needs its tool": Fault(
        build={"capabilities": {"needsExecutionTool": "true"}},
        error=FmuError,
        text="door to the tool",
        steps=0,
    ),
    "once per process, with more devices than there can be copies": Fault(
        build={"capabilities": {"canBeInstantiatedOnlyOncePerProcess": "true"}},
        error=FmuError,
        text="only once per process",
        steps=0,
        size=40,
    ),
}
"""What an FMU itself calls a failure, or what its values show."""


def spec_of(file: Path, **changes: Any) -> FleetSpec:
    base: dict[str, Any] = {
        "label": "devices[2] heat pump",
        "file": file,
        "size": 2,
        "inputs": (Wire(signal="vm_pu", variable="u"),),
        "outputs": (Wire(signal="p_kw", variable="y", low=-1e6, high=1e6),),
        "timeout_s": 30.0,
    }
    return FleetSpec(**{**base, **changes})


def run(fleet: DeviceBlock, steps: int = 2) -> list[FloatArray]:
    inputs = np.ones((1, fleet.size))
    return [fleet.step(inputs, time_s=60.0 * k, dt_s=60.0) for k in range(steps)]


def ends_as_defined(
    kind: type[FmuFleet] | type[WorkerFleet], file: Path, fault: Fault
) -> pytest.ExceptionInfo[ModelError]:
    spec = spec_of(file, size=fault.size, timeout_s=fault.timeout_s)
    if fault.steps == 0:
        with pytest.raises(fault.error, match=fault.text) as caught:
            kind(spec)
        return caught
    fleet = kind(spec)
    try:
        with pytest.raises(fault.error, match=fault.text) as caught:
            run(fleet, fault.steps)
    finally:
        fleet.close()
    return caught


@pytest.mark.parametrize("name", LETHAL)
def test_an_fmu_that_ends_or_hangs_its_process_is_told_as_such(place: Place, name: str) -> None:
    fault = LETHAL[name]
    caught = ends_as_defined(WorkerFleet, build_fmu(place.work, name="pump", **fault.build), fault)
    assert "devices[2] heat pump (pump.fmu)" in str(caught.value)


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
@pytest.mark.parametrize("name", STATUS)
def test_an_fmu_that_fails_by_its_own_word_is_told_as_such(place: Place, name: str, fmi: str) -> None:
    fault = STATUS[name]
    file = build_fmu(place.work, name="pump", fmi=fmi, **fault.build)
    caught = ends_as_defined(FmuFleet, file, fault)
    assert "heat pump" in str(caught.value) or "pump.fmu" in str(caught.value)


@pytest.mark.parametrize("name", ["not a number", "it says fatal", "it cannot be initialised"])
def test_a_failure_by_its_own_word_is_told_by_a_worker_too(place: Place, name: str) -> None:
    fault = STATUS[name]
    ends_as_defined(WorkerFleet, build_fmu(place.work, name="pump", **fault.build), fault)


@pytest.mark.parametrize("code", ["abort();", FOREVER])
def test_a_fault_while_an_fmu_is_freed_does_not_undo_the_run(place: Place, code: str) -> None:
    at_end = f"static void __attribute__((destructor)) at_end(void) {{ {code} }}"
    fleet = WorkerFleet(spec_of(build_fmu(place.work, extra_code=at_end), timeout_s=4.0))
    run(fleet)
    fleet.close()
    assert len(fleet.events) == 1
    assert "while the FMU was freed" in fleet.events[0]


def test_an_fmu_that_prints_a_lot_does_not_disturb_the_worker(place: Place) -> None:
    code = 'for (int k = 0; k < 20000; k++) { puts("some words about this step"); fputs("more words\\n", stderr); } y = u;'
    fleet = WorkerFleet(spec_of(build_fmu(place.work, step_code=code)))
    assert np.array_equal(run(fleet)[-1], np.ones((1, 2)))
    fleet.close()
    assert fleet.events == ()


def test_an_fmu_that_reads_its_input_finds_none(place: Place) -> None:
    fleet = WorkerFleet(spec_of(build_fmu(place.work, step_code="y = getchar();")))
    assert np.array_equal(run(fleet)[-1], [[-1.0, -1.0]])
    fleet.close()


@pytest.mark.parametrize("kind", [FmuFleet, WorkerFleet])
@pytest.mark.parametrize("hook", ["instantiate_code", "step_code"])
def test_an_fmu_that_changes_the_working_directory_changes_it_for_nobody_else(
    place: Place, kind: type[FmuFleet] | type[WorkerFleet], hook: str
) -> None:
    before = Path.cwd()
    codes: dict[str, Any] = {hook: 'chdir("/");'}
    fleet = kind(spec_of(build_fmu(place.work, **codes)))
    run(fleet)
    assert Path.cwd() == before
    fleet.close()


# --- archives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../evil", "/evil", "C:\\evil", "resources/../../../evil"])
def test_an_archive_with_a_name_that_leads_out_of_its_folder_is_refused(place: Place, name: str) -> None:
    file = with_entry(build_fmu(place.work), place.work / "evil.fmu", name)
    with pytest.raises(FmuArchiveError, match="not safe to unpack"):
        FmuFleet(spec_of(file))
    assert not list(place.work.parent.rglob("evil"))


def test_an_archive_with_a_link_is_refused(place: Place) -> None:
    file = with_link(build_fmu(place.work), place.work / "link.fmu", name="resources/all", target="/etc")
    with pytest.raises(FmuArchiveError, match="link"):
        FmuFleet(spec_of(file))


@pytest.mark.parametrize("declared_bytes", [10 * 1024**3, 1000])
def test_an_archive_of_ten_gigabytes_is_refused_whatever_its_header_says(
    place: Place, declared_bytes: int
) -> None:
    file = bomb(build_fmu(place.work), place.work / "bomb.fmu", declared_bytes=declared_bytes)
    assert file.stat().st_size < 20e6
    with pytest.raises(FmuArchiveError):
        FmuFleet(spec_of(file))


def test_an_unsafe_archive_is_refused_by_a_worker_too(place: Place) -> None:
    file = with_entry(build_fmu(place.work), place.work / "evil.fmu", "../../evil")
    with pytest.raises(FmuArchiveError, match="not safe to unpack"):
        WorkerFleet(spec_of(file))
    assert not list(place.work.parent.rglob("evil"))


@pytest.mark.parametrize(("fmi", "platform"), [("2.0", "win64"), ("3.0", "aarch64-darwin")])
def test_an_fmu_for_another_platform_is_refused_with_the_platforms_it_has(
    place: Place, fmi: str, platform: str
) -> None:
    file = build_fmu(place.work, fmi=fmi, platform=platform)
    with pytest.raises(FmuArchiveError, match=platform):
        FmuFleet(spec_of(file))


def test_a_library_for_another_processor_is_refused_before_it_is_loaded(place: Place) -> None:
    file = for_machine(build_fmu(place.work), place.work / "other.fmu")
    with pytest.raises(FmuArchiveError):
        FmuFleet(spec_of(file))


def with_library(place: Place, content: Callable[[bytes], bytes]) -> Path:
    file = build_fmu(place.work)
    return changed(file, place.work / "broken.fmu", edit={"binaries/linux64/tiny.so": content})


def test_a_library_that_is_no_library_is_refused(place: Place) -> None:
    file = with_library(place, lambda content: b"not a library")
    with pytest.raises(FmuArchiveError):
        FmuFleet(spec_of(file))


def test_a_library_that_is_cut_off_cannot_end_the_run(place: Place) -> None:
    file = with_library(place, lambda content: content[:2000])
    with pytest.raises(FmuError):
        WorkerFleet(spec_of(file))


# --- what FMPy makes of an FMU -------------------------------------------------------------------------------------

FOR_CLOCKS = (
    "fmi3GetClock",
    "fmi3SetClock",
    "fmi3GetIntervalDecimal",
    "fmi3ActivateModelPartition",
    "fmi3GetBinary",
)


def test_an_fmu_without_functions_that_are_not_needed_works(place: Place) -> None:
    fleet = FmuFleet(spec_of(build_fmu(place.work, fmi="3.0", omit=FOR_CLOCKS)))
    assert np.array_equal(run(fleet)[-1], [[120.0, 120.0]])
    fleet.close()


@pytest.mark.parametrize("kind", [FmuFleet, WorkerFleet])
def test_an_fmu_without_a_function_that_is_needed_is_refused_by_its_name(
    place: Place, kind: type[FmuFleet] | type[WorkerFleet]
) -> None:
    with pytest.raises(FmuError, match="fmi3DoStep"):
        run(kind(spec_of(build_fmu(place.work, fmi="3.0", omit=("fmi3DoStep",)))))


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_devices_of_an_fmu_that_is_allowed_once_per_process_do_not_share_anything(
    place: Place, fmi: str
) -> None:
    file = build_fmu(
        place.work,
        fmi=fmi,
        capabilities={"canBeInstantiatedOnlyOncePerProcess": "true"},
        extra_code="static double total = 0;",
        step_code="total += u; y = total;",
    )
    fleet = FmuFleet(spec_of(file, size=3))
    steps = [fleet.step(np.array([[1.0, 2.0, 3.0]]), time_s=60.0 * k, dt_s=60.0) for k in range(2)]
    assert np.array_equal(steps, [[[1.0, 2.0, 3.0]], [[2.0, 4.0, 6.0]]])
    fleet.close()
