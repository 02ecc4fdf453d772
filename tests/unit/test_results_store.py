"""Writing a strategy and reading it back."""

import errno
import json
import resource
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from twin.errors import RunFolderError, StoreError
from twin.results import layout
from twin.results.layout import Detail
from twin.results.reader import StrategyReader
from twin.results.tables import read_columns, read_rows, write_columns, write_rows
from twin.results.tail import read_tail
from twin.results.writer import StrategyWriter
from twin.signals import RECORDED, Axis, Chunk, signal

NAMES = {
    Axis.FEEDER: ("feeder",),
    Axis.BUS: ("b0", "b1", "b2", "b3"),
    Axis.LINE: ("l0", "l1", "l2"),
    Axis.TRAFO: ("t0",),
    Axis.HOME: ("h0", "h1"),
    Axis.LOAD: ("d0", "d1"),
    Axis.PV: ("p0",),
    Axis.BATTERY: (),
    Axis.STATE: ("s0", "s1"),
}


@dataclass
class ManualClock:
    """A clock that moves when the test says so."""

    now_s: float = 0.0

    def monotonic_s(self):
        return self.now_s

    def utc_now(self):
        return datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)


def values_of(step, names=NAMES):
    """Different for every signal, step and entity, and not on the grid of any quantum."""
    return {
        entry.key: np.sin(1.0 + number + 0.37 * step + 11.0 * np.arange(len(names[entry.axis])))
        for number, entry in enumerate(RECORDED)
        if entry.axis in names
    }


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def open_writer(tmp_path, clock):
    def make(*, detail=Detail.ALL, steps_per_part=4, selected=None, on_chunk=lambda _: None, names=NAMES):
        writer = StrategyWriter(
            tmp_path / "none",
            names=names,
            detail=detail,
            selected={} if selected is None else selected,
            steps_per_part=steps_per_part,
            on_chunk=on_chunk,
            clock=clock,
        )
        writers.append(writer)
        return writer

    writers = []
    yield make
    for writer in writers:
        with suppress(StoreError):
            writer.close()


def write(writer, n_steps):
    with writer:
        for step in range(n_steps):
            writer.append(step, values_of(step))


def expected(key, n_steps):
    return np.stack([values_of(step)[key] for step in range(n_steps)])


def test_every_signal_comes_back_within_half_a_quantum_from_parts_and_a_short_last_part(
    open_writer, tmp_path
):
    write(open_writer(), 10)
    reader = StrategyReader(tmp_path / "none")
    assert reader.last_step == 9
    assert [path.name for path in reader.part_files(Axis.BUS)] == [f"part-0000{n}.parquet" for n in range(3)]
    for entry in RECORDED:
        series = reader.series(entry.key)
        assert series.dtype == np.float32
        assert series.shape == (10, len(NAMES[entry.axis]))
        tolerance = entry.quantum / 2 + 1e-7
        np.testing.assert_allclose(series, expected(entry.key, 10), rtol=0, atol=tolerance)


def test_stored_values_lie_on_the_grid_of_their_signal(open_writer, tmp_path):
    write(open_writer(), 6)
    vm_pu = StrategyReader(tmp_path / "none").series("bus.vm_pu")
    on_grid = (np.round(expected("bus.vm_pu", 6) * 1e5) / 1e5).astype(np.float32)
    np.testing.assert_array_equal(vm_pu, on_grid)


def test_chosen_entities_come_in_the_order_asked_for(open_writer, tmp_path):
    write(open_writer(), 6)
    reader = StrategyReader(tmp_path / "none")
    np.testing.assert_array_equal(reader.series("bus.vm_pu", [3, 0]), reader.series("bus.vm_pu")[:, [3, 0]])


def test_on_chunk_sees_every_signal_unrounded_and_keeps_its_arrays(open_writer):
    chunks: list[Chunk] = []
    write(open_writer(detail=Detail.KPI, on_chunk=chunks.append), 10)
    assert [(chunk.first_step, chunk.n_steps) for chunk in chunks] == [(0, 4), (4, 4), (8, 2)]
    assert list(chunks[0].arrays) == [entry.key for entry in RECORDED]
    for entry in RECORDED:
        joined = np.concatenate([chunk.arrays[entry.key] for chunk in chunks])
        np.testing.assert_array_equal(joined, expected(entry.key, 10).astype(np.float32))


