"""Frames out of a stream: Modbus TCP and RTU, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.wire.framing import (
    Frame,
    MbapFramer,
    RtuFramer,
    Violation,
    answer_length,
    crc16,
    mbap_frame,
    parse_mbap,
    parse_rtu,
    request_length,
    rtu_frame,
    silent_interval_s,
)

PDUS = st.binary(min_size=1, max_size=253)
UNITS = st.integers(0, 255)


def cut(data, cuts):
    """Cut bytes at the given places."""
    edges = [0, *sorted(at % (len(data) + 1) for at in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def fed(framer, chunks):
    return [item for chunk in chunks for item in framer.feed(chunk)]


def request_framer():
    return RtuFramer(request_length, answer_length)


@pytest.mark.parametrize(
    ("frame_hex", "crc"),
    [("01 03 00 00 00 0A", 0xCDC5), ("11 03 00 6B 00 03", 0x8776), ("02 07", 0x1241)],
)
def test_the_check_sum_of_known_frames_is_right(frame_hex, crc):
    assert crc16(bytes.fromhex(frame_hex)) == crc


def test_an_rtu_frame_ends_with_its_check_sum_low_byte_first():
    frame = rtu_frame(1, bytes.fromhex("03 0000 000A"))
    assert frame == bytes.fromhex("01 03 0000 000A C5CD")
    assert parse_rtu(frame) == Frame(1, frame[1:-2], 0, frame)


@given(unit=UNITS, pdu=PDUS, bit=st.integers(0, 8 * 256))
@settings(deadline=None)
def test_one_wrong_bit_is_always_noticed(unit, pdu, bit):
    frame = bytearray(rtu_frame(unit, pdu))
    frame[bit // 8 % len(frame)] ^= 1 << bit % 8
    assert parse_rtu(bytes(frame)) is None


def test_a_tcp_frame_has_the_header_of_the_specification():
    frame = mbap_frame(0x1501, 0xFF, bytes.fromhex("03 0004 0003"))
    assert frame == bytes.fromhex("1501 0000 0006 FF 03 0004 0003")
    assert parse_mbap(frame) == Frame(0xFF, frame[7:], 0x1501, frame)


@pytest.mark.parametrize(
    "adu", [b"", bytes(7), bytes.fromhex("0001 0001 0002 01 03"), bytes.fromhex("0001 0000 0003 01 03")]
)
def test_what_is_no_tcp_frame_is_not_taken_apart(adu):
    assert parse_mbap(adu) is None


@settings(deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 65535), UNITS, PDUS), max_size=6),
    cuts=st.lists(st.integers(0, 1600), max_size=12),
)
def test_tcp_frames_come_out_whole_however_they_are_cut(parts, cuts):
    stream = b"".join(mbap_frame(*part) for part in parts)
    framer = MbapFramer()
    frames = fed(framer, cut(stream, cuts))
    assert [(frame.transaction, frame.unit, frame.pdu) for frame in frames] == parts
    assert framer.n_left_over == 0


@pytest.mark.parametrize(
    "wrong",
    ["0002 0001 0006 01 03", "0002 0000 0001 01", "0002 0000 00FF 01", "0002 0000 0000 01", "FF" * 20],
)
def test_a_wrong_header_ends_a_tcp_stream_after_what_was_right(wrong):
    good = mbap_frame(1, 1, b"\x03\x02\x00\x07")
    framer = MbapFramer()
    frame, violation = framer.feed(good + bytes.fromhex(wrong))
    assert isinstance(frame, Frame)
    assert frame.adu == good
    assert isinstance(violation, Violation)
    assert framer.feed(good) == []


def test_part_of_a_tcp_frame_is_left_over():
    framer = MbapFramer()
    assert framer.feed(mbap_frame(1, 1, b"\x03\x02\x00\x07")[:-1]) == []
    assert framer.n_left_over == 10


REQUESTS = st.one_of(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6]), st.binary(min_size=4, max_size=4)).map(
        lambda part: bytes([part[0]]) + part[1]
    ),
    st.tuples(st.sampled_from([15, 16]), st.binary(min_size=4, max_size=4), st.binary(max_size=244)).map(
        lambda part: bytes([part[0]]) + part[1] + bytes([len(part[2])]) + part[2]
    ),
    st.tuples(st.binary(min_size=8, max_size=8), st.binary(max_size=240)).map(
        lambda part: b"\x17" + part[0] + bytes([len(part[1])]) + part[1]
    ),
    st.binary(min_size=6, max_size=6).map(lambda tail: b"\x16" + tail),
    st.binary(min_size=2, max_size=2).map(lambda tail: b"\x2b\x0e" + tail),
)


@settings(deadline=None)
@given(
    parts=st.lists(st.tuples(UNITS, REQUESTS), max_size=5), cuts=st.lists(st.integers(0, 1300), max_size=12)
)
def test_rtu_requests_come_out_whole_however_they_are_cut(parts, cuts):
    stream = b"".join(rtu_frame(*part) for part in parts)
    framer = RtuFramer(request_length)
    assert [(frame.unit, frame.pdu) for frame in fed(framer, cut(stream, cuts))] == parts
    assert framer.silence() == []


@pytest.mark.parametrize(
    "pdu_hex",
    [
        "03 04 0001 0002",
        "01 01 FF",
        "05 0001 FF00",
        "10 0001 0002",
        "16 0004 00F2 0025",
        "17 02 0001",
        "83 02",
        "AB 01",
        "11 02 11 FF",
        "2B 0E 01 01 00 00 02 00 01 41 01 02 42 43",
    ],
)
def test_rtu_answers_are_measured_by_their_function(pdu_hex):
    frame = rtu_frame(9, bytes.fromhex(pdu_hex))
    framer = RtuFramer(answer_length)
    assert fed(framer, [frame[i : i + 1] for i in range(len(frame))]) == [parse_rtu(frame)]
    assert framer.n_left_over == 0


def test_a_function_nobody_knows_ends_with_silence():
    frame = rtu_frame(9, bytes.fromhex("63 01 02 03"))
    framer = request_framer()
    assert framer.feed(frame) == []
    assert framer.silence() == [parse_rtu(frame)]


def test_a_known_function_of_another_length_ends_with_silence():
    frame = rtu_frame(9, bytes.fromhex("10 0000 0003 00 0102 0304"))
    framer = request_framer()
    assert framer.feed(frame) == []
    assert framer.silence() == [parse_rtu(frame)]


def test_what_other_devices_answer_is_skipped():
    request, other = (
        rtu_frame(1, bytes.fromhex("03 0000 0002")),
        rtu_frame(2, bytes.fromhex("03 04 0001 0002")),
    )
    framer = request_framer()
    assert framer.feed(request + other + request) == [parse_rtu(request)] * 2
    assert framer.n_left_over == 0


def test_a_wrong_check_sum_spoils_everything_until_the_line_is_silent():
    frame = rtu_frame(1, bytes.fromhex("03 0000 0002"))
    spoiled = bytes([frame[0] ^ 1]) + frame[1:]
    framer = request_framer()
    assert framer.feed(spoiled + frame) == []
    [violation] = framer.silence()
    assert isinstance(violation, Violation)
    assert violation.data == spoiled + frame
    assert framer.feed(frame) == [parse_rtu(frame)]


def test_an_endless_stream_on_a_line_keeps_memory_bounded_and_is_no_frame():
    framer = request_framer()
    for _ in range(1000):
        assert framer.feed(b"\x01\x63" * 50) == []
        assert framer.n_left_over <= 257
    [violation] = framer.silence()
    assert isinstance(violation, Violation)


def test_a_line_that_was_silent_all_along_ends_nothing():
    assert request_framer().silence() == []


@pytest.mark.parametrize(
    ("baudrate", "expected_s"), [(9600, 3.5 * 11 / 9600), (19200, 3.5 * 11 / 19200), (115200, 0.00175)]
)
def test_the_silent_interval_follows_the_baud_rate_up_to_19200(baudrate, expected_s):
    assert silent_interval_s(baudrate) == pytest.approx(expected_s)
