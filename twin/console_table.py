"""The comparison of strategies laid out for the width of a terminal."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from twin.kpis import KPIS, Kpi, KpiValue, Verdict
from twin.report.incomplete import verdict_words
from twin.report.table import NO_VALUE, comparison_table

__all__ = ["HEADLINES", "comparison_grids", "folded"]

HEADLINES: tuple[str, ...] = (
    "vm_min_pu",
    "vm_max_pu",
    "en50160_outside_percent",
    "band_hours",
    "reverse_mvlv_hours",
    "reverse_mvlv_energy_kwh",
    "reverse_mvlv_peak_kw",
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
    "stored_change_kwh",
    "unmet_kwh",
    "shared_kwh",
    "shared_injected_percent",
    "incentive_eur",
    "members_net_eur",
    "cost_total_eur",
    "co2_net_kg",
)
"""KPIs of the terminal's table; the report and ``--json`` have all."""

_MVLV, _HEAD = "reverse_mvlv_", "reverse_head_"

_VERDICTS = {
    "pass": ("\u2713 pass", "green"),
    "fail": ("\u2717 fail", "bold red"),
    "indicative": ("~ indicative", "yellow"),
    "indicative, likely kept": ("\u2248 likely kept", "green"),
    "indicative, likely exceeded": ("! likely exceeded", "red"),
}
_LIKELY = (
    "likely kept, likely exceeded: indicative, the data do not allow a final verdict (the report says why)"
)
_GAP = 2
_LEAST_METRIC, _MOST_METRIC = 28, 52
_LEAST_COLUMN, _MOST_WORD, _MOST_COLUMN = 9, 16, 22


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    label: str
    unit: str
    cells: tuple[tuple[str, str], ...]
    """Words and style for each strategy."""
    is_verdict: bool = False


def folded(label: str, width: int) -> str:
    """Return a label in lines of at most ``width``, broken after spaces, hyphens and underscores.

    A word that is longer than ``width`` is cut.
    """
    lines: list[str] = []
    for token in re.findall(r"[^\s_-]*[_-]+|[^\s_-]+\s*|\s+", label):
        if lines and len(lines[-1]) + len(token.rstrip()) <= width:
            lines[-1] += token
        else:
            lines += [token[at : at + width] for at in range(0, len(token.rstrip()), width)]
    return "\n".join(line.rstrip() for line in lines)


def _verdict_rows(verdicts: Mapping[str, Sequence[Verdict]]) -> list[_Row]:
    """Return the questions that at least one strategy has an answer to."""
    labels = {
        verdict.question: verdict.label
        for found in verdicts.values()
        for verdict in found
        if verdict.status != "not assessed"
    }
    words = [{verdict.question: verdict_words(verdict) for verdict in found} for found in verdicts.values()]
    return [
        _Row(
            label=f"Verdict: {label}",
            unit="",
            cells=tuple(_VERDICTS.get(found.get(question, ""), (NO_VALUE, "")) for found in words),
            is_verdict=True,
        )
        for question, label in labels.items()
    ]


def _headlines(columns: Mapping[str, Mapping[str, KpiValue]]) -> list[Kpi]:
    """Return the KPIs to show, without MV/LV flows where the one transformer is the head of the feeder."""
    repeated = all(
        (below := values.get(name)) is not None
        and (head := values.get(name.replace(_MVLV, _HEAD))) is not None
        and below.value == head.value
        for values in columns.values()
        for name in HEADLINES
        if name.startswith(_MVLV)
    )
    return [
        entry for entry in KPIS if entry.name in HEADLINES and not (repeated and entry.name.startswith(_MVLV))
    ]


def _sections(
    columns: Mapping[str, Mapping[str, KpiValue]],
    verdicts: Mapping[str, Sequence[Verdict]],
    incomplete: Collection[str],
) -> list[list[_Row]]:
    shown = _headlines(columns)
    figures = comparison_table(shown, columns, incomplete=incomplete)
    sections = [
        [
            _Row(
                label=row.label,
                unit="" if row.unit == "1" else row.unit,
                cells=tuple(
                    (text, "bold" if best else "") for text, best in zip(row.values, row.best, strict=True)
                ),
            )
            for row in group.rows
        ]
        for group in figures.groups
    ]
    return [section for section in (_verdict_rows(verdicts), *sections) if section]


