"""What the process that uses a fleet and the process that runs it say to each other."""

import pickle
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from models.errors import DeviceError, FmuCrashError, FmuError, FmuMappingError, FmuStepError, StateError
from models.fmu.base import FleetSpec, Take, Wire
from models.fmu.isolation.protocol import (
    failure,
    opening,
    read_answer,
    read_opening,
    read_request,
    read_step,
    request,
    stepping,
    succeeded,
)


def test_a_spec_arrives_as_it_was_sent_but_for_its_full_path() -> None:
    spec = FleetSpec(
        label="devices[0] pump",
        file=Path("a.fmu"),
        size=2,
        inputs=(Wire(signal="vm_pu", variable="u", factor=230.0),),
        outputs=(Wire(signal="p_kw", variable="y", take=Take.MEAN),),
        parameters=MappingProxyType({"k": np.array([1.0, 2.0]), "on": True}),
    )
    read = read_opening(opening(spec))
    assert read.file == Path.cwd() / "a.fmu"
    assert (read.label, read.inputs, read.outputs, read.timeout_s) == (
        spec.label,
        spec.inputs,
        spec.outputs,
        spec.timeout_s,
    )
    assert np.array_equal(np.asarray(read.parameters["k"]), [1.0, 2.0])
    assert read.parameters["on"] is True


def test_a_step_arrives_as_it_was_sent() -> None:
    inputs = np.array([[1.0, -0.0], [np.nan, 1e-300]])
    read, time_s, dt_s = read_step(stepping(inputs, time_s=0.1, dt_s=900.0), shape=(2, 2))
    assert read.tobytes() == inputs.tobytes()
    assert (time_s, dt_s) == (0.1, 900.0)


@pytest.mark.parametrize(
    "error", [FmuStepError("a"), FmuMappingError("b"), StateError("c"), DeviceError("d"), ValueError("e")]
)
def test_an_error_arrives_as_the_same_class_with_the_same_text(error: Exception) -> None:
    arrived = read_answer(failure(7, error), number=7)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)


def test_a_lack_of_memory_arrives_as_a_crash() -> None:
    arrived = read_answer(failure(7, MemoryError()), number=7)
    assert isinstance(arrived, FmuCrashError)
    assert "out of memory" in str(arrived)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "no known beginning"),
        (b"\0", "no known beginning"),
        (b"\7" + bytes(8), "no known beginning"),
        (b"\1" + bytes(8) + b"{", "Expecting property name"),
    ],
)
def test_a_damaged_answer_is_refused(answer: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_answer(answer, number=0)


def test_a_request_and_its_answer_arrive_as_they_were_sent() -> None:
    assert read_request(request(3, 2**40, b"content")) == (3, 2**40, b"content")
    assert read_answer(succeeded(2**40, b"content"), number=2**40) == b"content"


@pytest.mark.parametrize("answer", [succeeded(6, b"late"), failure(8, FmuStepError("early"))])
def test_an_answer_to_another_request_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match=r"request 7 got the answer to request [68]"):
        read_answer(answer, number=7)


def test_a_fleet_is_opened_with_nothing_but_a_spec() -> None:
    with pytest.raises(TypeError, match="a FleetSpec, not dict"):
        read_opening(pickle.dumps({}))


def test_an_error_of_another_class_arrives_as_one_of_the_fmu_with_its_name() -> None:
    arrived = read_answer(failure(7, ZeroDivisionError("by zero")), number=7)
    assert type(arrived) is FmuError
    assert str(arrived) == "ZeroDivisionError: by zero"
