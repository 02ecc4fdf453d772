"""The ``grid_source:`` block of a real device: a source that feeds it with the voltage of the simulated feeder."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from twin.scenario.base import Name, Spec
from twin.scenario.quantities import Quantity

__all__ = ["GridSourceSpec"]

_Volts = Annotated[float, Quantity("V", gt=0, le=1000)]


class GridSourceSpec(Spec):
    """A grid emulator that is set by SCPI over TCP; a person switches its output on."""

    host: Name = Field(description="Name or address of the source.")
    port: Annotated[int, Quantity("", ge=1, le=65535)] | None = Field(
        default=None, description="TCP port; default that of the commands."
    )
    commands: Name = Field(
        default="one_phase",
        description="What it understands: one_phase, all_phases, each_phase, or a YAML file with its words.",
    )
    nominal_v: _Volts = Field(default=230.0, description="Phase to neutral, at 1 pu [V].")
    low_v: _Volts = Field(default=207.0, description="Lowest voltage that is set [V].")
    high_v: _Volts = Field(default=253.0, description="Highest voltage that is set [V].")
    step_v: _Volts = Field(default=2.0, description="Largest change in a step [V].")
    current_a: Annotated[float, Quantity("A", gt=0)] | None = Field(
        default=None, description="Current limit that is set on it [A]; without it that of the source stays."
    )
    at_end: Literal["hold", "nominal", "off"] = Field(
        default="hold", description="After the run: hold the voltage, go to nominal in steps, or switch off."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the order of the voltages."""
        if not self.low_v <= self.nominal_v <= self.high_v:
            text = f"nominal_v {self.nominal_v:g} must lie between low_v {self.low_v:g} and high_v {self.high_v:g}"
            yield "nominal_v", text
