"""What a run with devices on the wire must start, and how its blocks reach them; built by ``twin.assembly``.

A *slot* is one device of the scenario that is ``as: virtual`` or ``as: hardware``. Powers in limits, commands and images
are those of the one device; the block multiplies by ``stands_for``. Sign: consumption positive.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hil_adapters.grid_source.base import SourceLimits
from hil_adapters.guard.messages import DeviceConfig, DeviceImage, Limits, TlsFiles
from hil_adapters.wire.base import Target, TcpTarget
from twin.missing_data import Choice, SignalPolicy

__all__ = [
    "DeviceExchange",
    "EmulatedDevice",
    "HilPlan",
    "HilSlot",
    "SourceConfig",
    "WirePlan",
    "WireSlope",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireSlope:
    """How the power of one device follows its voltage: more consumption (less feed-in) for a higher voltage is positive."""

    p_kw_v: float = 0.0
    q_kvar_v: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """A source that feeds a real device with the voltage of the simulated feeder."""

    host: str
    port: int | None
    """None: that of the commands."""
    commands: str | Path
    """Shipped command set, or a file."""
    limits: SourceLimits
    at_end: Literal["hold", "nominal", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedDevice:
    """The inside of a virtual device, for the host process."""

    kind: str
    """pv_inverter, battery, ev_charger, water_heater, or fmu."""
    parameters: Mapping[str, float]
    """Of one device: what an entry that stands for N says of powers and energies, over N."""
    inputs: Mapping[str, float]
    """What surrounds it before the first step."""
    fmu: Mapping[str, Any] | None = None
    """An FMU of the user: the fields of ``FmuPart`` of ``twin.virtual.config``."""
    protection: Mapping[str, Any] | None = None
    """Interface protection: its parameters; None without one."""
    faults_file: Path | None = None
    faults: tuple[Mapping[str, Any], ...] = ()
    """Fault rules written in the scenario itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HilSlot:
    """One device behind a register map."""

    name: str
    """Name of the device in the plant; unique among slots."""
    label: str
    """Of its entry, for messages."""
    home: int
    """Position of its home in the plant."""
    map_file: Path
    target: Target | None
    """Where it answers; None for a virtual device: known once its host runs."""
    unit: int
    serial: str | None
    """Serial number that must answer; None for a virtual device, which gets one afresh in every run."""
    emulated: EmulatedDevice | None
    """None: real hardware."""
    commands: tuple[str, ...]
    """Commands that the run gives, e.g. ``p_set_kw``; in the order of the map."""
    signals: Mapping[str, SignalPolicy]
    """Signals that the run takes, and what happens where one is missing."""
    needed: tuple[str, ...] = ("p_kw",)
    """Signals without which it is no device of its kind; others it may lack, a model or a safe value stands in for them."""
    limits: Mapping[str, Limits] = field(default_factory=dict)
    acceptance_file: Path | None = None
    tls: TlsFiles | None = None
    stands_for: float = 1.0
    slope: WireSlope | None = None
    """None: not known (the acceptance test measures it)."""
    source: SourceConfig | None = None
    """What feeds a real device with the voltage of the simulated feeder; None: it stands on the public grid."""
    alpha: float = 1.0
    """Share of a change of voltage that reaches the device in a step; set by the check of the loop gain."""

    @property
    def is_hardware(self) -> bool:
        """Whether it is a real device."""
        return self.emulated is None

    @property
    def sees_voltage(self) -> bool:
        """Whether the voltage of the simulated feeder reaches it; then device and feeder are a loop."""
        return not self.is_hardware or self.source is not None

    def device_config(self, port: int | None = None) -> DeviceConfig:
        """Return what the guardian is told of it; ``port`` is where the host of a virtual device serves it.

        Raises:
            ValueError: a virtual device without a port.
        """
        target = self.target
        if target is None:
            if port is None:
                raise ValueError(f"the port of the virtual device {self.name!r} is not known yet")
            target = TcpTarget(host="127.0.0.1", port=port)
        return DeviceConfig(
            name=self.name,
            map_file=self.map_file,
            target=target,
            unit=self.unit,
            serial=self.serial,
            emulated=not self.is_hardware,
            limits=dict(self.limits),
            acceptance_file=self.acceptance_file,
            tls=self.tls,
        )

    def host_config(self, faults_file: Path | None = None) -> dict[str, Any]:
        """Return the fields of ``VirtualDeviceConfig`` of ``twin.virtual.config``; ``faults_file`` replaces its own.

        Raises:
            ValueError: it is hardware.
        """
        inside = self.emulated
        if inside is None:
            raise ValueError(f"{self.name!r} is hardware; no host serves it")
        file = inside.faults_file if faults_file is None else faults_file
        return {
            "name": self.name,
            "map": str(self.map_file),
            "physics": {
                "kind": inside.kind,
                "parameters": dict(inside.parameters),
                "inputs": dict(inside.inputs),
                "fmu": None if inside.fmu is None else dict(inside.fmu),
            },
            "unit": self.unit,
            "serial": f"{secrets.token_hex(5)}-virtual",  # some devices have room for ten characters
            "protection": None if inside.protection is None else dict(inside.protection),
            "faults": None if file is None else str(file),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WirePlan:
    """How a block of the plant is joined to its devices: one slot for each device of the block, in its order."""

    slots: tuple[HilSlot, ...]
    inputs: tuple[str, ...]
    """Inputs of the block: those of the model beside it, and what surrounds the devices."""
    signals: tuple[str, ...]
    """What is read from the devices; the block has these outputs, and those of ``told``."""
    record_beside: tuple[tuple[str, str], ...] = ()
    """What is stored where the model beside takes the place of the devices: output, unit."""
    unmet_beside: str | None = None
    """As ``unmet`` of a block plan, of the model beside."""

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """What the block tells and stores of itself: output, unit.

        Age and quality of the reading of the power that was used; what a device last confirmed of its command, and
        whether a command is in force.
        """
        commanded = (("commanded_kw", "kW"), ("in_force", "1"))
        return (("age_s", "s"), ("quality", "1"), *(commanded if self.slots[0].commands else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class HilPlan:
    """Every device of a run that is behind a register map."""

    slots: tuple[HilSlot, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.slots)

    @property
    def hardware(self) -> tuple[HilSlot, ...]:
        """The real devices."""
        return tuple(slot for slot in self.slots if slot.is_hardware)

    @property
    def virtual(self) -> tuple[HilSlot, ...]:
        """The virtual devices."""
        return tuple(slot for slot in self.slots if not slot.is_hardware)

    def with_alpha(self, alpha: float) -> "HilPlan":
        """Return the plan with the share of a change of voltage that reaches the devices in a step."""
        return HilPlan(slots=tuple(replace(slot, alpha=alpha) for slot in self.slots))


class DeviceExchange(Protocol):
    """How the blocks of a run reach their devices; one for all blocks (``twin.simulators.exchange``)."""

    def slot(self, device: str) -> HilSlot:
        """Return what is known of a device."""
        ...

    def now_s(self) -> float:
        """Return the time on the clock of ``received_s`` [s]."""
        ...

    def image(self, device: str, *, step: int) -> DeviceImage:
        """Return what is known of a device; the first call of a step fetches the newest image for all devices."""
        ...

    def hand_over(self, device: str, *, commands: Mapping[str, float], world: Mapping[str, float]) -> None:
        """Say what a device is asked for and what surrounds it; sent when the step is finished."""
        ...

    def see_voltage(self, home_vm_pu: NDArray[np.float64]) -> None:
        """Take the voltages that the step was solved with, shape (H,) by home, before the step is finished."""
        ...

    def finish_step(self, step: int) -> None:
        """Send what the blocks said in a step that is solved and stored; call it once a step."""
        ...

    def count(self, device: str, signal: str, choice: Choice) -> None:
        """Take note of what the simulation used for a signal."""
        ...
