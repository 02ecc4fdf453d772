"""Data that come true step by step: before that they are others. T steps, H homes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.conformance.plants import Case, Series
from twin.control import Controller, Forecast, Observation

__all__ = ["CHANGES", "Change", "Unfolding"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What another future is made from: factors, and what is added to a price or to each home that has any PV."""

    load: float
    load_kw: float
    pv: float
    pv_kw: float
    price: float
    price_eur_kwh: float


CHANGES = (
    Change(load=1.7, load_kw=0.5, pv=0.0, pv_kw=0.0, price=1.5, price_eur_kwh=0.05),
    Change(load=0.2, load_kw=0.0, pv=1.5, pv_kw=-0.5, price=0.5, price_eur_kwh=-0.05),
)
"""More consumption, no sun and dear energy; less consumption, more sun (also at night) and cheap energy.

Two, so that what only looks whether a value is large, or small, shows as well.
"""


class Unfolding:
    """The series of a case as they are known: true up to the present, and for prices up to 24 h later."""

    def __init__(self, case: Case, change: Change) -> None:
        self._true, self._known = case.series(), case.series()
        self._set(self._known, change)

    def forecast(self, controller: Controller) -> Forecast:
        """Return a forecast of the kind that a controller asks for, over the series as they are known."""
        self._know(0)
        return self._known.forecast(controller)

    def go_on(self, seen: Observation) -> None:
        """Let the step after ``seen`` come true; called once the strategy has answered."""
        self._know(seen.step + 1)

    def _know(self, step: int) -> None:
        true, known, published = self._true, self._known, step + self._true.steps_per_day
        pairs: tuple[tuple[FloatArray, FloatArray, int], ...] = (
            (known.load_kw, true.load_kw, step),
            (known.pv_kw, true.pv_kw, step),
            (known.price_import_eur_kwh, true.price_import_eur_kwh, published),
            (known.price_export_eur_kwh, true.price_export_eur_kwh, published),
        )
        for values, source, last in pairs:
            values[: last + 1] = source[: last + 1]

    @staticmethod
    def _set(series: Series, change: Change) -> None:
        has_pv = series.pv_kw.any(axis=0)
        series.load_kw[:] = change.load * series.load_kw + change.load_kw
        series.pv_kw[:] = change.pv * series.pv_kw + change.pv_kw * has_pv
        for price in (series.price_import_eur_kwh, series.price_export_eur_kwh):
            price[:] = change.price * price + change.price_eur_kwh
