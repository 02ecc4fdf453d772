"""One request at a time, with the clock in the test's hand: late, double, foreign and broken answers."""

import math
import struct

import pytest

from hil_adapters.errors import (
    ExceptionReplyError,
    LinkError,
    LinkTimeoutError,
    ProtocolViolationError,
)
from hil_adapters.wire.base import LinkStatistics, Table
from hil_adapters.wire.exchange_rtu import RtuExchange
from hil_adapters.wire.exchange_tcp import TcpExchange
from hil_adapters.wire.framing import mbap_frame, rtu_frame
from hil_adapters.wire.pdu import read_request

TURNAROUND_S, GAP_S, QUIET_S, TIMEOUT_S = 0.4, 0.002, 0.05, 0.3


def read(address, count=4):
    return read_request(Table.HOLDING, address, count)


def values(address, count=4):
    """The answer of a device whose registers hold their own address."""
    return struct.pack(f">BB{count}H", 3, 2 * count, *range(address, address + count))


class Tcp:
    def __init__(self, *, zero_transaction=False):
        self.counts = LinkStatistics()
        self.exchange = TcpExchange(self.counts, zero_transaction=zero_transaction)

    def ask(self, address, now_s):
        frame = self.exchange.start(1, read(address), now_s=now_s, timeout_s=TIMEOUT_S)
        return struct.unpack_from(">H", frame)[0]

    def hear(self, transaction, pdu, *, unit=1, now_s=0.0):
        return self.exchange.feed(mbap_frame(transaction, unit, pdu), now_s=now_s)


class Rtu:
    def __init__(self):
        self.counts = LinkStatistics()
        self.exchange = RtuExchange(self.counts, turnaround_s=TURNAROUND_S, gap_s=GAP_S, quiet_s=QUIET_S)

    def ask(self, address, now_s, *, unit=1, count=4):
        assert self.exchange.wait_s(now_s) <= 0, "the line must be silent"
        return self.exchange.start(unit, read(address, count), now_s=now_s, timeout_s=TIMEOUT_S)

    def hear(self, pdu, now_s, *, unit=1):
        return self.exchange.feed(rtu_frame(unit, pdu), now_s=now_s)

    def silent_from(self, now_s):
        """Pass the time until the line may be used again."""
        while (wait_s := self.exchange.wait_s(now_s)) > 1e-9:
            now_s += wait_s
            self.exchange.tick(now_s)
        return now_s + 1e-9


def test_an_answer_in_time_is_handed_over():
    tcp = Tcp()
    verdict = tcp.hear(tcp.ask(1000, 0.0), values(1000))
    assert (verdict.answer, verdict.error, verdict.drop) == (values(1000), None, None)
    assert tcp.exchange.wakes_at_s == math.inf


def test_a_request_times_out_at_its_deadline_and_not_before():
    tcp = Tcp()
    tcp.ask(1000, 5.0)
    assert tcp.exchange.wakes_at_s == 5.0 + TIMEOUT_S
    assert tcp.exchange.tick(5.0 + TIMEOUT_S - 1e-6).error is None
    verdict = tcp.exchange.tick(5.0 + TIMEOUT_S)
    assert isinstance(verdict.error, LinkTimeoutError)
    assert verdict.drop is None
    assert tcp.counts.timeouts == 1


def test_a_late_answer_is_dropped_and_counted_and_the_next_request_gets_its_own():
    tcp = Tcp()
    first = tcp.ask(1000, 0.0)
    tcp.exchange.tick(TIMEOUT_S)
    second = tcp.ask(2000, 0.4)
    assert tcp.hear(first, values(1000)).answer is None
    assert tcp.hear(second, values(2000)).answer == values(2000)
    assert tcp.counts.late_answers == 1


def test_an_answer_that_comes_twice_is_used_once():
    tcp = Tcp()
    transaction = tcp.ask(1000, 0.0)
    assert tcp.hear(transaction, values(1000)).answer == values(1000)
    verdict = tcp.hear(transaction, values(1000))
    assert (verdict.answer, verdict.drop) == (None, None)
    tcp.ask(2000, 0.1)
    assert tcp.hear(transaction, values(1000)).answer is None
    assert tcp.counts.late_answers == 2


