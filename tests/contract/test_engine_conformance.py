"""What every engine must do. A further engine in ``ENGINES`` is tested here without a change."""

import numpy as np
import pandapower
import pytest

from models.errors import FeederError, PowerFlowError
from models.feeder import ENGINES, check_engine
from models.feeder.compile import compile_feeder

LINE = {"r_ohm_per_km": 0.4, "x_ohm_per_km": 0.1, "c_nf_per_km": 0.0, "max_i_ka": 0.2}
ZERO_LOSS_TRAFO = {"pfe_kw": 0.0, "i0_percent": 0.0}


@pytest.fixture(params=sorted(ENGINES))
def make(request):
    """Return the factory of one engine."""
    return ENGINES[request.param]


def two_bus_net(vm_pu=1.0, **line):
    net = pandapower.create_empty_network(name="two bus")
    head, end = (pandapower.create_bus(net, 0.4, name=name) for name in ("head", "end"))
    pandapower.create_ext_grid(net, head, vm_pu=vm_pu)
    pandapower.create_line_from_parameters(net, head, end, length_km=1.0, **(LINE | line))
    return net


def add_line(net, from_bus, to_bus, **line):
    return pandapower.create_line_from_parameters(net, from_bus, to_bus, length_km=1.0, **(LINE | line))


def trafo_net(**trafo):
    net = pandapower.create_empty_network(name="trafo")
    mv, lv = pandapower.create_bus(net, 20.0, name="mv"), pandapower.create_bus(net, 0.4, name="lv")
    pandapower.create_ext_grid(net, mv)
    add_trafo(net, mv, lv, **trafo)
    return net


def add_trafo(net, mv, lv, **trafo):
    values = {"sn_mva": 0.4, "vn_hv_kv": 20.0, "vn_lv_kv": 0.4, "vk_percent": 6.0, "vkr_percent": 1.2}
    pandapower.create_transformer_from_parameters(net, mv, lv, **(values | ZERO_LOSS_TRAFO | trafo))


def feeder_of(net):
    return compile_feeder(net, source="test")


def at(feeder, **p_kw):
    """Return bus powers with the given kW at named buses and 0 elsewhere."""
    powers = np.zeros(len(feeder.bus_name))
    for name, value in p_kw.items():
        powers[feeder.bus_name.index(name)] = value
    return powers


def voltage(feeder, flow, name):
    return flow.vm_pu[feeder.bus_name.index(name)]


def two_bus_voltage(p_kw, q_kvar, *, r_ohm=0.4, x_ohm=0.1, v0_kv=0.4):
    """Return the end voltage [pu] from V^4 + V^2 (2(RP + XQ) - V0^2) + (R^2 + X^2)(P^2 + Q^2) = 0."""
    p_mw, q_mvar = p_kw / 1e3, q_kvar / 1e3
    half = (2 * (r_ohm * p_mw + x_ohm * q_mvar) - v0_kv**2) / 2
    product = (r_ohm**2 + x_ohm**2) * (p_mw**2 + q_mvar**2)
    return np.sqrt(-half + np.sqrt(half**2 - product)) / v0_kv


@pytest.mark.parametrize(
    ("p_kw", "q_kvar"),
    [(0.0, 0.0), (20.0, 0.0), (20.0, 8.0), (-30.0, 0.0), (-30.0, 12.0), (0.0, -15.0), (55.0, 10.0)],
)
def test_two_bus_voltage_solves_the_quadratic_equation(make, p_kw, q_kvar):
    feeder = feeder_of(two_bus_net())
    flow = make(feeder).solve(at(feeder, end=p_kw), at(feeder, end=q_kvar))
    assert voltage(feeder, flow, "end") == pytest.approx(two_bus_voltage(p_kw, q_kvar), abs=1e-7)
    assert voltage(feeder, flow, "head") == pytest.approx(1.0, abs=1e-9)


def test_line_loading_and_loss_follow_from_the_current(make):
    feeder = feeder_of(two_bus_net())
    flow = make(feeder).solve(at(feeder, end=20.0), at(feeder, end=8.0))
    i_ka = np.hypot(0.020, 0.008) / (np.sqrt(3) * 0.4 * two_bus_voltage(20.0, 8.0))
    assert flow.line_loading_percent[0] == pytest.approx(i_ka / 0.2 * 100, abs=1e-4)
    assert flow.p_loss_kw == pytest.approx(3 * 0.4 * i_ka**2 * 1e3, rel=1e-5)


