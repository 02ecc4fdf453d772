"""One client's connection to a server, as an asyncio protocol: frames in, answers out, in order and bounded."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from hil_adapters.wire.base import Cut, FaultAction
from hil_adapters.wire.clients import reset_connection
from hil_adapters.wire.framing import Frame, MbapFramer, RtuFramer, Violation
from hil_adapters.wire.links import Channel
from hil_adapters.wire.station import Admission, Station

__all__ = ["Conversation"]


class Conversation(asyncio.Protocol):
    """Answers one client.

    While the transport holds more than it should, nothing is read and nothing answered, so that memory stays bounded by
    one chunk of requests.
    """

    def __init__(
        self,
        station: Station,
        *,
        admit: Callable[[asyncio.BaseTransport], Admission | None],
        on_end: Callable[["Conversation"], None],
        answer_after_s: float,
        quiet_s: float,
    ) -> None:
        """``answer_after_s``: silence before an answer; ``quiet_s``: pause that ends a frame [s], for RTU."""
        self._station = station
        self._admit = admit
        self._on_end = on_end
        self._answer_after_s = answer_after_s
        self._quiet_s = quiet_s
        self._framer: MbapFramer | RtuFramer = station.new_framer()
        self._client: Admission | None = None
        self._channel: Channel | None = None
        self._transport: asyncio.Transport | None = None
        self._requests: deque[Frame] = deque()
        self._is_paused = False
        self._is_closing = False
        self._silence: asyncio.TimerHandle | None = None
        self._timers: set[asyncio.TimerHandle] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the client in, or end the connection at once."""
        # asyncio declares the base class; streams of other loops (uvloop) do not inherit from asyncio.Transport
        self._transport = stream = cast("asyncio.Transport", transport)
        client = self._admit(transport)
        if client is None:
            self._is_closing = True
            stream.abort()
            return
        self.attach(stream, client)

    def attach(self, channel: Channel, client: Admission) -> None:
        """Speak over ``channel``."""
        self._channel = channel
        self._client = client

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget what was to be sent."""
        self._is_closing = True
        self._channel = None
        self._requests.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._silence is not None:
            self._silence.cancel()
        self._on_end(self)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        elif self._channel is not None:
            self._channel.abort()

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read."""
        self._is_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Answer what waited, and read on."""
        self._is_paused = False
        self._process()
        if self._transport is not None and not self._is_paused and not self._is_closing:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take requests as they come."""
        if self._is_closing:
            return
        self._sort(self._framer.feed(data))
        if isinstance(self._framer, RtuFramer):
            self._watch_for_silence(self._framer)
        self._process()

    def _sort(self, items: list[Frame | Violation]) -> None:
        for item in items:
            if isinstance(item, Violation):
                self._station.statistics.violations += 1
                if isinstance(self._framer, MbapFramer):
                    self._process()
                    self._close()
            else:
                self._requests.append(item)

    def _watch_for_silence(self, framer: RtuFramer) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        if framer.n_left_over:
            self._silence = asyncio.get_running_loop().call_later(self._quiet_s, self._silent, framer)

    def _silent(self, framer: RtuFramer) -> None:
        self._silence = None
        self._sort(framer.silence())
        self._process()

    def _process(self) -> None:
        while self._requests and not self._is_paused and self._client is not None:
            reply = self._station.respond(self._requests.popleft(), self._client)
            if reply is None:
                continue
            if not isinstance(reply, bytes):
                self._perform(list(reply))
            elif self._answer_after_s > 0:
                self._later(self._answer_after_s, partial(self._send, reply))
            else:
                self._send(reply)

    def _perform(self, actions: Sequence[FaultAction]) -> None:
        """Do what a fault layer says, one action after the other; other answers do not wait for it."""
        for at, action in enumerate(actions):
            if action.after_s > 0:
                self._later(action.after_s, partial(self._resume, actions[at:]))
                return
            self._act(action)

    def _resume(self, actions: Sequence[FaultAction]) -> None:
        self._act(actions[0])
        self._perform(actions[1:])

    def _act(self, action: FaultAction) -> None:
        if not isinstance(action, Cut):
            self._send(action.frame)
        elif self._transport is not None:
            self._is_closing = True
            if action.reset:
                reset_connection(self._transport)
            else:
                self._transport.close()

    def _send(self, adu: bytes) -> None:
        if self._channel is None or self._is_closing:
            return
        self._station.sent(adu)
        self._channel.write(adu)

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(handle)
            action()

        handle = asyncio.get_running_loop().call_later(delay_s, run)
        self._timers.add(handle)

    def _close(self) -> None:
        self._is_closing = True
        if self._transport is not None:
            self._transport.close()
