"""Counts by cause, latencies, waits before reconnecting, and the watch over the clocks."""

import math

import pytest
from device_bench import ManualTime
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.device.clocks import ClockWatch
from hil_adapters.device.reconnect import Backoff
from hil_adapters.device.statistics import Cause, Latency, SessionStatistics, cause_of
from hil_adapters.errors import (
    ExceptionReplyError,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    ProtocolViolationError,
)

LATENCIES = st.lists(st.floats(20e-6, 100.0), min_size=1, max_size=200)


@settings(deadline=None)
@given(latencies_s=LATENCIES, share=st.floats(0.01, 1.0))
def test_a_quantile_is_never_too_small_and_at_most_five_percent_too_large(
    latencies_s: list[float], share: float
) -> None:
    latency = Latency()
    for latency_s in latencies_s:
        latency.add(latency_s)
    exact_s = sorted(latencies_s)[max(1, math.ceil(share * len(latencies_s))) - 1]
    assert exact_s <= latency.quantile_s(share) * (1 + 1e-12)
    assert latency.quantile_s(share) <= exact_s * 1.05 * (1 + 1e-12)


def test_ninety_nine_fast_answers_and_one_slow_one() -> None:
    latency = Latency()
    for _ in range(99):
        latency.add(0.001)
    latency.add(0.5)
    assert latency.p50_s == pytest.approx(0.001, rel=0.05)
    assert latency.p99_s == pytest.approx(0.001, rel=0.05)
    assert latency.quantile_s(1.0) == 0.5
    assert latency.longest_s == 0.5
    assert latency.count == 100


def test_without_answers_there_is_no_latency_and_no_share() -> None:
    assert math.isnan(Latency().p50_s)
    assert math.isnan(Latency().longest_s)
    assert math.isnan(SessionStatistics().failed_share)


def test_a_time_beyond_every_class_is_told_exactly() -> None:
    latency = Latency()
    latency.add(500.0)
    assert latency.p99_s == 500.0


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (LinkTimeoutError("x"), Cause.TIMEOUT),
        (LinkLostError("x"), Cause.LOST),
        (ProtocolViolationError("x"), Cause.VIOLATION),
        (ExceptionReplyError(4, "x"), Cause.EXCEPTION),
        (ExceptionReplyError(10, "x"), Cause.GATEWAY),
        (ExceptionReplyError(11, "x"), Cause.GATEWAY),
        (LinkError("x"), Cause.OTHER),
    ],
)
def test_every_failure_is_counted_by_its_cause(error: LinkError, cause: Cause) -> None:
    statistics = SessionStatistics()
    statistics.good(0.01)
    statistics.failed(error)
    assert cause_of(error) is cause
    assert statistics.causes == {Cause.GOOD: 1, cause: 1}
    assert statistics.requests == 2
    assert statistics.failed_share == 0.5


def test_exceptions_are_counted_by_code() -> None:
    statistics = SessionStatistics()
    for code in (6, 6, 0x77):
        statistics.failed(ExceptionReplyError(code, "x"))
    assert statistics.exceptions == {6: 2, 0x77: 1}


def test_waits_double_from_a_fifth_of_a_second_to_five_seconds() -> None:
    backoff = Backoff(uniform=lambda _low, high: high)
    assert [backoff.next_s() for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    backoff.reset()
    assert backoff.next_s() == 0.2
    assert backoff.longest_s() == 5.0


def test_waits_are_shortened_by_chance_by_a_fifth_at_most() -> None:
    backoff = Backoff(uniform=lambda low, _high: low)
    assert backoff.next_s() == pytest.approx(0.16)
    drawn = {Backoff().next_s() for _ in range(20)}
    assert len(drawn) > 1
    assert all(0.16 <= wait_s <= 0.2 for wait_s in drawn)


def test_a_wall_clock_that_is_set_is_noticed_once_and_slewing_is_not() -> None:
    monotonic, wall = ManualTime(5.0), ManualTime(1_800_000_000.0)
    watch = ClockWatch(monotonic.clocks(wall))
    monotonic.now_s += 10.0
    wall.now_s += 10.005
    assert watch.jump_s() is None
    wall.now_s -= 3600.0
    assert watch.jump_s() == pytest.approx(-3600.0)
    assert watch.jump_s() is None
