"""What a scenario file may say, apart from its devices. YAML keys are field names."""

import re
import zoneinfo
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from twin.scenario.base import NAME_RULE, FreeParams, Name, Spec, is_name, wrong
from twin.scenario.community import CommunitySpec
from twin.scenario.kinds import DeviceSpec
from twin.scenario.live import LiveSpec
from twin.scenario.market import Emissions, Prices, Reinforcement
from twin.scenario.period import Period
from twin.scenario.quantities import Quantity, parse_by_suffix
from twin.scenario.settlement import MarketZone, SettlementSpec

__all__ = [
    "ExternalSpec",
    "FeederSpec",
    "Limits",
    "Output",
    "Scenario",
    "SourceSpec",
    "StrategySpec",
    "is_file_source",
]

_USE = re.compile(r"[A-Za-z_][\w.-]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*|.+\.py:[A-Za-z_]\w*")
_PYTHON_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}")

_Percent = Annotated[float, Quantity("%", gt=0)]
_Power = Annotated[float, Quantity("kW", ge=0)]
_Voltage = Annotated[float, Quantity("pu", gt=0, le=2)]


def is_file_source(source: str) -> bool:
    """Return whether a feeder source names a file."""
    return not source.startswith(("simbench:", "pandapower:"))


def _feeder_source(text: str) -> str:
    if is_file_source(text):
        good = text.lower().endswith((".json", ".xlsx"))
    else:
        good = bool(text.partition(":")[2].strip())
    if not good:
        raise wrong(
            f"must be simbench:CODE, pandapower:FUNCTION or a .json or .xlsx file of pandapower (got {text!r})"
        )
    return text


def _time_zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise wrong(f"is no IANA time zone such as Europe/Rome or UTC (got {text!r})") from error
    return text


def _series_file(text: str) -> str:
    if not text.lower().endswith((".csv", ".parquet")):
        raise wrong(f"must end in .csv or .parquet (got {text!r})")
    return text


def _unit_one(value: object) -> object:
    """Let the number 1 stand for the unit 1."""
    return "1" if value == 1 and not isinstance(value, bool) else value


def _use(text: str) -> str:
    if not _USE.fullmatch(text):
        raise wrong(f"must be a strategy name, module:Class or file.py:Class (got {text!r})")
    return text


def _scenario_name(text: str) -> str:
    if not is_name(text):
        raise wrong(f"cannot name a folder (got {text!r}); {NAME_RULE}")
    return text


def _with_names(value: object) -> object:
    """Fill in what a strategy takes from its key; ``none:`` without a value means all defaults."""
    if not isinstance(value, dict):
        return value
    filled: dict[Any, object] = {}
    for name, spec in value.items():
        given = {} if spec is None else spec
        filled[name] = {"use": name, "label": name, **given} if isinstance(given, dict) else given
    return filled


def _params_in_units(params: dict[str, Any]) -> dict[str, Any]:
    try:
        return {key: parse_by_suffix(key, value) for key, value in params.items()}
    except ValueError as error:
        raise wrong(str(error)) from error


class FeederSpec(Spec):
    """The network and the engine that solves it."""

    source: Annotated[Name, AfterValidator(_feeder_source)] = Field(
        description="simbench:CODE, pandapower:FUNCTION, or a .json or .xlsx file of pandapower."
    )
    also: tuple[Annotated[Name, AfterValidator(_feeder_source)], ...] = Field(
        default=(), description="Further networks beside the first, each with its own upstream grid."
    )
    engine: Literal["auto", "impedance", "pgm", "pandapower"] = Field(
        default="auto",
        description="Power flow: impedance (fastest on small networks), pgm (fast), pandapower (reference), or auto.",
    )


class SourceSpec(Spec):
    """A file with time series."""

    file: Annotated[Name, AfterValidator(_series_file)] = Field(
        description="CSV or Parquet file, relative to the scenario file."
    )
    unit: Annotated[
        Literal[
            "kW",
            "W",
            "MW",
            "kWh",
            "Wh",
            "MWh",
            "EUR/kWh",
            "EUR/MWh",
            "kg/kWh",
            "g/kWh",
            "degC",
            "l/min",
            "l",
            "1",
        ],
        BeforeValidator(_unit_one),
    ] = Field(
        description="Unit of all columns; kWh are energies of each interval, l litres of each interval, kg/kWh emissions, 1 is a factor of p_kw, "
        "p_peak_kw or the network's nominal power."
    )
    time_column: Name = Field(default="time", description="Column with the start of each interval.")
    time_zone: Annotated[Name, AfterValidator(_time_zone)] | None = Field(
        default=None, description="IANA time zone of the timestamps; needed unless they carry an offset."
    )


class StrategySpec(Spec):
    """A control strategy to evaluate."""

    use: Annotated[Name, AfterValidator(_use)] = Field(
        description="Built-in name, module:Class, file.py:Class or entry point; default the key."
    )
    params: Annotated[FreeParams, AfterValidator(_params_in_units)] = Field(
        default_factory=dict,
        description="Parameters of the strategy; texts with a unit are converted by their key.",
    )
    label: Name = Field(description="Name in tables and figures; default the key.")


