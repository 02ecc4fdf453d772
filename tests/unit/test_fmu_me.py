"""Model Exchange with CVode: closed forms, events, and what an FMU can do wrong."""

import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_fmus import Var, build_fmu

from models.errors import FmuError, FmuMappingError, FmuStepError, StateError
from models.fmu.base import FleetSpec, FloatArray, Interface, OnFailure, Value, Wire
from models.fmu.isolation.supervisor import WorkerFleet
from models.fmu.model_exchange.engine import ModelExchangeEngine, open_me
from models.fmu.reading.archive import unpacked
from models.fmu.reading.description import read_info

NOTHING = np.zeros((0, 1))
EXCHANGE = ("ModelExchange",)
VERSIONS = pytest.mark.parametrize("fmi", ["2.0", "3.0"])


@contextmanager
def engine(
    file: Path,
    *,
    size: int = 1,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = ("y",),
    parameters: Mapping[str, Value | FloatArray] | None = None,
    tolerance: float = 1e-9,
) -> Iterator[ModelExchangeEngine]:
    spec = FleetSpec(
        label="pumps",
        file=file,
        size=size,
        inputs=tuple(Wire(signal=name, variable=name) for name in inputs),
        outputs=tuple(Wire(signal=name, variable=name) for name in outputs),
        parameters=parameters or {},
        interface=Interface.MODEL_EXCHANGE,
        tolerance=tolerance,
    )
    with unpacked(file, read_info(file, interface=Interface.MODEL_EXCHANGE)) as place:
        opened = open_me(place, spec)
        try:
            yield opened
        finally:
            opened.close()


def decay(folder: Path, *, fmi: str = "2.0", nominal: float = 1.0, **options: object) -> Path:
    """x' = -k x + u, x(0) = 1."""
    return build_fmu(
        folder,
        name="decay",
        fmi=fmi,
        states={"x": 1.0},
        parameters={"k": 1.0},
        derivative_code="der_x = -k * x + u; y = x;",
        interfaces=EXCHANGE,
        nominal=nominal,
        **options,  # type: ignore[arg-type]  # passed on
    )


@VERSIONS
def test_a_linear_decay_follows_the_exponential_for_each_device_with_its_own_rate(
    tmp_path: Path, fmi: str
) -> None:
    rates = np.array([0.5, 1.0, 4.0])
    with engine(decay(tmp_path, fmi=fmi), size=3, parameters={"k": rates}) as devices:
        assert devices.outputs().tolist() == [[1.0, 1.0, 1.0]]
        for step in range(4):
            devices.advance(np.zeros((0, 3)), time_s=step * 0.5, dt_s=0.5)
        found = devices.outputs()
    np.testing.assert_allclose(found[0], np.exp(-rates * 2.0), atol=1e-8)


@VERSIONS
def test_an_input_is_held_over_its_step_and_each_change_restarts_the_solver(tmp_path: Path, fmi: str) -> None:
    held = [0.0, 2.0, 2.0, -1.0]
    expected = 1.0
    with engine(decay(tmp_path, fmi=fmi), inputs=("u",)) as devices:
        for step, u in enumerate(held):
            found = devices.advance(np.array([[u]]), time_s=step * 10.0, dt_s=10.0)
            expected = u + (expected - u) * math.exp(-10.0)
            assert found[0, 0] == pytest.approx(expected, abs=1e-7)


@pytest.fixture(name="any_decay", scope="module")
def _any_decay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return decay(tmp_path_factory.mktemp("decay"))


