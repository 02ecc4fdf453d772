"""A fleet of FMUs: amounts of a step over its sub-steps, and what its messages advise."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_fmus import build_fmu

from models.devices.base import DeviceBlock
from models.errors import FmuStepError
from models.fmu.base import FleetSpec, FloatArray, Take, Wire
from models.fmu.fleet import open_fleet

Open = Callable[..., DeviceBlock]
BOTH = ("CoSimulation", "ModelExchange")


@pytest.fixture(name="opened")
def _opened(tmp_path: Path) -> Iterator[Open]:
    fleets: list[DeviceBlock] = []

    def opened(file: Path | None = None, **options: Any) -> DeviceBlock:
        given: dict[str, Any] = {
            "label": "devices[3] pump",
            "size": 1,
            "inputs": (Wire(signal="used_kwh", variable="u", is_amount=True),),
            "outputs": (Wire(signal="y", variable="y"),),
            "trusted": True,
        }
        # what is given in a step is used up in it: y += u
        code = "y = y + u; last = u;"
        used = (
            build_fmu(tmp_path, name="car", outputs=("y", "last"), step_code=code) if file is None else file
        )
        fleets.append(open_fleet(FleetSpec(file=used, **{**given, **options})))
        return fleets[-1]

    yield opened
    for fleet in fleets:
        fleet.close()


def row(*values: float) -> FloatArray:
    return np.array([values], dtype=np.float64)


def refused(fleet: DeviceBlock, value: float) -> str:
    """Return why steps with ``value`` at all devices are refused; an explicit Euler shows a change a step later."""
    inputs = np.full((len(fleet.inputs), fleet.size), value)
    try:
        for step in range(2):
            fleet.step(inputs, time_s=60.0 * step, dt_s=60.0)
    except FmuStepError as error:
        return str(error)
    return "nothing was refused"


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("step_s", [None, 60.0, 15.0, 2.5])
def test_an_amount_of_a_step_is_used_once_however_many_sub_steps_it_has(
    opened: Open, step_s: float | None, *, trusted: bool
) -> None:
    fleet = opened(step_s=step_s, size=2, trusted=trusted)
    found = fleet.step(row(3.0, 0.5), time_s=0.0, dt_s=60.0)
    np.testing.assert_allclose(found, [[3.0, 0.5]], rtol=1e-12)
    found = fleet.step(row(1.0, 0.0), time_s=60.0, dt_s=60.0)
    np.testing.assert_allclose(found, [[4.0, 0.5]], rtol=1e-12)


def test_an_amount_has_its_unit_and_other_inputs_stay_as_they_are(opened: Open, tmp_path: Path) -> None:
    file = build_fmu(
        tmp_path, name="two", inputs=("e", "t"), outputs=("y", "warm"), step_code="y = y + e; warm = t;"
    )
    inputs = (
        Wire(signal="used_kwh", variable="e", factor=-3.6e6, is_amount=True),
        Wire(signal="temp_air_degc", variable="t", offset=273.15),
    )
    outputs = (
        Wire(signal="e_kwh", variable="y", factor=3.6e6),
        Wire(signal="t_k", variable="warm", take=Take.MEAN),
    )
    fleet = opened(file, inputs=inputs, outputs=outputs, step_s=10.0)
    found = fleet.step(np.array([[2.0], [7.0]]), time_s=0.0, dt_s=60.0)
    np.testing.assert_allclose(found, [[-2.0], [280.15]], rtol=1e-12)
    found = fleet.step(np.array([[2.0], [7.0]]), time_s=60.0, dt_s=20.0)
    np.testing.assert_allclose(found, [[-4.0], [280.15]], rtol=1e-12)


def test_a_device_alone_has_no_number_in_a_message(opened: Open) -> None:
    alone = opened(outputs=(Wire(signal="p_kw", variable="last", high=6.0),))
    assert refused(alone, 7.0).startswith(
        "devices[3] pump: car.fmu: last (p_kw) = 7, above its bound 6 at 60 s; try a smaller"
    )
    assert refused(alone, np.nan).startswith("devices[3] pump: car.fmu: its input used_kwh is nan")
    among = opened(outputs=(Wire(signal="p_kw", variable="last", high=6.0),), size=3)
    assert refused(among, 7.0).startswith(
        "devices[3] pump: car.fmu: device 0 of 0..2: last (p_kw) = 7, above its bound 6 at 60 s (and 2 more devices); try"
    )
    assert refused(among, np.nan).startswith("devices[3] pump: car.fmu: device 0 of 0..2: its input used_kwh")


def test_the_remedy_of_a_bound_names_the_mapping_and_that_of_a_value_without_number_does_not(
    opened: Open, tmp_path: Path
) -> None:
    mapping = "or correct `unit`, `factor`, `min` or `max` of this output"
    assert mapping in refused(opened(outputs=(Wire(signal="p_kw", variable="last", high=6.0),)), 7.0)
    bad = build_fmu(tmp_path, name="bad", step_code="y = 0.0 / 0.0;")
    assert mapping not in refused(opened(bad), 1.0)


@pytest.mark.parametrize(
    ("interfaces", "states", "offered"),
    [(BOTH, {"x": 1.0}, True), (BOTH, {}, False), (("CoSimulation",), {"x": 1.0}, False)],
)
def test_model_exchange_is_offered_where_the_fmu_has_it_and_equations_to_solve(
    opened: Open, tmp_path: Path, interfaces: tuple[str, ...], states: dict[str, float], *, offered: bool
) -> None:
    code = "der_x = u; y = x;" if states else ""
    file = build_fmu(
        tmp_path,
        name="car",
        interfaces=interfaces,
        states=states,
        derivative_code=code,
        step_code=None if states else "y = u;",
    )
    text = refused(opened(file, outputs=(Wire(signal="y", variable="y", high=2.0),)), 30.0)
    assert "above its bound 2" in text
    assert ("`interface: model_exchange`" in text) is offered
