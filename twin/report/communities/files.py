"""Reads what a run folder says about its communities: settlements, hourly energies, deferral of reinforcement."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twin.community.results import Settlement
from twin.errors import RunFolderError
from twin.results import RunReader, RunStatus, layout
from twin.results.tables import read_table

__all__ = [
    "RULE_NAMES",
    "HourlyEnergy",
    "Pooled",
    "SettledStrategy",
    "mistake_text",
    "read_member_hours",
    "read_plain_json",
    "read_settled",
]

Pooled = Literal["community", "cp"]
RULE_NAMES: Mapping[str, str] = {"flat_2020": "flat 2020", "cacer_2023": "CACER 2023"}
"""Words for the rule sets."""

_REMEDY = "restore the file or run again"
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class HourlyEnergy:
    """Energy of one configuration or member in each hour, shape (N,) each."""

    hour_start_utc_s: IntArray
    injected_kwh: FloatArray
    withdrawn_kwh: FloatArray
    shared_kwh: FloatArray
    """Of the configuration alone; zeros for a member, whose part is known over the run only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SettledStrategy:
    """One strategy and all its settlements."""

    key: str
    label: str
    level: int | None
    """Level of management, 0 to 4; None for a strategy outside the ladder."""
    pooled: Pooled
    """How the configurations are paid: each alone, or those under one primary substation as one."""
    pays: str
    """The rule set of the scenario."""
    rules: Mapping[str, Mapping[Pooled, Settlement]]
    """By rule set and pooling."""
    hours: Mapping[str, HourlyEnergy]
    """By configuration."""

    @property
    def paid(self) -> Settlement:
        """The settlement that the strategy is paid by."""
        return self.settlement(self.pays, self.pooled)

    def settlement(self, rules: str, pooled: Pooled) -> Settlement:
        """Return one of the settlements."""
        return self.rules[rules][pooled]


class _File(BaseModel):
    """``settlement.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: int | None = Field(ge=0)
    pooled: Pooled
    pays: str
    rules: dict[str, dict[Pooled, Settlement]]

    @model_validator(mode="after")
    def _what_pays_is_there(self) -> "_File":
        if self.pays not in self.rules:
            raise ValueError(f"pays {self.pays!r}, but the rule sets are {', '.join(self.rules) or 'none'}")
        for name, sets in self.rules.items():
            missing = {"community", "cp"} - sets.keys()
            if missing:
                raise ValueError(f"rule set {name!r} lacks the settlement {', '.join(sorted(missing))!r}")
        lines = [_names(found) for sets in self.rules.values() for found in sets.values()]
        if any(other != lines[0] for other in lines):
            raise ValueError("the settlements name different members, plants or communities")
        return self


def _names(found: Settlement) -> tuple[frozenset[str], frozenset[str], tuple[str, ...]]:
    return (
        frozenset(line.home for line in found.members),
        frozenset(line.name for line in found.plants),
        tuple(line.name for line in found.communities),
    )


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def read_plain_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        RunFolderError: the file cannot be read, is not JSON, or holds NaN or infinity.
    """
    try:
        return json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except (OSError, ValueError) as exc:
        raise RunFolderError(f"{path}: cannot be read: {exc}; {_REMEDY}") from exc


