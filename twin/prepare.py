"""Everything that can be checked before a run: feeder, plant, strategies, third-party simulators."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import FeederError, FurtherNetworkError, ModelError, PowerFlowError
from models.feeder import EngineCheck, load_feeder, make_engine
from models.feeder.base import Engine, Feeder
from twin.assembly import ExternalLoad, build_plant
from twin.assembly.hil_gain import loop_verdict
from twin.assembly.homes import unknown
from twin.clock import steps_in
from twin.community.splitting import check_splits
from twin.control import Controller, Forecast, Site
from twin.control.forecast import forecast_kind, forecast_noise, make_forecast
from twin.control.management.levels import level_of, settles_of
from twin.control.registry import make_controller, resolve
from twin.errors import InputError, Mistake, ScenarioError
from twin.hil import HilPlan
from twin.kpis import KpiContext, KpiLimits
from twin.loop_gain import LoopVerdict, Verdict
from twin.payment import Payment, check_plants, payment_of, shared_value_eur_kwh
from twin.plant import FloatArray, Plant
from twin.scenario import LoadedScenario
from twin.signals import Axis
from twin.simulators.blocks import beside, open_blocks
from twin.units import SECONDS_PER_DAY
from twin.world import ExternalSource

__all__ = ["Prepared", "prepare", "signal_names", "start_devices"]

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A scenario that is ready to run."""

    loaded: LoadedScenario
    feeder: Feeder
    engine: Engine
    engine_check: EngineCheck
    plant: Plant
    external: tuple[ExternalSource, ...]
    site: Site
    context: KpiContext
    payment: Payment
    strategies: tuple[str, ...]
    loop: LoopVerdict | None = None
    """How strongly devices on the wire and their feeder act on each other; None where none sees the voltage."""

    @property
    def hil(self) -> HilPlan:
        """Devices on the wire, with the share of a change of voltage that they may be told in a step."""
        plan = self.plant.hil
        return plan if self.loop is None else plan.with_alpha(self.loop.alpha)

    def controller(self, strategy: str) -> tuple[Controller, Forecast]:
        """Return a fresh controller and its forecast."""
        spec = self.loaded.scenario.strategies[strategy]
        controller = make_controller(resolve(spec.use, self.loaded.base_dir), self.site, spec.params)
        return controller, self.forecast(controller)

    def forecast(self, controller: Controller) -> Forecast:
        """Return a forecast of the kind that a controller asks for."""
        plant = self.plant
        return make_forecast(
            forecast_kind(controller),
            load_kw=_by_home(plant.load_p_kw, plant.load_home, plant.n_homes),
            pv_kw=_by_home(plant.pv_available_kw, plant.pv_home, plant.n_homes),
            price_import_eur_kwh=plant.tariff.price_import_eur_kwh,
            price_export_eur_kwh=plant.tariff.price_export_eur_kwh,
            steps_per_day=self.site.steps_per_day,
            noise=forecast_noise(controller),
        )


def prepare(loaded: LoadedScenario, strategies: Sequence[str] | None = None) -> Prepared:
    """Load the feeder, build the plant and try every strategy's parameters.

    Args:
        loaded: The scenario.
        strategies: Names to run, in this order; None for all of the scenario.

    Raises:
        ScenarioError: with every mistake that can be found without running.
    """
    chosen = _chosen(loaded, strategies)
    scenario = loaded.scenario
    try:
        feeder = load_feeder(scenario.feeder.source, loaded.base_dir, also=scenario.feeder.also)
    except FurtherNetworkError as error:
        raise ScenarioError([loaded.mistake(f"feeder.also[{error.position}]", str(error))]) from error
    except FeederError as error:
        raise ScenarioError([loaded.mistake("feeder.source", str(error))]) from error
    try:
        engine, check = make_engine(feeder, scenario.feeder.engine)
    except ModelError as error:
        raise ScenarioError([loaded.mistake("feeder.engine", str(error))]) from error
    mistakes = _unknown_strategies(loaded, chosen)
    try:
        plant, external = build_plant(loaded, feeder)
    except ScenarioError as error:
        raise ScenarioError([*error.mistakes, *mistakes]) from error
    if mistakes:
        raise ScenarioError(mistakes)
    payment, shared_value = _payment(loaded, plant, feeder.bus_vn_kv[plant.home_bus])
    prepared = Prepared(
        loaded=loaded,
        feeder=feeder,
        engine=engine,
        engine_check=check,
        plant=plant,
        external=_external(loaded, external),
        site=_site(plant, shared_value),
        context=_context(loaded, feeder, plant),
        payment=payment,
        strategies=chosen,
        loop=_loop(loaded, feeder, engine, plant),
    )
    _check_parameters(prepared)
    _check_selection(prepared)
    return prepared


