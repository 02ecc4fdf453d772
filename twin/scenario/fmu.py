"""The ``fmu:`` block of a device: which FMU, and how our signals meet its variables."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from twin.scenario.base import Fault, Name, Spec, Switch, wrong
from twin.scenario.columns import market_reference
from twin.scenario.marks import closest, got
from twin.scenario.quantities import Quantity

__all__ = [
    "PACKAGE",
    "FmuSpec",
    "InputWire",
    "OutputWire",
    "ParameterValue",
    "fmu_path",
    "is_power",
    "package_file",
]

PACKAGE = "package:"
"""Start of the name of a file inside an installed Python package: ``package:NAME/path/inside.fmu``."""

ParameterValue = bool | int | float | str
_Sign = Literal["consumption", "generation"]
_Factor = Annotated[float, Quantity("")]


def is_power(signal: str) -> bool:
    """Return whether a signal of ours has a direction: a power or an energy."""
    return signal.endswith(("_kw", "_kvar", "_kwh")) or "." in signal  # of a column only its file knows


def package_file(text: str) -> FilePath:
    """Return the file that ``package:NAME/path/inside.fmu`` means; nothing of the package is run.

    Raises:
        ValueError: no such package, or no path inside it; the message has the remedy. The file may be missing.
    """
    name, _, inside = text.removeprefix(PACKAGE).partition("/")
    parts = FilePath(inside).parts
    if not name.isidentifier() or not parts or ".." in parts or FilePath(inside).is_absolute():
        raise ValueError(f"must be package:NAME/path/inside.fmu without '..' (got {text!r})")
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # a module without a spec of its own, such as __main__
        found = None
    folders = None if found is None else found.submodule_search_locations
    if not folders:
        raise ValueError(f"there is no Python package {name!r} here; install it or give the path of the file")
    files = [FilePath(folder) / inside for folder in folders]
    return next((file for file in files if file.is_file()), files[0])


def fmu_path(text: str, folder: FilePath) -> FilePath:
    """Return the file that a ``file:`` of a scenario in ``folder`` means; ``ValueError`` as :func:`package_file`."""
    return package_file(text) if text.startswith(PACKAGE) else folder / text


def _file(text: str) -> str:
    if not text.lower().endswith(".fmu"):
        raise wrong(f"must end in .fmu (got {text!r})")
    return text


def _input(value: object) -> object:
    """Let ``u: vm_pu`` stand for ``u: {signal: vm_pu}`` and ``u: 3`` for ``u: {value: 3}``."""
    if isinstance(value, str):
        return {"signal": value}
    return {"value": value} if isinstance(value, (int, float)) else value


def _output(value: object) -> object:
    """Let ``p_kw: y`` stand for ``p_kw: {variable: y}``."""
    return {"variable": value} if isinstance(value, str) else value


def _parameter(value: object) -> object:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, (bool, int, float, str)) for item in values):
        raise wrong(
            f"must be a number, true, false, a text, or a list with one for each device (got {got(value)})"
        )
    if any(isinstance(item, float) and item - item != 0.0 for item in values):
        raise wrong(f"must be finite (got {got(value)})")
    return value


class InputWire(Spec):
    """What an input of the FMU is fed with: a signal, a column, or a fixed value."""

    signal: Name | None = Field(default=None, description="Signal of the run; the guide lists them by kind.")
    column: Name | None = Field(default=None, description="SOURCE.COLUMN.")
    value: float | None = Field(default=None, description="Fixed value, in the unit of the FMU.")
    unit: Name | None = Field(
        default=None, description="Unit of the FMU's variable; default what the FMU says."
    )
    sign: _Sign = Field(default="consumption", description="Which direction of power is positive in the FMU.")
    factor: _Factor = Field(default=1.0, description="The signal is multiplied by this [1].")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: several things that feed it, or none."""
        ways = [way for way in ("signal", "column", "value") if getattr(self, way) is not None]
        if not ways:
            yield "", "says not what feeds it; add one of signal, column, value"
        elif len(ways) > 1:
            yield ways[1], f"fed twice, by {' and '.join(ways)}; keep one"
        elif ways == ["value"]:
            for field in ("unit", "sign", "factor"):
                if (
                    field in self.model_fields_set
                    and getattr(self, field) != type(self).model_fields[field].default
                ):
                    yield field, "has no effect on a fixed value, which is in the unit of the FMU; remove it"
        if self.column is not None and market_reference(self.column) is None:
            yield "column", f"must be SOURCE.COLUMN (got {self.column!r})"
        if self.factor == 0.0:
            yield "factor", "must not be 0; remove the input or give a value"


