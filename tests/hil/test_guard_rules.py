"""What may be written: bounds, ramps, refusals."""

import datetime as dt
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.guard.book import CommandRecord, Decision, refresh_interval_s
from hil_adapters.guard.contention import ContentionWatch
from hil_adapters.guard.messages import Limits
from hil_adapters.guard.rules import (
    Accepted,
    Range,
    Refused,
    admit,
    admit_constant,
    admit_point,
    command_range,
    held_between,
    measured_breach,
    narrow_by_soc,
    ramp_allowance,
    ramp_start,
    unknown_bound,
)
from hil_adapters.maps.schema import Waiver, Watchdog, WriteClass, WriteRules
from hil_adapters.samples import NOTHING, Quality, Sample

ANY = Range(low=-math.inf, high=math.inf, low_by="", high_by="")
WATCHDOG = Watchdog(kind="timer", point="timer", timeout_s=30.0, falls_back_to="full power")


def good(value: float, received_s: float = 1.0) -> Sample:
    return Sample(value=value, quality=Quality.GOOD, received_s=received_s)


def rules(**changes: object) -> WriteRules:
    return WriteRules.model_validate({"low": -100.0, "high": 100.0, "class": "volatile", **changes})


def reason(verdict: object) -> str:
    assert isinstance(verdict, Refused)
    return verdict.reason


def value(verdict: object) -> float:
    assert isinstance(verdict, Accepted)
    return verdict.value


# ---------------------------------------------------------------------- allow-list


def test_a_point_without_rules_is_never_written() -> None:
    assert "no rules" in reason(admit_point("mode", 1.0, None, previous=0.0, allowance=math.inf))
    assert "no rules" in reason(admit_constant("mode", 1.0, None))


@pytest.mark.parametrize("write_class", [WriteClass.PERSISTENT, WriteClass.UNKNOWN])
def test_a_point_that_is_or_may_be_kept_in_flash_is_never_written_in_a_loop(write_class: WriteClass) -> None:
    flash = rules(**{"class": write_class})
    assert "flash" in reason(admit_point("country", 1.0, flash, previous=0.0, allowance=math.inf))
    assert "flash" in reason(admit_constant("country", 1.0, flash))


def test_a_rule_without_a_class_counts_as_flash() -> None:
    unknown = WriteRules(low=0.0, high=1.0)
    assert "flash" in reason(admit_constant("country", 1.0, unknown))


def test_a_constant_outside_its_rules_is_refused_and_not_bent() -> None:
    assert "outside" in reason(admit_constant("enable", 2.0, rules(low=0.0, high=1.0)))
    assert value(admit_constant("enable", 1.0, rules(low=0.0, high=1.0))) == 1.0


# ---------------------------------------------------------------------- what is no number


@pytest.mark.parametrize("asked", [math.nan, -math.inf])
def test_what_is_no_number_is_refused_as_a_limit_and_as_a_set_point(asked: float) -> None:
    assert isinstance(admit("p_limit_kw", asked, ANY), Refused)
    assert isinstance(admit("p_set_kw", asked, ANY), Refused)


def test_an_infinite_limit_is_the_release_and_an_infinite_set_point_is_refused() -> None:
    assert value(admit("p_limit_kw", math.inf, ANY)) == math.inf
    assert isinstance(admit("p_set_kw", math.inf, ANY), Refused)


@pytest.mark.parametrize("asked", [math.nan, math.inf, -math.inf])
def test_a_point_never_gets_what_is_no_number(asked: float) -> None:
    assert isinstance(admit_point("limit", asked, rules(), previous=0.0, allowance=math.inf), Refused)
    assert isinstance(admit_constant("limit", asked, rules()), Refused)


# ---------------------------------------------------------------------- bounds


def test_the_lab_is_tighter_than_the_nameplate_and_the_note_says_who_clamped() -> None:
    allowed = command_range("p_limit_kw", lab=Limits(low=0.0, high=3.0), signals={"p_rated_kw": good(5.0)})
    assert isinstance(allowed, Range)
    verdict = admit("p_limit_kw", 4.0, allowed)
    assert verdict == Accepted(3.0, ("p_limit_kw: clamped to 3 by the lab's limit",))


