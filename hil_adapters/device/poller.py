"""The poll loop of a session: absolute deadlines, reconnecting, and giving up on a silent connection."""

import math
from collections.abc import Awaitable, Callable
from typing import Protocol

from hil_adapters.device.clocks import Clocks, ClockWatch
from hil_adapters.device.events import Cycle, Event, EventKind, SessionState
from hil_adapters.device.reconnect import Backoff
from hil_adapters.device.statistics import Cause, SessionStatistics
from hil_adapters.errors import IdentityError, LinkError, MapError
from hil_adapters.maps.schema import Group

__all__ = ["SLOW_EVERY", "Polled", "run_polling"]

SLOW_EVERY = 10
"""Slow points are read once in so many periods; their reads are spread over the periods."""
_SILENT_PERIODS = 3
"""After so many periods (or time-outs, where those are longer) without an answer the connection is given up."""
_CHECK_EVERY_S = 300.0
"""How often the device is asked again who it is: registers may move without a loss of the connection [s]."""


class Polled(Protocol):
    """What the loop needs of a session."""

    @property
    def state(self) -> SessionState:
        """Whether the right device answers."""
        ...

    @property
    def connection(self) -> int:
        """Counts identifications."""
        ...

    @property
    def statistics(self) -> SessionStatistics:
        """Counts of the session."""
        ...

    @property
    def last_answer_s(self) -> float:
        """When the device last answered [s]."""
        ...

    @property
    def is_silent(self) -> bool:
        """Whether the last request got no answer."""
        ...

    @property
    def timeout_s(self) -> float:
        """Longest time a request takes [s]."""
        ...

    async def connect(self) -> None:
        """Connect and identify."""
        ...

    async def check_identity(self) -> None:
        """Ask again who answers."""
        ...

    async def poll(self, group: Group, *, part: int = 0, parts: int = 1) -> None:
        """Renew points."""
        ...

    async def give_up(self, reason: str) -> None:
        """Treat the device as gone."""
        ...

    def tell(self, kind: EventKind, text: str) -> None:
        """Note an event."""
        ...

    def take_events(self) -> tuple[Event, ...]:
        """Return what happened since the last call."""
        ...


async def run_polling(
    session: Polled,
    *,
    poll_s: float,
    on_cycle: Callable[[Cycle], Awaitable[None]] | None,
    clocks: Clocks,
) -> None:
    """Poll until cancelled; see ``DeviceSession.run``.

    Raises:
        ValueError: ``poll_s`` is not positive.
    """
    if not poll_s > 0.0:
        raise ValueError(f"poll_s is {poll_s}; give a period above zero")
    loop = _Loop(session, poll_s=poll_s, clocks=clocks)
    watch = ClockWatch(clocks)
    begin_s = clocks.monotonic()
    number = 0
    while True:
        due_s = begin_s + number * poll_s
        await loop.wait_until(due_s)
        jump_s = watch.jump_s()
        if jump_s is not None:
            session.tell(EventKind.CLOCK_JUMP, f"the clock of this computer jumped by {jump_s:+.3f} s")
        cycle = await loop.cycle(number, due_s)
        if on_cycle is not None:
            await on_cycle(cycle)
        following = max(number + 1, math.floor((clocks.monotonic() - begin_s) / poll_s) + 1)
        session.statistics.skipped += following - number - 1
        number = following


class _Loop:
    """What one pass does, and when the next attempt to connect is due."""

    def __init__(self, session: Polled, *, poll_s: float, clocks: Clocks) -> None:
        self._session = session
        self._clock = clocks.monotonic
        self._sleep = clocks.sleep
        self._silence_s = _SILENT_PERIODS * max(poll_s, session.timeout_s)
        self._backoff = Backoff()
        self._connect_at_s = -math.inf
        self._check_at_s = math.inf
        self._turn = 0

    async def wait_until(self, due_s: float) -> None:
        """Wait for the next period; try to connect meanwhile where there is no identified device."""
        while not self._is_identified and self._connect_at_s <= max(due_s, self._clock()):
            await self._sleep(max(0.0, self._connect_at_s - self._clock()))
            await self._connect()
        await self._sleep(max(0.0, due_s - self._clock()))

    async def cycle(self, number: int, due_s: float) -> Cycle:
        """Poll once and return what came of it."""
        session = self._session
        started_s = self._clock()
        good_before = session.statistics.causes[Cause.GOOD]
        if self._is_identified:
            await self._poll()
            await self._check()
            if not self._is_identified:
                self._connect_at_s = self._clock() + self._backoff.next_s()
        session.statistics.cycles += 1
        return Cycle(
            number=number,
            due_s=due_s,
            started_s=started_s,
            ended_s=self._clock(),
            state=session.state,
            answered=session.statistics.causes[Cause.GOOD] > good_before,
            connection=session.connection,
            events=session.take_events(),
        )

    @property
    def _is_identified(self) -> bool:
        return self._session.state is SessionState.IDENTIFIED

    async def _connect(self) -> None:
        try:
            await self._session.connect()
        except (IdentityError, MapError):
            # the session has told what answers; a person has to act, but the right device may come back by itself
            self._connect_at_s = self._clock() + self._backoff.longest_s()
        except LinkError:
            self._connect_at_s = self._clock() + self._backoff.next_s()
        else:
            self._backoff.reset()
            self._check_at_s = self._clock() + _CHECK_EVERY_S

    async def _check(self) -> None:
        if not self._is_identified or self._clock() < self._check_at_s:
            return
        self._check_at_s = self._clock() + _CHECK_EVERY_S
        try:
            await self._session.check_identity()
        except (IdentityError, MapError, LinkError):
            # what answers was told by the session; a lost answer is followed by other signs
            return

    async def _poll(self) -> None:
        session = self._session
        # counted in polls: where every second period is skipped, every slow point still gets its turn
        part = self._turn % SLOW_EVERY
        self._turn += 1
        try:
            await session.poll("fast")
            await session.poll("slow", part=part, parts=SLOW_EVERY)
            await session.poll("once")
        except LinkError:
            # counted by cause; the ages of the samples tell the rest
            silence_s = self._clock() - session.last_answer_s
            if session.is_silent and silence_s > self._silence_s:
                await session.give_up(f"no answer for {silence_s:.1f} s; it is connected again")
