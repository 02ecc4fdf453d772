"""The manifest and the reader of a run."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from twin.errors import RunFolderError, StoreError
from twin.results import layout
from twin.results.layout import Detail
from twin.results.manifest import Manifest, RunStatus, read_manifest, write_manifest
from twin.results.reader import RunReader
from twin.results.writer import StrategyWriter
from twin.signals import RECORDED, Axis

START = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
END = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def manifest():
    return Manifest.begin(
        scenario="rural",
        scenario_sha256="ab" * 32,
        seed=7,
        created=START,
        n_steps=5,
        dt_s=900,
        labels={"none": "PV only", "mpc": "Optimal"},
    )


def test_a_manifest_comes_back_as_it_was_written(tmp_path, manifest):
    finished = (
        manifest.with_details(engine_check={"max_vm_error_pu": 2e-8}, options={"days": 2})
        .with_notes("prices are an assumption", "prices are an assumption")
        .with_strategy("none", RunStatus.FINISHED, steps_done=5)
        .with_strategy("mpc", RunStatus.FAILED, steps_done=2, message="step 2: no optimum")
        .finish(RunStatus.FAILED, finished=END)
    )
    write_manifest(tmp_path, finished)
    assert read_manifest(tmp_path) == finished
    assert finished.notes == ("prices are an assumption",)
    assert finished.strategies["mpc"].message == "step 2: no optimum"
    assert finished.created == START


def test_a_run_that_is_marked_as_running_reads_as_unfinished(tmp_path, manifest):
    write_manifest(tmp_path, manifest.with_strategy("none", RunStatus.RUNNING))
    read = read_manifest(tmp_path)
    assert read.status is RunStatus.UNFINISHED
    assert read.strategies["none"].status is RunStatus.UNFINISHED
    assert read.strategies["mpc"].status is RunStatus.WAITING


def test_an_interrupt_ends_the_strategy_that_was_running_and_no_other(manifest):
    ended = (
        manifest.with_strategy("none", RunStatus.FINISHED, steps_done=5)
        .with_strategy("mpc", RunStatus.RUNNING)
        .finish(RunStatus.INTERRUPTED, finished=END)
    )
    assert ended.strategies["none"].status is RunStatus.FINISHED
    assert ended.strategies["mpc"].status is RunStatus.INTERRUPTED


def test_the_manifest_says_what_made_the_run_and_nothing_about_the_computer(manifest):
    assert manifest.versions["numpy"] == np.__version__
    assert set(manifest.versions) >= {"duckdb", "mosaik", "pandapower", "power-grid-model", "pyarrow"}
    text = manifest.model_dump_json()
    assert "/" not in manifest.platform
    assert "hostname" not in text


def test_a_time_without_zone_is_refused(manifest):
    values = manifest.model_dump() | {"created": "2026-07-01T08:00:00"}
    with pytest.raises(ValidationError, match="timezone"):
        Manifest.model_validate(values)


def test_a_number_that_is_not_finite_is_refused_and_the_old_manifest_stays(tmp_path, manifest):
    write_manifest(tmp_path, manifest)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(tmp_path, manifest.with_details(engine_check={"error": float("nan")}, options={}))
    assert read_manifest(tmp_path).engine_check == {}


def test_a_full_disk_keeps_the_old_manifest(tmp_path, manifest):
    write_manifest(tmp_path, manifest)
    (tmp_path / f"{layout.MANIFEST}.tmp").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"manifest\.json: .*the disk is full"):
        write_manifest(tmp_path, manifest.finish(RunStatus.FINISHED, finished=END))
    assert read_manifest(tmp_path).status is RunStatus.UNFINISHED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\ufffe", "not JSON"),
        ("[]", "restore the file or run again"),
        ('{"format": 1}', "scenario: Field required"),
        ('{"format": 2, "anything": 1}', "format 2 is later than 1, the last one known here; update gemello"),
    ],
    ids=["empty", "cut", "binary", "list", "fields missing", "later version"],
)
def test_a_damaged_manifest_is_an_error_that_names_the_file(tmp_path, text, message):
    (tmp_path / layout.MANIFEST).write_text(text)
    with pytest.raises(RunFolderError, match=message) as caught:
        RunReader(tmp_path)
    assert str(tmp_path / layout.MANIFEST) in str(caught.value)


def test_a_folder_that_is_not_a_run_says_what_to_give_instead(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(RunFolderError, match=r"not a run: no manifest\.json; give the folder results/"):
            RunReader(folder)


def test_a_manifest_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / layout.MANIFEST).mkdir()
    with pytest.raises(RunFolderError, match=r"manifest\.json: cannot be read: Is a directory"):
        read_manifest(tmp_path)


@pytest.fixture
def stored(tmp_path, manifest):
    """A run with one finished strategy of 5 steps and one that was not started."""
    write_manifest(tmp_path, manifest.with_strategy("none", RunStatus.FINISHED, steps_done=5))
    names = {Axis.FEEDER: ("feeder",), Axis.TRAFO: ("t",)}
    with StrategyWriter(
        tmp_path / "none",
        names=names,
        detail=Detail.ALL,
        selected={},
        steps_per_part=3,
        on_chunk=lambda _: None,
    ) as writer:
        for step in range(5):
            writer.append(step, {s.key: np.array([step]) for s in RECORDED if s.axis in names})
    return tmp_path


def test_a_run_gives_its_strategies_by_name(stored):
    run = RunReader(stored)
    assert run.strategies == ("none", "mpc")
    assert run.strategy("none").series("trafo.p_kw").tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]


def test_an_unknown_strategy_and_one_that_was_not_started_are_told_apart(stored):
    run = RunReader(stored)
    with pytest.raises(RunFolderError, match="no strategy 'None'; the run has none, mpc"):
        run.strategy("None")
    with pytest.raises(RunFolderError, match="mpc: nothing stored: the strategy was not started"):
        run.strategy("mpc")


def test_a_finished_strategy_that_lost_its_last_part_is_refused(stored):
    for axis in (Axis.FEEDER, Axis.TRAFO):
        layout.part_path(stored / "none", axis, 1).unlink()
    with pytest.raises(RunFolderError, match="3 steps are there, 5 were stored"):
        RunReader(stored).strategy("none")


def test_the_manifest_is_readable_by_people(stored):
    text = (stored / layout.MANIFEST).read_text()
    assert json.loads(text)["created"] == "2026-07-01T08:00:00Z"
    assert text.count("\n") > 20
