"""The fixed point on the impedance matrix where it stops converging, against Newton-Raphson on the same network."""

from dataclasses import replace

import numpy as np
import pandapower
import pytest

from models.errors import FeederError, PowerFlowError
from models.feeder import ENGINES
from models.feeder.compile import compile_feeder
from models.feeder.engine_impedance import ImpedanceEngine

LARGEST_KW = 98.49
"""Solution of V0^4 = 4 (V0^2 R P + X^2 P^2) for the line below: half its voltage is lost."""


@pytest.fixture(scope="module")
def line():
    """Return a feeder of two buses, 0.4 kV, behind 0.4 + 0.1j ohm."""
    net = pandapower.create_empty_network(name="line")
    head, end = pandapower.create_bus(net, 0.4, name="head"), pandapower.create_bus(net, 0.4, name="end")
    pandapower.create_ext_grid(net, head)
    pandapower.create_line_from_parameters(
        net, head, end, length_km=1.0, r_ohm_per_km=0.4, x_ohm_per_km=0.1, c_nf_per_km=0.0, max_i_ka=0.2
    )
    return compile_feeder(net, source="test")


def end_voltage_pu(flow, p_kw):
    return flow.vm_pu[1], np.sqrt(exact_square(p_kw)) / 0.4


def exact_square(p_kw):
    """Return the larger root V^2 of V^4 + V^2 (2 R P - V0^2) + (R^2 + X^2) P^2 = 0 [kV^2]."""
    p_mw = p_kw / 1e3
    half = 0.4 * p_mw - 0.08
    return -half + np.sqrt(half**2 - 0.17 * p_mw**2)


@pytest.mark.parametrize("share", [0.9, 0.96, 0.99, 0.999])
def test_voltages_are_exact_up_to_the_largest_power_the_line_carries(line, share):
    p_kw = share * LARGEST_KW
    got_pu, exact_pu = end_voltage_pu(ImpedanceEngine(line).solve(np.array([0.0, p_kw]), np.zeros(2)), p_kw)
    assert got_pu == pytest.approx(exact_pu, abs=5e-9)


def test_beyond_it_there_is_no_solution(line):
    with pytest.raises(PowerFlowError, match=r"did not converge.*'end' with 98\.6 kW"):
        ImpedanceEngine(line).solve(np.array([0.0, LARGEST_KW + 0.1]), np.zeros(2))


@pytest.mark.parametrize("p_kw", [1e6, -1e6, 1e250, -1e250])
def test_powers_far_beyond_any_network_raise_and_warn_of_nothing(line, p_kw):
    with pytest.raises(PowerFlowError):
        ImpedanceEngine(line).solve(np.array([0.0, p_kw]), np.zeros(2))


def test_a_power_flow_left_to_newton_does_not_change_the_next_one(line):
    p_kw, q_kvar = np.array([0.0, 20.0]), np.array([0.0, 5.0])
    engine = ImpedanceEngine(line)
    before = engine.solve(p_kw, q_kvar)
    engine.solve(np.array([0.0, 0.99 * LARGEST_KW]), np.zeros(2))
    after = engine.solve(p_kw, q_kvar)
    np.testing.assert_array_equal(before.vm_pu, after.vm_pu)
    assert before.p_import_kw == after.p_import_kw


@pytest.mark.parametrize("n_buses", [30, 31, 32, 64, 127, 200])
def test_every_number_of_nodes_fits_the_blocks_of_the_matrix(n_buses):
    net = pandapower.create_empty_network(name="star")
    buses = pandapower.create_buses(net, n_buses, 0.4)
    pandapower.create_ext_grid(net, buses[0])
    pandapower.create_lines(net, np.repeat(buses[0], n_buses - 1), buses[1:], 0.1, "NAYY 4x150 SE")
    feeder = compile_feeder(net, source="test")
    p_kw = np.linspace(-5.0, 20.0, n_buses)
    flow, expected = (ENGINES[name](feeder).solve(p_kw, 0.2 * p_kw) for name in ("impedance", "pgm"))
    np.testing.assert_allclose(flow.vm_pu, expected.vm_pu, rtol=0, atol=2e-9)
    np.testing.assert_allclose(flow.line_loading_percent, expected.line_loading_percent, rtol=0, atol=1e-5)


def test_a_network_whose_matrix_has_no_inverse_is_refused(line):
    # a shunt that cancels the line leaves the end bus without admittance
    cancels = -line.grid.base_mva / (line.grid.r_pu + 1j * line.grid.x_pu).repeat(2)
    grid = replace(line.grid, node_g_mw=cancels.real, node_b_mvar=cancels.imag, b_pu=np.zeros(1))
    with pytest.raises(FeederError, match="line: the admittance matrix has no inverse"):
        ImpedanceEngine(replace(line, grid=grid))
