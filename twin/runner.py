"""Runs every strategy of a scenario on the same feeder and days, and stores what comes out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from twin.clock import ZONE
from twin.control.management.levels import level_of
from twin.errors import StoreError, TwinError
from twin.kpis import KPIS, KpiAccumulator, KpiValue, Verdict, verdicts
from twin.prepare import Prepared, prepare, signal_names
from twin.results import (
    Detail,
    Manifest,
    RunStatus,
    StrategyWriter,
    create_run_folder,
    layout,
    write_manifest,
)
from twin.results.disk import write_atomic
from twin.results.tables import write_rows
from twin.runner_files import cautions_of, feeder_json, notes_of, selected_positions
from twin.runner_reinforcement import reinforcement_json
from twin.runner_settle import Accounts
from twin.scenario import LoadedScenario
from twin.signals import Chunk
from twin.units import SECONDS_PER_DAY
from twin.world import StrategyRun, run_world

__all__ = ["Progress", "RunOptions", "RunResult", "SilentProgress", "StrategyResult", "run"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyResult:
    """What came out of one strategy."""

    name: str
    label: str
    status: RunStatus
    message: str
    values: tuple[KpiValue, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What came out of a run."""

    folder: Path
    strategies: tuple[StrategyResult, ...]
    cautions: tuple[str, ...] = ()
    """Sentences without which the key figures mislead."""

    @property
    def failed(self) -> tuple[StrategyResult, ...]:
        """Strategies that did not finish."""
        return tuple(entry for entry in self.strategies if entry.status is not RunStatus.FINISHED)

    @property
    def violated(self) -> bool:
        """True if a limit is violated by any strategy."""
        return any(verdict.status == "fail" for entry in self.strategies for verdict in entry.verdicts)


def run(
    loaded: LoadedScenario, options: RunOptions | None = None, progress: Progress | None = None
) -> RunResult:
    """Run the strategies of a scenario and store the results.

    A strategy that fails does not stop the others: its steps so far are kept and its status says so.

    Raises:
        ScenarioError: the scenario does not fit the feeder; nothing is written.
        StoreError: results cannot be written.
    """
    options = RunOptions() if options is None else options
    progress = SilentProgress() if progress is None else progress
    prepared = prepare(loaded, options.strategies)
    created = datetime.now(UTC)
    stamp = created.astimezone(ZONE)
    folder = create_run_folder(Path(options.out), loaded.scenario.name, stamp)
    manifest = _begin(prepared, options, created)
    _write_inputs(folder, prepared, manifest)
    results: list[StrategyResult] = []
    try:
        for name in prepared.strategies:
            progress.begin(name, prepared.plant.n_steps)
            manifest = manifest.with_strategy(name, RunStatus.RUNNING)
            write_manifest(folder, manifest)
            result, steps, told = _run_strategy(folder, prepared, name, progress)
            manifest = manifest.with_cautions(*(f"{result.label}: {event}" for event in told))
            manifest = manifest.with_strategy(name, result.status, steps_done=steps, message=result.message)
            results.append(result)
            progress.end(name, result.status)
    except BaseException as error:
        status = RunStatus.INTERRUPTED if isinstance(error, KeyboardInterrupt) else RunStatus.FAILED
        _try_to_finish(folder, manifest, status)
        raise
    outcome = RunResult(folder=folder, strategies=tuple(results), cautions=manifest.cautions)
    _write_reinforcement(folder, prepared, outcome)
    status = RunStatus.FAILED if outcome.failed else RunStatus.FINISHED
    write_manifest(folder, manifest.finish(status, finished=datetime.now(UTC)))
    return outcome


def _begin(prepared: Prepared, options: RunOptions, created: datetime) -> Manifest:
    loaded = prepared.loaded
    scenario = loaded.scenario
    manifest = Manifest.begin(
        scenario=scenario.name,
        scenario_sha256=loaded.sha256,
        seed=scenario.seed,
        created=created,
        n_steps=prepared.plant.n_steps,
        dt_s=prepared.plant.dt_s,
        labels={name: scenario.strategies[name].label for name in prepared.strategies},
    )
    return (
        manifest.with_details(engine_check=asdict(prepared.engine_check), options=options.changed)
        .with_notes(*notes_of(prepared))
        .with_cautions(*cautions_of(prepared))
    )


