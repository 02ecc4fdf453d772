"""Deviations of real SunSpec devices that an emulated one can show."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from hil_adapters.errors import MapError
from hil_adapters.maps.codec import decode, encode, register_count
from hil_adapters.maps.schema import LinkDefaults, Point

__all__ = ["ChainEnd", "ImageQuirks", "ScaleChange", "encoded", "rescaled"]

_LINK = LinkDefaults()
"""SunSpec is big-endian throughout."""


class ChainEnd(Enum):
    """How the chain of models ends; the value is the registers at its end."""

    STANDARD = (0xFFFF, 0)
    MARKER_ONLY = (0xFFFF,)
    """No length behind the end marker."""
    ONE_ZERO = (0,)
    """One register 0, seen at Kostal."""
    ADDRESS_ERROR = ()
    """Nothing: exception 2, seen at SMA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleChange:
    """A scale factor that does not stay, as SolarEdge has them."""

    point: str
    """Full name: ``103.W_SF``."""
    exponents: tuple[int, ...]
    """Taken one after the other, again and again."""
    every_s: float
    """Time between two changes [s]."""

    def exponent(self, now_s: float) -> int:
        """Return the exponent in force ``now_s`` seconds after the start."""
        return self.exponents[int(now_s // self.every_s) % len(self.exponents)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuirks:
    """Deviations of an emulated device from the standard. Several Common models need no quirk: specify several."""

    end: ChainEnd = ChainEnd.STANDARD
    short_common: bool = False
    """Common models of 65 registers instead of 66."""
    no_multiple_write: frozenset[str] = frozenset()
    """Points that refuse function code 16, e.g. ``123.WMaxLimPct`` (seen at Kostal)."""
    no_single_write: frozenset[str] = frozenset()
    """Points that refuse function code 6."""
    scale_changes: tuple[ScaleChange, ...] = ()
    unit: int = 1
    """Unit identifier: 126 at SMA, 71 at Kostal, 100 behind SolarEdge gateways."""


def rescaled(
    points: Iterable[Point], registers: Mapping[int, int], *, scale_point: str, exponent: int
) -> dict[int, int]:
    """Return the registers that change when a scale factor takes another exponent and all values stay.

    Values are rounded to the nearest that the exponent to come can tell.

    Args:
        points: at their addresses.
        registers: present registers by address.
        scale_point: full name, e.g. ``103.W_SF``.
        exponent: the exponent to come.

    Raises:
        MapError: a value does not fit its registers in the scale to come, or there is no such scale factor.
    """
    by_name = {point.name: point for point in points}
    if scale_point not in by_name:
        raise MapError(f"SunSpec image: there is no scale factor {scale_point}; check the name")
    before = _signed(registers[by_name[scale_point].address])
    changed = {by_name[scale_point].address: exponent & 0xFFFF}
    for point in by_name.values():
        if point.scale_point != scale_point:
            continue
        present = [registers[point.address + index] for index in range(register_count(point))]
        value = decode(point, present, _LINK, scale_exponent=before)
        if value is not None:
            changed.update(enumerate(encoded(point, value, exponent=exponent), start=point.address))
    return changed


def encoded(point: Point, value: float | str, *, exponent: int | None) -> list[int]:
    """Return the registers of a value; a counter at 0 is 0, although the standard reads that as not implemented.

    Raises:
        MapError: the value does not fit.
    """
    if value == 0 and point.missing == (0,):
        return [0] * register_count(point)
    return encode(point, value, _LINK, scale_exponent=exponent)


def _signed(register: int) -> int:
    return register - 0x1_0000 if register & 0x8000 else register
