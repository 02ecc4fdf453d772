"""Laws of the feeder that hold for any powers and any order of the buses."""

import functools

import numpy as np
import pandapower
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.feeder import ENGINES
from models.feeder.compile import compile_feeder

N_BUSES = 8
PARENT = (0, 1, 1, 3, 4, 3, 6)
FAST = sorted(set(ENGINES) - {"pandapower"})
powers = arrays(np.float64, N_BUSES, elements=st.floats(-25.0, 25.0))


def net_in_order(order):
    """Return a tree behind a transformer, with bus ``b`` created as number ``order[b]``."""
    net = pandapower.create_empty_network()
    place = np.argsort(order)
    for bus in place:
        pandapower.create_bus(net, 20.0 if bus == 0 else 0.4, name=f"bus{bus}")
    pandapower.create_ext_grid(net, int(order[0]), vm_pu=1.02)
    pandapower.create_transformer(net, int(order[0]), int(order[1]), "0.4 MVA 20/0.4 kV", tap_pos=-1)
    for child, parent in enumerate(PARENT[1:], start=2):
        pandapower.create_line(
            net, int(order[parent]), int(order[child]), 0.15, "NAYY 4x150 SE", name=f"line{child}"
        )
    pandapower.create_shunt(net, int(order[5]), q_mvar=-0.005, p_mw=0.001)
    return compile_feeder(net, source="test")


@functools.cache
def base(name):
    feeder = net_in_order(np.arange(N_BUSES))
    return feeder, ENGINES[name](feeder)


@pytest.mark.parametrize("name", FAST)
@given(p_kw=powers, q_kvar=powers)
@settings(max_examples=100, deadline=None)
def test_import_equals_loads_plus_losses(name, p_kw, q_kvar):
    _, engine = base(name)
    flow = engine.solve(p_kw, q_kvar)
    assert abs(flow.p_import_kw - p_kw.sum() - flow.p_loss_kw) < 1e-4
    assert flow.p_loss_kw > 0.0


@pytest.mark.parametrize("name", FAST)
@given(p_kw=powers, q_kvar=powers)
@settings(max_examples=50, deadline=None)
def test_same_powers_give_the_same_result_whatever_came_before(name, p_kw, q_kvar):
    feeder, engine = base(name)
    first = engine.solve(p_kw, q_kvar)
    engine.solve(-p_kw, 0.5 * q_kvar)
    again = engine.solve(p_kw, q_kvar)
    fresh = ENGINES[name](feeder).solve(p_kw, q_kvar)
    np.testing.assert_array_equal(first.vm_pu, again.vm_pu)
    np.testing.assert_array_equal(first.vm_pu, fresh.vm_pu)


@pytest.mark.parametrize("name", FAST)
@given(order=st.permutations(range(N_BUSES)), p_kw=powers, q_kvar=powers)
@settings(max_examples=25, deadline=None)
def test_order_of_buses_changes_nothing(name, order, p_kw, q_kvar):
    feeder, engine = base(name)
    expected = engine.solve(p_kw, q_kvar)
    shuffled = net_in_order(np.array(order))
    place = [feeder.bus_name.index(bus) for bus in shuffled.bus_name]
    flow = ENGINES[name](shuffled).solve(p_kw[place], q_kvar[place])
    np.testing.assert_allclose(flow.vm_pu, expected.vm_pu[place], rtol=0, atol=1e-9)
    np.testing.assert_allclose(flow.line_loading_percent, expected.line_loading_percent, rtol=0, atol=1e-6)
    np.testing.assert_allclose(flow.trafo_p_kw, expected.trafo_p_kw, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAST)
@given(p_kw=powers, q_kvar=powers)
@settings(max_examples=5, deadline=None)
def test_every_engine_gives_the_same_flow(name, p_kw, q_kvar):
    feeder, engine = base(name)
    fast, reference = engine.solve(p_kw, q_kvar), ENGINES["pandapower"](feeder).solve(p_kw, q_kvar)
    np.testing.assert_allclose(fast.vm_pu, reference.vm_pu, rtol=0, atol=1e-7)
    np.testing.assert_allclose(fast.line_loading_percent, reference.line_loading_percent, rtol=0, atol=1e-4)
    assert abs(fast.p_loss_kw - reference.p_loss_kw) < 1e-3
