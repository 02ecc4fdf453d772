"""The poll loop on a clock that only sleeping moves: deadlines, reconnecting, giving up."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from device_bench import ManualTime

from hil_adapters.device.events import Cycle, Event, EventKind, SessionState
from hil_adapters.device.poller import run_polling
from hil_adapters.device.readings import Group
from hil_adapters.device.statistics import SessionStatistics
from hil_adapters.errors import IdentityError, LinkLostError, LinkTimeoutError


@dataclass
class FakeDevice:
    """A session without a wire; what its polls and connects do is given as a script of errors."""

    time: ManualTime
    poll_takes_s: float = 0.0
    connect_errors: list[Any] = field(default_factory=list)
    poll_errors: list[Any] = field(default_factory=list)
    state: SessionState = SessionState.DISCONNECTED
    connection: int = 0
    timeout_s: float = 0.1
    is_silent: bool = False
    last_answer_s: float = 0.0
    statistics: SessionStatistics = field(default_factory=SessionStatistics)
    connects_at_s: list[Any] = field(default_factory=list)
    checks_at_s: list[Any] = field(default_factory=list)
    check_errors: list[Any] = field(default_factory=list)
    polls: list[Any] = field(default_factory=list)
    given_up: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)

    async def connect(self) -> None:
        self.connects_at_s.append(self.time())
        if self.connect_errors:
            raise self.connect_errors.pop(0)
        self.state = SessionState.IDENTIFIED
        self.connection += 1
        self.last_answer_s = self.time()

    async def check_identity(self) -> None:
        self.checks_at_s.append(self.time())
        if self.check_errors:
            self.state = SessionState.FOREIGN
            raise self.check_errors.pop(0)

    async def poll(self, group: Group, *, part: int = 0, parts: int = 1) -> None:
        self.polls.append((group, part, parts))
        if group != "fast":
            return
        self.time.now_s += self.poll_takes_s
        error = self.poll_errors.pop(0) if self.poll_errors else None
        if error is not None:
            self.is_silent = True
            if isinstance(error, LinkLostError):
                self.state = SessionState.DISCONNECTED
            raise error
        self.is_silent = False
        self.last_answer_s = self.time()
        self.statistics.good(0.001)

    async def give_up(self, reason: str) -> None:
        self.given_up.append(self.time())
        self.state = SessionState.DISCONNECTED

    def tell(self, kind: EventKind, text: str) -> None:
        self.events.append(Event(kind=kind, text=text, at_s=self.time()))

    def take_events(self) -> tuple[Event, ...]:
        events, self.events = tuple(self.events), []
        return events


class _EnoughError(Exception):
    pass


def cycles_of(
    device: FakeDevice,
    n: int,
    *,
    poll_s: float = 1.0,
    on_cycle: Callable[[Cycle], None] | None = None,
    wall: Callable[[], float] | None = None,
) -> list[Cycle]:
    """Run the loop for ``n`` cycles and return them."""
    seen: list[Cycle] = []

    async def note(cycle: Cycle) -> None:
        seen.append(cycle)
        if on_cycle is not None:
            on_cycle(cycle)
        if len(seen) == n:
            raise _EnoughError

    async def run() -> None:
        with pytest.raises(_EnoughError):
            await run_polling(
                device,
                poll_s=poll_s,
                on_cycle=note,
                clocks=device.time.clocks(wall),
            )

    asyncio.run(run())
    return seen


def test_periods_are_absolute_and_do_not_drift_with_the_time_a_poll_takes() -> None:
    device = FakeDevice(ManualTime(0.0), poll_takes_s=0.3)
    cycles = cycles_of(device, 20)
    assert [cycle.due_s for cycle in cycles] == [float(number) for number in range(20)]
    assert [cycle.started_s for cycle in cycles] == pytest.approx([float(number) for number in range(20)])
    assert all(cycle.ended_s - cycle.started_s == pytest.approx(0.3) for cycle in cycles)
    assert device.statistics.skipped == 0
    assert device.statistics.cycles == 20


def test_missed_periods_are_skipped_and_counted_not_made_up_for() -> None:
    device = FakeDevice(ManualTime(0.0), poll_takes_s=2.5)
    cycles = cycles_of(device, 4)
    assert [cycle.number for cycle in cycles] == [0, 3, 6, 9]
    assert [cycle.started_s for cycle in cycles] == pytest.approx([0.0, 3.0, 6.0, 9.0])
    assert device.statistics.skipped == 6


def test_the_time_the_owner_takes_counts_as_well() -> None:
    device = FakeDevice(ManualTime(0.0))

    def dawdle(_cycle: Cycle) -> None:
        device.time.now_s += 1.2

    assert [cycle.number for cycle in cycles_of(device, 3, on_cycle=dawdle)] == [0, 2, 4]


def test_slow_reads_are_spread_over_ten_periods() -> None:
    device = FakeDevice(ManualTime(0.0))
    cycles_of(device, 12)
    assert [part for group, part, parts in device.polls if group == "slow"] == [*range(10), 0, 1]
    assert {parts for group, _, parts in device.polls if group == "slow"} == {10}


def test_slow_reads_all_get_their_turn_where_every_second_period_is_skipped() -> None:
    device = FakeDevice(ManualTime(0.0), poll_takes_s=1.5)
    cycles = cycles_of(device, 10)
    assert [cycle.number for cycle in cycles] == list(range(0, 20, 2))
    assert [part for group, part, _ in device.polls if group == "slow"] == list(range(10))


def test_connecting_again_waits_longer_each_time_up_to_five_seconds() -> None:
    errors = [LinkLostError("refused") for _ in range(8)]
    device = FakeDevice(ManualTime(0.0), connect_errors=errors)
    cycles_of(device, 40)
    gaps = [
        after - before for before, after in zip(device.connects_at_s, device.connects_at_s[1:], strict=False)
    ]
    assert len(gaps) == 8
    for gap_s, longest_s in zip(gaps, [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0], strict=True):
        assert 0.8 * longest_s - 1e-9 <= gap_s <= longest_s + 1e-9


def test_periods_go_on_while_nothing_answers() -> None:
    device = FakeDevice(ManualTime(0.0), connect_errors=[LinkLostError("refused") for _ in range(50)])
    cycles = cycles_of(device, 10)
    assert [cycle.number for cycle in cycles] == list(range(10))
    assert not any(cycle.answered for cycle in cycles)
    assert all(cycle.state is SessionState.DISCONNECTED for cycle in cycles)


def test_a_lost_connection_is_opened_again_within_a_fifth_of_a_second_and_the_next_period_is_polled() -> None:
    device = FakeDevice(ManualTime(0.0), poll_errors=[None, LinkLostError("reset")])
    cycles = cycles_of(device, 4)
    assert [cycle.answered for cycle in cycles] == [True, False, True, True]
    assert [cycle.connection for cycle in cycles] == [1, 1, 2, 2]
    assert device.connects_at_s[1] - 1.0 <= 0.2 + 1e-9


def test_a_silent_connection_is_given_up_after_three_periods() -> None:
    device = FakeDevice(ManualTime(0.0), poll_takes_s=0.1, poll_errors=[None] + [LinkTimeoutError("x")] * 4)
    cycles = cycles_of(device, 7)
    assert device.given_up == pytest.approx([4.1])
    assert [cycle.answered for cycle in cycles] == [True, False, False, False, False, True, True]


def test_a_single_late_answer_does_not_end_the_connection() -> None:
    device = FakeDevice(ManualTime(0.0), poll_takes_s=0.1, poll_errors=[None, LinkTimeoutError("x"), None])
    cycles_of(device, 5)
    assert device.given_up == []
    assert len(device.connects_at_s) == 1


def test_fast_periods_wait_for_three_timeouts_before_they_give_up() -> None:
    device = FakeDevice(ManualTime(0.0), timeout_s=1.0, poll_takes_s=1.0)
    device.poll_errors = [None] + [LinkTimeoutError("x")] * 4
    cycles_of(device, 5, poll_s=0.1)
    assert len(device.given_up) == 1
    assert device.given_up[0] - device.connects_at_s[0] > 3.0


def test_a_foreign_device_is_asked_again_only_every_few_seconds() -> None:
    device = FakeDevice(ManualTime(0.0), connect_errors=[IdentityError("other"), IdentityError("other")])
    cycles = cycles_of(device, 12)
    assert [cycle.connection for cycle in cycles][-1] == 1
    gaps = [
        after - before for before, after in zip(device.connects_at_s, device.connects_at_s[1:], strict=False)
    ]
    assert all(4.0 <= gap_s <= 5.0 for gap_s in gaps)


def test_a_device_is_asked_every_five_minutes_who_it_is() -> None:
    device = FakeDevice(ManualTime(0.0))
    cycles_of(device, 100, poll_s=10.0)
    assert device.checks_at_s == [300.0, 600.0, 900.0]


def test_a_device_that_turns_out_to_be_another_one_is_polled_no_more() -> None:
    device = FakeDevice(ManualTime(0.0), check_errors=[IdentityError("moved")])
    device.connect_errors = []
    cycles = cycles_of(device, 31, poll_s=10.0)
    assert cycles[-1].state is SessionState.FOREIGN


def test_a_jump_of_the_wall_clock_is_told_and_moves_no_deadline() -> None:
    device = FakeDevice(ManualTime(0.0))
    wall = ManualTime(1_800_000_000.0)

    def later() -> Any:
        # the wall clock follows the monotonic one and is set back by an hour in the third period
        return wall.now_s + device.time() - (3600.0 if device.time() >= 2.0 else 0.0)

    cycles = cycles_of(device, 5, wall=later)
    told = [(cycle.number, event.kind) for cycle in cycles for event in cycle.events]
    assert told == [(2, EventKind.CLOCK_JUMP)]
    assert "-3600.000 s" in cycles[2].events[0].text
    assert [cycle.started_s for cycle in cycles] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_period_that_is_not_above_zero_is_refused() -> None:
    device = FakeDevice(ManualTime(0.0))

    async def run() -> None:
        await run_polling(device, poll_s=0.0, on_cycle=None, clocks=device.time.clocks())

    with pytest.raises(ValueError, match="period above zero"):
        asyncio.run(run())
