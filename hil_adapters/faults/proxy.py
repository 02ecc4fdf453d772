"""A proxy between anybody's client and anybody's device that injects faults: Modbus TCP, RTU over TCP, serial lines.

The framing in front (towards the client) is that of the plan; behind it is that of the target, so a proxy also turns TCP
into RTU. Every TCP client has a connection of its own to a TCP device; a line or a serial server is shared.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Self

from hil_adapters.errors import LinkLostError
from hil_adapters.faults.conversation import FrontConversation
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.relay import Relay
from hil_adapters.wire.base import SerialTarget, Target, TcpTarget
from hil_adapters.wire.clients import AllowedClients, reset_connection
from hil_adapters.wire.framing import MIN_QUIET_S, silent_interval_s
from hil_adapters.wire.links import keep_alive, open_link
from hil_adapters.wire.serial_line import SerialChannel, open_serial
from hil_adapters.wire.station import Framing

__all__ = ["FaultProxy", "SerialFaultProxy"]

_log = logging.getLogger(__name__)

_CHUNK = 4096


class _TcpFront:
    """A client on TCP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(_CHUNK)

    async def send(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)
            await self._writer.drain()

    def cut(self, *, reset: bool) -> None:
        if reset:
            reset_connection(self._writer.transport)
        else:
            self._writer.close()


class FaultProxy:
    """A proxy that listens on TCP. Use as ``async with FaultProxy(target, plan) as proxy``; then ``proxy.port``."""

    def __init__(
        self,
        target: Target,
        plan: FaultPlan,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allow: Sequence[str] | None = None,
        timeout_s: float = 3.0,
    ) -> None:
        """Prepare a proxy.

        Args:
            target: The device.
            plan: Its faults, in the framing that is spoken in front.
            host: Address to listen on.
            port: 0: the system chooses.
            allow: Addresses or networks (192.168.1.0/24) whose clients may connect; None: this machine only.
            timeout_s: Longest wait for the device [s].

        Raises:
            ValueError: ``allow`` names no network.
        """
        self.port = port
        """Known after the start where it was 0."""
        self._target = target
        self._plan = plan
        self._host = host
        self._allowed = AllowedClients(allow)
        self._relay = Relay(plan, timeout_s=timeout_s)
        self._shared = None if isinstance(target, TcpTarget) else open_link(target)
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.stop()

    async def start(self) -> int:
        """Listen; return the port.

        Raises:
            LinkLostError: the address or the port cannot be used.
        """
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self.port)
        except OSError as error:
            raise LinkLostError(
                f"cannot listen on {self._host}:{self.port} ({error.strerror}); choose another port"
            ) from error
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
            for client in tuple(self._clients):
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None
        if self._shared is not None:
            await self._shared.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        refused = self._allowed.address(writer.transport) is None or self._plan.refuses_connection(
            len(self._clients)
        )
        if task is None or refused:
            writer.transport.abort()
            return
        self._clients[task] = writer
        keep_alive(writer.get_extra_info("socket"))
        link = open_link(self._target) if self._shared is None else self._shared
        conversation = FrontConversation(
            _TcpFront(reader, writer),
            self._relay,
            link,
            framing=self._plan.framing,
            quiet_s=MIN_QUIET_S,
        )
        try:
            await conversation.run()
        except asyncio.CancelledError:
            # the server of asyncio reports a cancelled client as an error; this one was asked to stop
            _log.info("a client of the proxy is cut because the proxy ends")
        finally:
            writer.transport.abort()
            if self._shared is None:
                await link.close()
            del self._clients[task]


class _SerialFront(asyncio.Protocol):
    """A client on a serial line."""

    def __init__(self, line: SerialTarget) -> None:
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._gap_s = silent_interval_s(line.baudrate)
        self._channel: SerialChannel = open_serial(line, self)

    def data_received(self, data: bytes) -> None:
        self._arrived.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            _log.warning("the line in front of the proxy is lost: %s", exc)
        self._arrived.put_nowait(b"")

    async def read(self) -> bytes:
        return await self._arrived.get()

    async def send(self, data: bytes) -> None:
        await asyncio.sleep(self._gap_s)
        self._channel.write(data)

    def cut(self, *, reset: bool) -> None:
        """Do nothing: a line has no connection."""

    def close(self) -> None:
        self._channel.close()


class SerialFaultProxy:
    """A proxy whose client speaks RTU on a serial line (or a pseudo terminal)."""

    def __init__(
        self, target: Target, plan: FaultPlan, *, line: SerialTarget, timeout_s: float = 3.0
    ) -> None:
        self._line = line
        self._link = open_link(target)
        self._relay = Relay(plan, timeout_s=timeout_s)
        self._front: _SerialFront | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the line in front.

        Raises:
            LinkLostError: it is not there or is in use.
        """
        try:
            front = _SerialFront(self._line)
        except OSError as error:
            raise LinkLostError(
                f"cannot open {self._line}: {error}; check the path and who else uses it"
            ) from error
        gap_s = silent_interval_s(self._line.baudrate)
        conversation = FrontConversation(
            front, self._relay, self._link, framing=Framing.RTU, quiet_s=max(MIN_QUIET_S, gap_s)
        )
        self._front = front
        self._task = asyncio.create_task(conversation.run())

    async def stop(self) -> None:
        """Close the line and the link to the device."""
        if self._front is not None and self._task is not None:
            self._front.close()
            await self._task
        await self._link.close()

    async def wait(self) -> None:
        """Return when the line in front is lost."""
        if self._task is not None:
            await self._task
