"""Which primary and which secondary substation supplies each bus.

A primary substation (cabina primaria, CP) takes high voltage, above 36 kV, down to medium voltage; a secondary one takes
medium voltage down to low voltage, up to 1 kV. The area of a substation is what is reached from its lower side without
passing a transformer of the same kind. Open lines and switches separate areas; transformers on one closed busbar supply one
area; an area that several substations feed together is one, named after all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.feeder.base import BoolArray, Feeder, FloatArray, Grid, IntArray

__all__ = ["SupplyAreas", "joined_nodes", "separate_parts", "supply_areas"]

_MV_CEILING_KV = 36.0
_LV_CEILING_KV = 1.0

_Site = tuple[int, str]
"""Node at which an area is fed, and the name of what stands there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SupplyAreas:
    """The supply areas of a feeder with K primary and S secondary substations."""

    cp_name: tuple[str, ...]
    """Name of the medium voltage busbar of each primary substation, shape (K,); several are joined with ``+``."""
    cp_upstream_known: BoolArray
    """Whether the network holds the primary substation itself, shape (K,). Where it holds none, all that is connected to
    a slack counts as one area, named after the slack's bus."""
    bus_cp: IntArray
    """Primary substation of each bus, shape (NB,); -1 for buses above all of them."""
    substation_name: tuple[str, ...]
    """Name of the transformer of each secondary substation, shape (S,); several are joined with ``+``. Where a slack is
    at low voltage, the name of its bus."""
    bus_substation: IntArray
    """Secondary substation of each bus, shape (NB,); -1 for buses above low voltage."""


def supply_areas(feeder: Feeder) -> SupplyAreas:
    """Return the areas of the primary and secondary substations of ``feeder``."""
    grid = feeder.grid
    primary = _steps_down_across(feeder, _MV_CEILING_KV)
    part = joined_nodes(grid, np.ones(len(grid.branch_from), dtype=np.bool_))
    below_nothing = ~np.isin(part, part[grid.branch_to[feeder.trafo_branch[primary]]])
    covered = (grid.node_vn_kv <= _MV_CEILING_KV) | below_nothing
    bus_name, lv_bus = feeder.bus_name, feeder.trafo_lv_bus
    busbars: dict[int, str] = {}
    for node, name in _sites(feeder, primary, [bus_name[bus] for bus in lv_bus.tolist()]):
        busbars.setdefault(node, name)  # transformers on one busbar are one site
    cp_name, bus_cp = _areas(feeder, primary, list(busbars.items()), covered)
    known = np.zeros(len(cp_name), dtype=np.bool_)
    of_known = bus_cp[~below_nothing[feeder.bus_node]]
    known[of_known[of_known >= 0]] = True
    secondary = _steps_down_across(feeder, _LV_CEILING_KV)
    trafos = _sites(feeder, secondary, feeder.trafo_name)
    substation_name, bus_substation = _areas(
        feeder, secondary, list(trafos), grid.node_vn_kv <= _LV_CEILING_KV
    )
    return SupplyAreas(
        cp_name=cp_name,
        cp_upstream_known=known,
        bus_cp=bus_cp,
        substation_name=substation_name,
        bus_substation=bus_substation,
    )


def joined_nodes(grid: Grid, kept: BoolArray) -> IntArray:
    """Return a number per node, shape (NN,), equal where the branches ``kept``, shape (NBR,), join nodes."""
    n_nodes = len(grid.node_vn_kv)
    ends = (grid.branch_from[kept], grid.branch_to[kept])
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(n_nodes, n_nodes))
    labels: IntArray = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def separate_parts(feeder: Feeder) -> int:
    """Return how many parts of the network have no connection with each other, each with an upstream grid of its own."""
    part = joined_nodes(feeder.grid, np.ones(len(feeder.grid.branch_from), dtype=np.bool_))
    return len(np.unique(part[feeder.bus_node]))


def _steps_down_across(feeder: Feeder, ceiling_kv: float) -> IntArray:
    """Return the transformers with one side above and the other up to ``ceiling_kv``; positions."""
    vn_kv: FloatArray = feeder.bus_vn_kv
    above, below = vn_kv[feeder.trafo_hv_bus] > ceiling_kv, vn_kv[feeder.trafo_lv_bus] <= ceiling_kv
    return np.flatnonzero(above & below).astype(np.int64)


def _sites(feeder: Feeder, heads: IntArray, name: tuple[str, ...] | list[str]) -> Iterator[_Site]:
    """Yield where closed transformers ``heads`` feed what is below them."""
    grid, branch = feeder.grid, feeder.trafo_branch
    for trafo in heads.tolist():
        # a branch that is open at an end leads to a node of its own there, which is no bus
        if grid.branch_from[branch[trafo]] == feeder.bus_node[feeder.trafo_hv_bus[trafo]]:
            yield int(grid.branch_to[branch[trafo]]), name[trafo]


def _areas(
    feeder: Feeder, heads: IntArray, sites: list[_Site], covered: BoolArray
) -> tuple[tuple[str, ...], IntArray]:
    """Return the names of the areas fed at ``sites`` and at slacks, and the area of each bus, -1 for none.

    Args:
        feeder: the network.
        heads: transformers that separate areas from what is above them; positions.
        sites: where these feed, in the order of the areas.
        covered: which nodes can be in an area, shape (NN,).
    """
    grid = feeder.grid
    below = np.ones(len(grid.branch_from), dtype=np.bool_)
    below[feeder.trafo_branch[heads]] = False
    label = joined_nodes(grid, below)
    slack = [
        (node, feeder.bus_name[int(np.flatnonzero(feeder.bus_node == node)[0])])
        for node in grid.slack_node.tolist()
        if covered[node]
    ]
    names: dict[int, list[str]] = {}
    for node, name in [*sites, *slack]:
        names.setdefault(int(label[node]), []).append(name)
    bus_label = np.where(covered[feeder.bus_node], label[feeder.bus_node], -1)
    fed = [part for part in names if np.any(bus_label == part)]
    area_of = np.full(int(label.max(initial=-1)) + 2, -1, dtype=np.int64)
    area_of[fed] = np.arange(len(fed))
    return tuple(" + ".join(names[part]) for part in fed), area_of[bus_label]
