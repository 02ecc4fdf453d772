"""Checks across the parts of a scenario: names used once, sources that exist, files that exist.

They read plain data and tolerate wrong types, so that they report together with the checks of each part.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from twin.scenario.base import NAME_RULE, is_name
from twin.scenario.columns import PROFILE_WORDS, market_reference, source_reference
from twin.scenario.devices import LoadSpec
from twin.scenario.fmu import package_file
from twin.scenario.kinds import Device
from twin.scenario.market import CO2_UNITS, PRICE_UNITS
from twin.scenario.marks import Marks, Path, Problem, closest
from twin.scenario.references import file_references, is_wire_file, package_references, value_at
from twin.scenario.schema import Scenario

__all__ = ["Entry", "check_devices", "check_files", "check_market", "check_names", "check_scales", "is_file"]

_ON_WIRE = frozenset(("virtual", "hardware"))
_USES_FILE: Mapping[Path, frozenset[str]] = {
    ("acceptance",): frozenset(("hardware",)),
    ("faults",): frozenset(("virtual",)),
    ("tls", "authority"): frozenset(("hardware",)),
    ("tls", "certificate"): frozenset(("hardware",)),
    ("tls", "key"): frozenset(("hardware",)),
    ("grid_source", "commands"): frozenset(("hardware",)),
}
"""Fields of a modbus block that name a file, and with which word it is used; the map with both."""

Entry = tuple[Path, Mapping[str, Any]]
"""Path and plain data of one device: an entry of the file, or what a row of a CSV file says."""

_MARKET_FIELDS = {
    ("prices", "import_eur_kwh"): PRICE_UNITS,
    ("prices", "export_eur_kwh"): PRICE_UNITS,
    ("prices", "zone_eur_mwh"): PRICE_UNITS,
    ("emissions", "factor_kg_kwh"): CO2_UNITS,
}
"""Fields that may refer to a source, and the units it may have."""


_POWER_UNITS = frozenset(("kW", "W", "MW", "kWh", "Wh", "MWh"))
_DEVICE_FIELDS: dict[str, frozenset[str]] = {
    "profile": _POWER_UNITS | {"1"},
    "temp_air_degc": frozenset(("degC",)),
    "draw": frozenset(("l", "l/min")),
    "trips": _POWER_UNITS,
    "plugged": frozenset(("1",)),
}
"""Fields of devices that may refer to a source, and the units it may have."""


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
    communities = data.get("communities")
    named = [
        (("communities", index), item)
        for index, item in enumerate(communities if isinstance(communities, list) else [])
        if isinstance(item, dict)
    ]
    yield from _used_twice(named, "name", marks)
    shares = [
        (path, {"prefix": entry.get("prefix", entry.get("kind"))})
        for path, entry in entries
        if entry.get("share") is not None
    ]
    yield from _used_twice(shares, "prefix", marks)


def check_devices(data: Mapping[str, Any], entries: Sequence[Entry]) -> Iterator[Problem]:
    """Yield columns of devices that refer to sources which do not exist or hold something else."""
    for path, entry in entries:
        for field, text, units in _column_fields(entry):
            reference = market_reference(text)
            if reference is None:
                continue
            unit, problem = _source_unit(data, reference[0])
            if problem:
                yield (*path, *field), problem
            elif units is not None and isinstance(unit, str) and unit not in units:
                powers = units >= _POWER_UNITS
                names = " or ".join(sorted(units, key=str.casefold))
                wanted = "one with power or energy" if powers else f"one in {names}"
                yield (*path, *field), f"source {reference[0]!r} holds {unit}; name {wanted}"


def _column_fields(entry: Mapping[str, Any]) -> Iterator[tuple[Path, object, frozenset[str] | None]]:
    """Yield each field that may name a column, what it says, and the units that fit (None: any)."""
    for field, units in _DEVICE_FIELDS.items():
        yield (field,), entry.get(field), units
    fmu = entry.get("fmu")
    inputs = fmu.get("inputs") if isinstance(fmu, dict) else None
    for variable, wire in inputs.items() if isinstance(inputs, dict) else ():
        if isinstance(wire, dict):
            yield ("fmu", "inputs", variable, "column"), wire.get("column"), None


def check_market(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield prices and emissions that refer to sources which do not exist or hold something else."""
    for path, units in _MARKET_FIELDS.items():
        section, field = path
        given = data.get(section)
        reference = market_reference(given.get(field)) if isinstance(given, dict) else None
        if reference is None:
            continue
        unit, problem = _source_unit(data, reference[0])
        if problem:
            yield path, problem
        elif isinstance(unit, str) and unit not in units:
            yield (
                path,
                f"source {reference[0]!r} holds {unit}; name one with {' or '.join(sorted(units, key=str.casefold))}",
            )


def check_files(data: dict[str, Any], folder: FilePath) -> Iterator[Problem]:
    """Yield files that are named and do not exist."""
    for path, name in file_references(data):
        if is_wire_file(path) and value_at(data, (*path[:2], "as")) not in _USES_FILE.get(path[3:], _ON_WIRE):
            continue
        if not is_file(folder / name):
            yield (
                path,
                f"there is no file {str(folder / name)!r}; file names are relative to the scenario file",
            )
    for path, text in package_references(data):
        try:
            file = package_file(text)
        except ValueError as error:
            yield path, str(error)
            continue
        if not is_file(file):
            yield path, f"there is no file {str(file)!r} in the package; check the path after its name"


def is_file(path: FilePath) -> bool:
    """Return whether ``path`` is a file, also where the name is none at all."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or a zero byte
        return False


def check_scales(scenario: Scenario, devices: Iterable[tuple[Path, Device]]) -> Iterator[Problem]:
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
