"""The loads, static generators and storages of a pandapower network as arrays."""

from typing import Any

import numpy as np

from models.feeder.base import BoolArray, FeederDevices, FloatArray, IntArray
from models.feeder.names import listing, unique_names
from models.feeder.preparation import table_names

__all__ = ["read_devices"]

_KW_PER_MW = 1e3


def read_devices(net: Any, bus_index: IntArray) -> tuple[FeederDevices, tuple[str, ...]]:
    """Return the devices in service at the buses ``bus_index`` and notes about those left out.

    pandapower counts static generators generation-positive; here every power is consumption-positive.
    """
    notes: list[str] = []
    position = {row: place for place, row in enumerate(bus_index.tolist())}
    load = _connected(net, "load", position, notes)
    sgen = _connected(net, "sgen", position, notes)
    storage = _connected(net, "storage", position, notes)
    sgen_p_kw = -_scaled(sgen, "p_mw")
    capacity = _storage_capacity(storage, notes)
    return FeederDevices(
        load_name=_names(load, "load"),
        load_bus=_buses(load, position),
        load_p_kw=_scaled(load, "p_mw"),
        load_q_kvar=_scaled(load, "q_mvar"),
        load_profile=_profiles(load),
        sgen_name=_names(sgen, "sgen"),
        sgen_bus=_buses(sgen, position),
        sgen_p_kw=sgen_p_kw,
        sgen_q_kvar=-_scaled(sgen, "q_mvar"),
        sgen_s_kva=_first_positive(_optional(sgen, "sn_mva") * _KW_PER_MW, np.abs(sgen_p_kw)),
        sgen_kind=tuple(kind if isinstance(kind, str) else "" for kind in sgen["type"]),
        sgen_profile=_profiles(sgen),
        storage_name=_names(storage, "storage"),
        storage_bus=_buses(storage, position),
        storage_p_kw=_storage_power(storage),
        storage_e_kwh=capacity,
    ), tuple(notes)


def _connected(net: Any, table: str, position: dict[int, int], notes: list[str]) -> Any:
    frame = net[table]
    in_service = frame.in_service.to_numpy(dtype=bool)
    supplied = frame.bus.isin(list(position)).to_numpy(dtype=bool)
    _note_left_out(frame, ~in_service, f"{table}(s) out of service", notes)
    _note_left_out(frame, in_service & ~supplied, f"{table}(s) at buses without supply", notes)
    return frame[in_service & supplied]


def _note_left_out(frame: Any, left_out: BoolArray, words: str, notes: list[str]) -> None:
    if left_out.any():
        names = table_names(frame[left_out], words.split("(", maxsplit=1)[0])
        notes.append(f"Left out: {len(names)} {words}: {listing(names)}.")


def _names(frame: Any, kind: str) -> tuple[str, ...]:
    return unique_names(frame["name"].tolist(), frame.index.tolist(), kind)


def _buses(frame: Any, position: dict[int, int]) -> IntArray:
    return np.array([position[row] for row in frame.bus.tolist()], dtype=np.int64)


def _scaled(frame: Any, column: str) -> FloatArray:
    values: FloatArray = frame[column].to_numpy(dtype=np.float64)
    scaling: FloatArray = frame["scaling"].to_numpy(dtype=np.float64)
    return values * scaling * _KW_PER_MW


def _optional(frame: Any, column: str) -> FloatArray:
    """Return a column that a network may lack, NaN where it says nothing."""
    if column not in frame:
        return np.full(len(frame), np.nan)
    return np.array(frame[column].to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _profiles(frame: Any) -> tuple[str | None, ...]:
    if "profile" not in frame:
        return (None,) * len(frame)
    return tuple(name if isinstance(name, str) and name else None for name in frame["profile"])


def _first_positive(preferred: FloatArray, fallback: FloatArray) -> FloatArray:
    return np.where(np.isfinite(preferred) & (preferred > 0.0), preferred, fallback)


def _storage_power(frame: Any) -> FloatArray:
    """Return rated power [kW]: the largest power or power limit given, else the rated apparent power."""
    given = [np.abs(_optional(frame, column)) for column in ("p_mw", "min_p_mw", "max_p_mw")]
    largest = np.nan_to_num(np.array(given), nan=0.0).max(axis=0) * _KW_PER_MW
    return _first_positive(largest, np.nan_to_num(_optional(frame, "sn_mva"), nan=0.0) * _KW_PER_MW)


def _storage_capacity(frame: Any, notes: list[str]) -> FloatArray:
    """Return capacity [kWh], 0 with a note where the network gives none."""
    capacity = _optional(frame, "max_e_mwh") * _KW_PER_MW
    missing = ~np.isfinite(capacity)
    if missing.any():
        names = listing(table_names(frame[missing], "storage"))
        notes.append(f"Storage without a capacity, taken as 0 kWh until a scenario gives one: {names}.")
    return np.where(missing, 0.0, capacity)
