"""What a step was worth. H homes, C communities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twin.kpis import KpiContext
from twin.plant import Plant
from twin.units import SECONDS_PER_HOUR, energy_kwh, hours

__all__ = ["CostAndVoltage", "Reward", "SharedEnergy", "StepOutcome", "outcome_of"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class StepOutcome:
    """What came out of one step."""

    step: int
    dt_s: int
    grid_kw: FloatArray
    """Meter of each home, shape (H,)."""
    cost_eur: FloatArray
    """Import paid less export sold by each home, shape (H,)."""
    voltage_excess_pu_h: float
    """Sum over the free buses of what the voltage lies outside the limits of the scenario, times the hours."""
    shared_kwh: FloatArray
    """Energy shared in the hour that ends with this step by each community, shape (C,); 0 within an hour."""
    shared_value_eur: float
    """What that energy earns."""
    signals: Mapping[str, FloatArray]
    """Everything that a run records of the step, by signal key (``bus.vm_pu``)."""


class Reward(Protocol):
    """From the outcome of a step to a number; larger is better."""

    def __call__(self, outcome: StepOutcome) -> float:
        """Return the reward of one step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAndVoltage:
    """Value of the shared energy, less the energy cost of all homes, less a penalty on voltage outside the limits."""

    penalty_eur_pu_h: float = 100.0
    """Price of one bus being 1 pu outside the limits for an hour: 1 EUR for 0.01 pu. An assumption to tune."""

    def __call__(self, outcome: StepOutcome) -> float:
        """Return the reward [EUR]."""
        return float(
            outcome.shared_value_eur
            - outcome.cost_eur.sum()
            - self.penalty_eur_pu_h * outcome.voltage_excess_pu_h
        )


class SharedEnergy:
    """Shared energy of each community: the smaller of injected and withdrawn energy of its members in each hour.

    Hours are those of UTC, which are those of local time; a run that starts or ends within an hour has a partial one.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._injected_kwh = np.zeros(plant.communities.n_communities)
        self._withdrawn_kwh = np.zeros(plant.communities.n_communities)

    def add(self, step: int, grid_kw: FloatArray) -> FloatArray:
        """Return the energy shared in the hour that ends with this step, shape (C,) [kWh]; 0 within an hour."""
        plant = self._plant
        of_home = plant.communities.community_of_home(step, plant.n_homes)
        inside, e_kwh = of_home >= 0, energy_kwh(grid_kw, plant.dt_s)
        for total, parts_kwh in ((self._injected_kwh, -e_kwh), (self._withdrawn_kwh, e_kwh)):
            np.add.at(total, of_home[inside], np.maximum(parts_kwh[inside], 0.0))
        end_s = plant.start_utc_s + (step + 1) * plant.dt_s
        if end_s % SECONDS_PER_HOUR and step + 1 < plant.n_steps:
            return np.zeros_like(self._injected_kwh)
        shared_kwh = np.minimum(self._injected_kwh, self._withdrawn_kwh)
        self._injected_kwh[:] = self._withdrawn_kwh[:] = 0.0
        return shared_kwh


def outcome_of(
    step: int,
    signals: Mapping[str, FloatArray],
    *,
    context: KpiContext,
    free_buses: NDArray[np.int64],
    shared_kwh: FloatArray,
    shared_value_eur_kwh: FloatArray,
) -> StepOutcome:
    """Return the outcome of a step from its recorded signals."""
    grid_kw, vm_pu, limits = signals["home.p_kw"], signals["bus.vm_pu"][free_buses], context.limits
    price = np.where(
        grid_kw > 0.0, signals["feeder.price_import_eur_kwh"][0], signals["feeder.price_export_eur_kwh"][0]
    )
    excess_pu = np.maximum(limits.vm_min_pu - vm_pu, 0.0) + np.maximum(vm_pu - limits.vm_max_pu, 0.0)
    return StepOutcome(
        step=step,
        dt_s=context.dt_s,
        grid_kw=grid_kw,
        cost_eur=energy_kwh(grid_kw, context.dt_s) * price,
        voltage_excess_pu_h=float(excess_pu.sum()) * hours(context.dt_s),
        shared_kwh=shared_kwh,
        shared_value_eur=float(shared_kwh @ shared_value_eur_kwh) if len(shared_value_eur_kwh) else 0.0,
        signals=signals,
    )
