"""Which code runs an FMU: by its FMI version, its interfaces, and what the fleet asks for."""

from models.errors import FmuError, FmuMappingError
from models.fmu.base import Engine, FleetSpec, FmuInfo, Interface, UnpackedFmu
from models.fmu.co_simulation.fmi2 import open_cs2
from models.fmu.co_simulation.fmi3 import open_cs3
from models.fmu.co_simulation.fmi3_array import open_cs3_array
from models.fmu.model_exchange.engine import open_me

__all__ = ["chosen_interface", "needs_foreign_tool", "open_engine"]

_PYTHON_TOOL = "PythonFMU"
"""FMUs of PythonFMU and PythonFMU3 say that they need their tool; that is Python, and this is Python."""


def chosen_interface(info: FmuInfo, spec: FleetSpec) -> Interface:
    """Return the interface that a fleet uses: Co-Simulation or Model Exchange, never ``AUTO``.

    Raises:
        FmuError: the FMU has no such interface.
    """
    if spec.interface is Interface.CO_SIMULATION or (
        spec.interface is Interface.AUTO and info.co_simulation is not None
    ):
        wanted, identifier = Interface.CO_SIMULATION, info.co_simulation
    else:
        wanted, identifier = Interface.MODEL_EXCHANGE, info.model_exchange
    if identifier is not None:
        return wanted
    if info.co_simulation is None and info.model_exchange is None:
        raise FmuError(
            f"{spec.label}: {info.file.name} has neither Co-Simulation nor Model Exchange; "
            "ask for an export with one of them (scheduled execution is not supported)"
        )
    other = Interface.MODEL_EXCHANGE if wanted is Interface.CO_SIMULATION else Interface.CO_SIMULATION
    raise FmuError(
        f"{spec.label}: {info.file.name} has no {wanted.value} interface; set `interface: {other.value}` or `auto`"
    )


def needs_foreign_tool(info: FmuInfo) -> bool:
    """Return whether an FMU is only a door to another program, which would have to be installed and running."""
    return info.needs_execution_tool and not info.generation_tool.startswith(_PYTHON_TOOL)


def open_engine(unpacked: UnpackedFmu, spec: FleetSpec) -> Engine:
    """Start the instances of a fleet, initialised at time 0.

    Raises:
        FmuArchiveError: no library for this machine, or the system cannot load it.
        FmuMappingError: a variable or parameter is not there or is of another type.
        FmuError: the interface is missing, the tool that made the FMU is needed, or the FMU refuses to start.
    """
    info = unpacked.info
    interface = chosen_interface(info, spec)
    if needs_foreign_tool(info):
        raise FmuError(
            f"{spec.label}: {info.file.name} is only a door to the tool that made it ({info.generation_tool}): it needs "
            "that tool installed and running, which is not supported; ask for an export that runs by itself"
        )
    is_fmi3 = info.fmi_version.startswith("3")
    if spec.array_size is None:
        if interface is Interface.MODEL_EXCHANGE:
            return open_me(unpacked, spec)
        return open_cs3(unpacked, spec) if is_fmi3 else open_cs2(unpacked, spec)
    if not is_fmi3:
        raise FmuMappingError(
            f"{spec.label}: `array: {spec.array_size}` needs an FMI 3.0 FMU, {info.file.name} is FMI {info.fmi_version}; "
            "leave `array` out: each device is then an instance of its own"
        )
    if interface is Interface.MODEL_EXCHANGE:
        raise FmuMappingError(
            f"{spec.label}: `array: {spec.array_size}` needs Co-Simulation; set `interface: co_simulation` or leave "
            "`array` out: each device is then an instance of its own"
        )
    return open_cs3_array(unpacked, spec)
