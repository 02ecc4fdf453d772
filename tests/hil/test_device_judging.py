"""How far a reading is trusted: scale factors, counters, restarts, frozen values."""

import math
from collections.abc import Sequence

import pytest
from device_bench import a_map, a_point
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.device.events import EventKind
from hil_adapters.device.judging import PointJudge, counters_of, span_of
from hil_adapters.maps.schema import SignalBinding, ValueType
from hil_adapters.samples import Quality

SCALED = a_point("w", 0, scale_point="w_sf", type=ValueType.INT16, unit="W")
ENERGY = a_point("e", 0, type=ValueType.UINT32, unit="Wh", role="counter")
UPTIME = a_point("up", 0, type=ValueType.UINT32, unit="s", role="uptime")
HEARTBEAT = a_point("hb", 0, frozen_after_s=5.0)


def judged(
    judge: PointJudge, readings: Sequence[tuple[float | None, int | None, float]]
) -> list[tuple[Quality, list[EventKind]]]:
    """Return quality and kinds of finding for readings of (value, exponent, now_s)."""
    result = []
    for value, exponent, now_s in readings:
        sample, findings = judge.judge(value, exponent=exponent, now_s=now_s)
        result.append((sample.quality, [finding.kind for finding in findings]))
    return result


def test_a_missing_value_is_bad_and_has_no_number() -> None:
    sample, findings = PointJudge(a_point("w", 0)).judge(None, exponent=None, now_s=7.0)
    assert sample.quality is Quality.BAD
    assert math.isnan(sample.value)
    assert sample.received_s == 7.0
    assert findings == ()


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        # raw 1234 stays, the factor goes from -1 to 0: the value jumps by ten and is doubted once
        ([(123.4, -1), (1234.0, 0), (1235.0, 0)], [Quality.GOOD, Quality.UNCERTAIN, Quality.GOOD]),
        # the device rescales properly: raw 123 with factor 1 is the same power as raw 1230 with factor 0
        ([(1230.0, 0), (1230.0, 1)], [Quality.GOOD, Quality.GOOD]),
        # a real step of ten without a change of the factor is not doubted
        ([(100.0, 0), (1000.0, 0)], [Quality.GOOD, Quality.GOOD]),
        # downwards, and with the other sign
        ([(-1234.0, 0), (-123.4, -1)], [Quality.GOOD, Quality.UNCERTAIN]),
        # from or to zero nothing can be said
        ([(0.0, 0), (55.0, 1)], [Quality.GOOD, Quality.UNCERTAIN]),
        ([(0.0, 0), (0.0, 1)], [Quality.GOOD, Quality.GOOD]),
    ],
    ids=["jump", "rescaled", "real step", "down", "from zero", "zero stays"],
)
def test_a_value_that_jumps_with_its_scale_factor_is_uncertain_once(
    readings: list[tuple[float, int]], expected: list[Quality]
) -> None:
    judge = PointJudge(SCALED)
    qualities = [
        quality for quality, _ in judged(judge, [(value, exponent, 0.0) for value, exponent in readings])
    ]
    assert qualities == expected


def test_a_missing_value_between_does_not_hide_a_jump() -> None:
    judge = PointJudge(SCALED)
    result = judged(judge, [(123.4, -1, 0.0), (None, None, 1.0), (1234.0, 0, 2.0)])
    assert result[2] == (Quality.UNCERTAIN, [EventKind.SCALE_CHANGED])


def test_a_counter_counts_on_after_its_end() -> None:
    judge = PointJudge(ENERGY, counters=frozenset({"e"}))
    judge.judge(4294967290.0, exponent=None, now_s=0.0)
    sample, (finding,) = judge.judge(4.0, exponent=None, now_s=1.0)
    assert sample.value == 4294967300.0
    assert sample.quality is Quality.GOOD
    assert finding.kind is EventKind.ROLL_OVER
    later, _ = judge.judge(10.0, exponent=None, now_s=2.0)
    assert later.value == 4294967306.0


