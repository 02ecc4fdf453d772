"""The information models of SunSpec, read from the JSON files that pysunspec2 ships.

Only the definitions are used, never pysunspec2's client. Source: SunSpec Alliance, Device Information Model Definitions,
as packaged in pysunspec2 (Apache-2.0). What a code of "not implemented" looks like: SunSpec Information Model Specification,
table of data types.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hil_adapters.errors import MapError
from hil_adapters.maps.schema import ValueType

__all__ = [
    "GroupDefinition",
    "KindCode",
    "PlacedPoint",
    "PointDefinition",
    "counts_by_point",
    "kind_code",
    "model_definition",
    "model_length",
    "place",
    "repeating_groups",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCode:
    """How a SunSpec type lies in registers."""

    type: ValueType
    missing: tuple[int, ...]
    """Raw values, unsigned, that mean: not implemented. Strings have none; they are empty then."""


_SIGNED = {16: 0x8000, 32: 0x8000_0000, 64: 0x8000_0000_0000_0000}
_ONES = {16: 0xFFFF, 32: 0xFFFF_FFFF, 64: 0xFFFF_FFFF_FFFF_FFFF}
_UNSIGNED = {16: ValueType.UINT16, 32: ValueType.UINT32, 64: ValueType.UINT64}
_KINDS: dict[str, KindCode] = {
    "int16": KindCode(type=ValueType.INT16, missing=(_SIGNED[16],)),
    "int32": KindCode(type=ValueType.INT32, missing=(_SIGNED[32],)),
    "int64": KindCode(type=ValueType.INT64, missing=(_SIGNED[64],)),
    "sunssf": KindCode(type=ValueType.INT16, missing=(_SIGNED[16],)),
    "count": KindCode(type=ValueType.UINT16, missing=(_ONES[16],)),
    "raw16": KindCode(type=ValueType.UINT16, missing=()),
    "ipaddr": KindCode(type=ValueType.UINT32, missing=(0,)),
    "eui48": KindCode(type=ValueType.UINT64, missing=(0x0000_FFFF_FFFF_FFFF,)),
    "float32": KindCode(type=ValueType.FLOAT32, missing=(0x7FC0_0000,)),
    "float64": KindCode(type=ValueType.FLOAT64, missing=(0x7FF8_0000_0000_0000,)),
    "string": KindCode(type=ValueType.STRING, missing=()),
    **{
        f"{name}{bits}": KindCode(type=_UNSIGNED[bits], missing=(_ONES[bits],))
        for name in ("uint", "enum", "bitfield")
        for bits in (16, 32, 64)
    },
    **{f"acc{bits}": KindCode(type=_UNSIGNED[bits], missing=(0,)) for bits in (16, 32, 64)},
}

_UNITS = {
    "C": "degC",
    "Secs": "s",
    "Var": "var",
    "Varh": "varh",
    "WH": "Wh",
    "AH": "Ah",
    "Pct": "%",
    "VNomPct": "%",
    "WMaxPct": "%",
    "VarPct": "%",
    "%Max/Sec": "%/s",
    "% WMax/sec": "%/s",
    "% WChaMax/sec": "%/s",
    "ohms": "Ohm",
    "S": "1",  # of a susceptance; maps know no siemens
    "cos()": "1",
    "PF": "1",
    "DeptRef": "1",
}
_PLAIN_UNITS = frozenset({"V", "A", "W", "VA", "var", "Hz", "Wh", "varh", "VAh", "Ah"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PointDefinition:
    """One point of a model, as the standard defines it."""

    name: str
    kind: str
    """SunSpec type, e.g. ``uint16``, ``sunssf``, ``acc32``."""
    size: int
    """Registers."""
    scale_point: str | None
    """Name of the point with its power of ten, in its own group or in one around it."""
    unit: str
    """Unit as register maps write it; '1' where the standard names none."""
    writable: bool
    static: bool
    """Whether the standard says that it never changes."""
    symbols: Mapping[int, str]
    """Names of values, or of bits in a bit field."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDefinition:
    """A model, or a group of points in it."""

    name: str
    count: int | str
    """1; or the name of the point of the model that holds the number; 0: as many as fit into the model's length."""
    points: tuple[PointDefinition, ...]
    groups: tuple["GroupDefinition", ...]

    @property
    def repeats(self) -> bool:
        """Whether its number is known only in the device."""
        return self.count != 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPoint:
    """A point at its place in a model."""

    name: str
    """Local name: ``W``, ``1.DCW`` in the first repetition of a group, ``PFWInj.PF`` in a group that does not repeat."""
    offset: int
    """Registers from the model's ID."""
    definition: PointDefinition
    scale_point: str | None
    """Local name of its scale point."""


