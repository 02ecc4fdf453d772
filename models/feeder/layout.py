"""Where to draw buses: coordinates of the network if it has them, else a generated tree."""

import json
from collections.abc import Hashable, Sequence

import networkx as nx
import numpy as np

from models.feeder.base import FloatArray, Grid, IntArray

__all__ = ["read_coordinates", "tree_layout"]

_LONGITUDE_LIMIT = 180.0
_LATITUDE_LIMIT = 90.0
_DISTINCT_SHARE = 0.5


def read_coordinates(geo: Sequence[object]) -> tuple[FloatArray, FloatArray] | None:
    """Return degrees east and north per bus, or None if they cannot serve as a map.

    They can if every bus has a finite point in the range of degrees and at least half of the points differ (a
    busbar and its transformer may share one).

    Args:
        geo: a GeoJSON point as text per bus, as pandapower 3 stores it.
    """
    points = np.array([_point(text) for text in geo], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        return None
    x, y = points[:, 0], points[:, 1]
    on_earth = (
        np.abs(x).max(initial=0.0) <= _LONGITUDE_LIMIT and np.abs(y).max(initial=0.0) <= _LATITUDE_LIMIT
    )
    distinct = len(np.unique(points, axis=0))
    if not on_earth or distinct < max(2, _DISTINCT_SHARE * len(points)):
        return None
    return x.copy(), y.copy()


def tree_layout(grid: Grid, bus_node: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return coordinates of a tree drawn from the slack nodes downwards, shape (NB,) each; no two buses coincide.

    Every leaf has a column of its own, a parent stands over the middle of its children, and the depth is the number of
    branches to the slack. Meshes are drawn along their breadth-first tree. Same network, same picture.
    """
    tree = _spanning_tree(grid, bus_node)
    root = "root"
    depth = nx.single_source_shortest_path_length(tree, root)
    column: dict[Hashable, float] = {}
    next_column = 0
    for vertex in nx.dfs_postorder_nodes(tree, root):
        children = [column[child] for child in tree.successors(vertex)]
        if children:
            column[vertex] = (children[0] + children[-1]) / 2
        else:
            column[vertex] = float(next_column)
            next_column += 1
    # a wide tree is stretched downwards so that the picture keeps a usable aspect ratio
    stretch = max(1.0, next_column / (2.0 * max(depth.values())))
    keys = _bus_vertices(bus_node)
    x = np.array([column[key] for key in keys], dtype=np.float64)
    y = np.array([-stretch * depth[key] for key in keys], dtype=np.float64)
    return x, y


def _point(text: object) -> tuple[float, float]:
    try:
        longitude, latitude = json.loads(text)["coordinates"][:2]  # type: ignore[arg-type]  # no text: TypeError
        return float(longitude), float(latitude)
    except (TypeError, ValueError, KeyError, IndexError):
        return np.nan, np.nan


def _bus_vertices(bus_node: IntArray) -> list[Hashable]:
    """Return the vertex of each bus: its node for the first bus of a node, one of its own for fused ones."""
    first: dict[int, int] = {}
    vertices: list[Hashable] = []
    for bus, node in enumerate(bus_node.tolist()):
        is_first = first.setdefault(node, bus) == bus
        vertices.append(node if is_first else ("bus", bus))
    return vertices


def _spanning_tree(grid: Grid, bus_node: IntArray) -> nx.DiGraph:
    graph = nx.Graph()
    graph.add_nodes_from(range(len(grid.node_vn_kv)))
    graph.add_edges_from(zip(grid.branch_from.tolist(), grid.branch_to.tolist(), strict=True))
    for vertex, node in zip(_bus_vertices(bus_node), bus_node.tolist(), strict=True):
        if vertex != node:
            graph.add_edge(node, vertex)
    graph.add_edges_from(("root", node) for node in grid.slack_node.tolist())
    return nx.bfs_tree(graph, "root")
