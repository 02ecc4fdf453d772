"""From a pandapower network to a compiled :class:`~models.feeder.base.Feeder`.

A three-winding transformer is one transformer of the feeder: its flow is that into its high voltage side, its low voltage
bus is the middle one, and its loading is the largest of its three windings (as in pandapower).
"""

import copy
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from models.feeder.areas import joined_nodes
from models.feeder.base import (
    BoolArray,
    Feeder,
    FeederDevices,
    FloatArray,
    Grid,
    IntArray,
    NetIndex,
    TrafoWindings,
)
from models.feeder.extraction import Extraction, extract
from models.feeder.layout import read_coordinates, tree_layout
from models.feeder.names import listing, unique_names
from models.feeder.preparation import table_names, use_taps, validate
from models.feeder.profiles import read_profiles
from models.feeder.tables import read_devices

__all__ = ["compile_feeder"]

_LEVELS = ((1.0, "LV"), (36.0, "MV"), (150.0, "HV"), (np.inf, "EHV"))
_KVA_PER_MVA = 1e3
_SQRT3 = 3.0**0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class _Lines:
    index: IntArray
    from_bus: IntArray
    to_bus: IntArray
    branch: IntArray
    rating_ka: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trafos:
    index: IntArray
    index3w: IntArray
    name: tuple[str, ...]
    hv_bus: IntArray
    lv_bus: IntArray
    branch: IntArray
    rating_kva: FloatArray
    windings: TrafoWindings


def compile_feeder(net: Any, *, source: str, name: str | None = None, notes: Sequence[str] = ()) -> Feeder:
    """Compile a pandapower network. ``net`` is not changed.

    Args:
        net: pandapower network.
        source: what the user wrote to get it.
        name: name of the feeder; by default the network's own, else the source.
        notes: what was done to the network before, in words for the report.

    Raises:
        FeederError: the network is empty, has no slack, lacks numbers, or cannot be solved.
    """
    validate(net, source)
    own = copy.deepcopy({key: value for key, value in net.items() if key != "profiles"})
    own = type(net)(own)
    said = [*notes, *use_taps(own)]
    model = extract(own, source)
    position = _positions(own, model.bus_index)
    lines = _lines(own, model, position)
    trafos = _trafos(own, model, position)
    devices, left_out = read_devices(own, model.bus_index)
    said += [*_topology_notes(own, model, lines, trafos), *left_out]
    bus = own.bus.loc[model.bus_index]
    coordinates = read_coordinates(bus.geo.tolist() if "geo" in bus else [None] * len(bus))
    x, y = tree_layout(model.grid, model.bus_node) if coordinates is None else coordinates
    bus_vn_kv = bus.vn_kv.to_numpy(dtype=np.float64)
    levels = _levels(bus_vn_kv, trafos)
    line = own.line.loc[lines.index]
    own_name = own.get("name")
    return Feeder(
        name=name or (own_name if isinstance(own_name, str) and own_name else source),
        source=source,
        sha256=_fingerprint(model.grid, devices, [lines, trafos, trafos.windings], model.bus_node),
        notes=tuple(said),
        bus_name=unique_names(bus["name"].tolist(), bus.index.tolist(), "bus"),
        bus_node=model.bus_node,
        bus_vn_kv=bus_vn_kv,
        bus_x=x,
        bus_y=y,
        has_geo=coordinates is not None,
        line_name=unique_names(line["name"].tolist(), line.index.tolist(), "line"),
        line_from_bus=lines.from_bus,
        line_to_bus=lines.to_bus,
        line_branch=lines.branch,
        line_length_km=line.length_km.to_numpy(dtype=np.float64),
        line_rating_ka=lines.rating_ka,
        trafo_name=trafos.name,
        trafo_hv_bus=trafos.hv_bus,
        trafo_lv_bus=trafos.lv_bus,
        trafo_branch=trafos.branch,
        trafo_rating_kva=trafos.rating_kva,
        trafo_level=levels,
        head_trafos=_head_trafos(levels, trafos, model),
        grid=model.grid,
        devices=devices,
        profiles=read_profiles(net, devices, source),
        net=own,
        windings=trafos.windings,
        index=NetIndex(bus=model.bus_index, line=lines.index, trafo=trafos.index, trafo3w=trafos.index3w),
    )


