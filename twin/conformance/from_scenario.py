"""A scenario as a plant to try a strategy on."""

from pathlib import Path

import numpy as np

from twin.conformance.plants import Case
from twin.environment.window import part_of
from twin.plant import total_by
from twin.prepare import Prepared, prepare
from twin.scenario import load_scenario

__all__ = ["case_of", "case_of_file"]

_DAYS = 2


def case_of(prepared: Prepared, name: str) -> Case:
    """Return the first days of a scenario as a plant to try a strategy on, without its feeder."""
    plant = prepared.plant
    n_steps = min(plant.n_steps, _DAYS * prepared.site.steps_per_day)
    part = part_of(prepared, first_step=0, n_steps=n_steps)
    load_kw = np.stack(
        [total_by(plant.load_home, row, plant.n_homes) for row in part.plant.load_p_kw.astype(np.float64)]
    )
    return Case(
        name=name,
        site=part.site,
        load_kw=load_kw,
        pv_available_kw=part.plant.pv_available_kw.astype(np.float64),
        price_import_eur_kwh=part.plant.tariff.price_import_eur_kwh,
        price_export_eur_kwh=part.plant.tariff.price_export_eur_kwh,
        soc_start=plant.battery_soc_start.astype(np.float64),
    )


def case_of_file(path: Path) -> Case:
    """Return the first days of a scenario file as a plant; its own strategies are not looked at.

    Raises:
        ScenarioError: the scenario has mistakes.
    """
    return case_of(prepare(load_scenario(path), strategies=()), str(path))
