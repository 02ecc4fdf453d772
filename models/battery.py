"""A fleet of batteries: arrays of parameters, one pure step.

Stored energy decays by the standing loss, grows by what is charged times the charge efficiency and shrinks by what
is discharged over the discharge efficiency:

    e' = a * e + eta_charge * p_charge * dt - p_discharge * dt / eta_discharge,   a = (1 - loss per day)^(dt/day)

Sign: consumption positive, so charging is positive. All arrays have shape (B,).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import DeviceError

__all__ = ["BatteryFleet", "advance", "clip_power_kw", "power_limits_kw", "retention"]

FloatArray = NDArray[np.float64]

_SECONDS_PER_HOUR = 3600.0
_SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True, kw_only=True, eq=False)
class BatteryFleet:
    """Parameters of B batteries."""

    capacity_kwh: FloatArray
    charge_kw: FloatArray
    """Largest charging power at the terminal, positive."""
    discharge_kw: FloatArray
    """Largest discharging power at the terminal, positive."""
    eta_charge: FloatArray
    """Stored over taken energy, 0 to 1."""
    eta_discharge: FloatArray
    """Delivered over released energy, 0 to 1."""
    soc_min: FloatArray
    """Discharging stops here, 0 to 1."""
    soc_max: FloatArray
    """Charging stops here, 0 to 1."""
    loss_per_day: FloatArray
    """Standing loss: share of the stored energy lost in a day at rest, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse parameters that contradict each other."""
        checks = (
            ("capacity_kwh", self.capacity_kwh > 0, "must be above 0"),
            ("charge_kw", self.charge_kw >= 0, "must be at least 0"),
            ("discharge_kw", self.discharge_kw >= 0, "must be at least 0"),
            ("eta_charge", (self.eta_charge > 0) & (self.eta_charge <= 1), "must be above 0 and at most 1"),
            (
                "eta_discharge",
                (self.eta_discharge > 0) & (self.eta_discharge <= 1),
                "must be above 0 and at most 1",
            ),
            (
                "soc_min",
                (self.soc_min >= 0) & (self.soc_min < self.soc_max),
                "must be at least 0 and below soc_max",
            ),
            ("soc_max", self.soc_max <= 1, "must be at most 1"),
            (
                "loss_per_day",
                (self.loss_per_day >= 0) & (self.loss_per_day < 1),
                "must be at least 0 and below 1",
            ),
        )
        for name, good, rule in checks:
            if not np.all(good):
                worst = int(np.flatnonzero(~good)[0])
                raise DeviceError(f"battery {worst}: {name} {rule} (got {getattr(self, name)[worst]:g})")

    @property
    def n(self) -> int:
        """Number of batteries B."""
        return len(self.capacity_kwh)


def retention(fleet: BatteryFleet, dt_s: float) -> FloatArray:
    """Return the share of the stored energy that a battery at rest keeps over ``dt_s`` [s], shape (B,)."""
    kept: FloatArray = (1.0 - fleet.loss_per_day) ** (dt_s / _SECONDS_PER_DAY)
    return kept


def power_limits_kw(fleet: BatteryFleet, soc: FloatArray, dt_s: float) -> tuple[FloatArray, FloatArray]:
    """Return the lowest (discharging) and highest (charging) power that can be held for ``dt_s`` [s].

    Both are limited by the rated powers and by the energy left to ``soc_min`` and ``soc_max``. Discharging is 0
    where the standing loss has taken a battery below ``soc_min``.
    """
    dt_h = dt_s / _SECONDS_PER_HOUR
    resting_kwh = retention(fleet, dt_s) * soc * fleet.capacity_kwh
    room_kwh = np.maximum(fleet.soc_max * fleet.capacity_kwh - resting_kwh, 0.0)
    spare_kwh = np.maximum(resting_kwh - fleet.soc_min * fleet.capacity_kwh, 0.0)
    highest_kw = np.minimum(fleet.charge_kw, room_kwh / (fleet.eta_charge * dt_h))
    lowest_kw = -np.minimum(fleet.discharge_kw, spare_kwh * fleet.eta_discharge / dt_h)
    return lowest_kw, highest_kw


def clip_power_kw(fleet: BatteryFleet, soc: FloatArray, p_kw: FloatArray, dt_s: float) -> FloatArray:
    """Return ``p_kw`` [kW] limited to what each battery can hold for ``dt_s`` [s], shape (B,)."""
    lowest_kw, highest_kw = power_limits_kw(fleet, soc, dt_s)
    clipped: FloatArray = np.clip(p_kw, lowest_kw, highest_kw)
    return clipped


def advance(
    fleet: BatteryFleet, soc: FloatArray, p_kw: FloatArray, dt_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return the state of charge after ``dt_s`` [s] at ``p_kw`` [kW] and the energy lost on the way [kWh].

    ``p_kw`` is the terminal power and must lie within :func:`power_limits_kw`; it is not clipped here. For every
    battery ``p_kw * dt = change of stored energy + energy lost``.
    """
    dt_h = dt_s / _SECONDS_PER_HOUR
    stored_kwh = soc * fleet.capacity_kwh
    charged_kwh = np.maximum(p_kw, 0.0) * dt_h
    delivered_kwh = np.maximum(-p_kw, 0.0) * dt_h
    resting_kwh = retention(fleet, dt_s) * stored_kwh
    after_kwh = resting_kwh + fleet.eta_charge * charged_kwh - delivered_kwh / fleet.eta_discharge
    lost_kwh = (
        (stored_kwh - resting_kwh)
        + (1.0 - fleet.eta_charge) * charged_kwh
        + (1.0 / fleet.eta_discharge - 1.0) * delivered_kwh
    )
    return after_kwh / fleet.capacity_kwh, lost_kwh
