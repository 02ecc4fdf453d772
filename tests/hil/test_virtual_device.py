"""Registers, physics, timers and protection of one emulated device together."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_rigs import BATTERY, EMS, PV, Clock, Obedient, charger_map, seen, sunspec_device, vendor_device

from hil_adapters.errors import MapError
from hil_adapters.maps.binding import command_writes, release_writes, set_point_of, signals_of
from hil_adapters.maps.loader import load_map, map_names
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.samples import NOTHING, Quality, Sample
from hil_adapters.sunspec.image import ChainEnd, ImageQuirks, ScaleChange
from hil_adapters.virtual.device import DeviceSetup, VirtualDevice
from hil_adapters.virtual.protection import ProtectionSettings
from hil_adapters.virtual.state import START_KWH
from hil_adapters.wire.base import Table


def samples(device: VirtualDevice) -> dict[str, Sample]:
    """Return what a client would know of every point."""
    found = {}
    for name in device.store.cells:
        value = device.store.number(name)
        found[name] = NOTHING if value is None else Sample(value=value, quality=Quality.GOOD, received_s=0.0)
    return found


def signals(device: VirtualDevice) -> dict[str, float]:
    """Return what a client reads, in the twin's units and signs."""
    return {name: sample.value for name, sample in signals_of(device.store.map, samples(device)).items()}


def put(device: VirtualDevice, point: str, value: float) -> None:
    """Write a point as a client does."""
    store = device.store
    cell = store.cells[point]
    kept = {address: store.tables[cell.point.table][address] for address in cell.addresses}
    store.set(point, value)
    registers = [store.tables[cell.point.table][address] for address in cell.addresses]
    store.tables[cell.point.table].update(kept)
    single = store.map.link.quirks.no_multiple_write
    device.bank.write(
        device.bank.unit, cell.point.table, cell.addresses.start, registers, peer=EMS, single=single
    )


def ask(device: VirtualDevice, command: str, value: float) -> None:
    """Write a command as the guard does."""
    for write in command_writes(device.store.map, command, value, samples(device)):
        put(device, write.point, write.value)


def release(device: VirtualDevice, command: str) -> None:
    for write in release_writes(device.store.map, command):
        put(device, write.point, write.value)


def test_what_physics_give_a_client_reads_in_the_twin_s_units_and_signs() -> None:
    device = sunspec_device(
        "pv", Clock(), world={"p_available_kw": -6.5, "vm_pu": 1.04, "frequency_hz": 50.02}
    )
    device.step(3600.0)
    read = signals(device)
    assert read["p_kw"] == pytest.approx(-6.5)
    assert read["q_kvar"] == pytest.approx(0.5)
    assert read["vm_v"] == pytest.approx(1.04 * 230.0, abs=0.05)
    assert read["frequency_hz"] == pytest.approx(50.02)
    assert read["e_export_kwh"] == pytest.approx(START_KWH + 6.5)
    assert read["p_dc_kw"] == pytest.approx(6.5), "that side counts generation positive"
    assert read["s_kva"] == pytest.approx(math.hypot(6.5, 0.5), abs=1e-3)
    assert read["i_l1_a"] == pytest.approx(math.hypot(6.5, 0.5) * 1000 / 3 / (1.04 * 230.0), abs=0.01)
    assert (read["p_rated_kw"], read["p_max_kw"]) == (10.0, 10.0)


def test_voltages_between_phases_and_status_follow() -> None:
    device = sunspec_device("pv", Clock(), world={"p_available_kw": -6.5})
    device.step(0.1)
    store = device.store
    assert store.number("103.PPVphAB") == pytest.approx(230.0 * math.sqrt(3.0), abs=0.05)
    assert (store.number("103.St"), store.number("122.ECPConn"), store.number("122.PVConn")) == (
        4.0,
        1.0,
        7.0,
    )
    assert store.get("1.SN") == "SN-7"
    device.tell({"p_available_kw": 0.0})
    device.step(0.1)
    assert store.number("103.St") == 8.0


@settings(deadline=None, max_examples=60)
@given(limit_kw=st.floats(0.0, 10.0))
def test_a_limit_that_the_guard_writes_is_the_limit_that_physics_see(limit_kw: float) -> None:
    device = sunspec_device("pv", Clock(), world={"p_available_kw": -9.0})
    ask(device, "p_limit_kw", limit_kw)
    device.step(0.1)
    assert -device.state.p_kw == pytest.approx(min(limit_kw, 9.0), abs=1e-3)
    release(device, "p_limit_kw")
    device.step(0.1)
    assert device.state.p_kw == -9.0