def _levels(bus_vn_kv: FloatArray, trafos: _Trafos) -> tuple[str, ...]:
    word = [next(word for limit, word in _LEVELS if vn_kv <= limit) for vn_kv in bus_vn_kv.tolist()]
    return tuple(f"{word[hv]}/{word[lv]}" for hv, lv in zip(trafos.hv_bus, trafos.lv_bus, strict=True))


def _positions(net: Any, bus_index: IntArray) -> IntArray:
    """Return the feeder's position per row number of ``net.bus``, -1 where the bus is not part of it."""
    position = np.full(int(net.bus.index.max()) + 1, -1, dtype=np.int64)
    position[bus_index] = np.arange(len(bus_index))
    return position


def _rows(net: Any, table: str, kept: BoolArray) -> IntArray:
    rows: IntArray = net[table].index.to_numpy(dtype=np.int64)[kept]
    return rows


def _lines(net: Any, model: Extraction, position: IntArray) -> _Lines:
    from_bus = position[net.line.from_bus.to_numpy(dtype=np.int64)]
    to_bus = position[net.line.to_bus.to_numpy(dtype=np.int64)]
    branch = model.branch_of["line"]
    kept = (branch >= 0) & (from_bus >= 0) & (to_bus >= 0)
    index = _rows(net, "line", kept)
    used = net.line.loc[index]
    return _Lines(
        index=index,
        from_bus=from_bus[kept],
        to_bus=to_bus[kept],
        branch=branch[kept],
        rating_ka=(used.max_i_ka * used.df * used.parallel).to_numpy(dtype=np.float64),
    )


def _trafos(net: Any, model: Extraction, position: IntArray) -> _Trafos:
    two, three = net.trafo, net.trafo3w
    hv2, lv2 = (position[two[side].to_numpy(dtype=np.int64)] for side in ("hv_bus", "lv_bus"))
    branch2 = model.branch_of["trafo"]
    kept2 = (branch2 >= 0) & (hv2 >= 0) & (lv2 >= 0)
    hv3, mv3 = (position[three[side].to_numpy(dtype=np.int64)] for side in ("hv_bus", "mv_bus"))
    branch3 = model.branch_of["trafo3w"].reshape(3, len(three))
    kept3 = (branch3[0] >= 0) & (hv3 >= 0) & (mv3 >= 0)
    index2, index3 = _rows(net, "trafo", kept2), _rows(net, "trafo3w", kept3)
    used2, used3 = two.loc[index2], three.loc[index3]
    rating2 = (used2.sn_mva * used2.parallel * used2.df).to_numpy(dtype=np.float64)
    return _Trafos(
        index=index2,
        index3w=index3,
        name=unique_names(
            [*used2["name"], *used3["name"]],
            [*used2.index, *(len(two) + row for row in used3.index)],
            "trafo",
        ),
        hv_bus=np.concatenate([hv2[kept2], hv3[kept3]]),
        lv_bus=np.concatenate([lv2[kept2], mv3[kept3]]),
        branch=np.concatenate([branch2[kept2], branch3[0][kept3]]),
        rating_kva=np.concatenate([rating2, used3.sn_hv_mva.to_numpy(dtype=np.float64)]) * _KVA_PER_MVA,
        windings=_windings(used2, used3, branch2[kept2], branch3[:, kept3]),
    )


