"""What a device says it consists of: its models one behind the other, and the points in them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hil_adapters.maps.schema import Access, Point, ValueType
from hil_adapters.sunspec.definitions import (
    GroupDefinition,
    PlacedPoint,
    kind_code,
    model_definition,
    model_length,
    place,
    repeating_groups,
)
from hil_adapters.wire.codes import ADDRESSES

__all__ = [
    "HEADER",
    "Chain",
    "ChainModel",
    "chain_points",
    "counts_that_fit",
    "fingerprint",
    "model_points",
]

HEADER = 2
"""Registers of ID and length in front of every model."""

_BITS = frozenset({"bitfield16", "bitfield32", "bitfield64"})
_VALUES_NOT_BITS = frozenset({(122, "ECPConn")})
"""Points called bit fields whose symbols are values: the definition's own text says disconnected 0, connected 1."""
_COUNTERS = frozenset({"acc16", "acc32", "acc64"})
_STATIC = frozenset({1, 2, 120, 121, 702, 703})
"""Models of ratings and settings, whose values hardly ever change."""
_CURVES = range(705, 713)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainModel:
    """One model in a device."""

    model: int
    address: int
    """Of the register with its ID."""
    length: int
    """As the device says: registers behind ID and length."""
    instance: int = 1
    """1 for the first model of its number in the device, 2 for the second."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Repetitions by group."""

    @property
    def prefix(self) -> str:
        """First part of the names of its points: ``103``; ``203_2`` for the second of its number."""
        return str(self.model) if self.instance == 1 else f"{self.model}_{self.instance}"

    @property
    def end(self) -> int:
        """Address behind its last register."""
        return self.address + HEADER + self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """All models of a device."""

    base: int
    """Address of 'SunS'."""
    models: tuple[ChainModel, ...]
    """In order of their addresses, models of makers included."""
    quirks: tuple[str, ...] = ()
    """Deviations from the standard that were seen and tolerated, in words."""
    absent: frozenset[str] = frozenset()
    """Ratings and settings (models 120, 121, 702) that the device does not implement; names of points."""

    def find(self, model: int, instance: int = 1) -> ChainModel | None:
        """Return a model, or None where the device has none of this number."""
        return next((m for m in self.models if (m.model, m.instance) == (model, instance)), None)


def fingerprint(chain: Chain, identity: Mapping[str, str]) -> str:
    """Return a hash of the register layout and of who answers (manufacturer, model, version, ...).

    It changes with any shift of registers, and with any of the values of ``identity``.
    """
    parts = [str(chain.base)]
    parts += [
        f"{m.model}@{m.address}+{m.length}"
        + "".join(f",{name}={count}" for name, count in sorted(m.counts.items()))
        for m in chain.models
    ]
    parts += [f"{name}={value}" for name, value in sorted(identity.items())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def chain_points(chain: Chain) -> Iterator[Point]:
    """Yield every point of every model that the standard defines."""
    for model in chain.models:
        yield from model_points(model)


def model_points(model: ChainModel) -> Iterator[Point]:
    """Yield the points of one model, at their addresses; none for models of makers.

    Points beyond the model's own length or beyond the last address are left out, and so are those whose scale point is.
    ID, length, padding and IPv6 addresses are no points.
    """
    definition = model_definition(model.model)
    if definition is None:
        return
    room = min(HEADER + model.length, ADDRESSES - model.address)
    inside = [
        placed for placed in place(definition, model.counts) if placed.offset + placed.definition.size <= room
    ]
    names = {placed.name for placed in inside}
    for placed in inside:
        if placed.offset < HEADER or (placed.scale_point is not None and placed.scale_point not in names):
            continue
        point = _point(model, placed)
        if point is not None:
            yield point


def counts_that_fit(definition: GroupDefinition, length: int, counted: Mapping[str, int]) -> dict[str, int]:
    """Return repetitions by group: as many as ``counted`` by point says, and never more than fit.

    Args:
        definition: of the model.
        length: as the device says.
        counted: values of the points that count groups, by point.
    """
    groups = repeating_groups(definition)
    counts = {name: counted[count] for name, count in groups.items() if isinstance(count, str)}
    for outer in (group for group in definition.groups if group.repeats):
        fixed = model_length(definition, {**counts, outer.name: 0})
        each = model_length(definition, {**counts, outer.name: 1}) - fixed
        fitting = max(0, (HEADER + length - fixed) // each)
        counts[outer.name] = min(fitting, counts.get(outer.name, fitting))
    return counts


def _point(model: ChainModel, placed: PlacedPoint) -> Point | None:
    definition = placed.definition
    code = kind_code(definition.kind)
    if code is None:
        return None
    is_bits = definition.kind in _BITS and (model.model, placed.name) not in _VALUES_NOT_BITS
    symbols = dict(definition.symbols)
    return Point(
        name=f"{model.prefix}.{placed.name}",
        address=model.address + placed.offset,
        type=code.type,
        length=definition.size if code.type is ValueType.STRING else None,
        scale_point=None if placed.scale_point is None else f"{model.prefix}.{placed.scale_point}",
        unit=definition.unit,
        missing=code.missing,
        access=Access.READ_WRITE if definition.writable else Access.READ,
        group="once" if _is_static(model, placed) else "slow",
        role="counter" if definition.kind in _COUNTERS else "value",
        bits=symbols if is_bits else {},
        values={} if is_bits else symbols,
        text=definition.text,
    )


def _is_static(model: ChainModel, placed: PlacedPoint) -> bool:
    return model.model in _STATIC or model.model in _CURVES or placed.definition.static
