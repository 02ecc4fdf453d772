"""Report data to one self-contained HTML page."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twin.report.colour import VOLTAGE_PALETTE, loading_class
from twin.report.daily import is_long
from twin.report.figures_map import LINE_STYLES, map_legend
from twin.report.model import Array, Card, ReportData, StrategyData
from twin.report.panels import build_panels

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["TOC", "page"]

TOC = (
    ("summary", "Summary"),
    ("grid", "Grid and assumptions"),
    ("map", "Feeder map"),
    ("voltage", "Voltage"),
    ("flow", "Transformer flow, peak and loading"),
    ("day", "One day in detail"),
    ("worst", "Worst nodes, lines and transformers"),
    ("methods", "Methods and assumptions"),
)
"""Id and title of each section."""

_VERDICTS = {
    "pass": ("v-pass", "\u2713"),
    "fail": ("v-fail", "\u2715"),
    "indicative": ("v-indicative", "\u2248"),
    "indicative, likely kept": ("v-kept", "\u2248\u2713"),
    "indicative, likely exceeded": ("v-exceeded", "\u2248\u2715"),
    "not assessed": ("v-none", "\u2013"),
}
_LONG_WORD = re.compile(r"\S{21,}")
_BREAKABLE = re.compile(r"([:/_]+)(?=\w)")
_LEVELS = 255
_FIGURES = ("maps", "bands", "profiles", "heat", "flow", "duration", "day")


@cache
def _asset(name: str) -> str:
    return (files("twin.report") / "assets" / name).read_text(encoding="utf-8").strip()


def _csp_hash(content: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii") + "'"


def _policy(css: str, js: str) -> str:
    """Return a content security policy that lets nothing in or out but what is on the page."""
    return (
        f"default-src 'none'; style-src {_csp_hash(css)}; script-src {_csp_hash(js)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _packed(values: NDArray[np.uint8]) -> str:
    """Return values of shape (K, N) as text: differences over time, column after column, deflated."""
    first = values[:1]
    changes = np.concatenate([first, np.diff(values, axis=0)])
    return base64.b64encode(zlib.compress(np.ascontiguousarray(changes.T).tobytes(), 9)).decode("ascii")


def _loading_classes(loading_percent: Array) -> NDArray[np.uint8]:
    classes: NDArray[np.uint8] = loading_class(loading_percent).astype(np.uint8)
    return classes


def _sampled(data: ReportData) -> list[tuple[int, StrategyData]]:
    return [(i, s) for i, s in enumerate(data.strategies) if s.worst is not None and s.sample is not None]


def _reasons(data: ReportData, question: str) -> list[Card]:
    """Return the cards of a question; one card for all strategies where every one says the same."""
    cards = [card for card in data.cards if card.question == question]
    if len(cards) > 1 and len({(card.verdict, card.reason) for card in cards}) == 1:
        return [replace(cards[0], strategy="all strategies")]
    return cards


def _map_entry(index: int, strategy: StrategyData, low: float, step: float) -> dict[str, object]:
    sample = strategy.sample
    if sample is None:
        raise ValueError(f"strategy {strategy.key!r} has no sample")
    levels = np.rint((sample.vm_pu.astype(float) - low) / step).astype(np.uint8)

    def rounded(key: Array, digits: int) -> list[float]:
        return [round(float(value), digits) for value in key[sample.steps]]

    return {
        "id": f"map-{index}",
        "key": strategy.key,
        "v": _packed(levels),
        "l": _packed(_loading_classes(sample.line_loading_percent)),
        "low": rounded(strategy.feeder["vm_min_pu"], 4),
        "high": rounded(strategy.feeder["vm_max_pu"], 4),
        "flow": rounded(strategy.flow_kw, 1),
    }


def _map_data(data: ReportData, scale: tuple[float, float]) -> tuple[str, int, int]:
    """Return the slider's data as JSON, its number of steps and their spacing; an empty text without series."""
    maps = _sampled(data)
    if not maps:
        return "", 0, 1
    samples = [s.sample for _, s in maps if s.sample is not None]
    low = min(float(sample.vm_pu.min()) for sample in samples)
    high = max(float(sample.vm_pu.max()) for sample in samples)
    step = max((high - low) / _LEVELS, 1e-6)
    longest = max(samples, key=lambda sample: len(sample.steps))
    content = {
        "v_low": low,
        "v_step": step,
        "vm_min": data.band.vm_min_pu,
        "vm_max": data.band.vm_max_pu,
        "scale": scale,
        "palette": VOLTAGE_PALETTE,
        "line_styles": LINE_STYLES,
        "times": [data.clock.label(int(k)) for k in longest.steps],
        "strategies": [_map_entry(i, s, low, step) for i, s in maps],
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")
    return text, len(longest.steps), longest.every


def _trusted(markup: str) -> "Markup":
    """Return markup made by this package, in which all text from outside is escaped."""
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    return Markup(markup)  # noqa: S704 - made here, see above


def _soft(text: str) -> "Markup":
    """Return text whose long names may break after ``: / _``, so that they do not break anywhere."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with jinja2

    marked = _LONG_WORD.sub(lambda word: _BREAKABLE.sub(r"\1<wbr>", word[0]), str(escape(text)))
    return Markup(marked)  # noqa: S704 - escaped before


def page(data: ReportData) -> str:
    """Return the report as one HTML document without any outside request."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - 0.1 s that only a report needs

    css, js = _asset("report.css"), _asset("report.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["soft"] = _soft
    panels, day_words = build_panels(data)
    map_json, map_steps, map_every = _map_data(data, panels.scale)
    safe = {
        kind: [
            {**{key: getattr(panel, key) for key in panel.__slots__}, "svg": _trusted(panel.svg)}
            for panel in group
        ]
        for kind, group in ((kind, getattr(panels, kind)) for kind in _FIGURES)
    }
    text = environment.from_string(_asset("report.html.j2")).render(
        d=data,
        css=_trusted(css),
        js=_trusted(js),
        csp=_trusted(_policy(css, js)),
        toc=TOC,
        figures=safe,
        day_words=day_words,
        long=any(is_long(strategy.n_steps, data.clock) for strategy in data.strategies),
        key_svg=_trusted(map_legend(panels.scale)),
        map_json=_trusted(map_json),
        map_steps=map_steps,
        map_every=map_every,
        reasons=lambda question: _reasons(data, question),
        verdict_class=lambda verdict: _VERDICTS[verdict][0],
        verdict_sign=lambda verdict: _VERDICTS[verdict][1],
    )
    return text + "\n"
