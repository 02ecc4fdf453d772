"""What `twin check-controller` shows: one line per check, and below it what to do."""

import os
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from twin.conformance import Outcome, Report

__all__ = ["conformance_table"]

_MARK = {
    Outcome.PASSED: ("✓ pass", "green"),
    Outcome.FAILED: ("✗ fail", "bold red"),
    Outcome.ADVICE: ("! advice", "yellow"),
    Outcome.SKIPPED: ("- skip", "dim"),
}
_PIPE_WIDTH = 130
_STDOUT = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)


def conformance_table(report: Report, console: Console | None = None) -> None:
    """Print the checks of a strategy, what to do about those that found something, and the sum; to stdout if None."""
    out = _STDOUT if console is None else console
    params = ", ".join(f"{key}={value!r}" for key, value in report.params.items())
    out.print(
        Text(f"{report.controller}({params}) on {report.plant}", style="bold"),
        highlight=False,
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in report.checks:
        mark, style = _MARK[check.outcome]
        table.add_row(Text(mark, style=style), Text(check.id), Text(f"{check.title}: {check.evidence}"))
    out.print(table)
    for check in (*report.of(Outcome.FAILED), *report.of(Outcome.ADVICE)):
        out.print(Text.assemble((f"{check.id}: ", _MARK[check.outcome][1]), check.remedy), soft_wrap=True)
    counts = ", ".join(
        f"{len(report.of(outcome))} {outcome.value}" for outcome in Outcome if report.of(outcome)
    )
    verdict = ("conforms", "bold green") if report.passed else ("does not conform", "bold red")
    out.print(Text.assemble(verdict, f" ({counts})"), soft_wrap=True)
