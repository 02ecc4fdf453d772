"""The compiled loop over the instances of a fleet: its tables, one part for each library, and where it reports."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fmu.binding.kernel import Head, Int64Array, Phase, Transfer, run
from models.fmu.binding.transfers import Group

__all__ = ["Loop", "Lot", "Stop"]


@dataclass(frozen=True, slots=True)
class Lot:
    """Instances that share a library, with the head and the transfers of the loop for them."""

    start: int
    stop: int
    head: Int64Array
    at_events: Int64Array
    """Set in event mode, before the step (FMI 3.0)."""
    getters: Int64Array
    """Got without a step."""
    transfers: Int64Array
    """Of a step: setters, then getters."""


@dataclass(frozen=True, slots=True)
class Stop:
    """An instance at which the loop stopped."""

    index: int
    phase: Phase
    status: int


class Loop:
    """Runs the loop for some instances; everything it writes stays where it is while this object lives."""

    def __init__(
        self,
        instances: Sequence[Any],
        *,
        version: int,
        inputs: Sequence[Group],
        outputs: Sequence[Group],
        at_events: Sequence[Group],
    ) -> None:
        """Bind the functions that the loop calls.

        Args:
            instances: one for each device, or the one that holds all of them.
            version: of FMI, 2 or 3.
            inputs: set before each step.
            outputs: got after each step.
            at_events: set in event mode.

        Raises:
            FmuError: the library lacks one of the functions.
        """
        self.flags: NDArray[np.uint8] = np.zeros(3, dtype=np.uint8)
        """Event, terminate, early return (FMI 3.0)."""
        self.span = np.zeros(3)
        """Begin of the step, its length, and the last successful time of FMI 3.0 [s]."""
        self._table = np.array([[instance.component, 0] for instance in instances], dtype=np.int64)
        self.lots = tuple(
            self._lot(list(members), version=version, groups=(inputs, outputs, at_events))
            for _, members in itertools.groupby(enumerate(instances), key=lambda entry: id(entry[1].binary))
        )

    @property
    def warnings(self) -> int:
        """Calls of the loop that were answered with a warning, over all instances and steps."""
        return int(self._table[:, 1].sum())

    def step(self, lot: Lot, *, start: int, stop: int) -> Stop | None:
        """Set inputs, make the step and get outputs of some instances; return where it stopped before the end."""
        lot.head[Head.START], lot.head[Head.STOP] = start, stop
        return self._run(lot.head, lot.transfers)

    def set_inputs(self, lot: Lot, number: int) -> Stop | None:
        """Set the inputs of one instance without a step."""
        n_setters = int(lot.head[Head.SETTERS])
        return self._move(lot, lot.transfers[:n_setters], n_setters=n_setters, span=(number, number + 1))

    def get(self, lot: Lot, *, start: int, stop: int) -> Stop | None:
        """Get the outputs of some instances without a step."""
        return self._move(lot, lot.getters, n_setters=0, span=(start, stop))

    def set_at_event(self, lot: Lot, number: int) -> Stop | None:
        """Set the discrete inputs of one instance."""
        return self._move(lot, lot.at_events, n_setters=len(lot.at_events), span=(number, number + 1))

    def report_unbegun(self) -> None:
        """Report of a step what an early return at its very begin would."""
        self.flags[:] = 0, 0, 1
        self.span[2] = self.span[0]

    def expect_set_state(self) -> None:
        """Tell the FMU from the next step on that a state of an earlier time may be set."""
        for lot in self.lots:
            lot.head[Head.NO_SET_STATE] = 0

    def _move(self, lot: Lot, transfers: Int64Array, *, n_setters: int, span: tuple[int, int]) -> Stop | None:
        head = lot.head.copy()
        head[Head.DO_STEP], head[Head.SETTERS] = 0, n_setters
        head[Head.START], head[Head.STOP] = span
        return self._run(head, transfers)

    def _run(self, head: Int64Array, transfers: Int64Array) -> Stop | None:
        index, phase, status = run(head, transfers, self._table, self.span, self.flags)
        return None if phase == Phase.DONE else Stop(index, Phase(phase), status)

    def _lot(
        self, members: Sequence[tuple[int, Any]], *, version: int, groups: tuple[Sequence[Group], ...]
    ) -> Lot:
        """Return the part of one library: an FMU that may be loaded only once has one for each device."""
        first, instance = members[0]
        setters, getters, at_events = (_transfers(entry, instance) for entry in groups)
        head = np.zeros(Head.SIZE, dtype=np.int64)
        head[Head.VERSION] = version
        head[Head.DO_STEP] = instance.address(f"fmi{version}DoStep")
        head[Head.NO_SET_STATE] = 1
        head[Head.FLAGS] = self.flags.ctypes.data
        head[Head.LAST_TIME] = self.span[2:].ctypes.data
        head[Head.SETTERS] = len(setters)
        return Lot(
            start=first,
            stop=first + len(members),
            head=head,
            at_events=at_events,
            getters=getters,
            transfers=np.concatenate([setters, getters]),
        )


def _transfers(groups: Sequence[Group], instance: Any) -> Int64Array:
    """Return the kernel's table of these groups with the functions of the library of an instance."""
    rows = [group.transfer(instance.address(group.function)) for group in groups]
    return np.array(rows, dtype=np.int64).reshape(len(groups), Transfer.SIZE)
