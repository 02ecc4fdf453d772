"""Figures of the voltage question: bands over time, profile along the feeder, bus by time."""

import numpy as np

from twin.report.clock import Clock
from twin.report.colour import HIGH, INK, LOW, VOLTAGE_PALETTE, palette_rgb, voltage_index
from twin.report.daily import by_day, day_middles_s, is_long
from twin.report.model import Array, BusSample, FeederMap, IntArray, VoltageBand
from twin.report.png import png_uri
from twin.report.svg import Drawing, Frame, thin
from twin.units import hours

__all__ = ["band_figure", "heat_map", "profile_figure", "voltage_range"]

_WIDTH = 640.0
_MOST_POINTS = 1400
_IMAGE_COLUMNS = 1000
_IMAGE_ROWS = 300
_DOT_LIMIT = 600
_OUTER, _INNER = "#d5e3ee", "#9fbfd8"


def voltage_range(series: list[Array], band: VoltageBand) -> tuple[float, float]:
    """Return the axis range that shows all values, and a limit when a value comes near it.

    Args:
        series: voltages of any shape [pu].
        band: limits [pu].
    """
    low = min(float(np.nanmin(values)) for values in series)
    high = max(float(np.nanmax(values)) for values in series)
    reach = max(high - 1.0, 1.0 - low, 0.01)
    if high > 1.0 + 0.6 * (band.vm_max_pu - 1.0):
        high = max(high, band.vm_max_pu)
    if low < 1.0 - 0.6 * (1.0 - band.vm_min_pu):
        low = min(low, band.vm_min_pu)
    return min(low, 1.0) - 0.16 * reach, max(high, 1.0) + 0.16 * reach


def _limits(frame: Frame, band: VoltageBand, marks: tuple[float, float] | None = None) -> None:
    """Draw both limits; ``marks`` is where the highest and the lowest value are labelled."""
    high, low = ("start", "start") if marks is None else map(frame.side_away_from, marks)
    frame.level(band.vm_max_pu, f"upper limit {band.vm_max_pu:.2f} pu", stroke=HIGH, anchor=high)
    frame.level(band.vm_min_pu, f"lower limit {band.vm_min_pu:.2f} pu", stroke=LOW, anchor=low)


def band_figure(
    name: str,
    feeder: dict[str, Array],
    *,
    clock: Clock,
    band: VoltageBand,
    y_range: tuple[float, float],
    label: str,
) -> str:
    """Return the figure of lowest, 5 %, median, 95 % and highest bus voltage over time.

    Args:
        name: prefix of ids in the page.
        feeder: ``vm_min_pu`` ... ``vm_max_pu``, shape (T,) each [pu].
        clock: time base.
        band: limits.
        y_range: voltage axis, shared between strategies.
        label: the strategy in words.
    """
    low, high = feeder["vm_min_pu"], feeder["vm_max_pu"]
    words = (
        f"Bus voltages of {label} over time: lowest {low.min():.3f} pu at {clock.label(int(low.argmin()))}, "
        f"highest {high.max():.3f} pu at {clock.label(int(high.argmax()))}."
    )
    drawing = Drawing(
        name=name, width=_WIDTH, height=200, title=f"Voltage over time, {label}", description=words
    )
    n = len(low)
    frame = Frame(
        drawing=drawing, left=52, top=30, width=575, height=140, x_range=(0, n * clock.dt_s), y_range=y_range
    )
    frame.y_axis("Voltage [pu]")
    frame.time_axis(clock.ticks(0, n))
    _draw_bands(frame, feeder, clock)
    middle = (np.arange(n) + 0.5) * clock.dt_s
    _limits(frame, band, (float(middle[high.argmax()]), float(middle[low.argmin()])))
    _mark(frame, (middle[low.argmin()], low.min()), f"{low.min():.3f}", below=True)
    _mark(frame, (middle[high.argmax()], high.max()), f"{high.max():.3f}", below=False)
    return drawing.markup()