@settings(deadline=None, max_examples=30)
@given(
    rate=st.floats(1e-3, 1e3),
    first=st.floats(-100, 100),
    course=st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(-100, 100)), min_size=1, max_size=5),
)
def test_any_course_of_held_inputs_follows_the_closed_form(
    any_decay: Path, rate: float, first: float, course: list[tuple[float, float]]
) -> None:
    time_s, expected = 0.0, first
    with engine(any_decay, inputs=("u",), parameters={"k": rate, "x": first}) as devices:
        for dt_s, u in course:
            found = devices.advance(np.array([[u]]), time_s=time_s, dt_s=dt_s)
            time_s += dt_s
            expected = u / rate + (expected - u / rate) * math.exp(-rate * dt_s)
            assert found[0, 0] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_start_value_of_a_state_can_be_set_for_each_device(tmp_path: Path) -> None:
    with engine(decay(tmp_path), size=2, parameters={"x": np.array([3.0, -2.0])}) as devices:
        found = devices.advance(np.zeros((0, 2)), time_s=0.0, dt_s=1.0)
    np.testing.assert_allclose(found[0], np.array([3.0, -2.0]) * math.exp(-1.0), rtol=1e-7)


@VERSIONS
def test_a_bouncing_ball_hits_the_ground_at_the_time_of_the_closed_form(tmp_path: Path, fmi: str) -> None:
    file = build_fmu(
        tmp_path,
        name="ball",
        fmi=fmi,
        inputs=(),
        states={"h": 1.0, "speed": 0.0},
        derivative_code="der_h = speed; der_speed = -9.81; y = h;",
        n_indicators=1,
        indicator_code="z[0] = h;",
        event_code="if (h <= 0 && speed < 0) { h = 0; speed = -0.5 * speed; }",
        interfaces=EXCHANGE,
    )
    hits_s = math.sqrt(2 / 9.81)
    up = 0.5 * 9.81 * hits_s
    with engine(file, outputs=("y", "speed")) as devices:
        found = devices.advance(NOTHING, time_s=0.0, dt_s=0.6)
    after_s = 0.6 - hits_s
    expected = [up * after_s - 0.5 * 9.81 * after_s**2, up - 9.81 * after_s]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-7)


@VERSIONS
def test_a_time_event_inside_a_step_changes_the_slope_exactly_there(tmp_path: Path, fmi: str) -> None:
    file = build_fmu(
        tmp_path,
        name="switch",
        fmi=fmi,
        inputs=(),
        states={"x": 0.0},
        variables=(Var("rate", "local", start=1.0, initial="exact"),),
        derivative_code="der_x = rate; y = x;",
        event_code=("m->next_event_defined = time < 0.35; m->next_event = 0.35; if (time >= 0.35) rate = 3;"),
        interfaces=EXCHANGE,
    )
    with engine(file) as devices:
        found = devices.advance(NOTHING, time_s=0.0, dt_s=1.0)
    assert found[0, 0] == pytest.approx(0.35 + 3 * 0.65, abs=1e-9)


def test_an_event_a_hair_before_the_end_of_a_step_does_not_stop_the_solver(tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path,
        name="hair",
        inputs=(),
        states={"x": 0.0},
        derivative_code="der_x = 1; y = x;",
        event_code="m->next_event_defined = time < 99.99; m->next_event = 100.0 - 1e-13;",
        interfaces=EXCHANGE,
    )
    with engine(file) as devices:
        devices.advance(NOTHING, time_s=0.0, dt_s=100.0)
        found = devices.advance(NOTHING, time_s=100.0, dt_s=100.0)
    assert found[0, 0] == pytest.approx(200.0, rel=1e-9)


@pytest.mark.parametrize("ulps", [1, 2, 3, 8, 15, 16, 17, 20, 40])
@pytest.mark.parametrize("end", [1.0, 0.7, 86400.0])
def test_an_interval_of_a_few_roundings_does_not_stop_the_solver(
    tmp_path: Path, end: float, ulps: int
) -> None:
    """CVode refuses to start into an interval of one or two; an event before the end asks for that."""
    event = float(end * (1 - ulps * np.finfo(float).eps))
    file = build_fmu(
        tmp_path,
        name="hair",
        inputs=(),
        states={"x": 0.0},
        parameters={"at": 0.0},
        derivative_code="der_x = 1; y = x;",
        event_code="m->next_event_defined = time < at; m->next_event = at;",
        interfaces=EXCHANGE,
    )
    with engine(file, parameters={"at": event}) as devices:
        devices.advance(NOTHING, time_s=0.0, dt_s=end)
        found = devices.advance(NOTHING, time_s=end, dt_s=end)
    assert found[0, 0] == pytest.approx(2 * end, rel=1e-9)


