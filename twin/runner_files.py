"""What a run folder says about the feeder and the plant, and which entities it stores."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from models.feeder.base import Feeder
from twin.prepare import Prepared
from twin.signals import Axis

__all__ = ["feeder_json", "notes_of", "selected_positions", "signal_names"]


def signal_names(prepared: Prepared) -> dict[Axis, tuple[str, ...]]:
    """Return the names of the entities of each axis in the order of the values."""
    feeder, plant = prepared.feeder, prepared.plant
    return {
        Axis.FEEDER: (feeder.name,),
        Axis.BUS: feeder.bus_name,
        Axis.LINE: feeder.line_name,
        Axis.TRAFO: feeder.trafo_name,
        Axis.HOME: plant.home_name,
        Axis.LOAD: plant.load_name,
        Axis.PV: plant.pv_name,
        Axis.BATTERY: plant.battery_name,
    }


def selected_positions(prepared: Prepared) -> dict[Axis, NDArray[np.int64]]:
    """Return the entities that the patterns of ``output.selected`` choose, by axis."""
    patterns = prepared.loaded.scenario.output.selected
    return {
        axis: np.array(
            [
                position
                for position, name in enumerate(names)
                if any(fnmatchcase(name, pattern) for pattern in patterns)
            ],
            dtype=np.int64,
        )
        for axis, names in signal_names(prepared).items()
    }


def feeder_json(prepared: Prepared) -> dict[str, Any]:
    """Return the feeder as a report needs it: names, map, ratings and what is connected."""
    feeder, plant = prepared.feeder, prepared.plant
    return {
        "name": feeder.name,
        "source": feeder.source,
        "sha256": feeder.sha256,
        "notes": list(feeder.notes),
        "has_geo": feeder.has_geo,
        "bus": {
            "name": list(feeder.bus_name),
            "x": feeder.bus_x.tolist(),
            "y": feeder.bus_y.tolist(),
            "vn_kv": feeder.bus_vn_kv.tolist(),
            "distance_km": _distance_km(feeder).tolist(),
        },
        "line": {
            "name": list(feeder.line_name),
            "from_bus": feeder.line_from_bus.tolist(),
            "to_bus": feeder.line_to_bus.tolist(),
            "length_km": feeder.line_length_km.tolist(),
            "rating_ka": feeder.line_rating_ka.tolist(),
            "open": feeder.line_is_open.tolist(),
        },
        "trafo": {
            "name": list(feeder.trafo_name),
            "hv_bus": feeder.trafo_hv_bus.tolist(),
            "lv_bus": feeder.trafo_lv_bus.tolist(),
            "rating_kva": feeder.trafo_rating_kva.tolist(),
            "level": list(feeder.trafo_level),
        },
        "devices": {
            "homes": plant.n_homes,
            "loads": len(plant.load_name),
            "pv": len(plant.pv_name),
            "pv_kw": float(plant.pv_inverter.p_rated_kw.sum()),
            "batteries": len(plant.battery_name),
            "battery_kwh": float(plant.battery.capacity_kwh.sum()),
            "battery_kw": float(plant.battery.discharge_kw.sum()),
        },
    }


def _distance_km(feeder: Feeder) -> NDArray[np.float64]:
    """Return the length of line between each bus and the nearest slack node, shape (NB,) [km]."""
    graph = nx.Graph()
    node, grid = feeder.bus_node, feeder.grid
    graph.add_nodes_from(range(len(grid.node_vn_kv)))
    for start, end in zip(grid.branch_from, grid.branch_to, strict=True):
        graph.add_edge(int(start), int(end), length_km=0.0)
    for line in np.flatnonzero(~feeder.line_is_open):
        ends = int(node[feeder.line_from_bus[line]]), int(node[feeder.line_to_bus[line]])
        graph.add_edge(*ends, length_km=float(feeder.line_length_km[line]))
    sources = {int(slack) for slack in feeder.grid.slack_node}
    reached: Mapping[int, float] = nx.multi_source_dijkstra_path_length(graph, sources, weight="length_km")
    return np.array([reached[int(position)] for position in node])


def notes_of(prepared: Prepared) -> tuple[str, ...]:
    """Return the assumptions that a reader of the results must know."""
    scenario, plant = prepared.loaded.scenario, prepared.plant
    notes: list[str] = []
    kinds = dict(zip(prepared.feeder.devices.sgen_name, prepared.feeder.devices.sgen_kind, strict=True))
    others = sum(1 for name in plant.pv_name if kinds.get(name, "PV").upper() not in {"PV", ""})
    if others:
        notes.append(
            f"{others} of the {len(plant.pv_name)} generators are not PV (wind, hydro, biomass ... of the network); they are "
            "played by their own profiles and counted as PV in the key figures."
        )
    if prepared.feeder.profiles is not None:
        notes.append(
            "SimBench's profiles are read as Central European Time; its PV shapes peak up to an hour before solar noon "
            "in that reading, so its PV may be written in UTC. They are used as published."
        )
    if not isinstance(scenario.prices.import_eur_kwh, str):
        notes.append(
            f"Prices are flat assumptions of the scenario: {scenario.prices.import_eur_kwh:g} EUR/kWh bought, "
            f"{scenario.prices.export_eur_kwh} EUR/kWh sold; taxes, fixed charges and incentives are not included."
        )
    if len(plant.battery_name) > 0:
        notes.append(
            "Batteries start at the state of charge of the scenario; what is left at the end is not priced."
        )
    notes.append(
        "A strategy sees the step's own metered load and PV power (an EMS samples within seconds) and the feeder as "
        "it was in the step before."
    )
    if prepared.external:
        names = ", ".join(source.name for source in prepared.external)
        notes.append(f"Forecasts do not know the power of third-party simulators ({names}).")
    return tuple(notes)
