"""What a battery does beside storing energy: own consumption, derating, heat and ageing."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from twin.scenario.base import Spec
from twin.scenario.quantities import Quantity

__all__ = ["BatteryDetailSpec"]

_Share = Annotated[float, Quantity("1", ge=0, le=1)]
_Temperature = Annotated[float, Quantity("degC", ge=-60, le=1001)]


class BatteryDetailSpec(Spec):
    """Effects of the detailed battery; each is off by default."""

    standby_kw: Annotated[float, Quantity("kW", ge=0)] = Field(
        default=0.0, description="Own consumption at the terminal, always drawn [kW]."
    )
    loss_quadratic: Annotated[float, Quantity("1", ge=0, le=0.45)] = Field(
        default=0.0,
        description="Further loss at rated power over rated power [1]; grows with the square of power.",
    )
    taper_low_soc: _Share = Field(
        default=0.0, description="Width above soc_min over which discharging falls to zero [1]."
    )
    taper_high_soc: _Share = Field(
        default=0.0, description="Width below soc_max over which charging falls to zero [1]."
    )
    heat_capacity_kwh_k: Annotated[float, Quantity("kWh/K", gt=0)] = Field(
        default=0.03, description="Heat stored for a warming of 1 K [kWh/K]."
    )
    conductance_kw_k: Annotated[float, Quantity("kW/K", ge=0)] = Field(
        default=0.005, description="Heat given to the air for each kelvin above it [kW/K]."
    )
    temp_start_degc: _Temperature = Field(default=20.0, description="Temperature at the start [degC].")
    temp_derate_start_degc: _Temperature = Field(
        default=1000.0, description="Power is reduced above this temperature [degC]; off by default."
    )
    temp_derate_end_degc: _Temperature = Field(
        default=1001.0, description="No power at and above this temperature [degC]."
    )
    fade_per_cycle: _Share = Field(default=0.0, description="Share of the capacity lost in a full cycle [1].")
    fade_per_year: _Share = Field(default=0.0, description="Share of the capacity lost in a year [1].")
    health_start: Annotated[float, Quantity("1", ge=0.01, le=1)] = Field(
        default=1.0, description="Capacity at the start over capacity_kwh [1]."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the range of temperature over which power falls."""
        if self.temp_derate_start_degc >= self.temp_derate_end_degc:
            start, end = self.temp_derate_start_degc, self.temp_derate_end_degc
            yield (
                "temp_derate_start_degc",
                f"temp_derate_start_degc {start:g} must be below temp_derate_end_degc {end:g}",
            )
