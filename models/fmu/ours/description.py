"""Model descriptions of our FMUs, written from the tables of variables.

Value references are positions in the table; hidden states follow the variables of the kind and are local. The FMI 3.0
form has arrays of ``n`` devices, ``n`` a structural parameter.
"""

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

import numpy as np

from models.devices.base import Causality, DeviceKind, Variable
from models.errors import FmuError

__all__ = [
    "FMI_VERSIONS",
    "SIZE_REFERENCE",
    "TIME_REFERENCE",
    "build_description",
    "model_description",
    "source_files",
]

FMI_VERSIONS: Final = ("2.0", "3.0")
TIME_REFERENCE: Final = 10000
"""As in fmi_core.h."""
SIZE_REFERENCE: Final = 10001
_LARGEST_SIZE: Final = 10_000_000
_LOG_CATEGORIES: Final = {
    "logEvents": "Initialisation",
    "logStatusDiscard": "Values that are refused",
    "logStatusError": "Calls that fail",
    "logAll": "All of them",
}
_UNITS: Final[Mapping[str, tuple[Mapping[str, int], float, float]]] = {
    "1": ({}, 1.0, 0.0),
    "pu": ({}, 1.0, 0.0),
    "K": ({"K": 1}, 1.0, 0.0),
    "degC": ({"K": 1}, 1.0, 273.15),
    "1/K": ({"K": -1}, 1.0, 0.0),
    "1/K2": ({"K": -2}, 1.0, 0.0),
    "s": ({"s": 1}, 1.0, 0.0),
    "h": ({"s": 1}, 3600.0, 0.0),
    "1/s": ({"s": -1}, 1.0, 0.0),
    "l": ({"m": 3}, 1e-3, 0.0),
    "l/min": ({"m": 3, "s": -1}, 1e-3 / 60.0, 0.0),
    "kW": ({"kg": 1, "m": 2, "s": -3}, 1e3, 0.0),
    "kvar": ({"kg": 1, "m": 2, "s": -3}, 1e3, 0.0),
    "kVA": ({"kg": 1, "m": 2, "s": -3}, 1e3, 0.0),
    "kWh": ({"kg": 1, "m": 2, "s": -2}, 3.6e6, 0.0),
    "kW/K": ({"kg": 1, "m": 2, "s": -3, "K": -1}, 1e3, 0.0),
    "kWh/K": ({"kg": 1, "m": 2, "s": -2, "K": -1}, 3.6e6, 0.0),
}
"""Exponents of the base units of SI, factor and offset."""
_CAPABILITIES: Final = {"canHandleVariableCommunicationStepSize": "true"}
_CAPABILITIES_2: Final = {
    **_CAPABILITIES,
    "canNotUseMemoryManagementFunctions": "true",
    "canGetAndSetFMUstate": "true",
    "canSerializeFMUstate": "true",
}
_CAPABILITIES_3: Final = {**_CAPABILITIES, "canGetAndSetFMUState": "true", "canSerializeFMUState": "true"}


def model_description(
    kind: DeviceKind, states: tuple[Variable, ...], *, fmi: str, token: str, starts: Mapping[str, float]
) -> bytes:
    """Return modelDescription.xml.

    Args:
        kind: Name and variables of the kind.
        states: Hidden states, in order.
        fmi: "2.0" or "3.0".
        token: guid (2.0) or instantiationToken (3.0).
        starts: Start values of parameters that differ from the table.
    """
    writers = {"2.0": _description_2, "3.0": _description_3}
    return _as_bytes(writers[fmi](kind, states, token, starts))


def source_files(kind: DeviceKind, fmi: str) -> tuple[str, ...]:
    """Return the names of the C files of an FMU, those that are compiled."""
    return (
        f"{kind.name}.c",
        "fmi_core.c",
        "fmi_log.c",
        "fmi_state.c",
        "fmi_resources.c",
        f"fmi{fmi[0]}_shell.c",
    )


def build_description(kind: DeviceKind) -> bytes:
    """Return sources/buildDescription.xml of the FMI 3.0 form."""
    root = ET.Element("fmiBuildDescription", fmiVersion="3.0")
    configuration = ET.SubElement(root, "BuildConfiguration", modelIdentifier=kind.name)
    files = ET.SubElement(configuration, "SourceFileSet", language="C99")
    for name in source_files(kind, "3.0"):
        ET.SubElement(files, "SourceFile", name=name)
    return _as_bytes(root)


