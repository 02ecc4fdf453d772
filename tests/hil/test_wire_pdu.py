"""Requests, answers, and the strict check between them; frames worked by hand from the Modbus specification."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_peers import AddressBank, PlainBank

from hil_adapters.errors import ExceptionReplyError, ProtocolViolationError
from hil_adapters.wire.answering import serve
from hil_adapters.wire.base import Peer, Table
from hil_adapters.wire.codes import Refusal
from hil_adapters.wire.pdu import (
    check_answer,
    describe,
    device_id_objects,
    device_id_request,
    mask_request,
    read_request,
    read_values,
    read_write_request,
    write_request,
)

ME = Peer(address="127.0.0.1")
READ_3 = read_request(Table.HOLDING, 107, 3)
WORDS = st.integers(0, 0xFFFF)


def asked(bank, request):
    """Serve a request and verify the answer as a client does."""
    answer = serve(bank, 1, request, ME)
    check_answer(request, answer)
    return answer


def refused(bank, request):
    with pytest.raises(ExceptionReplyError) as caught:
        asked(bank, request)
    return caught.value.code


@pytest.mark.parametrize(
    ("request_pdu", "expected"),
    [
        (read_request(Table.COIL, 19, 19), "01 0013 0013"),
        (read_request(Table.DISCRETE, 196, 22), "02 00C4 0016"),
        (READ_3, "03 006B 0003"),
        (read_request(Table.INPUT, 8, 1), "04 0008 0001"),
        (write_request(Table.COIL, 172, [1], single=True), "05 00AC FF00"),
        (write_request(Table.COIL, 172, [0], single=True), "05 00AC 0000"),
        (write_request(Table.HOLDING, 1, [3], single=True), "06 0001 0003"),
        (
            write_request(Table.COIL, 19, [1, 0, 1, 1, 0, 0, 1, 1, 1, 0], single=False),
            "0F 0013 000A 02 CD01",
        ),
        (write_request(Table.HOLDING, 1, [10, 258], single=False), "10 0001 0002 04 000A 0102"),
        (mask_request(4, and_mask=0xF2, or_mask=0x25), "16 0004 00F2 0025"),
        (
            read_write_request(3, 6, write_address=14, values=[255, 255, 255]),
            "17 0003 0006 000E 0003 06 00FF 00FF 00FF",
        ),
        (device_id_request(), "2B 0E 01 00"),
    ],
)
def test_requests_are_coded_as_the_specification_shows(request_pdu, expected):
    assert request_pdu == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("table", "values", "request_pdu", "expected"),
    [
        (Table.COIL, [1, 0, 1, 1, 0, 0, 1, 1, 1, 1], read_request(Table.COIL, 0, 10), "01 02 CD 03"),
        (Table.DISCRETE, [0, 0, 1, 1, 0, 1, 0, 1], read_request(Table.DISCRETE, 0, 8), "02 01 AC"),
        (Table.HOLDING, [0x022B, 0, 0x64], read_request(Table.HOLDING, 0, 3), "03 06 022B 0000 0064"),
        (Table.INPUT, [10], read_request(Table.INPUT, 0, 1), "04 02 000A"),
    ],
)
def test_answers_to_reads_are_coded_as_the_specification_shows(table, values, request_pdu, expected):
    bank = PlainBank()
    bank.put(1, table, 0, values)
    answer = asked(bank, request_pdu)
    assert answer == bytes.fromhex(expected)
    assert read_values(request_pdu, answer) == values


def test_a_mask_changes_only_the_bits_it_selects():
    bank = PlainBank()
    bank.put(1, Table.HOLDING, 4, [0x12])
    asked(bank, mask_request(4, and_mask=0xF2, or_mask=0x25))
    assert bank.read(1, Table.HOLDING, 4, 1) == [0x17]


def test_a_read_write_reads_what_it_wrote():
    request = read_write_request(10, 3, write_address=11, values=[7, 8])
    assert read_values(request, asked(PlainBank(), request)) == [0, 7, 8]


@settings(deadline=None)
@given(address=st.integers(0, 65535 - 123), values=st.lists(WORDS, min_size=1, max_size=123))
def test_registers_come_back_as_they_were_written(address, values):
    bank = PlainBank()
    asked(bank, write_request(Table.HOLDING, address, values, single=False))
    request = read_request(Table.HOLDING, address, len(values))
    assert read_values(request, asked(bank, request)) == values


@settings(deadline=None)
@given(address=st.integers(0, 65535 - 1968), values=st.lists(st.integers(0, 1), min_size=1, max_size=1968))
def test_coils_come_back_as_they_were_written(address, values):
    bank = PlainBank()
    asked(bank, write_request(Table.COIL, address, values, single=False))
    request = read_request(Table.COIL, address, len(values))
    assert read_values(request, asked(bank, request)) == values


@pytest.mark.parametrize(
    ("request_hex", "code"),
    [
        ("63", 1),
        ("00", 1),
        ("83 0000 0001", 1),
        ("2B 0E 01 00", 1),
        ("03 0064 0001", 2),
        ("01 0063 0002", 2),
        ("03 FFFF 0002", 2),
        ("05 0064 FF00", 2),
        ("06 0064 0000", 2),
        ("0F 0063 0002 01 03", 2),
        ("10 0063 0002 04 0001 0002", 2),
        ("16 0064 00F2 0025", 2),
        ("17 0063 0002 0000 0001 02 0001", 2),
        ("03 0000 0000", 3),
        ("03 0000 007E", 3),
        ("01 0000 07D1", 3),
        ("02 0000 0000", 3),
        ("04 0000 007E", 3),
        ("05 0000 0001", 3),
        ("03 0000", 3),
        ("03 0000 0001 00", 3),
        ("06 0000", 3),
        ("0F 0000 0008 02 FF", 3),
        ("0F 0000 0009 01 FF", 3),
        ("0F 0000 0000 00", 3),
        ("10 0000 0002 04 0001", 3),
        ("10 0000 0001 04 0001 0002", 3),
        ("10 0000 007C 02 0001", 3),
        ("10 0000", 3),
        ("16 0000 00F2", 3),
        ("17 0000 007E 0000 0001 02 0001", 3),
        ("17 0000 0001 0000 0000 00", 3),
        ("17 0000 0001 0000 0001 04 0001", 3),
    ],
)
def test_a_request_that_cannot_be_served_gets_the_exception_of_the_specification(request_hex, code):
    request = bytes.fromhex(request_hex)
    assert serve(PlainBank(size=100), 1, request, ME) == bytes((request[0] | 0x80, code))


@pytest.mark.parametrize(
    "request_hex",
    ["01 FFFF 0002", "03 FFFF 0002", "10 FFFF 0002 04 0001 0002", "17 FFFF 0002 0000 0001 02 0001"],
)
def test_no_bank_is_asked_for_addresses_beyond_the_last(request_hex):
    bank = AddressBank()
    request = bytes.fromhex(request_hex)
    assert serve(bank, 1, request, ME) == bytes((request[0] | 0x80, 2))
    assert bank.writes == []


def test_a_refused_write_changes_nothing():
    bank = PlainBank(size=100)
    request = read_write_request(99, 2, write_address=0, values=[5])
    assert refused(bank, write_request(Table.HOLDING, 99, [1, 2], single=False)) == 2
    assert bank.writes == []
    # the reading half of function 23 is refused after its write, in the order of the specification
    assert refused(bank, request) == 2


def test_a_bank_refuses_with_a_code_of_its_own():
    class Busy(PlainBank):
        def read(self, *_):
            raise Refusal(6)

    assert refused(Busy(), READ_3) == 6


def test_a_bank_that_gives_too_few_values_is_a_mistake_of_the_program():
    class Short(PlainBank):
        def read(self, *_):
            return [1]

    with pytest.raises(ValueError, match="1 values where 3 were asked for"):
        serve(Short(), 1, READ_3, ME)


def test_a_write_tells_the_bank_who_wrote_and_by_which_function():
    bank = PlainBank()
    asked(bank, write_request(Table.HOLDING, 5, [9], single=True))
    asked(bank, write_request(Table.HOLDING, 5, [9], single=False))
    assert [single for *_, single in bank.writes] == [True, False]
    assert bank.peers == [ME, ME]


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 10, 11, 0x77])
def test_an_exception_is_raised_with_its_code_and_what_was_asked(code):
    with pytest.raises(
        ExceptionReplyError, match="read of 3 holding registers from 107: exception"
    ) as caught:
        check_answer(READ_3, bytes((0x83, code)))
    assert caught.value.code == code


GOOD = bytes.fromhex("03 06 022B 0000 0064")


@pytest.mark.parametrize(
    ("request_pdu", "answer"),
    [
        (READ_3, b""),
        (READ_3, b"\x03"),
        (READ_3, b"\x04" + GOOD[1:]),
        (READ_3, bytes.fromhex("84 02")),
        (READ_3, bytes.fromhex("83")),
        (READ_3, bytes.fromhex("83 02 00")),
        (READ_3, GOOD[:-2]),
        (READ_3, GOOD + b"\x00\x00"),
        (READ_3, bytes.fromhex("03 04 022B 0000")),
        (READ_3, bytes.fromhex("03 08 022B 0000 0064 0001")),
        (READ_3, bytes.fromhex("03 05 022B 0000 0064")),
        (read_request(Table.COIL, 0, 9), bytes.fromhex("01 01 FF")),
        (write_request(Table.HOLDING, 1, [3], single=True), bytes.fromhex("06 0001 0004")),
        (write_request(Table.HOLDING, 1, [3], single=True), bytes.fromhex("06 0002 0003")),
        (write_request(Table.COIL, 1, [1], single=True), bytes.fromhex("05 0001 0000")),
        (write_request(Table.HOLDING, 1, [3, 4], single=False), bytes.fromhex("10 0001 0001")),
        (write_request(Table.HOLDING, 1, [3, 4], single=False), bytes.fromhex("10 0001 0002 04")),
        (write_request(Table.COIL, 1, [1, 0], single=False), bytes.fromhex("0F 0002 0002")),
        (mask_request(4, and_mask=1, or_mask=2), bytes.fromhex("16 0004 0001 0003")),
        (device_id_request(), bytes.fromhex("2B 0E 01 01 00 00 01 00 05 41")),
        (device_id_request(), bytes.fromhex("2B 0E 01 01 00 00 01 00 01 41 42")),
        (device_id_request(), bytes.fromhex("2B 0D 01 01 00 00 00")),
        (device_id_request(), bytes.fromhex("2B 0E 01")),
        (device_id_request(), bytes.fromhex("2B 0E 01 01 00 00 02 00 01 41")),
    ],
)
def test_an_answer_of_another_shape_is_a_violation(request_pdu, answer):
    with pytest.raises(ProtocolViolationError, match="answer"):
        check_answer(request_pdu, answer)


@settings(deadline=None, max_examples=300)
@given(answer=st.binary(max_size=260))
def test_no_bytes_but_a_right_answer_pass_the_check(answer):
    try:
        check_answer(READ_3, answer)
    except (ExceptionReplyError, ProtocolViolationError):
        assert len(answer) != 8 or answer[:2] != b"\x03\x06"
    else:
        assert len(answer) == 8
        assert answer[:2] == b"\x03\x06"


@pytest.mark.parametrize(
    "build",
    [
        lambda: read_request(Table.HOLDING, 0, 0),
        lambda: read_request(Table.HOLDING, 0, 126),
        lambda: read_request(Table.COIL, 0, 2001),
        lambda: read_request(Table.HOLDING, 65535, 2),
        lambda: read_request(Table.HOLDING, -1, 1),
        lambda: write_request(Table.HOLDING, 0, [], single=False),
        lambda: write_request(Table.HOLDING, 0, [0] * 124, single=False),
        lambda: write_request(Table.HOLDING, 0, [1, 2], single=True),
        lambda: write_request(Table.HOLDING, 0, [65536], single=True),
        lambda: write_request(Table.HOLDING, 0, [-1], single=True),
        lambda: write_request(Table.COIL, 0, [2], single=True),
        lambda: write_request(Table.INPUT, 0, [1], single=True),
        lambda: mask_request(0, and_mask=65536, or_mask=0),
        lambda: read_write_request(0, 1, write_address=0, values=[0] * 122),
        lambda: device_id_request(category=5),
        lambda: check_answer(b"\x63", b"\x63"),
    ],
)
def test_what_modbus_cannot_carry_is_refused_before_it_is_sent(build):
    with pytest.raises(
        ValueError, match=r"carries|Modbus has|must lie|cannot be written|give 1 to 4|not spoken"
    ):
        build()


NAMES = {0: "Maker", 1: "PV5", 2: "1.2", 3: "http://example.org", 0x80: "x" * 240, 0x81: "y" * 240}


class Named(PlainBank):
    def identification(self, unit):
        assert unit == 1
        return NAMES


@pytest.mark.parametrize(("category", "expected"), [(1, [0, 1, 2]), (2, [0, 1, 2, 3])])
def test_a_device_names_itself(category, expected):
    request = device_id_request(category=category)
    objects, following = device_id_objects(request, asked(Named(), request))
    assert objects == {number: NAMES[number] for number in expected}
    assert following is None


def test_a_long_identification_comes_in_parts():
    found = {}
    first: int | None = 0
    while first is not None:
        request = device_id_request(category=3, first_object=first)
        answer = asked(Named(), request)
        assert len(answer) <= 253
        objects, first = device_id_objects(request, answer)
        found |= objects
    assert found == NAMES


def test_one_object_is_asked_for_by_its_number():
    request = device_id_request(category=4, first_object=3)
    assert device_id_objects(request, asked(Named(), request)) == ({3: "http://example.org"}, None)
    assert refused(Named(), device_id_request(category=4, first_object=9)) == 2


@pytest.mark.parametrize("request_hex", ["2B 0E 05 00", "2B 0E 01"])
def test_an_identification_request_that_is_wrong_is_refused(request_hex):
    assert serve(Named(), 1, bytes.fromhex(request_hex), ME) == b"\xab\x03"


@pytest.mark.parametrize(
    ("request_pdu", "expected"),
    [
        (READ_3, "read of 3 holding registers from 107"),
        (write_request(Table.COIL, 7, [1], single=True), "write to coil 7"),
        (mask_request(4, and_mask=1, or_mask=2), "write to holding register 4"),
        (device_id_request(), "read of the device identification"),
        (b"\x63", "request with function 99"),
    ],
)
def test_a_request_is_described_in_words(request_pdu, expected):
    assert describe(request_pdu) == expected
