"""Serving emulated devices over Modbus TCP: one port for each, or several units behind one port."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from hil_adapters.errors import MapError
from hil_adapters.virtual.bank import UnitBank
from hil_adapters.wire.base import Bank, FaultLayer, FrameObserver
from hil_adapters.wire.server import Framing, ModbusServer

__all__ = ["Station", "served"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One port and who answers there."""

    banks: dict[int, Bank]
    """By unit."""
    host: str = "127.0.0.1"
    port: int = 0
    """0: any free one."""
    framing: Framing = Framing.TCP
    allow: tuple[str, ...] | None = None
    """Addresses or networks that may connect; None: this machine only."""
    max_clients: int | None = None
    faults: FaultLayer | None = None
    observer: FrameObserver | None = None


@asynccontextmanager
async def served(stations: Sequence[Station]) -> AsyncIterator[tuple[int, ...]]:
    """Serve all of them within the block; gives their ports in order.

    Raises:
        LinkLostError: an address or a port cannot be used.
        MapError: a station has no device.
    """
    async with AsyncExitStack() as stack:
        ports: list[int] = []
        for station in stations:
            server = _server(station)
            ports.append(await server.start())
            stack.push_async_callback(server.stop)
        yield tuple(ports)


def _server(station: Station) -> ModbusServer:
    if not station.banks:
        raise MapError(f"{station.host}:{station.port}: no device answers there; name at least one")
    banks = station.banks
    bank = next(iter(banks.values())) if len(banks) == 1 else UnitBank(banks)
    return ModbusServer(
        bank,
        host=station.host,
        port=station.port,
        framing=station.framing,
        allow=station.allow,
        max_clients=station.max_clients,
        faults=station.faults,
        observer=station.observer,
    )
