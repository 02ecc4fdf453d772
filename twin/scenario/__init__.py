"""Scenario files: what they may say, and how they are read and checked.

``load_scenario(path)`` returns a ``LoadedScenario`` or raises ``ScenarioError`` with every mistake at once.
"""

from twin.scenario.community import CommunitySpec, MemberSpec, SilentSpan
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
from twin.scenario.loader import LoadedScenario, PlacedDevice, PlacedMember, load_scenario
from twin.scenario.market import BandPrices, Bill, Emissions, Prices, Reinforcement
from twin.scenario.period import Period
from twin.scenario.schema import (
    ExternalSpec,
    FeederSpec,
    Limits,
    Output,
    Scenario,
    SourceSpec,
    StrategySpec,
)

__all__ = [
    "BandPrices",
    "BatterySpec",
    "Bill",
    "CommunitySpec",
    "DeviceBase",
    "DeviceSpec",
    "Emissions",
    "ExternalSpec",
    "FeederSpec",
    "InverterSpec",
    "Limits",
    "LoadSpec",
    "LoadedScenario",
    "MemberSpec",
    "Output",
    "Period",
    "PlaceSpec",
    "PlacedDevice",
    "PlacedMember",
    "PowerVoltageSpec",
    "Prices",
    "PvSpec",
    "Reinforcement",
    "Scenario",
    "SilentSpan",
    "SourceSpec",
    "StrategySpec",
    "load_scenario",
    "scenario_json_schema",
    "source_reference",
]
