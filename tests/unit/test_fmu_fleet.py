"""A fleet of FMUs as a block: units, communication steps, the guard of values, and what is left behind."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_fmus import Var, build_fmu

from models.errors import FmuArchiveError, FmuError, FmuMappingError, FmuStepError, StateError
from models.fmu.base import FleetSpec, FloatArray, Interface, Take, Wire
from models.fmu.fleet import FmuFleet, open_fleet
from models.fmu.isolation.supervisor import WorkerFleet

BOTH = ("CoSimulation", "ModelExchange")


def wire(signal: str, variable: str, **options: Any) -> Wire:
    return Wire(signal=signal, variable=variable, **options)


def spec_of(file: Path, **options: Any) -> FleetSpec:
    given: dict[str, Any] = {
        "label": "devices[3] pump",
        "size": 1,
        "inputs": (wire("u", "u"),),
        "outputs": (wire("y", "y"),),
        "trusted": True,
    }
    return FleetSpec(file=file, **{**given, **options})


@contextmanager
def opened(file: Path, **options: Any) -> Iterator[FmuFleet]:
    fleet = FmuFleet(spec_of(file, **options))
    try:
        yield fleet
    finally:
        fleet.close()


def row(*values: float) -> FloatArray:
    return np.array([values], dtype=np.float64)


@pytest.fixture(name="echo", scope="module")
def _echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = u and twice = 2 u."""
    return build_fmu(
        tmp_path_factory.mktemp("echo"),
        name="echo",
        outputs=("y", "twice"),
        step_code="y = u; twice = 2 * u;",
    )


