"""What tests of the guardian share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from guard_rig import Rig, guard_place, running_inverter


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of a test, where its guardians register too."""
    with guard_place(monkeypatch) as folder:
        yield folder


@pytest.fixture
def rig(place: Path) -> Iterator[Rig]:
    """A running inverter."""
    with running_inverter(place) as found:
        yield found