def test_an_axis_without_entities_is_stored_as_empty(open_writer, tmp_path):
    write(open_writer(), 5)
    reader = StrategyReader(tmp_path / "none")
    assert not reader.has("battery.soc")
    assert reader.series("battery.soc").shape == (5, 0)
    assert not (tmp_path / "none" / "battery").exists()


def test_stored_chunks_equal_what_on_chunk_saw_but_for_the_rounding(open_writer, tmp_path):
    seen: list[Chunk] = []
    write(open_writer(on_chunk=seen.append), 10)
    stored = list(StrategyReader(tmp_path / "none").chunks())
    assert [(c.first_step, c.n_steps) for c in stored] == [(c.first_step, c.n_steps) for c in seen]
    for chunk, original in zip(stored, seen, strict=True):
        assert list(chunk.arrays) == list(original.arrays)
        for key, array in chunk.arrays.items():
            np.testing.assert_allclose(
                array, original.arrays[key], rtol=0, atol=signal(key).quantum / 2 + 1e-7
            )


def test_detail_kpi_stores_the_feeder_and_the_transformers_only(open_writer, tmp_path):
    write(open_writer(detail=Detail.KPI), 5)
    reader = StrategyReader(tmp_path / "none")
    assert {entry.axis for entry in RECORDED if reader.has(entry.key)} == {Axis.FEEDER, Axis.TRAFO}
    assert reader.names(Axis.BUS) == ()
    assert reader.all_names(Axis.BUS) == NAMES[Axis.BUS]
    with pytest.raises(RunFolderError, match=r"no series of 'bus\.vm_pu'; stored with detail 'kpi'"):
        reader.series("bus.vm_pu")
    with pytest.raises(RunFolderError, match=r"output\.detail: all"):
        reader.chunks()


def test_detail_selected_adds_the_chosen_entities_in_ascending_order(open_writer, tmp_path):
    write(open_writer(detail=Detail.SELECTED, selected={Axis.BUS: np.array([3, 1])}), 6)
    reader = StrategyReader(tmp_path / "none")
    assert reader.names(Axis.BUS) == ("b1", "b3")
    np.testing.assert_allclose(reader.series("bus.vm_pu"), expected("bus.vm_pu", 6)[:, [1, 3]], atol=1e-5)
    assert not reader.has("line.loading_percent")


def test_selected_positions_outside_the_axis_are_refused_before_anything_is_written(open_writer, tmp_path):
    with pytest.raises(ValueError, match=r"bus must lie in 0\.\.3"):
        open_writer(detail=Detail.SELECTED, selected={Axis.BUS: np.array([4])})
    assert not (tmp_path / "none").exists()


def test_a_writer_that_would_store_nothing_is_refused(open_writer, tmp_path):
    with pytest.raises(ValueError, match="nothing to store: no axis with entities at detail 'kpi'"):
        open_writer(detail=Detail.KPI, names={Axis.BUS: ("b0",), Axis.TRAFO: ()})
    assert not (tmp_path / "none").exists()


def test_a_part_of_no_steps_is_refused(open_writer):
    with pytest.raises(ValueError, match="steps_per_part must be at least 1, got 0"):
        open_writer(steps_per_part=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39], ids=["NaN", "infinite", "too large for float32"])
def test_a_value_that_is_not_finite_is_refused_with_signal_entity_and_step(open_writer, tmp_path, bad):
    values = values_of(2)
    values["bus.vm_pu"][2] = bad

    def run():
        with open_writer() as writer:
            writer.append(0, values_of(0))
            writer.append(1, values_of(1))
            writer.append(2, values)

    with pytest.raises(StoreError, match=r"step 2: bus\.vm_pu of 'b2' is (nan|inf)"):
        run()
    assert StrategyReader(tmp_path / "none").last_step == 1


def without(key):
    values = values_of(0)
    del values[key]
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (without("bus.vm_pu"), r"no values for signal 'bus\.vm_pu'"),
        ({**values_of(0), "bus.vm_pu": np.ones(1)}, r"bus\.vm_pu: shape \(1,\), expected \(4,\)"),
        ({**values_of(0), "bus.vm_pu": np.ones((4, 1))}, r"bus\.vm_pu: shape \(4, 1\)"),
        ({**values_of(0), "battery.soc": np.ones(1)}, r"battery\.soc: shape \(1,\), expected \(0,\)"),
        ({**values_of(0), "bus.vm": np.ones(4)}, r"bus\.vm: not recorded here"),
    ],
    ids=["missing", "would be broadcast", "two dimensions", "of an empty axis", "unknown"],
)
def test_values_that_do_not_fit_are_refused_by_name(open_writer, values, message):
    writer = open_writer()
    with pytest.raises(StoreError, match=message):
        writer.append(0, values)
    assert writer.next_step == 0