def test_the_nameplate_is_tighter_than_the_lab() -> None:
    allowed = command_range("p_limit_kw", lab=Limits(low=0.0, high=30.0), signals={"p_rated_kw": good(5.0)})
    assert isinstance(allowed, Range)
    assert value(admit("p_limit_kw", 9.0, allowed)) == 5.0


def test_a_battery_is_clamped_to_its_own_charging_and_discharging_power() -> None:
    signals = {"charge_kw": good(3.0), "discharge_kw": good(4.0)}
    allowed = command_range("p_set_kw", lab=None, signals=signals)
    assert isinstance(allowed, Range)
    assert value(admit("p_set_kw", 9.0, allowed)) == 3.0
    assert value(admit("p_set_kw", -9.0, allowed)) == -4.0


def test_a_limit_is_never_negative() -> None:
    allowed = command_range("p_limit_kw", lab=None, signals={})
    assert isinstance(allowed, Range)
    assert value(admit("p_limit_kw", -1.0, allowed)) == 0.0


def test_a_rating_that_the_device_has_and_nobody_could_read_refuses_the_command() -> None:
    assert "rating" in reason(command_range("p_set_kw", lab=None, signals={"p_rated_kw": NOTHING}))


def test_limits_that_leave_nothing_refuse_the_command() -> None:
    lab = Limits(low=6.0, high=8.0)
    assert "nothing is allowed" in reason(
        command_range("p_limit_kw", lab=lab, signals={"p_rated_kw": good(5.0)})
    )


finite = st.floats(min_value=-1e6, max_value=1e6)


@settings(deadline=None)
@given(asked=st.floats(), low=finite, span=st.floats(0.0, 1e6), rated=st.floats(0.0, 1e6))
def test_whatever_is_asked_what_is_admitted_lies_within_every_limit(
    asked: float, low: float, span: float, rated: float
) -> None:
    lab = Limits(low=low, high=low + span)
    allowed = command_range("p_set_kw", lab=lab, signals={"p_rated_kw": good(rated)})
    if isinstance(allowed, Refused):
        return
    verdict = admit("p_set_kw", asked, allowed)
    if isinstance(verdict, Accepted):
        assert lab.low <= verdict.value <= lab.high
        assert abs(verdict.value) <= rated


@settings(deadline=None)
@given(
    ends=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)),
    step=st.sampled_from((0.001, 0.01, 0.1, 1.0, 10.0)),
    offset=st.sampled_from((0.0, -32.5, 100.0)),
    asked=st.floats(-2e4, 2e4),
)
def test_what_is_rounded_to_a_register_stays_within_the_ends_that_were_narrowed_for_it(
    ends: tuple[float, float], step: float, offset: float, asked: float
) -> None:
    low, high = held_between(min(ends), max(ends), step=step, offset=offset)
    if low <= high:
        held = round((min(max(asked, low), high) - offset) / step) * step + offset
        assert min(ends) - 1e-6 <= held <= max(ends) + 1e-6


def test_an_end_that_a_register_holds_is_not_lost() -> None:
    assert held_between(-100.0, 100.0, step=0.1, offset=0.0) == pytest.approx((-100.0, 100.0))
    assert held_between(0.0, math.inf, step=1.0, offset=0.0) == (0.0, math.inf)
    assert held_between(0.2, 0.8, step=math.nan, offset=0.0) == (0.2, 0.8)
    assert held_between(-math.inf, 46.66, step=1.0, offset=0.0) == (-math.inf, 46.0)


