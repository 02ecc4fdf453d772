"""What the energy left in a battery at the end of a plan, a run or an episode is worth.

Without a worth every plan would end with empty batteries. Unless given, it is the discharge efficiency times the
middle between the mean import and the mean export price: less than the energy saves when it is used, more than it
earns when it is sold, so it is neither hoarded nor dumped.
"""

import numpy as np

from twin.control.base import FloatArray

__all__ = ["StorageWorth", "middle_worth_eur_kwh"]


def middle_worth_eur_kwh(
    eta_discharge: FloatArray, *, price_import_eur_kwh: FloatArray, price_export_eur_kwh: FloatArray
) -> FloatArray:
    """Return what a stored kWh is worth at the middle of the mean prices, shape (B,) [EUR/kWh].

    Args:
        eta_discharge: discharge efficiency of each battery, shape (B,).
        price_import_eur_kwh: import price of every step, shape (T,), T > 0.
        price_export_eur_kwh: export price of every step, shape (T,).
    """
    middle = 0.5 * (float(price_import_eur_kwh.mean()) + float(price_export_eur_kwh.mean()))
    return eta_discharge * middle


class StorageWorth:
    """The worth of stored energy, from window to window of a plan.

    It is taken from windows of full length only; the shorter ones at the end of the run keep the last one.

    Args:
        eta_discharge: discharge efficiency of each battery, shape (B,).
        price_eur_kwh: the worth [EUR/kWh]; from the prices unless given.
    """

    def __init__(self, eta_discharge: FloatArray, *, price_eur_kwh: float | None = None) -> None:
        self._eta_discharge = eta_discharge
        self._fixed = price_eur_kwh is not None
        self._longest = 0
        given = np.nan if price_eur_kwh is None else price_eur_kwh
        self.eur_kwh: FloatArray = np.full(len(eta_discharge), given)
        """Worth in the last window, shape (B,); NaN before the first."""

    def see(self, price_import_eur_kwh: FloatArray, price_export_eur_kwh: FloatArray) -> FloatArray:
        """Return the worth at the end of a window with these prices, shape (B,)."""
        if not self._fixed and len(price_import_eur_kwh) >= self._longest:
            self._longest = len(price_import_eur_kwh)
            self.eur_kwh = middle_worth_eur_kwh(
                self._eta_discharge,
                price_import_eur_kwh=price_import_eur_kwh,
                price_export_eur_kwh=price_export_eur_kwh,
            )
        return self.eur_kwh
