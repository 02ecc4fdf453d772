"""The guard of one device: carries out set-points while that is allowed, and brings it to its safe state when it is not."""

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

from hil_adapters.device.events import Cycle, SessionState
from hil_adapters.errors import GuardError, RecordingError
from hil_adapters.guard.arming import ArmingDesk
from hil_adapters.guard.audit import Audit
from hil_adapters.guard.commanding import Commanding
from hil_adapters.guard.door import Door, GuardedSession, Occasion, Purpose
from hil_adapters.guard.feed import Feed
from hil_adapters.guard.messages import DeviceConfig, DeviceImage, DeviceReport, GuardState
from hil_adapters.guard.oversight import Oversight
from hil_adapters.guard.rules import measured_breach
from hil_adapters.guard.states import DeviceStates
from hil_adapters.guard.telling import Events, Teller

__all__ = ["DeviceGuard", "Surroundings"]

_TURN_S = 0.25
_TURNS_IN_WATCHDOG = 9.0
_TRIP_S = 5.0
"""How long a trip waits to tell whether the safe state is there [s]; the guard goes on trying after that."""
_FOREIGN_S = 30.0
"""How long something else may answer, to which nothing is written, before it trips [s]: a device that starts, or a line that
is disturbed, can look like another one and is itself again when it is asked anew."""
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
"""Waits between attempts to bring a device to its safe state that refuses or does not confirm it double up to this [s]."""
_LET_GO_S = 10.0
"""How long a stop waits for the safe state of a device that does not answer [s]; then its own watchdog must do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the guards of one guardian share."""

    feed: Feed
    audit: Audit
    events: Events
    poll_s: float
    clock: Callable[[], float]


