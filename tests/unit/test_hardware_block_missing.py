"""What the simulation uses where a reading is old or missing: the rules of one signal."""

import math

import pytest
from hil_entries import sample
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.samples import NOTHING, Quality
from twin.missing_data import SignalPolicy, SourceUsed, Then, choose, newest_good

MODEL = SignalPolicy(fresh_s=1.5, hold_s=5.0, then=Then.MODEL)
SAFE = SignalPolicy(fresh_s=1.5, hold_s=5.0, then=Then.SAFE, safe=0.0)
STOP = SignalPolicy(fresh_s=1.5, hold_s=5.0, then=Then.STOP)
BAD = sample(math.nan, 100.0, Quality.BAD)


@pytest.mark.parametrize(
    ("age_s", "policy", "source", "quality"),
    [
        (0.0, MODEL, SourceUsed.LIVE, Quality.GOOD),
        (1.5, MODEL, SourceUsed.LIVE, Quality.GOOD),
        (1.6, MODEL, SourceUsed.HELD, Quality.STALE),
        (5.0, MODEL, SourceUsed.HELD, Quality.STALE),
        (5.1, MODEL, SourceUsed.MODEL, Quality.SUBSTITUTED),
        (5.1, SAFE, SourceUsed.SAFE, Quality.SUBSTITUTED),
        (5.1, STOP, SourceUsed.NONE, Quality.BAD),
    ],
)
def test_a_reading_is_live_then_held_then_replaced(
    age_s: float, policy: SignalPolicy, source: SourceUsed, quality: Quality
) -> None:
    found = choose(sample(3.0, 100.0), policy, now_s=100.0 + age_s)
    assert (found.source, found.quality) == (source, quality)
    assert found.age_s == pytest.approx(age_s)


def test_a_value_is_given_only_where_there_is_one() -> None:
    young, old = 100.5, 200.0
    assert choose(sample(3.0, 100.0), MODEL, now_s=young).value == 3.0
    assert math.isnan(choose(sample(3.0, 100.0), MODEL, now_s=old).value), "the caller has that of the model"
    assert choose(sample(3.0, 100.0), SAFE, now_s=old).value == 0.0
    assert math.isnan(choose(sample(3.0, 100.0), STOP, now_s=old).value)


def test_what_is_uncertain_is_live_and_keeps_its_mark() -> None:
    found = choose(sample(3.0, 100.0, Quality.UNCERTAIN), MODEL, now_s=100.1)
    assert (found.source, found.quality, found.value) == (SourceUsed.LIVE, Quality.UNCERTAIN, 3.0)


def test_what_the_session_calls_stale_is_never_live() -> None:
    assert choose(sample(3.0, 100.0, Quality.STALE), MODEL, now_s=100.1).source is SourceUsed.HELD


def test_what_never_came_has_no_age() -> None:
    found = choose(NOTHING, MODEL, now_s=5.0)
    assert found.source is SourceUsed.MODEL
    assert math.isinf(found.age_s)


def test_a_bad_reading_does_not_take_the_place_of_a_good_one() -> None:
    good = sample(3.0, 99.0)
    assert newest_good(good, BAD) is good
    assert newest_good(NOTHING, BAD) is NOTHING
    assert newest_good(good, None) is good


def test_the_newer_of_two_readings_is_kept_whatever_their_order() -> None:
    older, newer = sample(1.0, 10.0), sample(2.0, 11.0)
    assert newest_good(older, newer) is newer
    assert newest_good(newer, older) is newer
    again = sample(3.0, 11.0)
    assert newest_good(newer, again) is again, "the last that arrived, where their times are the same"


def test_a_reading_without_a_number_is_not_used_even_if_it_is_called_good() -> None:
    assert newest_good(NOTHING, sample(math.nan, 10.0)) is NOTHING
    assert newest_good(NOTHING, sample(math.inf, 10.0)) is NOTHING


@settings(deadline=None, max_examples=300)
@given(
    value=st.floats(allow_nan=True, allow_infinity=True),
    age_s=st.floats(0.0, 1e4),
    quality=st.sampled_from(Quality),
    policy=st.sampled_from((MODEL, SAFE, STOP)),
)
def test_nothing_that_is_no_number_is_ever_used(
    value: float, age_s: float, quality: Quality, policy: SignalPolicy
) -> None:
    found = choose(newest_good(NOTHING, sample(value, 50.0, quality)), policy, now_s=50.0 + age_s)
    if found.source in {SourceUsed.MODEL, SourceUsed.NONE}:
        assert math.isnan(found.value)
    else:
        assert math.isfinite(found.value)
    if found.source in {SourceUsed.LIVE, SourceUsed.HELD}:
        assert found.value == value
        assert quality <= Quality.STALE
        assert found.age_s <= policy.hold_s + 1e-9
