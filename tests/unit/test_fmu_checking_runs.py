"""The checks on small FMUs, each with one fault: the right check finds it, and nothing is left behind."""

import os
import signal
import subprocess
import sys

import pytest
from fmu_leaks import ended, processes_with, watched_place
from third_party_fmus import fmu
from tiny_fmus import Var, build_fmu

from models.fmu.base import Interface
from models.fmu.checking.catalogue import CHECKS
from models.fmu.checking.options import CheckOptions
from models.fmu.checking.report import Outcome, Verdict
from models.fmu.checking.suite import check_fmu

HERE = CheckOptions(trusted=True, step_s=1.0, stop_s=8.0)
APART = CheckOptions(step_s=1.0, stop_s=8.0)
STIFF = {
    "states": {"x": 1.0},
    "outputs": (Var("y", "output"),),
    "derivative_code": "der_x = -100.0 * x; y = x;",
}
"""x' = -100 x: explicit Euler is stable below 0.02 s and overshoots by a factor of 9 in each step of 0.1 s."""


def found(file, options=HERE):
    """Return the checks by id, and the report."""
    report = check_fmu(file, options)
    return {check.id: check for check in report.checks}, report


def of(checks, outcome):
    return {name for name, check in checks.items() if check.outcome is outcome}


@pytest.mark.parametrize(("fmi", "array"), [("2.0", False), ("3.0", False), ("3.0", True)])
def test_a_good_fmu_works(tmp_path, fmi, array):
    file = build_fmu(tmp_path, fmi=fmi, array=array)
    checks, report = found(file, CheckOptions(trusted=True, step_s=1.0, stop_s=8.0, parameters={"u": 2.0}))
    assert report.verdict is Verdict.WORKS, report.to_dict()
    assert {check.id for check in CHECKS} <= set(checks)
    assert of(checks, Outcome.SKIPPED) == {"bounds", "model_exchange"}
    assert "no output moves" not in checks["steps"].evidence


@pytest.mark.parametrize(
    ("capabilities", "skipped"),
    [
        ({"hasEventMode": "true", "mightReturnEarlyFromDoStep": "true"}, {"bounds", "model_exchange"}),
        ({"canBeInstantiatedOnlyOncePerProcess": "true"}, {"bounds", "model_exchange", "instances"}),
        ({"canGetAndSetFMUState": "false"}, {"bounds", "model_exchange", "state"}),
        ({"canSerializeFMUState": "true"}, {"bounds", "model_exchange"}),
    ],
)
def test_what_an_fmu_can_do_is_used_and_what_it_cannot_is_skipped(tmp_path, capabilities, skipped):
    checks, report = found(build_fmu(tmp_path, fmi="3.0", capabilities=capabilities))
    assert report.verdict is Verdict.WORKS, report.to_dict()
    assert of(checks, Outcome.SKIPPED) == skipped


def test_a_run_in_which_nothing_moves_says_so(tmp_path):
    checks, _ = found(build_fmu(tmp_path))
    assert "no output moves with the inputs at their start values" in checks["steps"].evidence


@pytest.mark.parametrize(
    ("code", "id_", "outcome", "words"),
    [
        ("y = 0.0 / (time - time);", "steps", Outcome.FAILED, "at 1 s y = "),
        ('say(m, ERROR, "log", "too hot: %d", 7); return ERROR;', "steps", Outcome.FAILED, "too hot: 7"),
        ("y = clock();", "repeats", Outcome.WARNING, "other values of y"),
        ("static double all; all += dt; y = all;", "instances", Outcome.FAILED, "other values of y"),
        ("m->next_event += dt; y = m->next_event;", "state", Outcome.WARNING, "other values of y"),
        ("m->next_event += dt; y = m->next_event;", "reset", Outcome.PASSED, "as at the start"),
        ("y = dt;", "step_size", Outcome.PASSED, "do not depend"),
        ("y = 5.0;", "bounds", Outcome.FAILED, "y = 5 at 1 s is outside its own [-inf, 3]"),
    ],
)  # fmt: skip
def test_the_right_check_finds_a_fault(tmp_path, code, id_, outcome, words):
    high = 3.0 if id_ == "bounds" else None
    outputs = (Var("y", "output", high=high),)
    file = build_fmu(tmp_path, step_code=code, outputs=outputs, extra_code="#include <time.h>")
    checks, _ = found(file)
    assert checks[id_].outcome is outcome, checks[id_]
    assert words in checks[id_].evidence
    assert outcome is Outcome.PASSED or checks[id_].remedy


