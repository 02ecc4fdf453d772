"""Networks side by side: each solves as it does alone."""

import functools

import numpy as np
import pandapower
import pytest

from models.errors import FeederError, FurtherNetworkError
from models.feeder import ENGINES, load_feeder, make_engine, supply_areas
from models.feeder.compile import compile_feeder
from models.feeder.merge import join_nets
from models.feeder.sources import load_net

LINE = {"r_ohm_per_km": 0.4, "x_ohm_per_km": 0.1, "c_nf_per_km": 0.0, "max_i_ka": 0.2, "length_km": 1.0}
RURAL, URBAN = "simbench:1-LV-rural1--0-sw", "simbench:1-LV-urban6--0-sw"
PAIRS = [
    ("pandapower:cigre_lv", "pandapower:cigre_lv"),
    ("pandapower:cigre_mv", RURAL),
    (RURAL, "pandapower:cigre_mv"),
]


net_of = functools.cache(load_net)
feeder_of = functools.cache(lambda *sources: load_feeder(sources[0], also=sources[1:]))


def tiny(vm_pu, *, f_hz=50.0, name="tiny", geo=(None, None)):
    net = pandapower.create_empty_network(name=name, f_hz=f_hz)
    head, end = (
        pandapower.create_bus(net, 0.4, name=bus, geodata=point)
        for bus, point in zip(("head", "end"), geo, strict=True)
    )
    pandapower.create_ext_grid(net, head, vm_pu=vm_pu)
    pandapower.create_line_from_parameters(net, head, end, name="line", **LINE)
    pandapower.create_load(net, end, p_mw=0.01, name="house")
    return net


def joined(*nets):
    net, notes = join_nets(nets, [f"net {number}" for number in range(1, len(nets) + 1)])
    return compile_feeder(net, source="joined", notes=notes)


def powers(feeder):
    """Return different powers at all buses."""
    p_kw = np.zeros(len(feeder.bus_name))
    np.add.at(p_kw, feeder.devices.load_bus, feeder.devices.load_p_kw)
    return 0.5 * p_kw, 0.2 * p_kw


@pytest.mark.parametrize("sources", PAIRS)
@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_networks_side_by_side_solve_as_each_does_alone(sources, engine):
    together = feeder_of(*sources)
    alone = [feeder_of(source) for source in sources]
    p_kw, q_kvar = powers(together)
    each = [powers(feeder) for feeder in alone]
    assert p_kw == pytest.approx(np.concatenate([p for p, _ in each]))
    flow = make_engine(together, engine)[0].solve(p_kw, q_kvar)
    flows = [ENGINES["pandapower"](feeder).solve(*both) for feeder, both in zip(alone, each, strict=True)]
    for name, tolerance in (
        ("vm_pu", 1e-7),
        ("line_loading_percent", 1e-4),
        ("trafo_loading_percent", 1e-4),
        ("trafo_p_kw", 1e-2),
    ):
        expected = np.concatenate([getattr(part, name) for part in flows])
        assert getattr(flow, name) == pytest.approx(expected, abs=tolerance), name
    assert flow.p_import_kw == pytest.approx(sum(part.p_import_kw for part in flows), abs=1e-2)
    assert flow.p_loss_kw == pytest.approx(sum(part.p_loss_kw for part in flows), abs=1e-2)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_each_part_keeps_the_voltage_of_its_own_slack(engine):
    feeder = joined(tiny(1.0), tiny(1.05))
    flow = ENGINES[engine](feeder).solve(np.zeros(4), np.zeros(4))
    assert flow.vm_pu == pytest.approx([1.0, 1.0, 1.05, 1.05], abs=1e-9)
    assert feeder.held_buses.tolist() == [0, 2]


def test_a_load_moves_the_voltage_of_its_own_part_only():
    feeder = joined(tiny(1.0), tiny(1.05))
    flow = ENGINES["impedance"](feeder).solve(np.array([0.0, 20.0, 0.0, 0.0]), np.zeros(4))
    assert flow.vm_pu[1] < 0.99
    assert flow.vm_pu[2:] == pytest.approx([1.05, 1.05], abs=1e-9)


def test_names_of_the_first_network_stay_and_equal_ones_get_the_number_of_their_network():
    feeder = joined(tiny(1.0), tiny(1.05), tiny(0.98))
    assert feeder.bus_name == ("head", "end", "head @2", "end @2", "head @3", "end @3")
    assert feeder.line_name == ("line", "line @2", "line @3")
    assert feeder.devices.load_name == ("house", "house @2", "house @3")
    assert feeder.devices.load_bus.tolist() == [1, 3, 5]
    assert "4 name(s) of net 2 occur in an earlier network and end in ' @2'" in feeder.notes[1]
    assert supply_areas(feeder).cp_name == ("head", "head @2", "head @3")


def test_the_networks_given_stay_as_they_were():
    nets = tiny(1.0), tiny(1.05)
    before = [pandapower.to_json(net) for net in nets]
    join_nets(nets, ["a", "b"])
    assert [pandapower.to_json(net) for net in nets] == before


