"""The words a maker's source understands, as data: makers agree on SCPI's grammar and differ in its words."""

import math
from importlib import resources
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hil_adapters.errors import SourceError

__all__ = ["CommandSet", "command_set_names", "load_command_set"]


class CommandSet(BaseModel):
    """Commands of one kind of source. ``{phase}`` (1, 2, 3) and ``{value}`` are filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str = Field(pattern=r"[a-z0-9][a-z0-9_-]*")
    title: str
    source: str = Field(description="Where the words were taken from, and what was tried.")
    port: int = Field(default=5025, ge=1, le=65535)
    phases: Literal[1, 3]
    terminator: str = Field(default="\n", min_length=1)
    identify: str = "*IDN?"
    clear: str = "*CLS"
    error: str = Field(default="SYST:ERR?", description="Its answer begins with 0 where nothing is wrong.")
    set_voltage: str = Field(
        description="With {phase}: one command for each phase; without: for all at once."
    )
    get_voltage: str
    set_frequency: str
    get_frequency: str
    set_current: str | None = None
    switch_on: str
    switch_off: str
    get_output: str = Field(description="Its answer is 0 or OFF, or 1 or ON.")
    decimals: int = Field(default=2, ge=0, le=4, description="Of voltages, frequencies and currents.")

    @model_validator(mode="after")
    def _has_its_fields(self) -> Self:
        for name in ("set_voltage", "set_frequency", "set_current"):
            template = getattr(self, name)
            if template is not None and "{value}" not in template:
                raise ValueError(f"{name} has no {{value}}: {template!r}")
        if ("{phase}" in self.set_voltage) != ("{phase}" in self.get_voltage):
            raise ValueError("set_voltage and get_voltage must both name {phase}, or neither")
        return self

    @property
    def sets_phases(self) -> bool:
        """Whether each phase has a command of its own."""
        return "{phase}" in self.set_voltage

    def filled(self, template: str, *, value: float | None = None, phase: int | None = None) -> str:
        """Return a command with its fields filled in; ``ValueError`` for a value that is not finite."""
        text = template
        if value is not None:
            if not math.isfinite(value):
                raise ValueError(f"{value} cannot be written in a command")
            text = text.replace("{value}", f"{value:.{self.decimals}f}")
        return text if phase is None else text.replace("{phase}", str(phase))


def _library() -> Path:
    return Path(str(resources.files("hil_adapters.grid_source") / "library"))


def command_set_names() -> tuple[str, ...]:
    """Return the names of the shipped command sets."""
    return tuple(sorted(file.stem for file in _library().glob("*.yaml")))


def load_command_set(name_or_file: str | Path) -> CommandSet:
    """Return a shipped command set by name, or one from a YAML file.

    Raises:
        SourceError: there is none, or it says what a command set may not say.
    """
    shipped = _library() / f"{name_or_file}.yaml"
    file = shipped if str(name_or_file) in command_set_names() else Path(name_or_file)
    try:
        return CommandSet.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        names = ", ".join(command_set_names())
        raise SourceError(
            f"{name_or_file}: no command set can be read there ({error}); shipped ones: {names}"
        ) from error
    except ValidationError as error:
        mistakes = "\n".join(
            f"{file}: {'.'.join(str(part) for part in mistake['loc']) or 'command set'}: {mistake['msg']}"
            for mistake in error.errors()
        )
        raise SourceError(mistakes) from error
