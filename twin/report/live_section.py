"""The section of a report on real time and devices on the wire: sentences, tables and figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from twin.report.clock import Clock
from twin.report.figures_live import distribution_figure, lateness_figure
from twin.report.figures_wire import power_figure, q_of_v_figure, voltage_figure
from twin.report.live_data import LiveRun, StrategyLive
from twin.report.live_tables import (
    device_table,
    event_table,
    mode_words,
    ms_text,
    outside_table,
    punctuality_table,
    readings_table,
    wire_table,
)
from twin.report.model import Table
from twin.report.panels import Panel

__all__ = ["MOST_DEVICES", "LiveSection", "live_facts", "live_section", "uncounted"]

MOST_DEVICES = 6
"""Devices with figures, by strategy."""

_LEAST_SPREAD_V = 0.5
"""Reactive power is drawn over voltage where the voltage moves at least so far."""
_REAL_VOLTAGE = "A real device reads the voltage of the grid that it stands on; that is the simulated one only where a source makes it."
_READINGS = "Live readings of one device."
_BESIDE = "While voltage or power change they lie beside the curve: a device takes time to follow."
_MODE_WORDS = {
    "read_only": "Real devices were read and never written to: what a strategy asked of them had no effect on them.",
    "dry_run": "A dry run: real devices were read and never written to. Set-points were checked and logged as they would have "
    "been written; what a strategy asked had no effect on the devices.",
    "armed": "Real devices were armed and commanded by the strategy.",
}
_FIGURES_OVER_THE_WIRE = (
    "Key figures contain the way over the wire: readings and commands are a step old, and a reading that is held counts as it was. "
    "Curtailed PV energy is what the model beside a device would have given above what the run took from the device, so it can be "
    "above zero where nobody limits."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSection:
    """What the section shows."""

    uncounted: tuple[str, ...]
    """Why strategies do not count."""
    words: tuple[str, ...]
    notes: tuple[str, ...]
    tables: tuple[Table, ...]
    """Punctuality first, then what the devices were and gave."""
    punctuality: tuple[Panel, ...]
    devices: tuple[tuple[str, tuple[Panel, ...]], ...]
    """Heading and figures by device."""
    events: tuple[tuple[str, Table], ...]
    """Key of the strategy and its table."""


def uncounted(run: LiveRun) -> tuple[str, ...]:
    """Return a sentence on each strategy that does not count, and why."""
    return tuple(
        f"{strategy.label} does not count: {'; '.join(strategy.invalid)}."
        for strategy in run.strategies
        if strategy.invalid
    )


def live_facts(run: LiveRun) -> tuple[tuple[str, str], ...]:
    """Return label and value for the title block."""
    if run.replay_of:
        return (("Real time", f"replay of {run.replay_of}"),)
    timings = [strategy.timing for strategy in run.strategies if strategy.timing is not None]
    if not timings:
        return ()
    worst_s, lost = max(t["lateness_p99_s"] for t in timings), sum(int(t["lost_ticks"]) for t in timings)
    modes = ", ".join(dict.fromkeys(map(mode_words, run.strategies)))
    return (("Real time", f"{modes}; 99 % of the steps within {ms_text(worst_s)} ms, {lost} ticks lost"),)


def live_section(run: LiveRun, clock: Clock) -> LiveSection:
    """Return what the section on real time shows."""
    tables = (device_table(run), readings_table(run), wire_table(run), outside_table(run))
    events = ((strategy.key, event_table(strategy, clock)) for strategy in run.strategies)
    return LiveSection(
        uncounted=uncounted(run),
        words=tuple(_words(run)),
        notes=(*run.notes, *_too_many(run)),
        tables=(punctuality_table(run), *(table for table in tables if table is not None)),
        punctuality=tuple(_punctuality(run, clock)),
        devices=tuple(_devices(run, clock)),
        events=tuple((key, table) for key, table in events if table is not None),
    )


def _words(run: LiveRun) -> Iterator[str]:
    modes = dict.fromkeys(strategy.mode for strategy in run.strategies)
    if run.replay_of:
        yield (
            f"A replay of {run.replay_of}: what its devices answered was read from the recording, as fast as it went. No device "
            "was there, so there is no punctuality and no traffic of its own."
        )
    for mode in modes:
        if mode in _MODE_WORDS:
            yield _MODE_WORDS[mode]
    yield from _what_was_real(run)
    if any(strategy.speed != 1.0 for strategy in run.strategies):
        speeds = ", ".join(f"{speed:g}" for speed in dict.fromkeys(s.speed for s in run.strategies))
        yield f"Simulated time went {speeds} times as fast as the wall clock."
    for loop in dict.fromkeys(strategy.loop for strategy in run.strategies if strategy.loop):
        yield f"{loop[0].upper()}{loop[1:]}."
    for label, names in run.faults.items():
        yield f"{label} shows faults on purpose: {', '.join(names)}."


def _what_was_real(run: LiveRun) -> Iterator[str]:
    """Yield which devices were real ones, and what the way over the wire does to the key figures."""
    is_real = {device.name: device.hardware for strategy in run.strategies for device in strategy.devices}
    if not is_real or run.replay_of:
        return
    real, emulated = ([name for name in is_real if is_real[name] is kind] for kind in (True, False))
    if not real:
        yield f"No real device took part: {_named(emulated)} emulated by this program, and so is the wire between."
    elif emulated:
        yield f"{_named(real)} real, {_named(emulated)} emulated by this program."
    yield _FIGURES_OVER_THE_WIRE


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_DEVICES])
    more = f" and {len(names) - MOST_DEVICES} more" if len(names) > MOST_DEVICES else ""
    return f"{shown}{more} {'was' if len(names) == 1 else 'were'}"


def _too_many(run: LiveRun) -> Iterator[str]:
    without = [
        f"{len(strategy.series) - MOST_DEVICES} devices of {strategy.label}"
        for strategy in run.strategies
        if len(strategy.series) > MOST_DEVICES
    ]
    if without:
        yield f"Only the first {MOST_DEVICES} devices have figures; left out: {', '.join(without)}."


def _punctuality(run: LiveRun, clock: Clock) -> Iterator[Panel]:
    for number, strategy in enumerate(run.strategies):
        if strategy.timing is None or not len(strategy.lateness_s):
            continue
        series = strategy.lateness_s, strategy.work_s
        late_limit_s = strategy.timing["late_limit_s"]
        yield Panel(
            id=f"late-{number}",
            strategy=strategy.key,
            heading=f"Over the run: {strategy.label}",
            svg=lateness_figure(
                f"late-{number}", *series, late_limit_s=late_limit_s, clock=clock, label=strategy.label
            ),
        )
        yield Panel(
            id=f"spread-{number}",
            strategy=strategy.key,
            heading=f"Share of the steps within a time: {strategy.label}",
            svg=distribution_figure(
                f"spread-{number}", *series, late_limit_s=late_limit_s, label=strategy.label
            ),
        )


def _devices(run: LiveRun, clock: Clock) -> Iterator[tuple[str, tuple[Panel, ...]]]:
    names = dict.fromkeys(name for s in run.strategies for name in list(s.series)[:MOST_DEVICES])
    for place, name in enumerate(names):
        panels = [
            panel
            for number, strategy in enumerate(run.strategies)
            if name in list(strategy.series)[:MOST_DEVICES]
            for panel in _of_device(run, strategy, name, at=f"{place}-{number}", clock=clock)
        ]
        yield name, tuple(panels)


def _of_device(run: LiveRun, strategy: StrategyLive, name: str, *, at: str, clock: Clock) -> Iterator[Panel]:
    series, seen = strategy.series[name], strategy.seen.get(name)
    title = f"{name}: power and command, {strategy.label}"
    yield Panel(
        id=f"wire-p-{at}",
        strategy=strategy.key,
        heading=title,
        svg=power_figure(f"wire-p-{at}", series, clock=clock, title=title),
    )
    if series.axis != "pv" or (series.vm_pu is None and seen is None):
        return
    title = f"{name}: voltage and reactive power, {strategy.label}"
    real = any(device.hardware for device in strategy.devices if device.name == name)
    yield Panel(
        id=f"wire-v-{at}",
        strategy=strategy.key,
        heading=title,
        svg=voltage_figure(f"wire-v-{at}", series, seen, clock=clock, title=title),
        caption=_REAL_VOLTAGE if real else "",
    )
    if seen is None or float(np.ptp(seen.vm_v)) < _LEAST_SPREAD_V:
        return
    title = f"{name}: reactive power over voltage, {strategy.label}"
    curve = run.curves.get(name)
    yield Panel(
        id=f"wire-q-{at}",
        strategy=strategy.key,
        heading=title,
        svg=q_of_v_figure(f"wire-q-{at}", seen, curve, title=title),
        caption=_READINGS if curve is None else f"{_READINGS} {_BESIDE}",
    )