def test_parallel_circuits_and_derating_raise_and_lower_the_rating(make):
    net = two_bus_net(parallel=2, df=0.5)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, end=20.0), at(feeder))
    v_pu = two_bus_voltage(20.0, 0.0, r_ohm=0.2, x_ohm=0.05)
    i_ka = 0.020 / (np.sqrt(3) * 0.4 * v_pu)
    assert feeder.line_rating_ka[0] == pytest.approx(0.2)
    assert flow.line_loading_percent[0] == pytest.approx(i_ka / 0.2 * 100, abs=1e-4)


def test_import_is_positive_under_load_and_negative_under_generation(make):
    feeder = feeder_of(two_bus_net())
    engine = make(feeder)
    load = engine.solve(at(feeder, end=20.0), at(feeder))
    generation = engine.solve(at(feeder, end=-20.0), at(feeder))
    assert load.p_import_kw > 20.0
    assert -20.0 < generation.p_import_kw < 0.0
    assert voltage(feeder, load, "end") < 1.0 < voltage(feeder, generation, "end")


def test_positive_reactive_power_absorbs_and_lowers_the_voltage(make):
    feeder = feeder_of(two_bus_net())
    flow = make(feeder).solve(at(feeder), at(feeder, end=10.0))
    assert flow.q_import_kvar > 10.0
    assert voltage(feeder, flow, "end") < 1.0


def test_transformer_flow_is_positive_downwards_and_negative_in_reverse(make):
    feeder = feeder_of(trafo_net())
    engine = make(feeder)
    down = engine.solve(at(feeder, lv=100.0), at(feeder, lv=20.0))
    up = engine.solve(at(feeder, lv=-100.0), at(feeder, lv=-20.0))
    assert down.trafo_p_kw[0] == pytest.approx(down.p_import_kw, abs=1e-3)
    assert down.trafo_q_kvar[0] == pytest.approx(down.q_import_kvar, abs=1e-3)
    assert up.trafo_p_kw[0] == pytest.approx(-100.0 + up.p_loss_kw, abs=1e-3)
    assert up.trafo_q_kvar[0] < 0.0


def test_every_load_change_gives_another_solution(make):
    feeder = feeder_of(two_bus_net())
    engine = make(feeder)
    voltages = [
        voltage(feeder, engine.solve(at(feeder, end=p), at(feeder)), "end") for p in (10.0, 40.0, 10.0)
    ]
    assert voltages[0] == pytest.approx(voltages[2], abs=1e-8)
    assert voltages[1] == pytest.approx(two_bus_voltage(40.0, 0.0), abs=1e-7)


def test_results_of_an_earlier_solve_stay_as_they_were(make):
    feeder = feeder_of(trafo_net())
    engine = make(feeder)
    first = engine.solve(at(feeder, lv=100.0), at(feeder))
    arrays = (
        first.vm_pu,
        first.line_loading_percent,
        first.trafo_loading_percent,
        first.trafo_p_kw,
        first.trafo_q_kvar,
    )
    before = [array.copy() for array in arrays]
    engine.solve(at(feeder, lv=-50.0), at(feeder, lv=30.0))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_inputs_are_not_changed(make):
    feeder = feeder_of(two_bus_net())
    p_kw, q_kvar = at(feeder, end=20.0), at(feeder, end=5.0)
    make(feeder).solve(p_kw, q_kvar)
    np.testing.assert_array_equal(p_kw, at(feeder, end=20.0))
    np.testing.assert_array_equal(q_kvar, at(feeder, end=5.0))


def test_power_at_the_slack_bus_is_imported_without_loss(make):
    feeder = feeder_of(two_bus_net())
    flow = make(feeder).solve(at(feeder, head=50.0), at(feeder))
    assert flow.p_import_kw == pytest.approx(50.0, abs=1e-4)
    assert flow.p_loss_kw == pytest.approx(0.0, abs=1e-4)


def test_more_power_than_the_line_can_carry_raises_and_names_the_bus(make):
    feeder = feeder_of(two_bus_net())
    with pytest.raises(PowerFlowError, match=r"did not converge.*'end' with 500\.0 kW"):
        make(feeder).solve(at(feeder, end=500.0), at(feeder))


