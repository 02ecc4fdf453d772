"""What a strategy may know about the coming steps.

All forecasts hold the arrays of the whole run; what they may read of them is the difference. Load and PV of the
present step are known as metered. T steps, H homes.
"""

from typing import Literal, get_args

import numpy as np
from scipy.signal import lfilter

from twin.control.base import Controller, FloatArray, Forecast
from twin.errors import InputError
from twin.units import HOURS_PER_DAY

__all__ = [
    "ForecastKind",
    "NoisyForecast",
    "PerfectForecast",
    "PersistenceForecast",
    "forecast_kind",
    "forecast_noise",
    "make_forecast",
]

ForecastKind = Literal["perfect", "persistence", "noisy"]

_UPDATE_H = 6
"""Weather services run their models every six hours."""
_MEMORY_H = 3.0
"""Within three hours an error fades to 1/e of itself."""


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


class NoisyForecast(PerfectForecast):
    """The future with errors that grow with lead time: a service that is right on average.

    Load and PV of each coming step are what they will be times a lognormal factor of mean 1 and relative standard
    deviation ``error * sqrt(lead / 24 h)``, at most ``error``; a factor above 0 keeps a load a load and PV at most 0.
    Errors of neighbouring steps are alike (first-order autoregression, three hours of memory). All PV shares one error
    because it shares one sky; each home's load has its own. The error is drawn anew every six hours from the start of
    the run; in between, the same coming step is seen with the same error, shrinking as it comes near. The present step
    is exact.

    Errors depend on the seed, the step and the lead only: strategies with the same seed see the same forecast. Prices are
    known, as with a perfect forecast.
    """

    def __init__(
        self,
        *,
        load_kw: FloatArray,
        pv_kw: FloatArray,
        price_import_eur_kwh: FloatArray,
        price_export_eur_kwh: FloatArray,
        steps_per_day: int,
        seed: int = 0,
        error: float = 0.2,
    ) -> None:
        """Keep the series as :class:`PerfectForecast`.

        Raises:
            ValueError: the shapes do not fit each other, a day has no step, or seed or error is negative.
        """
        super().__init__(
            load_kw=load_kw,
            pv_kw=pv_kw,
            price_import_eur_kwh=price_import_eur_kwh,
            price_export_eur_kwh=price_export_eur_kwh,
        )
        if steps_per_day < 1:
            raise ValueError(f"steps_per_day must be at least 1 (got {steps_per_day})")
        if not 0.0 <= error < np.inf:
            raise ValueError(f"forecast_error must be at least 0 and finite (got {error:g})")
        if seed < 0:
            raise ValueError(f"forecast_seed must be at least 0 (got {seed})")
        self._steps_per_day, self._seed, self._error = steps_per_day, seed, error
        self._steps_per_update = max(steps_per_day * _UPDATE_H // HOURS_PER_DAY, 1)
        self._likeness = float(np.exp(-HOURS_PER_DAY / (steps_per_day * _MEMORY_H)))
        self._drawn: dict[int, FloatArray] = {}

    def window(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return load and PV of each home from ``step`` on, at most ``horizon`` steps, shape (n, H) each [kW]."""
        load_kw, pv_kw = super().window(step, horizon)
        ahead = np.arange(len(load_kw))
        spread = self._error * np.sqrt(np.minimum(ahead / self._steps_per_day, 1.0))
        sigma = np.sqrt(np.log1p(spread**2))[:, None]
        update, since = divmod(step, self._steps_per_update)
        error = self._errors(update, since + len(ahead))[since : since + len(ahead)]
        factor = np.exp(sigma * error - 0.5 * sigma**2)
        return load_kw * factor[:, :-1], pv_kw * factor[:, -1:]

    def _errors(self, update: int, n: int) -> FloatArray:
        """Return standard normal errors of at least ``n`` steps from an update on: of each load, then of PV."""
        if update in self._drawn and len(self._drawn[update]) >= n:
            return self._drawn[update]
        rng = np.random.default_rng([self._seed, update])
        # rows are drawn in order, so a longer draw begins with the shorter one
        shocks = rng.standard_normal((n, self._load_kw.shape[1] + 1))
        shocks[1:] *= np.sqrt(1.0 - self._likeness**2)
        errors: FloatArray = lfilter([1.0], [1.0, -self._likeness], shocks, axis=0)
        # late readings ask for the update before
        self._drawn = {key: drawn for key, drawn in self._drawn.items() if key >= update - 1}
        self._drawn[update] = errors
        return errors


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


def forecast_noise(controller: Controller) -> tuple[int, float]:
    """Return seed and error of a noisy forecast, by the attributes ``forecast_seed`` and ``forecast_error``.

    Raises:
        InputError: one of them is not a number of at least 0.
    """
    seed, error = getattr(controller, "forecast_seed", 0), getattr(controller, "forecast_error", 0.2)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"forecast_seed: must be a whole number of at least 0 (got {seed!r})")
    if not isinstance(error, int | float) or isinstance(error, bool) or not 0.0 <= error < np.inf:
        raise InputError(f"forecast_error: must be a number of at least 0, e.g. 0.2 for 20 % (got {error!r})")
    return seed, float(error)


def make_forecast(
    kind: ForecastKind,
    *,
    load_kw: FloatArray,
    pv_kw: FloatArray,
    price_import_eur_kwh: FloatArray,
    price_export_eur_kwh: FloatArray,
    steps_per_day: int,
    noise: tuple[int, float] = (0, 0.2),
) -> Forecast:
    """Return a forecast over the series of a run: load and PV (T, H) [kW], PV at most 0; prices (T,) [EUR/kWh].

    ``noise`` is seed and error of a noisy one, see :func:`forecast_noise`.
    """
    if kind == "perfect":
        return PerfectForecast(
            load_kw=load_kw,
            pv_kw=pv_kw,
            price_import_eur_kwh=price_import_eur_kwh,
            price_export_eur_kwh=price_export_eur_kwh,
        )
    if kind == "noisy":
        seed, error = noise
        return NoisyForecast(
            load_kw=load_kw,
            pv_kw=pv_kw,
            price_import_eur_kwh=price_import_eur_kwh,
            price_export_eur_kwh=price_export_eur_kwh,
            steps_per_day=steps_per_day,
            seed=seed,
            error=error,
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