def _least_widths(labels: Sequence[str], rows: Sequence[_Row]) -> list[int]:
    """Return per strategy the width that keeps numbers and verdict words whole."""
    widths = []
    for place, label in enumerate(labels):
        words = [len(word) for word in re.split(r"(?<=[_-])|\s", label)]
        verdicts = [len(word) for text, _ in _VERDICTS.values() for word in text.split(" ")]
        numbers = [len(row.cells[place][0]) for row in rows if not row.is_verdict]
        widths.append(max(_LEAST_COLUMN, min(max(words), _MOST_WORD), *verdicts, *numbers))
    return widths


def _layout(labels: Sequence[str], rows: Sequence[_Row], width: int) -> tuple[int, list[int], list[int]]:
    """Return the width of the metric column, those of the strategies, and where each table starts."""
    least = _least_widths(labels, rows)
    wanted = min(max(len(f"{row.label} ({row.unit})") for row in rows), _MOST_METRIC)
    cells = [max(len(row.cells[place][0]) for row in rows) for place in range(len(labels))]
    wide = [max(least[i], cells[i], min(len(label), _MOST_COLUMN)) for i, label in enumerate(labels)]
    for widths, metric in ((wide, wanted), (least, wanted), (least, _LEAST_METRIC)):
        if metric + sum(widths) + _GAP * len(widths) <= width:
            room = width - sum(widths) - _GAP * len(widths)
            return min(room, wanted), widths, [0]
    metric = max(min(_LEAST_METRIC, width - max(least) - _GAP), _LEAST_COLUMN)
    fit = max((width - metric) // (max(least) + _GAP), 1)
    n_tables = -(-len(labels) // fit)
    starts = [round(number * len(labels) / n_tables) for number in range(n_tables)]
    most = max(stop - first for first, stop in pairwise([*starts, len(labels)]))
    return (
        max(min(width - most * (max(least) + _GAP), wanted), _LEAST_COLUMN),
        [max(least)] * len(labels),
        starts,
    )


def comparison_grids(
    columns: Mapping[str, Mapping[str, KpiValue]],
    verdicts: Mapping[str, Sequence[Verdict]],
    *,
    incomplete: Collection[str] = (),
    width: int,
) -> list[Table]:
    """Return tables of verdicts, then key figures, at most ``width`` wide; the first column is in each of them.

    Args:
        columns: KPIs by name for each strategy by label.
        verdicts: of each strategy by label, in the same order.
        incomplete: labels of strategies that are never best.
        width: characters of a line.
    """
    sections = _sections(columns, verdicts, incomplete)
    labels, rows = list(columns), [row for section in sections for row in section]
    if not rows:
        return []
    metric, widths, starts = _layout(labels, rows, width)
    tables = []
    for first, stop in pairwise([*starts, len(labels)]):
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("", width=metric, overflow="fold")
        for place in range(first, stop):
            head = Text(folded(labels[place], widths[place]), justify="right")
            table.add_column(head, width=widths[place], justify="right", no_wrap=True, vertical="bottom")
        for section in sections:
            for row in section:
                cells = [_cell(*row.cells[place], widths[place]) for place in range(first, stop)]
                table.add_row(_metric(row), *cells)
            table.add_section()
        if any("likely" in words for row in rows for words, _ in row.cells[first:stop]):
            table.caption, table.caption_justify = _LIKELY, "left"
        tables.append(table)
    return tables


def _metric(row: _Row) -> Text:
    return Text.assemble(row.label, (f" ({row.unit})", "dim") if row.unit else "")


def _cell(words: str, style: str, width: int) -> Text:
    symbol, _, rest = words.partition(" ")
    if len(symbol) == 1 and len(f"{symbol} {rest.split(' ')[0]}") > width:
        words = rest  # a symbol alone on a line says nothing
    return Text(folded(words, width), style=style, justify="right")