def test_engine_works_again_after_a_power_flow_that_did_not_converge(make):
    feeder = feeder_of(two_bus_net())
    engine = make(feeder)
    with pytest.raises(PowerFlowError):
        engine.solve(at(feeder, end=500.0), at(feeder))
    flow = engine.solve(at(feeder, end=20.0), at(feeder))
    assert voltage(feeder, flow, "end") == pytest.approx(two_bus_voltage(20.0, 0.0), abs=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["p_kw", "q_kvar"])
def test_power_that_is_not_finite_raises_and_names_the_bus(make, bad, which):
    feeder = feeder_of(two_bus_net())
    powers = {"p_kw": at(feeder), "q_kvar": at(feeder)} | {which: at(feeder, end=bad)}
    with pytest.raises(PowerFlowError, match=f"{which} is not finite at bus 'end'"):
        make(feeder).solve(powers["p_kw"], powers["q_kvar"])


def test_wrong_number_of_powers_raises(make):
    feeder = feeder_of(two_bus_net())
    with pytest.raises(PowerFlowError, match=r"p_kw has shape \(3,\)"):
        make(feeder).solve(np.zeros(3), np.zeros(2))


def test_import_is_bus_powers_plus_losses(make):
    net = trafo_net(pfe_kw=1.2, i0_percent=0.3)
    end = pandapower.create_bus(net, 0.4, name="end")
    add_line(net, 1, end, c_nf_per_km=800.0)
    pandapower.create_shunt(net, end, q_mvar=-0.01, p_mw=0.002)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, lv=30.0, end=15.0), at(feeder, end=5.0))
    assert flow.p_loss_kw > 1.2 + 2.0 * 0.8
    assert flow.p_import_kw == pytest.approx(45.0 + flow.p_loss_kw, abs=1e-4)
    assert flow.p_other_kw == 0.0


def test_open_switch_moves_the_load_to_the_other_path(make):
    net = two_bus_net()
    middle = pandapower.create_bus(net, 0.4, name="middle")
    add_line(net, 0, middle)
    tie = add_line(net, middle, 1)
    pandapower.create_switch(net, 1, tie, et="l", closed=False)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, end=20.0), at(feeder))
    assert voltage(feeder, flow, "end") == pytest.approx(two_bus_voltage(20.0, 0.0), abs=1e-7)
    assert voltage(feeder, flow, "middle") == pytest.approx(1.0, abs=1e-7)


def test_closing_that_switch_makes_a_ring(make):
    net = two_bus_net()
    middle = pandapower.create_bus(net, 0.4, name="middle")
    add_line(net, 0, middle)
    tie = add_line(net, middle, 1)
    pandapower.create_switch(net, 1, tie, et="l", closed=True)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, end=20.0), at(feeder))
    # one line in parallel with two equal ones in series: two thirds of the impedance
    expected = two_bus_voltage(20.0, 0.0, r_ohm=0.4 * 2 / 3, x_ohm=0.1 * 2 / 3)
    assert voltage(feeder, flow, "end") == pytest.approx(expected, abs=1e-7)


def test_line_out_of_service_is_left_out(make):
    net = two_bus_net()
    add_line(net, 0, 1, in_service=False)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, end=20.0), at(feeder))
    assert len(feeder.line_name) == 1
    assert flow.line_loading_percent.shape == (1,)
    assert voltage(feeder, flow, "end") == pytest.approx(two_bus_voltage(20.0, 0.0), abs=1e-7)


def test_bus_behind_an_open_line_is_left_out(make):
    net = two_bus_net()
    dead = pandapower.create_bus(net, 0.4, name="dead")
    stub = add_line(net, 1, dead)
    pandapower.create_switch(net, 1, stub, et="l", closed=False)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, end=20.0), at(feeder))
    assert feeder.bus_name == ("head", "end")
    assert flow.vm_pu.shape == (2,)
    assert np.isfinite(flow.vm_pu).all()


