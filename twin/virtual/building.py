"""Virtual devices from the configuration of their host."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from hil_adapters.errors import HilError
from hil_adapters.faults.bank import FaultyBank
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.rules import load_script, script_from
from hil_adapters.maps.loader import load_map
from hil_adapters.sunspec.image import ChainEnd, ImageQuirks, ScaleChange
from hil_adapters.virtual.bank import WriteRecord
from hil_adapters.virtual.device import DeviceSetup, VirtualDevice
from hil_adapters.virtual.serving import Station
from hil_adapters.virtual.timers import TrafficMode
from hil_adapters.wire.base import Bank
from twin.errors import InputError
from twin.virtual.config import HostConfig, SunSpecPart, VirtualDeviceConfig
from twin.virtual.physics import OpenPhysics, open_physics

__all__ = ["BuiltDevice", "build_device", "stations_of"]

_GENERATORS = frozenset({"pv_inverter", "battery", "fmu"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltDevice:
    """A virtual device, what computes it, and how it is reached."""

    device: VirtualDevice
    physics: OpenPhysics
    bank: Bank
    port: int
    max_clients: int | None
    faults: FaultPlan | None


def build_device(config: VirtualDeviceConfig, stack: ExitStack) -> BuiltDevice:
    """Make one device; ``stack`` closes what it needs.

    Raises:
        InputError: the map, the models, the physics or the faults do not fit; the message names the device.
    """
    if config.protection is not None and config.physics.kind not in _GENERATORS:
        raise InputError(
            f"virtual device {config.name}: interface protection is for generators, and a {config.physics.kind} is none; "
            "remove 'protection'"
        )
    physics = open_physics(config.physics, label=config.name)
    stack.callback(physics.close)
    try:
        device = VirtualDevice(load_map(config.map), physics, _setup(config))
        faults = _fault_plan(config)
    except HilError as error:
        raise InputError(f"virtual device {config.name}: {error}") from error
    if config.write_log is not None:
        _log_writes(device, Path(config.write_log), stack)
    return BuiltDevice(
        device=device,
        physics=physics,
        bank=_bank(device, faults),
        port=config.port,
        max_clients=config.max_clients,
        faults=faults,
    )


def stations_of(built: Sequence[BuiltDevice], host: HostConfig) -> dict[tuple[str, ...], Station]:
    """Return the ports to serve, by the names of the devices behind each: devices that name the same port share it.

    Raises:
        InputError: two devices behind a port have the same unit, or more than one has faults or a number of clients.
    """
    groups: dict[int | str, list[BuiltDevice]] = {}
    for entry in built:
        groups.setdefault(entry.port or entry.device.name, []).append(entry)
    return {tuple(entry.device.name for entry in group): _station(group, host) for group in groups.values()}


def _station(group: Sequence[BuiltDevice], host: HostConfig) -> Station:
    names = ", ".join(entry.device.name for entry in group)
    banks = {entry.device.bank.unit: entry.bank for entry in group}
    if len(banks) < len(group):
        raise InputError(f"virtual devices {names} share a port and a unit; give each its own 'unit'")
    faults = [entry.faults for entry in group if entry.faults is not None]
    clients = [entry.max_clients for entry in group if entry.max_clients is not None]
    if len(faults) > 1 or len(clients) > 1:
        raise InputError(
            f"virtual devices {names} share a port; give 'faults' and 'max_clients' to one of them"
        )
    return Station(
        banks=banks,
        host=host.host,
        port=group[0].port,
        allow=host.allow,
        max_clients=clients[0] if clients else None,
        faults=faults[0] if faults else None,
    )


def _bank(device: VirtualDevice, faults: FaultPlan | None) -> Bank:
    return device.bank if faults is None else FaultyBank(device.bank, faults.values, on_reboot=device.restart)


def _log_writes(device: VirtualDevice, file: Path, stack: ExitStack) -> None:
    try:
        log = stack.enter_context(file.open("a", encoding="utf-8", buffering=1))
    except OSError as error:
        raise InputError(
            f"virtual device {device.name}: {file} cannot be written ({error.strerror}); name another 'write_log'"
        ) from error
    device.bank.on_record(lambda record: _write_line(log, record))


def _write_line(log: TextIO, record: WriteRecord) -> None:
    log.write(json.dumps(asdict(record)) + "\n")


def _setup(config: VirtualDeviceConfig) -> DeviceSetup:
    return DeviceSetup(
        name=config.name,
        unit=config.unit,
        serial=config.serial,
        phases=config.phases,
        models=config.sunspec.models,
        base=config.sunspec.base,
        quirks=_quirks(config.sunspec),
        values=config.values,
        world=config.physics.inputs,
        protection=config.protection,
        traffic=TrafficMode(config.traffic),
        heartbeat_s=config.sunspec.heartbeat_s,
    )


def _quirks(part: SunSpecPart) -> ImageQuirks:
    return ImageQuirks(
        end=ChainEnd[part.end.upper()],
        short_common=part.short_common,
        no_multiple_write=frozenset(part.no_multiple_write),
        no_single_write=frozenset(part.no_single_write),
        scale_changes=tuple(
            ScaleChange(point=change.point, exponents=change.exponents, every_s=change.every_s)
            for change in part.scale_changes
        ),
    )


def _fault_plan(config: VirtualDeviceConfig) -> FaultPlan | None:
    if config.faults is None:
        return None
    if isinstance(config.faults, str):
        return FaultPlan(load_script(Path(config.faults)))
    return FaultPlan(script_from(config.faults, where=f"faults of {config.name}"))