def test_a_reset_that_forgets_something_is_a_warning(tmp_path):
    code = {"step_code": "m->next_event = 1.0;", "init_code": "y = m->next_event;"}
    checks, report = found(build_fmu(tmp_path, **code))
    assert checks["reset"].outcome is Outcome.WARNING
    assert "after a reset other values of y" in checks["reset"].evidence
    assert report.verdict is Verdict.WORKS_WITH_WARNINGS


def test_start_values_that_the_binary_changes_are_a_warning(tmp_path):
    checks, _ = found(build_fmu(tmp_path, init_code="k = 5.0;"))
    assert checks["start_values"].outcome is Outcome.WARNING
    assert "k = 5.0 instead of 1.0" in checks["start_values"].evidence


def test_values_that_are_set_reach_the_fmu(tmp_path):
    """y grows by k * u * dt = 3 * 2 * 1 a step: past 40 at the seventh."""
    file = build_fmu(tmp_path, outputs=(Var("y", "output", high=40.0),))
    options = CheckOptions(trusted=True, step_s=1.0, stop_s=8.0, parameters={"k": 3.0, "u": 2.0})
    checks, _ = found(file, options)
    assert "y = 42 at 7 s" in checks["bounds"].evidence


@pytest.mark.parametrize(("value", "outcome"), [(0.1, Outcome.PASSED), (0.1000002, Outcome.FAILED)])
def test_a_value_in_single_precision_may_be_at_its_bound(tmp_path, value, outcome):
    single = Var("y", "output", type="Float32", high=0.1)
    file = build_fmu(tmp_path, fmi="3.0", outputs=(single,), step_code=f"y = {value!r};")
    assert found(file)[0]["bounds"].outcome is outcome


def test_an_unstable_step_fails_with_one_that_is_stable(tmp_path):
    file = build_fmu(tmp_path, inputs=(), **STIFF)
    checks, report = found(file, CheckOptions(trusted=True, step_s=0.1, stop_s=2.0))
    assert checks["step_size"].outcome is Outcome.FAILED
    assert report.verdict is Verdict.DOES_NOT_WORK
    advised_s = float(checks["step_size"].remedy.split("step: ")[1].split(" s`")[0])
    assert advised_s < 0.02
    again, _ = found(file, CheckOptions(trusted=True, step_s=advised_s, stop_s=2.0))
    assert again["step_size"].outcome is Outcome.PASSED, again["step_size"]


def test_a_step_that_is_only_guessed_does_not_fail_the_fmu(tmp_path):
    file = build_fmu(tmp_path, inputs=(), experiment={"stopTime": "10.0"}, **STIFF)
    checks, report = found(file, CheckOptions(trusted=True))
    assert checks["step_size"].outcome is Outcome.WARNING
    assert report.verdict is Verdict.WORKS_WITH_WARNINGS


def test_co_simulation_is_compared_with_model_exchange(tmp_path):
    file = build_fmu(tmp_path, inputs=(), interfaces=("CoSimulation", "ModelExchange"), **STIFF)
    checks, _ = found(file, CheckOptions(trusted=True, step_s=0.1, stop_s=2.0))
    assert checks["model_exchange"].outcome is Outcome.WARNING
    assert "or use `interface: model_exchange`" in checks["step_size"].remedy
    fine, _ = found(file, CheckOptions(trusted=True, step_s=0.1 / 1024, stop_s=0.1))
    assert fine["model_exchange"].outcome is Outcome.PASSED, fine["model_exchange"]