def _windings(two: Any, three: Any, branch2: IntArray, branch3: IntArray) -> TrafoWindings:
    """Return what counts for the loading; a winding of a three-winding transformer without current is left out."""
    first3 = len(two)
    rating2 = two.sn_mva * two.parallel * two.df
    parts: list[tuple[IntArray, IntArray, bool, Any]] = [
        (np.arange(first3), branch2, True, rating2 / two.vn_hv_kv),
        (np.arange(first3), branch2, False, rating2 / two.vn_lv_kv),
    ]
    for row, (side, is_from) in enumerate((("hv", True), ("mv", False), ("lv", False))):
        rating = three[f"sn_{side}_mva"] / three[f"vn_{side}_kv"]
        parts.append((first3 + np.arange(len(three)), branch3[row], is_from, rating))
    trafo = np.concatenate([part[0] for part in parts]).astype(np.int64)
    branch = np.concatenate([part[1] for part in parts]).astype(np.int64)
    at_from = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
    rating_ka = np.concatenate([np.asarray(part[3], dtype=np.float64) for part in parts]) / _SQRT3
    order = np.argsort(trafo, kind="stable")
    order = order[branch[order] >= 0]
    return TrafoWindings(
        trafo=trafo[order], branch=branch[order], at_from=at_from[order], rating_ka=rating_ka[order]
    )


def _head_trafos(levels: tuple[str, ...], trafos: _Trafos, model: Extraction) -> IntArray:
    """Return the HV/MV transformers; in a part of the network without one, those with the high voltage side at a slack."""
    grid = model.grid
    is_main = np.array([level == "HV/MV" for level in levels], dtype=np.bool_)
    hv_node = model.bus_node[trafos.hv_bus]
    part = joined_nodes(grid, np.ones(len(grid.branch_from), dtype=np.bool_))[hv_node]
    at_slack = np.isin(hv_node, grid.slack_node) & ~np.isin(part, part[is_main])
    return np.flatnonzero(is_main | at_slack).astype(np.int64)


def _topology_notes(net: Any, model: Extraction, lines: _Lines, trafos: _Trafos) -> Iterable[str]:
    bus = net.bus
    unsupplied = bus[bus.in_service.astype(bool) & ~bus.index.isin(model.bus_index)]
    if len(unsupplied):
        yield f"Left out: {len(unsupplied)} bus(es) without supply: {listing(table_names(unsupplied, 'bus'))}."
    out_of_service = bus[~bus.in_service.astype(bool)]
    if len(out_of_service):
        yield f"Left out: {len(out_of_service)} bus(es) out of service: {listing(table_names(out_of_service, 'bus'))}."
    for table, used in (("line", lines.index), ("trafo", trafos.index), ("trafo3w", trafos.index3w)):
        frame = net[table]
        idle = frame[~frame.index.isin(used)]
        if len(idle):
            names = listing(table_names(idle, table))
            yield f"Left out: {len(idle)} {table}(s) out of service, switched off or without supply: {names}."
    n_open = int((~net.switch.closed.astype(bool)).sum())
    if n_open:
        yield f"{n_open} switch(es) are open."
    n_controllers = len(net.controller) if "controller" in net else 0
    if n_controllers:
        yield f"{n_controllers} controller(s) of the network are not run: taps and set-points stay as they are."
    if len(trafos.index3w):
        names = listing(trafos.name[len(trafos.index) :])
        yield f"Three-winding transformers are reported at their high voltage side: {names}."
    if model.grid.unsupported:
        yield f"Solved by the reference engine only, because of {'; '.join(model.grid.unsupported)}."


def _fingerprint(grid: Grid, devices: FeederDevices, rest: list[Any], bus_node: IntArray) -> str:
    digest = hashlib.sha256(bus_node.tobytes())
    for part in (grid, devices, *rest):
        for item in fields(part):
            value = getattr(part, item.name)
            digest.update(item.name.encode())
            if isinstance(value, np.ndarray):
                digest.update(np.ascontiguousarray(value).tobytes())
            elif not isinstance(value, TrafoWindings):
                digest.update(repr(value).encode())
    return digest.hexdigest()
