import json

import numpy as np
import pandapower
import pandapower.control
import pytest

from models.errors import FeederError
from models.feeder import describe
from models.feeder.compile import compile_feeder
from models.feeder.names import listing, unique_names


def net_of(n_buses=3, vn_kv=0.4):
    """Return a chain of buses fed at the first."""
    net = pandapower.create_empty_network(name="chain")
    for place in range(n_buses):
        pandapower.create_bus(net, vn_kv, name=f"b{place}")
    pandapower.create_ext_grid(net, 0)
    for place in range(n_buses - 1):
        pandapower.create_line(net, place, place + 1, 0.1, "NAYY 4x150 SE", name=f"l{place}")
    return net


def compiled(net):
    return compile_feeder(net, source="test.json")


def has_note(feeder, *words):
    return any(all(word in note for word in words) for note in feeder.notes)


def test_names_are_kept_made_up_and_numbered():
    given = ["A", None, "A", float("nan"), " ", "A #2", 7]
    assert unique_names(given, range(7), "bus") == ("A", "bus 1", "A #3", "bus 3", "bus 4", "A #2", "7")


def test_listing_shows_five_names_and_counts_the_rest():
    assert listing(["a", "b"]) == "'a', 'b'"
    assert listing("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"


def test_compiling_leaves_the_network_as_it_was():
    net = net_of()
    pandapower.create_load(net, 1, p_mw=0.01)
    before = {table: net[table].copy() for table in ("bus", "line", "load", "ext_grid")}
    compiled(net)
    for table, frame in before.items():
        assert net[table].equals(frame)


def test_unsupplied_and_out_of_service_buses_are_left_out_with_their_devices():
    net = net_of(4)
    net.line.loc[2, "in_service"] = False
    off = pandapower.create_bus(net, 0.4, name="off", in_service=False)
    pandapower.create_load(net, 1, p_mw=0.01, name="kept")
    pandapower.create_load(net, 3, p_mw=0.02, name="dark")
    pandapower.create_load(net, 1, p_mw=0.03, name="asleep", in_service=False)
    pandapower.create_sgen(net, off, p_mw=0.03, name="roof")
    feeder = compiled(net)
    assert feeder.bus_name == ("b0", "b1", "b2")
    assert feeder.devices.load_name == ("kept",)
    assert feeder.devices.sgen_name == ()
    assert has_note(feeder, "1 bus(es) without supply", "'b3'")
    assert has_note(feeder, "1 bus(es) out of service", "'off'")
    assert has_note(feeder, "1 load(s) at buses without supply", "'dark'")
    assert has_note(feeder, "1 load(s) out of service", "'asleep'")
    assert has_note(feeder, "1 line(s) out of service", "'l2'")
    assert has_note(feeder, "'roof'")


def test_open_switches_are_noted():
    net = net_of()
    pandapower.create_switch(net, 2, 1, et="l", closed=False)
    assert has_note(compiled(net), "1 switch(es) are open")


def test_controllers_are_noted_because_they_are_not_run():
    net = net_of(2, 20.0)
    lv = pandapower.create_bus(net, 0.4)
    pandapower.create_transformer(net, 1, lv, "0.4 MVA 20/0.4 kV")
    pandapower.control.DiscreteTapControl(net, 0, vm_lower_pu=0.99, vm_upper_pu=1.01)
    assert has_note(compiled(net), "1 controller(s) of the network are not run")


def test_powers_are_scaled_and_consumption_positive():
    net = net_of()
    pandapower.create_load(net, 1, p_mw=0.010, q_mvar=0.002, scaling=0.5)
    pandapower.create_sgen(net, 2, p_mw=0.004, q_mvar=0.001, scaling=2.0, sn_mva=0.009, type="PV")
    pandapower.create_sgen(net, 2, p_mw=0.004, name="no rating")
    pandapower.create_storage(net, 1, p_mw=-0.003, max_e_mwh=0.006, soc_percent=40.0)
    devices = compiled(net).devices
    assert devices.load_bus.tolist() == [1]
    assert devices.load_p_kw.tolist() == pytest.approx([5.0])
    assert devices.load_q_kvar.tolist() == pytest.approx([1.0])
    assert devices.sgen_p_kw.tolist() == pytest.approx([-8.0, -4.0])
    assert devices.sgen_q_kvar.tolist() == pytest.approx([-2.0, 0.0])
    assert devices.sgen_s_kva.tolist() == pytest.approx([9.0, 4.0])
    assert devices.sgen_kind[0] == "PV"
    assert devices.storage_p_kw.tolist() == pytest.approx([3.0])
    assert devices.storage_e_kwh.tolist() == pytest.approx([6.0])


def test_storage_without_capacity_has_none_and_a_note():
    net = net_of()
    pandapower.create_storage(net, 1, p_mw=0.003, max_e_mwh=np.nan, name="S")
    feeder = compiled(net)
    assert feeder.devices.storage_e_kwh.tolist() == [0.0]
    assert has_note(feeder, "without a capacity", "'S'")


def test_tap_repair_is_noted_only_where_it_matters():
    net = net_of(2, 20.0)
    lv = pandapower.create_bus(net, 0.4, name="lv")
    for place, position in enumerate((0, -2)):
        pandapower.create_transformer(net, 1, lv, "0.4 MVA 20/0.4 kV", tap_pos=position, name=f"T{place}")
    net.trafo["tap_changer_type"] = None
    feeder = compiled(net)
    assert has_note(feeder, "tap position of 1 transformer(s)", "'T1'")
    assert feeder.net.trafo.tap_changer_type.tolist() == ["Ratio", "Ratio"]
    assert feeder.grid.tap[feeder.trafo_branch].tolist() == pytest.approx([1.0, 0.95])


@pytest.mark.parametrize(
    ("hv_kv", "mv_kv", "level"),
    [
        (110.0, 20.0, "HV/MV"),
        (20.0, 0.4, "MV/LV"),
        (380.0, 110.0, "EHV/HV"),
        (20.0, 10.0, "MV/MV"),
        (36.0, 1.0, "MV/LV"),
    ],
)
def test_transformer_levels_follow_from_the_voltages(hv_kv, mv_kv, level):
    net = net_of(2, hv_kv)
    low = pandapower.create_bus(net, mv_kv)
    pandapower.create_transformer_from_parameters(net, 1, low, 1.0, hv_kv, mv_kv, 1.0, 6.0, 0.0, 0.0)
    assert compiled(net).trafo_level == (level,)


def test_head_transformers_are_hv_mv_ones_else_those_at_the_slack():
    net = net_of(1, 20.0)
    for name in ("a", "b"):
        lv = pandapower.create_bus(net, 0.4, name=name)
        pandapower.create_transformer(net, 0, lv, "0.4 MVA 20/0.4 kV")
    assert compiled(net).head_trafos.tolist() == [0, 1]
    high = pandapower.create_bus(net, 110.0)
    net.ext_grid["bus"] = high
    pandapower.create_transformer(net, high, 0, "25 MVA 110/20 kV")
    assert compiled(net).head_trafos.tolist() == [2]


def test_coordinates_of_the_network_are_used():
    net = net_of()
    net.bus["geo"] = [json.dumps({"type": "Point", "coordinates": [11.0 + i, 53.5]}) for i in range(3)]
    feeder = compiled(net)
    assert feeder.has_geo
    assert feeder.bus_x.tolist() == [11.0, 12.0, 13.0]
    assert feeder.bus_y.tolist() == [53.5] * 3


@pytest.mark.parametrize(
    "geo",
    [
        [None, None, None],
        ['{"type":"Point","coordinates":[1,2]}', '{"type":"Point","coordinates":[3,2]}', None],
        ['{"type":"Point","coordinates":[1,2]}'] * 3,
        [f'{{"type":"Point","coordinates":[{x},5300000]}}' for x in (1, 2, 3)],
        ["broken", "{}", "[]"],
    ],
    ids=["none", "one missing", "all equal", "not degrees", "not GeoJSON"],
)
def test_layout_is_generated_where_coordinates_cannot_serve(geo):
    net = net_of()
    net.bus["geo"] = geo
    feeder = compiled(net)
    assert not feeder.has_geo
    assert feeder.bus_y.tolist() == sorted(feeder.bus_y.tolist(), reverse=True)
    assert len(set(zip(feeder.bus_x, feeder.bus_y, strict=True))) == 3


def test_generated_layout_of_a_meshed_branched_network_has_no_two_buses_at_one_place():
    net = net_of(12)
    for place in (2, 4, 4, 7):
        end = pandapower.create_bus(net, 0.4)
        pandapower.create_line(net, place, end, 0.1, "NAYY 4x150 SE")
    pandapower.create_line(net, 11, 3, 0.1, "NAYY 4x150 SE")
    twin = pandapower.create_bus(net, 0.4)
    pandapower.create_switch(net, 5, twin, et="b")
    first, second = compiled(net), compiled(net)
    assert len(set(zip(first.bus_x, first.bus_y, strict=True))) == len(first.bus_name) == 17
    np.testing.assert_array_equal(first.bus_x, second.bus_x)
    np.testing.assert_array_equal(first.bus_y, second.bus_y)


def test_hash_is_that_of_the_electrical_content():
    net = net_of()
    same = compiled(net).sha256
    assert compile_feeder(net, source="other.json").sha256 == same
    net.line.loc[0, "max_i_ka"] = 0.2
    other_rating = compiled(net).sha256
    net.line.loc[0, "length_km"] = 0.2
    assert len({same, other_rating, compiled(net).sha256}) == 3


def test_name_is_the_one_asked_for_else_that_of_the_network_else_the_source():
    net = net_of()
    assert compile_feeder(net, source="s.json", name="mine").name == "mine"
    assert compiled(net).name == "chain"
    net.name = ""
    assert compiled(net).name == "test.json"


def test_empty_network_is_refused():
    with pytest.raises(FeederError, match="has no buses"):
        compiled(pandapower.create_empty_network())


@pytest.mark.parametrize("state", ["absent", "out of service"])
def test_network_without_slack_is_refused(state):
    net = net_of()
    if state == "absent":
        net.ext_grid = net.ext_grid.drop(index=0)
    else:
        net.ext_grid["in_service"] = False
    with pytest.raises(FeederError, match="no external grid"):
        compiled(net)


@pytest.mark.parametrize("column", ["const_z_p_percent", "const_i_q_percent"])
def test_voltage_dependent_load_is_refused_by_name(column):
    net = net_of()
    pandapower.create_load(net, 1, p_mw=0.01, name="boiler", **{column: 30.0})
    with pytest.raises(FeederError, match=r"load 'boiler': constant-impedance.*shunt"):
        compiled(net)


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("line", "max_i_ka", np.nan, "line 'l0': max_i_ka is missing"),
        ("line", "max_i_ka", 0.0, "line 'l0': max_i_ka must be greater than 0"),
        ("bus", "vn_kv", np.nan, "bus 'b0': vn_kv is missing"),
        ("ext_grid", "vm_pu", np.nan, "ext_grid 'ext_grid 0': vm_pu is missing"),
        ("line", "length_km", np.nan, "line 'l0': length_km is missing"),
        ("load", "p_mw", np.nan, "load 'house': p_mw is missing"),
        ("load", "q_mvar", np.inf, "load 'house': q_mvar is missing or not finite"),
    ],
)
def test_number_that_is_missing_is_refused_by_name(table, column, value, message):
    net = net_of()
    pandapower.create_load(net, 1, p_mw=0.01, name="house")
    net[table].loc[0, column] = value
    with pytest.raises(FeederError, match=message):
        compiled(net)


