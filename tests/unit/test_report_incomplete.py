"""Naming and judging strategies, whole and incomplete, in the report and in ``twin compare``."""

import json
import shutil

import pytest

from twin.compare import stored_columns
from twin.errors import RunFolderError
from twin.kpis import Verdict
from twin.report import build_report
from twin.report.incomplete import downgraded, steps_label, verdict_words
from twin.results import RunReader


def _verdict(status, leaning=""):
    return Verdict(question="en50160", label="EN 50160", status=status, reason="Why.", leaning=leaning)


@pytest.mark.parametrize(
    ("status", "leaning", "words"),
    [
        ("pass", "", "pass"),
        ("indicative", "", "indicative"),
        ("indicative", "kept", "indicative, likely kept"),
        ("indicative", "exceeded", "indicative, likely exceeded"),
        ("fail", "exceeded", "fail"),
    ],
)
def test_an_indicative_verdict_says_where_it_leans_to(status, leaning, words):
    assert verdict_words(_verdict(status, leaning)) == words


def test_part_of_a_period_can_break_a_limit_but_not_keep_it():
    found = [
        _verdict("pass"),
        _verdict("fail"),
        _verdict("indicative", "kept"),
        _verdict("indicative", "exceeded"),
    ]
    partial = downgraded(found)
    assert [verdict.status for verdict in partial] == ["indicative", "fail", "indicative", "indicative"]
    assert [verdict.leaning for verdict in partial] == ["", "", "", "exceeded"]
    assert all(verdict.reason == "Incomplete run. Why." for verdict in partial)


def test_the_label_tells_the_steps_of_an_incomplete_strategy():
    assert steps_label("mine", 28, 96) == "mine (28 of 96 steps)"
    assert steps_label("mine", 96, 96) == "mine"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, make_stored_run):
    folder = tmp_path_factory.mktemp("runs")
    make_stored_run(folder / "whole", days=1, n_buses=12)
    make_stored_run(folder / "stopped", days=1, n_buses=12, stop={"none": 28, "mpc": 0})
    make_stored_run(folder / "longer", days=2, n_buses=14)
    return folder


def test_one_run_keeps_its_labels_and_needs_no_legend(runs):
    found = stored_columns([runs / "whole"])
    assert list(found.columns) == ["No control", "Self-consumption", "Peak shaving", "Predictive (MPC)"]
    assert (found.legend, found.warnings, found.incomplete) == ((), (), ())


def test_an_incomplete_strategy_is_judged_as_in_the_report(runs):
    found = stored_columns([runs / "stopped"])
    label = "No control (28 of 96 steps)"
    assert found.incomplete == (label,)
    column = found.columns[label]
    assert all(verdict.status != "pass" for verdict in column.verdicts)
    html = build_report(RunReader(runs / "stopped"))
    assert all(verdict.reason.split(":")[0] in html for verdict in column.verdicts)
    assert found.warnings == ("Predictive (MPC) has no key figures (0 of 96 steps, interrupted)",)


def test_several_runs_are_numbered_and_explained(runs):
    found = stored_columns([runs / "whole", runs / "longer"])
    assert list(found.columns)[::4] == ["[1] No control", "[2] No control"]
    assert len(found.columns) == 8
    assert found.legend == (
        f"[1] tiny_rural: {runs / 'whole'}, Mon 13 Jun 2016, 00:00 to Tue 14 Jun 2016, 00:00, step 15 min",
        f"[2] tiny_rural: {runs / 'longer'}, Mon 13 Jun 2016, 00:00 to Wed 15 Jun 2016, 00:00, step 15 min",
    )
    (warning,) = found.warnings
    assert warning.startswith("[2] and [1] differ in the period")


def test_the_same_run_twice_stays_two_and_is_said(runs):
    found = stored_columns([runs / "whole", runs / "whole"])
    assert len(found.columns) == 8
    assert found.warnings == ("[2] is the same run as [1]",)


@pytest.mark.parametrize(("name", "key", "value"), [("feeder", "sha256", "f00"), ("context", "dt_s", 300)])
def test_another_feeder_or_step_is_warned_of(runs, tmp_path, name, key, value):
    other = tmp_path / "other"
    shutil.copytree(runs / "whole", other)
    content = json.loads((other / f"{name}.json").read_text(encoding="utf-8"))
    (other / f"{name}.json").write_text(json.dumps(content | {key: value}), encoding="utf-8")
    warnings = stored_columns([runs / "whole", other]).warnings
    what = "feeder" if name == "feeder" else "step"
    assert any(line.startswith(f"[2] and [1] differ in the {what}:") for line in warnings)


def test_the_run_taken_from_a_folder_of_runs_is_named(runs):
    found = stored_columns([runs])
    (line,) = found.legend
    assert f"(the last run in {runs})" in line


def test_strategies_with_the_same_label_are_told_apart(runs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs / "whole", other)
    content = json.loads((other / "manifest.json").read_text(encoding="utf-8"))
    content["strategies"]["mpc"]["label"] = "No control"
    (other / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    assert {"No control (none)", "No control (mpc)"} <= set(stored_columns([other]).columns)


def test_runs_without_results_say_why(tmp_path, make_stored_run):
    names = ("none", "self_consumption", "peak_shaving", "mpc")
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12, stop=dict.fromkeys(names, 0))
    content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    content["strategies"]["none"] |= {"status": "failed", "message": "the engine found no solution"}
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunFolderError, match="failed: the engine found no solution"):
        stored_columns([folder])


def test_a_strategy_whose_folder_was_never_made_is_reported(tmp_path, make_stored_run):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12, stop={"mpc": 0})
    shutil.rmtree(folder / "mpc")
    assert "Predictive (MPC): 0 of 96 steps stored" in build_report(RunReader(folder))
