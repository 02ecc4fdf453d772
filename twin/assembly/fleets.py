"""Device entries of a scenario, turned into rows of the fleets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from models.errors import DeviceError, FeederError
from models.feeder.base import FeederDevices
from models.inverter import InverterFleet, ReactiveMode
from twin.assembly.homes import Homes
from twin.assembly.series import SeriesBook
from twin.errors import InputError
from twin.scenario.devices import BatterySpec, LoadSpec, PvSpec
from twin.scenario.inverter import InverterSpec

__all__ = ["BatteryRows", "LoadRows", "PvRows", "add_batteries", "add_loads", "add_pv", "inverter_fleet"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

_COS_PHI_AT_RATED_POWER = 0.9
"""CEI 0-21 asks for reactive power of 48.4 % of rated power at rated power, so S is at least P / 0.9."""

_MODES = {"cos_phi": ReactiveMode.COS_PHI, "cos_phi_p": ReactiveMode.COS_PHI_P, "q_v": ReactiveMode.Q_V}


@dataclass
class LoadRows:
    """Loads so far; each block is shape (T, n)."""

    names: list[str] = field(default_factory=list)
    home: list[int] = field(default_factory=list)
    p_kw: list[Array] = field(default_factory=list)
    q_kvar: list[Array] = field(default_factory=list)


@dataclass
class PvRows:
    """PV generators so far; each block of ``available_kw`` is shape (T, n), at most 0."""

    names: list[str] = field(default_factory=list)
    home: list[int] = field(default_factory=list)
    available_kw: list[Array] = field(default_factory=list)
    p_rated_kw: list[float] = field(default_factory=list)
    s_rated_kva: list[float] = field(default_factory=list)
    inverter: list[InverterSpec] = field(default_factory=list)


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


def add_loads(spec: LoadSpec, *, book: SeriesBook, homes: Homes, rows: LoadRows, order: IntArray) -> None:
    """Add the loads of one entry; InputError says what does not fit."""
    if spec.from_ == "feeder":
        _add_feeder_loads(spec, book=book, homes=homes, rows=rows)
        return
    names, home = _places(spec, homes, order, fresh_home=True)
    p_kw = _load_power(spec, book)
    reactive = float(np.tan(np.arccos(spec.cos_phi)))
    rows.names += names
    rows.home += home
    rows.p_kw.append(np.repeat(p_kw[:, None], len(names), axis=1))
    rows.q_kvar.append(np.repeat(reactive * p_kw[:, None], len(names), axis=1))


def add_pv(spec: PvSpec, *, book: SeriesBook, homes: Homes, rows: PvRows, order: IntArray) -> None:
    """Add the PV generators of one entry; InputError says what does not fit."""
    if spec.from_ == "feeder":
        devices = book.feeder.devices
        chosen = _matching(devices.sgen_name, spec.match, "static generators")
        names = [devices.sgen_name[position] for position in chosen]
        buses = devices.sgen_bus[chosen]
        home = [homes.at_bus(int(bus), name) for name, bus in zip(names, buses, strict=True)]
        rated_kw = np.abs(devices.sgen_p_kw[chosen])
        if spec.p_peak_kw is not None:
            rated_kw = np.full(len(names), spec.p_peak_kw)
        if np.any(rated_kw <= 0.0):
            worst = names[int(np.flatnonzero(rated_kw <= 0.0)[0])]
            raise InputError(
                f"static generator {worst!r} has no rated power in the network; leave it out with `match`"
            )
        available_kw = _feeder_generation(spec, book, chosen, rated_kw)
        rated_kva = np.maximum(devices.sgen_s_kva[chosen], rated_kw)
    else:
        if spec.p_peak_kw is None:
            raise InputError("needs p_peak_kw (only `from: feeder` takes it from the network)")
        names, home = _places(spec, homes, order, fresh_home=False)
        share = book.pv_share(spec)
        rated_kw = np.full(len(names), spec.p_peak_kw)
        available_kw = -share[:, None] * rated_kw[None, :]
        rated_kva = rated_kw
    rows.names += names
    rows.home += home
    rows.available_kw.append(available_kw)
    rows.p_rated_kw += rated_kw.tolist()
    rows.s_rated_kva += _rated_kva(spec.inverter, rated_kva).tolist()
    rows.inverter += [spec.inverter] * len(names)


def add_batteries(
    spec: BatterySpec, *, book: SeriesBook, homes: Homes, rows: BatteryRows, order: IntArray
) -> None:
    """Add the batteries of one entry; InputError says what does not fit."""
    if spec.from_ == "feeder":
        devices = book.feeder.devices
        chosen = _matching(devices.storage_name, spec.match, "storages")
        names = [devices.storage_name[position] for position in chosen]
        home = [
            homes.at_bus(int(bus), name) for name, bus in zip(names, devices.storage_bus[chosen], strict=True)
        ]
        capacity_kwh, power_kw = devices.storage_e_kwh[chosen], devices.storage_p_kw[chosen]
    else:
        names, home = _places(spec, homes, order, fresh_home=False)
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
    rows.s_rated_kva += _rated_kva(spec.inverter, np.maximum(charge_kw, discharge_kw)).tolist()


def inverter_fleet(
    specs: Sequence[InverterSpec], p_rated_kw: Sequence[float], s_rated_kva: Sequence[float]
) -> InverterFleet:
    """Return the inverters of one fleet in order."""

    def column(name: str) -> Array:
        return np.array([getattr(spec, name) for spec in specs], dtype=np.float64)

    def p_v(name: str, off: float) -> Array:
        return np.array(
            [off if spec.p_v is None else getattr(spec.p_v, name) for spec in specs], dtype=np.float64
        )

    try:
        return InverterFleet(
            s_rated_kva=np.array(s_rated_kva, dtype=np.float64),
            p_rated_kw=np.array(p_rated_kw, dtype=np.float64),
            mode=np.array([_MODES[spec.function] for spec in specs], dtype=np.int64),
            absorbs=np.array([spec.absorbs for spec in specs], dtype=np.bool_),
            p_v_start_pu=p_v("start_pu", np.inf),
            p_v_end_pu=p_v("end_pu", np.inf),
            p_v_min_share=p_v("min_share", 1.0),
            **{name: column(name) for name in _CURVE_FIELDS},
        )
    except DeviceError as error:
        raise InputError(str(error)) from error


_CURVE_FIELDS = (
    "cos_phi",
    "cos_phi_min",
    "cos_phi_p_start",
    "cos_phi_lock_in_pu",
    "cos_phi_lock_out_pu",
    "v2i_pu",
    "v1i_pu",
    "v1s_pu",
    "v2s_pu",
    "q_max_share",
    "q_v_lock_in_share",
    "q_v_lock_out_share",
)


def _add_feeder_loads(spec: LoadSpec, *, book: SeriesBook, homes: Homes, rows: LoadRows) -> None:
    devices = book.feeder.devices
    chosen = _matching(devices.load_name, spec.match, "loads")
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
        shape, unit = book.column(spec.profile)
        if unit != "1":
            raise InputError(
                f"`from: feeder` scales the nominal loads, so {spec.profile!r} must have the unit 1, not {unit}"
            )
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


def _feeder_generation(spec: PvSpec, book: SeriesBook, chosen: IntArray, rated_kw: Array) -> Array:
    if spec.profile != "feeder":
        return -book.pv_share(spec)[:, None] * rated_kw[None, :]
    devices = book.feeder.devices
    picked = FeederDevices(
        sgen_name=tuple(devices.sgen_name[position] for position in chosen),
        sgen_bus=devices.sgen_bus[chosen],
        sgen_p_kw=-rated_kw,
        sgen_q_kvar=devices.sgen_q_kvar[chosen],
        sgen_s_kva=devices.sgen_s_kva[chosen],
        sgen_kind=tuple(devices.sgen_kind[position] for position in chosen),
        sgen_profile=tuple(devices.sgen_profile[position] for position in chosen),
    )
    try:
        return book.from_feeder(lambda first, count: book.feeder_profiles().sgen_p_kw(first, count, picked))
    except FeederError as error:
        raise InputError(str(error)) from error


def _load_power(spec: LoadSpec, book: SeriesBook) -> Array:
    if spec.profile == "constant":
        if spec.p_kw is None:
            raise InputError("a constant load needs p_kw")
        return np.full(book.period.n_steps, spec.p_kw)
    if spec.profile == "feeder":
        raise InputError("`profile: feeder` goes with `from: feeder`; use `constant` or a column of a source")
    values, unit = book.column(spec.profile)
    if unit == "kW":
        return values
    if unit == "1" and spec.p_kw is not None:
        return values * spec.p_kw
    raise InputError(
        f"{spec.profile!r} is in {unit}; a load needs a power or energy, or a share together with p_kw"
    )


def _places(
    spec: LoadSpec | PvSpec | BatterySpec, homes: Homes, order: IntArray, *, fresh_home: bool
) -> tuple[list[str], list[int]]:
    """Return names and homes of an entry placed by bus, home, share or beside; ``order`` holds the homes to choose from."""
    if spec.share is not None or spec.beside is not None:
        drawn = order if spec.share is None else homes.draw(spec.share, order)
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


def _matching(names: Sequence[str], pattern: str | None, what: str) -> IntArray:
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


def _given(value: float | None, from_network: Array, names: list[str], what: str) -> Array:
    chosen = from_network if value is None else np.full(len(names), value)
    lacking = ~(chosen > 0.0)
    if np.any(lacking):
        raise InputError(
            f"{names[int(np.flatnonzero(lacking)[0])]!r} has no {what}; write it in the scenario"
        )
    return chosen


def _rated_kva(spec: InverterSpec, at_least_kva: Array) -> Array:
    if spec.s_rated_kva is None:
        return at_least_kva / _COS_PHI_AT_RATED_POWER
    return np.full(len(at_least_kva), spec.s_rated_kva)
