"""Fleets of FMUs as blocks: what a run opens them with."""

from models.devices.base import DeviceBlock
from models.fmu.base import FleetSpec
from models.fmu.in_process.fleet import FmuFleet
from models.fmu.in_process.substeps import Substeps, substeps
from models.fmu.isolation.supervisor import WorkerFleet

__all__ = ["FmuFleet", "Substeps", "WorkerFleet", "open_fleet", "substeps"]


def open_fleet(spec: FleetSpec) -> DeviceBlock:
    """Open the FMUs of a fleet: in this process where they are trusted, else in a process of their own.

    Raises:
        FmuError: the FMU cannot be used; the message says why and what helps.
    """
    return FmuFleet(spec) if spec.trusted else WorkerFleet(spec)
