"""The shipped SunSpec maps, laid over devices of several makes of models."""

import dataclasses
import math

import pytest
from sunspec_rigs import decoded, standard

from hil_adapters.errors import MapError
from hil_adapters.maps.binding import (
    PointWrite,
    command_writes,
    release_writes,
    resolve,
    signals_of,
    unresolved,
    watchdog_of,
)
from hil_adapters.maps.checks import mistakes_in
from hil_adapters.maps.loader import load_map
from hil_adapters.maps.plan import read_plan
from hil_adapters.maps.schema import Point, RegisterMap, ValueType
from hil_adapters.samples import Quality, Sample
from hil_adapters.sunspec.chain import Chain, ChainModel, chain_points
from hil_adapters.sunspec.image import ModelSpec, SunSpecImage, build_image
from hil_adapters.sunspec.overlay import chain_map

SUNSPEC_MAPS = ("sunspec_pv", "sunspec_battery", "sunspec_hybrid", "sunspec_meter")
COMMON = ModelSpec(model=1, values={"Mn": "gemello", "Md": "x", "Vr": "1", "SN": "7"})
AC = {"W": 4200, "VAr": -300, "PhVphA": 231.5, "Hz": 50.02}
INVERTERS = {model: ModelSpec(model=model, values=AC) for model in (101, 102, 103, 111, 112, 113)}
DER = ModelSpec(model=701, values={"W": 4200, "Var": -300, "LNV": 231.5, "Hz": 50.02})
NAMEPLATE = ModelSpec(model=120, values={"WRtg": 6000})
SETTINGS = ModelSpec(model=121, values={"WMax": 5000})
CONTROLS = ModelSpec(model=123, values={"WMaxLimPct": 100, "WMaxLim_Ena": 0, "WMaxLimPct_RvrtTms": 0})
STORAGE = ModelSpec(
    model=124,
    values={
        "WChaMax": 4000,
        "ChaState": 63.5,
        "InWRte": 100,
        "OutWRte": 100,
        "StorCtl_Mod": 0,
        "InOutWRte_RvrtTms": 0,
    },
)
DER_PLATE = ModelSpec(model=702, values={"WMaxRtg": 6000, "WMax": 5000})
DER_CONTROLS = ModelSpec(model=704, values={"WMaxLimPct": 100, "WSet": 0})


def device(map_name: str, *models: ModelSpec) -> SunSpecImage:
    return build_image([COMMON, *models], overlay=load_map(map_name))


def samples(image: SunSpecImage) -> dict[str, Sample]:
    values = decoded(list(chain_points(image.chain)), image.registers)
    return {
        name: Sample(
            value=value if isinstance(value, float) else math.nan,
            quality=Quality.GOOD if isinstance(value, float) else Quality.BAD,
            received_s=1.0,
        )
        for name, value in values.items()
    }


def written(image: SunSpecImage, command: str, value: float) -> list[tuple[str, object]]:
    return [
        (write.point, pytest.approx(write.value))
        for write in command_writes(image.map, command, value, samples(image))
    ]


@pytest.mark.parametrize("name", SUNSPEC_MAPS)
def test_every_point_that_a_shipped_map_names_is_in_the_standard(name: str) -> None:
    map_ = load_map(name)
    assert map_.discovery is not None
    known = {point.name for model in named_models(map_) for point in standard_points(model)}
    named = all_references(map_) | set(map_.writes)
    assert named - known == set()


def named_models(map_: RegisterMap) -> set[int]:
    return {int(name.partition(".")[0]) for name in all_references(map_) | set(map_.writes)}


def standard_points(model: int) -> list[Point]:
    counts = {"module": 4, "Prt": 4, "Crv": 1, "Pt": 1, "Ctl": 1, "string": 1}
    assert standard(model).name
    chain_model = ChainModel(model=model, address=0, length=2000, counts=counts)
    return list(chain_points(Chain(base=0, models=(chain_model,))))


def all_references(map_: RegisterMap) -> set[str]:
    commands = [c for command in map_.commands.values() for c in (command, *command.alternatives)]
    writes = [write for command in commands for write in (*command.writes, *command.release)]
    references = [
        *map_.identity.values(),
        *(ref for binding in map_.signals.values() for ref in (binding.point, binding.percent_of)),
        *(ref for write in writes for ref in (write.point, write.percent_of)),
    ]
    return {
        name for ref in references if ref is not None for name in ((ref,) if isinstance(ref, str) else ref)
    }


@pytest.mark.parametrize("inverter", [*INVERTERS.values(), DER], ids=lambda spec: str(spec.model))
def test_every_inverter_model_gives_the_same_signals_consumption_positive(inverter: ModelSpec) -> None:
    image = device("sunspec_pv", inverter)
    signals = signals_of(image.map, samples(image))
    assert signals["p_kw"].value == pytest.approx(-4.2)
    assert signals["q_kvar"].value == pytest.approx(0.3)
    assert signals["vm_v"].value == pytest.approx(231.5)
    assert signals["frequency_hz"].value == pytest.approx(50.02)
    assert image.map.identity["serial"] == "1.SN"


