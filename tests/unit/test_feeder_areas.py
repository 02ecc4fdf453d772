"""Which substation supplies which bus."""

import pandapower
import pytest

from models.feeder import describe, load_feeder, supply_areas
from models.feeder.compile import compile_feeder

LINE = {"r_ohm_per_km": 0.4, "x_ohm_per_km": 0.1, "c_nf_per_km": 0.0, "max_i_ka": 0.2, "length_km": 1.0}
TRAFO = {"sn_mva": 0.4, "vk_percent": 6.0, "vkr_percent": 1.2, "pfe_kw": 0.0, "i0_percent": 0.0}


def two_substations():
    """Return a network: one 110 kV bus, two HV/MV transformers, an open line between their areas, LV below each."""
    net = pandapower.create_empty_network(name="two")
    bus = {
        name: pandapower.create_bus(net, vn_kv, name=name)
        for name, vn_kv in (("hv", 110.0), ("north", 20.0), ("n1", 20.0), ("south", 20.0), ("s1", 20.0))
    }
    bus |= {name: pandapower.create_bus(net, 0.4, name=name) for name in ("na", "nb", "sa")}
    pandapower.create_ext_grid(net, bus["hv"])
    for name, ends in (("T north", ("hv", "north")), ("T south", ("hv", "south"))):
        add_trafo(net, bus, name, ends, vn=(110.0, 20.0), sn_mva=25.0)
    for name, ends in (("N", ("n1", "na")), ("S", ("s1", "sa"))):
        add_trafo(net, bus, name, ends, vn=(20.0, 0.4))
    for name, ends in (
        ("north", ("north", "n1")),
        ("south", ("south", "s1")),
        ("lv", ("na", "nb")),
        ("tie", ("n1", "s1")),
    ):
        pandapower.create_line_from_parameters(net, *(bus[end] for end in ends), name=name, **LINE)
    pandapower.create_switch(net, bus["s1"], 3, et="l", closed=False)
    return net, bus


def add_trafo(net, bus, name, ends, *, vn, **trafo):
    sides = {"vn_hv_kv": vn[0], "vn_lv_kv": vn[1]}
    pandapower.create_transformer_from_parameters(
        net, *(bus[end] for end in ends), name=name, **(TRAFO | sides | trafo)
    )


def areas_of(net):
    return supply_areas(compile_feeder(net, source="test"))


def by_name(net):
    """Return the primary and the secondary substation of each bus by name."""
    feeder = compile_feeder(net, source="test")
    areas = supply_areas(feeder)
    cp = {
        name: None if k < 0 else areas.cp_name[k]
        for name, k in zip(feeder.bus_name, areas.bus_cp, strict=True)
    }
    below = {
        name: None if s < 0 else areas.substation_name[s]
        for name, s in zip(feeder.bus_name, areas.bus_substation, strict=True)
    }
    return cp, below


def test_an_open_line_separates_the_areas_of_two_primary_substations():
    cp, substation = by_name(two_substations()[0])
    north, south = (
        dict.fromkeys(("north", "n1", "na", "nb"), "north"),
        dict.fromkeys(("south", "s1", "sa"), "south"),
    )
    assert cp == {"hv": None, **north, **south}
    assert substation == dict.fromkeys(("hv", "north", "n1", "south", "s1")) | {
        "na": "N",
        "nb": "N",
        "sa": "S",
    }


def test_a_closed_line_makes_one_area_named_after_both_substations():
    net, _ = two_substations()
    net.switch["closed"] = True
    areas = areas_of(net)
    assert areas.cp_name == ("north + south",)
    assert areas.bus_cp.tolist() == [-1, 0, 0, 0, 0, 0, 0, 0]
    assert areas.substation_name == ("N", "S"), "MV/LV transformers still separate the LV areas"


def test_parallel_transformers_on_one_busbar_are_one_substation_and_an_open_coupler_splits_them():
    net, bus = two_substations()
    section = pandapower.create_bus(net, 20.0, name="north 2")
    bus["north 2"] = section
    coupler = pandapower.create_switch(net, bus["north"], section, et="b", closed=True)
    add_trafo(net, bus, "T north 2", ("hv", "north 2"), vn=(110.0, 20.0), sn_mva=25.0)
    assert areas_of(net).cp_name == ("north", "south")
    net.switch.loc[coupler, "closed"] = False
    assert areas_of(net).cp_name == ("north", "south", "north 2")


