"""Questions to big runs, answered by DuckDB without reading everything into memory. The only user of DuckDB.

All functions see the finished parts and the tail, and only what the run stores (``Detail``).
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twin.errors import RunFolderError
from twin.results.part import ENTITY, STEP, FloatArray
from twin.results.reader import StrategyReader
from twin.signals import signal

__all__ = [
    "mean_over_steps",
    "quantiles_over_all",
    "quantiles_over_entities",
    "quantiles_over_steps",
    "series_of_entity",
    "sum_over_entities",
]

Float64Array = NDArray[np.float64]


def sum_over_entities(strategy: StrategyReader, key: str) -> Float64Array:
    """Return the sum over all stored entities in each step, shape (T,) in the unit of the signal.

    Rounded signals are summed as whole quanta, so the result does not depend on the order of the rows.

    Raises:
        RunFolderError: the run does not store the signal.
    """
    quantum = signal(key).quantum if strategy.has(key) else 0.0
    if quantum == 0.0:
        return _grouped(strategy, key, "sum(value)", by=STEP)
    per_unit = round(1.0 / quantum)
    quanta = f"sum(round(value * {per_unit})::BIGINT)::DOUBLE"
    return _grouped(strategy, key, f"{quanta} / {per_unit}", by=STEP)


def mean_over_steps(strategy: StrategyReader, key: str, *, steps: int) -> Float64Array:
    """Return means over windows of ``steps`` steps, shape (ceil(T / steps), N); the last window may be shorter.

    Raises:
        RunFolderError: the run does not store the signal.
        ValueError: ``steps`` is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    means = _grouped(strategy, key, "avg(value)", by=f"{STEP}, {ENTITY}", window=steps)
    return means.reshape(-1, len(strategy.names(signal(key).axis)))


def quantiles_over_entities(strategy: StrategyReader, key: str, q: Sequence[float]) -> Float64Array:
    """Return quantiles over the stored entities in each step, shape (T, len(q)), linear between neighbours.

    Raises:
        RunFolderError: the run does not store the signal.
        ValueError: a quantile outside 0..1.
    """
    return _quantiles(strategy, key, q, by=STEP)


def quantiles_over_steps(strategy: StrategyReader, key: str, q: Sequence[float]) -> Float64Array:
    """Return quantiles over all steps for each stored entity, shape (N, len(q)), linear between neighbours.

    Raises:
        RunFolderError: the run does not store the signal.
        ValueError: a quantile outside 0..1.
    """
    return _quantiles(strategy, key, q, by=ENTITY)


def quantiles_over_all(
    strategy: StrategyReader, key: str, q: Sequence[float], *, names: Collection[str]
) -> Float64Array:
    """Return quantiles over all steps of the entities in ``names`` together, shape (len(q),), linear between neighbours.

    Raises:
        RunFolderError: the run does not store the signal or one of the entities.
        ValueError: a quantile outside 0..1, or no names.
    """
    shares = _shares(q)
    if not names:
        raise ValueError("names must hold at least one entity")
    with _rows(strategy, key) as rows:
        axis = signal(key).axis
        missing = sorted(set(names) - set(strategy.names(axis)))
        if missing:
            raise RunFolderError(
                f"{strategy.folder}: no {axis.value} {missing[0]!r} is stored; check the name"
            )
        wanted = [place for place, name in enumerate(strategy.all_names(axis)) if name in set(names)]
        chosen = rows.filter(f"{ENTITY} IN ({', '.join(map(str, wanted))})")
        (outcome,) = chosen.aggregate(f"quantile_cont(value, [{shares}])").fetchall()
    return np.asarray(outcome[0], dtype=np.float64)


def series_of_entity(strategy: StrategyReader, key: str, name: str) -> FloatArray:
    """Return a signal of one entity over the whole run, shape (T,).

    Raises:
        RunFolderError: the run does not store the signal or the entity.
    """
    with _rows(strategy, key) as rows:
        axis = signal(key).axis
        if name not in strategy.names(axis):
            raise RunFolderError(f"{strategy.folder}: no {axis.value} {name!r} is stored; check the name")
        position = strategy.all_names(axis).index(name)
        table = rows.filter(f"{ENTITY} = {position}").order(STEP).project("value").to_arrow_table()
        return np.asarray(table.column(0).to_numpy(), dtype=np.float32)


def _quantiles(strategy: StrategyReader, key: str, q: Sequence[float], *, by: str) -> Float64Array:
    return _grouped(strategy, key, f"quantile_cont(value, [{_shares(q)}])", by=by).reshape(-1, len(q))


def _shares(q: Sequence[float]) -> str:
    if not q or not all(0.0 <= share <= 1.0 for share in q):
        raise ValueError(f"quantiles must lie between 0 and 1, got {list(q)}")
    return ", ".join(repr(float(share)) for share in q)


def _grouped(
    strategy: StrategyReader, key: str, expression: str, *, by: str, window: int = 1
) -> Float64Array:
    """Return an aggregate of the rows of a signal in the order of its groups; lists one after the other."""
    with _rows(strategy, key) as rows:
        windows = rows.project(f"{STEP} // {window} AS {STEP}, {ENTITY}, value")
        groups = windows.aggregate(f"{by}, {expression} AS outcome", by).order(by)
        outcome = groups.project("outcome").to_arrow_table().column(0).combine_chunks()
    flat = outcome.flatten() if pa.types.is_list(outcome.type) else outcome
    return np.asarray(flat.to_numpy(), dtype=np.float64)


@contextmanager
def _rows(strategy: StrategyReader, key: str) -> Iterator[Any]:
    """Open an in-memory database on the rows of a signal: step, entity, value (double)."""
    if not strategy.has(key):
        raise RunFolderError(
            f"{strategy.folder}: no series of {key!r}; stored with detail {strategy.detail.value!r}: "
            "check the name or run again with output.detail: all"
        )
    entry = signal(key)
    files = [str(path) for path in strategy.part_files(entry.axis)]
    tail = strategy.tail_table(entry.axis)
    columns = f"{STEP}, {ENTITY}, {entry.name}::DOUBLE AS value"
    with duckdb.connect() as connection:
        sources = [connection.read_parquet(files)] if files else []
        if tail is not None:
            sources.append(connection.from_arrow(tail))
        if not sources:
            raise RunFolderError(f"{strategy.folder}: no step was stored; run again")
        projected = [source.project(columns) for source in sources]
        yield projected[0] if len(projected) == 1 else projected[0].union(projected[1])
