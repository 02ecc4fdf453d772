"""What ``twin fmu inspect`` and ``check`` show: tables of an FMU and of the checks of one."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from models.fmu.base import FmuInfo, FmuVariable
from models.fmu.checking.report import CheckResult, FmuReport, Outcome, Verdict
from models.fmu.reading.proposal import ProposedWire
from twin.console import path_text
from twin.console_fmu_mapping import mapping_text

__all__ = [
    "CheckProgress",
    "check_table",
    "inspection",
    "inspection_for_json",
]

_MARK = {
    Outcome.PASSED: ("✓ pass", "green"),
    Outcome.FAILED: ("✗ fail", "bold red"),
    Outcome.WARNING: ("! warn", "yellow"),
    Outcome.SKIPPED: ("- skip", "dim"),
}
_VERDICT = {
    Verdict.WORKS: "bold green",
    Verdict.WORKS_WITH_WARNINGS: "bold yellow",
    Verdict.DOES_NOT_WORK: "bold red",
}
_ORDER = (
    "structuralParameter",
    "parameter",
    "input",
    "output",
    "calculatedParameter",
    "independent",
    "local",
)
_INNER = frozenset({"local", "calculatedParameter"})
_SHORT = {"structuralParameter": "structural", "calculatedParameter": "calculated"}
_WIDE = 110
"""From this width on a table has room for descriptions."""
_STARTS_SHOWN = 3
_DIGITS_OF_HASH = 16
_PIPE_WIDTH = 130
_STDOUT = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH)
_STDERR = Console(stderr=True)


class CheckProgress:
    """Says on a terminal which check is done while the next one runs; silent elsewhere."""

    def __init__(self) -> None:
        self._status = Status("reading the description", console=_STDERR)
        self._is_shown = _STDERR.is_terminal

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._is_shown:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the line."""
        if self._is_shown:
            self._status.stop()

    def show(self, result: CheckResult) -> None:
        """Show a result as it comes."""
        self._status.update(f"{result.title}: {result.outcome.value} ...")


def inspection(
    info: FmuInfo,
    wires: Sequence[ProposedWire],
    *,
    with_locals: bool = False,
    console: Console | None = None,
) -> None:
    """Print what an FMU says of itself and a mapping to start from; to stdout if ``console`` is None."""
    out = _STDOUT if console is None else console
    _print_head(out, info.model_name, info.text)
    out.print(_pairs(_overview(info)))
    inner = [entry for entry in info.variables if entry.causality in _INNER]
    out.print()
    out.print(_variables([entry for entry in info.variables if with_locals or entry not in inner], out.width))
    if inner and not with_locals:
        out.print(Text(f"and {len(inner)} local and calculated variables; --all lists them", style="dim"))
    if info.problems:
        out.print()
        out.print(Text("Against the standard (it may work all the same):", style="bold yellow"))
        out.print(_pairs([("-", problem) for problem in info.problems]))
    out.print()
    out.print(Text("Mapping to start from, for `devices:` of a scenario:", style="bold"))
    out.print(Text(mapping_text(info, wires).rstrip()), soft_wrap=True, highlight=False)


def inspection_for_json(info: FmuInfo, wires: Sequence[ProposedWire]) -> dict[str, Any]:
    """Return what an FMU says of itself as plain data."""
    return {
        **asdict(info),
        "file": str(info.file),
        "unit_factors": {
            name: {"exponents": list(exponents), "factor": factor, "offset": offset}
            for name, (exponents, factor, offset) in info.unit_factors.items()
        },
        "proposed": [asdict(wire) for wire in wires],
        "mapping": mapping_text(info, wires),
    }


