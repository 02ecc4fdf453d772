"""Where guardians of a user leave their sockets and their notes, and where a machine keeps its locks."""

import os
import stat
import tempfile
from pathlib import Path

from hil_adapters.errors import GuardianError

__all__ = ["LOCKS", "RUNTIME_VARIABLE", "guardian_folders", "lock_folder", "make_private", "runtime_folder"]

RUNTIME_VARIABLE = "GEMELLO_RUNTIME_DIR"
"""Where it is set, guardians register there and nowhere else, and an e-stop looks nowhere else."""

LOCKS = "gemello-locks"
_PRIVATE = 0o700
_SHARED = 0o1777


def runtime_folder() -> Path:
    """Return the private folder of this user's guardians; it need not exist."""
    return _candidates()[0]


def guardian_folders() -> tuple[Path, ...]:
    """Return every folder where guardians of this user may have registered, whatever their shell was set to."""
    return tuple(folder for folder in _candidates() if folder.is_dir())


def _candidates() -> list[Path]:
    forced = os.environ.get(RUNTIME_VARIABLE)
    if forced:
        return [Path(forced) / "guardians"]
    found = []
    xdg = os.environ.get("XDG_RUNTIME_DIR")
    if xdg:
        found.append(Path(xdg) / "gemello" / "guardians")
    usual = Path("/run/user") / str(os.getuid())
    if usual.is_dir():
        found.append(usual / "gemello" / "guardians")
    found.append(Path(tempfile.gettempdir()) / f"gemello-{os.getuid()}" / "guardians")
    return list(dict.fromkeys(found))


def make_private(folder: Path) -> None:
    """Create ``folder`` for this user alone (0700).

    Raises:
        GuardianError: it cannot be created, is a link, or belongs to or is open to somebody else.
    """
    try:
        for level in (folder.parent, folder):
            level.mkdir(mode=_PRIVATE, parents=level == folder.parent, exist_ok=True)
        about = folder.lstat()
    except OSError as error:
        raise GuardianError(f"{folder}: cannot be created ({error}); set {RUNTIME_VARIABLE}") from error
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise GuardianError(f"{folder}: not a folder of this user; remove it or set {RUNTIME_VARIABLE}")
    if stat.S_IMODE(about.st_mode) & 0o077:
        folder.chmod(_PRIVATE)


def lock_folder() -> Path:
    """Return the folder of locks of this machine, made for all its users (sticky), because a device has one master.

    Raises:
        GuardianError: it cannot be created.
    """
    forced = os.environ.get(RUNTIME_VARIABLE)
    folder = Path(forced) / "locks" if forced else Path(tempfile.gettempdir()) / LOCKS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.lstat().st_uid == os.getuid():
            folder.chmod(_SHARED)
    except OSError as error:
        raise GuardianError(f"{folder}: the folder of device locks cannot be made: {error}") from error
    return folder
