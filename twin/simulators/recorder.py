"""The recorder: takes what the run stores, adds the feeder's totals, hands each step to a sink."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from twin.plant import IntArray
from twin.signals import RECORDED, Axis
from twin.simulators.ports import Array, ports

__all__ = ["RecorderCore", "Sink"]

_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
_QUANTILE_KEYS = (
    "feeder.vm_min_pu",
    "feeder.vm_p05_pu",
    "feeder.vm_median_pu",
    "feeder.vm_p95_pu",
    "feeder.vm_max_pu",
)
_TOTALS = (
    ("feeder.p_load_kw", "load.p_kw"),
    ("feeder.p_pv_kw", "pv.p_kw"),
    ("feeder.p_pv_available_kw", "pv.p_available_kw"),
    ("feeder.p_battery_kw", "battery.p_kw"),
)
_DERIVED = {*_QUANTILE_KEYS, "feeder.p_balance_kw", *(total for total, _ in _TOTALS)}


class Sink(Protocol):
    """Takes every recorded signal of one step."""

    def append(self, step: int, values: Mapping[str, Array]) -> None:
        """Store the values of ``step``, by signal key."""
        ...


class RecorderCore:
    """Last in the step: sees everything, publishes that the step is done."""

    name = "recorder"

    def __init__(self, sizes: Mapping[Axis, int], *, dt_s: float, free_buses: IntArray, sink: Sink) -> None:
        """Take the buses whose voltages make the feeder's quantiles: those that are not held by the model."""
        self.dt_s = dt_s
        self._free_buses = free_buses
        self._sink = sink
        self.inputs = ports(tuple(entry.key for entry in RECORDED if entry.key not in _DERIVED), sizes, dt_s)
        self.outputs = ports(("feeder.step_done",), sizes, dt_s)

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Hand the step to the sink."""
        record = {port.name: values[port.name] for port in self.inputs}
        for total, parts in _TOTALS:
            record[total] = np.array([values[parts].sum()])
        record["feeder.p_balance_kw"] = (
            values["feeder.p_import_kw"]
            - values["feeder.p_loss_kw"]
            - values["feeder.p_other_kw"]
            - record["feeder.p_load_kw"]
            - record["feeder.p_pv_kw"]
            - record["feeder.p_battery_kw"]
        )
        spread = _quantiles(values["bus.vm_pu"][self._free_buses])
        for key, value in zip(_QUANTILE_KEYS, spread, strict=True):
            record[key] = np.array([value])
        self._sink.append(step, record)
        return {"feeder.step_done": np.array([float(step)])}


def _quantiles(vm_pu: Array) -> Array:
    """Return the quantiles of ``_QUANTILES`` by linear interpolation of the sorted values, shape (5,)."""
    ordered = np.sort(vm_pu)
    position = np.array(_QUANTILES) * (len(ordered) - 1)
    below = np.floor(position).astype(np.int64)
    above = np.ceil(position).astype(np.int64)
    quantiles: Array = ordered[below] + (position - below) * (ordered[above] - ordered[below])
    return quantiles
