"""What the commands show in a terminal: tables on stdout, progress and messages on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from twin.kpis import KPIS, KpiValue, Verdict
from twin.report.table import NO_VALUE, comparison_table
from twin.results import RunStatus

__all__ = [
    "HEADLINES",
    "ProgressBars",
    "comparison",
    "feeder_table",
    "json_line",
    "path_text",
    "rows_for_json",
    "say",
]

HEADLINES: tuple[str, ...] = (
    "vm_min_pu",
    "vm_max_pu",
    "en50160_outside_percent",
    "band_hours",
    "reverse_head_hours",
    "reverse_head_energy_kwh",
    "reverse_head_peak_kw",
    "peak_import_kw",
    "peak_export_kw",
    "trafo_loading_max_percent",
    "line_loading_max_percent",
    "loss_kwh",
    "self_consumption_homes_percent",
    "self_sufficiency_homes_percent",
    "curtailed_kwh",
    "battery_cycles_mean",
    "cost_total_eur",
)
"""KPIs of the terminal's table; the report and ``--json`` have all."""

_SYMBOL = {"pass": "[green]✓ pass[/]", "fail": "[red]✗ fail[/]", "indicative": "[yellow]~ indicative[/]"}
_STDERR = Console(stderr=True)
_PIPE_WIDTH = 130
_STDOUT = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)


def say(text: str) -> None:
    """Write a message for the user to stderr."""
    _STDERR.print(text, markup=False, highlight=False, soft_wrap=True)


def json_line(data: object) -> None:
    """Write data to stdout."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, allow_nan=False, indent=2) + "\n")


def comparison(
    columns: Mapping[str, Mapping[str, KpiValue]],
    verdicts: Mapping[str, Sequence[Verdict]],
    *,
    title: str,
) -> None:
    """Print one table: KPIs and verdicts in rows, strategies in columns."""
    shown = [entry for entry in KPIS if entry.name in HEADLINES]
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", overflow="fold")
    for label in columns:
        table.add_column(label, justify="right", no_wrap="\n" not in label)
    for group in comparison_table(shown, columns).groups:
        table.add_section()
        for row in group.rows:
            cells = [
                f"[bold]{text}[/]" if best else text for text, best in zip(row.values, row.best, strict=True)
            ]
            table.add_row(f"{row.label} [dim]({row.unit})[/]" if row.unit != "1" else row.label, *cells)
    table.add_section()
    for question, label in _assessed(verdicts.values()).items():
        found = [{verdict.question: verdict.status for verdict in entry} for entry in verdicts.values()]
        table.add_row(
            f"Verdict: {label}", *(_SYMBOL.get(entry.get(question, ""), NO_VALUE) for entry in found)
        )
    _STDOUT.print(table)


def _assessed(all_verdicts: Iterable[Sequence[Verdict]]) -> dict[str, str]:
    """Return the questions that at least one strategy has an answer to, with their labels."""
    return {
        verdict.question: verdict.label
        for entry in all_verdicts
        for verdict in entry
        if verdict.status != "not assessed"
    }


def feeder_table(description: Mapping[str, Any]) -> None:
    """Print what is on a feeder."""
    table = Table(title=str(description.get("name", "")), title_justify="left", show_header=False, box=None)
    table.add_column("", no_wrap=True)
    table.add_column("")
    for key, value in description.items():
        if key != "name":
            table.add_row(key.replace("_", " "), _text(value))
    _STDOUT.print(table)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return "\n".join(_text(entry) for entry in value) if value else NO_VALUE
    if isinstance(value, float):
        return f"{value:,.6g}"
    return NO_VALUE if value is None else str(value)


class ProgressBars:
    """One bar per strategy on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=_STDERR,
            disable=not _STDERR.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are."""
        self._bars.stop()

    def begin(self, strategy: str, n_steps: int) -> None:
        """Add a bar."""
        self._tasks[strategy] = self._bars.add_task(strategy, total=n_steps)

    def step(self, strategy: str, done: int) -> None:
        """Move a bar."""
        self._bars.update(self._tasks[strategy], completed=done)

    def end(self, strategy: str, status: RunStatus) -> None:
        """Say how a strategy ended where no bar is shown, or when it did not finish."""
        if not _STDERR.is_terminal or status is not RunStatus.FINISHED:
            say(f"{strategy}: {status.value}")


def rows_for_json(values: Sequence[KpiValue], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return one strategy as plain data."""
    units = {entry.name: entry.unit for entry in KPIS}
    return {
        "kpis": {value.name: {**asdict(value), "unit": units[value.name]} for value in values},
        "verdicts": {
            verdict.question: {"status": verdict.status, "reason": verdict.reason} for verdict in verdicts
        },
    }


def path_text(path: Path) -> str:
    """Return a path as short as possible."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
