"""Some days of a prepared scenario as a prepared scenario of their own."""

from dataclasses import replace
from datetime import UTC, timedelta

import numpy as np

from twin.clock import local_time, step_at, time_units, whole_seconds
from twin.members import Communities
from twin.plant import Plant, Tariff
from twin.prepare import Prepared

__all__ = ["day_starts", "part_of"]


def part_of(prepared: Prepared, *, first_step: int, n_steps: int) -> Prepared:
    """Return consecutive steps of a prepared scenario; its step 0 is ``first_step``.

    Batteries and other devices start as at the start of the run, forecasts know nothing from before.

    Raises:
        ValueError: the steps are not all in the run, or the first does not begin on a full second.
    """
    whole = prepared.plant
    steps_per_second = time_units(whole.dt_s)[1]
    if not 0 <= first_step < first_step + n_steps <= whole.n_steps:
        raise ValueError(
            f"steps {first_step} to {first_step + n_steps} are not within the run of {whole.n_steps} steps"
        )
    if first_step % steps_per_second:
        raise ValueError(
            f"step {first_step} does not begin on a full second; take a multiple of {steps_per_second}"
        )
    plant = _plant_part(whole, slice(first_step, first_step + n_steps))
    site = replace(
        prepared.site, n_steps=n_steps, start_utc_s=plant.start_utc_s, communities=plant.communities
    )
    context = replace(prepared.context, n_steps=n_steps, start_utc_s=plant.start_utc_s)
    return replace(prepared, plant=plant, site=site, context=context)


def day_starts(plant: Plant, days: int) -> tuple[tuple[int, int], ...]:
    """Return first step and number of steps of each span of ``days`` local days that lies within the run.

    Days have 23 or 25 h where clocks change.
    """
    first = local_time(plant.start_utc_s)
    starts: list[int] = []
    while not starts or starts[-1] < plant.n_steps:
        # adding days to a local time keeps the time of day, whatever the clocks do in between
        at = (first + timedelta(days=len(starts))).astimezone(UTC)
        starts.append(step_at(int(at.timestamp()) - plant.start_utc_s, plant.dt_s))
    return tuple(
        (start, end - start)
        for start, end in zip(starts, starts[days:], strict=False)
        if end <= plant.n_steps
    )


def _plant_part(plant: Plant, part: slice) -> Plant:
    n_steps = part.stop - part.start
    return replace(
        plant,
        start_utc_s=plant.start_utc_s + whole_seconds(part.start, plant.dt_s),
        n_steps=n_steps,
        load_p_kw=plant.load_p_kw[part],
        load_q_kvar=plant.load_q_kvar[part],
        pv_available_kw=plant.pv_available_kw[part],
        tariff=Tariff(
            price_import_eur_kwh=plant.tariff.price_import_eur_kwh[part],
            price_export_eur_kwh=plant.tariff.price_export_eur_kwh[part],
        ),
        communities=_communities_part(plant.communities, part),
        market=replace(
            plant.market,
            zone_eur_mwh=plant.market.zone_eur_mwh[part],
            co2_kg_kwh=plant.market.co2_kg_kwh[part],
        ),
        blocks=tuple(
            replace(
                plan,
                series={
                    name: values[part] if len(values) == plant.n_steps else values
                    for name, values in plan.series.items()
                },
            )
            for plan in plant.blocks
        ),
    )


def _communities_part(communities: Communities, part: slice) -> Communities:
    n_steps = part.stop - part.start
    silent = communities.silent.copy()
    silent[:, 1:] = np.clip(silent[:, 1:] - part.start, 0, n_steps)
    return replace(
        communities,
        member_first_step=np.clip(communities.member_first_step - part.start, 0, n_steps),
        member_end_step=np.clip(communities.member_end_step - part.start, 0, n_steps),
        silent=silent,
    )
