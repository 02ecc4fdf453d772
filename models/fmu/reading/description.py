"""What an FMU says of itself, read out of its archive without unpacking it."""

import hashlib
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

from models.errors import FmuArchiveError, FmuError
from models.fmu.base import FmuInfo, FmuVariable, Interface
from models.fmu.binding.loading import fmpy_module
from models.fmu.reading.archive_check import DESCRIPTION, PREFIX, opened

__all__ = ["read_info"]

MAX_XML_BYTES = 100 * 10**6
"""Some 500 000 variables."""
MAX_PROBLEMS = 50
_EXPONENTS = ("kg", "m", "s", "A", "K", "mol", "cd", "rad")
_SOURCES = frozenset({".c", ".cc", ".cpp", ".cxx"})
_IDENTIFIER = r"(?:[A-Za-z_][A-Za-z_0-9]*|'(?:[^'\\]|\\.)+')(?:\[\d+(?:,\d+)*\])?"
_STRUCTURED = re.compile(
    rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*|der\({_IDENTIFIER}(?:\.{_IDENTIFIER})*(?:,\d+)?\)"
)
"""Names by the convention `structured` (FMI 2.0.4 section 2.2.9)."""


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
    described, problems = _described(file, xml)
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

    fixed_step = _number(getattr(chosen, "fixedInternalStepSize", None), "fixedInternalStepSize", problems)
    variables = tuple(_variable(entry, problems) for entry in described.modelVariables)
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
        default_step_s=default("stepSize"),
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


def _described(file: Path, xml: bytes) -> tuple[Any, list[str]]:
    """Return FMPy's model description, and what its validation finds."""
    reader, validation = fmpy_module("fmpy.model_description"), fmpy_module("fmpy.validation")
    with tempfile.TemporaryDirectory(prefix=PREFIX) as place:
        path = Path(place) / DESCRIPTION
        path.write_bytes(xml)
        try:
            sound = reader.read_model_description(str(path), validate=True, validate_model_structure=True)
        except reader.ValidationError as error:
            problems = list(error.problems)
        except Exception as error:  # noqa: BLE001  # FMPy stops at a mistake with any class; read without checks below
            problems = [f"{type(error).__name__}: {error}"]
        else:
            return sound, _bad_names(sound)
        try:
            described = reader.read_model_description(str(path), validate=False)
        except Exception as error:
            raise FmuArchiveError(
                f"{file}: {DESCRIPTION} cannot be understood: {error}; ask the maker of the FMU for an export that "
                "passes `fmpy validate`"
            ) from error
    problems += _later_problems(validation, described, known=problems)
    return described, problems + _bad_names(described)


def _later_problems(validation: Any, described: Any, *, known: list[str]) -> list[str]:
    """Return what is found beside the schema: FMPy's validation stops at the schema where that fails."""
    try:
        found = validation.validate_model_description(described, validate_model_structure=True)
    except Exception as error:  # noqa: BLE001  # FMPy's checks stumble over what they check, with any class
        found = [f"{type(error).__name__}: {error}"]
    return [problem for problem in found if problem not in known]


def _bad_names(described: Any) -> list[str]:
    if described.variableNamingConvention != "structured":
        return []
    return [
        f'"{entry.name}" is no name of the naming convention "structured"'
        for entry in described.modelVariables
        if not _STRUCTURED.fullmatch(entry.name)
    ]


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


def _variable(entry: Any, problems: list[str]) -> FmuVariable:
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


def _number(written: Any, what: str, problems: list[str]) -> float | None:
    if written is None:
        return None
    try:
        return float(written)
    except ValueError:
        problems.append(f"{what} is no number: {written!r}")
        return None


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
    parts = (PurePosixPath(name).parts for name in names)
    return tuple(sorted({part[1] for part in parts if len(part) > 2 and part[0] == "binaries"}))  # noqa: PLR2004  # binaries/platform/file


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
