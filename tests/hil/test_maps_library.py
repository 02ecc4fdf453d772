"""The shipped maps: safe, readable, with a source; frames worked by hand; and the guide that describes them."""

import re
from pathlib import Path

import pytest
from map_files import write_map

from hil_adapters.errors import MapError
from hil_adapters.maps.binding import (
    command_writes,
    release_writes,
    resolve,
    safe_writes,
    signals_of,
    unresolved,
)
from hil_adapters.maps.blocks import BlockDecoder
from hil_adapters.maps.codec import decode, encode
from hil_adapters.maps.loader import json_schema, load_map, map_names
from hil_adapters.maps.plan import read_plan
from hil_adapters.maps.schema import Access, WriteClass
from hil_adapters.samples import Quality, Sample

ROOT = Path(__file__).parents[2]
FIXED = [name for name in map_names() if load_map(name).discovery is None]
VENDORS = ["eastron_sdm630", "growatt_v124", "keba_p30", "kostal_plenticore_battery"]


def points(name):
    return {point.name: point for point in load_map(name).points}


def value(name, point, registers):
    return decode(points(name)[point], registers, load_map(name).link, scale_exponent=None)


def registers(name, point, number):
    return encode(points(name)[point], number, load_map(name).link, scale_exponent=None)


def signals(name, **values):
    good = {key: Sample(value=number, quality=Quality.GOOD, received_s=1.0) for key, number in values.items()}
    return signals_of(resolve(load_map(name)), good)


@pytest.mark.parametrize("name", VENDORS)
def test_a_vendor_map_names_document_and_pages_and_what_was_not_verified(name):
    source = load_map(name).source
    assert len(source.document) > 20
    assert re.search(r"\d", source.pages)
    assert "not verified" in source.pages
    assert len(source.remarks) > 200
    assert source.url is not None


@pytest.mark.parametrize("name", VENDORS)
def test_a_vendor_map_does_not_claim_to_have_met_hardware(name):
    assert load_map(name).verified == "manual"


@pytest.mark.parametrize("name", FIXED)
def test_everything_a_fixed_map_promises_is_there_and_can_be_read_within_its_limits(name):
    map_ = load_map(name)
    assert unresolved(map_) == ()
    readable = [point.name for point in map_.points if point.access is not Access.WRITE]
    for block in read_plan(map_, readable):
        assert block.count <= map_.link.max_registers
        assert set(BlockDecoder(map_, block).decode([0] * block.count)) == set(block.points)
    assert {
        point for point in map_.writes if map_.writes[point].write_class is not WriteClass.VOLATILE
    } == set()


def test_protection_and_grid_code_settings_of_the_inverter_are_never_written():
    map_ = load_map("growatt_v124")
    assert map_.writes == {}
    assert map_.commands == {}
    assert all(point.access is Access.READ for point in map_.points)


def test_the_registers_of_cei_0_21_lie_where_the_manual_has_them():
    places = {
        name: point.address
        for name, point in points("growatt_v124").items()
        if name.startswith(("qv_", "pf_"))
    }
    assert places == {
        "qv_v1s": 93,
        "qv_v2s": 94,
        "qv_v1i": 95,
        "qv_v2i": 96,
        "qv_lock_in": 97,
        "qv_lock_out": 98,
        "pf_lock_in": 99,
        "pf_lock_out": 100,
        "qv_delay": 107,
    }
    assert value("growatt_v124", "qv_v1s", [2484]) == 248.4
    assert value("growatt_v124", "v_10_min", [2530]) == 253.0
    assert value("growatt_v124", "f_derating_delay", [3]) == 150.0


def test_an_inverter_that_feeds_in_3_kw_is_minus_3_kw():
    assert value("growatt_v124", "p_ac", [0, 30000]) == 3000.0
    assert signals("growatt_v124", p_ac=3000.0)["p_kw"].value == -3.0


def test_a_meter_that_sees_feed_in_is_negative():
    assert value("eastron_sdm630", "p_total", [0xC3FA, 0x0000]) == -500.0
    assert signals("eastron_sdm630", p_total=-500.0)["p_kw"].value == -0.5


