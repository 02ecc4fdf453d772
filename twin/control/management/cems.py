"""Level 2: the energy management system of each community (CEMS), as a rule.

What is settled is the shared energy of the hour, min(injected, withdrawn). Surplus of some members that the batteries
of others store raises what is withdrawn; stored energy that covers what others lack raises what is injected, if there
is a plant behind the same meter.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from twin.control.base import FloatArray, IntArray, Observation, Site
from twin.control.management.balance import (
    HourBalance,
    Situation,
    ask,
    change_kw,
    room_kw,
    shareable_kw,
    situation,
    spare_kw,
    steps_valid,
)
from twin.control.management.cascade import Cascade
from twin.control.management.guidance import Guidance, Priority
from twin.control.management.levels import Settles

__all__ = ["GIVE_ABOVE_SOC", "VALID_H", "Cems", "CemsStrategy", "CommunityPlan", "CommunityRule"]

GIVE_ABOVE_SOC = 0.5
"""Half a battery is left to the home for its own night."""
VALID_H = 0.5
"""Half a settlement hour."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CommunityPlan:
    """What each configuration does for itself in a step. B batteries, C configurations."""

    now: Situation
    room_kw: FloatArray
    """How much more each battery could take, shape (B,)."""
    spare_kw: FloatArray
    """How much more each battery could give that counts as shared, shape (B,)."""
    change_kw: FloatArray
    """Change of each battery against its own rule, shape (B,)."""
    community: IntArray
    """Configuration of each battery, shape (B,); 0 for batteries outside, which have neither room nor spare."""
    present_kw: FloatArray
    """Injected less withdrawn power of each configuration before the change, shape (C,)."""


class CommunityRule:
    """The rule of :class:`Cems`, for the levels that build on it; parameters as there."""

    def __init__(self, site: Site, *, give_above_soc: float, valid_h: float) -> None:
        if not 0.0 <= give_above_soc <= 1.0:
            raise ValueError(f"give_above_soc must be from 0 to 1 (got {give_above_soc:g})")
        self.valid_steps = steps_valid(site, valid_h)
        self.hour = HourBalance(site)
        self._site, self._give_above_soc = site, give_above_soc

    def plan(self, seen: Observation, above: Guidance) -> CommunityPlan:
        """Return what each configuration does for itself; to be asked in every step."""
        site, step = self._site, seen.step
        now = situation(site, seen, above, max_age_steps=self.valid_steps)
        room = room_kw(site, now)
        spare = shareable_kw(site, spare_kw(site, now, above_soc=self._give_above_soc))
        community = site.communities.community_of_home(step, site.n_homes)[site.battery_home]
        community = np.maximum(community, 0)
        present_kw = self.hour.balance_kw(now.meter_kw, step)
        so_far_kwh = self.hour.so_far_kwh(seen, now.counted)
        offered_kw = self.hour.to_offer_kw(present_kw, so_far_kwh, step=step)
        return CommunityPlan(
            now=now,
            room_kw=room,
            spare_kw=spare,
            change_kw=change_kw(offered_kw, room, spare, group=community),
            community=community,
            present_kw=present_kw,
        )


class Cems:
    """The CEMS of every community, each for its own, as a guide.

    In every step, from the readings that arrived:

    1. Members with readings older than ``valid_h`` are not counted, nor are those that have opted out: their power is
       unknown. Each counted home is taken to serve itself, as :class:`twin.control.rules.SelfConsumption` does.
    2. The balance of a community is what its homes then inject less what they withdraw. As in the settlement, only
       homes with a plant count as injecting.
    3. The hour counts: what was injected and withdrawn since it began is added to the balance. Before the last step of
       the hour no more is offered than the present surplus or deficit; in the last step all that levels the hour is.
    4. Surplus: the batteries with room left share it in proportion to the power they can still take. Together they
       never take more than the surplus, so the community does not draw from outside to store.
    5. Deficit: the batteries with energy above ``give_above_soc`` and the user's reserve share it in proportion to the
       power they can still give. Together they never give more than the deficit. Batteries of homes without a plant
       are not asked to give: it would not count as shared. They serve their own home, and take surplus like the others.
    6. Homes that a level above asks for something are left to it. What they do for their community counts in the
       balance; what they do for others does not, neither in the balance nor in the hour.
    7. Each home that is asked gets its set-points and the load and PV they were meant for; it keeps its meter there
       until the next message, or until the message is older than ``valid_h``. All other homes serve themselves.

    Args:
        site: the plant.
        give_above_soc: state of charge above which a battery gives to the community, 0 to 1. Below, its energy is the
            home's: it saves the price of import there, more than a community pays.
        valid_h: how long a reading or a message is good for [h], above 0; at least one step.

    Raises:
        ValueError: a parameter is outside its range.
    """

    def __init__(
        self, site: Site, *, give_above_soc: float = GIVE_ABOVE_SOC, valid_h: float = VALID_H
    ) -> None:
        self._site = site
        self._rule = CommunityRule(site, give_above_soc=give_above_soc, valid_h=valid_h)

    def guide(self, seen: Observation, above: Guidance) -> Guidance:
        """Return the advice of every community to its members."""
        plan = self._rule.plan(seen, above)
        self._rule.hour.set_aside(above.for_others_kw)
        expires_step = seen.step + self._rule.valid_steps + 1
        return ask(self._site, plan.now, plan.change_kw, priority=Priority.ADVICE, expires_step=expires_step)


class CemsStrategy(Cascade):
    """EMS of each user below the CEMS of each community; parameters as of :class:`Cems`.

    Raises:
        ValueError: a parameter is outside its range, or the scenario has no communities.
    """

    level: ClassVar[int] = 2
    settles: ClassVar[Settles] = "community"

    def __init__(
        self, site: Site, *, give_above_soc: float = GIVE_ABOVE_SOC, valid_h: float = VALID_H
    ) -> None:
        super().__init__(site, guides=(Cems(site, give_above_soc=give_above_soc, valid_h=valid_h),))
