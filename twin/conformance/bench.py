"""What all checks share: the strategy, the plants, and how it played on the first of them."""

import gc
import math
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from twin.conformance.plants import Case
from twin.conformance.probes import seeded
from twin.conformance.results import CheckResult, Outcome
from twin.conformance.subject import Subject
from twin.conformance.watch import Keep, Played, Watch, play
from twin.control import Observation
from twin.errors import InputError

__all__ = ["LEVEL_CEMS", "Bench", "Limits", "failed", "not_repeatable", "passed", "skipped"]

LEVEL_CEMS = 2
"""Strategies of this level and above manage communities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What counts as too much."""

    decide_ms: float = 50.0
    """Median time of ``decide`` on the plant of 100 homes, or on that of the scenario."""
    memory_byte_per_step: float = 1024.0
    """Growth on the small plant: 35 MB in a year at 15 min."""
    step_share: float = 0.1
    """Share of the step that the slowest ``decide`` may take before advice is given."""

    def __post_init__(self) -> None:
        """Refuse a limit that nothing can keep.

        Raises:
            InputError: ``decide_ms`` is not a number above 0.
        """
        if not self.decide_ms > 0.0:
            raise InputError(
                f"limit of decide (--limit-ms): must be a number of milliseconds above 0, e.g. 50 (got {self.decide_ms:g})"
            )


@dataclass(kw_only=True, eq=False)
class Bench:
    """The strategy on its test bench."""

    subject: Subject
    case: Case
    """Plant of most checks."""
    crowd: Case
    """Plant on which time is measured."""
    limits: Limits
    clock: Callable[[], float]
    base: Played = field(default_factory=Played)
    """How it played on ``case``, with everything measured."""
    level: int | None = None
    """Level of management that it declares."""
    repeats: bool = True
    """It does the same on the same data; if not, comparing what it does tells nothing."""
    writable: bool = False
    """It writes into what it sees; from then on it gets copies, so that the other checks can be made."""

    def rehearse(self) -> None:
        """Play the case for the checks that only look at what was done."""
        self.base = self.play(self.case)
        if self.base.failure is not None and self.base.failure.wrote:
            first, self.writable = self.base, True
            self.base = self.play(self.case)
            self.base.changed |= first.changed | {
                f"what it sees ({first.failure.text})" if first.failure else ""
            }

    def play(self, case: Case, watch: Watch | None = None, *, seed: int = 0) -> Played:
        """Return what a fresh controller does, with the global random states set to ``seed`` first."""
        watch = Watch() if watch is None else watch
        with seeded(seed):
            return play(self.subject.make, case, replace(watch, writable=self.writable))

    def first_difference(self, played: Played) -> int | None:
        """Return the first step in which another play differs from that on the case; None if they are equal."""
        pairs = zip(self.base.proposals, played.proposals, strict=True)
        return next((step for step, (one, other) in enumerate(pairs) if one != other), None)

    def growth_byte_per_step(self) -> float:
        """Return what Python and numpy hold more after each step of the third quarter of the case; NaN if it fails.

        What is kept for a day has been filled by then on two days, and tracing makes every step several times as slow.
        """
        n_steps = self.case.site.n_steps
        half, last = n_steps // 2, min(3 * n_steps // 4, n_steps - 1)
        held_byte: dict[int, int] = {}

        def count(seen: Observation) -> None:
            if seen.step in {half, last}:
                gc.collect()
                held_byte[seen.step] = tracemalloc.get_traced_memory()[0]

        was_tracing = tracemalloc.is_tracing()
        if not was_tracing:
            tracemalloc.start()
        try:
            self.play(self.case, Watch(before=count, keep=Keep.NOTHING, stop_after=last + 1))
        finally:
            if not was_tracing:
                tracemalloc.stop()
        if held_byte.keys() != {half, last}:
            return math.nan
        return (held_byte[last] - held_byte[half]) / (last - half)


def passed(name: str, title: str, evidence: str) -> CheckResult:
    """Return a check that found nothing."""
    return CheckResult(id=name, title=title, outcome=Outcome.PASSED, evidence=evidence)


def failed(name: str, title: str, evidence: str, remedy: str) -> CheckResult:
    """Return a check that found a breach."""
    return CheckResult(id=name, title=title, outcome=Outcome.FAILED, evidence=evidence, remedy=remedy)


def not_repeatable(name: str, title: str) -> CheckResult:
    """Return a check by comparison that was not made, because nothing can be learnt from it."""
    return skipped(name, title, "not repeatable")


def skipped(name: str, title: str, evidence: str) -> CheckResult:
    """Return a check that was not made."""
    return CheckResult(id=name, title=title, outcome=Outcome.SKIPPED, evidence=evidence)
