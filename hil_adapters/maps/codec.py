"""Registers to values and back, for one point.

A value is ``raw * scale * 10^exponent + offset``. Factors are fractions of whole numbers, so a decimal that a raw value
stands for comes out as the nearest float: raw 3 with scale 0.1 is 0.3.

Order of the bytes a, b, c, d of a 32-bit value on the wire: big/big ``abcd``, byte order little ``badc``, word order little
``cdab``, both little ``dcba``. Text knows byte order only.
"""

import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from types import MappingProxyType

from hil_adapters.errors import MapError
from hil_adapters.maps.schema import LinkDefaults, Order, Point, ValueType

__all__ = [
    "MAX_EXPONENT",
    "Rule",
    "byte_positions",
    "decode",
    "encode",
    "raw_limits",
    "raw_of",
    "reason",
    "register_count",
    "registers_of",
]

MAX_EXPONENT = 10
"""Scale factors beyond 10^10 and 10^-10 are refused; the range of ``sunssf`` in the SunSpec Information Model."""

_CODE = MappingProxyType(
    {
        ValueType.BOOL: "H",
        ValueType.INT16: "h",
        ValueType.UINT16: "H",
        ValueType.INT32: "i",
        ValueType.UINT32: "I",
        ValueType.INT64: "q",
        ValueType.UINT64: "Q",
        ValueType.FLOAT32: "f",
        ValueType.FLOAT64: "d",
    }
)
"""Codes of ``struct``."""
_UNSIGNED = MappingProxyType({2: "H", 4: "I", 8: "Q"})
_FLOATS = frozenset((ValueType.FLOAT32, ValueType.FLOAT64))


def register_count(point: Point) -> int:
    """Return how many registers (coils: 1) a point takes."""
    if point.type is ValueType.STRING:
        return 1 if point.length is None else point.length
    return struct.calcsize(">" + _CODE[point.type]) // 2


def byte_positions(point: Point, link: LinkDefaults) -> list[int]:
    """Return where in the bytes of its registers (as on the wire) those of a value lie, most significant first."""
    words = list(range(register_count(point)))
    word_order = link.word_order if point.word_order is None else point.word_order
    byte_order = link.byte_order if point.byte_order is None else point.byte_order
    if word_order is Order.LITTLE and point.type is not ValueType.STRING:
        words.reverse()
    pair = (1, 0) if byte_order is Order.LITTLE else (0, 1)
    return [2 * word + byte for word in words for byte in pair]


def decode(
    point: Point, registers: Sequence[int], link: LinkDefaults, *, scale_exponent: int | None
) -> float | str | None:
    """Return the value of a point from its registers (0 to 65535) or its bit; None where it has none.

    Args:
        point: What the registers hold.
        registers: As many as the point takes.
        link: Byte and word order where the point does not say.
        scale_exponent: Power of ten of the scale point; None where the point has none or it is not implemented.
    """
    return Rule(point).value(_raw(point, registers, link), scale_exponent)


def reason(point: Point, registers: Sequence[int], link: LinkDefaults, *, scale_exponent: int | None) -> str:
    """Return why :func:`decode` gives None for the same arguments; empty where it gives a value."""
    return Rule(point).reason(_raw(point, registers, link), scale_exponent)


def encode(point: Point, value: float | str, link: LinkDefaults, *, scale_exponent: int | None) -> list[int]:
    """Return the registers (or the bit) of a value, rounded to the nearest raw value.

    Raises:
        MapError: the value is no number, beyond what the registers can hold, the sign for a missing value, not of the
            point's type, or its scale factor is not known.
    """
    rule = Rule(point)
    raw = rule.raw(value, scale_exponent)
    if point.type is ValueType.BOOL:
        return [int(raw)]
    return registers_of(rule.code, raw, byte_positions(point, link))


def registers_of(code: str, raw: float | bytes, positions: Sequence[int]) -> list[int]:
    """Return the registers of a raw value.

    Args:
        code: of ``struct``.
        raw: bytes of text, a whole number, or a float for float types.
        positions: see :func:`byte_positions`.
    """
    length = len(positions)
    data = raw.ljust(length, b"\0") if isinstance(raw, bytes) else struct.pack(">" + code, raw)
    wire = bytearray(length)
    for byte, position in zip(data, positions, strict=True):
        wire[position] = byte
    return list(struct.unpack(f">{length // 2}H", wire))


def raw_of(code: str, registers: Sequence[int], positions: Sequence[int]) -> float | bytes:
    """Return the raw value that registers hold; see :func:`registers_of`."""
    data = struct.pack(f">{len(registers)}H", *registers)
    raw: float | bytes = struct.unpack(">" + code, bytes(data[position] for position in positions))[0]
    return raw


