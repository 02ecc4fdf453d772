"""Scenario files: what they may say, and how they are read and checked.

``load_scenario(path)`` returns a ``LoadedScenario`` or raises ``ScenarioError`` with every mistake at once.
"""

from twin.scenario.devices import (
    BatterySpec,
    DeviceBase,
    DeviceSpec,
    LoadSpec,
    PlaceSpec,
    PvSpec,
    source_reference,
)
from twin.scenario.inverter import InverterSpec, PowerVoltageSpec
from twin.scenario.json_schema import scenario_json_schema
from twin.scenario.loader import LoadedScenario, PlacedDevice, load_scenario
from twin.scenario.period import Period
from twin.scenario.schema import (
    ExternalSpec,
    FeederSpec,
    Limits,
    Output,
    Prices,
    Scenario,
    SourceSpec,
    StrategySpec,
)

__all__ = [
    "BatterySpec",
    "DeviceBase",
    "DeviceSpec",
    "ExternalSpec",
    "FeederSpec",
    "InverterSpec",
    "Limits",
    "LoadSpec",
    "LoadedScenario",
    "Output",
    "Period",
    "PlaceSpec",
    "PlacedDevice",
    "PowerVoltageSpec",
    "Prices",
    "PvSpec",
    "Scenario",
    "SourceSpec",
    "StrategySpec",
    "load_scenario",
    "scenario_json_schema",
    "source_reference",
]
