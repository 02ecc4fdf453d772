"""Registers to values and back: hand-worked examples, laws over every type and order, and pymodbus as a witness."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from map_files import link, point
from pymodbus.client import ModbusTcpClient

from hil_adapters.errors import MapError
from hil_adapters.maps.codec import decode, encode, reason, register_count
from hil_adapters.maps.schema import ValueType

ORDERS = [("big", "big"), ("little", "big"), ("big", "little"), ("little", "little")]
WHOLE = {"int16": (16, True), "uint16": (16, False), "int32": (32, True), "uint32": (32, False)} | {
    "int64": (64, True),
    "uint64": (64, False),
}


@pytest.mark.parametrize(
    ("orders", "registers"),
    [
        (("big", "big"), [0x1234, 0x5678]),
        (("little", "big"), [0x3412, 0x7856]),
        (("big", "little"), [0x5678, 0x1234]),
        (("little", "little"), [0x7856, 0x3412]),
    ],
)
def test_bytes_of_a_32_bit_value_lie_as_the_orders_say(orders, registers):
    assert decode(point(type="uint32"), registers, link(*orders), scale_exponent=None) == 0x12345678
    assert encode(point(type="uint32"), 0x12345678, link(*orders), scale_exponent=None) == registers


def test_a_point_overrides_the_orders_of_its_map():
    odd = point(type="uint32", word_order="little")
    assert decode(odd, [0x5678, 0x1234], link(), scale_exponent=None) == 0x12345678


@pytest.mark.parametrize(
    ("values", "registers", "exponent", "expected"),
    [
        ({"type": "int16"}, [0xFFFE], None, -2.0),
        ({"type": "int16", "scale": 0.1}, [3], None, 0.3),
        ({"type": "uint16", "scale": 0.01}, [5001], None, 50.01),
        ({"type": "int16", "scale_point": "sf"}, [1234], -2, 12.34),
        ({"type": "int16", "scale_point": "sf"}, [1234], 3, 1_234_000.0),
        ({"type": "uint32", "scale": 0.1}, [0x0001, 0x86A0], None, 10_000.0),
        ({"type": "uint16", "scale": 0.5, "offset": -40.0}, [100], None, 10.0),
        ({"type": "float32"}, [0x4248, 0x0000], None, 50.0),
        ({"type": "float64"}, [0x4049, 0, 0, 0], None, 50.0),
        ({"type": "int64"}, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], None, -1.0),
        ({"type": "string", "length": 4}, [0x4142, 0x4320, 0x0000, 0x5A5A], None, "ABC"),
        ({"type": "bool", "table": "coil"}, [1], None, 1.0),
    ],
)
def test_values_worked_by_hand(values, registers, exponent, expected):
    assert decode(point(**values), registers, link(), scale_exponent=exponent) == expected


@pytest.mark.parametrize(
    ("values", "registers", "exponent", "why"),
    [
        ({"type": "int16", "missing": [0x8000]}, [0x8000], None, "sign for a missing value"),
        ({"type": "uint32", "missing": [0xFFFFFFFF]}, [0xFFFF, 0xFFFF], None, "sign for a missing value"),
        ({"type": "float32"}, [0x7FC0, 0], None, "sign for a missing value"),
        ({"type": "float32"}, [0xFF80, 0], None, "sign for a missing value"),
        ({"type": "float32", "missing": [0xC61C3C00]}, [0xC61C, 0x3C00], None, "sign for a missing value"),
        ({"type": "int16", "scale_point": "sf"}, [7], None, "scale factor sf is not implemented"),
        ({"type": "int16", "scale_point": "sf"}, [7], 11, "scale factor sf is 11"),
        ({"type": "int16", "scale_point": "sf"}, [7], -11, "scale factor sf is -11"),
        ({"type": "uint16", "high": 100.0}, [101], None, "beyond what can be true"),
        ({"type": "int16", "low": 0.0}, [0xFFFF], None, "beyond what can be true"),
        ({"type": "string", "length": 2}, [0, 0], None, "no text"),
        ({"type": "string", "length": 1}, [0xFF41], None, "not text in UTF-8"),
    ],
)
def test_what_is_no_value_is_none_and_says_why(values, registers, exponent, why):
    assert decode(point(**values), registers, link(), scale_exponent=exponent) is None
    assert why in reason(point(**values), registers, link(), scale_exponent=exponent)


def test_all_ones_is_a_value_where_no_sign_for_a_missing_one_is_declared():
    assert decode(point(type="uint16"), [0xFFFF], link(), scale_exponent=None) == 65535.0
    assert reason(point(type="uint16"), [0xFFFF], link(), scale_exponent=None) == ""


@pytest.mark.parametrize(
    ("values", "value", "exponent", "told"),
    [
        ({"type": "int16"}, 40_000.0, None, "int16 with this scale holds -32768 to 32767"),
        ({"type": "uint16", "scale": 0.1}, 7000.0, None, "holds 0 to 6553.5"),
        ({"type": "uint16"}, -1.0, None, "does not fit"),
        ({"type": "int16"}, math.nan, None, "finite"),
        ({"type": "float32"}, math.inf, None, "finite"),
        ({"type": "float32"}, 1e39, None, "does not fit"),
        ({"type": "float64", "scale": 0.001}, 1e308, None, "does not fit"),
        ({"type": "int16", "scale_point": "sf"}, 1.0, None, "read it first"),
        ({"type": "int16", "scale_point": "sf"}, 1.0, 12, "read it first"),
        ({"type": "uint16", "missing": [65535]}, 65535.0, None, "sign for a missing value"),
        ({"type": "bool", "table": "coil"}, 2.0, None, "does not fit"),
        ({"type": "string", "length": 1}, "ABC", None, "room for 2"),
        ({"type": "string", "length": 1}, 5.0, None, "give text"),
        ({"type": "int16"}, "5", None, "give a number"),
    ],
)
def test_what_cannot_be_coded_is_refused(values, value, exponent, told):
    with pytest.raises(MapError, match=told):
        encode(point(**values), value, link(), scale_exponent=exponent)


@pytest.mark.parametrize(("value", "raw"), [(12.344, 1234), (12.346, 1235), (-12.346, 0x10000 - 1235)])
def test_values_are_rounded_to_the_nearest_raw_one(value, raw):
    assert encode(point(scale_point="sf"), value, link(), scale_exponent=-2) == [raw]


def test_another_number_of_registers_is_refused():
    with pytest.raises(MapError, match="2 registers for a point of 1"):
        decode(point(), [1, 2], link(), scale_exponent=None)


@settings(deadline=None, max_examples=400)
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    orders=st.sampled_from(ORDERS),
    exponent=st.one_of(st.none(), st.integers(-10, 10)),
    scale=st.sampled_from([1.0, 0.1, 0.01, 0.5, -1.0, 50.0, 0.003]),
    data=st.data(),
)
def test_whole_numbers_come_back_as_they_went_out(kind, orders, exponent, scale, data):
    bits, signed = WHOLE[kind]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    raw = data.draw(st.integers(max(low, -(2**51)), min(high, 2**51)))
    registers = list(struct.unpack(f">{bits // 16}H", (raw % 2**bits).to_bytes(bits // 8, "big")))
    if orders[0] == "little":
        registers = [(word % 256) * 256 + word // 256 for word in registers]
    if orders[1] == "little":
        registers.reverse()
    entry = point(type=kind, scale=scale, scale_point=None if exponent is None else "sf")
    value = decode(entry, registers, link(*orders), scale_exponent=exponent)
    assert isinstance(value, float)
    assert value == pytest.approx(raw * scale * 10.0 ** (exponent or 0), rel=1e-14, abs=0)
    assert encode(entry, value, link(*orders), scale_exponent=exponent) == registers


@settings(deadline=None, max_examples=300)
@given(
    kind=st.sampled_from(["float32", "float64"]),
    orders=st.sampled_from(ORDERS),
    scale=st.sampled_from([1.0, 0.001, 1000.0]),
    value=st.floats(-1e30, 1e30, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-30),
)
def test_floats_come_back_to_their_precision(kind, orders, scale, value):
    entry = point(type=kind, scale=scale)
    registers = encode(entry, value, link(*orders), scale_exponent=None)
    assert len(registers) == register_count(entry)
    precision = 1e-6 if kind == "float32" else 1e-14
    back = decode(entry, registers, link(*orders), scale_exponent=None)
    assert back == pytest.approx(value, rel=precision, abs=1e-40)


@settings(deadline=None)
@given(
    text=st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=16),
    byte_order=st.sampled_from(["big", "little"]),
)
def test_text_comes_back_in_both_byte_orders(text, byte_order):
    entry = point(type="string", length=8)
    registers = encode(entry, text, link(byte_order, "little"), scale_exponent=None)
    assert decode(entry, registers, link(byte_order, "little"), scale_exponent=None) == text


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64", "FLOAT32", "FLOAT64"]),
    word_order=st.sampled_from(["big", "little"]),
    value=st.integers(0, 32767),
)
def test_pymodbus_codes_the_same_registers(kind, word_order, value):
    number = float(value) if kind.startswith("FLOAT") else value
    theirs = ModbusTcpClient.convert_to_registers(
        number, ModbusTcpClient.DATATYPE[kind], word_order=word_order
    )
    entry = point(type=ValueType(kind.lower()))
    assert encode(entry, value, link("big", word_order), scale_exponent=None) == theirs
    assert decode(entry, theirs, link("big", word_order), scale_exponent=None) == value
