"""What an emulated device lets a client read and write."""

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_rigs import EMS, Clock, charger_map, sunspec_device, vendor_device

from hil_adapters.errors import MapError
from hil_adapters.maps.codec import register_count
from hil_adapters.maps.schema import Order, Point, RegisterMap, ValueType
from hil_adapters.sunspec.image import ImageQuirks
from hil_adapters.virtual.bank import DeviceBank, UnitBank
from hil_adapters.virtual.registers import RegisterStore
from hil_adapters.virtual.sunspec_ratings import LIMITS
from hil_adapters.wire.base import Table
from hil_adapters.wire.codes import Refusal


@pytest.fixture
def bank() -> DeviceBank:
    return vendor_device(charger_map(), {"p_rated_kw": 11.0}, Clock()).bank


def write(
    bank: DeviceBank,
    address: int,
    *values: int,
    table: Table = Table.HOLDING,
    unit: int = 7,
    single: bool = False,
) -> None:
    bank.write(unit, table, address, list(values), peer=EMS, single=single)


def refused(
    bank: DeviceBank, address: int, *values: int, table: Table = Table.HOLDING, single: bool = False
) -> int:
    before = bank.store.saved()
    with pytest.raises(Refusal) as refusal:
        write(bank, address, *values, table=table, single=single)
    assert bank.store.saved() == before, "a refused write changes nothing"
    return refusal.value.code


def test_a_write_is_read_back_and_told_to_the_hooks(bank: DeviceBank) -> None:
    told: list[frozenset[str]] = []
    bank.on_written(told.append)
    write(bank, 20, 55, 1)
    assert bank.read(7, Table.HOLDING, 20, 2) == [55, 1]
    assert told == [frozenset({"limit", "enable"})]


def test_registers_that_no_point_holds_do_not_exist(bank: DeviceBank) -> None:
    for address, count in ((19, 1), (23, 1), (10, 1), (29, 2), (65535, 1)):
        with pytest.raises(Refusal) as refusal:
            bank.read(7, Table.HOLDING, address, count)
        assert refusal.value.code == 2
    with pytest.raises(Refusal):
        bank.read(7, Table.INPUT, 20, 1)


def test_a_read_may_span_gaps_that_the_map_allows(bank: DeviceBank) -> None:
    # max_gap is 2: registers 6 and 7 lie between points, 9 to 19 are too many
    assert len(bank.read(7, Table.HOLDING, 0, 9)) == 9
    with pytest.raises(Refusal):
        bank.read(7, Table.HOLDING, 8, 13)


@pytest.mark.parametrize(
    ("address", "values", "code"),
    [
        (2, (1, 2), 2),  # read-only
        (40, (1,), 2),  # not there
        (6, (1,), 2),  # a gap
        (20, (55, 1, 5, 0), 2),  # runs past the last point
        (30, (0,), 2),  # half of a value
        (20, (101,), 3),  # above the limit of the point
        (22, (61,), 3),  # above the rules of the map, the point has no limit
        (21, (2,), 3),  # a value without a name
        (30, (0x7FC0, 0), 3),  # not a number
        (30, (0x4000, 0), 3),  # 2.0 is above 1
    ],
)
def test_what_a_device_does_not_take_is_refused_with_the_right_code(
    bank: DeviceBank, address: int, values: tuple[int, ...], code: int
) -> None:
    assert refused(bank, address, *values) == code


def test_one_bad_value_refuses_the_whole_request(bank: DeviceBank) -> None:
    assert refused(bank, 20, 50, 9) == 3


def test_the_limit_of_a_point_wins_over_the_rules_of_a_careful_client(bank: DeviceBank) -> None:
    write(bank, 20, 100)
    assert bank.store.number("limit") == 100.0


def test_coils_are_written_and_discrete_inputs_are_not(bank: DeviceBank) -> None:
    write(bank, 5, 1, table=Table.COIL, single=True)
    assert bank.read(7, Table.COIL, 5, 1) == [1]
    assert bank.store.number("running") == 1.0
    assert bank.read(7, Table.DISCRETE, 6, 1) == [0]


def test_every_write_is_recorded_with_who_and_what_came_of_it(bank: DeviceBank) -> None:
    write(bank, 20, 40, single=True)
    refused(bank, 20, 101)
    first, second = bank.writes
    assert (first.peer, first.address, first.values, first.points, first.refused) == (
        "127.0.0.1",
        20,
        (40,),
        ("limit",),
        None,
    )
    assert (second.points, second.refused) == ((), 3)


@pytest.mark.parametrize(("quirk", "single"), [("no_single_write", True), ("no_multiple_write", False)])
def test_a_map_may_say_that_a_function_is_refused_everywhere(quirk: str, *, single: bool) -> None:
    data = charger_map().model_dump(by_alias=True)
    data["link"]["quirks"][quirk] = True
    bank = vendor_device(RegisterMap.model_validate(data), {"p_rated_kw": 11.0}, Clock()).bank
    assert refused(bank, 20, 40, single=single) == 1
    write(bank, 20, 40, single=not single)


def test_a_sunspec_register_may_refuse_function_16_and_take_6() -> None:
    quirks = ImageQuirks(no_multiple_write=frozenset({"123.WMaxLimPct"}))
    bank = sunspec_device("pv", Clock(), quirks=quirks).bank
    address = bank.store.cells["123.WMaxLimPct"].addresses.start
    with pytest.raises(Refusal) as refusal:
        write(bank, address, 5000, unit=1)
    assert refusal.value.code == 1
    write(bank, address, 5000, unit=1, single=True)
    assert bank.store.number("123.WMaxLimPct") == 50.0


