"""The fastest engine on small feeders: a fixed point on the nodal impedance matrix, computed once.

With the slack voltages held, the nodal equations are ``V = w - Z conj(S / V)``: ``w`` is the voltage at no load and ``Z``
the inverse of the admittance matrix without the slack nodes. The iteration on this is the implicit Z-bus Gauss method
(Chen et al., "Distribution system power flow analysis - a rigid approach", IEEE Trans. Power Delivery 6, 1991), a
contraction at the loading of distribution networks (Bazrafshan and Gatsis 2017, doi:10.1109/TPWRS.2017.2703835). It
starts at ``w`` and never from an earlier solution, so the result depends on the powers alone. Where the steps stop
getting shorter, near the limit of what the network can carry, power-grid-model solves the same powers.

The matrix is dense: a step costs the square of the number of nodes. The losses are summed over branches and shunts, not
taken from the balance, so that import = bus powers + losses is a check of the solution.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.errors import FeederError
from models.feeder.base import Feeder, FloatArray, Flow, Grid, IntArray
from models.feeder.powers import check_carried, check_flow, check_powers

if TYPE_CHECKING:
    from models.feeder.engine_pgm import PgmEngine

__all__ = ["MAX_NODES", "ImpedanceEngine"]

ComplexArray = NDArray[np.complex128]

MAX_NODES = 300
"""Above this many nodes the sparse factors of power-grid-model cost less than the dense matrix."""
_TOLERANCE_PU = 5e-10
"""Expected length of the step not taken, over all nodes."""
_MAX_STEPS = 40
"""Steps that cost as much as one Newton-Raphson power flow of power-grid-model."""
_ENTRIES_PER_BLOCK = 4095
"""OpenBLAS shares a complex matrix-vector product among threads from 4096 entries on (its ``interface/zgemv.c``)."""
_KW_PER_MW = 1e3
_PERCENT = 100.0


class ImpedanceEngine:
    """Solves one feeder by current injection on its impedance matrix."""

    name = "impedance"

    def __init__(self, feeder: Feeder) -> None:
        """Invert the admittance matrix of ``feeder``.

        Raises:
            FeederError: the feeder holds something the arrays cannot carry, has more than ``MAX_NODES`` nodes, or its
                admittance matrix has no inverse.
        """
        check_carried(feeder, self.name)
        grid = feeder.grid
        n_nodes = len(grid.node_vn_kv)
        if n_nodes > MAX_NODES:
            raise FeederError(
                f"{feeder.name}: engine impedance takes {MAX_NODES} nodes, the network has {n_nodes}; choose engine auto "
                "or pgm"
            )
        self._feeder = feeder
        self._ends = _Ends.of(feeder)
        y_bus = self._ends.y_bus(grid)
        z, self._no_load = _impedance(feeder, y_bus)
        self._z = _row_blocks(z)
        self._blocks = np.empty(self._z.shape[:2], dtype=np.complex128)
        self._drop = self._blocks.reshape(-1)[:n_nodes]
        self._slack = grid.slack_node
        self._y_slack = y_bus[self._slack]
        self._shunt = np.flatnonzero(grid.node_g_mw)
        self._shunt_kw = grid.node_g_mw[self._shunt] * _KW_PER_MW
        self._kw = grid.base_mva * _KW_PER_MW
        self._s_conj = np.zeros(n_nodes, dtype=np.complex128)
        self._current = np.empty(n_nodes, dtype=np.complex128)
        self._change = np.empty(n_nodes, dtype=np.complex128)
        self._fallback: PgmEngine | None = None

    def solve(self, p_kw: FloatArray, q_kvar: FloatArray) -> Flow:
        """Solve for the powers drawn at each bus, shape (NB,) each, consumption positive."""
        feeder = self._feeder
        check_powers(feeder, p_kw, q_kvar)
        s_conj, n_nodes = self._s_conj, len(self._s_conj)
        s_conj.real = np.bincount(feeder.bus_node, weights=p_kw, minlength=n_nodes)
        s_conj.imag = np.bincount(feeder.bus_node, weights=q_kvar, minlength=n_nodes)
        np.conjugate(s_conj, out=s_conj)
        s_conj /= self._kw
        # far from a solution the numbers may leave the range of floats; that counts as not converged
        with np.errstate(all="ignore"):
            v = self._voltages()
        if v is None:
            return self._newton().solve(p_kw, q_kvar)
        return check_flow(feeder, self._flow(v), p_kw, q_kvar)

    def _voltages(self) -> ComplexArray | None:
        """Return the node voltages [pu] for the powers set, None where the steps do not get shorter."""
        w, s_conj, current, drop, change = (
            self._no_load,
            self._s_conj,
            self._current,
            self._drop,
            self._change,
        )
        squares = change.view(np.float64)
        tolerance = _TOLERANCE_PU**2
        # squared lengths; that of no load stands for the step before the first
        v, shortest = w, float(len(w))
        for _ in range(_MAX_STEPS):
            np.conjugate(v, out=current)
            np.divide(s_conj, current, out=current)
            np.matmul(self._z, current, out=self._blocks)
            following: ComplexArray = w - drop
            np.subtract(following, v, out=change)
            length = squares.dot(squares)
            v = following
            # the next step is shorter by as much as this one is than the last
            if length * length <= tolerance * shortest:
                return v
            # written so that NaN, which compares false, ends the search
            if not length < shortest:
                return None
            shortest = length
        return None

    def _newton(self) -> "PgmEngine":
        if self._fallback is None:
            from models.feeder.engine_pgm import PgmEngine  # noqa: PLC0415 - only where it is used

            self._fallback = PgmEngine(self._feeder)
        return self._fallback

    def _flow(self, v: ComplexArray) -> Flow:
        feeder, ends = self._feeder, self._ends
        near = v.take(ends.near)
        current = v.take(ends.far)
        current *= ends.y_far
        current += ends.y_near * near
        loading = np.abs(current)
        loading *= ends.percent_per_pu
        n_lines, n_windings = ends.n_lines, ends.n_windings
        trafo_s = (near.take(ends.trafo) * current.take(ends.trafo).conj()) * self._kw
        v_slack = v.take(self._slack)
        # conjugates of the power into the network and of the powers at the slack nodes themselves
        import_conj = v_slack.conj().dot(self._y_slack.dot(v)) + self._s_conj.take(self._slack).sum()
        vm_pu = np.abs(v)
        p_loss_kw = float(np.vdot(current, near).real) * self._kw
        if len(self._shunt):
            p_loss_kw += float(self._shunt_kw.dot(vm_pu.take(self._shunt) ** 2))
        return Flow(
            vm_pu=vm_pu.take(feeder.bus_node),
            line_loading_percent=np.maximum(loading[:n_lines], loading[n_lines : 2 * n_lines]),
            trafo_loading_percent=_largest(
                loading[2 * n_lines : 2 * n_lines + n_windings], ends.first_winding
            ),
            trafo_p_kw=trafo_s.real.copy(),
            trafo_q_kvar=trafo_s.imag.copy(),
            p_import_kw=float(import_conj.real) * self._kw,
            q_import_kvar=-float(import_conj.imag) * self._kw,
            p_loss_kw=p_loss_kw,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ends:
    """Both ends of every branch, shape (2 NBR,): from ends of the lines, their to ends, windings, then the others.

    The current into the branch at an end is ``y_near V[near] + y_far V[far]``.
    """

    near: IntArray
    far: IntArray
    y_near: ComplexArray
    y_far: ComplexArray
    percent_per_pu: FloatArray
    """Loading per current of 1 pu; 0 at the ends that do not count for any."""
    n_lines: int
    n_windings: int
    first_winding: IntArray
    """First winding of each transformer among the windings."""
    trafo: IntArray
    """End at the high voltage side of each transformer."""

    @classmethod
    def of(cls, feeder: Feeder) -> "_Ends":
        grid, windings = feeder.grid, feeder.windings
        n_branches = len(grid.branch_from)
        near = np.concatenate((grid.branch_from, grid.branch_to))
        far = np.concatenate((grid.branch_to, grid.branch_from))
        y_near, y_far = _admittances(grid)
        winding = np.where(windings.at_from, windings.branch, windings.branch + n_branches)
        counted = np.concatenate((feeder.line_branch, feeder.line_branch + n_branches, winding))
        order = np.concatenate((counted, np.setdiff1d(np.arange(2 * n_branches), counted)))
        place = np.argsort(order)
        rating_ka = np.concatenate((feeder.line_rating_ka, feeder.line_rating_ka, windings.rating_ka))
        base_ka = grid.base_mva / (np.sqrt(3.0) * grid.node_vn_kv[near[counted]])
        percent_per_pu = np.zeros(len(order))
        percent_per_pu[: len(counted)] = _PERCENT * base_ka / rating_ka
        return cls(
            near=near[order],
            far=far[order],
            y_near=y_near[order],
            y_far=y_far[order],
            percent_per_pu=percent_per_pu,
            n_lines=len(feeder.line_branch),
            n_windings=len(winding),
            first_winding=np.searchsorted(windings.trafo, np.arange(len(feeder.trafo_name))),
            trafo=place[feeder.trafo_branch],
        )

    def y_bus(self, grid: Grid) -> ComplexArray:
        """Return the nodal admittance matrix, shape (NN, NN) [pu]."""
        y_bus = np.diag(_complex(grid.node_g_mw, grid.node_b_mvar) / grid.base_mva)
        np.add.at(y_bus, (self.near, self.near), self.y_near)
        np.add.at(y_bus, (self.near, self.far), self.y_far)
        return y_bus


def _admittances(grid: Grid) -> tuple[ComplexArray, ComplexArray]:
    """Return each end's own and transfer admittance, from ends first (MATPOWER manual, branch model)."""
    series = 1.0 / _complex(grid.r_pu, grid.x_pu)
    own = series + _complex(grid.g_pu, grid.b_pu) / 2.0
    shift = np.deg2rad(grid.shift_degree)
    ratio = grid.tap * _complex(np.cos(shift), np.sin(shift))
    near = np.concatenate((own / grid.tap**2, own))
    far = np.concatenate((-series / ratio.conj(), -series / ratio))
    return near, far