@pytest.mark.parametrize("changer", ["Ratio", None])
@pytest.mark.parametrize(("position", "side"), [(-1, "hv"), (2, "hv"), (1, "lv")])
def test_tap_position_changes_the_ratio_even_if_the_changer_has_no_type(make, changer, position, side):
    tap = {"tap_side": side, "tap_neutral": 0, "tap_min": -2, "tap_max": 2, "tap_step_percent": 2.5}
    feeder = feeder_of(trafo_net(**tap, tap_pos=position, tap_changer_type=changer))
    flow = make(feeder).solve(at(feeder), at(feeder))
    ratio = 1 + position * 0.025
    assert voltage(feeder, flow, "lv") == pytest.approx(1 / ratio if side == "hv" else ratio, abs=1e-7)


def test_equal_parallel_transformers_share_the_load(make):
    net = trafo_net()
    add_trafo(net, 0, 1)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, lv=300.0), at(feeder, lv=60.0))
    assert flow.trafo_p_kw[0] == pytest.approx(flow.trafo_p_kw[1], abs=1e-6)
    assert flow.trafo_p_kw.sum() == pytest.approx(flow.p_import_kw, abs=1e-3)
    assert flow.trafo_loading_percent[0] == pytest.approx(flow.trafo_loading_percent[1], abs=1e-6)


def test_transformer_loading_is_current_over_rated_current(make):
    feeder = feeder_of(trafo_net())
    flow = make(feeder).solve(at(feeder, lv=300.0), at(feeder))
    # without magnetisation both sides carry the same relative current
    expected = 300.0 / 400.0 / voltage(feeder, flow, "lv") * 100
    assert flow.trafo_loading_percent[0] == pytest.approx(expected, abs=1e-4)


def three_winding_net():
    net = pandapower.create_empty_network(name="three windings")
    hv, mv, lv = (
        pandapower.create_bus(net, vn_kv, name=name)
        for vn_kv, name in ((110.0, "hv"), (20.0, "mv"), (10.0, "lv"))
    )
    pandapower.create_ext_grid(net, hv)
    pandapower.create_transformer3w(net, hv, mv, lv, "63/25/38 MVA 110/20/10 kV", tap_pos=2, name="T")
    return net


def test_three_winding_transformer_is_solved_as_by_pandapower(make):
    net = three_winding_net()
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, mv=15e3, lv=20e3), at(feeder, mv=3e3, lv=4e3))
    net.trafo3w["tap_changer_type"] = "Ratio"
    pandapower.create_load(net, 1, 15.0, 3.0)
    pandapower.create_load(net, 2, 20.0, 4.0)
    pandapower.runpp(net)
    np.testing.assert_allclose(flow.vm_pu, net.res_bus.vm_pu, rtol=0, atol=1e-7)
    assert feeder.trafo_name == ("T",)
    assert feeder.trafo_level == ("HV/MV",)
    assert flow.trafo_p_kw[0] == pytest.approx(net.res_trafo3w.p_hv_mw[0] * 1e3, rel=1e-7)
    assert flow.trafo_loading_percent[0] == pytest.approx(net.res_trafo3w.loading_percent[0], abs=1e-4)
    assert flow.p_import_kw == pytest.approx(35e3 + flow.p_loss_kw, abs=1e-2)


def test_capacitor_raises_the_voltage_and_conductance_is_a_loss(make):
    net = two_bus_net()
    pandapower.create_shunt(net, 1, q_mvar=-0.01, p_mw=0.005)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder), at(feeder))
    # shunt admittance at the end of a series impedance: a voltage divider
    divider = 1 / (1 + (0.4 + 0.1j) * (0.005 + 0.01j) / 0.4**2)
    assert voltage(feeder, flow, "end") == pytest.approx(abs(divider), abs=1e-8)
    assert flow.p_loss_kw == pytest.approx(flow.p_import_kw, abs=1e-5)
    assert flow.q_import_kvar < 0.0


def test_buses_joined_by_a_closed_switch_are_one_node(make):
    net = two_bus_net()
    twin = pandapower.create_bus(net, 0.4, name="twin")
    pandapower.create_switch(net, 1, twin, et="b", closed=True)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, end=12.0, twin=8.0), at(feeder))
    assert feeder.bus_node[1] == feeder.bus_node[2]
    assert flow.vm_pu[1] == flow.vm_pu[2]
    assert voltage(feeder, flow, "twin") == pytest.approx(two_bus_voltage(20.0, 0.0), abs=1e-7)


