"""The comparison of strategies as text: one source for the terminal and the report."""

from collections.abc import Collection, Mapping, Sequence

from twin.kpis.base import Kpi, KpiValue
from twin.report.model import Comparison, ComparisonGroup, ComparisonRow
from twin.report.numbers import decimals_for, number_text, scaled_unit

__all__ = [
    "NO_VALUE",
    "QUESTION_TITLES",
    "comparison_rows",
    "comparison_table",
]

QUESTION_TITLES: Mapping[str, str] = {
    "voltage": "Voltage",
    "reverse_flow": "Reverse power flow",
    "peak": "Peak",
    "loading": "Loading",
    "losses": "Losses",
    "energy": "Energy",
    "community": "Energy communities",
    "money": "Money",
    "co2": "CO2",
    "quality": "Quality of the run",
}

NO_VALUE = "\u2013"
"""Shown where a KPI does not apply."""


def _difference(value: float | None, base: float | None, decimals: int) -> str:
    if value is None or base is None:
        return ""
    if round(value - base, decimals) == 0.0:
        return "\u00b10"
    return number_text(value - base, decimals, "+")


def _best(values: Sequence[float | None], better: str, decimals: int) -> tuple[bool, ...]:
    rounded = [None if value is None else round(value, decimals) for value in values]
    known = {value for value in rounded if value is not None}
    if better == "neutral" or len(known) <= 1:
        return tuple(False for _ in values)
    target = min(known) if better == "lower" else max(known)
    return tuple(value == target for value in rounded)


def _place(value: KpiValue | None, times: Mapping[int, str]) -> str:
    if value is None:
        return ""
    parts = [
        value.where,
        times.get(value.step, f"step {value.step}") if value.step is not None else "",
        value.note,
    ]
    return ", ".join(part for part in parts if part)


def comparison_rows(
    catalogue: Sequence[Kpi],
    values: Sequence[Mapping[str, KpiValue]],
    times: Mapping[int, str] | None = None,
    *,
    whole: Sequence[bool] | None = None,
) -> tuple[ComparisonRow, ...]:
    """Return one row per KPI that at least one strategy has a value for, in the order of the catalogue.

    Args:
        catalogue: what the KPIs are.
        values: by KPI name, one mapping per strategy.
        times: words for steps, used in ``where``.
        whole: whether each strategy ran to its end; None for all. The others have no difference and are never best;
            differences are to the first whole strategy.
    """
    ran = [True] * len(values) if whole is None else list(whole)
    rows: list[ComparisonRow] = []
    for kpi in catalogue:
        cells = [strategy.get(kpi.name) for strategy in values]
        if any(cell is not None and cell.value is not None for cell in cells):
            rows.append(_row(kpi, cells, {} if times is None else times, ran))
    return tuple(rows)


def _row(
    kpi: Kpi, cells: Sequence[KpiValue | None], times: Mapping[int, str], whole: Sequence[bool]
) -> ComparisonRow:
    raw = [None if cell is None else cell.value for cell in cells]
    unit, per = scaled_unit([number for number in raw if number is not None], kpi.unit)
    numbers = [None if number is None else number / per for number in raw]
    decimals = decimals_for([number for number in numbers if number is not None], unit)
    compared = [number if ran else None for number, ran in zip(numbers, whole, strict=True)]
    base = whole.index(True) if any(whole) else 0
    return ComparisonRow(
        name=kpi.name,
        label=kpi.label,
        unit=unit,
        values=tuple(NO_VALUE if number is None else number_text(number, decimals) for number in numbers),
        differences=tuple(
            "" if place == base else _difference(number, compared[base], decimals)
            for place, number in enumerate(compared)
        ),
        best=_best(compared, "neutral" if kpi.question == "quality" else kpi.better, decimals),
        where=tuple(_place(cell, times) for cell in cells),
    )


def comparison_table(
    catalogue: Sequence[Kpi],
    strategies: Mapping[str, Mapping[str, KpiValue]],
    times: Mapping[int, str] | None = None,
    *,
    incomplete: Collection[str] = (),
) -> Comparison:
    """Return the rows grouped by question, for the strategies by label in their order.

    ``incomplete`` are the labels of strategies that did not run to their end: see :func:`comparison_rows`.
    """
    values = list(strategies.values())
    whole = [label not in incomplete for label in strategies]
    groups: list[ComparisonGroup] = []
    for question in dict.fromkeys(kpi.question for kpi in catalogue):
        asked = [kpi for kpi in catalogue if kpi.question == question]
        rows = comparison_rows(asked, values, times, whole=whole)
        if rows:
            groups.append(ComparisonGroup(title=QUESTION_TITLES.get(question, question), rows=rows))
    return Comparison(
        strategies=tuple(strategies),
        groups=tuple(groups),
        left_out=_left_out(catalogue, values),
        base=next((label for label in strategies if label not in incomplete), ""),
    )


def _left_out(catalogue: Sequence[Kpi], values: Sequence[Mapping[str, KpiValue]]) -> tuple[str, ...]:
    """Return the reasons with the KPIs they hold for, in words."""
    labels: dict[str, list[str]] = {}
    for kpi in catalogue:
        cells = [strategy[kpi.name] for strategy in values if kpi.name in strategy]
        if cells and all(cell.value is None for cell in cells):
            labels.setdefault(cells[0].note, []).append(kpi.label)
    return tuple(
        f"{', '.join(found)} ({note})" if note else ", ".join(found) for note, found in labels.items()
    )