def _complex(real: FloatArray, imaginary: FloatArray) -> ComplexArray:
    return np.asarray(real + 1j * imaginary, dtype=np.complex128)


def _impedance(feeder: Feeder, y_bus: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Return the impedance matrix with rows and columns of 0 at the slack nodes, and the voltages at no load [pu]."""
    grid = feeder.grid
    n_nodes, slack = len(grid.node_vn_kv), grid.slack_node
    others = np.setdiff1d(np.arange(n_nodes), slack)
    angle = np.deg2rad(grid.slack_va_degree)
    v_slack = grid.slack_vm_pu * _complex(np.cos(angle), np.sin(angle))
    try:
        inverse = np.linalg.inv(y_bus[np.ix_(others, others)])
    except np.linalg.LinAlgError as error:
        raise FeederError(
            f"{feeder.name}: the admittance matrix has no inverse ({error}); choose engine pandapower"
        ) from error
    z = np.zeros((n_nodes, n_nodes), dtype=np.complex128)
    z[np.ix_(others, others)] = inverse
    no_load = np.zeros(n_nodes, dtype=np.complex128)
    no_load[slack] = v_slack
    no_load[others] = -inverse @ (y_bus[np.ix_(others, slack)] @ v_slack)
    return z, no_load


def _row_blocks(matrix: ComplexArray) -> ComplexArray:
    """Return the rows of a square matrix in equal blocks, shape (blocks, rows, n), with rows of 0 added at the end.

    A product of each block is too small for OpenBLAS to share it among threads. Waiting for another thread takes many times
    as long as the product wherever the processor has other work.
    """
    n = len(matrix)
    n_blocks = -(-n // max(_ENTRIES_PER_BLOCK // n, 1))
    rows = -(-n // n_blocks)
    blocks = np.zeros((n_blocks * rows, n), dtype=np.complex128)
    blocks[:n] = matrix
    return blocks.reshape(n_blocks, rows, n)


def _largest(values: FloatArray, first: IntArray) -> FloatArray:
    if len(first) == 0:
        return np.zeros(0)
    largest: FloatArray = np.maximum.reduceat(values, first)
    return largest
