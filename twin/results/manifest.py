"""The manifest of a run: what made it, how far it came, and what is needed to repeat it."""

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from twin.results import layout
from twin.results.documents import read_document, write_document

__all__ = [
    "PACKAGES",
    "Manifest",
    "RunStatus",
    "StrategyState",
    "package_versions",
    "read_manifest",
    "write_manifest",
]

PACKAGES: tuple[str, ...] = (
    "gemello",
    "duckdb",
    "highspy",
    "mosaik",
    "mosaik-api-v3",
    "numba",
    "numpy",
    "pandapower",
    "pandas",
    "power-grid-model",
    "pvlib",
    "pyarrow",
    "scipy",
    "simbench",
)
"""Packages that can change a result."""


class RunStatus(StrEnum):
    """How far a run or a strategy came."""

    WAITING = "waiting"
    """Not started."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Stopped by the user."""
    UNFINISHED = "unfinished"
    """Read as running: it is being written still, or was killed."""


class StrategyState(BaseModel):
    """How far one strategy came."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    status: RunStatus = RunStatus.WAITING
    steps_done: int = Field(default=0, ge=0)
    """Steps that were handed to the store."""
    message: str = ""
    """Why it failed."""
    invalid: tuple[str, ...] = ()
    """Why a run in real time does not count although it finished: too late, too many readings missing."""
    live: dict[str, Any] = Field(default_factory=dict)
    """Of a run in real time: mode, punctuality, devices with their identity, and how their readings were."""


class Manifest(BaseModel):
    """What made a run. Immutable: helpers return a changed copy, :func:`write_manifest` stores it."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    format: int = layout.FORMAT
    scenario: str
    scenario_sha256: str
    seed: int
    created: AwareDatetime
    finished: AwareDatetime | None = None
    status: RunStatus = RunStatus.RUNNING
    n_steps: int = Field(ge=1)
    """Steps of each strategy when it has run to its end."""
    dt_s: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]
    """Length of a step [s]."""
    strategies: dict[str, StrategyState]
    versions: dict[str, str]
    python: str
    platform: str
    engine_check: dict[str, Any] = Field(default_factory=dict)
    """What the comparison of the engines at assembly gave."""
    notes: tuple[str, ...] = ()
    """Assumptions and warnings for the reader of the report."""
    cautions: tuple[str, ...] = ()
    """Sentences without which the summary of the results misleads."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the command that differ from the scenario."""

    @classmethod
    def begin(
        cls,
        *,
        scenario: str,
        scenario_sha256: str,
        seed: int,
        created: datetime,
        n_steps: int,
        dt_s: float,
        labels: Mapping[str, str],
    ) -> "Manifest":
        """Return the manifest of a run that starts; ``labels`` by strategy name, ``created`` with a time zone."""
        return cls(
            scenario=scenario,
            scenario_sha256=scenario_sha256,
            seed=seed,
            created=created,
            n_steps=n_steps,
            dt_s=dt_s,
            strategies={name: StrategyState(label=label) for name, label in labels.items()},
            versions=package_versions(),
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
        )

    def with_details(self, *, engine_check: Mapping[str, Any], options: Mapping[str, Any]) -> "Manifest":
        """Return a copy with the check of the engines and the options of the command."""
        return self.model_copy(update={"engine_check": dict(engine_check), "options": dict(options)})

    def with_strategy(
        self, name: str, status: RunStatus, *, steps_done: int = 0, message: str = ""
    ) -> "Manifest":
        """Return a copy with the state of one strategy; ``KeyError`` for an unknown one."""
        state = self.strategies[name].model_copy(
            update={"status": status, "steps_done": steps_done, "message": message}
        )
        return self.model_copy(update={"strategies": {**self.strategies, name: state}})

    def with_live(self, name: str, *, live: Mapping[str, Any], invalid: Sequence[str]) -> "Manifest":
        """Return a copy with what a run in real time has to tell of itself; ``KeyError`` for an unknown strategy."""
        state = self.strategies[name].model_copy(update={"live": dict(live), "invalid": tuple(invalid)})
        return self.model_copy(update={"strategies": {**self.strategies, name: state}})

    def with_notes(self, *notes: str) -> "Manifest":
        """Return a copy with further notes; one that is there already is not repeated."""
        return self.model_copy(update={"notes": tuple(dict.fromkeys((*self.notes, *notes)))})

    def with_cautions(self, *cautions: str) -> "Manifest":
        """Return a copy with further cautions."""
        return self.model_copy(update={"cautions": (*self.cautions, *cautions)})

    def finish(self, status: RunStatus, *, finished: datetime) -> "Manifest":
        """Return a copy of a run that ended; strategies still running take its status."""
        strategies = {
            name: state.model_copy(update={"status": status}) if state.status is RunStatus.RUNNING else state
            for name, state in self.strategies.items()
        }
        return self.model_copy(update={"status": status, "finished": finished, "strategies": strategies})


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that can change a result."""
    versions: dict[str, str] = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest so that readers see the old one or the whole of the other.

    Raises:
        StoreError: the file cannot be written.
    """
    write_document(folder / layout.MANIFEST, manifest)


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest; what is marked as running reads as unfinished.

    Raises:
        RunFolderError: no manifest, a damaged one, or one of a later version.
    """
    missing = f"{folder}: not a run: no {layout.MANIFEST}; give the folder results/<scenario>/<run>"
    return _as_read(read_document(folder / layout.MANIFEST, Manifest, missing=missing))


def _as_read(manifest: Manifest) -> Manifest:
    strategies = {
        name: state.model_copy(update={"status": _status_as_read(state.status)})
        for name, state in manifest.strategies.items()
    }
    return manifest.model_copy(update={"status": _status_as_read(manifest.status), "strategies": strategies})


def _status_as_read(status: RunStatus) -> RunStatus:
    return RunStatus.UNFINISHED if status is RunStatus.RUNNING else status
