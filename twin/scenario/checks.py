"""Checks across the parts of a scenario: names used once, sources that exist, files that exist.

They read plain data and tolerate wrong types, so that they report together with the checks of each part.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from twin.scenario.base import NAME_RULE, is_name
from twin.scenario.devices import PROFILE_WORDS, BatterySpec, LoadSpec, PvSpec, source_reference
from twin.scenario.marks import Marks, Path, Problem, closest
from twin.scenario.references import file_references
from twin.scenario.schema import Scenario

__all__ = ["Entry", "check_devices", "check_files", "check_names", "check_prices", "check_scales", "is_file"]

Entry = tuple[Path, Mapping[str, Any]]
"""Path and plain data of one device: an entry of the file, or what a row of a CSV file says."""

_PRICE_UNITS = frozenset(("EUR/kWh", "EUR/MWh"))


def check_names(data: Mapping[str, Any], entries: Sequence[Entry], marks: Marks) -> Iterator[Problem]:
    """Yield names that break the rules or are used twice."""
    for section in ("strategies", "sources"):
        for name in _keys(data.get(section)):
            if not is_name(name):
                yield (section, name), f"is no valid name; {NAME_RULE}"
            elif section == "sources" and (name in PROFILE_WORDS or name[0].isdigit()):
                words = ", ".join(sorted(PROFILE_WORDS))
                yield (section, name), f"cannot name a source; start with a letter and avoid {words}"
    external = data.get("external")
    simulators = [
        (("external", index), item)
        for index, item in enumerate(external if isinstance(external, list) else [])
        if isinstance(item, dict)
    ]
    yield from _used_twice([*entries, *simulators], "name", marks)
    shares = [
        (path, {"prefix": entry.get("prefix", entry.get("kind"))})
        for path, entry in entries
        if entry.get("share") is not None
    ]
    yield from _used_twice(shares, "prefix", marks)


def check_devices(data: Mapping[str, Any], entries: Sequence[Entry]) -> Iterator[Problem]:
    """Yield profiles that refer to sources which do not exist or hold prices."""
    for path, entry in entries:
        profile = entry.get("profile")
        reference = source_reference(profile) if isinstance(profile, str) else None
        if reference is None:
            continue
        unit, problem = _source_unit(data, reference[0])
        if problem:
            yield (*path, "profile"), problem
        elif unit in _PRICE_UNITS:
            yield (*path, "profile"), f"source {reference[0]!r} holds {unit}; name one with power or energy"


def check_prices(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield prices that refer to sources which do not exist or do not hold prices."""
    prices = data.get("prices")
    for field in ("import_eur_kwh", "export_eur_kwh"):
        text = prices.get(field) if isinstance(prices, dict) else None
        reference = (
            source_reference(text) if isinstance(text, str) and not text.lstrip(" +-")[:1].isdigit() else None
        )
        if reference is None:
            continue
        unit, problem = _source_unit(data, reference[0])
        if problem:
            yield ("prices", field), problem
        elif isinstance(unit, str) and unit not in _PRICE_UNITS:
            yield ("prices", field), f"source {reference[0]!r} holds {unit}; name one with EUR/kWh or EUR/MWh"


def check_files(data: dict[str, Any], folder: FilePath) -> Iterator[Problem]:
    """Yield files that are named and do not exist."""
    for path, name in file_references(data):
        if not is_file(folder / name):
            yield (
                path,
                f"there is no file {str(folder / name)!r}; file names are relative to the scenario file",
            )


def is_file(path: FilePath) -> bool:
    """Return whether ``path`` is a file, also where the name is none at all."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or a zero byte
        return False


def check_scales(
    scenario: Scenario, devices: Iterable[tuple[Path, LoadSpec | PvSpec | BatterySpec]]
) -> Iterator[Problem]:
    """Yield devices that follow a source of unit 1 and have no power to scale it by."""
    for path, device in devices:
        if not isinstance(device, LoadSpec) or device.p_kw is not None or device.is_described_elsewhere:
            continue
        reference = source_reference(device.profile)
        if reference is not None and scenario.sources[reference[0]].unit == "1":
            yield path, f"p_kw is missing; source {reference[0]!r} has unit 1 and scales it"


def _source_unit(data: Mapping[str, Any], name: str) -> tuple[object, str]:
    """Return the unit of source ``name``, or what is wrong with the name."""
    sources = data.get("sources")
    known = sources if isinstance(sources, dict) else {}
    if name not in known:
        return None, f"there is no source {name!r} under 'sources'; {closest(name, _keys(known))}"
    source = known[name]
    return (source.get("unit") if isinstance(source, dict) else None), ""


def _used_twice(entries: Sequence[Entry], field: str, marks: Marks) -> Iterator[Problem]:
    first: dict[str, Path] = {}
    for path, entry in entries:
        value = entry.get(field)
        if value is None or isinstance(value, (bool, float, list, dict)):
            continue
        name = str(value)
        if name in first:
            mark = marks.find((*first[name], field))
            where = mark.file if mark.line is None else f"{mark.file}:{mark.line}"
            yield (*path, field), f"{field} {name!r} is already used at {where}; choose another"
        else:
            first[name] = path


def _keys(value: object) -> list[str]:
    return list(value) if isinstance(value, dict) else []
