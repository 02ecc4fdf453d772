"""What the models of an emulated SunSpec device read after each step.

Values are by local name (``W``), in the units of the models. Inverter models count generation positive; meter models are
taken to count consumption positive, as the map ``sunspec_meter`` does. Names, units and codes: SunSpec Device Information
Model Definitions, as packaged in pysunspec2.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from hil_adapters.virtual.plate import Plate
from hil_adapters.virtual.state import DeviceState, Operation

__all__ = ["EMULATED_READINGS", "Values", "readings"]

Values = dict[str, float | str]

_SQRT_3: Final = math.sqrt(3.0)
_DC_V: Final = 600.0
"""Voltage shown on the direct-current side [V]; the physics do not know one."""
_BATTERY_V: Final = 400.0
_MODES: Final[Mapping[Operation, tuple[int, int]]] = {
    Operation.OFF: (1, 0),
    Operation.STARTING: (3, 2),
    Operation.STANDBY: (8, 7),
    Operation.RUNNING: (4, 3),
    Operation.THROTTLED: (5, 4),
    Operation.TRIPPED: (7, 6),
}
"""``St`` of models 10x and 11x, ``InvSt`` of model 701."""
_GRID_DISCONNECT: Final = 1 << 4
_EVENTS: Final[Mapping[str, int]] = {
    "59.S1": 1 << 10,
    "59.S2": 1 << 10,
    "27.S1": 1 << 11,
    "27.S2": 1 << 11,
    "81>.S1": 1 << 8,
    "81>.S2": 1 << 8,
    "81<.S1": 1 << 9,
    "81<.S2": 1 << 9,
}
"""Bits of ``Evt1`` of models 10x and 11x by relay."""
_COMMUNICATION_ERROR: Final = 1 << 0
"""Bit of ``Evt1`` of model 802."""
_OPEN: Final = frozenset({Operation.OFF, Operation.STARTING, Operation.TRIPPED})


def readings(model: int, plate: Plate, state: DeviceState) -> Values:
    """Return the readings of a model; none of models that hold only ratings or settings."""
    reader = _READERS.get(model)
    return {} if reader is None else reader(plate, state)


def _per_phase(name: str, value: float, phases: int) -> Values:
    return {name.format(phase): value for phase in "ABC"[:phases]}


def _inverter(phases: int) -> Callable[[Plate, DeviceState], Values]:
    """Return the reader of models 101, 103, 111 and 113."""

    def read(_: Plate, state: DeviceState) -> Values:
        amperes = state.current_a(phases)
        between = ("PPVphAB", "PPVphBC", "PPVphCA") if phases > 1 else ()
        return {
            "A": amperes * phases,
            **_per_phase("Aph{}", amperes, phases),
            **dict.fromkeys(between, state.vm_v * _SQRT_3),
            **_per_phase("PhVph{}", state.vm_v, phases),
            "W": -1000.0 * state.p_kw,
            "Hz": state.frequency_hz,
            "VA": 1000.0 * state.s_kva,
            "VAr": -1000.0 * state.q_kvar,
            "PF": 100.0 * state.power_factor,
            "WH": 1000.0 * state.e_export_kwh,
            "DCW": -1000.0 * state.p_kw,
            "DCV": _DC_V,
            "TmpCab": state.temp_degc,
            "St": _MODES[state.operation][0],
            "Evt1": _event(state),
        }

    return read


def _event(state: DeviceState) -> int:
    if state.operation is not Operation.TRIPPED or state.tripped_by is None:
        return 0
    return _GRID_DISCONNECT | _EVENTS[state.tripped_by]


def _meter(phases: int) -> Callable[[Plate, DeviceState], Values]:
    """Return the reader of models 201, 203, 211 and 213."""

    def read(_: Plate, state: DeviceState) -> Values:
        amperes = state.current_a(phases)
        share = 1.0 / phases
        found: Values = {
            "A": amperes * phases,
            **_per_phase("Aph{}", amperes, phases),
            "PhV": state.vm_v,
            **_per_phase("PhVph{}", state.vm_v, phases),
            "Hz": state.frequency_hz,
            "W": 1000.0 * state.p_kw,
            **_per_phase("Wph{}", 1000.0 * state.p_kw * share, phases),
            "VA": 1000.0 * state.s_kva,
            **_per_phase("VAph{}", 1000.0 * state.s_kva * share, phases),
            "VAR": 1000.0 * state.q_kvar,
            **_per_phase("VARph{}", 1000.0 * state.q_kvar * share, phases),
            "PF": 100.0 * state.power_factor,
            "TotWhExp": 1000.0 * state.e_export_kwh,
            "TotWhImp": 1000.0 * state.e_import_kwh,
            "Evt": 0,
        }
        if phases > 1:
            names = ("PPV", "PhVphAB", "PhVphBC", "PhVphCA")
            found |= dict.fromkeys(names, state.vm_v * _SQRT_3)
        return found

    return read


def _status(plate: Plate, state: DeviceState) -> Values:
    """Model 122: bits 0 connected, 1 available, 2 operating."""
    is_open = state.operation in _OPEN
    bits = (0 if is_open else 1) | 2 | (4 if not is_open and state.p_kw != 0.0 else 0)
    which = "PVConn" if plate.capacity_kwh == 0.0 else "StorConn"
    return {which: bits, "ECPConn": 0 if is_open else 1, "ActWh": 1000.0 * state.e_export_kwh}


def _der(plate: Plate, state: DeviceState) -> Values:
    """Model 701."""
    phases = plate.phases
    amperes, share = state.current_a(phases), 1.0 / phases
    found: Values = {
        "ACType": 0 if phases == 1 else 2,
        "St": 0 if state.operation is Operation.OFF else 1,
        "InvSt": _MODES[state.operation][1],
        "ConnSt": 0 if state.operation in _OPEN else 1,
        "Alrm": 0,
        "W": -1000.0 * state.p_kw,
        "VA": 1000.0 * state.s_kva,
        "Var": -1000.0 * state.q_kvar,
        "PF": state.power_factor,
        "A": amperes * phases,
        "LLV": state.vm_v * (_SQRT_3 if phases > 1 else 1.0),
        "LNV": state.vm_v,
        "Hz": state.frequency_hz,
        "TotWhInj": 1000.0 * state.e_export_kwh,
        "TotWhAbs": 1000.0 * state.e_import_kwh,
        "TmpCab": state.temp_degc,
    }
    for phase in range(1, phases + 1):
        found |= {
            f"WL{phase}": -1000.0 * state.p_kw * share,
            f"VAL{phase}": 1000.0 * state.s_kva * share,
            f"VarL{phase}": -1000.0 * state.q_kvar * share,
            f"AL{phase}": amperes,
            f"VL{phase}": state.vm_v,
        }
    return found


def _storage_control(_: Plate, state: DeviceState) -> Values:
    """Model 124."""
    return {"ChaState": 100.0 * _soc(state), "ChaSt": _charge_status(state), "InBatV": _BATTERY_V}


def _modules(_: Plate, state: DeviceState) -> Values:
    """Model 160 with one input."""
    return {"Evt": 0, "1.ID": 1, "1.IDStr": "1", "1.DCW": max(-1000.0 * state.p_kw, 0.0), "1.DCV": _DC_V}


def _storage(_: Plate, state: DeviceState) -> Values:
    """Model 713."""
    return {"SoC": 100.0 * _soc(state), "SoH": 100.0, "Sta": 0}


def _heartbeat(_: Plate, state: DeviceState) -> Values:
    """Model 715."""
    return {"DERHb": state.beats % 0xFFFF_FFFF}


def _battery(_: Plate, state: DeviceState) -> Values:
    """Model 802; discharging counts positive."""
    connected, disconnected, standby = 3, 1, 4
    on_grid = standby if state.is_unheard else connected
    return {
        "SoC": 100.0 * _soc(state),
        "DoD": 100.0 * (1.0 - _soc(state)),
        "SoH": 100.0,
        "ChaSt": _charge_status(state),
        "Hb": state.beats % 0xFFFF,
        "State": disconnected if state.operation in _OPEN else on_grid,
        "Evt1": _COMMUNICATION_ERROR if state.is_unheard else 0,
        "V": _BATTERY_V,
        "A": -1000.0 * state.p_kw / _BATTERY_V,
        "W": -1000.0 * state.p_kw,
    }


def _soc(state: DeviceState) -> float:
    return 0.0 if state.soc is None else state.soc


def _charge_status(state: DeviceState) -> int:
    """Return 3 discharging, 4 charging, 6 holding."""
    discharging, charging, holding = 3, 4, 6
    if state.p_kw == 0.0:
        return holding
    return charging if state.p_kw > 0.0 else discharging


_READERS: Final[Mapping[int, Callable[[Plate, DeviceState], Values]]] = {
    101: _inverter(1),
    103: _inverter(3),
    111: _inverter(1),
    113: _inverter(3),
    122: _status,
    124: _storage_control,
    160: _modules,
    201: _meter(1),
    203: _meter(3),
    211: _meter(1),
    213: _meter(3),
    701: _der,
    713: _storage,
    715: _heartbeat,
    802: _battery,
}

EMULATED_READINGS: Final = frozenset(_READERS)
"""Models that read something."""