def _write_inputs(folder: Path, prepared: Prepared, manifest: Manifest) -> None:
    write_manifest(folder, manifest)
    write_atomic(folder / layout.SCENARIO, prepared.loaded.resolved_yaml(relative_to=folder).encode())
    write_atomic(folder / layout.FEEDER, _json(feeder_json(prepared)))
    write_atomic(folder / layout.CONTEXT, _json(prepared.context.to_dict()))


def _write_reinforcement(folder: Path, prepared: Prepared, outcome: RunResult) -> None:
    terms = prepared.loaded.scenario.reinforcement
    found = {entry.name: entry.values for entry in outcome.strategies if entry.values}
    if terms is not None and found:
        levels = {name: level_of(prepared.controller(name)[0]) for name in found}
        content = reinforcement_json(found, prepared.context.limits, terms, levels=levels)
        write_atomic(folder / layout.REINFORCEMENT, _json(content))


def _json(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode()


def _run_strategy(
    folder: Path, prepared: Prepared, name: str, progress: Progress
) -> tuple[StrategyResult, int, tuple[str, ...]]:
    """Return what came out of a strategy, the number of steps stored, and what devices had to tell."""
    label = prepared.loaded.scenario.strategies[name].label
    accumulator, accounts = KpiAccumulator(prepared.context), Accounts(prepared)

    def on_chunk(chunk: Chunk) -> None:
        accumulator.add(chunk)
        accounts.add(chunk)

    writer = _writer(folder / name, prepared, on_chunk)
    work = _work(prepared, name, writer)
    try:
        with writer:
            writer.event("started", 0, strategy=name)
            told = run_world(work, lambda done: progress.step(name, done))
        closing = accounts.close(work.controller, accumulator.battery_change_kwh())
        writer.event("finished", prepared.plant.n_steps, strategy=name)
    except StoreError:
        raise
    except TwinError as error:
        writer.event("failed", writer.next_step, strategy=name, message=str(error))
        failed = StrategyResult(
            name=name, label=label, status=RunStatus.FAILED, message=str(error), values=(), verdicts=()
        )
        return failed, writer.next_step, ()
    closing.write(folder / name, prepared)
    values = _in_order((*accumulator.values(), *closing.values))
    write_rows(folder / name / layout.KPI, [asdict(value) for value in values])
    write_rows(folder / name / layout.ELEMENTS, accumulator.elements())
    finished = StrategyResult(
        name=name,
        label=label,
        status=RunStatus.FINISHED,
        message="",
        values=values,
        verdicts=verdicts(values, prepared.context),
    )
    return finished, prepared.plant.n_steps, told


def _in_order(values: Sequence[KpiValue]) -> tuple[KpiValue, ...]:
    found = {value.name: value for value in values}
    return tuple(found[entry.name] for entry in KPIS if entry.name in found)


def _writer(folder: Path, prepared: Prepared, on_chunk: Callable[[Chunk], None]) -> StrategyWriter:
    return StrategyWriter(
        folder,
        names=signal_names(prepared),
        detail=Detail(prepared.loaded.scenario.output.detail),
        selected=selected_positions(prepared),
        steps_per_part=SECONDS_PER_DAY // prepared.plant.dt_s,
        on_chunk=on_chunk,
    )


def _work(prepared: Prepared, name: str, sink: StrategyWriter) -> StrategyRun:
    controller, forecast = prepared.controller(name)
    return StrategyRun(
        plant=prepared.plant,
        feeder=prepared.feeder,
        engine=prepared.engine,
        controller=controller,
        site=prepared.site,
        forecast=forecast,
        sink=sink,
        external=prepared.external,
    )


def _try_to_finish(folder: Path, manifest: Manifest, status: RunStatus) -> None:
    try:
        write_manifest(folder, manifest.finish(status, finished=datetime.now(UTC)))
    except StoreError:
        # The disk that stopped the run may refuse this too; the manifest then reads as unfinished.
        return