@settings(deadline=None, max_examples=60)
@given(
    set_kw=st.floats(-4.9, 4.9),
    models=st.sampled_from(
        [(), (1, 103, 120, 124), (1, 701, 702, 704, 713), (1, 101, 121, 124, 802), (1, 113, 124)]
    ),
)
def test_a_set_point_that_the_guard_writes_is_the_one_that_physics_see(
    set_kw: float, models: tuple[int, ...]
) -> None:
    device = sunspec_device("battery", Clock(), models=models)
    ask(device, "p_set_kw", set_kw)
    device.step(0.1)
    assert device.state.p_kw == pytest.approx(set_kw, abs=2e-3)
    assert signals(device)["p_kw"] == pytest.approx(set_kw, abs=4e-3)
    release(device, "p_set_kw")
    device.step(0.1)
    assert device.state.p_kw == 0.0


@settings(deadline=None, max_examples=60)
@given(limit_kw=st.floats(0.05, 11.0))
def test_commands_of_a_maker_s_map_are_undone_to_what_was_asked(limit_kw: float) -> None:
    device = vendor_device(charger_map(), {"p_rated_kw": 11.0}, Clock(), serial="123456")
    device.step(0.1)
    assert seen(device) == {}
    ask(device, "p_limit_kw", limit_kw)
    device.step(0.1)
    # the register counts whole percents of 11 kW
    assert seen(device)["p_limit_kw"] == pytest.approx(limit_kw, abs=0.0551)
    release(device, "p_limit_kw")
    device.step(0.1)
    assert seen(device) == {}


def test_a_maker_s_map_shows_ratings_identity_and_signals() -> None:
    device = vendor_device(
        charger_map(), {"p_rated_kw": 11.0}, Clock(), serial="123456", world={"p_available_kw": 3.3}
    )
    device.step(1800.0)
    store = device.store
    assert store.number("serial") == 123456.0
    assert store.number("rated") == 11000.0
    assert signals(device)["p_kw"] == pytest.approx(3.3)
    assert signals(device)["e_import_kwh"] == pytest.approx(START_KWH + 1.65, abs=0.05)


def test_a_serial_number_of_letters_shows_as_a_number_of_its_own_where_the_map_has_numbers() -> None:
    shown = {
        serial: vendor_device(charger_map(), {"p_rated_kw": 11.0}, Clock(), serial=serial).store.number(
            "serial"
        )
        for serial in ("virtual-1", "virtual-2", "1234567")
    }
    assert len(set(shown.values())) == 3
    assert shown["1234567"] == 1234567.0
    assert all(shown.values())


def test_a_window_of_storage_rates_keeps_the_battery_at_rest_when_zero_is_inside() -> None:
    device = sunspec_device("battery", Clock())
    put(device, "124.InWRte", 30)
    put(device, "124.OutWRte", 50)
    put(device, "124.StorCtl_Mod", 3)
    device.step(0.1)
    assert device.state.p_kw == 0.0


@pytest.mark.parametrize(("mode", "rate", "expected_kw"), [(1, -40, -2.0), (2, -40, 2.0), (1, 40, 0.0)])
def test_one_end_of_the_window_alone_forces_the_other_direction(
    mode: int, rate: float, expected_kw: float
) -> None:
    device = sunspec_device("battery", Clock())
    put(device, "124.InWRte" if mode == 1 else "124.OutWRte", rate)
    put(device, "124.StorCtl_Mod", mode)
    device.step(0.1)
    assert device.state.p_kw == pytest.approx(expected_kw)


def test_the_tighter_of_two_limits_counts() -> None:
    device = sunspec_device(
        "pv", Clock(), models=(1, 103, 120, 121, 123, 702, 704), world={"p_available_kw": -9.0}
    )
    for point, value in (
        ("123.WMaxLimPct", 50),
        ("123.WMaxLim_Ena", 1),
        ("704.WMaxLimPct", 30),
        ("704.WMaxLimPctEna", 1),
    ):
        put(device, point, value)
    device.step(0.1)
    assert device.state.p_kw == pytest.approx(-3.0)
    assert device.store.number("103.St") == 5.0


