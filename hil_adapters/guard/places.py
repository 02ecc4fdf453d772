"""Where guardians of a user leave their sockets and their notes, and where a machine keeps its locks."""

import os
import stat
from pathlib import Path

from hil_adapters.errors import GuardianError

__all__ = ["LOCKS", "RUNTIME_VARIABLE", "guardian_folders", "lock_folder", "make_private", "runtime_folder"]

RUNTIME_VARIABLE = "GEMELLO_RUNTIME_DIR"
"""Where it is set, guardians register there and nowhere else, and an e-stop looks nowhere else."""

LOCKS = "gemello-locks"
_TEMPORARY = Path("/tmp")  # noqa: S108 - not TMPDIR, which differs between shells; whose folders they are is checked
_PRIVATE = 0o700
_SHARED = 0o1777


def runtime_folder() -> Path:
    """Return the private folder of this user's guardians; it need not exist."""
    return _candidates()[0]


def guardian_folders() -> tuple[Path, ...]:
    """Return every folder where guardians of this user may have registered, whatever their shell was set to."""
    return tuple(folder for folder in _candidates() if _is_private(folder))


def _candidates() -> list[Path]:
    forced = os.environ.get(RUNTIME_VARIABLE)
    if forced:
        return [Path(forced) / "guardians"]
    # places that do not depend on the environment: an e-stop may come from any shell of the user
    usual = Path("/run/user") / str(os.getuid())
    found = [usual / "gemello" / "guardians"] if usual.is_dir() else []
    return [*found, _TEMPORARY / f"gemello-{os.getuid()}" / "guardians"]


def _is_private(folder: Path) -> bool:
    """Return whether ``folder`` is there and nobody but its user (and root) can have put something into it."""
    try:
        parent, about = folder.parent.lstat(), folder.lstat()
    except OSError:
        return False
    owned = about.st_uid == os.getuid() and parent.st_uid in {os.getuid(), 0}
    return owned and stat.S_ISDIR(about.st_mode) and not stat.S_IMODE(about.st_mode) & 0o022


def make_private(folder: Path) -> None:
    """Create ``folder`` for this user alone (0700).

    Raises:
        GuardianError: it cannot be created, is a link, or belongs to or is open to somebody else.
    """
    try:
        for level in (folder.parent, folder):
            level.mkdir(mode=_PRIVATE, parents=level == folder.parent, exist_ok=True)
        if folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
            folder.chmod(_PRIVATE)
    except OSError as error:
        raise GuardianError(f"{folder}: cannot be created ({error}); set {RUNTIME_VARIABLE}") from error
    if not _is_private(folder):
        raise GuardianError(f"{folder}: not a folder of this user; remove it or set {RUNTIME_VARIABLE}")


def lock_folder() -> Path:
    """Return the folder of locks of this machine, made for all its users (sticky), because a device has one master.

    Raises:
        GuardianError: it cannot be created.
    """
    forced = os.environ.get(RUNTIME_VARIABLE)
    folder = Path(forced) / "locks" if forced else _TEMPORARY / LOCKS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        about = folder.lstat()
        if stat.S_ISLNK(about.st_mode):
            raise GuardianError(f"{folder}: is a link, behind which locks may change; remove it")
        if about.st_uid == os.getuid():
            folder.chmod(_SHARED)
    except OSError as error:
        raise GuardianError(f"{folder}: the folder of device locks cannot be made: {error}") from error
    return folder
