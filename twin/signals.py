"""The signal vocabulary: every quantity that travels between simulators or into a store.

A signal has an axis (what it has one value for), a unit and a sign convention. Connections are checked against
it when a world is assembled, and the store takes names, units and resolution from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AS_MUCH_AS_POSSIBLE_KW",
    "RECORDED",
    "SIGNALS",
    "Axis",
    "Chunk",
    "Sign",
    "Signal",
    "recorded_on",
    "signal",
]

AS_MUCH_AS_POSSIBLE_KW = 1e9
"""Stands for no limit towards a device with a state of its own: FMUs take no infinities."""


class Axis(StrEnum):
    """What a signal has one value for."""

    FEEDER = "feeder"
    """The feeder as a whole: one value."""
    BUS = "bus"
    LINE = "line"
    TRAFO = "trafo"
    HOME = "home"
    LOAD = "load"
    PV = "pv"
    BATTERY = "battery"
    STATE = "state"
    """Outputs of devices that keep their own state, as far as they are stored; the unit is in the entity's name."""


class Sign(StrEnum):
    """What a positive value means."""

    CONSUMPTION = "consumption positive"
    """Power drawn at the terminal; export and generation are negative."""
    DOWNWARD = "positive from high to low voltage"
    MAGNITUDE = "never negative"
    NONE = "no direction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One quantity of the vocabulary."""

    axis: Axis
    name: str
    """Name with its unit, unique within the axis."""
    unit: str
    sign: Sign
    quantum: float
    """Resolution kept in the store, in ``unit``; 0 keeps float32 as it is."""
    text: str
    """What it is, for the reader of a report or a table."""

    @property
    def key(self) -> str:
        """Name across axes, e.g. ``bus.vm_pu``."""
        return f"{self.axis}.{self.name}"


def _power(axis: Axis, name: str, text: str, sign: Sign = Sign.CONSUMPTION) -> Signal:
    unit = "kvar" if name.endswith("kvar") else "kW"
    return Signal(axis=axis, name=name, unit=unit, sign=sign, quantum=1e-3, text=text)


def _voltage(axis: Axis, name: str, text: str) -> Signal:
    return Signal(axis=axis, name=name, unit="pu", sign=Sign.MAGNITUDE, quantum=1e-5, text=text)


def _loading(axis: Axis, text: str) -> Signal:
    return Signal(axis=axis, name="loading_percent", unit="%", sign=Sign.MAGNITUDE, quantum=1e-3, text=text)


def _price(name: str, text: str) -> Signal:
    return Signal(axis=Axis.FEEDER, name=name, unit="EUR/kWh", sign=Sign.NONE, quantum=0.0, text=text)


