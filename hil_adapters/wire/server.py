"""Servers that answer from a bank: Modbus TCP, Modbus/TCP Security, RTU over TCP, RTU on a serial line.

Requests of a connection are answered in order however they are cut into packets. A client that does not read its answers
is not read from any more; others do not notice. Without ``allow`` only this machine may connect, whatever ``host`` says.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Final

from hil_adapters.errors import LinkLostError
from hil_adapters.wire.base import Bank, FaultLayer, FrameObserver, Parity, Peer, SerialTarget
from hil_adapters.wire.clients import AllowedClients
from hil_adapters.wire.conversation import Conversation
from hil_adapters.wire.framing import MIN_QUIET_S, silent_interval_s
from hil_adapters.wire.links import keep_alive
from hil_adapters.wire.serial_line import open_serial
from hil_adapters.wire.station import Admission, Framing, ServerStatistics, Station

if TYPE_CHECKING:
    # loading the certificate library takes longer than starting a server without TLS
    from hil_adapters.wire.tls import ServerSecurity

__all__ = ["Framing", "ModbusServer", "SerialServer", "ServerStatistics"]

_STOP_S: Final = 2.0
_ACCEPT_ROUNDS: Final = 4
"""Turns of the event loop after which a connection that the system has taken is one of ours, and can be ended."""


@dataclass
class ModbusServer:
    """A server on TCP. ``start`` and ``stop`` belong to one event loop."""

    bank: Bank
    _: KW_ONLY
    host: str = "127.0.0.1"
    port: int = 0
    """0: the system chooses; ``start`` returns it."""
    framing: Framing = Framing.TCP
    tls: "ServerSecurity | None" = None
    allow: Sequence[str] | None = None
    """Addresses or networks (192.168.1.0/24) whose clients may connect; None: this machine only."""
    max_clients: int | None = None
    faults: FaultLayer | None = None
    observer: FrameObserver | None = None
    station: Station = field(init=False, repr=False)
    _allowed: AllowedClients = field(init=False, repr=False)
    _clients: set[Conversation] = field(init=False, repr=False, default_factory=set)
    _server: asyncio.Server | None = field(init=False, repr=False, default=None)
    _all_gone: asyncio.Event = field(init=False, repr=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.station = Station(self.bank, self.framing, faults=self.faults, observer=self.observer)
        self._allowed = AllowedClients(self.allow)

    @property
    def statistics(self) -> ServerStatistics:
        """Counts since the server was made."""
        return self.station.statistics

    @property
    def n_clients(self) -> int:
        """Connections that stand."""
        return len(self._clients)

    async def start(self) -> int:
        """Listen; return the port.

        Raises:
            LinkLostError: the address or the port cannot be used.
        """
        loop = asyncio.get_running_loop()
        context = None if self.tls is None else self.tls.context
        try:
            self._server = await loop.create_server(self._conversation, self.host, self.port, ssl=context)
        except OSError as refused:
            raise LinkLostError(
                f"cannot listen on {self.host}:{self.port} ({refused.strerror}); "
                "choose another port, or 0 for any"
            ) from refused
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is None:
            return
        for _ in range(_ACCEPT_ROUNDS):
            await asyncio.sleep(0)
        self._server.close()
        self._server = None
        for client in tuple(self._clients):
            client.abort()
        if self._clients:
            self._all_gone.clear()
            async with asyncio.timeout(_STOP_S):
                await self._all_gone.wait()

    def _conversation(self) -> Conversation:
        conversation = Conversation(
            self.station,
            admit=lambda transport: self._admitted(transport, conversation),
            on_end=self._ended,
            answer_after_s=0.0,
            quiet_s=MIN_QUIET_S,
        )
        return conversation

    def _admitted(self, transport: asyncio.BaseTransport, conversation: Conversation) -> Admission | None:
        n_others = len(self._clients)
        self._clients.add(conversation)
        client = self._known(transport, n_others)
        if client is None:
            self.statistics.refused_connections += 1
        else:
            self.statistics.connections += 1
            keep_alive(transport.get_extra_info("socket"))
        return client

    def _known(self, transport: asyncio.BaseTransport, n_others: int) -> Admission | None:
        address = self._allowed.address(transport)
        if self._server is None or address is None:  # a client may come in while the server stops
            return None
        if self.max_clients is not None and n_others >= self.max_clients:
            return None
        if self.faults is not None and self.faults.refuses_connection(n_others):
            return None
        if self.tls is None:
            return Admission(peer=Peer(address=address))
        role = self.tls.role(transport.get_extra_info("ssl_object"))
        if role is None:
            return None
        return Admission(peer=Peer(address=address, role=role), functions=self.tls.roles[role])

    def _ended(self, conversation: Conversation) -> None:
        self._clients.discard(conversation)
        if not self._clients:
            self._all_gone.set()


@dataclass
class SerialServer:
    """A device (or several units) on a serial line. A fault that cuts has no effect: a line has no connection."""

    bank: Bank
    path: str
    _: KW_ONLY
    baudrate: int = 19200
    parity: Parity = Parity.EVEN
    stopbits: int = 1
    faults: FaultLayer | None = None
    observer: FrameObserver | None = None
    station: Station = field(init=False, repr=False)
    _conversation: Conversation | None = field(init=False, repr=False, default=None)
    _ended: asyncio.Event = field(init=False, repr=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.station = Station(self.bank, Framing.RTU, faults=self.faults, observer=self.observer)

    @property
    def statistics(self) -> ServerStatistics:
        """Counts since the server was made."""
        return self.station.statistics

    @property
    def has_ended(self) -> asyncio.Event:
        """Set when the line was lost or closed."""
        return self._ended

    async def start(self) -> None:
        """Open the line.

        Raises:
            LinkLostError: the line is not there or is in use.
        """
        gap_s = silent_interval_s(self.baudrate)
        conversation = Conversation(
            self.station,
            admit=lambda _transport: None,
            on_end=lambda _conversation: self._ended.set(),
            answer_after_s=gap_s,
            quiet_s=max(MIN_QUIET_S, gap_s),
        )
        line = SerialTarget(
            path=self.path, baudrate=self.baudrate, parity=self.parity, stopbits=self.stopbits
        )
        try:
            channel = open_serial(line, conversation)
        except OSError as refused:
            raise LinkLostError(
                f"cannot open {line}: {refused}; check the path and who else uses it"
            ) from refused
        self._ended.clear()
        conversation.attach(channel, Admission(peer=Peer(address=self.path)))
        self._conversation = conversation

    async def stop(self) -> None:
        """Close the line."""
        if self._conversation is None:
            return
        conversation, self._conversation = self._conversation, None
        if not self._ended.is_set():
            conversation.abort()
            await self._ended.wait()
