"""What the commands show in a terminal: tables on stdout, progress and messages on stderr."""

import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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
from rich.text import Text

from twin.console_feeder import feeder_parts
from twin.console_table import HEADLINES, comparison_grids
from twin.kpis import KPIS, KpiValue, Verdict
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
    incomplete: Collection[str] = (),
    legend: Sequence[str] = (),
    warnings: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print verdicts and KPIs in rows, strategies in columns; in several tables where one would be too wide.

    Args:
        columns: KPIs by name for each strategy by label.
        verdicts: of each strategy by label.
        title: stands above the table.
        incomplete: labels of strategies that did not run to their end; they are never marked as best.
        legend: lines below the title.
        warnings: lines below the legend.
        console: where to print; stdout if None.
    """
    out = _STDOUT if console is None else console
    out.print(Text(title, style="bold"), soft_wrap=True)
    for line in legend:
        out.print(Text(line), soft_wrap=True)
    for line in warnings:
        out.print(Text(f"warning: {line}", style="yellow"), soft_wrap=True)
    for table in comparison_grids(columns, verdicts, incomplete=incomplete, width=out.width):
        out.print()
        out.print(table)


def feeder_table(description: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what is on a feeder: the result of ``models.feeder.describe``."""
    out = _STDOUT if console is None else console
    for part in feeder_parts(description):
        out.print(part)


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
            verdict.question: {
                "status": verdict.status,
                "leaning": verdict.leaning,
                "reason": verdict.reason,
            }
            for verdict in verdicts
        },
    }


def path_text(path: Path) -> str:
    """Return a path as short as possible."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
