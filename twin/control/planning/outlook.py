"""What a planner knows of the coming steps. H homes, B batteries, n steps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.control.base import FloatArray, IntArray, Site
from twin.control.planning.home_lp import HomeWindow
from twin.control.planning.pooling import PoolWindow, hourly_kwh, term_values_eur_kwh
from twin.control.planning.pools import Pool
from twin.units import hours

__all__ = ["Outlook"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlook:
    """The coming steps, for all pools."""

    site: Site
    step: int
    first_hour: int
    """Hour of the first step, since 1970-01-01 UTC."""
    hour: IntArray
    """Hour of each step, shape (n,), from 0."""
    net_kw: FloatArray
    """Load + PV, shape (n, H); NaN for homes not heard of."""
    price_import_eur_kwh: FloatArray
    """Shape (n,)."""
    price_export_eur_kwh: FloatArray
    caution_eur_kwh: FloatArray
    """By how much buying counts dearer and selling cheaper, shape (n,)."""
    soc: FloatArray
    """Present state of charge, shape (B,)."""
    keep_soc: FloatArray
    """State of charge that plans do not go below in each step, shape (n, B)."""
    stored_value_eur_kwh: FloatArray
    """Shape (B,)."""
    planned: BoolArray
    """Homes whose batteries are planned, shape (H,)."""
    left_kw: FloatArray
    """Meter of the other homes, shape (n, H); 0 for homes that are planned or not there."""
    grid_min_kw: FloatArray
    """Bounds at the meter, shape (n, H)."""
    grid_max_kw: FloatArray

    def pool_window(
        self, pool: Pool, homes: IntArray, *, community: IntArray, balance_kwh: FloatArray
    ) -> PoolWindow:
        """Return the problem of one pool.

        Args:
            pool: the configurations and what they share.
            homes: homes of the pool whose batteries are planned, shape (J,).
            community: configuration of each home, shape (H,), -1 for none.
            balance_kwh: injected less withdrawn energy of each configuration in the present hour before this step, shape
                (C,). What both sides have in common is shared whatever is planned, so it is left out.
        """
        site, counted = self.site, pool.counted(community)
        has_plant = site.communities.home_has_plant(site.n_homes)
        injected, withdrawn = hourly_kwh(self.left_kw.T, self.hour, dt_h=hours(site.dt_s))
        so_far_kwh = np.zeros((len(counted), self.hour[-1] + 1))
        so_far_kwh[:, 0] = [balance_kwh[members].sum() for members in pool.members]
        return PoolWindow(
            step=self.step,
            hour=self.hour,
            value_eur_kwh=term_values_eur_kwh(
                pool.value_eur_kwh, self.hour, self.price_import_eur_kwh, self.price_export_eur_kwh
            ),
            injected_kwh=_sums(injected, counted & has_plant) + np.maximum(so_far_kwh, 0.0),
            withdrawn_kwh=_sums(withdrawn, counted) + np.maximum(-so_far_kwh, 0.0),
            counted=counted[:, homes],
            has_plant=has_plant[homes],
            homes=tuple(self._home_window(int(home)) for home in homes),
        )

    def _home_window(self, home: int) -> HomeWindow:
        batteries = np.flatnonzero(self.site.battery_home == home)
        grid_min_kw, grid_max_kw = self.grid_min_kw[:, home], self.grid_max_kw[:, home]
        return HomeWindow(
            step=self.step,
            net_kw=np.ascontiguousarray(self.net_kw[:, home]),
            price_import_eur_kwh=self.price_import_eur_kwh + self.caution_eur_kwh,
            price_export_eur_kwh=self.price_export_eur_kwh - self.caution_eur_kwh,
            soc=self.soc[batteries],
            stored_value_eur_kwh=self.stored_value_eur_kwh[batteries],
            keep_soc=self.keep_soc[:, batteries],
            grid_min_kw=None if np.isneginf(grid_min_kw).all() else grid_min_kw,
            grid_max_kw=None if np.isposinf(grid_max_kw).all() else grid_max_kw,
        )


def _sums(energy_kwh: FloatArray, counted: BoolArray) -> FloatArray:
    """Return the energy of the homes that each term counts, shape (G, N), from that of each home, shape (H, N)."""
    return np.array([energy_kwh[homes].sum(axis=0) for homes in counted])
