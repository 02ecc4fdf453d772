"""Links that several devices share: units behind one gateway or on one serial line."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from hil_adapters.device.clocks import SYSTEM_CLOCKS, Clocks
from hil_adapters.errors import ExceptionReplyError
from hil_adapters.wire.base import (
    Direction,
    FrameObserver,
    LinkStatistics,
    ModbusLink,
    RtuOverTcpTarget,
    SerialTarget,
    Target,
    TcpTarget,
)

__all__ = ["LinkFactory", "LinkPool", "SharedLink"]


class LinkFactory(Protocol):
    """Makes a link that is not yet open; ``wire.links.open_link`` is one."""

    def __call__(
        self, target: Target, *, zero_transaction: bool, observer: FrameObserver | None
    ) -> ModbusLink:
        """Return a link to ``target``."""
        ...


class SharedLink:
    """One user's view of a link that others may use as well. Requests wait for each other in order."""

    def __init__(
        self, trunk: "_Trunk", *, observer: FrameObserver | None, min_interval_s: float = 0.0
    ) -> None:
        self._trunk = trunk
        self._observer = observer
        self._min_interval_s = min_interval_s
        self.hears = False
        """Whether the last request of this user got any answer on the connection that stands."""
        trunk.users.append(self)

    @property
    def target(self) -> Target:
        """Where it leads."""
        return self._trunk.link.target

    @property
    def is_open(self) -> bool:
        """Whether a connection stands, as far as is known."""
        return self._trunk.link.is_open

    @property
    def statistics(self) -> LinkStatistics:
        """Counts of the link, of all its users together."""
        return self._trunk.link.statistics

    @property
    def connection(self) -> int:
        """Counts the connections that were opened; a change means that another end may answer."""
        return self._trunk.link.statistics.connects

    @property
    def leads_nowhere(self) -> bool:
        """Whether nothing answered the last request of any of its users: then the connection itself may be dead."""
        return not any(user.hears for user in self._trunk.users)

    async def open(self) -> None:
        """Connect once; ``LinkLostError`` where that fails. Does nothing on an open link."""
        async with self._trunk.lock:
            self._trunk.observer = self._observer
            if not self._trunk.link.is_open:
                for user in self._trunk.users:
                    user.hears = False
                await self._trunk.link.open()

    async def request(
        self, unit: int, pdu: bytes, *, timeout_s: float, before: Callable[[], None] | None = None
    ) -> bytes:
        """Send a request in turn and return the PDU of its answer; see ``ModbusLink.request``.

        ``before`` is called when the turn has come, right before the frame is sent; what it raises stops the request.
        Nobody can replace the connection in between.
        """
        async with self._trunk.lock:
            await self._trunk.pause(self._min_interval_s)
            if before is not None:
                before()
            self._trunk.observer = self._observer
            self.hears = False
            try:
                answer = await self._trunk.link.request(unit, pdu, timeout_s=timeout_s)
            except ExceptionReplyError:
                self.hears = True
                raise
            finally:
                self._trunk.used()
            self.hears = True
            return answer

    async def abort(self) -> None:
        """Close the connection for all its users, so that the next one opens a fresh one."""
        async with self._trunk.lock:
            await self._trunk.link.close()

    async def close(self) -> None:
        """Give the link back; it is closed when its last user has left."""
        if self in self._trunk.users:
            self._trunk.users.remove(self)
            await self._trunk.close_if_unused()


class _Trunk:
    """The link itself, its turn and its users."""

    def __init__(self, clocks: Clocks, *, on_empty: "Callable[[_Trunk], None]") -> None:
        self.link: ModbusLink
        self.lock = asyncio.Lock()
        self.observer: FrameObserver | None = None
        self.users: list[SharedLink] = []
        self._clock = clocks.monotonic
        self._sleep = clocks.sleep
        self._on_empty = on_empty
        self._free_at_s = self._clock()

    def observe(self, direction: Direction, frame: bytes, at_ns: int) -> None:
        """Hand a frame to the user whose turn it is (or was, for an answer that comes late)."""
        if self.observer is not None:
            self.observer(direction, frame, at_ns)

    def used(self) -> None:
        self._free_at_s = self._clock()

    async def pause(self, min_interval_s: float) -> None:
        wait_s = self._free_at_s + min_interval_s - self._clock()
        if min_interval_s > 0.0 and wait_s > 0.0:
            await self._sleep(wait_s)

    async def close_if_unused(self) -> None:
        if not self.users:
            self._on_empty(self)
            await self.link.close()


class LinkPool:
    """Gives every session with the same target the same link. Used in one event loop."""

    def __init__(self, make: LinkFactory, *, clocks: Clocks = SYSTEM_CLOCKS) -> None:
        self._make = make
        self.clocks = clocks
        """Those that every session of this pool goes by."""
        self._trunks: dict[object, _Trunk] = {}

    def link_to(
        self,
        target: Target,
        *,
        observer: FrameObserver | None = None,
        zero_transaction: bool = False,  # a field of the map, handed through
        min_interval_s: float = 0.0,
    ) -> SharedLink:
        """Return a view of the link to ``target``, made where nobody uses one yet; give it back with ``close``.

        Whoever comes first decides about ``zero_transaction``; users of one gateway have the same quirk.
        Targets are the same where they lead to the same place: host and port, or the path of the line.
        """
        key = _place(target)
        trunk = self._trunks.get(key)
        if trunk is None:
            trunk = _Trunk(self.clocks, on_empty=self._drop)
            trunk.link = self._make(target, zero_transaction=zero_transaction, observer=trunk.observe)
            self._trunks[key] = trunk
        return SharedLink(trunk, observer=observer, min_interval_s=min_interval_s)

    def _drop(self, trunk: _Trunk) -> None:
        self._trunks = {key: kept for key, kept in self._trunks.items() if kept is not trunk}


def _place(target: Target) -> object:
    match target:
        case TcpTarget():
            return ("tcp", target.host, target.port)
        case RtuOverTcpTarget():
            return ("rtu+tcp", target.host, target.port)
        case SerialTarget():
            return ("serial", target.path)
