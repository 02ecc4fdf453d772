"""Joins the simulators of one strategy into a mosaik world and runs it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import mosaik
import numpy as np

from models.errors import ModelError
from models.feeder.base import Engine, Feeder
from twin.clock import step_iso, time_units
from twin.control.base import Controller, Forecast, Site
from twin.errors import RunError
from twin.hil import DeviceExchange
from twin.plant import Plant
from twin.signals import Axis
from twin.simulators.adapter import MODEL, CoreSimulator, RunState
from twin.simulators.blocks import Blocks, no_blocks, open_blocks, said_with_blocks
from twin.simulators.clock import ClockCore
from twin.simulators.control import ControlCore
from twin.simulators.devices import DevicesCore
from twin.simulators.exogenous import ExogenousCore, ExternalInput
from twin.simulators.feeder import FeederCore
from twin.simulators.group import GROUPS, Group, links
from twin.simulators.pace import Pace, Unpaced
from twin.simulators.ports import StepCore
from twin.simulators.recorder import RecorderCore, Sink
from twin.simulators.wiring import check_wiring

__all__ = ["ExternalSource", "StrategyRun", "axis_sizes", "before_first_step", "run_world", "step_cores"]

_START_S = 60.0
"""A third-party simulator may take this long to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSource:
    """A third-party mosaik simulator and the one value taken from it."""

    name: str
    starter: Mapping[str, str]
    """mosaik's start entry: ``python``, ``cmd`` or ``connect``."""
    init: Mapping[str, Any]
    model: str
    params: Mapping[str, Any]
    entity: str | None
    """Entity to read: id of a child of the created entity; None for the created entity itself."""
    attr: str
    load: int
    """Position of the load it drives."""
    kw_per_unit: float
    """Factor from its value to kW, consumption positive."""

    @property
    def port(self) -> str:
        """Input port of the exogenous simulator."""
        return f"external.{self.name}"


@dataclass(frozen=True, kw_only=True, eq=False)
class StrategyRun:
    """Everything one run of one strategy needs."""

    plant: Plant
    feeder: Feeder
    engine: Engine
    controller: Controller
    site: Site
    forecast: Forecast
    sink: Sink
    external: Sequence[ExternalSource] = ()
    stall_s: float = 120.0
    """A third-party simulator that delivers nothing for this long is given up."""
    pace: Pace = field(default_factory=Unpaced)
    """When each step may start."""
    exchange: DeviceExchange | None = None
    """How devices on the wire are reached; needed where the plant has any."""


