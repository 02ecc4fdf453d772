"""The comparison of strategies as text: one source for the terminal and the report."""

import math
from collections.abc import Mapping, Sequence

from twin.kpis.base import Kpi, KpiValue
from twin.report.model import Comparison, ComparisonGroup, ComparisonRow

__all__ = [
    "NO_VALUE",
    "QUESTION_TITLES",
    "comparison_rows",
    "comparison_table",
    "decimals_for",
    "number_text",
]

QUESTION_TITLES: Mapping[str, str] = {
    "voltage": "Voltage",
    "reverse_flow": "Reverse power flow",
    "peak": "Peak",
    "loading": "Loading",
    "losses": "Losses",
    "energy": "Energy",
    "money": "Money",
    "quality": "Quality of the run",
}

NO_VALUE = "\u2013"
"""Shown where a KPI does not apply."""

_DIGITS = {"pu": 4, "1": 3, "EUR": 2}
"""Decimals of units whose size says nothing about their resolution."""
_MOST_DECIMALS = 2
_SIGNIFICANT = 4
_TINY = 1e-3


def decimals_for(values: Sequence[float], unit: str) -> int:
    """Return the decimals shared by a row: four digits of the largest value but at most two decimals; fixed for pu, shares and money."""
    if all(float(value).is_integer() for value in values) and unit not in {"pu", "EUR"}:
        return 0
    if unit in _DIGITS:
        return _DIGITS[unit]
    largest = max((abs(value) for value in values), default=0.0)
    if largest == 0.0:
        return 0
    return min(max(_SIGNIFICANT - 1 - math.floor(math.log10(largest)), 0), _MOST_DECIMALS)


def number_text(value: float, decimals: int, sign: str = "-") -> str:
    """Return a number with a real minus and thin spaces between thousands; tiny ones in powers of ten.

    ``sign`` is that of a format specification: ``+`` also marks positive numbers.
    """
    if value != 0.0 and abs(value) < _TINY and decimals and round(value, decimals) == 0.0:
        text = f"{value:{sign}.0e}"
    else:
        rounded = round(value, decimals)
        text = f"{rounded + 0.0:{sign},.{decimals}f}".replace(",", "\u202f")
    return text.replace("-", "\u2212")


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
    catalogue: Sequence[Kpi], values: Sequence[Mapping[str, KpiValue]], times: Mapping[int, str] | None = None
) -> tuple[ComparisonRow, ...]:
    """Return one row per KPI that at least one strategy has a value for, in the order of the catalogue.

    Args:
        catalogue: what the KPIs are.
        values: by KPI name, one mapping per strategy; the first strategy is what the others are compared with.
        times: words for steps, used in ``where``.
    """
    words = times or {}
    rows: list[ComparisonRow] = []
    for kpi in catalogue:
        cells = [strategy.get(kpi.name) for strategy in values]
        numbers = [None if cell is None else cell.value for cell in cells]
        if all(number is None for number in numbers):
            continue
        known = [number for number in numbers if number is not None]
        decimals = decimals_for(known, kpi.unit)
        rows.append(
            ComparisonRow(
                name=kpi.name,
                label=kpi.label,
                unit=kpi.unit,
                values=tuple(
                    NO_VALUE if number is None else number_text(number, decimals) for number in numbers
                ),
                differences=("", *(_difference(number, numbers[0], decimals) for number in numbers[1:])),
                best=_best(numbers, "neutral" if kpi.question == "quality" else kpi.better, decimals),
                where=tuple(_place(cell, words) for cell in cells),
            )
        )
    return tuple(rows)


def comparison_table(
    catalogue: Sequence[Kpi],
    strategies: Mapping[str, Mapping[str, KpiValue]],
    times: Mapping[int, str] | None = None,
) -> Comparison:
    """Return the rows grouped by question, for the strategies by label in their order."""
    values = list(strategies.values())
    groups: list[ComparisonGroup] = []
    for question in dict.fromkeys(kpi.question for kpi in catalogue):
        rows = comparison_rows([kpi for kpi in catalogue if kpi.question == question], values, times)
        if rows:
            groups.append(ComparisonGroup(title=QUESTION_TITLES.get(question, question), rows=rows))
    return Comparison(
        strategies=tuple(strategies), groups=tuple(groups), left_out=_left_out(catalogue, values)
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
