"""The feeder map: one SVG element per line and bus, coloured by the worst values, recoloured by the page's script."""

from html import escape

import numpy as np

from twin.report.colour import HIGH, LOW, VOLTAGE_PALETTE, loading_class, voltage_index
from twin.report.model import Array, FeederMap, VoltageBand, Worst
from twin.report.svg import Drawing, num

__all__ = ["HELD_FILL", "LINE_STYLES", "OPEN_STYLE", "farther", "map_figure", "map_legend", "positions"]

_WIDTH = 640.0
_MARGIN = 16.0
_LEAST_HEIGHT, _MOST_HEIGHT = 260.0, 400.0
_TITLE_LIMIT = 600
_FEW_BUSES = 160

LINE_STYLES = (("#aab2bb", 1.6, ""), ("#6d4fa3", 2.6, ""), ("#4a1a86", 3.6, ""), ("#c2006b", 4.6, "5 2"))
"""Colour, width and dash of a line loaded up to 50, 80, 100 % and above."""
HELD_FILL = "#ffffff"
"""Of a bus whose voltage the upstream grid holds."""
OPEN_STYLE = ("#7b858f", 1.2, "1.5 4")


def positions(feeder: FeederMap) -> tuple[Array, Array, float]:
    """Return x and y in pixels, shape (N,) each, and the height of the drawing.

    Geographic coordinates keep their proportions; a generated layout is stretched to the drawing.
    """
    x, y = feeder.x.astype(float), feeder.y.astype(float)
    if feeder.has_geo:
        x = x * np.cos(np.radians(y.mean()))
    width = max(float(np.ptp(x)), 1e-12)
    depth = max(float(np.ptp(y)), 1e-12)
    inner = _WIDTH - 2 * _MARGIN
    height = float(np.clip(inner * depth / width if feeder.has_geo else 330.0, _LEAST_HEIGHT, _MOST_HEIGHT))
    scale_x, scale_y = inner / width, (height - 2 * _MARGIN) / depth
    if feeder.has_geo:
        scale_x = scale_y = min(scale_x, scale_y)
    left = (_WIDTH - width * scale_x) / 2
    top = (height - depth * scale_y) / 2
    return left + (x - x.min()) * scale_x, top + (y.max() - y) * scale_y, height


def farther(worst: Worst) -> Array:
    """Return per bus the extreme voltage that lies farther from 1 pu, shape (N,) [pu]."""
    return np.where(worst.vm_max_pu - 1.0 >= 1.0 - worst.vm_min_pu, worst.vm_max_pu, worst.vm_min_pu)


def map_figure(
    name: str,
    worst: Worst,
    *,
    feeder: FeederMap,
    band: VoltageBand,
    scale: tuple[float, float],
    label: str,
) -> str:
    """Return the map of one strategy in its worst state.

    Args:
        name: prefix of ids in the page.
        worst: extremes of each element.
        feeder: what is drawn where.
        band: voltage limits.
        scale: voltages at the ends of the colours [pu], shared between strategies.
        label: the strategy in words.
    """
    x, y, height = positions(feeder)
    shown = farther(worst)
    outside = int(((worst.vm_max_pu > band.vm_max_pu) | (worst.vm_min_pu < band.vm_min_pu)).sum())
    loading = worst.line_loading_percent
    words = (
        f"Map of {len(x)} buses and {len(loading)} lines, {label}. Over the period the voltage lies between "
        f"{worst.vm_min_pu[worst.free].min():.3f} and {worst.vm_max_pu[worst.free].max():.3f} pu, {outside} of them leave the limits; "
        f"highest line loading {loading.max(initial=0.0):.0f} %."
    )
    drawing = Drawing(name=name, width=_WIDTH, height=height, title=f"Feeder map, {label}", description=words)
    titled = len(x) <= _TITLE_LIMIT
    _draw_lines(drawing, (x, y), feeder=feeder, loading=loading, titled=titled)
    _draw_trafos(drawing, (x, y), feeder=feeder, loading=worst.trafo_loading_percent)
    index = voltage_index(shown, scale)
    radius = 5.0 if len(x) <= _FEW_BUSES else 3.6 if len(x) <= _TITLE_LIMIT else 2.0
    drawing.add(f'<g class="mb" stroke="#3b434c" stroke-width=".8" data-r="{radius:g}">')
    for i in range(len(x)):
        beyond = worst.vm_max_pu[i] > band.vm_max_pu or worst.vm_min_pu[i] < band.vm_min_pu
        kinds = [word for word, holds in (("held", not worst.free[i]), ("out", beyond)) if holds]
        ring = f' class="{" ".join(kinds)}"' if kinds else ""
        title = ""
        if titled:
            title = f"<title>{escape(feeder.bus_name[i])}: {worst.vm_min_pu[i]:.3f} to {worst.vm_max_pu[i]:.3f} pu</title>"
        end = f">{title}</circle>" if title else "/>"
        fill = VOLTAGE_PALETTE[index[i]] if worst.free[i] else HELD_FILL
        drawing.add(f'<circle cx="{num(x[i])}" cy="{num(y[i])}" r="{radius:g}" fill="{fill}"{ring}{end}')
    drawing.add("</g>")
    return drawing.markup()


