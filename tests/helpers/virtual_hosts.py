"""Hosts of virtual devices for tests, and clients of others that look at them."""

import re
import subprocess
import time
from collections.abc import Callable
from typing import Any, Self

import sunspec2.modbus.client as peer
from outside import program

from twin.virtual.config import HostConfig, PhysicsConfig, VirtualDeviceConfig

__all__ = ["LIMIT", "PATIENCE_S", "Sun", "host_of", "polled", "pv", "until", "written"]

PATIENCE_S = 10.0
LIMIT = 40000 + 2 + 68 + 52 + 28 + 32 + 46
"""Address of model 123 behind models 1, 103, 120, 121 and 122."""


def pv(name: str = "pv", **changes: Any) -> VirtualDeviceConfig:
    settings: dict[str, Any] = {
        "name": name,
        "map": "sunspec_pv",
        "serial": "SN-1",
        "physics": PhysicsConfig(
            kind="pv_inverter",
            parameters={"p_rated_kw": 10.0, "s_rated_kva": 11.0},
            inputs={"p_available_kw": -8.0},
        ),
    }
    return VirtualDeviceConfig(**{**settings, **changes})


def host_of(*devices: VirtualDeviceConfig, **changes: Any) -> HostConfig:
    return HostConfig(**{"devices": devices, "tick_s": 0.02, **changes})


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.02)


def polled(port: int, address: int, count: int = 1, *, unit: int = 1) -> list[int]:
    """Read holding registers with mbpoll."""
    command = [
        program("mbpoll"),
        "-0",
        "-1",
        "-m",
        "tcp",
        "-a",
        str(unit),
        "-p",
        str(port),
        "-r",
        str(address),
        "-c",
        str(count),
    ]
    done = subprocess.run([*command, "127.0.0.1"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [int(value) for value in re.findall(r"^\[\d+\]:\s+(\d+)", done.stdout, re.MULTILINE)]


def written(port: int, address: int, *values: int) -> int:
    """Write holding registers with mbpoll (function 6 for one, 16 for several) and return its exit status."""
    command = [
        program("mbpoll"),
        "-0",
        "-1",
        "-m",
        "tcp",
        "-p",
        str(port),
        "-r",
        str(address),
        "127.0.0.1",
        "--",
    ]
    done = subprocess.run(
        [*command, *map(str, values)], capture_output=True, text=True, timeout=10, check=False
    )
    return done.returncode


class Sun:
    """pysunspec2's client."""

    def __init__(self, port: int) -> None:
        self._device = peer.SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port)
        self._device.scan()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._device.close()

    def __getitem__(self, model: int) -> Any:
        found = self._device.models[model][0]
        found.read()
        return found
