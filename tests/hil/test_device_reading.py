"""Blocks that a device refuses: whatever is missing, the rest is read, and what is missing is left alone."""

import asyncio

from device_bench import ManualTime, a_map, a_point
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.device.clocks import Clocks
from hil_adapters.device.events import EventKind
from hil_adapters.device.exchange import Exchange
from hil_adapters.device.pool import LinkPool
from hil_adapters.device.reading import GroupReader
from hil_adapters.device.readings import Readings
from hil_adapters.maps.schema import LinkDefaults, RegisterMap, ValueType
from hil_adapters.samples import Quality
from hil_adapters.wire.answering import serve
from hil_adapters.wire.base import FrameObserver, LinkStatistics, ModbusLink, Peer, Table, Target, TcpTarget
from hil_adapters.wire.codes import Refusal
from hil_adapters.wire.pdu import check_answer

N_POINTS = 12
SCALE_ADDRESS = 30


class Holes:
    """A bank of registers 0 to 39 of which some do not exist; a value equals its address."""

    def __init__(self, absent: set[int]) -> None:
        self.absent = absent
        self.touched: list[int] = []

    def has_unit(self, unit: int) -> bool:
        return True

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        wanted = range(address, address + count)
        if self.absent.intersection(wanted):
            self.touched.append(address)
            raise Refusal(2)
        return [0 if at == SCALE_ADDRESS else at for at in wanted]

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        raise Refusal(2)


class Wire:
    """A link that leads straight into a bank."""

    def __init__(self, target: Target, bank: Holes) -> None:
        self.target = target
        self.bank = bank
        self.is_open = True
        self.statistics = LinkStatistics()

    async def open(self) -> None:
        self.statistics.connects += 1

    async def request(self, unit: int, pdu: bytes, *, timeout_s: float) -> bytes:
        answer = serve(self.bank, unit, pdu, Peer(address="test"))
        check_answer(pdu, answer)
        return answer

    async def close(self) -> None:
        self.is_open = False


def a_reader(
    map_: RegisterMap, bank: Holes, told: list[tuple[EventKind, str]]
) -> tuple[GroupReader, Readings]:
    def make(target: Target, *, zero_transaction: bool, observer: FrameObserver | None) -> ModbusLink:
        return Wire(target, bank)

    time = ManualTime()
    clocks: Clocks = time.clocks()
    link = LinkPool(make, clocks=clocks).link_to(TcpTarget(host="nowhere"))
    readings = Readings(map_)
    exchange = Exchange(link, 1, defaults=LinkDefaults(), clocks=clocks)
    return GroupReader(readings, exchange, lambda kind, text: told.append((kind, text)), clock=time), readings


@settings(deadline=None, max_examples=150)
@given(
    absent=st.sets(st.integers(0, SCALE_ADDRESS)),
    scaled=st.sets(st.integers(0, N_POINTS - 1)),
    gap=st.sampled_from([0, 1, 8, 40]),
    longest=st.sampled_from([2, 5, 125]),
)
def test_exactly_what_is_missing_is_bad_and_it_is_never_asked_for_again(
    absent: set[int], scaled: set[int], gap: int, longest: int
) -> None:
    spacing = 2
    points = [
        a_point(
            f"x{number}", spacing * number, scale_point="sf" if number in scaled and longest == 125 else None
        )
        for number in range(N_POINTS)
    ]
    map_ = a_map(
        *points,
        a_point("sf", SCALE_ADDRESS, type=ValueType.INT16),
        link={"max_gap": gap, "max_registers": longest},
    )
    bank = Holes(absent)
    told: list[tuple[EventKind, str]] = []
    reader, readings = a_reader(map_, bank, told)
    n_blocks = len(readings.blocks("fast"))

    asyncio.run(reader.poll("fast"))
    bank.touched.clear()
    asyncio.run(reader.poll("fast"))

    assert bank.touched == []
    for point in map_.points:
        needs = {point.address} | ({SCALE_ADDRESS} if point.scale_point else set())
        sample = readings.last(point.name)
        if needs & absent:
            assert sample.quality is Quality.BAD, point.name
        elif point.scale_point is None:
            # a scaled point may be out of reach where registers between it and its scale factor are missing
            assert sample.quality is Quality.GOOD, point.name
            assert sample.value == (0 if point.name == "sf" else point.address)
    refused = [text.split(":")[0] for kind, text in told if kind is EventKind.POINT_REFUSED]
    assert len(refused) == len(set(refused)) <= n_blocks, "one event for all that a block lacks"
