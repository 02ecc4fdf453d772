"""An FMU as a whole against what an ``fmu:`` block asks of it: interface, library, step, restart, size parameter."""

from collections.abc import Iterator

from models.errors import FmuError
from models.fmu.base import FleetSpec, FmuInfo, Interface, OnFailure
from models.fmu.engine import chosen_interface, needs_foreign_tool
from models.fmu.fleet import substeps
from models.fmu.reading.archive import unpacked
from models.fmu.reading.platforms import library_file
from twin.scenario.marks import Problem

__all__ = ["array_problem", "whole_problems"]


def whole_problems(bare: FleetSpec, info: FmuInfo, *, dt_s: float) -> Iterator[Problem]:
    """Yield what does not depend on single variables; paths start below the block, ``dt_s`` is the step of the run."""
    try:
        interface = chosen_interface(info, bare)
    except FmuError as error:
        yield ("interface",), str(error)
        return
    if needs_foreign_tool(info):
        tool = info.generation_tool or "its tool"
        yield ("file",), f"{info.file.name} only runs with {tool} beside it; ask for an export without that"
        return
    by_code = info.co_simulation if interface is Interface.CO_SIMULATION else info.model_exchange
    try:
        with unpacked(info.file, info) as place:
            library_file(place, str(by_code))
    except FmuError as error:
        yield ("file",), str(error)
    try:
        substeps(dt_s, bare, info)
    except FmuError as error:
        yield ("step",), str(error)
    if bare.on_failure is OnFailure.RESTART and not info.can_serialise_state:
        yield ("on_failure",), f"{info.file.name} cannot save its state, so it cannot restart; use end"


def array_problem(name: str, info: FmuInfo, *, size: int) -> str | None:
    """Return why ``name`` cannot size one instance for ``size`` devices; None where it can."""
    structural = [entry for entry in info.variables if entry.causality == "structuralParameter"]
    chosen = next((entry for entry in structural if entry.name == name), None)
    if info.fmi_version != "3.0":
        return f"needs an FMU of FMI 3.0, {info.file.name} is of {info.fmi_version}; remove it: each device is an instance then"
    if chosen is None:
        names = ", ".join(entry.name for entry in structural)
        known = f"it has {names}" if names else "it has none: remove array"
        return f"{info.file.name} has no structural parameter {name!r}; {known}"
    if chosen.high is not None and size > chosen.high:
        return f"{info.file.name} holds {chosen.high:g} devices at most, the entry has {size}; split it"
    return None
