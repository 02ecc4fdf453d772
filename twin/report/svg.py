"""SVG by hand: a drawing, a plot frame with axes, and paths that stay small."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from twin.report.clock import Tick

__all__ = ["Drawing", "Frame", "num", "path", "round_ticks", "stairs", "thin"]

Array = NDArray[np.floating | np.integer]

_GRID = "#d9dde2"
_AXIS = "#5b6570"
_ROUND = 1e-6
_OVERHANG_PX = 14
"""How far the last word of a time axis may stand out to the right, and the room that words above a line need."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def num(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0").replace("-0.", "-.").removeprefix("0") or "0"


def path(x: Array, y: Array) -> str:
    """Return path data through the points, as steps relative to the point before (0.1 px)."""
    points = np.rint(np.stack([np.asarray(x, dtype=float), np.asarray(y, dtype=float)], axis=1) * 10).astype(
        np.int64
    )
    moves = np.diff(points, axis=0)
    kept = moves.any(axis=1)
    head = f"M{points[0, 0] / 10:g} {points[0, 1] / 10:g}"
    return head + "".join(f"l{dx / 10:g} {dy / 10:g}" for dx, dy in moves[kept])


def stairs(edges: Array, levels: Array) -> str:
    """Return path data of a line that keeps each level between its two edges (0.1 px), without the way up and down.

    Args:
        edges: horizontal pixels, shape (n + 1,), increasing.
        levels: vertical pixels, shape (n,).
    """
    x = np.rint(np.asarray(edges, dtype=float) * 10).astype(np.int64)
    y = np.rint(np.asarray(levels, dtype=float) * 10).astype(np.int64)
    first = np.flatnonzero(np.diff(y, prepend=y[0] - 1))  # where a run of equal levels starts
    across = np.diff(np.append(x[first], x[-1]))
    rises = np.diff(y[first])
    parts = [f"h{across[0] / 10:g}"]
    parts += [f"v{dy / 10:g}h{dx / 10:g}" for dy, dx in zip(rises, across[1:], strict=True)]
    return f"M{x[0] / 10:g} {y[0] / 10:g}" + "".join(parts)


