"""What the store costs: one day (96 steps) of 5000 entities and 4 signals, in size and in time."""

import math
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twin.results.layout import Detail, part_path
from twin.results.reader import StrategyReader
from twin.results.writer import StrategyWriter
from twin.signals import RECORDED, Axis

N, STEPS, DAYS = 5000, 96, 3
NAMES = {
    Axis.BUS: tuple(f"bus {n}" for n in range(N)),
    Axis.BATTERY: tuple(f"battery {n}" for n in range(N)),
}
N_VALUES = N * STEPS * 4


def day_of(rng):
    """Batteries that fill at noon and empty in the evening, voltages that follow, noise on all of them."""
    hour = np.arange(STEPS)[:, np.newaxis] / 4
    size = rng.uniform(2.0, 5.0, N)
    sun = np.clip(np.sin((hour - 6) / 12 * math.pi), 0, None) * rng.uniform(0.6, 1.0, (STEPS, N))
    evening = ((hour > 18) & (hour < 22)) * rng.uniform(0.2, 0.6, (STEPS, N))
    p_kw = size * np.where(sun > 0.3, sun, -evening)
    soc = np.clip(0.1 + np.cumsum(p_kw, axis=0) / 4 / (4 * size), 0.1, 0.95)
    vm_pu = 1.0 + 0.03 * sun - 0.02 * evening + rng.normal(0, 1e-4, (STEPS, N))
    return {
        "bus.vm_pu": vm_pu,
        "battery.p_kw": p_kw,
        "battery.q_kvar": 0.3 * p_kw,
        "battery.soc": soc,
    }


@pytest.mark.bench
def test_a_day_of_5000_entities_and_4_signals_takes_less_than_half_of_what_raw_float32_takes(
    tmp_path, capsys
):
    day = day_of(np.random.default_rng(1))
    assert set(day) == {s.key for s in RECORDED if s.axis in NAMES}
    writer = StrategyWriter(
        tmp_path / "none",
        names=NAMES,
        detail=Detail.ALL,
        selected={},
        steps_per_part=STEPS,
        on_chunk=lambda _: None,
    )
    steps_s = []
    with writer:
        for step in range(DAYS * STEPS):
            values = {key: array[step % STEPS] for key, array in day.items()}
            start = time.perf_counter()
            writer.append(step, values)
            steps_s.append(time.perf_counter() - start)
    roll_s = np.array(steps_s[STEPS - 1 :: STEPS])
    stored = sum(part_path(tmp_path / "none", axis, 0).stat().st_size for axis in NAMES)
    raw = tmp_path / "raw.parquet"
    columns = {key: pa.array(array.astype(np.float32).T.reshape(-1)) for key, array in day.items()}
    pq.write_table(pa.table(columns), raw, compression="zstd", compression_level=3)
    start = time.perf_counter()
    StrategyReader(tmp_path / "none").series("bus.vm_pu")
    read_s = time.perf_counter() - start
    with capsys.disabled():
        print(  # a benchmark is there to print
            f"\nstore, day of {N} x 4: {stored / N_VALUES:.2f} B/value (raw float32 in Parquet "
            f"{raw.stat().st_size / N_VALUES:.2f}), part {1e3 * np.median(roll_s):.0f} ms, "
            f"step {1e6 * np.median(steps_s):.0f} us, one signal of {DAYS} days read in {1e3 * read_s:.0f} ms"
        )
    assert stored < raw.stat().st_size / 2


@pytest.mark.bench
def test_a_flush_of_5000_entities_and_4_signals_is_no_larger_than_its_float32(tmp_path, capsys):
    day = day_of(np.random.default_rng(1))
    writer = StrategyWriter(
        tmp_path / "none",
        names=NAMES,
        detail=Detail.ALL,
        selected={},
        steps_per_part=STEPS,
        on_chunk=lambda _: None,
    )
    flush_s = []
    for step in range(STEPS - 1):
        writer.append(step, {key: array[step] for key, array in day.items()})
        start = time.perf_counter()
        writer.flush()
        flush_s.append(time.perf_counter() - start)
    size = (tmp_path / "none" / "tail.arrows").stat().st_size / N_VALUES
    writer.close()
    with capsys.disabled():
        print(
            f"\ntail, step of {N} x 4: {size:.2f} B/value, flush {1e3 * np.median(flush_s):.2f} ms"
        )  # a benchmark is there to print
    assert size < np.dtype(np.float32).itemsize
