"""What a fleet may leave behind: processes, temporary folders, open files, threads, another working directory."""

import contextlib
import os
import select
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Place", "ended", "processes_with", "watched_place"]

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Place:
    """Where everything temporary of a test goes, of its child processes too."""

    temporary: Path
    work: Path

    def folders(self) -> list[str]:
        """Return what lies in the temporary folder."""
        return sorted(entry.name for entry in self.temporary.iterdir())


@contextlib.contextmanager
def watched_place(folder: Path) -> Iterator[Place]:
    """Give a test its own temporary folder, and fail if it leaves anything behind."""
    place = Place(folder / "temporary", folder / "work")
    for entry in (place.temporary, place.work):
        entry.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(place.temporary))
        patch.setattr(tempfile, "tempdir", None)
        directory, files, threads = Path.cwd(), _open_files(), threading.active_count()
        yield place
        assert Path.cwd() == directory
        assert [pid for pid in processes_with(str(place.temporary)) if not ended(pid)] == []
        assert place.folders() == []
        assert _open_files() == files
        assert threading.active_count() == threads


def processes_with(text: str) -> list[int]:
    """Return the other processes that have a text in their environment, as they were started; Linux only."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) != os.getpid() and text.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def ended(pid: int, patience_s: float = PATIENCE_S) -> bool:
    """Wait for a process to end; it need not be a child of this one."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], patience_s)[0])
    finally:
        os.close(descriptor)


def _open_files() -> list[str]:
    if sys.platform != "linux":
        return []
    shown = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            shown.append(f"{entry.name} {entry.readlink()}")
    return sorted(name for name in shown if "/proc/" not in name)
