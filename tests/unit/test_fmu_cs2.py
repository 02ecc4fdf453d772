"""Co-Simulation with one instance for each device: what FMI 2.0 and 3.0 share, and what is FMI 2.0's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fmpy
import numpy as np
import pytest
from tiny_fmus import Var, build_fmu

from models.errors import FmuError, FmuMappingError, FmuStepError, StateError
from models.fmu.base import Engine, FleetSpec, Wire
from models.fmu.binding.loading import open_library
from models.fmu.co_simulation.fmi2 import open_cs2
from models.fmu.co_simulation.fmi3 import open_cs3
from models.fmu.reading.archive import unpacked

Opener = Callable[..., Engine]
VARIABLE_STEP = "canHandleVariableCommunicationStepSize"
SERIALISES = {"2.0": "canSerializeFMUstate", "3.0": "canSerializeFMUState"}


@pytest.fixture(params=["2.0", "3.0"])
def fmi(request) -> str:
    return str(request.param)


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
            engine = (open_cs2 if place.info.fmi_version == "2.0" else open_cs3)(place, spec)
            stack.callback(engine.close)
            return engine

        yield open_file


def test_each_device_integrates_its_own_input_with_its_own_parameter(opened, tmp_path, fmi):
    engine = opened(build_fmu(tmp_path, fmi=fmi), parameters={"k": np.array([1.0, 2.0, 3.0])})
    np.testing.assert_array_equal(engine.outputs(), [[0.0, 0.0, 0.0]])
    first = engine.advance(np.array([[1.0, 10.0, 100.0]]), time_s=0.0, dt_s=2.0)
    second = engine.advance(np.array([[1.0, 1.0, -1.0]]), time_s=2.0, dt_s=1.0)
    np.testing.assert_array_equal(first, [[2.0, 40.0, 600.0]])
    np.testing.assert_array_equal(second, [[3.0, 42.0, 597.0]])
    np.testing.assert_array_equal(first, [[2.0, 40.0, 600.0]])


def test_a_fleet_does_what_fmpy_does_with_each_instance(opened, tmp_path, fmi):
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        step_code="s_ += dt * (u - sin(time) * s_); y = s_;",
        variables=[Var("s_", "local", start=0.3, initial="exact")],
    )
    engine = opened(file, size=2)
    inputs = np.random.default_rng(7).normal(size=(20, 1, 2))
    ours = [engine.advance(values, time_s=0.1 * k, dt_s=0.1)[0] for k, values in enumerate(inputs)]
    place = fmpy.extract(str(file), str(tmp_path / "plain"))
    for device in range(2):
        plain = fmpy.simulation.instantiate_fmu(place, fmpy.read_model_description(place))
        if fmi == "2.0":
            plain.setupExperiment()
        plain.enterInitializationMode()
        plain.exitInitializationMode()
        set_values, get_values = (
            (plain.setReal, plain.getReal) if fmi == "2.0" else (plain.setFloat64, plain.getFloat64)
        )
        for k, values in enumerate(inputs):
            set_values([0], [values[0, device]])
            plain.doStep(0.1 * k, 0.1)
            assert get_values([1])[0] == ours[k][device]
        plain.terminate()
        plain.freeInstance()


def typed(fmi: str) -> list[Var]:
    whole = {"2.0": "Integer", "3.0": "Int32"}[fmi]
    return [
        Var("yes", "parameter", type="Boolean", start="false"),
        Var("count", "parameter", type=whole, start=0),
        Var("word", "parameter", type="String", start="nothing"),
        Var("level", "input", type=whole, start=0),
        Var("on", "input", type="Boolean", start="false"),
        Var("whole", "output", type=whole),
        Var("both", "output", type="Boolean"),
    ]


@pytest.fixture
def typed_file(tmp_path, fmi) -> Path:
    return build_fmu(
        tmp_path,
        fmi=fmi,
        variables=typed(fmi),
        step_code="y = u + count + 100 * yes; whole = level + 1; both = on && yes;",
        init_code='if (strcmp(m->s.text[4], "hello") == 0) y = 0.5;',
    )


def test_whole_numbers_and_yes_or_no_are_set_and_read_as_such(opened, typed_file):
    engine = opened(
        typed_file,
        size=2,
        inputs=("on", "u", "level"),
        outputs=("both", "whole", "y"),
        parameters={"yes": np.array([1.0, 0.0]), "count": 7, "word": "hello", "u": 3.0},
    )
    assert engine.outputs()[2].tolist() == [0.5, 0.5]
    outputs = engine.advance(np.array([[1.0, 1.0], [0.5, 0.25], [4.0, -2.0]]), time_s=0.0, dt_s=1.0)
    assert outputs.tolist() == [[1.0, 0.0], [5.0, -1.0], [107.5, 7.25]]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([[1.0, 1.0], [1.5, 2.0]], r"input level of device 0: 1.5 does not fit the type Int"),
        ([[1.0, 0.3], [1.0, 2.0]], r"input on of device 1: 0.3 does not fit the type Boolean"),
        ([[1.0, 1.0], [1.0, 3e10]], r"input level of device 1: 3e\+10 does not fit"),
        ([[1.0, 1.0], [np.nan, 2.0]], r"input level of device 0: nan is not finite"),
    ],
)
def test_an_input_that_does_not_fit_its_type_stops_the_step(opened, typed_file, inputs, message):
    engine = opened(typed_file, size=2, inputs=("on", "level"), outputs=("y",))
    with pytest.raises(FmuStepError, match=message):
        engine.advance(np.array(inputs), time_s=0.0, dt_s=1.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cuont": 1}, r"has no variable 'cuont'; did you mean count"),
        ({"count": 1.5}, r"count \(Int\w+\) takes a whole number"),
        ({"count": "seven"}, r"count \(Int\w+\) takes a number, not 'seven'"),
        ({"yes": 2}, r"yes \(Boolean\) takes true or false, not 2"),
        ({"word": 3.0}, r"word \(String\) takes a text, not 3.0"),
        ({"u": float("nan")}, r"u \(\w+\) takes a number"),
        ({"u": np.array([1.0, 2.0])}, r"u has 2 values for 3 devices"),
        ({"y": 1.0}, r"y is computed by the FMU \(output, initial: \w+\)"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(opened, typed_file, parameters, message):
    with pytest.raises(FmuMappingError, match=message):
        opened(typed_file, parameters=parameters)


def test_a_constant_and_a_value_out_of_bounds_are_refused(opened, tmp_path, fmi):
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        variables=[
            Var("fixed", "local", start=1.0, variability="constant", initial="exact"),
            Var("share", "parameter", start=0.5, low=0.0, high=1.0),
        ],
    )
    with pytest.raises(FmuMappingError, match="fixed is a constant"):
        opened(file, parameters={"fixed": 2.0})
    with pytest.raises(FmuMappingError, match=r"share .*: 1.5 is outside \[0, 1\]"):
        opened(file, parameters={"share": 1.5})


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (("v",), ("y",), "has no variable 'v'"),
        (("y",), ("y",), "y is a output of variability"),
        (("u", "u"), ("y",), "two signals feed u"),
        (("u",), ("word",), "word is of type String, which holds no numbers"),
    ],
)
def test_a_wire_that_does_not_fit_is_refused(opened, typed_file, inputs, outputs, message):
    with pytest.raises(FmuMappingError, match=message):
        opened(typed_file, inputs=inputs, outputs=outputs)


def test_an_fmu_that_fails_while_it_is_initialised_is_named_with_its_words(opened, tmp_path, fmi):
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        parameters={"k": 1.0},
        step_code="y = k;",
        init_code='if (k < 0) { say(m, ERROR, "logStatusError", "k is %g", k); return ERROR; }',
    )
    with pytest.raises(
        FmuError, match=r"device 1 \(tiny.fmu\): fmi\dExitInitializationMode answered 'error'.*k is -3"
    ):
        opened(file, parameters={"k": np.array([1.0, -3.0, 1.0])})


def test_warnings_are_counted_and_do_not_stop_the_run(opened, tmp_path, fmi):
    file = build_fmu(tmp_path, fmi=fmi, step_code="y = u; if (u > 5) return WARNING;")
    engine = opened(file)
    outputs = engine.advance(np.array([[1.0, 6.0, 7.0]]), time_s=0.0, dt_s=1.0)
    assert outputs.tolist() == [[1.0, 6.0, 7.0]]
    assert engine.warnings == 2


def test_an_error_names_device_time_status_and_the_words_of_the_fmu(opened, tmp_path, fmi):
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        step_code='if (u > 5) { say(m, ERROR, "logStatusError", "u is %g", u); return ERROR; } y = u;',
    )
    engine = opened(file)
    with pytest.raises(
        FmuStepError,
        match=r"devices\[0\] pump: device 1 of 0..2 \(tiny.fmu\) at 60 s, step 10 s: fmi\dDoStep answered 'error'; "
        r"the FMU says: \[error\] \(logStatusError\) u is 6",
    ):
        engine.advance(np.array([[1.0, 6.0, 7.0]]), time_s=60.0, dt_s=10.0)
    engine.close()


def test_a_device_that_failed_is_freed_without_being_terminated(opened, tmp_path, fmi):
    ending = f"fmi{fmi[0]}Terminate"
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        step_code="y = u; if (u > 5) return ERROR;",
        omit=[ending],
        extra_code=f"""
        #undef {ending}
        static int ended = 0;
        EXPORT int {ending}(Model *m) {{ ended++; return OK; }}
        EXPORT int count_of_ended(void) {{ return ended; }}
        EXPORT int count_of_alive(void) {{ return alive; }}
        """,
    )
    engine = opened(file)
    library = open_library(engine._instances[0].binary.path)
    with pytest.raises(FmuStepError, match="'error'"):
        engine.advance(np.array([[1.0, 6.0, 1.0]]), time_s=0.0, dt_s=1.0)
    engine.close()
    assert (library.handle.count_of_ended(), library.handle.count_of_alive()) == (2, 0)
    library.release()


def test_after_fatal_no_function_of_the_fmu_is_called_again(opened, tmp_path, fmi):
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        step_code="y = u; if (u > 5) return FATAL;",
        extra_code="EXPORT int still_alive(void) { return alive; }",
    )
    engine = opened(file)
    with pytest.raises(FmuStepError, match=r"'fatal'.*beyond repair"):
        engine.advance(np.array([[1.0, 6.0, 7.0]]), time_s=0.0, dt_s=1.0)
    with pytest.raises(FmuError, match="is not called, the FMU has answered 'fatal' before"):
        engine._instances[0].terminate()
    library = engine._instances[0].binary
    engine.close()
    assert library.handle.still_alive() == 3


PATIENT = "if (dt > 0.3) { m->last_time = time; return DISCARD; } y += u * dt;"


def test_a_discarded_step_is_made_in_smaller_ones(opened, tmp_path, fmi):
    file = build_fmu(tmp_path, fmi=fmi, step_code=PATIENT)
    engine = opened(file)
    outputs = engine.advance(np.array([[1.0, 2.0, 3.0]]), time_s=100.0, dt_s=1.0)
    np.testing.assert_allclose(outputs, [[1.0, 2.0, 3.0]], rtol=1e-14)
    assert [instance.log.warnings for instance in engine._instances] == [0, 0, 0]


def test_a_discarded_step_goes_on_from_where_the_fmu_got_to(opened, tmp_path, fmi):
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        step_code="if (time < 0.25 && time + dt > 0.25) { y += u * (0.25 - time); m->last_time = 0.25; return DISCARD; } "
        "y += u * dt;",
    )
    engine = opened(file)
    assert engine.advance(np.array([[1.0, 2.0, 3.0]]), time_s=0.0, dt_s=1.0).tolist() == [[1.0, 2.0, 3.0]]


def test_a_discarded_step_that_was_computed_to_its_end_is_done(opened, tmp_path, fmi):
    file = build_fmu(tmp_path, fmi=fmi, step_code="y += u * dt; m->last_time = time + dt; return DISCARD;")
    assert opened(file).advance(np.array([[1.0, 2.0, 3.0]]), time_s=5.0, dt_s=1.0).tolist() == [
        [1.0, 2.0, 3.0]
    ]


def test_a_discarded_step_of_an_fmu_with_one_step_size_ends_the_run(opened, tmp_path, fmi):
    engine = opened(build_fmu(tmp_path, fmi=fmi, step_code=PATIENT, capabilities={VARIABLE_STEP: "false"}))
    with pytest.raises(FmuStepError, match="answered 'discard' and the FMU takes no other step"):
        engine.advance(np.ones((1, 3)), time_s=0.0, dt_s=1.0)


def test_a_step_that_is_discarded_however_small_ends_the_run(opened, tmp_path, fmi):
    file = build_fmu(tmp_path, fmi=fmi, step_code="m->last_time = time; return DISCARD;")
    with pytest.raises(FmuStepError, match=r"device 0 of 0\.\.2"):
        opened(file).advance(np.ones((1, 3)), time_s=0.0, dt_s=1.0)


def test_an_fmu_that_asks_to_end_ends_the_run(opened, tmp_path, fmi):
    wish = "m->terminate = 1; m->last_time = time; " + ("return DISCARD;" if fmi == "2.0" else "return OK;")
    file = build_fmu(tmp_path, fmi=fmi, step_code=f"if (u > 5) {{ {wish} }} y = u;")
    with pytest.raises(FmuStepError, match=r"device 2 of 0\.\.2.*asked to end the simulation"):
        opened(file).advance(np.array([[1.0, 2.0, 7.0]]), time_s=0.0, dt_s=1.0)


def test_an_fmu_that_does_not_tell_how_far_it_got_is_asked_again_from_the_begin(opened, tmp_path):
    file = build_fmu(tmp_path, step_code=PATIENT, omit=["fmi2GetRealStatus", "fmi2GetBooleanStatus"])
    outputs = opened(file).advance(np.array([[1.0, 2.0, 3.0]]), time_s=0.0, dt_s=1.0)
    np.testing.assert_allclose(outputs, [[1.0, 2.0, 3.0]], rtol=1e-14)


def test_a_restored_fleet_repeats_what_it_did(opened, tmp_path, fmi):
    file = build_fmu(tmp_path, fmi=fmi)
    engine, other = opened(file), opened(file)
    inputs = np.array([[1.0, 2.0, 3.0]])
    engine.advance(inputs, time_s=0.0, dt_s=1.0)
    state = engine.save()
    expected = engine.advance(inputs, time_s=1.0, dt_s=1.0)
    engine.restore(state)
    other.restore(state)
    assert engine.advance(inputs, time_s=1.0, dt_s=1.0).tolist() == expected.tolist()
    assert other.advance(inputs, time_s=1.0, dt_s=1.0).tolist() == expected.tolist()


def test_from_the_first_saved_state_on_an_fmu_is_told_that_it_may_be_set_again(opened, tmp_path, fmi):
    """noSetFMUStatePriorToCurrentPoint: an FMU may forget what it was before only while it is true."""
    file = build_fmu(
        tmp_path,
        fmi=fmi,
        step_code="if (dt > 0.6) return DISCARD; y = m->no_set_state;",
        capabilities={SERIALISES[fmi]: "true"},
    )
    engine = opened(file)
    nothing = np.zeros((1, 3))
    assert engine.advance(nothing, time_s=0.0, dt_s=0.5).tolist() == [[1.0] * 3]
    assert engine.advance(nothing, time_s=0.5, dt_s=1.0).tolist() == [[1.0] * 3], "in pieces"
    engine.save()
    assert engine.advance(nothing, time_s=1.5, dt_s=0.5).tolist() == [[0.0] * 3]
    assert engine.advance(nothing, time_s=2.0, dt_s=1.0).tolist() == [[0.0] * 3], "in pieces"


def test_the_state_of_another_fleet_is_refused(opened, tmp_path, fmi):
    file = build_fmu(tmp_path, fmi=fmi)
    other = build_fmu(tmp_path, name="other", fmi=fmi)
    engine = opened(file)
    with pytest.raises(StateError, match="is of 2 instances, there are 3"):
        engine.restore(opened(file, size=2).save())
    with pytest.raises(StateError, match=r"is of another FMU than tiny\.fmu"):
        engine.restore(opened(other).save())
    with pytest.raises(StateError, match="cut short"):
        engine.restore(engine.save()[:-1])
    with pytest.raises(StateError, match="not the saved state of FMUs"):
        engine.restore(b"something else, long enough to hold a head")


def test_an_fmu_that_cannot_give_its_state_says_so(opened, tmp_path, fmi):
    with pytest.raises(StateError, match=r"cannot give its state out of the process \(serialise\)"):
        opened(build_fmu(tmp_path, fmi=fmi, capabilities={SERIALISES[fmi]: "false"})).save()


def test_a_closed_fleet_may_be_closed_again_but_not_used(opened, tmp_path, fmi):
    engine = opened(build_fmu(tmp_path, fmi=fmi))
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="is closed"):
        engine.outputs()


def test_devices_of_an_fmu_for_one_instance_per_process_step_together(opened, tmp_path, fmi):
    file = build_fmu(tmp_path, fmi=fmi, capabilities={"canBeInstantiatedOnlyOncePerProcess": "true"})
    engine = opened(file, parameters={"k": np.array([1.0, 2.0, 3.0])})
    outputs = engine.advance(np.array([[1.0, 1.0, 2.0]]), time_s=0.0, dt_s=1.0)
    assert outputs.tolist() == [[1.0, 2.0, 6.0]]


def test_a_block_without_inputs_steps(opened, tmp_path, fmi):
    engine = opened(build_fmu(tmp_path, fmi=fmi, step_code="y = time + dt;"), inputs=())
    assert engine.advance(np.empty((0, 3)), time_s=4.0, dt_s=1.0).tolist() == [[5.0, 5.0, 5.0]]


def test_an_fmu_without_the_function_for_a_step_is_refused_when_it_is_opened(opened, tmp_path, fmi):
    step = f"fmi{fmi[0]}DoStep"
    with pytest.raises(FmuError, match=f"the function {step} is missing"):
        opened(build_fmu(tmp_path, fmi=fmi, omit=[step]))


def test_an_fmu_that_cannot_be_terminated_is_freed_all_the_same(opened, tmp_path, fmi):
    engine = opened(build_fmu(tmp_path, fmi=fmi, omit=[f"fmi{fmi[0]}Terminate"]))
    library = engine._instances[0].binary
    engine.close()
    assert library.users == 0


def test_an_fmu_that_changes_the_working_directory_in_a_step_does_not_change_that_of_the_run(
    opened, tmp_path, fmi
):
    before = Path.cwd()
    engine = opened(build_fmu(tmp_path, fmi=fmi, step_code='chdir("/"); y = u;'))
    engine.advance(np.ones((1, 3)), time_s=0.0, dt_s=1.0)
    assert Path.cwd() == before


def test_the_first_steps_of_two_fleets_of_the_same_file_do_not_mix(opened, tmp_path, fmi):
    file = build_fmu(tmp_path, fmi=fmi)
    first, second = opened(file, size=1), opened(file, size=1)
    assert first.advance(np.array([[1.0]]), time_s=0.0, dt_s=1.0).tolist() == [[1.0]]
    assert second.advance(np.array([[5.0]]), time_s=0.0, dt_s=1.0).tolist() == [[5.0]]
    assert first.outputs().tolist() == [[1.0]]
