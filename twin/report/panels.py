"""All figures of a report, each with its heading and caption."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from twin.report.colour import voltage_scale
from twin.report.figures_flow import day_figure, duration_figure, flow_figure, padded
from twin.report.figures_map import map_figure
from twin.report.figures_voltage import band_figure, heat_map, profile_figure, voltage_range
from twin.report.model import ReportData, StrategyData
from twin.report.numbers import quantity_text
from twin.units import energy_kwh, hours

__all__ = ["Panel", "Panels", "build_panels", "day_of_interest"]

_DAY_KEYS = ("p_load_kw", "p_pv_kw", "p_battery_kw", "p_other_kw", "p_import_kw")
_NEAR_LIMIT_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One figure in the page."""

    id: str
    svg: str
    strategy: str = ""
    """Key of the strategy; empty for a figure over all strategies."""
    heading: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panels:
    """The figures by section."""

    maps: tuple[Panel, ...]
    bands: tuple[Panel, ...]
    profiles: tuple[Panel, ...]
    heat: tuple[Panel, ...]
    flow: tuple[Panel, ...]
    duration: tuple[Panel, ...]
    day: tuple[Panel, ...]
    scale: tuple[float, float]
    """Voltages at the ends of the colours of map and bus-by-time pictures [pu]."""


def day_of_interest(data: ReportData) -> tuple[int, int, str]:
    """Return first and last-plus-one step of the day shown in detail and why it was chosen.

    It is the local day of the voltage nearest to (or farthest beyond) a limit over all strategies when that is more
    than half way to the limit, else the day of the largest flow.
    """
    stored = [strategy for strategy in data.strategies if strategy.n_steps]
    best, step, words = -1.0, 0, ""
    for strategy in stored:
        high, low = strategy.feeder["vm_max_pu"], strategy.feeder["vm_min_pu"]
        for values, limit, kind in (
            (high, data.band.vm_max_pu, "highest"),
            (low, data.band.vm_min_pu, "lowest"),
        ):
            share = (values - 1.0) / (limit - 1.0)
            if float(share.max()) > best:
                best, step = float(share.max()), int(share.argmax())
                words = f"the day of the {kind} voltage ({values[step]:.3f} pu, {strategy.label})"
    if best <= _NEAR_LIMIT_SHARE:
        top = max(stored, key=lambda strategy: float(np.abs(strategy.flow_kw).max()))
        step = int(np.abs(top.flow_kw).argmax())
        words = f"the day of the largest transformer flow ({quantity_text(float(top.flow_kw[step]), 'kW')}, {top.label})"
    first, stop = data.clock.day_of(step)
    return first, stop, words


def _scale(data: ReportData, stored: list[StrategyData]) -> tuple[float, float]:
    """Return the colours' ends over all strategies and steps, buses held by the upstream grid left out."""
    band = data.band
    ends = [edge for s in stored for edge in _extremes(s)]
    low, high = (min(ends), max(ends)) if ends else (band.vm_min_pu, band.vm_max_pu)
    return voltage_scale(low, high, vm_min_pu=band.vm_min_pu, vm_max_pu=band.vm_max_pu)


def _extremes(strategy: StrategyData) -> tuple[float, float]:
    worst = strategy.worst
    if worst is None:
        return float(strategy.feeder["vm_min_pu"].min()), float(strategy.feeder["vm_max_pu"].max())
    return float(worst.vm_min_pu[worst.free].min()), float(worst.vm_max_pu[worst.free].max())


def _voltage(
    data: ReportData, stored: list[StrategyData], scale: tuple[float, float]
) -> tuple[tuple[Panel, ...], ...]:
    series = [strategy.feeder[key] for strategy in stored for key in ("vm_min_pu", "vm_max_pu")]
    y_range = voltage_range(series, data.band) if series else (0.9, 1.1)
    bands = tuple(
        Panel(
            id=f"band-{i}",
            strategy=s.key,
            heading=s.label,
            svg=band_figure(
                f"band-{i}", dict(s.feeder), clock=data.clock, band=data.band, y_range=y_range, label=s.label
            ),
        )
        for i, s in enumerate(stored)
    )
    kinds = (("profile", profile_figure), ("heat", partial(heat_map, scale=scale)))
    return bands, *(_sampled(data, stored, kind, draw) for kind, draw in kinds)


def _sampled(
    data: ReportData, stored: list[StrategyData], kind: str, draw: Callable[..., str]
) -> tuple[Panel, ...]:
    return tuple(
        Panel(
            id=f"{kind}-{i}",
            strategy=s.key,
            heading=s.label,
            svg=draw(
                f"{kind}-{i}", s.sample, feeder=data.feeder, clock=data.clock, band=data.band, label=s.label
            ),
        )
        for i, s in enumerate(stored)
        if s.sample is not None
    )