@pytest.mark.parametrize("nominal", [0.0, -1.0, float("inf")], ids=str)
def test_a_nominal_value_against_the_standard_is_taken_for_one(tmp_path: Path, nominal: float) -> None:
    written = "1.0 / 0.0" if math.isinf(nominal) else nominal
    with engine(decay(tmp_path, nominal=written)) as devices:  # type: ignore[arg-type]  # C text
        found = devices.advance(NOTHING, time_s=0.0, dt_s=1.0)
    assert found[0, 0] == pytest.approx(math.exp(-1.0), rel=1e-7)


def test_a_stiff_system_follows_its_slow_solution_over_long_steps(tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path,
        name="stiff",
        inputs=(),
        states={"x": 1.0},
        derivative_code="der_x = -1e6 * (x - cos(time)); y = x;",
        interfaces=EXCHANGE,
    )
    with engine(file, tolerance=1e-7) as devices:
        for step in range(4):
            devices.advance(NOTHING, time_s=step * 5.0, dt_s=5.0)
        found = devices.outputs()
    assert found[0, 0] == pytest.approx(math.cos(20.0), abs=1e-4)


@VERSIONS
def test_an_fmu_without_states_needs_no_solver(tmp_path: Path, fmi: str) -> None:
    file = build_fmu(
        tmp_path, name="gain", fmi=fmi, step_code="", derivative_code="y = 2 * u + time;", interfaces=EXCHANGE
    )
    with engine(file, inputs=("u",)) as devices:
        found = devices.advance(np.array([[5.0]]), time_s=0.0, dt_s=60.0)
    assert found.tolist() == [[70.0]]


def test_events_are_found_in_an_fmu_without_states(tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path,
        name="alarm",
        inputs=(),
        step_code="",
        variables=(
            Var("count", "local", start=0.0, initial="exact"),
            Var("at", "local", start=0.0, initial="exact"),
        ),
        derivative_code="y = count;",
        n_indicators=1,
        indicator_code="z[0] = time - 7.25;",
        event_code="if (time > 1) { count = count + 1; at = time; }",
        interfaces=EXCHANGE,
    )
    with engine(file, outputs=("y", "at")) as devices:
        found = devices.advance(NOTHING, time_s=0.0, dt_s=10.0)
    assert found[0, 0] == 1.0
    assert found[1, 0] == pytest.approx(7.25, abs=1e-6)


@VERSIONS
def test_an_fmu_that_asks_to_end_stops_the_run_with_its_time(tmp_path: Path, fmi: str) -> None:
    file = build_fmu(
        tmp_path,
        name="ender",
        fmi=fmi,
        inputs=(),
        states={"x": 0.0},
        derivative_code="der_x = 1; y = x;",
        n_indicators=1,
        indicator_code="z[0] = x - 3.5;",
        event_code="m->terminate = x >= 3.4;",
        interfaces=EXCHANGE,
    )
    with (
        engine(file) as devices,
        pytest.raises(FmuStepError, match=r"pumps: device 0 .*ender\.fmu.*at 3\.5 s: .*asked to end"),
    ):
        devices.advance(NOTHING, time_s=0.0, dt_s=10.0)


