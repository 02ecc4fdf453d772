"""What a higher level of management hands down to the homes: proposals, bounds and prices, with priority and expiry.

The EMS of a home chooses inside them; device limits and the reserve of the user come first. H homes, B batteries.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twin.control.base import FloatArray, IntArray, Observation, Site

__all__ = ["Guidance", "Guide", "Priority", "asked_homes", "combine", "no_guidance"]

BoolArray = NDArray[np.bool_]


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
    """What a kWh drawn is worth to the community on top of the tariff, shape (H,); 0 for none.

    An EMS that plans (:class:`twin.control.community_mpc.PlanningEms`) takes it off its import price where no set-point
    is proposed; one that follows a rule has no use for it.
    """
    export_bonus_eur_kwh: FloatArray
    """What a kWh fed in is worth to the community on top of the tariff, shape (H,); 0 for none. As the import bonus."""
    priority: IntArray
    """:class:`Priority` by home, shape (H,)."""
    expires_step: IntArray
    """First step in which it does not hold any more, by home, shape (H,)."""
    planned_net_kw: FloatArray | None = None
    """Load and PV of each home that ``battery_kw`` was planned for, shape (H,); NaN or None for none.

    Where given, the batteries make up for what load and PV differ from it, so that the meter stays as planned; else
    they keep to ``battery_kw``. It counts only where every battery of the home has a proposal.
    """
    hold_soc: FloatArray | None = None
    """State of charge that each battery keeps for the level above, shape (B,), 0 to 1; 0 or None for none.

    Not discharged below it by anybody, while it holds. What a user keeps for the own home is not touched by it.
    """
    for_others_kw: FloatArray | None = None
    """What the set-points move each meter by for others than the own community, shape (H,); 0 or None for none.

    The levels below leave it out of the balance of the community, or they would undo it. Not sent to the homes.
    """


class Guide(Protocol):
    """One level above the EMS: CEMS, aggregator, market desk."""

    def guide(self, seen: Observation, above: Guidance) -> Guidance:
        """Return what this level asks for, within the bounds handed down from ``above``.

        ``seen`` is what arrived: the last reading of each home, with its age in ``seen.age_steps``; NaN and
        ``NEVER_HEARD`` for homes that are no members, have opted out or have not been heard of. ``above`` is what all
        higher levels ask for together; the cascade joins the two with :func:`combine`.
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


def asked_homes(guidance: Guidance, battery_home: IntArray) -> BoolArray:
    """Return the homes that have a proposed set-point for any of their batteries, shape (H,)."""
    asked = np.zeros(len(guidance.priority), dtype=np.bool_)
    asked[battery_home[~np.isnan(guidance.battery_kw)]] = True
    return asked


def combine(above: Guidance, below: Guidance, *, battery_home: IntArray) -> Guidance:
    """Return what two levels ask for together; ``battery_home`` is the home of each battery, shape (B,).

    1. The bounds at the meter are intersected. Where nothing is left, those of the higher priority hold.
    2. Set-points and bonuses are those of the higher priority where it asks for any, else those of the other. Of
       equal priorities the one ``above`` is the higher.
    3. Of two states of charge to hold, the larger holds. What is done for others adds up.
    4. The result holds until the first of the two expires, at the higher of the two priorities.
    """
    first_above = above.priority >= below.priority
    battery_kw, planned_net_kw = _joined_set_points(above, below, first_above, battery_home=battery_home)
    low_kw = np.maximum(above.grid_min_kw, below.grid_min_kw)
    high_kw = np.minimum(above.grid_max_kw, below.grid_max_kw)
    empty = low_kw > high_kw
    only_above, only_below = below.priority == Priority.NONE, above.priority == Priority.NONE
    soonest = np.minimum(above.expires_step, below.expires_step)
    return Guidance(
        battery_kw=battery_kw,
        grid_min_kw=np.where(empty, np.where(first_above, above.grid_min_kw, below.grid_min_kw), low_kw),
        grid_max_kw=np.where(empty, np.where(first_above, above.grid_max_kw, below.grid_max_kw), high_kw),
        import_bonus_eur_kwh=_first_said(above.import_bonus_eur_kwh, below.import_bonus_eur_kwh, first_above),
        export_bonus_eur_kwh=_first_said(above.export_bonus_eur_kwh, below.export_bonus_eur_kwh, first_above),
        priority=np.maximum(above.priority, below.priority),
        expires_step=np.where(
            only_above, above.expires_step, np.where(only_below, below.expires_step, soonest)
        ),
        planned_net_kw=planned_net_kw,
        hold_soc=_joined(above.hold_soc, below.hold_soc, np.maximum),
        for_others_kw=_joined(above.for_others_kw, below.for_others_kw, np.add),
    )


def _joined_set_points(
    above: Guidance, below: Guidance, first_above: BoolArray, *, battery_home: IntArray
) -> tuple[FloatArray, FloatArray | None]:
    """Return set-points, shape (B,), and the load and PV that they were planned for, shape (H,)."""
    from_above = first_above[battery_home]
    first_kw = np.where(from_above, above.battery_kw, below.battery_kw)
    other_kw = np.where(from_above, below.battery_kw, above.battery_kw)
    battery_kw = np.where(np.isnan(first_kw), other_kw, first_kw)
    if above.planned_net_kw is None and below.planned_net_kw is None:
        return battery_kw, None
    unplanned = np.full(len(first_above), np.nan)
    net_above = unplanned if above.planned_net_kw is None else above.planned_net_kw
    net_below = unplanned if below.planned_net_kw is None else below.planned_net_kw
    by_above, by_below = asked_homes(above, battery_home), asked_homes(below, battery_home)
    take_above = by_above & (first_above | ~by_below)
    return battery_kw, np.where(take_above, net_above, np.where(by_below, net_below, np.nan))


def _first_said(above: FloatArray, below: FloatArray, first_above: BoolArray) -> FloatArray:
    first = np.where(first_above, above, below)
    said: FloatArray = np.where(first != 0.0, first, np.where(first_above, below, above))
    return said


def _joined(above: FloatArray | None, below: FloatArray | None, join: np.ufunc) -> FloatArray | None:
    if above is None or below is None:
        return below if above is None else above
    both: FloatArray = join(above, below)
    return both
