"""The one door to FMPy: loaded when it is first needed, with the remedy where it is not installed."""

import contextlib
import importlib
import sys
from typing import Any

from models.errors import FmuError

__all__ = ["fmpy_module"]


def fmpy_module(name: str) -> Any:
    """Return a module of FMPy, imported when it is first needed.

    Raises:
        FmuError: FMPy is not installed.
    """
    known = sys.modules.get(name)
    if known is not None:
        return known
    try:
        with contextlib.redirect_stdout(sys.stderr):  # without its logger FMPy prints when it is imported
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("fmpy"):
            raise
        raise FmuError(
            f"{name} is missing: FMUs need FMPy; install it with: pip install gemello[fmu]"
        ) from error
