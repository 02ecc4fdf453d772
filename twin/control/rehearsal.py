"""A strategy alone with its batteries: the loop of a run without a feeder.

For trying a strategy in milliseconds and for comparing strategies where voltage plays no part. T steps, H homes,
P PV generators, B batteries.
"""

from dataclasses import dataclass

import numpy as np

from models.battery import advance, clip_power_kw
from twin.control.base import Controller, FloatArray, Forecast, Observation, Proposal, Site
from twin.control.checks import checked
from twin.plant import total_by
from twin.units import hours

__all__ = ["Rehearsal", "rehearse"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rehearsal:
    """What happened."""

    battery_kw: FloatArray
    """Power reached by each battery, shape (T, B)."""
    soc: FloatArray
    """State of charge at the start of each step and at the end of the last, shape (T + 1, B)."""
    grid_kw: FloatArray
    """Meter of each home, shape (T, H)."""
    cost_eur: FloatArray
    """Import paid less export sold by each home over all steps, shape (H,)."""


def rehearse(
    controller: Controller,
    site: Site,
    *,
    pv_available_kw: FloatArray,
    soc_start: FloatArray,
    forecast: Forecast,
) -> Rehearsal:
    """Return what ``controller`` does over all steps of ``site``.

    Args:
        controller: the strategy.
        site: the plant.
        pv_available_kw: power of each PV generator, shape (T, P), at most 0; summed up by home it must be the PV
            of ``forecast``.
        soc_start: state of charge of each battery, shape (B,).
        forecast: what the strategy may know; its present step is what is metered.

    Voltage is seen as 1 pu, and NaN in the first step like the meter.

    Raises:
        ControllerError: the strategy returned something that is not a valid proposal.
    """
    steps = range(site.n_steps)
    soc = np.empty((site.n_steps + 1, site.battery.n))
    battery_kw = np.empty((site.n_steps, site.battery.n))
    grid_kw = np.empty((site.n_steps, site.n_homes))
    cost_eur = np.zeros(site.n_homes)
    soc[0] = soc_start
    for step in steps:
        grid_before_kw = grid_kw[step - 1] if step > 0 else np.full(site.n_homes, np.nan)
        seen = _observation(site, step, soc=soc[step], grid_kw=grid_before_kw, forecast=forecast)
        proposal = checked(controller.decide(seen), site)
        battery_kw[step] = clip_power_kw(site.battery, soc[step], proposal.battery_kw, site.dt_s)
        soc[step + 1], _ = advance(site.battery, soc[step], battery_kw[step], site.dt_s)
        pv_kw = _limited_kw(pv_available_kw[step], proposal)
        grid_kw[step] = (
            seen.load_kw
            + total_by(site.pv_home, pv_kw, site.n_homes)
            + total_by(site.battery_home, battery_kw[step], site.n_homes)
        )
        price = np.where(grid_kw[step] > 0.0, seen.price_import_eur_kwh, seen.price_export_eur_kwh)
        cost_eur += hours(site.dt_s) * price * grid_kw[step]
    return Rehearsal(battery_kw=battery_kw, soc=soc, grid_kw=grid_kw, cost_eur=cost_eur)


def _observation(
    site: Site, step: int, *, soc: FloatArray, grid_kw: FloatArray, forecast: Forecast
) -> Observation:
    load_kw, pv_kw = forecast.window(step, 1)
    price_import, price_export = forecast.prices(step, 1)
    return Observation(
        step=step,
        time_s=step * site.dt_s,
        load_kw=_read_only(load_kw[0]),
        pv_kw=_read_only(pv_kw[0]),
        soc=_read_only(soc),
        vm_pu=_read_only(np.full(site.n_homes, 1.0 if step > 0 else np.nan)),
        grid_kw=_read_only(grid_kw),
        price_import_eur_kwh=float(price_import[0]),
        price_export_eur_kwh=float(price_export[0]),
        forecast=forecast,
    )


def _read_only(values: FloatArray) -> FloatArray:
    view = values.view()
    view.flags.writeable = False
    return view


def _limited_kw(available_kw: FloatArray, proposal: Proposal) -> FloatArray:
    if proposal.pv_limit_kw is None:
        return available_kw
    limited_kw: FloatArray = np.maximum(available_kw, -proposal.pv_limit_kw)
    return limited_kw
