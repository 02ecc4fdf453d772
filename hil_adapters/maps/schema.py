"""What a register map may say. YAML keys are field names; a map is closed, typed and refused where it is unsafe."""

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hil_adapters.errors import MapError
from hil_adapters.wire.base import Table

__all__ = [
    "Access",
    "Command",
    "CommandWrite",
    "Discovery",
    "Group",
    "LinkDefaults",
    "Order",
    "Point",
    "PointRef",
    "Quirks",
    "RegisterMap",
    "SignalBinding",
    "Source",
    "ValueType",
    "Waiver",
    "Watchdog",
    "WriteClass",
    "WriteRules",
    "candidates",
    "decided",
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ValueType(StrEnum):
    """How a value is coded in registers (or in a bit)."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BOOL = "bool"


class Order(StrEnum):
    """Which part comes first."""

    BIG = "big"
    LITTLE = "little"


class Access(StrEnum):
    """What the device lets one do."""

    READ = "r"
    READ_WRITE = "rw"
    WRITE = "w"


class WriteClass(StrEnum):
    """What a write costs the device."""

    VOLATILE = "volatile"
    """Kept in memory; may be written in a loop."""
    PERSISTENT = "persistent"
    """Kept in flash: never in a loop."""
    UNKNOWN = "unknown"
    """Counts as persistent."""


class Source(_Part):
    """Where the map was taken from."""

    document: str = Field(description="Title and edition of the manual.")
    pages: str = Field(description="Pages or sections of the register tables, e.g. '14-22'.")
    url: str | None = Field(default=None, description="Where the manual is published.")
    remarks: str = Field(default="", description="What is uncertain or was not verified.")


class Quirks(_Part):
    """Deviations that are tolerated because they are declared."""

    zero_transaction: bool = Field(default=False, description="Answers carry transaction 0.")
    no_single_write: bool = Field(default=False, description="Function code 6 is refused; 16 is used.")
    no_multiple_write: bool = Field(default=False, description="Function code 16 is refused; 6 is used.")
    one_client: bool = Field(default=False, description="A second TCP client is refused.")


class LinkDefaults(_Part):
    """How the device is spoken to."""

    port: int = Field(default=502, ge=1, le=65535)
    unit: int = Field(default=1, ge=0, le=255)
    byte_order: Order = Field(default=Order.BIG, description="Of the two bytes of a register.")
    word_order: Order = Field(default=Order.BIG, description="Of the registers of a value.")
    max_registers: int = Field(default=125, ge=1, le=125, description="Longest read.")
    max_gap: int = Field(
        default=0, ge=0, le=124, description="Registers without a point that a read may span."
    )
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    min_interval_s: float = Field(default=0.0, ge=0, le=10, description="Pause between requests [s].")
    quirks: Quirks = Field(default_factory=Quirks)


class Discovery(_Part):
    """Points are found in the device itself."""

    kind: Literal["sunspec"]
    bases: tuple[int, ...] = Field(
        default=(40000, 0, 50000), description="Addresses where 'SunS' is looked for."
    )
    models: tuple[int, ...] = Field(
        default=(),
        description="Models without which the map does not fit; one of a tuple "
        "of alternatives is chosen by signals.",
    )


Group = Literal["once", "slow", "fast"]
"""How often points are polled."""


class Point(_Part):
    """One value of a device."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.]*$",
        description="Unique in the map; SunSpec: '103.W', '160.1.DCW'.",
    )
    table: Table = Table.HOLDING
    address: int = Field(ge=0, le=65535, description="As on the wire, counted from 0.")
    type: ValueType
    length: int | None = Field(default=None, ge=1, le=125, description="string: number of registers.")
    byte_order: Order | None = None
    word_order: Order | None = None
    scale: float = Field(default=1.0, description="Value = raw * scale * 10^(scale point) + offset.")
    scale_point: str | None = Field(
        default=None, description="Point with a power of ten, read together with this one."
    )
    offset: float = 0.0
    unit: str = Field(default="1", description="W, kW, var, VA, V, A, Hz, Wh, kWh, degC, %, s, min, 1.")
    missing: tuple[int, ...] = Field(
        default=(), description="Raw values (unsigned) that mean: not implemented."
    )
    access: Access = Access.READ
    low: float | None = Field(
        default=None, description="Smallest value that can be true; beyond it the reading is bad."
    )
    high: float | None = None
    group: Group = Field(default="slow", description="How often it is polled.")
    role: Literal["value", "counter", "uptime"] = Field(
        default="value",
        description="counter: only grows, and rolls over at the end of its type; uptime: grows until the device restarts. "
        "A point behind a signal e_... is a counter without saying so.",
    )
    frozen_after_s: float | None = Field(
        default=None, gt=0, description="The same reading for longer than this is uncertain [s]."
    )
    bits: dict[int, str] = Field(default_factory=dict, description="Names of bits.")
    values: dict[int, str] = Field(default_factory=dict, description="Names of values.")
    overlaps: tuple[str, ...] = Field(
        default=(), description="Points that share registers with this one on purpose."
    )
    text: str = ""
    page: str = Field(default="", description="Where the manual says so.")


