"""Folders of runs on disks that are willing and disks that are not."""

import os
import resource
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from twin.errors import InputError, RunFolderError, StoreError
from twin.results.disk import write_atomic
from twin.results.manifest import Manifest, write_manifest
from twin.results.run_folder import create_run_folder, latest_run

STAMP = datetime(2026, 11, 21, 23, 5, 1, tzinfo=UTC)
NOBODY = 65534


def test_a_run_folder_is_named_after_scenario_and_local_time(tmp_path):
    folder = create_run_folder(tmp_path / "results", "rural", STAMP)
    assert folder == tmp_path / "results" / "rural" / "2026-11-21T23-05-01"
    assert folder.is_dir()


def test_runs_of_the_same_second_get_a_number(tmp_path):
    names = [create_run_folder(tmp_path, "rural", STAMP).name for _ in range(3)]
    assert names == ["2026-11-21T23-05-01", "2026-11-21T23-05-01-2", "2026-11-21T23-05-01-3"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "a b", ".hidden", "x" * 101, "a\0b"])
def test_a_name_that_cannot_be_a_folder_is_refused_and_nothing_is_created(tmp_path, name):
    with pytest.raises(InputError, match="cannot be a folder name"):
        create_run_folder(tmp_path / "results", name, STAMP)
    assert list(tmp_path.iterdir()) == []


def test_an_output_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(StoreError, match=r"results/rural: .*a part of the path is a file"):
        create_run_folder(tmp_path / "results", "rural", STAMP)


@pytest.fixture
def read_only(tmp_path):
    """A folder nobody may write to; root could, so the test is somebody else meanwhile."""
    folder = tmp_path / "results"
    folder.mkdir()
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(user)
    folder.chmod(0o755)


def test_an_output_folder_without_permission_is_refused(read_only):
    with pytest.raises(StoreError, match="no permission to write there: choose another folder with --out"):
        create_run_folder(read_only, "rural", STAMP)


@contextmanager
def small_files():
    """Files may have 1000 bytes: the system refuses the 1001st. Inside a test only: output of the tests is a file too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_runs_into_a_limit_leaves_the_old_one_and_no_rest(tmp_path):
    path = tmp_path / "manifest.json"
    write_atomic(path, b"old")
    with (
        small_files(),
        pytest.raises(StoreError, match=r"manifest\.json: .*the file is larger than the system allows"),
    ):
        write_atomic(path, bytes(2000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def stored_run(out, scenario, stamp):
    folder = create_run_folder(out, scenario, stamp)
    manifest = Manifest.begin(
        scenario=scenario, scenario_sha256="00" * 32, seed=1, created=stamp, n_steps=1, dt_s=900, labels={}
    )
    write_manifest(folder, manifest)
    return folder


def test_the_latest_run_is_the_one_created_last_of_a_scenario_or_of_all(tmp_path):
    stored_run(tmp_path, "rural", STAMP)
    rural = [stored_run(tmp_path, "rural", STAMP + timedelta(hours=1)) for _ in range(11)][-1]
    urban = stored_run(tmp_path, "urban", STAMP + timedelta(hours=2))
    create_run_folder(tmp_path, "urban", STAMP + timedelta(hours=3))
    assert rural.name.endswith("-11")
    assert latest_run(tmp_path / "rural") == rural
    assert latest_run(tmp_path) == urban
    assert latest_run(rural) == rural


def test_no_run_is_an_error_with_the_remedy(tmp_path):
    with pytest.raises(RunFolderError, match="no run in it; start one with: twin run SCENARIO"):
        latest_run(tmp_path)
