"""Scenario file -> checked scenario, or all its mistakes at once."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import ValidationError

from twin.errors import Mistake, ScenarioError
from twin.scenario.base import Spec, is_name
from twin.scenario.checks import (
    Entry,
    check_devices,
    check_files,
    check_market,
    check_names,
    check_scales,
    is_file,
)
from twin.scenario.community import NO_ROW_FIELDS, CommunitySpec, MemberSpec
from twin.scenario.csv_devices import Row, RowModel, read_rows
from twin.scenario.errors import contradictions_beside, problems_of
from twin.scenario.inherit import read_with_bases
from twin.scenario.kinds import KINDS, Device
from twin.scenario.market import Bill, Prices
from twin.scenario.marks import Mark, Marks, Path, Problem, parse_path
from twin.scenario.references import value_at
from twin.scenario.resolved import resolved_data, to_yaml
from twin.scenario.schema import Limits, Scenario
from twin.scenario.yaml_reader import Document

__all__ = ["LoadedScenario", "PlacedDevice", "PlacedMember", "load_scenario"]

_ANY_MEMBER = {"home": "any"}
_Model = TypeVar("_Model", bound=Spec)
_SAME_THING = {"period.days": "duration_s", "period.duration_s": "days"}
"""A field that an override takes the place of."""
_SECTIONS: dict[Path, type[Spec]] = {("limits",): Limits, ("prices",): Prices, ("prices", "bill"): Bill}


@dataclass(frozen=True, slots=True)
class PlacedDevice:
    """One device entry, or one row of a CSV file that an entry names."""

    spec: Device
    path: Path

    @property
    def field(self) -> str:
        """Field path for ``LoadedScenario.mistake``: ``devices[1]``, or ``devices[1].rows[17]`` for a row."""
        return _dotted(self.path)


@dataclass(frozen=True, slots=True)
class PlacedMember:
    """One member entry of a community, or one row of a CSV file that an entry names."""

    spec: MemberSpec
    path: Path
    community: int
    """Position in ``scenario.communities``."""
    entry: int
    """Position in the ``members`` of that community."""

    @property
    def field(self) -> str:
        """Field path for ``LoadedScenario.mistake``, as of ``PlacedDevice``."""
        return _dotted(self.path)


def _dotted(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


@dataclass(frozen=True, eq=False)
class LoadedScenario:
    """A checked scenario and where each of its values was written."""

    scenario: Scenario
    path: FilePath
    devices: tuple[PlacedDevice, ...]
    """``scenario.devices`` with every ``csv:`` entry replaced by the devices of its file, in file order."""
    marks: Marks
    members: tuple[PlacedMember, ...] = ()
    """The members of ``scenario.communities`` with every ``csv:`` entry replaced by the rows of its file."""

    @property
    def base_dir(self) -> FilePath:
        """The folder that file names in the scenario are relative to."""
        return self.path.parent

    def mistake(self, field_path: str, message: str) -> Mistake:
        """Return a mistake at ``field_path`` (e.g. ``devices[1].bus``), with the line of the nearest existing field."""
        return self.marks.mistake(parse_path(field_path), message)

    def resolved_yaml(self, *, relative_to: FilePath | None = None) -> str:
        """Return the scenario with inheritance and defaults filled in; it loads again to the same scenario.

        File names are relative to ``relative_to``, the folder the text will be stored in; by default ``base_dir``.
        """
        folder = self.base_dir if relative_to is None else relative_to
        return to_yaml(resolved_data(self.scenario, folder=self.base_dir, relative_to=folder))

    @cached_property
    def sha256(self) -> str:
        """Hash of the resolved scenario with the content of its CSV files; equal content gives equal hashes."""
        content = {
            "scenario": resolved_data(self.scenario, folder=self.base_dir, relative_to=self.base_dir),
            "devices": [device.spec.model_dump(mode="json", by_alias=True) for device in self.devices],
            "members": [member.spec.model_dump(mode="json", by_alias=True) for member in self.members],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_scenario(
    path: FilePath | str,
    *,
    overrides: Mapping[str, object] | None = None,
    option_names: Mapping[str, str] | None = None,
) -> LoadedScenario:
    """Return the checked scenario in the YAML file ``path``.

    Args:
        path: the file.
        overrides: values that replace those of the file, by dotted path, e.g. ``{"period.days": 1}``. They are
            checked like the file; mistakes in them name the path.
        option_names: what the user wrote to set an override, for mistakes, e.g. ``{"period.days": "--days"}``.

    Raises:
        ScenarioError: holds all mistakes, in the order of files and lines.
    """
    file = FilePath(path)
    document = read_with_bases(file)
    _override(document, overrides or {}, option_names or {})
    document.data.setdefault("name", _name_from(file))
    loading = _Loading(document, file)
    scenario = loading.check()
    if scenario is None or loading.mistakes:
        raise ScenarioError(_in_file_order(loading.mistakes, file))
    return LoadedScenario(scenario, file, tuple(loading.devices), document.marks, tuple(loading.members))


def _name_from(file: FilePath) -> str:
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", file.name.removesuffix(file.suffix)).strip("-_")[:80]
    return slug if is_name(slug) else "scenario"


def _override(document: Document, overrides: Mapping[str, object], option_names: Mapping[str, str]) -> None:
    for dotted, value in overrides.items():
        path = parse_path(dotted)
        option = Mark(option_names.get(dotted, f"option {dotted}"), None)
        place: Any = document.data
        for length, key in enumerate(path[:-1], start=1):
            if isinstance(place, dict) and key not in place:
                place[key] = {}
                document.marks[path[:length]] = option
            place = place[key] if isinstance(place, dict) else None
        document.marks[path] = option
        if isinstance(place, dict):
            place[path[-1]] = value
            place.pop(_SAME_THING.get(dotted), None)
        else:
            message = "cannot be set; the scenario has no mapping there"
            document.mistakes.append(document.marks.mistake(path, message))


def _in_file_order(mistakes: list[Mistake], main: FilePath) -> list[Mistake]:
    unique = dict.fromkeys(mistakes)
    return sorted(unique, key=lambda mistake: (mistake.file != str(main), mistake.file, mistake.line or 0))


class _Loading:
    """One pass over a document that collects devices, members and mistakes."""

    def __init__(self, document: Document, file: FilePath) -> None:
        self._data = document.data
        self._marks = document.marks
        self._folder = file.parent
        self.mistakes = list(document.mistakes)
        self.devices: list[PlacedDevice] = []
        self.members: list[PlacedMember] = []

    def check(self) -> Scenario | None:
        """Return the scenario, or None; all mistakes are in ``mistakes`` then."""
        scenario: Scenario | None = None
        wrong: set[Path] = set()
        try:
            scenario = Scenario.model_validate(self._data)
        except ValidationError as error:
            problems = list(problems_of(error, Scenario))
            self._note(problems)
            self._note(self._hidden(problems))
            wrong = {path[:length] for path, _ in problems for length in (2, 4)}
        entries = self._entries(scenario, wrong)
        self._place_members(scenario, wrong)
        self._note(check_names(self._data, entries, self._marks))
        self._note(check_devices(self._data, entries))
        self._note(check_market(self._data))
        self._note(check_files(self._data, self._folder))
        if scenario is not None and not self.mistakes:
            self._note(check_scales(scenario, [(device.path, device.spec) for device in self.devices]))
        return scenario

    def _hidden(self, problems: list[Problem]) -> Iterator[Problem]:
        """Yield the contradictions beside wrong fields of devices, communities, limits and prices."""
        blocks: dict[Path, list[Problem]] = {}
        for path, message in problems:
            blocks.setdefault(_block(path), []).append((path, message))
        for prefix, found in blocks.items():
            data = value_at(self._data, prefix)
            if isinstance(data, dict):
                model = _model_of(prefix, data)
                if model is CommunitySpec:  # its members are looked at one by one
                    data = {**data, "members": [_ANY_MEMBER]}
                if model is not None:
                    yield from contradictions_beside(found, model, data, prefix)

    def _note(self, problems: Iterable[Problem]) -> None:
        self.mistakes.extend(self._marks.mistake(path, message) for path, message in problems)

    def _entries(self, scenario: Scenario | None, wrong: set[Path]) -> list[Entry]:
        """Return what the file and its CSV files say of each device; fill ``devices``."""
        listed = self._data.get("devices")
        entries: list[Entry] = []
        for index, entry in enumerate(listed if isinstance(listed, list) else []):
            path: Path = ("devices", index)
            if not isinstance(entry, dict):
                continue
            entries.append((path, entry))
            model = KINDS.get(str(entry.get("kind")))
            if isinstance(entry.get("csv"), str) and model is not None:
                rows = self._rows(path, entry, model)
                entries += [(row.path, row.given) for row in rows]
                # a mistake in the entry would show up again in every row
                common = {key: value for key, value in entry.items() if key != "csv"}
                for row in rows if path not in wrong else []:
                    device = self._row_as(model, row, common)
                    if device is not None:
                        self.devices.append(PlacedDevice(device, row.path))
            elif scenario is not None:
                self.devices.append(PlacedDevice(scenario.devices[index], path))
        return entries

    def _place_members(self, scenario: Scenario | None, wrong: set[Path]) -> None:
        """Fill ``members``."""
        listed = self._data.get("communities")
        for community in range(len(listed) if isinstance(listed, list) else 0):
            members = value_at(self._data, ("communities", community, "members"))
            for index, entry in enumerate(members if isinstance(members, list) else []):
                path: Path = ("communities", community, "members", index)
                if not isinstance(entry, dict):
                    continue
                if isinstance(entry.get("csv"), str):
                    self._place_rows(path, entry, check=path not in wrong)
                elif scenario is not None:
                    spec = scenario.communities[community].members[index]
                    self.members.append(PlacedMember(spec, path, community, index))

    def _place_rows(self, path: Path, entry: dict[str, Any], *, check: bool) -> None:
        rows = self._rows(path, entry, MemberSpec)
        common = {key: value for key, value in entry.items() if key not in NO_ROW_FIELDS}
        community, index = int(path[1]), int(path[3])
        for row in rows if check else []:
            member = self._row_as(MemberSpec, row, common)
            if member is not None:
                self.members.append(PlacedMember(member, row.path, community, index))

    def _rows(self, path: Path, entry: dict[str, Any], model: RowModel) -> list[Row]:
        file = self._folder / entry["csv"]
        if not is_file(file):
            return []  # check_files says so, with the line in the scenario
        rows, mistakes = read_rows(file, model, path, self._marks)
        self.mistakes += mistakes
        return rows

    def _row_as(self, model: type[_Model], row: Row, common: dict[str, Any]) -> _Model | None:
        """Return what a row says on top of what its entry says; None after noting what is wrong."""
        data = dict(common)
        for key, value in row.given.items():
            inner = common.get(key)
            data[key] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, dict) else value
        try:
            return model.model_validate(data)
        except ValidationError as error:
            problems = list(problems_of(error, model, prefix=row.path))
            self._note(problems)
            self._note(contradictions_beside(problems, model, data, row.path))
            return None


def _block(path: Path) -> Path:
    """Return the part of a scenario that a mistake at ``path`` belongs to: an entry of a list or a section."""
    if path[:1] == ("communities",):
        return path[:4] if path[2:3] == ("members",) else path[:2]
    inside = path[:1] == ("devices",) or (path[:2] != path and path[:2] in _SECTIONS)
    return path[:2] if inside else path[:1]


def _model_of(block: Path, data: Mapping[str, Any]) -> type[Spec] | None:
    if block[:1] == ("communities",):
        return MemberSpec if "members" in block else CommunitySpec
    return _SECTIONS.get(block) or KINDS.get(str(data.get("kind")))
