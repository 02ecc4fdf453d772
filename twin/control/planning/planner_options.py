"""How a planning level plans."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from twin.control.planning.joint_lp import Objective

__all__ = ["HandDown", "PlannerOptions"]

HandDown = Literal["set_points", "prices"]


@dataclass(frozen=True, kw_only=True)
class PlannerOptions:
    """How a level plans, and what it makes of the plan."""

    horizon_h: float = 24.0
    """Length of the plan [h]; cut at the end of the run."""
    replan_every_h: float = 1.0
    """Time between two plans [h]."""
    valid_h: float = 0.5
    """How long a reading or a message is good for [h]."""
    objective: Objective = "value"
    """``value``: bills less the value of shared energy; ``shared``: most shared energy, then lowest bills."""
    hand_down: HandDown = "set_points"
    """What the homes are told: ``set_points``, or ``prices``: what a kWh drawn and fed in is worth to the community."""
    gap: float = 1e-3
    """Relative optimality gap at which a plan is good enough, see :meth:`twin.control.planning.pooling.PoolPlan.gap`."""
    max_rounds: int = 60
    """Rounds of the decomposition after which the best plan so far is taken, with the gap it has."""
    joint_up_to_homes: int = 32
    """Pools with so many homes to plan or fewer are planned as one program, exactly; that is faster for them, too."""
    terminal_price_eur_kwh: float | None = None
    """Worth of a stored kWh at the end of the window [EUR/kWh]; from the prices unless given."""
    caution_eur_kwh: float = 0.0
    """Distrust of the forecast as in :mod:`twin.control.mpc` [EUR/kWh]."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0.0 < self.replan_every_h <= self.horizon_h < np.inf:
            raise ValueError(
                f"replan_every_h must be above 0 and at most horizon_h (got {self.replan_every_h:g} and "
                f"{self.horizon_h:g})"
            )
        if self.objective not in get_args(Objective):
            raise ValueError(f"objective must be value or shared (got {self.objective!r})")
        if self.hand_down not in get_args(HandDown):
            raise ValueError(f"hand_down must be set_points or prices (got {self.hand_down!r})")
        if self.hand_down == "prices" and self.objective == "shared":
            raise ValueError(
                "hand_down: prices needs objective: value, because most shared energy regardless of money has no price"
            )
        self._refuse_out_of_range()

    def _refuse_out_of_range(self) -> None:
        if not 0.0 <= self.gap < 1.0:
            raise ValueError(f"gap must be from 0 to below 1 (got {self.gap:g})")
        if self.max_rounds < 1:
            raise ValueError(f"max_rounds must be at least 1 (got {self.max_rounds})")
        if self.joint_up_to_homes < 0:
            raise ValueError(f"joint_up_to_homes must be at least 0 (got {self.joint_up_to_homes})")
        if not 0.0 <= self.caution_eur_kwh < np.inf:
            raise ValueError(f"caution_eur_kwh must be at least 0 and finite (got {self.caution_eur_kwh:g})")
        if self.terminal_price_eur_kwh is not None and not np.isfinite(self.terminal_price_eur_kwh):
            raise ValueError(f"terminal_price_eur_kwh must be finite (got {self.terminal_price_eur_kwh:g})")
