"""Ramps, heartbeat and reduction at high frequency of emulated devices."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_rigs import EMS, Clock, sunspec_device

from hil_adapters.errors import MapError
from hil_adapters.virtual.device import VirtualDevice
from hil_adapters.virtual.frequency import FrequencyReduction
from hil_adapters.virtual.protection import ProtectionSettings
from hil_adapters.virtual.ramps import Ramps
from hil_adapters.virtual.state import Operation
from hil_adapters.wire.base import Table
from hil_adapters.wire.codes import Refusal

SUN = {"p_available_kw": -10.0}
ADDRESS, VALUE = 2, 3


def put(device: VirtualDevice, point: str, value: float) -> None:
    """Write a point of one register as a client does."""
    cell = device.store.cells[point]
    scale = None if cell.point.scale_point is None else device.store.number(cell.point.scale_point)
    raw = round(value * 10.0 ** (0.0 if scale is None else -scale))
    device.bank.write(1, Table.HOLDING, cell.addresses.start, [raw & 0xFFFF], peer=EMS, single=True)


def powers(device: VirtualDevice, n_ticks: int, dt_s: float = 1.0) -> list[float]:
    found = []
    for _ in range(n_ticks):
        device.step(dt_s)
        found.append(device.state.p_kw)
    return found


# ---------------------------------------------------------------- ramps


def test_a_limit_moves_in_its_ramp_time_and_the_next_one_from_where_it_is() -> None:
    device = sunspec_device("pv", Clock(), world=SUN)
    put(device, "123.WMaxLimPct_RmpTms", 4)
    put(device, "123.WMaxLimPct", 20)
    put(device, "123.WMaxLim_Ena", 1)
    assert powers(device, 5) == pytest.approx([-8.0, -6.0, -4.0, -2.0, -2.0])
    put(device, "123.WMaxLimPct", 60)
    assert powers(device, 2) == pytest.approx([-3.0, -4.0])
    put(device, "123.WMaxLimPct", 0)
    assert powers(device, 5) == pytest.approx([-3.0, -2.0, -1.0, 0.0, 0.0])


def test_without_a_ramp_time_and_at_its_end_a_limit_acts_at_once() -> None:
    device = sunspec_device("pv", Clock(), world=SUN)
    put(device, "123.WMaxLimPct", 20)
    put(device, "123.WMaxLim_Ena", 1)
    assert powers(device, 1) == pytest.approx([-2.0])
    put(device, "123.WMaxLimPct_RmpTms", 100)
    put(device, "123.WMaxLim_Ena", 0)
    assert powers(device, 1) == [-10.0]
    put(device, "123.WMaxLim_Ena", 1)
    assert powers(device, 1) == pytest.approx([-9.92]), "in force again it begins at full power"


def test_a_battery_moves_from_its_power_to_its_set_point_in_the_ramp_time() -> None:
    device = sunspec_device("battery", Clock())
    put(device, "124.InOutWRte_RmpTms", 4)
    for point, value in (("OutWRte", -40), ("InWRte", 40), ("StorCtl_Mod", 3)):
        put(device, f"124.{point}", value)
    assert powers(device, 5) == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    for point, value in (("OutWRte", 80), ("InWRte", -80)):
        put(device, f"124.{point}", value)
    assert powers(device, 5) == pytest.approx([0.5, -1.0, -2.5, -4.0, -4.0])


@given(
    aims=st.lists(st.tuples(st.floats(-10, 10), st.floats(0, 30), st.integers(1, 40)), min_size=1, max_size=6)
)
@settings(deadline=None, max_examples=200)
def test_a_ramp_never_overshoots_and_arrives_in_its_time(aims: list[tuple[float, float, int]]) -> None:
    ramps, dt_s, before = Ramps(), 1.0, 0.0
    for aim, ramp_s, n_ticks in aims:
        for tick in range(1, n_ticks + 1):
            ramps.begin(dt_s)
            value = ramps.move("x", aim, start=0.0, ramp_s=ramp_s)
            assert min(before, aim) - 1e-9 <= value <= max(before, aim) + 1e-9
            before = value
            if tick * dt_s >= 30.0:
                assert value == pytest.approx(aim)


@pytest.mark.parametrize(
    ("kind", "point", "value", "code"),
    [
        ("pv", "123.WMaxLimPct_WinTms", 5, ADDRESS),
        ("pv", "123.OutPFSet", 95, ADDRESS),
        ("pv", "123.OutPFSet_Ena", 1, ADDRESS),
        ("pv", "123.VArMaxPct", 30, ADDRESS),
        ("pv", "123.VArPct_Ena", 1, ADDRESS),
        ("battery", "124.InOutWRte_WinTms", 5, ADDRESS),
        ("battery", "124.WChaGra", 10, VALUE),
    ],
)
def test_what_is_not_emulated_is_refused_and_not_silently_without_effect(
    kind: str, point: str, value: float, code: int
) -> None:
    device = sunspec_device(kind, Clock())
    with pytest.raises(Refusal) as refused:
        put(device, point, value)
    assert refused.value.code == code


# ---------------------------------------------------------------- heartbeat


def charging(clock: Clock, **setup: float | None) -> VirtualDevice:
    device = sunspec_device("battery", clock, **setup)
    for point, value in (("OutWRte", -40), ("InWRte", 40), ("StorCtl_Mod", 3)):
        put(device, f"124.{point}", value)
    return device


def test_a_battery_stops_where_the_heartbeat_of_its_controller_stands_still_and_goes_on_with_it() -> None:
    clock = Clock()
    device = charging(clock, heartbeat_s=5.0)
    for beat in range(1, 5):
        put(device, "802.CtrlHb", beat)
        clock.now_s += 4.0
        assert powers(device, 1) == pytest.approx([2.0])
        assert (device.store.number("802.State"), device.store.number("802.Evt1")) == (3, 0)
    put(device, "802.CtrlHb", 4)  # written, and not changed
    clock.now_s += 5.0
    assert powers(device, 1) == [0.0]
    assert (device.store.number("802.State"), device.store.number("802.Evt1")) == (4, 1)
    put(device, "802.CtrlHb", 5)
    assert powers(device, 1) == pytest.approx([2.0])
    assert (device.store.number("802.State"), device.store.number("802.Evt1")) == (3, 0)


@pytest.mark.parametrize("heartbeat_s", [None, 5.0], ids=["not watched", "never begun"])
def test_a_battery_that_never_saw_a_heartbeat_does_not_miss_it(heartbeat_s: float | None) -> None:
    clock = Clock()
    device = charging(clock, heartbeat_s=heartbeat_s)
    clock.now_s += 1000.0
    assert powers(device, 2) == pytest.approx([2.0, 2.0])


def test_a_heartbeat_cannot_be_watched_without_its_register() -> None:
    with pytest.raises(MapError, match=r"no 802\.CtrlHb to watch"):
        sunspec_device("pv", Clock(), heartbeat_s=5.0)


# ---------------------------------------------------------------- high frequency


def reduced(**changes: float) -> FrequencyReduction:
    return FrequencyReduction(ProtectionSettings.model_validate(changes), p_rated_kw=10.0)


@pytest.mark.parametrize(
    ("frequency_hz", "changes", "limit_kw"),
    [
        (50.2, {}, math.inf),
        (50.85, {}, 4.0),  # half of 1.3 Hz beyond the start
        (51.5, {}, 0.0),
        (52.0, {}, 0.0),
        (50.8, {"reduction_start_hz": 50.3, "reduction_droop": 0.05}, 6.4),  # a fifth of 2.5 Hz
        (50.8, {"reduction_droop": 0.024}, 4.0),  # half of 1.2 Hz
    ],
)
def test_feed_in_falls_by_the_droop_from_what_it_was_at_the_start(
    frequency_hz: float, changes: dict[str, float], limit_kw: float
) -> None:
    reduction = reduced(**changes)
    reduction.step(50.0, 9.0, dt_s=0.1)
    reduction.step(frequency_hz, 8.0, dt_s=0.1)
    reduction.step(frequency_hz, 1.0, dt_s=0.1)
    assert reduction.limit_kw == pytest.approx(limit_kw)


def test_feed_in_stays_low_until_the_frequency_has_been_good_for_the_wait_and_comes_back_on_the_ramp() -> (
    None
):
    reduction = reduced()
    reduction.step(50.85, 8.0, dt_s=1.0)
    for frequency_hz in (50.6, 50.3, 50.15, 50.05):
        reduction.step(frequency_hz, 4.0, dt_s=1.0)
    for _ in range(298):
        reduction.step(50.0, 4.0, dt_s=1.0)
    assert reduction.limit_kw == pytest.approx(4.0), "299 s"
    reduction.step(50.15, 4.0, dt_s=1.0)  # out of the window: the wait begins again
    for _ in range(300):
        reduction.step(50.0, 4.0, dt_s=1.0)
    assert reduction.limit_kw == pytest.approx(4.0)
    for _ in range(60):
        reduction.step(50.0, 4.0, dt_s=1.0)
    assert reduction.limit_kw == pytest.approx(6.0), "20 % of 10 kW in a minute"
    reduction.step(50.85, 6.0, dt_s=1.0)
    assert reduction.limit_kw == pytest.approx(3.0), "of what it fed in by then"
    for _ in range(300 + 211):
        reduction.step(50.0, 3.0, dt_s=1.0)
    assert reduction.limit_kw == math.inf


def test_an_inverter_feeds_less_at_high_frequency_and_shows_it() -> None:
    fast = ProtectionSettings(start_wait_s=0.0, ramp_share_min=60.0)
    device = sunspec_device("pv", Clock(), world=SUN, protection=fast)
    assert powers(device, 3)[-1] == pytest.approx(-10.0)
    device.tell({"frequency_hz": 50.85})
    assert powers(device, 2)[-1] == pytest.approx(-5.0)
    assert device.state.operation is Operation.THROTTLED
    assert device.store.number("103.W") == pytest.approx(5000.0)
    device.tell({"frequency_hz": 51.4})
    assert powers(device, 1)[-1] == pytest.approx(-10.0 * 0.1 / 1.3, abs=1e-6)
    device.tell({"frequency_hz": 50.0})
    assert powers(device, 100)[-1] == pytest.approx(-10.0 * 0.1 / 1.3, abs=1e-6)


def test_an_inverter_without_protection_feeds_the_same_at_every_frequency() -> None:
    device = sunspec_device("pv", Clock(), world=SUN)
    device.tell({"frequency_hz": 51.4})
    assert powers(device, 2)[-1] == -10.0


def test_a_trip_ends_the_reduction_because_connecting_has_its_own_ramp() -> None:
    quick = ProtectionSettings(start_wait_s=0.0, trip_wait_s=1.0, ramp_share_min=60.0)
    device = sunspec_device("pv", Clock(), world=SUN, protection=quick)
    powers(device, 3)
    device.tell({"frequency_hz": 51.0})
    powers(device, 1)
    device.tell({"frequency_hz": 51.6})
    assert powers(device, 3)[-1] == 0.0
    assert device.state.operation is Operation.TRIPPED
    device.tell({"frequency_hz": 50.0})
    assert powers(device, 4)[-1] == pytest.approx(-10.0)