class Rule:
    """How raw values of one point become values and back; made once, used for every reading."""

    __slots__ = ("_factors", "_high", "_low", "_missing", "_offset", "_plain", "_point", "_scaled", "code")

    def __init__(self, point: Point) -> None:
        self._point = point
        is_text = point.type is ValueType.STRING
        self.code = f"{2 * register_count(point)}s" if is_text else _CODE[point.type]
        """Code of ``struct`` of the raw value, most significant byte first."""
        self._scaled = point.scale_point is not None
        self._missing = (
            frozenset() if is_text else frozenset(_raw_of_bits(self.code, bits) for bits in point.missing)
        )
        self._factors = _factors(
            point.scale, range(-MAX_EXPONENT, MAX_EXPONENT + 1) if self._scaled else range(1)
        )
        self._offset = point.offset
        self._low = -math.inf if point.low is None else point.low
        self._high = math.inf if point.high is None else point.high
        self._plain = not self._scaled and self._factors[0] == (1, 1) and point.offset == 0.0

    def value(self, raw: float | bytes, exponent: int | None) -> float | str | None:
        """Return the value of a raw one; None where there is none, then :meth:`reason` says why."""
        if isinstance(raw, bytes):
            return _text(raw)
        if raw in self._missing:
            return None
        if self._plain:
            value = float(raw)
        else:
            factor = self._factors.get(exponent if self._scaled else 0)
            if factor is None:
                return None
            value = raw * factor[0] / factor[1] + self._offset
        return value if self._low <= value <= self._high and math.isfinite(value) else None

    def reason(self, raw: float | bytes, exponent: int | None) -> str:
        """Return why a raw value stands for nothing; empty where it has a value."""
        if self.value(raw, exponent) is not None:
            return ""
        if isinstance(raw, bytes):
            return "not implemented, or not text in UTF-8" if any(raw) else "not implemented: no text"
        if raw in self._missing or not math.isfinite(raw):
            return "not implemented: the device sends its sign for a missing value"
        point = self._point
        if self._scaled and exponent not in self._factors:
            if exponent is None:
                return f"its scale factor {point.scale_point} is not implemented or was not read"
            return f"its scale factor {point.scale_point} is {exponent}, beyond -{MAX_EXPONENT} to {MAX_EXPONENT}"
        return (
            f"raw value {raw:g} lies beyond what can be true ({self._low:g} to {self._high:g} {point.unit})"
        )

    def raw(self, value: float | str, exponent: int | None) -> float | bytes:
        """Return the raw value of a value: bytes of text, a whole number, or a float for float types.

        Raises:
            MapError: see :func:`encode`.
        """
        point = self._point
        if isinstance(value, str):
            return self._raw_text(value)
        if point.type is ValueType.STRING:
            raise MapError(f"{point.name}: {value} is a number and the point holds text; give text")
        if not math.isfinite(value):
            raise MapError(f"{point.name}: {value} cannot be written; give a finite number")
        factor = self._factors.get(exponent if self._scaled else 0)
        if factor is None:
            raise MapError(
                f"{point.name}: its scale factor {point.scale_point} is {exponent}; read it first, "
                f"it must be a whole number from -{MAX_EXPONENT} to {MAX_EXPONENT}"
            )
        exact = (Fraction(value) - Fraction(point.offset)) * factor[1] / factor[0]
        low, high = (0, 1) if point.type is ValueType.BOOL else raw_limits(self.code)
        raw = exact if point.type in _FLOATS else round(exact)
        if not low <= raw <= high:
            ends = sorted(float(Fraction(end) * factor[0] / factor[1]) + point.offset for end in (low, high))
            raise MapError(
                f"{point.name}: {value:g} {point.unit} does not fit, {point.type} with this scale holds {ends[0]:g} to "
                f"{ends[1]:g}; limit the value or correct scale and type"
            )
        if raw in self._missing:
            raise MapError(
                f"{point.name}: {value:g} {point.unit} is coded as the sign for a missing value; give another value"
            )
        return float(raw) if point.type in _FLOATS else int(raw)

    def _raw_text(self, value: str) -> bytes:
        point = self._point
        if point.type is not ValueType.STRING:
            raise MapError(f"{point.name}: {value!r} is text and the point holds a number; give a number")
        data = value.encode()
        if len(data) > 2 * register_count(point):
            raise MapError(
                f"{point.name}: {value!r} takes {len(data)} bytes, there is room for {2 * register_count(point)}; shorten it"
            )
        return data


def _raw(point: Point, registers: Sequence[int], link: LinkDefaults) -> float | bytes:
    count = register_count(point)
    if len(registers) != count:
        raise MapError(
            f"{point.name}: {len(registers)} registers for a point of {count}; read as many as it takes"
        )
    return raw_of(Rule(point).code, registers, byte_positions(point, link))


def _text(raw: bytes) -> str | None:
    """Return the text up to the first NUL, without spaces around it; None where there is none or it is not UTF-8."""
    try:
        text = raw.partition(b"\0")[0].decode().strip()
    except UnicodeDecodeError:
        return None
    return text or None


def _factors(scale: float, exponents: range) -> dict[int | None, tuple[int, int]]:
    """Return numerator and denominator of ``scale * 10^exponent`` by exponent; the decimal a person wrote is exact."""
    written = Fraction(str(scale))
    return {exponent: (written * Fraction(10) ** exponent).as_integer_ratio() for exponent in exponents}


def _raw_of_bits(code: str, bits: int) -> float:
    """Return the raw value that a pattern of bits, read as an unsigned number, is in a type."""
    raw: float = struct.unpack(">" + code, struct.pack(">" + _UNSIGNED[struct.calcsize(">" + code)], bits))[0]
    return raw


def raw_limits(code: str) -> tuple[float, float]:
    """Return the smallest and the largest raw number of a type; whole numbers for whole types."""
    if code in "fd":
        pattern = b"\x7f\x7f\xff\xff" if code == "f" else b"\x7f\xef" + 6 * b"\xff"
        largest: float = struct.unpack(">" + code, pattern)[0]
        return -largest, largest
    bits = 8 * struct.calcsize(">" + code)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if code.islower() else (0, 2**bits - 1)
