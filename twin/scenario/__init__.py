"""Scenario files: what they may say, and how they are read and checked.

``load_scenario(path)`` returns a ``LoadedScenario`` or raises ``ScenarioError`` with every mistake at once.
"""

from twin.scenario.appliances import EvSpec, FmuDeviceSpec, WaterHeaterSpec
from twin.scenario.battery_detail import BatteryDetailSpec
from twin.scenario.columns import source_reference
from twin.scenario.community import CommunitySpec, MemberSpec, SilentSpan
from twin.scenario.device_base import DeviceBase
from twin.scenario.devices import BatterySpec, LoadSpec, PlaceSpec, PvSpec
from twin.scenario.fmu import FmuSpec
from twin.scenario.grid_source import GridSourceSpec
from twin.scenario.inverter import InverterSpec, PowerVoltageSpec
from twin.scenario.json_schema import scenario_json_schema
from twin.scenario.kinds import DeviceSpec
from twin.scenario.live import InvalidIfSpec, LiveSpec
from twin.scenario.loader import LoadedScenario, PlacedDevice, PlacedMember, load_scenario
from twin.scenario.market import BandPrices, Bill, Emissions, Prices, Reinforcement
from twin.scenario.missing import MissingSpec
from twin.scenario.modbus import LabLimitSpec, LineSpec, ModbusSpec, TlsSpec
from twin.scenario.period import Period
from twin.scenario.pv_detail import PvDetailSpec
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
    "BatteryDetailSpec",
    "BatterySpec",
    "Bill",
    "CommunitySpec",
    "DeviceBase",
    "DeviceSpec",
    "Emissions",
    "EvSpec",
    "ExternalSpec",
    "FeederSpec",
    "FmuDeviceSpec",
    "FmuSpec",
    "GridSourceSpec",
    "InvalidIfSpec",
    "InverterSpec",
    "LabLimitSpec",
    "Limits",
    "LineSpec",
    "LiveSpec",
    "LoadSpec",
    "LoadedScenario",
    "MemberSpec",
    "MissingSpec",
    "ModbusSpec",
    "Output",
    "Period",
    "PlaceSpec",
    "PlacedDevice",
    "PlacedMember",
    "PowerVoltageSpec",
    "Prices",
    "PvDetailSpec",
    "PvSpec",
    "Reinforcement",
    "Scenario",
    "SilentSpan",
    "SourceSpec",
    "StrategySpec",
    "TlsSpec",
    "WaterHeaterSpec",
    "load_scenario",
    "scenario_json_schema",
    "source_reference",
]