RECORDED: tuple[Signal, ...] = (
    _power(Axis.FEEDER, "p_import_kw", "power from the upstream grid"),
    _power(Axis.FEEDER, "q_import_kvar", "reactive power from the upstream grid"),
    _power(Axis.FEEDER, "p_loss_kw", "losses of lines and transformers", Sign.MAGNITUDE),
    _power(Axis.FEEDER, "p_load_kw", "all loads"),
    _power(Axis.FEEDER, "p_pv_kw", "all PV generators, as fed in"),
    _power(Axis.FEEDER, "p_pv_available_kw", "all PV generators, as the sun would give"),
    _power(Axis.FEEDER, "p_battery_kw", "all batteries"),
    _power(
        Axis.FEEDER,
        "p_other_kw",
        "elements that the network runs by itself, such as voltage-controlled generators",
    ),
    _power(Axis.FEEDER, "p_balance_kw", "import less losses, devices and other elements: the balance error"),
    _voltage(Axis.FEEDER, "vm_min_pu", "lowest bus voltage"),
    _voltage(Axis.FEEDER, "vm_p05_pu", "5 % quantile of the bus voltages"),
    _voltage(Axis.FEEDER, "vm_median_pu", "median of the bus voltages"),
    _voltage(Axis.FEEDER, "vm_p95_pu", "95 % quantile of the bus voltages"),
    _voltage(Axis.FEEDER, "vm_max_pu", "highest bus voltage"),
    Signal(
        axis=Axis.FEEDER,
        name="residual_kva",
        unit="kVA",
        sign=Sign.MAGNITUDE,
        quantum=0.0,
        text="what inverter functions and feeder still disagree by",
    ),
    Signal(
        axis=Axis.FEEDER,
        name="iterations",
        unit="1",
        sign=Sign.MAGNITUDE,
        quantum=0.0,
        text="power flows solved in the step",
    ),
    _price("price_import_eur_kwh", "price of energy bought at the meter"),
    _price("price_export_eur_kwh", "price of energy sold at the meter"),
    _voltage(Axis.BUS, "vm_pu", "voltage magnitude"),
    _loading(Axis.LINE, "current over rating"),
    _power(Axis.TRAFO, "p_kw", "power through the transformer", Sign.DOWNWARD),
    _power(Axis.TRAFO, "q_kvar", "reactive power through the transformer", Sign.DOWNWARD),
    _loading(Axis.TRAFO, "current over rated current"),
    _power(Axis.HOME, "p_kw", "meter of the home"),
    _power(Axis.LOAD, "p_kw", "active power of the load"),
    _power(Axis.LOAD, "q_kvar", "reactive power of the load"),
    _power(Axis.PV, "p_kw", "active power of the PV inverter, as fed in"),
    _power(Axis.PV, "q_kvar", "reactive power of the PV inverter"),
    _power(Axis.PV, "p_available_kw", "power the sun would give"),
    _power(Axis.BATTERY, "p_kw", "active power of the battery, as reached"),
    _power(Axis.BATTERY, "q_kvar", "reactive power of the battery inverter"),
    Signal(
        axis=Axis.BATTERY,
        name="soc",
        unit="1",
        sign=Sign.MAGNITUDE,
        quantum=1e-4,
        text="state of charge at the start of the step",
    ),
    Signal(
        axis=Axis.STATE,
        name="value",
        unit="as named",
        sign=Sign.NONE,
        quantum=0.0,
        text="output of a device: powers are means over the step, states are those at its end",
    ),
)
"""What a run stores, in the store's order."""

_INTERNAL: tuple[Signal, ...] = (
    Signal(
        axis=Axis.FEEDER,
        name="step_done",
        unit="1",
        sign=Sign.NONE,
        quantum=0.0,
        text="last step that is recorded; keeps the series from running ahead of the feeder",
    ),
    _power(Axis.PV, "p_ask_kw", "active power the device gives before voltage-dependent functions"),
    _power(Axis.PV, "q_ask_kvar", "reactive power that the device itself chooses"),
    _power(Axis.LOAD, "p_set_kw", "set-point of the strategy for a load that can be controlled"),
    Signal(
        axis=Axis.STATE,
        name="load_value",
        unit="as named",
        sign=Sign.NONE,
        quantum=0.0,
        text="stored outputs of loads, before those of PV generators and batteries are there",
    ),
    _power(Axis.PV, "p_limit_kw", "largest feed-in allowed by the strategy", Sign.MAGNITUDE),
    _power(Axis.BATTERY, "p_set_kw", "set-point of the strategy"),
    _power(Axis.BATTERY, "p_ask_kw", "active power the device gives before voltage-dependent functions"),
    Signal(
        axis=Axis.BATTERY,
        name="soc_end",
        unit="1",
        sign=Sign.MAGNITUDE,
        quantum=1e-4,
        text="state of charge at the end of the step",
    ),
    _voltage(Axis.HOME, "vm_pu", "voltage at the connection point"),
)

SIGNALS: dict[str, Signal] = {entry.key: entry for entry in (*RECORDED, *_INTERNAL)}
"""The whole vocabulary by ``axis.name``."""


def signal(key: str) -> Signal:
    """Return the signal with the key ``axis.name``; ``KeyError`` names the ones there are."""
    try:
        return SIGNALS[key]
    except KeyError:
        raise KeyError(f"no signal {key!r}; there are {', '.join(sorted(SIGNALS))}") from None


def recorded_on(axis: Axis) -> tuple[Signal, ...]:
    """Return the recorded signals of one axis in the store's order."""
    return tuple(entry for entry in RECORDED if entry.axis == axis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive steps of every recorded signal, usually one day."""

    first_step: int
    arrays: Mapping[str, NDArray[np.float32]]
    """By signal key (``bus.vm_pu``), shape (steps, entities of the axis) each."""

    @property
    def n_steps(self) -> int:
        """Number of steps in the chunk."""
        return len(next(iter(self.arrays.values())))
