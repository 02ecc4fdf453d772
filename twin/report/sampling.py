"""Stored series of one strategy, reduced to what the figures need."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from twin.errors import RunFolderError
from twin.kpis import KpiAccumulator, KpiContext, KpiValue
from twin.report.model import Array, BusSample, IntArray, Worst
from twin.results import Detail, RunReader, RunStatus, StrategyReader, layout
from twin.signals import Axis

__all__ = [
    "common_steps",
    "element_rows",
    "feeder_series",
    "open_strategy",
    "read_sample",
    "read_values",
    "watched",
    "worst_of_elements",
]

_VALUE_BUDGET = 1_500_000
"""Values the page carries for its slider over all strategies: about 0.5 MB packed."""
_LEAST_STEPS = 48
_DRAWN = (
    "p_import_kw",
    "p_load_kw",
    "p_pv_kw",
    "p_battery_kw",
    "p_other_kw",
    "vm_min_pu",
    "vm_p05_pu",
    "vm_median_pu",
    "vm_p95_pu",
    "vm_max_pu",
)
_BLOCK_VALUES = 20_000_000
"""Values of a series read at once: 80 MB."""


def watched(context: KpiContext) -> tuple[tuple[int, ...], str]:
    """Return the transformers whose flow is drawn and their description; none where the feeder has none.

    HV/MV transformers if there are any, else those at the feeder head.
    """
    high = tuple(i for i, level in enumerate(context.trafo_level) if level == "HV/MV")
    chosen = high or context.head_trafos
    if not chosen:
        return (), "the feeder head (the feeder has no transformer)"
    names = ", ".join(context.trafo_name[i] for i in chosen)
    level = context.trafo_level[chosen[0]]
    if len(chosen) == 1:
        return chosen, f"the {level} transformer {names}"
    return chosen, f"the {len(chosen)} {level} transformers together ({names})"


def feeder_series(reader: StrategyReader) -> dict[str, Array]:
    """Return the series of the feeder axis that figures draw, by signal name, shape (T,) each."""
    return {name: reader.series(f"{Axis.FEEDER}.{name}")[:, 0] for name in _DRAWN}


def common_steps(n_steps: int, n_values: int, extremes: Sequence[int]) -> tuple[IntArray, int]:
    """Return the steps that the slider shows, increasing, and their regular spacing.

    Args:
        n_steps: steps of the longest strategy; no step is shown where it is 0.
        n_values: values of one step over all strategies.
        extremes: steps that must be among them.
    """
    room = max(_VALUE_BUDGET // max(n_values, 1), _LEAST_STEPS)
    every = max(-(-n_steps // room), 1)
    steps = set(range(0, n_steps, every)) | {step for step in extremes if 0 <= step < n_steps}
    return np.array(sorted(steps), dtype=np.int64), every


def open_strategy(run: RunReader, name: str) -> StrategyReader | None:
    """Return what is stored of a strategy; None where it never came to its first step.

    Raises:
        RunFolderError: the files of a finished strategy are missing, or files are damaged.
    """
    status = run.manifest.strategies[name].status
    if status is RunStatus.WAITING:
        return None
    try:
        return run.strategy(name)
    except RunFolderError:
        # a finished strategy must be readable; one that never came to its first step has no folder
        if status is RunStatus.FINISHED or (run.folder / name / layout.AXES).exists():
            raise
        return None


def _rows(reader: StrategyReader, key: str, steps: IntArray, n_entities: int) -> Array:
    block = max(_BLOCK_VALUES // max(reader.last_step + 1, 1), 1)
    parts = [
        reader.series(key, range(first, min(first + block, n_entities)))[steps]
        for first in range(0, n_entities, block)
    ]
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(steps), 0), dtype=np.float32)


def read_sample(
    reader: StrategyReader, steps: IntArray, every: int, *, context: KpiContext
) -> BusSample | None:
    """Return bus and line values at ``steps`` as far as they are stored; None where some buses are not stored."""
    mine = steps[steps <= reader.last_step]
    if (
        reader.names(Axis.BUS) != context.bus_name
        or reader.names(Axis.LINE) != context.line_name
        or not len(mine)
    ):
        return None
    return BusSample(
        steps=mine,
        vm_pu=_rows(reader, "bus.vm_pu", mine, len(context.bus_name)),
        line_loading_percent=_rows(reader, "line.loading_percent", mine, len(context.line_name)),
        every=every,
    )


def read_values(
    reader: StrategyReader, context: KpiContext
) -> tuple[tuple[KpiValue, ...], list[dict[str, Any]]]:
    """Return KPIs and the rows of the elements: stored ones, else computed from the stored steps; empty if neither."""
    if reader.has_kpis():
        values = tuple(
            KpiValue(row["name"], row["value"], where=row["where"], step=row["step"], note=row["note"])
            for row in reader.kpis()
        )
        columns = reader.elements()
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
        return values, rows
    if reader.detail is not Detail.ALL or reader.last_step < 0:
        return (), []
    accumulator = KpiAccumulator(context)
    for chunk in reader.chunks():
        accumulator.add(chunk)
    return accumulator.values(), accumulator.elements()


def element_rows(rows: Sequence[dict[str, Any]], axis: Axis) -> list[dict[str, Any]]:
    """Return the rows of one kind of element."""
    return [row for row in rows if row["axis"] == axis.value]


def worst_of_elements(rows: Sequence[dict[str, Any]], context: KpiContext) -> Worst | None:
    """Return the extremes in the order of the context; None where elements are missing."""
    columns: list[Array] = []
    wanted = (
        (Axis.BUS, context.bus_name, "vm_min_pu"),
        (Axis.BUS, context.bus_name, "vm_max_pu"),
        (Axis.LINE, context.line_name, "loading_max_percent"),
        (Axis.TRAFO, context.trafo_name, "loading_max_percent"),
    )
    for axis, names, column in wanted:
        by_name = {row["name"]: row[column] for row in element_rows(rows, axis)}
        if not set(names) <= set(by_name):
            return None
        columns.append(np.array([by_name[name] for name in names], dtype=np.float64))
    return Worst(
        vm_min_pu=columns[0],
        vm_max_pu=columns[1],
        line_loading_percent=columns[2],
        trafo_loading_percent=columns[3],
        free=np.isin(np.arange(len(context.bus_name)), context.free_buses),
    )
