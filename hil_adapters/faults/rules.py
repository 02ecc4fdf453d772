"""Scripts of faults: which fault hits which requests, when, and how often. YAML keys are field names.

A script, with every key::

    format: 1
    seed: 7
    rules:
      - fault: late
        units: [1]
        tables: [holding]
        functions: [3]
        addresses: ["40070-40119", 40200]
        probability: 0.05
        from_s: 60
        until_s: 120
        parameters: {delay_s: 2.0}

What is left out does not restrict. Times count from the start of the server or proxy.
"""

import difflib
import math
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from hil_adapters.errors import FaultScriptError
from hil_adapters.faults.catalogue import Fault
from hil_adapters.faults.entries import CATALOGUE
from hil_adapters.wire.base import Table
from hil_adapters.wire.station import Framing

__all__ = ["AddressRange", "FaultRule", "FaultScript", "load_script", "script_from"]


_NEED_ADDRESSES = frozenset({Fault.COUNTER_RESET, Fault.COUNTER_ROLLOVER, Fault.SECOND_MASTER})
"""Faults that would hit nothing where no registers are named."""


class AddressRange(BaseModel):
    """Addresses ``first`` to ``last``, both included, as on the wire."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int = Field(ge=0, le=65535)
    last: int = Field(ge=0, le=65535)

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"the range {self.first}-{self.last} is empty; write the smaller address first")
        return self

    def __contains__(self, address: int) -> bool:
        return self.first <= address <= self.last

    def touches(self, address: int, count: int) -> bool:
        """Return whether ``count`` registers from ``address`` on share one with this range."""
        return address <= self.last and address + count > self.first

    @property
    def size(self) -> int:
        """Number of registers."""
        return self.last - self.first + 1


def _range_of(written: object) -> object:
    """Turn 40070, "40070-40119" and [40070, 40119] into a range."""
    if isinstance(written, bool):
        return written
    if isinstance(written, int):
        return {"first": written, "last": written}
    if isinstance(written, str):
        first, _, last = written.partition("-")
        return {"first": first.strip(), "last": last.strip() or first.strip()}
    match written:
        case [low, high]:
            return {"first": low, "last": high}
    return written


def _known(written: object) -> object:
    """Refuse a name that no fault has; say which are near."""
    if isinstance(written, str) and written not in set(Fault):
        near = difflib.get_close_matches(written, list(Fault), n=5, cutoff=0.5)
        near += [fault for fault in Fault if fault not in near and fault.startswith(f"{written}_")]
        hint = f"did you mean {' or '.join(near)}?" if near else "docs/faults.md has all of them"
        raise ValueError(f"there is no fault {written!r}; {hint}")
    return written


class FaultRule(BaseModel):
    """One fault and what it hits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Annotated[Fault, BeforeValidator(_known)]
    units: tuple[int, ...] | None = Field(default=None, description="Unit identifiers; all without.")
    tables: tuple[Table, ...] | None = None
    functions: tuple[int, ...] | None = Field(default=None, description="Function codes of requests.")
    addresses: tuple[Annotated[AddressRange, BeforeValidator(_range_of)], ...] | None = None
    probability: float = Field(default=1.0, gt=0, le=1, description="For each request that fits.")
    from_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    until_s: float = Field(default=math.inf, gt=0, description="Time at which the rule ends [s].")
    parameters: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        default_factory=dict, description="Numbers of the fault; the catalogue names them."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if not self.from_s < self.until_s:
            raise ValueError(
                f"the rule ends at {self.until_s:g} s and begins at {self.from_s:g} s; let it begin before"
            )
        if self.fault in _NEED_ADDRESSES and not self.addresses:
            raise ValueError(f"{self.fault} acts on named registers only; add addresses")
        known = {parameter.name: parameter for parameter in CATALOGUE[self.fault].parameters}
        for name, value in self.parameters.items():
            if name not in known:
                names = ", ".join(sorted(known)) or "none"
                raise ValueError(f"{self.fault} has no parameter {name!r}; it has: {names}")
            low, high = known[name].low, known[name].high
            if not low <= value <= high:
                raise ValueError(f"{name} of {self.fault} is {value:g}; it must lie in {low:g} to {high:g}")
        return self

    def number(self, name: str) -> float:
        """Return a parameter as written, else its default; ``KeyError`` where the fault has none of that name."""
        if name in self.parameters:
            return self.parameters[name]
        return next(
            parameter.default for parameter in CATALOGUE[self.fault].parameters if parameter.name == name
        )

    def is_due(self, elapsed_s: float) -> bool:
        """Return whether the rule is in force ``elapsed_s`` after the start."""
        return self.from_s <= elapsed_s < self.until_s


class FaultScript(BaseModel):
    """Rules and the seed of their chances."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    seed: int = Field(default=0, ge=0)
    rules: tuple[FaultRule, ...]

    @model_validator(mode="after")
    def _has_rules(self) -> Self:
        if not self.rules:
            raise ValueError("there are no rules; write at least one")
        return self

    def check_framing(self, framing: Framing) -> None:
        """Raise ``FaultScriptError`` where a rule names a fault that ``framing`` does not know."""
        for number, rule in enumerate(self.rules, start=1):
            if framing not in CATALOGUE[rule.fault].framings:
                raise FaultScriptError(
                    f"rule {number}: {rule.fault} does not exist over {framing}; remove the rule"
                )


def script_from(written: object, *, where: str) -> FaultScript:
    """Return the script that ``written`` holds: a mapping, or a bare list of rules.

    Raises:
        FaultScriptError: naming every mistake; ``where`` says in which file or field.
    """
    content = {"rules": written} if isinstance(written, list) else written
    try:
        return FaultScript.model_validate(content)
    except ValidationError as error:
        mistakes = "\n".join(
            f"{where}: {'.'.join(str(part) for part in mistake['loc']) or 'script'}: {mistake['msg']}"
            for mistake in error.errors()
        )
        raise FaultScriptError(
            f"{mistakes}\nThe faults and their parameters are in docs/faults.md."
        ) from error


def load_script(file: Path) -> FaultScript:
    """Return the script of a YAML file.

    Raises:
        FaultScriptError: the file cannot be read, or says what a script may not say.
    """
    try:
        written = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FaultScriptError(
            f"{file}: the script of faults cannot be read ({error}); give a YAML file"
        ) from error
    return script_from(written, where=str(file))
