"""Which communities are planned as one, and what energy shared by them is worth. C configurations, H homes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.control.base import FloatArray, IntArray, Site

__all__ = ["Pool", "pools_of"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Configurations that are planned as one: the pool as a whole, then each of them that earns more by itself.

    These G groups are the terms of :mod:`twin.control.planning.pooling`.
    """

    members: BoolArray
    """Configurations of each term, shape (G, C)."""
    value_eur_kwh: FloatArray
    """What a kWh shared in each term earns, shape (G,); the first is the smallest of all configurations of the pool."""

    def counted(self, community: IntArray) -> BoolArray:
        """Return which homes each term counts, shape (G, H).

        Args:
            community: configuration of each home, shape (H,), -1 for none.
        """
        return self.members[:, community] & (community >= 0)

    def as_a_whole(self) -> "Pool":
        """Return the pool without the terms of its configurations."""
        return Pool(members=self.members[:1], value_eur_kwh=self.value_eur_kwh[:1])


def pools_of(site: Site, pool_of_community: IntArray) -> tuple[Pool, ...]:
    """Return the pools of a site.

    Args:
        site: the plant.
        pool_of_community: pool of each configuration, shape (C,), from 0.

    Raises:
        ValueError: a value of shared energy is missing, negative or not finite.
    """
    value, n = site.shared_value_eur_kwh, site.communities.n_communities
    if value.shape != (n,) or not (np.isfinite(value) & (value >= 0.0)).all():
        raise ValueError(
            f"shared_value_eur_kwh: must be one number of at least 0 for each of {n} communities (got {value.tolist()})"
        )
    return tuple(
        _pool(pool_of_community == pool, value) for pool in range(int(pool_of_community.max(initial=-1)) + 1)
    )


def _pool(inside: BoolArray, value_eur_kwh: FloatArray) -> Pool:
    smallest = value_eur_kwh[inside].min(initial=np.inf)
    better = np.flatnonzero(inside & (value_eur_kwh > smallest))
    alone = np.arange(len(inside)) == better[:, None]
    return Pool(
        members=np.vstack([inside, alone]),
        value_eur_kwh=np.concatenate([[smallest], value_eur_kwh[better]]),
    )
