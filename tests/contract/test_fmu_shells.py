"""What our FMUs do when an importer keeps the rules, and when it breaks them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fmpy.fmi1 import FMICallException
from numpy.typing import NDArray

from models.devices.base import Causality
from models.devices.numpy_block import KINDS, NumpyBlock
from models.errors import FmuError
from models.fmu.base import UnpackedFmu
from models.fmu.binding.instances import make_instance
from models.fmu.binding.logs import MessageLog
from models.fmu.ours import catalogue as ours
from models.fmu.reading.archive import unpacked

DISCARD = 2
ERROR = 3
SIZE_REFERENCE = 10001
FloatArray = NDArray[np.float64]


def references(kind: str, *names: str) -> list[int]:
    order = [entry.name for entry in (*ours.device_kind(kind).variables, *ours.hidden_states(kind))]
    return [order.index(name) for name in names]


def named(kind: str, causality: Causality) -> list[int]:
    return references(kind, *ours.device_kind(kind).named(causality))


@contextlib.contextmanager
def made(unpacked_fmu: UnpackedFmu, name: str = "a") -> Iterator[Any]:
    instance = make_instance(unpacked_fmu, name=name, kind="co_simulation", log=MessageLog())
    try:
        yield instance
    finally:
        instance.freeInstance()


@pytest.fixture(scope="module")
def folders() -> Iterator[dict[tuple[str, str], UnpackedFmu]]:
    with contextlib.ExitStack() as stack:
        yield {
            (kind, fmi): stack.enter_context(unpacked(ours.shipped_fmu(kind, fmi)))
            for kind in ours.SHIPPED
            for fmi in ("2.0", "3.0")
        }


def resize(instance: Any, size: int) -> None:
    instance.enterConfigurationMode()
    instance.setUInt64([SIZE_REFERENCE], [size])
    instance.exitConfigurationMode()


def initialise(instance: Any) -> None:
    if hasattr(instance, "setupExperiment"):
        instance.setupExperiment(startTime=0.0)
    instance.enterInitializationMode()
    instance.exitInitializationMode()


def values(instance: Any, vr: list[int], size: int = 1) -> list[float]:
    if hasattr(instance, "getReal"):
        return list(instance.getReal(vr))
    return list(instance.getFloat64(vr, nValues=len(vr) * size))


def put(instance: Any, vr: list[int], numbers: list[float]) -> None:
    setter = instance.setReal if hasattr(instance, "setReal") else instance.setFloat64
    setter(vr, numbers)


def status_of(call: Any, *arguments: Any) -> int:
    with pytest.raises(FMICallException) as caught:
        call(*arguments)
    return int(caught.value.status)


def told(instance: Any) -> str:
    return str(instance.log.messages[-1].text)


def mixed_inputs(kind: str, *, steps: int, size: int) -> FloatArray:
    """Inputs that move each kind through its branches, shape (steps, inputs, size)."""
    random = np.random.default_rng(7)
    spans = {
        "p_set_kw": (-7.0, 7.0),
        "temp_ambient_degc": (-10.0, 40.0),
        "p_available_kw": (-11.0, 0.0),
        "p_limit_kw": (0.0, 11.0),
        "vm_pu": (0.88, 1.12),
        "draw_l_min": (0.0, 6.0),
        "temp_air_degc": (-12.0, 35.0),
        "temp_room_degc": (15.0, 25.0),
        "used_kwh": (0.0, 0.5),
        "departure_h": (0.1, 9.0),
        "soc_need": (0.0, 1.0),
    }
    rows = [
        np.round(random.uniform(0.0, 1.0, (steps, size)))
        if name == "plugged"
        else random.uniform(*spans[name], (steps, size))
        for name in ours.device_kind(kind).named(Causality.INPUT)
    ]
    return np.stack(rows, axis=1)


def run_arrays(fmu: UnpackedFmu, kind: str, inputs: FloatArray, dt_s: FloatArray) -> FloatArray:
    size = inputs.shape[2]
    vr_in, vr_out = named(kind, Causality.INPUT), named(kind, Causality.OUTPUT)
    rows = []
    with made(fmu) as instance:
        resize(instance, size)
        initialise(instance)
        time_s = 0.0
        for given, step_s in zip(inputs, dt_s, strict=True):
            put(instance, vr_in, list(given.ravel()))
            instance.doStep(time_s, float(step_s))
            time_s += float(step_s)
            rows.append(np.reshape(values(instance, vr_out, size), (len(vr_out), size)))
    return np.array(rows)


def run_alone(fmu: UnpackedFmu, kind: str, inputs: FloatArray, dt_s: FloatArray) -> FloatArray:
    vr_in, vr_out = named(kind, Causality.INPUT), named(kind, Causality.OUTPUT)
    columns = []
    for device in range(inputs.shape[2]):
        with made(fmu) as instance:
            initialise(instance)
            time_s, rows = 0.0, []
            for given, step_s in zip(inputs[:, :, device], dt_s, strict=True):
                put(instance, vr_in, list(given))
                instance.doStep(time_s, float(step_s))
                time_s += float(step_s)
                rows.append(values(instance, vr_out))
        columns.append(rows)
    return np.moveaxis(np.array(columns), 0, 2)


@pytest.mark.parametrize("kind", ours.SHIPPED)
def test_an_array_of_fmi_3_equals_single_devices_of_fmi_2_bit_for_bit(folders, kind):
    inputs = mixed_inputs(kind, steps=60, size=3)
    dt_s = np.random.default_rng(1).choice([1.0, 60.0, 900.0], 60)
    arrays = run_arrays(folders[kind, "3.0"], kind, inputs, dt_s)
    alone = run_alone(folders[kind, "2.0"], kind, inputs, dt_s)
    assert arrays.tobytes() == alone.tobytes()
    assert np.ptp(arrays[:, 0]) > 0.0


@pytest.mark.parametrize("kind", ours.SHIPPED)
def test_the_fmu_and_its_numpy_twin_agree(folders, kind):
    inputs = mixed_inputs(kind, steps=100, size=5)
    dt_s = np.random.default_rng(2).choice([1.0, 60.0, 900.0], 100)
    arrays = run_arrays(folders[kind, "3.0"], kind, inputs, dt_s)
    table = ours.device_kind(kind)
    twin = NumpyBlock(
        KINDS[kind],
        size=5,
        parameters={},
        inputs=table.named(Causality.INPUT),
        outputs=table.named(Causality.OUTPUT),
        label="twin",
    )
    starts = np.concatenate(([0.0], np.cumsum(dt_s)[:-1]))
    expected = [
        twin.step(given, time_s=time_s, dt_s=step_s)
        for given, time_s, step_s in zip(inputs, starts, dt_s, strict=True)
    ]
    np.testing.assert_allclose(arrays, np.array(expected), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
@pytest.mark.parametrize("kind", ours.SHIPPED)
def test_a_serialised_state_goes_on_bit_equal_in_another_instance(folders, kind, fmi):
    inputs = mixed_inputs(kind, steps=20, size=1)[:, :, 0]
    vr_in, vr_out = named(kind, Causality.INPUT), named(kind, Causality.OUTPUT)

    def go_on(instance: Any, start: int) -> list[list[float]]:
        rows = []
        for step in range(start, start + 10):
            put(instance, vr_in, list(inputs[step]))
            instance.doStep(60.0 * step, 60.0)
            rows.append(values(instance, vr_out))
        return rows

    with made(folders[kind, fmi], "first") as first, made(folders[kind, fmi], "second") as second:
        initialise(first)
        go_on(first, 0)
        three = fmi == "3.0"
        state = first.getFMUState() if three else first.getFMUstate()
        data = first.serializeFMUState(state) if three else first.serializeFMUstate(state)
        expected = go_on(first, 10)
        moved = second.deserializeFMUState(data) if three else second.deSerializeFMUstate(data)
        (second.setFMUState if three else second.setFMUstate)(moved)
        assert go_on(second, 10) == expected
        (first.setFMUState if three else first.setFMUstate)(state)
        assert go_on(first, 10) == expected
        (first.freeFMUState if three else first.freeFMUstate)(state)
        (second.freeFMUState if three else second.freeFMUstate)(moved)


def test_a_state_of_another_kind_and_a_cut_one_are_refused(folders):
    with made(folders["battery", "3.0"]) as battery, made(folders["ev_charger", "3.0"], "b") as charger:
        initialise(battery)
        data = battery.serializeFMUState(battery.getFMUState())
        assert status_of(charger.deserializeFMUState, data) == ERROR
        assert told(charger) == "the state was not written by this FMU"
        assert status_of(battery.deserializeFMUState, data[:-8]) == ERROR
        assert "cut off" in told(battery)


def test_a_state_brings_the_number_of_devices_with_it(folders):
    soc = references("battery", "soc")
    with made(folders["battery", "3.0"]) as three, made(folders["battery", "3.0"], "b") as one:
        resize(three, 3)
        put(three, references("battery", "soc_start"), [0.2, 0.4, 0.6])
        initialise(three)
        one.setFMUState(one.deserializeFMUState(three.serializeFMUState(three.getFMUState())))
        assert one.getUInt64([SIZE_REFERENCE]) == [3]
        assert values(one, soc, 3) == [0.2, 0.4, 0.6]


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
@pytest.mark.parametrize("kind", ours.SHIPPED)
def test_reset_gives_a_fresh_instance(folders, kind, fmi):
    inputs = mixed_inputs(kind, steps=5, size=1)[:, :, 0]
    everything = list(range(len(ours.device_kind(kind).variables) + len(ours.hidden_states(kind))))
    with made(folders[kind, fmi]) as instance:
        initialise(instance)
        fresh = values(instance, everything)
        for step, given in enumerate(inputs):
            put(instance, named(kind, Causality.INPUT), list(given))
            instance.doStep(60.0 * step, 60.0)
        assert values(instance, everything) != fresh
        instance.reset()
        initialise(instance)
        assert values(instance, everything) == fresh


def test_reset_takes_the_size_back_to_one(folders):
    with made(folders["battery", "3.0"]) as instance:
        resize(instance, 4)
        instance.reset()
        assert instance.getUInt64([SIZE_REFERENCE]) == [1]


def test_two_instances_do_not_see_each_other(folders):
    soc, p_set = references("battery", "soc"), references("battery", "p_set_kw")
    with made(folders["battery", "2.0"]) as first, made(folders["battery", "2.0"], "b") as second:
        initialise(first)
        initialise(second)
        put(first, p_set, [4.0])
        first.doStep(0.0, 900.0)
        second.doStep(0.0, 900.0)
        assert values(first, soc)[0] > 0.5
        assert values(second, soc) == [0.5]


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_outputs_are_computed_when_asked_for_during_initialisation(folders, fmi):
    with made(folders["battery", fmi]) as instance:
        put(instance, references("battery", "soc_start"), [0.3])
        if fmi == "2.0":
            instance.setupExperiment(startTime=0.0)
        instance.enterInitializationMode()
        assert values(instance, references("battery", "soc")) == [0.3]
        put(instance, references("battery", "soc_start"), [0.4])
        assert values(instance, references("battery", "soc")) == [0.4]


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
@pytest.mark.parametrize("name", ["soc", "was_plugged"])
def test_outputs_and_hidden_states_cannot_be_set(folders, fmi, name):
    with made(folders["ev_charger", fmi]) as instance:
        assert status_of(put, instance, references("ev_charger", name), [0.5]) == ERROR
        assert name in told(instance)


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_a_parameter_cannot_be_set_after_initialisation(folders, fmi):
    capacity = references("battery", "capacity_kwh")
    with made(folders["battery", fmi]) as instance:
        initialise(instance)
        assert status_of(put, instance, capacity, [20.0]) == ERROR
        assert values(instance, capacity) == [10.0]


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_a_parameter_out_of_bounds_is_discarded_and_nothing_is_changed(folders, fmi, bad):
    vr = references("battery", "charge_kw", "capacity_kwh")
    with made(folders["battery", fmi]) as instance:
        assert status_of(put, instance, vr, [2.0, bad]) == DISCARD
        assert values(instance, vr) == [5.0, 10.0]
        assert "capacity_kwh of device 0 must be finite and within 1e-06 and inf" in told(instance)


def test_an_input_that_is_not_a_number_is_discarded(folders):
    with made(folders["battery", "3.0"]) as instance:
        resize(instance, 3)
        initialise(instance)
        assert (
            status_of(put, instance, references("battery", "p_set_kw"), [1.0, 2.0, float("nan")]) == DISCARD
        )
        assert "p_set_kw of device 2" in told(instance)


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_a_value_reference_that_does_not_exist_is_refused(folders, fmi):
    with made(folders["battery", fmi]) as instance:
        assert status_of(put, instance, [12345], [1.0]) == ERROR
        assert status_of(values, instance, [12345]) == ERROR
        assert "no variable with the value reference 12345" in told(instance)


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_parameters_that_contradict_each_other_end_initialisation_and_can_be_mended(folders, fmi):
    with made(folders["battery", fmi]) as instance:
        put(instance, references("battery", "soc_min"), [0.97])
        if fmi == "2.0":
            instance.setupExperiment(startTime=0.0)
        instance.enterInitializationMode()
        assert status_of(instance.exitInitializationMode) == ERROR
        assert told(instance) == "device 0: soc_min must be below soc_max"
        put(instance, references("battery", "soc_min"), [0.2])
        instance.exitInitializationMode()
        instance.doStep(0.0, 60.0)


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
@pytest.mark.parametrize(
    ("time_s", "step_s", "text"),
    [
        (30.0, 60.0, "the step starts at 30 s, the last one ended at 60 s"),
        (60.0, 0.0, "the length of a step must be above 0 s and finite (got 0)"),
        (60.0, -1.0, "the length of a step must be above 0 s and finite (got -1)"),
        (60.0, float("inf"), "the length of a step must be above 0 s and finite (got inf)"),
        (60.0, 41.0, "the step ends at 101 s, after the stop time 100 s"),
    ],
    ids=["a gap in time", "no length", "backwards", "endless", "beyond the stop time"],
)
def test_a_step_that_breaks_the_rules_is_refused(folders, fmi, time_s, step_s, text):
    with made(folders["battery", fmi]) as instance:
        if fmi == "2.0":
            instance.setupExperiment(startTime=0.0, stopTime=100.0)
            instance.enterInitializationMode()
        else:
            instance.enterInitializationMode(startTime=0.0, stopTime=100.0)
        instance.exitInitializationMode()
        instance.doStep(0.0, 60.0)
        assert status_of(instance.doStep, time_s, step_s) == ERROR
        assert told(instance) == text
        instance.doStep(60.0, 40.0)


@pytest.mark.parametrize("fmi", ["2.0", "3.0"])
def test_calls_in_the_wrong_phase_are_refused(folders, fmi):
    with made(folders["battery", fmi]) as instance:
        assert status_of(instance.doStep, 0.0, 60.0) == ERROR
        assert status_of(instance.exitInitializationMode) == ERROR
        initialise(instance)
        assert status_of(instance.enterInitializationMode) == ERROR
        instance.terminate()
        assert status_of(instance.doStep, 0.0, 60.0) == ERROR
        assert values(instance, references("battery", "soc")) == [0.5]


def test_the_size_is_set_in_configuration_mode_only_and_at_least_one(folders):
    with made(folders["battery", "3.0"]) as instance:
        assert status_of(instance.setUInt64, [SIZE_REFERENCE], [2]) == ERROR
        instance.enterConfigurationMode()
        assert status_of(instance.setUInt64, [SIZE_REFERENCE], [0]) == DISCARD
        assert status_of(put, instance, references("battery", "charge_kw"), [1.0]) == ERROR
        instance.exitConfigurationMode()
        initialise(instance)
        assert status_of(instance.enterConfigurationMode) == ERROR


def test_the_wrong_number_of_values_is_refused(folders):
    vr = references("battery", "p_set_kw")
    with made(folders["battery", "3.0"]) as instance:
        resize(instance, 3)
        initialise(instance)
        assert status_of(put, instance, vr, [1.0]) == ERROR
        assert status_of(values, instance, vr, 2) == ERROR
        assert status_of(values, instance, vr, 4) == ERROR


def test_the_token_of_another_fmu_is_refused(folders):
    battery = folders["battery", "3.0"]
    fields = {**battery.info.__dict__, "token": "{another}"}
    other = UnpackedFmu(info=type(battery.info)(**fields), folder=battery.folder)
    with pytest.raises(FmuError, match="is not the one of this binary"), made(other):
        pass


def test_a_fleet_of_a_hundred_thousand_devices_steps(folders):
    size = 100_000
    with made(folders["battery", "3.0"]) as instance:
        resize(instance, size)
        initialise(instance)
        put(instance, references("battery", "p_set_kw"), [1.0] * size)
        instance.doStep(0.0, 3600.0)
        soc = np.array(values(instance, references("battery", "soc"), size))
    assert soc == pytest.approx(np.full(size, 0.5 + 0.95 * 1.0 / 10.0), rel=1e-12)


def test_time_is_the_independent_variable_of_fmi_3(folders):
    with made(folders["battery", "3.0"]) as instance:
        initialise(instance)
        instance.doStep(0.0, 60.0)
        assert instance.getFloat64([10000], nValues=1) == [60.0]


def test_debug_messages_are_given_when_asked_for(folders: dict[tuple[str, str], UnpackedFmu], tmp_path: Path):
    with made(folders["battery", "3.0"]) as instance:
        initialise(instance)
        assert not instance.log.messages
    with made(folders["battery", "3.0"]) as instance:
        instance.setDebugLogging(True, ["logEvents"])
        initialise(instance)
        assert told(instance) == "initialised 1 x battery at 0 s"
        assert status_of(instance.setDebugLogging, True, ["nonsense"]) == ERROR
