"""CVode of SUNDIALS on the equations of one FMU instance, driven so that nothing of the FMU's behaviour is lost.

FMPy has a ready class for this; it is not used because a failure inside its callbacks is printed and forgotten, a nominal
value of 0 stops the solver, intervals near the rounding of time stop it too, and it steps over the end of an interval with
the inputs of before. Its bindings of the SUNDIALS libraries are used.

Source: Hindmarsh et al., SUNDIALS: suite of nonlinear and differential/algebraic equation solvers, ACM TOMS 31, 2005,
doi:10.1145/1089014.1089020.
"""

import ctypes
import functools
import math
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import FmuError
from models.fmu.base import FmuInfo
from models.fmu.binding.instances import FATAL
from models.fmu.binding.logs import status_name
from models.fmu.fmpy_access import fmpy_module
from models.fmu.model_exchange.kernel import Outcome, Slot, event_indicators, march, slopes

__all__ = ["CVodeSolver", "EndedError", "SolverError"]

_MOST_STEPS = 1_000_000
"""Internal steps without an event; an FMU that needs more does not move on."""
_FUNCTIONS = {
    Slot.SET_TIME: "SetTime",
    Slot.SET_STATES: "SetContinuousStates",
    Slot.GET_SLOPES: "GetDerivatives",
    Slot.GET_INDICATORS: "GetEventIndicators",
    Slot.COMPLETED: "CompletedIntegratorStep",
}


class SolverError(Exception):
    """CVode cannot go on; the text says why."""


class EndedError(Exception):
    """The FMU asked to end the simulation."""


@functools.cache
def _sundials() -> Any:
    """Return FMPy's bindings and the functions it leaves out.

    Raises:
        FmuError: FMPy has no SUNDIALS for this machine.
    """
    try:
        bindings = fmpy_module("fmpy.sundials")
        libraries = fmpy_module("fmpy.sundials.libraries")
    except OSError as error:
        raise FmuError(
            "Model Exchange needs the solver CVode, and FMPy ships none for this machine (only for Linux and Windows on "
            "x86_64 and macOS on ARM); take an FMU with Co-Simulation (`interface: co_simulation`)"
        ) from error
    core, cvode = libraries.sundials_core, libraries.sundials_cvode
    further = {
        "CVodeSetUserData": (cvode.CVodeSetUserData, [ctypes.c_void_p, ctypes.c_void_p]),
        "CVodeSetMaxHnilWarns": (cvode.CVodeSetMaxHnilWarns, [ctypes.c_void_p, ctypes.c_int]),
        "SUNLinSolFree": (core.SUNLinSolFree, [ctypes.c_void_p]),
        "SUNMatDestroy": (core.SUNMatDestroy, [ctypes.c_void_p]),
        "SUNContext_Free": (core.SUNContext_Free, [ctypes.POINTER(ctypes.c_void_p)]),
        "SUNContext_ClearErrHandlers": (core.SUNContext_ClearErrHandlers, [ctypes.c_void_p]),
    }
    for function, arguments in further.values():
        function.argtypes = arguments
        function.restype = ctypes.c_int
    return SimpleNamespace(
        **{name: getattr(bindings, name) for name in dir(bindings) if not name.startswith("_")},
        **{name: function for name, (function, _) in further.items()},
        address_of_stop=_address(cvode.CVodeSetStopTime),
        address_of_cvode=_address(cvode.CVode),
    )


def _address(function: Any) -> int:
    return int(ctypes.cast(function, ctypes.c_void_p).value or 0)


