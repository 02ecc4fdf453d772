"""What tests of sessions share: a bank in memory, maps made of a few points, and a clock that only sleeping moves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from hil_adapters.device.clocks import Clocks
from hil_adapters.device.pool import LinkPool
from hil_adapters.maps.schema import (
    LinkDefaults,
    Point,
    Quirks,
    RegisterMap,
    Source,
    ValueType,
)
from hil_adapters.wire.base import FaultLayer, Peer, Table, TcpTarget
from hil_adapters.wire.codes import Refusal
from hil_adapters.wire.links import open_link
from hil_adapters.wire.server import ModbusServer

__all__ = [
    "AUTHOR",
    "ManualTime",
    "MemoryBank",
    "Write",
    "a_map",
    "a_point",
    "a_text",
    "pool_on",
    "served",
    "text_registers",
]

AUTHOR = Source(document="made up for a test", pages="-")


@dataclass(frozen=True, slots=True)
class Write:
    """One write as it reached a bank."""

    unit: int
    address: int
    values: tuple[int, ...]
    single: bool


@dataclass(slots=True)
class MemoryBank:
    """Registers by unit and address (all tables alike), with refusals; absent addresses get exception 2."""

    units: dict[int, dict[int, int]]
    refusals: list[int] = field(default_factory=list)
    """Codes that the next requests get, one each."""
    refused_units: dict[int, int] = field(default_factory=dict)
    """Codes that every request of a unit gets."""
    refused_addresses: dict[int, int] = field(default_factory=dict)
    """Codes that every request gets that touches an address."""
    reads: list[tuple[int, int, int]] = field(default_factory=list)
    """Unit, address, count."""
    writes: list[Write] = field(default_factory=list)
    on_read: Callable[[int, int], None] | None = None

    def has_unit(self, unit: int) -> bool:
        return unit in self.units

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        self.reads.append((unit, address, count))
        if self.on_read is not None:
            self.on_read(unit, address)
        self._refuse(unit, range(address, address + count))
        return [self.units[unit][at] for at in range(address, address + count)]

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        self._refuse(unit, range(address, address + len(values)))
        self.writes.append(Write(unit, address, tuple(values), single))
        for at, value in enumerate(values, start=address):
            self.units[unit][at] = value

    def _refuse(self, unit: int, addresses: Iterable[int]) -> None:
        if self.refusals:
            raise Refusal(self.refusals.pop(0))
        if unit in self.refused_units:
            raise Refusal(self.refused_units[unit])
        for at in addresses:
            if at in self.refused_addresses:
                raise Refusal(self.refused_addresses[at])
            if at not in self.units[unit]:
                raise Refusal(2)


class ManualTime:
    """A clock that stands still until somebody sleeps on it."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def clocks(self, wall: Callable[[], float] | None = None) -> Clocks:
        """Return clocks of which the monotonic one is this, and the wall clock runs with it unless given."""
        return Clocks(monotonic=self, sleep=self.sleep, wall=self if wall is None else wall)

    async def sleep(self, wait_s: float) -> None:
        self.now_s += max(0.0, wait_s)
        await asyncio.sleep(0)


def pool_on(time: ManualTime) -> LinkPool:
    """Return a pool whose sessions live on ``time``."""
    return LinkPool(open_link, clocks=time.clocks())


def a_point(name: str, address: int, **more: object) -> Point:
    """Return a readable holding register of the fast group."""
    return Point.model_validate(
        {"name": name, "address": address, "type": ValueType.UINT16, "group": "fast"} | more
    )


def a_text(name: str, address: int, length: int) -> Point:
    """Return a text that is read once."""
    return a_point(name, address, type=ValueType.STRING, length=length, group="once")


def a_map(*points: Point, link: dict[str, object] | None = None, **more: object) -> RegisterMap:
    """Return a map with these points; ``serial`` stands for the point of the serial number where there is one."""
    names = {point.name for point in points}
    fields = {
        "name": "test",
        "title": "Test device",
        "kind": "meter",
        "source": AUTHOR,
        "points": points,
        "link": LinkDefaults.model_validate(
            {"timeout_s": 0.25, "quirks": Quirks()} | ({} if link is None else link)
        ),
        "identity": {part: part for part in ("manufacturer", "model", "version", "serial") if part in names},
    }
    return RegisterMap.model_validate(fields | more)


def text_registers(address: int, text: str, length: int) -> dict[int, int]:
    """Return the registers of a text."""
    data = text.encode().ljust(2 * length, b"\0")
    return {address + at: int.from_bytes(data[2 * at : 2 * at + 2], "big") for at in range(length)}


@asynccontextmanager
async def served(
    bank: MemoryBank, *, port: int = 0, faults: FaultLayer | None = None
) -> AsyncIterator[TcpTarget]:
    """Serve a bank on this machine."""
    server = ModbusServer(bank, port=port, faults=faults)
    try:
        yield TcpTarget(host="127.0.0.1", port=await server.start())
    finally:
        await server.stop()
