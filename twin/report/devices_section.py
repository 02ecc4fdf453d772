"""The section of a report on devices that keep their own state: tables and figures."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twin.report.clock import Clock
from twin.report.device_data import DeviceEntry, DeviceOutput, DeviceRun, Energy, OutputValues
from twin.report.figures_devices import ALL_STRATEGIES, device_figure
from twin.report.model import Table
from twin.report.numbers import decimals_for, number_text
from twin.report.panels import Panel
from twin.report.table import NO_VALUE

__all__ = ["DeviceSection", "OutputGroup", "device_section", "energy_table", "output_groups"]

_MOST_FIGURES = 4
_MOST_DECIMALS = 6
_LEAST_CHANGE = 1e-9
_LEAST_CHANGE_SHARE = 1e-6
"""What changes less, absolute and as a share of the value, is taken as constant: stored values have seven digits."""
_UNITS = {"degC": "\u00b0C"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputGroup:
    """One output of one entry: a row per strategy, or one for all where they read the same."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    """Strategy, lowest, where and when, mean, highest, where and when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSection:
    """What the section shows."""

    left_out: tuple[str, ...]
    energy: Table
    groups: tuple[OutputGroup, ...]
    figures: tuple[Panel, ...]
    more: int
    """Outputs without a figure because there are too many."""


def _unit_text(output: DeviceOutput) -> str:
    return _UNITS.get(output.unit, output.unit)


def _is_still(low: float, high: float) -> bool:
    return high - low <= max(_LEAST_CHANGE, _LEAST_CHANGE_SHARE * max(abs(low), abs(high)))


def _short(origin: str) -> str:
    """Return what computes devices without fingerprint and version, which the notes on the run have."""
    return origin.partition(" (sha256")[0].removeprefix("the ").removeprefix("a ")


def _energy_text(energy: Energy | None, decimals: int) -> str:
    if energy is None:
        return NO_VALUE
    parts = [
        number_text(value, decimals, "+")
        for value in (energy.taken_kwh, energy.given_kwh)
        if round(value, decimals) != 0.0
    ]
    return " / ".join(parts) if parts else "0"


def energy_table(run: DeviceRun) -> Table:
    """Return the entries with the energy that their devices took and gave by strategy."""
    shown = [s for s in run.strategies if any(energy is not None for energy in s.energy)]
    rows = []
    for place, entry in enumerate(run.entries):
        energies = [strategy.energy[place] for strategy in shown]
        values = [v for e in energies if e is not None for v in (e.taken_kwh, e.given_kwh)]
        decimals = decimals_for(values, "kWh")
        cells = (_energy_text(energy, decimals) for energy in energies)
        rows.append((entry.label, str(len(entry.devices)), _short(entry.origin), *cells))
    energy_words = ", and energy they took (+) and gave (\u2212) [kWh]" if shown else ""
    return Table(
        caption=f"Devices with a state of their own: number, what computes them{energy_words}",
        head=("Entry", "Devices", "Computed by", *(strategy.label for strategy in shown)),
        rows=tuple(rows),
        numeric=(1, *range(3, 3 + len(shown))),
    )


def _outputs(run: DeviceRun) -> Iterator[tuple[int, int, DeviceEntry, DeviceOutput]]:
    """Return position of entry and output, and both, for outputs that some strategy has values of."""
    for e, entry in enumerate(run.entries):
        for o, output in enumerate(entry.outputs):
            if any(strategy.outputs[e][o] is not None for strategy in run.strategies):
                yield e, o, entry, output


def _decimals(values: Sequence[OutputValues], unit: str) -> int:
    """Return decimals that keep lowest and highest apart."""
    numbers = [number for found in values for number in (found.lowest, found.mean, found.highest)]
    decimals = decimals_for(numbers, unit)
    low, high = min(numbers), max(numbers)
    if _is_still(low, high):
        return decimals
    return min(max(decimals, 1 - math.floor(math.log10(high - low))), _MOST_DECIMALS)


