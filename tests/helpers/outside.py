"""Programs of others that tests use as witnesses."""

import os
import shutil
from typing import NoReturn

import pytest

__all__ = ["lacking", "program"]


def program(name: str) -> str:
    """Return the path of an outside program; without it skip the test, or fail it where CI=true."""
    path = shutil.which(name)
    if path is None:
        lacking(
            f"{name} is not installed: install it with the package manager of your system to run this test"
        )
    return path


def lacking(text: str) -> NoReturn:
    """Skip the test because of what this computer lacks, or fail it where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
