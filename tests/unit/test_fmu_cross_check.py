"""Co-Simulation against CVode: the error of explicit Euler is known in closed form."""

from pathlib import Path

import numpy as np
import pytest
from third_party_fmus import fmu
from tiny_fmus import build_fmu

from models.errors import FmuError, FmuMappingError
from models.fmu.checking.cross_check import Course, compare_interfaces


def decay(folder: Path, *, interfaces: tuple[str, ...] = ("CoSimulation", "ModelExchange")) -> Path:
    return build_fmu(
        folder,
        name="decay",
        states={"x": 1.0},
        parameters={"k": 1.0},
        derivative_code="der_x = -k * x + u; y = x;",
        interfaces=interfaces,
    )


@pytest.mark.parametrize("trusted", [True, False])
def test_the_differences_are_those_of_explicit_euler(tmp_path: Path, *, trusted: bool) -> None:
    course = Course(step_s=1.0, n_steps=1, inputs={"u": 0.0}, parameters={"k": 1.0})
    steps_s = (0.5, 0.25, 0.0625)
    found = compare_interfaces(decay(tmp_path), course, steps_s=steps_s, trusted=trusted)
    assert found.outputs == ("y",)
    assert found.reference[0, 0] == pytest.approx(np.exp(-1), abs=1e-6)
    # y is the state at the begin of the last communication step: the tiny FMU sets it before it advances the state
    expected = [abs((1 - step) ** (1 / step - 1) - np.exp(-1)) for step in steps_s]
    np.testing.assert_allclose(found.differences[:, 0], expected, atol=1e-6)
    assert found.failures == ("", "", "")
    assert found.largest_good_step_s(0.2) == 0.25
    assert found.largest_good_step_s(0.05) == 0.0625
    assert found.largest_good_step_s(0.001) is None


def test_inputs_follow_their_course_through_both_interfaces(tmp_path: Path) -> None:
    steps = np.array([0.0, 1.0, 1.0, -1.0])
    course = Course(step_s=1.0, n_steps=4, inputs={"u": steps}, parameters={})
    found = compare_interfaces(decay(tmp_path), course, steps_s=(1 / 1024,), trusted=True)
    expected, value = [], 1.0
    for u in steps:
        value = u + (value - u) * np.exp(-1.0)
        expected.append(value)
    np.testing.assert_allclose(found.reference[:, 0], expected, atol=1e-6)
    assert found.relative.max() < 0.01


def test_a_step_at_which_co_simulation_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    course = Course(step_s=1.0, n_steps=400, inputs={}, parameters={"k": 40.0})
    found = compare_interfaces(decay(tmp_path), course, steps_s=(1.0, 0.03125), trusted=True)
    assert "not a finite number" in found.failures[0]
    assert np.isinf(found.differences[0]).all()
    assert found.failures[1] == ""
    assert np.isfinite(found.differences[1]).all()


def test_both_interfaces_and_something_to_compare_are_needed(tmp_path: Path) -> None:
    course = Course(step_s=1.0, n_steps=1, inputs={}, parameters={})
    with pytest.raises(FmuError, match=r"decay\.fmu has only Co-Simulation"):
        compare_interfaces(decay(tmp_path, interfaces=("CoSimulation",)), course, steps_s=(1.0,))
    with pytest.raises(FmuMappingError, match="no output"):
        compare_interfaces(decay(tmp_path), course, steps_s=(1.0,), outputs=())


def test_the_mass_damper_of_openmodelica_is_right_only_at_a_tenth_of_a_millisecond() -> None:
    """Its Co-Simulation is explicit Euler; fmpy.simulate_fmu with CVode gives y = -0.4974 at 1 s."""
    file = fmu("Mass_Damper.fmu")
    course = Course(step_s=0.5, n_steps=2, inputs={"f": 0.0}, parameters={})
    found = compare_interfaces(file, course, steps_s=(0.01, 0.001, 0.0001), outputs=("y",), trusted=True)
    assert found.reference[-1, 0] == pytest.approx(-0.4974, abs=1e-4)
    assert found.relative[0, 0] > 1e6
    assert found.largest_good_step_s(0.05) == 0.0001
