import ctypes
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_fmus import Var, build_fmu

from models.errors import FmuStepError
from models.fmu.base import FleetSpec, Wire
from models.fmu.binding.transfers import Direction, Group, Layout, Port, find_variable, whole_numbers
from models.fmu.co_simulation.engine import CoSimulationEngine
from models.fmu.co_simulation.fmi2 import open_cs2
from models.fmu.co_simulation.fmi3 import open_cs3
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info

N_MIRRORED = 5
finite = st.floats(allow_nan=False, allow_infinity=False)


def opened(stack: ExitStack, file: Path, *, size: int, inputs: tuple[str, ...], outputs: tuple[str, ...]):
    place = stack.enter_context(unpacked(file))
    spec = FleetSpec(
        label="devices[0] pump",
        file=file,
        size=size,
        inputs=tuple(Wire(signal=name, variable=name) for name in inputs),
        outputs=tuple(Wire(signal=name, variable=name) for name in outputs),
    )
    engine = (open_cs2 if place.info.fmi_version == "2.0" else open_cs3)(place, spec)
    stack.callback(engine.close)
    return engine


@pytest.fixture(scope="module", params=["2.0", "3.0"])
def mirror(request, tmp_path_factory) -> Iterator[CoSimulationEngine]:
    """An FMU that gives back its inputs and the step it was asked for."""
    file = build_fmu(
        tmp_path_factory.mktemp("mirror"),
        name="mirror",
        fmi=request.param,
        inputs=("a", "b"),
        outputs=("at", "length", "b_back", "a_back"),
        step_code="at = time; length = dt; a_back = a; b_back = b;",
    )
    with ExitStack() as stack:
        yield opened(
            stack, file, size=N_MIRRORED, inputs=("b", "a"), outputs=("a_back", "length", "b_back", "at")
        )


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(finite, min_size=2 * N_MIRRORED, max_size=2 * N_MIRRORED),
    time_s=st.floats(0.0, 1e9),
    dt_s=st.floats(1e-6, 1e6),
)
def test_every_number_reaches_its_own_device_and_comes_back_unchanged(mirror, values, time_s, dt_s):
    inputs = np.array(values).reshape(2, N_MIRRORED)
    outputs = mirror.advance(inputs, time_s=time_s, dt_s=dt_s)
    expected = np.array([inputs[1], np.full(N_MIRRORED, dt_s), inputs[0], np.full(N_MIRRORED, time_s)])
    assert outputs.tobytes() == expected.tobytes()


def test_the_order_of_the_rows_in_memory_does_not_matter(mirror):
    inputs = np.asfortranarray(np.arange(2.0 * N_MIRRORED).reshape(2, N_MIRRORED))
    outputs = mirror.advance(inputs, time_s=0.0, dt_s=1.0)
    assert outputs[[2, 0]].tolist() == inputs.tolist()


def test_inputs_of_another_shape_are_a_programming_mistake(mirror):
    with pytest.raises(ValueError, match=r"inputs have the shape \(5, 2\), wanted is \(2, 5\)"):
        mirror.advance(np.zeros((N_MIRRORED, 2)), time_s=0.0, dt_s=1.0)


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_devices_behind_one_that_needs_attention_step_exactly_once(tmp_path, fmi):
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        step_code="y += dt; steps_ = m->s.steps; if (u == 1 && dt > 0.6) "
        "{ y -= dt; m->last_time = time; return DISCARD; }",
        variables=[Var("steps_", "output")],
    )
    with ExitStack() as stack:
        engine = opened(stack, file, size=5, inputs=("u",), outputs=("y", "steps_"))
        outputs = engine.advance(np.array([[0.0, 1.0, 0.0, 1.0, 0.0]]), time_s=0.0, dt_s=1.0)
    assert outputs.tolist() == [[1.0] * 5, [1.0, 3.0, 1.0, 3.0, 1.0]]


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_a_step_lets_other_threads_run(tmp_path, fmi):
    """The step waits in C for what only another thread of Python does: with the interpreter locked it never ends."""
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        extra_code="static volatile int inside = 0, going = 0; "
        "EXPORT int is_inside(void) { return inside; } EXPORT void let_go(void) { going = 1; }",
        step_code="inside = 1; while (!going) {} y = u;",
    )
    with ExitStack() as stack:
        engine = opened(stack, file, size=1, inputs=("u",), outputs=("y",))
        library: ctypes.CDLL = engine._instances[0].binary.handle

        def let_go() -> None:
            while not library.is_inside():
                pass
            library.let_go()

        helper = threading.Thread(target=let_go)
        helper.start()
        assert engine.advance(np.array([[4.0]]), time_s=0.0, dt_s=1.0).tolist() == [[4.0]]
        helper.join()


def test_what_an_fmu_says_in_a_step_is_kept(tmp_path):
    file = build_fmu(tmp_path, step_code='say(m, OK, "info", "u is %g", u);')
    with ExitStack() as stack:
        engine = opened(stack, file, size=2, inputs=("u",), outputs=("y",))
        engine.advance(np.array([[4.0, 5.0]]), time_s=0.0, dt_s=1.0)
        texts = [instance.log.messages[-1].text for instance in engine._instances]
    assert texts == ["u is 4", "u is 5"]


def test_a_change_of_units_may_leave_a_whole_number_a_rounding_away():
    np.testing.assert_array_equal(whole_numbers(np.array([2.9999999999, -1.0]), np.int32), [3, -1])
    assert whole_numbers(np.array([2.999]), np.int32) is None


def test_one_value_for_all_devices_must_be_the_same_for_all(tmp_path):
    info = read_info(build_fmu(tmp_path, fmi="3.0"))
    group = Group(info, [Port(0, find_variable(info, "u"), Layout.SHARED)], direction=Direction.IN, size=3)
    group.fill(np.array([[2.0, 2.0, 2.0]]))
    with pytest.raises(FmuStepError, match="input u of device 2: 3 differs from that of device 0"):
        group.fill(np.array([[2.0, 2.0, 3.0]]))