def test_model_exchange_alone_is_tried_with_cvode(tmp_path):
    file = build_fmu(tmp_path, inputs=(), interfaces=("ModelExchange",), **STIFF)
    checks, report = found(file, CheckOptions(trusted=True, step_s=0.1, stop_s=2.0))
    assert report.how.startswith("Model Exchange with CVode, 20 steps of 0.1 s")
    assert checks["step_size"].outcome is Outcome.PASSED
    assert report.verdict is Verdict.WORKS, report.to_dict()


def test_an_interface_that_is_not_there_fails(tmp_path):
    checks, _ = found(build_fmu(tmp_path), CheckOptions(interface=Interface.MODEL_EXCHANGE))
    assert checks["description"].outcome is Outcome.FAILED
    assert "wanted is model exchange" in checks["description"].evidence


def test_a_file_that_is_no_archive_does_not_work_and_nothing_is_run(tmp_path):
    file = tmp_path / "text.fmu"
    file.write_text("not a zip")
    checks, report = found(file, APART)
    assert set(checks) == {"archive"}
    assert report.verdict is Verdict.DOES_NOT_WORK


def test_an_fmu_for_another_machine_does_not_work_and_says_which_it_has(tmp_path):
    checks, _ = found(build_fmu(tmp_path, platform="win64"), APART)
    assert checks["platform"].outcome is Outcome.FAILED
    assert "win64" in checks["platform"].evidence
    assert "loads" not in checks


@pytest.mark.parametrize(
    ("hooks", "id_", "words"),
    [
        ({"step_code": "*(volatile int *)0 = 1;"}, "steps", "the FMU crashed with SIGSEGV"),
        ({"step_code": "abort();"}, "steps", "the FMU crashed with SIGABRT"),
        ({"step_code": "exit(3);"}, "steps", "ended its process with exit code 3"),
        ({"step_code": "exit(0);"}, "steps", "ended its process with exit code 0"),
        ({"step_code": 'fprintf(stderr, "no licence\\n"); abort();'}, "steps", "it last printed: no licence"),
        ({"init_code": "abort();"}, "loads", "the FMU crashed with SIGABRT"),
        ({"step_code": "volatile int on = 1; while (on) {}"}, "steps", "did not answer within 4 s"),
    ],
)
def test_what_ends_the_process_fails_one_check_and_leaves_nothing_behind(tmp_path, hooks, id_, words):
    file = build_fmu(tmp_path, **hooks)
    with watched_place(tmp_path):
        options = CheckOptions(step_s=1.0, stop_s=8.0, timeout_s=4.0 if "while" in str(hooks) else 60.0)
        checks, report = found(file, options)
    assert checks[id_].outcome is Outcome.FAILED
    assert words in checks[id_].evidence
    assert of(checks, Outcome.FAILED) == {id_}
    assert checks["fleet"].outcome is Outcome.SKIPPED
    assert checks["fleet"].evidence == f"not tried, as '{id_}' failed"
    assert checks["ends"].outcome is Outcome.PASSED, checks["ends"]
    assert {check.id for check in CHECKS} <= set(checks), "the checks after the crash are made too"
    assert report.verdict is Verdict.DOES_NOT_WORK


def test_what_an_fmu_prints_does_not_disturb_the_results(tmp_path):
    code = 'for (int k = 0; k < 20000; k++) printf("{\\"result\\": 1}\\n"); fflush(stdout); y = u;'
    with watched_place(tmp_path):
        _, report = found(build_fmu(tmp_path / "work", step_code=code), APART)
    assert report.verdict is Verdict.WORKS, report.to_dict()


def test_a_crash_at_the_end_of_the_process_is_a_warning(tmp_path):
    extra = (
        "extern int __cxa_atexit(void (*)(void *), void *, void *);\n"
        "static void bye(void *nothing) { abort(); }\n"
    )
    code = "static int known; if (!known++) __cxa_atexit(bye, 0, 0);"
    checks, _ = found(build_fmu(tmp_path, extra_code=extra, instantiate_code=code), APART)
    assert checks["ends"].outcome is Outcome.WARNING
    assert "after the last check it crashed with SIG" in checks["ends"].evidence