def test_elements_without_a_name_keep_the_name_they_have_alone():
    net = tiny(1.0)
    net.line["name"] = None
    feeder = joined(tiny(1.0), net)
    assert feeder.line_name == ("line", "line 0")


def test_order_and_content_decide_the_hash():
    first, second = tiny(1.0), tiny(1.05)
    assert joined(first, second).sha256 == joined(first, second).sha256
    assert joined(first, second).sha256 != joined(second, first).sha256


def test_transformers_to_watch_are_found_in_each_part():
    feeder = load_feeder("pandapower:cigre_mv", also=["pandapower:cigre_lv"])
    assert [feeder.trafo_name[place] for place in feeder.head_trafos] == [
        "Trafo 0-1",
        "Trafo 0-12",
        "Trafo R0-R1",
        "Trafo I0-I1",
        "Trafo C0-C1",
    ]
    assert feeder.name == "pandapower:cigre_mv + pandapower:cigre_lv"
    assert feeder.source == "pandapower:cigre_mv + pandapower:cigre_lv"


def test_profiles_of_both_networks_are_there():
    sources = RURAL, URBAN
    together = feeder_of(*sources)
    alone = [feeder_of(source) for source in sources]
    expected = np.concatenate([feeder.profiles.load_p_kw(48, 4, feeder.devices) for feeder in alone], axis=1)
    assert together.profiles.load_p_kw(48, 4, together.devices) == pytest.approx(expected)
    assert set(together.profiles.load_names) == {
        name for feeder in alone for name in feeder.profiles.load_names
    }


def test_profiles_of_one_name_that_differ_are_refused():
    net = net_of(RURAL)
    load = net.profiles["load"]
    column = next(name for name in load.columns if name.endswith("_pload"))
    other = type(net)(net)
    other["profiles"] = {**net.profiles, "load": load.assign(**{column: 2.0 * load[column]})}
    with pytest.raises(FeederError, match=rf"b: its load profiles '{column}' differ .* rename them"):
        join_nets([net, other], ["a", "b"])


def test_networks_of_different_frequency_are_refused():
    with pytest.raises(FeederError, match="net 2: the network runs at 60 Hz, net 1 at 50 Hz"):
        joined(tiny(1.0), tiny(1.0, f_hz=60.0))


def test_a_further_network_that_does_not_exist_says_which_it_is(tmp_path):
    pandapower.to_json(tiny(1.0), tmp_path / "good.json")
    empty = pandapower.create_empty_network()
    pandapower.to_json(empty, tmp_path / "empty.json")
    for wrong, text in (("missing.json", "there is no file"), ("empty.json", "no buses")):
        with pytest.raises(FurtherNetworkError, match=text) as caught:
            load_feeder("good.json", tmp_path, also=["good.json", wrong])
        assert caught.value.position == 1


NEAR = ((9.0, 45.0), (9.01, 45.0))
MOVED = "moved next to each other"
TREES = "drawn as generated trees"


@pytest.mark.parametrize(
    ("geo", "second", "said"),
    [
        (((9.02, 45.0), (9.03, 45.01)), [(9.02, 45.0), (9.03, 45.01)], ""),
        (NEAR, [(9.0115, 45.0), (9.0215, 45.0)], MOVED),
        (((12.0, 40.0), (12.02, 40.0)), [(9.013, 45.0), (9.033, 45.0)], MOVED),
        (((12.0, 45.0), (14.0, 45.0)), None, TREES),
        (((9.02, 45.0), (9.02, 45.0)), None, TREES),
        ((None, None), None, TREES),
    ],
    ids=["beside", "same place", "far away", "much larger", "a point", "without"],
)
def test_coordinates_are_kept_or_moved_where_the_networks_fit_on_one_map(geo, second, said):
    feeder = joined(tiny(1.0, geo=NEAR), tiny(1.0, geo=geo))
    drawn = list(zip(feeder.bus_x.tolist(), feeder.bus_y.tolist(), strict=True))
    assert feeder.has_geo == (second is not None)
    assert len(set(drawn)) == 4
    if second is not None:
        assert np.array(drawn) == pytest.approx(np.array([*NEAR, *second]))
    assert [word for word in (MOVED, TREES) if any(word in note for note in feeder.notes)] == [said] * bool(
        said
    )


def test_a_switch_that_only_one_network_knows_is_off_in_the_other():
    first, second = load_net("pandapower:cigre_lv"), load_net("pandapower:cigre_lv")
    first.trafo["oltc"], second.trafo = True, second.trafo.drop(columns="oltc")
    for nets, expected in (
        ((first, second), [True] * 3 + [False] * 3),
        ((second, first), [False] * 3 + [True] * 3),
    ):
        net, _ = join_nets(nets, ["a", "b"])
        assert net.trafo.oltc.tolist() == expected


def test_a_conductance_that_only_one_network_gives_is_zero_in_the_other():
    first, second = tiny(1.0), tiny(1.0)
    first.line["g_us_per_km"] = 3.0
    second.line = second.line.drop(columns="g_us_per_km")
    assert join_nets([first, second], ["a", "b"])[0].line.g_us_per_km.tolist() == [3.0, 0.0]
    assert join_nets([second, first], ["a", "b"])[0].line.g_us_per_km.tolist() == [0.0, 3.0]
