"""One virtual device on its own, outside of any run: what ``twin device serve`` starts."""

import asyncio
import contextlib
import difflib
import ipaddress
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from hil_adapters.errors import HilError, LinkLostError
from hil_adapters.maps.loader import load_map
from hil_adapters.maps.schema import RegisterMap, ValueType
from hil_adapters.virtual.protection import ProtectionSettings
from models.devices.base import Causality
from models.devices.numpy_block import KINDS
from models.errors import ModelError
from twin.errors import InputError, RunError
from twin.virtual.building import build_device
from twin.virtual.config import HostConfig, PhysicsConfig, PhysicsKind, SunSpecPart, VirtualDeviceConfig
from twin.virtual.host_main import run_devices
from twin.virtual.physics import AROUND, METERED

__all__ = ["Address", "Wanted", "is_loopback", "serve_alone", "standalone_config"]

Address = Callable[[int, int], None]
"""Is told the port and the unit once the device answers."""

_PHYSICS_OF_KIND: Final[Mapping[str, PhysicsKind]] = {
    "pv": "pv_inverter",
    "battery": "battery",
    "meter": "meter",
    "charger": "ev_charger",
}
_OWN_SETTINGS: Final = frozenset({"serial", "heartbeat_s"})


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person types."""

    map: str
    """Name of a shipped map, or a file."""
    physics: PhysicsKind | None = None
    """What computes it; None: by the kind of the map."""
    settings: Sequence[str] = ()
    """``name=value``: parameters and inputs of the physics, ``serial``, ``heartbeat_s`` of a battery, else points of the map."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 for any free one."""
    allow: Sequence[str] = ()
    """Addresses or networks that may connect, needed beyond loopback."""
    protection: ProtectionSettings | None = None
    faults: str | None = None
    """File of a fault script."""


def standalone_config(wanted: Wanted) -> HostConfig:
    """Return the configuration of a single device.

    Raises:
        InputError: the map is wrong, a setting has no value or no meaning, or the address is open to others without
            ``allow``.
    """
    if not is_loopback(wanted.host) and not wanted.allow:
        raise InputError(
            f"{wanted.host} can be reached from other machines; say which of them may connect with --allow, "
            "e.g. --allow 192.168.1.0/24"
        )
    try:
        register_map = load_map(wanted.map)
    except HilError as error:
        raise InputError(str(error)) from error
    kind = register_map.kind
    chosen = wanted.physics if wanted.physics is not None else _PHYSICS_OF_KIND.get(kind)
    if chosen is None:
        raise InputError(f"map {wanted.map} is of kind {kind}; say what computes the device with --physics")
    numbers, texts = _settings(wanted.settings)
    _check_names(register_map, chosen, numbers=numbers, texts=texts)
    _check_serial(register_map, texts.get("serial"))
    heartbeat_s = numbers.pop("heartbeat_s", None)
    parts = _sorted_out(chosen, numbers)
    if heartbeat_s is not None and not heartbeat_s > 0.0:
        raise InputError(f"--set heartbeat_s={heartbeat_s:g}: give a time above zero, in seconds")
    device = VirtualDeviceConfig(
        name=wanted.map,
        map=wanted.map,
        physics=PhysicsConfig(kind=chosen, parameters=parts[0], inputs=parts[1]),
        port=wanted.port,
        serial=texts.pop("serial", "1"),
        values={**parts[2], **texts},
        sunspec=SunSpecPart(heartbeat_s=heartbeat_s),
        protection=wanted.protection,
        faults=wanted.faults,
    )
    return HostConfig(
        devices=(device,), host=wanted.host, allow=tuple(wanted.allow) if wanted.allow else None
    )


def serve_alone(config: HostConfig, *, on_served: Address) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        InputError: the device cannot be made so, or the address cannot be used.
        RunError: the physics failed.
    """
    with ExitStack() as stack:
        built = [build_device(device, stack) for device in config.devices]

        def told(ports: Mapping[str, int]) -> None:
            for entry in built:
                on_served(ports[entry.device.name], entry.device.bank.unit)

        async def work() -> None:
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C interrupts asyncio.run
                    loop.add_signal_handler(number, ended.set)
            await run_devices(config, built, until=ended, on_served=told)

        try:
            asyncio.run(work())
        except LinkLostError as error:
            raise InputError(str(error)) from error
        except (HilError, ModelError) as error:
            raise RunError(str(error)) from error


def _settings(settings: Sequence[str]) -> tuple[dict[str, float], dict[str, str]]:
    """Return numbers and texts by name."""
    numbers: dict[str, float] = {}
    texts: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not name or not equals or not value:
            raise InputError(f"--set {setting!r} says no value; write name=value")
        try:
            if name == "serial":
                texts[name] = value
            else:
                numbers[name] = float(value)
        except ValueError:
            texts[name] = value
    return numbers, texts


def _check_names(
    register_map: RegisterMap, kind: PhysicsKind, *, numbers: Mapping[str, float], texts: Mapping[str, str]
) -> None:
    """Raise ``InputError`` for a name that nothing can have, and for a text where the physics need a number.

    Points of the models of a SunSpec device (``123.WMaxLimPct``) are known only once it is made.
    """
    computed = frozenset().union(*_names_of(kind))
    points = {point.name for point in register_map.points}
    for name in (*numbers, *texts):
        if name in _OWN_SETTINGS or name in points or (register_map.discovery is not None and "." in name):
            continue
        if name not in computed:
            near = difflib.get_close_matches(name, [*sorted(computed | _OWN_SETTINGS), *sorted(points)], n=3)
            hint = (
                f"did you mean {' or '.join(near)}?"
                if near
                else f"the physics take {', '.join(sorted(computed))}"
            )
            raise InputError(
                f"--set {name}: neither the {kind} that computes it nor map {register_map.name} has it; {hint}"
            )
    for name in sorted((computed | {"heartbeat_s"}) & set(texts)):
        raise InputError(f"--set {name}={texts[name]}: give a number")


def _check_serial(register_map: RegisterMap, serial: str | None) -> None:
    """Raise ``InputError`` for a serial number of letters where the map keeps a number."""
    point = next(
        (point for point in register_map.points if point.name == register_map.identity.get("serial")), None
    )
    if serial is None or point is None or point.type is ValueType.STRING or serial.isdecimal():
        return
    raise InputError(
        f"--set serial={serial}: map {register_map.name} keeps the serial number as a number; write digits only"
    )


def _names_of(kind: PhysicsKind) -> tuple[frozenset[str], frozenset[str]]:
    """Return the parameters of the physics and its inputs with what surrounds it."""
    module = KINDS.get(kind)
    parameters = (
        frozenset({"p_rated_kw"}) if module is None else frozenset(module.KIND.named(Causality.PARAMETER))
    )
    inputs = METERED if module is None else frozenset(module.KIND.named(Causality.INPUT))
    return parameters, inputs | AROUND


def _sorted_out(
    kind: PhysicsKind, numbers: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return parameters, inputs and values of points."""
    module = KINDS.get(kind)
    parameters, inputs = _names_of(kind)
    found = (
        {name: value for name, value in numbers.items() if name in parameters},
        {name: value for name, value in numbers.items() if name in inputs},
        {name: value for name, value in numbers.items() if name not in parameters | inputs},
    )
    if kind == "pv_inverter" and "p_available_kw" not in found[1] and module is not None:
        rated_kw = {entry.name: entry.start for entry in module.KIND.variables}["p_rated_kw"]
        found[1]["p_available_kw"] = -found[0].get("p_rated_kw", rated_kw)
    return found
