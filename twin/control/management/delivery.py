"""What reaches whom: readings on the way up to CEMS and aggregator, guidance on the way down to the EMS.

A message of a member arrives ``member_delay_steps`` after it was sent. It is lost if the member is silent in the step
it leaves or in the step it should arrive. Nothing goes to or comes from a home that is no member or has opted out.
Until something new arrives, the last message is held, with its age. H homes, B batteries.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from twin.control.base import NEVER_HEARD, FloatArray, Forecast, IntArray, Observation, Site
from twin.control.management.guidance import Guidance, Priority, no_guidance

__all__ = ["DelayLine", "Delivery", "HeardForecast"]

BoolArray = NDArray[np.bool_]

_NO_STEP = -1


class DelayLine:
    """Passes rows of N values on, each value with the delay of the home it belongs to.

    Args:
        owner: home of each value, shape (N,).
        delay_steps: delay of each home, shape (H,), at least 0.
        nothing: what is held before anything has arrived, shape (N,).
    """

    def __init__(self, owner: IntArray, *, delay_steps: IntArray, nothing: FloatArray) -> None:
        depth = int(delay_steps.max(initial=0)) + 1
        self._owner, self._delay_steps, self._nothing = owner, delay_steps, nothing
        self._rows = np.tile(nothing, (depth, 1))
        self._sent = np.zeros((depth, len(delay_steps)), dtype=np.bool_)
        self._step_of_row = np.full(depth, _NO_STEP, dtype=np.int64)
        self._held = nothing.copy()
        self._held_step = np.full(len(delay_steps), _NO_STEP, dtype=np.int64)
        self._homes, self._columns = np.arange(len(delay_steps)), np.arange(len(owner))

    def pass_on(
        self, step: int, row: FloatArray, *, connected: BoolArray, known: BoolArray
    ) -> tuple[FloatArray, IntArray]:
        """Send a row and return what is held after the arrivals of this step.

        Args:
            step: number of the step; steps come in rising order.
            row: values to send, shape (N,).
            connected: homes that communicate in this step, shape (H,).
            known: homes of which anything is kept, shape (H,); the others are forgotten.

        Returns:
            Held values, shape (N,), and the step in which each home's were sent, shape (H,), -1 for none.
        """
        slot = step % len(self._rows)
        self._rows[slot], self._sent[slot], self._step_of_row[slot] = row, connected, step
        sent_step = step - self._delay_steps
        slots = sent_step % len(self._rows)
        arrived = connected & self._sent[slots, self._homes] & (self._step_of_row[slots] == sent_step)
        owner = self._owner
        held = np.where(arrived[owner], self._rows[slots[owner], self._columns], self._held)
        self._held = np.where(known[owner], held, self._nothing)
        self._held_step = np.where(known, np.where(arrived, sent_step, self._held_step), _NO_STEP)
        return self._held, self._held_step


class Delivery:
    """The links between the homes of a site and the levels above them."""

    def __init__(self, site: Site) -> None:
        self._site, self._nobody = site, no_guidance(site)
        delay_steps = np.zeros(site.n_homes, dtype=np.int64)
        delay_steps[site.communities.member_home] = site.communities.member_delay_steps
        homes, n_homes = np.arange(site.n_homes), site.n_homes
        upward = np.concatenate([homes, homes, homes, homes, site.battery_home])
        self._readings = DelayLine(upward, delay_steps=delay_steps, nothing=np.full(len(upward), np.nan))
        self._cuts_up = np.arange(1, 5) * n_homes
        nothing = _packed(self._nobody)
        downward = np.concatenate([*[homes] * 7, site.battery_home, site.battery_home])
        self._guidance = DelayLine(downward, delay_steps=delay_steps, nothing=nothing)
        self._cuts_down = np.concatenate([np.arange(1, 8) * n_homes, [7 * n_homes + site.battery.n]])

    def view(self, seen: Observation) -> Observation:
        """Return what the levels above know in a step: the readings that arrived, with their age."""
        row = np.concatenate([seen.load_kw, seen.pv_kw, seen.grid_kw, seen.vm_pu, seen.soc])
        connected, known = self._links(seen.step)
        held, sent_step = self._readings.pass_on(seen.step, row, connected=connected, known=known)
        held.flags.writeable = False
        load_kw, pv_kw, grid_kw, vm_pu, soc = np.split(held, self._cuts_up)
        age_steps = np.where(sent_step == _NO_STEP, NEVER_HEARD, seen.step - sent_step)
        age_steps.flags.writeable = False
        return replace(
            seen,
            load_kw=load_kw,
            pv_kw=pv_kw,
            grid_kw=grid_kw,
            vm_pu=vm_pu,
            soc=soc,
            age_steps=age_steps,
            forecast=HeardForecast(seen.forecast, age_steps),
        )

    def deliver(self, guidance: Guidance, step: int) -> Guidance:
        """Return the guidance that each home has in a step: the last that arrived, none where it has expired."""
        connected, known = self._links(step)
        held, _ = self._guidance.pass_on(step, _packed(guidance), connected=connected, known=known)
        parts = np.split(held, self._cuts_down)
        grid_min_kw, grid_max_kw, import_bonus, export_bonus, planned_net_kw, priority, expires_step = parts[
            :7
        ]
        valid = step < expires_step
        valid_b = valid[self._site.battery_home]
        return Guidance(
            battery_kw=np.where(valid_b, parts[7], np.nan),
            grid_min_kw=np.where(valid, grid_min_kw, -np.inf),
            grid_max_kw=np.where(valid, grid_max_kw, np.inf),
            import_bonus_eur_kwh=np.where(valid, import_bonus, 0.0),
            export_bonus_eur_kwh=np.where(valid, export_bonus, 0.0),
            priority=np.where(valid, priority, Priority.NONE).astype(np.int64),
            expires_step=expires_step.astype(np.int64),
            planned_net_kw=np.where(valid, planned_net_kw, np.nan),
            hold_soc=np.where(valid_b, parts[8], 0.0),
        )

    def _links(self, step: int) -> tuple[BoolArray, BoolArray]:
        """Return the homes that communicate in a step, and those of members, shape (H,) each."""
        communities = self._site.communities
        connected = np.zeros(self._site.n_homes, dtype=np.bool_)
        known = np.zeros(self._site.n_homes, dtype=np.bool_)
        active = communities.active(step)
        connected[communities.member_home[active & communities.reachable(step)]] = True
        known[communities.member_home[active]] = True
        return connected, known


class HeardForecast:
    """A forecast made from what arrived: that of each home is as old as its last reading, NaN for those not heard of.

    Prices are public.
    """

    def __init__(self, forecast: Forecast, age_steps: IntArray) -> None:
        self._forecast, self._age_steps = forecast, age_steps

    def window(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return load and PV power of each home, shape (horizon, H) each [kW], as :class:`Forecast` says.

        Step 0 is as metered only for homes whose readings are of the present step.
        """
        load_kw, pv_kw = (series.copy() for series in self._forecast.window(step, horizon))
        for age in np.unique(self._age_steps[self._age_steps > 0]):
            homes = self._age_steps == age
            if age == NEVER_HEARD:
                load_kw[:, homes], pv_kw[:, homes] = np.nan, np.nan
                continue
            load_then_kw, pv_then_kw = self._forecast.window(step - int(age), len(load_kw) + int(age))
            load_kw[:, homes], pv_kw[:, homes] = load_then_kw[age:, homes], pv_then_kw[age:, homes]
        return load_kw, pv_kw

    def prices(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return import and export price, shape (horizon,) each [EUR/kWh]."""
        return self._forecast.prices(step, horizon)


def _packed(guidance: Guidance) -> FloatArray:
    """Return guidance as one row: seven values of each home, then two of each battery."""
    n_homes, n_batteries = len(guidance.priority), len(guidance.battery_kw)
    planned_net_kw, hold_soc = guidance.planned_net_kw, guidance.hold_soc
    return np.concatenate(
        [
            guidance.grid_min_kw,
            guidance.grid_max_kw,
            guidance.import_bonus_eur_kwh,
            guidance.export_bonus_eur_kwh,
            np.full(n_homes, np.nan) if planned_net_kw is None else planned_net_kw,
            guidance.priority,
            guidance.expires_step,
            guidance.battery_kw,
            np.zeros(n_batteries) if hold_soc is None else hold_soc,
        ]
    )
