"""What a run with an outside controller keeps: addresses, every write, and what was in force in each step."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hil_adapters.virtual.bank import WriteRecord
from twin.errors import RunError, RunFolderError
from twin.external.emulated import Command
from twin.results.disk import store_errors, write_atomic
from twin.results.events import append_event, read_events

__all__ = ["Book", "RecordedCommands", "addresses_file", "log_file"]

_STEPS, _WRITES = "steps.jsonl", "writes.jsonl"


def addresses_file(folder: Path) -> Path:
    """Return where the addresses of the emulated devices are kept."""
    return folder / "addresses.json"


def log_file(folder: Path) -> Path:
    """Return where the words of a started EMS are kept."""
    return folder / "ems.log"


class Book:
    """Keeps the record of one run; ``StoreError`` where it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def addresses(self, addresses: Mapping[str, Mapping[str, object]]) -> None:
        """Store where each device answers."""
        write_atomic(addresses_file(self._folder), json.dumps(addresses, indent=2).encode())

    def step(self, step: int, commands: Mapping[str, Command], write_age_s: Mapping[str, float]) -> None:
        """Store what was in force in a step, and how old the last write to each device was [s]."""
        record = {
            "step": step,
            "commands": {name: _given(command) for name, command in commands.items()},
            "write_age_s": dict(write_age_s),
        }
        append_event(self._folder / _STEPS, record)

    def writes(self, step: int, writes: Sequence[tuple[str, WriteRecord]]) -> None:
        """Store the writes that came since the step before, refused ones included."""
        path = self._folder / _WRITES
        lines = [json.dumps({"step": step, "device": name, **asdict(record)}) for name, record in writes]
        if lines:
            with store_errors(path), path.open("ab", buffering=0) as file:
                file.write("".join(f"{line}\n" for line in lines).encode())


class RecordedCommands:
    """What was in force in the steps of an earlier run."""

    def __init__(self, folder: Path) -> None:
        """Read the record.

        Raises:
            RunFolderError: there is none, or it is damaged.
        """
        self._path = folder / _STEPS
        records = read_events(self._path)
        if not records:
            raise RunFolderError(
                f"{self._path}: no record; only a run with an outside controller can be replayed"
            )
        try:
            self._steps = {int(record["step"]): _commands(record["commands"]) for record in records}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunFolderError(f"{self._path}: a record is damaged: {error}") from error

    def of(self, step: int) -> dict[str, Command]:
        """Return what was in force in a step.

        Raises:
            RunError: the record has ended.
        """
        if step not in self._steps:
            raise RunError(f"{self._path}: the record ends here; replay as many steps as were run")
        return self._steps[step]


def _given(command: Command) -> dict[str, float]:
    return {name: value for name, value in asdict(command).items() if value is not None}


def _commands(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Command]:
    return {
        device: Command(**{name: float(value) for name, value in given.items()})
        for device, given in stored.items()
    }
