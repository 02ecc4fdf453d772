"""Errors of the physics.

ModelError
├── FeederError        a network cannot be read, compiled or represented
│   ├── FurtherNetworkError  the same for a network beside the first
│   └── EngineMismatchError  a fast engine does not agree with the reference on this network
├── PowerFlowError     a power flow did not converge or is not finite
├── OscillationError   inverter functions and feeder do not settle on a common solution
├── DeviceError        parameters of a device contradict each other
├── StateError         the state of a device cannot be saved or restored
└── FmuError           an FMU cannot be used
    ├── FmuArchiveError     the file is unsafe, damaged or holds no binary for this machine
    ├── FmuMappingError     a signal or parameter does not fit the variables of the FMU
    ├── FmuStepError        a step failed: bad status, a value that is not finite or out of bounds
    └── FmuCrashError       the process that ran the FMU crashed, ended or hung
"""

__all__ = [
    "DeviceError",
    "EngineMismatchError",
    "FeederError",
    "FmuArchiveError",
    "FmuCrashError",
    "FmuError",
    "FmuMappingError",
    "FmuStepError",
    "FurtherNetworkError",
    "ModelError",
    "OscillationError",
    "PowerFlowError",
    "StateError",
]


class ModelError(Exception):
    """Root of the errors of ``models``."""


class FeederError(ModelError):
    """A network cannot be read, compiled or represented."""


class FurtherNetworkError(FeederError):
    """A network beside the first cannot be read; ``position`` counts the further networks from 0."""

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(message)


class EngineMismatchError(FeederError):
    """A fast engine does not agree with the reference on this network."""


class PowerFlowError(ModelError):
    """A power flow did not converge or is not finite."""


class OscillationError(ModelError):
    """Inverter functions and feeder do not settle on a common solution."""


class DeviceError(ModelError):
    """Parameters of a device contradict each other."""


class StateError(ModelError):
    """The state of a device cannot be saved or restored."""


class FmuError(ModelError):
    """An FMU cannot be used; the message names the file, the variable and the remedy."""


class FmuArchiveError(FmuError):
    """The file is unsafe, damaged or holds no binary for this machine."""


class FmuMappingError(FmuError):
    """A signal or parameter does not fit the variables of the FMU."""


class FmuStepError(FmuError):
    """A step failed: a bad status, or a value that is not finite or out of bounds."""


class FmuCrashError(FmuError):
    """The process that ran the FMU crashed, ended or hung."""
