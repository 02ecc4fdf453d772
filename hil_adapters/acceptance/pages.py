"""The acceptance test as a page: self-contained HTML with its figures, for people; the JSON beside it is what the guard reads."""

import datetime as dt
import math
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from hil_adapters.acceptance.judging import Series
from hil_adapters.acceptance.results import AcceptanceResult, CheckResult, Outcome, Trace
from hil_adapters.errors import RecordingError

__all__ = ["html_page", "write_reports"]

_WIDTH: Final = 860
_HEIGHT: Final = 260
_LEFT: Final = 64
_RIGHT: Final = 16
_TOP: Final = 14
_BOTTOM: Final = 40
_TICKS: Final = 6
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
Scale = Callable[[float], float]
_WORDS: Final = {Outcome.PASSED: "passed", Outcome.FAILED: "failed", Outcome.NOT_APPLICABLE: "not applicable"}


def write_reports(result: AcceptanceResult, file: Path) -> Path:
    """Write the report as JSON to ``file`` and as HTML beside it; return the HTML file.

    Raises:
        RecordingError: they cannot be written.
    """
    page = file.with_suffix(".html")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(html_page(result), encoding="utf-8")
        # last: a report that is there is whole
        unfinished = file.with_name(f"{file.name}.part")
        unfinished.write_text(result.report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        raise RecordingError(f"{file}: the report cannot be written: {error}; name another file") from error
    return page


def html_page(result: AcceptanceResult) -> str:
    """Return the page."""
    text = resources.files("hil_adapters.acceptance").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text).render(
        result=result,
        report=result.report,
        valid=dt.timedelta(days=result.report.valid_days),
        rows=[_row(check) for check in result.results],
        figures=[(trace, Markup(figure(trace))) for trace in result.traces if trace.power_kw],  # noqa: S704 - numbers only
    )


def _row(check: CheckResult) -> dict[str, str]:
    return {
        "name": check.name,
        "outcome": _WORDS[check.outcome] + ("" if check.needed else " *"),
        "kind": check.outcome.name.lower(),
        "value": _value(check.value, check.unit),
        "text": check.text,
    }


def _value(value: float | str | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:g} {unit}".strip() if isinstance(value, float) else value


def figure(trace: Trace) -> str:
    """Return power and set-point over time as SVG."""
    end_s = max(at_s for at_s, _ in trace.power_kw)
    asked = _staircase(trace, end_s)
    values = [value for _, value in trace.power_kw] + [value for piece in asked for _, value in piece]
    low, high = _padded(min(0.0, *values), max(0.0, *values))

    def x(at_s: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at_s / max(end_s, 1e-9)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Power and set-point over time">',
        *_axes(x, y, end_s=end_s, low=low, high=high),
        *(f'<polyline class="asked" points="{_points(piece, x, y)}"/>' for piece in asked),
        f'<polyline class="power" points="{_points(trace.power_kw, x, y)}"/>',
        "</svg>",
    ]
    return "".join(parts)


def _staircase(trace: Trace, end_s: float) -> list[list[tuple[float, float]]]:
    """Return what was asked as pieces of steps; where nothing was asked there is none."""
    pieces: list[list[tuple[float, float]]] = []
    ends = [at_s for at_s, _ in trace.asked_kw[1:]] + [end_s]
    for (at_s, value), until_s in zip(trace.asked_kw, ends, strict=False):
        if value is None:
            continue
        if pieces and pieces[-1][-1][0] == at_s:
            pieces[-1] += [(at_s, value), (until_s, value)]
        else:
            pieces.append([(at_s, value), (until_s, value)])
    return pieces


def _axes(x: Scale, y: Scale, *, end_s: float, low: float, high: float) -> list[str]:
    parts = []
    for value in _ticks(low, high):
        at = y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(0.0, end_s):
        at = x(value)
        parts.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{value:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">time (s)</text>')
    height = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="14" y="{height:.0f}" text-anchor="middle" transform="rotate(-90 14 {height:.0f})">power (kW)</text>'
    )
    return parts


def _points(series: Series, x: Scale, y: Scale) -> str:
    return " ".join(f"{x(at_s):.1f},{y(value):.1f}" for at_s, value in series)


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.08 * (high - low) if high > low else 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two."""
    rough = (high - low) / _TICKS
    magnitude = 10.0 ** math.floor(math.log10(rough)) if rough > 0.0 else 1.0
    step = next(magnitude * each for each in _STEPS if magnitude * each >= rough)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]
