"""Emulated devices for tests: maps by hand, physics that follow their commands, a clock that is set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hil_adapters.maps.loader import load_map
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.virtual.device import DeviceSetup, VirtualDevice
from hil_adapters.wire.base import Peer

__all__ = [
    "BATTERY",
    "EMS",
    "PV",
    "Clock",
    "Obedient",
    "charger_map",
    "seen",
    "sunspec_device",
    "vendor_device",
]

EMS = Peer(address="127.0.0.1")


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Obedient:
    """Physics that do what commands say: feed in what the sun gives, up to the limit; charge as set."""

    nameplate: Mapping[str, float]
    seen: dict[str, float] = field(default_factory=dict)

    def step(
        self, commands: Mapping[str, float], world: Mapping[str, float], *, dt_s: float
    ) -> Mapping[str, float]:
        self.seen = dict(commands)
        if "capacity_kwh" in self.nameplate:
            return {"p_kw": commands.get("p_set_kw", 0.0), "q_kvar": 0.0, "soc": 0.42}
        available_kw = world.get("p_available_kw", 0.0)
        return {"p_kw": max(available_kw, -commands.get("p_limit_kw", 1e9)), "q_kvar": 0.5}


PV = {"p_rated_kw": 10.0, "s_rated_kva": 11.0}
BATTERY = {"charge_kw": 5.0, "discharge_kw": 4.0, "capacity_kwh": 10.0}


def sunspec_device(kind: str, clock: Clock, **setup: Any) -> VirtualDevice:
    """Return a SunSpec device of a kind (pv, battery, meter) with obedient physics."""
    plate = {"pv": PV, "battery": BATTERY, "meter": {"p_rated_kw": 25.0}}[kind]
    settings: dict[str, Any] = {"name": kind, "serial": "SN-7", **setup}
    return VirtualDevice(load_map(f"sunspec_{kind}"), Obedient(plate), DeviceSetup(**settings), clock=clock)


def vendor_device(map_: RegisterMap, plate: Mapping[str, float], clock: Clock, **setup: Any) -> VirtualDevice:
    """Return a device of any map with obedient physics."""
    return VirtualDevice(map_, Obedient(plate), DeviceSetup(name="it", **setup), clock=clock)


def seen(device: VirtualDevice) -> dict[str, float]:
    """Return the commands that the obedient physics of a device saw last."""
    physics = device._physics
    assert isinstance(physics, Obedient)
    return physics.seen


def charger_map() -> RegisterMap:
    """Return the map of a made-up maker: a limit in percent with an enable, a timer in minutes, a serial in numbers."""
    watchdog = {"kind": "timer", "point": "failsafe_min", "timeout_s": 60, "falls_back_to": "full power"}
    return RegisterMap.model_validate(
        {
            "name": "made_up",
            "title": "Made-up charger",
            "kind": "charger",
            "source": {"document": "none", "pages": "none"},
            "link": {"unit": 7, "max_gap": 2},
            "identity": {"serial": "serial"},
            "points": [
                {"name": "serial", "address": 0, "type": "uint32"},
                {"name": "power", "address": 2, "type": "int32", "word_order": "little", "unit": "W"},
                {"name": "energy", "address": 4, "type": "uint32", "scale": 0.1, "unit": "kWh"},
                {"name": "rated", "address": 8, "type": "uint16", "scale": 100, "unit": "W"},
                {"name": "limit", "address": 20, "type": "uint16", "unit": "%", "access": "rw", "high": 100},
                {
                    "name": "enable",
                    "address": 21,
                    "type": "uint16",
                    "access": "rw",
                    "values": {0: "off", 1: "on"},
                },
                {"name": "failsafe_min", "address": 22, "type": "uint16", "unit": "min", "access": "rw"},
                {"name": "wide", "address": 30, "type": "float32", "access": "rw", "low": -1, "high": 1},
                {"name": "running", "table": "coil", "address": 5, "type": "bool", "access": "rw"},
                {"name": "present", "table": "discrete", "address": 6, "type": "bool"},
            ],
            "writes": {
                "limit": {"low": 0, "high": 90, "class": "volatile", "watchdog": watchdog},
                "enable": {"low": 0, "high": 1, "class": "volatile", "watchdog": watchdog},
                "failsafe_min": {"low": 1, "high": 60, "class": "volatile", "watchdog": watchdog},
            },
            "signals": {
                "p_kw": {"point": "power", "sign": "consumption"},
                "e_import_kwh": {"point": "energy"},
            },
            "commands": {
                "p_limit_kw": {
                    "writes": [
                        {"point": "failsafe_min", "from_watchdog": True},
                        {"point": "limit", "percent_of": "rated"},
                        {"point": "enable", "value": 1},
                    ],
                    "release": [{"point": "enable", "value": 0}],
                }
            },
        }
    )
