"""Hourly electricity prices that come with the program. Sources and licences: ``models/data/ATTRIBUTION.md``."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError

__all__ = ["PRICE_YEARS", "PriceYear", "price_year"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, kw_only=True, eq=False)
class PriceYear:
    """Day-ahead prices of one zone for every hour of one local year."""

    name: str
    zone: str
    """Market zone in words."""
    year: int
    credit: str
    """Source and licence, as the licence wants them named."""
    start_utc_s: int
    """Start of the first hour, seconds since 1970-01-01 UTC."""
    price_eur_mwh: FloatArray
    """Shape (N,), read-only."""

    def at(self, utc_s: IntArray) -> FloatArray:
        """Return the prices [EUR/MWh] of the hours that hold ``utc_s``, same shape.

        Raises:
            ModelError: an instant lies outside the year.
        """
        hour = (utc_s - self.start_utc_s) // _SECONDS_PER_HOUR
        outside = (hour < 0) | (hour >= len(self.price_eur_mwh))
        if np.any(outside):
            first = datetime.fromtimestamp(int(np.extract(outside, utc_s)[0]), tz=UTC)
            raise ModelError(
                f"{self.name} has no price for {first.isoformat()}; it covers the local year {self.year} alone, "
                "so map other times onto it first"
            )
        prices: FloatArray = self.price_eur_mwh[hour]
        return prices


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    file: str
    zone: str
    year: int
    n_hours: int
    credit: str


_SOURCES = {
    "north_italy_2018": _Source(
        file="day_ahead_north_italy_2018.csv",
        zone="Northern Italy",
        year=2018,
        n_hours=8760,
        credit="Bundesnetzagentur | SMARD.de, CC BY 4.0",
    ),
}
PRICE_YEARS = tuple(_SOURCES)
"""Names that :func:`price_year` knows."""


@cache
def price_year(name: str) -> PriceYear:
    """Return a price year by its name, one of ``PRICE_YEARS``.

    Raises:
        ModelError: no such name, or the file that came with the program is damaged.
    """
    if name not in _SOURCES:
        raise ModelError(f"no price year {name!r}; known are {', '.join(PRICE_YEARS)}")
    source = _SOURCES[name]
    rows = files("models").joinpath("data", source.file).read_text(encoding="ascii").splitlines()[1:]
    stamps, prices = zip(*(row.split(",") for row in rows), strict=True)
    first, last = (datetime.fromisoformat(stamp) for stamp in (stamps[0], stamps[-1]))
    n_hours = int((last - first).total_seconds()) // _SECONDS_PER_HOUR + 1
    if len(prices) != source.n_hours or n_hours != source.n_hours:
        raise ModelError(
            f"{source.file} has {len(prices)} hours instead of {source.n_hours}; reinstall the program"
        )
    values = np.array(prices, dtype=np.float64)
    values.flags.writeable = False
    return PriceYear(
        name=name,
        zone=source.zone,
        year=source.year,
        credit=source.credit,
        start_utc_s=int(first.timestamp()),
        price_eur_mwh=values,
    )
