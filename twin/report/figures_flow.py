"""Figures of power: transformer flow with reverse hours, duration curves, one day in detail."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from twin.report.clock import Clock
from twin.report.colour import BATTERY, DISCHARGE, HIGH, INK, LOAD, OTHER, PV, strategy_style
from twin.report.daily import by_day, day_middles_s, is_long
from twin.report.model import Array
from twin.report.numbers import number_text, quantity_text, scaled_unit
from twin.report.svg import Drawing, Frame, thin
from twin.units import energy_kwh, hours

__all__ = ["day_figure", "duration_figure", "flow_figure", "padded", "spans"]

_WIDTH = 640.0
_MOST_POINTS = 1400
_DURATION_POINTS = 240
_REVERSE_FILL = "#f6d9cf"
_SHOWN_KW = 0.05
_FIRST_ROW = 4
"""Entries in the first row of the key of the day."""


def spans(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and last-plus-one position of each run of true values in ``mask``, shape (n,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(mask, dtype=np.int8), [0]])))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def padded(series: Sequence[Array], *levels: float | None) -> tuple[float, float]:
    """Return an axis range over all values, zero and the levels given, with a margin."""
    low = min(0.0, *(float(values.min()) for values in series), *(v for v in levels if v is not None))
    high = max(0.0, *(float(values.max()) for values in series), *(v for v in levels if v is not None))
    margin = 0.08 * max(high - low, 1e-3)
    return low - (margin if low < 0 else 0.0), high + margin


def flow_figure(
    name: str,
    flow_kw: Array,
    *,
    clock: Clock,
    y_range: tuple[float, float],
    label: str,
    limits: Sequence[tuple[float, str]],
) -> str:
    """Return the transformer flow over time; reverse hours are shaded and the extremes marked.

    Args:
        name: prefix of ids in the page.
        flow_kw: positive from high to low voltage, shape (T,) [kW].
        clock: time base.
        y_range: power axis, shared between strategies.
        label: the strategy in words.
        limits: levels [kW] and their words.
    """
    reverse = spans(flow_kw < 0)
    reverse_h = hours(int((flow_kw < 0).sum()) * clock.dt_s)
    unit, per = scaled_unit(y_range, "kW")
    low, high = (quantity_text(float(value), "kW", y_range) for value in (flow_kw.min(), flow_kw.max()))
    words = (
        f"Power through the transformer, {label}: from {low} to {high}; "
        f"reverse for {reverse_h:.1f} h in {len(reverse)} periods."
    )
    drawing = Drawing(
        name=name, width=_WIDTH, height=190, title=f"Transformer flow, {label}", description=words
    )
    n = len(flow_kw)
    frame = Frame(
        drawing=drawing,
        left=52,
        top=30,
        width=575,
        height=128,
        x_range=(0, n * clock.dt_s),
        y_range=(y_range[0] / per, y_range[1] / per),
    )
    if not is_long(n, clock):
        for first, stop in reverse:
            x1, x2 = (float(frame.x(step * clock.dt_s)) for step in (first, stop))
            drawing.add(
                f'<rect x="{x1:.1f}" y="30" width="{max(x2 - x1, 0.4):.1f}" height="128" fill="{_REVERSE_FILL}"/>'
            )
    frame.y_axis(f"Power [{unit}]")
    frame.time_axis(clock.ticks(0, n))
    drawing.line((frame.left, float(frame.y(0)), frame.right, float(frame.y(0))), stroke=INK)
    high_at, low_at = int(flow_kw.argmax()), int(flow_kw.argmin())
    for level, text in limits:
        mark = high_at if level >= 0 else low_at
        frame.level(level / per, text, stroke=HIGH, anchor=frame.side_away_from((mark + 0.5) * clock.dt_s))
    _draw_flow(frame, flow_kw / per, clock)
    _extreme(frame, clock, (high_at, float(flow_kw[high_at]) / per), high)
    if flow_kw[low_at] < 0:
        _extreme(frame, clock, (low_at, float(flow_kw[low_at]) / per), low)
    return drawing.markup()


def _draw_flow(frame: Frame, flow_kw: Array, clock: Clock) -> None:
    if is_long(len(flow_kw), clock):
        x = day_middles_s(len(flow_kw), clock)
        low, high = by_day(flow_kw, clock, "lowest"), by_day(flow_kw, clock, "highest")
        frame.band(x, (np.maximum(low, 0.0), np.maximum(high, 0.0)), fill=LOAD)
        frame.band(x, (np.minimum(low, 0.0), np.minimum(high, 0.0)), fill=_REVERSE_FILL)
        frame.curve(x, by_day(flow_kw, clock, "mean"), stroke=INK, width=1.4)
        return
    kept = thin(flow_kw, _MOST_POINTS)
    frame.curve((kept + 0.5) * clock.dt_s, flow_kw[kept], stroke=INK, width=1.4)


def _extreme(frame: Frame, clock: Clock, at: tuple[int, float], words: str) -> None:
    x, y = float(frame.x((at[0] + 0.5) * clock.dt_s)), float(frame.y(at[1]))
    frame.drawing.add(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#fff" stroke="{INK}" stroke-width="1.4"/>'
    )
    anchor = "end" if x > frame.right - 60 else "start"
    below = at[1] < 0 and y < frame.bottom - 12
    frame.drawing.text(
        x + (-6 if anchor == "end" else 6), y + (11 if below else -3), words, anchor=anchor, kind="tb"
    )


def duration_figure(
    name: str, series: Mapping[str, Array], *, quantity: str, unit: str, levels: Sequence[tuple[float, str]]
) -> str:
    """Return duration curves: the share of time a value is reached or exceeded, one line per strategy.

    Args:
        name: prefix of ids in the page.
        series: by the strategy in words, shape (T,) each.
        quantity: what is drawn, e.g. ``Transformer flow``.
        unit: its unit.
        levels: horizontal lines and their words.
    """
    ends = [float(edge) for values in series.values() for edge in (values.min(), values.max())]
    words = f"{quantity} duration curves. " + " ".join(
        f"{label}: {quantity_text(float(values.min()), unit, ends)} to {quantity_text(float(values.max()), unit, ends)}."
        for label, values in series.items()
    )
    shown, per = scaled_unit(ends, unit)
    rows = -(-len(series) // 2)
    top = 26 + 16 * rows
    drawing = Drawing(
        name=name, width=_WIDTH, height=top + 200, title=f"{quantity}: duration curves", description=words
    )
    frame = Frame(
        drawing=drawing,
        left=52,
        top=top,
        width=575,
        height=158,
        x_range=(0, 100),
        y_range=padded([values / per for values in series.values()]),
    )
    frame.y_axis(f"{quantity} [{shown}]")
    frame.x_axis("Share of time reached or exceeded [%]", 10)
    drawing.line((frame.left, float(frame.y(0)), frame.right, float(frame.y(0))), stroke=INK)
    for level, text in levels:
        frame.level(level / per, text, stroke=HIGH, anchor="end")
    share = np.linspace(0, 1, _DURATION_POINTS)
    for position, (label, values) in enumerate(series.items()):
        stroke, dash = strategy_style(position)
        frame.curve(share * 100, np.quantile(values, 1 - share) / per, stroke=stroke, width=1.9, dash=dash)
        x, y = 52 + (position % 2) * 290, 12 + (position // 2) * 16
        drawing.line((x, y, x + 30, y), stroke=stroke, width=1.9, dash=dash)
        drawing.text(x + 36, y + 4, label)
    return drawing.markup()


def day_figure(
    name: str, day: Mapping[str, Array], *, clock: Clock, first: int, y_range: tuple[float, float], label: str
) -> str:
    """Return one day: load and battery charging above zero, PV and discharging below, import as the line.

    Args:
        name: prefix of ids in the page.
        day: ``p_load_kw``, ``p_pv_kw``, ``p_battery_kw``, ``p_other_kw``, ``p_import_kw`` of the day, shape (n,) each [kW].
        clock: time base.
        first: step of the first value.
        y_range: power axis, shared between strategies.
        label: the strategy in words.
    """
    n = len(day["p_load_kw"])
    unit, per = scaled_unit(y_range, "kW")
    charge, discharge = np.maximum(day["p_battery_kw"], 0), np.minimum(day["p_battery_kw"], 0)
    load, pv = np.maximum(day["p_load_kw"], 0), np.minimum(day["p_pv_kw"], 0)
    words = f"{label}, {clock.at(first):%A %-d %B %Y}: " + ", ".join(
        f"{what} {_energy_text(values, clock)}"
        for what, values in (("load", load), ("PV", -pv), ("charged", charge), ("discharged", -discharge))
    )
    drawing = Drawing(name=name, width=_WIDTH, height=202, title=f"One day, {label}", description=words + ".")
    frame = Frame(
        drawing=drawing,
        left=52,
        top=50,
        width=575,
        height=122,
        x_range=(0, n * clock.dt_s),
        y_range=(y_range[0] / per, y_range[1] / per),
    )
    frame.y_axis(f"Power [{unit}]")
    edges = np.repeat(np.arange(n + 1), 2)[1:-1] * clock.dt_s
    zero = np.zeros(n)
    up, down = load + charge, pv + discharge
    areas = (
        (zero, load, LOAD, 1.0),
        (load, up, BATTERY, 0.75),
        (up, up + np.maximum(day["p_other_kw"], 0), OTHER, 1.0),
        (zero, pv, PV, 0.75),
        (pv, down, DISCHARGE, 0.9),
        (down, down + np.minimum(day["p_other_kw"], 0), OTHER, 1.0),
    )
    for lower, upper, fill, opacity in areas:
        if np.any(lower != upper):
            frame.band(
                edges, (np.repeat(lower, 2) / per, np.repeat(upper, 2) / per), fill=fill, opacity=opacity
            )
    frame.time_axis(clock.ticks(first, first + n))
    drawing.line((frame.left, float(frame.y(0)), frame.right, float(frame.y(0))), stroke=INK)
    frame.curve(edges, np.repeat(day["p_import_kw"], 2) / per, stroke=INK, width=1.8)
    _day_legend(drawing, day)
    return drawing.markup()


def _energy_text(values: Array, clock: Clock) -> str:
    e_kwh = float(energy_kwh(values.astype(float), clock.dt_s).sum())
    unit, per = scaled_unit((e_kwh,), "kWh")
    return f"{number_text(e_kwh / per, 0 if per == 1.0 else 1)} {unit}"


def _day_legend(drawing: Drawing, day: Mapping[str, Array]) -> None:
    entries = [
        ("load", LOAD, 52),
        ("battery charging", BATTERY, 110),
        ("PV (below zero)", PV, 235),
        ("battery discharging", DISCHARGE, 355),
    ]
    if np.abs(day["p_other_kw"]).max() >= _SHOWN_KW:
        entries.append(("other elements of the network", OTHER, 235))
    for position, (words, fill, x) in enumerate(entries):
        top = 15 if position < _FIRST_ROW else 31
        drawing.add(
            f'<rect x="{x}" y="{top}" width="12" height="10" fill="{fill}" stroke="#5b6570" stroke-width=".5"/>'
        )
        drawing.text(x + 17, top + 9, words)
    drawing.line((497, 20, 521, 20), stroke=INK, width=2)
    drawing.text(526, 24, "import of the feeder")