def test_a_limit_is_written_as_timer_then_set_point_then_enable() -> None:
    image = device("sunspec_pv", INVERTERS[103], NAMEPLATE, SETTINGS, CONTROLS)
    assert written(image, "p_limit_kw", 2.0) == [
        ("123.WMaxLimPct_RvrtTms", 30.0),
        ("123.WMaxLimPct", 40.0),  # of WMax, which is 5 kW
        ("123.WMaxLim_Ena", 1.0),
    ]
    assert release_writes(image.map, "p_limit_kw") == (PointWrite(point="123.WMaxLim_Ena", value=0.0),)
    assert written(image, "p_limit_kw", math.inf) == [("123.WMaxLim_Ena", 0.0)]
    watchdog = watchdog_of(image.map, "p_limit_kw")
    assert watchdog is not None
    assert (watchdog.kind, watchdog.point) == ("timer", "123.WMaxLimPct_RvrtTms")


def test_without_settings_a_limit_is_a_share_of_the_nameplate() -> None:
    image = device("sunspec_pv", INVERTERS[101], NAMEPLATE, CONTROLS)
    assert ("123.WMaxLimPct", pytest.approx(50.0)) in written(image, "p_limit_kw", 3.0)


def test_an_inverter_of_the_700_series_is_limited_through_model_704() -> None:
    image = device("sunspec_pv", DER, DER_PLATE, DER_CONTROLS)
    assert written(image, "p_limit_kw", 2.0) == [
        ("704.WMaxLimPctRvrtTms", 30.0),
        ("704.WMaxLimPctEnaRvrt", 0.0),
        ("704.WMaxLimPct", 40.0),
        ("704.WMaxLimPctEna", 1.0),
    ]
    assert set(image.map.writes) >= {"704.WMaxLimPct", "704.WMaxLimPctRvrtTms"}


def test_an_inverter_with_both_kinds_of_controls_is_limited_through_one_only() -> None:
    image = device("sunspec_pv", INVERTERS[103], SETTINGS, CONTROLS, DER_PLATE, DER_CONTROLS)
    assert {point.partition(".")[0] for point, _ in written(image, "p_limit_kw", 1.0)} == {"123"}


def test_an_inverter_without_ratings_cannot_be_limited() -> None:
    image = device("sunspec_pv", INVERTERS[103], CONTROLS)
    assert "p_limit_kw" not in image.map.commands
    found = chain_map(load_map("sunspec_pv"), image.chain)
    assert "command p_limit_kw" in unresolved(found)


def test_charging_moves_both_ends_of_the_window_of_model_124() -> None:
    image = device("sunspec_battery", INVERTERS[103], STORAGE)
    assert written(image, "p_set_kw", 1.0) == [
        ("124.InOutWRte_RvrtTms", 30.0),
        ("124.OutWRte", -25.0),  # the window is wide open: its lower end first
        ("124.InWRte", 25.0),
        ("124.StorCtl_Mod", 3.0),
    ]
    assert written(image, "p_set_kw", -2.0)[1:3] == [("124.OutWRte", 50.0), ("124.InWRte", -50.0)]
    assert release_writes(image.map, "p_set_kw") == (PointWrite(point="124.StorCtl_Mod", value=0.0),)
    assert signals_of(image.map, samples(image))["soc"].value == pytest.approx(0.635)


def test_a_battery_of_the_700_series_is_set_in_watts_generation_positive() -> None:
    storage = ModelSpec(model=713, values={"SoC": 40})
    image = device("sunspec_battery", DER, DER_PLATE, DER_CONTROLS, storage)
    assert written(image, "p_set_kw", 1.5) == [
        ("704.WSetRvrtTms", 30.0),
        ("704.WSetEnaRvrt", 0.0),
        ("704.WSetMod", 1.0),
        ("704.WSet", -1500.0),
        ("704.WSetEna", 1.0),
    ]
    assert signals_of(image.map, samples(image))["soc"].value == pytest.approx(0.4)


def test_the_state_of_charge_comes_from_the_battery_itself_where_it_is_there() -> None:
    bank = ModelSpec(model=802, values={"SoC": 71.25, "WChaRteMax": 3000})
    image = device("sunspec_battery", INVERTERS[103], STORAGE, bank)
    signals = signals_of(image.map, samples(image))
    assert signals["soc"].value == pytest.approx(0.7125)
    assert signals["p_charge_max_kw"].value == pytest.approx(3.0)