@pytest.fixture(name="integrator", scope="module")
def _integrator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y += k u dt."""
    folder = tmp_path_factory.mktemp("integrator")
    return build_fmu(folder, name="integrator", capabilities={"canSerializeFMUstate": "true"})


@pytest.fixture(name="temporary")
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_values_change_their_unit_on_the_way_in_and_out(echo: Path) -> None:
    inputs = (wire("temp_air_degc", "u", offset=273.15),)
    outputs = (wire("p_kw", "y", factor=-1000.0), wire("same_degc", "twice", factor=2.0, offset=546.3))
    with opened(echo, inputs=inputs, outputs=outputs, size=2) as fleet:
        found = fleet.step(row(20.0, -5.0), time_s=0.0, dt_s=60.0)
    np.testing.assert_allclose(found, [[-0.29315, -0.26815], [20.0, -5.0]], rtol=1e-12)


@settings(deadline=None, max_examples=50)
@given(
    factor=st.floats(1e-3, 1e3).flatmap(lambda size: st.sampled_from([size, -size])),
    offset=st.floats(-300, 300),
    values=st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3),
)
def test_a_value_that_passes_an_fmu_with_the_same_wire_both_ways_comes_back(
    echo: Path, factor: float, offset: float, values: list[float]
) -> None:
    ends = {"factor": factor, "offset": offset}
    with opened(echo, inputs=(wire("a", "u", **ends),), outputs=(wire("b", "y", **ends),), size=3) as fleet:
        found = fleet.step(row(*values), time_s=0.0, dt_s=1.0)
    np.testing.assert_allclose(found, row(*values), rtol=1e-9, atol=1e-9 * (1 + abs(offset / factor)))


def test_powers_are_means_over_the_sub_steps_and_states_their_last_value(integrator: Path) -> None:
    outputs = (wire("p_kw", "y", take=Take.MEAN), wire("soc", "y", take=Take.LAST))
    with opened(integrator, outputs=outputs, step_s=1.0) as fleet:
        found = fleet.step(row(1.0), time_s=0.0, dt_s=4.0)
        assert found.tolist() == [[2.5], [4.0]]
        found = fleet.step(row(2.0), time_s=4.0, dt_s=2.0)
    assert found.tolist() == [[7.0], [8.0]]


def test_sub_steps_change_nothing_for_an_fmu_that_is_exact_at_every_step(integrator: Path) -> None:
    def course(step_s: float | None) -> list[float]:
        with opened(integrator, step_s=step_s) as fleet:
            return [
                float(fleet.step(row(u), time_s=8.0 * k, dt_s=8.0)[0, 0]) for k, u in enumerate((1, -2, 3))
            ]

    assert course(None) == course(8.0) == course(0.5) == [8.0, -8.0, 16.0]


def test_one_signal_may_feed_several_variables(tmp_path: Path) -> None:
    file = build_fmu(tmp_path, name="sum", inputs=("a", "b", "c"), step_code="y = a + 10 * b + 100 * c;")
    inputs = (wire("t", "a"), wire("q", "b"), wire("t", "c", factor=2.0))
    with opened(file, inputs=inputs) as fleet:
        assert fleet.inputs == ("t", "q")
        found = fleet.step(np.array([[3.0], [5.0]]), time_s=0.0, dt_s=1.0)
    assert found.tolist() == [[3.0 + 50.0 + 600.0]]


def test_every_device_has_its_own_parameters_and_state(integrator: Path) -> None:
    parameters = {"k": np.array([1.0, 2.0, -3.0])}
    with opened(integrator, size=3, parameters=parameters) as fleet:
        fleet.step(row(1.0, 1.0, 1.0), time_s=0.0, dt_s=1.0)
        found = fleet.step(row(0.0, 1.0, 2.0), time_s=1.0, dt_s=1.0)
    assert found.tolist() == [[1.0, 4.0, -9.0]]


def test_wires_that_repeat_or_make_no_sense_are_refused(echo: Path) -> None:
    with pytest.raises(FmuMappingError, match="input variable u is mapped more than once"):
        FmuFleet(spec_of(echo, inputs=(wire("a", "u"), wire("b", "u"))))
    with pytest.raises(FmuMappingError, match="output signal p_kw is mapped more than once"):
        FmuFleet(spec_of(echo, outputs=(wire("p_kw", "y"), wire("p_kw", "twice"))))
    with pytest.raises(FmuMappingError, match="factor 0"):
        FmuFleet(spec_of(echo, outputs=(wire("p_kw", "y", factor=0.0),)))
    for low, high in ((1.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(FmuMappingError, match="the bounds of p_kw"):
            FmuFleet(spec_of(echo, outputs=(wire("p_kw", "y", low=low, high=high),)))
    with pytest.raises(FmuMappingError, match="at least one device"):
        FmuFleet(spec_of(echo, size=0))


@pytest.mark.parametrize(
    ("step_s", "dt_s", "text"),
    [
        (7.0, 60.0, r"60 s is not a whole number of communication steps of 7 s"),
        (90.0, 60.0, r"60 s is not a whole number of communication steps of 90 s"),
        (0.0, 60.0, r"`step: 0 s` is not possible"),
        (float("nan"), 60.0, r"`step: nan s` is not possible"),
        (None, 0.0, r"a step of 0 s is not possible"),
        (None, -60.0, r"a step of -60 s is not possible"),
    ],
)
def test_a_step_that_cannot_be_cut_is_refused_with_both_lengths(
    integrator: Path, step_s: float | None, dt_s: float, text: str
) -> None:
    with (
        opened(integrator, step_s=step_s) as fleet,
        pytest.raises(FmuError, match=r"devices\[3\] pump: integrator\.fmu.*" + text),
    ):
        fleet.step(row(1.0), time_s=0.0, dt_s=dt_s)


def test_decimal_steps_are_whole_numbers_of_each_other_in_spite_of_rounding(integrator: Path) -> None:
    with opened(integrator, step_s=0.1) as fleet:
        for step in range(4):
            fleet.step(row(1.0), time_s=step * 0.7, dt_s=0.7)
        found = fleet.step(row(1.0), time_s=2.8, dt_s=0.7)
    assert found[0, 0] == pytest.approx(3.5)


def test_the_inner_step_of_an_fmu_is_kept(tmp_path: Path) -> None:
    file = build_fmu(tmp_path, name="inner", fmi="3.0", capabilities={"fixedInternalStepSize": "10"})
    with opened(file, step_s=20.0) as fleet:
        assert fleet.step(row(1.0), time_s=0.0, dt_s=60.0).tolist() == [[60.0]]
    with (
        opened(file, step_s=15.0) as fleet,
        pytest.raises(FmuError, match=r"steps by 10 s inside.*multiple of 10 s"),
    ):
        fleet.step(row(1.0), time_s=0.0, dt_s=60.0)


def test_an_fmu_that_keeps_its_step_is_not_given_another_one(tmp_path: Path) -> None:
    rigid = build_fmu(
        tmp_path, name="rigid", capabilities={"canHandleVariableCommunicationStepSize": "false"}
    )
    with opened(rigid) as fleet:
        fleet.step(row(1.0), time_s=0.0, dt_s=60.0)
        with pytest.raises(FmuError, match=r"first communication step of 60 s .*`step: 60 s`"):
            fleet.step(row(1.0), time_s=60.0, dt_s=30.0)
    free = build_fmu(tmp_path, name="free", capabilities={"canHandleVariableCommunicationStepSize": "true"})
    with opened(free) as fleet:
        fleet.step(row(1.0), time_s=0.0, dt_s=60.0)
        assert fleet.step(row(1.0), time_s=60.0, dt_s=30.0).tolist() == [[90.0]]


def test_a_value_out_of_the_bounds_of_its_wire_names_everything_one_needs(tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path,
        name="euler",
        inputs=(),
        outputs=(Var("y", "output", unit="W"),),
        states={"x": 1.0},
        parameters={"k": 1.0},
        derivative_code="der_x = -k * x; y = 1000 * x;",
        interfaces=BOTH,
    )
    outputs = (wire("p_kw", "y", factor=1000.0, low=-5.0, high=5.0),)
    options: dict[str, Any] = {
        "size": 3,
        "inputs": (),
        "outputs": outputs,
        "parameters": {"k": row(1, 30, 1)[0]},
    }
    nothing = np.zeros((0, 3))
    # explicit Euler with k dt = 3 doubles the value in each step and turns its sign: 1, -2, 4, -8
    with opened(file, **options) as fleet:
        for step in range(3):
            fleet.step(nothing, time_s=step * 0.1, dt_s=0.1)
        with pytest.raises(FmuStepError) as caught:
            fleet.step(nothing, time_s=0.3, dt_s=0.1)
    text = str(caught.value)
    for part in (
        "devices[3] pump",
        "euler.fmu",
        "device 1 of 0..2",
        "y (p_kw) = -8000 W",
        "below",
        "-5000",
        "at 0.4 s",
    ):
        assert part in text
    assert "smaller `step:` (it is 0.1 s)" in text
    assert "interface: model_exchange" in text
    with opened(file, **options, interface=Interface.MODEL_EXCHANGE) as fleet:
        for step in range(10):
            fleet.step(nothing, time_s=step * 0.1, dt_s=0.1)
        found = fleet.start()
    np.testing.assert_allclose(found[0], np.exp([-1.0, -30.0, -1.0]), atol=1e-5)


@pytest.mark.parametrize(
    ("code", "shown"), [("0.0 / 0.0", "nan"), ("1.0 / 0.0", "inf"), ("-1.0 / 0.0", "-inf")]
)
def test_a_value_that_is_not_finite_is_found_without_any_bounds(
    tmp_path: Path, code: str, shown: str
) -> None:
    file = build_fmu(tmp_path, name="bad", step_code=f"y = time < 100 ? u : {code};")
    with opened(file, size=2) as fleet:
        fleet.step(row(1.0, 1.0), time_s=0.0, dt_s=60.0)
        with pytest.raises(FmuStepError, match=rf"= {shown}, not a finite number at 180 s"):
            fleet.step(row(1.0, 1.0), time_s=120.0, dt_s=60.0)


def test_bounds_that_the_fmu_gives_itself_hold_too_but_not_to_the_last_bit(tmp_path: Path) -> None:
    outputs = (Var("y", "output", low=0.0, high=1.0),)
    file = build_fmu(tmp_path, name="soc", outputs=outputs, step_code="y = u;")
    with opened(file, outputs=(wire("soc", "y"),)) as fleet:
        for value in (0.0, 1.0, 1.0 + 1e-12, -1e-12):
            fleet.step(row(value), time_s=0.0, dt_s=1.0)
        with pytest.raises(FmuStepError, match=r"y \(soc\) = 1.001, above its bound 1"):
            fleet.step(row(1.001), time_s=0.0, dt_s=1.0)
        with pytest.raises(FmuStepError, match=r"y \(soc\) = -0.001, below its bound"):
            fleet.step(row(-0.001), time_s=0.0, dt_s=1.0)


@pytest.mark.parametrize("bound", [0.1, 0.7, 1000.1, -0.3])
def test_a_value_in_single_precision_may_be_at_its_bound(tmp_path: Path, bound: float) -> None:
    """The nearest number in single precision lies above the bound or below it."""
    single = Var("y", "output", type="Float32", low=bound, high=bound)
    file = build_fmu(
        tmp_path,
        name="single",
        fmi="3.0",
        outputs=(single,),
        parameters={"k": 0.0},
        init_code="y = k;",
        step_code="y = u;",
    )
    at_bound = {"k": bound}
    with opened(file, outputs=(wire("soc", "y"),), parameters=at_bound) as fleet:
        fleet.start()
        fleet.step(row(bound), time_s=0.0, dt_s=1.0)
        for share in (-1e-6, 1e-6):
            with pytest.raises(FmuStepError, match="its bound"):
                fleet.step(row(bound * (1 + share)), time_s=1.0, dt_s=1.0)
    with opened(file, outputs=(wire("soc", "y", low=bound, high=bound),), parameters=at_bound) as fleet:
        fleet.step(row(bound), time_s=0.0, dt_s=1.0)


def test_a_negative_factor_turns_the_bounds_round(echo: Path) -> None:
    outputs = (wire("p_kw", "y", factor=-1000.0, low=-3.0, high=0.0),)
    with opened(echo, outputs=outputs) as fleet:
        assert fleet.step(row(2900.0), time_s=0.0, dt_s=1.0).tolist() == [[-2.9]]
        with pytest.raises(FmuStepError, match="above its bound 3000"):
            fleet.step(row(3100.0), time_s=1.0, dt_s=1.0)


def test_values_before_the_first_step_are_looked_at_too(tmp_path: Path) -> None:
    file = build_fmu(tmp_path, name="late", init_code="y = 0.0 / 0.0;")
    with opened(file) as fleet, pytest.raises(FmuStepError, match="before the first step"):
        fleet.start()


def test_an_input_that_is_not_finite_is_named_before_it_reaches_the_fmu(echo: Path) -> None:
    with opened(echo, inputs=(wire("vm_pu", "u"),), size=2) as fleet:
        with pytest.raises(FmuStepError, match=r"device 1 of 0\.\.1: its input vm_pu is nan at 60 s"):
            fleet.step(row(1.0, float("nan")), time_s=60.0, dt_s=60.0)
        with pytest.raises(ValueError, match="shape"):
            fleet.step(np.zeros((2, 2)), time_s=60.0, dt_s=60.0)


def test_the_array_that_a_step_returns_is_the_callers(echo: Path) -> None:
    with opened(echo) as fleet:
        first = fleet.step(row(1.0), time_s=0.0, dt_s=1.0)
        fleet.step(row(2.0), time_s=1.0, dt_s=1.0)
    assert first.tolist() == [[1.0]]


def test_a_fleet_goes_back_to_a_saved_state(integrator: Path) -> None:
    with opened(integrator, size=2) as fleet:
        fleet.step(row(1.0, 2.0), time_s=0.0, dt_s=1.0)
        saved = fleet.save()
        first = fleet.step(row(3.0, 4.0), time_s=1.0, dt_s=1.0)
        fleet.restore(saved)
        np.testing.assert_array_equal(fleet.step(row(3.0, 4.0), time_s=1.0, dt_s=1.0), first)
        with pytest.raises(StateError):
            fleet.restore(saved[:-3])


def test_nothing_is_left_when_a_fleet_is_closed_or_cannot_be_opened(tmp_path: Path, temporary: Path) -> None:
    good = build_fmu(tmp_path, name="good")
    with opened(good) as fleet:
        assert list(temporary.iterdir())
        fleet.close()
        assert not list(temporary.iterdir())
        with pytest.raises(FmuError, match="is closed"):
            fleet.step(row(1.0), time_s=0.0, dt_s=1.0)
    faults: Sequence[tuple[Path, dict[str, Any], type[FmuError]]] = (
        (good, {"outputs": (wire("y", "nowhere"),)}, FmuMappingError),
        (good, {"parameters": {"k": "text"}}, FmuMappingError),
        (build_fmu(tmp_path, name="unwilling", instantiate_code="return ERROR;"), {}, FmuError),
        (build_fmu(tmp_path, name="uninitialised", init_code="return ERROR;"), {"size": 3}, FmuError),
        (build_fmu(tmp_path, name="foreign", platform="vax64"), {}, FmuArchiveError),
    )
    for file, options, error in faults:
        with pytest.raises(error):
            FmuFleet(spec_of(file, **options))
        assert not list(temporary.iterdir()), f"{file.name} leaves something behind"


def test_a_fleet_that_fails_in_a_step_can_still_be_closed(tmp_path: Path, temporary: Path) -> None:
    for status in ("ERROR", "FATAL"):
        file = build_fmu(tmp_path, name=f"fails_{status}", step_code=f"return {status};")
        with opened(file, size=2) as fleet, pytest.raises(FmuStepError, match=status.lower()):
            fleet.step(row(1.0, 1.0), time_s=0.0, dt_s=1.0)
        assert not list(temporary.iterdir())


def test_trusted_fleets_run_here_and_others_in_a_process_of_their_own(echo: Path) -> None:
    for trusted, kind in ((True, FmuFleet), (False, WorkerFleet)):
        fleet = open_fleet(spec_of(echo, trusted=trusted))
        try:
            assert type(fleet) is kind
            assert fleet.step(row(3.0), time_s=0.0, dt_s=1.0).tolist() == [[3.0]]
        finally:
            fleet.close()


def test_an_fmu_with_one_interface_uses_it_and_refuses_the_other(tmp_path: Path) -> None:
    options: dict[str, Any] = {"states": {"x": 1.0}, "inputs": (), "derivative_code": "der_x = -x; y = x;"}
    exchange = build_fmu(tmp_path, name="exchange", interfaces=("ModelExchange",), **options)
    with opened(exchange, inputs=()) as fleet:
        found = fleet.step(np.zeros((0, 1)), time_s=0.0, dt_s=1.0)
    assert found[0, 0] == pytest.approx(np.exp(-1), abs=1e-4), "solved by CVode"
    with pytest.raises(FmuError, match=r"[Cc]o.[Ss]imulation"):
        FmuFleet(spec_of(exchange, inputs=(), interface=Interface.CO_SIMULATION))
    simulation = build_fmu(tmp_path, name="simulation", **options)
    with opened(simulation, inputs=()) as fleet:
        assert fleet.step(np.zeros((0, 1)), time_s=0.0, dt_s=1.0).tolist() == [[1.0]], "explicit Euler"
    with pytest.raises(FmuError, match=r"[Mm]odel.[Ee]xchange"):
        FmuFleet(spec_of(simulation, inputs=(), interface=Interface.MODEL_EXCHANGE))


def test_one_array_instance_gives_what_one_instance_each_gives(tmp_path: Path) -> None:
    array = build_fmu(tmp_path, name="array", fmi="3.0", array=True)
    single = build_fmu(tmp_path, name="single", fmi="3.0")
    rates = np.array([1.0, -2.0, 0.5])

    def course(file: Path, array_size: str | None) -> list[list[float]]:
        with opened(file, size=3, array_size=array_size, parameters={"k": rates}, step_s=1.0) as fleet:
            fleet.step(row(1.0, 2.0, 3.0), time_s=0.0, dt_s=2.0)
            values: list[list[float]] = fleet.step(row(3.0, 2.0, 1.0), time_s=2.0, dt_s=2.0).tolist()
            return values

    assert course(array, "n") == course(single, None) == [[8.0, -16.0, 4.0]]


def test_arrays_need_fmi_3_and_co_simulation(tmp_path: Path, echo: Path) -> None:
    with pytest.raises(FmuMappingError, match=r"needs an FMI 3\.0 FMU, echo\.fmu is FMI 2\.0"):
        FmuFleet(spec_of(echo, array_size="n"))
    both = build_fmu(tmp_path, name="both", fmi="3.0", array=True, interfaces=BOTH)
    spec = spec_of(both, array_size="n")
    with pytest.raises(FmuMappingError, match="needs Co-Simulation"):
        FmuFleet(replace(spec, interface=Interface.MODEL_EXCHANGE))


def test_an_fmu_that_is_only_a_door_to_its_tool_is_refused(tmp_path: Path) -> None:
    file = build_fmu(tmp_path, name="door", capabilities={"needsExecutionTool": "true"})
    with pytest.raises(FmuError, match="needs that tool installed and running"):
        FmuFleet(spec_of(file))
