"""A session with one device: a link and a register map together give samples, and one door leads to its registers.

A session belongs to one event loop. It never writes by itself, and it writes only through :meth:`DeviceSession.write`, which
tells a log before every frame.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from hil_adapters.device.events import Cycle, Event, EventKind, SessionState
from hil_adapters.device.exchange import Exchange, PlannedWrite, WriteLog
from hil_adapters.device.freshness import limit_age
from hil_adapters.device.identity import Identity
from hil_adapters.device.poller import run_polling
from hil_adapters.device.pool import LinkPool, SharedLink
from hil_adapters.device.reading import GroupReader
from hil_adapters.device.readings import Readings
from hil_adapters.device.recognition import Recognition
from hil_adapters.device.statistics import SessionStatistics
from hil_adapters.device.writing import planned_write, writable_point
from hil_adapters.errors import IdentityError, LinkTimeoutError, MapError, ProtocolViolationError
from hil_adapters.maps.binding import resolve, signals_of
from hil_adapters.maps.schema import Group, RegisterMap
from hil_adapters.samples import NOTHING, Quality, Sample
from hil_adapters.wire.base import FrameObserver, Target
from hil_adapters.wire.links import open_link

__all__ = ["DeviceSession", "PlannedWrite", "WriteLog"]

_IDENTIFY_TRIES = 3
"""Before a connection counts as failed, where answers are garbled; each on a connection of its own, from the start."""
_MOST_EVENTS = 1000
"""Older events that nobody took are dropped."""


class DeviceSession:
    """One device, identified, polled and kept connected."""

    def __init__(
        self,
        map_: RegisterMap,
        target: Target,
        unit: int,
        *,
        serial: str | None = None,
        observer: FrameObserver | None = None,
        pool: LinkPool | None = None,
    ) -> None:
        """Prepare a session; nothing is sent yet.

        Args:
            map_: of the device; one with discovery is filled in by :meth:`connect`.
            target: where the device is.
            unit: its unit identifier.
            serial: the serial number that must answer; None accepts any.
            observer: is given every frame of this session.
            pool: where devices behind one gateway or on one line get their common link, and whose clocks count.
        """
        self._map_file = map_
        self._target = target
        self._unit = unit
        defaults = map_.link
        pool = LinkPool(open_link) if pool is None else pool
        self._clocks = pool.clocks
        self._clock = pool.clocks.monotonic
        self._link: SharedLink = pool.link_to(
            target,
            observer=observer,
            zero_transaction=defaults.quirks.zero_transaction,
            min_interval_s=defaults.min_interval_s,
        )
        self._exchange = Exchange(self._link, unit, defaults=defaults, clocks=pool.clocks)
        self._readings = Readings(resolve(map_))
        self._reader = GroupReader(self._readings, self._exchange, self.tell, clock=self._clock)
        self._map = resolve(map_)
        self._recognition = Recognition(self._link, target, unit, serial=serial, tell=self.tell)
        self._events: deque[Event] = deque(maxlen=_MOST_EVENTS)
        self._connecting = asyncio.Lock()

    @property
    def map(self) -> RegisterMap:
        """The map in use: after :meth:`connect` with the points the device has and every reference decided."""
        return self._map

    @property
    def link(self) -> SharedLink:
        """The link in use, for reading its state and statistics."""
        return self._link

    @property
    def target(self) -> Target:
        """Where the device is."""
        return self._target

    @property
    def unit(self) -> int:
        """Its unit identifier."""
        return self._unit

    @property
    def state(self) -> SessionState:
        """Whether the right device answers, on the connection that stands."""
        return self._recognition.state

    @property
    def connection(self) -> int:
        """Counts identifications; a change means that the device must be re-armed before it is commanded."""
        return self._recognition.connection

    @property
    def identity(self) -> Identity | None:
        """Whom the session met first; None before."""
        return self._recognition.identity

    @property
    def statistics(self) -> SessionStatistics:
        """Counts of this session."""
        return self._exchange.statistics

    @property
    def last_answer_s(self) -> float:
        """When the device last answered, on the monotonic clock [s]; before any answer: when the session was made."""
        return self._exchange.last_answer_s

    @property
    def is_silent(self) -> bool:
        """Whether the last request got no answer of the device."""
        return self._exchange.is_silent

    @property
    def timeout_s(self) -> float:
        """Longest time a request takes [s]."""
        return self._map_file.link.timeout_s

    @property
    def values(self) -> Mapping[str, Sample]:
        """Samples by point, as of this moment; those are stale that :mod:`hil_adapters.device.freshness` calls so."""
        return self._readings.samples(self._clock())

    @property
    def texts(self) -> Mapping[str, str]:
        """Values of points that hold text."""
        return self._readings.texts

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why points have no value, by point, in words."""
        return self._readings.reasons

    def signals(self) -> dict[str, Sample]:
        """Return the signals of the map in the twin's units, consumption positive.

        Before the first connection each is bad; afterwards those are left out for which the device has no point.
        """
        if self.identity is None:
            return dict.fromkeys(self._map_file.signals, NOTHING)
        return signals_of(self._map, self.values)

    def take_events(self) -> tuple[Event, ...]:
        """Return what happened since the last call."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def tell(self, kind: EventKind, text: str) -> None:
        """Note an event for :meth:`take_events`."""
        self._events.append(Event(kind=kind, text=text, at_s=self._clock()))

    async def connect(self) -> None:
        """Open the link, find the points of the device, identify it and read what is read once.

        Raises:
            LinkError: it does not answer.
            IdentityError: another serial number than expected, or something else than at the first connection.
            MapError: the map does not fit the device.
        """
        async with self._connecting:
            if self.state is SessionState.IDENTIFIED:
                return
            standing_on, map_, identity = await self._first_answers()
            self._recognition.require_same(standing_on)
            self._settle_in(map_)
            await self._reader.poll("once")
            self._recognition.welcome(identity, standing_on)
            self.statistics.connects += 1
            self._exchange.heard()

    async def _first_answers(self) -> tuple[int, RegisterMap, Identity]:
        """Return who answers, and the number of the connection that was opened for it."""
        for tries_left in reversed(range(_IDENTIFY_TRIES)):
            await self._link.open()
            standing_on = self._link.connection
            try:
                map_, identity = await self._who_answers()
            except LinkTimeoutError:
                # a connection may look open and lead nowhere
                if self._link.leads_nowhere:
                    await self._link.abort()
                raise
            except ProtocolViolationError:
                if tries_left == 0:
                    raise
            else:
                return standing_on, map_, identity
        raise AssertionError("the last try returns or raises")

    async def check_identity(self) -> None:
        """Ask the device again who it is, on the connection that stands; its registers may have moved unnoticed.

        Raises:
            LinkError: it does not answer, or is not identified.
            IdentityError: something else answers.
            MapError: the map does not fit what answers.
        """
        async with self._connecting:
            self._recognition.require()
            await self._who_answers()

    async def close(self) -> None:
        """Give the link back; it is closed when no other device uses it."""
        self._recognition.leave()
        await self._link.close()

    async def run(
        self,
        poll_s: float,
        on_cycle: Callable[[Cycle], Awaitable[None]] | None = None,
    ) -> None:
        """Poll until cancelled: points of ``fast`` in every period, those of ``slow`` in every tenth.

        Connects by itself, and again after 0.2 to 5 s. Periods have absolute deadlines; those that are missed are
        skipped. Errors of the device and of the link never end it: they are events, and ages tell the rest. After
        :class:`SessionState` FOREIGN it goes on asking every few seconds, without using what answers.

        Args:
            poll_s: period of the fast points [s].
            on_cycle: is awaited after every period, with or without an answer.
        """

        async def polled(cycle: Cycle) -> None:
            pause_s = self._map_file.link.min_interval_s
            limit_age(self._readings, self.statistics.latency, poll_s=poll_s, min_interval_s=pause_s)
            if on_cycle is not None:
                await on_cycle(cycle)

        await run_polling(self, poll_s=poll_s, on_cycle=polled, clocks=self._clocks)

    async def give_up(self, reason: str) -> None:
        """Treat the device as gone; the connection is closed unless something still answers on it."""
        self.statistics.aborts += 1
        if self._link.leads_nowhere:
            await self._link.abort()
        self._recognition.disconnected(reason)

    async def poll(self, group: Group, *, part: int = 0, parts: int = 1) -> None:
        """Renew the points of a group; of its reads only each ``parts``-th, beginning with number ``part``.

        Points that the device refuses become bad and are not asked for again on this connection; after other exceptions
        they become uncertain. Both are events.

        Raises:
            LinkError: no answer came, or a wrong one; or the device is not identified (LinkLostError).
        """
        self._recognition.require()
        await self._reader.poll(group, part=part, parts=parts)
        if self._reader.take_suspicion():
            self._recognition.doubt()

    async def read(self, points: Sequence[str]) -> dict[str, Sample]:
        """Return fresh samples of points, whatever their group.

        Raises:
            LinkError: no answer came, a wrong one, or an exception.
            MapError: a point is not in the map, or cannot be read.
        """
        self._recognition.require()
        await self._reader.read(points)
        return {name: self._readings.last(name) for name in points}

    async def read_back(self, point: str) -> float:
        """Return one fresh value, in the unit of the point.

        Raises:
            LinkError: no answer came, a wrong one, or an exception.
            MapError: the point is not in the map, cannot be read, or has no value.
        """
        sample = (await self.read((point,)))[point]
        if sample.quality is Quality.BAD:
            reason = self._readings.reasons.get(point, "the device gives no value")
            raise MapError(
                f"{self._recognition.where}: {point} cannot be read back: {reason}; correct the map"
            )
        return sample.value

    async def plan_write(self, point: str, value: float) -> PlannedWrite:
        """Return what :meth:`write` would send; reads the scale factor afresh where the point has one.

        Raises:
            LinkError: the scale factor could not be read, or the device is not identified.
            MapError: the point is not in the map, is not writable, has no known scale factor, or cannot hold the value.
        """
        self._recognition.require()
        found = writable_point(self._map, self._readings, point)
        if found.scale_point is not None:
            await self._reader.read((found.scale_point,))
        return planned_write(self._map, self._readings, found, value)

    async def write(self, point: str, value: float, *, log: WriteLog) -> PlannedWrite:
        """Write one point: the only way to the registers of the device. For the guard.

        A busy device (exception 6) is asked again inside the deadline; nothing else is repeated.

        Args:
            point: name of a writable point.
            value: in its unit.
            log: is called right before every frame that is sent; what it raises stops the write.

        Raises:
            LinkError: refused, or not confirmed - then it may have been executed: read back. LinkLostError also where
                the device has not been identified on the connection that stands.
            MapError: see :meth:`plan_write`.
        """
        planned = await self.plan_write(point, value)

        def log_if_identified(frame: PlannedWrite) -> None:
            self._recognition.require()
            log(frame)

        await self._exchange.write(planned, log_if_identified)
        return planned

    async def _who_answers(self) -> tuple[RegisterMap, Identity]:
        try:
            return await self._recognition.who_answers(self._map_file, self._exchange)
        except (IdentityError, MapError):
            self._readings.forget()
            raise

    def _settle_in(self, map_: RegisterMap) -> None:
        """Make room for what a fresh connection brings."""
        if self.identity is None or map_ != self._map:
            self._map = map_
            self._readings.reset(map_)
        else:
            self._readings.forget_refusals()
        self._reader.begin()
