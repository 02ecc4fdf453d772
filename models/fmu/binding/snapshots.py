"""State of all instances of an FMU as bytes, and back."""

import json
import struct
from collections.abc import Sequence
from typing import Any

from models.errors import FmuError, StateError
from models.fmu.base import FmuInfo
from models.fmu.fmpy_access import fmpy_module

__all__ = ["restore_instances", "save_instances"]

_MAGIC = b"GEMELLO-FMU-STATE-1\n"
_LENGTH = struct.Struct("<Q")


def save_instances(info: FmuInfo, instances: Sequence[Any], *, label: str) -> bytes:
    """Return the serialised state of all instances, with what is needed to refuse the state of another fleet.

    Raises:
        StateError: the FMU cannot save and serialise its state, or fails to.
    """
    _check_able(info, label)
    states = [
        _state_of(instance, label=f"{label}, device {device}") for device, instance in enumerate(instances)
    ]
    head = json.dumps({"sha256": info.sha256, "sizes": [len(state) for state in states]}).encode()
    return b"".join([_MAGIC, _LENGTH.pack(len(head)), head, *states])


def restore_instances(info: FmuInfo, instances: Sequence[Any], state: bytes, *, label: str) -> None:
    """Set the state that :func:`save_instances` returned.

    Raises:
        StateError: the FMU cannot, or these bytes are damaged or the state of another FMU or another number of devices.
    """
    _check_able(info, label)
    sizes, start = _read_head(info, state, label=label)
    if len(sizes) != len(instances):
        raise StateError(
            f"{label}: the saved state is of {len(sizes)} instances, there are {len(instances)} here"
        )
    if start + sum(sizes) != len(state):
        raise StateError(f"{label}: the saved state is cut short or damaged; save it again")
    for device, (instance, size) in enumerate(zip(instances, sizes, strict=True)):
        _set_state(instance, state[start : start + size], label=f"{label}, device {device}")
        start += size


def _check_able(info: FmuInfo, label: str) -> None:
    if not info.can_save_state or not info.can_serialise_state:
        missing = (
            "save its state" if not info.can_save_state else "give its state out of the process (serialise)"
        )
        raise StateError(
            f"{label}: {info.file.name} says that it cannot {missing}; run without restart and without rehearsal, or "
            "ask for an export that can"
        )


def _read_head(info: FmuInfo, state: bytes, *, label: str) -> tuple[list[int], int]:
    start = len(_MAGIC) + _LENGTH.size
    if state[: len(_MAGIC)] != _MAGIC or len(state) < start:
        raise StateError(f"{label}: these bytes are not the saved state of FMUs")
    (length,) = _LENGTH.unpack_from(state, len(_MAGIC))
    try:
        head = json.loads(state[start : start + length])
        sha256, sizes = head["sha256"], [int(size) for size in head["sizes"]]
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{label}: the head of the saved state is damaged; save it again") from error
    if sha256 != info.sha256:
        raise StateError(f"{label}: the saved state is of another FMU than {info.file.name}")
    return sizes, start + length


def _state_of(instance: Any, *, label: str) -> bytes:
    failed = fmpy_module("fmpy.fmi1").FMICallException
    try:
        pointer = instance.getFMUState()
        try:
            return bytes(instance.serializeFMUState(pointer))
        finally:
            instance.freeFMUState(pointer)
    except (failed, FmuError) as error:
        raise StateError(f"{label}: the state cannot be saved: {error} {instance.log.tail()}") from error


def _set_state(instance: Any, state: bytes, *, label: str) -> None:
    failed = fmpy_module("fmpy.fmi1").FMICallException
    try:
        pointer = instance.deserializeFMUState(state)
        try:
            instance.setFMUState(pointer)
        finally:
            instance.freeFMUState(pointer)
    except (failed, FmuError) as error:
        raise StateError(f"{label}: the state cannot be restored: {error} {instance.log.tail()}") from error