def test_network_that_pandapower_cannot_solve_is_refused():
    net = net_of()
    net.line["x_ohm_per_km"] = 0.0
    net.line["r_ohm_per_km"] = 0.0
    with pytest.raises(FeederError, match=r"cannot compile the network \(FloatingPointError"):
        compiled(net)


def test_description_counts_what_is_on_the_feeder():
    net = net_of(3, 20.0)
    lv = pandapower.create_bus(net, 0.4, name="lv")
    pandapower.create_transformer(net, 2, lv, "0.4 MVA 20/0.4 kV", name="T", tap_pos=1)
    pandapower.create_load(net, lv, p_mw=0.05)
    pandapower.create_sgen(net, lv, p_mw=0.03, type="PV")
    pandapower.create_sgen(net, 1, p_mw=0.2, type="WP")
    pandapower.create_storage(net, lv, p_mw=0.005, max_e_mwh=0.01)
    summary = json.loads(json.dumps(describe(compiled(net))))
    assert summary["buses"] == 4
    assert summary["line_length_km"] == 0.2
    assert summary["voltage_levels"] == [
        {"vn_kv": 20.0, "buses": 3, "lines": 2, "line_length_km": 0.2},
        {"vn_kv": 0.4, "buses": 1, "lines": 0, "line_length_km": 0.0},
    ]
    (trafo,) = summary["transformers"]
    assert (trafo["name"], trafo["rating_kva"], trafo["tap_position"], trafo["level"]) == (
        "T",
        400.0,
        1.0,
        "MV/LV",
    )
    assert summary["devices"]["pv_kwp"] == 30.0
    assert summary["devices"]["other_generation_kw"] == 200.0
    assert summary["devices"]["storage_kwh"] == 10.0
    assert summary["profiles"] is None
