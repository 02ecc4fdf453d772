"""Scenario and feeder joined into a plant: every reference checked, every series cut to the period."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.battery import BatteryFleet
from models.errors import DeviceError
from models.feeder.base import Feeder
from twin.assembly.appliances import add_appliances
from twin.assembly.batteries import BatteryRows, add_batteries
from twin.assembly.blocks import block_plan
from twin.assembly.communities import build_communities
from twin.assembly.contracts import Appliances, appliances_of
from twin.assembly.drafts import BlockDraft, BlockDrafts, EntryError
from twin.assembly.generators import PvRows, add_pv
from twin.assembly.hil import check_slots
from twin.assembly.homes import Homes
from twin.assembly.inverters import inverter_fleet
from twin.assembly.loads import LoadRows, add_loads
from twin.assembly.prices import MarketSeries
from twin.assembly.series import Period, SeriesBook, SourceFileError
from twin.clock import steps_in, utc_s
from twin.errors import InputError, Mistake, ScenarioError
from twin.plant import BlockPlan, Plant
from twin.scenario import LoadedScenario
from twin.scenario.devices import BatterySpec, LoadSpec, PvSpec
from twin.scenario.inverter import InverterSpec
from twin.scenario.kinds import BlockDevice
from twin.scenario.marks import Path
from twin.scenario.schema import ExternalSpec
from twin.signals import Axis
from twin.units import power_in_kw

__all__ = ["ExternalLoad", "build_plant", "period_of"]

Array = NDArray[np.float64]

PLAIN_INVERTER = InverterSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalLoad:
    """A load whose power comes from a third-party simulator."""

    entry: int
    """Position in the scenario's ``external``."""
    load: int
    """Position in the plant's loads."""
    kw_per_unit: float


def period_of(loaded: LoadedScenario) -> Period:
    """Return the steps of the run; days are local days, so one may have 23 or 25 hours."""
    period = loaded.scenario.period
    start_utc_s = utc_s(period.start)
    end_utc_s = utc_s(period.end)
    return Period(
        start_utc_s=start_utc_s, dt_s=period.step_s, n_steps=steps_in(end_utc_s - start_utc_s, period.step_s)
    )


def build_plant(loaded: LoadedScenario, feeder: Feeder) -> tuple[Plant, tuple[ExternalLoad, ...]]:
    """Return the plant and the loads that third-party simulators drive.

    Raises:
        ScenarioError: with every mistake found, each at its file and line.
    """
    assembly = _Assembly(loaded, feeder)
    assembly.place_loads()
    assembly.place_external()
    assembly.place_behind_meters()
    assembly.plan_blocks()
    assembly.read_prices()
    assembly.check()
    try:
        plant = assembly.plant()
    except (DeviceError, InputError) as error:
        raise ScenarioError([loaded.mistake("devices", str(error))]) from error
    communities = build_communities(loaded, feeder, plant=plant, appliances=assembly.appliances())
    return replace(plant, communities=communities), tuple(assembly.external)