def test_a_counter_that_goes_back_tells_a_restart_and_is_uncertain_once() -> None:
    judge = PointJudge(ENERGY, counters=frozenset({"e"}))
    assert judged(judge, [(5000.0, None, 0.0), (3.0, None, 1.0), (4.0, None, 2.0)]) == [
        (Quality.GOOD, []),
        (Quality.UNCERTAIN, [EventKind.REBOOT]),
        (Quality.GOOD, []),
    ]


def test_after_a_restart_a_counter_shows_again_what_the_device_says() -> None:
    judge = PointJudge(ENERGY, counters=frozenset({"e"}))
    for value in (4294967290.0, 4.0, 5000.0):
        judge.judge(value, exponent=None, now_s=0.0)
    sample, (finding,) = judge.judge(3.0, exponent=None, now_s=1.0)
    assert sample.value == 3.0
    assert finding.kind is EventKind.REBOOT


def test_the_same_fall_of_a_plain_value_is_nothing() -> None:
    judge = PointJudge(a_point("soc", 0))
    assert judged(judge, [(5000.0, None, 0.0), (3.0, None, 1.0)])[1] == (Quality.GOOD, [])


def test_an_uptime_that_goes_back_tells_a_restart() -> None:
    judge = PointJudge(UPTIME)
    assert judged(judge, [(86400.0, None, 0.0), (2.0, None, 1.0)])[1][1] == [EventKind.REBOOT]


def test_an_uptime_close_to_the_end_of_its_type_does_not_roll_over_silently() -> None:
    judge = PointJudge(UPTIME)
    assert judged(judge, [(2.0**32 - 1, None, 0.0), (0.0, None, 1.0)])[1][1] == [EventKind.REBOOT]


def test_a_frozen_reading_is_told_once_and_uncertain_until_it_moves() -> None:
    judge = PointJudge(HEARTBEAT)
    result = judged(judge, [(7.0, None, float(now_s)) for now_s in range(8)] + [(8.0, None, 8.0)])
    assert [quality for quality, _ in result] == [Quality.GOOD] * 6 + [Quality.UNCERTAIN] * 2 + [Quality.GOOD]
    assert [kinds for _, kinds in result if kinds] == [[EventKind.FROZEN]]


def test_counters_are_those_declared_and_those_behind_signals_of_energy() -> None:
    map_ = a_map(
        ENERGY,
        a_point("import", 2, type=ValueType.UINT32, unit="Wh"),
        a_point("stored", 4, type=ValueType.UINT32, unit="Wh"),
        signals={"e_import_kwh": SignalBinding(point=("absent", "import"))},
    )
    assert counters_of(map_) == {"e", "import"}


@pytest.mark.parametrize(
    ("type_", "scale", "exponent", "span"),
    [
        (ValueType.UINT16, 1.0, None, 65536.0),
        (ValueType.UINT32, 0.1, None, 429496729.6),
        (ValueType.UINT32, 1.0, 1, 42949672960.0),
        (ValueType.INT32, 1.0, None, 2147483648.0),
        (ValueType.FLOAT32, 1.0, None, None),
    ],
)
def test_a_counter_begins_again_after_the_span_of_its_type(
    type_: ValueType, scale: float, exponent: int | None, span: float | None
) -> None:
    point = a_point("e", 0, type=type_, scale=scale, scale_point=None if exponent is None else "sf")
    assert span_of(point, exponent) == span


@settings(deadline=None)
@given(
    start=st.integers(0, 65535),
    steps=st.lists(st.integers(0, 4000), max_size=60),
)
def test_a_16_bit_counter_read_often_enough_never_loses_energy(start: int, steps: list[int]) -> None:
    judge = PointJudge(
        a_point("e", 0, type=ValueType.UINT16, unit="Wh", role="counter"), counters=frozenset({"e"})
    )
    true_wh = start
    first, _ = judge.judge(float(start), exponent=None, now_s=0.0)
    for now_s, step in enumerate(steps, start=1):
        true_wh += step
        sample, findings = judge.judge(float(true_wh % 65536), exponent=None, now_s=float(now_s))
        assert sample.value - first.value == true_wh - start
        assert sample.quality is Quality.GOOD
        assert all(finding.kind is EventKind.ROLL_OVER for finding in findings)