def _maps(data: ReportData, scale: tuple[float, float]) -> tuple[Panel, ...]:
    return tuple(
        Panel(
            id=f"map-{i}",
            strategy=s.key,
            heading=s.label,
            svg=map_figure(
                f"map-{i}", s.worst, feeder=data.feeder, band=data.band, scale=scale, label=s.label
            ),
            caption=(
                f"{s.worst.vm_min_pu[s.worst.free].min():.3f} to {s.worst.vm_max_pu[s.worst.free].max():.3f} pu, "
                f"lines up to {s.worst.line_loading_percent.max(initial=0.0):.0f} %"
            ),
        )
        for i, s in enumerate(data.strategies)
        if s.worst is not None
    )


def _reverse_words(reverse_h: float, back_kwh: float, place: str) -> str:
    if not reverse_h:
        return f"No reverse flow through {place}."
    return f"Reverse through {place} for {quantity_text(reverse_h, 'h')}, {quantity_text(back_kwh, 'kWh')}."


def _flow(data: ReportData, stored: list[StrategyData]) -> tuple[Panel, ...]:
    limits = []
    if data.peak_import_kw is not None:
        limits.append((data.peak_import_kw, f"import limit {quantity_text(data.peak_import_kw, 'kW')}"))
    if data.peak_export_kw is not None:
        limits.append((-data.peak_export_kw, f"export limit {quantity_text(data.peak_export_kw, 'kW')}"))
    y_range = padded([s.flow_kw for s in stored], *(level for level, _ in limits)) if stored else (0.0, 1.0)
    panels = []
    for i, s in enumerate(stored):
        reverse = s.flow_kw < 0
        back_kwh = float(energy_kwh(-s.flow_kw[reverse].astype(float), data.clock.dt_s).sum())
        panels.append(
            Panel(
                id=f"flow-{i}",
                strategy=s.key,
                heading=s.label,
                svg=flow_figure(
                    f"flow-{i}", s.flow_kw, clock=data.clock, y_range=y_range, label=s.label, limits=limits
                ),
                caption=_reverse_words(
                    hours(int(reverse.sum()) * data.clock.dt_s), back_kwh, data.flow_label
                ),
            )
        )
    return tuple(panels)


def _duration(data: ReportData, stored: list[StrategyData]) -> tuple[Panel, ...]:
    if not stored:
        return ()
    full = data.trafo_limit_percent
    charts = (
        ("flow", "Transformer flow", "kW", {s.label: s.flow_kw for s in stored}, ()),
        (
            "load",
            "Highest transformer loading",
            "%",
            {s.label: s.trafo_loading_percent for s in stored if s.trafo_loading_percent.size},
            ((full, f"limit {full:g} %"),),
        ),
    )
    return tuple(
        Panel(
            id=f"duration-{kind}",
            heading=quantity,
            svg=duration_figure(f"duration-{kind}", series, quantity=quantity, unit=unit, levels=levels),
            caption="Below zero the flow is reversed." if kind == "flow" else "Current over rated current.",
        )
        for kind, quantity, unit, series, levels in charts
        if series
    )


def _days(data: ReportData, stored: list[StrategyData], first: int, stop: int) -> tuple[Panel, ...]:
    ranges = []
    for s in stored:
        load, pv, battery, other, imported = (s.feeder[key][first:stop] for key in _DAY_KEYS)
        if len(load):
            up, down = (sign(battery, 0) + sign(other, 0) for sign in (np.maximum, np.minimum))
            ranges += [load + up, pv + down, imported]
    y_range = padded(ranges) if ranges else (0.0, 1.0)
    return tuple(
        Panel(
            id=f"day-{i}",
            strategy=s.key,
            heading=s.label,
            svg=day_figure(
                f"day-{i}",
                {key: s.feeder[key][first:stop] for key in _DAY_KEYS},
                clock=data.clock,
                first=first,
                y_range=y_range,
                label=s.label,
            ),
        )
        for i, s in enumerate(stored)
        if s.n_steps > first
    )


def build_panels(data: ReportData) -> tuple[Panels, str]:
    """Return every figure of the report and the sentence above the day in detail."""
    stored = [strategy for strategy in data.strategies if strategy.n_steps]
    scale = _scale(data, stored)
    bands, profiles, heat = _voltage(data, stored, scale)
    day: tuple[Panel, ...] = ()
    words = "No steps are stored."
    if stored:
        first, stop, reason = day_of_interest(data)
        day = _days(data, stored, first, stop)
        words = (
            f"{data.clock.at(first):%A %-d %B %Y}: {reason}. Consumption is drawn above zero, generation below; the "
            "line is what the feeder imports (below zero: exports), losses included."
        )
    panels = Panels(
        maps=_maps(data, scale),
        bands=bands,
        profiles=profiles,
        heat=heat,
        flow=_flow(data, stored),
        duration=_duration(data, stored),
        day=day,
        scale=scale,
    )
    return panels, words
