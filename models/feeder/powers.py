"""Checks that every engine makes on what it takes and on what it gives."""

import numpy as np

from models.errors import PowerFlowError
from models.feeder.base import Feeder, FloatArray, Flow
from models.feeder.names import listing

__all__ = ["check_flow", "check_powers", "heaviest"]


def check_powers(feeder: Feeder, p_kw: FloatArray, q_kvar: FloatArray) -> None:
    """Raise ``PowerFlowError`` unless both arrays have one finite value per bus."""
    shape = (len(feeder.bus_name),)
    for word, values in (("p_kw", p_kw), ("q_kvar", q_kvar)):
        if values.shape != shape:
            raise PowerFlowError(
                f"{feeder.name}: {word} has shape {values.shape}; give one value per bus, {shape}"
            )
        if not np.isfinite(values).all():
            wrong = (feeder.bus_name[bus] for bus in np.flatnonzero(~np.isfinite(values)))
            raise PowerFlowError(
                f"{feeder.name}: {word} is not finite at bus {listing(wrong)}; look for a gap in the profiles or a device "
                "that returns NaN"
            )


def check_flow(feeder: Feeder, flow: Flow, p_kw: FloatArray, q_kvar: FloatArray) -> Flow:
    """Return ``flow``, or raise ``PowerFlowError`` if it holds a value that is not finite."""
    arrays = {
        "vm_pu": (flow.vm_pu, feeder.bus_name),
        "line_loading_percent": (flow.line_loading_percent, feeder.line_name),
        "trafo_loading_percent": (flow.trafo_loading_percent, feeder.trafo_name),
    }
    for word, (values, names) in arrays.items():
        # the sum is finite if and only if every value is (none is near the largest float)
        if not np.isfinite(values.sum()):
            wrong = listing(names[place] for place in np.flatnonzero(~np.isfinite(values)))
            raise PowerFlowError(
                f"{feeder.name}: {word} is not finite at {wrong}; {heaviest(feeder, p_kw, q_kvar)}"
            )
    if not np.isfinite(flow.p_import_kw + flow.q_import_kvar + flow.p_loss_kw):
        raise PowerFlowError(
            f"{feeder.name}: import or losses are not finite; {heaviest(feeder, p_kw, q_kvar)}"
        )
    return flow


def heaviest(feeder: Feeder, p_kw: FloatArray, q_kvar: FloatArray) -> str:
    """Return, for a message, the total power and the bus with the largest."""
    bus = int(np.argmax(np.hypot(p_kw, q_kvar)))
    return (
        f"total {p_kw.sum():.1f} kW and {q_kvar.sum():.1f} kvar, largest at bus '{feeder.bus_name[bus]}' with "
        f"{p_kw[bus]:.1f} kW and {q_kvar[bus]:.1f} kvar"
    )