def test_a_limit_is_a_share_of_the_power_that_the_inverter_is_set_to() -> None:
    device = sunspec_device("pv", Clock(), world={"p_available_kw": -9.0})
    put(device, "121.WMax", 4000)
    ask(device, "p_limit_kw", 3.0)
    assert device.store.number("123.WMaxLimPct") == 75.0
    device.step(0.1)
    assert device.state.p_kw == pytest.approx(-3.0)


def test_protection_waits_ramps_and_trips_the_device() -> None:
    device = sunspec_device("pv", Clock(), world={"p_available_kw": -9.0}, protection=ProtectionSettings())
    for _ in range(29):
        device.step(1.0)
    assert (device.state.p_kw, device.state.q_kvar, device.store.number("103.St")) == (0.0, 0.0, 3.0)
    for _ in range(61):
        device.step(1.0)
    assert device.state.p_kw == pytest.approx(-2.0)
    device.tell({"vm_pu": 1.2})
    device.step(0.1)
    device.step(0.1)
    assert (device.state.p_kw, device.store.number("103.W"), device.store.number("103.St")) == (0.0, 0.0, 7.0)
    assert device.store.number("103.Evt1") == (1 << 4) | (1 << 10)
    assert device.state.tripped_by == "59.S2"
    device.tell({"vm_pu": 1.0})
    for _ in range(360):
        device.step(1.0)
    assert device.state.p_kw == pytest.approx(-2.0)
    assert device.store.number("103.Evt1") == 0.0


def test_a_command_during_the_ramp_still_counts() -> None:
    device = sunspec_device("pv", Clock(), world={"p_available_kw": -9.0}, protection=ProtectionSettings())
    for _ in range(90):
        device.step(1.0)
    ask(device, "p_limit_kw", 0.5)
    device.step(1.0)
    assert device.state.p_kw == pytest.approx(-0.5)


@given(wishes_kw=st.lists(st.floats(-5, 5), min_size=2, max_size=8))
@settings(deadline=None, max_examples=15)
def test_the_storage_window_is_never_empty_while_its_ends_are_written(wishes_kw: list[float]) -> None:
    device = sunspec_device("battery", Clock())
    for wish_kw in wishes_kw:
        for write in command_writes(device.store.map, "p_set_kw", wish_kw, samples(device)):
            put(device, write.point, write.value)
            upper, lower = device.store.number("124.InWRte"), device.store.number("124.OutWRte")
            assert upper is not None
            assert lower is not None
            assert -lower <= upper, write
        device.step(1.0)
        assert device.state.p_kw == pytest.approx(wish_kw, abs=0.05)


def test_a_restart_forgets_limits_and_counters_and_waits_to_connect() -> None:
    device = sunspec_device(
        "pv", Clock(), world={"p_available_kw": -9.0}, protection=ProtectionSettings(start_wait_s=1.0)
    )
    for _ in range(3600):
        device.step(1.0)
    ask(device, "p_limit_kw", 1.0)
    device.step(1.0)
    assert signals(device)["e_export_kwh"] > 5.0
    device.restart()
    assert device.store.number("123.WMaxLim_Ena") == 0.0
    assert signals(device)["e_export_kwh"] == START_KWH
    assert device.protection is not None
    assert not device.protection.is_connected


def test_a_scale_factor_that_changes_leaves_the_value() -> None:
    quirks = ImageQuirks(scale_changes=(ScaleChange(point="103.W_SF", exponents=(0, 1, -1), every_s=10.0),))
    device = sunspec_device("pv", Clock(), quirks=quirks, world={"p_available_kw": -2.5})
    seen = set()
    for _ in range(40):
        device.step(1.0)
        seen.add(device.store.number("103.W_SF"))
        assert signals(device)["p_kw"] == pytest.approx(-2.5)
    assert seen == {0.0, 1.0, -1.0}


@pytest.mark.parametrize(
    ("end", "registers"),
    [(ChainEnd.STANDARD, [0xFFFF, 0]), (ChainEnd.ONE_ZERO, [0]), (ChainEnd.MARKER_ONLY, [0xFFFF])],
)
def test_the_end_of_the_chain_may_look_as_makers_make_it(end: ChainEnd, registers: list[int]) -> None:
    device = sunspec_device("meter", Clock(), quirks=ImageQuirks(end=end))
    last = max(device.store.tables[Table.HOLDING])
    address = last - len(registers) + 1
    assert device.bank.read(1, Table.HOLDING, address, len(registers)) == registers


