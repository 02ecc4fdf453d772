"""What ``twin device maps`` shows: register maps, and what one of them says."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hil_adapters.maps.schema import Command, CommandWrite, Point, RegisterMap
from hil_adapters.maps.units import unit_of_signal
from twin.console_device import plain_table

__all__ = ["map_for_json", "maps", "one_map"]

_PIPE_WIDTH = 130
_STDOUT = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)
_BAD = "\N{EN DASH}"


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
