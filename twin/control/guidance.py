"""What a higher level of management hands down to the homes: proposals, bounds and prices, with priority and expiry.

The EMS of a home chooses inside them; device limits and the reserve of the user come first. H homes, B batteries.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np

from twin.control.base import FloatArray, IntArray, Observation, Site

__all__ = ["Guidance", "Guide", "Priority", "no_guidance"]


class Priority(IntEnum):
    """Who is followed where two levels ask for different things: the higher one."""

    NONE = 0
    ADVICE = 1
    """CEMS for its community."""
    COORDINATION = 2
    """Aggregator over several communities."""
    ORDER = 3
    """Order of the ancillary services market, or limit of the network operator."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Guidance:
    """What is asked of the homes for a step. A home that nothing is asked of has priority ``NONE``."""

    battery_kw: FloatArray
    """Proposed set-point of each battery, shape (B,), charging positive; NaN for none."""
    grid_min_kw: FloatArray
    """Lowest power at the meter of each home, shape (H,), consumption positive; -inf for none."""
    grid_max_kw: FloatArray
    """Highest power at the meter of each home, shape (H,); inf for none."""
    import_bonus_eur_kwh: FloatArray
    """What a kWh drawn is worth to the community on top of the tariff, shape (H,); 0 for none."""
    export_bonus_eur_kwh: FloatArray
    """What a kWh fed in is worth to the community on top of the tariff, shape (H,); 0 for none."""
    priority: IntArray
    """:class:`Priority` by home, shape (H,)."""
    expires_step: IntArray
    """First step in which it does not hold any more, by home, shape (H,)."""


class Guide(Protocol):
    """One level above the EMS: CEMS, aggregator, market desk."""

    def guide(self, seen: Observation, above: Guidance) -> Guidance:
        """Return guidance that keeps within the bounds handed down from ``above``.

        ``seen`` is what arrived: the last reading of each home, with its age in ``seen.age_steps``.
        """
        ...


def no_guidance(site: Site) -> Guidance:
    """Return guidance that asks nothing of anybody."""
    n_homes = site.n_homes
    return Guidance(
        battery_kw=np.full(len(site.battery_home), np.nan),
        grid_min_kw=np.full(n_homes, -np.inf),
        grid_max_kw=np.full(n_homes, np.inf),
        import_bonus_eur_kwh=np.zeros(n_homes),
        export_bonus_eur_kwh=np.zeros(n_homes),
        priority=np.full(n_homes, Priority.NONE, dtype=np.int64),
        expires_step=np.zeros(n_homes, dtype=np.int64),
    )
