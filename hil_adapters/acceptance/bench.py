"""A device under test between its guard and the checks.

The guard is the one of :mod:`hil_adapters.guard`, with its rules, its audit and its safe state; it runs in this process, so that
a check can stop its turns and see whether the device lets go by itself. What it lacks is the acceptance report, which this test
makes; the typed confirmation, the serial number, the lock and the limits of the lab count as ever. ``twin estop`` reaches it.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from hil_adapters.acceptance.guarding import EXPIRES_S, guarded_device, reachable
from hil_adapters.acceptance.options import AcceptanceOptions
from hil_adapters.device.events import Cycle
from hil_adapters.errors import GuardError, TrippedError
from hil_adapters.guard.audit import Audit
from hil_adapters.guard.door import Occasion, Purpose
from hil_adapters.guard.encoding import Message
from hil_adapters.guard.messages import DeviceReport
from hil_adapters.guard.recording import Recording
from hil_adapters.guard.rules import Refused, admit_constant
from hil_adapters.guard.serving import Caller
from hil_adapters.guard.states import typed_confirmation
from hil_adapters.maps.loader import load_map
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.samples import Quality, Sample

__all__ = ["Bench", "open_bench"]

_TURN_S = 0.1
_IN_FORCE_S = 15.0
_USABLE = frozenset({Quality.GOOD, Quality.UNCERTAIN})


class Bench:
    """One device, polled and guarded; made by :func:`open_bench`."""

    def __init__(
        self,
        options: AcceptanceOptions,
        loaded: RegisterMap,
        *,
        audit: Audit,
        recording: Recording,
    ) -> None:
        self.options = options
        self.loaded = loaded
        self.history: list[tuple[float, dict[str, Sample]]] = []
        """When a cycle ended [s, monotonic], and its usable signals that were new."""
        self.asked: list[tuple[float, str, float | None]] = []
        """When a command was asked for [s], and its value; None: nothing any more."""
        self.told: list[str] = []
        self.wrote_s = -math.inf
        """When the last turn began that wrote something [s]."""
        self.left_as: DeviceReport | None = None
        """How the device was left at the end; None before."""
        self.stopped_by: str | None = None
        """Why an e-stop ended the test; None: none did."""
        self._recording = recording
        guarded = guarded_device(
            options, loaded, audit=audit, recording=recording, permit=self._permit_own_value
        )
        self.session, self.guard, self.config = guarded.session, guarded.guard, guarded.config
        self._states, self._own_values = guarded.states, guarded.own_values
        self._feed, self._events = guarded.feed, guarded.events
        self._wanted: dict[str, float] = {}
        self._turn = asyncio.Lock()
        self._go = asyncio.Event()
        self._go.set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # ------------------------------------------------------------------ what is known

    @property
    def name(self) -> str:
        """The device, as the audit calls it."""
        return self.loaded.name

    @property
    def writes(self) -> int:
        """Frames that were written."""
        return self.guard.door.writes + self._own_values.writes

    @property
    def armed(self) -> bool:
        """Whether the guard lets set-points through."""
        return self._states.armed

    def series(self, signal: str, *, since_s: float = -math.inf) -> list[tuple[float, float]]:
        """Return the usable readings of a signal since ``since_s``: when they arrived [s, monotonic] and values."""
        return [
            (sample.received_s, sample.value)
            for at_s, signals in self.history
            if at_s >= since_s
            and (sample := signals.get(signal)) is not None
            and sample.received_s >= since_s
        ]

    def latest(self, signal: str) -> float | None:
        """Return the newest usable value of a signal; None where there is none."""
        sample = self.session.signals().get(signal)
        return None if sample is None or sample.quality not in _USABLE else sample.value

    def commanded(self, command: str) -> float | None:
        """Return what is in force, in the unit of the command; None where nothing is."""
        return self.guard.image().commanded.get(command)

    # ------------------------------------------------------------------ acting

    def arm(self) -> None:
        """Arm the device with what a person has typed; ``GuardError`` with everything that speaks against it."""
        typed = self.options.confirmation
        if typed is None:
            raise GuardError("nobody has confirmed that this device may be written to; nothing is written")
        self.guard.arm(typed_confirmation(self.name, typed))

    def ask(self, command: str, value: float) -> None:
        """Ask for a value of a command from the next turn on, until something else is asked."""
        self._wanted = {command: value}
        self.asked.append((time.monotonic(), command, value))

    async def in_force(self, command: str) -> float:
        """Wait until a command is in force and return its value; ``GuardError`` where the guard does not bring it there."""
        if not await self.until(lambda: self.commanded(command) is not None, timeout_s=_IN_FORCE_S):
            last = "; ".join(self._news()[-3:]) or "the guard said nothing"
            raise GuardError(f"{command}: was not brought into force within {_IN_FORCE_S:g} s: {last}")
        value = self.commanded(command)
        return math.nan if value is None else value

    async def trip(self, reason: str) -> float:
        """Bring the device to its safe state as an e-stop does; return how long that took [s]. Nothing is asked any more.

        Raises:
            GuardError: the device did not confirm its safe state.
        """
        self._forget()
        began_s = time.monotonic()
        left = await self.guard.trip(reason)
        took_s = time.monotonic() - began_s
        if self.stopped_by is None:  # what a person has stopped only a person resets
            self.guard.reset()
        if left is not None:
            raise GuardError(left)
        return took_s

    async def write_own_value(self, command: str, point: str, value: float, *, why: str) -> None:
        """Write a value that the device held before to one of its points, under the rules of its map, and read it back.

        Raises:
            GuardError: the rules do not allow it, or the device is not armed. LinkError, MapError: see ``Door.write``.
        """
        rules = self.session.map.writes.get(point)
        verdict = admit_constant(point, value, rules)
        if isinstance(verdict, Refused) or rules is None:
            raise GuardError(verdict.reason if isinstance(verdict, Refused) else f"{point}: has no rules")
        occasion = Occasion(command=command, why=why, step=self._feed.last_step, purpose=Purpose.COMMAND)
        async with self._turn:
            written = await self._own_values.write(point, value, occasion)
            await self._own_values.verify(point, written, rules.tolerance)

    @contextlib.asynccontextmanager
    async def unrefreshed(self) -> AsyncIterator[None]:
        """Within the block the guard takes no turn, as if its process had ended: nothing is refreshed or released."""
        self._go.clear()
        async with self._turn:
            pass
        self._forget()
        try:
            yield
        finally:
            self._go.set()

    @contextlib.asynccontextmanager
    async def silence(self) -> AsyncIterator[None]:
        """Within the block nothing is sent to the device, and there is no connection to it."""
        polling = self._tasks.pop("polling")
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await self.session.give_up("nothing is sent for a while, to see what the device does")
        try:
            yield
        finally:
            self._tasks["polling"] = asyncio.create_task(self._poll())

    # ------------------------------------------------------------------ waiting

    async def wait(self, seconds: float) -> None:
        """Let time pass [s].

        Raises:
            TrippedError: an e-stop has come. GuardError: a task of the test has failed.
        """
        deadline_s = time.monotonic() + seconds
        while True:
            if self.stopped_by is not None:
                raise TrippedError(f"{self.name}: stopped: {self.stopped_by}")
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0:
                return
            done, _ = await asyncio.wait(self._tasks.values(), timeout=min(_TURN_S, left_s))
            for task in done:
                error = task.exception()
                raise GuardError(f"the test cannot go on: {type(error).__name__}: {error}") from error

    async def until(self, condition: Callable[[], bool], *, timeout_s: float) -> bool:
        """Wait until ``condition`` holds, ``timeout_s`` [s] at most; return whether it does. Raises as :meth:`wait`."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= deadline_s:
                return False
            await self.wait(_TURN_S / 2.0)
        return True

    # ------------------------------------------------------------------ life

    async def begin(self) -> None:
        """Connect, identify, and start polling and guarding; ``LinkError``, ``IdentityError`` or ``MapError`` where not."""
        await self.session.connect()
        self._tasks = {
            name: asyncio.create_task(work)
            for name, work in (
                ("polling", self._poll()),
                ("feeding", self._feeding()),
                ("turning", self._turning()),
            )
        }

    async def end(self, reason: str) -> None:
        """Bring the device to its safe state, end everything, and note how it was left."""
        self._forget()
        turning = self._tasks.pop("turning", None)
        if turning is not None:
            turning.cancel()
            await asyncio.gather(turning, return_exceptions=True)
        stopping = asyncio.create_task(self.guard.stop(reason))
        while not stopping.done():
            await self.guard.turn()
            await asyncio.wait({stopping}, timeout=_TURN_S)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self.session.close()
        self._news()
        self.left_as = stopping.result()

    async def answer(self, message: Message, caller: Caller) -> Message:
        """Answer an e-stop from elsewhere; everything else is refused."""
        kind = message.get("kind")
        if kind == "trip":
            self.stopped_by = f"{message['reason']} (by {caller.who})"
            self._forget()
            self._go.set()
            left = await self.guard.trip(self.stopped_by)
            if left is not None:
                raise GuardError(f"tripped, but {left}")
        elif kind != "status":
            raise GuardError("an acceptance test runs here; it takes an e-stop and nothing else")
        state: dict[str, Any] = {"state": self._states.state.value, "reason": self._states.reason}
        return {"kind": "status", "devices": {self.name: state}}

    def left(self, caller: Caller) -> None:
        """A connection has ended; nothing depends on it."""

    # ------------------------------------------------------------------ inside

    def _forget(self) -> None:
        for command in self._wanted:
            self.asked.append((time.monotonic(), command, None))
        self._wanted = {}

    def _permit_own_value(self, occasion: Occasion) -> None:
        if not self._states.armed or self.stopped_by is not None:
            raise GuardError(f"{occasion.command}: the device is not armed; nothing is written")

    def _news(self) -> list[str]:
        self.told.extend(self._events.take())
        return self.told

    async def _poll(self) -> None:
        async def after(cycle: Cycle) -> None:
            self.guard.heard(cycle)
            signals = self.session.signals()
            self._recording.keep(self.name, signals)
            self.history.append(
                (cycle.ended_s, {name: s for name, s in signals.items() if s.quality in _USABLE})
            )
            self._news()

        await self.session.run(self.options.poll_s, after)

    async def _feeding(self) -> None:
        step = 0
        while True:
            now_s = time.monotonic()
            step += 1
            with contextlib.suppress(GuardError):  # a machine that slept; the next step counts
                self._feed.finished(step, sent_s=now_s, expires_s=EXPIRES_S, now_s=now_s)
            if self._wanted and self._states.armed:
                self.guard.offer(self._wanted, expires_s=now_s + EXPIRES_S, step=step)
            await asyncio.sleep(_TURN_S)

    async def _turning(self) -> None:
        while True:
            await self._go.wait()
            async with self._turn:
                began_s, writes = time.monotonic(), self.guard.door.writes
                await self.guard.turn()
                if self.guard.door.writes > writes:
                    self.wrote_s = began_s
            await asyncio.sleep(_TURN_S)


