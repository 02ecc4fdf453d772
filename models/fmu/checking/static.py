"""Checks of the model description alone. What they find warns and locks nothing out."""

from models.fmu.base import FmuInfo, FmuVariable
from models.fmu.checking.report import CheckResult, Finding
from models.fmu.reading.units import is_convertible

__all__ = ["static_checks"]

_SHOWN = 3


def static_checks(info: FmuInfo) -> list[CheckResult]:
    """Return what the description of an FMU is checked for."""
    return [
        CheckResult.of("description", "Model description", _validation(info)),
        CheckResult.of("units", "Units", _units(info)),
        CheckResult.of("starts", "Start values in bounds", _starts(info)),
    ]


def _validation(info: FmuInfo) -> Finding:
    if not info.problems:
        return Finding.passed(f"FMI {info.fmi_version}, {len(info.variables)} variables, valid")
    return Finding.warning(
        f"{len(info.problems)} against the standard: {_some(list(info.problems), between='; ')}",
        "such an FMU may work all the same; `twin fmu inspect` lists them for its author",
    )


def _units(info: FmuInfo) -> Finding:
    ports = [entry for entry in info.variables if entry.causality in {"input", "output"} and entry.is_float]
    if not ports:
        return Finding.passed("no input or output is a real number")
    unclear = [
        f"{entry.name} in {entry.unit}"
        for entry in ports
        if entry.unit is not None and is_convertible(info, entry, "1") is None
    ]
    if unclear:
        return Finding.warning(
            f"unknown, or defined otherwise than usual: {_some(unclear)}",
            "write the unit these variables really have as `unit:` in the mapping",
        )
    unitless = [entry.name for entry in ports if entry.unit is None]
    if unitless:
        return Finding.passed(f"none is stated for {_some(unitless)}: write `unit:` in the mapping")
    return Finding.passed("all inputs and outputs state one that is known")


def _starts(info: FmuInfo) -> Finding:
    outside = [
        f"{entry.name} = {entry.start} outside [{_text(entry.low)}, {_text(entry.high)}]"
        for entry in info.variables
        if _is_outside(entry)
    ]
    if outside:
        return Finding.warning(_some(outside), "set a value within the bounds in the mapping (parameters)")
    return Finding.passed("no start value is outside min and max")


def _is_outside(variable: FmuVariable) -> bool:
    if variable.start is None or not variable.is_number or variable.type == "Boolean":
        return False
    values = [float(word) for word in variable.start.split()]
    return any(
        (variable.low is not None and value < variable.low)
        or (variable.high is not None and value > variable.high)
        for value in values
    )


def _text(bound: float | None) -> str:
    return "" if bound is None else f"{bound:g}"


def _some(texts: list[str], between: str = ", ") -> str:
    more = len(texts) - _SHOWN
    return between.join(texts[:_SHOWN]) + (f"{between}{more} more" if more > 0 else "")
