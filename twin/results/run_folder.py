"""Folders of runs: ``<out>/<scenario>/<local time>``."""

import re
from datetime import datetime
from pathlib import Path

from twin.errors import InputError, RunFolderError
from twin.results import layout
from twin.results.disk import make_folder, store_errors
from twin.results.manifest import read_manifest

__all__ = ["create_run_folder", "latest_run"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def create_run_folder(out: Path, scenario_name: str, stamp: datetime) -> Path:
    """Create and return ``out/scenario_name/2026-11-21T23-05-01``, with ``-2``, ``-3`` ... if that is taken.

    Args:
        out: folder of all results; created if missing.
        scenario_name: letters, digits, ``.``, ``_`` and ``-``, at most 100.
        stamp: local time of the start.

    Raises:
        InputError: the name cannot be a folder; nothing is created.
        StoreError: the folder cannot be created.
    """
    if not _NAME.fullmatch(scenario_name):
        raise InputError(
            f"scenario name {scenario_name!r} cannot be a folder name; "
            "use letters, digits, '.', '_' and '-', starting with a letter or digit"
        )
    base = out / scenario_name
    make_folder(base)
    name = stamp.strftime("%Y-%m-%dT%H-%M-%S")
    folder = base / name
    number = 1
    with store_errors(folder):
        while True:
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                folder = base / f"{name}-{number}"
            else:
                return folder


def latest_run(folder: Path) -> Path:
    """Return the run created last: of one scenario (``results/<scenario>``) or of all (``results``).

    A folder that is a run is returned as it is.

    Raises:
        RunFolderError: there is no run, or one of them is damaged.
    """
    if (folder / layout.MANIFEST).exists():
        return folder
    runs = [path.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/{layout.MANIFEST}")]
    if not runs:
        raise RunFolderError(f"{folder}: no run in it; start one with: twin run SCENARIO")
    return max(runs, key=lambda run: (read_manifest(run).created, len(run.name), run.name))
