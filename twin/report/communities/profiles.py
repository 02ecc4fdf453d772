"""Figures of hours: what a community or a member injects, withdraws and shares, as a mean day and over a week."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.clock import local_time
from twin.report.clock import Clock, Tick
from twin.report.colour import INK
from twin.report.communities.files import HourlyEnergy, SettledStrategy
from twin.report.numbers import quantity_text, scaled_unit
from twin.report.panels import Panel
from twin.report.svg import Drawing, Frame
from twin.units import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR

__all__ = [
    "DayMean",
    "Span",
    "chosen_week",
    "cut",
    "mean_day",
    "mean_day_figure",
    "profile_panels",
    "profile_top_kwh",
    "week_figure",
]

_WIDTH = 640.0
_INJECTED, _WITHDRAWN, _SHARED = "#c04a00", "#0072b2", "#bcd3c9"
_WHOLE_DAYS = 8
"""Up to here the whole run is shown."""
_WEEK_DAYS = 7

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The hours drawn."""

    first_utc_s: int
    stop_utc_s: int
    words: str


@dataclass(frozen=True, kw_only=True, eq=False)
class DayMean:
    """Mean energy of each local hour of the day, shape (24,) each [kWh]; 0 for an hour that the run does not hold."""

    injected_kwh: FloatArray
    withdrawn_kwh: FloatArray
    shared_kwh: FloatArray


def mean_day(energy: HourlyEnergy) -> DayMean:
    """Return the mean of every local hour (Europe/Rome); an hour that occurs twice in autumn counts twice."""
    hour = np.array([local_time(int(start)).hour for start in energy.hour_start_utc_s], dtype=np.int64)
    count = np.maximum(np.bincount(hour, minlength=HOURS_PER_DAY), 1)

    def mean(values: FloatArray) -> FloatArray:
        found: FloatArray = np.bincount(hour, weights=values, minlength=HOURS_PER_DAY) / count
        return found

    return DayMean(
        injected_kwh=mean(energy.injected_kwh),
        withdrawn_kwh=mean(energy.withdrawn_kwh),
        shared_kwh=mean(energy.shared_kwh),
    )


def chosen_week(found: Sequence[HourlyEnergy]) -> Span:
    """Return the hours to draw: all of a run up to eight days, else the seven local days with most shared energy.

    Args:
        found: the same hours of each strategy; the shared (for members: injected and withdrawn) energy of all counts.
    """
    start = found[0].hour_start_utc_s
    first, stop = int(start[0]), int(start[-1]) + SECONDS_PER_HOUR
    if stop - first <= _WHOLE_DAYS * SECONDS_PER_DAY:
        return Span(first_utc_s=first, stop_utc_s=stop, words="The whole run.")
    weight = sum((e.shared_kwh if e.shared_kwh.any() else e.injected_kwh + e.withdrawn_kwh) for e in found)
    midnights = [
        int(at) for at in start if local_time(int(at)).hour == 0 and at + _WEEK_DAYS * SECONDS_PER_DAY <= stop
    ]
    before = np.concatenate([[0.0], np.cumsum(weight)])

    def held(at: int) -> float:
        ends = np.searchsorted(start, [at, at + _WEEK_DAYS * SECONDS_PER_DAY])
        return float(before[ends[1]] - before[ends[0]])

    best = max(midnights, key=held)
    return Span(
        first_utc_s=best,
        stop_utc_s=best + _WEEK_DAYS * SECONDS_PER_DAY,
        words=f"The seven days of the run with the most energy, from {local_time(best):%a %-d %b %Y}.",
    )


def cut(energy: HourlyEnergy, span: Span) -> HourlyEnergy:
    """Return the hours inside a span."""
    inside = (energy.hour_start_utc_s >= span.first_utc_s) & (energy.hour_start_utc_s < span.stop_utc_s)
    return HourlyEnergy(
        hour_start_utc_s=energy.hour_start_utc_s[inside],
        injected_kwh=energy.injected_kwh[inside],
        withdrawn_kwh=energy.withdrawn_kwh[inside],
        shared_kwh=energy.shared_kwh[inside],
    )


def profile_top_kwh(found: Sequence[HourlyEnergy | DayMean]) -> float:
    """Return the end of the energy axis over all figures [kWh]."""
    tops = [float(values.max(initial=0.0)) for e in found for values in (e.injected_kwh, e.withdrawn_kwh)]
    return 1.08 * max(*tops, 1e-3)