class _Assembly:
    """Collects rows and mistakes, field by field."""

    def __init__(self, loaded: LoadedScenario, feeder: Feeder) -> None:
        self._loaded = loaded
        self._book = SeriesBook(loaded, feeder, period_of(loaded))
        self._homes = Homes(feeder)
        self._loads, self._pv, self._batteries = LoadRows(), PvRows(), BatteryRows()
        self._market = MarketSeries(loaded.scenario, self._book)
        self._mistakes: list[Mistake] = []
        self._entries = [(device.field, device.spec) for device in loaded.devices]
        self._seeds = np.random.SeedSequence(loaded.scenario.seed).spawn(2)
        self._homes_with: dict[str, list[int]] = defaultdict(list)
        self._drafts = BlockDrafts()
        self._blocks: list[BlockPlan] = []
        self._assumed: list[str] = []
        self.external: list[ExternalLoad] = []

    def place_loads(self) -> None:
        """Add the loads, which open the homes; they come first whatever the order in the file."""
        random = np.random.default_rng(self._seeds[0])
        for field, spec in self._entries:
            if isinstance(spec, LoadSpec):
                order = random.permutation(len(self._homes.names))
                add = partial(
                    add_loads, spec, book=self._book, homes=self._homes, rows=self._loads, order=order
                )
                self._attempt(field, add)

    def place_external(self) -> None:
        """Add one load per third-party simulator, silent until the simulator drives it."""
        for entry, spec in enumerate(self._loaded.scenario.external):
            self._attempt(f"external[{entry}]", partial(self._place_external, entry, spec))

    def place_behind_meters(self) -> None:
        """Add PV, batteries and appliances; those that stand beside another kind come last."""
        order = np.random.default_rng(self._seeds[1]).permutation(len(self._homes.names))
        devices = sorted(self._loaded.devices, key=lambda device: device.spec.beside is not None)
        for device in devices:
            if not isinstance(device.spec, LoadSpec):
                self._attempt(
                    device.field, partial(self._place_behind_meter, device.spec, device.path, order)
                )

    def _place_behind_meter(self, spec: BlockDevice, path: Path, order: NDArray[np.int64]) -> None:
        book, homes, with_kind = self._book, self._homes, self._homes_with
        chosen = order if spec.beside is None else _only_first(with_kind[spec.beside], with_kind[spec.kind])
        rows: PvRows | BatteryRows | LoadRows
        if isinstance(spec, PvSpec):
            axis, rows = Axis.PV, self._pv
            first = len(rows.names)
            add_pv(spec, book=book, homes=homes, rows=rows, order=chosen)
        elif isinstance(spec, BatterySpec):
            axis, rows = Axis.BATTERY, self._batteries
            first = len(rows.names)
            add_batteries(spec, book=book, homes=homes, rows=rows, order=chosen)
        else:
            axis, rows = Axis.LOAD, self._loads
            first = len(rows.names)
            add_appliances(spec, book=book, homes=homes, rows=rows, order=chosen)
        with_kind[spec.kind] += rows.home[first:]
        names, home = rows.names[first:], rows.home[first:]
        self._drafts.add(spec, path, axis=axis, names=names, home=home, first=first)

    def plan_blocks(self) -> None:
        """Plan what computes the devices that keep their own state."""
        for draft in self._drafts.all():
            field = f"{draft.path[0]}[{draft.path[1]}]"
            self._attempt(field, partial(self._plan_block, draft))
        slots = [slot for plan in self._blocks if plan.wire for slot in plan.wire.slots]
        self._attempt("devices", partial(check_slots, slots))

    def _plan_block(self, draft: BlockDraft) -> None:
        try:
            plan, assumed = block_plan(draft, book=self._book, pv=self._pv, batteries=self._batteries)
        except EntryError as error:
            marks = self._loaded.marks
            self._mistakes += [marks.mistake((*draft.path, *path), text) for path, text in error.problems]
            return
        self._blocks.append(plan)
        self._assumed += assumed

    def appliances(self) -> Appliances:
        """Return the loads that keep their own state."""
        return appliances_of(self._drafts.all())

    def read_prices(self) -> None:
        """Read prices and emissions."""
        for field, read in self._market.readers():
            self._attempt(field, read)

    def check(self) -> None:
        """Raise all mistakes so far, and names used twice."""
        for what, names in (
            ("loads", self._loads.names),
            ("PV generators", self._pv.names),
            ("batteries", self._batteries.names),
        ):
            self._attempt("devices", partial(_check_unique, what, names))
        if not self._homes.names and not self._mistakes:
            text = "places no device; add at least `- {kind: load, from: feeder, profile: feeder}`"
            self._mistakes.append(self._loaded.mistake("devices", text))
        if self._mistakes:
            raise ScenarioError(self._mistakes)

    def plant(self) -> Plant:
        """Return the plant."""
        for position in self._drafts.positions(Axis.PV):
            self._pv.inverter[position] = PLAIN_INVERTER  # the block has the functions
        plant = _plant(self._book.period, self._homes, self._loads, self._pv, self._batteries, self._market)
        market = replace(plant.market, assumed=(*plant.market.assumed, *self._assumed))
        return replace(plant, market=market, blocks=tuple(self._blocks))

    def _attempt(self, field: str, work: Callable[[], None]) -> None:
        try:
            work()
        except InputError as error:
            place = error.field if isinstance(error, SourceFileError) else field
            mistake = self._loaded.mistake(place, str(error))
            # a faulty source is one mistake, however many devices use it
            if mistake not in self._mistakes:
                self._mistakes.append(mistake)

    def _place_external(self, entry: int, spec: ExternalSpec) -> None:
        loads, homes = self._loads, self._homes
        home = homes.add(spec.name, homes.bus_named(spec.bus))
        sign = 1.0 if spec.sign == "consumption" else -1.0
        self.external.append(
            ExternalLoad(entry=entry, load=len(loads.names), kw_per_unit=sign * power_in_kw(1.0, spec.unit))
        )
        silent = np.zeros((self._book.period.n_steps, 1))
        loads.names.append(spec.name)
        loads.home.append(home)
        loads.p_kw.append(silent)
        loads.q_kvar.append(silent)


