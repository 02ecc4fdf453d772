"""Where the devices of an entry go, and which elements of the network it takes."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from twin.assembly.homes import Homes
from twin.errors import InputError
from twin.scenario.kinds import Device

__all__ = ["matching", "places"]

IntArray = NDArray[np.int64]


def places(spec: Device, homes: Homes, order: IntArray, *, fresh_home: bool) -> tuple[list[str], list[int]]:
    """Return names and homes of an entry placed by bus, home, share or beside; ``order`` holds the homes to choose from."""
    if spec.share is not None or spec.beside is not None:
        drawn = order if spec.share is None else homes.draw(spec.share, _fitting(order, homes, spec.match))
        prefix = spec.kind if spec.prefix is None else spec.prefix
        return [f"{prefix} {homes.names[position]}" for position in drawn], drawn.tolist()
    name = spec.name
    if name is None:
        raise InputError("needs a name")
    if spec.home is not None:
        return [name], [homes.named(spec.home)]
    if spec.bus is None:
        raise InputError("needs a place: `bus`, `home`, `share`, `csv` or `from: feeder`")
    bus = homes.bus_named(spec.bus)
    return [name], [homes.add(name, bus) if fresh_home else homes.at_bus(bus, name)]


def _fitting(order: IntArray, homes: Homes, pattern: str | None) -> IntArray:
    """Return the homes of ``order`` whose name fits ``pattern``, in order."""
    if pattern is None:
        return order
    chosen = [home for home in order.tolist() if fnmatchcase(homes.names[home], pattern)]
    if not chosen and homes.names:
        raise InputError(
            f"`match: {pattern}` fits none of the {len(homes.names)} homes (first: {homes.names[0]!r})"
        )
    return np.array(chosen, dtype=np.int64)


def matching(names: Sequence[str], pattern: str | None, what: str) -> IntArray:
    """Return the positions of the network's elements whose name fits ``pattern`` (glob); all without one.

    Raises:
        InputError: there are no such elements, or none fits.
    """
    if not names:
        raise InputError(f"the network has no {what}; place devices by `bus`, `share` or `csv`")
    chosen = [
        position for position, name in enumerate(names) if pattern is None or fnmatchcase(name, pattern)
    ]
    if not chosen:
        raise InputError(
            f"`match: {pattern}` fits none of the network's {len(names)} {what} (first: {names[0]!r})"
        )
    return np.array(chosen, dtype=np.int64)
