"""Levels 2, 3 and 4 by optimisation: CEMS, aggregator, and aggregator on the ancillary services market (MSD).

Each is a :class:`twin.control.planner.Planner` above the EMS of the homes. Level 2 plans every community for itself, the
levels above it all communities under one primary substation (CP) as one pool; nothing passes between two CPs.

Parameters of all three:

* ``horizon_h``, ``replan_every_h``, ``valid_h``, ``objective``, ``gap``, ``max_rounds``, ``joint_up_to_homes``,
  ``terminal_price_eur_kwh``: see :class:`twin.control.planner.PlannerOptions`.
* ``caution_eur_kwh``: distrust of the forecast, as of :class:`twin.control.mpc.Mpc`.
* ``forecast``, ``forecast_seed``, ``forecast_error``: what plans may know; seed and error count for ``noisy``, see
  :class:`twin.control.forecast.NoisyForecast`.
* ``ems``: what a home does that no level above asks for anything (opted out, silent, or no member):
  ``self_consumption``, or ``mpc`` for its own cheapest plan, as the strategy ``mpc`` would with the same forecast.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, get_args

import numpy as np

from twin.control.base import FloatArray, IntArray, Observation, Site
from twin.control.cascade import Cascade
from twin.control.ems import Ems
from twin.control.forecast import ForecastKind
from twin.control.guidance import Guidance, Guide, Priority
from twin.control.joint_lp import Objective
from twin.control.levels import Settles
from twin.control.mpc import Mpc, checked_caution
from twin.control.msd_hook import MsdHook, ScheduledDesk
from twin.control.planner import Planner, PlannerOptions

__all__ = ["AggregatorMpc", "AggregatorMsdMpc", "CemsMpc", "OwnEms", "PlanningEms"]

OwnEms = Literal["self_consumption", "mpc"]


class PlanningEms(Ems):
    """An EMS that follows its own plan instead of a rule where nothing is asked of the home.

    Args:
        site: the plant.
        plan: the homes' own plans.
    """

    def __init__(self, site: Site, plan: Mpc) -> None:
        super().__init__(site)
        self._battery_home, self._plan = site.battery_home, plan

    def choose_kw(self, seen: Observation, guidance: Guidance) -> FloatArray:
        """Return the set-point of each battery, shape (B,); see :class:`twin.control.ems.Ems`."""
        own_kw = self._plan.decide(seen).battery_kw
        guided = (guidance.priority > Priority.NONE)[self._battery_home]
        chosen_kw: FloatArray = np.where(guided, super().choose_kw(seen, guidance), own_kw)
        return chosen_kw


class CemsMpc(Cascade):
    """EMS of each user below a CEMS that plans its community; parameters in the text of the module.

    Raises:
        ValueError: a parameter is outside its range, or the scenario has no communities.
    """

    level: ClassVar[int] = 2
    settles: ClassVar[Settles] = "community"
    _priority: ClassVar[Priority] = Priority.ADVICE

    def __init__(  # noqa: PLR0913 - a strategy has as many parameters as it offers
        self,
        site: Site,
        *,
        horizon_h: float = 24.0,
        replan_every_h: float = 1.0,
        valid_h: float = 0.5,
        objective: Objective = "value",
        gap: float = 1e-3,
        max_rounds: int = 60,
        joint_up_to_homes: int = 32,
        terminal_price_eur_kwh: float | None = None,
        caution_eur_kwh: float | None = None,
        forecast: ForecastKind = "perfect",
        forecast_seed: int = 0,
        forecast_error: float = 0.2,
        ems: OwnEms = "self_consumption",
    ) -> None:
        self.forecast, self.forecast_seed, self.forecast_error = forecast, forecast_seed, forecast_error
        options = PlannerOptions(
            horizon_h=horizon_h,
            replan_every_h=replan_every_h,
            valid_h=valid_h,
            objective=objective,
            gap=gap,
            max_rounds=max_rounds,
            joint_up_to_homes=joint_up_to_homes,
            terminal_price_eur_kwh=terminal_price_eur_kwh,
            caution_eur_kwh=checked_caution(caution_eur_kwh, forecast),
        )
        self.planner = Planner(
            site, pool_of_community=self._pools(site), priority=self._priority, options=options
        )
        """The level that plans; its ``records`` say how good each plan was."""
        own = _own_ems(site, ems, forecast=forecast)
        super().__init__(site, guides=(*self._desks(site), self.planner), ems=own)

    def _pools(self, site: Site) -> IntArray:
        """Return the pool of each configuration, shape (C,)."""
        return np.arange(site.communities.n_communities)

    def _desks(self, site: Site) -> Sequence[Guide]:
        """Return the levels above the planner, the highest first."""
        del site
        return ()


class AggregatorMpc(CemsMpc):
    """An aggregator that plans all communities under each CP as one; parameters in the text of the module.

    Raises:
        ValueError: a parameter is outside its range, or the scenario has no communities.
    """

    level: ClassVar[int] = 3
    settles: ClassVar[Settles] = "cp"
    _priority: ClassVar[Priority] = Priority.COORDINATION

    def _pools(self, site: Site) -> IntArray:
        return site.communities.cp


class AggregatorMsdMpc(AggregatorMpc):
    """The planning aggregator below a market desk.

    ``window_start_h``, ``window_end_h`` and ``reserve_up_share`` are those of :class:`twin.control.msd_hook.MsdHook`,
    ``orders`` those of :class:`twin.control.msd_hook.ScheduledDesk`; the other parameters are in the text of the module.

    Raises:
        ValueError: a parameter is outside its range, or the scenario has no communities.
    """

    level: ClassVar[int] = 4

    def __init__(  # noqa: PLR0913 - a strategy has as many parameters as it offers
        self,
        site: Site,
        *,
        window_start_h: float = 14.0,
        window_end_h: float = 20.0,
        reserve_up_share: float = 0.3,
        orders: Sequence[Mapping[str, float]] = (),
        horizon_h: float = 24.0,
        replan_every_h: float = 1.0,
        valid_h: float = 0.5,
        objective: Objective = "value",
        gap: float = 1e-3,
        max_rounds: int = 60,
        joint_up_to_homes: int = 32,
        terminal_price_eur_kwh: float | None = None,
        caution_eur_kwh: float | None = None,
        forecast: ForecastKind = "perfect",
        forecast_seed: int = 0,
        forecast_error: float = 0.2,
        ems: OwnEms = "self_consumption",
    ) -> None:
        self._desk = MsdHook(
            site,
            desk=ScheduledDesk(site, orders),
            window_start_h=window_start_h,
            window_end_h=window_end_h,
            reserve_up_share=reserve_up_share,
            valid_h=valid_h,
        )
        super().__init__(
            site,
            horizon_h=horizon_h,
            replan_every_h=replan_every_h,
            valid_h=valid_h,
            objective=objective,
            gap=gap,
            max_rounds=max_rounds,
            joint_up_to_homes=joint_up_to_homes,
            terminal_price_eur_kwh=terminal_price_eur_kwh,
            caution_eur_kwh=caution_eur_kwh,
            forecast=forecast,
            forecast_seed=forecast_seed,
            forecast_error=forecast_error,
            ems=ems,
        )

    def _desks(self, site: Site) -> Sequence[Guide]:
        del site
        return (self._desk,)


def _own_ems(site: Site, ems: OwnEms, *, forecast: ForecastKind) -> Ems:
    if ems not in get_args(OwnEms):
        raise ValueError(f"ems must be one of {', '.join(get_args(OwnEms))} (got {ems!r})")
    return PlanningEms(site, Mpc(site, forecast=forecast)) if ems == "mpc" else Ems(site)
