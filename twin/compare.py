"""The strategies of stored runs, side by side."""

from collections.abc import ItemsView, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twin.errors import RunFolderError
from twin.kpis import KpiContext, KpiValue, Verdict
from twin.report.clock import Clock
from twin.report.feeder_file import read_context, read_feeder
from twin.report.incomplete import judged, steps_label
from twin.report.sampling import open_strategy, read_values
from twin.results import RunReader, latest_run

__all__ = ["StoredColumn", "StoredColumns", "stored_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumn:
    """One strategy of one stored run."""

    values: tuple[KpiValue, ...]
    verdicts: tuple[Verdict, ...]
    steps_done: int
    steps_planned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumns:
    """The strategies of stored runs by label, and what a reader must know about the runs."""

    columns: dict[str, StoredColumn]
    legend: tuple[str, ...]
    """One line per run: its number in the labels, scenario, folder, period and step."""
    warnings: tuple[str, ...]
    """What keeps the runs from being compared like for like."""

    def items(self) -> ItemsView[str, StoredColumn]:
        """Return label and column of each strategy."""
        return self.columns.items()

    @property
    def incomplete(self) -> tuple[str, ...]:
        """Labels of the strategies that did not run to their end."""
        return tuple(
            label for label, column in self.columns.items() if column.steps_done < column.steps_planned
        )


class _Run:
    """One of the runs compared."""

    def __init__(self, number: int, given: Path) -> None:
        self.number = number
        self.given = given
        self.reader = RunReader(latest_run(given))
        self.folder = self.reader.folder
        self.context: KpiContext = read_context(self.folder)
        self.feeder: dict[str, Any] = read_feeder(self.folder)[1]
        self.gaps: list[str] = []

    @property
    def clock(self) -> Clock:
        return Clock(
            start_utc_s=self.context.start_utc_s, dt_s=self.context.dt_s, n_steps=self.context.n_steps
        )

    @property
    def period(self) -> str:
        return f"{self.clock.label(0)} to {self.clock.label(self.clock.n_steps)}"

    def legend(self) -> str:
        taken = "" if self.given == self.folder else f" (the last run in {self.given})"
        scenario = self.reader.manifest.scenario
        return f"[{self.number}] {scenario}: {self.folder}{taken}, {self.period}, step {self.clock.step_text}"

    def columns(self, start: str) -> dict[str, StoredColumn]:
        """Return the strategies that have results; what has none is noted in ``gaps``."""
        states = self.reader.manifest.strategies
        planned = self.context.n_steps
        found: dict[str, StoredColumn] = {}
        for name, state in states.items():
            same = [other for other in states.values() if other.label == state.label]
            label = start + (state.label if len(same) == 1 else f"{state.label} ({name})")
            reader = open_strategy(self.reader, name)
            values = () if reader is None else read_values(reader, self.context)[0]
            done = 0 if reader is None else reader.last_step + 1
            if not values:
                why = f": {state.message}" if state.message else ""
                self.gaps.append(
                    f"{label} has no key figures ({done} of {planned} steps, {state.status.value}{why})"
                )
                continue
            found[steps_label(label, done, planned)] = StoredColumn(
                values=values,
                verdicts=judged(values, self.context, done),
                steps_done=done,
                steps_planned=planned,
            )
        return found


def stored_columns(folders: Sequence[Path]) -> StoredColumns:
    """Return the strategies of stored runs by label; with several runs the label starts with the run's number.

    Raises:
        RunFolderError: a folder is not a run, or no strategy has results.
    """
    runs = [_Run(number, folder) for number, folder in enumerate(folders, start=1)]
    columns: dict[str, StoredColumn] = {}
    for run in runs:
        columns |= run.columns(f"[{run.number}] " if len(runs) > 1 else "")
    gaps = [gap for run in runs for gap in run.gaps]
    if not columns:
        reasons = f": {'; '.join(gaps)}" if gaps else ""
        raise RunFolderError(
            f"no strategy with results in {', '.join(str(run.folder) for run in runs)}{reasons}; "
            "run the scenario again"
        )
    legend = [run.legend() for run in runs] if len(runs) > 1 or runs[0].given != runs[0].folder else []
    return StoredColumns(columns=columns, legend=tuple(legend), warnings=(*_unlike(runs), *gaps))


def _unlike(runs: Sequence[_Run]) -> list[str]:
    """Return in what the runs differ though a comparison needs it to be the same."""
    first, *others = runs
    lines = [
        f"[{run.number}] is the same run as [{before.number}]"
        for run in others
        for before in runs[: run.number - 1]
        if run.folder.resolve() == before.folder.resolve()
    ][:1]
    questions = (
        ("feeder", [str(run.feeder.get("sha256", run.feeder["name"])) for run in runs]),
        ("period", [run.period for run in runs]),
        ("step", [run.clock.step_text for run in runs]),
    )
    for what, answers in questions:
        unlike = [
            f"[{run.number}]" for run, answer in zip(runs, answers, strict=True) if answer != answers[0]
        ]
        if unlike:
            lines.append(
                f"{', '.join(unlike)} and [{first.number}] differ in the {what}: "
                "their figures cannot be compared like for like"
            )
    return lines
