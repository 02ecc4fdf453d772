"""Tables of a run in real time: punctuality, devices, readings, wire, and what happened."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from twin.clock import ZONE
from twin.report.clock import Clock
from twin.report.live_data import LiveDevice, LiveRun, Reading, StrategyLive, Traffic, Writes
from twin.report.model import Table
from twin.report.numbers import number_text
from twin.report.table import NO_VALUE

__all__ = [
    "MODES",
    "MOST_EVENTS",
    "device_table",
    "event_table",
    "mode_words",
    "ms_text",
    "outside_table",
    "punctuality_table",
    "readings_table",
    "wire_table",
]

MODES = {
    "none": "virtual devices",
    "dry_run": "dry run",
    "read_only": "read only",
    "armed": "armed",
    "replay": "replay",
}
"""What a run was allowed to do to real devices, by the word in the manifest."""
MOST_EVENTS = 60
_SHOWN_AT_END = 10
_EMULATED = "emulated"
"""In place of a serial number: that of a virtual device is made up in every run."""
_MS_PER_S = 1e3
_PERCENT = 100.0
_TENTHS = 10.0


def ms_text(value_s: float) -> str:
    """Return a time in milliseconds, without its unit."""
    value_ms = value_s * _MS_PER_S
    return number_text(value_ms, 1 if value_ms < _PERCENT else 0)


def _percent(share: float) -> str:
    return number_text(_PERCENT * share, 1)


def punctuality_table(run: LiveRun) -> Table:
    """Return how each strategy kept time."""
    head = (
        "Strategy",
        "Mode",
        "Result",
        "A step every [s]",
        "Steps",
        "Late start: median [ms]",
        "99 % within [ms]",
        "Most [ms]",
        "Late steps [%]",
        "Ticks lost",
        "Work: median [ms]",
        "Most [ms]",
    )
    return Table(
        caption="Punctuality: start of each step after its deadline, and work in it",
        head=head,
        rows=tuple(_punctual(strategy) for strategy in run.strategies),
        numeric=tuple(range(3, 12)),
    )


def mode_words(strategy: StrategyLive) -> str:
    """Return what a run was allowed to do to real devices; of one without any device on the wire, what it ran for."""
    if strategy.outside and not strategy.devices:
        return "EMS outside"
    return MODES.get(strategy.mode, strategy.mode)


def _punctual(strategy: StrategyLive) -> tuple[str, ...]:
    timing, mode = strategy.timing, mode_words(strategy)
    result = "does not count" if strategy.invalid else "counts"
    if timing is None:
        return (strategy.label, mode, result, *[NO_VALUE] * 9)
    return (
        strategy.label,
        mode,
        result,
        f"{timing['tick_s']:g}",
        str(int(timing["n_steps"])),
        ms_text(timing["lateness_p50_s"]),
        ms_text(timing["lateness_p99_s"]),
        ms_text(timing["lateness_max_s"]),
        _percent(timing["late_share"]),
        str(int(timing["lost_ticks"])),
        ms_text(timing["work_p50_s"]),
        ms_text(timing["work_max_s"]),
    )


def device_table(run: LiveRun) -> Table | None:
    """Return who the devices were; None where none was on the wire. With several strategies, as in the first that has it."""
    found: dict[str, LiveDevice] = {}
    for strategy in run.strategies:
        for device in strategy.devices:
            known = found.setdefault(device.name, device)
            if device.serial and not known.serial:
                found[device.name] = device
    rows = tuple(
        (
            device.name,
            "real" if device.hardware else "virtual",
            device.map_name,
            (device.serial or NO_VALUE) if device.hardware else _EMULATED,
            device.target or NO_VALUE,
            f"{device.stands_for:g}",
            number_text(device.alpha, 2),
        )
        for device in found.values()
    )
    if not rows:
        return None
    head = (
        "Device",
        "Kind",
        "Register map",
        "Serial number",
        "Address",
        "Stands for",
        "Share of a voltage change told",
    )
    return Table(caption="Devices on the wire", head=head, rows=rows, numeric=(5, 6))


def readings_table(run: LiveRun) -> Table | None:
    """Return what the simulation used for each signal; None where it used none."""
    rows = tuple(
        (
            device.name,
            reading.signal,
            strategy.label,
            *_counts(reading),
        )
        for strategy in run.strategies
        for device in strategy.devices
        for reading in device.readings
    )
    if not rows:
        return None
    return Table(
        caption="What the run used for each signal, in steps",
        head=(
            "Device",
            "Signal",
            "Strategy",
            "Live",
            "Held",
            "From the model",
            "Safe value",
            "Not live [%]",
            "Oldest reading used [s]",
        ),
        rows=rows,
        numeric=tuple(range(3, 9)),
    )


def _counts(reading: Reading) -> tuple[str, ...]:
    steps = (reading.live, reading.held, reading.model, reading.safe)
    return (*map(str, steps), _percent(reading.share_not_live), number_text(reading.oldest_s, 1))


def wire_table(run: LiveRun) -> Table | None:
    """Return what passed on the wire and what was written, by device and strategy; None where nothing is recorded."""
    rows = tuple(
        (device.name, strategy.label, *_passed(traffic), *_written(writes))
        for strategy in run.strategies
        for device in strategy.devices
        for traffic, writes in ((strategy.traffic.get(device.name), strategy.writes.get(device.name)),)
        if traffic is not None or writes is not None
    )
    if not rows:
        return None
    return Table(
        caption="On the wire: requests and answers, and what the audit has of writes",
        head=(
            "Device",
            "Strategy",
            "Requests",
            "Unanswered",
            "Round trip: median [ms]",
            "99 % within [ms]",
            "Most [ms]",
            "Writes: commands",
            "Refreshes",
            "Releases",
            "Not confirmed",
            "Refused",
        ),
        rows=rows,
        numeric=tuple(range(2, 12)),
    )


def _passed(traffic: Traffic | None) -> tuple[str, ...]:
    if traffic is None:
        return (NO_VALUE,) * 5
    counts = (str(traffic.requests), str(traffic.unanswered))
    if not len(traffic.round_trip_s):
        return (*counts, *[NO_VALUE] * 3)
    return (
        *counts,
        *(ms_text(float(np.quantile(traffic.round_trip_s, share))) for share in (0.5, 0.99, 1.0)),
    )


def _written(writes: Writes | None) -> tuple[str, ...]:
    found = Writes() if writes is None else writes
    counts = (found.commands + found.dry, found.refreshes, found.other, found.not_confirmed, found.refused)
    return tuple(map(str, counts))


def outside_table(run: LiveRun) -> Table | None:
    """Return what a controller outside did, by device that was emulated for it; None where there was none."""
    rows = tuple(
        (
            strategy.label,
            device.name,
            device.map_name,
            device.address,
            f"{device.steps_commanded} of {device.steps}",
            str(device.writes),
            str(device.refused),
            NO_VALUE if device.oldest_write_s is None else number_text(device.oldest_write_s, 2),
        )
        for strategy in run.strategies
        for device in strategy.outside
    )
    if not rows:
        return None
    return Table(
        caption="Controller outside: what it wrote to the devices that were emulated for it",
        head=(
            "Strategy",
            "Device",
            "Register map",
            "Address",
            "Steps with a command",
            "Writes",
            "Refused",
            "Longest without a write [s]",
        ),
        rows=rows,
        numeric=(4, 5, 6, 7),
    )


def event_table(strategy: StrategyLive, clock: Clock) -> Table | None:
    """Return what happened, in order of time; of very many the first and the last. None where nothing did."""
    events = strategy.events
    if not events:
        return None
    left_out = max(len(events) - MOST_EVENTS, 0)
    first = MOST_EVENTS - _SHOWN_AT_END
    shown: Sequence[int] = range(len(events))
    if left_out:
        shown = [*range(first), *range(len(events) - _SHOWN_AT_END, len(events))]
    rows = []
    for at in shown:
        if left_out and at == len(events) - _SHOWN_AT_END:
            rows.append(("\u2026", "", f"{left_out} more events, in events.jsonl and the audit of the run"))
        event = events[at]
        rows.append(
            (
                _wall_time(event.utc),
                NO_VALUE if event.step is None else clock.short_label(event.step),
                event.text,
            )
        )
    return Table(
        caption=f"What happened: {strategy.label}",
        head=("Wall clock", "Simulated time", "Event"),
        rows=tuple(rows),
    )


def _wall_time(utc: str) -> str:
    moment = datetime.fromisoformat(utc).astimezone(ZONE)
    return f"{moment:%H:%M:%S}.{int(moment.microsecond / 1e6 * _TENTHS)}"
