"""A model description as FMPy reads it, with what it finds against the standard: told, never raised."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import FmuArchiveError
from models.fmu.fmpy_access import fmpy_module
from models.fmu.folders import PREFIX
from models.fmu.reading.archive_check import DESCRIPTION

__all__ = ["read_by_fmpy"]

_IDENTIFIER = r"(?:[A-Za-z_][A-Za-z_0-9]*|'(?:[^'\\]|\\.)+')(?:\[\d+(?:,\d+)*\])?"
_STRUCTURED = re.compile(
    rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*|der\({_IDENTIFIER}(?:\.{_IDENTIFIER})*(?:,\d+)?\)"
)
"""Names by the convention `structured` (FMI 2.0.4 section 2.2.9)."""


def read_by_fmpy(file: Path, xml: bytes) -> tuple[Any, list[str]]:
    """Return FMPy's model description, and what is wrong with it in words.

    Args:
        file: the FMU, for messages.
        xml: its model description.

    Raises:
        FmuArchiveError: it cannot be understood at all.
        FmuError: FMPy is missing.
    """
    reader, validation = fmpy_module("fmpy.model_description"), fmpy_module("fmpy.validation")
    with tempfile.TemporaryDirectory(prefix=PREFIX) as place:
        path = Path(place) / DESCRIPTION
        path.write_bytes(xml)
        try:
            sound = _by_fmpy(
                reader.read_model_description, str(path), validate=True, validate_model_structure=True
            )
        except _StumbledError as error:
            problems = error.problems
        else:
            return sound, _bad_names(sound)
        try:
            described = _by_fmpy(reader.read_model_description, str(path), validate=False)
        except _StumbledError as error:
            raise FmuArchiveError(
                f"{file}: {DESCRIPTION} cannot be understood: {error.__cause__}; ask the maker of the FMU for an export "
                "that passes `fmpy validate`"
            ) from error
    problems += _later_problems(validation, described, known=problems)
    return described, problems + _bad_names(described)


def _later_problems(validation: Any, described: Any, *, known: list[str]) -> list[str]:
    """Return what is found beside the schema: FMPy's validation stops at the schema where that fails."""
    try:
        found = _by_fmpy(validation.validate_model_description, described, validate_model_structure=True)
    except _StumbledError as error:
        found = error.problems
    return [problem for problem in found if problem not in known]


class _StumbledError(Exception):
    """FMPy stopped at a mistake in what it was given."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def _by_fmpy(work: Callable[..., Any], *given: Any, **options: Any) -> Any:
    """Return what FMPy makes of a description; at a mistake in it, FMPy raises any class.

    Raises:
        _StumbledError: with the problems that FMPy lists, else with what it raised.
    """
    try:
        return work(*given, **options)
    except Exception as error:
        listed = getattr(error, "problems", [f"{type(error).__name__}: {error}"])
        raise _StumbledError(list(listed)) from error


def _bad_names(described: Any) -> list[str]:
    if described.variableNamingConvention != "structured":
        return []
    return [
        f'"{entry.name}" is no name of the naming convention "structured"'
        for entry in described.modelVariables
        if not _STRUCTURED.fullmatch(entry.name)
    ]
