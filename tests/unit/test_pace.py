import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.errors import RunError
from twin.live.timing import TimingLog, read_timing, summary_of
from twin.simulators.clock import ClockCore
from twin.simulators.pace import LatePolicy, RealTimePace, Schedule, StepTiming, Unpaced


def schedule(policy=LatePolicy.SKIP, tick_s=0.5):
    made = Schedule(tick_s=tick_s, policy=policy)
    assert made.deadline_s(0, 100.0) == 100.0
    return made


def test_deadlines_count_from_the_first_step_so_that_lateness_does_not_add_up():
    made = schedule()
    for step in range(5):
        made.started(step, 100.0 + 0.5 * step + 0.3)
    assert made.deadline_s(5, 999.0) == 102.5
    assert made.lost_ticks == 0


def test_a_lost_tick_is_given_up_where_the_policy_is_to_skip():
    made = schedule(LatePolicy.SKIP)
    assert made.started(1, 101.7) == pytest.approx(1.2)  # due at 100.5: two whole ticks late
    assert made.lost_ticks == 2
    assert made.deadline_s(2, 101.8) == 102.0  # the next border of a tick after the late start


def test_steps_follow_without_waiting_where_the_policy_is_to_catch_up():
    made = schedule(LatePolicy.CATCH_UP)
    made.started(1, 101.7)
    assert [made.deadline_s(step, 101.8) for step in (2, 3, 4)] == [101.0, 101.5, 102.0]
    assert made.lost_ticks == 0


def test_a_step_that_is_a_tick_late_ends_the_run_where_the_policy_is_to_abort():
    made = schedule(LatePolicy.ABORT)
    assert made.started(1, 100.9) == pytest.approx(0.4)
    with pytest.raises(
        RunError, match=r"step 2 starts 0\.500 s late, a tick is 0\.5 s; .*live\.on_late: skip"
    ):
        made.started(2, 101.5)


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=30))
def test_skipping_never_hurries_a_step_and_never_starts_one_early(delays):
    made, now_s = Schedule(tick_s=1.0, policy=LatePolicy.SKIP), 50.0
    last_due_s = None
    for step, delay_s in enumerate(delays):
        due_s = made.deadline_s(step, now_s)
        assert last_due_s is None or due_s >= last_due_s + 1.0
        now_s = max(now_s, due_s)
        assert made.started(step, now_s) == pytest.approx(now_s - due_s)
        last_due_s = made.deadline_s(step, now_s)  # moved to the tick it really took
        assert last_due_s <= now_s < last_due_s + 1.0
        now_s += delay_s


def test_a_paced_clock_starts_no_step_before_its_deadline_and_tells_each():
    told: list[StepTiming] = []
    made = Schedule(tick_s=0.02, policy=LatePolicy.SKIP)
    pace = RealTimePace(made, stop=threading.Event(), on_timing=told.append)
    core = ClockCore(dt_s=1, pace=pace)
    for step in range(5):
        assert core.advance(step, {}) == {}
        pace.end_step(step)
    assert [entry.step for entry in told] == list(range(5))
    assert all(entry.lateness_s >= 0.0 and entry.work_s >= 0.0 for entry in told)


def test_a_clock_that_is_told_to_stop_interrupts_the_run():
    stop = threading.Event()
    pace = RealTimePace(Schedule(tick_s=3600.0, policy=LatePolicy.SKIP), stop=stop, on_timing=lambda _: None)
    pace.begin_step(0)
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(KeyboardInterrupt):
        pace.begin_step(1)


def test_an_offline_clock_returns_at_once():
    core = ClockCore(dt_s=900, pace=Unpaced())
    assert [core.advance(step, {}) for step in (0, 10**9)] == [{}, {}]


def timing(step, lateness_s, jump_s=0.0, lost=0):
    return StepTiming(step=step, lateness_s=lateness_s, work_s=0.01, lost_ticks=lost, clock_jump_s=jump_s)


def test_punctuality_counts_late_steps_lost_ticks_and_jumps_of_the_wall_clock():
    seen = [timing(0, 0.001), timing(1, 0.3), timing(2, 0.002, 3600.0), timing(3, 0.001, 3600.0, 2)]
    found = summary_of(seen, tick_s=1.0, late_limit_s=0.1)
    assert (found.late_share, found.lost_ticks, found.clock_jumps) == (0.25, 2, 1)
    assert found.lateness_max_s == 0.3
    assert "4 steps, one every 1 s" in found.text
    assert "25.0 % later than 100 ms" in found.text


def test_timing_is_on_disk_after_every_step(tmp_path):
    log = TimingLog(tmp_path / "timing.jsonl", tick_s=1.0, late_limit_s=0.1)
    assert log.summary() is None
    for entry in (timing(0, 0.001), timing(1, 0.2)):
        log.add(entry)
        assert read_timing(tmp_path / "timing.jsonl")[-1] == entry
    assert log.summary().late_share == 0.5
