"""Errors of the physics.

ModelError
├── FeederError        a network cannot be read, compiled or represented
│   └── EngineMismatchError  a fast engine does not agree with the reference on this network
├── PowerFlowError     a power flow did not converge or is not finite
├── OscillationError   inverter functions and feeder do not settle on a common solution
└── DeviceError        parameters of a device contradict each other
"""

__all__ = [
    "DeviceError",
    "EngineMismatchError",
    "FeederError",
    "ModelError",
    "OscillationError",
    "PowerFlowError",
]


class ModelError(Exception):
    """Root of the errors of ``models``."""


class FeederError(ModelError):
    """A network cannot be read, compiled or represented."""


class EngineMismatchError(FeederError):
    """A fast engine does not agree with the reference on this network."""


class PowerFlowError(ModelError):
    """A power flow did not converge or is not finite."""


class OscillationError(ModelError):
    """Inverter functions and feeder do not settle on a common solution."""


class DeviceError(ModelError):
    """Parameters of a device contradict each other."""
