"""Sessions against a server: identity, reading, refusals, the one door for writes, shared links."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from device_bench import (
    ManualTime,
    MemoryBank,
    Write,
    a_map,
    a_point,
    a_text,
    pool_on,
    served,
    text_registers,
)

from hil_adapters.device.events import Cycle, EventKind, SessionState
from hil_adapters.device.session import DeviceSession, PlannedWrite
from hil_adapters.device.statistics import Cause
from hil_adapters.errors import (
    ExceptionReplyError,
    GuardError,
    IdentityError,
    LinkLostError,
    LinkTimeoutError,
    MapError,
    ProtocolViolationError,
)
from hil_adapters.maps.schema import Point, RegisterMap, SignalBinding, ValueType
from hil_adapters.samples import Quality, Sample
from hil_adapters.wire.base import FaultLayer, FrameObserver, RtuOverTcpTarget, Send
from hil_adapters.wire.server import ModbusServer
from hil_adapters.wire.station import Framing

POWER = a_point("p", 10, type=ValueType.INT16, unit="W", access="rw")
SIGNALS = {"p_kw": SignalBinding(point="p", sign="generation")}


def a_bank(serial: str = "A1") -> MemoryBank:
    return MemoryBank({1: {10: 500, 11: 7, 12: 9} | text_registers(100, serial, 4)})


def a_device_map(*more: Point, link: dict[str, object] | None = None) -> RegisterMap:
    return a_map(a_text("serial", 100, 4), POWER, *more, link=link, signals=SIGNALS)


def no_log(_planned: PlannedWrite) -> None:
    """Log nothing."""


def run_with(
    bank: MemoryBank,
    map_: RegisterMap,
    body: Callable[[DeviceSession], Awaitable[Any]],
    *,
    serial: str | None = None,
    time: ManualTime | None = None,
    faults: FaultLayer | None = None,
) -> Any:
    """Serve a bank and run ``body(session)``, connected."""

    async def run() -> Any:
        async with served(bank, faults=faults) as target:
            session = DeviceSession(map_, target, 1, serial=serial, pool=pool_on(time) if time else None)
            try:
                await session.connect()
                return await body(session)
            finally:
                await session.close()

    return asyncio.run(run())


# ---------------------------------------------------------------- identity


def test_a_session_knows_whom_it_met_and_gives_signals_consumption_positive() -> None:
    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")
        return session

    session = run_with(a_bank(), a_device_map(), body, serial="A1")
    assert session.identity.serial == "A1"
    assert len(session.identity.fingerprint) == 16
    assert session.texts == {"serial": "A1"}
    assert session.connection == 1
    assert session.values["p"].value == 500.0
    assert session.signals()["p_kw"].value == -0.5
    assert session.signals()["p_kw"].quality is Quality.GOOD


def test_another_serial_number_than_expected_is_refused_and_nothing_of_it_is_used() -> None:
    async def run() -> None:
        async with served(a_bank("B2")) as target:
            session = DeviceSession(a_device_map(), target, 1, serial="A1")
            with pytest.raises(IdentityError, match=r"serial number B2 answers.*and A1 is expected"):
                await session.connect()
            assert session.state is SessionState.FOREIGN
            with pytest.raises(LinkLostError, match="connect first"):
                await session.poll("fast")
            with pytest.raises(LinkLostError, match="connect first"):
                await session.write("p", 1.0, log=no_log)
            await session.close()

    asyncio.run(run())


def test_a_device_without_a_serial_number_is_refused_where_one_is_expected() -> None:
    async def run() -> None:
        async with served(a_bank()) as target:
            session = DeviceSession(a_map(POWER), target, 1, serial="A1")
            with pytest.raises(IdentityError, match="tells no serial number"):
                await session.connect()
            await session.close()

    asyncio.run(run())


def test_a_serial_number_that_is_a_number_is_compared_as_digits() -> None:
    bank = MemoryBank({1: {10: 0, 100: 0x0012, 101: 0xD687}})
    map_ = a_map(a_point("serial", 100, type=ValueType.UINT32, group="once"), POWER)

    async def body(session: DeviceSession) -> Any:
        return session.identity

    assert run_with(bank, map_, body, serial="1234567").serial == "1234567"


def test_a_part_of_the_identity_that_the_device_has_not_is_left_open() -> None:
    bank = MemoryBank({1: {10: 500} | text_registers(100, "A1", 4)})

    async def body(session: DeviceSession) -> Any:
        return session.identity

    identity = run_with(
        bank, a_map(a_text("serial", 100, 4), a_text("model", 200, 4), POWER), body, serial="A1"
    )
    assert (identity.serial, identity.model) == ("A1", None)


def test_another_device_behind_the_same_address_is_noticed_after_a_reconnect() -> None:
    bank, time = a_bank(), ManualTime()

    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")
        bank.units[1] |= text_registers(100, "B2", 4)
        await session.link.abort()
        assert session.state is SessionState.DISCONNECTED
        with pytest.raises(IdentityError, match="serial A1 -> B2"):
            await session.connect()
        assert session.signals()["p_kw"].quality is Quality.BAD
        bank.units[1] |= text_registers(100, "A1", 4)
        await session.connect()
        return [event.kind for event in session.take_events()], session.connection

    kinds, connection = run_with(bank, a_device_map(), body, time=time)
    assert kinds == [EventKind.CONNECTED, EventKind.DISCONNECTED, EventKind.FOREIGN, EventKind.CONNECTED]
    assert connection == 2


def test_another_firmware_changes_the_fingerprint_and_is_refused() -> None:
    bank = MemoryBank({1: {10: 0} | text_registers(100, "A1", 4) | text_registers(120, "1.0", 2)})
    map_ = a_map(a_text("serial", 100, 4), a_text("version", 120, 2), POWER)

    async def body(session: DeviceSession) -> None:
        bank.units[1] |= text_registers(120, "1.1", 2)
        await session.link.abort()
        with pytest.raises(IdentityError, match=r"version 1\.0 -> 1\.1; .*fingerprint"):
            await session.connect()

    assert run_with(bank, map_, body) is None


# ---------------------------------------------------------------- reading


def test_the_age_alone_makes_a_sample_stale() -> None:
    time = ManualTime()

    async def body(session: DeviceSession) -> Any:
        fresh: list[Sample] = []

        async def note(cycle: Cycle) -> None:
            fresh.append(session.signals()["p_kw"])
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await session.run(1.0, note)
        time.now_s += 3.0
        on_the_edge = session.signals()["p_kw"]
        time.now_s += 0.1
        return fresh[0], on_the_edge, session.signals()["p_kw"]

    fresh, on_the_edge, old = run_with(a_bank(), a_device_map(), body, time=time)
    assert fresh.quality is Quality.GOOD
    assert on_the_edge.quality is Quality.GOOD
    assert old.quality is Quality.STALE
    assert old.value == fresh.value == -0.5
    assert old.received_s == fresh.received_s


def test_samples_are_fresh_where_the_pauses_of_the_map_are_longer_than_the_poll_period() -> None:
    """Six fast values one by one with pauses of 0.5 s and one slow one take 3.5 s, or 18 periods of 0.2 s."""
    time = ManualTime()
    points = [a_point(f"x{at}", 20 + at) for at in range(6)]
    slow = [a_point(f"y{at}", 40 + at, group="slow") for at in range(10)]
    bank = MemoryBank({1: dict.fromkeys(range(60), 1)})
    map_ = a_map(*points, *slow, link={"max_registers": 1, "min_interval_s": 0.5})
    seen: list[set[Quality]] = []

    async def body(session: DeviceSession) -> Any:
        async def note(cycle: Cycle) -> None:
            seen.append({sample.quality for sample in session.values.values()})
            if len(seen) == 30:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await session.run(0.2, note)
        newest_s = max(sample.received_s for sample in session.values.values())
        oldest_s = min(session.values[point.name].received_s for point in points)
        time.now_s = oldest_s + 3 * 3.6
        on_the_edge = session.values["x0"].quality
        time.now_s = newest_s + 3 * 3.6 + 0.1
        return on_the_edge, [session.values[point.name].quality for point in points]

    on_the_edge, old = run_with(bank, map_, body, time=time)
    assert seen == [{Quality.GOOD}] * 30
    assert on_the_edge is Quality.GOOD
    assert old == [Quality.STALE] * 6, "a device that has gone is still noticed by its age"


def test_points_that_do_not_exist_are_found_reported_once_and_not_asked_for_again() -> None:
    points = [a_point(f"x{at}", at) for at in range(200, 208)]
    bank = a_bank()
    bank.units[1] |= {at: at for at in range(200, 208) if at != 205}

    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")
        bank.reads.clear()
        await session.poll("fast")
        return session.values, session.take_events(), session.reasons

    values, events, reasons = run_with(bank, a_device_map(*points), body)
    assert {name for name, sample in values.items() if sample.quality is Quality.BAD} == {"x205"}
    assert [values[f"x{at}"].value for at in range(200, 208) if at != 205] == [
        200,
        201,
        202,
        203,
        204,
        206,
        207,
    ]
    told = [event for event in events if event.kind is EventKind.POINT_REFUSED]
    assert len(told) == 1
    assert "x205" in told[0].text
    assert "illegal data address" in reasons["x205"].lower() or "address" in reasons["x205"]
    assert not any(start <= 205 < start + count for _, start, count in bank.reads)


def test_a_point_that_had_a_value_and_is_then_refused_makes_the_session_identify_again() -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")
        del bank.units[1][11]
        await session.poll("fast")
        state = session.state
        await session.connect()
        await session.poll("fast")
        return state, session.state, session.connection, session.values["p"].quality

    result = run_with(bank, a_device_map(a_point("x", 11)), body)
    assert result == (SessionState.DISCONNECTED, SessionState.IDENTIFIED, 2, Quality.GOOD)


@pytest.mark.parametrize("code", [4, 5, 0x77])
def test_a_failure_makes_values_uncertain_is_told_once_and_is_asked_again_after_a_while(code: int) -> None:
    bank, time = a_bank(), ManualTime()

    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")
        bank.refused_addresses[10] = code
        await session.poll("fast")
        doubted = session.values["p"]
        n_reads = len(bank.reads)
        await session.poll("fast")
        n_at_once = len(bank.reads) - n_reads
        time.now_s += 0.2
        await session.poll("fast")
        n_later = len(bank.reads) - n_reads
        bank.refused_addresses.clear()
        time.now_s += 5.0
        await session.poll("fast")
        kinds = [event.kind for event in session.take_events()]
        return doubted, n_at_once, n_later, kinds, session.values["p"].quality

    doubted, n_at_once, n_later, kinds, quality = run_with(bank, a_device_map(), body, time=time)
    assert (doubted.value, doubted.quality) == (500.0, Quality.UNCERTAIN)
    assert (n_at_once, n_later) == (0, 1)
    assert kinds == [EventKind.CONNECTED, EventKind.REFUSED_FOR_A_WHILE, EventKind.RECOVERED]
    assert quality is Quality.GOOD


def test_a_failure_while_missing_points_are_looked_for_puts_only_that_block_off() -> None:
    bank, time = a_bank(), ManualTime()
    bank.units[1] |= {50: 50, 51: 51, 80: 80}
    points = (a_point("x50", 50), a_point("x51", 51), a_point("x52", 52), a_point("x80", 80))

    async def body(session: DeviceSession) -> Any:
        bank.refused_addresses[50] = 2
        bank.refused_addresses[51] = 4
        await session.poll("fast")
        before = {name: sample.quality for name, sample in session.values.items()}
        bank.refused_addresses.clear()
        time.now_s += 1.0
        await session.poll("fast")
        return before, {name: sample.quality for name, sample in session.values.items()}

    before, after = run_with(bank, a_device_map(*points), body, time=time)
    assert before["x80"] is Quality.GOOD
    assert before["x50"] is Quality.BAD
    assert after["x51"] is Quality.GOOD
    assert after["x52"] is Quality.BAD


def test_a_busy_device_is_asked_again_inside_the_deadline() -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> Any:
        bank.refusals = [6, 6]
        await session.poll("fast")
        return session.values["p"].quality, session.statistics

    quality, statistics = run_with(bank, a_device_map(link={"timeout_s": 5.0}), body)
    assert quality is Quality.GOOD
    assert statistics.retries == 2
    assert statistics.exceptions == {6: 2}


def test_a_device_that_stays_busy_is_left_alone_after_three_repeats() -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> Any:
        bank.refused_addresses[10] = 6
        bank.reads.clear()
        await session.poll("fast")
        return len(bank.reads)

    assert run_with(bank, a_device_map(link={"timeout_s": 5.0}), body) == 4


@pytest.mark.parametrize("code", [10, 11])
def test_a_silent_device_behind_a_gateway_does_not_cost_the_others_their_connection(code: int) -> None:
    bank = MemoryBank({1: {10: 1}, 2: {10: 2}})
    time = ManualTime()

    async def run() -> None:
        async with served(bank) as target:
            pool = pool_on(time)
            one, two = (DeviceSession(a_map(POWER), target, unit, pool=pool) for unit in (1, 2))
            await one.connect()
            await two.connect()
            bank.refused_units[2] = code
            with pytest.raises(ExceptionReplyError):
                await two.poll("fast")
            time.now_s += 10.0
            await one.poll("fast")
            await two.give_up("no answer for 10 s")
            assert two.state is SessionState.DISCONNECTED
            assert one.state is SessionState.IDENTIFIED
            await one.poll("fast")
            assert one.link.statistics.connects == 1
            assert EventKind.GATEWAY in {event.kind for event in two.take_events()}
            assert two.statistics.causes[Cause.GATEWAY] == 1
            await one.close()
            assert two.link.is_open
            await two.close()
            assert not two.link.is_open

    asyncio.run(run())


def test_a_connection_on_which_nobody_answers_is_closed() -> None:
    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")
        deafness.is_on = True
        with pytest.raises(LinkTimeoutError):
            await session.poll("fast")
        await session.give_up("no answer for 3.0 s")
        return session.link.is_open, session.state, session.take_events()[-1]

    deafness = Deafness()
    map_ = a_device_map(link={"timeout_s": 0.05})
    is_open, state, event = run_with(a_bank(), map_, body, time=ManualTime(), faults=deafness)
    assert not is_open
    assert state is SessionState.DISCONNECTED
    assert event.kind is EventKind.DISCONNECTED
    assert "no answer for 3.0 s" in event.text


def test_a_restart_makes_the_session_identify_again_so_that_its_owner_arms_again() -> None:
    bank = a_bank()
    uptime = a_point("up", 11, role="uptime", unit="s")

    async def body(session: DeviceSession) -> Any:
        connections: list[tuple[int, list[EventKind]]] = []

        async def note(cycle: Cycle) -> None:
            connections.append((cycle.connection, [event.kind for event in cycle.events]))
            bank.units[1][11] = {1: 8, 2: 0}.get(len(connections), bank.units[1][11] + 1)
            if len(connections) == 5:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await session.run(1.0, note)
        return connections

    connections = run_with(bank, a_device_map(uptime), body, time=ManualTime())
    assert connections == [
        (1, [EventKind.CONNECTED]),
        (1, []),
        (1, [EventKind.REBOOT]),
        (2, [EventKind.CONNECTED]),
        (2, []),
    ]


def test_a_session_finds_a_device_that_comes_back_and_identifies_it() -> None:
    bank, time = a_bank(), ManualTime()

    async def run() -> Any:
        async with served(bank) as target:
            session = DeviceSession(a_device_map(), target, 1, serial="A1", pool=pool_on(time))
            cycles: list[Cycle] = []
            begun, went, back = asyncio.Event(), asyncio.Event(), asyncio.Event()

            async def note(cycle: Cycle) -> None:
                cycles.append(cycle)
                begun.set()
                if cycle.state is SessionState.DISCONNECTED:
                    went.set()
                if cycle.connection == 2:
                    back.set()

            task = asyncio.create_task(session.run(1.0, note))
            await begun.wait()
            port = target.port
        # the server is gone
        async with asyncio.timeout(10):
            await went.wait()
        async with served(bank, port=port), asyncio.timeout(10):
            await back.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await session.close()
        return cycles

    cycles = asyncio.run(run())
    assert cycles[0].answered
    assert cycles[-1].answered
    assert cycles[-1].state is SessionState.IDENTIFIED
    assert any(not cycle.answered for cycle in cycles)


def test_reading_on_demand_says_what_is_wrong() -> None:
    async def body(session: DeviceSession) -> Any:
        assert (await session.read(("x",)))["x"].value == 7.0
        with pytest.raises(MapError, match="no such point"):
            await session.read(("typo",))
        with pytest.raises(MapError, match=r"nan cannot be read back: not implemented"):
            await session.read_back("nan")
        with pytest.raises(ExceptionReplyError):
            await session.read_back("absent")
        return await session.read_back("p")

    map_ = a_device_map(
        a_point("x", 11), a_point("nan", 12, missing=(9,)), a_point("absent", 900, group="slow")
    )
    assert run_with(a_bank(), map_, body) == 500.0


def test_what_is_read_once_and_fails_for_a_while_is_asked_for_again_until_it_comes() -> None:
    bank, time = a_bank(), ManualTime()
    bank.refused_addresses[11] = 4
    rating = a_point("rating", 11, group="once", unit="W")

    async def body(session: DeviceSession) -> Any:
        assert "rating" not in session.values
        bank.refused_addresses.clear()
        time.now_s += 1.0
        await session.poll("once")
        n_reads = len(bank.reads)
        await session.poll("once")
        return session.values["rating"].value, len(bank.reads) - n_reads

    assert run_with(bank, a_device_map(rating), body, time=time) == (7.0, 0)


def test_a_value_beyond_what_can_be_true_is_bad_and_told_once() -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")
        bank.units[1][11] += 1
        await session.poll("fast")
        return session.values["x"], [
            event for event in session.take_events() if event.kind is EventKind.IMPOSSIBLE
        ]

    sample, events = run_with(bank, a_device_map(a_point("x", 11, high=5.0)), body)
    assert sample.quality is Quality.BAD
    assert math.isnan(sample.value)
    assert len(events) == 1


# ---------------------------------------------------------------- writing


def test_a_write_is_logged_before_it_is_sent_and_rounded_to_what_registers_hold() -> None:
    bank = a_bank()
    logged: list[tuple[PlannedWrite, int]] = []

    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")

        def log(planned: PlannedWrite) -> None:
            logged.append((planned, len(bank.writes)))

        planned = await session.write("p", -1234.4, log=log)
        return planned, await session.read_back("p")

    planned, back = run_with(bank, a_device_map(), body)
    assert logged == [(planned, 0)]
    assert (planned.value, planned.written, planned.old) == (-1234.4, -1234.0, 500.0)
    assert planned.registers == (0x10000 - 1234,)
    assert bank.writes == [Write(1, 10, (0x10000 - 1234,), single=True)]
    assert back == -1234.0


def test_a_log_that_fails_stops_the_write() -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> None:
        def full_disk(_planned: PlannedWrite) -> None:
            raise GuardError("the audit cannot be written")

        with pytest.raises(GuardError, match="audit"):
            await session.write("p", 1.0, log=full_disk)

    run_with(bank, a_device_map(), body)
    assert bank.writes == []


@pytest.mark.parametrize(
    ("quirks", "single"),
    [({}, True), ({"no_single_write": True}, False), ({"no_multiple_write": True}, True)],
)
def test_the_function_code_follows_the_quirks_of_the_map(quirks: dict[str, bool], *, single: bool) -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> None:
        await session.write("p", 3.0, log=no_log)

    run_with(bank, a_device_map(link={"quirks": quirks}), body)
    assert bank.writes == [Write(1, 10, (3,), single=single)]


def test_a_value_of_two_registers_goes_in_one_frame_or_not_at_all() -> None:
    point = a_point("e", 11, type=ValueType.UINT32, access="rw")
    bank = a_bank()

    async def body(session: DeviceSession) -> None:
        await session.write("e", 65536.0 + 2.0, log=no_log)

    run_with(bank, a_device_map(point), body)
    assert bank.writes == [Write(1, 11, (1, 2), single=False)]

    async def refused(session: DeviceSession) -> None:
        with pytest.raises(MapError, match="refuses to write several"):
            await session.write("e", 5.0, log=no_log)

    run_with(a_bank(), a_device_map(point, link={"quirks": {"no_multiple_write": True}}), refused)


def test_the_scale_factor_is_read_afresh_before_a_scaled_point_is_written() -> None:
    points = (
        a_point("lim", 11, type=ValueType.UINT16, scale_point="sf", access="rw", unit="%"),
        a_point("sf", 12, type=ValueType.INT16),
    )
    bank = a_bank()
    bank.units[1] |= {11: 100, 12: 0}

    async def body(session: DeviceSession) -> Any:
        await session.poll("fast")
        bank.units[1][12] = 0x10000 - 2
        return await session.write("lim", 41.5, log=no_log)

    planned = run_with(bank, a_device_map(*points), body)
    assert planned.registers == (4150,)
    assert bank.writes == [Write(1, 11, (4150,), single=True)]


@pytest.mark.parametrize(
    ("point", "value", "text"),
    [
        ("typo", 1.0, "no point typo"),
        ("x", 1.0, "read-only"),
        ("p", math.nan, "finite"),
        ("p", 40000.0, "holds -32768 to 32767"),
        ("bounded", 101.0, "would not be read as a value again"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_sent(
    point: str, value: float, text: str
) -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> None:
        with pytest.raises(MapError, match=text):
            await session.write(point, value, log=no_log)

    run_with(bank, a_device_map(a_point("x", 11), a_point("bounded", 12, access="rw", high=100.0)), body)
    assert bank.writes == []


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_a_refused_write_is_raised_and_not_repeated(code: int) -> None:
    bank = a_bank()
    logged: list[PlannedWrite] = []

    async def body(session: DeviceSession) -> Any:
        bank.refused_addresses[10] = code
        with pytest.raises(ExceptionReplyError) as caught:
            await session.write("p", 3.0, log=logged.append)
        return caught.value.code

    assert run_with(bank, a_device_map(), body) == code
    assert bank.writes == []
    assert len(logged) == 1


def test_a_busy_device_is_asked_to_write_again_and_every_frame_is_logged() -> None:
    bank = a_bank()
    logged: list[PlannedWrite] = []

    async def body(session: DeviceSession) -> None:
        bank.refusals = [6, 6]
        await session.write("p", 3.0, log=logged.append)

    run_with(bank, a_device_map(link={"timeout_s": 5.0}), body)
    assert len(logged) == 3
    assert bank.writes == [Write(1, 10, (3,), single=True)]


def test_nothing_is_written_on_a_connection_whose_device_was_not_identified() -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> None:
        await session.link.abort()
        await session.link.open()
        with pytest.raises(LinkLostError, match="connect first"):
            await session.write("p", 3.0, log=no_log)

    run_with(bank, a_device_map(), body)
    assert bank.writes == []


def test_a_write_that_waits_for_its_turn_is_permitted_and_logged_when_the_turn_has_come() -> None:
    bank = a_bank()
    order: list[str] = []

    async def body(session: DeviceSession) -> Any:
        bank.on_read = lambda _unit, _address: order.append("read")
        reading = asyncio.create_task(session.poll("fast"))
        await asyncio.sleep(0)
        writing = asyncio.create_task(session.write("p", 3.0, log=lambda _planned: order.append("log")))
        await asyncio.gather(reading, writing)

    run_with(bank, a_device_map(), body)
    assert order == ["read", "log"]


def test_a_connection_that_is_replaced_while_a_write_waits_for_its_turn_gets_no_write() -> None:
    bank = a_bank()
    logged: list[PlannedWrite] = []

    async def body(session: DeviceSession) -> Any:
        # the turn goes round: a read under way, then a fresh connection, then the write
        reading = asyncio.create_task(session.poll("fast"))
        await asyncio.sleep(0)
        aborting = asyncio.create_task(session.link.abort())
        opening = asyncio.create_task(session.link.open())
        await asyncio.sleep(0)
        assert session.state is SessionState.IDENTIFIED
        with pytest.raises(LinkLostError, match="connect first"):
            await session.write("p", 3.0, log=logged.append)
        await asyncio.gather(reading, aborting, opening)
        assert session.link.is_open

    run_with(bank, a_device_map(), body)
    assert (logged, bank.writes) == ([], [])


def test_a_connection_that_is_replaced_while_a_busy_device_is_waited_for_gets_no_write() -> None:
    bank, time = a_bank(), ManualTime()
    logged: list[PlannedWrite] = []

    async def body(session: DeviceSession) -> None:
        async def replaced(wait_s: float) -> None:
            await session.link.abort()
            await session.link.open()

        session._exchange._sleep = replaced
        bank.refusals = [6]
        with pytest.raises(LinkLostError):
            await session.write("p", 3.0, log=logged.append)

    run_with(bank, a_device_map(link={"timeout_s": 5.0}), body, time=time)
    assert bank.writes == []
    assert len(logged) == 1


# ---------------------------------------------------------------- sharing


def _keep_in(frames: list[bytes]) -> FrameObserver:
    return lambda _way, frame, _at_ns: frames.append(frame)


def test_two_units_of_one_gateway_share_its_connection_and_each_sees_its_own_frames() -> None:
    bank = MemoryBank({1: {10: 1}, 2: {10: 2}})
    frames: dict[int, list[bytes]] = {1: [], 2: []}

    async def run() -> Any:
        async with served(bank) as target:
            pool = pool_on(ManualTime())
            sessions = [
                DeviceSession(
                    a_map(POWER),
                    target,
                    unit,
                    pool=pool,
                    observer=_keep_in(frames[unit]),
                )
                for unit in (1, 2)
            ]
            await asyncio.gather(*(session.connect() for session in sessions))
            await asyncio.gather(*(session.poll("fast") for session in sessions for _ in range(20)))
            values = [session.values["p"].value for session in sessions]
            connects = {session.link.statistics.connects for session in sessions}
            for session in sessions:
                await session.close()
            return values, connects

    values, connects = asyncio.run(run())
    assert values == [1.0, 2.0]
    assert connects == {1}
    for unit, seen in frames.items():
        assert len(seen) == 40
        assert {frame[6] for frame in seen} == {unit}


def test_a_pause_between_requests_is_kept() -> None:
    bank, time = a_bank(), ManualTime()

    async def body(session: DeviceSession) -> Any:
        begin_s = time()
        for _ in range(5):
            await session.poll("fast")
        return time() - begin_s

    took_s = run_with(bank, a_device_map(link={"min_interval_s": 0.5}), body, time=time)
    assert took_s == pytest.approx(2.5)


class Deafness:
    """A fault layer that loses every request while it is on."""

    is_on = False

    def refuses_connection(self, clients: int) -> bool:
        return False

    def request(self, frame: bytes) -> bytes | None:
        return None if self.is_on else frame

    def answer(self, request: bytes, answer: bytes) -> tuple[Send, ...]:
        return (Send(frame=answer),)


def test_a_device_that_does_not_answer_is_a_timeout_and_ends_the_poll() -> None:
    deafness = Deafness()

    async def run() -> None:
        async with served(a_bank(), faults=deafness) as target:
            map_ = a_device_map(a_point("far", 5000), link={"timeout_s": 0.05})
            session = DeviceSession(map_, target, 1)
            await session.connect()
            n_before = session.statistics.requests
            deafness.is_on = True
            with pytest.raises(LinkTimeoutError):
                await session.poll("fast")
            assert session.statistics.requests == n_before + 1
            assert session.statistics.causes[Cause.TIMEOUT] == 1
            assert session.is_silent
            assert session.state is SessionState.IDENTIFIED
            deafness.is_on = False
            await session.poll("fast")
            assert not session.is_silent
            await session.close()

    asyncio.run(run())


def test_a_connection_that_leads_nowhere_is_closed_while_the_device_is_identified() -> None:
    deafness = Deafness()
    deafness.is_on = True

    async def run() -> None:
        async with served(a_bank(), faults=deafness) as target:
            session = DeviceSession(a_device_map(link={"timeout_s": 0.05}), target, 1)
            with pytest.raises(LinkTimeoutError):
                await session.connect()
            assert not session.link.is_open
            deafness.is_on = False
            await session.connect()
            assert session.link.statistics.connects == 2
            await session.close()

    asyncio.run(run())


class Noise(Deafness):
    """A fault layer that spoils the checksum of the next answers."""

    def __init__(self, n_spoilt: int) -> None:
        self.n_spoilt = n_spoilt

    def answer(self, request: bytes, answer: bytes) -> tuple[Send, ...]:
        if self.n_spoilt == 0:
            return (Send(frame=answer),)
        self.n_spoilt -= 1
        return (Send(frame=answer[:-1] + bytes((answer[-1] ^ 0xFF,))),)


def run_on_a_noisy_line(noise: Noise, body: Callable[[DeviceSession], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        bank = MemoryBank({1: {10: 500}})
        server = ModbusServer(bank, framing=Framing.RTU, faults=noise)
        target = RtuOverTcpTarget(host="127.0.0.1", port=await server.start(), turnaround_s=0.02)
        session = DeviceSession(a_map(POWER, link={"timeout_s": 0.5}), target, 1)
        try:
            await session.connect()
            return await body(session), bank
        finally:
            await session.close()
            await server.stop()

    return asyncio.run(run())


def test_a_read_whose_answer_the_line_garbled_is_repeated_once() -> None:
    noise = Noise(0)

    async def body(session: DeviceSession) -> Any:
        noise.n_spoilt = 1
        await session.poll("fast")
        value = session.values["p"].value
        noise.n_spoilt = 2
        with pytest.raises(ProtocolViolationError):
            await session.poll("fast")
        return value, session.statistics

    (value, statistics), _bank = run_on_a_noisy_line(noise, body)
    assert value == 500.0
    assert statistics.causes == {Cause.GOOD: 1, Cause.VIOLATION: 3}
    assert statistics.retries == 2


def test_a_write_whose_answer_the_line_garbled_is_not_repeated() -> None:
    noise = Noise(0)
    logged: list[PlannedWrite] = []

    async def body(session: DeviceSession) -> Any:
        noise.n_spoilt = 1
        with pytest.raises(ProtocolViolationError):
            await session.write("p", 3.0, log=logged.append)

    _nothing, bank = run_on_a_noisy_line(noise, body)
    assert len(logged) == 1
    # it did arrive: only reading back can tell
    assert bank.writes == [Write(1, 10, (3,), single=True)]


def test_a_device_that_falls_silent_is_given_up_and_found_again_when_it_speaks() -> None:
    deafness = Deafness()
    cycles: list[Cycle] = []
    heard, deaf, again = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def note(cycle: Cycle) -> None:
        cycles.append(cycle)
        if cycle.answered:
            (heard if cycle.connection == 1 else again).set()
        elif cycle.state is SessionState.DISCONNECTED:
            deaf.set()

    async def run() -> list[EventKind]:
        async with served(a_bank(), faults=deafness) as target, asyncio.timeout(20):
            session = DeviceSession(a_device_map(link={"timeout_s": 0.1}), target, 1, serial="A1")
            task = asyncio.create_task(session.run(0.05, note))
            await heard.wait()
            deafness.is_on = True
            await deaf.wait()
            assert session.signals()["p_kw"].quality is Quality.STALE
            with pytest.raises(LinkLostError):
                await session.write("p", 1.0, log=no_log)
            deafness.is_on = False
            await again.wait()
            assert session.signals()["p_kw"].quality is Quality.GOOD
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await session.close()
            assert session.statistics.aborts >= 1
        return [event.kind for cycle in cycles for event in cycle.events]

    kinds = asyncio.run(run())
    assert kinds[:3] == [EventKind.CONNECTED, EventKind.DISCONNECTED, EventKind.CONNECTED]
    assert [cycle.number for cycle in cycles] == sorted({cycle.number for cycle in cycles})


def test_a_device_that_does_not_know_a_function_code_says_where_to_declare_it() -> None:
    bank = a_bank()

    async def body(session: DeviceSession) -> Any:
        bank.refused_addresses[10] = 1
        with pytest.raises(ExceptionReplyError, match="no_single_write"):
            await session.write("p", 3.0, log=no_log)

    run_with(bank, a_device_map(), body)


def test_a_poll_that_is_cancelled_leaves_the_link_in_order_for_the_others() -> None:
    bank = MemoryBank({1: {10: 1}, 2: {10: 2}})

    async def run() -> list[float]:
        async with served(bank) as target:
            pool = pool_on(ManualTime())
            one, two = (DeviceSession(a_map(POWER), target, unit, pool=pool) for unit in (1, 2))
            await one.connect()
            await two.connect()
            values: list[float] = []
            for _ in range(20):
                cancelled = asyncio.create_task(one.poll("fast"))
                await asyncio.sleep(0)
                cancelled.cancel()
                await two.poll("fast")
                values.append(two.values["p"].value)
                with pytest.raises(asyncio.CancelledError):
                    await cancelled
            assert two.link.statistics.connects == 1
            await one.poll("fast")
            values.append(one.values["p"].value)
            await one.close()
            await two.close()
            return values

    assert asyncio.run(run()) == [2.0] * 20 + [1.0]
