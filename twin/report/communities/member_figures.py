"""Figures of one member: money by strategy."""

from collections.abc import Mapping

from twin.community.results import MemberLine
from twin.report.colour import INK
from twin.report.communities.cells import money_text
from twin.report.numbers import short
from twin.report.svg import Drawing, Frame

__all__ = ["money_figure"]

_LOOKS = {
    "bill": "#c9ced4",
    "sales": "#e69f00",
    "premium": "#0072b2",
    "valorisation": "#a8467f",
    "stored": "#56b4e9",
}
_ROW = 34.0
_LEAST_EUR = 0.01


def _sides(line: MemberLine) -> tuple[dict[str, float], dict[str, float]]:
    """Return what is paid and what is earned; energy missing in the batteries counts as paid."""
    paid = {"bill": line.bill_eur, "stored": max(-line.stored_eur, 0.0)}
    earned = {
        "sales": line.sale_eur,
        "premium": line.incentive_eur,
        "valorisation": line.valorisation_eur,
        "stored": max(line.stored_eur, 0.0),
    }
    return paid, earned


def money_figure(name: str, lines: Mapping[str, MemberLine]) -> str:
    """Return what a member pays (to the right) and earns (to the left), with the net cost as a mark.

    Args:
        name: prefix of ids in the page.
        lines: the member by the strategy in words.
    """
    sides = [_sides(line) for line in lines.values()]
    paid, earned = (max((sum(side[place].values()) for side in sides), default=0.0) for place in (0, 1))
    reach = max(paid + earned, _LEAST_EUR)
    said = "; ".join(f"{label}: net cost {money_text(line.net_eur)}" for label, line in lines.items())
    drawing = Drawing(
        name=name,
        width=640,
        height=34 + _ROW * len(lines) + 46,
        title="What is paid and earned, by strategy",
        description=f"{said}.",
    )
    frame = Frame(
        drawing=drawing,
        left=190,
        top=30,
        width=438,
        height=_ROW * len(lines) + 4,
        x_range=(-earned - 0.06 * reach, paid + 0.34 * reach),
        y_range=(0, 1),
    )
    _key(drawing)
    for row, (label, line) in enumerate(lines.items()):
        y = frame.top + _ROW * row + 6
        drawing.text(frame.left - 8, y + 15, short(label), anchor="end")
        end = max(_bars(frame, line, y), float(frame.x(line.net_eur)))
        at = float(frame.x(line.net_eur))
        drawing.line((at, y - 3, at, y + 25), stroke=INK, width=2.4)
        drawing.text(end + 6, y + 15, f"net {money_text(line.net_eur)}", kind="tb")
    zero = float(frame.x(0))
    drawing.line((zero, frame.top, zero, frame.bottom), stroke=INK)
    frame.x_axis("Earned (left of zero) and paid (right) over the run [EUR]", 6)
    return drawing.markup()


def _key(drawing: Drawing) -> None:
    for x, (word, fill) in zip((120, 180, 250, 338, 440), _LOOKS.items(), strict=True):
        drawing.add(
            f'<rect x="{x}" y="4" width="12" height="10" fill="{fill}" stroke="#5b6570" stroke-width=".5"/>'
        )
        drawing.text(x + 17, 13, word)
    drawing.line((520, 3, 520, 16), stroke=INK, width=2.4)
    drawing.text(527, 13, "net cost")


def _bars(frame: Frame, line: MemberLine, y: float) -> float:
    """Draw both sides and return the pixel where the paid one ends."""
    ends = [0.0, 0.0]
    for place, (side, sign) in enumerate(zip(_sides(line), (1.0, -1.0), strict=True)):
        for word, value in side.items():
            x1, x2 = sorted(float(frame.x(edge)) for edge in (ends[place], ends[place] + sign * value))
            ends[place] += sign * value
            if x2 > x1:
                frame.drawing.add(
                    f'<rect x="{x1:.1f}" y="{y:.1f}" width="{x2 - x1:.1f}" height="22" fill="{_LOOKS[word]}" stroke="#5b6570" stroke-width=".5"/>'
                )
    return float(frame.x(ends[0]))