class CVodeSolver:
    """CVode (BDF, dense Newton) on one instance in continuous-time mode. Close it on every path."""

    def __init__(self, instance: Any, info: FmuInfo, *, time_s: float, tolerance: float) -> None:
        """Start at the states the instance has.

        Args:
            instance: of FMPy, for Model Exchange; without states a constant one stands in, so that events are found all
                the same.
            info: what the FMU says of itself.
            time_s: where it starts.
            tolerance: relative; the absolute tolerance of a state is this times its nominal value.

        Raises:
            FmuError: SUNDIALS is not there for this machine, or the FMU lacks a function.
            SolverError: CVode refuses to start.
        """
        self._lib = _sundials()
        self._instance = instance
        self._tolerance = tolerance
        self._is_fmi3 = info.fmi_version.startswith("3")
        self._n_states, self._n_indicators = _sizes(instance, info)
        self._n = max(1, self._n_states)
        self._message = ""
        self._span = np.array([time_s, time_s])
        self._flags: NDArray[np.uint8] = np.zeros(8, dtype=np.uint8)
        # CVode and the compiled code keep the addresses of these: they must live as long as CVode does
        self._table: NDArray[np.int64] = np.zeros(Slot.SIZE, dtype=np.int64)
        self._callbacks = (
            self._lib.CVRhsFn(slopes()),
            self._lib.CVRootFn(event_indicators()),
            self._lib.SUNErrHandlerFn(self._note),
        )
        with ExitStack() as opening:
            self._create(opening, time_s)
            self._closing = opening.pop_all()

    def march(self, time_s: float, stop_s: float) -> tuple[float, bool]:
        """Solve from ``time_s`` to ``stop_s`` or to the first event; the instance is left there, in continuous time.

        Returns the time reached, and whether the FMU is to be put into event mode there.

        Raises:
            EndedError: the FMU asked to end.
            SolverError: CVode cannot go on.
            Exception: FMPy's, for a call that the FMU refused.
        """
        self._span[:] = time_s, stop_s
        self._message = ""
        outcome, flag = march(self._table, self._span, self._flags, _MOST_STEPS)
        reached_s = float(self._span[0])
        if outcome in {Outcome.REACHED, Outcome.EVENT}:
            return reached_s, outcome == Outcome.EVENT
        if outcome == Outcome.END:
            raise EndedError
        if outcome == Outcome.REFUSED:
            raise self._refusal()
        reason = self._reason() or self._message
        if outcome == Outcome.TOO_MANY:
            raise SolverError(
                f"CVode does not get past {reached_s:g} s on the way to {stop_s:g} s: {reason or 'no reason'}"
            )
        raise SolverError(f"CVode cannot go on ({flag}): {reason or 'no message'}")

    def restart(self, time_s: float) -> None:
        """Forget the past and go on from the states the instance has: after an event or a change of an input."""
        self._read_states()
        self._set_tolerances()
        self._require(self._lib.CVodeReInit(self._memory, time_s, self._x), "CVodeReInit")

    def close(self) -> None:
        """Free everything; may be called again."""
        self._closing.close()

    def _create(self, opening: ExitStack, time_s: float) -> None:
        lib = self._lib
        context = lib.SUNContext()
        self._require(lib.SUNContext_Create(lib.SUN_COMM_NULL, ctypes.byref(context)), "SUNContext_Create")
        opening.callback(lib.SUNContext_Free, ctypes.byref(context))
        lib.SUNContext_ClearErrHandlers(context)
        pushed = lib.SUNContext_PushErrHandler(context, self._callbacks[2], None)
        self._require(pushed, "SUNContext_PushErrHandler")
        self._x, self._abstol = (lib.N_VNew_Serial(self._n, context) for _ in range(2))
        opening.callback(lib.N_VDestroy_Serial, self._x)
        opening.callback(lib.N_VDestroy_Serial, self._abstol)
        self._px, self._pabstol = lib.NV_DATA_S(self._x), lib.NV_DATA_S(self._abstol)
        self._read_states()
        self._memory = lib.CVodeCreate(lib.CV_BDF, context)
        opening.callback(lib.CVodeFree, ctypes.byref(ctypes.c_void_p(self._memory)))
        self._require(lib.CVodeInit(self._memory, self._callbacks[0], time_s, self._x), "CVodeInit")
        self._set_tolerances()
        matrix = lib.SUNDenseMatrix(self._n, self._n, context)
        opening.callback(lib.SUNMatDestroy, matrix)
        linear = lib.SUNLinSol_Dense(self._x, matrix, context)
        opening.callback(lib.SUNLinSolFree, linear)
        self._require(lib.CVodeSetLinearSolver(self._memory, linear, matrix), "CVodeSetLinearSolver")
        if self._n_indicators > 0:
            roots = lib.CVodeRootInit(self._memory, self._n_indicators, self._callbacks[1])
            self._require(roots, "CVodeRootInit")
            self._require(lib.CVodeSetNoInactiveRootWarn(self._memory), "CVodeSetNoInactiveRootWarn")
        # it would print that a step does not move time on; the loop finds that itself
        self._require(lib.CVodeSetMaxHnilWarns(self._memory, -1), "CVodeSetMaxHnilWarns")
        self._fill_table()
        self._require(lib.CVodeSetUserData(self._memory, self._table.ctypes.data), "CVodeSetUserData")

    def _fill_table(self) -> None:
        table = self._table
        table[Slot.INSTANCE] = self._instance.component
        for slot in _FUNCTIONS:
            if slot != Slot.GET_INDICATORS or self._n_indicators > 0:
                table[slot] = self._instance.address(self._name(slot))
        table[Slot.N_STATES], table[Slot.N_INDICATORS] = self._n_states, self._n_indicators
        table[Slot.MEMORY] = self._memory
        table[Slot.SET_STOP_TIME], table[Slot.CVODE] = self._lib.address_of_stop, self._lib.address_of_cvode
        table[Slot.STATES], table[Slot.STATES_DATA] = _address(self._x), _address(self._px)
        table[Slot.SPAN], table[Slot.FLAGS] = self._span.ctypes.data, self._flags.ctypes.data
        table[Slot.TABLE] = table.ctypes.data

    def _name(self, slot: Slot) -> str:
        if not self._is_fmi3:
            return f"fmi2{_FUNCTIONS[slot]}"
        return "fmi3GetContinuousStateDerivatives" if slot == Slot.GET_SLOPES else f"fmi3{_FUNCTIONS[slot]}"

    def _read_states(self) -> None:
        if self._n_states == 0:
            self._px[0] = self._pabstol[0] = 1.0
            return
        self._instance.getContinuousStates(self._px, self._n_states)
        self._instance.getNominalsOfContinuousStates(self._pabstol, self._n_states)
        for at, nominal in enumerate(self._pabstol[: self._n]):
            # a nominal value of 0 is against the standard and would ask for an exact solution
            known = math.isfinite(nominal) and nominal != 0.0
            self._pabstol[at] = self._tolerance * (abs(nominal) if known else 1.0)

    def _set_tolerances(self) -> None:
        done = self._lib.CVodeSVtolerances(self._memory, self._tolerance, self._abstol)
        self._require(done, "CVodeSVtolerances")

    def _reason(self) -> str:
        """Return what the FMU did last that CVode could not use, '' where it did nothing of the kind."""
        bad, status = int(self._table[Slot.BAD_STATE]), int(self._table[Slot.STATUS])
        if bad >= 0:
            return f"the derivative of state {bad} (counted from 0) is not a finite number"
        if status == 0:
            return ""
        return f"{self._name(Slot(int(self._table[Slot.CALLED])))} answered {status_name(status)!r}"

    def _refusal(self) -> Exception:
        status = int(self._table[Slot.STATUS])
        if status == FATAL:
            self._instance.binary.fatal = True
        name = self._name(Slot(int(self._table[Slot.CALLED])))
        refusal: Exception = fmpy_module("fmpy.fmi1").FMICallException(function=name, status=status)
        return refusal

    def _note(self, _line: int, function: bytes, _file: bytes, text: bytes, *_: Any) -> None:
        self._message = f"{function.decode(errors='replace')}: {text.decode(errors='replace')}"

    def _require(self, flag: int, function: str) -> None:
        if flag < 0:
            raise SolverError(
                f"CVode cannot start ({function} gives {flag}): {self._message or 'no message'}"
            )


def _sizes(instance: Any, info: FmuInfo) -> tuple[int, int]:
    """Return the numbers of states and of event indicators; in FMI 3.0 structural parameters may change both."""
    if info.fmi_version.startswith("3"):
        return int(instance.getNumberOfContinuousStates()), int(instance.getNumberOfEventIndicators())
    return info.n_states, info.n_event_indicators