def _draw_bands(frame: Frame, feeder: dict[str, Array], clock: Clock) -> None:
    n = len(feeder["vm_min_pu"])
    if is_long(n, clock):
        x = day_middles_s(n, clock)
        low, high = (
            by_day(feeder["vm_min_pu"], clock, "lowest"),
            by_day(feeder["vm_max_pu"], clock, "highest"),
        )
        p05, p95 = (by_day(feeder[name], clock, "mean") for name in ("vm_p05_pu", "vm_p95_pu"))
        frame.band(x, (low, high), fill=_OUTER)
        frame.band(x, (p05, p95), fill=_INNER)
        frame.curve(x, by_day(feeder["vm_median_pu"], clock, "mean"), stroke=INK, width=1.3)
        return
    middle = (np.arange(n) + 0.5) * clock.dt_s
    for low_name, high_name, fill in (("vm_min_pu", "vm_max_pu", _OUTER), ("vm_p05_pu", "vm_p95_pu", _INNER)):
        low, high = feeder[low_name], feeder[high_name]
        kept = np.union1d(thin(low, _MOST_POINTS), thin(high, _MOST_POINTS))
        frame.band(middle[kept], (low[kept], high[kept]), fill=fill)
    kept = thin(feeder["vm_median_pu"], _MOST_POINTS)
    frame.curve(middle[kept], feeder["vm_median_pu"][kept], stroke=INK, width=1.3)


def _mark(frame: Frame, at: tuple[float, float], words: str, *, below: bool) -> None:
    x, y = float(frame.x(at[0])), float(frame.y(at[1]))
    frame.drawing.add(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#fff" stroke="{INK}" stroke-width="1.4"/>'
    )
    anchor = "end" if x > frame.right - 40 else "start"
    frame.drawing.text(
        x + (-6 if anchor == "end" else 6),
        y + (10 if below and y < frame.bottom - 10 else -4),
        words,
        anchor=anchor,
        kind="tb",
    )


def profile_figure(
    name: str, sample: BusSample, *, feeder: FeederMap, clock: Clock, band: VoltageBand, label: str
) -> str:
    """Return the figure of voltage over distance from the head at the steps of highest and lowest voltage."""
    free = np.flatnonzero(feeder.bus_free)
    k_high = int(sample.vm_pu[:, free].max(axis=1).argmax())
    k_low = int(sample.vm_pu[:, free].min(axis=1).argmin())
    at_high, at_low = sample.vm_pu[k_high], sample.vm_pu[k_low]
    worst_high, worst_low = int(free[at_high[free].argmax()]), int(free[at_low[free].argmin()])
    words = (
        f"Voltage against distance from the feeder head, {label}. Highest {at_high[worst_high]:.3f} pu at "
        f"{feeder.bus_name[worst_high]}, lowest {at_low[worst_low]:.3f} pu at {feeder.bus_name[worst_low]}."
    )
    drawing = Drawing(
        name=name, width=_WIDTH, height=224, title=f"Voltage along the feeder, {label}", description=words
    )
    known = np.isfinite(feeder.distance_km)
    reach_km = max(float(feeder.distance_km[known].max()), 1e-3) * 1.02
    frame = Frame(
        drawing=drawing,
        left=52,
        top=48,
        width=575,
        height=136,
        x_range=(0, reach_km),
        y_range=voltage_range([at_high, at_low], band),
    )
    frame.y_axis("Voltage [pu]")
    frame.x_axis("Distance from the feeder head along the lines [km]")
    _limits(frame, band)
    rows = (
        (at_high, HIGH, "", "highest voltage", k_high),
        (at_low, LOW, "5 2.5", "lowest voltage", k_low),
    )
    for row, (vm_pu, stroke, dash, kind, k) in enumerate(rows):
        _branches(frame, vm_pu, feeder=feeder, stroke=stroke, dash=dash)
        x = 52 + row * 290
        drawing.line((x, 14, x + 26, 14), stroke=stroke, width=2, dash=dash)
        drawing.text(x + 32, 18, f"{kind}: {clock.label(int(sample.steps[k]))}")
    return drawing.markup()


def _branches(frame: Frame, vm_pu: Array, *, feeder: FeederMap, stroke: str, dash: str) -> None:
    start = np.concatenate([feeder.line_from, feeder.trafo_hv])
    end = np.concatenate([feeder.line_to, feeder.trafo_lv])
    closed = np.concatenate([~feeder.line_open, np.ones(len(feeder.trafo_hv), dtype=np.bool_)])
    known = closed & np.isfinite(feeder.distance_km[start]) & np.isfinite(feeder.distance_km[end])
    x, y = frame.x(feeder.distance_km), frame.y(vm_pu)
    pieces = "".join(
        f"M{x[a]:.1f} {y[a]:.1f}L{x[b]:.1f} {y[b]:.1f}" for a, b in zip(start[known], end[known], strict=True)
    )
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    frame.drawing.add(f'<path d="{pieces}" fill="none" stroke="{stroke}" stroke-width="1.3"{dashed}/>')
    shown = np.flatnonzero(np.isfinite(feeder.distance_km))
    if len(shown) > _DOT_LIMIT:
        return
    fill = "#fff" if dash else stroke
    dots = "".join(f'<circle cx="{x[i]:.1f}" cy="{y[i]:.1f}" r="1.9"/>' for i in shown)
    frame.drawing.add(f'<g fill="{fill}" stroke="{stroke}">{dots}</g>')


