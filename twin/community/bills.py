"""Parts of a bill: the price of a kWh with charges and taxes, fixed charges over a run, energy by band.

Parts of an Italian bill (spesa per la materia energia, trasporto e contatore, oneri di sistema, excise, VAT) are
parameters. VAT is on all of it, excise included. K: the split and the rates are not verified.
"""

from datetime import date
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from twin.clock import local_time, utc_s
from twin.community.calendar import BANDS, band_of_hour

__all__ = ["energy_by_band_kwh", "fixed_charges_eur", "price_by_band_eur_kwh", "taxed_eur", "years_between"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FloatOrArray = TypeVar("FloatOrArray", float, NDArray[np.float64])


def taxed_eur(net: FloatOrArray, vat_percent: float) -> FloatOrArray:
    """Return ``net`` [EUR, or EUR per unit] with VAT."""
    return net * (1.0 + vat_percent / 100.0)


def price_by_band_eur_kwh(instants_utc_s: IntArray, band_eur_kwh: tuple[float, float, float]) -> FloatArray:
    """Return the price [EUR/kWh] at each instant, same shape, from the prices of F1, F2 and F3."""
    prices: FloatArray = np.array(band_eur_kwh, dtype=np.float64)[band_of_hour(instants_utc_s) - 1]
    return prices


def years_between(start_utc_s: int, end_utc_s: int) -> float:
    """Return the time from start to end in local calendar years, each hour counting by the length of its own year.

    A whole calendar year is exactly 1, leap or not, and parts of it add up to it.
    """
    years = 0.0
    for year in range(local_time(start_utc_s).year, local_time(end_utc_s).year + 1):
        first, following = utc_s(date(year, 1, 1)), utc_s(date(year + 1, 1, 1))
        within_s = min(end_utc_s, following) - max(start_utc_s, first)
        years += max(within_s, 0) / (following - first)
    return years


def fixed_charges_eur(
    contract_kw: FloatArray,
    years: float,
    *,
    fixed_eur_year: float,
    power_eur_kw_year: float,
    vat_percent: float,
) -> FloatArray:
    """Return what each connection point pays over ``years`` whatever it draws, VAT included, shape (M,) [EUR].

    Args:
        contract_kw: power of the supply contract, shape (M,) [kW].
        years: length of the run in years, see :func:`years_between`; charges are pro rata, not by whole months.
        fixed_eur_year: charge per connection point, without VAT [EUR/year].
        power_eur_kw_year: charge per contract power, without VAT [EUR/kW/year].
        vat_percent: VAT [%].
    """
    return taxed_eur(years * (fixed_eur_year + power_eur_kw_year * contract_kw), vat_percent)


def energy_by_band_kwh(hour_start_utc_s: IntArray, withdrawn_kwh: FloatArray) -> FloatArray:
    """Return the energy of each member in F1, F2 and F3, shape (M, 3) [kWh].

    Args:
        hour_start_utc_s: start of each hour, shape (N,).
        withdrawn_kwh: energy withdrawn in each hour, shape (N, M).
    """
    in_band = band_of_hour(hour_start_utc_s)[:, np.newaxis] == np.arange(1, len(BANDS) + 1)
    energy: FloatArray = withdrawn_kwh.T @ in_band.astype(np.float64)
    return energy
