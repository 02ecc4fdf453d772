"""Scenario 09, shortened to a morning: an EMS outside against the rules of the program."""

import json
from pathlib import Path

import numpy as np
import pytest

from twin import RunOptions, load_scenario, run
from twin.report import write_report
from twin.results import RunReader, RunStatus

FILE = Path(__file__).parents[2] / "scenarios/09_controller_in_the_loop.yaml"
HOME = "LV3.101 Load 52"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    changed = {"period.start": "2016-07-04T07:00", "period.duration_s": "150 min"}
    result = run(load_scenario(FILE, overrides=changed), RunOptions(out=tmp_path_factory.mktemp("results")))
    assert [entry.message for entry in result.failed] == []
    assert not result.invalid
    return result.folder


def meter_kw(folder, strategy):
    names = json.loads((folder / strategy / "axes.json").read_text())["axes"]["home"]["names"]
    return RunReader(folder).strategy(strategy).series("home.p_kw")[:, names.index(HOME)]


def test_the_outside_ems_keeps_the_meter_nearly_as_well_as_the_rule_that_is_not_a_step_late(folder):
    idle, rule, outside = (
        np.abs(meter_kw(folder, name)[2:]).mean() for name in ("none", "self_consumption", "outside")
    )
    assert rule <= outside < 0.35 * idle, (rule, outside, idle)


def test_all_other_homes_do_what_the_rule_does(folder):
    rule, outside = (RunReader(folder).strategy(name) for name in ("self_consumption", "outside"))
    names = json.loads((folder / "outside/axes.json").read_text())["axes"]["home"]["names"]
    others = [at for at, name in enumerate(names) if name != HOME]
    # the feeder differs by what the one home does, and so do voltages; powers of the other homes do not
    assert np.allclose(rule.series("home.p_kw")[:, others], outside.series("home.p_kw")[:, others], atol=1e-3)


def test_it_is_stored_with_its_timing_and_reported(folder):
    reader = RunReader(folder)
    assert reader.manifest.status is RunStatus.FINISHED
    timing = reader.manifest.strategies["outside"].live["timing"]
    assert timing["n_steps"] == 30
    assert timing["tick_s"] == pytest.approx(0.3)
    assert write_report(folder).stat().st_size < 2_000_000
