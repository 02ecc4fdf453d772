"""Where the ancillary services market (MSD) enters: a reserve of stored energy, and orders passed on to the homes.

The market itself (offers, baseline, settlement) is not here: a *desk* says in each step what is ordered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from twin.clock import local_time
from twin.control.base import Observation, Site
from twin.control.management.balance import (
    Situation,
    ask,
    change_kw,
    room_kw,
    situation,
    spare_kw,
    steps_valid,
)
from twin.control.management.ems import reserve_soc
from twin.control.management.guidance import Guidance, Priority, no_guidance
from twin.plant import total_by
from twin.units import HOURS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, hours

__all__ = ["PREPARE_H", "MsdDesk", "MsdHook", "ScheduledDesk"]

PREPARE_H = 2.0
"""How long before its window the reserve is kept [h]."""
_ORDER_KEYS = frozenset({"start_h", "duration_h", "p_kw"})


class MsdDesk(Protocol):
    """Says what is ordered."""

    def order_kw(self, step: int) -> float | None:
        """Return the change of power ordered in a step [kW], consumption positive; None without an order.

        Negative is upward service: less drawn or more fed in than without the order.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Order:
    start_h: float
    end_h: float
    p_kw: float


class ScheduledDesk:
    """A desk that plays given orders.

    Args:
        site: the plant.
        orders: each a mapping of ``start_h`` and ``duration_h`` (hours, from the start of the run) and ``p_kw``
            (consumption positive; negative for upward service). They must not overlap.

    Raises:
        ValueError: an order has other keys, or makes no sense, or two overlap.
    """

    def __init__(self, site: Site, orders: Sequence[Mapping[str, float]]) -> None:
        self._dt_h = hours(site.dt_s)
        found = [_order(position, order) for position, order in enumerate(orders)]
        self._orders = sorted(found, key=lambda order: order.start_h)
        for first, second in zip(self._orders, self._orders[1:], strict=False):
            if second.start_h < first.end_h:
                raise ValueError(
                    f"orders: the one from {first.start_h:g} h to {first.end_h:g} h overlaps the one from "
                    f"{second.start_h:g} h; join or shorten them"
                )

    def order_kw(self, step: int) -> float | None:
        """Return the order of a step: one holds in the steps that start within it."""
        now_h = step * self._dt_h
        return next((order.p_kw for order in self._orders if order.start_h <= now_h < order.end_h), None)


def _order(position: int, order: Mapping[str, float]) -> _Order:
    if not isinstance(order, Mapping) or set(order) != _ORDER_KEYS:
        raise ValueError(f"orders[{position}]: give {', '.join(sorted(_ORDER_KEYS))} (got {order!r})")
    start_h, duration_h, p_kw = (float(order[key]) for key in ("start_h", "duration_h", "p_kw"))
    if not (0.0 <= start_h < np.inf and 0.0 < duration_h < np.inf and np.isfinite(p_kw)):
        raise ValueError(
            f"orders[{position}]: start_h must be at least 0, duration_h above 0 and all of them finite (got {order!r})"
        )
    return _Order(start_h, start_h + duration_h, p_kw)


class MsdHook:
    """The market desk of an aggregator, as the highest guide.

    1. From ``PREPARE_H`` before the window to its end, batteries of members keep ``reserve_up_share`` of what lies above
       the user's reserve: nobody discharges below it, not for the own home either. Nothing is drawn to fill it.
    2. An order is shared out over all members that are heard of, under whichever CP, in proportion to what their
       batteries can give or take more than for their own home. The user's reserve is not given.
    3. While an order lasts, the reserve is free. Homes that are asked are left alone by the levels below, and what
       they give or take is not counted in the balance of their community, or the levels below would undo it.

    Args:
        site: the plant.
        desk: says what is ordered; nothing unless given.
        window_start_h: local time at which orders may begin to come [h], from 0 to 24.
        window_end_h: local time at which they end [h], above ``window_start_h``, at most 24.
        reserve_up_share: share of the window of the battery above the user's reserve, 0 to 1.
        valid_h: how long a reading or a message is good for [h], above 0; at least one step.

    Raises:
        ValueError: a parameter is outside its range.
    """

    def __init__(
        self,
        site: Site,
        *,
        desk: MsdDesk | None = None,
        window_start_h: float = 14.0,
        window_end_h: float = 20.0,
        reserve_up_share: float = 0.3,
        valid_h: float = 0.5,
    ) -> None:
        if not 0.0 <= window_start_h < window_end_h <= HOURS_PER_DAY:
            raise ValueError(
                f"window_start_h must be at least 0 and below window_end_h, that at most 24 (got {window_start_h:g} and "
                f"{window_end_h:g})"
            )
        if not 0.0 <= reserve_up_share <= 1.0:
            raise ValueError(f"reserve_up_share must be from 0 to 1 (got {reserve_up_share:g})")
        self._site = site
        self._desk = ScheduledDesk(site, ()) if desk is None else desk
        self._hold_from_h = window_start_h - PREPARE_H
        self._hold_for_h = min(window_end_h - self._hold_from_h, HOURS_PER_DAY)
        self._valid_steps = steps_valid(site, valid_h)
        user_soc = reserve_soc(site)
        self._hold_soc = user_soc + reserve_up_share * (site.battery.soc_max - user_soc)

    def guide(self, seen: Observation, above: Guidance) -> Guidance:
        """Return the order of this step, or the reserve to keep, or nothing."""
        now = situation(self._site, seen, above, max_age_steps=self._valid_steps)
        expires_step = seen.step + self._valid_steps + 1
        order_kw = self._desk.order_kw(seen.step)
        if order_kw is not None:
            return self._ordered(now, order_kw, expires_step)
        if self._holds(seen):
            return self._holding(now, expires_step)
        return no_guidance(self._site)

    def _ordered(self, now: Situation, order_kw: float, expires_step: int) -> Guidance:
        site = self._site
        room, spare = room_kw(site, now), spare_kw(site, now, above_soc=0.0)
        one_group = np.zeros(len(room), dtype=np.int64)
        change = change_kw(np.array([order_kw]), room, spare, group=one_group)
        asked = ask(site, now, change, priority=Priority.ORDER, expires_step=expires_step)
        return replace(asked, for_others_kw=total_by(site.battery_home, change, site.n_homes))

    def _holding(self, now: Situation, expires_step: int) -> Guidance:
        heard = now.counted
        return replace(
            no_guidance(self._site),
            priority=np.where(heard, Priority.ORDER, Priority.NONE),
            expires_step=np.where(heard, expires_step, 0),
            hold_soc=np.where(heard[self._site.battery_home], self._hold_soc, 0.0),
        )

    def _holds(self, seen: Observation) -> bool:
        at = local_time(self._site.start_utc_s + seen.time_s)
        at_h = hours(at.hour * SECONDS_PER_HOUR + at.minute * SECONDS_PER_MINUTE + at.second)
        since_h = (at_h - self._hold_from_h) % HOURS_PER_DAY
        return since_h < self._hold_for_h
