"""Figures of punctuality: lateness over a run and how it is distributed."""

import numpy as np
from numpy.typing import NDArray

from twin.report.clock import Clock
from twin.report.colour import HIGH, strategy_style
from twin.report.numbers import number_text
from twin.report.svg import Drawing, Frame, thin

__all__ = ["distribution_figure", "lateness_figure"]

_WIDTH = 640.0
_LEFT, _PLOT, _HEIGHT = 60.0, 567.0, 150.0
_TOP = 46.0
_MOST_POINTS = 500
_MS_PER_S = 1e3
_NEAR = 2.0
"""The limit is drawn where it is at most this many times the largest value."""
_LEAST_MS = 1e-3
_ROUND = 1e-9
_LINES = (("start after the deadline", 0), ("work in the step", 1))
_QUANTILES = 200
_FEW_MS = 100.0

Array = NDArray[np.float64]


def lateness_figure(
    name: str, lateness_s: Array, work_s: Array, *, late_limit_s: float, clock: Clock, label: str
) -> str:
    """Return how late each step started and how long it worked, over the run.

    Args:
        name: prefix of ids in the page.
        lateness_s: start of each step after its deadline, shape (T,), T at least 1.
        work_s: from start to end of each step, shape (T,).
        late_limit_s: from here on a step counts as late.
        clock: time base.
        label: the strategy in words.
    """
    series_ms = [lateness_s * _MS_PER_S, work_s * _MS_PER_S]
    highest_ms, limit_ms = max(float(values.max()) for values in series_ms), late_limit_s * _MS_PER_S
    far = limit_ms > _NEAR * highest_ms
    drawing = Drawing(
        name=name,
        width=_WIDTH,
        height=_TOP + _HEIGHT + 26,
        title=f"Lateness over the run, {label}",
        description=(
            f"Highest lateness {_ms(series_ms[0].max())}, longest work {_ms(series_ms[1].max())}, limit {_ms(limit_ms)}."
        ),
    )
    n = len(lateness_s)
    frame = Frame(
        drawing=drawing,
        left=_LEFT,
        top=_TOP,
        width=_PLOT,
        height=_HEIGHT,
        x_range=(0, n * clock.dt_s),
        y_range=(0.0, 1.12 * (highest_ms if far else max(highest_ms, limit_ms)) + 1e-6),
    )
    frame.y_axis("Time [ms]", 4)
    frame.time_axis(clock.ticks(0, n))
    for (_, position), values in zip(_LINES, series_ms, strict=True):
        stroke, dash = strategy_style(position)
        kept = thin(values, _MOST_POINTS)
        frame.curve((kept + 0.5) * clock.dt_s, values[kept], stroke=stroke, width=1.6, dash=dash)
    _key(drawing)
    if far:
        drawing.text(
            frame.right, 12, f"late from {_ms(limit_ms)} on (not in the picture)", anchor="end", kind="ts"
        )
    else:
        frame.level(limit_ms, f"late from {_ms(limit_ms)} on", stroke=HIGH)
    return drawing.markup()


def distribution_figure(
    name: str, lateness_s: Array, work_s: Array, *, late_limit_s: float, label: str
) -> str:
    """Return the share of steps that started at most so late and worked at most so long; times on a logarithmic axis.

    Args: as :func:`lateness_figure`.
    """
    limit_ms = late_limit_s * _MS_PER_S
    # what is shorter than a microsecond is drawn as one
    series = [np.maximum(values * _MS_PER_S, _LEAST_MS) for values in (lateness_s, work_s)]
    low = np.floor(np.log10(min(float(values.min()) for values in series)) + _ROUND)
    high = np.ceil(np.log10(max(limit_ms, *(float(values.max()) for values in series))) - _ROUND)
    drawing = Drawing(
        name=name,
        width=_WIDTH,
        height=_TOP + _HEIGHT + 40,
        title=f"Distribution of lateness, {label}",
        description=" ".join(
            f"{words}: median {_ms(float(np.median(values)))}, 99 % within {_ms(float(np.quantile(values, 0.99)))}."
            for (words, _), values in zip(_LINES, series, strict=True)
        ),
    )
    frame = Frame(
        drawing=drawing,
        left=_LEFT,
        top=_TOP,
        width=_PLOT,
        height=_HEIGHT,
        x_range=(float(low), float(high)),
        y_range=(0.0, 100.0),
    )
    frame.y_axis("Share of the steps [%]", 4)
    _decades(frame, int(low), int(high))
    share = np.linspace(0.0, 1.0, _QUANTILES + 1)
    for (_, position), values in zip(_LINES, series, strict=True):
        stroke, dash = strategy_style(position)
        # every step from 0 up, so that the line begins on the axis
        times = np.quantile(values, share, method="inverted_cdf")
        frame.curve(np.log10(times), 100.0 * share, stroke=stroke, width=1.8, dash=dash)
    x = float(frame.x(np.log10(limit_ms)))
    drawing.line((x, frame.top, x, frame.bottom), stroke=HIGH, width=1.3, dash="6 3")
    drawing.text(x - 4, frame.top + 14, f"late from {_ms(limit_ms)} on", anchor="end", kind="ts")
    _key(drawing)
    return drawing.markup()


def _decades(frame: Frame, low: int, high: int) -> None:
    """Draw an axis with a mark at every power of ten."""
    for power in range(low, high + 1):
        x = float(frame.x(power))
        frame.drawing.line((x, frame.top, x, frame.bottom + 4), stroke="#d9dde2")
        frame.drawing.text(x, frame.bottom + 17, f"{10.0**power:g}", anchor="middle")
    frame.drawing.text(
        frame.left + frame.width / 2, frame.bottom + 34, "Time [ms]", anchor="middle", kind="tb"
    )
    frame.drawing.line((frame.left, frame.bottom, frame.right, frame.bottom))


def _key(drawing: Drawing) -> None:
    """Draw which line is which."""
    for place, (words, position) in enumerate(_LINES):
        stroke, dash = strategy_style(position)
        at_x = _LEFT + place * 190
        drawing.line((at_x, 10, at_x + 26, 10), stroke=stroke, width=1.8, dash=dash)
        drawing.text(at_x + 32, 14, words)


def _ms(value_ms: float) -> str:
    return f"{number_text(float(value_ms), 1 if value_ms < _FEW_MS else 0)} ms"
