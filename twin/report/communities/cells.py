"""Tables made of columns, each with one unit and one number of decimals."""

from collections.abc import Sequence
from dataclasses import dataclass

from twin.report.model import Table
from twin.report.numbers import decimals_for, number_text, scaled_unit
from twin.report.table import NO_VALUE

__all__ = ["Column", "counted", "money_text", "net_words", "numbers", "rows_of", "table_of", "texts", "words"]

_LARGE_EUR = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column with its head."""

    head: str
    cells: tuple[str, ...]
    align: str
    """``left`` or ``right``."""


def texts(values: Sequence[float | None], unit: str, sign: str = "-") -> tuple[str, tuple[str, ...]]:
    """Return the unit shown and one text per value; a dash where there is none.

    ``sign`` is that of a format specification: ``+`` also marks positive numbers.
    """
    known = [value for value in values if value is not None]
    shown, per = scaled_unit(known, unit)
    scaled = [value / per for value in known]
    large = unit == "EUR" and max((abs(value) for value in scaled), default=0.0) >= _LARGE_EUR
    decimals = 0 if large else decimals_for(scaled, shown)
    return shown, tuple(NO_VALUE if value is None else _text(value / per, decimals, sign) for value in values)


def _text(value: float, decimals: int, sign: str) -> str:
    rounded = round(value, decimals)
    # neither a sign nor a power of ten for what is not seen
    return number_text(0.0, decimals) if rounded == 0.0 else number_text(rounded, decimals, sign)


def numbers(label: str, unit: str, values: Sequence[float | None], sign: str = "-") -> Column:
    """Return a column of numbers whose head names the unit; ``sign`` as in :func:`texts`."""
    shown, cells = texts(values, unit, sign)
    return Column(head=f"{label} [{shown}]", cells=cells, align="right")


def counted(label: str, values: Sequence[int]) -> Column:
    """Return a column of counts."""
    return Column(head=label, cells=tuple(str(value) for value in values), align="right")


def words(label: str, cells: Sequence[str]) -> Column:
    """Return a column of words."""
    return Column(head=label, cells=tuple(cells), align="left")


def rows_of(columns: Sequence[Column]) -> tuple[tuple[str, ...], ...]:
    """Return the rows of columns of one length."""
    return tuple(zip(*(entry.cells for entry in columns), strict=True))


def table_of(caption: str, columns: Sequence[Column]) -> Table:
    """Return a table; the first column names the rows."""
    return Table(
        caption=caption,
        head=tuple(entry.head for entry in columns),
        rows=rows_of(columns),
        numeric=tuple(place for place, entry in enumerate(columns) if entry.align == "right"),
    )


def net_words(net_eur: float) -> str:
    """Return what a net cost means, e.g. ``pay 3.20 EUR net`` or ``earn 3.20 EUR net``."""
    return f"pay {money_text(net_eur)} net" if net_eur >= 0 else f"earn {money_text(-net_eur)} net"


def money_text(value_eur: float, sign: str = "-") -> str:
    """Return an amount with its unit, e.g. ``12.30 EUR``."""
    shown, (text,) = texts([value_eur], "EUR", sign)
    return f"{text} {shown}"
