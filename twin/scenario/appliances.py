"""Appliances: loads with a state of their own - water heaters, EV chargers, and any FMU of the user."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from twin.scenario.base import Fault, wrong
from twin.scenario.columns import source_reference
from twin.scenario.device_base import BlockBase, SwitchedBase
from twin.scenario.marks import got
from twin.scenario.quantities import Quantity

__all__ = ["GENERATED", "EvSpec", "FmuDeviceSpec", "WaterHeaterSpec"]

GENERATED = "generated"
"""Profile drawn with the scenario seed."""

_Share = Annotated[float, Quantity("1", ge=0, le=1)]
_Power = Annotated[float, Quantity("kW", ge=0)]
_Efficiency = Annotated[float, Quantity("1", ge=1e-3, le=1)]
_Temperature = Annotated[float, Quantity("degC", ge=-60, le=120)]
_Number = Annotated[float, Quantity("")]
_MINUTES_PER_HOUR = 60
_HOURS_PER_DAY = 24
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


def _time_of_day(value: object) -> object:
    """Read ``07:30`` as 7.5."""
    written = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number:
            raise wrong(f"must be a time of day such as 07:30 (got {got(value)})")
        return value
    hours, minutes = int(written[1]), int(written[2])
    if hours >= _HOURS_PER_DAY or minutes >= _MINUTES_PER_HOUR:
        raise wrong(f"must be a time of day from 00:00 to 23:59 (got {got(value)})")
    return hours + minutes / _MINUTES_PER_HOUR


_TimeOfDay = Annotated[
    float,
    Field(ge=0, lt=_HOURS_PER_DAY),
    BeforeValidator(_time_of_day),
    WithJsonSchema({"type": ["string", "number"], "examples": ["07:30"]}),
]


def _generated_or_column(field: str, value: str) -> Iterator[tuple[str, str]]:
    if value and value != GENERATED and source_reference(value) is None:
        yield field, f"must be generated or SOURCE.COLUMN (got {value!r})"


def _not_in_network(spec: BlockBase) -> Iterator[tuple[str, str]]:
    if spec.from_ is not None:
        yield "from", "the network has no such devices; use bus, home, share, beside or csv"


class WaterHeaterSpec(SwitchedBase):
    """Heat-pump water heaters with a tank; the defaults are those of a common heater of 200 l."""

    kind: Literal["water_heater"] = Field(description="Kind of device.")
    draw: str = Field(
        default="",
        description="Water drawn at the tap: generated (an assumption), or SOURCE.COLUMN in l/min or l.",
    )
    litres_day: Annotated[float, Quantity("l", gt=0)] = Field(
        default=120.0, description="generated: mean water drawn in a day at temp_use_degc [l]."
    )
    volume_l: Annotated[float, Quantity("l", ge=1)] = Field(
        default=200.0, description="Volume of the tank [l]."
    )
    top_share: Annotated[float, Quantity("1", ge=0.05, le=0.95)] = Field(
        default=0.4, description="Share of the volume that the upper node has [1]."
    )
    loss_kw_k: Annotated[float, Quantity("kW/K", ge=0)] = Field(
        default=0.0015, description="Standing loss for each kelvin above the room [kW/K]."
    )
    p_rated_kw: _Power = Field(default=0.5, description="Electric power of the heat pump [kW].")
    p_min_kw: _Power = Field(default=0.0, description="The heat pump does not run below this power [kW].")
    p_element_kw: _Power = Field(default=0.0, description="Power of the electric element [kW]; 0 for none.")
    temp_set_degc: _Temperature = Field(default=53.0, description="Set-point of the thermostat [degC].")
    hysteresis_k: Annotated[float, Quantity("K", ge=0)] = Field(
        default=5.0, description="Heating starts this far below the set-point [K]."
    )
    temp_element_degc: _Temperature = Field(default=40.0, description="Set-point of the element [degC].")
    cop_a: _Number = Field(default=6.81, description="Coefficient of performance: constant term [1].")
    cop_b: _Number = Field(default=-0.121, description="Coefficient of performance: term of the lift [1/K].")
    cop_c: _Number = Field(
        default=0.00063, description="Coefficient of performance: term of the square of the lift [1/K2]."
    )
    lift_low_k: Annotated[float, Quantity("K", ge=0)] = Field(
        default=15.0, description="Below this lift the coefficient of performance stays [K]."
    )
    lift_high_k: Annotated[float, Quantity("K", ge=0)] = Field(
        default=60.0, description="Above this lift the coefficient of performance stays [K]."
    )
    temp_air_min_degc: _Temperature = Field(
        default=-7.0, description="The heat pump does not run in colder air [degC]."
    )
    temp_start_degc: _Temperature = Field(
        default=50.0, description="Temperature of the tank at the start [degC]."
    )
    temp_use_degc: _Temperature = Field(default=40.0, description="Temperature wanted at the tap [degC].")
    temp_cold_degc: _Temperature = Field(default=15.0, description="Temperature of the cold water [degC].")
    temp_room_degc: _Temperature = Field(
        default=20.0, description="Temperature of the air around the tank [degC]."
    )

    _allowed: ClassVar[frozenset[str]] = frozenset(("p_set_kw", "p_limit_kw", "draw_l_min", "temp_room_degc"))
    _only_ours: ClassVar[tuple[str, ...]] = (
        "volume_l",
        "top_share",
        "loss_kw_k",
        "p_min_kw",
        "temp_set_degc",
        "hysteresis_k",
        "temp_element_degc",
        "cop_a",
        "cop_b",
        "cop_c",
        "lift_low_k",
        "lift_high_k",
        "temp_air_min_degc",
        "temp_start_degc",
        "temp_use_degc",
        "temp_cold_degc",
    )
    _only_wired: ClassVar[tuple[str, ...]] = ("temp_room_degc",)

    def problems(self) -> Iterator[Fault]:
        """Yield what contradicts: the draw-off, the order of the temperatures and lifts."""
        yield from super().problems()
        yield from _not_in_network(self)
        yield from _generated_or_column("draw", self.draw)
        fed = self.fmu is None or any(wire.signal == "draw_l_min" for wire in self.fmu.inputs.values())
        if not self.draw and fed:
            yield "", "draw is missing; add draw: generated or draw: SOURCE.COLUMN"
        if self.says("litres_day") and self.draw != GENERATED and self.draw:
            yield "litres_day", "has no effect with a column; use draw: generated or remove it"
        for lower, upper in (
            ("temp_cold_degc", "temp_use_degc"),
            ("temp_use_degc", "temp_set_degc"),
            ("lift_low_k", "lift_high_k"),
        ):
            if getattr(self, lower) > getattr(self, upper):
                text = f"{lower} {getattr(self, lower):g} must be at most {upper} {getattr(self, upper):g}"
                yield lower, text


class EvSpec(SwitchedBase):
    """Charging points, each with one car that comes and goes."""

    kind: Literal["ev"] = Field(description="Kind of device.")
    trips: str = Field(
        default="",
        description="Driving: generated (an assumption), or SOURCE.COLUMN with the energy driven in each interval.",
    )
    plugged: str = Field(
        default="",
        description="SOURCE.COLUMN, unit 1: plugged in above 0.5; without it a car is away while it drives.",
    )
    departure: _TimeOfDay = Field(default=7.5, description="generated: mean local time of departure.")
    arrival: _TimeOfDay = Field(default=18.0, description="generated: mean local time of arrival.")
    spread_h: Annotated[float, Quantity("h", ge=0, le=6)] = Field(
        default=1.0, description="generated: standard deviation of both times [h]."
    )
    drive_days_share: _Share = Field(default=0.85, description="generated: share of days with a trip [1].")
    km_day: Annotated[float, Quantity("km", ge=0)] | None = Field(
        default=None, description="generated: mean distance of a day with a trip [km]; default 35."
    )
    use_kwh_km: Annotated[float, Quantity("kWh/km", gt=0)] | None = Field(
        default=None, description="generated: energy of a kilometre [kWh/km]; default 0.18."
    )
    driven_kwh_day: Annotated[float, Quantity("kWh", ge=0)] | None = Field(
        default=None,
        description="generated: mean energy of a day with a trip [kWh], in place of km_day and use_kwh_km.",
    )
    soc_need: _Share = Field(
        default=0.8, description="State of charge that the driver wants at departure [1]."
    )
    capacity_kwh: Annotated[float, Quantity("kWh", gt=0)] = Field(
        default=50.0, description="Capacity of the car's battery [kWh]."
    )
    p_max_kw: _Power = Field(default=7.4, description="Largest charging power [kW].")
    p_min_kw: _Power = Field(default=1.38, description="Smallest charging power, that of 6 A [kW].")
    p_v2g_kw: _Power = Field(
        default=0.0, description="Largest discharging power [kW]; 0 without vehicle to grid."
    )
    eta_charge: _Efficiency = Field(default=0.9, description="Stored over taken energy [1].")
    eta_discharge: _Efficiency = Field(default=0.9, description="Delivered over released energy [1].")
    soc_min: _Share = Field(default=0.2, description="Vehicle to grid stops at this state of charge [1].")
    soc_start: _Share = Field(default=0.5, description="State of charge at the start [1].")

    _allowed: ClassVar[frozenset[str]] = frozenset(
        ("p_set_kw", "p_limit_kw", "plugged", "used_kwh", "departure_h", "soc_need")
    )
    _gives: ClassVar[Mapping[str, bool]] = {"p_kw": True, "q_kvar": False, "soc": False}
    _only_ours: ClassVar[tuple[str, ...]] = (
        "capacity_kwh",
        "p_min_kw",
        "p_v2g_kw",
        "eta_charge",
        "eta_discharge",
        "soc_min",
        "soc_start",
    )
    _only_wired: ClassVar[tuple[str, ...]] = ("soc_need",)
    _only_generated: ClassVar[tuple[str, ...]] = (
        "departure",
        "arrival",
        "spread_h",
        "drive_days_share",
        "km_day",
        "use_kwh_km",
        "driven_kwh_day",
    )

    def problems(self) -> Iterator[Fault]:
        """Yield what contradicts: the trips, the powers."""
        yield from super().problems()
        yield from _not_in_network(self)
        yield from _generated_or_column("trips", self.trips)
        signals = set() if self.fmu is None else {wire.signal for wire in self.fmu.inputs.values()}
        if not self.trips and (self.fmu is None or signals & {"plugged", "used_kwh", "departure_h"}):
            yield "", "trips is missing; add trips: generated or trips: SOURCE.COLUMN"
        if self.plugged and source_reference(self.plugged) is None:
            yield "plugged", f"must be SOURCE.COLUMN (got {self.plugged!r})"
        if self.trips == GENERATED:
            yield from self._generated_problems()
        else:
            for field in self._only_generated:
                if self.trips and self.says(field):
                    yield field, "has no effect with a column; use trips: generated or remove it"
        if self.fmu is None and self.p_min_kw > self.p_max_kw:
            yield "p_min_kw", f"p_min_kw {self.p_min_kw:g} must not be above p_max_kw {self.p_max_kw:g}"

    def _generated_problems(self) -> Iterator[tuple[str, str]]:
        if self.plugged:
            yield "plugged", "goes with trips: SOURCE.COLUMN; generated trips say when the car is away"
        if self.driven_kwh_day is not None and (self.km_day is not None or self.use_kwh_km is not None):
            yield "driven_kwh_day", "says the same as km_day and use_kwh_km; keep one way"
        if self.departure == self.arrival:
            yield "arrival", "must differ from departure; the car is away between them"


class FmuDeviceSpec(BlockBase):
    """Any device of the user, computed by an FMU."""

    kind: Literal["fmu"] = Field(description="Kind of device.")

    _allowed: ClassVar[frozenset[str]] = frozenset(("p_set_kw", "p_limit_kw"))

    def problems(self) -> Iterator[Fault]:
        """Yield what contradicts: the FMU must be there."""
        yield from super().problems()
        yield from _not_in_network(self)
        if self.fmu is None:
            yield "", "fmu is missing; add fmu: {file: FILE.fmu, outputs: {p_kw: VARIABLE}}"