def test_an_answer_nobody_asked_for_drops_the_connection():
    tcp = Tcp()
    verdict = tcp.hear(77, values(1000))
    assert verdict.drop is not None
    assert tcp.counts.violations == 1


def test_an_answer_under_another_transaction_fails_the_request_and_drops_the_connection():
    tcp = Tcp()
    transaction = tcp.ask(1000, 0.0)
    verdict = tcp.hear(transaction + 1, values(1000))
    assert isinstance(verdict.error, ProtocolViolationError)
    assert verdict.drop is not None


def test_a_timeout_with_part_of_an_answer_drops_the_connection():
    tcp = Tcp()
    transaction = tcp.ask(1000, 0.0)
    tcp.exchange.feed(mbap_frame(transaction, 1, values(1000))[:-1], now_s=0.1)
    assert tcp.exchange.tick(TIMEOUT_S).drop is not None


@pytest.mark.parametrize("behind", [b"\x00", b"\xff" * 9], ids=["part of a frame", "garbage"])
def test_an_answer_with_bytes_behind_it_is_refused_and_the_connection_dropped(behind):
    tcp = Tcp()
    whole = mbap_frame(tcp.ask(1000, 0.0), 1, values(1000))
    verdict = tcp.exchange.feed(whole + behind, now_s=0.1)
    assert verdict.answer is None
    assert isinstance(verdict.error, ProtocolViolationError)
    assert verdict.drop is not None


def test_the_start_of_a_late_answer_cannot_complete_a_truncated_one():
    tcp = Tcp()
    late = mbap_frame(tcp.ask(1000, 0.0), 1, values(1000))
    tcp.exchange.tick(TIMEOUT_S)
    truncated = mbap_frame(tcp.ask(2000, TIMEOUT_S), 1, values(2000))[:-3]
    tcp.exchange.feed(truncated, now_s=TIMEOUT_S + 0.1)
    verdict = tcp.exchange.feed(late, now_s=TIMEOUT_S + 0.2)
    assert verdict.answer is None
    assert isinstance(verdict.error, ProtocolViolationError)


def test_transaction_zero_is_accepted_only_where_it_is_declared():
    strict, lax = Tcp(), Tcp(zero_transaction=True)
    strict.ask(1000, 0.0)
    lax.ask(1000, 0.0)
    assert isinstance(strict.hear(0, values(1000)).error, ProtocolViolationError)
    assert lax.hear(0, values(1000)).answer == values(1000)


def test_without_transactions_a_timeout_drops_the_connection():
    lax = Tcp(zero_transaction=True)
    lax.ask(1000, 0.0)
    assert lax.exchange.tick(TIMEOUT_S).drop is not None


def test_an_answer_of_an_earlier_connection_cannot_come_and_is_a_violation():
    tcp = Tcp()
    transaction = tcp.ask(1000, 0.0)
    tcp.exchange.abandon(0.1)
    tcp.exchange.reconnected()
    assert tcp.hear(transaction, values(1000)).drop is not None


def test_transactions_never_are_zero():
    tcp = Tcp()
    seen = set()
    for _ in range(65536):
        seen.add(tcp.ask(0, 0.0))
        tcp.exchange.abandon(0.0)
    assert seen == set(range(1, 65536))


def test_the_wrong_unit_is_a_violation_on_tcp():
    tcp = Tcp()
    verdict = tcp.hear(tcp.ask(1000, 0.0), values(1000), unit=2)
    assert isinstance(verdict.error, ProtocolViolationError)
    assert verdict.drop is not None


def test_an_exception_leaves_the_connection_standing():
    tcp = Tcp()
    verdict = tcp.hear(tcp.ask(1000, 0.0), b"\x83\x0b")
    assert isinstance(verdict.error, ExceptionReplyError)
    assert verdict.drop is None