def mean_day_figure(name: str, day: DayMean, *, top_kwh: float, label: str) -> str:
    """Return the mean day; ``top_kwh`` ends the axis, ``label`` is the strategy in words."""
    edges = np.arange(HOURS_PER_DAY + 1) * float(SECONDS_PER_HOUR)
    ticks = [
        Tick(at_s=hour * SECONDS_PER_HOUR, label=f"{hour:02d}:00") for hour in range(0, HOURS_PER_DAY + 1, 3)
    ]
    return _figure(name, day, edges=edges, ticks=ticks, top_kwh=top_kwh, title=f"Mean day, {label}")


def week_figure(name: str, energy: HourlyEnergy, *, top_kwh: float, label: str) -> str:
    """Return the hours of a span; arguments as in :func:`mean_day_figure`."""
    start = energy.hour_start_utc_s
    clock = Clock(start_utc_s=int(start[0]), dt_s=SECONDS_PER_HOUR, n_steps=len(start))
    edges = np.append(start - start[0], start[-1] - start[0] + SECONDS_PER_HOUR).astype(np.float64)
    hours = round(edges[-1] / SECONDS_PER_HOUR)
    return _figure(
        name,
        energy,
        edges=edges,
        ticks=clock.ticks(0, hours),
        top_kwh=top_kwh,
        title=f"Hour by hour, {label}",
    )


def _figure(
    name: str,
    energy: HourlyEnergy | DayMean,
    *,
    edges: NDArray[np.floating],
    ticks: Sequence[Tick],
    top_kwh: float,
    title: str,
) -> str:
    unit, per = scaled_unit([top_kwh], "kWh")
    lines = [
        ("injected", energy.injected_kwh, _INJECTED, ""),
        ("withdrawn", energy.withdrawn_kwh, _WITHDRAWN, "6 2"),
    ]
    shares = bool(energy.shared_kwh.any())
    sums = [(word, values) for word, values, _, _ in lines] + (
        [("shared", energy.shared_kwh)] if shares else []
    )
    said = ", ".join(f"{word} {quantity_text(float(values.sum()), 'kWh')}" for word, values in sums)
    drawing = Drawing(name=name, width=_WIDTH, height=206, title=title, description=f"{said}.")
    frame = Frame(
        drawing=drawing,
        left=52,
        top=42,
        width=575,
        height=136,
        x_range=(0, float(edges[-1])),
        y_range=(0, top_kwh / per),
    )
    frame.y_axis(f"Energy per hour [{unit}]")
    if shares:
        frame.step_area(edges, energy.shared_kwh / per, fill=_SHARED)
    frame.time_axis(ticks)
    for _, values, stroke, dash in lines:
        frame.steps(edges, values / per, stroke=stroke, width=1.6, dash=dash)
    drawing.line((frame.left, frame.bottom, frame.right, frame.bottom), stroke=INK)
    for x, (word, _, stroke, dash) in zip((190, 300), lines, strict=True):
        drawing.line((x, 11, x + 28, 11), stroke=stroke, width=1.8, dash=dash)
        drawing.text(x + 34, 15, word)
    if shares:
        drawing.add(
            f'<rect x="415" y="6" width="12" height="10" fill="{_SHARED}" stroke="#5b6570" stroke-width=".5"/>'
        )
        drawing.text(433, 15, "shared by the community alone")
    return drawing.markup()


def profile_panels(
    prefix: str, strategies: Sequence[SettledStrategy], hours: Sequence[HourlyEnergy], *, name: str
) -> tuple[tuple[Panel, ...], tuple[Panel, ...], str]:
    """Return mean days and weeks, one figure per strategy, and which hours the weeks show.

    Args:
        prefix: of ids in the page.
        strategies: in their order.
        hours: of each strategy.
        name: of the community or member.
    """
    span = chosen_week(hours)
    weeks = [cut(energy, span) for energy in hours]
    whole_day = len(hours[0].hour_start_utc_s) >= HOURS_PER_DAY
    days = [mean_day(energy) for energy in hours] if whole_day else []
    tops = profile_top_kwh(weeks), profile_top_kwh(days) if days else 0.0
    week = tuple(
        _panel(
            f"{prefix}-week-{i}",
            s,
            week_figure(f"{prefix}-week-{i}", e, top_kwh=tops[0], label=f"{name}, {s.label}"),
        )
        for i, (s, e) in enumerate(zip(strategies, weeks, strict=True))
    )
    day = tuple(
        _panel(
            f"{prefix}-day-{i}",
            s,
            mean_day_figure(f"{prefix}-day-{i}", e, top_kwh=tops[1], label=f"{name}, {s.label}"),
        )
        for i, (s, e) in enumerate(zip(strategies, days, strict=False))
    )
    return day, week, span.words


def _panel(id_: str, strategy: SettledStrategy, svg: str) -> Panel:
    return Panel(id=id_, strategy=strategy.key, heading=strategy.label, svg=svg)