def heat_map(
    name: str,
    sample: BusSample,
    *,
    feeder: FeederMap,
    clock: Clock,
    band: VoltageBand,
    label: str,
    scale: tuple[float, float],
) -> str:
    """Return the picture of bus (by distance from the head, top to bottom) against time.

    Colours span ``scale`` [pu], shared between strategies, so that small differences show; values outside the
    limits are black. Buses held by the upstream grid are left out.
    """
    picture = sample.vm_pu[np.ix_(_columns(sample), _rows(feeder))].T
    n = int(sample.steps[-1]) + 1
    free_pu = sample.vm_pu[:, feeder.bus_free]
    above = float((free_pu > band.vm_max_pu).mean() * 100)
    below = float((free_pu < band.vm_min_pu).mean() * 100)
    words = (
        f"Voltage of each bus over {hours(n * clock.dt_s):.0f} hours, {label}: {above:.1f} % of the values are above the "
        f"upper limit and {below:.1f} % below the lower limit."
    )
    drawing = Drawing(name=name, width=_WIDTH, height=200, title=f"Bus by time, {label}", description=words)
    frame = Frame(
        drawing=drawing, left=52, top=30, width=575, height=140, x_range=(0, n * clock.dt_s), y_range=(0, 1)
    )
    drawing.add(
        f'<image x="52" y="30" width="575" height="140" preserveAspectRatio="none" class="px" '
        f'href="{_picture_uri(picture, band, scale)}"/>'
    )
    for tick in clock.ticks(0, n):
        x = float(frame.x(tick.at_s))
        drawing.line((x, 170, x, 174))
    frame.time_axis_labels(clock.ticks(0, n))
    drawing.add('<rect x="52" y="30" width="575" height="140" fill="none" stroke="#5b6570"/>')
    drawing.text(4, 22, "Buses by distance from the head", kind="tb")
    drawing.text(46, 42, "near", anchor="end")
    drawing.text(46, 168, "far", anchor="end")
    _legend(drawing, scale)
    return drawing.markup()


def _rows(feeder: FeederMap) -> IntArray:
    shown = np.flatnonzero(feeder.bus_free)
    distance = np.where(np.isfinite(feeder.distance_km), feeder.distance_km, np.inf)[shown]
    order = shown[np.argsort(distance, kind="stable")]
    kept: IntArray = order[
        np.unique(np.linspace(0, len(order) - 1, min(len(order), _IMAGE_ROWS)).astype(int))
    ]
    return kept


def _columns(sample: BusSample) -> IntArray:
    regular = np.flatnonzero(sample.steps % sample.every == 0)
    kept: IntArray = regular[
        np.unique(np.linspace(0, len(regular) - 1, min(len(regular), _IMAGE_COLUMNS)).astype(int))
    ]
    return kept


def _picture_uri(vm_pu: Array, band: VoltageBand, scale: tuple[float, float]) -> str:
    outside = (vm_pu > band.vm_max_pu) | (vm_pu < band.vm_min_pu)
    index = np.where(outside, len(VOLTAGE_PALETTE), voltage_index(vm_pu, scale)).astype(np.uint8)
    black = np.zeros((1, 3), dtype=np.uint8)
    return png_uri(index, np.concatenate([palette_rgb(), black]))


def _legend(drawing: Drawing, scale: tuple[float, float]) -> None:
    step = 140 / len(VOLTAGE_PALETTE)
    for position, colour in enumerate(VOLTAGE_PALETTE):
        drawing.add(
            f'<rect x="{430 + position * step:.1f}" y="13" width="{step + 0.4:.1f}" height="9" fill="{colour}"/>'
        )
    drawing.text(426, 22, f"{scale[0]:.3f}", anchor="end")
    drawing.text(574, 22, f"{scale[1]:.3f} pu")
