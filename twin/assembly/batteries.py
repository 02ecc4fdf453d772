"""Batteries: rows of the battery fleet."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twin.assembly.homes import Homes
from twin.assembly.inverters import rated_kva_of
from twin.assembly.placing import matching, places
from twin.assembly.series import SeriesBook
from twin.errors import InputError
from twin.scenario.devices import BatterySpec

__all__ = ["BatteryRows", "add_batteries"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass
class BatteryRows:
    """Batteries so far."""

    names: list[str] = field(default_factory=list)
    home: list[int] = field(default_factory=list)
    capacity_kwh: list[float] = field(default_factory=list)
    charge_kw: list[float] = field(default_factory=list)
    discharge_kw: list[float] = field(default_factory=list)
    spec: list[BatterySpec] = field(default_factory=list)
    soc_start: list[float] = field(default_factory=list)
    s_rated_kva: list[float] = field(default_factory=list)


def add_batteries(
    spec: BatterySpec, *, book: SeriesBook, homes: Homes, rows: BatteryRows, order: IntArray
) -> None:
    """Add the batteries of one entry; InputError says what does not fit."""
    if spec.from_ == "feeder":
        devices = book.feeder.devices
        chosen = matching(devices.storage_name, spec.match, "storages")
        names = [devices.storage_name[position] for position in chosen]
        home = [
            homes.at_bus(int(bus), name) for name, bus in zip(names, devices.storage_bus[chosen], strict=True)
        ]
        capacity_kwh, power_kw = devices.storage_e_kwh[chosen], devices.storage_p_kw[chosen]
    else:
        names, home = places(spec, homes, order, fresh_home=False)
        capacity_kwh, power_kw = np.full(len(names), np.nan), np.full(len(names), np.nan)
    capacity_kwh = _given(spec.capacity_kwh, capacity_kwh, names, "capacity_kwh")
    charge_kw = _given(spec.charge_kw, power_kw, names, "charge_kw")
    discharge_kw = _given(spec.discharge_kw, power_kw, names, "discharge_kw")
    rows.names += names
    rows.home += home
    rows.capacity_kwh += capacity_kwh.tolist()
    rows.charge_kw += charge_kw.tolist()
    rows.discharge_kw += discharge_kw.tolist()
    rows.soc_start += [spec.soc_start] * len(names)
    rows.spec += [spec] * len(names)
    rows.s_rated_kva += rated_kva_of(spec.inverter, np.maximum(charge_kw, discharge_kw)).tolist()


def _given(value: float | None, from_network: Array, names: list[str], what: str) -> Array:
    chosen = from_network if value is None else np.full(len(names), value)
    lacking = ~(chosen > 0.0)
    if np.any(lacking):
        raise InputError(
            f"{names[int(np.flatnonzero(lacking)[0])]!r} has no {what}; write it in the scenario"
        )
    return chosen
