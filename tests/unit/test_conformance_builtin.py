"""Every built-in strategy keeps to the contract that the conformance suite checks."""

from itertools import count
from pathlib import Path

import pytest

from twin.conformance import Outcome, Subject, check_controller, synthetic_case
from twin.control.registry import BUILTIN, resolve

PARAMS = {"peak_shaving": {"limit_kw": 2.0}}
LIVE = {"external"}
"""Somebody outside decides, in real time: there is nothing to repeat."""


def report_on(name, *, case=None, params=None):
    subject = Subject(
        name=name, factory=resolve(name, Path()), params=PARAMS.get(name, {}) if params is None else params
    )
    tick = count()
    return check_controller(subject, case=case, clock=lambda: 0.001 * next(tick))


def evidence(report, outcome):
    return {check.id: check.evidence for check in report.of(outcome)}


@pytest.mark.parametrize("name", sorted(set(BUILTIN) - LIVE))
def test_every_built_in_strategy_conforms(name):
    # a day of hours is enough for planners, which take their time
    case = synthetic_case("one day", n_steps=24, dt_s=3600) if "mpc" in name else None
    report = report_on(name, case=case)
    assert report.passed, evidence(report, Outcome.FAILED)
    assert "device_limits" not in evidence(report, Outcome.ADVICE)
    if "mpc" in name:
        assert evidence(report, Outcome.SKIPPED)["future"] == "declares a perfect forecast"
    else:
        assert "192 proposals are equal" in evidence(report, Outcome.PASSED)["future"]


@pytest.mark.parametrize("name", ["mpc", "aggregator_mpc"])
def test_planners_with_persistence_read_nothing_of_the_future(name):
    case = synthetic_case("two days", n_homes=5, n_steps=48, dt_s=3600)
    report = report_on(name, case=case, params={"forecast": "persistence", "horizon_h": 12})
    assert report.passed, evidence(report, Outcome.FAILED)
    assert "48 proposals are equal" in evidence(report, Outcome.PASSED)["future"]