def kind_code(kind: str) -> KindCode | None:
    """Return how a SunSpec type lies in registers; None for padding and for IPv6 addresses, which are not read."""
    return _KINDS.get(kind)


@cache
def model_definition(model: int) -> GroupDefinition | None:
    """Return the definition of a model; None for models that the standard does not define (those of makers).

    Raises:
        MapError: pysunspec2 is not installed.
    """
    try:
        package = resources.files("sunspec2")
    except ModuleNotFoundError as exc:
        raise MapError(
            "SunSpec models: pysunspec2 is not installed; install gemello with the extra 'hil'"
        ) from exc
    file = package / "models" / "json" / f"model_{model}.json"
    if not file.is_file():
        return None
    return _group(json.loads(file.read_text(encoding="utf-8"))["group"])


def repeating_groups(definition: GroupDefinition) -> dict[str, int | str]:
    """Return the groups of a model that repeat, with their ``count``, outermost first."""
    found: dict[str, int | str] = {}
    for group in definition.groups:
        if group.repeats:
            found[group.name] = group.count
        found.update(repeating_groups(group))
    return found


def counts_by_point(definition: GroupDefinition, counts: Mapping[str, int]) -> dict[str, int]:
    """Return the values of the points that hold the numbers of groups, for these ``counts`` by group."""
    found = {
        count: counts.get(name, 0)
        for name, count in repeating_groups(definition).items()
        if isinstance(count, str)
    }
    by_length = [name for name, count in repeating_groups(definition).items() if count == 0]
    for point in definition.points:
        if point.kind == "count" and point.name not in found and by_length:
            found[point.name] = counts.get(by_length[0], 0)
    return found


def model_length(definition: GroupDefinition, counts: Mapping[str, int]) -> int:
    """Return the registers of a model with ``counts`` repetitions by group, ID and length included."""
    own = sum(point.size for point in definition.points)
    return own + sum(
        (counts.get(group.name, 0) if group.repeats else 1) * model_length(group, counts)
        for group in definition.groups
    )


def place(definition: GroupDefinition, counts: Mapping[str, int]) -> tuple[PlacedPoint, ...]:
    """Return the points of a model in order of their registers; ID and length first."""
    placed, _ = _place(definition, counts, prefix="", start=0, scales={})
    return tuple(placed)


def _place(
    group: GroupDefinition, counts: Mapping[str, int], *, prefix: str, start: int, scales: Mapping[str, str]
) -> tuple[list[PlacedPoint], int]:
    inner = {**scales, **{p.name: prefix + p.name for p in group.points if p.kind == "sunssf"}}
    placed: list[PlacedPoint] = []
    offset = start
    for point in group.points:
        scale_point = None if point.scale_point is None else inner.get(point.scale_point)
        placed.append(
            PlacedPoint(name=prefix + point.name, offset=offset, definition=point, scale_point=scale_point)
        )
        offset += point.size
    for name, child in _repetitions(group, counts):
        more, offset = _place(child, counts, prefix=f"{prefix}{name}.", start=offset, scales=inner)
        placed += more
    return placed, offset


def _repetitions(group: GroupDefinition, counts: Mapping[str, int]) -> Iterator[tuple[str, GroupDefinition]]:
    for child in group.groups:
        if not child.repeats:
            yield child.name, child
            continue
        for number in range(1, counts.get(child.name, 0) + 1):
            yield str(number), child


def _group(raw: Mapping[str, Any]) -> GroupDefinition:
    return GroupDefinition(
        name=raw["name"],
        count=raw.get("count", 1),
        points=tuple(_point(point) for point in raw.get("points", ())),
        groups=tuple(_group(group) for group in raw.get("groups", ())),
    )


def _point(raw: Mapping[str, Any]) -> PointDefinition:
    return PointDefinition(
        name=raw["name"],
        kind=raw["type"],
        size=int(raw["size"]),
        scale_point=raw.get("sf"),
        unit=_unit(str(raw.get("units", "")).strip()),
        writable=raw.get("access") == "RW",
        static=raw.get("static") == "S",
        symbols={int(symbol["value"]): str(symbol["name"]) for symbol in raw.get("symbols", ())},
        text=str(raw.get("label", "")),
    )


def _unit(unit: str) -> str:
    if unit in _PLAIN_UNITS:
        return unit
    if unit in _UNITS:
        return _UNITS[unit]
    return "%" if unit.startswith("%") else "1"
