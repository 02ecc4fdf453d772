"""Devices that keep their own state, collected by entry while devices are placed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twin.errors import InputError
from twin.scenario.kinds import BlockDevice
from twin.scenario.marks import Path, Problem
from twin.signals import Axis

__all__ = ["BlockDraft", "BlockDrafts", "EntryError"]

IntArray = NDArray[np.int64]


class EntryError(InputError):
    """Several mistakes in one entry; ``problems`` have paths below it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(message for _, message in self.problems))


@dataclass
class BlockDraft:
    """The N devices of one entry, or of the rows of its CSV file, that one block computes."""

    path: Path
    """The entry."""
    axis: Axis
    specs: list[BlockDevice] = field(default_factory=list)
    """One for each device; what computes them is the same in all."""
    names: list[str] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    home: list[int] = field(default_factory=list)

    @property
    def spec(self) -> BlockDevice:
        """What the devices have in common is said here."""
        return self.specs[0]

    @property
    def size(self) -> int:
        """Number of devices N."""
        return len(self.position)

    @property
    def label(self) -> str:
        """Name for messages, e.g. ``devices[3] pump``."""
        name = self.names[0] if self.size == 1 else self.spec.kind
        return f"{self.path[0]}[{self.path[1]}] {name}"


class BlockDrafts:
    """The drafts of a scenario in the order of its entries."""

    def __init__(self) -> None:
        self._drafts: dict[Path, BlockDraft] = {}

    def add(
        self,
        spec: BlockDevice,
        path: Path,
        *,
        axis: Axis,
        names: Sequence[str],
        home: Sequence[int],
        first: int,
    ) -> None:
        """Add devices of the entry or row at ``path``; the first has position ``first`` on its axis."""
        if not spec.is_block or not names:
            return
        draft = self._drafts.setdefault(path[:2], BlockDraft(path[:2], axis))
        draft.specs += [spec] * len(names)
        draft.names += names
        draft.home += home
        draft.position += range(first, first + len(names))

    def all(self) -> tuple[BlockDraft, ...]:
        """Return the drafts."""
        return tuple(self._drafts.values())

    def positions(self, axis: Axis) -> IntArray:
        """Return the positions of all their devices on an axis."""
        found = [at for draft in self._drafts.values() if draft.axis is axis for at in draft.position]
        return np.array(found, dtype=np.int64)