def _only_first(first: list[int], second: list[int]) -> NDArray[np.int64]:
    """Return the homes of ``first`` that are not homes of ``second``, in order."""
    return np.array(sorted(set(first) - set(second)), dtype=np.int64)


def _check_unique(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"two {what} are called {name!r}; give each its own name or prefix")
        seen.add(name)


def _plant(
    period: Period, homes: Homes, loads: LoadRows, pv: PvRows, batteries: BatteryRows, market: MarketSeries
) -> Plant:
    p_battery_kw = [max(pair) for pair in zip(batteries.charge_kw, batteries.discharge_kw, strict=True)]
    return Plant(
        start_utc_s=period.start_utc_s,
        dt_s=period.dt_s,
        n_steps=period.n_steps,
        home_name=tuple(homes.names),
        home_bus=np.array(homes.buses, dtype=np.int64),
        load_name=tuple(loads.names),
        load_home=np.array(loads.home, dtype=np.int64),
        load_p_kw=_joined(loads.p_kw, period.n_steps),
        load_q_kvar=_joined(loads.q_kvar, period.n_steps),
        pv_name=tuple(pv.names),
        pv_home=np.array(pv.home, dtype=np.int64),
        pv_available_kw=_joined(pv.available_kw, period.n_steps),
        pv_inverter=inverter_fleet(pv.inverter, pv.p_rated_kw, pv.s_rated_kva),
        battery_name=tuple(batteries.names),
        battery_home=np.array(batteries.home, dtype=np.int64),
        battery=BatteryFleet(
            capacity_kwh=np.array(batteries.capacity_kwh),
            charge_kw=np.array(batteries.charge_kw),
            discharge_kw=np.array(batteries.discharge_kw),
            **{
                name: np.array([getattr(spec, name) for spec in batteries.spec], dtype=np.float64)
                for name in ("eta_charge", "eta_discharge", "soc_min", "soc_max", "loss_per_day")
            },
        ),
        battery_inverter=inverter_fleet(
            [spec.inverter for spec in batteries.spec], p_battery_kw, batteries.s_rated_kva
        ),
        battery_soc_start=np.array(batteries.soc_start, dtype=np.float64),
        tariff=market.tariff(),
        market=market.market(),
    )


def _joined(blocks: list[Array], n_steps: int) -> NDArray[np.float32]:
    if not blocks:
        return np.zeros((n_steps, 0), dtype=np.float32)
    joined: NDArray[np.float32] = np.concatenate(blocks, axis=1).astype(np.float32)
    return joined