def test_units_come_from_the_setup_the_quirks_or_the_map() -> None:
    assert sunspec_device("pv", Clock()).bank.unit == 1
    assert sunspec_device("pv", Clock(), quirks=ImageQuirks(unit=126)).bank.unit == 126
    assert sunspec_device("pv", Clock(), unit=5, quirks=ImageQuirks(unit=126)).bank.unit == 5
    assert vendor_device(charger_map(), {"p_rated_kw": 11.0}, Clock()).bank.unit == 7


def test_values_of_points_can_be_given() -> None:
    device = sunspec_device("pv", Clock(), values={"123.WMaxLimPct_RvrtTms": 3600, "1.Md": "other"})
    assert device.store.number("123.WMaxLimPct_RvrtTms") == 3600.0
    assert device.store.get("1.Md") == "other"


def test_a_charger_without_a_map_of_sunspec_is_refused() -> None:
    data = charger_map().model_copy(
        update={
            "discovery": sunspec_device("pv", Clock()).store.map.discovery,
            "points": (),
            "writes": {},
            "signals": {},
        }
    )
    with pytest.raises(MapError, match="no models in use"):
        vendor_device(data.model_copy(update={"commands": {}, "identity": {}}), {"p_rated_kw": 11.0}, Clock())


@pytest.mark.parametrize("rated_kw", [0.5, 3.0, 25.0, 60.0, 400.0, 5000.0])
def test_scale_factors_have_room_for_the_rating_and_resolve_a_thousandth_of_it(rated_kw: float) -> None:
    device = VirtualDevice(
        load_map("sunspec_pv"),
        Obedient({"p_rated_kw": rated_kw, "s_rated_kva": rated_kw}),
        DeviceSetup(name="it", world={"p_available_kw": -rated_kw}),
        clock=Clock(),
    )
    device.step(0.1)
    read = signals(device)
    assert read["p_kw"] == pytest.approx(-rated_kw, rel=1e-3)
    assert read["p_rated_kw"] == pytest.approx(rated_kw, rel=1e-3)
    assert read["i_l1_a"] == pytest.approx(math.hypot(rated_kw, 0.5) * 1000 / 690, rel=1e-3, abs=0.0051)


PLATES = {"pv": PV, "battery": BATTERY}
SHIPPED = [load_map(name) for name in map_names()]


def shipped_device(map_: RegisterMap, **setup: Any) -> VirtualDevice:
    plate = PLATES.get(map_.kind, {"p_rated_kw": 11.0})
    return vendor_device(map_, plate, Clock(), serial="1234567", **setup)


@pytest.mark.parametrize("map_", SHIPPED, ids=lambda map_: map_.name)
def test_every_shipped_map_is_emulated_and_read_back_by_its_own_binding(map_: RegisterMap) -> None:
    flow_kw = -3.25 if map_.kind == "pv" else 3.25
    device = shipped_device(map_, world={"p_available_kw": flow_kw, "vm_pu": 1.02, "frequency_hz": 49.98})
    device.step(60.0)
    read, truth = signals(device), device.state.signals(3)
    for name in ("p_kw", "vm_v", "frequency_hz", "q_kvar", "soc", "i_l1_a"):
        if name in read and name in truth:
            assert read[name] == pytest.approx(truth[name], rel=2e-3, abs=0.051), name


@pytest.mark.parametrize(
    ("map_", "command"),
    [(map_, command) for map_ in SHIPPED for command in map_.commands],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_command_of_a_shipped_map_reaches_physics_and_its_release_lets_go(
    map_: RegisterMap, command: str
) -> None:
    device = shipped_device(map_, world={"p_available_kw": -9.0})
    device.step(0.1)
    assert command not in seen(device)
    ask(device, command, 4.5)
    device.step(0.1)
    assert seen(device)[command] == pytest.approx(4.5, abs=0.02)
    release(device, command)
    device.step(0.1)
    after = seen(device).get(command)
    released = {write.point: write.value for write in release_writes(device.store.map, command)}
    set_point = set_point_of(device.store.map, command).point
    if set_point in released:  # a device without an enable keeps what its release writes
        assert after is not None
        assert device.store.number(set_point) == released[set_point]
    else:
        assert after is None