def thin(values: Array, most: int) -> NDArray[np.int64]:
    """Return positions of at most ``most`` values that keep the drawn line: lowest and highest of each stretch.

    Args:
        values: shape (n,).
        most: at least 4; all positions come back when n is not larger.
    """
    n = len(values)
    if n <= most:
        return np.arange(n)
    edges = np.linspace(0, n, most // 2 + 1).astype(np.int64)
    kept = {0, n - 1}
    for first, stop in pairwise(edges):
        stretch = values[first:stop]
        kept |= {int(first + np.argmin(stretch)), int(first + np.argmax(stretch))}
    return np.array(sorted(kept))


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round values that lie between ``low`` and ``high``, about ``count`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    scale = 10.0 ** np.floor(np.log10(raw))
    step = next(s for s in _STEPS if s * scale >= raw * (1 - 1e-9)) * scale
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [float(round(k * step, 10)) for k in range(first, last + 1)]


def _tick_text(value: float, spacing: float) -> str:
    decimals = max(0, -int(np.floor(np.log10(spacing) + 1e-9)))
    if decimals and abs(spacing * 10 ** (decimals) % 1) > _ROUND:  # 0.25 needs one digit more
        decimals += 1
    return f"{value:,.{decimals}f}".replace(",", "\u202f").replace("-", "\u2212")


@dataclass
class Drawing:
    """One SVG image with a text alternative."""

    name: str
    """Unique on the page; becomes the prefix of ids."""
    width: float
    height: float
    title: str
    description: str
    parts: list[str] = field(default_factory=list)

    def add(self, markup: str) -> None:
        """Append markup."""
        self.parts.append(markup)

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", kind: str = "t") -> None:
        """Append words at a point; ``kind`` is a CSS class (t, tb, ts)."""
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.add(f'<text class="{kind}" x="{num(x)}" y="{num(y)}"{where}>{escape(words)}</text>')

    def line(self, ends: Sequence[float], *, stroke: str = _AXIS, width: float = 1.0, dash: str = "") -> None:
        """Append a straight line; ``ends`` is x1, y1, x2, y2."""
        x1, y1, x2, y2 = (num(value) for value in ends)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(
            f'<path d="M{x1} {y1}L{x2} {y2}" fill="none" stroke="{stroke}" stroke-width="{width:g}"{dashed}/>'
        )

    def markup(self) -> str:
        """Return the ``svg`` element."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {num(self.width)} {num(self.height)}" role="img" '
            f'aria-labelledby="{self.name}-t" aria-describedby="{self.name}-d">'
            f'<title id="{self.name}-t">{escape(self.title)}</title><desc id="{self.name}-d">{escape(self.description)}</desc>'
        )
        return head + "".join(self.parts) + "</svg>"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The plot area of a drawing: data to pixels, axes, lines and bands."""

    drawing: Drawing
    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, values: Array | float) -> Array:
        """Return horizontal pixels."""
        low, high = self.x_range
        return self.left + (np.asarray(values, dtype=float) - low) / (high - low) * self.width

    def y(self, values: Array | float) -> Array:
        """Return vertical pixels, cut to the plot area."""
        low, high = self.y_range
        share = (np.asarray(values, dtype=float) - low) / (high - low)
        return self.top + self.height - np.clip(share, -0.01, 1.01) * self.height

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.top + self.height

    @property
    def right(self) -> float:
        """Right edge."""
        return self.left + self.width

    def y_axis(self, label: str, count: int = 5) -> None:
        """Draw grid lines, numbers and the label with its unit."""
        ticks = round_ticks(*self.y_range, count)
        spacing = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
        for value in ticks:
            y = float(self.y(value))
            self.drawing.line((self.left, y, self.right, y), stroke=_GRID)
            self.drawing.text(self.left - 6, y + 4, _tick_text(value, spacing), anchor="end")
        self.drawing.text(4, self.top - 8, label, kind="tb")

    def x_axis(self, label: str, count: int = 8) -> None:
        """Draw a numeric horizontal axis."""
        ticks = round_ticks(*self.x_range, count)
        spacing = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
        for value in ticks:
            x = float(self.x(value))
            self.drawing.line((x, self.bottom, x, self.bottom + 4))
            self.drawing.text(x, self.bottom + 17, _tick_text(value, spacing), anchor="middle")
        self.drawing.text(self.left + self.width / 2, self.bottom + 34, label, anchor="middle", kind="tb")
        self.drawing.line((self.left, self.bottom, self.right, self.bottom))

    def time_axis(self, ticks: Iterable[Tick]) -> None:
        """Draw a time axis; the horizontal range is in seconds."""
        marks = tuple(ticks)
        for tick in marks:
            x = float(self.x(tick.at_s))
            self.drawing.line((x, self.top, x, self.bottom + 4), stroke=_GRID)
        self.time_axis_labels(marks)
        self.drawing.line((self.left, self.bottom, self.right, self.bottom))

    def time_axis_labels(self, ticks: Iterable[Tick]) -> None:
        """Write the words of a time axis; a last one that would leave the drawing is left out."""
        for tick in ticks:
            x = float(self.x(tick.at_s))
            if x + 3.2 * len(tick.label) <= self.right + _OVERHANG_PX:
                self.drawing.text(x, self.bottom + 17, tick.label, anchor="middle")

    def curve(self, x: Array, y: Array, *, stroke: str, width: float = 1.5, dash: str = "") -> None:
        """Draw a line through the points."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        data = path(self.x(x), self.y(y))
        self.drawing.add(
            f'<path d="{data}" fill="none" stroke="{stroke}" stroke-width="{width:g}" stroke-linejoin="round"{dashed}/>'
        )

    def steps(self, edges: Array, levels: Array, *, stroke: str, width: float = 1.5, dash: str = "") -> None:
        """Draw a line that keeps each level between its two edges; shapes (n + 1,) and (n,)."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        data = stairs(self.x(edges), self.y(levels))
        self.drawing.add(f'<path d="{data}" fill="none" stroke="{stroke}" stroke-width="{width:g}"{dashed}/>')

    def step_area(self, edges: Array, levels: Array, *, fill: str) -> None:
        """Fill the area between the bottom of the plot and levels between edges; shapes (n + 1,) and (n,)."""
        data = stairs(self.x(edges), self.y(levels))
        self.drawing.add(
            f'<path d="{data}V{num(self.bottom)}H{num(float(self.x(edges)[0]))}z" fill="{fill}"/>'
        )

    def band(self, x: Array, edges: tuple[Array, Array], *, fill: str, opacity: float = 1.0) -> None:
        """Fill the area between two lines over the same ``x``."""
        across = np.concatenate([self.x(x), self.x(x)[::-1]])
        along = np.concatenate([self.y(edges[0]), self.y(edges[1])[::-1]])
        faded = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
        self.drawing.add(f'<path d="{path(across, along)}z" fill="{fill}"{faded}/>')

    def side_away_from(self, x: float) -> Literal["start", "end"]:
        """Return the side where the words of a level do not meet those of a mark at ``x``."""
        return "end" if float(self.x(x)) < self.left + self.width / 2 else "start"

    def level(self, value: float, words: str, *, stroke: str, anchor: str = "start") -> None:
        """Draw a dashed horizontal line with words at its ``start`` or ``end``, if it lies in the plot."""
        low, high = self.y_range
        if not low <= value <= high:
            return
        y = float(self.y(value))
        self.drawing.line((self.left, y, self.right, y), stroke=stroke, width=1.3, dash="6 3")
        above = y - self.top > _OVERHANG_PX
        x = self.left + 4 if anchor == "start" else self.right - 3
        self.drawing.text(x, y - 4 if above else y + 13, words, anchor=anchor, kind="ts")