@contextlib.asynccontextmanager
async def open_bench(options: AcceptanceOptions) -> AsyncIterator[Bench]:
    """Connect to a device and guard it; whatever happens inside, it is left in its safe state.

    Raises:
        LinkError: it does not answer. IdentityError: another one does. MapError: the map is wrong or does not fit.
        RecordingError: the folder cannot be written to.
    """
    loaded = load_map(options.map_file)
    with _audited(options) as (audit, recording):
        bench = Bench(options, loaded, audit=audit, recording=recording)
        try:
            await bench.begin()
        except BaseException:
            await bench.session.close()
            raise
        async with contextlib.AsyncExitStack() as stack:
            if options.confirmation is not None:  # otherwise nothing is written, and there is nothing to stop
                await stack.enter_async_context(reachable(bench.config, bench))
            try:
                yield bench
            except BaseException as error:
                await bench.end(f"the test was ended: {type(error).__name__}")
                raise
            await bench.end("the test is over")


@contextlib.contextmanager
def _audited(options: AcceptanceOptions) -> Iterator[tuple[Audit, Recording]]:
    audit = Audit(options.folder)
    try:
        audit.record(
            "acceptance", target=str(options.target), unit=float(options.unit), serial=options.serial
        )
        with Recording(options.folder) as recording:
            yield audit, recording
    finally:
        audit.close()
