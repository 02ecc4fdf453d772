"""Devices: what may be connected, and where."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from twin.scenario.base import Name, Spec
from twin.scenario.inverter import InverterSpec
from twin.scenario.quantities import Quantity

__all__ = [
    "PROFILE_WORDS",
    "BatterySpec",
    "DeviceBase",
    "DeviceSpec",
    "LoadSpec",
    "PlaceSpec",
    "Placement",
    "PvSpec",
    "source_reference",
]

Placement = Literal["from", "bus", "home", "share", "beside", "csv"]
PROFILE_WORDS = frozenset(("feeder", "constant", "clear_sky", "weather"))
"""First words of profiles that are not sources."""

_Power = Annotated[float, Quantity("kW", ge=0)]
_Efficiency = Annotated[float, Quantity("1", gt=0, le=1)]
_Share = Annotated[float, Quantity("1", ge=0, le=1)]


def source_reference(text: str) -> tuple[str, str] | None:
    """Return (source, column) if ``text`` is written SOURCE.COLUMN, else None."""
    source, dot, column = text.partition(".")
    special = source.partition(":")[0] in PROFILE_WORDS
    return (source, column) if dot and source and column and not special else None


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

    def problems(self) -> Iterator[tuple[str, str]]:
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


class LoadSpec(DeviceBase):
    """Loads."""

    kind: Literal["load"] = Field(description="Kind of device.")
    profile: str = Field(
        default="",
        description="'feeder' (the network's own), 'feeder:NAME' (one of its load shapes), 'constant', or SOURCE.COLUMN.",
    )
    p_kw: _Power | None = Field(
        default=None,
        description="Power [kW]: the constant value, or the scale of feeder:NAME or of a profile of unit 1.",
    )
    cos_phi: Annotated[float, Quantity("", gt=0, le=1)] = Field(
        default=0.95, description="Power factor, absorbing [1], where the network gives no reactive power."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the profile against the placement and the power."""
        yield from super().problems()
        yield from self._beside_other_than("pv", "battery")
        word, _, rest = self.profile.partition(":")
        named = word == "feeder" and bool(rest.strip())
        good = named or self.profile in {"feeder", "constant"} or source_reference(self.profile) is not None
        words = "feeder, feeder:NAME, constant or SOURCE.COLUMN"
        yield from self._profile_problems(self.profile, words, good=good)
        if self.profile == "constant" or named:
            yield from self._needs("p_kw")


class PlaceSpec(Spec):
    """A place on earth."""

    latitude_deg: Annotated[float, Quantity("deg", ge=-90, le=90)] = Field(
        description="Latitude, north positive [deg]."
    )
    longitude_deg: Annotated[float, Quantity("deg", ge=-180, le=180)] = Field(
        description="Longitude, east positive [deg]."
    )
    altitude_m: Annotated[float, Quantity("m", ge=-500, le=9000)] = Field(
        default=0.0, description="Height above the sea [m]."
    )


