"""Deferral of reinforcement: the file of a run.

``reinforcement.json`` in the run folder::

    {"terms": {"growth_percent_year": 2.0, "discount_percent": 4.0, "cost_eur": 150000.0, "horizon_years": 30.0},
     "base": "none",
     "strategies": {"none": {"rows": [{"what": "Highest loading of a line", "where": "Line 7", "value": 71.2,
                                       "limit": 100.0, "unit": "%", "years": 17.2}],
                             "years": 17.2, "deferral_years": 0.0, "npv_eur": 0.0}, ...}}

``years`` is null for a limit that is never reached; that of a strategy is the smallest of its rows.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from twin.errors import RunFolderError
from twin.report.communities.files import mistake_text, read_plain_json
from twin.results import layout

__all__ = ["Deferral", "StrategyLimits", "Terms", "Watched", "read_deferral"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Terms(_Closed):
    """Growth and money."""

    growth_percent_year: float
    discount_percent: float
    cost_eur: float
    horizon_years: float


class Watched(_Closed):
    """One limit."""

    what: str
    """What reaches its limit, in words."""
    where: str
    """Element; empty if it is none in particular."""
    value: float
    """Largest value of the run."""
    limit: float
    unit: str
    years: float | None
    """Years of growth until the limit is reached; None for never."""


class StrategyLimits(_Closed):
    """One strategy."""

    rows: tuple[Watched, ...]
    years: float | None
    """Years until the first limit is reached; None for never."""
    deferral_years: float
    """More years than with the base, within the horizon."""
    npv_eur: float
    """What waiting is worth today."""


class Deferral(_Closed):
    """``reinforcement.json``."""

    terms: Terms
    base: str | None
    """Name of the strategy that others are compared with; None if no strategy ran to its end."""
    strategies: dict[str, StrategyLimits]

    @model_validator(mode="after")
    def _base_is_there(self) -> "Deferral":
        if self.base is not None and self.base not in self.strategies:
            raise ValueError(f"base {self.base!r} is none of {', '.join(self.strategies) or 'no strategies'}")
        return self


def read_deferral(folder: Path) -> Deferral | None:
    """Return the deferral of a run; None where it has none.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = folder / layout.REINFORCEMENT
    if not path.exists():
        return None
    try:
        return Deferral.model_validate(read_plain_json(path))
    except ValidationError as exc:
        raise RunFolderError(f"{path}: {mistake_text(exc)}; restore the file or run again") from exc
