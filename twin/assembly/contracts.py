"""Power of the supply contracts of members, assumed where the scenario gives none."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.assembly.drafts import BlockDraft
from twin.plant import Plant, total_by
from twin.scenario.appliances import EvSpec, WaterHeaterSpec
from twin.scenario.device_base import BlockBase
from twin.signals import Axis

__all__ = ["Appliances", "appliances_of", "contract_kw_for", "contract_note", "contract_powers"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CONTRACTS_KW = np.array([3.3, 4.95, 6.6, 11.0, 16.5, 22.0, 33.0])
"""Common available powers of Italian low voltage supplies: contract powers of 3, 4.5, 6, 10, 15, 20, 30 kW and 10 %.
K: not verified."""
_LARGE_STEP_KW = 11.0
_RATINGS = ("p_max_kw", "p_rated_kw", "p_element_kw")


def contract_kw_for(peak_kw: FloatArray) -> FloatArray:
    """Return the smallest common available power that carries each peak [kW]: 3.3, 4.95 ... 33, then steps of 11."""
    larger = np.ceil(peak_kw / _LARGE_STEP_KW) * _LARGE_STEP_KW
    at = np.searchsorted(_CONTRACTS_KW, peak_kw)
    common = _CONTRACTS_KW[np.minimum(at, len(_CONTRACTS_KW) - 1)]
    chosen: FloatArray = np.where(at < len(_CONTRACTS_KW), common, larger)
    return chosen


@dataclass(frozen=True, kw_only=True, eq=False)
class Appliances:
    """What is known, before a run, of the power that loads with a state of their own draw. A devices."""

    home: IntArray
    """Home of each, shape (A,)."""
    rated_kw: FloatArray
    """Largest power it draws, shape (A,); NaN where only its FMU knows."""


def appliances_of(drafts: Iterable[BlockDraft]) -> Appliances:
    """Return the loads among the devices that keep their own state."""
    loads = [draft for draft in drafts if draft.axis is Axis.LOAD]
    return Appliances(
        home=np.array([home for draft in loads for home in draft.home], dtype=np.int64),
        rated_kw=np.array([_rated_kw(spec) for draft in loads for spec in draft.specs], dtype=np.float64),
    )


def _rated_kw(spec: BlockBase) -> float:
    """Return the largest power that a device draws [kW]; NaN where it is not known.

    Of an FMU of the user it is the bound of its power, else the rated power where the entry writes one.
    """
    if spec.fmu is not None:
        largest = spec.fmu.outputs["p_kw"].max
        if largest is not None:
            return max(largest, 0.0)
        if not any(field in type(spec).model_fields and spec.says(field) for field in _RATINGS):
            return np.nan
    if isinstance(spec, EvSpec):
        return spec.p_max_kw
    if isinstance(spec, WaterHeaterSpec):
        return spec.p_rated_kw + spec.p_element_kw
    return np.nan


def contract_powers(
    plant: Plant, homes: IntArray, given_kw: Sequence[float | None], *, appliances: Appliances
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the contract power of ``homes`` [kW], shape (M,), and, for the report, what was assumed.

    What is not given follows from the peak of all loads of the home together in a step of the run, and the rated power
    of its appliances on top.
    """
    peak_kw = np.zeros(plant.n_homes)
    for step_kw in plant.load_p_kw:
        np.maximum(peak_kw, total_by(plant.load_home, step_kw.astype(np.float64), plant.n_homes), out=peak_kw)
    peak_kw += total_by(appliances.home, np.nan_to_num(appliances.rated_kw), plant.n_homes)
    given = np.array([np.nan if kw is None else kw for kw in given_kw], dtype=np.float64)
    derived = np.isnan(given)
    assumed_kw = np.where(derived, contract_kw_for(peak_kw[homes]), given)
    there = np.isin(appliances.home, homes[derived])
    return assumed_kw, contract_note(int(derived.sum()), len(homes), rated_kw=appliances.rated_kw[there])


def contract_note(n_derived: int, n_members: int, *, rated_kw: FloatArray) -> tuple[str, ...]:
    """Return, for the report, what was assumed; nothing if nothing was. ``rated_kw`` is of the members' appliances."""
    if not n_derived:
        return ()
    sizes = ", ".join(f"{kw:g}" for kw in _CONTRACTS_KW)
    counted = (
        "the peak of their loads in the run and the rated power of their appliances"
        if len(rated_kw)
        else "the peak of their loads in the run"
    )
    text = (
        f"The contract power of {n_derived} of {n_members} members is assumed: the smallest of {sizes} kW, above that of steps "
        f"of {_LARGE_STEP_KW:g} kW, that carries {counted}."
    )
    n_unknown = int(np.isnan(rated_kw).sum())
    if n_unknown:
        devices = "1 device" if n_unknown == 1 else f"{n_unknown} devices"
        text += f" It leaves out {devices} whose FMU has no `max` for p_kw in the scenario."
    return (text,)
