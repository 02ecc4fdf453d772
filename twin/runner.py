"""Runs every strategy of a scenario on the same feeder and days, and stores what comes out."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from twin.clock import ZONE
from twin.control.management.levels import level_of
from twin.errors import StoreError
from twin.live.session import check_live
from twin.prepare import Prepared, prepare
from twin.results import Manifest, RunStatus, create_run_folder, layout, write_manifest
from twin.results.disk import write_atomic
from twin.runner_files import cautions_of, feeder_json, notes_of
from twin.runner_reinforcement import reinforcement_json
from twin.runner_strategy import Progress, RunOptions, SilentProgress, StrategyResult, run_strategy
from twin.scenario import LoadedScenario

__all__ = ["Progress", "RunOptions", "RunResult", "SilentProgress", "StrategyResult", "run"]


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
    def interrupted(self) -> bool:
        """True if the user stopped a run in real time, which ends in order."""
        return any(entry.status is RunStatus.INTERRUPTED for entry in self.strategies)

    @property
    def invalid(self) -> bool:
        """True if a run in real time does not count: too late, or too many readings missing."""
        return any(entry.live is not None and entry.live.invalid for entry in self.strategies)

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
    if options.replay is None:
        check_live(prepared.plant.hil, loaded.scenario.live, options.live.mode)
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
            result, steps = run_strategy(folder, prepared, name, progress=progress, options=options)
            manifest = _noted(manifest, result, steps)
            results.append(result)
            progress.end(name, result.status)
            if result.status is RunStatus.INTERRUPTED:
                break
    except BaseException as error:
        status = RunStatus.INTERRUPTED if isinstance(error, KeyboardInterrupt) else RunStatus.FAILED
        _try_to_finish(folder, manifest, status)
        raise
    outcome = RunResult(folder=folder, strategies=tuple(results), cautions=manifest.cautions)
    _write_reinforcement(folder, prepared, outcome)
    status = RunStatus.FAILED if outcome.failed else RunStatus.FINISHED
    status = RunStatus.INTERRUPTED if outcome.interrupted else status
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


def _noted(manifest: Manifest, result: StrategyResult, steps: int) -> Manifest:
    """Return the manifest with what became of a strategy."""
    cautions = [f"{result.label}: {event}" for event in result.told]
    if result.live is not None:
        cautions += [f"{result.label}: the run does not count: {reason}" for reason in result.live.invalid]
        manifest = manifest.with_live(result.name, live=result.live.details, invalid=result.live.invalid)
    manifest = manifest.with_cautions(*cautions)
    return manifest.with_strategy(result.name, result.status, steps_done=steps, message=result.message)


def _try_to_finish(folder: Path, manifest: Manifest, status: RunStatus) -> None:
    try:
        write_manifest(folder, manifest.finish(status, finished=datetime.now(UTC)))
    except StoreError:
        # The disk that stopped the run may refuse this too; the manifest then reads as unfinished.
        return
