"""Checks that every engine makes on what it takes and on what it gives."""

import math

import numpy as np

from models.errors import FeederError, PowerFlowError
from models.feeder.base import Feeder, FloatArray, Flow, missing_support
from models.feeder.names import listing

__all__ = ["check_carried", "check_flow", "check_powers", "heaviest"]


def check_carried(feeder: Feeder, engine: str) -> None:
    """Raise ``FeederError`` unless the arrays of ``feeder`` hold everything an engine on them needs."""
    missing = missing_support(feeder)
    if missing:
        raise FeederError(
            f"{feeder.name}: engine {engine} cannot carry {'; '.join(missing)}; choose engine auto or pandapower"
        )
    if len(np.unique(feeder.windings.trafo)) != len(feeder.trafo_name):
        raise FeederError(
            f"{feeder.name}: transformers without windings; build the feeder with compile_feeder"
        )


def check_powers(feeder: Feeder, p_kw: FloatArray, q_kvar: FloatArray) -> None:
    """Raise ``PowerFlowError`` unless both arrays have one finite value per bus."""
    shape = (len(feeder.bus_name),)
    for word, values in (("p_kw", p_kw), ("q_kvar", q_kvar)):
        if values.shape != shape:
            raise PowerFlowError(
                f"{feeder.name}: {word} has shape {values.shape}; give one value per bus, {shape}"
            )
        # a sum is finite if and only if every value is (none is near the largest float)
        if not math.isfinite(values.sum()):
            wrong = (feeder.bus_name[bus] for bus in np.flatnonzero(~np.isfinite(values)))
            raise PowerFlowError(
                f"{feeder.name}: {word} is not finite at bus {listing(wrong)}; look for a gap in the profiles or a device "
                "that returns NaN"
            )


def check_flow(feeder: Feeder, flow: Flow, p_kw: FloatArray, q_kvar: FloatArray) -> Flow:
    """Return ``flow``, or raise ``PowerFlowError`` if it holds a value that is not finite."""
    sums = flow.vm_pu.sum() + flow.line_loading_percent.sum() + flow.trafo_loading_percent.sum()
    if math.isfinite(sums + flow.p_import_kw + flow.q_import_kvar + flow.p_loss_kw):
        return flow
    arrays = {
        "vm_pu": (flow.vm_pu, feeder.bus_name),
        "line_loading_percent": (flow.line_loading_percent, feeder.line_name),
        "trafo_loading_percent": (flow.trafo_loading_percent, feeder.trafo_name),
    }
    for word, (values, names) in arrays.items():
        if not np.isfinite(values).all():
            wrong = listing(names[place] for place in np.flatnonzero(~np.isfinite(values)))
            raise PowerFlowError(
                f"{feeder.name}: {word} is not finite at {wrong}; {heaviest(feeder, p_kw, q_kvar)}"
            )
    raise PowerFlowError(f"{feeder.name}: import or losses are not finite; {heaviest(feeder, p_kw, q_kvar)}")


def heaviest(feeder: Feeder, p_kw: FloatArray, q_kvar: FloatArray) -> str:
    """Return, for a message, the total power and the bus with the largest."""
    bus = int(np.argmax(np.hypot(p_kw, q_kvar)))
    return (
        f"total {p_kw.sum():.1f} kW and {q_kvar.sum():.1f} kvar, largest at bus '{feeder.bus_name[bus]}' with "
        f"{p_kw[bus]:.1f} kW and {q_kvar[bus]:.1f} kvar"
    )