class Watchdog(_Part):
    """What makes the device itself let go of a set-point when nobody refreshes it."""

    kind: Literal["timer", "heartbeat", "traffic"] = Field(
        description="timer: a point with the time until reversion; heartbeat: a point that must change, or without a "
        "point the set-point itself, which must be written again; traffic: any request counts."
    )
    point: str | None = Field(
        default=None, description="timer: the point; heartbeat: the point that counts up."
    )
    timeout_s: float = Field(
        gt=0, le=3600, description="Time until the device lets go [s]; written to a timer point."
    )
    falls_back_to: str = Field(description="What the device then does, in words, e.g. 'full power'.")


class Waiver(_Part):
    """A person's word that a point without a watchdog may be written within narrower limits."""

    signed_by: str = Field(min_length=3)
    date: dt.date
    reason: str = Field(min_length=10)


class WriteRules(_Part):
    """Under which rules a point may be written. A point without rules is never written."""

    low: float = Field(description="Smallest value that is ever written, in the unit of the point.")
    high: float = Field(description="Largest one.")
    write_class: WriteClass = Field(default=WriteClass.UNKNOWN, alias="class")
    watchdog: Watchdog | None = None
    waiver: Waiver | None = None
    safe: float | None = Field(
        default=None, description="Value that is safe; None: the release of the command."
    )
    ramp_per_s: float | None = Field(default=None, gt=0, description="Largest change in a second.")
    min_interval_s: float = Field(default=0.0, ge=0, description="Shortest time between two writes [s].")
    step: float = Field(default=0.0, ge=0, description="Changes smaller than this are not written.")
    verify: bool = Field(default=True, description="Read back after writing.")
    tolerance: float = Field(default=0.0, ge=0, description="How far a value read back may differ.")

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )


PointRef = str | tuple[str, ...]
"""A point, or several of which the first that the device has is taken."""


def candidates(reference: PointRef) -> tuple[str, ...]:
    """Return the points a reference may mean."""
    return (reference,) if isinstance(reference, str) else reference


def decided(reference: PointRef) -> str:
    """Return the point that a reference of a resolved map means.

    Raises:
        MapError: there are several.
    """
    if isinstance(reference, str):
        return reference
    raise MapError(f"{' or '.join(reference)}: which one is not decided; resolve the map first")


class SignalBinding(_Part):
    """A signal of the twin, read from a point."""

    point: PointRef
    sign: Literal["consumption", "generation", "none"] = Field(
        default="none",
        description="What a positive value of the point means; the twin counts consumption positive.",
    )
    percent_of: PointRef | None = Field(default=None, description="The point is a percentage of this one.")
    factor: float = Field(default=1.0, description="For what units and signs do not say.")
    factor_unit: str | None = Field(
        default=None,
        description="Where the factor turns one quantity into another: 'kW/A' for kW of the signal per A of the point.",
    )


class CommandWrite(_Part):
    """One write of a command: a constant, or the command's value times a factor."""

    point: PointRef
    value: float | None = Field(default=None, description="A constant, in the unit of the point.")
    sign: Literal["consumption", "generation", "none"] = "none"
    percent_of: PointRef | None = Field(default=None, description="Written as a percentage of this point.")
    factor: float = 1.0
    factor_unit: str | None = Field(
        default=None,
        description="Where the factor turns one quantity into another: 'A/kW' for A of the point per kW of the command.",
    )
    from_watchdog: bool = Field(default=False, description="Writes the time of the watchdog of this command.")
    optional: bool = Field(default=False, description="Left out where the device has none of the points.")


class Command(_Part):
    """A set-point of the twin, written as a sequence: usually timer, set-point, enable."""

    writes: Annotated[tuple[CommandWrite, ...], Field(min_length=1)]
    release: Annotated[tuple[CommandWrite, ...], Field(min_length=1)] = Field(
        description="What gives the device back to itself; constants."
    )
    alternatives: tuple["Command", ...] = Field(
        default=(),
        description="Discovery: other sequences, of which the first is taken that the device has all points of.",
    )
    text: str = ""


class RegisterMap(_Part):
    """A device as data."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    kind: Literal["meter", "pv", "battery", "charger", "other"]
    source: Source
    verified: Literal["manual", "emulated", "hardware"] = Field(
        default="manual", description="What the map was tried against; 'manual': only written down."
    )
    link: LinkDefaults = Field(default_factory=LinkDefaults)
    discovery: Discovery | None = None
    identity: dict[Literal["manufacturer", "model", "version", "serial"], PointRef] = Field(
        default_factory=dict
    )
    points: tuple[Point, ...] = ()
    writes: dict[str, WriteRules] = Field(default_factory=dict, description="Rules by point.")
    signals: dict[str, SignalBinding] = Field(
        default_factory=dict, description="Bindings by signal: p_kw, q_kvar, ..."
    )
    commands: dict[str, Command] = Field(
        default_factory=dict, description="Commands by signal: p_limit_kw, p_set_kw."
    )
