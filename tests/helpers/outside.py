"""Programs of others that tests use as witnesses."""

import os
import shutil

import pytest

__all__ = ["program"]


def program(name: str) -> str:
    """Return the path of an outside program; without it skip the test, or fail it where CI=true."""
    path = shutil.which(name)
    if path is not None:
        return path
    text = f"{name} is not installed: install it with the package manager of your system to run this test"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
