"""Figures of devices that keep their own state."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twin.report.clock import Clock
from twin.report.colour import strategy_style
from twin.report.daily import by_day, day_middles_s, is_long
from twin.report.numbers import decimals_for, number_text, short
from twin.report.svg import Drawing, Frame, thin

__all__ = ["ALL_STRATEGIES", "device_figure"]

ALL_STRATEGIES = "All strategies"

_WIDTH = 640.0
_LEFT, _PLOT, _HEIGHT = 60.0, 567.0, 118.0
_MOST_POINTS = 500
_MARGIN = 0.08
_SAME_SHARE = 0.004
"""Lines nearer than this share of the axis cannot be told apart: half a pixel."""
_FEW_DIGITS = (0.01, 1e5)
_RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_LEAST_SHARE = 1e-6
"""Least span of the axis as a share of its values; less would show rounding."""

Series = Sequence[tuple[str, int, NDArray[np.float64]]]


def device_figure(
    name: str, series: Series, *, n_strategies: int, clock: Clock, title: str, quantity: str, unit: str
) -> str:
    """Return one quantity over time, one line per strategy (or for all, where they agree); by day where the run is long.

    Args:
        name: prefix of ids in the page.
        series: label and place of each strategy, and its values, shape (T,) with its own T; at least one.
        n_strategies: strategies of the run; one line stands for all of them where they agree.
        clock: time base.
        title: what is drawn, in words.
        quantity: name of what is drawn.
        unit: its unit; very small and very large values are drawn in powers of ten of it.
    """
    ends = [float(edge) for _, _, values in series for edge in (values.min(), values.max())]
    decimals = decimals_for(ends, unit)
    words = " ".join(
        f"{label}: {number_text(float(values.min()), decimals)} to {number_text(float(values.max()), decimals)}."
        for label, _, values in series
    )
    power = _power_of_ten(ends)
    if len(series) == n_strategies:
        series = _distinct(series, _range(ends))
    top = 30 + 16 * -(-len(series) // 2)
    drawing = Drawing(
        name=name,
        width=_WIDTH,
        height=top + _HEIGHT + 26,
        title=title,
        description=f"{quantity} [{unit}]. {words}",
    )
    n = max(len(values) for _, _, values in series)
    frame = Frame(
        drawing=drawing,
        left=_LEFT,
        top=top,
        width=_PLOT,
        height=_HEIGHT,
        x_range=(0, n * clock.dt_s),
        y_range=_range([edge / 10.0**power for edge in ends]),
    )
    factor = f"10{str(power).translate(_RAISED)} " if power else ""
    frame.y_axis(f"{quantity} [{factor}{unit}]", 4)
    frame.time_axis(clock.ticks(0, n))
    for place, (label, position, values) in enumerate(series):
        stroke, dash = strategy_style(position)
        x, y = _points(values / 10.0**power, clock)
        frame.curve(x, y, stroke=stroke, width=1.9, dash=dash)
        at_x, at_y = _LEFT + (place % 2) * 290, 12 + (place // 2) * 16
        drawing.line((at_x, at_y, at_x + 30, at_y), stroke=stroke, width=1.9, dash=dash)
        drawing.text(at_x + 36, at_y + 4, short(label, 38))
    return drawing.markup()


def _power_of_ten(ends: Sequence[float]) -> int:
    """Return the power of ten, a multiple of 3, that leaves few digits on the axis; 0 for most values."""
    largest = max(abs(edge) for edge in ends)
    if largest == 0.0 or _FEW_DIGITS[0] <= largest < _FEW_DIGITS[1]:
        return 0
    return 3 * math.floor(math.log10(largest) / 3)


def _range(ends: Sequence[float]) -> tuple[float, float]:
    low, high = min(ends), max(ends)
    margin = _MARGIN * max(high - low, _LEAST_SHARE * max(abs(low), abs(high)))
    return (0.0 if low == 0.0 else low - margin), high + margin


def _distinct(series: Series, y_range: tuple[float, float]) -> Series:
    """Return the series, or one for all where their lines would cover each other."""
    first = series[0][2]
    near = _SAME_SHARE * (y_range[1] - y_range[0])
    same = all(
        len(values) == len(first) and float(np.abs(values - first).max()) <= near for _, _, values in series
    )
    return [(ALL_STRATEGIES, 0, first)] if same and len(series) > 1 else series


def _points(values: NDArray[np.float64], clock: Clock) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return times [s] and values of the points of a line."""
    if is_long(len(values), clock):
        return day_middles_s(len(values), clock), by_day(values, clock, "mean")
    kept = thin(values, _MOST_POINTS)
    return (kept + 0.5) * clock.dt_s, values[kept]