def _rows(run: DeviceRun, at: tuple[int, int], unit: str, clock: Clock) -> tuple[tuple[str, ...], ...]:
    """Return a row per strategy, or one for all where they read the same."""
    found = [(strategy.label, strategy.outputs[at[0]][at[1]]) for strategy in run.strategies]
    decimals = _decimals([values for _, values in found if values is not None], unit)
    n_devices = len(run.entries[at[0]].devices)
    rows = [(label, *_cells(values, decimals, n_devices, clock)) for label, values in found]
    if len(rows) > 1 and len({row[1:] for row in rows}) == 1:
        return ((ALL_STRATEGIES, *rows[0][1:]),)
    return tuple(rows)


def _cells(values: OutputValues | None, decimals: int, n_devices: int, clock: Clock) -> tuple[str, ...]:
    if values is None:
        return (NO_VALUE, "", NO_VALUE, NO_VALUE, "")
    low, mean, high = values.lowest, values.mean, values.highest
    low_at = f"{values.lowest_device}, {clock.short_label(values.lowest_step)}"
    high_at = f"{values.highest_device}, {clock.short_label(values.highest_step)}"
    if _is_still(low, high):
        low_at = high_at = "at all times" if n_devices == 1 else "all devices at all times"
        low = high = mean = 0.0 if abs(mean) <= _LEAST_CHANGE else mean
    texts = [number_text(value, decimals) for value in (low, mean, high)]
    return (texts[0], low_at, texts[1], texts[2], high_at)


def output_groups(run: DeviceRun, clock: Clock) -> tuple[OutputGroup, ...]:
    """Return the stored outputs by entry: extremes and mean over devices and time by strategy."""
    return tuple(
        OutputGroup(
            title=f"{entry.label}: {output.name} [{_unit_text(output)}]",
            rows=_rows(run, (e, o), output.unit, clock),
        )
        for e, o, entry, output in _outputs(run)
    )


def _drawn(run: DeviceRun) -> list[tuple[int, int, DeviceEntry, DeviceOutput]]:
    """Return the outputs that change, the first of every entry before the second of any."""
    moving = [
        found
        for found in _outputs(run)
        if any(
            values is not None
            and not _is_still(float(values.mean_series.min()), float(values.mean_series.max()))
            for strategy in run.strategies
            for values in (strategy.outputs[found[0]][found[1]],)
        )
    ]
    rank: dict[tuple[int, int], int] = {}
    for e, o, _, _ in moving:
        rank[e, o] = sum(1 for entry, _ in rank if entry == e)
    return sorted(moving, key=lambda found: (rank[found[0], found[1]], found[0]))


def _figures(
    run: DeviceRun, drawn: Sequence[tuple[int, int, DeviceEntry, DeviceOutput]], clock: Clock
) -> tuple[Panel, ...]:
    panels = []
    for number, (e, o, entry, output) in enumerate(drawn):
        series = [
            (strategy.label, strategy.position, values.mean_series)
            for strategy in run.strategies
            if (values := strategy.outputs[e][o]) is not None
        ]
        title = f"{entry.label}: {output.name}"
        if len(entry.devices) > 1:
            title += f", mean of {len(entry.devices)} devices"
        svg = device_figure(
            f"device-{number}",
            series,
            n_strategies=len(run.strategies),
            clock=clock,
            title=title,
            quantity=output.name,
            unit=_unit_text(output),
        )
        panels.append(Panel(id=f"device-{number}", svg=svg, heading=title))
    return tuple(panels)


def device_section(run: DeviceRun, clock: Clock) -> DeviceSection:
    """Return what the section on devices with a state of their own shows."""
    drawn = _drawn(run)
    return DeviceSection(
        left_out=run.left_out,
        energy=energy_table(run),
        groups=output_groups(run, clock),
        figures=_figures(run, drawn[:_MOST_FIGURES], clock),
        more=max(len(drawn) - _MOST_FIGURES, 0),
    )