def mistake_text(error: ValidationError) -> str:
    """Return where and what the first mistake is."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _read_file(path: Path) -> _File:
    try:
        return _File.model_validate(read_plain_json(path))
    except ValidationError as exc:
        raise RunFolderError(f"{path}: {mistake_text(exc)}; {_REMEDY}") from exc


def _energy(table: Any, chosen: NDArray[np.bool_], shared: FloatArray) -> HourlyEnergy:
    start = table["hour_start_utc_s"].to_numpy()[chosen].astype(np.int64)
    order = np.argsort(start, kind="stable")
    injected, withdrawn = (
        table[name].to_numpy()[chosen][order].astype(np.float64) for name in ("injected_kwh", "withdrawn_kwh")
    )
    return HourlyEnergy(
        hour_start_utc_s=start[order],
        injected_kwh=injected,
        withdrawn_kwh=withdrawn,
        shared_kwh=shared[chosen][order],
    )


def _read_hours(path: Path, names: Sequence[str]) -> dict[str, HourlyEnergy]:
    table = read_table(path, ["hour_start_utc_s", "community", "injected_kwh", "withdrawn_kwh", "shared_kwh"])
    owner = table["community"].cast(pa.string())
    shared = table["shared_kwh"].to_numpy().astype(np.float64)
    hours = {name: _energy(table, pc.equal(owner, name).to_numpy(), shared) for name in names}
    empty = [name for name, energy in hours.items() if not len(energy.hour_start_utc_s)]
    if empty:
        raise RunFolderError(f"{path}: no hours of community {', '.join(empty)}; {_REMEDY}")
    return hours


def read_member_hours(path: Path, home: str) -> HourlyEnergy:
    """Return the hours of one member.

    Raises:
        RunFolderError: the file is missing, damaged, lacks a column or the member.
    """
    columns = ["hour_start_utc_s", "home", "injected_kwh", "withdrawn_kwh"]
    try:
        # a filter reads the rows of one member only; a year of many members is large
        table = pq.read_table(path, columns=columns, filters=[("home", "==", home)])
    except (pa.ArrowInvalid, KeyError, OSError) as exc:
        raise RunFolderError(f"{path}: cannot be read: {exc}; {_REMEDY}") from exc
    if not table.num_rows:
        raise RunFolderError(f"{path}: no hours of member {home}; {_REMEDY}")
    return _energy(table, np.ones(table.num_rows, dtype=np.bool_), np.zeros(table.num_rows))


def _why_left_out(run: RunReader, key: str, label: str) -> str:
    """Return why a strategy has no place among the settled ones; empty if it has one."""
    state = run.manifest.strategies[key]
    if state.status is not RunStatus.FINISHED:
        return f"{label} is {state.status} and has no settlement; it is left out of the community figures."
    if not (run.folder / key / layout.SETTLEMENT).exists():
        return f"{label} has no {layout.SETTLEMENT}; it is left out of the community figures."
    return ""


def read_settled(
    run: RunReader, labels: Mapping[str, str]
) -> tuple[tuple[SettledStrategy, ...], tuple[str, ...]]:
    """Return the settled strategies in the order of the run, and a sentence on each one that is left out.

    Both are empty for a run without communities, where no strategy has a settlement.

    Args:
        run: the run.
        labels: words for each strategy by its name.

    Raises:
        RunFolderError: a file is damaged, or the settlements of two strategies do not name the same members, plants,
            communities and rule sets.
    """
    settled: list[SettledStrategy] = []
    left_out: list[str] = []
    for key, label in labels.items():
        why = _why_left_out(run, key, label)
        if why:
            left_out.append(why)
            continue
        folder = run.folder / key
        file = _read_file(folder / layout.SETTLEMENT)
        names = _names(file.rules[file.pays][file.pooled])[2]
        settled.append(
            SettledStrategy(
                key=key,
                label=label,
                level=file.level,
                pooled=file.pooled,
                pays=file.pays,
                rules={name: dict(sets) for name, sets in file.rules.items()},
                hours=_read_hours(folder / layout.COMMUNITY_HOURS, names),
            )
        )
    for other in settled[1:]:
        _check_same(run.folder, settled[0], other)
    return tuple(settled), tuple(left_out) if settled else ()


def _check_same(folder: Path, first: SettledStrategy, other: SettledStrategy) -> None:
    same = _names(first.paid) == _names(other.paid) and first.rules.keys() == other.rules.keys()
    if not same:
        raise RunFolderError(
            f"{folder / other.key / layout.SETTLEMENT}: members, plants, communities or rule sets differ from those of "
            f"{folder / first.key / layout.SETTLEMENT}; the files are of different runs: run again"
        )
