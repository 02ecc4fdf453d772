"""What devices share: where they go, and what computes those that may be run by an FMU."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from twin.scenario.base import Fault, Name, Spec
from twin.scenario.columns import number_or, number_or_schema
from twin.scenario.fmu import FmuSpec
from twin.scenario.modbus import ModbusSpec
from twin.scenario.quantities import Quantity

__all__ = ["COMMON_SIGNALS", "BlockBase", "DeviceBase", "Placement", "SwitchedBase"]

COMMON_SIGNALS = frozenset(
    (
        "vm_pu",
        "v_v",
        "home_p_kw",
        "price_import_eur_kwh",
        "price_export_eur_kwh",
        "time_s",
        "hour",
        "temp_air_degc",
    )
)
"""Signals that an FMU of any kind of device may take."""

Placement = Literal["from", "bus", "home", "share", "beside", "csv"]


class DeviceBase(Spec):
    """Where devices go: exactly one of from, bus, home, share, beside and csv."""

    name: Name | None = Field(default=None, description="Unique name; needed with bus and home.")
    prefix: Name | None = Field(
        default=None, description="share, beside: start of the names that are made; default the kind."
    )
    from_: Literal["feeder"] | None = Field(
        default=None,
        alias="from",
        description="'feeder' takes all elements of this kind that the network has.",
    )
    match: Name | None = Field(
        default=None,
        description="from, share: keep elements or homes whose name fits this pattern (glob), e.g. 'LV3.403 *'.",
    )
    bus: Name | None = Field(default=None, description="Name of the bus to connect to.")
    home: Name | None = Field(default=None, description="Name of the load (home) behind whose meter it goes.")
    share: Annotated[float, Quantity("1", gt=0, le=1)] | None = Field(
        default=None,
        description="Share of the homes that get one, drawn with the scenario seed; a smaller share lies in a larger [1].",
    )
    beside: Literal["pv", "battery"] | None = Field(
        default=None,
        description="One at every home that has a device of this other kind and none of this kind.",
    )
    csv: Name | None = Field(
        default=None, description="CSV file with one device a row; columns are field names."
    )

    @property
    def placement(self) -> Placement:
        """The one way of placing that was chosen."""
        return self._placements()[0]

    def _placements(self) -> list[Placement]:
        ways: dict[Placement, object] = {
            "from": self.from_,
            "bus": self.bus,
            "home": self.home,
            "share": self.share,
            "beside": self.beside,
            "csv": self.csv,
        }
        return [way for way, value in ways.items() if value is not None]

    @classmethod
    def parts(cls) -> dict[str, type[Spec]]:
        """Return the fields that are mappings of their own, with their models."""
        return {}

    @property
    def is_described_elsewhere(self) -> bool:
        """True where the network or a CSV file fills in what is not written."""
        return self.from_ is not None or self.csv is not None

    def problems(self) -> Iterator[Fault]:
        """Yield what contradicts in the placement."""
        ways = self._placements()
        if not ways:
            yield "", "says not where to go; add one of from, bus, home, share, beside, csv"
            return
        if len(ways) > 1:
            yield ways[1], f"placed twice, by {' and '.join(ways)}; keep one"
            return
        way = ways[0]
        if way in {"bus", "home"} and self.name is None:
            yield "", f"name is missing; a device placed by {way} needs a unique name"
        if way not in {"bus", "home"} and self.name is not None:
            yield "name", f"name goes with bus or home, not with {way}; remove it"
        if way not in {"share", "beside"} and self.prefix is not None:
            yield "prefix", f"prefix goes with share or beside, not with {way}; remove it"
        if way not in {"from", "share"} and self.match is not None:
            yield "match", f"match goes with from or share, not with {way}; remove it"

    def _beside_other_than(self, *kinds: str) -> Iterator[tuple[str, str]]:
        if self.beside in kinds:
            yield "beside", f"cannot stand beside {self.beside} here; use share or home"

    def _needs(self, field: str) -> Iterator[tuple[str, str]]:
        if getattr(self, field) is None and not self.is_described_elsewhere:
            yield "", f"{field} is missing; add it (only devices taken from the feeder can do without)"

    def _profile_problems(self, profile: str, words: str, *, good: bool) -> Iterator[tuple[str, str]]:
        if not profile:
            if self.csv is None:  # else it may be a column
                yield "", f"profile is missing; add one of {words}"
        elif not good:
            yield "profile", f"must be {words} (got {profile!r})"
        elif profile == "feeder" and not self.is_described_elsewhere:
            yield "profile", "'feeder' is what the network's own elements have; it needs from: feeder"


class BlockBase(DeviceBase):
    """Devices that an FMU may compute, and the air around them."""

    fmu: FmuSpec | None = Field(default=None, description="An FMU of one's own that computes the devices.")
    temp_air_degc: (
        Annotated[float | str, BeforeValidator(number_or("degC")), number_or_schema("degC")] | None
    ) = Field(default=None, description="Temperature of the air [degC], a number or SOURCE.COLUMN.")
    weather: Name | None = Field(
        default=None, description="Weather file (EPW, TMY3, PVGIS or CSV) with the temperature of the air."
    )

    _needed: ClassVar[frozenset[str]] = frozenset()
    """Signals that an FMU of this kind must take ..."""
    _allowed: ClassVar[frozenset[str]] = frozenset()
    """... and those it may take beside the common ones."""
    _gives: ClassVar[Mapping[str, bool]] = {"p_kw": True, "q_kvar": False}
    """Signals that an FMU of this kind may give, and whether it must."""
    _only_ours: ClassVar[tuple[str, ...]] = ()
    """Fields that only describe a model of ours ..."""
    _only_wired: ClassVar[tuple[str, ...]] = ()
    """... and those that an FMU of one's own sees only where an input takes the signal of that name."""

    @property
    def air_file(self) -> str | None:
        """Weather file with the temperature of the air, None where there is none."""
        return self.weather

    @property
    def has_air(self) -> bool:
        """Whether the entry says how warm the air is."""
        return self.air_file is not None or self.temp_air_degc is not None

    @property
    def is_block(self) -> bool:
        """Whether its devices keep their own state, apart from the plain fleets."""
        return True

    @property
    def kind_name(self) -> str:
        """The kind as written in a scenario."""
        return str(getattr(self, "kind", ""))

    def problems(self) -> Iterator[Fault]:
        """Yield what contradicts: the sources of temperature, the wiring of the FMU."""
        yield from super().problems()
        if self.weather is not None and self.temp_air_degc is not None:
            yield "temp_air_degc", "temp_air_degc and weather say the same twice; keep one"
        if self.fmu is not None:
            for variable, wire in self.fmu.inputs.items():
                if wire.signal == "temp_air_degc" and not self.has_air:
                    yield (
                        ("fmu", "inputs", variable),
                        "temp_air_degc is not known; add weather: FILE or temp_air_degc to the entry",
                    )
            signals = self.fmu.signal_problems(
                self.kind_name,
                needed=self._needed,
                allowed=self._allowed | COMMON_SIGNALS,
                outputs=self._gives,
            )
            for place, message in signals:
                yield ("fmu", *((place,) if isinstance(place, str) else place)), message


