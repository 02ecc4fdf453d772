"""When a device and its feeder swing: the cases of a measured trial, the law of the recurrence, and what is done about it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from twin.loop_gain import CALM_GAIN, LEAST_ALPHA, Verdict, judge, largest_alpha, loop_matrix

FloatArray = NDArray[np.float64]

SLOPE_KW_V = 2.0 / 4.6
"""Volt-watt: 2 kW over 4.6 V."""
DV_DP = -1000.0 * 0.3 / 230.0
"""0.3 ohm at 230 V, in V/kW, consumption positive."""


def one(stands_for: float) -> FloatArray:
    return loop_matrix(
        np.array([[DV_DP]]),
        np.array([SLOPE_KW_V]),
        dv_dq=np.zeros((1, 1)),
        dq_dv=np.zeros(1),
        stands_for=np.array([stands_for]),
    )


def ripple_v(matrix: FloatArray, alpha: float, *, steps: int = 400) -> float:
    """Return the largest deviation in the last steps of the loop, begun 1 V away from its rest."""
    deviation = np.ones(len(matrix))
    seen = []
    for _ in range(steps):
        deviation = deviation - alpha * (deviation - matrix @ deviation)
        seen.append(float(np.abs(deviation).max()))
    return max(seen[-5:])


@pytest.mark.parametrize(
    ("stands_for", "gain", "alpha_max"), [(1, 0.567, 1.276), (3, 1.70, 0.74), (10, 5.67, 0.30)]
)
def test_the_measured_trial_is_met(stands_for: float, gain: float, alpha_max: float) -> None:
    found = judge(one(stands_for))
    assert found.gain == pytest.approx(gain, abs=0.005)
    assert found.largest_alpha == pytest.approx(alpha_max, abs=0.005)


def test_one_device_is_left_alone_and_ten_are_relaxed() -> None:
    assert judge(one(1)).verdict is Verdict.OK
    assert judge(one(1)).alpha == 1.0
    ten = judge(one(10))
    assert ten.verdict is Verdict.RELAX
    assert ten.alpha == pytest.approx(1.0 / (1.0 + ten.gain)), "gone after one step"
    assert "0.15" in ten.text


def test_three_devices_swing_without_relaxing_and_settle_with_it() -> None:
    matrix = one(3)
    assert ripple_v(matrix, 1.0) > 1e6
    assert ripple_v(matrix, 0.75) > 1.0, "just above the largest"
    assert ripple_v(matrix, 0.73) < 1e-3, "just below it"
    assert ripple_v(matrix, judge(matrix).alpha) < 1e-12


def magnitude(gain: float, alpha: float, steps: int) -> float:
    """Return the largest root of the loop of one device whose answer takes so many steps; it settles below 1."""
    polynomial = np.zeros(steps + 1)
    polynomial[0] = 1.0
    polynomial[1] -= 1.0 - alpha
    polynomial[-1] += alpha * gain
    return float(np.abs(np.roots(polynomial)).max())


@given(st.floats(CALM_GAIN, 45.0, exclude_min=True), st.integers(1, 30), st.data())
def test_one_device_settles_where_its_answer_shows_late(
    gain: float, delay_steps: int, data: st.DataObject
) -> None:
    found = judge(np.array([[-gain]]), delay_steps=delay_steps)
    assert found.verdict is Verdict.RELAX
    assert magnitude(gain, found.alpha, data.draw(st.integers(1, delay_steps + 1))) < 1.0


def test_a_device_that_is_read_every_fifth_step_is_told_a_fifth() -> None:
    late, soon = judge(one(10), delay_steps=5), judge(one(10))
    assert magnitude(soon.gain, soon.alpha, 5) > 1.0, "it would swing"
    assert late.alpha == pytest.approx(soon.alpha / 5)
    assert "5 steps late" in late.text
    assert judge(one(1), delay_steps=5).alpha == 1.0, "a calm loop settles whatever its delay"


def test_what_runs_away_by_itself_is_refused() -> None:
    for gain in (1.0, 4.0):
        found = judge(np.array([[gain]]))
        assert found.verdict is Verdict.REFUSE
        assert found.largest_alpha == 0.0
        assert "does not settle" in found.text


def test_a_loop_that_would_creep_is_refused() -> None:
    assert judge(np.array([[-(1.0 / LEAST_ALPHA)]])).verdict is Verdict.REFUSE
    assert judge(np.array([[-(1.0 / LEAST_ALPHA - 2.0)]])).verdict is Verdict.RELAX


def test_a_feeder_without_answering_devices_has_no_gain() -> None:
    found = judge(np.zeros((2, 2)))
    assert (found.verdict, found.gain, found.alpha) == (Verdict.OK, 0.0, 1.0)
    assert largest_alpha(np.zeros((0, 0))) == math.inf


def test_two_devices_at_one_bus_have_the_gain_of_one_that_stands_for_both() -> None:
    together = loop_matrix(
        np.full((2, 2), DV_DP),
        np.full(2, SLOPE_KW_V),
        dv_dq=np.zeros((2, 2)),
        dq_dv=np.zeros(2),
        stands_for=np.ones(2),
    )
    assert judge(together).gain == pytest.approx(judge(one(2)).gain)


def test_reactive_power_adds_to_the_gain() -> None:
    found = loop_matrix(
        np.array([[-1.0]]),
        np.array([0.25]),
        dv_dq=np.array([[-0.5]]),
        dq_dv=np.array([0.5]),
        stands_for=np.array([2.0]),
    )
    assert found.tolist() == [[-1.0]]


@settings(deadline=None, max_examples=200)
@given(
    entries=st.lists(st.floats(-6.0, 0.0), min_size=4, max_size=4),
    away=st.floats(0.02, 0.3),
)
def test_the_largest_alpha_parts_settling_from_swinging(entries: list[float], away: float) -> None:
    matrix = np.array(entries).reshape(2, 2)
    largest = largest_alpha(matrix)
    if largest == 0.0:  # the products of the devices' effects on each other outweigh those on themselves
        assert np.linalg.eigvals(matrix).real.max() >= 1.0
        return
    growth = np.abs(1.0 - (1.0 - away) * largest * (1.0 - np.linalg.eigvals(matrix))).max()
    assert growth < 1.0
    growth = np.abs(1.0 - (1.0 + away) * largest * (1.0 - np.linalg.eigvals(matrix))).max()
    assert growth > 1.0


@settings(deadline=None, max_examples=200)
@given(gain=st.floats(0.0, 60.0))
def test_whatever_is_not_refused_settles(gain: float) -> None:
    matrix = np.array([[-gain]])
    found = judge(matrix)
    assert found.verdict is (
        Verdict.OK if gain <= CALM_GAIN else Verdict.RELAX if found.alpha >= LEAST_ALPHA else Verdict.REFUSE
    )
    if found.verdict is not Verdict.REFUSE:
        assert ripple_v(matrix, found.alpha) < 1e-3
