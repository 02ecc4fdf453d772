"""What a strategy sees and what it may ask for.

A strategy is a small pure class over arrays: no clock, no I/O, no mosaik. It is made once per run with the
``Site`` and its own parameters, then asked once per step. Sign: consumption positive, so charging is positive.

In a step a strategy sees the step's own metered load and available PV power (an EMS samples within seconds, a step
is minutes) and the feeder as it was in the step before.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.battery import BatteryFleet
from twin.members import NOBODY, Communities

__all__ = [
    "NEVER_HEARD",
    "Controller",
    "ControllerFactory",
    "FloatArray",
    "Forecast",
    "IntArray",
    "Observation",
    "Proposal",
    "Site",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NEVER_HEARD = 2**31 - 1
"""Age of the readings of a home that has not been heard of, in steps: older than any run is long."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """What is known before the run: H homes, P PV generators, B batteries."""

    dt_s: float
    n_steps: int
    steps_per_day: int
    home_name: tuple[str, ...]
    pv_home: IntArray
    """Home of each PV generator, shape (P,)."""
    pv_rated_kw: FloatArray
    """Rated active power of each PV inverter, shape (P,), positive."""
    battery_home: IntArray
    """Home of each battery, shape (B,)."""
    battery: BatteryFleet
    start_utc_s: int = 0
    """Start of the run, seconds since 1970-01-01 UTC."""
    communities: Communities = NOBODY
    """Who shares energy with whom."""
    appliance_name: tuple[str, ...] = ()
    """Loads that keep their own state and may take a set-point: A water heaters, EV chargers, FMUs."""
    appliance_home: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Home of each appliance, shape (A,)."""
    shared_value_eur_kwh: FloatArray = field(default_factory=lambda: np.zeros(0))
    """What a shared kWh earns each of the C communities: mean premium and valorisation of the period, shape (C,)."""

    @property
    def n_homes(self) -> int:
        """Number of homes H."""
        return len(self.home_name)


class Forecast(Protocol):
    """What a strategy may know about the coming steps; step 0 of a window is the present step, as metered.

    Loads that third-party simulators play are not known ahead: they count as 0 in every step of a window.
    """

    def window(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return load and PV power of each home, shape (horizon, H) each [kW]; PV at most 0.

        Near the end of the run the window is shorter than ``horizon``, never padded.
        """
        ...

    def prices(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        """Return import and export price, shape (horizon,) each [EUR/kWh], cut at the end of the run."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """One frozen image. Arrays are read-only."""

    step: int
    time_s: float
    """Seconds since the start of the run."""
    load_kw: FloatArray
    """Load of each home in this step, shape (H,)."""
    pv_kw: FloatArray
    """Available PV power of each home in this step, shape (H,), at most 0."""
    soc: FloatArray
    """State of charge of each battery at the start of this step, shape (B,), 0 to 1."""
    vm_pu: FloatArray
    """Voltage at each home's connection point in the step before, shape (H,); NaN in the first step."""
    grid_kw: FloatArray
    """Meter of each home in the step before, shape (H,); NaN in the first step."""
    price_import_eur_kwh: float
    price_export_eur_kwh: float
    forecast: Forecast
    age_steps: IntArray | None = None
    """Age of the readings of each home, shape (H,), for levels above the EMS; None where all are of this step.

    ``NEVER_HEARD`` where nothing has arrived: the readings of that home are NaN then.
    """
    appliance_kw: FloatArray = field(default_factory=lambda: np.zeros(0))
    """Power of each appliance in this step, shape (A,); part of ``load_kw``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Proposal:
    """What a strategy asks for; devices and limits have the last word."""

    battery_kw: FloatArray
    """Set-point of each battery, shape (B,), charging positive."""
    pv_limit_kw: FloatArray | None = None
    """Largest feed-in power allowed to each PV generator, shape (P,), positive; None for no limit."""
    appliance_kw: FloatArray | None = None
    """Set-point of each appliance for the step after this one, shape (A,); infinite for as much as it wants, None for all.

    A charger follows it within its limits, also below 0 where it can feed in; a water heater takes it as the largest
    power allowed.
    """


class Controller(Protocol):
    """One strategy."""

    def decide(self, seen: Observation) -> Proposal:
        """Return what is asked of the devices in the present step."""
        ...


class ControllerFactory(Protocol):
    """Makes a controller: a class ``C(site, **params)``."""

    def __call__(self, site: Site, **params: Any) -> Controller:
        """Return a controller; raise ``ValueError`` or ``TypeError`` for parameters that make no sense."""
        ...