def run_world(run: StrategyRun, on_step: Callable[[int], None]) -> tuple[str, ...]:
    """Run one strategy from the first to the last step.

    Args:
        run: The parts.
        on_step: Called with the number of finished steps after each step.

    Returns:
        What devices have to tell about the run, such as a restart of an FMU.

    Raises:
        RunError: a device cannot start, a step failed (it is named), a simulator stopped early or stalled, or the wiring does not fit.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_run(run, on_step))
    # A notebook has a loop running already; a world needs one of its own.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, _run(run, on_step)).result()


def _quiet_at_shutdown(loop: asyncio.AbstractEventLoop, about: dict[str, Any]) -> None:
    """Leave out what tasks raise as they are cancelled after an interrupt: the interrupt itself is on its way up."""
    if not str(about.get("message", "")).startswith("unhandled exception during asyncio.run() shutdown"):
        loop.default_exception_handler(about)


async def _run(run: StrategyRun, on_step: Callable[[int], None]) -> tuple[str, ...]:
    asyncio.get_running_loop().set_exception_handler(_quiet_at_shutdown)
    state, blocks = RunState(), no_blocks()
    try:
        with open_blocks(run.plant, run.exchange) as blocks:
            await _step_to_the_end(run, on_step, state, blocks)
    except RunError as error:
        raise type(error)(_at(run.plant, state, str(error), blocks)) from error
    except ModelError as error:
        raise RunError(_at(run.plant, state, said_with_blocks(error, blocks), blocks)) from error
    except Exception as error:
        raise RunError(_at(run.plant, state, f"{type(error).__name__}: {error}", blocks)) from error
    _check_finished(run.plant, state)
    return blocks.events()


async def _step_to_the_end(
    run: StrategyRun, on_step: Callable[[int], None], state: RunState, blocks: Blocks
) -> None:
    sink = _CountingSink(run, on_step)
    cores = step_cores(run, sink, blocks)
    check_wiring(cores, [source.port for source in run.external])
    before_first = before_first_step(run.plant)
    groups: dict[str, StepCore] = {
        name: Group(name, [cores[member] for member in members], before_first)
        for name, members in GROUPS.items()
    }
    config: dict[str, Any] = {
        name: {"python": f"{CoreSimulator.__module__}:{CoreSimulator.__qualname__}"} for name in groups
    }
    config |= {source.name: dict(source.starter) for source in run.external}
    async with mosaik.AsyncWorld(config, {"start_timeout": _START_S}, cache=False) as world:
        await _assemble(world, groups, state, run)
        await _play(world, sink, run)


async def _play(world: mosaik.AsyncWorld, sink: "_CountingSink", run: StrategyRun) -> None:
    """Run the world to the end, or leave nothing of it running."""
    before = asyncio.all_tasks()
    # mosaik counts whole numbers: seconds, or steps where they are shorter
    until = run.plant.n_steps * time_units(run.plant.dt_s)[0]
    # Our simulators wait for each other by the wiring table; others are kept from running ahead by mosaik.
    lazy = bool(run.external)
    work = asyncio.create_task(world.run(until=until, print_progress=False, lazy_stepping=lazy))
    try:
        if run.external:
            await _watch(work, sink, run)
        else:
            await work
    finally:
        # After a failure mosaik goes on stepping the other simulators.
        left = asyncio.all_tasks() - before
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _watch(work: "asyncio.Task[None]", sink: "_CountingSink", run: StrategyRun) -> None:
    """Wait for ``work`` as long as steps finish; mosaik itself waits for ever."""
    seen = -1
    while not work.done():
        if sink.steps == seen:
            names = ", ".join(source.name for source in run.external)
            raise RunError(
                f"step {sink.steps}: no step finished within {run.stall_s:g} s; a third-party simulator does not "
                f"answer ({names})"
            )
        seen = sink.steps
        await asyncio.wait({work}, timeout=run.stall_s)
    await work


def axis_sizes(plant: Plant, feeder: Feeder) -> dict[Axis, int]:
    """Return how many values a signal of each axis has."""
    return {
        Axis.FEEDER: 1,
        Axis.BUS: len(feeder.bus_name),
        Axis.LINE: len(feeder.line_name),
        Axis.TRAFO: len(feeder.trafo_name),
        Axis.HOME: plant.n_homes,
        Axis.LOAD: len(plant.load_name),
        Axis.PV: len(plant.pv_name),
        Axis.BATTERY: len(plant.battery_name),
        Axis.STATE: len(plant.stored_outputs),
    }


def step_cores(run: StrategyRun, sink: Sink, blocks: Blocks) -> dict[str, StepCore]:
    """Return the cores of a run by name, in the order of the step; ``blocks`` stay open while they are used."""
    plant = run.plant
    sizes = axis_sizes(plant, run.feeder)
    inputs = [
        ExternalInput(port=source.port, load=source.load, kw_per_unit=source.kw_per_unit)
        for source in run.external
    ]
    cores: tuple[StepCore, ...] = (
        ClockCore(dt_s=plant.dt_s, pace=run.pace),
        ExogenousCore(plant, sizes, inputs, blocks=blocks),
        ControlCore(plant, sizes, controller=run.controller, site=run.site, forecast=run.forecast),
        DevicesCore(plant, sizes, blocks=blocks),
        FeederCore(plant, sizes, feeder=run.feeder, engine=run.engine),
        RecorderCore(sizes, dt_s=plant.dt_s, free_buses=run.feeder.free_buses, sink=sink),
    )
    return {core.name: core for core in cores}


async def _assemble(
    world: mosaik.AsyncWorld, groups: Mapping[str, StepCore], state: RunState, run: StrategyRun
) -> None:
    entities: dict[str, Any] = {}
    for name, core in groups.items():
        factory = await world.start(name, core=core, state=state)
        entities[name] = await getattr(factory, MODEL)()
    before_first = before_first_step(run.plant)
    for row in links():
        delay: dict[str, Any] = {}
        if row.delayed:
            initial = {key: before_first[key] for key in row.keys}
            delay = {"time_shifted": time_units(run.plant.dt_s)[0], "initial_data": initial}
        world.connect(entities[row.source], entities[row.target], *row.keys, **delay)
    for source in run.external:
        entity = await _external_entity(world, source)
        world.connect(entity, entities["exogenous"], (source.attr, source.port))


def before_first_step(plant: Plant) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return what delayed connections carry in the first step: nothing measured yet, batteries at their start."""
    before = {
        "battery.soc_end": plant.battery_soc_start.astype(np.float64),
        "battery.p_kw": np.zeros(len(plant.battery_name)),
        "home.vm_pu": np.full(plant.n_homes, np.nan),
        "home.p_kw": np.full(plant.n_homes, np.nan),
        "load.p_set_kw": np.full(len(plant.load_name), np.inf),
        "feeder.step_done": np.array([-1.0]),
    }
    for values in before.values():
        values.flags.writeable = False
    return before


