"""References to columns of sources, ``SOURCE.COLUMN``, and fields that take one or a number."""

from collections.abc import Callable

from pydantic import WithJsonSchema

from twin.scenario.base import wrong
from twin.scenario.marks import closest
from twin.scenario.quantities import parse_quantity

__all__ = ["PROFILE_WORDS", "market_reference", "number_or", "number_or_schema", "source_reference"]

PROFILE_WORDS = frozenset(("feeder", "constant", "clear_sky", "weather"))
"""First words of profiles that are not sources."""


def source_reference(text: str) -> tuple[str, str] | None:
    """Return (source, column) if ``text`` is written SOURCE.COLUMN, else None."""
    source, dot, column = text.partition(".")
    special = source.partition(":")[0] in PROFILE_WORDS
    return (source, column) if dot and source and column and not special else None


def market_reference(value: object) -> tuple[str, str] | None:
    """Return (source, column) if ``value`` is written SOURCE.COLUMN and is no number such as ``0.25 EUR/kWh``."""
    if not isinstance(value, str) or value.lstrip(" +-")[:1].isdigit():
        return None
    return source_reference(value)


def number_or(unit: str, *words: str) -> Callable[[object], object]:
    """Return a validator that lets ``words`` and SOURCE.COLUMN pass and reads all else as a number in ``unit``."""

    def read(value: object) -> object:
        if value in words or market_reference(value) is not None:
            return value
        try:
            return float(parse_quantity(value, unit))
        except ValueError as error:
            others = " or ".join((*words, "SOURCE.COLUMN"))
            hint = closest(value, words) if isinstance(value, str) else ""
            did_you_mean = f"; {hint}" if hint.startswith("did") else ""
            raise wrong(f"{error}; or write {others}{did_you_mean}") from error

    return read


def number_or_schema(unit: str) -> WithJsonSchema:
    """Return the JSON Schema of a field that :func:`number_or` reads."""
    return WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "x-unit": unit})