class DeviceGuard:
    """One device of a guardian."""

    def __init__(
        self,
        config: DeviceConfig,
        session: GuardedSession,
        states: DeviceStates,
        *,
        desk: ArmingDesk,
        shared: Surroundings,
    ) -> None:
        self.config = config
        self.states = states
        self._session = session
        self._desk = desk
        self._shared = shared
        self._clock = shared.clock
        self._teller = Teller(config.name, shared.events, shared.audit)
        self.door = Door(
            device=config.name,
            session=session,
            states=states,
            audit=shared.audit,
            permit=self._permit,
            sent=lambda occasion: self._commanding.touch(occasion.command),
        )
        self.has_slept: Callable[[], bool] = lambda: False
        """Whether the machine slept since that was last acted on."""
        self._oversight = Oversight(session, self._teller, poll_s=shared.poll_s)
        self._commanding = Commanding(
            config, session, self.door, teller=self._teller, oversight=self._oversight, clock=self._clock
        )
        self._signals = session.signals()
        self._connection = 0
        self._read_on = 0
        self._trouble, self._is_foreign = "", False
        self._foreign_since_s: float | None = None
        self._letting_go: str | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._not_before_s = -math.inf
        self._safe = asyncio.Event()
        self._safe.set()
        self._wake = asyncio.Event()

    # ------------------------------------------------------------------ asked from outside

    @property
    def name(self) -> str:
        """The device, as the scenario calls it."""
        return self.config.name

    @property
    def is_identified(self) -> bool:
        """Whether the configured device answers."""
        return self._session.state is SessionState.IDENTIFIED

    @property
    def is_read(self) -> bool:
        """Whether it was polled once since it was identified."""
        return self.is_identified and self._read_on == self._session.connection

    def image(self) -> DeviceImage:
        """Return the newest of the device, from memory."""
        return DeviceImage(
            state=self.states.state,
            signals=self._signals,
            commanded=self._commanding.commanded() if self.states.armed else {},
            trouble=self._trouble,
            is_foreign=self._is_foreign,
        )

    def heard(self, cycle: Cycle, *, trouble: str = "") -> None:
        """Take what happened in a cycle of polling, and why there is no connection; empty where there is one."""
        self._trouble, self._is_foreign = trouble, cycle.state is SessionState.FOREIGN
        if not trouble:
            self._teller.settle("connect")
        elif cycle.state is not SessionState.FOREIGN:
            # what is foreign is an event of the session
            self._teller.once("connect", f"cannot be connected: {trouble}")
        # an image is asked for more often than anything changes
        self._signals = self._session.signals()
        for event in cycle.events:
            self._teller.tell(event.text)
        if cycle.state is SessionState.IDENTIFIED and cycle.answered:
            self._read_on = cycle.connection
        if cycle.connection != self._connection or cycle.state is not SessionState.IDENTIFIED:
            self._wake.set()

    def offer(self, values: dict[str, float], *, expires_s: float, step: int) -> None:
        """Take set-points that hold until ``expires_s`` on the clock [s]; what is refused becomes an event."""
        try:
            if self.states.state in {GuardState.ARMED, GuardState.DRY_RUN}:
                self._commanding.ask(values, allows=self._desk.allows, expires_s=expires_s, step=step)
            elif values:
                self._teller.refuse("state", f"set-points are refused: it is {self.states.state.value}")
        except RecordingError as error:
            self._trip(str(error))
        self._wake.set()

    def arm(self, confirmation: str) -> None:
        """Arm the device; ``GuardError`` where anything speaks against it."""
        if not self._safe.is_set():
            raise GuardError(f"{self.name}: is still being brought to its safe state ({self._letting_go})")
        self._desk.arm(self._session, confirmation, now_s=self._clock())
        self._commanding.forget()
        self._teller.settle("state")
        self._tell_state()
        for remark in self._desk.remarks:
            self._teller.tell(f"not allowed: {remark}")
        self._wake.set()

    async def trip(self, reason: str) -> str | None:
        """Latch and let go; return why it is not in its safe state after a few seconds, None where it is."""
        self._trip(reason)
        await self._settled(_TRIP_S)
        return None if self._safe.is_set() else f"{self.name}: {self._left_behind()}"

    def _left_behind(self) -> str:
        told = "; ".join(
            f"{record.command}: {record.watchdog_in_words}" for record in self._commanding.touched
        )
        return f"did not confirm its safe state; its own watchdogs must let go ({told})"

    def reset(self) -> None:
        """A person resets a trip."""
        self.states.reset()
        self._tell_state()

    def disarm(self, reason: str) -> None:
        """Begin to let go of the device, if it is armed; only a person arms it again."""
        if self.states.armed:
            self.states.disarm(reason)
            self._begin_safe_state(reason)
            self._tell_state()

    async def stop(self, reason: str) -> DeviceReport:
        """Let go, end, and say how the device was left."""
        self.disarm(reason)
        if self._session.state is not SessionState.FOREIGN:
            # to another device nothing is written, whatever waits
            await self._settled(_LET_GO_S)
        left = self._commanding.touched if self.door.writes else []
        self.states.stop(reason)
        self._desk.leave()
        text = "released, or at its safe value" if self.door.writes else "nothing was written"
        if left:
            text = self._left_behind()
        return DeviceReport(
            state=self.states.state,
            released=not left,
            text=text,
            writes=self.door.writes,
            refused=self._teller.refused,
        )

    # ------------------------------------------------------------------ turns

    async def run(self) -> None:
        """Take turns until cancelled. Polling runs beside it."""
        while True:
            self._wake.clear()
            await self.turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._turn_s()):
                    await self._wake.wait()

    async def turn(self) -> None:
        """Do what is due."""
        now_s = self._clock()
        self._notice()
        if self.states.armed:
            self._watch_conditions(now_s)
        try:
            reason = await self._work(now_s)
        except RecordingError as error:
            reason = str(error)
        if reason is not None:
            self._trip(reason)

    async def _work(self, now_s: float) -> str | None:
        if self._letting_go is not None:
            await self._write_safe_state(self._letting_go)
            return None
        if self.states.state not in {GuardState.ARMED, GuardState.DRY_RUN}:
            return None
        reason = await self._commanding.serve(now_s=now_s)
        if reason is None and self.states.armed:
            reason = await self._oversight.look(self._commanding.records, now_s=now_s)
        return reason

    def _watch_conditions(self, now_s: float) -> None:
        """End the armed state where its conditions are over."""
        feed = self._shared.feed
        breach = measured_breach(self.config.limits, self._signals)
        if self._foreign_for_s(now_s) > _FOREIGN_S:
            self._trip("another device, firmware or register map answers")
        elif breach is not None:
            self._trip(breach)
        elif self._shared.audit.broken:
            self._trip("the audit cannot be written")
        elif not self.config.emulated and (fast := feed.too_fast(now_s=now_s)) is not None:
            self._trip(fast)
        elif feed.has_begun and not feed.lives(now_s=now_s):
            self.disarm("the run has finished no step in time")
        elif self.states.has_expired(now_s=now_s):
            self.disarm("the time for which it was armed is over")

    def _foreign_for_s(self, now_s: float) -> float:
        """Return for how long something else answers than the configured device [s]; 0 where it does not."""
        if self.is_identified:
            self._foreign_since_s = None
        elif self._session.state is SessionState.FOREIGN:
            if self._foreign_since_s is None:
                self._foreign_since_s = now_s
            return now_s - self._foreign_since_s
        return 0.0

    # ------------------------------------------------------------------ safe state

    def _trip(self, reason: str) -> None:
        was = self.states.state
        self.states.trip(reason)
        if self.states.state is was:
            return
        if was is GuardState.ARMED:
            self._begin_safe_state(reason)
        self._tell_state()

    def _begin_safe_state(self, reason: str) -> None:
        self._commanding.forget()
        self._try_at_once()
        self._letting_go = reason
        self._safe.clear()
        self._wake.set()

    async def _write_safe_state(self, reason: str) -> None:
        if self._commanding.touched:
            if self._session.state is not SessionState.IDENTIFIED or self._clock() < self._not_before_s:
                return
            if not await self._commanding.let_go(reason):
                self._not_before_s = self._clock() + self._pause_s
                self._pause_s = min(2.0 * self._pause_s, _LONGEST_PAUSE_S)
                return
            self._teller.safe(reason)
        self._letting_go = None
        self._desk.leave()
        self._safe.set()

    async def _settled(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._safe.wait()

    # ------------------------------------------------------------------ details

    def _permit(self, occasion: Occasion) -> None:
        """Raise unless this write is allowed at this very moment; asked right before every frame."""
        now_s = self._clock()
        record = self._commanding.record(occasion.command)
        if occasion.purpose is Purpose.SAFE:
            if not self.states.was_armed:
                raise GuardError(f"{occasion.command}: the device was never armed; nothing is written")
            if not record.touched:
                raise GuardError(f"{occasion.command}: was never written; there is nothing to let go of")
        elif self.has_slept():
            raise GuardError(f"{occasion.command}: the machine has slept; nothing is written")
        elif not self.states.armed or self.states.has_expired(now_s=now_s):
            raise GuardError(f"{occasion.command}: the device is not armed; nothing is written")
        elif not self._shared.feed.lives(now_s=now_s):
            raise GuardError(f"{occasion.command}: the run has finished no step in time; nothing is written")
        elif record.wanted is None or now_s >= record.expires_s:
            raise GuardError(f"{occasion.command}: the set-point has expired; it is not written")

    def _notice(self) -> None:
        """Forget what the device holds where it does not answer, or answers on another connection."""
        if not self.is_identified or self._session.connection != self._connection:
            if self._session.connection != self._connection:
                self._try_at_once()
            self._connection = self._session.connection
            self._commanding.lost()

    def _try_at_once(self) -> None:
        self._pause_s, self._not_before_s = _FIRST_PAUSE_S, -math.inf

    def _tell_state(self) -> None:
        self._teller.state(self.states.state.value, self.states.reason)

    def _turn_s(self) -> float:
        times = [
            record.watchdog.timeout_s / _TURNS_IN_WATCHDOG
            for record in self._commanding.records
            if record.watchdog is not None
        ]
        return min((_TURN_S, self._shared.poll_s, *times))
