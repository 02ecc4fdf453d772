"""Loads: rows of the load fleet."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import FeederError
from models.feeder.base import FeederDevices
from twin.assembly.homes import Homes
from twin.assembly.placing import matching, places
from twin.assembly.series import SeriesBook
from twin.errors import InputError
from twin.scenario.devices import LoadSpec

__all__ = ["LoadRows", "add_loads"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass
class LoadRows:
    """Loads so far; each block is shape (T, n)."""

    names: list[str] = field(default_factory=list)
    home: list[int] = field(default_factory=list)
    p_kw: list[Array] = field(default_factory=list)
    q_kvar: list[Array] = field(default_factory=list)


def add_loads(spec: LoadSpec, *, book: SeriesBook, homes: Homes, rows: LoadRows, order: IntArray) -> None:
    """Add the loads of one entry; InputError says what does not fit."""
    if spec.from_ == "feeder":
        _add_feeder_loads(spec, book=book, homes=homes, rows=rows)
        return
    names, home = places(spec, homes, order, fresh_home=True)
    p_kw = _load_power(spec, book)
    reactive = float(np.tan(np.arccos(spec.cos_phi)))
    rows.names += names
    rows.home += home
    rows.p_kw.append(np.repeat(p_kw[:, None], len(names), axis=1))
    rows.q_kvar.append(np.repeat(reactive * p_kw[:, None], len(names), axis=1))


def _add_feeder_loads(spec: LoadSpec, *, book: SeriesBook, homes: Homes, rows: LoadRows) -> None:
    devices = book.feeder.devices
    chosen = matching(devices.load_name, spec.match, "loads")
    names = [devices.load_name[position] for position in chosen]
    if spec.profile == "feeder":
        picked = _pick_loads(devices, chosen)
        try:
            p_kw = book.from_feeder(
                lambda first, count: book.feeder_profiles().load_p_kw(first, count, picked)
            )
            q_kvar = book.from_feeder(
                lambda first, count: book.feeder_profiles().load_q_kvar(first, count, picked)
            )
        except FeederError as error:
            raise InputError(str(error)) from error
    elif spec.profile == "constant":
        steps = np.ones((book.period.n_steps, 1))
        p_kw, q_kvar = steps * devices.load_p_kw[chosen], steps * devices.load_q_kvar[chosen]
    else:
        shape = _shape(spec.profile, book)
        p_kw = shape[:, None] * devices.load_p_kw[chosen]
        q_kvar = shape[:, None] * devices.load_q_kvar[chosen]
    rows.names += names
    rows.home += [
        homes.add(name, int(bus)) for name, bus in zip(names, devices.load_bus[chosen], strict=True)
    ]
    rows.p_kw.append(p_kw)
    rows.q_kvar.append(q_kvar)


def _pick_loads(devices: FeederDevices, chosen: IntArray) -> FeederDevices:
    return FeederDevices(
        load_name=tuple(devices.load_name[position] for position in chosen),
        load_bus=devices.load_bus[chosen],
        load_p_kw=devices.load_p_kw[chosen],
        load_q_kvar=devices.load_q_kvar[chosen],
        load_profile=tuple(devices.load_profile[position] for position in chosen),
    )


def _shape(profile: str, book: SeriesBook) -> Array:
    """Return what scales the nominal loads of the network, shape (T,)."""
    if profile.startswith("feeder:"):
        return book.load_share(profile.removeprefix("feeder:"))
    shape, unit = book.column(profile)
    if unit != "1":
        raise InputError(
            f"`from: feeder` scales the nominal loads, so {profile!r} must have the unit 1, not {unit}"
        )
    return shape


def _load_power(spec: LoadSpec, book: SeriesBook) -> Array:
    if spec.profile == "constant":
        if spec.p_kw is None:
            raise InputError("a constant load needs p_kw")
        return np.full(book.period.n_steps, spec.p_kw)
    if spec.profile == "feeder":
        raise InputError("`profile: feeder` goes with `from: feeder`; use `constant` or a column of a source")
    if spec.profile.startswith("feeder:"):
        if spec.p_kw is None:
            raise InputError(f"{spec.profile!r} is a share of nominal power, so it needs p_kw")
        return book.load_share(spec.profile.removeprefix("feeder:")) * spec.p_kw
    values, unit = book.column(spec.profile)
    if unit == "kW":
        return values
    if unit == "1" and spec.p_kw is not None:
        return values * spec.p_kw
    raise InputError(
        f"{spec.profile!r} is in {unit}; a load needs a power or energy, or a share together with p_kw"
    )
