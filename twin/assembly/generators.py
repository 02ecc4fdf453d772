"""PV and other static generators: rows of the PV fleet."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.errors import FeederError
from models.feeder.base import FeederDevices
from twin.assembly.homes import Homes
from twin.assembly.inverters import COS_PHI_AT_RATED_POWER, rated_kva_of
from twin.assembly.placing import matching, places
from twin.assembly.series import SeriesBook
from twin.errors import InputError
from twin.scenario.devices import PvSpec
from twin.scenario.inverter import InverterSpec

__all__ = ["PvRows", "add_pv"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass
class PvRows:
    """PV generators so far; each block of ``available_kw`` is shape (T, n), at most 0."""

    names: list[str] = field(default_factory=list)
    home: list[int] = field(default_factory=list)
    available_kw: list[Array] = field(default_factory=list)
    p_rated_kw: list[float] = field(default_factory=list)
    s_rated_kva: list[float] = field(default_factory=list)
    inverter: list[InverterSpec] = field(default_factory=list)


def add_pv(spec: PvSpec, *, book: SeriesBook, homes: Homes, rows: PvRows, order: IntArray) -> None:
    """Add the PV generators of one entry; InputError says what does not fit."""
    if spec.from_ == "feeder":
        _add_feeder_generators(spec, book=book, homes=homes, rows=rows)
        return
    if spec.p_peak_kw is None:
        raise InputError("needs p_peak_kw (only `from: feeder` takes it from the network)")
    names, home = places(spec, homes, order, fresh_home=False)
    rated_kw = np.full(len(names), spec.p_peak_kw)
    rows.names += names
    rows.home += home
    rows.available_kw.append(-book.pv_share(spec)[:, None] * rated_kw[None, :])
    rows.p_rated_kw += rated_kw.tolist()
    rows.s_rated_kva += rated_kva_of(spec.inverter, rated_kw).tolist()
    rows.inverter += [spec.inverter] * len(names)


def _add_feeder_generators(spec: PvSpec, *, book: SeriesBook, homes: Homes, rows: PvRows) -> None:
    devices = book.feeder.devices
    chosen = matching(devices.sgen_name, spec.match, "static generators")
    names = [devices.sgen_name[position] for position in chosen]
    rated_kw = -devices.sgen_p_kw[chosen]
    if spec.p_peak_kw is not None:
        rated_kw = np.full(len(names), spec.p_peak_kw)
    if np.any(rated_kw <= 0.0):
        worst = names[int(np.flatnonzero(rated_kw <= 0.0)[0])]
        raise InputError(
            f"static generator {worst!r} feeds in nothing in the network (p_mw times scaling is not above 0); write "
            "p_peak_kw, or leave it out with `match`"
        )
    cos_phi, inverters = _network_power_factor(spec, devices.sgen_q_kvar[chosen], -devices.sgen_p_kw[chosen])
    needed_kva = rated_kw / cos_phi
    network_kva = devices.sgen_s_kva[chosen]
    # A rating of just the active power is a missing rating: such an inverter could give no reactive power.
    stated = (network_kva > needed_kva) & (spec.p_peak_kw is None)
    rated_kva = np.where(stated, network_kva, np.maximum(rated_kw / COS_PHI_AT_RATED_POWER, needed_kva))
    rows.names += names
    rows.home += [
        homes.at_bus(int(bus), name) for name, bus in zip(names, devices.sgen_bus[chosen], strict=True)
    ]
    rows.available_kw.append(_feeder_generation(spec, book, chosen, rated_kw))
    rows.p_rated_kw += rated_kw.tolist()
    rows.s_rated_kva += (
        rated_kva.tolist() if spec.inverter.s_rated_kva is None else [spec.inverter.s_rated_kva] * len(names)
    )
    rows.inverter += inverters


def _network_power_factor(spec: PvSpec, q_kvar: Array, feed_in_kw: Array) -> tuple[Array, list[InverterSpec]]:
    """Return power factor and inverter of each generator: the network's own reactive power unless one is written."""
    if "inverter" in spec.model_fields_set or not np.any(q_kvar):
        return np.full(len(q_kvar), spec.inverter.cos_phi), [spec.inverter] * len(q_kvar)
    cos_phi = np.abs(feed_in_kw) / np.hypot(feed_in_kw, q_kvar)
    inverters = [
        spec.inverter.model_copy(update={"cos_phi": float(factor), "absorbs": bool(reactive > 0.0)})
        for factor, reactive in zip(cos_phi, q_kvar, strict=True)
    ]
    return cos_phi, inverters


def _feeder_generation(spec: PvSpec, book: SeriesBook, chosen: IntArray, rated_kw: Array) -> Array:
    if spec.profile == "constant":
        return -np.ones((book.period.n_steps, 1)) * rated_kw
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
