"""Trial runs of an FMU: what is set, what is watched, and how far two runs are apart."""

import locale
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from models.fmu.base import (
    Engine,
    FleetSpec,
    FloatArray,
    FmuInfo,
    FmuVariable,
    Interface,
    UnpackedFmu,
    Wire,
)
from models.fmu.binding.loading import answered_fatal
from models.fmu.checking.options import CheckOptions, TrialTimes, trial_times
from models.fmu.checking.ports import array_size_of, input_variables, start_number, watched_variables
from models.fmu.engine import open_engine

__all__ = ["Run", "Trial", "relative_difference", "surroundings"]

_FLAT = 1e-3
"""An output that varies by less than this share of its size is compared with that share of its size."""


def surroundings() -> dict[str, str]:
    """Return what an FMU may change for the whole process, by name."""
    return {"working directory": str(Path.cwd()), "number format": locale.setlocale(locale.LC_NUMERIC)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One trial run."""

    values: FloatArray
    """Watched variables at the start and after each step, shape (steps + 1, variables, devices)."""
    means: FloatArray
    """Means over the communication steps of each step, shape (steps, variables, devices)."""
    refined: int
    """Communication steps in a step."""
    seconds_per_step: float
    """Of the clock on the wall."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """An FMU with what it takes to run it."""

    unpacked: UnpackedFmu
    options: CheckOptions
    interface: Interface
    """The one that is tried; not ``AUTO``."""
    before: Mapping[str, str] = field(default_factory=surroundings)
    """What the process looked like before the first check."""

    @property
    def info(self) -> FmuInfo:
        """What the FMU says of itself."""
        return self.unpacked.info

    @property
    def is_spent(self) -> bool:
        """Whether the FMU has answered `fatal`: nothing of it may be called again in this process."""
        return answered_fatal(self.unpacked)

    @cached_property
    def times(self) -> TrialTimes:
        """Step and length of the runs."""
        return trial_times(self.info, self.options)

    @cached_property
    def array_size(self) -> str | None:
        """Structural parameter that sets the number of devices, where the outputs are arrays of that size."""
        return array_size_of(self.info)

    @cached_property
    def inputs(self) -> tuple[FmuVariable, ...]:
        """Inputs that are set in each step."""
        return input_variables(self.info)

    @cached_property
    def watched(self) -> tuple[FmuVariable, ...]:
        """Outputs, or local variables where there are none."""
        return watched_variables(self.info)

    @cached_property
    def base(self) -> Run:
        """The run that others are compared with: one device, the step of ``times``."""
        return self.run()

    @contextmanager
    def engine(self, *, size: int = 1, interface: Interface | None = None) -> Iterator[Engine]:
        """Yield ``size`` initialised devices and close them."""
        spec = self.spec(size=size)
        engine = open_engine(self.unpacked, spec if interface is None else replace(spec, interface=interface))
        try:
            yield engine
        finally:
            engine.close()

    def spec(self, *, size: int) -> FleetSpec:
        """Return a fleet whose wires are the variables of the FMU in its own units."""
        return FleetSpec(
            label="trial",
            file=self.info.file,
            size=size,
            inputs=tuple(Wire(signal=entry.name, variable=entry.name) for entry in self.inputs),
            outputs=tuple(Wire(signal=entry.name, variable=entry.name) for entry in self.watched),
            parameters=self.options.parameters,
            interface=self.interface,
            array_size=self.array_size,
            trusted=True,
        )

    def held_inputs(self, size: int = 1) -> FloatArray:
        """Return the inputs at their start values, shape (inputs, size)."""
        values = [start_number(entry, self.options) for entry in self.inputs]
        return np.repeat(np.array(values, dtype=np.float64)[:, np.newaxis], size, axis=1)

    def advance(self, engine: Engine, *, first: int, stop: int) -> FloatArray:
        """Make the steps from ``first`` to ``stop`` with the inputs held.

        Returns the watched variables after each step, shape (stop - first, variables, devices).
        """
        values, _ = self._advance(engine, first=first, stop=stop, refined=1)
        return values

    def run(self, *, size: int = 1, refined: int = 1, interface: Interface | None = None) -> Run:
        """Make a run of ``times`` with ``refined`` communication steps for each of its steps."""
        n_steps = self.times.n_steps
        with self.engine(size=size, interface=interface) as engine:
            before = engine.outputs()
            begin = time.perf_counter()
            after, means = self._advance(engine, first=0, stop=n_steps, refined=refined)
            seconds = time.perf_counter() - begin
        return Run(
            values=np.concatenate([before[np.newaxis], after]),
            means=means,
            refined=refined,
            seconds_per_step=seconds / (n_steps * refined),
        )

    def _advance(
        self, engine: Engine, *, first: int, stop: int, refined: int
    ) -> tuple[FloatArray, FloatArray]:
        step_s, inputs = self.times.step_s / refined, self.held_inputs(engine.size)
        values = np.empty((stop - first, len(self.watched), engine.size))
        means = np.zeros_like(values)
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(first * refined, stop * refined):
                place = step // refined - first
                values[place] = engine.advance(inputs, time_s=step * step_s, dt_s=step_s)
                means[place] += values[place] / refined
        return values, means


def relative_difference(one: Run, other: Run) -> FloatArray:
    """Return for each variable how far two runs are apart, as a share of how much it varies in ``other``.

    An output may be a value at the end of a step, a mean of the step, or an amount in the step (such as the energy
    lost in it): each is compared as what makes it agree best. Shape (variables,), the largest of the devices.
    """
    ways = (
        (one.values[1:], other.values[1:]),
        (one.means, other.means),
        (one.means * one.refined, other.means * other.refined),
    )
    least: FloatArray = np.min([_share_apart(*way) for way in ways], axis=0)
    return least


def _share_apart(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the mean difference over time, so that an event that comes a step later counts little."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.abs(one - other).mean(axis=0)
        scale = np.maximum(np.ptp(other, axis=0), _FLAT * np.abs(other).max(axis=0))
        share = np.divide(apart, scale, out=np.full_like(apart, np.inf), where=scale > 0)
    share[apart == 0] = 0.0
    share[~np.isfinite(share)] = np.inf
    largest: FloatArray = share.max(axis=1)
    return largest