def _draw_lines(
    drawing: Drawing, at: tuple[Array, Array], *, feeder: FeederMap, loading: Array, titled: bool
) -> None:
    x, y = at
    drawing.add('<g class="ml" fill="none">')
    looks = loading_class(loading)
    for i, (a, b) in enumerate(zip(feeder.line_from, feeder.line_to, strict=True)):
        stroke, width, dash = OPEN_STYLE if feeder.line_open[i] else LINE_STYLES[looks[i]]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        words = "open at a switch" if feeder.line_open[i] else f"up to {loading[i]:.0f} %"
        title = f"<title>{escape(feeder.line_name[i])}: {words}</title>" if titled else ""
        kind = ' class="open"' if feeder.line_open[i] else ""
        end = f">{title}</path>" if title else "/>"
        drawing.add(
            f'<path{kind} d="M{num(x[a])} {num(y[a])}L{num(x[b])} {num(y[b])}" stroke="{stroke}" '
            f'stroke-width="{width:g}"{dashed}{end}'
        )
    drawing.add("</g>")


def _draw_trafos(drawing: Drawing, at: tuple[Array, Array], *, feeder: FeederMap, loading: Array) -> None:
    x, y = at
    for i, (a, b) in enumerate(zip(feeder.trafo_hv, feeder.trafo_lv, strict=True)):
        middle_x, middle_y = (x[a] + x[b]) / 2, (y[a] + y[b]) / 2
        title = f"<title>{escape(feeder.trafo_name[i])}: up to {loading[i]:.0f} %</title>"
        drawing.add(
            f'<g fill="#fff" fill-opacity=".0" stroke="#1b1f24" stroke-width="1.6">{title}'
            f'<path d="M{num(x[a])} {num(y[a])}L{num(x[b])} {num(y[b])}"/>'
            f'<circle cx="{num(middle_x - 3.5)}" cy="{num(middle_y)}" r="6.5"/>'
            f'<circle cx="{num(middle_x + 3.5)}" cy="{num(middle_y)}" r="6.5"/></g>'
        )


def map_legend(scale: tuple[float, float]) -> str:
    """Return the key of colours, rings, widths and dashes; ``scale`` as for :func:`map_figure`."""
    drawing = Drawing(
        name="map-key",
        width=1000,
        height=46,
        title="Key of the feeder map",
        description=(
            f"Buses: blue at {scale[0]:.3f} pu and below, over near-white to red at {scale[1]:.3f} pu and above, thick black "
            "ring outside the limits. Lines: thicker and darker with loading, dashed above 100 %."
        ),
    )
    drawing.text(0, 18, "Bus voltage", kind="tb")
    step = 200 / len(VOLTAGE_PALETTE)
    for position, colour in enumerate(VOLTAGE_PALETTE):
        drawing.add(
            f'<rect x="{82 + position * step:.1f}" y="8" width="{step + 0.4:.1f}" height="13" fill="{colour}"/>'
        )
    for x, words in ((82, f"{scale[0]:.3f}"), (182, f"{sum(scale) / 2:.3f}"), (282, f"{scale[1]:.3f} pu")):
        drawing.text(x, 36, words, anchor="middle")
    drawing.add(f'<circle cx="328" cy="15" r="6.5" fill="{HIGH}" class="out"/>')
    drawing.add(f'<circle cx="345" cy="15" r="6.5" fill="{LOW}" class="out"/>')
    drawing.text(357, 19, "outside the limits")
    drawing.text(476, 18, "Line loading", kind="tb")
    names = ("to 50 %", "to 80 %", "to 100 %", "above")
    for position, ((stroke, width, dash), words) in enumerate(zip(LINE_STYLES, names, strict=True)):
        x = 562 + position * 84
        drawing.line((x, 15, x + 24, 15), stroke=stroke, width=width, dash=dash)
        drawing.text(x + 29, 19, words)
    drawing.add(
        '<g fill="none" stroke="#1b1f24" stroke-width="1.6"><circle cx="906" cy="15" r="6.5"/>'
        '<circle cx="913" cy="15" r="6.5"/></g>'
    )
    drawing.text(925, 19, "transformer")
    return drawing.markup()