def test_impedance_element_is_a_branch(make):
    net = two_bus_net()
    far = pandapower.create_bus(net, 0.4, name="far")
    # per unit on 1 MVA and 0.4 kV: 0.16 ohm
    pandapower.create_impedance(net, 1, far, rft_pu=2.5, xft_pu=0.625, sn_mva=1.0)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, far=20.0), at(feeder))
    assert voltage(feeder, flow, "far") == pytest.approx(
        two_bus_voltage(20.0, 0.0, r_ohm=0.8, x_ohm=0.2), abs=1e-7
    )
    assert flow.p_import_kw == pytest.approx(20.0 + flow.p_loss_kw, abs=1e-4)


def test_charging_of_a_line_open_at_its_end_is_kept(make):
    net = two_bus_net(vm_pu=1.0, c_nf_per_km=1000.0)
    middle = pandapower.create_bus(net, 0.4, name="middle")
    add_line(net, 0, middle)
    tie = add_line(net, middle, 1, c_nf_per_km=1000.0)
    pandapower.create_switch(net, 1, tie, et="l", closed=False)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder), at(feeder))
    # two lines of 1 uF each at 0.4 kV deliver about 2 omega C V^2
    assert flow.q_import_kvar == pytest.approx(-2 * 2 * np.pi * 50 * 1e-6 * 400**2 / 1e3, rel=1e-3)


def test_two_slacks_share_the_import(make):
    net = two_bus_net()
    far = pandapower.create_bus(net, 0.4, name="far")
    pandapower.create_ext_grid(net, far)
    add_line(net, 1, far)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder, end=20.0), at(feeder))
    assert voltage(feeder, flow, "end") == pytest.approx(
        two_bus_voltage(20.0, 0.0, r_ohm=0.2, x_ohm=0.05), abs=1e-7
    )
    assert flow.p_import_kw == pytest.approx(20.0 + flow.p_loss_kw, abs=1e-4)


def test_slack_holds_the_voltage_it_is_given(make):
    feeder = feeder_of(two_bus_net(vm_pu=1.03))
    flow = make(feeder).solve(at(feeder, end=20.0), at(feeder))
    assert voltage(feeder, flow, "head") == pytest.approx(1.03, abs=1e-9)
    assert voltage(feeder, flow, "end") == pytest.approx(
        two_bus_voltage(20.0, 0.0, v0_kv=0.412) * 1.03, abs=1e-7
    )


def test_powers_of_the_network_itself_do_not_count(make):
    net = two_bus_net()
    pandapower.create_load(net, 1, p_mw=0.02)
    pandapower.create_sgen(net, 1, p_mw=0.01)
    pandapower.create_storage(net, 1, p_mw=0.01, max_e_mwh=0.02)
    feeder = feeder_of(net)
    flow = make(feeder).solve(at(feeder), at(feeder))
    assert flow.p_import_kw == pytest.approx(0.0, abs=1e-6)


def test_network_with_a_voltage_controlled_generator_is_solved_right_or_refused(make):
    net = two_bus_net()
    pandapower.create_gen(net, 1, p_mw=0.015, vm_pu=1.01, name="G")
    feeder = feeder_of(net)
    try:
        engine = make(feeder)
    except FeederError as error:
        assert "voltage-controlled generators: 'G'" in str(error)  # noqa: PT017 - refusing is one of two right answers
        return
    flow = engine.solve(at(feeder, end=20.0), at(feeder))
    assert voltage(feeder, flow, "end") == pytest.approx(1.01, abs=1e-8)
    assert flow.p_other_kw == pytest.approx(-15.0, abs=1e-4)
    assert flow.p_import_kw == pytest.approx(20.0 + flow.p_loss_kw + flow.p_other_kw, abs=1e-4)


def test_engine_agrees_with_the_reference_on_the_check_cases(make):
    net = three_winding_net()
    pandapower.create_load(net, 1, p_mw=10.0, q_mvar=2.0)
    pandapower.create_sgen(net, 2, p_mw=15.0)
    feeder = feeder_of(net)
    check = check_engine(feeder, make(feeder), reason="test")
    assert check.max_dv_pu <= check.limit_dv_pu
    assert check.max_dloading_percent <= check.limit_dloading_percent
