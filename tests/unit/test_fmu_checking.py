"""What the checks of an FMU decide without running one: times, distances, words, verdicts."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import FmuMappingError
from models.fmu.base import FmuInfo, FmuVariable
from models.fmu.checking.options import MOST_STEPS, CheckOptions, trial_times
from models.fmu.checking.ports import array_size_of, start_number, watched_variables
from models.fmu.checking.report import CheckResult, Finding, FmuReport, Outcome, Verdict
from models.fmu.checking.static import static_checks
from models.fmu.checking.trial import Run, relative_difference


def variable(name, causality="output", **changes):
    values = {
        "name": name,
        "value_reference": 0,
        "type": "Real",
        "causality": causality,
        "variability": "continuous",
        "initial": None,
        "unit": None,
        "start": None,
        "low": None,
        "high": None,
        "shape": (),
        "text": "",
    }
    return FmuVariable(**{**values, **changes})


def info(*variables, **changes):
    values = {
        "file": Path("thing.fmu"),
        "sha256": "0" * 64,
        "fmi_version": "2.0",
        "model_name": "thing",
        "token": "{}",
        "text": "",
        "generation_tool": "",
        "variables": variables,
        "unit_factors": {},
        "platforms": ("linux64",),
        "has_sources": False,
        "co_simulation": "thing",
        "model_exchange": None,
        "once_per_process": False,
        "needs_execution_tool": False,
        "can_save_state": False,
        "can_serialise_state": False,
        "can_handle_variable_step": True,
        "has_event_mode": False,
        "may_return_early": False,
        "fixed_step_s": None,
        "default_stop_s": None,
        "default_step_s": None,
        "default_tolerance": None,
        "n_states": 0,
        "n_event_indicators": 0,
    }
    return FmuInfo(**{**values, **changes})


def run(values, refined=1):
    """Return a run whose communication steps end with ``values``, one variable and one device."""
    steps = np.asarray(values, dtype=float).reshape(-1, refined)
    ends = np.concatenate([[0.0], steps[:, -1]])[:, np.newaxis, np.newaxis]
    return Run(
        values=ends,
        means=steps.mean(axis=1)[:, np.newaxis, np.newaxis],
        refined=refined,
        seconds_per_step=0.0,
    )


@pytest.mark.parametrize(
    ("described", "asked", "step_s", "n_steps", "is_stated"),
    [
        ({}, {}, 60.0, 100, False),
        ({"default_stop_s": 1.0}, {}, 0.01, 100, False),
        ({"default_stop_s": 1.0, "default_step_s": 0.1}, {}, 0.1, 10, True),
        ({"default_stop_s": 1.0, "fixed_step_s": 0.05, "default_step_s": 0.1}, {}, 0.05, 20, True),
        ({"default_stop_s": 1.0, "default_step_s": 0.1}, {"step_s": 0.25}, 0.25, 4, True),
        ({"default_stop_s": 1.0, "default_step_s": 0.1}, {"stop_s": 3.0}, 0.1, 30, True),
        ({}, {"stop_s": 50.0}, 0.5, 100, False),
        ({"default_stop_s": 1e8, "default_step_s": 0.1}, {}, 0.1, MOST_STEPS, True),
        ({"default_stop_s": 1e8, "default_step_s": 1.0}, {"stop_s": 5000.0}, 1.0, 5000, True),
    ],
)
def test_the_step_and_length_are_the_users_then_the_fmus_then_a_guess(
    described, asked, step_s, n_steps, is_stated
):
    times = trial_times(info(**described), CheckOptions(**asked))
    assert (times.step_s, times.n_steps, times.is_stated) == (pytest.approx(step_s), n_steps, is_stated)
    assert bool(times.note) == (n_steps == MOST_STEPS)


@pytest.mark.parametrize("asked", [{"step_s": 0.0}, {"stop_s": -1.0}, {"step_s": float("inf")}])
def test_a_time_that_is_not_positive_is_refused(asked):
    with pytest.raises(FmuMappingError, match="positive"):
        trial_times(info(), CheckOptions(**asked))


def test_a_run_shorter_than_a_step_is_refused():
    with pytest.raises(FmuMappingError, match="shorter than a step of 10 s"):
        trial_times(info(), CheckOptions(step_s=10.0, stop_s=5.0))


def test_values_at_the_end_of_a_step_are_compared_as_such():
    """1, 2, 3 against 1, 2, 4 (range 3): the mean difference is 1/3, a ninth of the range."""
    (share,) = relative_difference(run([1, 2, 3]), run([1, 2, 4]))
    assert share == pytest.approx(1 / 9)


def test_an_amount_in_a_step_is_the_same_when_the_step_is_halved():
    whole, halves = run([2.0, 4.0, 8.0]), run([1.0, 1.0, 2.0, 2.0, 4.0, 4.0], refined=2)
    assert relative_difference(whole, halves) == [0.0]
    assert relative_difference(halves, whole) == [0.0]


def test_a_mean_of_a_step_is_the_same_when_the_step_is_halved():
    assert relative_difference(run([2.0, 5.0]), run([1.0, 3.0, 4.0, 6.0], refined=2)) == [0.0]


def test_a_constant_is_compared_with_its_own_size():
    """An output that stands at 1000 and at 1001 is apart by one thousandth of its size, the whole of that share."""
    (share,) = relative_difference(run([1000.0, 1000.0]), run([1001.0, 1001.0]))
    assert share == pytest.approx(1 / 1.001)


def test_nothing_and_something_are_infinitely_apart():
    assert relative_difference(run([1.0, 1.0]), run([0.0, 0.0])) == [np.inf]


def test_a_run_that_overflows_is_infinitely_apart():
    assert relative_difference(run([1.0, np.inf]), run([1.0, 2.0])) == [np.inf]
    assert relative_difference(run([1.0, np.nan]), run([1.0, 2.0])) == [np.inf]


def test_outputs_are_watched_and_locals_only_where_there_are_none():
    output, text = variable("y"), variable("words", type="String")
    inner, stepwise = variable("x", "local"), variable("mode", "local", variability="discrete")
    assert watched_variables(info(output, text, inner)) == (output,)
    assert watched_variables(info(text, inner, stepwise)) == (inner,)


def test_the_size_of_a_fleet_is_the_one_dimension_that_all_ports_share():
    ports = [variable("u", "input", shape=("n",)), variable("y", shape=("n",))]
    assert array_size_of(info(*ports)) == "n"
    assert array_size_of(info(*ports, variable("z"))) is None
    assert array_size_of(info(variable("y", shape=(3,)))) is None
    assert array_size_of(info(variable("y", shape=("n", "n")))) is None


@pytest.mark.parametrize(
    ("start", "given", "expected"),
    [
        (None, {}, 0.0),
        ("2.5", {}, 2.5),
        ("true", {}, 1.0),
        ("1 1 1", {}, 1.0),
        ("2.5", {"u": 4}, 4.0),
        (None, {"u": True}, 1.0),
    ],
)
def test_inputs_are_held_at_what_is_given_else_at_their_start(start, given, expected):
    assert start_number(variable("u", "input", start=start), CheckOptions(parameters=given)) == expected


def test_an_input_that_is_given_a_word_is_refused():
    with pytest.raises(FmuMappingError, match="input u: 'much' is not a number"):
        start_number(variable("u", "input"), CheckOptions(parameters={"u": "much"}))


def outcomes(described):
    return {check.id: check for check in static_checks(described)}


def test_what_the_standard_forbids_is_a_warning_that_counts_the_rest():
    checks = outcomes(info(problems=("one", "two", "three", "four")))
    assert checks["description"].outcome is Outcome.WARNING
    assert checks["description"].evidence == "4 against the standard: one; two; three; 1 more"


def test_a_unit_with_an_unusual_definition_or_none_is_a_warning():
    odd = info(variable("p", unit="kW"), unit_factors={"kW": ((1, 2, -3, 0, 0, 0, 0, 0), 1.0, 0.0)})
    strange = info(variable("p", unit="furlong"))
    good = info(variable("p", unit="kW"), unit_factors={"kW": ((1, 2, -3, 0, 0, 0, 0, 0), 1000.0, 0.0)})
    assert outcomes(odd)["units"].outcome is Outcome.WARNING
    assert "p in kW" in outcomes(odd)["units"].evidence
    assert outcomes(strange)["units"].outcome is Outcome.WARNING
    assert outcomes(good)["units"].outcome is Outcome.PASSED


def test_ports_without_a_unit_are_named():
    found = outcomes(info(variable("p"), variable("q", unit="W"), variable("inner", "local")))["units"]
    assert found.outcome is Outcome.PASSED
    assert "none is stated for p:" in found.evidence


def test_a_start_outside_min_and_max_is_a_warning():
    found = outcomes(info(variable("k", "parameter", start="7", low=0.0, high=5.0)))["starts"]
    assert found.outcome is Outcome.WARNING
    assert found.evidence == "k = 7 outside [0, 5]"


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([Outcome.PASSED, Outcome.SKIPPED], Verdict.WORKS),
        ([Outcome.PASSED, Outcome.WARNING], Verdict.WORKS_WITH_WARNINGS),
        ([Outcome.FAILED, Outcome.WARNING], Verdict.DOES_NOT_WORK),
    ],
)
def test_the_verdict_is_the_worst_that_was_found(found, verdict):
    checks = tuple(
        CheckResult.of(f"c{place}", "A check", Finding(outcome=outcome, evidence="seen"))
        for place, outcome in enumerate(found)
    )
    report = FmuReport(file="a.fmu", sha256="", model="a", fmi_version="2.0", how="", checks=checks)
    assert report.verdict is verdict
    assert report.to_dict()["verdict"] == verdict.value
    assert sum(report.to_dict()["counts"].values()) == len(found)