def _loop(loaded: LoadedScenario, feeder: Feeder, engine: Engine, plant: Plant) -> LoopVerdict | None:
    """Return the check of the loop gain, where the scenario accepts what it says."""
    live = loaded.scenario.live
    # a step sees the newest reading, which is as old as the period of reading
    delay_steps = max(math.ceil(live.poll * live.speed / plant.dt_s - _ROUNDING), 1)
    try:
        loop = loop_verdict(plant, engine, n_buses=len(feeder.bus_name), delay_steps=delay_steps)
    except PowerFlowError as error:
        raise ScenarioError([loaded.mistake("feeder", f"at the start of the run: {error}")]) from error
    refused = loop is not None and (
        loop.verdict is Verdict.REFUSE or (loop.verdict is Verdict.RELAX and live.loop_gain == "refuse")
    )
    if loop is not None and refused:
        raise ScenarioError([loaded.mistake("live.loop_gain", loop.text)])
    return loop


def start_devices(prepared: Prepared) -> None:
    """Start every device that keeps its own state, and end it again; devices on the wire are left alone.

    Raises:
        InputError: one cannot start; the message names it.
    """
    try:
        with open_blocks(beside(prepared.plant)):
            pass
    except ModelError as error:
        raise InputError(str(error)) from error


def _chosen(loaded: LoadedScenario, strategies: Sequence[str] | None) -> tuple[str, ...]:
    known = loaded.scenario.strategies
    if strategies is None:
        return tuple(known)
    for name in strategies:
        if name not in known:
            raise InputError(
                f"--strategy {name}: the scenario has no such strategy; it has {', '.join(known)}"
            )
    return tuple(dict.fromkeys(strategies))


def _unknown_strategies(loaded: LoadedScenario, chosen: Sequence[str]) -> list[Mistake]:
    mistakes: list[Mistake] = []
    for name in chosen:
        try:
            resolve(loaded.scenario.strategies[name].use, loaded.base_dir)
        except InputError as error:
            mistakes.append(loaded.mistake(f"strategies.{name}", str(error)))
    return mistakes


def _check_parameters(prepared: Prepared) -> None:
    mistakes: list[Mistake] = []
    for name in prepared.strategies:
        try:
            controller, _ = prepared.controller(name)
            level_of(controller)
            settles_of(controller)
        except InputError as error:
            mistakes.append(prepared.loaded.mistake(f"strategies.{name}", str(error)))
    if mistakes:
        raise ScenarioError(mistakes)


def signal_names(prepared: Prepared) -> dict[Axis, tuple[str, ...]]:
    """Return the names of the entities of each axis in the order of the values."""
    feeder, plant = prepared.feeder, prepared.plant
    return {
        Axis.FEEDER: (feeder.name,),
        Axis.BUS: feeder.bus_name,
        Axis.LINE: feeder.line_name,
        Axis.TRAFO: feeder.trafo_name,
        Axis.HOME: plant.home_name,
        Axis.LOAD: plant.load_name,
        Axis.PV: plant.pv_name,
        Axis.BATTERY: plant.battery_name,
        Axis.STATE: tuple(stored.name for stored in plant.stored_outputs),
    }


def _check_selection(prepared: Prepared) -> None:
    every = sorted({name for names in signal_names(prepared).values() for name in names})
    mistakes = [
        prepared.loaded.mistake(f"output.selected[{position}]", str(unknown("entity", pattern, every)))
        for position, pattern in enumerate(prepared.loaded.scenario.output.selected)
        if not any(fnmatchcase(name, pattern) for name in every)
    ]
    if mistakes:
        raise ScenarioError(mistakes)


