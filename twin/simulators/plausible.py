"""Whether what a device says fits what it is: a generator feeds in, a battery that is charged gains energy.

What contradicts is nearly always a sign turned round between an FMU and the scenario, and a run would go on with it
unnoticed. Consumption positive; all arrays have shape (N,), one value for each device of a block.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twin.clock import step_at
from twin.units import energy_kwh

__all__ = ["generator_fault", "storage_fault", "strikes_after", "strikes_allowed"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

_DRAWS_SHARE = 0.1
"""A generator may draw this share of its rated power: an inverter needs a little at night."""
_RUNS_SHARE = 0.01
"""Below this share of rated power a battery says nothing about its sign."""
_AGAINST_SHARE = 0.1
"""Stored energy that moves against the power by this share of what the power says contradicts it. It is small because the
capacity of an FMU may be several times the one in the scenario, by which its state of charge is turned into energy."""
_OWN_USE_SHARE = 0.05
"""Share of rated power that a battery may lose by itself while it is charged."""
_STRIKES = 3
"""Steps in a row: a state of charge that lags by a step moves against a power that has just turned round ..."""
_STRIKES_S = 3
"""... and for this long at least, as what is read of a device lags by a time and not by a number of steps."""


def generator_fault(p_kw: Array, *, rated_kw: Array, names: Sequence[str]) -> str | None:
    """Return what is wrong where a generator draws power, None where none does."""
    wrong = np.flatnonzero(p_kw > _DRAWS_SHARE * rated_kw)
    if not len(wrong):
        return None
    at = int(wrong[0])
    return (
        f"{_named(names, wrong)} draws p_kw = {p_kw[at]:.4g} kW, {p_kw[at] / rated_kw[at]:.0%} of its rated "
        f"{rated_kw[at]:g} kW; a generator feeds in and has p_kw at most 0, so the `sign:` of p_kw under fmu.outputs is "
        "likely wrong: generation is for an FMU that counts feed-in positive, consumption for one that counts it negative"
    )


def strikes_allowed(dt_s: float) -> int:
    """Return from how many steps of ``dt_s`` [s] in a row on stored energy that moves against the power is a fault."""
    return max(_STRIKES, step_at(_STRIKES_S, dt_s))


def strikes_after(
    strikes: IntArray, p_kw: Array, *, gained_kwh: Array, rated_kw: Array, dt_s: float
) -> IntArray:
    """Return in how many steps in a row the stored energy moved against the power.

    Steps with next to no power do not count and end no row.

    Args:
        strikes: that before this step.
        p_kw: power at the terminal, mean of the step.
        gained_kwh: stored energy at the end of the step less that at its start.
        rated_kw: largest power of each battery.
        dt_s: length of the step.
    """
    said_kwh = energy_kwh(p_kw, dt_s)
    own_use_kwh = np.where(p_kw > 0.0, energy_kwh(_OWN_USE_SHARE * rated_kw, dt_s), 0.0)
    against = -gained_kwh * np.sign(p_kw) > _AGAINST_SHARE * np.abs(said_kwh) + own_use_kwh
    runs = np.abs(p_kw) > _RUNS_SHARE * rated_kw
    counted: IntArray = np.where(runs, np.where(against, strikes + 1, 0), strikes)
    return counted


def storage_fault(
    strikes: IntArray, p_kw: Array, *, gained_kwh: Array, names: Sequence[str], allowed: int = _STRIKES
) -> str | None:
    """Return what is wrong where stored energy has moved against the power too often, None where it has not.

    Args:
        strikes: of :func:`strikes_after`.
        p_kw: power at the terminal.
        gained_kwh: stored energy at the end of the step less that at its start.
        names: of the devices.
        allowed: of :func:`strikes_allowed`.
    """
    wrong = np.flatnonzero(strikes >= allowed)
    if not len(wrong):
        return None
    at = int(wrong[0])
    does, energy = ("charges", "falls") if p_kw[at] > 0.0 else ("discharges", "rises")
    return (
        f"{_named(names, wrong)} {does} with p_kw = {p_kw[at]:.4g} kW, but its stored energy (soc) {energy} by "
        f"{abs(gained_kwh[at]):.4g} kWh in the step, for {strikes[at]} steps in a row; the `sign:` of p_kw under fmu.outputs is "
        "likely wrong: consumption is for an FMU that counts charging positive, generation for one that counts it "
        "negative. Look also whether soc is the share that is left, not the share that is used"
    )


def _named(names: Sequence[str], wrong: NDArray[np.intp]) -> str:
    others = len(wrong) - 1
    more = "" if not others else " (and 1 more device)" if others == 1 else f" (and {others} more devices)"
    return f"{names[int(wrong[0])]!r}{more}"
