"""The ``modbus:`` block of a device: where it answers, what its registers mean, and within which limits it is commanded.

It counts with ``as: virtual`` and ``as: hardware`` and has no effect with the other words, so that changing one word
changes where a device runs. What only one of the two uses has no effect with the other.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from twin.scenario.base import Fault, FreeParams, Name, Spec, Switch, wrong
from twin.scenario.grid_source import GridSourceSpec
from twin.scenario.marks import got
from twin.scenario.missing import MissingSpec, limits_in_units, safe_in_units
from twin.scenario.quantities import Quantity

__all__ = ["LabLimitSpec", "LineSpec", "ModbusSpec", "TlsSpec"]

_Number = Annotated[float, Quantity("")]


def _protection(value: object) -> object:
    if not isinstance(value, (bool, dict)):
        raise wrong(f"must be true, false or a mapping of parameters (got {got(value)})")
    return value


def _faults(value: object) -> object:
    rules = isinstance(value, list) and value and all(isinstance(rule, dict) for rule in value)
    if not (rules or (isinstance(value, str) and value.strip())):
        raise wrong(
            f"must be the name of a file, or a list of rules such as {{fault: late}} (got {got(value)})"
        )
    return value


class LineSpec(Spec):
    """A serial line with Modbus RTU."""

    path: Name = Field(description="Device file of the line, e.g. /dev/ttyUSB0.")
    baudrate: Annotated[int, Quantity("", ge=300, le=4_000_000)] = Field(
        default=19200, description="Bits in a second [1/s]."
    )
    parity: Literal["none", "even", "odd"] = Field(default="even", description="Parity.")
    stopbits: Literal[1, 2] = Field(default=1, description="Stop bits.")
    turnaround: Annotated[float, Quantity("s", gt=0, le=10)] = Field(
        default=0.3, description="Longest time until a device begins its answer [s]."
    )


class TlsSpec(Spec):
    """Modbus/TCP Security: certificates, PEM files relative to the scenario file."""

    authority: Name = Field(description="Certificates of those who sign for devices.")
    certificate: Name = Field(description="Certificate of this program, with its role.")
    key: Name = Field(description="Its key.")


class LabLimitSpec(Spec):
    """Limits of the lab for one command or reading, of the one device; the tighter of these and the map's count."""

    min: _Number = Field(
        description="Smallest value, in the unit of the command (kW, consumption positive) or reading."
    )
    max: _Number = Field(description="Largest value.")
    ramp: Annotated[float, Quantity("kW/s", gt=0)] | None = Field(
        default=None, description="Commands: largest change in a second [kW/s]; no limit without it."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the order of the limits."""
        if self.min > self.max:
            yield "min", f"min {self.min:g} must not be above max {self.max:g}"


class ModbusSpec(Spec):
    """A device behind a register map."""

    map: Name = Field(
        description="Register map: the name of one that comes with the program, or a YAML file."
    )
    host: Name | None = Field(default=None, description="hardware: name or address of the device.")
    port: Annotated[int, Quantity("", ge=1, le=65535)] | None = Field(
        default=None, description="hardware: TCP port; default that of the map."
    )
    unit: Annotated[int, Quantity("", ge=0, le=255)] | None = Field(
        default=None, description="Unit id; default that of the map."
    )
    serial: Name | None = Field(default=None, description="hardware: serial number that must answer; needed.")
    line: LineSpec | None = Field(default=None, description="hardware: a serial line instead of host.")
    rtu_over_tcp: Switch = Field(
        default=False, description="hardware: host and port are a serial server that passes RTU frames."
    )
    tls: TlsSpec | None = Field(default=None, description="hardware: Modbus/TCP Security.")
    limits: Annotated[dict[str, LabLimitSpec], BeforeValidator(limits_in_units)] = Field(
        default_factory=dict,
        description="By command (p_set_kw, p_limit_kw; hardware needs them), or by reading: soc stops charging and "
        "discharging at its bounds, any other one ends the run outside them.",
    )
    stands_for: Annotated[float, Quantity("", ge=1, le=1e6)] = Field(
        default=1.0,
        description="Number of such devices that the entry describes [1]; this one stands for them.",
    )
    missing: Annotated[dict[str, MissingSpec], BeforeValidator(safe_in_units)] = Field(
        default_factory=dict,
        description="By signal (p_kw, soc): what is used where a reading is old or missing.",
    )
    slope_kw_v: Annotated[float, Quantity("", ge=-1e6, le=1e6)] | None = Field(
        default=None,
        description="Change of its power for a volt [kW/V], positive where it takes more or feeds in less at a higher voltage.",
    )
    acceptance: Name | None = Field(
        default=None, description="hardware: report of `twin device check`; needed to command it."
    )
    grid_source: GridSourceSpec | None = Field(
        default=None, description="hardware: a source that feeds it with the voltage of the feeder."
    )
    protection: Annotated[bool | FreeParams, BeforeValidator(_protection)] = Field(
        default=False, description="virtual: interface protection of CEI 0-21; true, or its parameters."
    )
    faults: Annotated[str | tuple[FreeParams, ...], BeforeValidator(_faults)] | None = Field(
        default=None, description="virtual: faults that it shows; a file, or a list of rules."
    )

    def problems(self) -> Iterator[Fault]:
        """Yield what contradicts: several ways to the device."""
        if self.line is not None:
            for field in ("host", "port", "tls"):
                if getattr(self, field) is not None:
                    yield field, f"{field} and line are two ways to the device; keep one"
            if self.rtu_over_tcp:
                yield "rtu_over_tcp", "goes with host, not with line; remove it"
        if self.rtu_over_tcp and self.tls is not None:
            yield "tls", "goes with Modbus TCP, not with rtu_over_tcp; remove one"
        if self.rtu_over_tcp and self.port is None:
            yield "port", "is missing; a serial server needs its port"

    def missing_for_hardware(self) -> Iterator[Fault]:
        """Yield what a real device lacks."""
        if self.host is None and self.line is None:
            yield "", "says not where the device is; add host: ADDRESS or line: {path: /dev/ttyUSB0}"
        if self.serial is None:
            yield "", "serial is missing; a real device must be known by its serial number"
