"""What the process that uses a fleet and the process that runs it say to each other.

Each message is one byte string: a byte that says what it is, the number of the request (of an answer: of the one it
answers), then its content. Only the request that opens a fleet is pickled; an answer comes from a process in which foreign native code runs and is never unpickled.
"""

import json
import pickle
import struct
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum

import numpy as np

from models.errors import (
    DeviceError,
    FmuArchiveError,
    FmuCrashError,
    FmuError,
    FmuMappingError,
    FmuStepError,
    ModelError,
    StateError,
)
from models.fmu.base import FleetSpec, FloatArray

__all__ = [
    "RELAYED",
    "Request",
    "failure",
    "opening",
    "read_answer",
    "read_array",
    "read_opening",
    "read_request",
    "read_step",
    "request",
    "stepping",
    "succeeded",
]

_STEP = struct.Struct("<dd")
_HEAD = struct.Struct("<BQ")
_OK = 0
_FAILED = 1
_CLASSES: Mapping[str, type[Exception]] = {
    entry.__name__: entry
    for entry in (
        DeviceError,
        FmuArchiveError,
        FmuCrashError,
        FmuError,
        FmuMappingError,
        FmuStepError,
        ModelError,
        OSError,
        StateError,
        TypeError,
        ValueError,
    )
}
RELAYED = (ModelError, OSError, TypeError, ValueError, MemoryError)
"""What the process of the fleet answers with; anything else ends it, with its traceback as its last words."""


class Request(IntEnum):
    """What is asked of the process of a fleet."""

    OPEN = 0
    START = 1
    STEP = 2
    SAVE = 3
    RESTORE = 4
    CLOSE = 5


def request(kind: int, number: int, content: bytes = b"") -> bytes:
    """Return a request; ``number`` counts them."""
    return _HEAD.pack(kind, number) + content


def read_request(message: bytes) -> tuple[int, int, bytes]:
    """Return kind, number and content of a request."""
    kind, number = _HEAD.unpack_from(message)
    return kind, number, message[_HEAD.size :]


def opening(spec: FleetSpec) -> bytes:
    """Return the content of the request that opens a fleet."""
    # a read-only view of a mapping cannot be pickled
    return pickle.dumps(replace(spec, file=spec.file.absolute(), parameters=dict(spec.parameters)))


def read_opening(content: bytes) -> FleetSpec:
    """Return what :func:`opening` was given; the caller is the process that started this one.

    Raises:
        TypeError: the content is something else.
    """
    spec = pickle.loads(content)  # noqa: S301 - sent by the process that started this one, over a private channel
    if not isinstance(spec, FleetSpec):
        raise TypeError(f"a fleet is opened with a FleetSpec, not {type(spec).__name__}")
    return spec


def stepping(inputs: FloatArray, *, time_s: float, dt_s: float) -> bytes:
    """Return the content of the request of a step."""
    return _STEP.pack(time_s, dt_s) + np.ascontiguousarray(inputs, dtype=np.float64).tobytes()


def read_step(content: bytes, *, shape: tuple[int, int]) -> tuple[FloatArray, float, float]:
    """Return inputs of shape ``shape``, the time and the length of a step [s].

    Raises:
        ValueError: the number of values is another.
    """
    time_s, dt_s = _STEP.unpack_from(content)
    return read_array(content[_STEP.size :], shape=shape), time_s, dt_s


def read_array(content: bytes, *, shape: tuple[int, int]) -> FloatArray:
    """Return a fresh array of that shape.

    Raises:
        ValueError: the number of values is another.
    """
    return np.frombuffer(content, dtype=np.float64).reshape(shape).copy()


def succeeded(number: int, content: bytes = b"") -> bytes:
    """Return the answer with the result of that request."""
    return _HEAD.pack(_OK, number) + content


def failure(number: int, error: Exception) -> bytes:
    """Return the answer with the error that that request has raised."""
    told = {"class": type(error).__name__, "text": str(error)}
    return _HEAD.pack(_FAILED, number) + json.dumps(told).encode()


def read_answer(answer: bytes, *, number: int) -> bytes | Exception:
    """Return the content of the answer to a request, or what it has raised: of the same class and with the same text.

    Raises:
        ValueError, TypeError, KeyError, RecursionError: the answer is damaged, or to another request.
    """
    if len(answer) < _HEAD.size or answer[0] not in {_OK, _FAILED}:
        raise ValueError("the answer has no known beginning")
    status, answered = _HEAD.unpack_from(answer)
    if answered != number:
        raise ValueError(f"request {number} got the answer to request {answered}")
    content = answer[_HEAD.size :]
    if status == _OK:
        return content
    told = json.loads(content)
    name, text = str(told["class"]), str(told["text"])
    if name == "MemoryError":
        return FmuCrashError(f"the process of the FMU ran out of memory {text}".rstrip())
    if name in _CLASSES:
        return _CLASSES[name](text)
    return FmuError(f"{name}: {text}")
