"""What the modules of the kinds share: rows of their tables of variables, rules, exact decay."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.devices.base import Causality, FloatArray, Variable
from models.errors import DeviceError

__all__ = ["Rule", "Values", "check_rules", "given", "mean_decay", "parameter", "result"]

Values = Mapping[str, FloatArray]
"""Arrays of shape (N,) by name of a variable."""
Rule = tuple[str, NDArray[np.bool_], str]
"""Parameter, where it is good, shape (N,), and what it must be."""


def parameter(
    name: str, unit: str, start: float, text: str, *, low: float = -np.inf, high: float = np.inf
) -> Variable:
    """Return a parameter."""
    return Variable(
        name=name, causality=Causality.PARAMETER, unit=unit, start=start, text=text, low=low, high=high
    )


def given(
    name: str, unit: str, start: float, text: str, *, low: float = -np.inf, high: float = np.inf
) -> Variable:
    """Return an input."""
    return Variable(
        name=name, causality=Causality.INPUT, unit=unit, start=start, text=text, low=low, high=high
    )


def result(name: str, unit: str, start: float, text: str) -> Variable:
    """Return an output, or a state that is not shown."""
    return Variable(name=name, causality=Causality.OUTPUT, unit=unit, start=start, text=text)


def check_rules(kind: str, parameters: Values, rules: Iterable[Rule]) -> None:
    """Refuse parameters that contradict each other.

    Raises:
        DeviceError: names the first device, the parameter, the rule and the value.
    """
    for name, good, rule in rules:
        if not np.all(good):
            worst = int(np.flatnonzero(~good)[0])
            raise DeviceError(f"{kind} {worst}: {name} {rule} (got {parameters[name][worst]:g})")


def mean_decay(x: FloatArray) -> FloatArray:
    """Return ``(1 - exp(-x)) / x``, the mean of ``exp(-t)`` over 0 to ``x`` >= 0; 1 at 0."""
    positive = x > 0.0
    mean: FloatArray = np.where(positive, -np.expm1(-x) / np.where(positive, x, 1.0), 1.0)
    return mean
