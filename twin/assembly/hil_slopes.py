"""How the power of a device on the wire follows its voltage: as written, as its acceptance test measured, or as its model says."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from models.devices.pv_inverter import P_V_OFF_PU
from models.inverter import ReactiveMode
from twin.assembly.drafts import EntryError
from twin.assembly.hil_inside import FMU, Inside
from twin.hil import WireSlope
from twin.scenario.modbus import ModbusSpec
from twin.units import volts

__all__ = ["slope_of_inverter", "slopes_of"]


def slopes_of(spec: ModbusSpec, inside: Inside, *, size: int, base_dir: Path) -> tuple[WireSlope | None, ...]:
    """Return the slope of each of the N devices of an entry; None where it is not known.

    Args:
        spec: the ``modbus:`` block.
        inside: what computes the devices offline.
        size: number of devices N.
        base_dir: folder of the scenario.

    Raises:
        EntryError: the acceptance report cannot be read; paths start at the entry.
    """
    stated = spec.slope_kw_v
    if stated is None and spec.acceptance is not None:
        stated = _measured(base_dir / spec.acceptance)
    if stated is not None:
        return (WireSlope(p_kw_v=stated),) * size
    if inside.kind == FMU:
        return (None,) * size
    if inside.kind != "pv_inverter":
        return (WireSlope(),) * size
    return tuple(
        slope_of_inverter(
            {name: float(values[at]) for name, values in inside.parameters.items()}, n=spec.stands_for
        )
        for at in range(size)
    )


def slope_of_inverter(parameters: Mapping[str, float], *, n: float = 1.0) -> WireSlope:
    """Return the steepest slopes of P(V) and Q(V) of one inverter; ``parameters`` are those of ``n`` of them."""
    volts_per_pu = volts(1.0)
    p_kw_v = 0.0
    if parameters["p_v_start_pu"] < P_V_OFF_PU:
        width_v = (parameters["p_v_end_pu"] - parameters["p_v_start_pu"]) * volts_per_pu
        p_kw_v = (1.0 - parameters["p_v_min_share"]) * parameters["p_rated_kw"] / width_v
    q_kvar_v = 0.0
    if parameters["mode"] == float(ReactiveMode.Q_V):
        rises = (
            parameters["v2s_pu"] - parameters["v1s_pu"],
            parameters["v1i_pu"] - parameters["v2i_pu"],
        )
        q_kvar_v = parameters["q_max_share"] * parameters["p_rated_kw"] / (min(rises) * volts_per_pu)
    return WireSlope(p_kw_v=p_kw_v / n, q_kvar_v=q_kvar_v / n)


def _measured(file: Path) -> float | None:
    """Return the slope in an acceptance report [kW/V]; None where there is no report yet or it has none."""
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        text = f"{file} cannot be read: {error}; make it again with `twin device check`"
        raise EntryError([(("modbus", "acceptance"), text)]) from error
    slope = report.get("slope_kw_v") if isinstance(report, dict) else None
    if slope is None:
        return None
    if isinstance(slope, bool) or not isinstance(slope, (int, float)) or not math.isfinite(slope):
        text = f"slope_kw_v in {file} is no number; make the report again with `twin device check`"
        raise EntryError([(("modbus", "acceptance"), text)])
    return float(slope)
