"""Errors of the physics.

ModelError
├── FeederError        a network cannot be read, compiled or represented
│   ├── FurtherNetworkError  the same for a network beside the first
│   └── EngineMismatchError  a fast engine does not agree with the reference on this network
├── PowerFlowError     a power flow did not converge or is not finite
├── OscillationError   inverter functions and feeder do not settle on a common solution
└── DeviceError        parameters of a device contradict each other
"""

__all__ = [
    "DeviceError",
    "EngineMismatchError",
    "FeederError",
    "FurtherNetworkError",
    "ModelError",
    "OscillationError",
    "PowerFlowError",
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
