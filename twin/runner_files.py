"""What a run folder says about the feeder and the plant, and which entities it stores."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from models.feeder import separate_parts
from models.feeder.base import Feeder
from twin.members import Communities
from twin.plant import Plant, total_by
from twin.prepare import Prepared, signal_names
from twin.scenario.market import ZONE
from twin.signals import Axis

__all__ = [
    "cautions_of",
    "communities_in_words",
    "devices_in_words",
    "feeder_json",
    "implausible",
    "left_out",
    "notes_of",
    "own_state",
    "selected_positions",
]

_LOW_VOLTAGE_KV = 1.0
_LARGE_LOAD_KW = 400.0
"""More than a low-voltage connection usually carries: 630 A at 400 V are 436 kVA."""


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
        "own_state": own_state(plant, feeder.bus_name),
    }


def own_state(plant: Plant, bus_name: Sequence[str]) -> list[dict[str, Any]]:
    """Return the devices that keep their own state by entry, in the order of ``Plant.stored_outputs``.

    Args:
        plant: the plant.
        bus_name: names of the buses of its feeder.
    """
    names = {Axis.LOAD: plant.load_name, Axis.PV: plant.pv_name, Axis.BATTERY: plant.battery_name}
    return [
        {
            "label": plan.label,
            "axis": plan.axis.value,
            "devices": [names[plan.axis][position] for position in plan.position],
            "buses": [bus_name[plant.home_bus[home]] for home in plan.home],
            "origin": plan.origin,
            "outputs": [{"name": name, "unit": unit} for name, unit in plan.record],
        }
        for plan in plant.blocks
    ]


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


def communities_in_words(communities: Communities) -> tuple[str, ...]:
    """Return one sentence per configuration: who is in it, and under which primary substation."""
    members = np.bincount(communities.member_community, minlength=communities.n_communities)
    plants = np.bincount(communities.plant_community, minlength=communities.n_communities)
    power_kw = total_by(communities.plant_community, communities.plant_kw, communities.n_communities)
    return tuple(
        f"{name!r} ({communities.kind[c]}): members {members[c]}, plants {plants[c]} of {power_kw[c]:.4g} kW in all, "
        f"primary substation {communities.cp_name[communities.cp[c]]!r}."
        for c, name in enumerate(communities.name)
    )


def left_out(prepared: Prepared) -> tuple[str, ...]:
    """Return sentences on the network's own devices that the scenario does not take."""
    devices, plant = prepared.feeder.devices, prepared.plant
    sentences: list[str] = []
    for what, kind, names, power_kw, taken in (
        ("loads", "load", devices.load_name, devices.load_p_kw, plant.load_name),
        ("static generators", "pv", devices.sgen_name, -devices.sgen_p_kw, plant.pv_name),
        ("storages", "battery", devices.storage_name, devices.storage_p_kw, plant.battery_name),
    ):
        present = set(taken)
        missing = [position for position, name in enumerate(names) if name not in present]
        if missing:
            sentences.append(
                f"{len(missing)} of the network's {len(names)} {what} ({power_kw[missing].sum():.4g} kW) are not in the "
                f"scenario; `kind: {kind}, from: feeder` takes them."
            )
    return tuple(sentences)


def implausible(prepared: Prepared) -> tuple[str, ...]:
    """Return sentences on loads that look like a mistaken unit or sign."""
    plant, feeder = prepared.plant, prepared.feeder
    if not len(plant.load_name):
        return ()
    highest_kw, lowest_kw = plant.load_p_kw.max(axis=0), plant.load_p_kw.min(axis=0)
    low_voltage = feeder.bus_vn_kv[plant.load_bus] <= _LOW_VOLTAGE_KV
    sentences: list[str] = []
    for what, suspect in (
        (
            f"loads at low voltage take more than {_LARGE_LOAD_KW:g} kW at their peak; check the unit of their source",
            low_voltage & (highest_kw > _LARGE_LOAD_KW),
        ),
        ("loads feed in at times; check the sign of their source", lowest_kw < 0.0),
    ):
        if suspect.any():
            first = int(np.flatnonzero(suspect)[0])
            sentences.append(
                f"{int(suspect.sum())} {what} (first: {plant.load_name[first]!r}, {lowest_kw[first]:.4g} to "
                f"{highest_kw[first]:.4g} kW)."
            )
    return tuple(sentences)


