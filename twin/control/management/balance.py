"""What a level above the homes makes of the readings it has: who counts, what the homes do by themselves, what is left.

Shared by the rule-based levels. H homes, B batteries, C configurations. A *balance* is injected less withdrawn power,
as settled: positive for a surplus, without what homes inject that have no plant.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.battery import clip_power_kw, power_limits_kw
from twin.clock import whole_seconds
from twin.control.base import FloatArray, IntArray, Observation, Site
from twin.control.management.ems import keeping_kw, own_rule_kw, reserve_soc
from twin.control.management.guidance import Guidance, Priority, asked_homes, no_guidance
from twin.control.sharing import share_out_kw
from twin.plant import total_by
from twin.units import SECONDS_PER_HOUR, energy_kwh, hours, mean_power_kw

__all__ = [
    "HourBalance",
    "Situation",
    "ask",
    "change_kw",
    "room_kw",
    "shareable_kw",
    "situation",
    "spare_kw",
    "steps_valid",
]

BoolArray = NDArray[np.bool_]

_ROUNDING_KW = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Situation:
    """The homes in one step as a level above knows them."""

    counted: BoolArray
    """Homes with readings that are recent enough, shape (H,). The others count as 0, whatever they do."""
    net_kw: FloatArray
    """Load + PV of each home, shape (H,); 0 where not counted."""
    soc: FloatArray
    """State of charge of each battery, shape (B,); ``soc_min`` where not counted."""
    own_kw: FloatArray
    """What each battery does for its own home, shape (B,); 0 where not counted."""
    meter_kw: FloatArray
    """Meter of each home if it serves itself, and its community as a level above asks, shape (H,); 0 where not counted.

    What it is asked to do for others is left out.
    """
    free: BoolArray
    """Batteries that can be asked: of a counted home that no level above asks, shape (B,)."""
    hold_soc: FloatArray | None
    """State of charge that a level above has held, shape (B,)."""


def situation(site: Site, seen: Observation, above: Guidance, *, max_age_steps: int) -> Situation:
    """Return what is known of the members; readings older than ``max_age_steps`` do not count.

    What a level above asks of a home for others than its community is not part of the picture, or it would be undone.
    """
    age_steps = np.zeros(site.n_homes, dtype=np.int64) if seen.age_steps is None else seen.age_steps
    home = site.battery_home
    counted = (age_steps <= max_age_steps) & (
        site.communities.community_of_home(seen.step, site.n_homes) >= 0
    )
    counted_b = counted[home]
    net_kw = np.where(counted, seen.load_kw + seen.pv_kw, 0.0)
    soc = np.where(counted_b, seen.soc, site.battery.soc_min)
    own_kw = own_rule_kw(site, net_kw, soc=soc, hold_soc=above.hold_soc)
    asked_kw = np.where(counted_b & ~np.isnan(above.battery_kw), above.battery_kw, own_kw)
    expected_kw = clip_power_kw(site.battery, soc, asked_kw, site.dt_s)
    meter_kw = net_kw + total_by(home, expected_kw, site.n_homes)
    if above.for_others_kw is not None:
        meter_kw = meter_kw - np.where(counted, above.for_others_kw, 0.0)
    return Situation(
        counted=counted,
        net_kw=net_kw,
        soc=soc,
        own_kw=own_kw,
        meter_kw=meter_kw,
        free=counted_b & ~asked_homes(above, home)[home],
        hold_soc=above.hold_soc,
    )


def room_kw(site: Site, now: Situation) -> FloatArray:
    """Return how much more each free battery can take than it does for its own home, shape (B,)."""
    _, highest_kw = power_limits_kw(site.battery, now.soc, site.dt_s)
    room: FloatArray = np.where(now.free, np.maximum(highest_kw - now.own_kw, 0.0), 0.0)
    return room


def spare_kw(site: Site, now: Situation, *, above_soc: float) -> FloatArray:
    """Return how much more each free battery can give than it does for its own home, shape (B,).

    It ends the step at ``above_soc``, the user's reserve and what is held for the level above, or higher. Whether it is
    settled as shared is not looked at, see :func:`shareable_kw`.
    """
    keep_soc = np.maximum(reserve_soc(site), above_soc)
    if now.hold_soc is not None:
        keep_soc = np.maximum(keep_soc, now.hold_soc)
    lowest_kw, _ = power_limits_kw(site.battery, now.soc, site.dt_s)
    lowest_kw = np.maximum(lowest_kw, keeping_kw(site, now.soc, keep_soc=keep_soc))
    spare: FloatArray = np.where(now.free, np.maximum(now.own_kw - lowest_kw, 0.0), 0.0)
    return spare


def shareable_kw(site: Site, spare: FloatArray) -> FloatArray:
    """Return what each battery can give that counts as shared, shape (B,): that of homes with a plant, else 0.

    A battery that is alone behind its meter injects for nothing; what it takes counts as withdrawn all the same.

    Args:
        site: the plant.
        spare: what each battery can give more, shape (B,) [kW].
    """
    return np.where(site.communities.home_has_plant(site.n_homes)[site.battery_home], spare, 0.0)


def change_kw(offered_kw: FloatArray, room: FloatArray, spare: FloatArray, *, group: IntArray) -> FloatArray:
    """Return what each battery takes or gives of what its group offers, shape (B,).

    Args:
        offered_kw: surplus to be stored (positive) or deficit to be covered (negative) of each group, shape (G,).
        room: what each battery can take more, shape (B,) [kW].
        spare: what each battery can give more, shape (B,) [kW].
        group: group of each battery, shape (B,).

    Batteries take part in proportion to what they can, and together never more than is offered. What is left over
    by rounding is not offered to anybody.
    """
    offered_kw = np.where(np.abs(offered_kw) > _ROUNDING_KW, offered_kw, 0.0)
    taken_kw = share_out_kw(np.maximum(offered_kw, 0.0), room, home=group)
    return taken_kw - share_out_kw(np.maximum(-offered_kw, 0.0), spare, home=group)


def steps_valid(site: Site, valid_h: float) -> int:
    """Return for how many steps after its own a reading or an advice is good, at least 1.

    Raises:
        ValueError: ``valid_h`` is not above 0 and finite.
    """
    if not 0.0 < valid_h < np.inf:
        raise ValueError(f"valid_h must be above 0 and finite (got {valid_h:g})")
    return max(round(valid_h / hours(site.dt_s)), 1)


def ask(site: Site, now: Situation, change: FloatArray, *, priority: Priority, expires_step: int) -> Guidance:
    """Return guidance to the homes whose batteries are to do more or less than for their own home.

    Args:
        site: the plant.
        now: the homes as known.
        change: change of each battery against its own rule, shape (B,) [kW]; homes with none are not asked.
        priority: of what is asked.
        expires_step: first step in which it does not hold any more.
    """
    asked = np.zeros(site.n_homes, dtype=np.bool_)
    asked[site.battery_home[change != 0.0]] = True
    return replace(
        no_guidance(site),
        battery_kw=np.where(asked[site.battery_home], now.own_kw + change, np.nan),
        planned_net_kw=np.where(asked, now.net_kw, np.nan),
        priority=np.where(asked, priority, Priority.NONE),
        expires_step=np.where(asked, expires_step, 0),
    )


class HourBalance:
    """What each configuration has injected and withdrawn in the present hour, as far as its meters have been heard.

    Shared energy is settled by the hour: min(injected, withdrawn) of its sums, where only homes with a plant count as
    injecting. What is done for others is set aside. A late reading counts in the step it is seen in, and a held one as
    long as it is counted.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._has_plant = site.communities.home_has_plant(site.n_homes)
        self._step = -1
        self._balance_kwh = np.zeros(site.communities.n_communities)
        self._aside_kw = np.zeros(site.n_homes)

    def set_aside(self, for_others_kw: FloatArray | None) -> None:
        """Leave out of the balance what the meters are moved by in this step for others, shape (H,); None for none."""
        self._aside_kw = np.zeros(self._site.n_homes) if for_others_kw is None else for_others_kw

    def so_far_kwh(self, seen: Observation, counted: BoolArray) -> FloatArray:
        """Return injected less withdrawn energy of the hour up to this step, shape (C,); to be asked in every step."""
        site, follows = self._site, seen.step == self._step + 1
        self._step = seen.step
        if not follows or self._hour(seen.step) != self._hour(seen.step - 1):
            self._balance_kwh = np.zeros(site.communities.n_communities)
            return self._balance_kwh
        # the meter in view is that of the step before; a home's first reading has none
        known = counted & ~np.isnan(seen.grid_kw)
        meter_kw = np.where(known, seen.grid_kw - self._aside_kw, 0.0)
        self._balance_kwh = self._balance_kwh + energy_kwh(self.balance_kw(meter_kw, seen.step), site.dt_s)
        return self._balance_kwh

    def balance_kw(self, meter_kw: FloatArray, step: int) -> FloatArray:
        """Return the balance of each configuration, shape (C,), for these meters of homes, shape (H,)."""
        communities = self._site.communities
        active = communities.active(step)
        home, community = communities.member_home[active], communities.member_community[active]
        settled_kw = np.where(self._has_plant, meter_kw, np.maximum(meter_kw, 0.0))
        return -total_by(community, settled_kw[home], communities.n_communities)

    def to_offer_kw(self, present_kw: FloatArray, so_far_kwh: FloatArray, *, step: int) -> FloatArray:
        """Return the surplus to be stored (positive) or the deficit to be covered (negative), shape of the arguments.

        The balance that would level the hour: the present one plus what the hour has so far. Before the last step of
        the hour it is limited to the present surplus or deficit, because the rest of the hour is not known.
        """
        level_kw = present_kw + mean_power_kw(so_far_kwh, self._site.dt_s)
        if self._hour(step) != self._hour(step + 1):
            return level_kw
        offered: FloatArray = np.clip(level_kw, np.minimum(present_kw, 0.0), np.maximum(present_kw, 0.0))
        return offered

    def _hour(self, step: int) -> int:
        return (self._site.start_utc_s + whole_seconds(step, self._site.dt_s)) // SECONDS_PER_HOUR
