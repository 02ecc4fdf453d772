"""Keeps what an episode records until it is evaluated."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twin.clock import steps_in
from twin.kpis import KpiAccumulator, KpiContext
from twin.signals import Chunk
from twin.simulators.recorder import Sink
from twin.units import SECONDS_PER_DAY

__all__ = ["EpisodeRecord"]

FloatArray = NDArray[np.float64]

_STEPS_PER_CHUNK = 86_400
"""A chunk has a day at most, and no more steps than this."""


class EpisodeRecord:
    """Takes the steps of one episode, evaluates them day by day as a run does, and passes them on."""

    def __init__(self, context: KpiContext, sink: Sink | None = None) -> None:
        self._kpis = KpiAccumulator(context)
        self._n_steps = context.n_steps
        self._steps_per_chunk = min(steps_in(SECONDS_PER_DAY, context.dt_s), _STEPS_PER_CHUNK)
        self._sink = sink
        self._rows: list[Mapping[str, FloatArray]] = []

    def append(self, step: int, values: Mapping[str, FloatArray]) -> None:
        """Take one step."""
        if self._sink is not None:
            self._sink.append(step, values)
        self._rows.append(values)
        if len(self._rows) == self._steps_per_chunk or step + 1 == self._n_steps:
            arrays = {
                key: np.array([row[key] for row in self._rows], dtype=np.float32) for key in self._rows[0]
            }
            self._kpis.add(Chunk(first_step=step + 1 - len(self._rows), arrays=arrays))
            self._rows = []

    def stored_change_kwh(self) -> FloatArray:
        """Return the energy in each battery, end less start, shape (B,), as a run accounts for it."""
        return self._kpis.battery_change_kwh()

    def kpis(self) -> dict[str, float | None]:
        """Return the KPIs of all complete days by name; None where a KPI does not apply."""
        return {value.name: value.value for value in self._kpis.values()}
