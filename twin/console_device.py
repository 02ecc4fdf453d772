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
from hil_adapters.maps.schema import Access, Command, CommandWrite, Point, RegisterMap
from hil_adapters.maps.units import unit_of_signal
from hil_adapters.samples import Quality, Sample

__all__ = [
    "discovery",
    "discovery_for_json",
    "look",
    "look_for_json",
    "map_for_json",
    "maps",
    "number_text",
    "one_map",
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


# ---------------------------------------------------------------------- maps


def maps(shown: Sequence[RegisterMap], console: Console | None = None) -> None:
    """Print the register maps that are shipped."""
    out = _STDOUT if console is None else console
    table = plain_table("Map", "Kind", "Points", "Commands", "Tried on", "What it is", right=(2,), fold=(5,))
    for each in shown:
        points = "discovered" if each.discovery is not None else str(len(each.points))
        table.add_row(
            each.name, each.kind, points, ", ".join(each.commands) or _BAD, each.verified, each.title
        )
    out.print(table)
    out.print(
        Text("twin device maps NAME shows one, twin device scan HOST finds which one fits", style="dim")
    )


def map_for_json(register_map: RegisterMap) -> dict[str, Any]:
    """Return the head of a map as plain data."""
    return {
        "name": register_map.name,
        "title": register_map.title,
        "kind": register_map.kind,
        "verified": register_map.verified,
        "discovery": None if register_map.discovery is None else register_map.discovery.kind,
        "points": len(register_map.points),
        "signals": list(register_map.signals),
        "commands": list(register_map.commands),
        "source": register_map.source.model_dump(mode="json"),
    }


def one_map(register_map: RegisterMap, console: Console | None = None) -> None:
    """Print one map: where it is from, its points, what they mean for the twin, and what may be written."""
    out = _STDOUT if console is None else console
    out.print(Text.assemble((register_map.name, "bold"), f"  {register_map.title}"))
    source = register_map.source
    out.print(Text(f"source: {source.document}, pages {source.pages}; tried on: {register_map.verified}"))
    if source.remarks:
        out.print(Text(source.remarks, style="dim"))
    link = register_map.link
    out.print(Text(f"port {link.port}, unit {link.unit}, time-out {link.timeout_s:g} s"))
    if register_map.points:
        out.print()
        out.print(_points_table(register_map.points))
    out.print()
    out.print(_signals_table(register_map))
    for name, command in register_map.commands.items():
        out.print()
        _command(out, register_map, name, command)


def _points_table(points: Iterable[Point]) -> Table:
    table = plain_table(
        "Point", "Table", "Address", "Type", "Unit", "Access", "Polled", "What it is", right=(2,), fold=(7,)
    )
    for point in points:
        table.add_row(
            point.name,
            point.table.value,
            str(point.address),
            point.type.value,
            "" if point.unit == "1" else point.unit,
            point.access.value,
            point.group,
            Text(point.text or ", ".join(f"{number} {name}" for number, name in point.values.items())),
        )
    return table


def _signals_table(register_map: RegisterMap) -> Table:
    table = plain_table("Signal", "Unit", "Point", fold=(2,))
    for name, binding in register_map.signals.items():
        reference = binding.point
        table.add_row(
            name,
            unit_of_signal(name),
            reference if isinstance(reference, str) else f"first of {', '.join(reference)}",
        )
    return table


def _command(out: Console, register_map: RegisterMap, name: str, command: Command) -> None:
    out.print(Text.assemble((name, "bold"), f"  {command.text}"))
    for number, write in enumerate(command.writes, start=1):
        out.print(Text(f"  {number}. {_write_text(write)}"))
    out.print(Text(f"  release: {', '.join(_write_text(write) for write in command.release)}"))
    for write in command.writes:
        for point in (write.point,) if isinstance(write.point, str) else write.point:
            rules = register_map.writes.get(point)
            if rules is not None and rules.watchdog is not None and write.value is None:
                dog = rules.watchdog
                out.print(
                    Text(
                        f"  {point}: {rules.low:g} to {rules.high:g}, {rules.write_class.value}; without refresh for "
                        f"{dog.timeout_s:g} s: {dog.falls_back_to} ({dog.kind})"
                    )
                )


def _write_text(write: CommandWrite) -> str:
    point = write.point if isinstance(write.point, str) else " or ".join(write.point)
    if write.from_watchdog:
        return f"{point} = time of the watchdog"
    return f"{point} = {'value' if write.value is None else f'{write.value:g}'}"


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
