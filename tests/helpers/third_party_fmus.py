"""FMUs that other tools made: those of the package ``gemseo-fmu``, of which only the files are used.

Six are of OpenModelica (FMI 2.0), one of PythonFMU3 (FMI 3.0), all for Linux on x86_64. A test that asks for one is
skipped where it cannot be had, but not on CI (``CI=true``): there a missing package is a failure, so that these tests
cannot fall out unseen.
"""

import importlib.util
import os
from pathlib import Path
from typing import NoReturn

import pytest

from models.fmu.reading.platforms import this_machine

__all__ = ["NAMES", "fmu"]

NAMES = (
    "FMU3Model.fmu",
    "MassSpringSubSystem1.fmu",
    "MassSpringSubSystem2.fmu",
    "MassSpringSystem.fmu",
    "Mass_Damper.fmu",
    "add.fmu",
    "ramp.fmu",
)
_MACHINE = "x86_64-linux"


def fmu(name: str) -> Path:
    """Return the path of one of ``NAMES``; skip the test that asks where it is missing, fail it on CI."""
    if this_machine() != _MACHINE:
        pytest.skip(f"{name} is for {_MACHINE} only")
    found = importlib.util.find_spec("gemseo_fmu")
    if found is None or found.submodule_search_locations is None:
        _missing(f"{name} needs the package gemseo-fmu: pip install --no-deps gemseo-fmu")
    file = Path(next(iter(found.submodule_search_locations))) / "problems" / "fmu_files" / "linux" / name
    if not file.is_file():
        _missing(f"gemseo-fmu has no {file}; install the version that constraints.txt names")
    return file


def _missing(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why} (on CI it must be there)")
    pytest.skip(why)
