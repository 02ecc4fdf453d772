"""Which guardians of this user run, and the e-stop that reaches all of them from anywhere."""

import contextlib
import datetime as dt
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hil_adapters.errors import GuardError, GuardianError, HilError
from hil_adapters.guard.calling import call
from hil_adapters.guard.messages import GuardianConfig
from hil_adapters.guard.places import RUNTIME_VARIABLE, guardian_folders, make_private, runtime_folder

__all__ = ["RunningGuardian", "Stopped", "estop", "register", "running_guardians", "socket_file", "withdraw"]

_LONGEST_PATH = 100
"""Paths of Unix sockets end at 104 to 108 bytes, by system."""
_ASK_TIMEOUT_S = 2.0
_TRIP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningGuardian:
    """A guardian that answers."""

    pid: int
    socket: Path
    devices: tuple[str, ...]
    folder: Path
    started: str
    """ISO time, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What an e-stop did at one guardian."""

    pid: int
    devices: tuple[str, ...]
    error: str | None
    """None: every device is in its safe state and said so."""


def socket_file() -> Path:
    """Return where this process serves, in a folder that only its user can enter.

    Raises:
        GuardianError: the folder cannot be made, or its path is too long for a socket.
    """
    folder = runtime_folder()
    make_private(folder)
    path = folder / f"{os.getpid()}.sock"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise GuardianError(f"{path}: too long for a socket; set {RUNTIME_VARIABLE} to a shorter path")
    return path


def register(path: Path, config: GuardianConfig) -> Path:
    """Write the note of this process beside its socket and return it."""
    note = path.with_suffix(".json")
    text = json.dumps(
        {
            "pid": os.getpid(),
            "socket": str(path),
            "devices": [device.name for device in config.devices],
            "folder": str(config.folder.absolute()),
            "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
    )
    unfinished = note.with_suffix(".part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(note)
    except OSError as error:
        raise GuardianError(
            f"{note}: cannot be written: {error}; an e-stop would not find this guardian"
        ) from error
    return note


def withdraw(path: Path) -> None:
    """Remove socket and note of a guardian that ends, given either; may be called again."""
    for file in (path.with_suffix(".sock"), path.with_suffix(".json")):
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def running_guardians() -> tuple[RunningGuardian, ...]:
    """Return the guardians of this user that answer; notes of those that are gone are removed."""
    found: list[RunningGuardian] = []
    for note in _notes():
        guardian = _read(note)
        if guardian is None:
            continue
        try:
            call(guardian.socket, {"kind": "status"}, timeout_s=_ASK_TIMEOUT_S)
        except HilError as failure:
            if _is_gone(guardian.pid, failure):
                withdraw(note)
                continue
            # it exists but does not answer: it is told of, an e-stop must try it
        found.append(guardian)
    return tuple(found)


def estop(reason: str) -> list[Stopped]:
    """Trip every guardian of this user and return what came of it, one entry for each. Never raises for one of them."""
    notes = _notes()
    if not notes:
        return []
    # all at once: one that does not answer must not keep the others waiting
    with ThreadPoolExecutor(max_workers=len(notes)) as callers:
        told = list(callers.map(lambda note: _trip(note, reason), notes))
    return [stopped for stopped in told if stopped is not None]


def _trip(note: Path, reason: str) -> Stopped | None:
    """Trip one guardian; None where there is none any more."""
    guardian = _read(note)
    if guardian is None:
        return None
    error: str | None = None
    try:
        call(guardian.socket, {"kind": "trip", "reason": reason}, timeout_s=_TRIP_TIMEOUT_S)
    except GuardError as failure:
        error = str(failure)
    except HilError as failure:
        if _is_gone(guardian.pid, failure):
            withdraw(note)
            return None
        error = f"{failure}; end process {guardian.pid}, its devices then let go by their own watchdogs"
    return Stopped(pid=guardian.pid, devices=guardian.devices, error=error)


def _notes() -> list[Path]:
    return [note for folder in guardian_folders() for note in sorted(folder.glob("*.json"))]


def _read(note: Path) -> RunningGuardian | None:
    try:
        about = json.loads(note.read_text(encoding="utf-8"))
        return RunningGuardian(
            pid=int(about["pid"]),
            socket=Path(about["socket"]),
            devices=tuple(about["devices"]),
            folder=Path(about["folder"]),
            started=str(about["started"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        # it ended while its folder was listed, or it is not a note
        return None


def _is_gone(pid: int, failure: HilError) -> bool:
    """Return whether a guardian that did not answer has ended."""
    if isinstance(failure.__cause__, ConnectionRefusedError):
        # nobody listens: its number may have gone to another process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
