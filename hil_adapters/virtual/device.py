"""An emulated device: its registers, its physics, its timers and its interface protection, stepped together."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from hil_adapters.errors import MapError
from hil_adapters.maps.binding import resolve
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.sunspec.image import ImageQuirks, SunSpecImage, build_image
from hil_adapters.virtual.amounts import Amounts, is_amount
from hil_adapters.virtual.bank import BankRules, DeviceBank
from hil_adapters.virtual.base import Physics
from hil_adapters.virtual.frequency import FrequencyReduction
from hil_adapters.virtual.map_inside import (
    SignalPanel,
    map_commands,
    set_identity,
    set_ratings,
    set_released,
)
from hil_adapters.virtual.plate import Plate
from hil_adapters.virtual.protection import InterfaceProtection, ProtectionSettings, ProtectionState
from hil_adapters.virtual.ramps import Ramps
from hil_adapters.virtual.state import NOMINAL_HZ, NOMINAL_V, DeviceState, Operation
from hil_adapters.virtual.sunspec_commands import HEARTBEAT, REVERSIONS, is_disconnected, sunspec_commands
from hil_adapters.virtual.sunspec_ratings import LIMITS, default_models, model_specs
from hil_adapters.virtual.sunspec_readings import readings
from hil_adapters.virtual.timers import Heartbeat, Reversions, TrafficMode, reversions_of_map
from hil_adapters.wire.base import Table

__all__ = ["DeviceSetup", "VirtualDevice"]

_SECONDS_PER_HOUR: Final = 3600.0
_THROTTLED_SHARE: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSetup:
    """How one device is set up."""

    name: str
    unit: int | None = None
    """Number it answers to; None: that of the map."""
    serial: str = "1"
    phases: int = 3
    models: tuple[int, ...] = ()
    """Of a SunSpec device, in order; none: those that its kind usually has."""
    base: int = 40000
    quirks: ImageQuirks = field(default_factory=ImageQuirks)
    values: Mapping[str, float | str] = field(default_factory=dict)
    """Values of points at the start."""
    world: Mapping[str, float] = field(default_factory=dict)
    """What surrounds it until told otherwise: ``vm_pu``, ``frequency_hz``, ``p_available_kw`` ..."""
    protection: ProtectionSettings | None = None
    traffic: TrafficMode = TrafficMode.TELEGRAM
    heartbeat_s: float | None = None
    """Time after which a battery of model 802 stops where ``CtrlHb`` does not change [s]; None: never."""


class VirtualDevice:
    """One emulated device. ``bank`` answers clients; :meth:`step` moves the inside on."""

    def __init__(
        self,
        map_: RegisterMap,
        physics: Physics,
        setup: DeviceSetup,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the device.

        Args:
            map_: register map; one with discovery gets the models of ``setup``.
            physics: its inside.
            setup: how it is set up.
            clock: monotonic seconds; timers, traffic and the log of writes use it.

        Raises:
            MapError: the map, the models or the values do not fit.
        """
        self.name = setup.name
        self._setup, self._physics, self._clock = setup, physics, clock
        self.plate = Plate.of(physics.nameplate, model=map_.name, serial=setup.serial, phases=setup.phases)
        self.state = DeviceState()
        self.world = _world_at_start(setup.world)
        """What surrounds it; amounts (``..._kwh``) are those of the tick, and none has passed at the start."""
        self._amounts = Amounts()
        image = self._sunspec = self._image(map_)
        self._models = () if image is None else tuple(model.model for model in image.chain.models)
        self.bank = self._bank(resolve(map_ if image is None else image.map))
        self.store = self.bank.store
        self._panel = SignalPanel(self.store)
        self._prepare()
        known = REVERSIONS if image is not None else reversions_of_map(self.store.map)
        self._reversions = Reversions(self.store, known)
        self._written: set[str] = set()
        self.bank.on_written(self._take_note)
        self._begin()
        self._show()
        self._factory = self.store.saved()

    def _bank(self, resolved: RegisterMap) -> DeviceBank:
        image = self._sunspec
        return DeviceBank(
            resolved,
            unit=_unit(self._setup, resolved, image),
            clock=self._clock,
            image=image,
            rules=_rules(image, self.plate),
        )

    def _begin(self) -> None:
        """Do what begins when the supply comes."""
        setup = self._setup
        self._age_s = 0.0
        self._ramps = Ramps()
        self._heartbeat = None if setup.heartbeat_s is None else Heartbeat(setup.heartbeat_s)
        self._is_unheard = False
        self._protection: InterfaceProtection | None = None
        self._reduction: FrequencyReduction | None = None
        if setup.protection is not None:
            self._protection = InterfaceProtection(setup.protection)
            self._reduction = FrequencyReduction(setup.protection, p_rated_kw=self.plate.p_rated_kw)

    @property
    def protection(self) -> InterfaceProtection | None:
        """Its interface protection; None: it has none."""
        return self._protection

    def step(self, dt_s: float) -> None:
        """Move on by ``dt_s`` [s]: timers, commands out of registers, protection, physics, readings into registers."""
        self._change_scales()
        self._reversions.step(now_s=self._clock(), last_traffic_s=self._last_traffic_s())
        commands = self._commands(dt_s)
        if self._protection is not None:
            self._protection.step(self.world["vm_pu"], self.world["frequency_hz"], dt_s=dt_s)
        is_off = is_disconnected(self.store) if self._models else False
        is_open = is_off or (self._protection is not None and not self._protection.is_connected)
        self._reduce(is_open=is_open, dt_s=dt_s)
        self.world.update(self._amounts.take(dt_s))
        signals = self._physics.step(self._narrowed(commands, is_open=is_open), self.world, dt_s=dt_s)
        self._age_s += dt_s
        self.state = self._next_state(signals, commands, dt_s=dt_s, is_open=is_open, is_off=is_off)
        self._show()

    def restart(self) -> None:
        """Do what a device does after a loss of supply: factory settings, counters at 0, waiting to connect."""
        self.store.restore(self._factory)
        self._reversions.restart()
        self._written.clear()
        self._begin()
        self.state = DeviceState(soc=self.state.soc)
        self._show()

    def tell(self, world: Mapping[str, float]) -> None:
        """Say what surrounds it until told otherwise.

        Amounts (``..._kwh``) are those of a step that ``step_s`` tells the length of [s]: the ticks take their parts of
        them; without a length the next tick takes them whole.
        """
        self.world.update({name: value for name, value in world.items() if not is_amount(name)})
        amounts = {name: value for name, value in world.items() if is_amount(name)}
        self._amounts.tell(amounts, step_s=world.get("step_s", 0.0))

    def _image(self, map_: RegisterMap) -> SunSpecImage | None:
        if map_.discovery is None:
            return None
        models = self._setup.models or default_models(map_.kind, self.plate)
        specs = model_specs(models, self.plate, self.state)
        return build_image(specs, base=self._setup.base, quirks=self._setup.quirks, overlay=map_)

    def _take_note(self, points: frozenset[str]) -> None:
        """Remember what a client wrote."""
        self._written |= points
        self._reversions.written(points, now_s=self._clock())

    def _change_scales(self) -> None:
        """Give scale factors that do not stay their exponent of this moment; values stay."""
        image = self._sunspec
        for change in () if image is None else image.scale_changes:
            exponent = change.exponent(self._age_s)
            holding = self.store.tables[Table.HOLDING]
            if image is not None and self.store.number(change.point) != exponent:
                holding.update(image.rescaled(holding, change.point, exponent))
                self.store.forget_shown()

    def _prepare(self) -> None:
        if self._setup.heartbeat_s is not None and HEARTBEAT not in self.store.cells:
            raise MapError(
                f"{self.name}: it has no {HEARTBEAT} to watch; remove heartbeat_s, or add model 802"
            )
        if not self._models:
            set_released(self.store)
            set_ratings(self.store, self.plate)
            set_identity(self.store, self.plate)
        for point, value in self._setup.values.items():
            self.store.set(point, value)

    def _last_traffic_s(self) -> float:
        traffic = self.bank.traffic
        seen_s = {
            TrafficMode.DISABLED: math.inf,
            TrafficMode.TELEGRAM: max(traffic.read_s, traffic.write_s),
            TrafficMode.WRITE: traffic.write_s,
        }
        return seen_s[self._setup.traffic]

    def _commands(self, dt_s: float) -> dict[str, float]:
        if not self._models:
            return map_commands(self.store, self._written)
        self._ramps.begin(dt_s)
        found = sunspec_commands(self.store, self._ramps, p_kw=self.state.p_kw)
        self._is_unheard = self._heartbeat is not None and self._heartbeat.is_lost(
            self.store.number(HEARTBEAT), now_s=self._clock()
        )
        return found | {"p_set_kw": 0.0} if self._is_unheard else found

    def _reduce(self, *, is_open: bool, dt_s: float) -> None:
        """Move the reduction at high frequency on."""
        if self._reduction is None:
            return
        if is_open:
            self._reduction.reset()
        else:
            self._reduction.step(self.world["frequency_hz"], -self.state.p_kw, dt_s=dt_s)

    def _narrowed(self, commands: Mapping[str, float], *, is_open: bool) -> dict[str, float]:
        """Return the commands within what protection and connection leave: no more feed-in than ``p_limit_kw``."""
        share = 1.0 if self._protection is None else self._protection.feed_in_share
        if is_open:
            share = 0.0
        found = dict(commands)
        reduced_kw = math.inf if self._reduction is None else self._reduction.limit_kw
        allowed_kw = min(share * self.plate.p_rated_kw if share < 1.0 else math.inf, reduced_kw)
        if allowed_kw < math.inf:
            found["p_limit_kw"] = min(found.get("p_limit_kw", math.inf), allowed_kw)
        if is_open:
            found["p_set_kw"] = 0.0
        return found

    def _next_state(
        self,
        signals: Mapping[str, float],
        commands: Mapping[str, float],
        *,
        dt_s: float,
        is_open: bool,
        is_off: bool,
    ) -> DeviceState:
        p_kw = 0.0 if is_open else signals["p_kw"]
        dt_h = dt_s / _SECONDS_PER_HOUR
        before = self.state
        return DeviceState(
            p_kw=p_kw,
            q_kvar=0.0 if is_open else signals.get("q_kvar", 0.0),
            vm_v=self.world["vm_pu"] * NOMINAL_V,
            frequency_hz=self.world["frequency_hz"],
            soc=signals.get("soc"),
            e_import_kwh=signals.get("e_import_kwh", before.e_import_kwh + max(p_kw, 0.0) * dt_h),
            e_export_kwh=signals.get("e_export_kwh", before.e_export_kwh + max(-p_kw, 0.0) * dt_h),
            temp_degc=signals.get("temp_degc", before.temp_degc),
            operation=self._operation(p_kw, commands, is_open=is_open, is_off=is_off),
            tripped_by=None if self._protection is None else self._protection.tripped_by,
            is_unheard=self._is_unheard,
            beats=int(self._age_s),
            others={name: value for name, value in signals.items() if math.isfinite(value)},
        )

    def _operation(
        self, p_kw: float, commands: Mapping[str, float], *, is_open: bool, is_off: bool
    ) -> Operation:
        if is_off:
            return Operation.OFF
        if is_open and self._protection is not None:
            is_starting = self._protection.state is ProtectionState.STARTING
            return Operation.STARTING if is_starting else Operation.TRIPPED
        limit_kw = self._narrowed(commands, is_open=False).get("p_limit_kw", math.inf)
        could_kw = -self.world.get("p_available_kw", -math.inf)
        if limit_kw < could_kw and -p_kw >= limit_kw * (1.0 - _THROTTLED_SHARE):
            return Operation.THROTTLED
        return Operation.STANDBY if p_kw == 0.0 else Operation.RUNNING

    def _show(self) -> None:
        for model in dict.fromkeys(self._models):
            for name, value in readings(model, self.plate, self.state).items():
                self.store.show(f"{model}.{name}", value)
        self._panel.show(self.state.signals(self.plate.phases))


def _world_at_start(given: Mapping[str, float]) -> dict[str, float]:
    """Return what surrounds a device before the first tick, in which no amount has passed."""
    around = {"vm_pu": 1.0, "frequency_hz": NOMINAL_HZ, **given}
    return {name: 0.0 if is_amount(name) else value for name, value in around.items()}


def _rules(image: SunSpecImage | None, plate: Plate) -> BankRules:
    identification = {0: plate.manufacturer, 1: plate.model, 2: plate.version}
    if image is None:
        return BankRules(identification=identification)
    return BankRules(
        refuses_single=image.no_single_write,
        refuses_multiple=image.no_multiple_write,
        limits=LIMITS,
        identification=identification,
    )


def _unit(setup: DeviceSetup, map_: RegisterMap, image: SunSpecImage | None) -> int:
    if setup.unit is not None:
        return setup.unit
    return map_.link.unit if image is None or image.unit == ImageQuirks().unit else image.unit