def test_a_hybrid_inverter_can_be_limited_and_set() -> None:
    strings = ModelSpec(
        model=160, counts={"module": 4}, values={"1.DCW": 2000, "2.DCW": 1500, "3.DCW": 0, "4.DCW": 900}
    )
    image = device("sunspec_hybrid", INVERTERS[103], NAMEPLATE, SETTINGS, CONTROLS, STORAGE, strings)
    assert set(image.map.commands) == {"p_limit_kw", "p_set_kw"}
    signals = signals_of(image.map, samples(image))
    assert signals["p_string_2_kw"].value == pytest.approx(1.5)
    assert signals["p_discharge_kw"].value == pytest.approx(0.9)


@pytest.mark.parametrize("model", [201, 202, 203, 204, 211, 212, 213, 214])
def test_every_meter_model_counts_import_as_consumption(model: int) -> None:
    meter = ModelSpec(
        model=model, values={"W": 1500, "VAR": 200, "PhVphA": 229.9, "TotWhImp": 12000, "TotWhExp": 500}
    )
    image = device("sunspec_meter", meter)
    signals = signals_of(image.map, samples(image))
    assert signals["p_kw"].value == pytest.approx(1.5)
    assert signals["q_kvar"].value == pytest.approx(0.2)
    assert signals["vm_v"].value == pytest.approx(229.9, rel=1e-6)
    assert signals["e_import_kwh"].value == pytest.approx(12.0)
    assert signals["e_export_kwh"].value == pytest.approx(0.5)
    assert image.map.commands == {}


def test_a_value_that_a_device_does_not_implement_is_bad_and_not_zero() -> None:
    image = device("sunspec_pv", ModelSpec(model=103, values={"W": 10}))
    sample = signals_of(image.map, samples(image))["q_kvar"]
    assert sample.quality is Quality.BAD
    assert math.isnan(sample.value)


def test_a_map_over_a_device_without_any_of_its_points_is_refused() -> None:
    with pytest.raises(MapError, match="sunspec_meter: the device has none of the points"):
        device("sunspec_meter", NAMEPLATE)


def test_a_map_over_a_device_without_a_required_model_is_refused() -> None:
    chain = build_image([ModelSpec(model=103)]).chain
    with pytest.raises(MapError, match="lacks the SunSpec models 1; it has 103"):
        chain_map(load_map("sunspec_pv"), chain)


def test_points_in_use_are_polled_fast_and_ratings_slowly() -> None:
    image = device("sunspec_pv", INVERTERS[103], NAMEPLATE, SETTINGS, CONTROLS)
    group = {point.name: point.group for point in image.map.points}
    assert group["103.W"] == "fast"
    assert group["123.WMaxLimPct"] == "fast"
    assert group["121.WMax"] == "slow"
    assert group["103.TmpSnk"] == "slow"
    assert group["120.ARtg"] == "once"
    assert group["1.SN"] == "once"


def test_a_filled_map_has_no_mistakes_and_can_be_read_in_few_requests() -> None:
    strings = ModelSpec(model=160, counts={"module": 2})
    image = device("sunspec_hybrid", INVERTERS[103], NAMEPLATE, SETTINGS, CONTROLS, STORAGE, strings)
    assert list(mistakes_in(image.map)) == []
    fast = [point.name for point in image.map.points if point.group == "fast"]
    assert len(read_plan(image.map, fast)) <= 4
    everything = read_plan(image.map, [point.name for point in image.map.points])
    assert {name for block in everything for name in block.points} == {p.name for p in image.map.points}


def test_points_too_far_from_their_scale_factor_are_left_out() -> None:
    names = {point.name for point in build_image([COMMON, wide(12)]).map.points}
    assert "160.5.DCW" in names
    assert "160.12.DCW" not in names
    assert "160.12.DCSt" in names


def wide(modules: int) -> ModelSpec:
    return ModelSpec(model=160, counts={"module": modules})


def test_a_point_of_the_map_itself_stands_over_the_standard() -> None:
    own = Point(name="103.W", address=9000, type=ValueType.INT32, unit="W")
    vendor = Point(name="heartbeat", address=9002, type=ValueType.UINT16)
    base = load_map("sunspec_pv")
    map_ = base.model_copy(update={"points": (own, vendor)})
    found = resolve(chain_map(map_, build_image([COMMON, INVERTERS[103]]).chain))
    points = {point.name: point for point in found.points}
    assert (points["103.W"].address, points["103.W"].group) == (9000, "fast")
    assert points["heartbeat"] == vendor


def test_the_meter_of_an_inverter_with_two_common_models_can_be_named() -> None:
    base = load_map("sunspec_meter")
    map_ = base.model_copy(update={"identity": {**base.identity, "serial": "1_2.SN"}})
    second = dataclasses.replace(COMMON, values={**COMMON.values, "SN": "8"})
    image = build_image([COMMON, INVERTERS[103], second, ModelSpec(model=203)], overlay=map_)
    read = decoded(list(chain_points(image.chain)), image.registers)
    assert read[str(image.map.identity["serial"])] == "8"