def cautions_of(prepared: Prepared) -> tuple[str, ...]:
    """Return what a reader of the summary must know: who knows the future, and what the feeder head is."""
    return (*_foresight(prepared), *_several_heads(prepared.feeder))


def _several_heads(feeder: Feeder) -> tuple[str, ...]:
    n_parts = separate_parts(feeder)
    sentence = (
        f"The feeder head stands for {n_parts} separate networks together: what one feeds back offsets what another draws, in "
        "reverse flow and peaks. Look at the transformers for each of them."
    )
    return (sentence,) if n_parts > 1 else ()


def _foresight(prepared: Prepared) -> tuple[str, ...]:
    """Return a sentence on the strategies that know the future, which no strategy in the field does."""
    strategies = prepared.loaded.scenario.strategies
    knowing = [
        strategies[name].label
        for name in prepared.strategies
        if getattr(prepared.controller(name)[0], "forecast", "") == "perfect"
    ]
    sentence = (
        f"Load and PV of the coming hours are known exactly (perfect forecast) to: {'; '.join(knowing)}. Such results are the most "
        "that can be had; `forecast: persistence` or `noisy` shows what is left without that knowledge."
    )
    return (sentence,) if knowing else ()


def notes_of(prepared: Prepared) -> tuple[str, ...]:
    """Return the assumptions that a reader of the results must know."""
    scenario, plant = prepared.loaded.scenario, prepared.plant
    notes: list[str] = [*left_out(prepared), *implausible(prepared)]
    kinds = dict(zip(prepared.feeder.devices.sgen_name, prepared.feeder.devices.sgen_kind, strict=True))
    others = sum(1 for name in plant.pv_name if kinds.get(name, "PV").upper() not in {"PV", ""})
    if others:
        notes.append(
            f"{others} of the {len(plant.pv_name)} generators are not PV (wind, hydro, biomass ... of the network); they "
            "follow the profile of their entry and count as PV in the key figures."
        )
    if prepared.feeder.profiles is not None:
        notes.append(
            "SimBench's profiles are read as Central European Time; its PV shapes peak up to an hour before solar noon "
            "in that reading, so its PV may be written in UTC. They are used as published."
        )
    if isinstance(scenario.prices.import_eur_kwh, float):
        sold = scenario.prices.export_eur_kwh
        words = "the zonal price" if sold == ZONE else f"{sold} EUR/kWh"
        notes.append(
            f"Prices are assumptions of the scenario: {scenario.prices.import_eur_kwh:g} EUR/kWh bought, {words} sold; "
            "fixed charges are not included."
        )
    if prepared.loop is not None:
        notes.append(prepared.loop.text)
    notes += plant.market.assumed
    notes += plant.communities.notes
    if len(plant.battery_name) > 0:
        notes.append(
            "Batteries start at the state of charge of the scenario; what is left at the end has no price in the energy cost of "
            "the connection points, and its worth in the net cost of members."
        )
    notes.append(
        "A strategy sees the step's own metered load and PV power (an EMS samples within seconds) and the feeder as "
        "it was in the step before."
    )
    if prepared.external:
        names = ", ".join(source.name for source in prepared.external)
        notes.append(f"Forecasts do not know the power of third-party simulators ({names}).")
    notes += _of_blocks(plant)
    return tuple(notes)


def _of_blocks(plant: Plant) -> list[str]:
    """Return what computes the devices that keep their own state, and what that changes."""
    sentences = [*devices_in_words(plant)]
    if len(plant.appliance_load) > 0:
        sentences.append(
            "Forecasts do not know the power of appliances (water heaters, chargers, FMUs at a terminal): they count as 0 ahead."
        )
    if sentences:
        sentences.append(
            "Devices with a state of their own see the voltage of the step before, and their power is final."
        )
    return sentences


def devices_in_words(plant: Plant) -> tuple[str, ...]:
    """Return one sentence per fleet of devices that keep their own state: how many, and what computes them."""
    return tuple(
        f"{plan.label}: {_counted(len(plan.position))}, computed by {plan.origin}." for plan in plant.blocks
    )


def _counted(n_devices: int) -> str:
    return "1 device" if n_devices == 1 else f"{n_devices} devices"