class OutputWire(Spec):
    """Where one of our signals comes from."""

    variable: Name = Field(description="Variable of the FMU.")
    unit: Name | None = Field(default=None, description="Its unit; default what the FMU says.")
    sign: _Sign = Field(default="consumption", description="Which direction of power is positive in the FMU.")
    factor: _Factor = Field(default=1.0, description="The value of the FMU is multiplied by this [1].")
    min: Annotated[float, Quantity("")] | None = Field(
        default=None, description="The run stops below this value, in the unit of the signal."
    )
    max: Annotated[float, Quantity("")] | None = Field(
        default=None, description="The run stops above this value, in the unit of the signal."
    )
    take: Literal["mean", "last"] | None = Field(
        default=None, description="Over sub-steps: mean (default of powers) or last (default of all else)."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: the bounds, a factor of 0."""
        if self.min is not None and self.max is not None and self.min >= self.max:
            yield "min", f"min {self.min:g} must be below max {self.max:g}"
        if self.factor == 0.0:
            yield "factor", "must not be 0; it would remove the output"


class FmuSpec(Spec):
    """An FMU of the user and its wiring."""

    file: Annotated[Name, AfterValidator(_file)] = Field(
        description="FMU, relative to the scenario file, or package:NAME/path/inside.fmu for one in a Python package."
    )
    interface: Literal["auto", "co_simulation", "model_exchange"] = Field(
        default="auto", description="auto: Co-Simulation where there is one, else Model Exchange with CVode."
    )
    inputs: dict[str, Annotated[InputWire, BeforeValidator(_input)]] = Field(
        default_factory=dict,
        description="By variable of the FMU: a signal, {column: SOURCE.COLUMN} or {value: 3}.",
    )
    outputs: dict[str, Annotated[OutputWire, BeforeValidator(_output)]] = Field(
        default_factory=dict,
        description="By signal (p_kw, q_kvar, soc): a variable of the FMU, or a mapping.",
    )
    parameters: dict[
        str,
        Annotated[
            ParameterValue | list[ParameterValue],
            BeforeValidator(_parameter),
            WithJsonSchema({"type": ["number", "boolean", "string", "array"]}),
        ],
    ] = Field(
        default_factory=dict,
        description="Parameters and start values by variable, in the unit of the FMU; a list has one for each device.",
    )
    step: Annotated[float, Quantity("s", gt=0)] | None = Field(
        default=None,
        description="Communication step [s]; must divide the step of the run; default the step of the run.",
    )
    array: Name | None = Field(
        default=None, description="Structural parameter that sizes ONE FMI 3.0 instance for the whole fleet."
    )
    trusted: Switch = Field(
        default=False,
        description="true runs the FMU in this process: faster, and a crash of it ends everything.",
    )
    on_failure: Literal["end", "restart"] = Field(
        default="end",
        description="When its process crashes or hangs: end the run, or restart from the last saved state.",
    )
    timeout: Annotated[float, Quantity("s", gt=0)] = Field(
        default=60.0, description="A step of the fleet that takes longer counts as hung [s]."
    )
    record: tuple[Name, ...] = Field(default=(), description="Further variables of the FMU to store.")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what contradicts: trust against what an own process gives."""
        if self.trusted and self.on_failure == "restart":
            yield "on_failure", "restart needs a process of its own; remove trusted: true"
        for position, variable in enumerate(self.record):
            if variable in self.record[:position]:
                yield f"record[{position}]", f"{variable!r} is here twice; remove one"

    def signal_problems(
        self, kind: str, *, needed: frozenset[str], allowed: frozenset[str], outputs: Mapping[str, bool]
    ) -> Iterator[Fault]:
        """Yield signals that a device of this kind does not have, and signals that it needs and lacks.

        Args:
            kind: kind of the device, for the message.
            needed: signals that must feed an input.
            allowed: further signals that may feed an input.
            outputs: signals that an output may give, and whether it must.
        """
        fed = {wire.signal for wire in self.inputs.values()}
        for variable, wire in self.inputs.items():
            if wire.signal is not None and wire.signal not in needed | allowed:
                hint = closest(wire.signal, needed | allowed)
                yield ("inputs", variable), f"a device of kind {kind} has no signal {wire.signal!r}; {hint}"
            elif wire.sign == "generation" and not is_power(wire.signal or wire.column or ""):
                yield ("inputs", variable, "sign"), "goes with powers and energies; remove it"
        for signal in sorted(needed - fed):
            yield (
                "inputs",
                f"no variable takes {signal}; a device of kind {kind} needs one, e.g. VARIABLE: {signal}",
            )
        for signal, source in self.outputs.items():
            if signal not in outputs:
                yield (
                    ("outputs", signal),
                    f"a device of kind {kind} gives no {signal!r}; {closest(signal, outputs)}",
                )
            elif source.sign == "generation" and not is_power(signal):
                yield ("outputs", signal, "sign"), "goes with powers and energies; remove it"
        for signal, must in outputs.items():
            if must and signal not in self.outputs:
                yield "outputs", f"{signal} is missing; a device of kind {kind} needs {signal}: VARIABLE"