def check_table(report: FmuReport, console: Console | None = None) -> None:
    """Print the checks of an FMU, what to do about those that found something, and the verdict."""
    out = _STDOUT if console is None else console
    version = f", FMI {report.fmi_version}" if report.fmi_version else ""
    out.print(Text(f"{report.model or report.file}{version}", style="bold"), highlight=False, soft_wrap=True)
    if report.how:
        out.print(Text(report.how), highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for checks in _alike(report.checks):
        mark, style = _MARK[checks[0].outcome]
        titles = ", ".join(check.title for check in checks)
        name = checks[0].id if len(checks) == 1 else f"{len(checks)} checks"
        table.add_row(Text(mark, style=style), Text(name), Text(f"{titles}: {checks[0].evidence}"))
    out.print(table)
    for check in (*report.of(Outcome.FAILED), *report.of(Outcome.WARNING)):
        out.print(Text.assemble((f"{check.id}: ", _MARK[check.outcome][1]), check.remedy), highlight=False)
    counts = ", ".join(
        f"{len(report.of(outcome))} {outcome.value}" for outcome in Outcome if report.of(outcome)
    )
    out.print(
        Text.assemble((report.verdict.value, _VERDICT[report.verdict]), f" ({counts})"), highlight=False
    )


def _alike(checks: Sequence[CheckResult]) -> list[list[CheckResult]]:
    """Return the checks in order, those that are skipped for the same reason together."""
    groups: dict[object, list[CheckResult]] = {}
    for check in checks:
        key = check.evidence if check.outcome is Outcome.SKIPPED else check.id
        groups.setdefault((check.outcome, key), []).append(check)
    return list(groups.values())


def _print_head(out: Console, name: str, text: str) -> None:
    out.print(Text.assemble((name, "bold"), f"  {text}" if text else ""), highlight=False)


def _overview(info: FmuInfo) -> list[tuple[str, str]]:
    interfaces = [
        name
        for name, identifier in (
            ("Co-Simulation", info.co_simulation),
            ("Model Exchange", info.model_exchange),
        )
        if identifier is not None
    ]
    abilities = [
        word
        for word, has in (
            ("saves its state", info.can_save_state),
            ("serialises its state (on_failure: restart)", info.can_serialise_state),
            ("variable steps", info.can_handle_variable_step),
            ("event mode", info.has_event_mode),
            ("early return", info.may_return_early),
        )
        if has
    ]
    limits = [
        word
        for word, has in (
            ("one instance per process", info.once_per_process),
            ("needs the tool that made it", info.needs_execution_tool),
        )
        if has
    ]
    rows = [
        ("File", path_text(info.file)),
        ("SHA-256", info.sha256[:_DIGITS_OF_HASH]),
        ("FMI", f"{info.fmi_version}: {', '.join(interfaces) or 'neither Co-Simulation nor Model Exchange'}"),
        ("Made by", info.generation_tool or "not said"),
        ("Platforms", f"{', '.join(info.platforms) or 'none'}{'; C sources' if info.has_sources else ''}"),
        ("Can", ", ".join(abilities) or "nothing beyond the least"),
        ("Experiment", _experiment(info)),
        ("States", f"{info.n_states} continuous, {info.n_event_indicators} event indicators"),
    ]
    return [*rows, ("But", ", ".join(limits))] if limits else rows


def _experiment(info: FmuInfo) -> str:
    words = [
        f"{name} {value:g}{unit}"
        for name, value, unit in (
            ("stop", info.default_stop_s, " s"),
            ("step", info.default_step_s, " s"),
            ("fixed step", info.fixed_step_s, " s"),
            ("tolerance", info.default_tolerance, ""),
        )
        if value is not None
    ]
    return ", ".join(words) or "none given"


def _pairs(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(Text(label), Text(value))
    return table


def _variables(variables: Sequence[FmuVariable], width: int) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    is_wide = width >= _WIDE
    heads = ["Variable", "Causality", *(["Variability"] if is_wide else []), "Type", "Unit", "Start"]
    heads += ["Shape"] if any(entry.shape for entry in variables) else []
    heads += ["Description"] if is_wide else []
    for head in heads:
        table.add_column(head, overflow="fold", justify="right" if head == "Start" else "left")
    ranked = sorted(
        variables, key=lambda entry: _ORDER.index(entry.causality) if entry.causality in _ORDER else 0
    )
    for entry in ranked:
        cells = {
            "Variable": entry.name,
            "Causality": _SHORT.get(entry.causality, entry.causality),
            "Variability": entry.variability,
            "Type": entry.type,
            "Unit": entry.unit or "",
            "Start": _start(entry),
            "Shape": "x".join(map(str, entry.shape)),
            "Description": entry.text,
        }
        table.add_row(*(Text(cells[head]) for head in heads))
    return table


def _start(variable: FmuVariable) -> str:
    """Return the start value with the digits that a person reads."""
    if variable.start is None or not variable.is_float:
        return variable.start or ""
    words = variable.start.split()
    shown = " ".join(f"{float(word):g}" for word in words[:_STARTS_SHOWN])
    return f"{shown} ..." if len(words) > _STARTS_SHOWN else shown
