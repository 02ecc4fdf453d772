"""What an FMU says of itself, read out of its archive without unpacking it."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

from models.errors import FmuArchiveError, FmuError
from models.fmu.base import FmuInfo, FmuVariable, Interface
from models.fmu.reading.archive_check import DESCRIPTION, opened
from models.fmu.reading.validation import read_by_fmpy

__all__ = ["read_info"]

MAX_XML_BYTES = 100 * 10**6
"""Some 500 000 variables."""
LARGEST_REFERENCE = 2**32 - 1
"""A value reference is an unsigned int of 32 bits (FMI 2.0.4 section 2.1.2; fmi3PlatformTypes.h)."""
LARGEST_SIDE = 2**31
"""Values along one dimension of a variable."""
MAX_PROBLEMS = 50
_EXPONENTS = ("kg", "m", "s", "A", "K", "mol", "cd", "rad")
_SOURCES = frozenset({".c", ".cc", ".cpp", ".cxx"})


def read_info(file: Path, *, interface: Interface = Interface.AUTO) -> FmuInfo:
    """Return what an FMU says of itself.

    Args:
        file: the FMU.
        interface: whose capabilities are given where an FMU has both; AUTO: of Co-Simulation.

    Raises:
        FmuArchiveError: unsafe, damaged, or its model description cannot be understood.
        FmuError: of another version of the standard, without an interface that can be used, or FMPy is missing.
    """
    with opened(file) as archive:
        names = tuple(archive.entries)
        xml = archive.read(DESCRIPTION, limit_bytes=MAX_XML_BYTES)
    version = _version(file, xml)
    described, problems = read_by_fmpy(file, xml)
    return _info(
        _Read(file=file, names=names, version=version, described=described, problems=problems), interface
    )


@dataclass(frozen=True, kw_only=True)
class _Read:
    file: Path
    names: tuple[str, ...]
    version: str
    described: Any
    problems: list[str]


def _info(read: _Read, interface: Interface) -> FmuInfo:
    described, problems = read.described, list(read.problems)
    chosen = _chosen(read, interface)
    both = [entry for entry in (described.coSimulation, described.modelExchange) if entry is not None]
    experiment = described.defaultExperiment

    def default(attribute: str) -> float | None:
        return _number(getattr(experiment, attribute, None), f"DefaultExperiment {attribute}", problems)

    fixed_step = _step(getattr(chosen, "fixedInternalStepSize", None), "fixedInternalStepSize", problems)
    variables = tuple(_variable(read.file, entry, problems) for entry in described.modelVariables)
    return FmuInfo(
        file=read.file,
        sha256=_sha256(read.file),
        fmi_version=read.version,
        model_name=described.modelName or "",
        token=described.guid or "",
        text=described.description or "",
        generation_tool=described.generationTool or "",
        variables=variables,
        unit_factors=_unit_factors(described.unitDefinitions),
        platforms=_platforms(read.names),
        has_sources=_can_be_built(read),
        co_simulation=None if described.coSimulation is None else described.coSimulation.modelIdentifier,
        model_exchange=None if described.modelExchange is None else described.modelExchange.modelIdentifier,
        once_per_process=any(entry.canBeInstantiatedOnlyOncePerProcess for entry in both),
        needs_execution_tool=chosen.needsExecutionTool,
        can_save_state=chosen.canGetAndSetFMUstate,
        can_serialise_state=chosen.canGetAndSetFMUstate and chosen.canSerializeFMUstate,
        can_handle_variable_step=getattr(chosen, "canHandleVariableCommunicationStepSize", True),
        has_event_mode=getattr(chosen, "hasEventMode", False),
        may_return_early=getattr(chosen, "mightReturnEarlyFromDoStep", False),
        fixed_step_s=fixed_step,
        default_stop_s=default("stopTime"),
        default_step_s=_step(getattr(experiment, "stepSize", None), "DefaultExperiment stepSize", problems),
        default_tolerance=default("tolerance"),
        n_states=described.numberOfContinuousStates,
        n_event_indicators=described.numberOfEventIndicators,
        problems=_shortened(problems),
    )


def _version(file: Path, xml: bytes) -> str:
    """Return '2.0' or '3.0', from a reading that follows no reference to anything outside the text."""
    root: dict[str, str] = {}

    def on_element(name: str, attributes: dict[str, str]) -> None:
        if not root:
            root.update(attributes, tag=name)

    def on_doctype(*_: object) -> None:
        raise FmuArchiveError(
            f"{file}: {DESCRIPTION} has a DOCTYPE, which can make a small text huge or read other files; no FMU needs "
            "one: remove it, or export again"
        )

    parser = expat.ParserCreate()
    parser.StartElementHandler = on_element
    parser.StartDoctypeDeclHandler = on_doctype
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise FmuArchiveError(
            f"{file}: {DESCRIPTION} is no well-formed XML: {error}; export it again"
        ) from error
    version = root.get("fmiVersion", "")
    if root.get("tag") != "fmiModelDescription" or not version:
        raise FmuArchiveError(
            f"{file}: {DESCRIPTION} is no model description of the FMI standard; export it again"
        )
    if version == "2.0":
        return version
    if version.startswith("3."):
        return "3.0"
    raise FmuError(f"{file}: is an FMU of FMI {version}; 2.0 and 3.0 can be used: export it as one of them")


def _shortened(problems: list[str]) -> tuple[str, ...]:
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems)
    return (*problems[:MAX_PROBLEMS], f"and {len(problems) - MAX_PROBLEMS} more")


def _chosen(read: _Read, interface: Interface) -> Any:
    described = read.described
    exchange, simulation = described.modelExchange, described.coSimulation
    chosen = exchange if interface is Interface.MODEL_EXCHANGE else simulation
    if interface is Interface.AUTO and chosen is None:
        chosen = exchange
    if chosen is None:
        has = {
            "Co-Simulation": simulation,
            "Model Exchange": exchange,
            "Scheduled Execution": described.scheduledExecution,
        }
        known = ", ".join(name for name, entry in has.items() if entry is not None)
        wanted = (
            "Co-Simulation or Model Exchange"
            if interface is Interface.AUTO
            else interface.value.replace("_", " ")
        )
        raise FmuError(
            f"{read.file}: has the interfaces {known or 'none'}, wanted is {wanted}; export with it"
        )
    return chosen


def _variable(file: Path, entry: Any, problems: list[str]) -> FmuVariable:
    _check_whole_numbers(file, entry)
    declared = entry.declaredType

    def attribute(name: str) -> Any:
        value = getattr(entry, name)
        return value if value is not None or declared is None else getattr(declared, name)

    return FmuVariable(
        name=entry.name,
        value_reference=entry.valueReference,
        type=entry.type,
        causality=entry.causality,
        variability=entry.variability,
        initial=entry.initial,
        unit=attribute("unit") or None,
        start=entry.start,
        low=_number(attribute("min"), f"min of {entry.name}", problems),
        high=_number(attribute("max"), f"max of {entry.name}", problems),
        shape=tuple(
            dimension.start if dimension.variable is None else dimension.variable.name
            for dimension in entry.dimensions
        ),
        text=entry.description or "",
    )


def _check_whole_numbers(file: Path, entry: Any) -> None:
    """Refuse what would not fit the calls: nothing of such a variable could be trusted."""
    reference = entry.valueReference
    if reference is None or not 0 <= reference <= LARGEST_REFERENCE:
        raise FmuArchiveError(
            f"{file}: variable {entry.name} has the value reference {reference}, it must be 0 to {LARGEST_REFERENCE}; ask "
            "the maker of the FMU for an export that passes `fmpy validate`"
        )
    for dimension in entry.dimensions:
        side = dimension.start
        if dimension.variable is None and (side is None or not 0 <= side <= LARGEST_SIDE):
            raise FmuArchiveError(
                f"{file}: variable {entry.name} has a dimension of {side}, it must be 0 to {LARGEST_SIDE} or name a "
                "structural parameter; ask the maker of the FMU for an export that passes `fmpy validate`"
            )


def _step(written: Any, what: str, problems: list[str]) -> float | None:
    """Return a step size; one that no step can have is a problem of the text and none of the binary."""
    step_s = _number(written, what, problems)
    if step_s is None or 0 < step_s < math.inf:
        return step_s
    problems.append(f"{what} must be above 0 s and finite, not {step_s:g} s; it is taken as not given")
    return None


def _number(written: Any, what: str, problems: list[str]) -> float | None:
    if written is None:
        return None
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        problems.append(f"{what} is no number: {written!r}")
        return None
    return number


def _unit_factors(units: Iterable[Any]) -> dict[str, tuple[tuple[int, ...], float, float]]:
    """Return the units that are defined by SI base units; others have a name only."""
    return {
        unit.name: (
            tuple(getattr(unit.baseUnit, exponent) for exponent in _EXPONENTS),
            unit.baseUnit.factor,
            unit.baseUnit.offset,
        )
        for unit in units
        if unit.baseUnit is not None
    }


def _platforms(names: Iterable[str]) -> tuple[str, ...]:
    """Return the folders below ``binaries`` that hold a file."""
    found = set()
    for name in names:
        match PurePosixPath(name).parts:
            case ("binaries", platform, _, *_):
                found.add(platform)
    return tuple(sorted(found))


def _can_be_built(read: _Read) -> bool:
    """Whether there are C sources and the list of those to compile."""
    if not any(
        name.startswith("sources/") and PurePosixPath(name).suffix.lower() in _SOURCES for name in read.names
    ):
        return False
    return bool(read.described.buildConfigurations) or "sources/buildDescription.xml" in read.names


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