def test_a_derivative_that_is_not_a_number_is_named_instead_of_spreading(tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path,
        name="nan",
        inputs=(),
        states={"a": 1.0, "x": 1.0},
        derivative_code="der_a = 0; der_x = -1 / sqrt(x); y = x;",
        interfaces=EXCHANGE,
    )
    with (
        engine(file) as devices,
        pytest.raises(FmuStepError, match=r"derivative of state 1 .*not a finite number"),
    ):
        devices.advance(NOTHING, time_s=0.0, dt_s=10.0)


def answering(folder: Path, status: str) -> Path:
    """x' = 1; the derivatives are answered with ``status`` in the calls that ``bad`` is true for."""
    word, when = status.split(" if ")
    own = f"""
    #undef fmi2GetDerivatives
    EXPORT int fmi2GetDerivatives(Model *m, double dx[], size_t n) {{
        static int calls = 0;
        dx[0] = 1;
        if ({when}) {{ say(m, ERROR, "logEvents", "call %d", calls); return {word}; }}
        return OK;
    }}
    """
    return build_fmu(
        folder,
        name="moody",
        inputs=(),
        states={"x": 0.0},
        derivative_code="y = x;",
        extra_code=own,
        omit=("fmi2GetDerivatives",),
        interfaces=EXCHANGE,
    )


@pytest.mark.parametrize("status", ["WARNING if calls++ < 9", "DISCARD if ++calls == 7 || calls == 12"])
def test_warnings_and_refusals_that_a_smaller_step_gets_over_do_not_end_the_run(
    tmp_path: Path, status: str
) -> None:
    with engine(answering(tmp_path, status)) as devices:
        found = devices.advance(NOTHING, time_s=0.0, dt_s=10.0)
    assert found[0, 0] == pytest.approx(10.0, rel=1e-8)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("DISCARD if m->s.time > 4", "discard"),
        ("ERROR if m->s.time > 4", "error"),
        ("FATAL if m->s.time > 4", "fatal"),
    ],
)
def test_a_refusal_that_stays_ends_the_step_with_the_words_of_the_fmu(
    tmp_path: Path, status: str, word: str
) -> None:
    with (
        engine(answering(tmp_path, status), size=2) as devices,
        pytest.raises(
            FmuStepError, match=rf"device 0 of 0\.\.1 .*fmi2GetDerivatives answered '{word}'.*logEvents"
        ),
    ):
        devices.advance(np.zeros((0, 2)), time_s=0.0, dt_s=10.0)


def test_an_fmu_that_may_be_there_only_once_per_process_gets_a_copy_for_each_device(tmp_path: Path) -> None:
    file = decay(tmp_path, capabilities={"canBeInstantiatedOnlyOncePerProcess": "true"})
    with engine(file, size=3, inputs=("u",), parameters={"k": np.array([1.0, 2.0, 3.0])}) as devices:
        devices.advance(np.array([[0.0, 1.0, 2.0]]), time_s=0.0, dt_s=1.0)
        found = devices.outputs()
    ends = np.array([0.0, 1 / 2, 2 / 3])
    np.testing.assert_allclose(found[0], ends + (1 - ends) * np.exp([-1.0, -2.0, -3.0]), atol=1e-7)


def test_an_event_that_never_lets_time_go_on_ends_the_step_with_an_error(tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path,
        name="stuck",
        inputs=(),
        step_code="",
        derivative_code="y = time;",
        event_code="m->next_event_defined = 1; m->next_event = time;",
        interfaces=EXCHANGE,
    )
    with (
        engine(file) as devices,
        pytest.raises(FmuStepError, match="more than 100000 events"),
    ):
        devices.advance(NOTHING, time_s=0.0, dt_s=1.0)


