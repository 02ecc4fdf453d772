"""One running instance of an FMU: FMPy's class for it, loaded robustly."""

import ctypes
import functools
import itertools
import math
from enum import StrEnum
from typing import Any

from models.errors import FmuError
from models.fmu.base import FmuInfo, UnpackedFmu
from models.fmu.binding.loading import check_thread_keys, kept_directory, open_library
from models.fmu.binding.logs import MessageLog, callback_structure, forget, logger_of
from models.fmu.fmpy_access import fmpy_module
from models.fmu.reading.platforms import library_file

__all__ = ["DISCARD", "FATAL", "OK", "WARNING", "InstanceKind", "make_instance"]

OK = 0
WARNING = 1
DISCARD = 2
FATAL = 4
_numbers = itertools.count(2)
_names: set[str] = set()


class InstanceKind(StrEnum):
    """Which interface of an FMU is instantiated."""

    CO_SIMULATION = "co_simulation"
    MODEL_EXCHANGE = "model_exchange"


class _Bound:
    """What FMPy's class of an FMU gets from here instead of from FMPy's base class.

    FMPy binds every function when an instance is made and stops at the first one missing, inspects all signatures each
    time, and leaves the process in another working directory where loading fails.
    """

    component: Any = None
    next_event_s: float = math.inf
    """When the FMU has its next event, where steps are to end there (FMI 3.0 Co-Simulation)."""

    def __init__(self, unpacked: UnpackedFmu, *, identifier: str, name: str, log: MessageLog) -> None:
        """Load the library; the instance is not made yet."""
        self.guid = unpacked.info.token
        self.modelIdentifier = identifier
        self.unzipDirectory = str(unpacked.folder.resolve())
        self.instanceName = name
        self.fmiCallLogger = None
        self.log = log
        self.key: int | None = None
        self.callbacks: Any = None
        self.binary = open_library(library_file(unpacked, identifier))
        self.dll = self.binary.handle
        self._functions = self.binary.functions(type(self))
        self._loaded = True

    def status_of(self, name: str, *arguments: Any) -> int:
        """Call a function that answers with a status and return it; a warning is counted, `fatal` kept in mind.

        Raises:
            FmuError: the library does not have the function, or has answered `fatal` before.
        """
        return int(self._answer(name, arguments))

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if self.binary.fatal:
            raise FmuError(f"{self.instanceName}: {name} is not called, the FMU has answered 'fatal' before")
        function = self._functions[name]
        result = function(*arguments)
        if function.restype is ctypes.c_int:
            self.log.warnings += result == WARNING
            self.binary.fatal = result == FATAL
        return result

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function for FMPy, which wants a status above warning raised.

        Raises:
            FmuError: as :meth:`status_of`; or the FMU refuses to be instantiated.
        """
        result = self._answer(name, arguments)
        restype = self._functions[name].restype
        if restype is ctypes.c_int and (result > WARNING or result < OK):
            raise fmpy_module("fmpy.fmi1").FMICallException(function=name, status=result)
        if restype is ctypes.c_void_p and not result:
            raise FmuError(
                f"{self.instanceName}: the FMU refuses to be instantiated ({name}); {self.log.tail()}; often a file, a "
                "licence or a library it needs is missing: `twin fmu check` tells more"
            )
        return result

    def address(self, name: str) -> int:
        """Return where a function lies in memory."""
        return int(ctypes.cast(self._functions[name], ctypes.c_void_p).value or 0)

    def free(self) -> None:
        """Free the instance and give up the library; may be called again. After `fatal` nothing is called."""
        component, self.component = self.component, None
        try:
            if component is not None and not self.binary.fatal:
                name = "fmi2FreeInstance" if self.key is not None else "fmi3FreeInstance"
                with kept_directory():
                    self._functions[name](component)
        finally:
            self.unload()

    def unload(self) -> None:
        """Give up the library and the name; may be called again."""
        if self._loaded:
            self._loaded = False
            _names.discard(self.instanceName)
            if self.key is not None:
                forget(self.key)
            self.binary.release()


@functools.cache
def _instance_class(version: str, kind: InstanceKind) -> Any:
    """Return FMPy's class for a version and an interface with :class:`_Bound` before it."""
    module, name = {
        ("2", InstanceKind.CO_SIMULATION): ("fmpy.fmi2", "FMU2Slave"),
        ("2", InstanceKind.MODEL_EXCHANGE): ("fmpy.fmi2", "FMU2Model"),
        ("3", InstanceKind.CO_SIMULATION): ("fmpy.fmi3", "FMU3Slave"),
        ("3", InstanceKind.MODEL_EXCHANGE): ("fmpy.fmi3", "FMU3Model"),
    }[version, kind]
    base = getattr(fmpy_module(module), name)
    return type(name, (_Bound, base), {"freeInstance": _Bound.free, "freeLibrary": _Bound.unload})


def make_instance(unpacked: UnpackedFmu, *, name: str, kind: str, log: MessageLog) -> Any:
    """Load the library of an FMU and make an instance of it, ready for its start values.

    The result is an ``FMU2Slave``, ``FMU2Model``, ``FMU3Slave`` or ``FMU3Model`` of FMPy with all their methods; a status
    above warning raises FMPy's ``FMICallException``. ``freeInstance`` (or ``free``) may be called on every path, more
    than once; it also unloads the library with its last instance. FMI 3.0 Co-Simulation uses event mode and early return
    where the FMU has them: initialisation then ends in event mode.

    Args:
        unpacked: the FMU on disk.
        name: for messages; made unique in this process.
        kind: ``co_simulation`` or ``model_exchange``.
        log: gets the messages of this instance.

    Raises:
        FmuArchiveError: no library for this machine, or the system cannot load it.
        FmuError: the FMU has no such interface, could not be instantiated, or this process has no room for more.
    """
    info = unpacked.info
    interface = InstanceKind(kind)
    identifier = info.co_simulation if interface == InstanceKind.CO_SIMULATION else info.model_exchange
    if identifier is None:
        raise FmuError(
            f"{info.file.name} has no {interface.value.replace('_', ' ')} interface; choose interface: auto"
        )
    unique = name if name not in _names else f"{name} ({next(_numbers)})"
    check_thread_keys(unique)
    with kept_directory():
        made = _instance_class(info.fmi_version[:1], interface)(
            unpacked, identifier=identifier, name=unique, log=log
        )
        _names.add(unique)
        try:
            _instantiate(made, info, interface)
        except BaseException:
            made.unload()
            raise
    return made


def _instantiate(made: Any, info: FmuInfo, kind: InstanceKind) -> None:
    options: dict[str, Any]
    if info.fmi_version.startswith("2"):
        callbacks, made.key = callback_structure(made.instanceName, made.log)
        options = {"callbacks": callbacks}
    else:
        options = {"logMessage": logger_of(made.log)}
        if kind == InstanceKind.CO_SIMULATION:
            early = info.has_event_mode or info.may_return_early  # an event is told by returning at its time
            options |= {"eventModeUsed": info.has_event_mode, "earlyReturnAllowed": early}
    made.instantiate(**options)