def _by_home(
    series_kw: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    home: np.ndarray[tuple[int], np.dtype[np.int64]],
    n_homes: int,
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the sum of device series per home, shape (T, H)."""
    total = np.zeros((n_homes, len(series_kw)))
    np.add.at(total, home, series_kw.T.astype(np.float64))
    return np.ascontiguousarray(total.T)


def _payment(loaded: LoadedScenario, plant: Plant, home_vn_kv: FloatArray) -> tuple[Payment, FloatArray]:
    """Return how communities are paid, and what a shared kWh earns each."""
    payment = payment_of(loaded.scenario, plant.communities, home_vn_kv)
    mistakes: list[Mistake] = []
    for community in range(plant.communities.n_communities):
        try:
            check_plants(payment, plant, community)
        except InputError as error:
            mistakes.append(loaded.mistake(f"communities[{community}]", str(error)))
    if mistakes:
        raise ScenarioError(mistakes)
    try:
        check_splits(plant.communities, payment.splits)
        return payment, shared_value_eur_kwh(payment, plant)
    except InputError as error:
        raise ScenarioError([loaded.mistake("settlement", str(error))]) from error


def _locked(holder: Any) -> None:
    """Make all arrays that a dataclass holds read-only: strategies share them with each other and with the devices."""
    for entry in fields(holder):
        value = getattr(holder, entry.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        elif is_dataclass(value):
            _locked(value)


def _site(plant: Plant, shared_value: FloatArray) -> Site:
    site = Site(
        dt_s=plant.dt_s,
        n_steps=plant.n_steps,
        steps_per_day=steps_in(SECONDS_PER_DAY, plant.dt_s),
        home_name=plant.home_name,
        pv_home=plant.pv_home,
        pv_rated_kw=plant.pv_inverter.p_rated_kw,
        battery_home=plant.battery_home,
        battery=plant.battery,
        start_utc_s=plant.start_utc_s,
        communities=plant.communities,
        appliance_name=tuple(plant.load_name[position] for position in plant.appliance_load),
        appliance_home=plant.load_home[plant.appliance_load],
        shared_value_eur_kwh=shared_value,
    )
    _locked(site)
    return site


def _context(loaded: LoadedScenario, feeder: Feeder, plant: Plant) -> KpiContext:
    limits = loaded.scenario.limits
    return KpiContext(
        dt_s=plant.dt_s,
        n_steps=plant.n_steps,
        start_utc_s=plant.start_utc_s,
        bus_name=feeder.bus_name,
        line_name=feeder.line_name,
        trafo_name=feeder.trafo_name,
        trafo_level=feeder.trafo_level,
        head_trafos=tuple(feeder.head_trafos.tolist()),
        held_buses=tuple(feeder.held_buses.tolist()),
        home_name=plant.home_name,
        load_home=tuple(plant.load_home.tolist()),
        pv_home=tuple(plant.pv_home.tolist()),
        battery_home=tuple(plant.battery_home.tolist()),
        battery_capacity_kwh=tuple(plant.battery.capacity_kwh.tolist()),
        n_states=len(plant.stored_outputs),
        unmet_state=tuple(at for at, stored in enumerate(plant.stored_outputs) if stored.is_unmet),
        unmet_device=tuple(stored.device for stored in plant.stored_outputs if stored.is_unmet),
        limits=KpiLimits(
            vm_min_pu=limits.vm_min_pu,
            vm_max_pu=limits.vm_max_pu,
            line_loading_percent=limits.line_loading_percent,
            trafo_loading_percent=limits.trafo_loading_percent,
            reverse_hours_percent=limits.reverse_hours_percent,
            peak_import_kw=limits.peak_import_kw,
            peak_export_kw=limits.peak_export_kw,
        ),
    )


def _external(loaded: LoadedScenario, loads: Sequence[ExternalLoad]) -> tuple[ExternalSource, ...]:
    sources: list[ExternalSource] = []
    for load in loads:
        spec = loaded.scenario.external[load.entry]
        starter: Mapping[str, str] = {
            key: value
            for key, value in (("python", spec.python), ("cmd", spec.cmd), ("connect", spec.connect))
            if value is not None
        }
        sources.append(
            ExternalSource(
                name=spec.name,
                starter=starter,
                init=_in_place(spec.init, loaded.base_dir),
                model=spec.model,
                params=_in_place(spec.params, loaded.base_dir),
                entity=spec.entity,
                attr=spec.attr,
                load=load.load,
                kw_per_unit=load.kw_per_unit,
            )
        )
    return tuple(sources)


def _in_place(params: Mapping[str, Any], base_dir: Path) -> dict[str, Any]:
    """Fill ``{scenario_dir}`` in texts: third-party simulators do not know where the scenario file is."""
    folder = str(base_dir.resolve())
    return {
        key: value.replace("{scenario_dir}", folder) if isinstance(value, str) else value
        for key, value in params.items()
    }