def test_after_an_answer_a_line_rests_for_three_and_a_half_characters():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    assert rtu.hear(values(1000), 0.1).answer == values(1000)
    assert rtu.exchange.wait_s(0.1) == pytest.approx(GAP_S)
    assert rtu.exchange.wait_s(0.1 + GAP_S) <= 0


def test_an_answer_in_pieces_does_not_hold_up_the_next_request():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    frame = rtu_frame(1, values(1000))
    rtu.exchange.feed(frame[:5], now_s=0.1)
    assert rtu.exchange.feed(frame[5:], now_s=0.11).answer == values(1000)
    assert rtu.exchange.wait_s(0.11) == pytest.approx(GAP_S)


def test_after_a_timeout_a_line_stays_silent_for_the_turnaround():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    assert isinstance(rtu.exchange.tick(TIMEOUT_S).error, LinkTimeoutError)
    assert rtu.exchange.wait_s(TIMEOUT_S) == pytest.approx(TURNAROUND_S)


def test_a_late_answer_during_the_silence_is_not_used():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    rtu.exchange.tick(TIMEOUT_S)
    assert rtu.hear(values(1000), 0.5).answer is None
    now_s = rtu.silent_from(0.5)
    assert now_s >= TIMEOUT_S + TURNAROUND_S
    rtu.ask(2000, now_s)
    assert rtu.hear(values(2000), now_s + 0.01).answer == values(2000)
    assert rtu.counts.late_answers == 1


def test_bytes_prolong_the_silence():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    rtu.exchange.tick(TIMEOUT_S)
    end_s = TIMEOUT_S + TURNAROUND_S
    rtu.exchange.feed(b"\x01", now_s=end_s - 0.001)
    assert rtu.exchange.wait_s(end_s) == pytest.approx(QUIET_S - 0.001)


def test_the_answer_of_an_earlier_request_is_never_taken_for_a_later_one():
    """Equal reads of 1000, 2000 and 3000 with every answer one request late."""
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    rtu.exchange.tick(TIMEOUT_S)
    now_s = rtu.silent_from(TIMEOUT_S)
    rtu.ask(2000, now_s)
    assert rtu.hear(values(1000), now_s + 0.05).answer is None
    verdict = rtu.hear(values(2000), now_s + 0.15)
    assert isinstance(verdict.error, ProtocolViolationError)
    assert verdict.answer is None
    now_s = rtu.silent_from(now_s + 0.15)
    rtu.ask(3000, now_s)
    assert rtu.hear(values(3000), now_s + 0.05).answer == values(3000)


def test_an_answer_that_might_be_owed_counts_when_no_second_one_follows():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    rtu.exchange.tick(TIMEOUT_S)
    now_s = rtu.silent_from(TIMEOUT_S)
    rtu.ask(2000, now_s)
    assert rtu.hear(values(2000), now_s + 0.25).answer is None
    assert rtu.exchange.tick(now_s + TIMEOUT_S).error is None
    assert rtu.exchange.tick(now_s + 0.25 + TURNAROUND_S).answer == values(2000)
    now_s = rtu.silent_from(now_s + 1)
    rtu.ask(3000, now_s)
    assert rtu.hear(values(3000), now_s + 0.01).answer == values(3000)


def test_a_dead_unit_does_not_slow_down_the_others():
    rtu = Rtu()
    rtu.ask(1000, 0.0, unit=9)
    rtu.exchange.tick(TIMEOUT_S)
    now_s = rtu.silent_from(TIMEOUT_S)
    rtu.ask(2000, now_s, unit=1)
    assert rtu.hear(values(2000), now_s + 0.01).answer == values(2000)


def test_an_exception_is_held_back_like_any_answer():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    rtu.exchange.tick(TIMEOUT_S)
    now_s = rtu.silent_from(TIMEOUT_S)
    rtu.ask(2000, now_s)
    assert rtu.hear(b"\x83\x02", now_s + 0.05).error is None
    assert isinstance(rtu.exchange.tick(now_s + 0.05 + TURNAROUND_S).error, ExceptionReplyError)


