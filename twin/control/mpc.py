"""Model predictive control: each home follows the cheapest plan for the coming hours.

One linear program per home (:mod:`twin.control.planning.home_lp`), kept in the solver and warm started; homes without a
battery are skipped, several batteries of a home are planned together. One program for each home, rather than one
for all, because the homes do not share a constraint.

Energy left at the end of the window has a worth (:mod:`twin.control.planning.worth`). A plan whose window reaches the end of
the run is never dearer than any other way to run the same battery, the energy left being counted at that worth, if the
forecast is perfect, prices are not negative and export pays no more than import costs.

The standing loss takes a battery at rest below ``soc_min``; the plan keeps enough energy to stay above.

Of several cheapest plans the solver returns any; with a standing loss, the one that charges late. A peak weight
makes it prefer the plan with the lower peak. Charging late is a poor choice where the forecast may be wrong, so the
plan can be given a caution: buying counts dearer and selling cheaper by it in the present step, fading to nothing
at the end of the window. Surplus is then stored while it is there, and stored energy used while there is need.

A level above may hand down prices (:class:`twin.control.management.guidance.Guidance`): what a kWh drawn or fed in is worth to the
community. Until they expire a home buys cheaper and sells dearer by them; after that, its own prices count. A home whose
bonuses change plans again at once, the others when it is time.
"""

from typing import ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from models.battery import clip_power_kw, power_limits_kw
from twin.control.base import FloatArray, IntArray, Observation, Proposal, Site
from twin.control.forecast import ForecastKind
from twin.control.management.guidance import Guidance, no_guidance
from twin.control.management.levels import Settles
from twin.control.planning.home_lp import HomeLp, HomeWindow, battery_subset
from twin.control.planning.worth import StorageWorth
from twin.control.sharing import share_out_kw
from twin.plant import total_by
from twin.units import hours

__all__ = ["Mpc", "checked_caution"]

BoolArray = NDArray[np.bool_]

_CAUTION_EUR_KWH = 0.02


