"""What all numpy blocks do: names, shapes, mistakes, saved states."""

import re
from pathlib import Path

import numpy as np
import pytest

from models.devices import battery_detailed, ev_charger, pv_inverter, water_heater
from models.devices.base import Causality, DeviceBlock
from models.devices.numpy_block import KINDS, NumpyBlock
from models.errors import DeviceError, StateError

ROOT = Path(__file__).parents[2]


def block(module=battery_detailed, **changes):
    given = {
        "size": 2,
        "parameters": {},
        "inputs": ("p_set_kw",),
        "outputs": ("p_kw", "soc"),
        "label": "devices[1] store",
    }
    return NumpyBlock(module, **(given | changes))


def test_the_kinds_have_their_names():
    assert dict(KINDS) == {
        "battery": battery_detailed,
        "pv_inverter": pv_inverter,
        "water_heater": water_heater,
        "ev_charger": ev_charger,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_are_whole(kind):
    entries = KINDS[kind].KIND.variables + KINDS[kind].STATES
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    for entry in entries:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", entry.name)
        assert np.isfinite(entry.start)
        assert entry.low <= entry.start <= entry.high
        assert re.fullmatch(r"[A-Z0-9c].*\.", entry.text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_gives_every_output_of_its_kind(kind):
    table = KINDS[kind].KIND
    made: DeviceBlock = NumpyBlock(
        KINDS[kind],
        size=3,
        parameters={},
        inputs=table.named(Causality.INPUT),
        outputs=table.named(Causality.OUTPUT),
        label="all",
    )
    inputs = np.array([[entry.start] * 3 for entry in table.variables if entry.causality == Causality.INPUT])
    shape = (len(made.outputs), 3)
    assert made.start().shape == shape
    shown = made.step(inputs, time_s=0.0, dt_s=60.0)
    assert shown.shape == shape
    assert np.isfinite(shown).all()
    made.close()
    made.close()


def test_parameters_are_for_all_or_for_each():
    made = block(parameters={"soc_start": np.array([0.2, 0.4]), "capacity_kwh": 5.0})
    assert made.start().tolist() == [[0.0, 0.0], [0.2, 0.4]]
    shown = made.step(np.array([[1.0, 1.0]]), time_s=0.0, dt_s=3600.0)
    assert shown[1] == pytest.approx([0.2 + 0.95 / 5.0, 0.4 + 0.95 / 5.0])


def test_an_input_that_is_not_wired_keeps_the_value_it_is_given():
    made = block(inputs=(), parameters={"p_set_kw": 2.0})
    assert made.step(np.empty((0, 2)), time_s=0.0, dt_s=60.0)[0].tolist() == [2.0, 2.0]


def test_outputs_are_fresh_arrays():
    made = block()
    first = made.step(np.array([[1.0, 1.0]]), time_s=0.0, dt_s=60.0)
    kept = first.copy()
    made.step(np.array([[-1.0, -1.0]]), time_s=60.0, dt_s=60.0)
    assert first.tolist() == kept.tolist()


def test_inputs_are_not_held_on_to():
    made = block(pv_inverter, inputs=("p_available_kw",), outputs=("p_kw",), parameters={"response_s": 30.0})
    given = np.array([[-5.0, -5.0]])
    made.step(given, time_s=0.0, dt_s=60.0)
    state = made.save()
    given[:] = 0.0
    assert made.save() == state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"parameters": {"capacity": 3.0}},
            "devices[1] store: a battery has no parameter 'capacity'; it has capacity_kwh,",
        ),
        (
            {"inputs": ("p_kw",)},
            "devices[1] store: a battery has no input 'p_kw'; it has p_set_kw, temp_ambient_degc",
        ),
        ({"outputs": ("q_kvar",)}, "devices[1] store: a battery has no output 'q_kvar'; it has p_kw, soc,"),
        (
            {"parameters": {"capacity_kwh": np.ones(3)}},
            "devices[1] store: capacity_kwh has shape (3,), expected one value or (2,)",
        ),
        (
            {"parameters": {"soc_start": np.array([0.5, 1.5])}},
            "devices[1] store: soc_start of device 1 is 1.5, must be finite and from 0 to 1 1",
        ),
        (
            {"parameters": {"charge_kw": np.nan}},
            "devices[1] store: charge_kw of device 0 is nan, must be finite and from 0 to inf kW",
        ),
        (
            {"parameters": {"soc_min": np.array([0.1, 0.6])}},
            "devices[1] store: battery 1: soc_start must lie between soc_min and soc_max (got 0.5)",
        ),
    ],
)
def test_mistakes_name_the_block_the_variable_and_the_way_out(changes, message):
    with pytest.raises(DeviceError, match=re.escape(message)):
        block(**changes)


def test_an_input_that_is_not_finite_is_refused_with_its_device_and_time():
    message = "devices[1] store: input p_set_kw of device 1 is nan at 120 s; check the series that feeds it"
    with pytest.raises(DeviceError, match=re.escape(message)):
        block().step(np.array([[0.0, np.nan]]), time_s=120.0, dt_s=60.0)


def test_wrong_shapes_and_steps_are_refused():
    with pytest.raises(DeviceError, match=re.escape("inputs have shape (2, 1), expected (1, 2)")):
        block().step(np.zeros((2, 1)), time_s=0.0, dt_s=60.0)
    with pytest.raises(DeviceError, match="the step must be above 0 s"):
        block().step(np.zeros((1, 2)), time_s=0.0, dt_s=0.0)


def test_a_block_refuses_the_state_of_another():
    made = block()
    for state in (block(size=3).save(), block(ev_charger, outputs=("p_kw",)).save(), made.save()[:-8], b""):
        with pytest.raises(StateError, match="not a state of 2 devices of kind battery"):
            made.restore(state)


@pytest.mark.parametrize("kind", KINDS)
def test_the_guide_lists_every_variable_as_it_is(kind):
    guide = (ROOT / "docs/devices.md").read_text()
    for entry in KINDS[kind].KIND.variables:
        start = "" if entry.causality == Causality.OUTPUT else f"{entry.start:g}"
        assert f"| `{entry.name}` | {entry.causality} | {entry.unit} | {start} | {entry.text} |" in guide
    for entry in KINDS[kind].STATES:
        assert re.search(rf"^Hidden: .*`{entry.name}`", guide, flags=re.MULTILINE)


def test_the_example_of_the_guide_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/devices.md").read_text(), flags=re.DOTALL)
    names = {}
    exec(code, names)  # noqa: S102 - the example is ours
    assert names["temp_top_degc"][1] < names["temp_top_degc"][0] < 50.0
