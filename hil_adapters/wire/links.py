"""A client's link to a device: TCP, TLS, RTU over TCP, RTU over a serial line. A thin shell around ``wire.exchange``."""

import asyncio
import errno
import math
import socket
import time
from collections.abc import Callable
from typing import Final, Protocol, assert_never

from hil_adapters.errors import ExceptionReplyError, LinkError, LinkLostError, LinkTimeoutError
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
from hil_adapters.wire.exchange import Exchange, Verdict
from hil_adapters.wire.exchange_rtu import RtuExchange
from hil_adapters.wire.exchange_tcp import TcpExchange
from hil_adapters.wire.framing import MIN_QUIET_S, silent_interval_s
from hil_adapters.wire.pdu import check_request, describe
from hil_adapters.wire.serial_line import open_serial

__all__ = ["Channel", "keep_alive", "open_link"]

_KEEP_ALIVE_S: Final = 5
_CLOSE_S: Final = 1.0
"""A TLS peer may never say goodbye; after this long its connection is aborted [s]."""
_LONGEST_SILENCE_S: Final = 5.0
"""Beyond the time-out of a request: a line that talks for longer without being asked is in use by others [s]."""


class Channel(Protocol):
    """Where bytes go: an asyncio transport or a serial line."""

    def write(self, data: bytes) -> None:
        """Send, or keep for sending."""
        ...

    def close(self) -> None:
        """End after what was written."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


def open_link(
    target: Target,
    *,
    zero_transaction: bool = False,
    observer: FrameObserver | None = None,
    connect_timeout_s: float = 3.0,
) -> ModbusLink:
    """Return a link to ``target``, not yet open.

    Args:
        target: Where the device is.
        zero_transaction: The device answers with transaction 0 (a declared quirk of Modbus TCP).
        observer: Is given every whole frame.
        connect_timeout_s: Longest time to connect, TLS included [s].
    """
    statistics = LinkStatistics()
    exchange: Exchange
    match target:
        case TcpTarget():
            exchange = TcpExchange(statistics, zero_transaction=zero_transaction)
        case RtuOverTcpTarget():
            exchange = RtuExchange(
                statistics, turnaround_s=target.turnaround_s, gap_s=0.0, quiet_s=MIN_QUIET_S
            )
        case SerialTarget():
            gap_s = silent_interval_s(target.baudrate)
            exchange = RtuExchange(
                statistics,
                turnaround_s=target.turnaround_s,
                gap_s=gap_s,
                quiet_s=max(MIN_QUIET_S, gap_s),
            )
        case _:
            assert_never(target)
    return _Link(
        target, statistics, exchange=exchange, observer=observer, connect_timeout_s=connect_timeout_s
    )


def keep_alive(connection: socket.socket) -> None:
    """Let the system find a peer that has vanished, within about 20 s, and send small frames at once."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # names that not every system has
    for name, value in (
        ("TCP_KEEPIDLE", _KEEP_ALIVE_S),
        ("TCP_KEEPINTVL", _KEEP_ALIVE_S),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 4 * _KEEP_ALIVE_S * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


class _Receiver(asyncio.Protocol):
    """Hands over what one connection says; a later connection has its own."""

    def __init__(self, on_data: Callable[[bytes], None], on_lost: Callable[[Exception | None], None]) -> None:
        self._on_data = on_data
        self._on_lost = on_lost
        self.has_ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended.set()
        self._on_lost(exc)


class _Link:
    """See :class:`hil_adapters.wire.base.ModbusLink`."""

    def __init__(
        self,
        target: Target,
        statistics: LinkStatistics,
        *,
        exchange: Exchange,
        observer: FrameObserver | None,
        connect_timeout_s: float,
    ) -> None:
        self._target = target
        self._statistics = statistics
        self._exchange = exchange
        self._observer = observer
        self._connect_timeout_s = connect_timeout_s
        self._turn = asyncio.Lock()
        self._channel: Channel | None = None
        self._receiver: _Receiver | None = None
        self._waiting: asyncio.Future[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        self._n_closes = 0
        self._lost_because = "it was not opened"

    @property
    def target(self) -> Target:
        return self._target

    @property
    def is_open(self) -> bool:
        return self._channel is not None

    @property
    def statistics(self) -> LinkStatistics:
        return self._statistics

    async def open(self) -> None:
        async with self._turn:
            if self._channel is not None:
                return
            self._exchange.reconnected()
            n_closes = self._n_closes
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    self._channel, self._receiver = await self._connected()
            except TimeoutError as slow:
                raise LinkLostError(
                    f"{self._target}: no connection within {self._connect_timeout_s:g} s; check address and network"
                ) from slow
            except OSError as refused:
                raise LinkLostError(
                    f"{self._target}: cannot connect ({_cause(refused)}); check that the device is on, its address and port"
                ) from refused
            self._statistics.connects += 1
            if self._receiver.has_ended.is_set():
                self._channel = None
                raise LinkLostError(f"{self._target}: closed at once; the device may serve one client only")
            if n_closes != self._n_closes:
                await self.close()
                raise LinkLostError(f"{self._target}: it was closed while it was being opened")

    async def request(self, unit: int, pdu: bytes, *, timeout_s: float) -> bytes:
        check_request(pdu)
        async with self._turn:
            await self._silence(unit, pdu, timeout_s)
            if self._channel is None:
                raise LinkLostError(
                    f"{self._target}: not connected, because {self._lost_because}; open it again"
                )
            now_s = time.monotonic()
            frame = self._exchange.start(unit, pdu, now_s=now_s, timeout_s=timeout_s)
            self._statistics.requests += 1
            waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._waiting = waiting
            try:
                self._sent(frame)
                self._set_timer()
                answer = await waiting
            except ExceptionReplyError as refused:
                self._statistics.exceptions += 1
                raise ExceptionReplyError(refused.code, f"{self._target} unit {unit}: {refused}") from None
            except LinkError as failed:
                raise type(failed)(f"{self._target} unit {unit}: {failed}") from None
            finally:
                self._waiting = None
                self._dropped(self._exchange.abandon(time.monotonic()))
            self._statistics.answers += 1
            return answer

    async def close(self) -> None:
        channel, receiver = self._channel, self._receiver
        self._lost_because = "it was closed"
        self._n_closes += 1
        self._channel = None
        self._stop_timer()
        self._fail(LinkLostError("the link was closed"))
        if channel is None or receiver is None:
            return
        channel.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await receiver.has_ended.wait()
        except TimeoutError:
            channel.abort()
            await receiver.has_ended.wait()

    async def _connected(self) -> tuple[Channel, _Receiver]:
        receiver = _Receiver(self._received, lambda exc: self._lost(receiver, exc))
        loop = asyncio.get_running_loop()
        target = self._target
        if isinstance(target, SerialTarget):
            return open_serial(target, receiver), receiver
        tls = target.tls if isinstance(target, TcpTarget) else None
        transport, _ = await loop.create_connection(lambda: receiver, target.host, target.port, ssl=tls)
        keep_alive(transport.get_extra_info("socket"))
        return transport, receiver

    async def _silence(self, unit: int, pdu: bytes, timeout_s: float) -> None:
        """Wait until the line may be used. Other callers wait for their turn behind this one."""
        started_s = time.monotonic()
        while (wait_s := self._exchange.wait_s(time.monotonic())) > 0:
            if time.monotonic() - started_s > timeout_s + _LONGEST_SILENCE_S:
                self._statistics.timeouts += 1
                raise LinkTimeoutError(
                    f"{self._target} unit {unit}: {describe(pdu)}: the line is never silent; "
                    "look for noise or another master"
                )
            await asyncio.sleep(wait_s)
            self._wake()

    def _sent(self, frame: bytes) -> None:
        if self._channel is None:
            raise LinkLostError(f"not connected, because {self._lost_because}")
        if self._observer is not None:
            self._observer(Direction.SENT, frame, time.monotonic_ns())
        self._channel.write(frame)

    def _received(self, data: bytes) -> None:
        arrived_ns = time.monotonic_ns()
        self._take(self._exchange.feed(data, now_s=arrived_ns * 1e-9), arrived_ns)

    def _wake(self) -> None:
        self._stop_timer()
        woken_ns = time.monotonic_ns()
        self._take(self._exchange.tick(woken_ns * 1e-9), woken_ns)

    def _take(self, verdict: Verdict, at_ns: int) -> None:
        if self._observer is not None:
            for frame in verdict.heard:
                self._observer(Direction.RECEIVED, frame, at_ns)
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            if verdict.error is not None:
                waiting.set_exception(verdict.error)
            elif verdict.answer is not None:
                waiting.set_result(verdict.answer)
        self._dropped(verdict.drop)
        self._set_timer()

    def _dropped(self, reason: str | None) -> None:
        if reason is None or self._channel is None:
            return
        channel, self._channel = self._channel, None
        self._lost_because = reason
        self._statistics.losses += 1
        channel.abort()

    def _lost(self, receiver: _Receiver, exc: Exception | None) -> None:
        if receiver is not self._receiver or self._channel is None:
            return
        self._channel = None
        cause = "the device closed it" if exc is None else _cause(exc)
        self._lost_because = cause
        self._statistics.losses += 1
        self._stop_timer()
        self._fail(LinkLostError(f"the connection was lost ({cause}); open it again"))

    def _fail(self, error: LinkError) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def _set_timer(self) -> None:
        """Let one timer stand at the next moment the exchange waits for."""
        wakes_at_s = self._exchange.wakes_at_s
        if wakes_at_s == self._timer_at_s:
            return
        self._stop_timer()
        if wakes_at_s < math.inf:
            delay_s = max(0.0, wakes_at_s - time.monotonic())
            self._timer_at_s = wakes_at_s
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at_s = math.inf


def _cause(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.errno is not None:
        return f"{errno.errorcode.get(exc.errno, exc.errno)}: {exc.strerror}"
    return str(exc) or type(exc).__name__
