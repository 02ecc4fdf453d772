"""Registers of an emulated SunSpec device, with the deviations that real ones show."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hil_adapters.errors import MapError
from hil_adapters.maps.binding import resolve
from hil_adapters.maps.codec import register_count
from hil_adapters.maps.schema import Access, Point, RegisterMap, Source
from hil_adapters.sunspec.chain import HEADER, Chain, ChainModel, chain_points, model_points
from hil_adapters.sunspec.definitions import (
    PlacedPoint,
    counts_by_point,
    kind_code,
    model_definition,
    model_length,
    place,
)
from hil_adapters.sunspec.discovery import MARKER
from hil_adapters.sunspec.overlay import chain_map
from hil_adapters.sunspec.quirks import ChainEnd, ImageQuirks, ScaleChange, encoded, rescaled
from hil_adapters.wire.codes import ADDRESSES

__all__ = [
    "DEFAULT_EXPONENTS",
    "ChainEnd",
    "ImageQuirks",
    "ModelSpec",
    "ScaleChange",
    "SunSpecImage",
    "build_image",
]

DEFAULT_EXPONENTS: Mapping[str, int] = MappingProxyType(
    {
        "A_SF": -2,
        "AMax_SF": -1,
        "CellV_SF": -3,
        "ChaState_SF": -2,
        "DCA_SF": -2,
        "DCV_SF": -1,
        "Hz_SF": -2,
        "InBatV_SF": -1,
        "InOutWRte_SF": -2,
        "OutPFSet_SF": -3,
        "PFRtg_SF": -3,
        "PF_SF": -3,
        "Pct_SF": -1,
        "SoC_SF": -2,
        "SoH_SF": -1,
        "Tmp_SF": -1,
        "VArPct_SF": -2,
        "V_SF": -1,
        "WMaxLimPct_SF": -2,
        "WSetPct_SF": -2,
        "VarSetPct_SF": -2,
    }
)
"""Scale factors of an image where none are given; 0 for those that are not listed."""

_POINTS_ONLY = RegisterMap(
    name="sunspec",
    title="SunSpec device",
    kind="other",
    source=Source(document="SunSpec Device Information Model Definitions", pages="JSON files"),
    verified="emulated",
)
_COMMON = 1
_SHORT_COMMON = 65


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model of an emulated device. Several Common models are several specifications with model 1."""

    model: int
    counts: Mapping[str, int] = field(default_factory=dict)
    """Repetitions by group: ``{"module": 2}`` in 160, ``{"Crv": 1, "Pt": 4}`` in 705."""
    values: Mapping[str, float | str] = field(default_factory=dict)
    """By local name (``W``, ``1.DCW``), in the unit of the point; what is not given reads as not implemented."""
    scale_factors: Mapping[str, int] = field(default_factory=dict)
    """Exponents by local name (``W_SF``); what is not given is taken from :data:`DEFAULT_EXPONENTS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SunSpecImage:
    """Holding registers of an emulated device, and what is known of them."""

    registers: dict[int, int]
    """By address; an address that is not in it does not exist."""
    map: RegisterMap
    """With every point of the image at its address."""
    chain: Chain
    """What discovery finds, without the quirks it reports."""
    writable: frozenset[int]
    """Addresses of registers that may be written."""
    no_multiple_write: frozenset[int]
    """Addresses that refuse function code 16."""
    no_single_write: frozenset[int]
    """Addresses that refuse function code 6."""
    scale_changes: tuple[ScaleChange, ...]
    unit: int

    def rescaled(self, registers: Mapping[int, int], scale_point: str, exponent: int) -> dict[int, int]:
        """Return the registers that change when a scale factor takes another exponent and all values stay.

        Args:
            registers: present registers by address.
            scale_point: full name, e.g. ``103.W_SF``.
            exponent: the exponent to come.

        Raises:
            MapError: a value cannot be told in the scale to come, or there is no such scale factor.
        """
        return rescaled(chain_points(self.chain), registers, scale_point=scale_point, exponent=exponent)


def build_image(
    models: Sequence[ModelSpec],
    *,
    base: int = 40000,
    quirks: ImageQuirks | None = None,
    overlay: RegisterMap | None = None,
) -> SunSpecImage:
    """Return the registers of an emulated device.

    Counters of energy at 0 read as not implemented; the standard has it so.

    Args:
        models: in the order of their addresses; model 1 first.
        base: address of 'SunS'.
        quirks: deviations from the standard; None for none.
        overlay: map whose signals, commands and rules :attr:`SunSpecImage.map` gets; None for points only.

    Raises:
        MapError: a model, a point or a group is not known, a value does not fit its registers, or addresses run out.
    """
    odd = ImageQuirks() if quirks is None else quirks
    found, registers = _laid_out(models, base, odd)
    map_ = resolve(chain_map(_POINTS_ONLY if overlay is None else overlay, found))
    points = {point.name: point for point in chain_points(found)}
    return SunSpecImage(
        registers=registers,
        map=map_,
        chain=found,
        writable=_addresses(
            points, [name for name, point in points.items() if point.access is not Access.READ]
        ),
        no_multiple_write=_addresses(points, odd.no_multiple_write),
        no_single_write=_addresses(points, odd.no_single_write),
        scale_changes=odd.scale_changes,
        unit=odd.unit,
    )


def _laid_out(models: Sequence[ModelSpec], base: int, odd: ImageQuirks) -> tuple[Chain, dict[int, int]]:
    """Return the models one behind the other, and the registers of the whole chain."""
    registers = dict(enumerate(MARKER, start=base))
    chain: list[ChainModel] = []
    seen: Counter[int] = Counter()
    address = base + len(MARKER)
    for spec in models:
        seen[spec.model] += 1
        model = _chain_model(spec, address, seen[spec.model], odd)
        registers.update(_registers(spec, model))
        chain.append(model)
        address = model.end
    registers.update(enumerate(odd.end.value, start=address))
    if max(registers) >= ADDRESSES:
        raise MapError(
            f"SunSpec image at {base}: needs addresses up to {max(registers)}, 65535 is the last; use a smaller base"
        )
    return Chain(base=base, models=tuple(chain)), registers


def _chain_model(spec: ModelSpec, address: int, instance: int, odd: ImageQuirks) -> ChainModel:
    definition = model_definition(spec.model)
    if definition is None:
        raise MapError(f"SunSpec image: model {spec.model} is not in the standard; leave it out")
    length = model_length(definition, spec.counts) - HEADER
    if spec.model == _COMMON and odd.short_common:
        length = _SHORT_COMMON
    return ChainModel(
        model=spec.model, address=address, length=length, instance=instance, counts=dict(spec.counts)
    )


def _registers(spec: ModelSpec, model: ChainModel) -> dict[int, int]:
    """Return the registers of one model by address."""
    definition = model_definition(spec.model)
    if definition is None:
        return {}
    placed = {p.name: p for p in place(definition, model.counts) if p.offset < HEADER + model.length}
    exponents = {
        name: spec.scale_factors.get(name, DEFAULT_EXPONENTS.get(name, 0))
        for name, point in placed.items()
        if point.definition.kind == "sunssf"
    }
    values = {**counts_by_point(definition, model.counts), **exponents, **spec.values}
    _check_names(model, placed, [*spec.values, *spec.scale_factors])
    points = {point.name: point for point in model_points(model)}
    registers: dict[int, int] = {}
    for name, here in placed.items():
        start = model.address + here.offset
        point = points.get(f"{model.prefix}.{name}")
        given = values.get(name)
        if point is None or given is None:
            registers.update(enumerate(_missing(here), start=start))
            continue
        exponent = None if here.scale_point is None else exponents[here.scale_point]
        registers.update(enumerate(encoded(point, given, exponent=exponent), start=start))
    return registers | {model.address: model.model, model.address + 1: model.length}


def _check_names(model: ChainModel, placed: Mapping[str, PlacedPoint], names: Sequence[str]) -> None:
    unknown = sorted(set(names) - set(placed))
    if unknown:
        raise MapError(
            f"SunSpec image: model {model.model} has no points {', '.join(unknown)}; "
            f"check names, and counts of groups ({dict(model.counts)})"
        )


def _missing(placed: PlacedPoint) -> list[int]:
    """Return registers that mean: not implemented."""
    size = placed.definition.size
    if placed.definition.kind == "pad":
        return [0x8000] * size
    code = kind_code(placed.definition.kind)
    raw = 0 if code is None or not code.missing else code.missing[0]
    return [(raw >> (16 * (size - 1 - index))) & 0xFFFF for index in range(size)]


def _addresses(points: Mapping[str, Point], names: Sequence[str] | frozenset[str]) -> frozenset[int]:
    unknown = sorted(name for name in names if name not in points)
    if unknown:
        raise MapError(
            f"SunSpec image: there are no points {', '.join(unknown)}; check the names in its quirks"
        )
    return frozenset(
        points[name].address + index for name in names for index in range(register_count(points[name]))
    )