@pytest.mark.parametrize("step", [0, 2], ids=["repeated", "left out"])
def test_steps_must_follow_one_another(open_writer, step):
    writer = open_writer()
    writer.append(0, values_of(0))
    with pytest.raises(StoreError, match=f"step {step}: expected step 1"):
        writer.append(step, values_of(step))


def test_a_closed_writer_takes_no_more_steps(open_writer):
    writer = open_writer()
    write(writer, 3)
    writer.close()
    with pytest.raises(StoreError, match="step 3: the writer is closed"):
        writer.append(3, values_of(3))


def test_a_folder_with_results_is_not_written_again(open_writer):
    write(open_writer(), 3)
    with pytest.raises(StoreError, match="holds results already"):
        open_writer()


def test_steps_are_flushed_after_two_seconds_without_waiting_for_the_part(open_writer, tmp_path, clock):
    writer = open_writer(steps_per_part=100)
    tail = tmp_path / "none" / layout.TAIL
    writer.append(0, values_of(0))
    clock.now_s = 1.9
    writer.append(1, values_of(1))
    assert not tail.exists()
    clock.now_s = 2.0
    writer.append(2, values_of(2))
    assert StrategyReader(tmp_path / "none").last_step == 2
    clock.now_s = 3.9
    writer.append(3, values_of(3))
    assert StrategyReader(tmp_path / "none").last_step == 2


def test_steps_are_flushed_at_the_latest_after_500_of_them(open_writer, tmp_path):
    writer = open_writer(steps_per_part=2000)
    for step in range(1203):
        writer.append(step, values_of(step))
    reader = StrategyReader(tmp_path / "none")
    assert reader.last_step == 999
    np.testing.assert_allclose(reader.series("bus.vm_pu"), expected("bus.vm_pu", 1000), rtol=0, atol=0.51e-5)
    (chunk,) = reader.chunks()
    assert (chunk.first_step, chunk.n_steps) == (0, 1000)


def test_the_tail_and_the_part_store_the_same_numbers(open_writer, tmp_path):
    writer = open_writer(steps_per_part=6)
    for step in range(5):
        writer.append(step, values_of(step))
    writer.flush()
    from_tail = StrategyReader(tmp_path / "none").series("home.p_kw")
    writer.append(5, values_of(5))
    assert not (tmp_path / "none" / layout.TAIL).exists()
    np.testing.assert_array_equal(StrategyReader(tmp_path / "none").series("home.p_kw")[:5], from_tail)


def test_an_exception_in_the_block_saves_what_there_is_and_comes_through(open_writer, tmp_path):
    chunks: list[Chunk] = []

    def run():
        with open_writer(on_chunk=chunks.append) as writer:
            for step in range(7):
                writer.append(step, values_of(step))
            raise RuntimeError("the power flow diverged")

    with pytest.raises(RuntimeError, match="the power flow diverged"):
        run()
    reader = StrategyReader(tmp_path / "none")
    assert reader.last_step == 6
    np.testing.assert_allclose(reader.series("bus.vm_pu"), expected("bus.vm_pu", 7), rtol=0, atol=0.51e-5)
    assert [chunk.n_steps for chunk in chunks] == [4]


def test_steps_that_are_in_a_part_and_in_the_tail_count_once(open_writer, tmp_path):
    """As after a kill between the last rename of a part and the deletion of the tail."""
    folder = tmp_path / "none"
    writer = open_writer()
    for step in range(3):
        writer.append(step, values_of(step))
    writer.flush()
    kept = (folder / layout.TAIL).read_bytes()
    writer.append(3, values_of(3))
    (folder / layout.TAIL).write_bytes(kept)
    reader = StrategyReader(folder)
    assert reader.last_step == 3
    np.testing.assert_allclose(reader.series("bus.vm_pu"), expected("bus.vm_pu", 4), rtol=0, atol=0.51e-5)
    assert [chunk.n_steps for chunk in reader.chunks()] == [4]


