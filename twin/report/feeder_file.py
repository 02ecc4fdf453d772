"""Reads what a run folder says about its feeder and its scenario."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from twin.errors import RunFolderError
from twin.kpis import KpiContext
from twin.report.device_data import DeviceEntry, DeviceOutput
from twin.report.model import FeederMap
from twin.results import layout
from twin.signals import Axis

__all__ = ["read_context", "read_devices", "read_feeder", "read_scenario"]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise RunFolderError(f"{path}: not there; the run was stored in part, run again") from exc
    except (OSError, ValueError) as exc:
        raise RunFolderError(f"{path}: cannot be read: {exc}; restore the file or run again") from exc
    if not isinstance(content, dict):
        raise RunFolderError(f"{path}: holds no mapping; restore the file or run again")
    return content


def read_context(folder: Path) -> KpiContext:
    """Return the KPI context of a run.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    return KpiContext.from_dict(_read_json(folder / layout.CONTEXT))


def read_scenario(folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the resolved scenario as text and as plain values.

    Raises:
        RunFolderError: the file is missing or not YAML.
    """
    path = folder / layout.SCENARIO
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except FileNotFoundError as exc:
        raise RunFolderError(f"{path}: not there; the run was stored in part, run again") from exc
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise RunFolderError(f"{path}: cannot be read: {exc}; restore the file or run again") from exc
    return text, content if isinstance(content, dict) else {}


def _floats(values: Any) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _positions(names: Any, known: Mapping[str, int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([name if isinstance(name, int) else known[name] for name in names], dtype=np.int64)


def read_feeder(folder: Path) -> tuple[FeederMap, dict[str, Any]]:
    """Return what is drawn of the feeder and the raw content of its file.

    Raises:
        RunFolderError: the file is missing, damaged or lacks a field.
    """
    path = folder / layout.FEEDER
    raw = _read_json(path)
    context = read_context(folder)
    try:
        bus, line, trafo = raw["bus"], raw["line"], raw["trafo"]
        known = {name: position for position, name in enumerate(bus["name"])}
        drawn = FeederMap(
            name=str(raw["name"]),
            has_geo=bool(raw["has_geo"]),
            bus_name=tuple(bus["name"]),
            x=_floats(bus["x"]),
            y=_floats(bus["y"]),
            vn_kv=_floats(bus["vn_kv"]),
            distance_km=_floats(bus["distance_km"]),
            bus_free=np.isin(np.arange(len(bus["name"])), context.free_buses),
            line_name=tuple(line["name"]),
            line_from=_positions(line["from_bus"], known),
            line_to=_positions(line["to_bus"], known),
            # runs stored without this field draw every line as closed
            line_open=np.array(line.get("open", [False] * len(line["name"])), dtype=np.bool_),
            trafo_name=tuple(trafo["name"]),
            trafo_hv=_positions(trafo["hv_bus"], known),
            trafo_lv=_positions(trafo["lv_bus"], known),
            trafo_rating_kva=_floats(trafo["rating_kva"]),
            trafo_level=tuple(trafo["level"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise RunFolderError(f"{path}: field {exc} is missing or of another kind; run again") from exc
    return drawn, raw


def read_devices(folder: Path, raw: Mapping[str, Any]) -> tuple[DeviceEntry, ...]:
    """Return the devices that keep their own state by entry; none for a run that was stored without them.

    Args:
        folder: folder of the run, for messages.
        raw: content of the feeder's file.

    Raises:
        RunFolderError: a field is missing or of another kind.
    """
    try:
        entries = tuple(_device_entry(entry) for entry in raw.get("own_state", []))
    except (KeyError, TypeError, ValueError) as exc:
        raise RunFolderError(
            f"{folder / layout.FEEDER}: own_state: {exc} is missing or of another kind; run again"
        ) from exc
    return tuple(entry for entry in entries if entry.devices)


def _device_entry(raw: Mapping[str, Any]) -> DeviceEntry:
    return DeviceEntry(
        label=str(raw["label"]),
        axis=Axis(raw["axis"]),
        devices=tuple(str(name) for name in raw["devices"]),
        origin=str(raw["origin"]),
        outputs=tuple(
            DeviceOutput(name=str(output["name"]), unit=str(output["unit"])) for output in raw["outputs"]
        ),
        # runs stored without this field show no voltage beside a device
        buses=tuple(str(name) for name in raw.get("buses", [])),
    )
