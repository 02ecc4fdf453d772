"""What the controls of an emulated SunSpec device ask for, and how they fall back: models 123, 124 and 704.

Models 123 and 124: after ``*_RvrtTms`` seconds without a write the function goes back to its default; 0 means never; the
time itself stays. Model 704: the function goes to its reversion value and its reversion enable, and the time counts only
while the function is enabled. A write of the set-point, of the enable or of the time starts the time again. Sources: texts
of the models (SunSpec Device Information Model Definitions); the reading of 704 follows sunspec/models issue 215, which
is open.
"""

import math
from typing import Final

from hil_adapters.virtual.ramps import Ramps
from hil_adapters.virtual.registers import RegisterStore
from hil_adapters.virtual.timers import FallBack, Reversion

__all__ = ["HEARTBEAT", "REVERSIONS", "is_disconnected", "sunspec_commands"]

HEARTBEAT: Final = "802.CtrlHb"
"""What the controller of a battery counts up."""
_CHARGE: Final = 1
_DISCHARGE: Final = 2
_WATTS: Final = 1
"""``704.WSetMod``: the set-point is in watts, else in percent."""


def _der(function: str, values: tuple[str, ...]) -> Reversion:
    """Return the reversion of a function of model 704."""
    names = (*values, f"{function}Ena")
    return Reversion(
        name=f"704.{function}",
        refreshed_by=frozenset(f"704.{name}" for name in (*names, f"{function}RvrtTms")),
        fall_back=(
            *(FallBack(point=f"704.{name}", from_point=f"704.{name}Rvrt") for name in values),
            FallBack(point=f"704.{function}Ena", from_point=f"704.{function}EnaRvrt"),
        ),
        timeout_point=f"704.{function}RvrtTms",
        counts_while=f"704.{function}Ena",
        remaining_point=f"704.{function}RvrtRem",
    )


REVERSIONS: Final[tuple[Reversion, ...]] = (
    Reversion(
        name="123.Conn",
        refreshed_by=frozenset({"123.Conn", "123.Conn_RvrtTms"}),
        fall_back=(FallBack(point="123.Conn", value=1.0),),
        timeout_point="123.Conn_RvrtTms",
    ),
    Reversion(
        name="123.WMaxLimPct",
        refreshed_by=frozenset({"123.WMaxLimPct", "123.WMaxLimPct_RvrtTms", "123.WMaxLim_Ena"}),
        fall_back=(
            FallBack(point="123.WMaxLimPct", value=100.0),
            FallBack(point="123.WMaxLim_Ena", value=0.0),
        ),
        timeout_point="123.WMaxLimPct_RvrtTms",
        counts_while="123.WMaxLim_Ena",
    ),
    Reversion(
        name="124.InOutWRte",
        refreshed_by=frozenset(
            {"124.InWRte", "124.OutWRte", "124.StorCtl_Mod", "124.InOutWRte_RvrtTms"},
        ),
        fall_back=(
            FallBack(point="124.InWRte", value=100.0),
            FallBack(point="124.OutWRte", value=100.0),
            FallBack(point="124.StorCtl_Mod", value=0.0),
        ),
        timeout_point="124.InOutWRte_RvrtTms",
        counts_while="124.StorCtl_Mod",
    ),
    _der("WMaxLimPct", ("WMaxLimPct",)),
    _der("WSet", ("WSet", "WSetPct")),
)
"""For ``Reversions``; those of models that a device lacks are left out there."""


def is_disconnected(store: RegisterStore) -> bool:
    """Return whether a client has taken the device off the grid (``123.Conn`` is 0)."""
    return store.number("123.Conn") == 0.0


def sunspec_commands(store: RegisterStore, ramps: Ramps, *, p_kw: float) -> dict[str, float]:
    """Return what the controls ask for: ``p_limit_kw`` and ``p_set_kw``, each only while in force; consumption positive.

    The storage rates of model 124 are the ends of a window; a device without a set-point of its own rests at 0 kW in it, or
    at the nearer end where 0 is outside. Where a client has put the ends the wrong way round the end for charging counts.
    A limit of model 123 moves from full power or from the limit before in ``WMaxLimPct_RmpTms``, what model 124 asks for
    from the present power in ``InOutWRte_RmpTms``; what falls back or is disabled is gone at once.

    Args:
        store: the registers.
        ramps: of this device, in the present tick.
        p_kw: present power [kW].
    """
    found: dict[str, float] = {}
    limit_kw = _limit_kw(store, ramps)
    if limit_kw is not None:
        found["p_limit_kw"] = limit_kw
    set_kw = _set_kw(store, ramps, p_kw)
    if set_kw is not None:
        found["p_set_kw"] = set_kw
    return found


def _limit_kw(store: RegisterStore, ramps: Ramps) -> float | None:
    """Return the tighter of the limits that are enabled."""
    limits: list[float] = []
    for enable, percent, bases in (
        ("123.WMaxLim_Ena", "123.WMaxLimPct", ("121.WMax", "120.WRtg")),
        ("704.WMaxLimPctEna", "704.WMaxLimPct", ("702.WMax", "702.WMaxRtg", "120.WRtg")),
    ):
        share, base_w = store.number(percent), _first(store, bases)
        if store.number(enable) and share is not None and base_w is not None:
            full_kw = base_w / 1000.0
            ramp_s = _time_s(store, f"{percent}_RmpTms")
            limits.append(ramps.move(percent, share / 100.0 * full_kw, start=full_kw, ramp_s=ramp_s))
    return min(limits) if limits else None


def _time_s(store: RegisterStore, point: str) -> float:
    """Return a time; 0 where the device has no such point."""
    value = store.number(point)
    return 0.0 if value is None else value


def _set_kw(store: RegisterStore, ramps: Ramps, p_kw: float) -> float | None:
    wish_kw = _der_set_kw(store)
    mode = store.number("124.StorCtl_Mod")
    if not mode:
        return wish_kw
    base_w = store.number("124.WChaMax")
    if base_w is None:
        return wish_kw
    high_kw = _rate_kw(store, "124.InWRte", base_w) if int(mode) & _CHARGE else math.inf
    low_kw = -_rate_kw(store, "124.OutWRte", base_w) if int(mode) & _DISCHARGE else -math.inf
    aim_kw = min(max(0.0 if wish_kw is None else wish_kw, low_kw), high_kw)
    return ramps.move("124", aim_kw, start=p_kw, ramp_s=_time_s(store, "124.InOutWRte_RmpTms"))


def _rate_kw(store: RegisterStore, point: str, base_w: float) -> float:
    rate = store.number(point)
    return math.inf if rate is None else rate / 100.0 * base_w / 1000.0


def _der_set_kw(store: RegisterStore) -> float | None:
    """Return the set-point of model 704; injection counts positive there."""
    if not store.number("704.WSetEna"):
        return None
    if store.number("704.WSetMod") == _WATTS:
        watts = store.number("704.WSet")
        return None if watts is None else -watts / 1000.0
    percent, base_w = store.number("704.WSetPct"), _first(store, ("702.WMax", "702.WMaxRtg"))
    return None if percent is None or base_w is None else -percent / 100.0 * base_w / 1000.0


def _first(store: RegisterStore, names: tuple[str, ...]) -> float | None:
    return next((value for name in names if (value := store.number(name)) is not None), None)