def test_a_number_format_that_an_fmu_changes_for_the_process_is_a_warning(tmp_path):
    file = build_fmu(
        tmp_path, init_code='setlocale(LC_NUMERIC, "C.UTF-8");', extra_code="#include <locale.h>"
    )
    checks, _ = found(file, APART)
    assert checks["process"].outcome is Outcome.WARNING
    assert "number format from C to C.UTF-8" in checks["process"].evidence


def test_the_results_are_the_same_in_a_process_of_its_own(tmp_path):
    file = build_fmu(tmp_path)
    here, apart = (found(file, options)[0] for options in (HERE, APART))
    quiet = {"steps"}  # says how long a step took
    assert {name: apart[name] for name in here if name not in quiet} == {
        name: here[name] for name in here if name not in quiet
    }


def test_a_folder_of_the_user_with_the_name_of_a_package_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/__init__.py").write_text("raise ImportError('this is not ours')")
    monkeypatch.chdir(tmp_path)
    _, report = found(build_fmu(tmp_path), APART)
    assert report.verdict is Verdict.WORKS, report.to_dict()


FATAL_RESET = {
    "omit": ("fmi2Reset",),
    "extra_code": "#undef fmi2Reset\nint fmi2Reset(void *component) { return 4; }\n",
}
AFTER_RESET = ("step_size", "process", "bad_reference")


def test_after_a_fatal_answer_the_other_checks_are_made_in_a_fresh_process(tmp_path):
    checks, report = found(build_fmu(tmp_path, **FATAL_RESET), APART)
    assert checks["reset"].outcome is Outcome.WARNING
    assert "fmi2Reset answered fatal" in checks["reset"].evidence
    assert [checks[name].outcome for name in AFTER_RESET] == [Outcome.PASSED] * 3, report.to_dict()
    assert checks["ends"].outcome is Outcome.PASSED


def test_after_a_fatal_answer_in_this_process_the_other_checks_are_not_tried(tmp_path):
    checks, report = found(build_fmu(tmp_path, **FATAL_RESET), HERE)
    assert [checks[name].outcome for name in AFTER_RESET] == [Outcome.SKIPPED] * 3, report.to_dict()
    assert "has answered 'fatal'" in checks["process"].evidence
    assert "without --trusted" in checks["process"].remedy
    again, _ = found(build_fmu(tmp_path, name="another"), HERE)
    assert of(again, Outcome.SKIPPED) == {"bounds", "model_exchange"}, "another FMU is not concerned"


def test_an_fmu_of_pythonfmu_is_not_blamed_for_its_fatal_answer_to_an_unknown_variable():
    """Its output grows by the same for each call, so the warning about the communication step is right."""
    checks, report = found(fmu("FMU3Model.fmu"), CheckOptions(step_s=1.0, stop_s=2.0))
    assert "refused with fatal" in checks["bad_reference"].evidence
    assert of(checks, Outcome.WARNING) == {"step_size"}, report.to_dict()
    assert of(checks, Outcome.FAILED) == set()
    assert checks["process"].outcome is Outcome.PASSED


@pytest.mark.skipif(sys.platform != "linux", reason="follows the process by /proc")
@pytest.mark.parametrize("where", ["while it is loaded", "in a step"])
def test_the_process_of_an_fmu_that_hangs_ends_with_the_one_that_checks(tmp_path, monkeypatch, where):
    told = tmp_path / "told"
    os.mkfifo(told)
    code = f'{{ FILE *f = fopen("{told}", "w"); fprintf(f, "%d", getpid()); fclose(f); for (;;); }}'
    loading = f"__attribute__((constructor)) static void at_load(void) {code}"
    hooks = {"step_code": code} if where == "in a step" else {"extra_code": loading}
    file = build_fmu(tmp_path, **hooks)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = (
        "import sys\nfrom pathlib import Path\nfrom models.fmu.checking.suite import check_fmu\n"
        "check_fmu(Path(sys.argv[1]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(file)]) as parent:
        pid = int(told.read_text())
        running = [other for other in processes_with(str(tmp_path)) if other != parent.pid]
        assert pid in running
        parent.send_signal(signal.SIGKILL)
    assert all(ended(other) for other in running)