def _description_2(
    kind: DeviceKind, states: tuple[Variable, ...], token: str, starts: Mapping[str, float]
) -> ET.Element:
    root = _root(kind, {"fmiVersion": "2.0", "guid": token})
    simulation = ET.SubElement(root, "CoSimulation", {"modelIdentifier": kind.name, **_CAPABILITIES_2})
    files = ET.SubElement(simulation, "SourceFiles")
    for name in source_files(kind, "2.0"):
        ET.SubElement(files, "File", name=name)
    _add_common(root, kind, states)
    variables = ET.SubElement(root, "ModelVariables")
    for reference, entry in enumerate((*kind.variables, *states)):
        attributes = _attributes(entry, reference, is_state=entry in states)
        outer = ET.SubElement(variables, "ScalarVariable", attributes)
        ET.SubElement(outer, "Real", _values(entry, starts))
    structure = ET.SubElement(root, "ModelStructure")
    outer = ET.SubElement(structure, "Outputs")
    for reference in _outputs(kind):
        ET.SubElement(outer, "Unknown", index=str(reference + 1), dependencies="")
    outer = ET.SubElement(structure, "InitialUnknowns")
    for reference in _outputs(kind):
        ET.SubElement(outer, "Unknown", index=str(reference + 1))
    return root


def _description_3(
    kind: DeviceKind, states: tuple[Variable, ...], token: str, starts: Mapping[str, float]
) -> ET.Element:
    root = _root(kind, {"fmiVersion": "3.0", "instantiationToken": token})
    ET.SubElement(root, "CoSimulation", {"modelIdentifier": kind.name, **_CAPABILITIES_3})
    _add_common(root, kind, states)
    variables = ET.SubElement(root, "ModelVariables")
    for reference, entry in enumerate((*kind.variables, *states)):
        attributes = {**_attributes(entry, reference, is_state=entry in states), **_values(entry, starts)}
        ET.SubElement(
            ET.SubElement(variables, "Float64", attributes), "Dimension", _reference(SIZE_REFERENCE)
        )
    time = {"name": "time", **_reference(TIME_REFERENCE), "causality": "independent", "unit": "s"}
    ET.SubElement(variables, "Float64", {**time, "variability": "continuous", "description": "Time."})
    size = {
        "name": "n",
        **_reference(SIZE_REFERENCE),
        "causality": "structuralParameter",
        "variability": "fixed",
    }
    bounds = {"min": "1", "max": str(_LARGEST_SIZE), "start": "1"}
    ET.SubElement(variables, "UInt64", {**size, "description": "Number of devices.", **bounds})
    structure = ET.SubElement(root, "ModelStructure")
    for reference in _outputs(kind):
        ET.SubElement(structure, "Output", {**_reference(reference), "dependencies": ""})
    for reference in _outputs(kind):
        ET.SubElement(structure, "InitialUnknown", _reference(reference))
    return root


def _root(kind: DeviceKind, attributes: Mapping[str, str]) -> ET.Element:
    general = {
        "modelName": kind.name,
        "description": kind.text,
        "author": "The gemello maintainers",
        "license": "Apache-2.0",
        "generationTool": "gemello",
        "variableNamingConvention": "flat",
    }
    return ET.Element("fmiModelDescription", {**attributes, **general})


def _add_common(root: ET.Element, kind: DeviceKind, states: tuple[Variable, ...]) -> None:
    definitions = ET.SubElement(root, "UnitDefinitions")
    for name in sorted({"s", *(entry.unit for entry in (*kind.variables, *states))}):
        if name not in _UNITS:
            raise FmuError(f"{kind.name}: the unit {name!r} is not known; add it to {__name__}")
        exponents, factor, offset = _UNITS[name]
        attributes = {base: str(exponent) for base, exponent in exponents.items()}
        scale = {"factor": repr(factor), "offset": repr(offset)}
        ET.SubElement(ET.SubElement(definitions, "Unit", name=name), "BaseUnit", {**attributes, **scale})
    categories = ET.SubElement(root, "LogCategories")
    for name, text in _LOG_CATEGORIES.items():
        ET.SubElement(categories, "Category", name=name, description=text)
    ET.SubElement(root, "DefaultExperiment", startTime="0", stopTime="86400", stepSize="60")


def _attributes(entry: Variable, reference: int, *, is_state: bool) -> dict[str, str]:
    causality = "local" if is_state else entry.causality.value
    attributes = {
        "name": entry.name,
        **_reference(reference),
        "description": entry.text,
        "causality": causality,
    }
    if entry.causality == Causality.PARAMETER:
        return {**attributes, "variability": "fixed", "initial": "exact"}
    if entry.causality == Causality.INPUT:
        return {**attributes, "variability": "continuous"}
    return {**attributes, "variability": "continuous", "initial": "calculated"}


def _values(entry: Variable, starts: Mapping[str, float]) -> dict[str, str]:
    values = {"unit": entry.unit}
    if np.isfinite(entry.low):
        values["min"] = repr(float(entry.low))
    if np.isfinite(entry.high):
        values["max"] = repr(float(entry.high))
    if entry.causality != Causality.OUTPUT:
        values["start"] = repr(float(starts.get(entry.name, entry.start)))
    return values


def _reference(reference: int) -> dict[str, str]:
    return {"valueReference": str(reference)}


def _outputs(kind: DeviceKind) -> list[int]:
    return [i for i, entry in enumerate(kind.variables) if entry.causality == Causality.OUTPUT]


def _as_bytes(root: ET.Element) -> bytes:
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
