"""Inverter functions against values worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import DeviceError
from models.inverter import (
    InverterFleet,
    ReactiveMode,
    apply_functions,
    cei_0_21,
    depends_on_voltage,
    feed_in_limit_kw,
    plain,
    reactive_kvar,
    start_locks,
    update_locks,
)

RATED_KW = 9.0
S_KVA = 10.0


def one(mode, **changes):
    fleet = cei_0_21(np.array([RATED_KW]), np.array([S_KVA]), mode=mode)
    return replace(fleet, **{name: np.array([value]) for name, value in changes.items()})


def q_of(fleet, p_kw, vm_pu, *, active):
    return float(reactive_kvar(fleet, np.array([p_kw]), np.array([vm_pu]), np.array([active]))[0])


@pytest.mark.parametrize(
    ("absorbs", "p_kw", "q_kvar"),
    [(True, -8.0, 6.0), (False, -8.0, -6.0), (True, 4.0, 3.0), (True, 0.0, 0.0)],
    ids=["absorbing generator", "injecting generator", "charging battery", "night"],
)
def test_fixed_power_factor_gives_reactive_power_in_proportion(absorbs, p_kw, q_kvar):
    fleet = one(ReactiveMode.COS_PHI, cos_phi=0.8, absorbs=absorbs)
    assert q_of(fleet, p_kw, 1.0, active=False) == pytest.approx(q_kvar)


@pytest.mark.parametrize(
    ("share", "cos_phi"), [(0.2, 1.0), (0.5, 1.0), (0.75, 0.95), (1.0, 0.90)], ids="{} of rated".format
)
def test_power_factor_falls_linearly_from_half_rated_power(share, cos_phi):
    fleet = one(ReactiveMode.COS_PHI_P)
    expected = share * RATED_KW * np.tan(np.arccos(cos_phi))
    assert q_of(fleet, -share * RATED_KW, 1.0, active=True) == pytest.approx(expected, abs=1e-12)


def test_power_factor_function_is_silent_while_charging_and_while_locked_out():
    fleet = one(ReactiveMode.COS_PHI_P)
    assert q_of(fleet, RATED_KW, 1.1, active=True) == 0.0
    assert q_of(fleet, -RATED_KW, 1.1, active=False) == 0.0


@pytest.mark.parametrize(
    ("vm_pu", "share"),
    [
        (0.85, -0.436),
        (0.90, -0.436),
        (0.91, -0.218),
        (0.92, 0.0),
        (1.0, 0.0),
        (1.08, 0.0),
        (1.09, 0.218),
        (1.2, 0.436),
    ],
)
@pytest.mark.parametrize("p_kw", [-5.0, 5.0], ids=["generating", "charging"])
def test_volt_var_injects_low_and_absorbs_high_in_both_directions(vm_pu, share, p_kw):
    fleet = one(ReactiveMode.Q_V)
    assert q_of(fleet, p_kw, vm_pu, active=True) == pytest.approx(share * RATED_KW, abs=1e-9)
    assert q_of(fleet, p_kw, vm_pu, active=False) == 0.0


@pytest.mark.parametrize(
    ("vm_pu", "limit_kw"), [(1.0, 9.0), (1.08, 9.0), (1.09, 5.4), (1.10, 1.8), (1.3, 1.8)]
)
def test_volt_watt_limits_feed_in_only(vm_pu, limit_kw):
    fleet = one(ReactiveMode.COS_PHI, p_v_start_pu=1.08, p_v_end_pu=1.10, p_v_min_share=0.2)
    vm = np.array([vm_pu])
    assert feed_in_limit_kw(fleet, vm)[0] == pytest.approx(limit_kw)
    fed_kw, _ = apply_functions(fleet, np.array([-9.0]), vm, np.array([True]))
    charged_kw, _ = apply_functions(fleet, np.array([9.0]), vm, np.array([True]))
    assert fed_kw[0] == pytest.approx(-limit_kw)
    assert charged_kw[0] == 9.0


def test_feed_in_is_limited_to_rated_power_where_volt_watt_is_off():
    fleet = one(ReactiveMode.COS_PHI)
    p_kw, _ = apply_functions(fleet, np.array([-12.0]), np.array([1.2]), np.array([True]))
    assert p_kw[0] == -RATED_KW


def test_active_power_has_priority_over_reactive_power():
    fleet = one(ReactiveMode.Q_V, q_max_share=1.0)
    p_kw, q_kvar = apply_functions(fleet, np.array([-8.0]), np.array([1.2]), np.array([True]))
    assert p_kw[0] == -8.0
    assert q_kvar[0] == pytest.approx(6.0)


def test_volt_var_locks_in_and_out_on_power_with_a_band_between():
    fleet = one(ReactiveMode.Q_V)
    locked, seen = np.array([False]), []
    for share in (-0.10, -0.21, -0.06, -0.04, -0.10, 0.21):
        locked = update_locks(fleet, np.array([share * RATED_KW]), np.array([1.0]), locked)
        seen.append(bool(locked[0]))
    assert seen == [False, True, True, False, False, True]


def test_power_factor_function_locks_in_and_out_on_voltage_with_a_band_between():
    fleet = one(ReactiveMode.COS_PHI_P)
    locked, seen = np.array([False]), []
    for vm_pu in (1.04, 1.051, 1.01, 0.999, 1.04):
        locked = update_locks(fleet, np.array([-RATED_KW]), np.array([vm_pu]), locked)
        seen.append(bool(locked[0]))
    assert seen == [False, True, True, False, False]


def test_only_a_fixed_power_factor_is_active_before_the_first_step():
    fleet = InverterFleet.concatenate([one(mode) for mode in ReactiveMode])
    assert start_locks(fleet).tolist() == [True, False, False]
    assert update_locks(fleet, np.zeros(3), np.ones(3), start_locks(fleet)).tolist() == [True, False, False]


def test_voltage_matters_for_locked_volt_var_and_for_volt_watt():
    fleet = InverterFleet.concatenate(
        [*(one(mode) for mode in ReactiveMode), one(ReactiveMode.COS_PHI, p_v_start_pu=1.08, p_v_end_pu=1.1)]
    )
    assert depends_on_voltage(fleet, np.ones(4, dtype=bool)).tolist() == [False, False, True, True]
    assert depends_on_voltage(fleet, np.zeros(4, dtype=bool)).tolist() == [False, False, False, True]


def test_joined_fleets_keep_their_order_and_can_be_picked_from():
    joined = InverterFleet.concatenate(
        [plain(2, np.array([3.0, 4.0])), plain(0, np.zeros(0)), one(ReactiveMode.Q_V)]
    )
    assert joined.s_rated_kva.tolist() == [3.0, 4.0, 10.0]
    picked = joined.take(np.array([2, 0]))
    assert picked.s_rated_kva.tolist() == [10.0, 3.0]
    assert picked.mode.tolist() == [ReactiveMode.Q_V, ReactiveMode.COS_PHI]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("s_rated_kva", 8.0, "s_rated_kva must be at least p_rated_kw"),
        ("s_rated_kva", np.nan, "s_rated_kva"),
        ("p_rated_kw", 0.0, "p_rated_kw must be above 0"),
        ("mode", 7, "mode must be a ReactiveMode"),
        ("cos_phi", 0.0, "cos_phi must be above 0"),
        ("cos_phi_min", 1.1, "cos_phi_min"),
        ("cos_phi_p_start", 1.0, "cos_phi_p_start"),
        ("cos_phi_lock_out_pu", 1.2, "cos_phi_lock_out_pu must be at most cos_phi_lock_in_pu"),
        ("v2i_pu", 0.95, "v2i_pu must be above 0 and below v1i_pu"),
        ("v1i_pu", 1.09, "v1i_pu must be at most v1s_pu"),
        ("v2s_pu", 1.08, "v1s_pu must be below v2s_pu"),
        ("q_max_share", -0.1, "q_max_share must be at least 0"),
        ("q_v_lock_out_share", 0.3, "q_v_lock_out_share"),
        ("p_v_start_pu", 1.1, "p_v_end_pu must be finite"),
        ("p_v_min_share", 1.5, "p_v_min_share must be from 0 to 1"),
    ],
)
def test_a_contradiction_names_inverter_field_and_value(field, value, words):
    good = cei_0_21(np.full(2, RATED_KW), np.full(2, S_KVA))
    column = getattr(good, field).copy()
    column[1] = value
    with pytest.raises(DeviceError, match=f"inverter 1: .*{words}"):
        replace(good, **{field: column})


def test_parameters_of_another_length_are_refused():
    with pytest.raises(DeviceError, match=r"cos_phi has shape \(3,\), expected \(1,\)"):
        replace(one(ReactiveMode.COS_PHI), cos_phi=np.ones(3))
    with pytest.raises(DeviceError, match="s_rated_kva has shape"):
        plain(2, np.ones(3))
