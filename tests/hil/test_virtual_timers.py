"""What lets go of a command that nobody refreshes."""

import pytest
from virtual_rigs import EMS, Clock, charger_map, sunspec_device, vendor_device

from hil_adapters.maps.schema import RegisterMap
from hil_adapters.virtual.device import VirtualDevice
from hil_adapters.virtual.timers import TrafficMode
from hil_adapters.wire.base import Table


def write(device: VirtualDevice, point: str, value: float) -> None:
    """Write a point as a client does."""
    store = device.store
    cell = store.cells[point]
    kept = {address: store.tables[cell.point.table][address] for address in cell.addresses}
    store.set(point, value)
    registers = [store.tables[cell.point.table][address] for address in cell.addresses]
    store.tables[cell.point.table].update(kept)
    device.bank.write(
        device.bank.unit,
        cell.point.table,
        cell.addresses.start,
        registers,
        peer=EMS,
        single=len(registers) == 1,
    )


def at(device: VirtualDevice, clock: Clock, seconds: float) -> None:
    clock.now_s = 1000.0 + seconds
    device.step(0.1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pv(clock: Clock) -> VirtualDevice:
    return sunspec_device("pv", clock, world={"p_available_kw": -8.0})


def limited(device: VirtualDevice, *, timer_s: float, percent: float = 20.0) -> None:
    write(device, "123.WMaxLimPct_RvrtTms", timer_s)
    write(device, "123.WMaxLimPct", percent)
    write(device, "123.WMaxLim_Ena", 1)


def test_a_limit_falls_back_to_full_power_and_disabled_after_its_time(
    pv: VirtualDevice, clock: Clock
) -> None:
    limited(pv, timer_s=4)
    at(pv, clock, 3.9)
    assert (pv.store.number("123.WMaxLimPct"), pv.store.number("123.WMaxLim_Ena")) == (20.0, 1.0)
    assert pv.state.p_kw == -2.0
    at(pv, clock, 4.0)
    assert (pv.store.number("123.WMaxLimPct"), pv.store.number("123.WMaxLim_Ena")) == (100.0, 0.0)
    assert pv.state.p_kw == -8.0


def test_the_time_itself_stays_on_the_device(pv: VirtualDevice, clock: Clock) -> None:
    limited(pv, timer_s=4)
    at(pv, clock, 10.0)
    assert pv.store.number("123.WMaxLimPct_RvrtTms") == 4.0
    # a client that does not know of it finds its own limit released after the left-over time
    write(pv, "123.WMaxLimPct", 50)
    write(pv, "123.WMaxLim_Ena", 1)
    at(pv, clock, 13.9)
    assert pv.store.number("123.WMaxLim_Ena") == 1.0
    at(pv, clock, 14.0)
    assert pv.store.number("123.WMaxLim_Ena") == 0.0


def test_a_time_of_zero_means_never(pv: VirtualDevice, clock: Clock) -> None:
    limited(pv, timer_s=0)
    at(pv, clock, 1e6)
    assert pv.store.number("123.WMaxLim_Ena") == 1.0
    assert pv.state.p_kw == -2.0


@pytest.mark.parametrize("point", ["123.WMaxLimPct", "123.WMaxLim_Ena", "123.WMaxLimPct_RvrtTms"])
def test_writing_any_of_the_points_again_even_the_same_value_starts_the_time_again(
    pv: VirtualDevice, clock: Clock, point: str
) -> None:
    limited(pv, timer_s=4)
    for seconds in (3.0, 6.0, 9.0):
        clock.now_s = 1000.0 + seconds
        write(pv, point, {"123.WMaxLimPct": 20.0, "123.WMaxLim_Ena": 1, "123.WMaxLimPct_RvrtTms": 4}[point])
        at(pv, clock, seconds)
    at(pv, clock, 12.9)
    assert pv.store.number("123.WMaxLim_Ena") == 1.0
    at(pv, clock, 13.0)
    assert pv.store.number("123.WMaxLim_Ena") == 0.0


def test_other_writes_and_reads_do_not_refresh_it(pv: VirtualDevice, clock: Clock) -> None:
    limited(pv, timer_s=4)
    clock.now_s += 3.0
    write(pv, "123.Conn", 1)
    pv.bank.read(1, Table.HOLDING, 40000, 10)
    at(pv, clock, 4.0)
    assert pv.store.number("123.WMaxLim_Ena") == 0.0


def test_a_disconnection_comes_back_after_its_own_time(pv: VirtualDevice, clock: Clock) -> None:
    write(pv, "123.Conn_RvrtTms", 10)
    write(pv, "123.Conn", 0)
    at(pv, clock, 9.0)
    assert (pv.state.p_kw, pv.store.number("103.W"), pv.store.number("103.St")) == (0.0, 0.0, 1.0)
    at(pv, clock, 10.0)
    assert pv.state.p_kw == -8.0


def test_storage_rates_fall_back_to_the_battery_s_own_control(clock: Clock) -> None:
    battery = sunspec_device("battery", clock)
    for point, value in (("InOutWRte_RvrtTms", 5), ("InWRte", 40), ("OutWRte", -40), ("StorCtl_Mod", 3)):
        write(battery, f"124.{point}", value)
    at(battery, clock, 4.9)
    assert battery.state.p_kw == pytest.approx(2.0)
    at(battery, clock, 5.0)
    assert battery.state.p_kw == 0.0
    assert [battery.store.number(f"124.{name}") for name in ("InWRte", "OutWRte", "StorCtl_Mod")] == [
        100,
        100,
        0,
    ]


@pytest.fixture
def der(clock: Clock) -> VirtualDevice:
    return sunspec_device("pv", clock, models=(1, 701, 702, 704), world={"p_available_kw": -8.0})


def test_model_704_goes_to_its_own_reversion_value_and_enable_and_shows_the_time_left(
    der: VirtualDevice, clock: Clock
) -> None:
    for point, value in (
        ("WMaxLimPctRvrtTms", 6),
        ("WMaxLimPctRvrt", 60),
        ("WMaxLimPctEnaRvrt", 1),
        ("WMaxLimPct", 10),
        ("WMaxLimPctEna", 1),
    ):
        write(der, f"704.{point}", value)
    at(der, clock, 2.0)
    assert der.state.p_kw == -1.0
    assert der.store.number("704.WMaxLimPctRvrtRem") == 4.0
    at(der, clock, 6.0)
    assert der.state.p_kw == -6.0
    assert (der.store.number("704.WMaxLimPct"), der.store.number("704.WMaxLimPctEna")) == (60.0, 1.0)
    at(der, clock, 100.0)
    assert der.state.p_kw == -6.0


def test_model_704_counts_only_while_the_function_is_enabled(der: VirtualDevice, clock: Clock) -> None:
    write(der, "704.WMaxLimPctRvrtTms", 6)
    write(der, "704.WMaxLimPct", 10)
    at(der, clock, 50.0)
    assert der.store.number("704.WMaxLimPct") == 10.0
    write(der, "704.WMaxLimPctEna", 1)
    at(der, clock, 55.0)
    assert der.state.p_kw == -1.0
    at(der, clock, 56.0)
    assert der.state.p_kw == -8.0


def test_a_timer_of_a_maker_counts_in_its_own_unit(clock: Clock) -> None:
    device = vendor_device(charger_map(), {"p_rated_kw": 10.0}, clock)
    write(device, "failsafe_min", 2)
    write(device, "limit", 30)
    write(device, "enable", 1)
    at(device, clock, 119.0)
    assert device.store.number("enable") == 1.0
    at(device, clock, 120.0)
    assert device.store.number("enable") == 0.0


def with_watchdog(kind: str, point: str | None) -> RegisterMap:
    data = charger_map().model_dump(by_alias=True)
    watchdog = {"kind": kind, "point": point, "timeout_s": 10.0, "falls_back_to": "full power"}
    for rules in data["writes"].values():
        rules["watchdog"] = watchdog
    data["commands"]["p_limit_kw"]["writes"] = data["commands"]["p_limit_kw"]["writes"][1:]
    return RegisterMap.model_validate(data)


def test_a_heartbeat_holds_the_command_and_its_silence_releases_it(clock: Clock) -> None:
    device = vendor_device(with_watchdog("heartbeat", "failsafe_min"), {"p_rated_kw": 10.0}, clock)
    write(device, "limit", 30)
    write(device, "enable", 1)
    for seconds in (8.0, 16.0, 24.0):
        clock.now_s = 1000.0 + seconds
        write(device, "failsafe_min", 1)
        at(device, clock, seconds)
    at(device, clock, 33.9)
    assert device.store.number("enable") == 1.0
    at(device, clock, 34.0)
    assert device.store.number("enable") == 0.0


@pytest.mark.parametrize(
    ("mode", "reads_hold"),
    [(TrafficMode.TELEGRAM, True), (TrafficMode.WRITE, False), (TrafficMode.DISABLED, True)],
)
def test_a_traffic_watchdog_counts_what_its_mode_says(
    clock: Clock, mode: TrafficMode, *, reads_hold: bool
) -> None:
    device = vendor_device(with_watchdog("traffic", None), {"p_rated_kw": 10.0}, clock, traffic=mode)
    write(device, "limit", 30)
    write(device, "enable", 1)
    for seconds in (8.0, 16.0):
        clock.now_s = 1000.0 + seconds
        device.bank.read(7, Table.HOLDING, 20, 1)
        at(device, clock, seconds)
    assert bool(device.store.number("enable")) is reads_hold


@pytest.mark.parametrize(
    ("mode", "is_released"), [(TrafficMode.TELEGRAM, True), (TrafficMode.DISABLED, False)]
)
def test_without_any_traffic_the_command_is_released_unless_the_watchdog_is_off(
    clock: Clock, mode: TrafficMode, *, is_released: bool
) -> None:
    device = vendor_device(with_watchdog("traffic", None), {"p_rated_kw": 10.0}, clock, traffic=mode)
    write(device, "limit", 30)
    write(device, "enable", 1)
    at(device, clock, 10.0)
    assert bool(device.store.number("enable")) is not is_released
