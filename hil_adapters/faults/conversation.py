"""One client of a proxy: its requests in order, its answers with the faults of the plan."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from hil_adapters.faults.relay import Relay
from hil_adapters.wire.base import Cut, FaultAction, ModbusLink, Send
from hil_adapters.wire.framing import Frame, MbapFramer, RtuFramer, Violation
from hil_adapters.wire.station import Framing, request_framer

__all__ = ["Front", "FrontConversation"]

_log = logging.getLogger(__name__)


class Front(Protocol):
    """The client's side of a proxy."""

    async def read(self) -> bytes:
        """Return what came; empty at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        ...

    def cut(self, *, reset: bool) -> None:
        """End the connection, by RST where ``reset``."""
        ...


class FrontConversation:
    """Takes the requests of one client in order; answers that are delayed do not hold up later ones."""

    def __init__(
        self, front: Front, relay: Relay, link: ModbusLink, *, framing: Framing, quiet_s: float
    ) -> None:
        self._front = front
        self._relay = relay
        self._link = link
        self._quiet_s = quiet_s
        self._framer = request_framer(framing)
        self._delayed: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the client ends."""
        try:
            while data := await self._front.read():
                await self._take(self._framer.feed(data))
                if isinstance(self._framer, RtuFramer) and self._framer.n_left_over:
                    await self._end_frames(self._framer)
        except ConnectionError as error:
            _log.info("a client of the proxy is gone: %s", error)
        finally:
            for task in self._delayed:
                task.cancel()
            await asyncio.gather(*self._delayed, return_exceptions=True)

    async def _end_frames(self, framer: RtuFramer) -> None:
        """Wait for more, or for the silence that ends a frame."""
        while framer.n_left_over:
            try:
                async with asyncio.timeout(self._quiet_s):
                    data = await self._front.read()
            except TimeoutError:
                await self._take(framer.silence())
                return
            if not data:
                return
            await self._take(framer.feed(data))

    async def _take(self, items: Sequence[Frame | Violation]) -> None:
        for item in items:
            if isinstance(item, Violation):
                _log.warning("the client of the proxy sent no frame: %s", item.text)
                if isinstance(self._framer, MbapFramer):
                    self._front.cut(reset=False)
                continue
            actions = await self._relay.respond(item, self._link)
            if any(action.after_s > 0 for action in actions):
                task = asyncio.create_task(self._perform(actions))
                self._delayed.add(task)
                task.add_done_callback(self._delayed.discard)
            else:
                await self._perform(actions)

    async def _perform(self, actions: Sequence[FaultAction]) -> None:
        for action in actions:
            await asyncio.sleep(action.after_s)
            match action:
                case Send(frame=frame):
                    await self._front.send(frame)
                case Cut(reset=reset):
                    self._front.cut(reset=reset)
