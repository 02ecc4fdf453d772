"""Whether a device and the feeder that feeds it swing: a loop with a delay of one step.

In every step the device is told a voltage and answers with a power; the feeder turns that power into the voltage of the
next step. With ``L`` the change of voltage that comes back for a change of voltage (a matrix for several devices),

    v[k+1] - v* = (1 - alpha (1 - L)) (v[k] - v*),

where ``alpha`` is the share of a change that the device is told at once (under-relaxation). Volt-watt and volt-var
functions counteract: ``L`` is negative, and ``g = -L`` is called the loop gain. One device settles for ``alpha < 2 / (1 + g)``.
Its own response time is not counted; it makes the loop calmer where steps are shorter than it. With the ``alpha`` that is used
one device also settles where its answer takes a step longer than said. Where devices are read more seldom than the steps follow
each other, an answer shows several steps late and ``alpha`` is divided by their number: with the loop of one device,
``z**n = (1 - alpha) z**(n - 1) - alpha g``, all roots then lie inside the unit circle for every gain.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["CALM_GAIN", "LEAST_ALPHA", "LoopVerdict", "Verdict", "judge", "largest_alpha", "loop_matrix"]

FloatArray = NDArray[np.float64]

CALM_GAIN = 0.7
"""Up to this gain nothing is relaxed: a disturbance falls below 3 % within ten steps."""
LEAST_ALPHA = 0.02
"""With a smaller share the device would follow its voltage over more than a hundred steps."""


class Verdict(StrEnum):
    """What is done about a loop."""

    OK = "ok"
    RELAX = "relax"
    """It would swing or ring; with ``alpha`` it settles."""
    REFUSE = "refuse"
    """No useful ``alpha`` makes it settle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopVerdict:
    """What was found of a loop."""

    verdict: Verdict
    gain: float
    """Largest magnitude among the eigenvalues of ``L`` [1]."""
    largest_alpha: float
    """Below it the loop settles [1]; 0 where nothing helps."""
    alpha: float
    """What is used [1]."""
    delay_steps: int = 1
    """Steps after which a reading shows what the device was told."""

    @property
    def text(self) -> str:
        """The finding in words."""
        said = f"loop gain {self.gain:.3g} between devices and feeder"
        if self.verdict is Verdict.OK:
            return f"{said}: settles by itself"
        if self.verdict is Verdict.RELAX:
            late = "" if self.delay_steps == 1 else f", as an answer shows {self.delay_steps} steps late"
            return (
                f"{said}: settles where a device is told less than {self.largest_alpha:.3g} of each change of voltage; "
                f"{self.alpha:.3g} is used{late}"
            )
        return f"{said}: does not settle; let a device stand for fewer, or flatten its volt-watt and volt-var curves"


def loop_matrix(
    dv_dp: FloatArray, dp_dv: FloatArray, *, dv_dq: FloatArray, dq_dv: FloatArray, stands_for: FloatArray
) -> FloatArray:
    """Return ``L``, shape (N, N), of N devices.

    Args:
        dv_dp: change of the voltage at device i for the power of device j [V/kW], shape (N, N), consumption positive:
            negative numbers.
        dp_dv: change of the power of one device for its voltage [kW/V], shape (N,): positive where it counteracts.
        dv_dq: as ``dv_dp`` for reactive power [V/kvar].
        dq_dv: as ``dp_dv`` for reactive power [kvar/V].
        stands_for: number of devices that each stands for, shape (N,).
    """
    matrix: FloatArray = dv_dp * (stands_for * dp_dv) + dv_dq * (stands_for * dq_dv)
    return matrix


def largest_alpha(matrix: FloatArray) -> float:
    """Return the ``alpha`` below which the loop settles [1]; 0 where none does, infinite without a device.

    ``|1 - alpha (1 - x)| < 1`` for each eigenvalue x of ``matrix``, shape (N, N).
    """
    smallest = math.inf
    for x in np.linalg.eigvals(matrix):
        away = complex(1.0 - x)
        if away.real <= 0.0:
            return 0.0
        smallest = min(smallest, 2.0 * away.real / abs(away) ** 2)
    return smallest


def judge(matrix: FloatArray, *, delay_steps: int = 1) -> LoopVerdict:
    """Return what to do about a loop with ``matrix`` as of :func:`loop_matrix`.

    Where it is relaxed, ``alpha`` is half of the largest: with one device a disturbance is then gone after one step. Over
    ``delay_steps`` until a reading shows what a device was told it is that much smaller.
    """
    gain = float(np.abs(np.linalg.eigvals(matrix)).max(initial=0.0))
    largest = largest_alpha(matrix)
    if gain <= CALM_GAIN:
        return LoopVerdict(verdict=Verdict.OK, gain=gain, largest_alpha=largest, alpha=1.0)
    alpha = min(1.0, largest / 2.0)
    verdict = Verdict.RELAX if alpha >= LEAST_ALPHA else Verdict.REFUSE
    return LoopVerdict(
        verdict=verdict, gain=gain, largest_alpha=largest, alpha=alpha / delay_steps, delay_steps=delay_steps
    )
