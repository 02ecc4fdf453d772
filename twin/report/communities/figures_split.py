"""Figure of who gets the income of a community."""

from collections.abc import Mapping

from twin.report.colour import STRATEGY
from twin.report.communities.cells import money_text
from twin.report.numbers import short
from twin.report.svg import Drawing, Frame

__all__ = ["split_figure"]

_LEAST_EUR = 0.01


def split_figure(name: str, money: Mapping[str, Mapping[str, float]], *, community: str) -> str:
    """Return premium and valorisation by kind of member, one bar per strategy.

    Args:
        name: prefix of ids in the page.
        money: [EUR] by kind, by the strategy in words.
        community: its name.
    """
    kinds = sorted({kind for entry in money.values() for kind in entry})
    sums = {label: sum(entry.values()) for label, entry in money.items()}
    said = "; ".join(f"{label}: {money_text(value)}" for label, value in sums.items())
    top = 24 + 16 * -(-len(kinds) // 4)
    drawing = Drawing(
        name=name,
        width=640,
        height=top + 30 * len(money) + 46,
        title=f"Premium and valorisation by kind of member, {community}",
        description=f"{said}.",
    )
    frame = Frame(
        drawing=drawing,
        left=190,
        top=top,
        width=438,
        height=30 * len(money),
        x_range=(0, max(*sums.values(), _LEAST_EUR) * 1.25),
        y_range=(0, 1),
    )
    for place, kind in enumerate(kinds):
        kx, ky = 8 + (place % 4) * 156, 6 + (place // 4) * 16
        drawing.add(f'<rect x="{kx}" y="{ky}" width="12" height="10" fill="{_kind_colour(place)}"/>')
        drawing.text(kx + 17, ky + 9, kind.replace("_", " "))
    for row, (label, entry) in enumerate(money.items()):
        y, start = frame.top + 30 * row + 5, 0.0
        drawing.text(frame.left - 8, y + 14, short(label), anchor="end")
        for place, kind in enumerate(kinds):
            value = entry.get(kind, 0.0)
            x1, x2 = float(frame.x(start)), float(frame.x(start + value))
            if x2 - x1 > 0:
                drawing.add(
                    f'<rect x="{x1:.1f}" y="{y:.1f}" width="{x2 - x1:.1f}" height="20" fill="{_kind_colour(place)}" stroke="#fff"/>'
                )
            start += value
        drawing.text(float(frame.x(start)) + 5, y + 14, money_text(sums[label]), kind="tb")
    frame.x_axis("Premium and valorisation [EUR]", 6)
    return drawing.markup()


def _kind_colour(place: int) -> str:
    colours = (*STRATEGY[1:], "#56b4e9", "#8a8f96", STRATEGY[0])
    return colours[place % len(colours)]