def test_parallel_mv_lv_transformers_are_one_secondary_substation():
    net, bus = two_substations()
    add_trafo(net, bus, "N 2", ("n1", "na"), vn=(20.0, 0.4))
    assert areas_of(net).substation_name == ("N + N 2", "S")


def test_a_transformer_open_at_its_high_side_supplies_nothing():
    net, bus = two_substations()
    net.switch["closed"] = True
    pandapower.create_switch(net, bus["hv"], 1, et="t", closed=False)
    areas = areas_of(net)
    assert areas.cp_name == ("north",)
    assert areas.bus_cp.tolist() == [-1, 0, 0, 0, 0, 0, 0, 0]


def test_without_a_primary_substation_everything_connected_to_the_slack_is_one_area():
    feeder = load_feeder("pandapower:cigre_lv")
    areas = supply_areas(feeder)
    assert areas.cp_name == ("Bus 0",)
    assert not areas.cp_upstream_known.any()
    assert (areas.bus_cp == 0).all()
    assert areas.substation_name == ("Trafo R0-R1", "Trafo I0-I1", "Trafo C0-C1")
    medium = [feeder.bus_name[bus] for bus in (areas.bus_substation < 0).nonzero()[0]]
    assert medium == ["Bus 0", "Bus R0", "Bus I0", "Bus C0"]


def test_a_slack_at_low_voltage_stands_for_both_substations():
    net = pandapower.create_empty_network()
    head, end = (pandapower.create_bus(net, 0.4, name=name) for name in ("head", "end"))
    pandapower.create_ext_grid(net, head)
    pandapower.create_line_from_parameters(net, head, end, **LINE)
    areas = areas_of(net)
    assert (areas.cp_name, areas.substation_name) == (("head",), ("head",))
    assert areas.bus_substation.tolist() == [0, 0]


def test_a_slack_at_medium_voltage_in_the_area_of_a_transformer_is_named_too():
    net, bus = two_substations()
    pandapower.create_ext_grid(net, bus["s1"])
    assert areas_of(net).cp_name == ("north", "south + s1")


def test_the_mv_benchmark_of_cigre_has_two_primary_substations_in_its_open_state():
    areas = supply_areas(load_feeder("pandapower:cigre_mv"))
    assert areas.cp_name == ("Bus 1", "Bus 12")
    assert areas.cp_upstream_known.all()
    assert areas.bus_cp.tolist() == [-1, *[0] * 11, *[1] * 3]
    assert areas.substation_name == ()


@pytest.mark.parametrize(
    ("code", "cp", "substation", "n_lv"),
    [
        ("1-MVLV-rural-1.108-0-sw", "MV1.101 busbar1.1", "MV1.101-LV1.108-Trafo 1", 14),
        ("1-MVLV-semiurb-4.201-0-sw", "MV2.101 busbar1.1", "MV2.101-LV4.201-Trafo 1", 43),
    ],
)
def test_a_simbench_network_has_one_primary_substation_with_parallel_transformers(code, cp, substation, n_lv):
    feeder = load_feeder(f"simbench:{code}")
    areas = supply_areas(feeder)
    assert areas.cp_name == (cp,)
    assert areas.substation_name == (substation,)
    assert (areas.bus_substation == 0).sum() == n_lv
    assert ((areas.bus_cp < 0) == (feeder.bus_vn_kv > 36.0)).all(), "only the 110 kV buses are above"


def test_the_description_names_the_substations():
    description = describe(compile_feeder(two_substations()[0], source="test"))
    assert description["primary_substations"] == ["north", "south"]
    assert description["secondary_substations"] == ["N", "S"]


def test_a_medium_voltage_winding_of_three_belongs_to_the_area_of_its_transformer():
    areas = supply_areas(load_feeder("pandapower:example_multivoltage"))
    assert areas.cp_name == ("Bus MV0 20kV",)
    assert "MV-LV-Trafo" in areas.substation_name
