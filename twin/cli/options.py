"""Arguments and options that several commands share, and the exit codes."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "EXIT_BAD_INPUT",
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_VIOLATED",
    "Debug",
    "Duration",
    "Json",
    "RunFolder",
    "ScenarioFile",
]

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_VIOLATED = 3
EXIT_INTERRUPTED = 130

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="Scenario file (YAML).")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run: results/<scenario>/<run>.")]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON to stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]
Duration = Annotated[
    str | None,
    typer.Option(
        "--duration", metavar="TIME", help="Less than a day instead of the scenario's days, e.g. 5min."
    ),
]
