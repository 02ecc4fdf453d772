"""What is FMI 3.0's own: events, early return, types of numbers, structural parameters, all devices in one instance."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_fmus import Var, build_fmu
from tiny_fmus_zips import changed

from models.errors import FmuMappingError, FmuStepError, StateError
from models.fmu.base import Engine, FleetSpec, Wire
from models.fmu.co_simulation.fmi3 import open_cs3
from models.fmu.co_simulation.fmi3_array import open_cs3_array
from models.fmu.reading.archive import unpacked

Opener = Callable[..., Engine]
EVENTS = {"hasEventMode": "true"}


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Open the engine of a file; all are closed at the end."""
    with ExitStack() as stack:

        def open_file(file: Path, *, size: int = 3, inputs=("u",), outputs=("y",), **options: Any) -> Engine:
            place = stack.enter_context(unpacked(file))
            spec = FleetSpec(
                label="devices[0] pump",
                file=file,
                size=size,
                inputs=tuple(Wire(signal=f"signal_{name}", variable=name) for name in inputs),
                outputs=tuple(Wire(signal=f"signal_{name}", variable=name) for name in outputs),
                **options,
            )
            engine = (open_cs3 if spec.array_size is None else open_cs3_array)(place, spec)
            stack.callback(engine.close)
            return engine

        yield open_file


EARLY_AT_A_QUARTER = (
    "if (time < 0.25 && time + dt > 0.25 && u > 0) "
    "{ y += u * (0.25 - time); m->early = 1; m->last_time = 0.25; return OK; } y += u * dt;"
)


def test_an_early_return_is_gone_on_from(opened, tmp_path):
    engine = opened(build_fmu(tmp_path, fmi="3.0", step_code=EARLY_AT_A_QUARTER))
    assert engine.advance(np.array([[1.0, -2.0, 3.0]]), time_s=0.0, dt_s=1.0).tolist() == [[1.0, -2.0, 3.0]]


def test_an_event_inside_a_step_is_handled_before_the_rest_of_the_step(opened, tmp_path):
    file = build_fmu(
        tmp_path,
        fmi="3.0",
        step_code="if (time < 0.25 && time + dt > 0.25) "
        "{ y += gain * (0.25 - time); m->event = m->early = 1; m->last_time = 0.25; return OK; } y += gain * dt;",
        event_code="if (m->s.steps > 0) gain = 5.0;",
        variables=[Var("gain", "local", start=1.0, initial="exact")],
        capabilities=EVENTS,
    )
    outputs = opened(file).advance(np.zeros((1, 3)), time_s=0.0, dt_s=1.0)
    assert outputs.tolist() == [[0.25 * 1.0 + 0.75 * 5.0] * 3]


def test_an_event_at_the_end_of_a_step_is_handled_in_it(opened, tmp_path):
    file = build_fmu(
        tmp_path,
        fmi="3.0",
        step_code="y += gain * dt; m->event = 1;",
        event_code="gain += 1;",
        variables=[Var("gain", "local", start=0.0, initial="exact")],
        capabilities=EVENTS,
    )
    engine = opened(file)
    taken = [engine.advance(np.zeros((1, 3)), time_s=float(k), dt_s=1.0)[0, 0] for k in range(3)]
    assert taken == [1.0, 3.0, 6.0]  # the event at the end of the initialisation made the gain 1


TOLD = "m->next_event_defined = 1; m->next_event = 0.5;"
AT_HALF = f"{TOLD} if (time >= 0.5) gain = 1;"
"""The next event is at 0.5 s, which sets the gain; the time goes on being told when it is over."""


def foretelling(folder: Path, event_code: str, **options: Any) -> Path:
    """An FMU that tells its next event in advance and cannot return early; y grows by the gain in a second."""
    return build_fmu(
        folder,
        fmi="3.0",
        step_code="y += gain * dt; m->s.time = time + dt;",
        event_code=event_code,
        variables=[
            Var("gain", "local", start=0.0, initial="exact"),
            Var("count", "local", start=0.0, initial="exact"),
        ],
        **{"capabilities": EVENTS, **options},
    )


