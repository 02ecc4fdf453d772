"""The description of a feeder: names, kinds, signs."""

import json
import math

import pandapower
import pytest

from models.feeder import describe
from models.feeder.compile import compile_feeder


def _net():
    net = pandapower.create_empty_network()
    buses = [pandapower.create_bus(net, 0.4, name=f"b{i}") for i in range(2)]
    pandapower.create_ext_grid(net, buses[0])
    pandapower.create_line(net, *buses, 0.1, "NAYY 4x50 SE", name="line")
    return net


def _described(net):
    return json.loads(json.dumps(describe(compile_feeder(net, name="test", source="made for a test"))))


def _numbers(value):
    if isinstance(value, dict):
        return [number for entry in value.values() for number in _numbers(entry)]
    if isinstance(value, list):
        return [number for entry in value for number in _numbers(entry)]
    return [value] if isinstance(value, float) else []


def test_a_feeder_without_devices_has_no_negative_zero():
    summary = _described(_net())
    assert 0.0 in _numbers(summary["devices"])
    assert all(math.copysign(1.0, number) == 1.0 for number in _numbers(summary) if number == 0.0)


def test_all_buses_and_loads_are_named():
    net = _net()
    for name in ("first", "second"):
        pandapower.create_load(net, 1, p_mw=0.002, name=name)
    summary = _described(net)
    assert summary["bus_names"] == ["b0", "b1"]
    assert summary["load_names"] == ["first", "second"]


@pytest.mark.parametrize("kinds", [("PV", "WP", "PV"), ("CHP", None, None)])
def test_generation_is_summed_by_kind(kinds):
    net = _net()
    for number, kind in enumerate(kinds, start=1):
        pandapower.create_sgen(net, 1, p_mw=0.01 * number, type=kind)
    devices = _described(net)["devices"]
    expected = {}
    for number, kind in enumerate(kinds, start=1):
        expected[kind or "unnamed"] = expected.get(kind or "unnamed", 0.0) + 10.0 * number
    assert devices["static_generator_kw"] == pytest.approx(expected)
    assert set(devices["static_generator_kinds"]) == set(expected)
    assert devices["pv_kwp"] + devices["other_generation_kw"] == pytest.approx(60.0)
