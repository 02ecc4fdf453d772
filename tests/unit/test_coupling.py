"""Inverter functions and feeder solved together, on feeders whose solution is known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from models.coupling import CouplingOptions, solve_coupled
from models.errors import OscillationError, PowerFlowError
from models.feeder.base import Flow
from models.inverter import ReactiveMode, apply_functions, cei_0_21


def flow_of(vm_pu):
    none = np.zeros(0)
    return Flow(
        vm_pu=vm_pu,
        line_loading_percent=none,
        trafo_loading_percent=none,
        trafo_p_kw=none,
        trafo_q_kvar=none,
        p_import_kw=0.0,
        q_import_kvar=0.0,
        p_loss_kw=0.0,
    )


class TwoBus:
    """A slack bus at ``v0_pu`` and one load bus behind ``r + jx``: exact voltage in closed form."""

    name = "two bus"

    def __init__(self, r_pu_per_kw, x_pu_per_kw, v0_pu=1.0):
        self.r, self.x, self.v0, self.calls = r_pu_per_kw, x_pu_per_kw, v0_pu, 0

    def vm(self, p_kw, q_kvar):
        a = self.v0**2 - 2.0 * (self.r * p_kw + self.x * q_kvar)
        under_root = a**2 - 4.0 * (self.r**2 + self.x**2) * (p_kw**2 + q_kvar**2)
        if under_root < 0.0:
            raise PowerFlowError("two bus: beyond the voltage collapse")
        return np.sqrt((a + np.sqrt(under_root)) / 2.0)

    def solve(self, p_kw, q_kvar):
        self.calls += 1
        return flow_of(np.array([self.v0, self.vm(p_kw[1], q_kvar[1])]))


class Stepping(TwoBus):
    """A bus whose voltage jumps down by 0.1 pu once it absorbs 1 kvar: no volt-var curve meets it."""

    def solve(self, p_kw, q_kvar):
        self.calls += 1
        lifted_pu = 1.15 if p_kw[1] < 0.0 else 1.0
        return flow_of(np.array([1.0, lifted_pu - 0.1 if q_kvar[1] > 1.0 else lifted_pu]))


def inverter(p_rated_kw, mode, **changes):
    fleet = cei_0_21(np.array([p_rated_kw]), np.array([p_rated_kw / 0.9]), mode=mode)
    return replace(fleet, **{name: np.array([value]) for name, value in changes.items()})


def solve(engine, fleet, p_ask_kw, *, fixed_kw=0.0, options=None, vm_start_pu=1.0):
    return solve_coupled(
        engine,
        p_bus_kw=np.array([0.0, fixed_kw]),
        q_bus_kvar=np.zeros(2),
        fleet=fleet,
        bus=np.ones(fleet.n, dtype=np.int64),
        p_ask_kw=np.full(fleet.n, p_ask_kw),
        locked=np.ones(fleet.n, dtype=bool),
        vm_start_pu=np.full(2, vm_start_pu),
        options=options,
    )


def common_vm_pu(engine, fleet, p_ask_kw):
    """Return the voltage where curve and feeder meet, by bisection."""

    def gap(vm_pu):
        p_kw, q_kvar = apply_functions(fleet, np.array([p_ask_kw]), np.array([vm_pu]), np.array([True]))
        return engine.vm(p_kw[0], q_kvar[0]) - vm_pu

    return brentq(gap, 0.9, 1.4, xtol=1e-13)


def test_without_voltage_functions_one_power_flow_is_enough():
    engine = TwoBus(1e-3, 5e-4)
    solved = solve(engine, inverter(10.0, ReactiveMode.COS_PHI, cos_phi=0.95), -10.0, fixed_kw=3.0)
    assert (engine.calls, solved.iterations, solved.residual_kva) == (1, 1, 0.0)
    q_kvar = 10.0 * np.tan(np.arccos(0.95))
    assert solved.q_kvar[0] == pytest.approx(q_kvar)
    assert solved.flow.vm_pu[1] == pytest.approx(engine.vm(-7.0, q_kvar), abs=1e-15)


def test_no_inverters_at_all_is_a_plain_power_flow():
    engine = TwoBus(1e-3, 5e-4)
    fleet = inverter(10.0, ReactiveMode.COS_PHI).take(np.zeros(0, dtype=np.int64))
    solved = solve(engine, fleet, 0.0, fixed_kw=5.0)
    assert solved.iterations == 1
    assert solved.flow.vm_pu[1] == engine.vm(5.0, 0.0)


def test_inside_the_dead_band_the_first_power_flow_is_the_solution():
    solved = solve(TwoBus(1e-3, 5e-4), inverter(10.0, ReactiveMode.Q_V), -10.0)
    assert (solved.iterations, solved.residual_kva, solved.q_kvar[0]) == (1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        (ReactiveMode.Q_V, {}),
        (ReactiveMode.COS_PHI, {"p_v_start_pu": 1.078, "p_v_end_pu": 1.10}),
        (ReactiveMode.Q_V, {"p_v_start_pu": 1.078, "p_v_end_pu": 1.10}),
    ],
    ids=["volt-var", "volt-watt", "both"],
)
@pytest.mark.parametrize("r_pu_per_kw", [3e-3, 5e-3, 1e-2])
def test_the_solution_is_where_curve_and_feeder_meet(mode, changes, r_pu_per_kw):
    engine, fleet = TwoBus(r_pu_per_kw, 1e-3, v0_pu=1.06), inverter(20.0, mode, **changes)
    solved = solve(engine, fleet, -20.0)
    assert solved.flow.vm_pu[1] == pytest.approx(common_vm_pu(engine, fleet, -20.0), abs=1e-5)
    assert solved.residual_kva <= 1e-3
    assert solved.iterations == engine.calls


def test_starting_from_the_solution_costs_one_power_flow():
    engine, fleet = TwoBus(5e-3, 1e-3, v0_pu=1.06), inverter(20.0, ReactiveMode.Q_V)
    options = CouplingOptions(tolerance_kva=1e-9, tolerance_share=1e-9)
    first = solve(engine, fleet, -20.0, options=options)
    second = solve(engine, fleet, -20.0, vm_start_pu=first.flow.vm_pu[1])
    assert first.iterations > 1
    assert second.iterations == 1


def test_a_curve_that_makes_the_plain_iteration_oscillate_is_settled():
    engine = TwoBus(1e-3, 5e-3, v0_pu=1.09)
    fleet = inverter(20.0, ReactiveMode.Q_V, v1s_pu=1.085, v2s_pu=1.0851, q_max_share=0.45)
    q_kvar, seen = 0.0, []
    for _ in range(20):
        q_kvar = apply_functions(
            fleet, np.array([-10.0]), np.array([engine.vm(-10.0, q_kvar)]), np.array([True])
        )[1][0]
        seen.append(round(q_kvar, 6))
    assert set(seen[2:]) == {0.0, 9.0}, "undamped, the inverter jumps between nothing and all for ever"
    solved = solve(engine, fleet, -10.0)
    assert solved.flow.vm_pu[1] == pytest.approx(common_vm_pu(engine, fleet, -10.0), abs=1e-7)
    assert 0.0 < solved.q_kvar[0] < 9.0


def test_what_cannot_settle_names_inverter_residual_and_remedy():
    engine, fleet = Stepping(1e-3, 1e-3), inverter(10.0, ReactiveMode.Q_V)
    with pytest.raises(
        OscillationError, match=r"inverter 0 at bus 1: .* kVA apart after 30 power flows .*v2s_pu"
    ) as caught:
        solve(engine, fleet, -9.0, options=CouplingOptions(max_iterations=30))
    assert engine.calls == 30
    assert "allowed 0.001 kVA" in str(caught.value)


def test_a_feeder_without_solution_says_so_itself():
    with pytest.raises(PowerFlowError, match="collapse"):
        solve(TwoBus(1e-2, 1e-2), inverter(10.0, ReactiveMode.Q_V), -5.0, fixed_kw=500.0)


def test_an_overshoot_beyond_the_collapse_is_taken_back():
    class Narrow(TwoBus):
        """Solves only while the inverter absorbs less than half of what its curve could ask for."""

        def solve(self, p_kw, q_kvar):
            if q_kvar[1] > 4.0:
                self.calls += 1
                raise PowerFlowError("too much reactive power")
            return super().solve(p_kw, q_kvar)

    engine = Narrow(1e-3, 5e-3, v0_pu=1.09)
    fleet = inverter(20.0, ReactiveMode.Q_V, v1s_pu=1.085, v2s_pu=1.0851, q_max_share=0.45)
    solved = solve(engine, fleet, -10.0)
    assert solved.residual_kva <= 1e-3
    assert 2.0 < solved.q_kvar[0] < 4.0


def test_the_smallest_residual_nearby_is_not_a_trap():
    # Rated apparent equals rated active power: each kW that volt-watt cuts makes room for reactive power that lifts
    # the voltage further. The search has to pass points with a larger residual than its first one.
    engine = TwoBus(1.6e-3, 5e-4)
    fleet = inverter(10.0, ReactiveMode.COS_PHI, s_rated_kva=10.0, cos_phi=0.5, absorbs=False)
    fleet = replace(fleet, p_v_start_pu=np.array([1.0]), p_v_end_pu=np.array([1.0625]))
    solved = solve(engine, fleet, -10.0, fixed_kw=9.985)
    p_kw, q_kvar = apply_functions(fleet, np.array([-10.0]), solved.flow.vm_pu[1:], np.array([True]))
    assert np.hypot(solved.p_kw - p_kw, solved.q_kvar - q_kvar)[0] <= 1e-3
    assert solved.q_kvar[0] < -0.5


def test_inverters_at_one_bus_add_up():
    engine = TwoBus(5e-3, 1e-3, v0_pu=1.06)
    whole = solve(engine, inverter(20.0, ReactiveMode.Q_V), -20.0)
    half = inverter(10.0, ReactiveMode.Q_V)
    halves = solve(engine, type(half).concatenate([half, half]), -10.0)
    assert halves.flow.vm_pu[1] == pytest.approx(whole.flow.vm_pu[1], abs=1e-6)
    assert halves.q_kvar.sum() == pytest.approx(whole.q_kvar[0], abs=2e-3)
