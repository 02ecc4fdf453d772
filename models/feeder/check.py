"""Choose an engine and prove, on the feeder at hand, that it agrees with the reference."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.errors import EngineMismatchError, FeederError, PowerFlowError
from models.feeder.base import Engine, Feeder, FloatArray, Flow, IntArray, missing_support
from models.feeder.engine_impedance import MAX_NODES
from models.feeder.engines import ENGINES, REFERENCE

__all__ = [
    "LIMIT_DLOADING_PERCENT",
    "LIMIT_DV_PU",
    "EngineCheck",
    "EngineChoice",
    "check_engine",
    "make_engine",
]

EngineChoice = Literal["auto", "impedance", "pgm", "pandapower"]
LIMIT_DV_PU = 1e-6
LIMIT_DLOADING_PERCENT = 1e-4
_LOWEST_USEFUL_PU = 0.7
_HALVINGS = 8
_PLACEHOLDER_SHARE = 0.3
_PLACEHOLDER_KW = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCheck:
    """How an engine was chosen and how well it agrees with the reference."""

    engine: str
    reference: str
    reason: str
    """Why this engine, in words for the report."""
    cases: tuple[str, ...]
    """The load cases compared; empty where the engine is the reference itself."""
    max_dv_pu: float
    """Largest voltage difference over all cases and buses [pu]."""
    max_dloading_percent: float
    """Largest loading difference over all cases, lines and transformers [percentage points]."""
    limit_dv_pu: float = LIMIT_DV_PU
    limit_dloading_percent: float = LIMIT_DLOADING_PERCENT


def make_engine(feeder: Feeder, choice: EngineChoice = "auto") -> tuple[Engine, EngineCheck]:
    """Return an engine for ``feeder`` and the record of its check.

    ``auto`` takes the impedance matrix where the network is small enough for it, else power-grid-model; pandapower where
    the network holds something that neither can carry.

    Raises:
        FeederError: the choice is unknown or cannot carry the network.
        EngineMismatchError: the engine differs from pandapower by more than the limits.
    """
    name, reason = _choose(feeder, choice)
    engine = ENGINES[name](feeder)
    return engine, check_engine(feeder, engine, reason=reason)


def check_engine(feeder: Feeder, engine: Engine, *, reason: str) -> EngineCheck:
    """Compare ``engine`` with the reference on several load cases; raise ``EngineMismatchError`` above the limits."""
    if engine.name == REFERENCE:
        return EngineCheck(
            engine=engine.name,
            reference=REFERENCE,
            reason=reason,
            cases=(),
            max_dv_pu=0.0,
            max_dloading_percent=0.0,
        )
    reference = ENGINES[REFERENCE](feeder)
    cases = _cases(feeder)
    dv_pu = dloading_percent = 0.0
    for case, (p_kw, q_kvar) in cases.items():
        scaled_p_kw, scaled_q_kvar, expected = _solvable(reference, p_kw, q_kvar)
        got = engine.solve(scaled_p_kw, scaled_q_kvar)
        case_dv_pu, case_dloading = _differences(got, expected)
        # written so that NaN, which compares false, is a mismatch
        if not (case_dv_pu <= LIMIT_DV_PU and case_dloading <= LIMIT_DLOADING_PERCENT):
            worst = feeder.bus_name[int(np.argmax(np.abs(got.vm_pu - expected.vm_pu)))]
            raise EngineMismatchError(
                f"{feeder.name}: engine {engine.name} differs from {REFERENCE} in load case '{case}' by {case_dv_pu:.2e} pu "
                f"(bus '{worst}', limit {LIMIT_DV_PU:.0e}) and {case_dloading:.2e} % loading (limit "
                f"{LIMIT_DLOADING_PERCENT:.0e}); choose engine pandapower"
            )
        dv_pu, dloading_percent = max(dv_pu, case_dv_pu), max(dloading_percent, case_dloading)
    return EngineCheck(
        engine=engine.name,
        reference=REFERENCE,
        reason=reason,
        cases=tuple(cases),
        max_dv_pu=dv_pu,
        max_dloading_percent=dloading_percent,
    )


def _choose(feeder: Feeder, choice: EngineChoice) -> tuple[str, str]:
    if choice != "auto":
        if choice not in ENGINES:
            raise FeederError(
                f"{feeder.name}: unknown engine '{choice}'; choose auto, {', '.join(sorted(ENGINES))}"
            )
        return choice, f"{choice} is asked for"
    missing = missing_support(feeder)
    if missing:
        return REFERENCE, f"auto: the faster engines cannot carry {'; '.join(missing)}"
    n_nodes = len(feeder.grid.node_vn_kv)
    if n_nodes > MAX_NODES:
        return (
            "pgm",
            f"auto: carries everything in this network and is the fastest above {MAX_NODES} nodes ({n_nodes})",
        )
    return (
        "impedance",
        f"auto: carries everything in this network and is the fastest up to {MAX_NODES} nodes ({n_nodes})",
    )


def _cases(feeder: Feeder) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return bus powers per load case; made from the network's own devices where it has some."""
    n_buses, devices = len(feeder.bus_name), feeder.devices
    p_kw = _per_bus(devices.load_bus, devices.load_p_kw, n_buses)
    q_kvar = _per_bus(devices.load_bus, devices.load_q_kvar, n_buses)
    if not p_kw.any():
        p_kw = _placeholder_kw(feeder)
        q_kvar = 0.3 * p_kw
    generation_kw = _per_bus(devices.sgen_bus, devices.sgen_p_kw, n_buses)
    # small generators do not turn the flow: then the loads, seen as generators, do
    reverse_kw = generation_kw if -generation_kw.sum() > p_kw.sum() else generation_kw - p_kw
    return {
        "no load": (np.zeros(n_buses), np.zeros(n_buses)),
        "nominal load": (p_kw, q_kvar),
        "heavy load": (1.5 * p_kw, 2.0 * q_kvar),
        "reverse flow": (reverse_kw, 0.5 * q_kvar),
    }