async def _external_entity(world: mosaik.AsyncWorld, source: ExternalSource) -> Any:
    """Start a third-party simulator, create its entity and return the one to read."""
    factory = await world.start(source.name, **source.init)
    try:
        entity = await getattr(factory, source.model)(**source.params)
    except AttributeError as error:
        raise RunError(f"external simulator {source.name}: {error}; check its `model`") from error
    candidates = {entity.eid: entity} | {child.eid: child for child in entity.children}
    if source.entity is not None and source.entity not in candidates:
        raise RunError(
            f"external simulator {source.name}: no entity {source.entity!r}; there are {', '.join(candidates)}"
        )
    chosen = entity if source.entity is None else candidates[source.entity]
    if source.attr not in factory.meta["models"][chosen.type]["attrs"]:
        known = ", ".join(factory.meta["models"][chosen.type]["attrs"])
        raise RunError(
            f"external simulator {source.name}: {chosen.type} has no attribute {source.attr!r}; it has {known}"
        )
    return chosen


def _at(plant: Plant, state: RunState, text: str, blocks: Blocks) -> str:
    """Return what failed with the step it failed in, and what devices had to tell before."""
    before = blocks.events()
    if before:
        text = f"{text} (before that: {'; '.join(before)})"
    step = state.failed_step
    if step is None:
        return text
    return f"step {step} ({step_iso(plant.start_utc_s, step, plant.dt_s)}): {text}"


def _check_finished(plant: Plant, state: RunState) -> None:
    # mosaik returns normally when a remote simulator has died.
    for name, steps_done in state.steps_done.items():
        if steps_done != plant.n_steps:
            raise RunError(
                f"{name} stopped after {steps_done} of {plant.n_steps} steps; "
                f"a third-party simulator ended or failed early (see its own output)"
            )


class _CountingSink:
    """Passes steps on and counts them; a step that is stored is finished, and its set-points may leave."""

    def __init__(self, run: StrategyRun, on_step: Callable[[int], None]) -> None:
        self._sink, self._pace, self._exchange = run.sink, run.pace, run.exchange
        self._home_bus = run.plant.home_bus
        self._on_step = on_step
        self.steps = 0

    def append(self, step: int, values: Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]) -> None:
        self._sink.append(step, values)
        self.steps = step + 1
        if self._exchange is not None:
            self._exchange.see_voltage(values["bus.vm_pu"][self._home_bus])
            self._exchange.finish_step(step)
        self._pace.end_step(step)
        self._on_step(self.steps)
