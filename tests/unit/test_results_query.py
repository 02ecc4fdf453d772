"""Questions to stored runs against the same answers from arrays."""

import csv
from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from twin.errors import RunFolderError, StoreError
from twin.results import query
from twin.results.export import export_csv
from twin.results.layout import Detail
from twin.results.reader import StrategyReader
from twin.results.writer import StrategyWriter
from twin.signals import RECORDED, Axis

NAMES = {Axis.FEEDER: ("feeder",), Axis.BUS: ("b0", "b'1", "b,2"), Axis.TRAFO: ("t",)}


def values_of(step):
    return {
        s.key: np.sin(1.0 + n + 0.37 * step + 11.0 * np.arange(len(NAMES[s.axis])))
        for n, s in enumerate(RECORDED)
        if s.axis in NAMES
    }


@pytest.fixture(params=[8, 10, 3], ids=["parts only", "parts and tail", "tail only"])
def strategy(tmp_path, request):
    """Parts of 4 steps; what is left is in the tail. Only two of the three buses are stored."""
    writer = StrategyWriter(
        tmp_path / "it's none",
        names=NAMES,
        detail=Detail.SELECTED,
        selected={Axis.BUS: np.array([1, 2])},
        steps_per_part=4,
        on_chunk=lambda _: None,
    )
    for step in range(request.param):
        writer.append(step, values_of(step))
    writer.flush()
    yield StrategyReader(tmp_path / "it's none")
    writer.close()


def test_the_sum_over_entities_is_the_sum_of_the_stored_values(strategy):
    sums = query.sum_over_entities(strategy, "bus.vm_pu")
    np.testing.assert_allclose(
        sums, strategy.series("bus.vm_pu").astype(float).sum(axis=1), rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(sums, np.round(sums * 1e5) / 1e5)
    residual = query.sum_over_entities(strategy, "feeder.residual_kva")
    np.testing.assert_array_equal(residual, strategy.series("feeder.residual_kva")[:, 0].astype(float))


def test_quantiles_over_entities_and_over_steps_are_those_of_numpy(strategy):
    vm_pu = strategy.series("bus.vm_pu").astype(float)
    q = [0.99, 0.0, 0.5]
    np.testing.assert_allclose(
        query.quantiles_over_entities(strategy, "bus.vm_pu", q), np.quantile(vm_pu, q, axis=1).T, rtol=1e-12
    )
    np.testing.assert_allclose(
        query.quantiles_over_steps(strategy, "bus.vm_pu", q), np.quantile(vm_pu, q, axis=0).T, rtol=1e-12
    )


def test_means_over_windows_keep_the_short_last_window(strategy):
    vm_pu = strategy.series("bus.vm_pu").astype(float)
    windows = [vm_pu[start : start + 3].mean(axis=0) for start in range(0, len(vm_pu), 3)]
    np.testing.assert_allclose(query.mean_over_steps(strategy, "bus.vm_pu", steps=3), windows, rtol=1e-12)


def test_one_entity_is_found_by_its_name(strategy):
    np.testing.assert_array_equal(
        query.series_of_entity(strategy, "bus.vm_pu", "b,2"), strategy.series("bus.vm_pu")[:, 1]
    )
    with pytest.raises(RunFolderError, match="no bus 'b0' is stored"):
        query.series_of_entity(strategy, "bus.vm_pu", "b0")


def test_questions_that_make_no_sense_are_refused(strategy):
    with pytest.raises(RunFolderError, match=r"no series of 'line\.loading_percent'"):
        query.sum_over_entities(strategy, "line.loading_percent")
    with pytest.raises(RunFolderError, match=r"no series of 'bus\.nothing'"):
        query.sum_over_entities(strategy, "bus.nothing")
    for q in ([], [1.5], [float("nan")]):
        with pytest.raises(ValueError, match="quantiles must lie between 0 and 1"):
            query.quantiles_over_steps(strategy, "bus.vm_pu", q)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        query.mean_over_steps(strategy, "bus.vm_pu", steps=0)


def test_a_run_without_steps_answers_nothing(tmp_path):
    writer = StrategyWriter(
        tmp_path / "none",
        names=NAMES,
        detail=Detail.ALL,
        selected={},
        steps_per_part=4,
        on_chunk=lambda _: None,
    )
    with suppress(StoreError):
        writer.close()
    with pytest.raises(RunFolderError, match="no step was stored"):
        query.sum_over_entities(StrategyReader(tmp_path / "none"), "bus.vm_pu")


def test_the_export_is_a_table_with_utc_times_and_quoted_names(strategy, tmp_path):
    path = tmp_path / "bus.csv"
    start = datetime(2026, 7, 1, tzinfo=ZoneInfo("Europe/Rome"))
    export_csv(strategy, Axis.BUS, path, start=start, dt_s=900)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["time_utc", "bus", "vm_pu"]
    assert [row[:2] for row in rows[:3]] == [
        ["2026-06-30T22:00:00Z", "b'1"],
        ["2026-06-30T22:00:00Z", "b,2"],
        ["2026-06-30T22:15:00Z", "b'1"],
    ]
    values = np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(values, strategy.series("bus.vm_pu"))


def test_an_export_of_what_is_not_stored_or_has_no_zone_is_refused(strategy, tmp_path):
    with pytest.raises(RunFolderError, match="no line is stored"):
        export_csv(
            strategy,
            Axis.LINE,
            tmp_path / "x.csv",
            start=datetime(2026, 7, 1, tzinfo=ZoneInfo("UTC")),
            dt_s=900,
        )
    naive = datetime(2026, 7, 1)  # noqa: DTZ001  # the mistake under test
    with pytest.raises(ValueError, match="time zone"):
        export_csv(strategy, Axis.BUS, tmp_path / "x.csv", start=naive, dt_s=900)