def test_a_part_that_only_some_axes_have_is_read_from_the_tail(open_writer, tmp_path):
    """As after a kill between the renames of one part."""
    folder = tmp_path / "none"
    writer = open_writer()
    for step in range(7):
        writer.append(step, values_of(step))
    writer.flush()
    kept = (folder / layout.TAIL).read_bytes()
    writer.append(7, values_of(7))
    (folder / layout.TAIL).write_bytes(kept)
    layout.part_path(folder, Axis.BUS, 1).unlink()
    reader = StrategyReader(folder)
    assert reader.last_step == 6
    for entry in RECORDED:
        assert len(reader.series(entry.key)) == 7
    np.testing.assert_allclose(reader.series("bus.vm_pu"), expected("bus.vm_pu", 7), rtol=0, atol=0.51e-5)


def test_a_tail_cut_anywhere_gives_the_whole_batches_before_the_cut(open_writer, tmp_path):
    tail = tmp_path / "none" / layout.TAIL
    writer = open_writer(steps_per_part=100)
    whole = [0]
    for step in range(3):
        writer.append(step, values_of(step))
        writer.flush()
        whole.append(tail.stat().st_size)
    data = tail.read_bytes()
    for size in range(0, len(data) + 1, 7):
        tail.write_bytes(data[:size])
        n_whole = sum(size >= end for end in whole[1:])
        _, arrays = read_tail(tail)
        assert len(arrays.get("bus.vm_pu", ())) == n_whole
        assert StrategyReader(tmp_path / "none").last_step == n_whole - 1


def test_a_flush_repeated_after_an_interrupt_counts_once(open_writer, tmp_path):
    writer = open_writer(steps_per_part=100)
    for step in range(3):
        writer.append(step, values_of(step))
    writer.flush()
    writer._flushed = 1
    writer.flush()
    _, arrays = read_tail(tmp_path / "none" / layout.TAIL)
    np.testing.assert_allclose(arrays["bus.vm_pu"], expected("bus.vm_pu", 3), rtol=0, atol=0.51e-5)


def test_events_are_on_disk_at_once_and_a_cut_line_is_left_out(open_writer, tmp_path):
    writer = open_writer()
    writer.event("not_converged", 3, bus="b1", residual_kva=np.float64(0.5), vm_pu=np.array([1.0, np.nan]))
    writer.event("note", 4, text="più")
    with (tmp_path / "none" / layout.EVENTS).open("ab") as file:
        file.write(b'{"kind": "cut')
    assert StrategyReader(tmp_path / "none").events() == [
        {
            "kind": "not_converged",
            "step": 3,
            "time_utc": "2026-07-01T12:00:00.000+00:00",
            "bus": "b1",
            "residual_kva": 0.5,
            "vm_pu": [1.0, "nan"],
        },
        {"kind": "note", "step": 4, "time_utc": "2026-07-01T12:00:00.000+00:00", "text": "più"},
    ]


def test_events_hold_nested_and_foreign_values(open_writer, tmp_path):
    open_writer().event("note", 0, seen={"p_kw": np.float32(1.5), 3: (True, None)}, path=Path("a/b"))
    (event,) = StrategyReader(tmp_path / "none").events()
    assert event["seen"] == {"p_kw": 1.5, "3": [True, None]}
    assert event["path"] == "a/b"


def test_a_damaged_line_of_events_is_an_error_of_the_folder(open_writer, tmp_path):
    writer = open_writer()
    (tmp_path / "none" / layout.EVENTS).write_text("no JSON\n")
    writer.event("note", 0)
    with pytest.raises(RunFolderError, match=r"events\.jsonl: a line is not JSON"):
        StrategyReader(tmp_path / "none").events()


def test_a_run_without_events_has_none(open_writer, tmp_path):
    write(open_writer(), 1)
    assert StrategyReader(tmp_path / "none").events() == []


def test_a_strategy_without_steps_reads_as_empty(open_writer, tmp_path):
    write(open_writer(), 0)
    reader = StrategyReader(tmp_path / "none")
    assert reader.last_step == -1
    assert reader.series("bus.vm_pu").shape == (0, 4)
    assert list(reader.chunks()) == []