def test_a_step_ends_at_the_event_that_an_fmu_foretold(opened, tmp_path):
    engine = opened(foretelling(tmp_path, AT_HALF))
    assert engine.advance(np.zeros((1, 3)), time_s=0.0, dt_s=1.0).tolist() == [[0.5] * 3]
    assert engine.advance(np.zeros((1, 3)), time_s=1.0, dt_s=1.0).tolist() == [[1.5] * 3]


@pytest.mark.parametrize("dt_s", [0.1, 0.25, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("every_s", [0.1, 0.25, 0.3, 0.7])
def test_events_at_equal_times_are_each_met_whatever_the_step(opened, tmp_path, every_s, dt_s):
    """The FMU counts them itself, each at its very time and none twice."""
    code = (
        f"if (time >= (count + 1) * {every_s!r}) count += 1;"
        f"m->next_event_defined = 1; m->next_event = (count + 1) * {every_s!r};"
    )
    engine = opened(foretelling(tmp_path, code), outputs=("count", "y"), size=1)
    for step in range(20):
        outputs = engine.advance(np.zeros((1, 1)), time_s=step * dt_s, dt_s=dt_s)
        assert outputs[0, 0] == int((step + 1) * dt_s / every_s + 1e-6)


def test_an_event_that_was_foretold_concerns_its_device_alone(opened, tmp_path):
    code = "m->next_event_defined = time < k; m->next_event = k; if (time >= k) gain = 1;"
    file = foretelling(tmp_path, code, parameters={"k": 0.0})
    engine = opened(file, size=4, parameters={"k": np.array([5.0, 0.25, 5.0, 1.0])})
    # at 0 s no event has happened for any of them; that of the last is at the end of the first step
    assert engine.advance(np.zeros((1, 4)), time_s=0.0, dt_s=1.0).tolist() == [[0.0, 0.75, 0.0, 0.0]]
    assert engine.advance(np.zeros((1, 4)), time_s=1.0, dt_s=1.0).tolist() == [[0.0, 1.75, 0.0, 1.0]]


def test_the_inputs_of_a_step_hold_before_and_after_an_event_that_was_foretold(opened, tmp_path):
    file = build_fmu(tmp_path, fmi="3.0", step_code="y += u * dt;", event_code=TOLD, capabilities=EVENTS)
    engine = opened(file)
    assert engine.advance(np.array([[1.0, 2.0, 3.0]]), time_s=0.0, dt_s=1.0).tolist() == [[1.0, 2.0, 3.0]]
    with pytest.raises(FmuStepError, match="not finite"):
        engine.advance(np.array([[1.0, np.nan, 3.0]]), time_s=1.0, dt_s=1.0)


def test_an_fmu_with_one_step_size_is_not_stopped_at_the_events_it_foretells(opened, tmp_path):
    kept = {**EVENTS, "canHandleVariableCommunicationStepSize": "false"}
    engine = opened(foretelling(tmp_path, AT_HALF, capabilities=kept))
    assert engine.advance(np.zeros((1, 3)), time_s=0.0, dt_s=1.0).tolist() == [[0.0] * 3]


def test_an_event_that_was_foretold_is_saved_with_the_state(opened, tmp_path):
    able = {**EVENTS, "canSerializeFMUState": "true"}
    file = foretelling(tmp_path, AT_HALF.replace("0.5", "1.5"), capabilities=able)
    engine = opened(file)
    engine.advance(np.zeros((1, 3)), time_s=0.0, dt_s=1.0)
    state = engine.save()
    for fleet in (engine, engine, opened(file)):
        fleet.restore(state)
        assert fleet.advance(np.zeros((1, 3)), time_s=1.0, dt_s=1.0).tolist() == [[0.5] * 3]
    with pytest.raises(StateError, match="of 3 instances, there are 2 here"):
        opened(file, size=2).restore(state)
    for bad in (b"", state[:40], state[5:]):
        with pytest.raises(StateError, match=r"cut short|not the saved state"):
            engine.restore(bad)


def test_events_without_end_before_the_end_of_a_step_stop_the_run(opened, tmp_path):
    code = "m->next_event_defined = 1; m->next_event = nextafter(m->s.time, 10.0);"
    with pytest.raises(FmuStepError, match="does not reach the end of the step"):
        opened(foretelling(tmp_path, code), size=1).advance(np.zeros((1, 1)), time_s=0.0, dt_s=1.0)


def test_an_event_that_asks_to_end_ends_the_run(opened, tmp_path):
    file = build_fmu(
        tmp_path,
        fmi="3.0",
        step_code="m->event = 1;",
        event_code="if (m->s.steps > 1) m->terminate = 1;",
        capabilities=EVENTS,
    )
    engine = opened(file)
    engine.advance(np.zeros((1, 3)), time_s=0.0, dt_s=1.0)
    with pytest.raises(FmuStepError, match=r"device 0 of 0\.\.2.*asked to end the simulation"):
        engine.advance(np.zeros((1, 3)), time_s=1.0, dt_s=1.0)


def test_an_input_that_jumps_is_set_in_event_mode_and_only_where_it_changed(opened, tmp_path):
    file = build_fmu(
        tmp_path,
        fmi="3.0",
        step_code="y = rounds; z_ = u + 10 * level;",
        event_code="rounds += 1;",
        outputs=("y", "z_"),
        variables=[
            Var("level", "input", type="Int32", start=0),
            Var("rounds", "local", start=0.0, initial="exact"),
        ],
        capabilities=EVENTS,
    )
    engine = opened(file, size=2, inputs=("u", "level"), outputs=("y", "z_"))
    levels = [[1.0, 1.0], [1.0, 2.0], [1.0, 2.0]]
    taken = [
        engine.advance(np.array([[0.5, 0.5], level]), time_s=float(k), dt_s=1.0).tolist()
        for k, level in enumerate(levels)
    ]
    # one round ends the initialisation, one more sets what is not known before the first step
    assert taken == [
        [[2.0, 2.0], [10.5, 10.5]],
        [[2.0, 3.0], [10.5, 20.5]],
        [[2.0, 3.0], [10.5, 20.5]],
    ]


def test_an_input_that_jumps_is_set_in_the_first_step_whatever_the_fmu_starts_with(opened, tmp_path):
    file = build_fmu(
        tmp_path,
        fmi="3.0",
        step_code="y = level;",
        variables=[Var("level", "input", type="Int32", start=3)],
        capabilities=EVENTS,
    )
    engine = opened(file, size=1, inputs=("level",))
    assert engine.advance(np.array([[0.0]]), time_s=0.0, dt_s=1.0).tolist() == [[0.0]]


def test_after_a_state_was_set_the_inputs_that_jump_are_set_again(opened, tmp_path):
    file = build_fmu(
        tmp_path,
        fmi="3.0",
        step_code="y = level;",
        variables=[Var("level", "input", type="Int32", start=0)],
        capabilities=EVENTS,
    )
    engine = opened(file, size=1, inputs=("level",))
    engine.advance(np.array([[1.0]]), time_s=0.0, dt_s=1.0)
    state = engine.save()
    engine.advance(np.array([[2.0]]), time_s=1.0, dt_s=1.0)
    engine.restore(state)
    assert engine.advance(np.array([[2.0]]), time_s=1.0, dt_s=1.0).tolist() == [[2.0]]


def test_a_fleet_that_returns_early_without_getting_on_is_stopped(opened, tmp_path):
    file = build_fmu(tmp_path, fmi="3.0", step_code="m->early = 1; m->last_time = time; return OK;")
    with pytest.raises(FmuStepError, match="fmi3DoStep does not reach the end of the step"):
        opened(file).advance(np.zeros((1, 3)), time_s=0.0, dt_s=1.0)


@pytest.mark.parametrize(
    ("kind", "values", "largest"),
    [
        ("Float32", [0.5, -2.25, 1e3], 3.5e38),
        ("Int8", [1.0, -128.0, 127.0], 128.0),
        ("UInt8", [0.0, 1.0, 255.0], -1.0),
        ("Int16", [1.0, -2.0, 32767.0], 32768.0),
        ("UInt16", [1.0, 2.0, 65535.0], 65536.0),
        ("Int32", [1.0, -2.0, 2.0**31 - 1], 2.0**31),
        ("UInt32", [1.0, 2.0, 2.0**32 - 1], 2.0**32),
        ("Int64", [1.0, -2.0, 2.0**53], 2.0**60),
        ("UInt64", [1.0, 2.0, 2.0**53], -1.0),
        ("Boolean", [0.0, 1.0, 1.0], 2.0),
    ],
)
def test_numbers_of_each_type_go_in_and_come_out(opened, tmp_path, kind, values, largest):
    file = build_fmu(
        tmp_path,
        fmi="3.0",
        variables=[Var("into", "input", type=kind, start=0), Var("out_of", "output", type=kind)],
        step_code="out_of = into;",
    )
    engine = opened(file, inputs=("into",), outputs=("out_of",))
    assert engine.advance(np.array([values]), time_s=0.0, dt_s=1.0).tolist() == [values]
    with pytest.raises(FmuStepError, match=f"does not fit the type {kind}"):
        engine.advance(np.array([[largest, 0.0, 0.0]]), time_s=1.0, dt_s=1.0)


@pytest.fixture
def array_file(tmp_path) -> Path:
    return build_fmu(
        tmp_path,
        name="fleet",
        fmi="3.0",
        array=True,
        variables=[Var("on", "input", type="Boolean", start=1), Var("steps_", "output", type="Int32")],
        step_code="y += k * u * dt * on; steps_ += 1;",
        parameters={"k": 1.0},
    )


def test_all_devices_of_one_instance_have_their_own_inputs_and_parameters(opened, array_file):
    engine = opened(
        array_file,
        size=4,
        inputs=("on", "u"),
        outputs=("steps_", "y"),
        array_size="n",
        parameters={"k": np.array([1.0, 2.0, 3.0, 4.0])},
    )
    assert engine.size == 4
    outputs = engine.advance(
        np.array([[1.0, 1.0, 0.0, 1.0], [1.0, 10.0, 100.0, 1000.0]]), time_s=0.0, dt_s=0.5
    )
    assert outputs.tolist() == [[1.0] * 4, [0.5, 10.0, 0.0, 2000.0]]


def test_one_instance_does_what_one_instance_for_each_device_does(opened, array_file):
    factors = np.linspace(-1.0, 2.0, 50)
    one = opened(array_file, size=50, array_size="n", parameters={"k": factors})
    each = opened(array_file, size=50, parameters={"k": factors})
    generator = np.random.default_rng(3)
    for step in range(10):
        inputs = generator.normal(size=(1, 50))
        together = one.advance(inputs, time_s=0.1 * step, dt_s=0.1)
        apart = each.advance(inputs, time_s=0.1 * step, dt_s=0.1)
        assert together.tolist() == apart.tolist()


def test_one_value_of_a_parameter_holds_for_all_devices_of_one_instance(opened, array_file):
    engine = opened(array_file, size=3, array_size="n", parameters={"k": 5.0, "n": 3})
    assert engine.advance(np.array([[1.0, 2.0, 3.0]]), time_s=0.0, dt_s=1.0).tolist() == [[5.0, 10.0, 15.0]]


def test_a_variable_with_one_value_in_an_fmu_of_all_devices_is_shared(opened, array_file):
    """The time of the FMU is one value: it comes out for each device, and its input must be the same for all."""
    engine = opened(array_file, size=3, outputs=("y", "time"), array_size="n")
    outputs = engine.advance(np.array([[1.0, 2.0, 3.0]]), time_s=0.0, dt_s=1.0)
    assert outputs.tolist() == [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]


def test_the_state_of_one_instance_of_all_devices_comes_back(opened, array_file):
    engine = opened(array_file, size=3, array_size="n")
    inputs = np.array([[1.0, 2.0, 3.0]])
    engine.advance(inputs, time_s=0.0, dt_s=1.0)
    state = engine.save()
    expected = engine.advance(inputs, time_s=1.0, dt_s=1.0).tolist()
    engine.restore(state)
    assert engine.advance(inputs, time_s=1.0, dt_s=1.0).tolist() == expected == [[2.0, 4.0, 6.0]]
    with pytest.raises(StateError, match="of 1 instances, there are 3"):
        opened(array_file, size=3).restore(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"array_size": "m"}, r"has no structural parameter 'm' for the number of devices; it has n"),
        ({"array_size": "k"}, r"has no structural parameter 'k'"),
        ({"array_size": "n", "parameters": {"n": 4}}, r"n is the number of devices, 3, not 4"),
        ({"array_size": "n", "parameters": {"k": np.ones(2)}}, r"k has 2 values for 3 devices"),
        ({"parameters": {"n": 2}}, r"u of fleet.fmu has 2 values for one device"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(opened, array_file, options, message):
    with pytest.raises(FmuMappingError, match=message):
        opened(array_file, **options)


def fixed_at_three(file: Path, variable: str) -> Path:
    """Copy an array FMU with the dimension of a variable fixed at 3."""

    def edit(xml: bytes) -> bytes:
        at = xml.index(f'name="{variable}"'.encode())
        dimension = re.compile(rb'<Dimension valueReference="\d+"/>')
        return xml[:at] + dimension.sub(b'<Dimension start="3"/>', xml[at:], count=1)

    return changed(file, file.with_name("fixed.fmu"), edit={"modelDescription.xml": edit})


@pytest.mark.parametrize("variable", ["u", "y"])
def test_three_values_of_one_thing_are_not_taken_for_one_value_of_three_devices(opened, array_file, variable):
    file = fixed_at_three(array_file, variable)
    with pytest.raises(
        FmuMappingError,
        match=rf"{variable} of fixed.fmu has 3 values \(3\) for 3 devices; take one whose size is n",
    ):
        opened(file, size=3, array_size="n")


def test_three_values_of_one_parameter_are_not_taken_for_one_of_each_device(opened, array_file):
    file = fixed_at_three(array_file, "k")
    with pytest.raises(FmuMappingError, match=r"k has 3 values in the FMU, not one for each of 3 devices"):
        opened(file, size=3, array_size="n", parameters={"k": np.ones(3)})


@pytest.mark.parametrize("size", [2, 2.0, np.array([2.0, 2.0]), np.array([1.0, 2.0])], ids=str)
def test_sizes_that_are_given_as_parameters_count_in_the_shapes(opened, array_file, size):
    """The start value of n is 1; with 2 a variable has two values for one device, in whatever way that is written."""
    with pytest.raises(FmuMappingError, match=r"u of fleet.fmu has 2 values for one device"):
        opened(array_file, size=2, parameters={"n": size})
    engine = opened(array_file, size=2, parameters={"n": np.ones(2)})
    assert engine.advance(np.array([[1.0, 2.0]]), time_s=0.0, dt_s=1.0).tolist() == [[1.0, 2.0]]


def test_a_second_size_counts_in_the_shapes_of_a_fleet_in_one_instance(opened, array_file):
    """u has the dimensions n and m: with m = 2 it has two values for each device."""

    def edit(xml: bytes) -> bytes:
        at = xml.index(b'name="u"')
        rest = xml[at:].replace(b"/></Float64>", b'/><Dimension valueReference="77"/></Float64>', 1)
        more = b'<UInt64 name="m" valueReference="77" causality="structuralParameter" variability="fixed" start="1"/>'
        return (xml[:at] + rest).replace(b"</ModelVariables>", more + b"</ModelVariables>")

    file = changed(array_file, array_file.with_name("two.fmu"), edit={"modelDescription.xml": edit})
    with pytest.raises(FmuMappingError, match=r"u of two.fmu has 6 values \(n x m\) for 3 devices"):
        opened(file, size=3, array_size="n", parameters={"m": 2})


def test_a_variable_with_more_values_than_memory_is_refused(opened, array_file):
    with pytest.raises(FmuMappingError, match=r"k of fleet.fmu has 4000000000 values"):
        opened(array_file, size=1, parameters={"n": 4_000_000_000, "k": 1.0})


def test_an_fmu_without_a_structural_parameter_says_so(opened, tmp_path):
    with pytest.raises(FmuMappingError, match="it has none: use one instance for each device"):
        opened(build_fmu(tmp_path, fmi="3.0"), array_size="n")


def test_an_error_of_one_instance_of_all_devices_names_them_all(opened, tmp_path):
    file = build_fmu(tmp_path, fmi="3.0", array=True, step_code="if (u > 5) return ERROR; y = u;")
    with pytest.raises(
        FmuStepError, match=r"all devices \(tiny\.fmu\) at 0 s, step 1 s: fmi3DoStep answered 'error'"
    ):
        opened(file, array_size="n").advance(np.array([[1.0, 6.0, 2.0]]), time_s=0.0, dt_s=1.0)
