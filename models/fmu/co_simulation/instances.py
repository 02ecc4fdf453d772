"""The instances of a fleet in Co-Simulation: all of them made and initialised, or none; all of them freed."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from models.errors import FmuError
from models.fmu.base import FleetSpec, UnpackedFmu
from models.fmu.binding.instances import make_instance
from models.fmu.binding.loading import folder_of, kept_directory
from models.fmu.binding.logs import MessageLog, status_name
from models.fmu.fmpy_access import fmpy_module

__all__ = ["free_instances", "make_instances"]


def make_instances(
    unpacked: UnpackedFmu, spec: FleetSpec, *, count: int, initialise: Callable[[Any, int], None]
) -> list[Any]:
    """Make and initialise the instances of a fleet; on a failure all of them are freed.

    Raises:
        FmuError: an instance cannot be made, or fails while it is initialised.
    """
    failed = fmpy_module("fmpy.fmi1").FMICallException
    made: list[Any] = []
    try:
        for device in range(count):
            where = folder_of(unpacked, device)
            log = MessageLog()
            made.append(make_instance(where, name=f"{spec.label} {device}", kind="co_simulation", log=log))
            with kept_directory():
                initialise(made[-1], device)
    except failed as error:
        log = made[-1].log
        free_instances(made)
        raise FmuError(
            f"{spec.label}: device {len(made) - 1} ({spec.file.name}): {error.function} answered "
            f"{status_name(error.status)!r} while it was initialised; {log.tail()}; check the parameters and start values"
        ) from error
    except BaseException:
        free_instances(made)
        raise
    return made


def free_instances(instances: Sequence[Any]) -> None:
    """Free all instances, each on its own: one that fails does not keep the others."""
    with contextlib.ExitStack() as stack:
        for instance in reversed(instances):
            stack.callback(instance.free)