def test_a_failure_while_starting_frees_the_devices_before_and_names_the_one(tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path,
        name="picky",
        states={"x": 1.0},
        parameters={"k": 1.0},
        derivative_code="der_x = -k * x; y = x;",
        init_code='if (k < 0) { say(m, ERROR, "logStatusError", "k is %g", k); return ERROR; }',
        interfaces=EXCHANGE,
    )
    with (
        pytest.raises(FmuError, match=r"device 1 of 0\.\.2 .*answered 'error' while it was started.*k is -1"),
        engine(file, size=3, parameters={"k": np.array([1.0, -1.0, 1.0])}),
    ):
        pass
    with engine(file, size=3) as devices:
        assert devices.advance(np.zeros((0, 3)), time_s=0.0, dt_s=1.0)[0, 2] == pytest.approx(math.exp(-1))


@VERSIONS
def test_going_back_to_a_saved_state_gives_the_same_values_bit_for_bit(tmp_path: Path, fmi: str) -> None:
    serialise = "canSerializeFMU" + ("State" if fmi == "3.0" else "state")
    file = decay(tmp_path, fmi=fmi, capabilities={serialise: "true"})

    inputs = np.array([[0.5, 1.5]])  # held, so that no change of them makes the solver start afresh

    def go_on(devices: ModelExchangeEngine) -> list[list[float]]:
        values = [devices.advance(inputs, time_s=at, dt_s=1.0) for at in (2.0, 3.0)]
        together: list[list[float]] = np.concatenate(values).tolist()
        return together

    with engine(file, size=2, inputs=("u",)) as devices:
        for step in range(2):
            devices.advance(inputs, time_s=float(step), dt_s=1.0)
        saved = devices.save()
        first = go_on(devices)
        devices.restore(saved)
        assert go_on(devices) == first
    with engine(file, size=2, inputs=("u",)) as fresh:
        fresh.restore(saved)
        assert go_on(fresh) == first


