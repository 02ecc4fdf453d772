"""What ``twin device`` shows: register maps, units that answer, readings, SunSpec models."""

import math
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hil_adapters.acceptance.looking import Exploration, Look
from hil_adapters.acceptance.scanning import UnitFound
from hil_adapters.acceptance.snapshot import PointReading
from hil_adapters.maps.schema import Access
from hil_adapters.maps.units import unit_of_signal
from hil_adapters.samples import Quality, Sample

__all__ = [
    "discovery",
    "discovery_for_json",
    "look",
    "look_for_json",
    "number_text",
    "plain_table",
    "sample_cells",
    "scanned",
    "unit_for_json",
]

_PIPE_WIDTH = 130
_STDOUT = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)
_BAD = "\N{EN DASH}"
_STYLES = {
    Quality.GOOD: "",
    Quality.UNCERTAIN: "yellow",
    Quality.STALE: "yellow",
    Quality.SUBSTITUTED: "yellow",
    Quality.BAD: "red",
}


def plain_table(*heads: str, right: Sequence[int] = (), fold: Sequence[int] = ()) -> Table:
    """Return an empty table; columns in ``right`` stand to the right, those in ``fold`` may take several lines."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for at, head in enumerate(heads):
        table.add_column(
            head,
            justify="right" if at in right else "left",
            no_wrap=at not in fold,
            overflow="fold" if at in fold else "ellipsis",
        )
    return table


def number_text(value: float | str | None) -> str:
    """Return a value with seven digits at most; a dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _BAD
    return f"{value:.7g}" if isinstance(value, float) else value


def sample_cells(name: str, sample: Sample) -> tuple[Text, Text, Text, Text]:
    """Return signal, value, unit and quality of one sample."""
    style = _STYLES[sample.quality]
    quality = sample.quality.name.lower()
    value = number_text(sample.value)
    return Text(name), Text(value, style=style), Text(unit_of_signal(name)), Text(quality, style=style)


# ---------------------------------------------------------------------- scan


def scanned(unit: UnitFound, console: Console | None = None) -> None:
    """Print one unit that answers."""
    out = _STDOUT if console is None else console
    if not unit.fits:
        out.print(Text(f"unit {unit.unit}: answers; no shipped map fits"))
        return
    best = unit.fits[0]
    out.print(Text(f"unit {unit.unit}: {best.identity}", style="bold"), soft_wrap=True)
    for fit in unit.fits:
        out.print(Text(f"    map {fit.name}: {fit.good} of {fit.of} signals and commands"))


def unit_for_json(unit: UnitFound) -> dict[str, Any]:
    """Return one unit as plain data."""
    return {
        "unit": unit.unit,
        "fits": [
            {"map": fit.name, "good": fit.good, "of": fit.of, "identity": _identity(fit.identity)}
            for fit in unit.fits
        ],
    }


# ---------------------------------------------------------------------- read


def look(seen: Look, console: Console | None = None) -> None:
    """Print everything a device said."""
    out = _STDOUT if console is None else console
    out.print(Text(f"{seen.target}, unit {seen.unit}: {seen.identity}", style="bold"), soft_wrap=True)
    out.print()
    out.print(readings_table(seen.readings))
    if seen.signals:
        table = plain_table("Signal", "Value", "Unit", "Quality", right=(1,))
        for name, sample in seen.signals.items():
            table.add_row(*sample_cells(name, sample))
        out.print()
        out.print(table)


def readings_table(readings: Iterable[PointReading]) -> Table:
    """Return points with value, unit, registers and quality."""
    table = plain_table("Point", "Value", "Unit", "Registers", "Quality", "", right=(1,), fold=(3, 5))
    for reading in readings:
        style = _STYLES[reading.quality]
        table.add_row(
            Text(reading.point.name),
            Text(number_text(reading.value), style=style),
            Text("" if reading.point.unit == "1" else reading.point.unit),
            Text(_raw(reading.registers)),
            Text(reading.quality.name.lower(), style=style),
            Text(reading.reason or reading.meaning, style="dim"),
        )
    return table


def look_for_json(seen: Look) -> dict[str, Any]:
    """Return everything a device said as plain data."""
    return {
        "target": str(seen.target),
        "unit": seen.unit,
        "map": seen.map.name,
        "identity": _identity(seen.identity),
        "points": [
            {
                "name": reading.point.name,
                "value": _json_value(reading.value),
                "unit": reading.point.unit,
                "registers": list(reading.registers),
                "quality": reading.quality.name.lower(),
                "reason": reading.reason,
                "meaning": reading.meaning,
                "writable": reading.point.access is not Access.READ,
            }
            for reading in seen.readings
        ],
        "signals": {
            name: {"value": _json_value(sample.value), "quality": sample.quality.name.lower()}
            for name, sample in seen.signals.items()
        },
    }


# ---------------------------------------------------------------------- discover


def discovery(found: Exploration, *, with_points: bool, console: Console | None = None) -> None:
    """Print the models of a SunSpec device, with all their points if asked for."""
    out = _STDOUT if console is None else console
    seen, chain = found.look, found.chain
    out.print(Text(f"{seen.target}, unit {seen.unit}: {seen.identity}", style="bold"), soft_wrap=True)
    out.print(Text(f"'SunS' at {chain.base}; map that fits best: {seen.map.name}"))
    table = plain_table("Model", "Address", "Registers", "Points with a value", right=(1, 2, 3))
    for model in chain.models:
        mine = [reading for reading in seen.readings if reading.point.name.startswith(f"{model.prefix}.")]
        good = sum(reading.value is not None for reading in mine)
        table.add_row(
            model.prefix, str(model.address), str(model.length), f"{good} of {len(mine)}" if mine else _BAD
        )
    out.print(table)
    for quirk in chain.quirks:
        out.print(Text(f"deviation: {quirk}", style="yellow"), soft_wrap=True)
    if with_points:
        out.print()
        out.print(readings_table(seen.readings))


def discovery_for_json(found: Exploration) -> dict[str, Any]:
    """Return a SunSpec device as plain data."""
    return {
        "base": found.chain.base,
        "models": [
            {
                "model": model.model,
                "instance": model.instance,
                "address": model.address,
                "length": model.length,
            }
            for model in found.chain.models
        ],
        "deviations": list(found.chain.quirks),
        **look_for_json(found.look),
    }


def _identity(identity: Any) -> dict[str, str | None]:
    return {
        part: getattr(identity, part)
        for part in ("manufacturer", "model", "version", "serial", "fingerprint")
    }


def _raw(registers: Sequence[int]) -> str:
    longest = 8
    shown = " ".join(f"{register:04X}" for register in registers[:longest])
    return f"{shown} ..." if len(registers) > longest else shown


def _json_value(value: float | str | None) -> float | str | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
