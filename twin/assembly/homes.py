"""Homes: the connection points (POD) of a plant, filled in the order of the scenario."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from models.feeder.base import Feeder
from twin.errors import InputError

__all__ = ["Homes", "unknown"]

IntArray = NDArray[np.int64]


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist, with the closest names there are."""
    close = get_close_matches(name, list(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(match) for match in close)}?" if close else "see `twin feeder`"
    return InputError(f"no {what} {name!r}; {hint}")


@dataclass
class Homes:
    """The homes so far; a home is found by its name or as the first one at a bus."""

    feeder: Feeder
    names: list[str] = field(default_factory=list)
    buses: list[int] = field(default_factory=list)
    _by_name: dict[str, int] = field(default_factory=dict)
    _by_bus: dict[int, int] = field(default_factory=dict)
    _bus_by_name: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, bus: int) -> int:
        """Add a home at a bus position and return its position; InputError if the name is taken."""
        if name in self._by_name:
            raise InputError(f"the name {name!r} is used twice; names of homes must be unique")
        position = len(self.names)
        self.names.append(name)
        self.buses.append(bus)
        self._by_name[name] = position
        self._by_bus.setdefault(bus, position)
        return position

    def at_bus(self, bus: int, name: str) -> int:
        """Return the first home at a bus position, or a fresh home called ``name`` there."""
        found = self._by_bus.get(bus)
        return self.add(name, bus) if found is None else found

    def named(self, name: str) -> int:
        """Return the position of a home; InputError with close names if there is none."""
        if name not in self._by_name:
            raise unknown("home", name, self.names)
        _refuse_ambiguous("home", name, self._by_name)
        return self._by_name[name]

    def bus_named(self, name: str) -> int:
        """Return the position of a bus of the feeder; InputError with close names if there is none."""
        if not self._bus_by_name:
            self._bus_by_name = {bus: position for position, bus in enumerate(self.feeder.bus_name)}
        if name not in self._bus_by_name:
            raise unknown("bus", name, self.feeder.bus_name)
        _refuse_ambiguous("bus", name, self._bus_by_name)
        return self._bus_by_name[name]

    def draw(self, share: float, order: IntArray) -> IntArray:
        """Return a ``share`` of the homes: the first ones of ``order``, sorted.

        One order serves all entries of a kind of draw, so a smaller share lies within a larger one: with 60 % of
        the homes having PV and 40 % a battery, every battery stands where there is PV.
        """
        if not self.names:
            raise InputError("`share` draws from the homes of the loads, and there are none")
        drawn: IntArray = np.sort(order[: round(share * len(order))])
        return drawn


def _refuse_ambiguous(what: str, name: str, known: Mapping[str, int]) -> None:
    """Refuse a name that several elements of the network had; the later ones were given numbers."""
    if f"{name} #2" in known:
        raise InputError(
            f"the network has several elements called {name!r}; rename them there, as {what} {name!r} would be the first of "
            f"them and {name + ' #2'!r} the second"
        )
