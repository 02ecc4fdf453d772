"""Inverter functions and feeder solved together inside one step.

Voltages depend on the powers of the inverters, and these on the voltages: ``x = f(v(x))`` with ``x`` = (p, q) of all
inverters. Volt-var and volt-watt are negative feedback, so the plain iteration ``x <- f(v(x))`` overshoots and
oscillates where a curve is steep against a weak feeder (loop gain above 1). Here the iteration is accelerated with
Anderson mixing (Anderson 1965, doi:10.1145/321296.321305; Walker and Ni 2011, doi:10.1137/10078356X), which learns the
loop gain from the steps made. Where that stalls, some damped steps follow, each power with its own damping that halves
when its residual turns its sign.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.errors import OscillationError, PowerFlowError
from models.feeder.base import Engine, Flow
from models.inverter import InverterFleet, apply_functions, depends_on_voltage

__all__ = ["CoupledFlow", "CouplingOptions", "solve_coupled"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

_DAMPING = 0.5
"""Share of a residual that a step follows beyond what earlier steps explain: volt-var and volt-watt overshoot."""
_PATIENCE = 4
"""Power flows without a better residual before the search goes back to the best point."""
_DAMPED_STEPS = 8
"""Damped steps from there; they follow the feedback, which is stable where the smallest residual may be a trap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CouplingOptions:
    """When the fixed point counts as found, and how long it is looked for."""

    tolerance_kva: float = 1e-3
    """Largest difference between the power of an inverter and what its functions ask for ..."""
    tolerance_share: float = 1e-6
    """... or this share of its rating if larger: the power flow itself is no more exact than about 1e-8 pu."""
    max_iterations: int = 50
    """Power flows solved before giving up."""
    memory: int = 4
    """Earlier steps that the acceleration looks at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CoupledFlow:
    """A power flow and the inverter powers it was solved with."""

    flow: Flow
    p_kw: FloatArray
    """Active power of each inverter, shape (N,), consumption positive."""
    q_kvar: FloatArray
    """Reactive power of each inverter, shape (N,), absorbing positive."""
    residual_kva: float
    """Largest difference between an inverter's power and what its functions ask for at the solved voltage."""
    iterations: int
    """Power flows solved."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Problem:
    """What stays the same while the fixed point is looked for."""

    engine: Engine
    p_bus_kw: FloatArray
    q_bus_kvar: FloatArray
    fleet: InverterFleet
    bus: IntArray
    p_ask_kw: FloatArray
    locked: BoolArray

    def functions(self, vm_pu: FloatArray) -> FloatArray:
        """Return the powers asked for at bus voltages ``vm_pu`` (NB,), shape (2, N): active, reactive."""
        return np.array(apply_functions(self.fleet, self.p_ask_kw, vm_pu[self.bus], self.locked))

    def flow(self, x: FloatArray) -> Flow:
        """Solve the feeder with the inverter powers ``x``, shape (2, N)."""
        n_bus = len(self.p_bus_kw)
        p_kw = self.p_bus_kw + np.bincount(self.bus, weights=x[0], minlength=n_bus)
        q_kvar = self.q_bus_kvar + np.bincount(self.bus, weights=x[1], minlength=n_bus)
        return self.engine.solve(p_kw, q_kvar)

    def within_rating(self, x: FloatArray) -> FloatArray:
        """Return ``x`` moved to powers the inverters can have: no more than asked for, within S."""
        p_kw = np.clip(x[0], np.minimum(self.p_ask_kw, 0.0), np.maximum(self.p_ask_kw, 0.0))
        p_kw = np.clip(p_kw, -self.fleet.p_rated_kw, self.fleet.p_rated_kw)
        room_kvar = np.sqrt(np.maximum(self.fleet.s_rated_kva**2 - p_kw**2, 0.0))
        return np.stack((p_kw, np.clip(x[1], -room_kvar, room_kvar)))


def solve_coupled(  # noqa: PLR0913  # one named argument per input of the fixed point
    engine: Engine,
    *,
    p_bus_kw: FloatArray,
    q_bus_kvar: FloatArray,
    fleet: InverterFleet,
    bus: IntArray,
    p_ask_kw: FloatArray,
    locked: BoolArray,
    vm_start_pu: FloatArray,
    options: CouplingOptions | None = None,
) -> CoupledFlow:
    """Solve feeder and inverter functions to a common solution.

    Where no function depends on voltage this is one power flow with residual 0.

    Args:
        engine: solves the feeder of NB buses.
        p_bus_kw: fixed active power drawn at each bus, shape (NB,), without the inverters.
        q_bus_kvar: fixed reactive power drawn at each bus, shape (NB,).
        fleet: N inverters; N may be 0.
        bus: bus position of each inverter, shape (N,).
        p_ask_kw: active power each inverter gives before voltage-dependent functions, shape (N,).
        locked: functions locked in, shape (N,), see :func:`models.inverter.update_locks`.
        vm_start_pu: bus voltages to start from, shape (NB,); those of the step before save power flows.
        options: tolerance and limits; None for the defaults.

    Raises:
        PowerFlowError: the engine found no solution for the first powers tried.
        OscillationError: no common solution within ``max_iterations``; names the worst inverter.
    """
    problem = _Problem(
        engine=engine,
        p_bus_kw=p_bus_kw,
        q_bus_kvar=q_bus_kvar,
        fleet=fleet,
        bus=bus,
        p_ask_kw=p_ask_kw,
        locked=locked,
    )
    x = problem.functions(vm_start_pu)
    if not depends_on_voltage(fleet, locked).any():
        return CoupledFlow(flow=problem.flow(x), p_kw=x[0], q_kvar=x[1], residual_kva=0.0, iterations=1)
    return _iterate(problem, x, CouplingOptions() if options is None else options)


def _iterate(problem: _Problem, x: FloatArray, options: CouplingOptions) -> CoupledFlow:
    tolerance_kva = np.maximum(options.tolerance_kva, options.tolerance_share * problem.fleet.s_rated_kva)
    search = _Search(memory=options.memory)
    for iteration in range(1, options.max_iterations + 1):
        try:
            flow = problem.flow(x)
        except PowerFlowError:
            # An overshoot may ask for more than the feeder can carry; the first point may not.
            if not search.points:
                raise
            search.restart()
        else:
            residual = problem.functions(flow.vm_pu) - x
            off_kva = np.hypot(residual[0], residual[1])
            if np.all(off_kva <= tolerance_kva):
                worst_kva = float(off_kva.max())
                return CoupledFlow(
                    flow=flow, p_kw=x[0], q_kvar=x[1], residual_kva=worst_kva, iterations=iteration
                )
            search.note(x, residual)
        x = problem.within_rating(search.next_point())
    raise OscillationError(_message(problem, search.best_residual, tolerance_kva, options))


class _Search:
    """Anderson mixing over the last few points; where it stalls, some damped steps from the best point."""

    def __init__(self, memory: int) -> None:
        self.points: list[FloatArray] = []
        self.best_residual: FloatArray = np.zeros((2, 0))
        self._residuals: list[FloatArray] = []
        self._best_point: FloatArray = np.zeros((2, 0))
        self._best_norm = np.inf
        self._since_best = 0
        self._damping: FloatArray | float = _DAMPING
        self._damped_left = 0
        self._memory = memory

    def note(self, x: FloatArray, residual: FloatArray) -> None:
        """Take in a solved point ``x`` and how far the functions are from it, shape (2, N) each."""
        if self._damped_left:
            # Each power has its own damping: an overshoot turns the sign of its residual.
            turned = residual * self._residuals[-1] < 0.0
            self._damping = np.where(turned, self._damping / 2.0, np.minimum(self._damping * 1.2, 1.0))
            self._damped_left -= 1
            if not self._damped_left:
                self.points, self._residuals, self._best_norm = [], [], np.inf
        stuck = bool(self.points) and np.array_equal(x, self.points[-1])
        self.points = [*self.points[-self._memory :], x]
        self._residuals = [*self._residuals[-self._memory :], residual]
        norm = float(np.linalg.norm(residual))
        self._since_best += 1
        if norm < self._best_norm:
            self._best_point, self.best_residual, self._best_norm, self._since_best = x, residual, norm, 0
        elif not self._damped_left and (stuck or self._since_best >= _PATIENCE):
            self.restart()

    def restart(self) -> None:
        """Go back to the best point, forget the way there, and leave it in damped steps."""
        if self._damped_left:
            self._damping = self._damping / 2.0
        self._damped_left, self._since_best = _DAMPED_STEPS, 0
        self.points, self._residuals = [self._best_point], [self.best_residual]

    def next_point(self) -> FloatArray:
        """Return the last point plus the damped residual, less what earlier steps predict of it."""
        x, residual = self.points[-1], self._residuals[-1]
        if self._damped_left or len(self.points) == 1:
            return x + self._damping * residual
        d_x = np.stack([(b - a).ravel() for a, b in pairwise(self.points)], axis=1)
        d_r = np.stack([(b - a).ravel() for a, b in pairwise(self._residuals)], axis=1)
        weights = np.linalg.lstsq(d_r, residual.ravel(), rcond=1e-8)[0]
        mixed: FloatArray = x - (d_x @ weights).reshape(x.shape)
        return mixed + _DAMPING * (residual - (d_r @ weights).reshape(x.shape))


def _message(
    problem: _Problem, residual: FloatArray, tolerance_kva: FloatArray, options: CouplingOptions
) -> str:
    off_kva = np.hypot(residual[0], residual[1])
    worst = int(np.argmax(off_kva / tolerance_kva))
    return (
        f"inverter {worst} at bus {int(problem.bus[worst])}: its functions and the feeder do not settle, "
        f"{off_kva[worst]:.3g} kVA apart after {options.max_iterations} power flows "
        f"(allowed {tolerance_kva[worst]:.3g} kVA); make its curve less steep "
        "(v1s_pu to v2s_pu, v2i_pu to v1i_pu, p_v_start_pu to p_v_end_pu, q_max_share) or raise max_iterations"
    )