def _per_bus(bus: IntArray, power: FloatArray, n_buses: int) -> FloatArray:
    return np.bincount(bus, weights=power, minlength=n_buses).astype(np.float64)


def _placeholder_kw(feeder: Feeder) -> FloatArray:
    """Return a load spread unevenly over the buses of a network that has none."""
    total_kw = _PLACEHOLDER_SHARE * float(feeder.trafo_rating_kva[feeder.head_trafos].sum())
    share = 1.0 + np.arange(len(feeder.bus_name)) % 3
    spread: FloatArray = (total_kw if total_kw > 0.0 else _PLACEHOLDER_KW) * share / share.sum()
    return spread


def _solvable(reference: Engine, p_kw: FloatArray, q_kvar: FloatArray) -> tuple[FloatArray, FloatArray, Flow]:
    """Return the powers, halved until the reference converges above collapse, and its flow.

    Near collapse there are two solutions, and engines may rightly find different ones.
    """
    failure: PowerFlowError | None = None
    for halving in range(_HALVINGS):
        scale = 0.5**halving
        try:
            flow = reference.solve(scale * p_kw, scale * q_kvar)
        except PowerFlowError as error:
            failure = error
            continue
        if flow.vm_pu.min(initial=1.0) > _LOWEST_USEFUL_PU:
            return scale * p_kw, scale * q_kvar, flow
        failure = PowerFlowError(f"voltages fall to {flow.vm_pu.min():.2f} pu")
    raise FeederError(
        f"the network cannot carry its own loads of {p_kw.sum():.4g} kW, not even a small part of them ({failure}); check "
        "that its powers are in MW and its lines and transformers are right"
    ) from failure


def _differences(got: Flow, expected: Flow) -> tuple[float, float]:
    dv_pu = np.abs(got.vm_pu - expected.vm_pu).max(initial=0.0)
    lines = np.abs(got.line_loading_percent - expected.line_loading_percent).max(initial=0.0)
    trafos = np.abs(got.trafo_loading_percent - expected.trafo_loading_percent).max(initial=0.0)
    return float(dv_pu), float(max(lines, trafos))