class SwitchedBase(BlockBase):
    """Devices that a model of ours, an FMU, a virtual device or a real one may stand for."""

    as_: Literal["model", "fmu", "virtual", "hardware"] = Field(
        default="model",
        alias="as",
        description="What computes it: a model in arrays; an FMU: the one under 'fmu', else one that comes with the program; "
        "a virtual device that is read and commanded by Modbus; or a real one.",
    )
    modbus: ModbusSpec | None = Field(
        default=None,
        description="The register map of a virtual or real device, and where a real one answers.",
    )

    @property
    def is_on_wire(self) -> bool:
        """Whether its devices are behind a register map."""
        return self.as_ in {"virtual", "hardware"}

    def problems(self) -> Iterator[Fault]:
        """Yield what contradicts: an FMU that is not used, a device on the wire that cannot be found."""
        yield from super().problems()
        yield from self._wire_problems()
        if self.fmu is None:
            return
        if self.as_ == "model":
            yield "fmu", "has no effect without as: fmu; add it, or remove the block"
            return
        for field in self._only_ours:
            if self.says(field):
                yield (
                    field,
                    "has no effect beside fmu:; remove it, what the FMU lets one set goes under fmu.parameters",
                )
        taken = {wire.signal for wire in self.fmu.inputs.values()}
        for field in self._only_wired:
            if self.says(field) and field not in taken:
                yield field, f"has no effect beside fmu: where no input takes {field}; wire it or remove it"

    def _wire_problems(self) -> Iterator[Fault]:
        if not self.is_on_wire:
            return
        if self.from_ is not None:
            yield "from", f"elements of the network are no single devices; as: {self.as_} needs home or bus"
        if self.modbus is None:
            yield "", f"modbus is missing; as: {self.as_} needs modbus: {{map: NAME}}"
            return
        if self.as_ == "virtual":
            if self.modbus.stands_for > 1.0 and self.fmu is not None:
                yield (
                    ("modbus", "stands_for"),
                    "an FMU is one device and cannot be divided; remove one of them",
                )
            return
        if self._placements() and self.placement not in {"home", "bus"}:
            yield (
                self.placement,
                "a real device is at one place; use home or bus and an entry for each device",
            )
        for field, message in self.modbus.missing_for_hardware():
            inside = (field,) if isinstance(field, str) and field else ()
            yield ("modbus", *inside), message

    @property
    def is_ours(self) -> bool:
        """Whether an FMU that comes with the program computes it."""
        return self.as_ == "fmu" and self.fmu is None
