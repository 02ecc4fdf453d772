"""Sessions with SunSpec devices: points found in the device, scaled writes, and layouts that change."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from device_bench import ManualTime, MemoryBank, Write, pool_on, served

from hil_adapters.device.events import EventKind, SessionState
from hil_adapters.device.pool import LinkPool
from hil_adapters.device.session import DeviceSession
from hil_adapters.errors import (
    IdentityError,
    LinkLostError,
    LinkTimeoutError,
    MapError,
    ProtocolViolationError,
)
from hil_adapters.maps.binding import command_writes
from hil_adapters.maps.loader import load_map
from hil_adapters.samples import Quality
from hil_adapters.sunspec.image import ModelSpec, build_image
from hil_adapters.wire.base import FaultAction, FrameObserver, LinkStatistics, ModbusLink, Send, Target
from hil_adapters.wire.links import open_link

COMMON = ModelSpec(model=1, values={"Mn": "gemello", "Md": "pv-5", "Vr": "1.0", "SN": "SN-7"})
INVERTER = ModelSpec(
    model=103,
    values={"W": 4200, "VAr": -300, "PhVphA": 231.5, "Hz": 50.02, "WH": 123456},
    scale_factors={"W_SF": 0},
)
RATINGS = ModelSpec(model=120, values={"WRtg": 5000})
CONTROLS = ModelSpec(
    model=123,
    values={"WMaxLimPct": 100, "WMaxLim_Ena": 0, "WMaxLimPct_RvrtTms": 0},
    scale_factors={"WMaxLimPct_SF": -2},
)
Body = Callable[[DeviceSession, MemoryBank], Awaitable[Any]]


def pv_bank(*models: ModelSpec) -> MemoryBank:
    return MemoryBank({1: dict(build_image(models).registers)})


@dataclass
class AtAddress:
    """Calls ``then`` at the first ``times`` answers to a read of ``address``; without an address it does nothing."""

    then: Callable[[bytes], Sequence[FaultAction]]
    address: int | None = None
    times: int = 1

    def refuses_connection(self, clients: int) -> bool:
        return False

    def request(self, frame: bytes) -> bytes | None:
        return frame

    def answer(self, request: bytes, answer: bytes) -> Sequence[FaultAction]:
        if self.address is None or int.from_bytes(request[8:10], "big") != self.address:
            return [Send(frame=answer)]
        self.times -= 1
        if self.times == 0:
            self.address = None
        return self.then(answer)


def run_with_pv(body: Body, *, serial: str | None = "SN-7", time: ManualTime | None = None) -> Any:
    async def run() -> Any:
        bank = pv_bank(COMMON, INVERTER, RATINGS, CONTROLS)
        async with served(bank) as target:
            pool = pool_on(time) if time else None
            session = DeviceSession(load_map("sunspec_pv"), target, 1, serial=serial, pool=pool)
            try:
                return await body(session, bank)
            finally:
                await session.close()

    return asyncio.run(run())


def test_before_the_first_connection_every_signal_is_bad() -> None:
    async def body(session: DeviceSession, _bank: MemoryBank) -> Any:
        return session.signals()

    signals = run_with_pv(body)
    assert set(signals) == set(load_map("sunspec_pv").signals)
    assert {sample.quality for sample in signals.values()} == {Quality.BAD}


def test_points_are_found_and_signals_come_out_consumption_positive() -> None:
    async def body(session: DeviceSession, _bank: MemoryBank) -> Any:
        await session.connect()
        await session.poll("fast")
        return session

    session = run_with_pv(body)
    assert session.identity.manufacturer == "gemello"
    assert session.identity.serial == "SN-7"
    signals = session.signals()
    assert signals["p_kw"].value == pytest.approx(-4.2)
    assert signals["p_kw"].quality is Quality.GOOD
    assert signals["vm_v"].value == pytest.approx(231.5)
    assert signals["e_export_kwh"].value == pytest.approx(123.456)
    # the device has no model 702: nothing is said about what it lacks
    assert "i_l1_a" not in signals or signals["i_l1_a"].quality is Quality.BAD


def test_a_command_is_written_in_order_with_the_scale_factors_of_the_device() -> None:
    async def body(session: DeviceSession, bank: MemoryBank) -> Any:
        await session.connect()
        await session.poll("fast")
        await session.poll("slow")
        for write in command_writes(session.map, "p_limit_kw", 2.0, session.values):
            await session.write(write.point, write.value, log=lambda _planned: None)
        return {point.name: point.address for point in session.map.points}, bank.writes

    addresses, writes = run_with_pv(body)
    assert writes == [
        Write(1, addresses["123.WMaxLimPct_RvrtTms"], (30,), single=True),
        Write(1, addresses["123.WMaxLimPct"], (4000,), single=True),
        Write(1, addresses["123.WMaxLim_Ena"], (1,), single=True),
    ]


def test_a_scale_factor_that_changes_without_its_value_makes_the_power_uncertain_once() -> None:
    async def body(session: DeviceSession, bank: MemoryBank) -> Any:
        await session.connect()
        await session.poll("fast")
        scale = next(point.address for point in session.map.points if point.name == "103.W_SF")
        bank.units[1][scale] = 1
        seen = []
        for _ in range(2):
            await session.poll("fast")
            seen.append(session.signals()["p_kw"])
        return seen, [event.kind for event in session.take_events()]

    (first, second), kinds = run_with_pv(body)
    assert (first.value, first.quality) == (pytest.approx(-42.0), Quality.UNCERTAIN)
    assert (second.value, second.quality) == (pytest.approx(-42.0), Quality.GOOD)
    assert kinds == [EventKind.CONNECTED, EventKind.SCALE_CHANGED]


def test_every_cause_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    async def body(session: DeviceSession, bank: MemoryBank) -> Any:
        await session.connect()
        address = {point.name: point.address for point in session.map.points}
        scales = [address["103.V_SF"], address["103.W_SF"]]
        whole = [bank.units[1][at] for at in scales]
        bank.units[1][address["103.PhVphB"]] = bank.units[1][address["103.PhVphC"]] = 2310
        session.take_events()

        async def told() -> list[tuple[EventKind, str]]:
            for group in ("fast", "slow", "fast", "slow"):
                await session.poll(group)
            return [(event.kind, event.text) for event in session.take_events()]

        quiet = await told()
        for at in scales:
            bank.units[1][at] = 0x8000
        begun = await told()
        bad = [name for name, reason in session.reasons.items() if "scale factor 103." in reason]
        for at, value in zip(scales, whole, strict=True):
            bank.units[1][at] = value
        return quiet, begun, bad, await told()

    quiet, begun, bad, over = run_with_pv(body)
    assert quiet == []
    assert len(bad) >= 4
    assert sorted(begun) == [
        (
            EventKind.IMPOSSIBLE,
            "103.PhVphA, 103.PhVphB, 103.PhVphC: its scale factor 103.V_SF is not implemented or was not read",
        ),
        (EventKind.IMPOSSIBLE, "103.W: its scale factor 103.W_SF is not implemented or was not read"),
    ]
    assert sorted(over) == [
        (EventKind.RECOVERED, "scale factor 103.V_SF can be used again"),
        (EventKind.RECOVERED, "scale factor 103.W_SF can be used again"),
    ]


def test_a_scale_factor_that_changes_is_one_event_for_all_its_points() -> None:
    async def body(session: DeviceSession, bank: MemoryBank) -> Any:
        await session.connect()
        address = {point.name: point.address for point in session.map.points}
        bank.units[1][address["103.PhVphB"]] = bank.units[1][address["103.PhVphC"]] = 2310
        await session.poll("fast")
        session.take_events()
        bank.units[1][address["103.V_SF"]] = 2
        await session.poll("fast")
        return [event.text for event in session.take_events()]

    texts = run_with_pv(body)
    assert len(texts) == 1
    assert texts[0].startswith("103.PhVphA: scale factor changed from")
    assert texts[0].endswith("; so are 103.PhVphB, 103.PhVphC")


@pytest.mark.parametrize(
    "exponent", [12, -11, 0x8000 - 0x10000], ids=["too large", "too small", "not implemented"]
)
def test_a_scale_factor_that_cannot_be_true_makes_the_power_bad(exponent: int) -> None:
    async def body(session: DeviceSession, bank: MemoryBank) -> Any:
        await session.connect()
        scale = next(point.address for point in session.map.points if point.name == "103.W_SF")
        bank.units[1][scale] = exponent & 0xFFFF
        await session.poll("fast")
        return session.signals()["p_kw"].quality, session.reasons["103.W"]

    quality, reason = run_with_pv(body)
    assert quality is Quality.BAD
    assert "scale factor 103.W_SF" in reason


def test_registers_that_move_after_an_update_are_noticed_at_the_next_connection() -> None:
    moved = pv_bank(COMMON, INVERTER, ModelSpec(model=121, values={"WMax": 5000}), RATINGS, CONTROLS)

    async def body(session: DeviceSession, bank: MemoryBank) -> Any:
        await session.connect()
        await session.poll("fast")
        bank.units[1] = moved.units[1]
        await session.link.abort()
        with pytest.raises(IdentityError, match="fingerprint"):
            await session.connect()
        return session.state, session.signals()["p_kw"].quality, bank.writes

    assert run_with_pv(body) == (SessionState.FOREIGN, Quality.BAD, [])


@pytest.mark.parametrize("address", [40000, 40002, 40070, 40122])
def test_a_silence_while_the_models_are_found_again_does_not_make_it_another_device(address: int) -> None:
    silence = AtAddress(then=lambda _answer: [])
    map_ = load_map("sunspec_pv")
    patient = map_.model_copy(update={"link": map_.link.model_copy(update={"timeout_s": 0.2})})

    async def run() -> Any:
        bank = pv_bank(COMMON, INVERTER, RATINGS, CONTROLS)
        async with served(bank, faults=silence) as target:
            session = DeviceSession(patient, target, 1, serial="SN-7")
            await session.connect()
            await session.link.abort()
            # once before the device has answered anything at all, then as often as a request is tried
            silence.address, silence.times = address, 4 if address == 40000 else 3
            with pytest.raises(LinkTimeoutError):
                await session.connect()
            state = session.state
            await session.connect()
            await session.close()
            return state, session.connection, [event.kind for event in session.take_events()]

    state, connection, kinds = asyncio.run(run())
    assert state is SessionState.DISCONNECTED
    assert connection == 2
    assert EventKind.FOREIGN not in kinds


@pytest.mark.parametrize("address", [40000, 40002, 40070, 40122])
def test_two_lost_answers_do_not_begin_the_search_for_models_anew(address: int) -> None:
    silence = AtAddress(then=lambda _answer: [], address=address, times=2)
    map_ = load_map("sunspec_pv")
    patient = map_.model_copy(update={"link": map_.link.model_copy(update={"timeout_s": 0.2})})

    async def run() -> tuple[SessionState, int, int]:
        async with served(pv_bank(COMMON, INVERTER, RATINGS, CONTROLS), faults=silence) as target:
            session = DeviceSession(patient, target, 1, serial="SN-7")
            await session.connect()
            state, connections = session.state, session.link.connection
            await session.close()
            return state, connections, silence.times

    assert asyncio.run(run()) == (SessionState.IDENTIFIED, 1, 0)


@pytest.mark.parametrize(("times", "answers"), [(2, True), (3, False)])
def test_garbled_answers_are_met_with_two_more_connections(times: int, *, answers: bool) -> None:
    garbage = AtAddress(then=lambda _answer: [Send(frame=b"HTTP/1.1 400")], address=40070, times=times)

    async def run() -> tuple[SessionState, int]:
        async with served(pv_bank(COMMON, INVERTER, RATINGS, CONTROLS), faults=garbage) as target:
            session = DeviceSession(load_map("sunspec_pv"), target, 1, serial="SN-7")
            if answers:
                await session.connect()
            else:
                with pytest.raises(ProtocolViolationError, match="does not speak Modbus; check the port"):
                    await session.connect()
            state, connections = session.state, session.link.connection
            await session.close()
            return state, connections

    state = SessionState.IDENTIFIED if answers else SessionState.DISCONNECTED
    assert asyncio.run(run()) == (state, 3)


class FragileLink:
    """A link that is lost right after the answer to a read of ``lost_at``."""

    def __init__(self, inner: ModbusLink) -> None:
        self._inner = inner
        self.lost_at: int | None = None

    @property
    def target(self) -> Target:
        return self._inner.target

    @property
    def is_open(self) -> bool:
        return self._inner.is_open

    @property
    def statistics(self) -> LinkStatistics:
        return self._inner.statistics

    async def open(self) -> None:
        await self._inner.open()

    async def request(self, unit: int, pdu: bytes, *, timeout_s: float) -> bytes:
        answer = await self._inner.request(unit, pdu, timeout_s=timeout_s)
        if int.from_bytes(pdu[1:3], "big") == self.lost_at:
            self.lost_at = None
            await self._inner.close()
        return answer

    async def close(self) -> None:
        await self._inner.close()


def test_a_connection_lost_while_the_models_are_read_does_not_make_it_another_device() -> None:
    """The device restarts meanwhile: on another connection its second half would be read as it is not."""
    links: list[FragileLink] = []

    def make(target: Target, *, zero_transaction: bool, observer: FrameObserver | None) -> ModbusLink:
        links.append(FragileLink(open_link(target, zero_transaction=zero_transaction, observer=observer)))
        return links[0]

    async def run() -> Any:
        bank = pv_bank(COMMON, INVERTER, RATINGS, CONTROLS)
        whole = bank.units[1]

        def restarting(_unit: int, address: int) -> None:
            if address == 40070:
                bank.units[1] = {at: value if at < 40072 else 0 for at, value in whole.items()}

        async with served(bank) as target:
            session = DeviceSession(load_map("sunspec_pv"), target, 1, serial="SN-7", pool=LinkPool(make))
            await session.connect()
            await session.link.abort()
            bank.on_read, links[0].lost_at = restarting, 40070
            with pytest.raises(LinkLostError):
                await session.connect()
            state = session.state
            bank.on_read, bank.units[1] = None, whole
            await session.connect()
            await session.close()
        return state, session.connection, [event.kind for event in session.take_events()]

    state, connection, kinds = asyncio.run(run())
    assert state is SessionState.DISCONNECTED
    assert connection == 2
    assert EventKind.FOREIGN not in kinds


def test_registers_that_move_without_a_loss_of_the_connection_are_noticed_within_five_minutes() -> None:
    moved = pv_bank(COMMON, INVERTER, ModelSpec(model=121, values={"WMax": 5000}), RATINGS, CONTROLS)
    time = ManualTime()

    async def body(session: DeviceSession, bank: MemoryBank) -> Any:
        begin_s = time()

        async def note(cycle: object) -> None:
            if time() - begin_s > 10.0:
                bank.units[1] = moved.units[1]
            if session.state is SessionState.FOREIGN:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(20):
                await session.run(10.0, note)
        return time() - begin_s, session.signals()["p_kw"].quality

    after_s, quality = run_with_pv(body, time=time)
    assert after_s <= 320.0
    assert quality is Quality.BAD


def test_a_device_that_speaks_no_sunspec_does_not_fit_the_map() -> None:
    async def run() -> None:
        async with served(MemoryBank({1: dict.fromkeys(range(100), 0)})) as target:
            session = DeviceSession(load_map("sunspec_pv"), target, 1)
            with pytest.raises(MapError, match="SunS"):
                await session.connect()
            assert session.state is SessionState.FOREIGN
            assert session.take_events()[0].kind is EventKind.FOREIGN
            await session.close()

    asyncio.run(run())
