"""Report data to one self-contained HTML page."""

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from twin.report.colour import VOLTAGE_PALETTE, loading_class
from twin.report.communities.section import community_section
from twin.report.daily import is_long
from twin.report.devices_section import device_section
from twin.report.document import asset, policy, render, trusted
from twin.report.figures_map import LINE_STYLES, map_legend
from twin.report.live_section import live_section
from twin.report.model import Array, Card, ReportData, StrategyData
from twin.report.panels import build_panels

__all__ = ["TOC", "page"]

TOC = (
    ("summary", "Summary"),
    ("communities", "Communities"),
    ("grid", "Grid and assumptions"),
    ("map", "Feeder map"),
    ("voltage", "Voltage"),
    ("flow", "Transformer flow, peak and loading"),
    ("day", "One day in detail"),
    ("live", "Real time and devices on the wire"),
    ("devices", "Devices with a state of their own"),
    ("worst", "Worst nodes, lines and transformers"),
    ("each", "Each community in detail"),
    ("methods", "Methods and assumptions"),
)
"""Id and title of each section."""
_OF_COMMUNITIES = ("communities", "each")

_VERDICTS = {
    "pass": ("v-pass", "\u2713"),
    "fail": ("v-fail", "\u2715"),
    "indicative": ("v-indicative", "\u2248"),
    "indicative, likely kept": ("v-kept", "\u2248\u2713"),
    "indicative, likely exceeded": ("v-exceeded", "\u2248\u2715"),
    "not assessed": ("v-none", "\u2013"),
}
_LEVELS = 255
_FIGURES = ("maps", "bands", "profiles", "heat", "flow", "duration", "day")


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


def _toc(data: ReportData) -> tuple[tuple[str, str], ...]:
    """Return id and title of each section; a run without communities, real time or devices of this kind has none on them."""
    absent = {*(_OF_COMMUNITIES if data.communities is None else ())}
    if data.devices is None:
        absent.add("devices")
    if data.live is None:
        absent.add("live")
    return tuple(entry for entry in TOC if entry[0] not in absent)


def page(data: ReportData) -> str:
    """Return the report as one HTML document without any outside request."""
    section = None if data.communities is None else community_section(data.communities)
    css, js = asset("report.css"), asset("report.js")
    if section is not None:
        css = f"{css}\n{asset('communities.css')}"
    panels, day_words = build_panels(data)
    map_json, map_steps, map_every = _map_data(data, panels.scale)
    toc = _toc(data)
    return render(
        "report.html.j2",
        d=data,
        c=section,
        devices=None if data.devices is None else device_section(data.devices, data.clock),
        live=None if data.live is None else live_section(data.live, data.clock),
        css=trusted(css),
        js=trusted(js),
        csp=trusted(policy(css, js)),
        toc=toc,
        number={id_: place for place, (id_, _) in enumerate(toc, start=1)},
        figures={kind: getattr(panels, kind) for kind in _FIGURES},
        day_words=day_words,
        long=any(is_long(strategy.n_steps, data.clock) for strategy in data.strategies),
        key_svg=trusted(map_legend(panels.scale)),
        map_json=trusted(map_json),
        map_steps=map_steps,
        map_every=map_every,
        reasons=lambda question: _reasons(data, question),
        verdict_class=lambda verdict: _VERDICTS[verdict][0],
        verdict_sign=lambda verdict: _VERDICTS[verdict][1],
    )