class Limits(Spec):
    """Bounds that the verdicts of the report use."""

    vm_min_pu: _Voltage = Field(default=0.90, description="Lowest voltage [pu].")
    vm_max_pu: _Voltage = Field(default=1.10, description="Highest voltage [pu].")
    line_loading_percent: _Percent = Field(default=100.0, description="Highest loading of lines [%].")
    trafo_loading_percent: _Percent = Field(default=100.0, description="Highest loading of transformers [%].")
    reverse_hours_percent: Annotated[float, Quantity("%", ge=0, le=100)] | None = Field(
        default=None, description="Highest share of hours with reverse power flow [%]; no limit without it."
    )
    peak_import_kw: _Power | None = Field(
        default=None, description="Highest 15-min import [kW]; no limit without it."
    )
    peak_export_kw: _Power | None = Field(
        default=None, description="Highest 15-min export [kW]; no limit without it."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the voltage band."""
        if self.vm_min_pu >= self.vm_max_pu:
            yield "vm_min_pu", f"vm_min_pu {self.vm_min_pu:g} must be below vm_max_pu {self.vm_max_pu:g}"


class Output(Spec):
    """What is stored of a run."""

    detail: Literal["kpi", "selected", "all"] = Field(
        default="all",
        description="kpi: feeder and transformers; selected: also the named entities; all: everything.",
    )
    selected: tuple[Name, ...] = Field(default=(), description="selected: names of entities, with * and ?.")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: detail against the selection."""
        if self.detail == "selected" and not self.selected:
            yield "selected", "is empty; name entities to store, or use detail: kpi"
        if self.detail != "selected" and self.selected:
            yield (
                "selected",
                f"has no effect with detail: {self.detail}; use detail: selected or remove the list",
            )


class ExternalSpec(Spec):
    """A mosaik simulator of a third party, connected to one bus."""

    name: Name = Field(description="Unique name.")
    python: Name | None = Field(default=None, description="module:Class, started in this process.")
    cmd: Name | None = Field(
        default=None, description="Command that starts it; %(addr)s becomes the address."
    )
    connect: Name | None = Field(default=None, description="host:port of one that is running.")
    init: FreeParams = Field(default_factory=dict, description="Parameters of the simulator.")
    model: Name = Field(description="Model to create.")
    params: FreeParams = Field(default_factory=dict, description="Parameters of the model.")
    entity: Name | None = Field(
        default=None, description="Id of a child entity to read instead of the model's own."
    )
    attr: Name = Field(description="Attribute with the power.")
    unit: Literal["W", "kW", "MW"] = Field(description="Unit of the attribute.")
    sign: Literal["consumption", "generation"] = Field(description="Which direction is positive.")
    bus: Name = Field(description="Name of the bus to connect to.")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the ways to start it."""
        ways = [way for way in ("python", "cmd", "connect") if getattr(self, way) is not None]
        if not ways:
            yield "", "says not how to start; add one of python, cmd, connect"
        elif len(ways) > 1:
            yield ways[1], f"started twice, by {' and '.join(ways)}; keep one"
        if self.python is not None and not _PYTHON_CLASS.fullmatch(self.python):
            yield "python", f"must be module:Class (got {self.python!r})"
        if self.connect is not None and not _ADDRESS.fullmatch(self.connect):
            yield "connect", f"must be host:port (got {self.connect!r})"


class Scenario(Spec):
    """A feeder, some days, devices, and the strategies to compare on them."""

    name: Annotated[Name, AfterValidator(_scenario_name)] = Field(
        description="Name of the results folder; default the name of the file."
    )
    description: str = Field(default="", description="What the scenario shows.")
    seed: Annotated[int, Quantity("", ge=0, le=2**63 - 1)] = Field(
        default=1, description="Seed of everything drawn at random."
    )
    feeder: FeederSpec = Field(description="The network.")
    period: Period = Field(description="When it starts, how many days, and the step.")
    sources: dict[str, SourceSpec] = Field(
        default_factory=dict, description="Files with time series, by name."
    )
    devices: tuple[DeviceSpec, ...] = Field(default=(), description="What is connected, and where.")
    strategies: Annotated[dict[str, StrategySpec], BeforeValidator(_with_names), Field(min_length=1)] = Field(
        description="Strategies to compare, by name."
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds for the verdicts.")
    prices: Prices = Field(default_factory=Prices, description="Prices of energy.")
    emissions: Emissions = Field(default_factory=Emissions, description="CO2 of energy from the grid.")
    reinforcement: Reinforcement | None = Field(
        default=None, description="Growth and cost of a reinforcement that strategies may put off."
    )
    communities: tuple[CommunitySpec, ...] = Field(default=(), description="Energy communities.")
    settlement: SettlementSpec = Field(
        default_factory=SettlementSpec, description="How the communities are paid."
    )
    market_zone: MarketZone = Field(default="NORD", description="Market zone of the feeder.")
    output: Output = Field(default_factory=Output, description="What is stored.")
    external: tuple[ExternalSpec, ...] = Field(default=(), description="Simulators of third parties.")
    live: LiveSpec = Field(
        default_factory=LiveSpec, description="Real time, for devices that are virtual or hardware."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: simulators of third parties against a step of less than a second."""
        if self.external and self.period.step_s < 1:
            yield (
                "external",
                f"a third party's simulator counts whole seconds, a step has {self.period.step_s:g} s; lengthen the step",
            )
