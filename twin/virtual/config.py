"""What a host process of virtual devices is started with; travels as one line of JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from hil_adapters.virtual.protection import ProtectionSettings

__all__ = [
    "FmuPart",
    "FmuWire",
    "HostConfig",
    "PhysicsConfig",
    "ScaleChangePart",
    "SunSpecPart",
    "VirtualDeviceConfig",
]

PhysicsKind = Literal["pv_inverter", "battery", "ev_charger", "water_heater", "meter", "fmu"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class FmuWire(_Part):
    """How a signal and a variable of an FMU correspond: ``variable = signal * factor + offset``."""

    signal: str
    variable: str
    factor: float = 1.0
    offset: float = 0.0
    take: Literal["mean", "last"] = "last"
    is_amount: bool = False


class FmuPart(_Part):
    """A user's FMU as the inside of a device."""

    file: str
    inputs: tuple[FmuWire, ...] = ()
    outputs: tuple[FmuWire, ...] = Field(min_length=1)
    parameters: dict[str, float | int | bool | str] = Field(default_factory=dict)
    interface: Literal["auto", "co_simulation", "model_exchange"] = "auto"
    step_s: float | None = Field(default=None, gt=0, description="Communication step; None: the tick.")
    trusted: bool = False


class PhysicsConfig(_Part):
    """What computes a device."""

    kind: PhysicsKind
    parameters: dict[str, float] = Field(
        default_factory=dict,
        description="Parameters of the kind, and of fmu its ratings: p_rated_kw, charge_kw, discharge_kw ...",
    )
    inputs: dict[str, float] = Field(
        default_factory=dict, description="What surrounds the device until the run says otherwise: vm_pu ..."
    )
    fmu: FmuPart | None = None


class ScaleChangePart(_Part):
    """A scale factor that does not stay."""

    point: str = Field(description="Full name, e.g. 103.W_SF.")
    exponents: tuple[int, ...] = Field(
        min_length=1, description="Taken one after the other, again and again."
    )
    every_s: float = Field(gt=0)


class SunSpecPart(_Part):
    """What a SunSpec device shows; only for maps that are discovered."""

    models: tuple[int, ...] = Field(
        default=(), description="Models in order; empty: what its kind usually has."
    )
    base: int = Field(default=40000, ge=0, le=65000)
    end: Literal["standard", "marker_only", "one_zero", "address_error"] = "standard"
    short_common: bool = Field(default=False, description="Common models of 65 registers.")
    no_multiple_write: tuple[str, ...] = Field(default=(), description="Points that refuse function code 16.")
    no_single_write: tuple[str, ...] = Field(default=(), description="Points that refuse function code 6.")
    scale_changes: tuple[ScaleChangePart, ...] = ()
    heartbeat_s: float | None = Field(
        default=None,
        gt=0,
        description="Model 802: the battery stops where CtrlHb has stood still for so long; None: never [s].",
    )


class VirtualDeviceConfig(_Part):
    """One virtual device."""

    name: str
    map: str = Field(description="Name of a shipped register map, or the file of one.")
    physics: PhysicsConfig
    port: int = Field(default=0, ge=0, le=65535, description="0: any free one.")
    unit: int | None = Field(default=None, ge=0, le=255, description="None: the unit of the map.")
    serial: str = Field(default="1", min_length=1)
    phases: Literal[1, 3] = 3
    max_clients: int | None = Field(default=None, ge=1, description="Further TCP clients are refused.")
    values: dict[str, float | str] = Field(default_factory=dict, description="Values of points at the start.")
    sunspec: SunSpecPart = Field(default_factory=SunSpecPart)
    protection: ProtectionSettings | None = None
    faults: str | dict[str, JsonValue] | list[JsonValue] | None = Field(
        default=None, description="File of a fault script, or the script itself."
    )
    write_log: str | None = Field(
        default=None, description="File that gets every write from the wire, one JSON object a line."
    )
    traffic: Literal["disabled", "telegram", "write"] = Field(
        default="telegram", description="Which requests a traffic watchdog counts."
    )


class HostConfig(_Part):
    """One host process."""

    devices: tuple[VirtualDeviceConfig, ...] = Field(min_length=1)
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    allow: tuple[str, ...] | None = Field(
        default=None, description="Addresses or networks that may connect; None: this machine only."
    )
    tick_s: float = Field(default=0.1, gt=0, le=10, description="Wall-clock period of the physics [s].")
    speed: float = Field(default=1.0, gt=0, description="Simulated seconds in a second.")
