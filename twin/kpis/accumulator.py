"""From chunks of a run to KPI values, in bounded memory.

Chunks are cut into blocks with borders fixed in time, each reduced to statistics and merged in time order. So weeks
and quarters may span chunks, and how a run is cut into chunks does not change a single bit of the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.clock import time_units
from twin.errors import RunError
from twin.kpis.appliances import ApplianceStats, appliance_values, reduce_appliances
from twin.kpis.base import KpiContext, KpiValue
from twin.kpis.catalogue import MEASURED
from twin.kpis.energy import (
    MatchStats,
    PvStats,
    QualityStats,
    match_values,
    pv_values,
    quality_values,
    reduce_feeder_match,
    reduce_home_match,
    reduce_pv,
    reduce_quality,
)
from twin.kpis.flows import (
    FlowStats,
    PeakStats,
    flow_values,
    peak_values,
    reduce_flows,
    reduce_peaks,
    trafo_flow_elements,
)
from twin.kpis.loading import (
    LoadingStats,
    LossStats,
    loading_elements,
    loading_values,
    loss_values,
    reduce_loading,
    reduce_losses,
)
from twin.kpis.money import HomeStats, home_elements, money_values, reduce_homes
from twin.kpis.storage import (
    BatteryStats,
    battery_values,
    pv_home_change_kwh,
    reduce_battery,
    stored_change_kwh,
)
from twin.kpis.voltage import VoltageStats, bus_elements, reduce_voltage, voltage_values
from twin.signals import Axis, Chunk

__all__ = ["NEEDED", "KpiAccumulator"]

_FEEDER = (
    "p_import_kw",
    "p_loss_kw",
    "p_load_kw",
    "p_pv_kw",
    "p_battery_kw",
    "p_balance_kw",
    "residual_kva",
    "iterations",
    "price_import_eur_kwh",
    "price_export_eur_kwh",
)

NEEDED: Mapping[str, Axis] = {
    **{f"feeder.{name}": Axis.FEEDER for name in _FEEDER},
    "bus.vm_pu": Axis.BUS,
    "line.loading_percent": Axis.LINE,
    "trafo.p_kw": Axis.TRAFO,
    "trafo.loading_percent": Axis.TRAFO,
    "home.p_kw": Axis.HOME,
    "load.p_kw": Axis.LOAD,
    "pv.p_kw": Axis.PV,
    "pv.p_available_kw": Axis.PV,
    "battery.p_kw": Axis.BATTERY,
    "battery.soc": Axis.BATTERY,
    "state.value": Axis.STATE,
}
"""The signals that a chunk must hold, with their axis."""

_BLOCKS_S = (86400, 43200, 21600, 10800, 5400, 1800)
_BLOCK_STEPS = 96
"""A block is the longest of ``_BLOCKS_S`` with at most so many steps: memory stays small at fine steps."""

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Totals:
    """The statistics of everything seen so far."""

    voltage: VoltageStats
    flows: FlowStats
    head_peaks: PeakStats
    lines: LoadingStats
    trafos: LoadingStats
    losses: LossStats
    homes: HomeStats
    home_peaks: PeakStats
    home_match: MatchStats
    feeder_match: MatchStats
    pv: PvStats
    batteries: BatteryStats
    appliances: ApplianceStats
    quality: QualityStats

    def merge(self, later: "_Totals") -> "_Totals":
        return _Totals(**{name: stats.merge(getattr(later, name)) for name, stats in vars(self).items()})


def _reduce(arrays: Arrays, first_step: int, context: KpiContext) -> _Totals:
    feeder = {name: arrays[f"feeder.{name}"] for name in _FEEDER}
    home, load, pv, battery = (arrays[f"{axis}.p_kw"] for axis in ("home", "load", "pv", "battery"))
    return _Totals(
        voltage=reduce_voltage(arrays["bus.vm_pu"], first_step, context),
        flows=reduce_flows(arrays["trafo.p_kw"], feeder["p_import_kw"], first_step, context),
        head_peaks=reduce_peaks(feeder["p_import_kw"], first_step, context),
        lines=reduce_loading(arrays["line.loading_percent"], first_step),
        trafos=reduce_loading(arrays["trafo.loading_percent"], first_step),
        losses=reduce_losses(feeder["p_loss_kw"], feeder["p_load_kw"], context),
        homes=reduce_homes(home, feeder["price_import_eur_kwh"], feeder["price_export_eur_kwh"], context),
        home_peaks=reduce_peaks(home, first_step, context),
        home_match=reduce_home_match(load, pv, battery, context),
        feeder_match=reduce_feeder_match(
            feeder["p_load_kw"], feeder["p_pv_kw"], feeder["p_battery_kw"], context
        ),
        pv=reduce_pv(pv, arrays["pv.p_available_kw"], context),
        batteries=reduce_battery(battery, arrays["battery.soc"], context),
        appliances=reduce_appliances(arrays["state.value"], context),
        quality=reduce_quality(feeder, first_step, context),
    )


class KpiAccumulator:
    """Takes the chunks of one strategy in order and gives its KPIs at any time.

    Args:
        context: the run that the chunks belong to.
    """

    def __init__(self, context: KpiContext) -> None:
        self.context = context
        self._sizes = {
            Axis.FEEDER: 1,
            Axis.BUS: len(context.bus_name),
            Axis.LINE: len(context.line_name),
            Axis.TRAFO: len(context.trafo_name),
            Axis.HOME: len(context.home_name),
            Axis.LOAD: len(context.load_home),
            Axis.PV: len(context.pv_home),
            Axis.BATTERY: len(context.battery_home),
            Axis.STATE: context.n_states,
        }
        self._block_s = next((s for s in _BLOCKS_S if s <= _BLOCK_STEPS * context.dt_s), _BLOCKS_S[-1])
        self._totals: _Totals | None = None
        self._held: list[Arrays] = []
        self._held_first = 0
        self._next = 0

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk, of any length.

        Raises:
            ValueError: the chunk does not follow the last one, goes beyond the run, or a signal is missing or has
                another shape than the context says.
            RunError: a value is not a finite number.
        """
        self._check(chunk)
        n_steps, done = chunk.n_steps, 0
        while done < n_steps:
            take = min(self._steps_to_border(self._next), n_steps - done)
            # one memory order: numpy adds in the order of memory, and the last bits must not depend on it
            piece = {key: np.ascontiguousarray(chunk.arrays[key][done : done + take]) for key in NEEDED}
            self._held.append(piece)
            done += take
            self._next += take
            if self._steps_to_border(self._next - 1) == 1:
                self._totals = self._with_held()
                self._held, self._held_first = [], self._next
        if self._held:
            # the caller may fill its buffers again
            self._held[-1] = {key: array.copy() for key, array in self._held[-1].items()}

    def values(self) -> tuple[KpiValue, ...]:
        """Return every KPI of the catalogue in its order, over the steps taken so far.

        Raises:
            ValueError: no step was taken.
        """
        totals, context = self._complete(), self.context
        change_kwh = stored_change_kwh(totals.batteries)
        found = (
            *voltage_values(totals.voltage, context),
            *flow_values(totals.flows, context),
            *peak_values(totals.head_peaks, context),
            *loading_values(totals.lines, context.line_name, "line", context),
            *loading_values(totals.trafos, context.trafo_name, "trafo", context),
            *loss_values(totals.losses),
            KpiValue("load_kwh", totals.losses.load_kwh),
            KpiValue("import_kwh", float(totals.flows.forward_kwh[-1])),
            *pv_values(totals.pv),
            *match_values(totals.home_match, pv_home_change_kwh(totals.batteries, context), "homes"),
            *match_values(totals.feeder_match, np.array([change_kwh]), "feeder"),
            *battery_values(totals.batteries, context),
            *appliance_values(totals.appliances, context),
            *money_values(totals.homes, change_kwh),
            *quality_values(totals.quality),
        )
        by_name = {value.name: value for value in found}
        return tuple(by_name[entry.name] for entry in MEASURED)

    def battery_change_kwh(self) -> NDArray[np.float64]:
        """Return the energy in each battery, end less start, shape (B,) [kWh].

        Raises:
            ValueError: no step was taken.
        """
        return self._complete().batteries.stored_kwh.change

    def elements(self) -> list[dict[str, Any]]:
        """Return one row per bus, line, transformer and home.

        Every row has the same columns, None where one does not belong to the row's ``axis`` or has no value.

        Raises:
            ValueError: no step was taken.
        """
        totals, context = self._complete(), self.context
        trafos = loading_elements(totals.trafos, context.trafo_name, "trafo", context)
        flows = trafo_flow_elements(totals.flows, context)
        rows = [
            *bus_elements(totals.voltage, context),
            *loading_elements(totals.lines, context.line_name, "line", context),
            *({**row, **flow} for row, flow in zip(trafos, flows, strict=True)),
            *home_elements(totals.homes, totals.home_peaks, context),
        ]
        columns = dict.fromkeys(name for row in rows for name in row)
        return [{name: row.get(name) for name in columns} for row in rows]

    def _check(self, chunk: Chunk) -> None:
        if chunk.first_step != self._next:
            raise ValueError(f"chunk starts at step {chunk.first_step}, expected {self._next}")
        if self._next + chunk.n_steps > self.context.n_steps:
            raise ValueError(
                f"chunk goes to step {self._next + chunk.n_steps}, the run has {self.context.n_steps}"
            )
        for key, axis in NEEDED.items():
            if key not in chunk.arrays:
                raise ValueError(f"chunk at step {chunk.first_step} lacks the signal {key}")
            array, shape = chunk.arrays[key], (chunk.n_steps, self._sizes[axis])
            if array.shape != shape:
                raise ValueError(f"{key} has shape {array.shape}, expected {shape}")
            if not np.isfinite(array).all():
                row, column = np.argwhere(~np.isfinite(array))[0]
                raise RunError(
                    f"{key}, entity {column}, step {chunk.first_step + row}: the value is {array[row, column]}, "
                    "not a finite number; look at this step's inputs and the strategy's set-points"
                )

    def _steps_to_border(self, step: int) -> int:
        """Return how many steps from ``step`` on belong to its block."""
        length, second = time_units(self.context.dt_s)
        block = self._block_s * second
        time = self.context.window_offset_s * second + step * length
        return (block - time % block) // length

    def _with_held(self) -> _Totals:
        """Return the totals including the held steps; there must be some."""
        if len(self._held) == 1:
            arrays = self._held[0]
        else:
            arrays = {key: np.concatenate([part[key] for part in self._held]) for key in NEEDED}
        block = _reduce(arrays, self._held_first, self.context)
        return block if self._totals is None else self._totals.merge(block)

    def _complete(self) -> _Totals:
        if self._held:
            return self._with_held()
        if self._totals is None:
            raise ValueError("no step was taken; add the chunks of the run first")
        return self._totals
