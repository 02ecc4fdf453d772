"""How punctual a run was: one line per step on disk, and what they come to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.results.events import append_event, read_events
from twin.simulators.pace import StepTiming

__all__ = ["TimingLog", "TimingSummary", "read_timing", "summary_of"]

_JUMP_S = 1.0
"""A wall clock that moved this far against the monotonic one has been set, or the machine slept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingSummary:
    """The punctuality of a run."""

    tick_s: float
    n_steps: int
    lateness_p50_s: float
    lateness_p99_s: float
    lateness_max_s: float
    work_p50_s: float
    work_max_s: float
    late_share: float
    """Share of the steps that started later than the limit."""
    late_limit_s: float
    lost_ticks: int
    clock_jumps: int
    """Steps between which the wall clock was set or the machine slept."""

    @property
    def text(self) -> str:
        """One sentence for a report."""
        return (
            f"{self.n_steps} steps, one every {self.tick_s:g} s: started {self.lateness_p50_s * 1e3:.1f} ms late in the "
            f"median, {self.lateness_p99_s * 1e3:.1f} ms at the 99th percentile, {self.lateness_max_s * 1e3:.1f} ms at most; "
            f"{self.late_share * 100:.1f} % later than {self.late_limit_s * 1e3:.0f} ms, {self.lost_ticks} ticks lost; a step took "
            f"{self.work_p50_s * 1e3:.1f} ms in the median, {self.work_max_s * 1e3:.1f} ms at most"
        )


class TimingLog:
    """Takes the timing of each step and keeps it on disk."""

    def __init__(self, path: Path, *, tick_s: float, late_limit_s: float) -> None:
        self._path = path
        self._tick_s = tick_s
        self._late_limit_s = late_limit_s
        self._seen: list[StepTiming] = []

    def add(self, timing: StepTiming) -> None:
        """Store one step; ``StoreError`` where the file cannot be written."""
        append_event(self._path, asdict(timing))
        self._seen.append(timing)

    def summary(self) -> TimingSummary | None:
        """Return the punctuality so far; None before the first step has ended."""
        return (
            summary_of(self._seen, tick_s=self._tick_s, late_limit_s=self._late_limit_s)
            if self._seen
            else None
        )


def summary_of(timings: Sequence[StepTiming], *, tick_s: float, late_limit_s: float) -> TimingSummary:
    """Return the punctuality of at least one step."""
    late = np.array([entry.lateness_s for entry in timings])
    work = np.array([entry.work_s for entry in timings])
    jump = np.array([entry.clock_jump_s for entry in timings])
    return TimingSummary(
        tick_s=tick_s,
        n_steps=len(timings),
        lateness_p50_s=_quantile(late, 0.5),
        lateness_p99_s=_quantile(late, 0.99),
        lateness_max_s=float(late.max()),
        work_p50_s=_quantile(work, 0.5),
        work_max_s=float(work.max()),
        late_share=float((late > late_limit_s).mean()),
        late_limit_s=late_limit_s,
        lost_ticks=timings[-1].lost_ticks,
        clock_jumps=int((np.abs(np.diff(jump, prepend=0.0)) > _JUMP_S).sum()),
    )


def read_timing(path: Path) -> tuple[StepTiming, ...]:
    """Return the stored timing of a run, none for a run that was not live."""
    return tuple(StepTiming(**record) for record in read_events(path))


def _quantile(values: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values, share))
