"""Perimeters of configurations: which buses lie in the area of a substation or building."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.feeder.areas import SupplyAreas, supply_areas
from models.feeder.base import Feeder
from twin.assembly.homes import Homes, unknown
from twin.errors import InputError
from twin.members import Perimeter

__all__ = ["Area", "Perimeters"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Area:
    """What bounds one configuration."""

    name: str
    cp: int
    """Primary substation; position in ``SupplyAreas.cp_name``."""
    inside: BoolArray
    """Which buses lie in it, shape (NB,)."""


class Perimeters:
    """Finds areas by name and by bus; every method raises ``InputError`` for a name that does not exist."""

    def __init__(self, feeder: Feeder) -> None:
        self._feeder = feeder
        self.areas: SupplyAreas = supply_areas(feeder)
        self._buses = Homes(feeder)
        self._trafo = {name: position for position, name in enumerate(feeder.trafo_name)}
        self._cp = {name: position for position, name in enumerate(self.areas.cp_name)}
        self._substation = {name: position for position, name in enumerate(self.areas.substation_name)}

    def named(self, perimeter: Perimeter, name: str) -> Area:
        """Return the area of kind ``perimeter`` that ``name`` stands for or lies in."""
        if perimeter == "building":
            return self.around(perimeter, self._buses.bus_named(name))
        if perimeter == "cp" and name in self._cp:
            return self._of_kind(perimeter, self._cp[name])
        if name in self._substation:
            bus = int(np.flatnonzero(self.areas.bus_substation == self._substation[name])[0])
        elif name in self._trafo:
            bus = int(self._feeder.trafo_lv_bus[self._trafo[name]])
        elif name in self._feeder.bus_name:
            bus = self._buses.bus_named(name)
        else:
            known = [
                *self.areas.cp_name,
                *self.areas.substation_name,
                *self._feeder.trafo_name,
                *self._feeder.bus_name,
            ]
            raise unknown("primary substation, transformer or bus", name, known)
        return self.around(perimeter, bus)

    def around(self, perimeter: Perimeter, bus: int) -> Area:
        """Return the area of kind ``perimeter`` that a bus lies in."""
        if perimeter == "building":
            return self._area(
                self._feeder.bus_name[bus], bus, np.arange(len(self.areas.bus_cp), dtype=np.int64) == bus
            )
        of_bus = self.areas.bus_cp if perimeter == "cp" else self.areas.bus_substation
        if of_bus[bus] < 0:
            what = "primary substation" if perimeter == "cp" else "MV/LV substation"
            raise InputError(
                f"bus {self._feeder.bus_name[bus]!r} ({self._feeder.bus_vn_kv[bus]:g} kV) is above every {what}; choose a "
                f"bus below one"
            )
        return self._of_kind(perimeter, int(of_bus[bus]))

    def only(self, perimeter: Perimeter) -> Area | None:
        """Return the one area of kind ``perimeter``; None where the feeder has several or none."""
        names = {"cp": self.areas.cp_name, "substation": self.areas.substation_name}.get(perimeter, ())
        return self._of_kind(perimeter, 0) if len(names) == 1 else None

    def bus_below(self, name: str) -> BoolArray:
        """Return which buses lie below an MV/LV transformer, or are the bus ``name``, shape (NB,)."""
        areas = self.areas
        if name in self._substation:
            of_substation: BoolArray = areas.bus_substation == self._substation[name]
            return of_substation
        if name in self._trafo:
            area = areas.bus_substation[self._feeder.trafo_lv_bus[self._trafo[name]]]
            if area < 0:
                raise InputError(f"{name!r} is no MV/LV transformer; name one, or a bus")
            below: BoolArray = areas.bus_substation == area
            return below
        if name not in self._feeder.bus_name:
            known = [*areas.substation_name, *self._feeder.trafo_name, *self._feeder.bus_name]
            raise unknown("MV/LV transformer or bus", name, known)
        at_bus: BoolArray = np.arange(len(areas.bus_cp)) == self._buses.bus_named(name)
        return at_bus

    def place_of(self, perimeter: Perimeter, bus: int) -> str:
        """Return, for a message, where a bus lies."""
        areas = self.areas
        if perimeter == "building":
            return f"at bus {self._feeder.bus_name[bus]!r}"
        names, of_bus, what = (
            (areas.cp_name, areas.bus_cp, "primary substation")
            if perimeter == "cp"
            else (areas.substation_name, areas.bus_substation, "MV/LV substation")
        )
        if of_bus[bus] < 0:
            return f"at bus {self._feeder.bus_name[bus]!r}, above every {what}"
        return f"under {what} {names[of_bus[bus]]!r}"

    def _of_kind(self, perimeter: Perimeter, position: int) -> Area:
        areas = self.areas
        if perimeter == "cp":
            return Area(
                name=areas.cp_name[position], cp=position, inside=np.asarray(areas.bus_cp == position)
            )
        inside = np.asarray(areas.bus_substation == position)
        return self._area(areas.substation_name[position], int(np.flatnonzero(inside)[0]), inside)

    def _area(self, name: str, bus: int, inside: BoolArray) -> Area:
        cp = int(self.areas.bus_cp[bus])
        if cp < 0:
            raise InputError(
                f"bus {self._feeder.bus_name[bus]!r} is above every primary substation; choose another"
            )
        return Area(name=name, cp=cp, inside=inside)
