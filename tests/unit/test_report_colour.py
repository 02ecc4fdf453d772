"""Colours of voltages, loadings and strategies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.report.colour import VOLTAGE_PALETTE, loading_class, strategy_style, voltage_index, voltage_scale


def test_the_colours_span_the_scale_and_stay_at_its_ends():
    index = voltage_index(np.array([0.8, 0.95, 1.0, 1.05, 1.2]), (0.95, 1.05))
    assert index.tolist() == [0, 0, 20, 40, 40]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((1.032, 1.0665), (1.032, 1.0665)),
        ((1.048, 1.052), (1.04, 1.06)),
        ((0.80, 1.05), (0.90, 1.05)),
        ((1.098, 1.2), (1.08, 1.10)),
        ((1.2, 1.3), (1.08, 1.10)),
    ],
    ids=["the data", "not too close", "cut at a limit", "close to a limit", "all beyond a limit"],
)
def test_the_scale_is_that_of_the_data_inside_the_limits(ends, expected):
    assert voltage_scale(*ends, vm_min_pu=0.9, vm_max_pu=1.1) == pytest.approx(expected)


@given(st.floats(0.2, 1.6), st.floats(0, 0.5), st.floats(0.85, 1.0), st.floats(0.001, 0.2))
def test_a_scale_never_leaves_the_limits_and_is_as_wide_as_they_allow(low, span, vm_min_pu, width):
    vm_max_pu = vm_min_pu + width
    ends = voltage_scale(low, low + span, vm_min_pu=vm_min_pu, vm_max_pu=vm_max_pu)
    assert vm_min_pu - 1e-9 <= ends[0] < ends[1] <= vm_max_pu + 1e-9
    assert ends[1] - ends[0] >= min(0.02, width) - 1e-9


def test_low_voltage_is_blue_and_high_voltage_red():
    def rgb(colour):
        return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]

    low, high = rgb(VOLTAGE_PALETTE[5]), rgb(VOLTAGE_PALETTE[-6])
    assert low[2] > low[0] + 60
    assert high[0] > high[2] + 60


def test_loading_classes_change_at_50_80_and_above_100_percent():
    assert loading_class(np.array([0, 49.9, 50, 80, 100, 100.1])).tolist() == [0, 0, 1, 2, 2, 3]


def test_strategies_differ_in_dash_and_colour():
    styles = [strategy_style(i) for i in range(6)]
    assert len({colour for colour, _ in styles}) == len({dash for _, dash in styles}) == 6
    assert len({strategy_style(i) for i in range(36)}) == 36