def test_an_answer_of_another_length_is_refused_at_once():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    verdict = rtu.hear(values(1000, 2), 0.1)
    assert isinstance(verdict.error, ProtocolViolationError)
    assert rtu.exchange.wait_s(0.1) == pytest.approx(TURNAROUND_S)


def test_another_unit_on_the_line_is_ignored_and_named_at_the_deadline():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    assert rtu.hear(values(1000), 0.1, unit=2).error is None
    error = rtu.exchange.tick(TIMEOUT_S).error
    assert isinstance(error, LinkTimeoutError)
    assert "unit 2" in str(error)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]),
        lambda frame: frame[:6],
        lambda frame: b"\xff" + frame,
    ],
)
def test_a_spoiled_answer_is_told_when_the_line_falls_silent(spoil):
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    assert rtu.exchange.feed(spoil(rtu_frame(1, values(1000))), now_s=0.1).error is None
    assert rtu.exchange.wakes_at_s == pytest.approx(0.1 + QUIET_S)
    assert isinstance(rtu.exchange.tick(0.1 + QUIET_S).error, ProtocolViolationError)
    assert rtu.counts.crc_errors == 1
    assert rtu.exchange.wait_s(0.1 + QUIET_S) == pytest.approx(TURNAROUND_S)


def test_what_is_owed_survives_a_reconnection():
    rtu = Rtu()
    rtu.ask(1000, 0.0)
    rtu.exchange.abandon(0.1)
    rtu.exchange.reconnected()
    now_s = rtu.silent_from(0.1)
    rtu.ask(2000, now_s)
    assert rtu.hear(values(1000), now_s + 0.01).answer is None


def test_a_broadcast_has_no_answer_to_wait_for():
    with pytest.raises(LinkError, match="broadcast"):
        Rtu().ask(1000, 0.0, unit=0)


@pytest.mark.parametrize("address", [1000, 2000])
def test_an_adapter_that_repeats_what_is_sent_is_named(address):
    """The echo of a read at 1000 even has the length of an answer."""
    rtu = Rtu()
    echo = rtu.ask(address, 0.0)
    heard = rtu.exchange.feed(echo + rtu_frame(1, values(address)), now_s=0.1)
    error = heard.error or rtu.exchange.tick(0.1 + QUIET_S).error
    assert isinstance(error, ProtocolViolationError)
    assert "switch off the echo" in str(error)


def test_each_late_answer_settles_one_request_that_was_given_up():
    rtu = Rtu()
    now_s = 0.0
    for address in (1000, 2000):
        rtu.ask(address, now_s)
        rtu.exchange.tick(now_s + TIMEOUT_S)
        now_s = rtu.silent_from(now_s + TIMEOUT_S)
    rtu.hear(values(1000), now_s)
    now_s = rtu.silent_from(now_s)
    rtu.ask(3000, now_s)
    assert rtu.hear(values(2000), now_s + 0.01).answer is None, "one more may come"
    assert isinstance(rtu.hear(values(3000), now_s + 0.02).error, ProtocolViolationError)


def test_two_requests_given_up_may_both_answer_late_and_neither_is_used():
    rtu = Rtu()
    now_s = 0.0
    for address in (1000, 2000):
        rtu.ask(address, now_s)
        rtu.exchange.tick(now_s + TIMEOUT_S)
        now_s = rtu.silent_from(now_s + TIMEOUT_S)
    rtu.ask(3000, now_s)
    rtu.hear(values(1000), now_s + 0.01)
    assert isinstance(rtu.hear(values(2000), now_s + 0.02).error, ProtocolViolationError)
    now_s = rtu.silent_from(now_s + 0.02)
    rtu.ask(4000, now_s)
    assert rtu.hear(values(3000), now_s + 0.01).answer is None
    assert isinstance(rtu.hear(values(4000), now_s + 0.02).error, ProtocolViolationError)
    now_s = rtu.silent_from(now_s + 0.02)
    rtu.ask(5000, now_s)
    assert rtu.hear(values(5000), now_s + 0.01).answer == values(5000)
