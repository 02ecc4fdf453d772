"""Devices: what may be connected, and where."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from twin.scenario.base import Fault, Spec
from twin.scenario.battery_detail import BatteryDetailSpec
from twin.scenario.columns import source_reference
from twin.scenario.device_base import DeviceBase, SwitchedBase
from twin.scenario.inverter import InverterSpec
from twin.scenario.pv_detail import PvDetailSpec
from twin.scenario.quantities import Quantity

__all__ = ["BatterySpec", "LoadSpec", "PlaceSpec", "PvSpec"]

_Power = Annotated[float, Quantity("kW", ge=0)]
_Efficiency = Annotated[float, Quantity("1", gt=0, le=1)]
_Share = Annotated[float, Quantity("1", ge=0, le=1)]
_DETAIL_OF_ANOTHER = "has no effect on an FMU of one's own; give it as parameters there"


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

    def problems(self) -> Iterator[Fault]:
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


class PvSpec(SwitchedBase):
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
    detail: PvDetailSpec | None = Field(
        default=None, description="Response time and ramp of the inverter; off without it."
    )

    _needed: ClassVar[frozenset[str]] = frozenset(("p_available_kw",))
    _allowed: ClassVar[frozenset[str]] = frozenset(("p_limit_kw",))

    @property
    def air_file(self) -> str | None:
        """Weather file with the temperature of the air: that of ``weather``, else that of the profile."""
        of_profile = self.profile.removeprefix("weather:") if self.profile.startswith("weather:") else None
        return of_profile if self.weather is None and self.temp_air_degc is None else self.weather

    @property
    def is_block(self) -> bool:
        """Whether it keeps its state outside the plain fleet of generators."""
        return self.as_ != "model" or self.detail is not None

    @classmethod
    def parts(cls) -> dict[str, type[Spec]]:
        """Return the fields that are mappings of their own, with their models."""
        return {"place": PlaceSpec, "inverter": InverterSpec, "detail": PvDetailSpec}

    def problems(self) -> Iterator[Fault]:
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
        functions = set(type(self.inverter).model_fields) - {"s_rated_kva"}
        if self.fmu is not None and any(self.inverter.says(field) for field in functions):
            yield (
                "inverter",
                "has no effect beside an FMU of one's own, which has the functions; keep s_rated_kva alone",
            )
        if self.detail is not None and self.fmu is not None:
            yield "detail", _DETAIL_OF_ANOTHER


class BatterySpec(SwitchedBase):
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
    detail: BatteryDetailSpec | None = Field(
        default=None, description="Own consumption, derating, heat and ageing; off without it."
    )

    _needed: ClassVar[frozenset[str]] = frozenset(("p_set_kw",))
    _gives: ClassVar[Mapping[str, bool]] = {"p_kw": True, "soc": True}
    _both: ClassVar[tuple[str, str]] = ("charge_kw", "discharge_kw")

    @classmethod
    def parts(cls) -> dict[str, type[Spec]]:
        """Return the fields that are mappings of their own, with their models."""
        return {"inverter": InverterSpec, "detail": BatteryDetailSpec}

    @property
    def is_block(self) -> bool:
        """Whether it keeps its state outside the plain fleet of batteries."""
        return self.as_ != "model" or self.detail is not None

    def problems(self) -> Iterator[Fault]:
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
        yield from self._block_problems()

    def _block_problems(self) -> Iterator[tuple[str, str]]:
        if self.is_block and self.inverter.p_v is not None:
            yield (
                "inverter.p_v",
                "P(V) needs as: model and no detail, because it changes the power after the step; remove it",
            )
        if self.detail is not None and self.fmu is not None:
            yield "detail", _DETAIL_OF_ANOTHER

    @model_validator(mode="after")
    def _spread_power(self) -> Self:
        if self.power_kw is not None:
            # the model is frozen for its users, not for its own construction
            for field in self._both:
                object.__setattr__(self, field, self.power_kw)
            object.__setattr__(self, "power_kw", None)
        return self
