"""Laws of batteries, inverters, their coupling with the feeder, and resampling."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.battery import BatteryFleet, advance, clip_power_kw
from models.coupling import solve_coupled
from models.feeder.base import Flow
from models.inverter import (
    InverterFleet,
    ReactiveMode,
    apply_functions,
    cei_0_21,
    depends_on_voltage,
    reactive_kvar,
    update_locks,
)
from twin.profiles.resample import resample_mean

N = 4


def numbers(low, high, shape=(N,)):
    return arrays(np.float64, shape, elements=st.floats(low, high))


@st.composite
def batteries(draw):
    soc_min = draw(numbers(0.0, 0.4))
    return BatteryFleet(
        capacity_kwh=draw(numbers(1.0, 100.0)),
        charge_kw=draw(numbers(0.0, 50.0)),
        discharge_kw=draw(numbers(0.0, 50.0)),
        eta_charge=draw(numbers(0.5, 1.0)),
        eta_discharge=draw(numbers(0.5, 1.0)),
        soc_min=soc_min,
        soc_max=soc_min + draw(numbers(0.1, 0.6)),
        loss_per_day=draw(numbers(0.0, 0.2)),
    )


@st.composite
def inverters(draw, mode=None):
    p_rated_kw = draw(numbers(1.0, 30.0))
    fleet = cei_0_21(p_rated_kw, p_rated_kw * draw(numbers(1.0, 1.3)))
    start_pu = draw(numbers(1.0, 1.08))
    off = draw(arrays(np.bool_, N))
    return replace(
        fleet,
        mode=draw(arrays(np.int64, N, elements=st.sampled_from([int(entry) for entry in ReactiveMode])))
        if mode is None
        else np.full(N, int(mode)),
        cos_phi=draw(numbers(0.5, 1.0)),
        absorbs=draw(arrays(np.bool_, N)),
        q_max_share=draw(numbers(0.0, 1.2)),
        p_v_start_pu=np.where(off, np.inf, start_pu),
        p_v_end_pu=np.where(off, np.inf, start_pu + draw(numbers(0.01, 0.1))),
        p_v_min_share=draw(numbers(0.0, 1.0)),
    )


steps_s = st.sampled_from([1.0, 60.0, 900.0, 3600.0])


@given(batteries(), st.lists(numbers(-80.0, 80.0), min_size=1, max_size=8), steps_s)
def test_energy_taken_is_energy_stored_and_energy_lost(fleet, set_points_kw, dt_s):
    start = soc = (fleet.soc_min + fleet.soc_max) / 2
    taken_kwh = lost_kwh = np.zeros(N)
    for p_set_kw in set_points_kw:
        p_kw = clip_power_kw(fleet, soc, p_set_kw, dt_s)
        soc, lost = advance(fleet, soc, p_kw, dt_s)
        taken_kwh = taken_kwh + p_kw * dt_s / 3600.0
        lost_kwh = lost_kwh + lost
        assert np.all(lost >= -1e-12)
    stored_kwh = (soc - start) * fleet.capacity_kwh
    np.testing.assert_allclose(taken_kwh, stored_kwh + lost_kwh, rtol=1e-9, atol=1e-9)


@given(batteries(), st.lists(numbers(-80.0, 80.0), min_size=1, max_size=8), steps_s)
def test_clipped_power_keeps_the_charge_inside_its_window(fleet, set_points_kw, dt_s):
    lossless = replace(fleet, loss_per_day=np.zeros(N))
    soc = fleet.soc_min
    for p_set_kw in set_points_kw:
        soc, _ = advance(lossless, soc, clip_power_kw(lossless, soc, p_set_kw, dt_s), dt_s)
        assert np.all(soc >= fleet.soc_min - 1e-12)
        assert np.all(soc <= fleet.soc_max + 1e-12)


@given(batteries(), numbers(0.0, 1.0), numbers(-80.0, 80.0), steps_s)
def test_clipping_never_turns_power_around_nor_adds_to_it(fleet, soc, p_set_kw, dt_s):
    p_kw = clip_power_kw(fleet, soc, p_set_kw, dt_s)
    assert np.all(p_kw * p_set_kw >= 0.0)
    assert np.all(np.abs(p_kw) <= np.abs(p_set_kw))


@given(inverters(), numbers(-60.0, 60.0), numbers(0.5, 1.5), arrays(np.bool_, N))
def test_an_inverter_never_exceeds_its_rating_nor_what_it_was_asked_for(fleet, p_ask_kw, vm_pu, locked):
    p_kw, q_kvar = apply_functions(fleet, p_ask_kw, vm_pu, locked)
    assert np.all(np.hypot(p_kw, q_kvar) <= fleet.s_rated_kva * (1 + 1e-12))
    assert np.all(np.abs(p_kw) <= np.abs(p_ask_kw))
    assert np.all(p_kw * p_ask_kw >= 0.0)


@given(inverters(), numbers(-60.0, 60.0), numbers(0.5, 1.5), arrays(np.bool_, N))
def test_an_inverter_does_alone_what_it_does_among_others(fleet, p_ask_kw, vm_pu, locked):
    p_kw, q_kvar = apply_functions(fleet, p_ask_kw, vm_pu, locked)
    depends = depends_on_voltage(fleet, locked)
    updated = update_locks(fleet, p_ask_kw, vm_pu, locked)
    for place in range(N):
        one = slice(place, place + 1)
        alone = fleet.take(one)
        p_alone_kw, q_alone_kvar = apply_functions(alone, p_ask_kw[one], vm_pu[one], locked[one])
        assert (p_alone_kw[0], q_alone_kvar[0]) == (p_kw[place], q_kvar[place])
        assert depends_on_voltage(alone, locked[one])[0] == depends[place]
        assert update_locks(alone, p_ask_kw[one], vm_pu[one], locked[one])[0] == updated[place]


@given(inverters(mode=ReactiveMode.Q_V), numbers(-30.0, 30.0), numbers(0.5, 1.5), numbers(0.0, 0.2))
def test_volt_var_absorbs_no_less_at_a_higher_voltage(fleet, p_kw, vm_pu, rise_pu):
    active = np.ones(N, dtype=bool)
    low, high = (reactive_kvar(fleet, p_kw, vm, active) for vm in (vm_pu, vm_pu + rise_pu))
    assert np.all(high >= low)


@given(inverters(), numbers(-60.0, 0.0), numbers(0.5, 1.5), numbers(0.0, 0.2))
def test_volt_watt_feeds_in_no_more_at_a_higher_voltage(fleet, p_ask_kw, vm_pu, rise_pu):
    active = np.ones(N, dtype=bool)
    low, high = (apply_functions(fleet, p_ask_kw, vm, active)[0] for vm in (vm_pu, vm_pu + rise_pu))
    assert np.all(high >= low)


@given(inverters(), numbers(-60.0, 60.0), numbers(0.8, 1.2), arrays(np.bool_, N))
def test_locks_settle_when_nothing_changes(fleet, p_kw, vm_pu, locked):
    once = update_locks(fleet, p_kw, vm_pu, locked)
    np.testing.assert_array_equal(once, update_locks(fleet, p_kw, vm_pu, once))


class Radial:
    """Buses in a row behind equal impedances, voltages by LinDistFlow (Baran and Wu 1989, doi:10.1109/61.25627)."""

    name = "radial"

    def __init__(self, r_pu_per_kw, x_pu_per_kw, v0_pu):
        shared = np.minimum.outer(np.arange(N), np.arange(N)) + 1.0
        self.r, self.x, self.v0 = shared * r_pu_per_kw, shared * x_pu_per_kw, v0_pu

    def solve(self, p_kw, q_kvar):
        none = np.zeros(0)
        return Flow(
            vm_pu=np.sqrt(self.v0**2 - 2.0 * (self.r @ p_kw + self.x @ q_kvar)),
            line_loading_percent=none,
            trafo_loading_percent=none,
            trafo_p_kw=none,
            trafo_q_kvar=none,
            p_import_kw=0.0,
            q_import_kvar=0.0,
            p_loss_kw=0.0,
        )


def coupled(fleet, feeder, p_ask_kw, locked, vm_start_pu, order=None):
    order = np.arange(N) if order is None else order
    return solve_coupled(
        Radial(*feeder),
        p_bus_kw=np.linspace(0.0, 2.0, N),
        q_bus_kvar=np.linspace(0.0, 0.5, N),
        fleet=fleet.take(order),
        bus=order,
        p_ask_kw=p_ask_kw[order],
        locked=locked[order],
        vm_start_pu=np.full(N, vm_start_pu),
    )


feeders = st.tuples(st.floats(1e-4, 1e-3), st.floats(1e-4, 5e-4), st.floats(0.95, 1.08))


@given(inverters(), feeders, numbers(-30.0, 10.0), arrays(np.bool_, N), st.floats(0.9, 1.2))
def test_the_coupled_solution_lies_on_every_curve_and_on_the_feeder(
    fleet, feeder, p_ask_kw, locked, vm_start_pu
):
    solved = coupled(fleet, feeder, p_ask_kw, locked, vm_start_pu)
    p_kw, q_kvar = apply_functions(fleet, p_ask_kw, solved.flow.vm_pu, locked)
    assert np.all(np.hypot(solved.p_kw - p_kw, solved.q_kvar - q_kvar) <= 1e-3)
    assert np.all(np.hypot(solved.p_kw, solved.q_kvar) <= fleet.s_rated_kva * (1 + 1e-12))
    feeder_vm = Radial(*feeder).solve(
        np.linspace(0.0, 2.0, N) + solved.p_kw, np.linspace(0.0, 0.5, N) + solved.q_kvar
    )
    np.testing.assert_allclose(solved.flow.vm_pu, feeder_vm.vm_pu, rtol=1e-14)


@given(inverters(), feeders, numbers(-30.0, 10.0), st.permutations(list(range(N))))
def test_neither_the_start_nor_the_order_of_inverters_changes_the_voltages(fleet, feeder, p_ask_kw, order):
    locked = np.ones(N, dtype=bool)
    one = coupled(fleet, feeder, p_ask_kw, locked, 1.0)
    other = coupled(fleet, feeder, p_ask_kw, locked, 1.12, order=np.array(order))
    np.testing.assert_allclose(one.flow.vm_pu, other.flow.vm_pu, atol=2e-5)


@given(inverters(), inverters())
def test_a_joined_fleet_gives_back_its_parts(first, second):
    joined = InverterFleet.concatenate([first, second])
    for part, where in ((first, slice(0, N)), (second, slice(N, None))):
        picked = joined.take(where)
        np.testing.assert_array_equal(picked.s_rated_kva, part.s_rated_kva)
        np.testing.assert_array_equal(picked.mode, part.mode)


@given(st.data(), st.integers(1, 4000), st.integers(1, 4000))
def test_resampling_keeps_the_energy_of_any_window(data, dt_from_s, dt_to_s):
    count = data.draw(st.integers(1, 40))
    values = data.draw(numbers(-1e3, 1e3, (count,)))
    offset_s = data.draw(st.integers(0, count * dt_from_s))
    n_steps = data.draw(st.integers(0, (count * dt_from_s - offset_s) // dt_to_s))
    means = resample_mean(values, dt_from_s, dt_to_s, offset_s=offset_s, n_steps=n_steps)
    edges_s = np.arange(count + 1) * dt_from_s
    stored = np.concatenate(([0.0], np.cumsum(values * dt_from_s)))
    at = np.interp([offset_s, offset_s + n_steps * dt_to_s], edges_s, stored)
    assert means.shape == (n_steps,)
    assert means.sum() * dt_to_s == pytest.approx(at[1] - at[0], rel=1e-9, abs=1e-6)


@given(numbers(-1e3, 1e3, (12,)), st.sampled_from([1, 2, 3, 4, 6]))
def test_holding_finer_and_averaging_back_gives_the_series_again(values, parts):
    finer = resample_mean(values, 900, 900 // parts)
    np.testing.assert_allclose(resample_mean(finer, 900 // parts, 900), values, rtol=1e-12, atol=1e-12)


@given(numbers(-1e3, 1e3, (12,)), st.sampled_from([300, 450, 600, 1800, 2700]))
def test_means_stay_between_the_extremes_of_the_series(values, dt_to_s):
    means = resample_mean(values, 900, dt_to_s)
    assert means.max() <= values.max() + 1e-9
    assert means.min() >= values.min() - 1e-9
