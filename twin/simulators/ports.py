"""Ports: what a simulator takes and gives, and whether two of them may be joined."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twin.errors import WiringError
from twin.signals import Axis, Sign, signal

__all__ = ["Array", "Port", "StepCore", "check_connection", "ports"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One array that a simulator takes or gives each step."""

    name: str
    """Key of the signal, ``axis.name``."""
    unit: str
    sign: Sign
    size: int
    """Number of values."""
    dt_s: float
    """Time base: the values are means over, or states at the start of, steps of this length."""


class StepCore(Protocol):
    """What a simulator of ours does in one step, without mosaik."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    dt_s: float

    def advance(self, step: int, values: Mapping[str, Array]) -> Mapping[str, Array]:
        """Take one value per input port, return one per output port. The arrays returned are not changed later."""
        ...


def ports(keys: tuple[str, ...], sizes: Mapping[Axis, int], dt_s: float) -> tuple[Port, ...]:
    """Return one port per signal key of the vocabulary, sized by its axis."""
    found = [signal(key) for key in keys]
    return tuple(
        Port(name=key, unit=entry.unit, sign=entry.sign, size=sizes[entry.axis], dt_s=dt_s)
        for key, entry in zip(keys, found, strict=True)
    )


def check_connection(source: str, given: Port, target: str, taken: Port) -> None:
    """Refuse a connection whose two ends do not mean the same.

    Raises:
        WiringError: unit, sign, size or time base differ; the message names both ends.
    """
    for what, left, right, remedy in (
        ("unit", given.unit, taken.unit, "convert it before the connection"),
        ("sign", given.sign, taken.sign, "flip it before the connection"),
        ("number of values", given.size, taken.size, "both ends must be built from the same plant"),
        ("time base", given.dt_s, taken.dt_s, "resample it to the step of the run"),
    ):
        if left != right:
            raise WiringError(
                f"{source}.{given.name} -> {target}.{taken.name}: {what} differs "
                f"({left} against {right}); {remedy}"
            )