def test_a_sunspec_point_that_is_not_implemented_cannot_be_written() -> None:
    bank = sunspec_device("pv", Clock()).bank
    address = bank.store.cells["123.OutPFSet_Ena"].addresses.start
    with pytest.raises(Refusal) as refusal:
        write(bank, address, 1, unit=1, single=True)
    assert refusal.value.code == 2


def test_a_timer_of_zero_is_taken_by_a_sunspec_device_although_a_careful_client_never_writes_it() -> None:
    bank = sunspec_device("pv", Clock()).bank
    write(bank, bank.store.cells["123.WMaxLimPct_RvrtTms"].addresses.start, 0, unit=1)
    assert [(record.points, record.refused) for record in bank.writes] == [
        (("123.WMaxLimPct_RvrtTms",), None)
    ]


def test_several_units_answer_behind_one_bank(bank: DeviceBank) -> None:
    other = sunspec_device("meter", Clock(), unit=9).bank
    both = UnitBank({7: bank, 9: other})
    assert both.has_unit(7)
    assert both.has_unit(9)
    assert not both.has_unit(1)
    both.write(7, Table.HOLDING, 20, [30], peer=EMS, single=True)
    assert both.read(7, Table.HOLDING, 20, 1) == [30]
    assert both.read(9, Table.HOLDING, 40000, 2) == [0x5375, 0x6E53]
    assert both.identification(9)[1] == "sunspec_meter"
    with pytest.raises(Refusal):
        both.read(3, Table.HOLDING, 40000, 2)


@st.composite
def points_with_values(draw: st.DrawFn) -> tuple[Point, float]:
    kind = draw(
        st.sampled_from([kind for kind in ValueType if kind not in {ValueType.STRING, ValueType.BOOL}])
    )
    point = Point(
        name="it",
        address=0,
        type=kind,
        byte_order=draw(st.sampled_from(Order)),
        word_order=draw(st.sampled_from(Order)),
        scale=draw(st.sampled_from([1.0, 0.1, 0.01, 10.0])),
        access="rw",
    )
    return point, draw(st.floats(-1e5, 1e5))


@settings(deadline=None, max_examples=200)
@given(points_with_values())
def test_a_value_that_is_set_is_read_as_the_nearest_that_the_type_holds(case: tuple[Point, float]) -> None:
    point, value = case
    map_ = charger_map().model_copy(
        update={"points": (point,), "writes": {}, "signals": {}, "commands": {}, "identity": {}}
    )
    store = RegisterStore(map_)
    store.set("it", value)
    shown = store.number("it")
    assert shown is not None
    cell = store.cells["it"]
    low, high = (bound * point.scale for bound in (cell.raw_low, cell.raw_high))
    nearest = min(max(value, low), high)
    step = 0.0 if point.type in {ValueType.FLOAT32, ValueType.FLOAT64} else point.scale
    assert shown == pytest.approx(nearest, abs=0.5000001 * step + 1e-9, rel=2e-7)
    assert len(store.tables[Table.HOLDING]) == register_count(point)


def test_a_value_beyond_the_registers_is_held_at_the_largest_that_is_not_the_sign_for_missing() -> None:
    point = Point(name="it", address=0, type="int16", missing=(0x8000,), unit="W")
    map_ = charger_map().model_copy(
        update={"points": (point,), "writes": {}, "signals": {}, "commands": {}, "identity": {}}
    )
    store = RegisterStore(map_)
    store.set("it", -1e9)
    assert store.number("it") == -32767.0
    store.set("it", 1e9)
    assert store.number("it") == 32767.0


def test_not_a_number_and_unknown_points_are_mistakes_that_name_the_point(bank: DeviceBank) -> None:
    with pytest.raises(MapError, match="power"):
        bank.store.set("power", math.nan)
    with pytest.raises(MapError, match="did you mean limit"):
        bank.store.set("limitt", 1.0)


def test_showing_the_same_value_again_does_not_touch_what_a_scale_change_rewrote(bank: DeviceBank) -> None:
    store = bank.store
    store.show("power", 500.0)
    store.tables[Table.HOLDING][2] = 77
    store.show("power", 500.0)
    assert store.tables[Table.HOLDING][2] == 77
    store.forget_shown()
    store.show("power", 500.0)
    assert store.number("power") == 500.0


def test_the_bank_names_itself_to_function_43() -> None:
    device = sunspec_device("pv", Clock())
    assert isinstance(device.bank, DeviceBank)
    assert device.bank.identification(1)[0] == "gemello"


@settings(deadline=None, max_examples=100)
@given(
    kind=st.sampled_from(["pv", "battery"]),
    requests=st.lists(
        st.tuples(
            st.integers(0, 420) | st.integers(226, 280),  # the second: the controls of models 123 and 124
            st.lists(st.integers(0, 0xFFFF) | st.integers(0, 100), min_size=1, max_size=6),
            st.booleans(),
        ),
        max_size=30,
    ),
)
def test_whatever_a_client_writes_the_device_goes_on_and_its_settings_stay_within_their_limits(
    kind: str, requests: list[tuple[int, list[int], bool]]
) -> None:
    device = sunspec_device(kind, Clock(), world={"p_available_kw": -8.0})
    store = device.store
    settable = [
        name for name, cell in store.cells.items() if cell.point.access != "r" and store.get(name) is not None
    ]
    for offset, values, single in requests:
        with contextlib.suppress(Refusal):
            write(device.bank, 40000 + offset, *(values[:1] if single else values), unit=1, single=single)
        device.step(0.1)
        assert math.isfinite(device.state.p_kw)
    for name in settable:
        value = store.get(name)
        assert value is not None or store.cells[name].point.type is ValueType.STRING, name
        low, high = LIMITS.get(name, (-math.inf, math.inf))
        assert isinstance(value, str) or value is None or low <= value <= high, name