def test_examples_of_the_charging_stations_manual_come_out():
    assert value("keba_p30", "serial", [281, 1238]) == 18_416_854  # page 11
    assert value("keba_p30", "i_l3", [0, 645]) == 645.0  # page 11: 645 mA
    assert registers("keba_p30", "set_current", 8000.0) == [8000]  # page 16: 8 A
    assert signals("keba_p30", p_active=11_000_000.0)["p_kw"].value == pytest.approx(11.0)


def test_the_charging_station_is_limited_by_a_current_and_never_below_6_a():
    map_ = resolve(load_map("keba_p30"))
    (write,) = command_writes(map_, "p_limit_kw", 11.04, {})
    assert (write.point, write.value) == ("set_current", pytest.approx(16_000.0))
    assert [write.value for write in safe_writes(map_, "p_limit_kw")] == [6000.0]
    assert set(map_.writes) == {"set_current"}
    assert signals("keba_p30", failsafe_timeout=60.0)["failsafe_timeout_s"].value == 60.0


def test_charging_the_battery_is_negative_on_its_wire_with_the_low_word_first():
    map_ = resolve(load_map("kostal_plenticore_battery"))
    (write,) = command_writes(map_, "p_set_kw", 3.0, {})
    assert (write.point, write.value) == ("p_set", -3000.0)
    assert registers("kostal_plenticore_battery", "p_set", write.value) == [0x8000, 0xC53B]
    assert [write.value for write in release_writes(map_, "p_set_kw")] == [0.0]
    found = signals("kostal_plenticore_battery", p_battery=-3000.0, soc_percent=55.0)
    assert found["p_kw"].value == 3.0
    assert found["soc"].value == pytest.approx(0.55)


@pytest.mark.parametrize("name", ["generic_charger", "generic_load"])
def test_a_generic_device_lets_go_of_a_limit_by_itself(name):
    map_ = resolve(load_map(name))
    writes = [(write.point, write.value) for write in command_writes(map_, "p_limit_kw", 3.7, {})]
    assert writes == [("p_limit_timeout", 30.0), ("p_limit", pytest.approx(3700.0)), ("p_limit_enabled", 1.0)]


def guide():
    return (ROOT / "docs/register_maps.md").read_text()


def test_every_shipped_map_is_in_the_guide():
    for name in map_names():
        assert f"| `{name}` |" in guide()


@pytest.mark.parametrize(
    "part",
    [
        "RegisterMap",
        "Source",
        "LinkDefaults",
        "Quirks",
        "Point",
        "WriteRules",
        "Watchdog",
        "Waiver",
        "SignalBinding",
        "CommandWrite",
        "Command",
        "Discovery",
    ],
)
def test_every_key_is_in_the_guide(part):
    schema = json_schema()
    keys = (schema if part == "RegisterMap" else schema["$defs"][part])["properties"]
    assert [key for key in keys if f"`{key}`" not in guide()] == []


def test_the_map_of_the_guide_loads(tmp_path):
    (text,) = re.findall(r"```yaml\n(format: 1\n.*?)```", guide(), flags=re.DOTALL)
    path = tmp_path / "guide.yaml"
    path.write_text(text)
    assert set(load_map(path).commands) == {"p_limit_kw"}


def test_the_mistake_of_the_guide_is_told_as_printed(tmp_path):
    (printed,) = re.findall(r"```text\n(mine\.yaml:.*?)\n```", guide(), flags=re.DOTALL)
    path = write_map(
        tmp_path,
        "points:\n  - {name: p, address: 0, type: int16, access: rw}\nwrites: {p: {low: 0, high: 9}}\n",
    )
    with pytest.raises(MapError) as caught:
        load_map(path)
    assert str(caught.value) == f"{tmp_path}/{printed}"


@pytest.mark.parametrize("name", map_names())
def test_the_guide_says_which_commands_a_map_takes(name):
    (row,) = re.findall(rf"^\| `{name}` \| .*? \| (.*?) \|", guide(), flags=re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == sorted(load_map(name).commands)
