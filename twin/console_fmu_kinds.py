"""What ``twin fmu list`` shows: our kinds of devices and their variables."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.devices.base import Causality, DeviceKind, Variable

__all__ = ["kinds", "kinds_for_json"]

_PIPE_WIDTH = 130
_STDOUT = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)


def kinds(shown: Sequence[DeviceKind], *, with_variables: bool, console: Console | None = None) -> None:
    """Print kinds of devices, each with its variables if asked for."""
    out = _STDOUT if console is None else console
    if not with_variables:
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for kind in shown:
            table.add_row(Text(kind.name), Text(_sentence(kind)))
        out.print(table)
        out.print(
            Text("twin fmu list KIND shows the variables, twin fmu export KIND writes the FMU", style="dim")
        )
        return
    for kind in shown:
        out.print(Text.assemble((kind.name, "bold"), f"  {kind.text}"), highlight=False)
        out.print()
        out.print(_kind_table(kind))


def kinds_for_json(shown: Sequence[DeviceKind]) -> dict[str, Any]:
    """Return kinds of devices as plain data; a bound that is not there is None."""
    return {
        kind.name: {
            "text": kind.text,
            "variables": [
                {**asdict(entry), "low": _bound(entry.low), "high": _bound(entry.high)}
                for entry in kind.variables
            ],
        }
        for kind in shown
    }


def _bound(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _sentence(kind: DeviceKind) -> str:
    counts = {
        word: len([entry for entry in kind.variables if entry.causality.value == word])
        for word in ("parameter", "input", "output")
    }
    return f"{kind.text} ({', '.join(f'{number} {word}s' for word, number in counts.items())})"


def _kind_table(kind: DeviceKind) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for head in ("Variable", "Unit"):
        table.add_column(head, no_wrap=True)
    table.add_column("Start", justify="right", no_wrap=True)
    table.add_column("Range", no_wrap=True)
    table.add_column("What it is", overflow="fold")
    for causality in Causality:
        table.add_row(Text(f"{causality.value.capitalize()}s", style="bold"))
        for entry in kind.variables:
            if entry.causality == causality:
                cells = (entry.name, entry.unit, f"{entry.start:g}", _range(entry), entry.text)
                table.add_row(*map(Text, cells))
        table.add_section()
    return table


def _range(variable: Variable) -> str:
    low, high = _bound(variable.low), _bound(variable.high)
    if low is None and high is None:
        return ""
    return f"{_number(low)} .. {_number(high)}".strip()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
