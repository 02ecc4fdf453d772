"""What a strategy may know about the coming steps.

Both forecasts hold the arrays of the whole run; what they may read of them is the difference. Load and PV of the
present step are known as metered. T steps, H homes.
"""

from typing import Literal, get_args

import numpy as np

from twin.control.base import Controller, FloatArray, Forecast
from twin.errors import InputError

__all__ = ["ForecastKind", "PerfectForecast", "PersistenceForecast", "forecast_kind", "make_forecast"]

ForecastKind = Literal["perfect", "persistence"]


class PerfectForecast:
    """The future as it will be: the bound that no forecast can beat."""

    def __init__(
        self,
        *,
        load_kw: FloatArray,
        pv_kw: FloatArray,
        price_import_eur_kwh: FloatArray,
        price_export_eur_kwh: FloatArray,
    ) -> None:
        """Keep the series: load and PV of each home, shape (T, H), PV at most 0; prices, shape (T,).

        Raises:
            ValueError: the shapes do not fit each other.
        """
        self._load_kw, self._pv_kw = _frozen(load_kw), _frozen(pv_kw)
        self._price_import, self._price_export = _frozen(price_import_eur_kwh), _frozen(price_export_eur_kwh)
        _check_shapes(self._load_kw, self._pv_kw, self._price_import, self._price_export)

    def window(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return load and PV of each home from ``step`` on, at most ``horizon`` steps, shape (n, H) each [kW]."""
        coming = slice(step, step + horizon)
        return self._load_kw[coming], self._pv_kw[coming]

    def prices(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return import and export price from ``step`` on, at most ``horizon`` steps, shape (n,) [EUR/kWh]."""
        coming = slice(step, step + horizon)
        return self._price_import[coming], self._price_export[coming]


class PersistenceForecast:
    """Tomorrow will be like today: the floor that every forecast should beat.

    Load and PV of a coming step are those of the same time of day at its last occurrence up to the present step;
    where the run has not yet seen that time of day, the present value is held. Nothing after the present step is
    read.

    Prices are published a day ahead (tariff or day-ahead market), so those of the coming 24 hours are known;
    later ones are the known ones repeated.
    """

    def __init__(
        self,
        *,
        load_kw: FloatArray,
        pv_kw: FloatArray,
        price_import_eur_kwh: FloatArray,
        price_export_eur_kwh: FloatArray,
        steps_per_day: int,
    ) -> None:
        """Keep the series: load and PV of each home, shape (T, H), PV at most 0; prices, shape (T,).

        Raises:
            ValueError: the shapes do not fit each other, or a day has no step.
        """
        self._load_kw, self._pv_kw = _frozen(load_kw), _frozen(pv_kw)
        self._price_import, self._price_export = _frozen(price_import_eur_kwh), _frozen(price_export_eur_kwh)
        _check_shapes(self._load_kw, self._pv_kw, self._price_import, self._price_export)
        if steps_per_day < 1:
            raise ValueError(f"steps_per_day must be at least 1 (got {steps_per_day})")
        self._steps_per_day = steps_per_day

    def window(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return load and PV of each home from ``step`` on, at most ``horizon`` steps, shape (n, H) each [kW]."""
        ahead = np.arange(min(horizon, len(self._load_kw) - step))
        days_back = -(-ahead // self._steps_per_day)
        source = step + ahead - days_back * self._steps_per_day
        source[source < 0] = step
        return self._load_kw[source], self._pv_kw[source]

    def prices(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return import and export price from ``step`` on, at most ``horizon`` steps, shape (n,) [EUR/kWh]."""
        ahead = np.arange(min(horizon, len(self._price_import) - step))
        source = step + ahead % self._steps_per_day
        return self._price_import[source], self._price_export[source]


def forecast_kind(controller: Controller) -> ForecastKind:
    """Return the kind of forecast a strategy asks for by its attribute ``forecast``; persistence without one.

    A strategy that says nothing gets the one that does not know the future.

    Raises:
        InputError: there is no such kind.
    """
    kind = getattr(controller, "forecast", "persistence")
    for known in get_args(ForecastKind):
        if kind == known:
            return known  # type: ignore[no-any-return] # get_args is untyped
    raise InputError(f"forecast: {kind!r} is not known; choose one of {', '.join(get_args(ForecastKind))}")


def make_forecast(
    kind: ForecastKind,
    *,
    load_kw: FloatArray,
    pv_kw: FloatArray,
    price_import_eur_kwh: FloatArray,
    price_export_eur_kwh: FloatArray,
    steps_per_day: int,
) -> Forecast:
    """Return a forecast over the series of a run: load and PV (T, H) [kW], PV at most 0; prices (T,) [EUR/kWh]."""
    if kind == "perfect":
        return PerfectForecast(
            load_kw=load_kw,
            pv_kw=pv_kw,
            price_import_eur_kwh=price_import_eur_kwh,
            price_export_eur_kwh=price_export_eur_kwh,
        )
    return PersistenceForecast(
        load_kw=load_kw,
        pv_kw=pv_kw,
        price_import_eur_kwh=price_import_eur_kwh,
        price_export_eur_kwh=price_export_eur_kwh,
        steps_per_day=steps_per_day,
    )


def _frozen(values: FloatArray) -> FloatArray:
    array = np.asarray(values, dtype=np.float64).view()
    array.flags.writeable = False
    return array


def _check_shapes(load_kw: FloatArray, pv_kw: FloatArray, *prices: FloatArray) -> None:
    if load_kw.ndim != 2 or pv_kw.shape != load_kw.shape:  # noqa: PLR2004 - steps and homes
        raise ValueError(
            f"load_kw and pv_kw must both be (steps, homes); got {load_kw.shape} and {pv_kw.shape}"
        )
    for price in prices:
        if price.shape != (len(load_kw),):
            raise ValueError(
                f"prices must have one value for each of {len(load_kw)} steps; got {price.shape}"
            )