class Mpc:
    """Plan each home's batteries for the lowest cost of energy at the meter, again and again.

    Args:
        site: the plant.
        horizon_h: length of the plan [h]; cut at the end of the run.
        replan_every_h: time between two plans [h]; in between the meter of each home follows the plan: its batteries
            make up for what load, PV and stored energy differ from the plan.
        forecast: what the plan may know; the runner gives the strategy a forecast of this kind.
        forecast_seed: seed of a noisy forecast.
        forecast_error: error of a noisy forecast a day ahead, see :class:`twin.control.forecast.NoisyForecast`.
        terminal_price_eur_kwh: worth of a stored kWh at the end of the window [EUR/kWh]; from the prices unless
            given.
        caution_eur_kwh: distrust of the forecast, see above [EUR/kWh]; unless given, 0 with a perfect forecast and
            0.02 with another.
        peak_weight_eur_kw: price on the largest import or export of the home within each window [EUR/kW].

    Raises:
        ValueError: a parameter is outside its range.
    """

    level: ClassVar[int] = 1
    settles: ClassVar[Settles] = "community"

    def __init__(  # noqa: PLR0913 - a strategy has as many parameters as it offers
        self,
        site: Site,
        *,
        horizon_h: float = 24.0,
        replan_every_h: float = 0.25,
        forecast: ForecastKind = "perfect",
        forecast_seed: int = 0,
        forecast_error: float = 0.2,
        terminal_price_eur_kwh: float | None = None,
        caution_eur_kwh: float | None = None,
        peak_weight_eur_kw: float = 0.0,
    ) -> None:
        if not hours(site.dt_s) <= horizon_h < np.inf:
            raise ValueError(
                f"horizon_h must be at least one step, {hours(site.dt_s):g} h (got {horizon_h:g})"
            )
        if not 0.0 < replan_every_h <= horizon_h:
            raise ValueError(f"replan_every_h must be above 0 and at most horizon_h (got {replan_every_h:g})")
        if terminal_price_eur_kwh is not None and not np.isfinite(terminal_price_eur_kwh):
            raise ValueError(f"terminal_price_eur_kwh must be finite (got {terminal_price_eur_kwh:g})")
        _refuse_negative("peak_weight_eur_kw", peak_weight_eur_kw)
        self._caution_eur_kwh = checked_caution(caution_eur_kwh, forecast)
        self.forecast, self.forecast_seed, self.forecast_error = forecast, forecast_seed, forecast_error
        self._site = site
        self._horizon = min(round(horizon_h / hours(site.dt_s)), site.n_steps)
        self._replan_steps = max(round(replan_every_h / hours(site.dt_s)), 1)
        self._worth = StorageWorth(site.battery.eta_discharge, price_eur_kwh=terminal_price_eur_kwh)
        self._homes = _batteries_by_home(site.battery_home)
        self._programs = [
            HomeLp(
                site.home_name[home],
                battery_subset(site.battery, batteries),
                dt_s=site.dt_s,
                horizon=self._horizon,
                peak_weight_eur_kw=peak_weight_eur_kw,
            )
            for home, batteries in self._homes
        ]
        self._plan_step = 0
        self._plan_kw = np.zeros((0, site.battery.n))
        self._plan_net_kw = np.zeros((0, site.n_homes))
        self._unguided = no_guidance(site)
        self._bonus = np.zeros((2, site.n_homes))

    @property
    def stored_value_eur_kwh(self) -> FloatArray:
        """Worth of the energy left in each battery at the end of the last window, shape (B,); NaN before the first."""
        return self._worth.eur_kwh

    def decide(self, seen: Observation) -> Proposal:
        """Return the planned power of the present step.

        Raises:
            ControllerError: a forecast holds values that are not numbers, or the solver found no optimum.
        """
        return Proposal(battery_kw=self.guided_kw(seen, self._unguided))

    def guided_kw(self, seen: Observation, guidance: Guidance) -> FloatArray:
        """Return the planned power of each battery in the present step, shape (B,), with bonuses added to the prices.

        Only the bonuses of ``guidance`` count, each until its home's ``expires_step``.

        Raises:
            ControllerError: as :meth:`decide`.
        """
        bonus = np.array([guidance.import_bonus_eur_kwh, guidance.export_bonus_eur_kwh])
        bonus = np.where(seen.step < guidance.expires_step, bonus, 0.0)
        changed = (bonus != self._bonus).any(axis=0)
        self._bonus = bonus
        age = seen.step - self._plan_step
        if not 0 <= age < min(self._replan_steps, len(self._plan_kw)):
            self._plan(seen, guidance.expires_step)
            age = 0
        elif changed.any():
            self._revise(seen, guidance.expires_step, changed=changed)
        return self._follow_kw(seen, age)

    def _follow_kw(self, seen: Observation, age: int) -> FloatArray:
        """Return the power, shape (B,), that keeps each home's meter on the plan made ``age`` steps ago."""
        fleet, home, dt_s = self._site.battery, self._site.battery_home, self._site.dt_s
        planned_kw = clip_power_kw(fleet, seen.soc, self._plan_kw[age], dt_s)
        cut_kw = total_by(home, planned_kw - self._plan_kw[age], self._site.n_homes)
        missed_kw = seen.load_kw + seen.pv_kw - self._plan_net_kw[age] + cut_kw
        lowest_kw, highest_kw = power_limits_kw(fleet, seen.soc, dt_s)
        less_kw = share_out_kw(np.maximum(missed_kw, 0.0), planned_kw - lowest_kw, home=home)
        more_kw = share_out_kw(np.maximum(-missed_kw, 0.0), highest_kw - planned_kw, home=home)
        followed_kw: FloatArray = np.clip(planned_kw - less_kw + more_kw, lowest_kw, highest_kw)
        return followed_kw

    def _plan(self, seen: Observation, expires_step: IntArray) -> None:
        """Plan all homes anew."""
        load_kw, pv_kw = seen.forecast.window(seen.step, self._horizon)
        self._worth.see(*seen.forecast.prices(seen.step, self._horizon))
        self._plan_step, self._plan_net_kw = seen.step, load_kw + pv_kw
        self._plan_kw = np.zeros((len(load_kw), self._site.battery.n))
        everybody = np.ones(self._site.n_homes, dtype=np.bool_)
        self._solve(seen, expires_step, homes=everybody, net_kw=self._plan_net_kw)

    def _revise(self, seen: Observation, expires_step: IntArray, *, changed: BoolArray) -> None:
        """Plan the rest of the standing plan anew for the homes whose bonuses have changed, shape (H,)."""
        load_kw, pv_kw = seen.forecast.window(seen.step, self._horizon)
        net_kw, age = load_kw + pv_kw, seen.step - self._plan_step
        self._plan_net_kw[age:, changed] = net_kw[: len(self._plan_net_kw) - age, changed]
        self._solve(seen, expires_step, homes=changed, net_kw=net_kw)

    def _solve(
        self, seen: Observation, expires_step: IntArray, *, homes: BoolArray, net_kw: FloatArray
    ) -> None:
        """Put the cheapest plans of ``homes``, shape (H,), into the standing plan, from the present step on."""
        price_import, price_export = seen.forecast.prices(seen.step, self._horizon)
        n, age = len(price_import), seen.step - self._plan_step
        caution_eur_kwh = self._caution_eur_kwh * (1.0 - np.arange(n) / n)
        for (home, batteries), program in zip(self._homes, self._programs, strict=True):
            if not homes[home]:
                continue
            holds = np.arange(seen.step, seen.step + n) < expires_step[home]
            import_bonus, export_bonus = np.where(holds, self._bonus[:, home, None], 0.0)
            window = HomeWindow(
                step=seen.step,
                net_kw=np.ascontiguousarray(net_kw[:, home]),
                price_import_eur_kwh=price_import + caution_eur_kwh - import_bonus,
                price_export_eur_kwh=price_export - caution_eur_kwh + export_bonus,
                soc=seen.soc[batteries],
                stored_value_eur_kwh=self._worth.eur_kwh[batteries],
            )
            battery_kw = program.solve(window).battery_kw
            self._plan_kw[age:, batteries] = battery_kw[: len(self._plan_kw) - age]


def checked_caution(caution_eur_kwh: float | None, forecast: ForecastKind) -> float:
    """Return the caution to plan with: as given, else 0 with a perfect forecast and 0.02 with another [EUR/kWh].

    Raises:
        ValueError: there is no such kind of forecast, or the caution is negative or not finite.
    """
    if forecast not in get_args(ForecastKind):
        raise ValueError(f"forecast must be one of {', '.join(get_args(ForecastKind))} (got {forecast!r})")
    if caution_eur_kwh is None:
        return 0.0 if forecast == "perfect" else _CAUTION_EUR_KWH
    _refuse_negative("caution_eur_kwh", caution_eur_kwh)
    return caution_eur_kwh


def _refuse_negative(name: str, value: float) -> None:
    if not 0.0 <= value < np.inf:
        raise ValueError(f"{name} must be at least 0 and finite (got {value:g})")


def _batteries_by_home(battery_home: IntArray) -> list[tuple[int, IntArray]]:
    return [(int(home), np.flatnonzero(battery_home == home)) for home in np.unique(battery_home)]
