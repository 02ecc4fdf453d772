"""Levels 2, 3 and 4 by optimisation: CEMS, aggregator, and aggregator on the ancillary services market (MSD).

Each is a :class:`twin.control.planning.planner.Planner` above the EMS of the homes. Level 2 plans every community for itself, the
levels above it all communities under one primary substation (CP) as one pool; nothing passes between two CPs.

The parameters are the fields of the classes; a level has those of the level below it as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Literal, get_args

import numpy as np

from twin.control.base import FloatArray, IntArray, Observation, Site
from twin.control.forecast import ForecastKind
from twin.control.management.cascade import Cascade
from twin.control.management.ems import Ems
from twin.control.management.guidance import Guidance, Guide, Priority, asked_homes
from twin.control.management.levels import Settles
from twin.control.management.msd_hook import MsdHook, ScheduledDesk
from twin.control.mpc import Mpc, checked_caution
from twin.control.planning.joint_lp import Objective
from twin.control.planning.planner import Planner
from twin.control.planning.planner_options import HandDown, PlannerOptions
from twin.control.rules import self_consumption_kw

__all__ = ["AggregatorMpc", "AggregatorMsdMpc", "CemsMpc", "OwnEms", "PlanningEms"]

OwnEms = Literal["self_consumption", "mpc"]


class PlanningEms(Ems):
    """An EMS that follows its own plan instead of a rule where no set-point is proposed to the home.

    Prices that are handed down are added to its own as long as they are valid: a kWh drawn costs less by the import
    bonus, a kWh fed in earns more by the export bonus. The user's reserve is used for the own home only.

    Args:
        site: the plant.
        plan: the homes' own plans.
    """

    def __init__(self, site: Site, plan: Mpc) -> None:
        super().__init__(site)
        self._plan = plan

    def choose_kw(self, seen: Observation, guidance: Guidance) -> FloatArray:
        """Return the set-point of each battery, shape (B,); see :class:`twin.control.management.ems.Ems`."""
        site = self._site
        priced = (guidance.priority > Priority.NONE) & ~asked_homes(guidance, site.battery_home)
        prices = replace(
            guidance,
            import_bonus_eur_kwh=np.where(priced, guidance.import_bonus_eur_kwh, 0.0),
            export_bonus_eur_kwh=np.where(priced, guidance.export_bonus_eur_kwh, 0.0),
        )
        planned_kw = self._plan.guided_kw(seen, prices)
        own_kw = self_consumption_kw(site, seen.load_kw + seen.pv_kw, soc=seen.soc)
        return self._chosen_kw(seen, guidance, own_kw=own_kw, unasked_kw=planned_kw)


@dataclass(eq=False, repr=False)
class CemsMpc(Cascade):
    """EMS of each user below a CEMS that plans its community.

    Raises:
        ValueError: a parameter is outside its range or does not go with another, or the scenario has no communities.
    """

    level: ClassVar[int] = 2
    settles: ClassVar[Settles] = "community"
    priority: ClassVar[Priority] = Priority.ADVICE

    site: Site
    _: KW_ONLY
    horizon_h: float = 24.0
    """As all parameters down to ``caution_eur_kwh``: see :class:`twin.control.planning.planner_options.PlannerOptions`."""
    replan_every_h: float = 1.0
    valid_h: float = 0.5
    objective: Objective = "value"
    hand_down: HandDown = "set_points"
    """``prices`` needs ``ems`` ``mpc``: homes that do not plan have no use for prices."""
    gap: float = 1e-3
    max_rounds: int = 60
    joint_up_to_homes: int = 32
    terminal_price_eur_kwh: float | None = None
    caution_eur_kwh: float | None = None
    """Distrust of the forecast, with the same default as of :class:`twin.control.mpc.Mpc`."""
    forecast: ForecastKind = "perfect"
    """What plans may know."""
    forecast_seed: int = 0
    """Seed of a noisy forecast."""
    forecast_error: float = 0.2
    """Error of a noisy forecast a day ahead, see :class:`twin.control.forecast.NoisyForecast`."""
    ems: OwnEms = "self_consumption"
    """What a home does that no level above asks for anything (opted out, silent, or no member).

    ``self_consumption``, or ``mpc`` for its own cheapest plan, as the strategy ``mpc`` would with the same forecast.
    """

    def __post_init__(self) -> None:
        """Build the levels."""
        options = PlannerOptions(
            horizon_h=self.horizon_h,
            replan_every_h=self.replan_every_h,
            valid_h=self.valid_h,
            objective=self.objective,
            hand_down=self.hand_down,
            gap=self.gap,
            max_rounds=self.max_rounds,
            joint_up_to_homes=self.joint_up_to_homes,
            terminal_price_eur_kwh=self.terminal_price_eur_kwh,
            caution_eur_kwh=checked_caution(self.caution_eur_kwh, self.forecast),
        )
        own = self._own_ems()
        self.planner = Planner(
            self.site, pool_of_community=self._pools(), priority=self.priority, options=options
        )
        """The level that plans; its ``records`` say how good each plan was."""
        super().__init__(self.site, guides=(*self._desks(), self.planner), ems=own)

    def _own_ems(self) -> Ems:
        if self.ems not in get_args(OwnEms):
            raise ValueError(f"ems must be one of {', '.join(get_args(OwnEms))} (got {self.ems!r})")
        if self.ems == "mpc":
            return PlanningEms(self.site, Mpc(self.site, forecast=self.forecast))
        if self.hand_down == "prices":
            raise ValueError(
                f"hand_down: prices needs ems: mpc, because a home with ems: {self.ems} does not look at prices"
            )
        return Ems(self.site)

    def _pools(self) -> IntArray:
        """Return the pool of each configuration, shape (C,)."""
        return np.arange(self.site.communities.n_communities)

    def _desks(self) -> Sequence[Guide]:
        """Return the levels above the planner, the highest first."""
        return ()


@dataclass(eq=False, repr=False)
class AggregatorMpc(CemsMpc):
    """An aggregator that plans all communities under each CP as one; parameters as of :class:`CemsMpc`.

    Raises:
        ValueError: as :class:`CemsMpc`.
    """

    level: ClassVar[int] = 3
    settles: ClassVar[Settles] = "cp"
    priority: ClassVar[Priority] = Priority.COORDINATION

    def _pools(self) -> IntArray:
        return self.site.communities.cp


@dataclass(eq=False, repr=False)
class AggregatorMsdMpc(AggregatorMpc):
    """The planning aggregator below a market desk; other parameters as of :class:`CemsMpc`.

    Raises:
        ValueError: as :class:`CemsMpc`.
    """

    level: ClassVar[int] = 4

    _: KW_ONLY
    window_start_h: float = 14.0
    """As ``window_end_h`` and ``reserve_up_share``: see :class:`twin.control.management.msd_hook.MsdHook`."""
    window_end_h: float = 20.0
    reserve_up_share: float = 0.3
    orders: Sequence[Mapping[str, float]] = ()
    """Orders to play, see :class:`twin.control.management.msd_hook.ScheduledDesk`."""

    def _desks(self) -> Sequence[Guide]:
        desk = MsdHook(
            self.site,
            desk=ScheduledDesk(self.site, self.orders),
            window_start_h=self.window_start_h,
            window_end_h=self.window_end_h,
            reserve_up_share=self.reserve_up_share,
            valid_h=self.valid_h,
        )
        return (desk,)
