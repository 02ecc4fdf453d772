"""The model description of the small FMUs that tests compile."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

__all__ = ["GUID", "UNITS", "Var", "description", "here"]

GUID = "{5f5a6a53-2c3e-4f0f-9d0b-7e1c1d2b3a4f}"
UNITS = {
    "W": 'kg="1" m="2" s="-3"',
    "kW": 'kg="1" m="2" s="-3" factor="1000"',
    "V": 'kg="1" m="2" s="-3" A="-1"',
    "J": 'kg="1" m="2" s="-2"',
    "kWh": 'kg="1" m="2" s="-2" factor="3.6e6"',
    "K": 'K="1"',
    "degC": 'K="1" offset="273.15"',
    "s": 's="1"',
    "1": "",
}
TIME_VR = 1000000


@dataclass(frozen=True)
class Var:
    """One variable; ``type`` in the words of FMI 2.0 (Real, Integer, Boolean, Enumeration, String) or 3.0."""

    name: str
    causality: str
    type: str = "Real"
    start: float | str | None = None
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    variability: str | None = None
    initial: str | None = None
    derivative_of: str | None = None

    @property
    def can_be_set(self) -> bool:
        """Whether the FMU takes a value for it."""
        if self.variability == "constant":
            return False
        return self.causality in {"input", "parameter"} or (
            self.causality == "local" and self.start is not None
        )


def here(name: str) -> str:
    """Return the name of a variable in C."""
    return re.sub(r"\W", "_", name)


def description(
    name: str,
    *,
    fmi: str,
    variables: Sequence[Var],
    interfaces: Sequence[str],
    capabilities: Mapping[str, str],
    n_indicators: int,
    experiment: Mapping[str, str],
    array: bool,
) -> str:
    """Return the text of ``modelDescription.xml``."""
    three = fmi == "3.0"
    head = {
        "fmiVersion": fmi,
        "modelName": name,
        "instantiationToken" if three else "guid": GUID,
        "generationTool": "tiny",
    }
    if not three:
        head["numberOfEventIndicators"] = str(n_indicators)
    if three:
        lines = [_three(entry, vr, variables=variables, array=array) for vr, entry in enumerate(variables)]
        lines.append(
            f'<Float64 name="time" valueReference="{TIME_VR}" causality="independent" variability="continuous"/>'
        )
    else:
        lines = [_two(entry, vr, variables=variables) for vr, entry in enumerate(variables)]
    body = [
        *(
            f"<{entry}{_attributes({'modelIdentifier': name, **_for(entry, capabilities)})}/>"
            for entry in interfaces
        ),
        _units(variables, three=three),
        _types(variables, three=three),
        f"<DefaultExperiment{_attributes(experiment)}/>" if experiment else "",
        f"<ModelVariables>{''.join(lines)}</ModelVariables>",
        _structure(variables, three=three, n_indicators=n_indicators),
    ]
    inside = "\n".join(entry for entry in body if entry)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<fmiModelDescription{_attributes(head)}>\n'
        f"{inside}\n</fmiModelDescription>\n"
    )


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(f" {key}={quoteattr(str(value))}" for key, value in values.items() if value is not None)


def _for(interface: str, capabilities: Mapping[str, str]) -> dict[str, str]:
    only_steps = {
        "canHandleVariableCommunicationStepSize",
        "hasEventMode",
        "mightReturnEarlyFromDoStep",
        "canReturnEarlyAfterIntermediateUpdate",
        "fixedInternalStepSize",
        "maxOutputDerivativeOrder",
        "canInterpolateInputs",
        "providesIntermediateUpdate",
        "canRunAsynchronuously",
    }
    return {
        key: value
        for key, value in capabilities.items()
        if interface == "CoSimulation" or key not in only_steps
    }


def _described(entry: Var) -> tuple[dict[str, object], dict[str, object]]:
    real = entry.type in {"Real", "Float64", "Float32"}
    variability = entry.variability
    if variability is None:
        fixed = entry.causality in {"parameter", "structuralParameter"}
        variability = "fixed" if fixed else "continuous" if real else "discrete"
    shared: dict[str, object] = {
        "causality": entry.causality,
        "variability": variability,
        "initial": entry.initial,
    }
    start = entry.start
    if isinstance(start, (int, float)) and entry.type == "Boolean":
        start = "true" if start else "false"
    elif isinstance(start, (int, float)) and not real and entry.type != "String":
        start = int(start)
    values: dict[str, object] = {"unit": entry.unit, "min": entry.low, "max": entry.high, "start": start}
    return shared, values


def _two(entry: Var, vr: int, *, variables: Sequence[Var]) -> str:
    shared, values = _described(entry)
    if entry.derivative_of is not None:
        values["derivative"] = 1 + [other.name for other in variables].index(entry.derivative_of)
    if entry.type == "Enumeration":
        values["declaredType"] = "Mode"
    inner = f"<{entry.type}{_attributes(values)}/>"
    return f"<ScalarVariable{_attributes({'name': entry.name, 'valueReference': vr, **shared})}>{inner}</ScalarVariable>"


def _three(entry: Var, vr: int, *, variables: Sequence[Var], array: bool) -> str:
    kind = {"Real": "Float64", "Integer": "Int32"}.get(entry.type, entry.type)
    shared, values = _described(entry)
    if entry.derivative_of is not None:
        values["derivative"] = [other.name for other in variables].index(entry.derivative_of)
    if kind == "Enumeration":
        values["declaredType"] = "Mode"
    inner = ""
    if kind == "String":
        inner = f"<Start{_attributes({'value': values.pop('start')})}/>" if entry.start is not None else ""
        values.pop("start", None)
    if array and entry.causality != "structuralParameter":
        inner = f'<Dimension valueReference="{len(variables) - 1}"/>' + inner
    return f"<{kind}{_attributes({'name': entry.name, 'valueReference': vr, **shared, **values})}>{inner}</{kind}>"


def _units(variables: Sequence[Var], *, three: bool) -> str:
    names = sorted({entry.unit for entry in variables if entry.unit is not None and entry.unit in UNITS})
    inside = "".join(f'<Unit name="{name}"><BaseUnit {UNITS[name]}/></Unit>' for name in names)
    return f"<UnitDefinitions>{inside}</UnitDefinitions>" if inside else ""


def _types(variables: Sequence[Var], *, three: bool) -> str:
    if all(entry.type != "Enumeration" for entry in variables):
        return ""
    items = '<Item name="off" value="0"/><Item name="on" value="1"/><Item name="auto" value="2"/>'
    if three:
        return f'<TypeDefinitions><EnumerationType name="Mode">{items}</EnumerationType></TypeDefinitions>'
    return f'<TypeDefinitions><SimpleType name="Mode"><Enumeration>{items}</Enumeration></SimpleType></TypeDefinitions>'


def _structure(variables: Sequence[Var], *, three: bool, n_indicators: int) -> str:
    outputs = [k for k, entry in enumerate(variables) if entry.causality == "output"]
    slopes = [k for k, entry in enumerate(variables) if entry.derivative_of is not None]
    unknown = [k for k in outputs if variables[k].initial != "exact"] + slopes
    if three:
        inside = [
            *(f'<Output valueReference="{k}"/>' for k in outputs),
            *(f'<ContinuousStateDerivative valueReference="{k}"/>' for k in slopes),
            *(f'<InitialUnknown valueReference="{k}"/>' for k in unknown),
        ]
        # value references of event indicators; those of the outputs stand for them, nothing reads them by reference
        inside += [f'<EventIndicator valueReference="{outputs[0]}"/>' for _ in range(n_indicators)]
        return f"<ModelStructure>{''.join(inside)}</ModelStructure>"

    def group(tag: str, entries: Sequence[int]) -> str:
        inside = "".join(f'<Unknown index="{k + 1}"/>' for k in entries)
        return f"<{tag}>{inside}</{tag}>" if inside else ""

    inside_two = (
        group("Outputs", outputs) + group("Derivatives", slopes) + group("InitialUnknowns", sorted(unknown))
    )
    return f"<ModelStructure>{inside_two}</ModelStructure>"
