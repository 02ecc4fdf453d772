"""Drafts -> block plans: what computes the devices, with which parameters, and what drives them."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.devices.base import Causality, DeviceBlock
from models.devices.numpy_block import KINDS, NumpyBlock
from models.devices.pv_inverter import P_V_OFF_PU
from models.errors import ModelError
from models.fmu.fleet import open_fleet
from models.fmu.ours.catalogue import fleet_spec
from models.fmu.reading.description import read_info
from models.inverter import InverterFleet
from twin.assembly.appliances import assumptions, driven_series, temp_air_degc
from twin.assembly.batteries import BatteryRows
from twin.assembly.drafts import BlockDraft, EntryError
from twin.assembly.fmu_wiring import Site
from twin.assembly.fmus import origin, user_fleet
from twin.assembly.generators import PvRows
from twin.assembly.hil import on_wire
from twin.assembly.hil_inside import FMU, Inside
from twin.assembly.inverters import inverter_fleet
from twin.assembly.series import SeriesBook, SourceFileError
from twin.errors import InputError
from twin.plant import BlockPlan
from twin.scenario.battery_detail import BatteryDetailSpec
from twin.scenario.device_base import SwitchedBase
from twin.scenario.devices import BatterySpec, PvSpec
from twin.scenario.fmu import FmuSpec, fmu_path
from twin.scenario.marks import Problem
from twin.scenario.pv_detail import PvDetailSpec
from twin.units import volts

__all__ = ["block_plan"]

Array = NDArray[np.float64]

_OUR_KINDS = {"battery": "battery", "pv": "pv_inverter", "water_heater": "water_heater", "ev": "ev_charger"}
"""Name of our model by the kind in a scenario."""
_LIVE = {
    "battery": ("p_set_kw",),
    "pv": ("p_available_kw", "p_limit_kw", "vm_pu"),
    "water_heater": ("p_limit_kw",),
    "ev": ("p_set_kw",),
}
"""Inputs of our models that the run feeds."""
_GIVES = {
    "battery": ("p_kw", "soc"),
    "pv": ("p_kw", "q_kvar"),
    "water_heater": ("p_kw",),
    "ev": ("p_kw",),
}
_UNMET = "unmet_kwh"
_RECORD = {
    "battery": (("temp_degc", "degC"), ("health", "1")),
    "pv": (),
    "water_heater": (("temp_top_degc", "degC"), (_UNMET, "kWh")),
    "ev": (("soc", "1"), (_UNMET, "kWh")),
}
"""Outputs of our models that are stored; those of a battery only where it has ``detail``."""
_NO_BATTERY_DETAIL, _NO_PV_DETAIL = BatteryDetailSpec(), PvDetailSpec()


def block_plan(
    draft: BlockDraft, *, book: SeriesBook, pv: PvRows, batteries: BatteryRows
) -> tuple[BlockPlan, tuple[str, ...]]:
    """Return the plan of the devices of one entry and, for the report, what was assumed of them.

    Raises:
        EntryError: with every mistake of an ``fmu:`` block; paths start at the entry.
        InputError: another mistake.
    """
    said = tuple(assumptions(draft.specs))
    switched = draft.spec if isinstance(draft.spec, SwitchedBase) else None
    # what as: model does not use of an entry is not there for it; the model beside a device may be an FMU
    given = None if switched is not None and switched.as_ == "model" else draft.spec.fmu
    runs_fmu = given is not None or (switched is not None and switched.as_ == "fmu")
    if runs_fmu and importlib.util.find_spec("fmpy") is None:
        raise InputError('FMUs need FMPy; install it with: pip install "gemello[fmu]"')
    if given is not None:
        plan, inside, notes = _user_plan(draft, given, book=book, pv=pv, batteries=batteries)
    else:
        plan, inside = _our_plan(draft, book=book, pv=pv, batteries=batteries)
        notes = ()
    if switched is not None and switched.is_on_wire:
        scenario = book.loaded.scenario
        plan, more = on_wire(draft, plan, inside, base_dir=book.loaded.base_dir, poll_s=scenario.live.poll)
        notes = (*notes, *more)
    return plan, (*said, *notes)


def _our_plan(
    draft: BlockDraft, *, book: SeriesBook, pv: PvRows, batteries: BatteryRows
) -> tuple[BlockPlan, Inside]:
    kind = draft.spec.kind
    series = _our_series(draft, book)
    record = _RECORD[kind]
    if isinstance(draft.spec, BatterySpec) and all(
        _battery_detail(spec) == _NO_BATTERY_DETAIL for spec in draft.specs
    ):
        record = ()
    inside = Inside(
        kind=_OUR_KINDS[kind],
        inputs=(*_LIVE[kind], *series),
        outputs=(*_GIVES[kind], *(name for name, _ in record)),
        record=record,
        parameters=_parameters(draft, pv=pv, batteries=batteries),
        starts=_first_of(series, draft, pv),
    )
    opened = partial(
        NumpyBlock,
        KINDS[inside.kind],
        size=draft.size,
        parameters=inside.parameters,
        inputs=inside.inputs,
        outputs=inside.outputs,
        label=draft.label,
    )
    try:
        opened().close()  # refuses parameters that contradict each other
        plan = _plan(draft, opened, series=series, record=record)
        plan = replace(plan, unmet=_UNMET if _UNMET in dict(record) else None)
        is_ours = isinstance(draft.spec, SwitchedBase) and draft.spec.is_ours
        if is_ours:
            plan = replace(plan, **_our_fmu(inside.kind, opened, book.period.dt_s))
    except ModelError as error:
        raise InputError(str(error)) from error
    return plan, inside


def _first_of(series: Mapping[str, Array], draft: BlockDraft, pv: PvRows) -> dict[str, Array]:
    """Return what inputs that are known ahead are in the first step, shape (N,) each."""
    found: dict[str, Array] = {
        name: np.broadcast_to(values[0], (draft.size,)) for name, values in series.items()
    }
    if isinstance(draft.spec, PvSpec):
        sun_kw: Array = np.concatenate([entry[0] for entry in pv.available_kw])
        found["p_available_kw"] = sun_kw[draft.position]
    return found


def _our_fmu(kind: str, model: "partial[NumpyBlock]", dt_s: float) -> dict[str, Any]:
    """Return what opens the FMU of a kind with all that ``model`` is made with, and its origin."""
    spec = fleet_spec(kind, **model.keywords)
    return {"open": partial(open_fleet, spec), "origin": origin(spec, read_info(spec.file), dt_s=dt_s)}


def _our_series(draft: BlockDraft, book: SeriesBook) -> dict[str, Array]:
    """Return the inputs of our model that are known ahead, shape (T, N), (T, 1) or (1, N)."""
    table = KINDS[_OUR_KINDS[draft.spec.kind]].KIND
    starts = {entry.name: entry.start for entry in table.variables}
    driven = driven_series(draft.specs, draft.names, book)
    made = {name: make() for name, make in driven.items()}
    if isinstance(draft.spec, BatterySpec):
        made["temp_ambient_degc"] = _air(draft, book, starts["temp_ambient_degc"])
    elif "temp_air_degc" in starts:
        made["temp_air_degc"] = _air(draft, book, starts["temp_air_degc"])
    return made


def _air(draft: BlockDraft, book: SeriesBook, default_degc: float) -> Array:
    """Return the temperature of the air at each device, shape (T, 1) where it is the same for all, else (T or 1, N)."""
    stated: dict[object, Array] = {}
    for spec in draft.specs:
        place = (spec.temp_air_degc, spec.air_file)
        if place not in stated:
            air = temp_air_degc(spec, book)
            stated[place] = np.array([default_degc]) if air is None else air
    if len(stated) == 1:
        return next(iter(stated.values()))[:, None] * np.ones((1, 1))
    columns = [stated[spec.temp_air_degc, spec.air_file] for spec in draft.specs]
    length = max(len(column) for column in columns)
    return np.column_stack([np.broadcast_to(column, length) for column in columns])


def _parameters(draft: BlockDraft, *, pv: PvRows, batteries: BatteryRows) -> dict[str, Array]:
    """Return the parameters of our model, shape (N,) each."""
    if isinstance(draft.spec, PvSpec):
        return _inverter_parameters(draft, pv)
    table = KINDS[_OUR_KINDS[draft.spec.kind]].KIND
    found: dict[str, Array] = {}
    for name in table.named(Causality.PARAMETER):
        if isinstance(draft.spec, BatterySpec):
            found[name] = _battery_parameter(draft, name, batteries)
        else:
            found[name] = np.array([getattr(spec, name) for spec in draft.specs], dtype=np.float64)
    return found


def _battery_parameter(draft: BlockDraft, name: str, rows: BatteryRows) -> Array:
    """Return one parameter: ratings may come from the network, effects from ``detail``, the rest from the entry."""
    if name in {"capacity_kwh", "charge_kw", "discharge_kw"}:
        return np.array(getattr(rows, name), dtype=np.float64)[draft.position]
    in_detail = name in BatteryDetailSpec.model_fields
    values = [getattr(_battery_detail(spec) if in_detail else spec, name) for spec in draft.specs]
    return np.array(values, dtype=np.float64)


def _battery_detail(spec: object) -> BatteryDetailSpec:
    detail = spec.detail if isinstance(spec, BatterySpec) else None
    return _NO_BATTERY_DETAIL if detail is None else detail


def _pv_detail(spec: object) -> PvDetailSpec:
    detail = spec.detail if isinstance(spec, PvSpec) else None
    return _NO_PV_DETAIL if detail is None else detail


def _inverter_parameters(draft: BlockDraft, rows: PvRows) -> dict[str, Array]:
    fleet = inverter_fleet(
        [rows.inverter[at] for at in draft.position],
        [rows.p_rated_kw[at] for at in draft.position],
        [rows.s_rated_kva[at] for at in draft.position],
    )
    found = {
        entry.name: np.asarray(getattr(fleet, entry.name), dtype=np.float64)
        for entry in fields(InverterFleet)
    }
    functions = {name: np.where(np.isinf(values), P_V_OFF_PU, values) for name, values in found.items()}
    details = [_pv_detail(spec) for spec in draft.specs]
    return functions | {
        name: np.array([getattr(detail, name) for detail in details], dtype=np.float64)
        for name in PvDetailSpec.model_fields
    }


def _user_plan(
    draft: BlockDraft, given: FmuSpec, *, book: SeriesBook, pv: PvRows, batteries: BatteryRows
) -> tuple[BlockPlan, Inside, tuple[str, ...]]:
    columns, problems = _columns(given, book)
    site = Site(
        label=draft.label,
        file=fmu_path(given.file, book.loaded.base_dir),
        size=draft.size,
        dt_s=book.period.dt_s,
        column_units={name: unit for name, (_, unit) in columns.items()},
        starts={
            "vm_pu": 1.0,
            "v_v": volts(1.0),
            **{name: float(values[0]) for name, (values, _) in columns.items()},
        },
    )
    try:
        fleet = user_fleet(given, site)
    except EntryError as error:
        below = [(("fmu", *path), message) for path, message in error.problems]
        raise EntryError([*problems, *below]) from error
    if problems:
        raise EntryError(problems)
    driven = driven_series(draft.specs, draft.names, book)
    wanted = {wire.signal for wire in fleet.spec.inputs}
    series = {name: make() for name, make in driven.items() if name in wanted}
    series |= {name: values[:, None] for name, (values, _) in columns.items()}
    if "temp_air_degc" in wanted:
        series["temp_air_degc"] = _air(draft, book, np.nan)
    plan = _plan(draft, partial(open_fleet, fleet.spec), series=series, record=fleet.record)
    inside = Inside(
        kind=FMU,
        inputs=tuple(wire.signal for wire in fleet.spec.inputs),
        outputs=tuple(wire.signal for wire in fleet.spec.outputs),
        record=fleet.record,
        parameters=_ratings(draft, pv=pv, batteries=batteries),
        starts=_first_of(series, draft, pv),
        fleet=fleet.spec,
    )
    return replace(plan, origin=fleet.origin), inside, fleet.notes


def _ratings(draft: BlockDraft, *, pv: PvRows, batteries: BatteryRows) -> dict[str, Array]:
    """Return what is known of the ratings of devices that an FMU computes, shape (N,) each."""
    if isinstance(draft.spec, PvSpec):
        known = {"p_rated_kw": pv.p_rated_kw, "s_rated_kva": pv.s_rated_kva}
    elif isinstance(draft.spec, BatterySpec):
        known = {name: getattr(batteries, name) for name in ("capacity_kwh", "charge_kw", "discharge_kw")}
    else:
        known = {}
    return {name: np.array(values, dtype=np.float64)[draft.position] for name, values in known.items()}


def _columns(given: FmuSpec, book: SeriesBook) -> tuple[dict[str, tuple[Array, str]], list[Problem]]:
    """Return the columns that inputs name, with their units, and what is wrong with others."""
    found: dict[str, tuple[Array, str]] = {}
    problems: list[Problem] = []
    for variable, wire in given.inputs.items():
        if wire.column is None:
            continue
        try:
            found[wire.column] = book.column(wire.column)
        except SourceFileError:
            raise
        except InputError as error:
            problems.append((("fmu", "inputs", variable, "column"), str(error)))
    return found, problems


def _plan(
    draft: BlockDraft,
    opened: Callable[[], DeviceBlock],
    *,
    series: Mapping[str, Array],
    record: tuple[tuple[str, str], ...],
) -> BlockPlan:
    return BlockPlan(
        label=draft.label,
        axis=draft.axis,
        position=np.array(draft.position, dtype=np.int64),
        home=np.array(draft.home, dtype=np.int64),
        open=opened,
        series={
            name: values if len(values) == 1 else values.astype(np.float32) for name, values in series.items()
        },
        record=record,
    )
