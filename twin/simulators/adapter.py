"""The one class that mosaik sees: it wraps a step core and speaks mosaik's dictionaries."""

from typing import Any

import mosaik_api_v3
import numpy as np

from twin.clock import time_units
from twin.errors import RunError
from twin.simulators.ports import Array, Port, StepCore

__all__ = ["ENTITY", "MODEL", "CoreSimulator", "RunState"]

MODEL = "Core"
ENTITY = "core"


class RunState:
    """Shared by all simulators of a world: how far each came, and the first failure.

    mosaik goes on stepping the other simulators after one of them has raised; they look here and do nothing.
    """

    def __init__(self) -> None:
        self.steps_done: dict[str, int] = {}
        self.failure: BaseException | None = None
        self.failed_step: int | None = None


class CoreSimulator(mosaik_api_v3.Simulator):  # type: ignore[misc]  # mosaik ships no type information
    """A time-based mosaik simulator with one entity that carries arrays.

    Its time is in seconds; where a step is shorter than one, in steps.
    """

    def __init__(self) -> None:
        super().__init__({"api_version": "3.0", "type": "time-based", "models": {}})

    def init(self, sid: str, time_resolution: float = 1.0, **params: Any) -> Any:
        """Take the core and the shared state; declare the core's ports as attributes."""
        if time_resolution != 1.0:
            raise RunError(f"{sid}: needs a time resolution of 1 s (got {time_resolution:g} s)")
        self._core: StepCore = params["core"]
        self._state: RunState = params["state"]
        self._state.steps_done[self._core.name] = 0
        self._units_per_step, self._units_per_second = time_units(self._core.dt_s)
        self._given: dict[str, Array] = {}
        attrs = sorted({port.name for port in (*self._core.inputs, *self._core.outputs)})
        self.meta["models"] = {MODEL: {"public": True, "params": [], "attrs": attrs}}
        return self.meta

    def create(self, num: int, model: str, **model_params: Any) -> list[dict[str, str]]:
        """Make the one entity."""
        if num != 1:
            raise RunError(f"{self._core.name}: holds one entity, {num} were asked for")
        return [{"eid": ENTITY, "type": model}]

    def step(self, time: int, inputs: dict[str, Any], max_advance: int) -> int:
        """Advance the core by one step."""
        following = time + self._units_per_step
        if self._state.failure is not None:
            return following
        try:
            incoming = inputs.get(ENTITY, {})
            values = {
                port.name: self._take(port, incoming.get(port.name), time) for port in self._core.inputs
            }
            given = self._core.advance(time // self._units_per_step, values)
            self._given = {port.name: self._give(port, given[port.name]) for port in self._core.outputs}
        except Exception as error:
            self._state.failure, self._state.failed_step = error, time // self._units_per_step
            raise
        self._state.steps_done[self._core.name] += 1
        return following

    def get_data(self, outputs: dict[str, list[str]]) -> dict[str, Any]:
        """Return the arrays asked for, by reference; they are read-only."""
        return {eid: {attr: self._given.get(attr) for attr in attrs} for eid, attrs in outputs.items()}

    def _take(self, port: Port, sources: dict[str, Any] | None, time: int) -> Array:
        if not sources or len(sources) > 1:
            found = (
                "nothing is connected"
                if not sources
                else f"{len(sources)} sources: {', '.join(sorted(sources))}"
            )
            raise RunError(f"{self._core.name}.{port.name} at {self._at(time)} s: needs one source, {found}")
        ((source, value),) = sources.items()
        if value is None:
            raise RunError(
                f"{self._core.name}.{port.name} at {self._at(time)} s: {source} delivered no value"
            )
        if isinstance(value, np.ndarray) and value.shape == (port.size,) and not value.flags.writeable:
            return value
        # third-party simulators hand over scalars and lists
        array = np.array(value, dtype=np.float64, ndmin=1)
        if array.shape != (port.size,):
            raise RunError(
                f"{self._core.name}.{port.name} at {self._at(time)} s: {source} delivered shape {array.shape}, "
                f"expected ({port.size},)"
            )
        array.flags.writeable = False
        return array

    def _at(self, time: int) -> str:
        return f"{time}" if self._units_per_second == 1 else f"{time / self._units_per_second:g}"

    def _give(self, port: Port, value: Array) -> Array:
        if value.shape != (port.size,):
            raise RunError(
                f"{self._core.name}.{port.name}: computed shape {value.shape}, declared ({port.size},)"
            )
        value.flags.writeable = False
        return value