class PvSpec(DeviceBase):
    """PV generators."""

    kind: Literal["pv"] = Field(description="Kind of device.")
    profile: str = Field(
        default="",
        description="'feeder', 'feeder:NAME', 'constant' (rated power), 'clear_sky', 'weather:FILE', or SOURCE.COLUMN.",
    )
    p_peak_kw: Annotated[float, Quantity("kW", gt=0)] | None = Field(
        default=None, description="Peak power of the modules [kW]; with from: feeder the network's rating."
    )
    place: PlaceSpec | None = Field(
        default=None, description="Where the modules are; for clear_sky and weather."
    )
    tilt_deg: Annotated[float, Quantity("deg", ge=0, le=90)] = Field(
        default=30.0, description="Tilt of the modules against the horizontal [deg]."
    )
    azimuth_deg: Annotated[float, Quantity("deg", ge=0, le=360)] = Field(
        default=180.0, description="Direction the modules face, 180 is south [deg]."
    )
    loss_share: Annotated[float, Quantity("1", ge=0, lt=1)] = Field(
        default=0.14, description="Losses between modules and terminal [1]."
    )
    inverter: InverterSpec = Field(default_factory=InverterSpec, description="The inverter.")

    @classmethod
    def parts(cls) -> dict[str, type[Spec]]:
        """Return the fields that are mappings of their own, with their models."""
        return {"place": PlaceSpec, "inverter": InverterSpec}

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the profile against placement and place, the inverter against the power."""
        yield from super().problems()
        yield from self._beside_other_than("pv")
        yield from self._needs("p_peak_kw")
        word, _, rest = self.profile.partition(":")
        named = word in {"feeder", "weather"} and bool(rest.strip())
        good = named or self.profile in {"feeder", "constant", "clear_sky"}
        good = good or source_reference(self.profile) is not None
        words = "feeder, feeder:NAME, constant, clear_sky, weather:FILE or SOURCE.COLUMN"
        yield from self._profile_problems(self.profile, words, good=good)
        if word in {"weather", "clear_sky"} and self.place is None and self.csv is None:
            yield "", f"place is missing; profile {word} needs latitude_deg and longitude_deg"
        yield from self.inverter.rating_problem(self.p_peak_kw)


class BatterySpec(DeviceBase):
    """Batteries. With from: feeder capacity and power come from the network unless given."""

    kind: Literal["battery"] = Field(description="Kind of device.")
    capacity_kwh: Annotated[float, Quantity("kWh", gt=0)] | None = Field(
        default=None, description="Energy between empty and full [kWh]."
    )
    charge_kw: _Power | None = Field(default=None, description="Largest charging power at the terminal [kW].")
    discharge_kw: _Power | None = Field(
        default=None, description="Largest discharging power at the terminal [kW]."
    )
    power_kw: Annotated[float, Quantity("kW", gt=0)] | None = Field(
        default=None, description="Sets charge_kw and discharge_kw at once [kW]."
    )
    eta_charge: _Efficiency = Field(default=0.95, description="Stored over taken energy [1].")
    eta_discharge: _Efficiency = Field(default=0.95, description="Delivered over released energy [1].")
    soc_min: _Share = Field(default=0.1, description="Discharging stops at this state of charge [1].")
    soc_max: _Share = Field(default=0.95, description="Charging stops at this state of charge [1].")
    soc_start: _Share = Field(default=0.5, description="State of charge at the start [1].")
    loss_per_day: Annotated[float, Quantity("1", ge=0, lt=1)] = Field(
        default=0.0013, description="Standing loss: share of the stored energy lost in a day [1]."
    )
    inverter: InverterSpec = Field(default_factory=InverterSpec, description="The inverter.")

    _both: ClassVar[tuple[str, str]] = ("charge_kw", "discharge_kw")

    @classmethod
    def parts(cls) -> dict[str, type[Spec]]:
        """Return the fields that are mappings of their own, with their models."""
        return {"inverter": InverterSpec}

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: power given twice or not at all, the state-of-charge window, the rating."""
        yield from super().problems()
        yield from self._beside_other_than("battery")
        yield from self._needs("capacity_kwh")
        for field in self._both:
            if self.power_kw is None:
                yield from self._needs(field)
            elif getattr(self, field) is not None:
                yield field, f"{field} and power_kw say the same twice; keep one"
        if self.soc_min >= self.soc_max:
            yield "soc_min", f"soc_min {self.soc_min:g} must be below soc_max {self.soc_max:g}"
        elif not self.soc_min <= self.soc_start <= self.soc_max:
            window = f"between soc_min {self.soc_min:g} and soc_max {self.soc_max:g}"
            yield "soc_start", f"soc_start {self.soc_start:g} must lie {window}"
        powers = [p for p in (self.charge_kw, self.discharge_kw, self.power_kw) if p is not None]
        yield from self.inverter.rating_problem(max(powers, default=None))

    @model_validator(mode="after")
    def _spread_power(self) -> Self:
        if self.power_kw is not None:
            # the model is frozen for its users, not for its own construction
            for field in self._both:
                object.__setattr__(self, field, self.power_kw)
            object.__setattr__(self, "power_kw", None)
        return self


DeviceSpec = Annotated[LoadSpec | PvSpec | BatterySpec, Field(discriminator="kind")]
"""One entry under ``devices``."""
