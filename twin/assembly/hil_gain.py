"""How strongly the devices on the wire and their feeder act on each other: power flows around the start of a run."""

import numpy as np
from numpy.typing import NDArray

from models.feeder.base import Engine
from twin.loop_gain import LoopVerdict, judge, loop_matrix
from twin.plant import IntArray, Plant, total_by
from twin.units import volts

__all__ = ["loop_verdict", "sensitivities"]

Array = NDArray[np.float64]

_STEP_KW = 1.0
"""Change of power that the voltage is differentiated with: large against rounding, small against a feeder."""


def loop_verdict(plant: Plant, engine: Engine, *, n_buses: int, delay_steps: int = 1) -> LoopVerdict | None:
    """Return what to do about the loop of devices and feeder; None where no device sees the simulated voltage.

    A device whose slope is not known counts as one that does not answer to voltage; ``twin.hil`` marks it.

    Args:
        plant: the plant; loads and sun as at the start of the run.
        engine: of its feeder.
        n_buses: number of buses of the feeder.
        delay_steps: steps after which a reading shows what a device was told.

    Raises:
        PowerFlowError: the feeder cannot be solved at the start of the run.
    """
    found = [
        (slot, int(plant.home_bus[home]))
        for plan in plant.blocks
        if plan.wire is not None
        for slot, home in zip(plan.wire.slots, plan.home, strict=True)
        if slot.sees_voltage
    ]
    if not found:
        return None
    slots = [slot for slot, _ in found]
    slopes = [
        (0.0, 0.0) if slot.slope is None else (slot.slope.p_kw_v, slot.slope.q_kvar_v) for slot in slots
    ]
    p_kw = total_by(plant.load_bus, plant.load_p_kw[0].astype(np.float64), n_buses)
    p_kw += total_by(plant.pv_bus, plant.pv_available_kw[0].astype(np.float64), n_buses)
    q_kvar = total_by(plant.load_bus, plant.load_q_kvar[0].astype(np.float64), n_buses)
    bus = np.array([at for _, at in found], dtype=np.int64)
    dv_dp, dv_dq = sensitivities(engine, bus, p_kw=p_kw, q_kvar=q_kvar)
    dp_dv, dq_dv = np.array(slopes).T
    stands_for = np.array([slot.stands_for for slot in slots])
    matrix = loop_matrix(dv_dp, dp_dv, dv_dq=dv_dq, dq_dv=dq_dv, stands_for=stands_for)
    return judge(matrix, delay_steps=delay_steps)


def sensitivities(engine: Engine, bus: IntArray, *, p_kw: Array, q_kvar: Array) -> tuple[Array, Array]:
    """Return the change of the voltage at bus i for the power at bus j, shape (N, N): [V/kW] and [V/kvar].

    Volts between phase and neutral at 230 V nominal, consumption positive; by central differences of 1 kW and 1 kvar.

    Args:
        engine: of the feeder.
        bus: positions of the N buses; one may be there several times.
        p_kw: power drawn at every bus of the feeder, shape (NB,).
        q_kvar: its reactive power.
    """
    different, place = np.unique(bus, return_inverse=True)
    dv_dp, dv_dq = np.zeros((2, len(different), len(different)))
    for column, at in enumerate(different):
        for found, of_p, of_q in ((dv_dp, 1.0, 0.0), (dv_dq, 0.0, 1.0)):
            step_kw = np.zeros_like(p_kw)
            step_kw[at] = _STEP_KW / 2.0
            up = engine.solve(p_kw + of_p * step_kw, q_kvar + of_q * step_kw).vm_pu[different]
            down = engine.solve(p_kw - of_p * step_kw, q_kvar - of_q * step_kw).vm_pu[different]
            found[:, column] = volts(up - down) / _STEP_KW
    return dv_dp[np.ix_(place, place)], dv_dq[np.ix_(place, place)]