def test_the_same_values_give_the_same_bytes(tmp_path, clock):
    for name in ("one", "two"):
        write(
            StrategyWriter(
                tmp_path / name,
                names=NAMES,
                detail=Detail.ALL,
                selected={},
                steps_per_part=4,
                on_chunk=lambda _: None,
                clock=clock,
            ),
            10,
        )
    files = sorted(
        path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()
    )
    assert len(files) == 8 * 3 + 1
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_full_disk_while_a_part_is_written_says_so_and_keeps_the_steps_in_the_tail(open_writer, tmp_path):
    folder = tmp_path / "none"
    writer = open_writer()
    full = layout.part_path(folder, Axis.BUS, 0)
    full.with_name(f"{full.name}.tmp").symlink_to("/dev/full")

    def run():
        with writer:
            for step in range(4):
                writer.append(step, values_of(step))

    with pytest.raises(
        StoreError, match=r"bus/part-00000\.parquet: .*the disk is full: free space"
    ) as caught:
        run()
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert not full.exists()
    assert StrategyReader(folder).last_step == 3


def test_a_full_disk_under_the_tail_says_so_and_notes_it_on_the_first_error(open_writer, tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / layout.TAIL).symlink_to("/dev/full")

    def run():
        with open_writer() as writer:
            writer.append(0, values_of(0))
            raise RuntimeError("first")

    with pytest.raises(RuntimeError, match="first") as caught:
        run()
    assert "the disk is full" in caught.value.__notes__[0]
    assert layout.TAIL in caught.value.__notes__[0]


