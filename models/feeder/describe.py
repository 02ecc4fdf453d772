"""What is on a feeder, as plain data for ``twin feeder`` and the report."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from models.feeder.areas import supply_areas
from models.feeder.base import Feeder, FeederDevices, FeederProfiles, FloatArray

__all__ = ["describe"]


def describe(feeder: Feeder) -> dict[str, Any]:
    """Return a summary that JSON can carry: counts, levels, transformers, devices, profiles, notes, names.

    Powers are in kW and positive in the direction of their name (loads consume, generators generate), energies in
    kWh, lengths in km.
    """
    grid, areas = feeder.grid, supply_areas(feeder)
    return {
        "name": feeder.name,
        "source": feeder.source,
        "sha256": feeder.sha256,
        "buses": len(feeder.bus_name),
        "nodes": len(grid.node_vn_kv),
        "lines": len(feeder.line_name),
        "line_length_km": _sum(feeder.line_length_km),
        "transformers": [_trafo(feeder, place) for place in range(len(feeder.trafo_name))],
        "head_transformers": [feeder.trafo_name[place] for place in feeder.head_trafos],
        "primary_substations": list(areas.cp_name),
        "secondary_substations": list(areas.substation_name),
        "slack_vm_pu": [round(float(vm_pu), 6) for vm_pu in grid.slack_vm_pu],
        "voltage_levels": _levels(feeder),
        "devices": _devices(feeder.devices),
        "profiles": None if feeder.profiles is None else _profiles(feeder.profiles),
        "coordinates": "degrees of the network" if feeder.has_geo else "generated layout",
        "unsupported_by_fast_engines": list(grid.unsupported),
        "notes": list(feeder.notes),
        "bus_names": list(feeder.bus_name),
        "load_names": list(feeder.devices.load_name),
    }


def _sum(values: FloatArray) -> float:
    """Return a rounded sum; nothing sums to 0, not to -0."""
    return round(float(values.sum()), 3) + 0.0


def _levels(feeder: Feeder) -> list[dict[str, Any]]:
    buses = Counter(feeder.bus_vn_kv.tolist())
    line_vn_kv = feeder.bus_vn_kv[feeder.line_from_bus]
    return [
        {
            "vn_kv": vn_kv,
            "buses": buses[vn_kv],
            "lines": int((line_vn_kv == vn_kv).sum()),
            "line_length_km": _sum(feeder.line_length_km[line_vn_kv == vn_kv]),
        }
        for vn_kv in sorted(buses, reverse=True)
    ]


def _trafo(feeder: Feeder, place: int) -> dict[str, Any]:
    hv, lv = int(feeder.trafo_hv_bus[place]), int(feeder.trafo_lv_bus[place])
    two = len(feeder.index.trafo)
    frame = feeder.net.trafo if place < two else feeder.net.trafo3w
    row = frame.loc[feeder.index.trafo[place] if place < two else feeder.index.trafo3w[place - two]]
    return {
        "name": feeder.trafo_name[place],
        "level": feeder.trafo_level[place],
        "rating_kva": round(float(feeder.trafo_rating_kva[place]), 3),
        "hv_bus": feeder.bus_name[hv],
        "lv_bus": feeder.bus_name[lv],
        "vn_hv_kv": float(feeder.bus_vn_kv[hv]),
        "vn_lv_kv": float(feeder.bus_vn_kv[lv]),
        "tap_position": _number(row.get("tap_pos")),
        "tap_step_percent": _number(row.get("tap_step_percent")),
        "tap_side": row["tap_side"] if isinstance(row.get("tap_side"), str) else None,
    }


def _number(value: Any) -> float | None:
    """Return a finite number, or None for whatever pandas uses for a missing one."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _devices(devices: FeederDevices) -> dict[str, Any]:
    is_pv = np.array(["PV" in kind.upper() for kind in devices.sgen_kind], dtype=np.bool_)
    return {
        "loads": len(devices.load_name),
        "load_p_kw": _sum(devices.load_p_kw),
        "static_generators": len(devices.sgen_name),
        "static_generator_kinds": dict(
            sorted(Counter(kind or "unnamed" for kind in devices.sgen_kind).items())
        ),
        "static_generator_kw": _kw_by_kind(devices),
        "pv_generators": int(is_pv.sum()),
        "pv_kwp": _sum(-devices.sgen_p_kw[is_pv]),
        "other_generation_kw": _sum(-devices.sgen_p_kw[~is_pv]),
        "storages": len(devices.storage_name),
        "storage_kw": _sum(devices.storage_p_kw),
        "storage_kwh": _sum(devices.storage_e_kwh),
    }


def _kw_by_kind(devices: FeederDevices) -> dict[str, float]:
    kinds = np.array([kind or "unnamed" for kind in devices.sgen_kind], dtype=np.str_)
    return {str(kind): _sum(-devices.sgen_p_kw[kinds == kind]) for kind in np.unique(kinds)}


def _profiles(profiles: FeederProfiles) -> dict[str, Any]:
    start = datetime.fromtimestamp(profiles.start_utc_s, tz=UTC)
    end = start + timedelta(seconds=profiles.dt_s * profiles.n_steps)
    return {
        # half a day in, so that a year that starts on 31 December 23:00 UTC has the name people give it
        "year": (start + timedelta(hours=12)).year,
        "start_utc": start.isoformat(),
        "end_utc": end.isoformat(),
        "step_s": profiles.dt_s,
        "steps": profiles.n_steps,
        "generation": list(profiles.generation_names),
    }
