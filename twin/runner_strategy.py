"""Runs one strategy of a scenario: the world, its store and key figures, and devices on the wire around it."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from twin.errors import StoreError, TwinError
from twin.external.seam import metered
from twin.kpis import KPIS, KpiAccumulator, KpiValue, Verdict, verdicts
from twin.live.session import LiveOptions, LiveSession, LiveTold
from twin.live.strategy import open_session
from twin.prepare import Prepared, signal_names
from twin.results import Detail, RunStatus, StrategyWriter, layout
from twin.results.tables import write_rows
from twin.runner_files import selected_positions
from twin.runner_settle import Accounts
from twin.signals import Chunk
from twin.world import StrategyRun, run_world

__all__ = ["Progress", "RunOptions", "SilentProgress", "StrategyResult", "run_strategy"]


_STEPS_PER_PART = 86_400
"""A part of the store has a day at most, and no more steps than this: it is held in memory until it is written."""


class Progress(Protocol):
    """Follows a run."""

    def begin(self, strategy: str, n_steps: int) -> None:
        """Say that a strategy starts."""
        ...

    def step(self, strategy: str, done: int) -> None:
        """Say how many steps are done."""
        ...

    def end(self, strategy: str, status: RunStatus) -> None:
        """Say how a strategy ended."""
        ...


class SilentProgress:
    """Says nothing."""

    def begin(self, strategy: str, n_steps: int) -> None:
        """Do nothing."""

    def step(self, strategy: str, done: int) -> None:
        """Do nothing."""

    def end(self, strategy: str, status: RunStatus) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run differs from what the scenario file says."""

    strategies: Sequence[str] | None = None
    """Names to run; None for all."""
    out: Path | str = Path("results")
    """Folder that gets ``<scenario>/<run>/``."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Scenario values that were overridden, for the manifest."""
    live: LiveOptions = field(default_factory=LiveOptions)
    """What may be done to devices on the wire."""
    replay: Path | None = None
    """Folder of a run whose recorded devices take the place of those on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyResult:
    """What came out of one strategy."""

    name: str
    label: str
    status: RunStatus
    message: str
    values: tuple[KpiValue, ...]
    verdicts: tuple[Verdict, ...]
    told: tuple[str, ...] = ()
    """What devices had to tell, in words."""
    live: LiveTold | None = None
    """Of a run in real time."""


class _Work:
    """One strategy while it runs."""

    def __init__(self, folder: Path, prepared: Prepared, name: str, options: RunOptions) -> None:
        self._folder, self._prepared, self._name, self._options = folder / name, prepared, name, options
        self._kpis, self._accounts = KpiAccumulator(prepared.context), Accounts(prepared)
        self._session: LiveSession | None = None
        self._told: tuple[str, ...] = ()
        self.controller, self._forecast = prepared.controller(name)
        self.writer = StrategyWriter(
            self._folder,
            names=signal_names(prepared),
            detail=Detail(prepared.loaded.scenario.output.detail),
            selected=selected_positions(prepared),
            steps_per_part=min(prepared.site.steps_per_day, _STEPS_PER_PART),
            on_chunk=self._on_chunk,
        )

    @property
    def is_live(self) -> bool:
        """Whether devices on the wire, or someone outside, take part."""
        return self._session is not None

    def run(self, on_step: Callable[[int], None]) -> None:
        """Run to the end; devices are released before this returns or raises."""
        with self.writer, ExitStack() as closing:
            self.writer.event("started", 0, strategy=self._name)
            self._session = open_session(
                closing,
                self._prepared,
                self.controller,
                folder=self._folder,
                live=self._options.live,
                recorded=None if self._options.replay is None else self._options.replay / self._name,
                tell=lambda step, text: self.writer.event("device", step, message=text),
            )
            self._told = run_world(self._strategy_run(), on_step)
            closing.close()
            self.writer.event("finished", self._prepared.plant.n_steps, strategy=self._name)

    def finished(self) -> StrategyResult:
        """Store and return the key figures of a run that came to its end."""
        closing = self._accounts.close(self.controller, self._kpis.battery_change_kwh())
        closing.write(self._folder, self._prepared)
        values = _in_order((*self._kpis.values(), *closing.values))
        write_rows(self._folder / layout.KPI, [asdict(value) for value in values])
        write_rows(self._folder / layout.ELEMENTS, self._kpis.elements())
        return self.ended(RunStatus.FINISHED, "", values=values)

    def ended(self, status: RunStatus, message: str, *, values: tuple[KpiValue, ...] = ()) -> StrategyResult:
        """Return how the strategy ended."""
        return StrategyResult(
            name=self._name,
            label=self._prepared.loaded.scenario.strategies[self._name].label,
            status=status,
            message=message,
            values=values,
            verdicts=verdicts(values, self._prepared.context) if values else (),
            told=self._told,
            live=None if self._session is None else self._session.told(),
        )

    def _on_chunk(self, chunk: Chunk) -> None:
        self._kpis.add(chunk)
        self._accounts.add(chunk)

    def _strategy_run(self) -> StrategyRun:
        prepared = self._prepared
        run = StrategyRun(
            plant=prepared.plant,
            feeder=prepared.feeder,
            engine=prepared.engine,
            controller=self.controller,
            site=prepared.site,
            forecast=self._forecast,
            sink=metered(self.writer, self.controller, prepared.plant),
            external=prepared.external,
        )
        session = self._session
        return run if session is None else replace(run, pace=session.pace, exchange=session.exchange)


def run_strategy(
    folder: Path, prepared: Prepared, name: str, *, progress: Progress, options: RunOptions
) -> tuple[StrategyResult, int]:
    """Run one strategy and return what came out of it, and the number of steps stored.

    A run in real time that the user stops ends in order: its status is INTERRUPTED.

    Raises:
        StoreError: results cannot be written.
        KeyboardInterrupt: the user stopped a run that is not live.
    """
    work = _Work(folder, prepared, name, options)
    try:
        work.run(lambda done: progress.step(name, done))
        return work.finished(), prepared.plant.n_steps
    except StoreError:
        raise
    except TwinError as error:
        work.writer.event("failed", work.writer.next_step, strategy=name, message=str(error))
        return work.ended(RunStatus.FAILED, str(error)), work.writer.next_step
    except KeyboardInterrupt:
        if not work.is_live:
            raise
        work.writer.event("interrupted", work.writer.next_step, strategy=name)
        return work.ended(RunStatus.INTERRUPTED, "stopped by the user"), work.writer.next_step


def _in_order(values: Sequence[KpiValue]) -> tuple[KpiValue, ...]:
    found = {value.name: value for value in values}
    return tuple(found[entry.name] for entry in KPIS if entry.name in found)