def test_a_bounded_signal_counts_as_known_only_with_a_good_value() -> None:
    limits = {"temp_degc": Limits(low=0.0, high=60.0), "p_limit_kw": Limits(low=0.0, high=5.0)}
    good = Sample(value=20.0, quality=Quality.GOOD, received_s=1.0)
    assert unknown_bound(limits, {"temp_degc": good}) is None
    stale = Sample(value=20.0, quality=Quality.STALE, received_s=1.0)
    assert "temp_degc" in str(unknown_bound(limits, {"temp_degc": stale}))


@settings(deadline=None)
@given(
    targets=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30),
    pauses_s=st.lists(st.floats(0.0, 100.0), min_size=30, max_size=30),
    ramp=st.floats(0.01, 50.0),
    start=st.floats(-100.0, 100.0),
)
def test_no_step_is_higher_than_the_ramp_however_long_the_pause_before_it(
    targets: list[float], pauses_s: list[float], ramp: float, start: float
) -> None:
    held = start
    for target, pause_s in zip(targets, pauses_s, strict=False):
        allowance = ramp_allowance(ramp, since_s=pause_s)
        verdict = admit_point("limit", target, rules(ramp_per_s=ramp), previous=held, allowance=allowance)
        written = value(verdict)
        assert abs(written - held) <= ramp * min(pause_s, 1.0) * (1 + 1e-9) + 1e-9
        assert -100.0 <= written <= 100.0
        held = written


def test_a_pause_does_not_save_up_for_a_jump_but_a_minimum_interval_counts() -> None:
    assert ramp_allowance(2.0, since_s=3600.0) == 2.0
    assert ramp_allowance(2.0, since_s=3600.0, min_interval_s=10.0) == 20.0
    assert ramp_allowance(2.0, since_s=0.25) == 0.5
    assert ramp_allowance(None, since_s=0.0) == math.inf


def test_a_ramp_without_a_known_start_refuses() -> None:
    assert "present value" in reason(admit_point("limit", 5.0, rules(), previous=None, allowance=1.0))


def test_a_released_limit_ramps_from_the_top_and_a_set_point_from_the_measured_power() -> None:
    allowed = Range(low=0.0, high=5.0, low_by="", high_by="")
    assert ramp_start("p_limit_kw", allowed, {"p_kw": good(-1.0)}) == 5.0
    assert ramp_start("p_limit_kw", ANY, {"p_kw": good(-1.0)}) == 1.0
    assert ramp_start("p_set_kw", allowed, {"p_kw": good(-1.0)}) == -1.0
    assert ramp_start("p_set_kw", allowed, {"p_kw": NOTHING}) is None


# ---------------------------------------------------------------------- what the device measures


def test_charging_ends_at_the_upper_and_discharging_at_the_lower_bound_of_the_real_state_of_charge() -> None:
    bounds = Limits(low=0.2, high=0.8)
    full = narrow_by_soc("p_set_kw", ANY, bounds=bounds, soc=good(0.8))
    empty = narrow_by_soc("p_set_kw", ANY, bounds=bounds, soc=good(0.19))
    between = narrow_by_soc("p_set_kw", ANY, bounds=bounds, soc=good(0.5))
    assert isinstance(full, Range)
    assert isinstance(empty, Range)
    assert (full.low, full.high) == (-math.inf, 0.0)
    assert (empty.low, empty.high) == (0.0, math.inf)
    assert between == ANY


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.SUBSTITUTED, Quality.BAD])
def test_without_a_good_state_of_charge_of_the_device_itself_nothing_is_asked_of_it(quality: Quality) -> None:
    soc = Sample(value=0.5, quality=quality, received_s=0.0)
    assert "blindly" in reason(narrow_by_soc("p_set_kw", ANY, bounds=None, soc=soc))
    assert "blindly" in reason(narrow_by_soc("p_set_kw", ANY, bounds=None, soc=None))


def test_a_measured_value_outside_its_limits_is_a_breach_and_an_unknown_one_is_not() -> None:
    limits = {"temp_degc": Limits(low=0.0, high=45.0), "soc": Limits(low=0.2, high=0.8)}
    assert measured_breach(limits, {"temp_degc": good(46.0), "soc": good(0.1)}) == (
        "temp_degc is 46, outside 0 to 45"
    )
    assert measured_breach(limits, {"temp_degc": good(45.0), "soc": good(0.1)}) is None
    assert measured_breach(limits, {"temp_degc": NOTHING}) is None


