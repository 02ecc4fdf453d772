"""The kinds of devices that a scenario may name."""

from typing import Annotated

from pydantic import Field

from twin.scenario.appliances import EvSpec, FmuDeviceSpec, WaterHeaterSpec
from twin.scenario.devices import BatterySpec, LoadSpec, PvSpec

__all__ = ["KINDS", "BlockDevice", "Device", "DeviceSpec"]

Device = LoadSpec | PvSpec | BatterySpec | WaterHeaterSpec | EvSpec | FmuDeviceSpec
BlockDevice = PvSpec | BatterySpec | WaterHeaterSpec | EvSpec | FmuDeviceSpec
"""Devices that a model with a state of its own or an FMU may compute."""
DeviceSpec = Annotated[Device, Field(discriminator="kind")]
"""One entry under ``devices``."""
KINDS: dict[str, type[Device]] = {
    "load": LoadSpec,
    "pv": PvSpec,
    "battery": BatterySpec,
    "water_heater": WaterHeaterSpec,
    "ev": EvSpec,
    "fmu": FmuDeviceSpec,
}
"""Models by the word after ``kind:``."""
