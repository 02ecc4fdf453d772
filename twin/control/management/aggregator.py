"""Levels 3 and 4: the aggregator over the communities of a primary substation (CP), as a rule.

Communities under one CP help each other: what one has too much is stored by, or covers what is missing in, another.
Nothing passes between two CPs, because shared energy ends at the CP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from twin.control.base import FloatArray, Observation, Site
from twin.control.management.balance import HourBalance, ask, change_kw
from twin.control.management.cascade import Cascade
from twin.control.management.cems import GIVE_ABOVE_SOC, VALID_H, Cems, CommunityPlan, CommunityRule
from twin.control.management.guidance import Guidance, Priority
from twin.control.management.levels import Settles
from twin.control.management.msd_hook import MsdHook, ScheduledDesk
from twin.plant import total_by

__all__ = ["Aggregator", "AggregatorMsdStrategy", "AggregatorStrategy"]


class Aggregator:
    """The aggregator of every CP, as a guide above :class:`twin.control.management.cems.Cems`.

    In every step, from the readings that arrived:

    1. Each community first serves itself, by the rule of :class:`Cems`.
    2. What is left of their balances adds up to that of the CP; surplus of one meets deficit of another without any
       battery. The hour counts as in :class:`Cems`.
    3. Surplus of the CP: batteries with room left in any of its communities share it in proportion to the power they
       can still take, except in homes that give to their own community in this step.
    4. Deficit of the CP: batteries with energy to spare in any of its communities share it in proportion to the power
       they can still give, except in homes that take from their own community in this step or have no plant.
    5. Only homes that help another community are asked, with both parts in one set-point. The other homes are left
       to their CEMS.

    Args:
        site: the plant.
        give_above_soc: as of :class:`Cems`.
        valid_h: as of :class:`Cems`.

    Raises:
        ValueError: a parameter is outside its range.
    """

    def __init__(
        self, site: Site, *, give_above_soc: float = GIVE_ABOVE_SOC, valid_h: float = VALID_H
    ) -> None:
        self._site = site
        self._rule = CommunityRule(site, give_above_soc=give_above_soc, valid_h=valid_h)
        self._cp_hour = HourBalance(site)

    def guide(self, seen: Observation, above: Guidance) -> Guidance:
        """Return what is asked of homes that help another community."""
        site, step = self._site, seen.step
        plan = self._rule.plan(seen, above)
        help_kw = self._help_kw(plan, seen)
        moved_kw = total_by(site.battery_home, help_kw, site.n_homes)
        self._cp_hour.set_aside(above.for_others_kw)
        self._rule.hour.set_aside(moved_kw if above.for_others_kw is None else above.for_others_kw + moved_kw)
        asked = ask(
            site,
            plan.now,
            np.where((moved_kw != 0.0)[site.battery_home], plan.change_kw + help_kw, 0.0),
            priority=Priority.COORDINATION,
            expires_step=step + self._rule.valid_steps + 1,
        )
        return replace(asked, for_others_kw=moved_kw)

    def _help_kw(self, plan: CommunityPlan, seen: Observation) -> FloatArray:
        """Return what each battery takes from or gives to other communities of its CP, shape (B,)."""
        communities = self._site.communities
        cp, n_cp = communities.cp, len(communities.cp_name)
        own_kw = total_by(plan.community, plan.change_kw, communities.n_communities)
        left_kw = total_by(cp, plan.present_kw - own_kw, n_cp)
        so_far_kwh = total_by(cp, self._cp_hour.so_far_kwh(seen, plan.now.counted), n_cp)
        offered_kw = self._cp_hour.to_offer_kw(left_kw, so_far_kwh, step=seen.step)
        home = self._site.battery_home
        home_kw = total_by(home, plan.change_kw, self._site.n_homes)[home]
        room = np.where(home_kw >= 0.0, plan.room_kw - plan.change_kw, 0.0)
        spare = np.where(home_kw <= 0.0, plan.spare_kw + plan.change_kw, 0.0)
        return change_kw(offered_kw, room, spare, group=cp[plan.community])


class AggregatorStrategy(Cascade):
    """EMS of each user, CEMS of each community, aggregator of each CP; parameters as of :class:`Cems`.

    Raises:
        ValueError: a parameter is outside its range, or the scenario has no communities.
    """

    level: ClassVar[int] = 3
    settles: ClassVar[Settles] = "cp"

    def __init__(
        self, site: Site, *, give_above_soc: float = GIVE_ABOVE_SOC, valid_h: float = VALID_H
    ) -> None:
        guides = tuple(
            kind(site, give_above_soc=give_above_soc, valid_h=valid_h) for kind in (Aggregator, Cems)
        )
        super().__init__(site, guides=guides)


class AggregatorMsdStrategy(Cascade):
    """The aggregator on the ancillary services market as well (MSD): a market desk above :class:`AggregatorStrategy`.

    Args:
        site: the plant.
        give_above_soc: as of :class:`Cems`.
        valid_h: as of :class:`Cems`.
        window_start_h: as of :class:`MsdHook`.
        window_end_h: as of :class:`MsdHook`.
        reserve_up_share: as of :class:`MsdHook`.
        orders: orders to play, each ``{start_h, duration_h, p_kw}``, see :class:`ScheduledDesk`; none unless given.

    Raises:
        ValueError: a parameter is outside its range, or the scenario has no communities.
    """

    level: ClassVar[int] = 4
    settles: ClassVar[Settles] = "cp"

    def __init__(
        self,
        site: Site,
        *,
        give_above_soc: float = GIVE_ABOVE_SOC,
        valid_h: float = VALID_H,
        window_start_h: float = 14.0,
        window_end_h: float = 20.0,
        reserve_up_share: float = 0.3,
        orders: Sequence[Mapping[str, float]] = (),
    ) -> None:
        desk = MsdHook(
            site,
            desk=ScheduledDesk(site, orders),
            window_start_h=window_start_h,
            window_end_h=window_end_h,
            reserve_up_share=reserve_up_share,
            valid_h=valid_h,
        )
        rules = tuple(
            kind(site, give_above_soc=give_above_soc, valid_h=valid_h) for kind in (Aggregator, Cems)
        )
        super().__init__(site, guides=(desk, *rules))
