"""Every error this program raises on purpose.

TwinError
├── InputError           what the user gave is wrong; the command exits with 2
│   ├── ScenarioError    one or more mistakes in a scenario file, each with file, line and field
│   ├── ProfileError     a time series of the user is missing, incomplete or unreadable
│   └── RunFolderError   a stored run is missing, unreadable or not a run
└── RunError             a run started and could not be finished; the command exits with 1
    ├── WiringError      a connection between simulators does not fit in unit, sign, shape or time base
    ├── ControllerError  a strategy returned something that is not a valid proposal
    └── StoreError       results could not be written (disk full, read-only folder)

A message says what is wrong, where, and what to do about it. Programming mistakes stay ``ValueError`` and
``TypeError``. The leaves ``models`` and ``hil_adapters`` raise their own errors; the seam translates them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ControllerError",
    "InputError",
    "Mistake",
    "ProfileError",
    "RunError",
    "RunFolderError",
    "ScenarioError",
    "StoreError",
    "TwinError",
    "WiringError",
]


class TwinError(Exception):
    """Root of all errors raised on purpose."""


class InputError(TwinError):
    """What the user gave is wrong; nothing was run and nothing written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake in a scenario file."""

    file: str
    line: int | None
    """Line in ``file``, counted from 1; None where the mistake has no single line."""
    field: str
    """Dotted path of the field, e.g. ``devices[1].capacity_kwh``; empty for the file as a whole."""
    message: str
    """What is wrong, what was found, and the remedy."""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


class ScenarioError(InputError):
    """A scenario file has mistakes; ``mistakes`` holds all of them in file order."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class ProfileError(InputError):
    """A time series of the user is missing, incomplete or unreadable."""


class RunFolderError(InputError):
    """A stored run is missing, unreadable or not a run."""


class RunError(TwinError):
    """A run started and could not be finished."""


class WiringError(RunError):
    """A connection between two simulators does not fit."""


class ControllerError(RunError):
    """A strategy returned something that is not a valid proposal."""


class StoreError(RunError):
    """Results could not be written."""
