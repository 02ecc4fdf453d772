"""Power of the supply contracts of members, assumed where the scenario gives none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twin.plant import Plant, total_by

__all__ = ["contract_kw_for", "contract_note", "contract_powers"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CONTRACTS_KW = np.array([3.3, 4.95, 6.6, 11.0, 16.5, 22.0, 33.0])
"""Common available powers of Italian low voltage supplies: contract powers of 3, 4.5, 6, 10, 15, 20, 30 kW and 10 %.
K: not verified."""
_LARGE_STEP_KW = 11.0


def contract_kw_for(peak_kw: FloatArray) -> FloatArray:
    """Return the smallest common available power that carries each peak [kW]: 3.3, 4.95 ... 33, then steps of 11."""
    larger = np.ceil(peak_kw / _LARGE_STEP_KW) * _LARGE_STEP_KW
    at = np.searchsorted(_CONTRACTS_KW, peak_kw)
    common = _CONTRACTS_KW[np.minimum(at, len(_CONTRACTS_KW) - 1)]
    chosen: FloatArray = np.where(at < len(_CONTRACTS_KW), common, larger)
    return chosen


def contract_powers(
    plant: Plant, homes: IntArray, given_kw: Sequence[float | None]
) -> tuple[FloatArray, int]:
    """Return the contract power of ``homes`` [kW], shape (M,), and how many follow from the peak of their loads.

    The peak is that of a step of the run, of all loads of the home together.
    """
    peak_kw = np.zeros(plant.n_homes)
    for step_kw in plant.load_p_kw:
        np.maximum(peak_kw, total_by(plant.load_home, step_kw.astype(np.float64), plant.n_homes), out=peak_kw)
    given = np.array([np.nan if kw is None else kw for kw in given_kw], dtype=np.float64)
    derived = np.isnan(given)
    return np.where(derived, contract_kw_for(peak_kw[homes]), given), int(derived.sum())


def contract_note(n_derived: int, n_members: int) -> tuple[str, ...]:
    """Return, for the report, what was assumed; nothing if nothing was."""
    sizes = ", ".join(f"{kw:g}" for kw in _CONTRACTS_KW)
    text = (
        f"The contract power of {n_derived} of {n_members} members is assumed: the smallest of {sizes} kW, above that of steps "
        f"of {_LARGE_STEP_KW:g} kW, that carries the peak of their loads in the run."
    )
    return (text,) if n_derived else ()