def test_a_tail_that_ran_into_a_limit_goes_on_when_there_is_room_again(open_writer, tmp_path):
    writer = open_writer(steps_per_part=100)
    tail = tmp_path / "none" / layout.TAIL
    writer.append(0, values_of(0))
    writer.flush()
    size = tail.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer.append(1, values_of(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"tail\.arrows: .*larger than the system allows"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert tail.stat().st_size == size
    writer.append(2, values_of(2))
    writer.flush()
    reader = StrategyReader(tmp_path / "none")
    np.testing.assert_allclose(reader.series("bus.vm_pu"), expected("bus.vm_pu", 3), rtol=0, atol=0.51e-5)


def test_a_detail_given_as_text_means_the_same(open_writer, tmp_path):
    write(open_writer(detail="all"), 1)
    assert StrategyReader(tmp_path / "none").has("bus.vm_pu")


def test_a_full_disk_under_the_events_says_so(open_writer, tmp_path):
    writer = open_writer()
    (tmp_path / "none" / layout.EVENTS).symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"events\.jsonl: .*the disk is full"):
        writer.event("note", 0)


def test_a_folder_deleted_during_the_run_is_noticed_at_the_next_flush(open_writer, tmp_path):
    writer = open_writer(steps_per_part=100)
    writer.append(0, values_of(0))
    writer.flush()
    shutil.rmtree(tmp_path / "none")
    writer.append(1, values_of(1))
    with pytest.raises(StoreError, match="deleted while the run was writing"):
        writer.flush()


def test_a_folder_deleted_during_the_run_is_noticed_at_the_next_part(open_writer, tmp_path):
    writer = open_writer(steps_per_part=2)
    writer.append(0, values_of(0))
    shutil.rmtree(tmp_path / "none")
    with pytest.raises(StoreError, match="moved or deleted"):
        writer.append(1, values_of(1))


def test_nothing_stored_is_an_error_of_the_folder(tmp_path):
    with pytest.raises(RunFolderError, match="nothing stored"):
        StrategyReader(tmp_path)


def test_a_header_that_is_not_ours_is_an_error_of_the_folder(open_writer, tmp_path):
    write(open_writer(), 1)
    path = tmp_path / "none" / layout.AXES
    header = json.loads(path.read_bytes())
    path.write_text(json.dumps({**header, "format": layout.FORMAT + 1}))
    with pytest.raises(RunFolderError, match=r"format 2 is later than 1.*update gemello"):
        StrategyReader(tmp_path / "none")
    for text in ("{", "[]", '{"format": 1}'):
        path.write_text(text)
        with pytest.raises(RunFolderError, match="restore the file or run again"):
            StrategyReader(tmp_path / "none")


def test_a_missing_part_in_the_middle_is_an_error_of_the_folder(open_writer, tmp_path):
    write(open_writer(), 12)
    layout.part_path(tmp_path / "none", Axis.LINE, 1).unlink()
    with pytest.raises(RunFolderError, match=r"line/part-00001\.parquet: missing, but later parts are there"):
        StrategyReader(tmp_path / "none")


def test_an_axis_without_its_parts_is_an_error_of_the_folder(open_writer, tmp_path):
    write(open_writer(), 12)
    shutil.rmtree(tmp_path / "none" / "line")
    with pytest.raises(RunFolderError, match="parts are missing on some axes"):
        StrategyReader(tmp_path / "none")


def test_a_gap_between_the_parts_and_the_tail_is_an_error_of_the_folder(open_writer, tmp_path):
    writer = open_writer()
    for step in range(6):
        writer.append(step, values_of(step))
    writer.flush()
    for axis in NAMES:
        layout.part_path(tmp_path / "none", axis, 0).unlink(missing_ok=True)
    with pytest.raises(RunFolderError, match="steps 0 to 3 are missing"):
        StrategyReader(tmp_path / "none")


@pytest.mark.parametrize("damage", [b"", b"PAR1 this is not Parquet PAR1"], ids=["empty", "overwritten"])
def test_a_damaged_part_is_an_error_of_the_folder(open_writer, tmp_path, damage):
    write(open_writer(), 12)
    layout.part_path(tmp_path / "none", Axis.LINE, 0).write_bytes(damage)
    with pytest.raises(RunFolderError, match=r"line/part-00000\.parquet: not readable as Parquet"):
        StrategyReader(tmp_path / "none").series("line.loading_percent")


def test_a_damaged_last_part_is_an_error_of_the_folder(open_writer, tmp_path):
    write(open_writer(), 12)
    layout.part_path(tmp_path / "none", Axis.FEEDER, 2).write_bytes(b"")
    with pytest.raises(RunFolderError, match=r"feeder/part-00002\.parquet: not readable as Parquet"):
        StrategyReader(tmp_path / "none")


def test_a_part_without_a_signal_is_an_error_of_the_folder(open_writer, tmp_path):
    write(open_writer(), 8)
    write_columns(layout.part_path(tmp_path / "none", Axis.LINE, 0), {"step": [0], "entity": [0]})
    with pytest.raises(RunFolderError, match="no column loading_percent"):
        StrategyReader(tmp_path / "none").series("line.loading_percent")


def test_a_part_of_other_entities_is_an_error_of_the_folder(open_writer, tmp_path):
    write(open_writer(), 8)
    folder = tmp_path / "none"
    write_columns(
        layout.part_path(folder, Axis.LINE, 0), {"step": [0], "entity": [0], "loading_percent": [1.0]}
    )
    with pytest.raises(RunFolderError, match="1 rows are not a multiple of 3 entities"):
        StrategyReader(folder).series("line.loading_percent")


def test_small_tables_come_back_row_by_row_and_column_by_column(tmp_path):
    rows = [{"name": "u_max", "value": 1.07, "step": 3}, {"name": "e_loss", "value": 12.0, "step": None}]
    write_rows(tmp_path / "kpi.parquet", rows)
    assert read_rows(tmp_path / "kpi.parquet") == rows
    assert read_columns(tmp_path / "kpi.parquet")["step"] == [3, None]
    write_rows(tmp_path / "none.parquet", [])
    assert read_rows(tmp_path / "none.parquet") == []


def test_key_figures_and_elements_are_read_from_the_strategy(open_writer, tmp_path):
    write(open_writer(), 1)
    reader = StrategyReader(tmp_path / "none")
    assert not reader.has_kpis()
    with pytest.raises(RunFolderError, match=r"kpi\.parquet: not there"):
        reader.kpis()
    write_rows(tmp_path / "none" / layout.KPI, [{"name": "u_max", "value": 1.07}])
    write_columns(
        tmp_path / "none" / layout.ELEMENTS, {"name": ["b0", "b1"], "vm_min_pu": np.array([0.95, 0.97])}
    )
    assert reader.has_kpis()
    assert reader.kpis() == [{"name": "u_max", "value": 1.07}]
    assert reader.elements() == {"name": ["b0", "b1"], "vm_min_pu": [0.95, 0.97]}


def test_tables_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="row 1 has"):
        write_rows(tmp_path / "t.parquet", [{"a": 1}, {"a": 1, "b": 2}])
    with pytest.raises(ValueError, match="columns differ in length"):
        write_columns(tmp_path / "t.parquet", {"a": [1], "b": []})
    with pytest.raises(ValueError, match="column 'a' cannot be stored"):
        write_rows(tmp_path / "t.parquet", [{"a": 1}, {"a": "x"}])
    assert list(tmp_path.iterdir()) == []


def test_the_parts_name_only_paths_inside_the_strategy():
    assert layout.part_path(Path("run/none"), Axis.BUS, 12) == Path("run/none/bus/part-00012.parquet")
