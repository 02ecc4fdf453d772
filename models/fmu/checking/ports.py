"""Which variables of an FMU are set and watched in a trial run."""

from models.errors import FmuMappingError
from models.fmu.base import FmuInfo, FmuVariable
from models.fmu.checking.options import CheckOptions

__all__ = ["array_size_of", "input_variables", "start_number", "watched_variables"]

_MOST_LOCALS = 50
"""Local variables that are watched where an FMU has no outputs."""
_TRUE = {"true": 1.0, "false": 0.0}


def input_variables(info: FmuInfo) -> tuple[FmuVariable, ...]:
    """Return the inputs that are numbers, one for each device."""
    size = array_size_of(info)
    return tuple(entry for entry in info.variables if entry.causality == "input" and _fits(entry, size))


def watched_variables(info: FmuInfo) -> tuple[FmuVariable, ...]:
    """Return the outputs that are numbers, or some continuous local variables where there are none."""
    size = array_size_of(info)
    numbers = [entry for entry in info.variables if _fits(entry, size)]
    outputs = tuple(entry for entry in numbers if entry.causality == "output")
    hidden = [entry for entry in numbers if entry.causality == "local" and entry.variability == "continuous"]
    return outputs or tuple(hidden[:_MOST_LOCALS])


def array_size_of(info: FmuInfo) -> str | None:
    """Return the structural parameter that all outputs and inputs share as their only dimension, None if none."""
    ports = [entry for entry in info.variables if entry.causality in {"input", "output"} and entry.is_number]
    shapes = {entry.shape for entry in ports}
    if len(shapes) == 1:
        (shape,) = shapes
        if len(shape) == 1 and isinstance(shape[0], str):
            return shape[0]
    return None


def start_number(variable: FmuVariable, options: CheckOptions) -> float:
    """Return the value that an input is held at: of the options, else its start value, else 0.

    Raises:
        FmuMappingError: it is not a number.
    """
    value = options.parameters.get(variable.name, variable.start)
    if value is None:
        return 0.0
    words = str(value).split()
    try:
        return _TRUE[words[0].lower()] if words[0].lower() in _TRUE else float(words[0])
    except (IndexError, ValueError) as error:
        raise FmuMappingError(
            f"input {variable.name}: {value!r} is not a number; give another start value"
        ) from error


def _fits(variable: FmuVariable, array_size: str | None) -> bool:
    return variable.is_number and variable.shape == (() if array_size is None else (array_size,))
