"""What a step was worth. H homes, C communities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twin.clock import whole_seconds
from twin.community import sharing
from twin.kpis import KpiContext
from twin.plant import Plant
from twin.units import SECONDS_PER_HOUR, energy_kwh, hours

__all__ = ["CostAndVoltage", "Reward", "SharedEnergy", "StepOutcome", "outcome_of"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class StepOutcome:
    """What came out of one step."""

    step: int
    dt_s: float
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
    stored_value_eur: float
    """With the last step of an episode, worth of the energy in all batteries, end less start; 0 before.

    At the price of :func:`twin.payment.stored_worth_eur_kwh`, from the mean prices of the whole scenario.
    """
    signals: Mapping[str, FloatArray]
    """Everything that a run records of the step, by signal key (``bus.vm_pu``)."""


class Reward(Protocol):
    """From the outcome of a step to a number; larger is better."""

    def __call__(self, outcome: StepOutcome) -> float:
        """Return the reward of one step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAndVoltage:
    """Value of the shared energy, less the energy cost of all homes, less a penalty on voltage outside the limits.

    The last step of an episode adds what the energy in the batteries is worth, end less start: without it an agent
    would be paid for emptying them.
    """

    penalty_eur_pu_h: float = 100.0
    """Price of one bus being 1 pu outside the limits for an hour: 1 EUR for 0.01 pu. An assumption to tune."""

    def __call__(self, outcome: StepOutcome) -> float:
        """Return the reward [EUR]."""
        return float(
            outcome.shared_value_eur
            + outcome.stored_value_eur
            - outcome.cost_eur.sum()
            - self.penalty_eur_pu_h * outcome.voltage_excess_pu_h
        )


class SharedEnergy:
    """Shared energy of each community, as settled: the smaller of injected and withdrawn energy in each hour.

    Only members with a plant count as injecting. Hours are those of UTC, which are those of local time; a run that
    starts or ends within an hour has a partial one.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._injected_kwh = np.zeros(plant.communities.n_members)
        self._withdrawn_kwh = np.zeros(plant.communities.n_members)

    def add(self, step: int, grid_kw: FloatArray) -> FloatArray:
        """Return the energy shared in the hour that ends with this step, shape (C,) [kWh]; 0 within an hour."""
        plant, communities = self._plant, self._plant.communities
        e_kwh = np.where(
            communities.active(step), energy_kwh(grid_kw[communities.member_home], plant.dt_s), 0.0
        )
        self._injected_kwh += np.maximum(-e_kwh, 0.0)
        self._withdrawn_kwh += np.maximum(e_kwh, 0.0)
        if self._hour(step) == self._hour(step + 1) and step + 1 < plant.n_steps:
            return np.zeros(communities.n_communities)
        shared_kwh: FloatArray = sharing.shared_kwh(
            sharing.plant_side_kwh(self._injected_kwh[None, :], communities),
            self._withdrawn_kwh[None, :],
            communities.member_community,
            communities.n_communities,
        )
        self._injected_kwh[:] = self._withdrawn_kwh[:] = 0.0
        return shared_kwh.ravel()

    def _hour(self, step: int) -> int:
        return (self._plant.start_utc_s + whole_seconds(step, self._plant.dt_s)) // SECONDS_PER_HOUR


def outcome_of(
    step: int,
    signals: Mapping[str, FloatArray],
    *,
    context: KpiContext,
    free_buses: NDArray[np.int64],
    shared_kwh: FloatArray,
    shared_value_eur_kwh: FloatArray,
    stored_value_eur: float,
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
        stored_value_eur=stored_value_eur,
        signals=signals,
    )
