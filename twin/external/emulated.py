"""Emulated devices whose inside is the run: they show what was measured and keep what is commanded."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from hil_adapters.errors import HilError
from hil_adapters.faults.bank import FaultyBank
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.rules import load_script, script_from
from hil_adapters.maps.loader import load_map
from hil_adapters.virtual.device import DeviceSetup, VirtualDevice
from hil_adapters.virtual.state import START_KWH
from hil_adapters.wire.base import Bank
from twin.errors import InputError
from twin.external.slots import Role, Slot

__all__ = ["Command", "Emulated", "Reading"]

_KINDS: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.METER: ("meter",),
    Role.PV: ("pv",),
    Role.BATTERY: ("battery",),
    Role.APPLIANCE: ("charger", "other"),
}
"""Kinds of register maps for each role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one device was measured to do in a step; consumption positive."""

    p_kw: float
    q_kvar: float
    vm_pu: float
    p_available_kw: float | None = None
    """What the sun would give; None where the device is no generator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is in force for one device; None: nothing."""

    p_set_kw: float | None = None
    p_limit_kw: float | None = None

    @property
    def is_given(self) -> bool:
        """Whether anything is asked of the device."""
        return self.p_set_kw is not None or self.p_limit_kw is not None


class _Inside:
    """Physics that were computed elsewhere."""

    def __init__(self, nameplate: Mapping[str, float]) -> None:
        self._nameplate = nameplate
        self.commands: Mapping[str, float] = {}
        self.signals: dict[str, float] = {
            "p_kw": 0.0,
            "q_kvar": 0.0,
            "e_import_kwh": START_KWH,
            "e_export_kwh": START_KWH,
        }

    @property
    def nameplate(self) -> Mapping[str, float]:
        """Ratings."""
        return self._nameplate

    def step(
        self,
        commands: Mapping[str, float],
        world: Mapping[str, float],  # noqa: ARG002 - what surrounds it is in the signals already
        *,
        dt_s: float,  # noqa: ARG002 - time passes in the run
    ) -> Mapping[str, float]:
        """Keep the commands and return what was measured last."""
        self.commands = dict(commands)
        return self.signals


class Emulated:
    """One emulated device. It belongs to the thread that serves it."""

    def __init__(self, slot: Slot, device: VirtualDevice, inside: _Inside, faults: FaultPlan | None) -> None:
        self.slot, self.device, self.faults = slot, device, faults
        self._inside = inside

    @property
    def bank(self) -> Bank:
        """What clients read and write."""
        bank, faults = self.device.bank, self.faults
        return bank if faults is None else FaultyBank(bank, faults.values, on_reboot=self.device.restart)

    @classmethod
    def of(
        cls,
        slot: Slot,
        *,
        base_dir: Path,
        soc: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Make the device of a slot.

        Args:
            slot: what it is.
            base_dir: maps and faults that are files are looked for from here.
            soc: state of charge of a battery until the run tells it.
            clock: monotonic seconds, for its timers.

        Raises:
            InputError: map or faults are not there or do not fit; the message names the device.
        """
        inside = _Inside(slot.nameplate)
        if soc is not None:
            inside.signals["soc"] = soc
        setup = DeviceSetup(name=slot.name, unit=slot.unit, serial=f"OUTSIDE-{slot.name}"[:32])
        try:
            map_ = load_map(slot.map, base_dir=base_dir)
            if map_.kind not in _KINDS[slot.role]:
                raise InputError(
                    f"emulated {slot.name}: map {slot.map} is of kind {map_.kind}; choose one of kind "
                    f"{' or '.join(_KINDS[slot.role])}"
                )
            device = VirtualDevice(map_, inside, setup, clock=clock)
            faults = _fault_plan(slot, base_dir)
        except HilError as error:
            raise InputError(f"emulated {slot.name}: {error}") from error
        device.step(0.0)
        return cls(slot, device, inside, faults)

    def show(self, reading: Reading, *, dt_h: float) -> None:
        """Show what was measured in a step of ``dt_h`` [h]; its energy is counted."""
        signals = self._inside.signals
        signals["p_kw"], signals["q_kvar"] = reading.p_kw, reading.q_kvar
        signals["e_import_kwh"] += max(reading.p_kw, 0.0) * dt_h
        signals["e_export_kwh"] += max(-reading.p_kw, 0.0) * dt_h
        world = {"vm_pu": reading.vm_pu}
        if reading.p_available_kw is not None:
            world["p_available_kw"] = reading.p_available_kw
        self.device.tell(world)
        self.device.step(0.0)

    def show_soc(self, soc: float) -> None:
        """Show the state of charge, 0 to 1."""
        self._inside.signals["soc"] = soc

    def tick(self, dt_s: float) -> None:
        """Let ``dt_s`` [s] of real time pass: timers, heartbeats."""
        self.device.step(dt_s)

    def command(self, *, now_s: float, timeout_s: float | None) -> Command:
        """Return what is in force: by the device's own timers, and nothing where no write came for ``timeout_s`` [s]."""
        self.device.step(0.0)
        if timeout_s is not None and self.write_age_s(now_s) > timeout_s:
            return Command()
        commands = self._inside.commands
        return Command(p_set_kw=commands.get("p_set_kw"), p_limit_kw=commands.get("p_limit_kw"))

    def write_age_s(self, now_s: float) -> float:
        """Return how long ago a client wrote; infinite where none ever did [s]."""
        return now_s - self.device.bank.traffic.write_s

    def request_age_s(self, now_s: float) -> float:
        """Return how long ago a client asked for anything; infinite where none ever did [s]."""
        traffic = self.device.bank.traffic
        return now_s - max(traffic.read_s, traffic.write_s)


def _fault_plan(slot: Slot, base_dir: Path) -> FaultPlan | None:
    """Return the faults of a device; their times count from here."""
    if slot.faults is None:
        return None
    if isinstance(slot.faults, str):
        return FaultPlan(load_script(base_dir / slot.faults))
    return FaultPlan(script_from(list(slot.faults), where="faults"))
