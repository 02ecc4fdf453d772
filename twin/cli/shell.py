"""Around every command: errors become one line and an exit code."""

import signal
import sys
import traceback
from collections.abc import Callable

import typer

from twin.cli.options import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED
from twin.errors import InputError, ScenarioError, TwinError

__all__ = ["guarded"]

_MOST_MISTAKES = 50
"""More are counted, not shown."""


def guarded(work: Callable[[], int], *, debug: bool) -> None:
    """Run a command's work and leave with its exit code; one line per error unless ``debug``."""
    # a job that is cancelled ends like one that is interrupted, with what it has stored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = work()
    except KeyboardInterrupt:
        typer.echo("interrupted; what was stored is kept", err=True)
        code = EXIT_INTERRUPTED
    except TwinError as error:
        if debug:
            traceback.print_exc()
        typer.echo(_error_text(error), err=True)
        code = EXIT_BAD_INPUT if isinstance(error, InputError) else EXIT_FAILED
    except Exception as error:  # noqa: BLE001  # the last resort of a command line
        if debug:
            traceback.print_exc()
        typer.echo(
            f"error: {type(error).__name__}: {error} (this is a defect; --debug shows where)", err=True
        )
        code = EXIT_FAILED
    sys.exit(code)


def _error_text(error: TwinError) -> str:
    if not isinstance(error, ScenarioError) or len(error.mistakes) <= _MOST_MISTAKES:
        return f"error: {error}"
    shown = "\n".join(str(mistake) for mistake in error.mistakes[:_MOST_MISTAKES])
    return f"error: {shown}\n... and {len(error.mistakes) - _MOST_MISTAKES} more mistakes"
