"""Figures of one device on the wire: what it was told and did, its voltage and reactive power, and Q over V."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from twin.report.clock import Clock
from twin.report.colour import BATTERY, INK, PV
from twin.report.live_data import Array, Curve, Seen, WireSeries
from twin.report.numbers import decimals_for, number_text
from twin.report.svg import Drawing, Frame, num, thin
from twin.units import volts

__all__ = ["power_figure", "q_of_v_figure", "stretches", "voltage_figure"]

_WIDTH = 640.0
_LEFT, _PLOT = 60.0, 567.0
_MOST_POINTS = 600
_MOST_BARS = 600
_MOST_DOTS = 700
_MARGIN = 0.08
_LEAST_KW = 0.1
_LEAST_V = 1.0
_MODEL = "#c04a00"
_BARS = ((1, 5.0, "uncertain", "#7fb2d6"), (2, 10.0, "held", PV), (3, 15.0, "replaced", "#8f2d00"))
"""Quality, height of its bar, word, fill: the height says it without the colour."""


def stretches(levels: NDArray[np.integer]) -> Iterator[tuple[int, int, int]]:
    """Yield first and last-plus-one position and level of each stretch of equal levels; ``levels`` has shape (n,)."""
    edges = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(levels)]
    for first, stop in pairwise(edges):
        if stop > first:
            yield first, stop, int(levels[first])


def power_figure(name: str, series: WireSeries, *, clock: Clock, title: str) -> str:
    """Return power and command in force over time, above a band with the quality of the readings.

    Args:
        name: prefix of ids in the page.
        series: of the device, at least one step.
        clock: time base.
        title: what is drawn, in words.
    """
    n = len(series.p_kw)
    command_kw = _command_kw(series)
    shown = [series.p_kw, *([] if command_kw is None else [command_kw[~np.isnan(command_kw)]])]
    drawing = Drawing(name=name, width=_WIDTH, height=246, title=title, description=_power_words(series))
    frame = _frame(drawing, 46, 130, x_range=(0, n * clock.dt_s), y_range=_range(shown, _LEAST_KW))
    frame.y_axis("Power [kW]", 4)
    frame.time_axis(clock.ticks(0, n))
    kept = thin(series.p_kw, _MOST_POINTS)
    frame.curve((kept + 0.5) * clock.dt_s, series.p_kw[kept], stroke=INK, width=1.7)
    keys = [("power used by the run", INK, "")]
    if command_kw is not None:
        _draw_command(frame, command_kw, clock)
        words = "limit in force (largest feed-in)" if series.axis == "pv" else "set-point in force"
        keys.append((words, BATTERY, "6 3"))
    _keys(drawing, keys)
    _quality_band(drawing, series.quality, top=frame.bottom + 30)
    return drawing.markup()


def _command_kw(series: WireSeries) -> Array | None:
    """Return what the device was held to, on the axis of its power; NaN without a command, None if there never was one."""
    if series.commanded_kw is None or series.in_force is None or not (series.in_force > 0).any():
        return None
    # a limit of a generator is the largest feed-in, which is negative on the axis of its power
    sign = -1.0 if series.axis == "pv" else 1.0
    return np.where(series.in_force > 0, sign * series.commanded_kw, np.nan)


def _draw_command(frame: Frame, command_kw: Array, clock: Clock) -> None:
    for first, stop, known in stretches((~np.isnan(command_kw)).astype(np.int64)):
        if known:
            values = command_kw[first:stop]
            kept = thin(values, max(4, _MOST_POINTS * (stop - first) // len(command_kw)))
            edges = np.append(first + kept, stop) * clock.dt_s
            frame.steps(edges, values[kept], stroke=BATTERY, width=1.7, dash="6 3")


def _power_words(series: WireSeries) -> str:
    decimals = decimals_for([float(series.p_kw.min()), float(series.p_kw.max())], "kW")
    ends = [number_text(float(edge), decimals) for edge in (series.p_kw.min(), series.p_kw.max())]
    parts = [f"Power from {ends[0]} to {ends[1]} kW."]
    parts += [
        f"Reading {word}: {int((series.quality == level).sum())} of {len(series.quality)} steps."
        for level, _, word, _ in _BARS
    ]
    return " ".join(parts)


def _quality_band(drawing: Drawing, quality: Array, *, top: float) -> None:
    """Draw the worst quality of each stretch of time as a bar whose height grows with it."""
    n, most = len(quality), _BARS[-1][1]
    edges = np.unique(np.linspace(0, n, min(n, _MOST_BARS) + 1).astype(np.int64))
    worst = np.maximum.reduceat(quality.astype(np.int64), edges[:-1])
    base = top + most
    looks = {level: (height, fill) for level, height, _, fill in _BARS}
    for first, stop, level in stretches(worst):
        if level in looks:
            height, fill = looks[level]
            x0, x1 = (_LEFT + edges[at] / n * _PLOT for at in (first, stop))
            drawing.add(
                f'<rect x="{num(x0)}" y="{num(base - height)}" width="{num(max(x1 - x0, 1.0))}" height="{num(height)}" '
                f'fill="{fill}"/>'
            )
    drawing.line((_LEFT, base, _LEFT + _PLOT, base))
    drawing.text(4, base, "Reading", kind="tb")
    at_x = _LEFT
    for _, height, word, fill in _BARS:
        drawing.add(
            f'<rect x="{num(at_x)}" y="{num(base + 22 - height)}" width="12" height="{num(height)}" fill="{fill}"/>'
        )
        drawing.text(at_x + 17, base + 22, word)
        at_x += 95
    drawing.text(at_x, base + 22, "no bar: live")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Line:
    """A line over time."""

    words: str
    at: NDArray[np.floating]
    """Steps."""
    y: NDArray[np.floating]
    stroke: str
    dash: str


def _voltage_lines(series: WireSeries, seen: Seen | None) -> list[_Line]:
    lines = []
    if series.vm_pu is not None:
        kept = thin(series.vm_pu, _MOST_POINTS)
        vm_v = volts(series.vm_pu)[kept]
        lines.append(_Line(words="at its bus, simulated", at=kept + 0.5, y=vm_v, stroke=INK, dash=""))
    if seen is not None:
        kept = thin(seen.vm_v, _MOST_POINTS)
        lines.append(
            _Line(
                words="as the device reads it",
                at=seen.step[kept] + 0.5,
                y=seen.vm_v[kept],
                stroke=BATTERY,
                dash="2 2.5",
            )
        )
    return lines


def voltage_figure(name: str, series: WireSeries, seen: Seen | None, *, clock: Clock, title: str) -> str:
    """Return the simulated voltage and what the device reads of it, above the reactive power, over time.

    Args:
        name: prefix of ids in the page.
        series: of the device; with the voltage of its bus, or ``seen`` is given.
        seen: its live readings of voltage.
        clock: time base.
        title: what is drawn, in words.
    """
    n, lines, q_kvar = len(series.q_kvar), _voltage_lines(series, seen), series.q_kvar
    drawing = Drawing(
        name=name,
        width=_WIDTH,
        height=310,
        title=title,
        description=" ".join(
            [
                *(f"Voltage {line.words}: {line.y.min():.1f} to {line.y.max():.1f} V." for line in lines),
                f"Reactive power {q_kvar.min():.2f} to {q_kvar.max():.2f} kvar.",
            ]
        ),
    )
    x_range = (0, n * clock.dt_s)
    upper = _frame(drawing, 46, 100, x_range=x_range, y_range=_range([line.y for line in lines], _LEAST_V))
    lower = _frame(drawing, 184, 100, x_range=x_range, y_range=_range([q_kvar], _LEAST_KW))
    upper.y_axis("Voltage [V]", 4)
    upper.time_axis(())
    lower.y_axis("Reactive power [kvar], above zero it is taken and lowers the voltage", 4)
    lower.time_axis(clock.ticks(0, n))
    for line in lines:
        upper.curve(line.at * clock.dt_s, line.y, stroke=line.stroke, width=1.7, dash=line.dash)
    kept = thin(q_kvar, _MOST_POINTS)
    lower.curve((kept + 0.5) * clock.dt_s, q_kvar[kept], stroke=INK, width=1.7)
    _keys(drawing, [(line.words, line.stroke, line.dash) for line in lines])
    return drawing.markup()


def q_of_v_figure(name: str, seen: Seen, curve: Curve | None, *, title: str) -> str:
    """Return reactive power over voltage, both as the device reads them, and the curve that the scenario sets.

    Args:
        name: prefix of ids in the page.
        seen: live readings of one device, at least one.
        curve: of the same device; None where it is not known.
        title: what is drawn, in words.
    """
    every = max(1, -(-len(seen.step) // _MOST_DOTS))
    vm_v, q_kvar = seen.vm_v[::every], seen.q_kvar[::every]
    corners_v = np.zeros(0) if curve is None else volts(curve.vm_pu)
    x_range = _range([seen.vm_v], 8.0)
    of_curve = (
        np.zeros(0) if curve is None else np.interp(np.array([*x_range, *seen.vm_v]), corners_v, curve.q_kvar)
    )
    drawing = Drawing(
        name=name,
        width=_WIDTH,
        height=300,
        title=title,
        description=(
            f"{len(seen.step)} readings between {seen.vm_v.min():.1f} and {seen.vm_v.max():.1f} V, "
            f"{seen.q_kvar.min():.2f} to {seen.q_kvar.max():.2f} kvar."
        ),
    )
    frame = _frame(drawing, 46, 206, x_range=x_range, y_range=_range([seen.q_kvar, of_curve], _LEAST_KW))
    frame.y_axis("Reactive power [kvar]")
    frame.x_axis("Voltage that the device reads [V]")
    for x, y in zip(frame.x(vm_v).tolist(), frame.y(q_kvar).tolist(), strict=True):
        drawing.add(
            f'<circle cx="{num(x)}" cy="{num(y)}" r="3" fill="{BATTERY}" fill-opacity=".45" stroke="{BATTERY}"/>'
        )
    if curve is not None:
        points_v = np.unique(np.clip([x_range[0], *corners_v, x_range[1]], *x_range))
        frame.curve(
            points_v, np.interp(points_v, corners_v, curve.q_kvar), stroke=_MODEL, width=2.0, dash="9 3 2 3"
        )
        _keys(drawing, [("Q(V) of the scenario", _MODEL, "9 3 2 3")])
    drawing.add(f'<circle cx="{num(_LEFT + 306)}" cy="10" r="3" fill="{BATTERY}"/>')
    drawing.text(_LEFT + 316, 14, "a live reading")
    return drawing.markup()


def _frame(
    drawing: Drawing, top: float, height: float, *, x_range: tuple[float, float], y_range: tuple[float, float]
) -> Frame:
    return Frame(
        drawing=drawing, left=_LEFT, top=top, width=_PLOT, height=height, x_range=x_range, y_range=y_range
    )


def _keys(drawing: Drawing, keys: list[tuple[str, str, str]]) -> None:
    for place, (words, stroke, dash) in enumerate(keys):
        at_x = _LEFT + place * 290
        drawing.line((at_x, 10, at_x + 30, 10), stroke=stroke, width=1.9, dash=dash)
        drawing.text(at_x + 36, 14, words)


def _range(series: Sequence[NDArray[np.floating]], least: float) -> tuple[float, float]:
    """Return the ends of an axis around all values, at least ``least`` apart."""
    known = [values for values in series if len(values)]
    low, high = min(float(values.min()) for values in known), max(float(values.max()) for values in known)
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    margin = _MARGIN * (high - low)
    return low - margin, high + margin
