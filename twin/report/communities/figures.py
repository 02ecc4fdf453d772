"""Figures on all communities: where the value comes from, who gains, sharing against the grid."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase

import numpy as np

from twin.report.colour import INK, strategy_style
from twin.report.communities.cells import money_text
from twin.report.communities.value import PARTS, SAME_EUR, MemberChange, Step
from twin.report.numbers import decimals_for, number_text, quantity_text, scaled_unit, short
from twin.report.svg import Drawing, Frame

__all__ = ["gain_figure", "gain_range", "scatter_figure", "value_figure", "value_range"]

_WIDTH = 640.0
_LEFT, _PLOT = 60.0, 568.0
_UP, _DOWN = "#0072b2", "#c04a00"
_LINK = "#5b6570"
_MARGIN = 0.16
_LEAST_EUR = 0.01
_ROW = 32.0
_NEAR_PX = 14.0
"""Points of a scatter closer than this share their words."""


def _padded(low: float, high: float, least: float) -> tuple[float, float]:
    """Return an axis range that holds zero, with room for words above and below."""
    low, high = min(low, 0.0), max(high, 0.0)
    margin = _MARGIN * max(high - low, least)
    return low - (margin if low < 0 else 0.0), high + margin


def _levels(step: Step) -> list[tuple[float, float]]:
    """Return start and end of each bar [EUR]: every part starts where the one before ends; the last bar is the sum."""
    ends = np.cumsum(step.parts_eur)
    starts = np.concatenate([[0.0], ends[:-1]])
    return [*zip(starts.tolist(), ends.tolist(), strict=True), (0.0, step.gain_eur)]


def value_range(found: Sequence[Step]) -> tuple[float, float]:
    """Return the axis over all steps [EUR]."""
    edges = [edge for step in found for pair in _levels(step) for edge in pair]
    return _padded(min(edges), max(edges), _LEAST_EUR)


def value_figure(name: str, step: Step, *, y_range: tuple[float, float]) -> str:
    """Return where the value of one strategy over the one below comes from, as a waterfall.

    Args:
        name: prefix of ids in the page.
        step: what is drawn.
        y_range: amounts [EUR], shared between steps.
    """
    bars = [*PARTS.values(), "Gain"]
    amounts = [*step.parts_eur, step.gain_eur]
    decimals = decimals_for([*amounts], "EUR")
    said = ", ".join(f"{word} {money_text(value, '+')}" for word, value in zip(bars, amounts, strict=True))
    drawing = Drawing(
        name=name,
        width=_WIDTH,
        height=228,
        title=f"Where the value comes from: {step.upper.label} over {step.lower.label}",
        description=f"{said}.",
    )
    frame = Frame(
        drawing=drawing, left=_LEFT, top=26, width=_PLOT, height=160, x_range=(0, len(bars)), y_range=y_range
    )
    frame.y_axis("Gain of the communities [EUR]")
    levels = _levels(step)
    for place, (word, value, (start, end)) in enumerate(zip(bars, amounts, levels, strict=True)):
        if abs(value) > SAME_EUR:
            fill = INK if place == len(bars) - 1 else _UP if value > 0 else _DOWN
            _bar(frame, place, (start, end), fill)
        else:
            _link(frame, place, (0.18, 0.82), end)
        text = number_text(round(value, decimals), decimals, "+") if round(value, decimals) else "0"
        x, top, bottom = float(frame.x(place + 0.5)), *_edges(frame, start, end)
        drawing.text(x, top - 5 if value >= 0 else bottom + 13, text, anchor="middle", kind="tb")
        drawing.text(x, frame.bottom + 17, word, anchor="middle", kind="tb" if word == "Gain" else "t")
        if place < len(bars) - 1:
            _link(frame, place, (0.82, 1.18), end)
    zero = float(frame.y(0))
    drawing.line((frame.left, zero, frame.right, zero), stroke=INK)
    for first, last, words in ((0.1, 4.9, "by control"), (5.1, 5.9, "by accounting")):
        x1, x2 = (float(frame.x(edge)) for edge in (first, last))
        drawing.line((x1, frame.bottom + 23, x2, frame.bottom + 23), stroke=_LINK)
        drawing.text((x1 + x2) / 2, frame.bottom + 36, words, anchor="middle", kind="ts")
    return drawing.markup()


def _link(frame: Frame, place: int, shares: tuple[float, float], level: float) -> None:
    y = float(frame.y(level))
    x1, x2 = (float(frame.x(place + share)) for share in shares)
    frame.drawing.line((x1, y, x2, y), stroke=_LINK, dash="2 2")


def _edges(frame: Frame, start: float, end: float) -> tuple[float, float]:
    y1, y2 = float(frame.y(start)), float(frame.y(end))
    return min(y1, y2), max(y1, y2)


def _bar(frame: Frame, place: int, span: tuple[float, float], fill: str) -> None:
    top, bottom = _edges(frame, *span)
    x1, x2 = (float(frame.x(place + share)) for share in (0.18, 0.82))
    frame.drawing.add(
        f'<rect x="{x1:.1f}" y="{top:.1f}" width="{x2 - x1:.1f}" height="{max(bottom - top, 1):.1f}" fill="{fill}"/>'
    )


def gain_range(found: Sequence[Sequence[MemberChange]]) -> tuple[float, float]:
    """Return the axis over all members and strategies [EUR]."""
    gains = [change.gain_eur for changes in found for change in changes]
    low, high = min(gains, default=0.0), max(gains, default=0.0)
    margin = 0.04 * max(high - low, _LEAST_EUR)
    return min(low, 0.0) - margin, max(high, 0.0) + margin


def _dots(frame: Frame, changes: Sequence[MemberChange], y: float) -> str:
    """Return path data with one point per member, spread over a few pixels so that equal ones show."""
    order = np.argsort([change.gain_eur for change in changes], kind="stable")
    spread = (-4.0, 0.0, 4.0)
    return "".join(
        f"M{float(frame.x(changes[i].gain_eur)):.1f} {y + spread[place % 3]:.1f}h0"
        for place, i in enumerate(order)
    )


def gain_figure(
    name: str,
    changes: tuple[Sequence[MemberChange], Sequence[MemberChange] | None],
    *,
    labels: tuple[str, str, str],
    x_range: tuple[float, float],
) -> str:
    """Return one dot per member and kind: gain against the strategy below, and below it (rings) against the base.

    Args:
        name: prefix of ids in the page.
        changes: against the strategy below and against the base; None where that is the same.
        labels: the strategy, the one below and the base in words.
        x_range: gains [EUR], shared between strategies.
    """
    first, second = changes
    kinds = sorted({change.kind for change in first})
    height = 60 + _ROW * len(kinds) + 46
    said = "; ".join(
        f"{kind}: {sum(c.gain_eur > 0 for c in first if c.kind == kind)} of {sum(c.kind == kind for c in first)} gain"
        for kind in kinds
    )
    drawing = Drawing(
        name=name,
        width=_WIDTH,
        height=height,
        title=f"Gain of each member, {labels[0]}",
        description=f"Against {labels[1]}: {said}.",
    )
    frame = Frame(
        drawing=drawing,
        left=150,
        top=44,
        width=478,
        height=_ROW * len(kinds) + 10,
        x_range=x_range,
        y_range=(0, 1),
    )
    _gain_key(drawing, labels[1:] if second is not None else labels[1:2])
    zero = float(frame.x(0))
    drawing.line((zero, frame.top, zero, frame.bottom), stroke=INK)
    for place, kind in enumerate(kinds):
        y = frame.top + 5 + _ROW * (place + 0.5)
        n = sum(change.kind == kind for change in first)
        drawing.text(frame.left - 8, y + 4, f"{kind.replace('_', ' ')} ({n})", anchor="end")
        if place:
            drawing.line((frame.left, y - _ROW / 2, frame.right, y - _ROW / 2), stroke="#d9dde2")
        lift = 7.0 if second is not None else 0.0
        mine = [change for change in first if change.kind == kind]
        _draw_dots(frame, mine, y - lift, style=(_UP, 5.5))
        if second is not None:
            others = [change for change in second if change.kind == kind]
            _draw_dots(frame, others, y + lift, style=(_DOWN, 6.0))
            _draw_dots(frame, others, y + lift, style=("#fff", 3.0))
    frame.x_axis("Gain over the run [EUR]; right of zero the member pays less", 8)
    return drawing.markup()


def _draw_dots(frame: Frame, changes: Sequence[MemberChange], y: float, *, style: tuple[str, float]) -> None:
    frame.drawing.add(
        f'<path d="{_dots(frame, changes, y)}" stroke="{style[0]}" stroke-width="{style[1]:g}" stroke-linecap="round" fill="none"/>'
    )


def _gain_key(drawing: Drawing, labels: Sequence[str]) -> None:
    """Explain dots (first label) and rings (second one, if there is one)."""
    looks = (f'r="3.5" fill="{_UP}"', f'r="3" fill="#fff" stroke="{_DOWN}" stroke-width="1.6"')
    for place, (label, look) in enumerate(zip(labels, looks, strict=False)):
        x = 12 + 320 * place
        drawing.add(f'<circle cx="{x}" cy="12" {look}/>')
        drawing.text(x + 10, 16, short(f"against {label}", 46))


def scatter_figure(name: str, points: Mapping[str, tuple[float, float]], *, what: str, unit: str) -> str:
    """Return one point per strategy: energy shared in substations against a key figure of the grid.

    Args:
        name: prefix of ids in the page.
        points: shared energy [kWh] and the key figure [unit] by the strategy in words.
        what: the key figure in words.
        unit: its unit.
    """
    shared = [x for x, _ in points.values()]
    level = [y for _, y in points.values()]
    (x_unit, x_per), (y_unit, y_per) = scaled_unit(shared, "kWh"), scaled_unit(level, unit)
    said = "; ".join(
        f"{label}: {quantity_text(x, 'kWh', shared)}, {quantity_text(y, unit, level)}"
        for label, (x, y) in points.items()
    )
    top = 30 + 16 * -(-len(points) // 2)
    drawing = Drawing(
        name=name, width=_WIDTH, height=top + 216, title=f"Shared energy and {what}", description=f"{said}."
    )
    frame = Frame(
        drawing=drawing,
        left=64,
        top=top,
        width=560,
        height=170,
        x_range=_around([x / x_per for x in shared]),
        y_range=_around([y / y_per for y in level]),
    )
    frame.y_axis(f"{what} [{y_unit}]")
    frame.x_axis(f"Energy shared in substations [{x_unit}]", 8)
    placed: list[tuple[float, float, list[str]]] = []
    for place, (label, (x_value, y_value)) in enumerate(points.items()):
        letter = _letter(place)
        x, y = float(frame.x(x_value / x_per)), float(frame.y(y_value / y_per))
        colour, _ = strategy_style(place)
        drawing.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        near = next((found for found in placed if np.hypot(found[0] - x, found[1] - y) < _NEAR_PX), None)
        if near is None:
            placed.append((x, y, [letter]))
        else:
            near[2].append(letter)
        kx, ky = 64 + (place % 2) * 290, 12 + (place // 2) * 16
        drawing.add(f'<circle cx="{kx}" cy="{ky}" r="5" fill="{colour}"/>')
        drawing.text(kx + 10, ky + 4, short(f"{letter}  {label}", 44))
    for x, y, names in placed:
        drawing.text(x + 9, y - 5, ", ".join(names), kind="tb")
    return drawing.markup()


def _letter(place: int) -> str:
    """Return A to Z, then A1 to Z1 and so on."""
    turn, rest = divmod(place, len(ascii_uppercase))
    return ascii_uppercase[rest] + (str(turn) if turn else "")


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Return an axis range around values that need not come near zero."""
    low, high = min(values), max(values)
    margin = 0.12 * (high - low) if high > low else max(0.05 * abs(high), 1e-3)
    return low - margin, high + margin