def test_a_crash_in_the_equations_is_survived_and_changes_nothing(tmp_path: Path) -> None:
    def course(name: str, crash: str) -> tuple[list[FloatArray], tuple[str, ...]]:
        file = build_fmu(
            tmp_path,
            name=name,
            states={"x": 1.0},
            derivative_code=f"der_x = u - x + sin(time); y = x; {crash}",
            capabilities={"canSerializeFMUstate": "true"},
            interfaces=EXCHANGE,
        )
        spec = FleetSpec(
            label="pumps",
            file=file,
            size=2,
            inputs=(Wire(signal="u", variable="u"),),
            outputs=(Wire(signal="y", variable="y"),),
            on_failure=OnFailure.RESTART,
            save_every=3,
        )
        fleet = WorkerFleet(spec)
        try:
            inputs = [np.array([[step // 4, 1.0]]) for step in range(8)]
            values = [fleet.step(now, time_s=10.0 * step, dt_s=10.0) for step, now in enumerate(inputs)]
            return values, fleet.events
        finally:
            fleet.close()

    marker = tmp_path / "crashed"
    crash = f'if (time > 44) {{ FILE *f = fopen("{marker}", "wx"); if (f) {{ fclose(f); abort(); }} }}'
    found, events = course("crashing", crash)
    expected, nothing = course("sound", "")
    assert marker.exists()
    assert events
    assert not nothing
    np.testing.assert_array_equal(np.stack(found), np.stack(expected))


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    file = decay(tmp_path, capabilities={"canSerializeFMUstate": "true"})
    with engine(file) as one, engine(file, size=2) as two:
        saved = one.save()
        with pytest.raises(StateError, match="1 devices, there are 2"):
            two.restore(saved)
        with pytest.raises(StateError, match="not a saved state"):
            one.restore(b"something else, and long enough to be read")
        with pytest.raises(StateError, match="cut short"):
            one.restore(saved[:30])


def test_an_fmu_that_cannot_save_its_state_says_so(tmp_path: Path) -> None:
    file = decay(tmp_path, capabilities={"canSerializeFMUstate": "false"})
    with engine(file) as devices, pytest.raises(StateError, match="says that it cannot"):
        devices.save()


def test_a_step_that_does_not_begin_at_the_last_end_is_refused(tmp_path: Path) -> None:
    with engine(decay(tmp_path)) as devices, pytest.raises(FmuStepError, match=r"its time is 0 s"):
        devices.advance(NOTHING, time_s=60.0, dt_s=60.0)


def test_a_discrete_input_is_set_in_event_mode_and_converted(tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path,
        name="onoff",
        inputs=(
            Var("on", "input", type="Boolean", start=0.0),
            Var("stage", "input", type="Integer", start=0.0),
        ),
        states={"x": 0.0},
        derivative_code="der_x = on ? stage : 0; y = x;",
        interfaces=EXCHANGE,
    )
    with engine(file, inputs=("on", "stage")) as devices:
        devices.advance(np.array([[0.0], [4.0]]), time_s=0.0, dt_s=10.0)
        found = devices.advance(np.array([[1.0], [4.0]]), time_s=10.0, dt_s=10.0)
        assert found[0, 0] == pytest.approx(40.0, rel=1e-7)
        with pytest.raises(FmuStepError, match="stage"):
            devices.advance(np.array([[1.0], [0.5]]), time_s=20.0, dt_s=10.0)


def test_an_unknown_variable_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with (
        pytest.raises(FmuMappingError, match="has no variable 'yy'"),
        engine(decay(tmp_path), outputs=("yy",)),
    ):
        pass


def test_closing_twice_is_fine_and_a_closed_engine_says_so(tmp_path: Path) -> None:
    with engine(decay(tmp_path)) as devices:
        devices.close()
        devices.close()
        with pytest.raises(ValueError, match="closed"):
            devices.outputs()


def test_a_machine_without_sundials_gets_the_remedy(tmp_path: Path) -> None:
    """FMPy looks for SUNDIALS in a folder by platform; there is none for ARM Linux."""
    file = decay(tmp_path)
    text = f"""
import fmpy
fmpy.platform_tuple = "aarch64-linux"
from pathlib import Path
from models.errors import FmuError
from models.fmu.base import FleetSpec, Interface, Wire
from models.fmu.fleet import FmuFleet
file = Path({str(file)!r})
spec = FleetSpec(label="x", file=file, size=1, inputs=(), outputs=(Wire(signal="y", variable="y"),), trusted=True,
                 interface=Interface.MODEL_EXCHANGE)
try:
    FmuFleet(spec)
except FmuError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert "FMPy ships none for this machine" in done.stdout
    assert "interface: co_simulation" in done.stdout


@pytest.mark.parametrize("which", ["u", "y"])
def test_a_variable_with_several_values_is_refused(tmp_path: Path, which: str) -> None:
    file = decay(tmp_path, fmi="3.0", array=True)
    sizes = {"n": 2}
    with engine(file, inputs=("u",), parameters={"n": 1}) as pump:
        assert pump.size == 1
    wired: dict[str, tuple[str, ...]] = {"inputs": ("u",), "outputs": ()} if which == "u" else {}
    with (
        pytest.raises(FmuMappingError, match=rf"{which} of decay\.fmu has 2 values for one device"),
        engine(file, parameters=sizes, **wired),  # type: ignore[arg-type]  # only tuples in it
    ):
        pass


@VERSIONS
def test_a_state_that_passes_through_zero_is_found_there(tmp_path: Path, fmi: str) -> None:
    """x = sin(t), which starts at 0 and passes it again at pi; the FMU gives 0 as the nominal value too."""
    file = build_fmu(
        tmp_path,
        name="wave",
        fmi=fmi,
        states={"x": 0.0},
        derivative_code="der_x = cos(time); y = x;",
        nominal=0.0,
        interfaces=EXCHANGE,
    )
    times = np.arange(0.0, 4.0, 0.25)
    with engine(file) as wave:
        found = [wave.advance(NOTHING, time_s=float(t), dt_s=0.25)[0, 0] for t in times]
    assert found == pytest.approx(np.sin(times + 0.25).tolist(), abs=1e-6)
