"""Prices and emissions of a scenario as series over the steps of the run."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.market import PriceYear, price_year
from twin.assembly.series import Period, SeriesBook
from twin.community.bills import price_by_band_eur_kwh, taxed_eur
from twin.community.calendar import hour_of_step, hour_starts_utc_s, same_hour_of_year_utc_s
from twin.errors import InputError
from twin.plant import Market, Tariff
from twin.scenario.market import (
    DEFAULT_CO2_KG_KWH,
    DEFAULT_EXCISE_EUR_KWH,
    DEFAULT_VAT_PERCENT,
    PRICE_YEARS,
    ZONE,
    Bill,
)
from twin.scenario.schema import Scenario
from twin.units import price_eur_kwh, price_eur_mwh

__all__ = ["MarketSeries"]

Array = NDArray[np.float64]


class MarketSeries:
    """Reads prices and emissions field by field, so that every mistake is found.

    ``readers`` come first, each at its own field; ``tariff`` and ``market`` are there once all of them went well.
    """

    def __init__(self, scenario: Scenario, book: SeriesBook) -> None:
        self._scenario, self._book = scenario, book
        self._series: dict[str, Array] = {}

    def readers(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        """Return (scenario field, reader) in the order they must be called; a reader raises ``InputError``."""
        bill = self._scenario.prices.bill is not None
        return (
            ("prices.zone_eur_mwh", self._read_zone),
            ("prices.bill" if bill else "prices.import_eur_kwh", self._read_import),
            ("prices.export_eur_kwh", self._read_export),
            ("emissions.factor_kg_kwh", self._read_emissions),
        )

    def tariff(self) -> Tariff:
        """Return the prices at the meter; with a bill all that is paid per kWh, taxes included."""
        return Tariff(
            price_import_eur_kwh=self._series["import"], price_export_eur_kwh=self._series["export"]
        )

    def market(self) -> Market:
        """Return zonal prices, emissions and fixed charges, with what was assumed for them."""
        bill = self._scenario.prices.bill
        return Market(
            zone_eur_mwh=self._series["zone"],
            co2_kg_kwh=self._series["co2"],
            fixed_eur_year=0.0 if bill is None else bill.fixed_eur_year,
            power_eur_kw_year=0.0 if bill is None else bill.power_eur_kw_year,
            vat_percent=0.0 if bill is None else bill.vat_percent,
            assumed=_assumed(self._scenario, self._book.period),
        )

    def _read_zone(self) -> None:
        given = self._scenario.prices.zone_eur_mwh
        if given in PRICE_YEARS:
            self._series["zone"] = _of_year(price_year(str(given)), self._book.period)
        elif isinstance(given, str):
            self._series["zone"] = price_eur_mwh(self._column(given, "EUR/kWh", "a price"))
        else:
            self._series["zone"] = self._constant(given)

    def _read_import(self) -> None:
        prices = self._scenario.prices
        if prices.bill is not None:
            energy = self._energy_price(prices.bill)
            if energy is not None:
                untaxed = energy + prices.bill.charges_eur_kwh + prices.bill.excise_eur_kwh
                self._series["import"] = taxed_eur(untaxed, prices.bill.vat_percent)
        elif prices.import_eur_kwh is not None:
            self._series["import"] = self._price(prices.import_eur_kwh)

    def _read_export(self) -> None:
        given = self._scenario.prices.export_eur_kwh
        if given != ZONE:
            self._series["export"] = self._price(given)
        elif "zone" in self._series:
            self._series["export"] = price_eur_kwh(self._series["zone"])

    def _read_emissions(self) -> None:
        given = self._scenario.emissions.factor_kg_kwh
        if not isinstance(given, str):
            self._series["co2"] = self._constant(given)
            return
        values = self._column(given, "kg/kWh", "an emission factor")
        if values.min(initial=0.0) < 0.0:
            raise InputError(f"{given!r} has negative values; an emission factor is at least 0, so check it")
        self._series["co2"] = values

    def _energy_price(self, bill: Bill) -> Array | None:
        """Return the price of energy alone; None where it follows a zonal price that could not be read."""
        if bill.bands_eur_kwh is not None:
            bands = bill.bands_eur_kwh
            return price_by_band_eur_kwh(self._book.period.step_utc_s, (bands.f1, bands.f2, bands.f3))
        if bill.energy_eur_kwh is not None:
            return self._constant(bill.energy_eur_kwh)
        if bill.zone_spread_eur_kwh is not None and "zone" in self._series:
            return price_eur_kwh(self._series["zone"]) + bill.zone_spread_eur_kwh
        return None

    def _price(self, given: float | str) -> Array:
        return self._column(given, "EUR/kWh", "a price") if isinstance(given, str) else self._constant(given)

    def _constant(self, value: float) -> Array:
        return np.full(self._book.period.n_steps, float(value))

    def _column(self, reference: str, unit: str, what: str) -> Array:
        values, found = self._book.column(reference)
        if found != unit:
            other = "EUR/kWh or EUR/MWh" if unit == "EUR/kWh" else "kg/kWh or g/kWh"
            raise InputError(f"{reference!r} is in {found}; {what} needs a source with the unit {other}")
        return values


def _of_year(prices: PriceYear, period: Period) -> Array:
    """Return the price of a price year in every step, shape (T,) [EUR/MWh]."""
    grid = (period.start_utc_s, period.dt_s, period.n_steps)
    hours_utc_s = same_hour_of_year_utc_s(hour_starts_utc_s(*grid), year=prices.year)
    of_step: Array = prices.at(hours_utc_s)[hour_of_step(*grid)]
    return of_step


def _assumed(scenario: Scenario, period: Period) -> tuple[str, ...]:
    sentences: list[str] = []
    zone = scenario.prices.zone_eur_mwh
    if zone in PRICE_YEARS:
        sentences.append(_about_year(price_year(str(zone)), period))
    if scenario.prices.bill is not None:
        sentences += _about_bill(scenario.prices.bill)
    if scenario.emissions.factor_kg_kwh == DEFAULT_CO2_KG_KWH:
        sentences.append(
            f"Energy from the grid emits {DEFAULT_CO2_KG_KWH:g} kg/kWh of CO2 in every hour (default, not verified)."
        )
    return tuple(sentences)


def _about_year(prices: PriceYear, period: Period) -> str:
    source = f"Zonal prices are day-ahead prices of {prices.zone} in {prices.year} ({prices.credit})"
    hours_utc_s = hour_starts_utc_s(period.start_utc_s, period.dt_s, period.n_steps)
    if np.array_equal(same_hour_of_year_utc_s(hours_utc_s, year=prices.year), hours_utc_s):
        return f"{source}."
    return (
        f"{source}; an hour of the run has the price of the same local hour on the nearest day of {prices.year} with the "
        "same weekday, and holidays are not treated specially."
    )


def _about_bill(bill: Bill) -> list[str]:
    unverified = [
        text
        for text, is_default in (
            (f"excise of {bill.excise_eur_kwh:g} EUR/kWh", bill.excise_eur_kwh == DEFAULT_EXCISE_EUR_KWH),
            (f"VAT of {bill.vat_percent:g} %", bill.vat_percent == DEFAULT_VAT_PERCENT),
        )
        if is_default
    ]
    sentences = (
        [f"Bills have {' and '.join(unverified)} (defaults for households, not verified)."]
        if unverified
        else []
    )
    missing = [
        text
        for text, value in (
            ("charges per kWh", bill.charges_eur_kwh),
            ("fixed charges", bill.fixed_eur_year),
            ("charges on contract power", bill.power_eur_kw_year),
        )
        if value == 0
    ]
    if missing:
        sentences.append(f"Bills have no {', no '.join(missing)}: the scenario gives none.")
    return sentences
