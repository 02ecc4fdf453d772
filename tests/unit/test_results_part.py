"""Parts as Parquet files, and groups of files that appear together."""

import errno

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twin.errors import StoreError
from twin.results.disk import write_atomic_group
from twin.results.part import PartEncoder, decode_part, quantise
from twin.signals import Axis, recorded_on

N_STEPS = 96
MANY = 200
"""Entities of a part that is long enough for dictionaries."""


def arrays_of(axis, n_entities):
    """Different for every signal, not on the grid of any quantum, with negative zeros before and after rounding."""
    rng = np.random.default_rng(7)
    arrays = [rng.normal(0, 3, (N_STEPS, n_entities)).astype(np.float32) for _ in recorded_on(axis)]
    for array in arrays:
        array[0, 0], array[1, 0] = -0.0, -1e-7
    return arrays


@pytest.mark.parametrize(("axis", "n_entities"), [(Axis.FEEDER, 1), (Axis.PV, 3), (Axis.PV, MANY)], ids=str)
def test_a_part_holds_the_bits_that_rounding_each_signal_gives(axis, n_entities):
    arrays = arrays_of(axis, n_entities)
    data = PartEncoder(axis, np.arange(n_entities)).encode(96, arrays)
    table = pq.read_table(pa.BufferReader(data))
    assert table.column("step").to_pylist() == list(range(96, 96 + N_STEPS)) * n_entities
    assert table.column("entity").to_pylist() == np.repeat(np.arange(n_entities), N_STEPS).tolist()
    stored = decode_part(table, n_entities)
    for signal, array in zip(recorded_on(axis), arrays, strict=True):
        assert stored[signal.name].tobytes() == quantise(array, signal.quantum).tobytes()


@pytest.mark.parametrize(
    ("entities", "kind"), [([0, 5, 32767], pa.int16()), ([0, 5, 32768], pa.int32())], ids=str
)
def test_columns_have_the_same_types_for_parquet_and_for_duckdb(tmp_path, entities, kind):
    data = PartEncoder(Axis.BUS, np.array(entities)).encode(0, arrays_of(Axis.BUS, 3))
    path = tmp_path / "part.parquet"
    path.write_bytes(data)
    schema = pq.read_schema(path)
    assert schema.names == ["step", "entity", "vm_pu"]
    assert schema.types == [pa.int32(), kind, pa.float32()]
    with duckdb.connect() as connection:
        (row,) = connection.read_parquet(str(path)).aggregate("min(step), max(step), max(entity)").fetchall()
    assert row == (0, N_STEPS - 1, entities[-1])


@pytest.mark.parametrize(("n_entities", "has_dictionary"), [(3, False), (MANY, True)], ids=["short", "long"])
def test_every_part_is_zstd_with_the_range_of_its_steps_and_long_ones_have_dictionaries(
    n_entities, has_dictionary
):
    data = PartEncoder(Axis.BUS, np.arange(n_entities)).encode(96, arrays_of(Axis.BUS, n_entities))
    group = pq.read_metadata(pa.BufferReader(data)).row_group(0)
    step, entity, vm_pu = (group.column(number) for number in range(3))
    assert {step.compression, entity.compression, vm_pu.compression} == {"ZSTD"}
    assert (step.statistics.min, step.statistics.max) == (96, 191)
    assert ("RLE_DICTIONARY" in vm_pu.encodings) is has_dictionary


def test_an_encoder_gives_the_bytes_of_a_fresh_one_after_a_part_of_another_length():
    entities, arrays = np.arange(3), arrays_of(Axis.PV, 3)
    used = PartEncoder(Axis.PV, entities)
    used.encode(0, [array[:7] for array in arrays])
    assert used.encode(96, arrays) == PartEncoder(Axis.PV, entities).encode(96, arrays)


def test_files_of_a_group_that_cannot_be_written_whole_do_not_appear(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    paths[0].write_bytes(b"before")
    (tmp_path / "b.tmp").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"/b: .*the disk is full") as caught:
        write_atomic_group(dict.fromkeys(paths, b"after"))
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert paths[0].read_bytes() == b"before"


def test_an_error_names_the_file_of_a_group_that_it_happened_to(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "inside").touch()
    with pytest.raises(StoreError, match=r"/b: could not write results"):
        write_atomic_group(dict.fromkeys((tmp_path / "a", tmp_path / "b", tmp_path / "c"), b"after"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
