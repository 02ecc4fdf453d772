"""What passes between a run and its guardian process, and what a guardian is started with.

Every message is one JSON object: four bytes of length (big endian), then UTF-8 text. Numbers that are not known are null.
The guardian answers every request, in order; nothing waits for a device except ``arm``, ``trip`` and ``stop``.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from hil_adapters.samples import Sample
from hil_adapters.wire.base import Target

__all__ = [
    "DeviceConfig",
    "DeviceImage",
    "DeviceReport",
    "FinalReport",
    "GuardState",
    "GuardianConfig",
    "Image",
    "Limits",
    "SetPoints",
    "TlsFiles",
]


class GuardState(StrEnum):
    """How far a device may be commanded."""

    OFF = "off"
    """No connection."""
    DRY_RUN = "dry_run"
    """Polled; set-points are checked and logged as they would be written, no write goes to the wire."""
    READ_ONLY = "read_only"
    """Polled, never written; set-points are refused."""
    ARMED = "armed"
    TRIPPED = "tripped"
    """Latched: the safe state was written, only a person resets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the lab for one command, in its unit (kW); the tighter of these and the map's count."""

    low: float
    high: float
    ramp_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files of Modbus/TCP Security, all PEM."""

    certificate: Path
    key: Path
    authority: Path
    """Certificates of those who sign for devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """One device of a guardian."""

    name: str
    """Unique; the name in the scenario."""
    map_file: Path
    target: Target
    unit: int
    serial: str | None
    """Serial number that must answer; None only for an emulated device that this run started itself."""
    emulated: bool
    """Whether this run started it; then it needs neither an acceptance test nor a typed confirmation."""
    limits: dict[str, Limits] = field(default_factory=dict)
    """By command; or by measured signal: ``soc`` stops charging and discharging at its bounds, any other signal trips
    the guard where it leaves them."""
    acceptance_file: Path | None = None
    """Report of its acceptance test; needed to arm a device that is not emulated."""
    tls: TlsFiles | None = None
    """With it the connection is Modbus/TCP Security; a target must not hold a context, which cannot leave its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardianConfig:
    """What a guardian is started with."""

    devices: tuple[DeviceConfig, ...]
    state: GuardState
    """State to reach after the start: DRY_RUN, READ_ONLY or ARMED."""
    poll_s: float
    """Period of the fast points [s]."""
    feed_timeout_s: float
    """Without a finished step for this long the safe state is written and the guardian disarms [s]."""
    armed_for_s: float
    """Arming expires after this time [s]."""
    folder: Path
    """Gets audit.jsonl, frames and samples."""
    step_s: float | None = None
    """Time that one step of the run stands for [s]; needed to arm a device that is not emulated: steps that come faster
    trip the guard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPoints:
    """What a run asks of its devices after a finished step."""

    step: int
    expires_s: float
    """From receipt; afterwards the command is released [s]."""
    values: dict[str, dict[str, float]]
    """By device and command: kW, consumption positive; an infinite limit means no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceImage:
    """The newest of one device."""

    state: GuardState
    signals: dict[str, Sample]
    """By signal, in the twin's units and sign; ``received_s`` is on the monotonic clock of this machine."""
    commanded: dict[str, float]
    """What was last written and verified, by command, after clamp and ramp; without an entry: released."""
    trouble: str = ""
    """Why there is no connection to it at the moment; empty where there is one."""
    is_foreign: bool = False
    """Whether something else answers than the configured device, or its map does not fit: only a person changes that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a guardian knows, taken at once."""

    devices: dict[str, DeviceImage]
    events: tuple[str, ...]
    """What happened since the last image, in words: trips, reconnects, contention, refused set-points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """How one device was left."""

    state: GuardState
    released: bool
    """Whether nothing of this guardian is in force in the device: released or at its safe value, and read back."""
    text: str
    writes: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalReport:
    """What a guardian says when it ends."""

    reason: str
    devices: dict[str, DeviceReport]
    events: tuple[str, ...]
    """Those that no image has told yet."""
