"""Laws of the store."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from twin.results.layout import Detail
from twin.results.part import quantise
from twin.results.reader import StrategyReader
from twin.results.writer import StrategyWriter
from twin.signals import RECORDED, Axis

finite = st.floats(-1e6, 1e6, width=32)
quanta = st.sampled_from(sorted({entry.quantum for entry in RECORDED}))


@given(arrays(np.float32, st.integers(1, 30), elements=finite), quanta)
def test_rounding_is_off_by_half_a_quantum_at_most_and_twice_is_once(values, quantum):
    rounded = quantise(values, quantum)
    spacing = np.spacing(np.abs(values)).astype(np.float64)
    assert np.all(np.abs(rounded.astype(np.float64) - values) <= quantum / 2 + spacing)
    np.testing.assert_array_equal(quantise(rounded, quantum), rounded)


@given(arrays(np.float32, st.integers(1, 30), elements=finite), quanta)
def test_rounding_keeps_the_order_of_values(values, quantum):
    assert np.all(np.diff(quantise(np.sort(values), quantum)) >= 0)


@st.composite
def runs(draw):
    n_steps, n_buses = draw(st.integers(0, 25)), draw(st.integers(0, 4))
    vm_pu = draw(arrays(np.float32, (n_steps, n_buses), elements=finite))
    flushes = draw(st.sets(st.integers(0, 25)))
    return vm_pu, draw(st.integers(1, 10)), flushes, draw(st.booleans())


@settings(max_examples=40, deadline=None)
@given(runs())
def test_whatever_is_written_comes_back_rounded_however_it_was_cut_into_parts_and_flushes(run):
    vm_pu, steps_per_part, flushes, ends_well = run
    names = {Axis.FEEDER: ("feeder",), Axis.BUS: tuple(f"b{n}" for n in range(vm_pu.shape[1]))}
    with tempfile.TemporaryDirectory() as folder:
        writer = StrategyWriter(
            Path(folder) / "none",
            names=names,
            detail=Detail.ALL,
            selected={},
            steps_per_part=steps_per_part,
            on_chunk=lambda _: None,
        )
        for step, row in enumerate(vm_pu):
            feeder = {s.key: np.full(1, step) for s in RECORDED if s.axis is Axis.FEEDER}
            writer.append(step, {**feeder, "bus.vm_pu": row})
            if step in flushes:
                writer.flush()
        if not ends_well:
            writer.flush()
            writer._tail.close()
        else:
            writer.close()
        reader = StrategyReader(Path(folder) / "none")
        np.testing.assert_array_equal(reader.series("bus.vm_pu"), quantise(vm_pu, 1e-5))
        assert reader.series("feeder.p_import_kw")[:, 0].tolist() == list(range(len(vm_pu)))
        chunks = list(reader.chunks())
        assert [c.first_step for c in chunks] == list(range(0, len(vm_pu), steps_per_part))
        assert sum(c.n_steps for c in chunks) == len(vm_pu)
