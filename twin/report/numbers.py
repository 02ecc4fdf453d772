"""Numbers as text: one way for the terminal, the tables, the sentences and the figures."""

import math
from collections.abc import Sequence

__all__ = ["decimals_for", "number_text", "quantity_text", "scaled_unit", "short"]

_DIGITS = {"pu": 4, "1": 3, "EUR": 2}
"""Decimals of units whose size says nothing about their resolution."""
_MOST_DECIMALS = 2
_SIGNIFICANT = 4
_TINY = 1e-3
_LARGER = {"kW": "MW", "kWh": "MWh", "kVA": "MVA", "kvar": "Mvar"}
_LARGE = 10_000.0
_PER_LARGER = 1000.0


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


def scaled_unit(values: Sequence[float], unit: str) -> tuple[str, float]:
    """Return the unit that ``values`` [unit] are shown in and what to divide them by.

    From 10 MW (10 MWh, 10 MVA) of the largest value on, kilo becomes mega; other units stay.
    """
    largest = max((abs(value) for value in values), default=0.0)
    if unit in _LARGER and largest >= _LARGE:
        return _LARGER[unit], _PER_LARGER
    return unit, 1.0


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


def quantity_text(value: float, unit: str, among: Sequence[float] = ()) -> str:
    """Return a number with its unit, e.g. ``90 MW``; decimals and unit are shared with the values in ``among``."""
    numbers = among or (value,)
    shown, per = scaled_unit(numbers, unit)
    decimals = decimals_for([number / per for number in numbers], shown)
    return f"{number_text(value / per, decimals)} {shown}"


def short(words: str, most: int = 28) -> str:
    """Return words that fit beside a bar: cut with an ellipsis where they have more than ``most`` letters."""
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}\u2026"
