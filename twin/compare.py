"""The strategies of stored runs, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twin.errors import RunFolderError
from twin.kpis import KpiValue, Verdict, verdicts
from twin.report.feeder_file import read_context
from twin.report.sampling import read_values
from twin.results import RunReader, RunStatus, latest_run

__all__ = ["StoredColumn", "stored_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredColumn:
    """One strategy of one stored run."""

    values: tuple[KpiValue, ...]
    verdicts: tuple[Verdict, ...]


def stored_columns(folders: Sequence[Path]) -> dict[str, StoredColumn]:
    """Return the strategies of stored runs by label; with several runs the label starts with the run.

    Raises:
        RunFolderError: a folder is not a run, or no strategy has results.
    """
    columns: dict[str, StoredColumn] = {}
    for folder in folders:
        run = RunReader(latest_run(folder))
        context = read_context(run.folder)
        for name in run.strategies:
            state = run.manifest.strategies[name]
            if state.status is RunStatus.WAITING:
                continue
            values, _ = read_values(run.strategy(name), context)
            if values:
                partial = "" if state.status is RunStatus.FINISHED else f" ({state.status.value})"
                label = f"{state.label}{partial}"
                label = label if len(folders) == 1 else f"{run.folder.name}\n{label}"
                columns[label] = StoredColumn(values=values, verdicts=verdicts(values, context))
    if not columns:
        raise RunFolderError("no strategy with results in these runs; run the scenario again")
    return columns
