"""Every FMU of the package ``gemseo-fmu`` as a fleet, against FMPy's own ``simulate_fmu`` with the same inputs.

FMPy is the reference implementation; the FMUs are six of OpenModelica (FMI 2.0) and one of PythonFMU3 (FMI 3.0).
Co-Simulation must agree bit for bit, Model Exchange within the tolerance of CVode.
"""

from dataclasses import dataclass, field

import fmpy
import numpy as np
import pytest
from third_party_fmus import NAMES, fmu

from models.fmu.base import FleetSpec, FloatArray, Interface, Value, Wire
from models.fmu.fleet import FmuFleet

STEP_S = 1 / 64
"""A binary fraction, so that sums of steps are exact in FMPy's loop and here."""
N_STEPS = 128
N_DEVICES = 3


@dataclass(frozen=True, kw_only=True)
class Case:
    file: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...]
    parameters: dict[str, Value] = field(default_factory=dict)
    interfaces: tuple[Interface, ...] = (Interface.CO_SIMULATION, Interface.MODEL_EXCHANGE)


CASES = (
    Case(file="add.fmu", inputs=("u1", "u2"), outputs=("y",), parameters={"add.k1": 2.0, "add.k2": -0.5}),
    Case(file="ramp.fmu", outputs=("out",), parameters={"ramp.startTime": 0.3, "ramp.height": 5.0}),
    Case(
        file="Mass_Damper.fmu",
        inputs=("f",),
        outputs=("y", "damper.v_rel"),
        # with the spring of the file explicit Euler blows up at this step
        parameters={"spring.c": 100.0, "mass.m": 2.0},
    ),
    Case(file="MassSpringSubSystem1.fmu", inputs=("x2",), outputs=("x1", "v1"), parameters={"k1": 3.0}),
    Case(file="MassSpringSubSystem2.fmu", inputs=("x1",), outputs=("x2", "v2"), parameters={"k2": 3.0}),
    Case(file="MassSpringSystem.fmu", inputs=("k1",), outputs=("x1", "v1", "x2", "v2")),
    Case(
        file="FMU3Model.fmu",
        inputs=("input", "int32", "int64", "float64", "boolean"),
        outputs=("output", "int32", "int64", "float64", "boolean"),
        parameters={"increment": 0.25},
        interfaces=(Interface.CO_SIMULATION,),
    ),
)
RUNS = [(case, interface) for case in CASES for interface in case.interfaces]


def inputs_of(case: Case, interface: Interface) -> FloatArray:
    """Return inputs, shape (steps, inputs, devices): steady in parts for CVode, anything for Co-Simulation."""
    chance = np.random.default_rng(20260101)
    shape = (N_STEPS, len(case.inputs), N_DEVICES)
    values = chance.uniform(0.5, 2.0, shape)
    for at, name in enumerate(case.inputs):
        if name in {"int32", "int64"}:
            values[:, at] = chance.integers(-9, 9, (N_STEPS, N_DEVICES))
        if name == "boolean":
            values[:, at] = chance.integers(0, 2, (N_STEPS, N_DEVICES))
    if interface is Interface.MODEL_EXCHANGE:
        values = np.repeat(values[::32], 32, axis=0)
    return values


def reference(case: Case, interface: Interface, inputs: FloatArray, tolerance: float) -> FloatArray:
    """Return FMPy's outputs of one device, shape (steps + 1, outputs); inputs have shape (steps, inputs)."""
    model = fmpy.read_model_description(str(fmu(case.file)), validate=False)
    kinds = {
        entry.name: {"Boolean": np.bool_, "Int32": np.int32, "Int64": np.int64}
        for entry in model.modelVariables
    }
    types = {entry.name: kinds[entry.name].get(entry.type, np.float64) for entry in model.modelVariables}
    # each value twice, at the begin and the end of its step: FMPy then holds it and takes the jump as an event
    held = np.repeat(inputs, 2, axis=0)
    times = np.repeat(np.arange(N_STEPS + 1) * STEP_S, 2)[1:-1]
    signals = np.zeros(
        len(times), dtype=[("time", np.float64), *((name, types[name]) for name in case.inputs)]
    )
    signals["time"] = times
    for at, name in enumerate(case.inputs):
        signals[name] = held[:, at]
    result = fmpy.simulate_fmu(
        str(fmu(case.file)),
        validate=False,
        fmi_type="CoSimulation" if interface is Interface.CO_SIMULATION else "ModelExchange",
        stop_time=N_STEPS * STEP_S,
        step_size=STEP_S,
        output_interval=STEP_S,
        relative_tolerance=tolerance,
        start_values=case.parameters,
        input=signals if case.inputs else None,
        output=list(case.outputs),
    )
    # at an event FMPy records the values before it and after it: those before are of the step that ends there
    grid = np.arange(N_STEPS + 1) * STEP_S
    rows = np.searchsorted(result["time"], grid - STEP_S / 1000)
    np.testing.assert_allclose(result["time"][rows], grid, atol=1e-9)
    return np.stack([result[name][rows].astype(np.float64) for name in case.outputs], axis=1)


def fleet_values(case: Case, interface: Interface, inputs: FloatArray, tolerance: float) -> FloatArray:
    """Return the outputs of a fleet, shape (steps + 1, outputs, devices)."""
    spec = FleetSpec(
        label=case.file,
        file=fmu(case.file),
        size=N_DEVICES,
        inputs=tuple(Wire(signal=name, variable=name) for name in case.inputs),
        outputs=tuple(Wire(signal=name, variable=name) for name in case.outputs),
        parameters={**case.parameters, **{name: inputs[0, at] for at, name in enumerate(case.inputs)}},
        interface=interface,
        tolerance=tolerance,
        trusted=True,
    )
    fleet = FmuFleet(spec)
    try:
        start = fleet.start()
        steps = [fleet.step(inputs[step], time_s=step * STEP_S, dt_s=STEP_S) for step in range(N_STEPS)]
        return np.stack([start, *steps])
    finally:
        fleet.close()


def test_no_fmu_is_left_out() -> None:
    assert sorted(case.file for case in CASES) == sorted(NAMES)


@pytest.mark.parametrize(("case", "interface"), RUNS, ids=lambda given: getattr(given, "file", given))
def test_a_fleet_gives_what_fmpy_gives_for_each_device(case: Case, interface: Interface) -> None:
    tolerance = 1e-9 if interface is Interface.MODEL_EXCHANGE else 1e-6
    inputs = inputs_of(case, interface)
    found = fleet_values(case, interface, inputs, tolerance)
    assert np.ptp(found, axis=0).max() > 0.1, "the outputs must move for the comparison to say something"
    for device in range(N_DEVICES):
        expected = reference(case, interface, inputs[:, :, device], tolerance)
        if interface is Interface.CO_SIMULATION:
            np.testing.assert_array_equal(found[:, :, device], expected)
        else:
            np.testing.assert_allclose(found[:, :, device], expected, atol=1e-6, rtol=1e-6)
