"""What all models of a scenario share."""

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from twin.scenario.marks import Path, got

__all__ = [
    "CONTRADICTION",
    "NAME_RULE",
    "Fault",
    "FreeParams",
    "Name",
    "Spec",
    "Switch",
    "is_name",
    "wrong",
]

CONTRADICTION = "contradiction"
"""Type of the pydantic error that carries (field, message) pairs of one model."""

NAME_RULE = "use letters, digits, '-' and '_', starting with a letter or digit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


Fault = tuple[str | Path, str]
"""Where in a model (dotted text, or a path where a key may hold dots) and what is wrong there."""


class Spec(BaseModel):
    """A closed, frozen part of a scenario."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )

    def problems(self) -> Iterator[Fault]:
        """Yield (field, message) for every pair of fields that contradict each other."""
        yield from ()

    def says(self, field: str) -> bool:
        """Return whether ``field`` is written and is not its default, which a resolved scenario writes out."""
        stated = type(self).model_fields[field].get_default(call_default_factory=True)
        return field in self.model_fields_set and getattr(self, field) != stated

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        found = list(self.problems())
        if found:
            text = "; ".join(f"{field}: {message}" for field, message in found)
            raise PydanticCustomError(CONTRADICTION, "{text}", {"text": text, "problems": found})
        return self


def wrong(message: str) -> PydanticCustomError:
    """Return the error of a validator whose message is complete as it is."""
    return PydanticCustomError("wrong", "{text}", {"text": message})


def is_name(text: str) -> bool:
    """Return whether ``text`` may name a scenario, strategy or source (they become folder names)."""
    return _NAME.fullmatch(text) is not None


def _name(value: object) -> object:
    # names of buses and loads are often bare numbers, which YAML reads as numbers
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _switch(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "false"}:  # a cell of a CSV file is text
        return value == "true"
    raise wrong(f"must be true or false (got {got(value)})")


def _free_params(value: object) -> object:
    _check_finite(value)
    return {} if value is None else value


def _check_finite(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong(f"holds {value:g}, which is not a finite number; give a value")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_finite(item)


Name = Annotated[str, BeforeValidator(_name, json_schema_input_type=str | int), Field(min_length=1)]
"""Name of something on the feeder or in the scenario."""

Switch = Annotated[bool, BeforeValidator(_switch), WithJsonSchema({"type": "boolean"})]
"""True or false, and nothing that merely looks like it."""

FreeParams = Annotated[dict[str, Any], BeforeValidator(_free_params)]
"""Parameters of code that is not ours: any keys, any finite values."""
