"""SunSpec devices for tests: registers on a real server, and pysunspec2 as the second opinion about them."""

import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sunspec2.device
import sunspec2.modbus.client

from hil_adapters.errors import LinkTimeoutError
from hil_adapters.maps.codec import decode, register_count
from hil_adapters.maps.schema import LinkDefaults, Point
from hil_adapters.sunspec.definitions import GroupDefinition, model_definition
from hil_adapters.wire.answering import serve
from hil_adapters.wire.base import LinkStatistics, ModbusLink, Peer, Table, Target, TcpTarget
from hil_adapters.wire.codes import Refusal
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import check_answer
from hil_adapters.wire.server import ModbusServer

T = TypeVar("T")

__all__ = [
    "MODELS",
    "PlainBank",
    "WirelessLink",
    "decoded",
    "known_to_peer",
    "peer_models",
    "peer_points",
    "same",
    "served",
    "standard",
    "typical_counts",
]

MODELS = (
    *(1, 101, 102, 103, 111, 112, 113, 120, 121, 122, 123, 124, 160, 201, 202, 203, 204, 213),
    *(701, 702, 703, 704, 705, 706, 707, 708, 709, 710, 711, 712, 713, 714, 715, 802, 803),
)
"""The models that matter for inverters, batteries and meters."""

typical_counts: Mapping[str, int] = {"module": 3, "Crv": 2, "Pt": 3, "Ctl": 2, "Prt": 2, "string": 2}
"""Repetitions of every group of :data:`MODELS`."""


def standard(model: int) -> GroupDefinition:
    """Return the definition of a model that the standard has."""
    definition = model_definition(model)
    assert definition is not None
    return definition


@dataclass
class PlainBank:
    """Holding registers of one unit; what is not there is refused with exception 2."""

    registers: dict[int, int]
    unit: int = 1
    refusals: dict[int, list[int]] = field(default_factory=dict)
    """Exceptions still to be given, by address of the request."""

    def has_unit(self, unit: int) -> bool:
        return unit == self.unit

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        if self.refusals.get(address):
            raise Refusal(self.refusals[address].pop(0))
        asked = range(address, address + count)
        if table is not Table.HOLDING or any(here not in self.registers for here in asked):
            raise Refusal(2)
        return [self.registers[here] for here in asked]

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        self.registers.update(enumerate(values, start=address))


@dataclass
class WirelessLink:
    """A link without a wire: the bank answers at once, through the same checks of requests and answers."""

    bank: PlainBank
    silent_at: frozenset[int] = frozenset()
    """Addresses of requests that are never answered."""
    target: Target = field(default_factory=lambda: TcpTarget(host="127.0.0.1", port=1))
    is_open: bool = False
    statistics: LinkStatistics = field(default_factory=LinkStatistics)

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def request(self, unit: int, pdu: bytes, *, timeout_s: float) -> bytes:
        self.statistics.requests += 1
        if int.from_bytes(pdu[1:3], "big") in self.silent_at:
            self.is_open = False
            raise LinkTimeoutError(f"no answer within {timeout_s} s")
        answer = serve(self.bank, unit, pdu, Peer(address="127.0.0.1"))
        check_answer(pdu, answer)
        return answer


@asynccontextmanager
async def served(bank: PlainBank) -> AsyncIterator[tuple[ModbusLink, int]]:
    """Serve a bank; gives a link to it, and its port."""
    server = ModbusServer(bank)
    port = await server.start()
    link = open_link(TcpTarget(host="127.0.0.1", port=port))
    try:
        yield link, port
    finally:
        await link.close()
        await server.stop()


def decoded(points: Sequence[Point], registers: Mapping[int, int]) -> dict[str, float | str | None]:
    """Return the values of points from registers by address, each with its scale factor."""
    by_name = {point.name: point for point in points}

    def raw(point: Point) -> list[int]:
        return [registers[point.address + index] for index in range(register_count(point))]

    def exponent(point: Point) -> int | None:
        if point.scale_point is None:
            return None
        scale_point = by_name[point.scale_point]
        value = decode(scale_point, raw(scale_point), LinkDefaults(), scale_exponent=None)
        return None if value is None else int(value)

    return {
        point.name: decode(point, raw(point), LinkDefaults(), scale_exponent=exponent(point))
        for point in points
    }


def known_to_peer(model: int, counts: Mapping[str, int]) -> sunspec2.device.Model:
    """Return pysunspec2's own model, with so many repetitions."""
    data: dict[str, object] = {}
    definition = sunspec2.device.get_model_def(model)["group"]

    def fill(group: Mapping[str, Any], into: dict[str, object]) -> None:
        for child in group.get("groups", ()):
            if child.get("count") is None:
                inner: dict[str, object] = {}
                into[child["name"]] = inner
                fill(child, inner)
                continue
            if isinstance(child["count"], str):
                data[child["count"]] = counts[child["name"]]
            entries: list[dict[str, object]] = [{} for _ in range(counts[child["name"]])]
            for entry in entries:
                fill(child, entry)
            into[child["name"]] = entries

    fill(definition, data)
    return sunspec2.device.Model(model, data=data)


def peer_points(
    group: sunspec2.device.Group, prefix: str = ""
) -> Iterator[tuple[str, sunspec2.device.Point]]:
    """Yield pysunspec2's points under our local names."""
    for name, point in group.points.items():
        yield prefix + name, point
    for name, child in group.groups.items():
        if isinstance(child, list):
            for number, entry in enumerate(child, start=1):
                yield from peer_points(entry, f"{prefix}{number}.")
        else:
            yield from peer_points(child, f"{prefix}{name}.")


def peer_models(port: int, use: Callable[[Any], T], *, unit: int = 1) -> list[T]:
    """Scan a device with pysunspec2's client; return ``use`` of every model."""
    device = sunspec2.modbus.client.SunSpecModbusClientDeviceTCP(
        slave_id=unit, ipaddr="127.0.0.1", ipport=port, timeout=5
    )
    try:
        device.scan()
        return [use(model) for model in device.model_list]
    finally:
        device.close()


def same(ours: float | str | None, theirs: object) -> bool:
    """Return whether both mean the same value; pysunspec2 scales in floating point."""
    if isinstance(ours, float) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    return ours == theirs
