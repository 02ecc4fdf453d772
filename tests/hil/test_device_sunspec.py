"""Sessions with SunSpec devices: points found in the device, scaled writes, and layouts that change."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from device_bench import ManualTime, MemoryBank, Write, pool_on, served

from hil_adapters.device.events import EventKind, SessionState
from hil_adapters.device.session import DeviceSession
from hil_adapters.errors import IdentityError, MapError
from hil_adapters.maps.binding import command_writes
from hil_adapters.maps.loader import load_map
from hil_adapters.samples import Quality
from hil_adapters.sunspec.image import ModelSpec, build_image

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
