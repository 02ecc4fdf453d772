"""Models of an emulated SunSpec device as they are at the start: identity, ratings, settings, scale factors.

Settings that are not given read as not implemented and cannot be written. Factory settings: no limit in force, every
reversion time 0, which means never; that is what makers ship (Fronius GEN24, as users report). ``Conn_WinTms`` of model
123 is kept without effect: clients write its own value back to try whether they may write.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hil_adapters.errors import MapError
from hil_adapters.sunspec.image import ModelSpec
from hil_adapters.virtual.plate import Plate
from hil_adapters.virtual.state import NOMINAL_HZ, NOMINAL_V, DeviceState
from hil_adapters.virtual.sunspec_readings import EMULATED_READINGS, Values, readings

__all__ = ["LIMITS", "default_models", "model_specs"]

_KIND_MODELS: Final[Mapping[str, tuple[int, ...]]] = {
    "pv": (1, 103, 120, 121, 122, 123, 160),
    "battery": (1, 103, 120, 121, 122, 123, 124, 802),
    "meter": (1, 203),
}
_SINGLE_PHASE: Final[Mapping[int, int]] = {103: 101, 203: 201}
_TOLERANT_SHARE: Final = 1.25
"""Registers of power have room for this share of the largest power."""
_INT16: Final = 32767
_PERCENT: Final = (0.0, 100.0)
_SIGNED_PERCENT: Final = (-100.0, 100.0)
_EVER_S: Final = (0.0, 65534.0)
_AT_ONCE: Final = (100.0, 100.0)
"""Rates of change of a battery in percent a second; slower ones are not emulated."""

LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "121.WMax": (0.0, math.inf),
    "123.WMaxLimPct": _PERCENT,
    "123.Conn_RvrtTms": _EVER_S,
    "123.WMaxLimPct_RvrtTms": _EVER_S,
    "123.WMaxLimPct_RmpTms": _EVER_S,
    "124.InOutWRte_RmpTms": _EVER_S,
    "124.WChaGra": _AT_ONCE,
    "124.WDisChaGra": _AT_ONCE,
    "124.InWRte": _SIGNED_PERCENT,
    "124.OutWRte": _SIGNED_PERCENT,
    "124.MinRsvPct": _PERCENT,
    "124.StorCtl_Mod": (0.0, 3.0),
    "704.WMaxLimPct": _PERCENT,
    "704.WMaxLimPctRvrt": _PERCENT,
    "704.WSetPct": _SIGNED_PERCENT,
    "704.WSetPctRvrt": _SIGNED_PERCENT,
}
"""Smallest and largest value that the device takes, by point."""


def default_models(kind: str, plate: Plate) -> tuple[int, ...]:
    """Return the models that a device of a kind of register map usually has.

    Raises:
        MapError: SunSpec has no models in use for the kind.
    """
    if kind not in _KIND_MODELS:
        raise MapError(
            f"SunSpec has no models in use for a {kind}; name the models, or take a maker's register map"
        )
    models = _KIND_MODELS[kind]
    return tuple(_SINGLE_PHASE.get(model, model) for model in models) if plate.phases == 1 else models


def model_specs(models: Sequence[int], plate: Plate, state: DeviceState) -> tuple[ModelSpec, ...]:
    """Return the models with everything that the device implements.

    Raises:
        MapError: a model that is not emulated.
    """
    return tuple(_spec(model, plate, state) for model in models)


def _spec(model: int, plate: Plate, state: DeviceState) -> ModelSpec:
    if model not in EMULATED_READINGS and model not in _SETTINGS:
        known = ", ".join(str(number) for number in sorted({*EMULATED_READINGS, *_SETTINGS}))
        raise MapError(f"SunSpec model {model} is not emulated; choose among {known}")
    settings = _SETTINGS.get(model)
    return ModelSpec(
        model=model,
        counts={"module": 1} if model == _MODULES else {},
        values=({} if settings is None else settings(plate)) | readings(model, plate, state),
        scale_factors=_scale_factors(model, plate),
    )


_MODULES: Final = 160


def _exponent(largest: float) -> int:
    """Return the smallest scale factor with which ``largest`` fits into an int16, from -1 up."""
    if largest <= 0.0:
        return 0
    return max(math.ceil(math.log10(_TOLERANT_SHARE * largest / _INT16)), -1)


_POWER_SCALES: Final[Mapping[int, tuple[str, ...]]] = {
    101: ("W_SF", "VA_SF", "VAr_SF", "DCW_SF"),
    103: ("W_SF", "VA_SF", "VAr_SF", "DCW_SF"),
    120: ("WRtg_SF", "VARtg_SF", "VArRtg_SF", "MaxChaRte_SF", "MaxDisChaRte_SF"),
    121: ("WMax_SF", "VAMax_SF", "VArMax_SF"),
    124: ("WChaMax_SF", "VAChaMax_SF"),
    160: ("DCW_SF",),
    201: ("W_SF", "VA_SF", "VAR_SF"),
    203: ("W_SF", "VA_SF", "VAR_SF"),
    701: ("W_SF", "VA_SF", "Var_SF"),
    702: ("W_SF", "VA_SF", "Var_SF"),
    704: ("WSet_SF", "VarSet_SF"),
    802: ("WChaDisChaMax_SF", "W_SF"),
}
_ENERGY_SCALES: Final[Mapping[int, tuple[str, ...]]] = {
    120: ("WHRtg_SF",),
    713: ("WH_SF",),
    802: ("WHRtg_SF",),
}
_CURRENT_SCALES: Final[Mapping[int, tuple[str, ...]]] = {
    101: ("A_SF",),
    103: ("A_SF",),
    201: ("A_SF",),
    203: ("A_SF",),
    701: ("A_SF",),
}
_POWER_FACTORS_IN_PERCENT: Final = frozenset({101, 103, 201, 203})


def _scale_factors(model: int, plate: Plate) -> dict[str, int]:
    power = _exponent(1000.0 * plate.largest_kw)
    energy = _exponent(1000.0 * plate.capacity_kwh)
    current = max(_exponent(100.0 * 1000.0 * plate.largest_kw / NOMINAL_V), 0) - 2
    found = dict.fromkeys(_POWER_SCALES.get(model, ()), power)
    found |= dict.fromkeys(_ENERGY_SCALES.get(model, ()), energy)
    found |= dict.fromkeys(_CURRENT_SCALES.get(model, ()), current)
    if model in _POWER_FACTORS_IN_PERCENT:
        found["PF_SF"] = -2
    return found


def _common(plate: Plate) -> Values:
    return {
        "Mn": plate.manufacturer,
        "Md": plate.model,
        "Vr": plate.version,
        "SN": plate.serial,
        "DA": 1,
    }


def _nameplate(plate: Plate) -> Values:
    pv, pv_with_storage = 4, 82
    found: Values = {
        "DERTyp": pv_with_storage if plate.capacity_kwh else pv,
        "WRtg": 1000.0 * plate.p_rated_kw,
        "VARtg": 1000.0 * plate.s_rated_kva,
        "ARtg": 1000.0 * plate.s_rated_kva / (plate.phases * NOMINAL_V),
    }
    if plate.capacity_kwh:
        found |= {
            "WHRtg": 1000.0 * plate.capacity_kwh,
            "MaxChaRte": 1000.0 * plate.charge_kw,
            "MaxDisChaRte": 1000.0 * plate.discharge_kw,
        }
    return found


def _basic_settings(plate: Plate) -> Values:
    return {
        "WMax": 1000.0 * plate.p_rated_kw,
        "VRef": NOMINAL_V,
        "VAMax": 1000.0 * plate.s_rated_kva,
        "ECPNomHz": NOMINAL_HZ,
    }


def _immediate_controls(_: Plate) -> Values:
    return {
        "Conn_WinTms": 0,
        "Conn_RvrtTms": 0,
        "Conn": 1,
        "WMaxLimPct": 100.0,
        "WMaxLimPct_RvrtTms": 0,
        "WMaxLimPct_RmpTms": 0,
        "WMaxLim_Ena": 0,
    }


def _storage_settings(plate: Plate) -> Values:
    return {
        "WChaMax": 1000.0 * max(plate.charge_kw, plate.discharge_kw),
        "WChaGra": 100.0,
        "WDisChaGra": 100.0,
        "StorCtl_Mod": 0,
        "OutWRte": 100.0,
        "InWRte": 100.0,
        "InOutWRte_RvrtTms": 0,
        "InOutWRte_RmpTms": 0,
    }


def _der_ratings(plate: Plate) -> Values:
    rated_w, rated_va = 1000.0 * plate.p_rated_kw, 1000.0 * plate.s_rated_kva
    found: Values = {
        "WMaxRtg": rated_w,
        "VAMaxRtg": rated_va,
        "VNomRtg": NOMINAL_V,
        "WMax": rated_w,
        "VAMax": rated_va,
        "VNom": NOMINAL_V,
    }
    if plate.capacity_kwh:
        charge_w, discharge_w = 1000.0 * plate.charge_kw, 1000.0 * plate.discharge_kw
        found |= {"WChaRteMaxRtg": charge_w, "WDisChaRteMaxRtg": discharge_w}
        found |= {"WChaRteMax": charge_w, "WDisChaRteMax": discharge_w}
    return found


def _der_controls(plate: Plate) -> Values:
    found: Values = {
        "WMaxLimPctEna": 0,
        "WMaxLimPct": 100.0,
        "WMaxLimPctRvrt": 100.0,
        "WMaxLimPctEnaRvrt": 0,
        "WMaxLimPctRvrtTms": 0,
        "WMaxLimPctRvrtRem": 0,
    }
    if plate.capacity_kwh:
        found |= {
            "WSetEna": 0,
            "WSetMod": 1,
            "WSet": 0.0,
            "WSetRvrt": 0.0,
            "WSetPct": 0.0,
            "WSetPctRvrt": 0.0,
        }
        found |= {"WSetEnaRvrt": 0, "WSetRvrtTms": 0, "WSetRvrtRem": 0}
    return found


def _storage_capacity(plate: Plate) -> Values:
    return {"WHRtg": 1000.0 * plate.capacity_kwh}


def _battery_ratings(plate: Plate) -> Values:
    lithium_ion, remote = 4, 0
    return {
        "WHRtg": 1000.0 * plate.capacity_kwh,
        "WChaRteMax": 1000.0 * plate.charge_kw,
        "WDisChaRteMax": 1000.0 * plate.discharge_kw,
        "SoCMax": 100.0,
        "SoCMin": 0.0,
        "LocRemCtl": remote,
        "CtrlHb": 0,
        "Typ": lithium_ion,
    }


def _der_control_mode(_: Plate) -> Values:
    return {"LocRemCtl": 0, "ControllerHb": 0}


_SETTINGS: Final[Mapping[int, Callable[[Plate], Values]]] = {
    1: _common,
    120: _nameplate,
    121: _basic_settings,
    123: _immediate_controls,
    124: _storage_settings,
    702: _der_ratings,
    704: _der_controls,
    713: _storage_capacity,
    715: _der_control_mode,
    802: _battery_ratings,
}