# ---------------------------------------------------------------------- what to do next


def in_force(**changes: object) -> CommandRecord:
    record = CommandRecord(command="p_limit_kw", watchdog=WATCHDOG)
    record.ask(2.0, expires_s=100.0, step=1)
    record.touched = record.in_force = True
    record.refreshed_s = 0.0
    for name, setting in changes.items():
        setattr(record, name, setting)
    return record


def test_a_watchdog_is_refreshed_at_a_third_of_its_time() -> None:
    assert refresh_interval_s(WATCHDOG) == 10.0
    assert in_force().decide(now_s=9.9) is Decision.FOLLOW
    assert in_force().decide(now_s=10.0) is Decision.APPLY


def test_an_expired_set_point_is_released_and_not_refreshed() -> None:
    record = in_force()
    assert record.decide(now_s=100.0) is Decision.RELEASE
    assert record.expire(now_s=100.0)
    assert not record.expire(now_s=100.0)
    assert record.decide(now_s=100.0) is Decision.RELEASE


def test_an_infinite_limit_releases_once() -> None:
    record = in_force(wanted=math.inf)
    assert record.decide(now_s=1.0) is Decision.RELEASE
    record.released()
    assert record.decide(now_s=1.0) is Decision.NOTHING


def test_another_connection_brings_the_whole_sequence_again() -> None:
    record = in_force()
    record.lost()
    assert record.commanded is None
    assert record.decide(now_s=1.0) is Decision.APPLY


def test_what_the_device_refused_is_not_sent_again_until_something_else_is_asked() -> None:
    record = in_force(touched=False, in_force=False, rejected=2.0)
    assert record.decide(now_s=1.0) is Decision.NOTHING
    record.ask(2.0, expires_s=100.0, step=2)
    assert record.decide(now_s=1.0) is Decision.NOTHING
    record.ask(1.5, expires_s=100.0, step=3)
    assert record.decide(now_s=1.0) is Decision.APPLY


def test_what_a_rule_refuses_lets_go_of_what_was_in_force_however_often_it_is_asked() -> None:
    record = in_force(must_release=True)
    record.ask(3.0, expires_s=100.0, step=2)
    assert record.decide(now_s=1.0) is Decision.RELEASE
    record.released()
    assert record.decide(now_s=1.0) is Decision.APPLY


def test_what_another_master_wrote_is_not_fought_before_the_refresh() -> None:
    record = in_force(mismatched=True)
    assert record.decide(now_s=5.0) is Decision.FOLLOW
    assert record.decide(now_s=10.0) is Decision.APPLY


def test_a_point_without_a_watchdog_is_written_again_only_where_another_value_was_found() -> None:
    assert in_force(watchdog=None).decide(now_s=50.0) is Decision.FOLLOW
    assert in_force(watchdog=None, mismatched=True).decide(now_s=50.0) is Decision.APPLY
    waived = rules(waiver=Waiver(signed_by="A. Rossi", date=dt.date(2026, 1, 1), reason="it has no timer"))
    assert waived.watchdog is None


# ---------------------------------------------------------------------- another master


def test_another_value_counts_when_it_is_read_twice_after_the_write() -> None:
    watch = ContentionWatch()

    def look(read: float, received_s: float) -> object:
        return watch.look({"limit": 40.0}, {"limit": 0.5}, {"limit": good(read, received_s)}, written_s=10.0)

    assert look(100.0, 9.0) is None  # older than the write
    assert look(100.0, 11.0) is None
    assert look(100.0, 11.0) is None  # the same reading again
    found = look(100.0, 12.0)
    assert found is not None
    assert look(40.4, 13.0) is None  # within the tolerance
    assert look(100.0, 14.0) is None  # counting begins again
