"""The host process of virtual devices: ``python -m twin.virtual.host_main``, started by ``started_host``.

It reads one line with its configuration from standard input, answers with one line that holds the ports, and then takes one
line for every change of what surrounds the devices. It ends when standard input ends. The physics run freely: every tick of
the wall clock moves them on by the tick times the speed.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Final

from pydantic import ValidationError

from hil_adapters.errors import HilError
from hil_adapters.virtual.serving import served
from models.errors import ModelError
from twin.errors import TwinError
from twin.virtual.building import BuiltDevice, build_device, stations_of
from twin.virtual.config import HostConfig

__all__ = ["main", "run_devices"]

_BAD_INPUT: Final = 2
_FAILED: Final = 1
_MOST_TICKS_LATE: Final = 50


def main() -> int:
    """Run the host until standard input ends; return the exit status."""
    try:
        config = HostConfig.model_validate_json(sys.stdin.readline())
        with ExitStack() as stack:
            built = [build_device(device, stack) for device in config.devices]
            asyncio.run(_host(config, built))
    except ValidationError as error:
        return _told(f"the configuration is wrong: {error}", _BAD_INPUT)
    except (HilError, ModelError, TwinError) as error:
        return _told(str(error), _FAILED)
    return 0


async def run_devices(
    config: HostConfig,
    built: Sequence[BuiltDevice],
    *,
    until: asyncio.Event,
    on_served: Callable[[Mapping[str, int]], None],
) -> None:
    """Serve devices and step them until ``until`` is set; ``on_served`` gets the ports by device.

    Raises:
        LinkLostError: an address or a port cannot be used.
        ModelError: the physics of a device failed.
    """
    stations = stations_of(built, config)
    for entry in built:  # a client never reads the state before the physics have run
        entry.device.step(config.tick_s * config.speed)
    async with served(list(stations.values())) as ports:
        on_served({name: port for names, port in zip(stations, ports, strict=True) for name in names})
        await _step_until(until, config, built)


async def _host(config: HostConfig, built: Sequence[BuiltDevice]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    devices = {entry.device.name: entry.device for entry in built}

    def tell(worlds: Mapping[str, Mapping[str, float]]) -> None:
        for name, world in worlds.items():
            devices[name].tell(world)

    def listen(stdin: IO[str]) -> None:
        try:
            for line in stdin:
                loop.call_soon_threadsafe(tell, json.loads(line))
        except json.JSONDecodeError:
            sys.stderr.write("the run was killed while it said what surrounds the devices\n")
        finally:
            loop.call_soon_threadsafe(ended.set)

    def say(ports: Mapping[str, int]) -> None:
        sys.stdout.write(json.dumps({"ports": dict(ports)}) + "\n")
        sys.stdout.flush()
        # a thread, because standard input may be a file or a pipe, and not every system waits for both
        threading.Thread(target=listen, args=(sys.stdin,), daemon=True).start()

    await run_devices(config, built, until=ended, on_served=say)


async def _step_until(until: asyncio.Event, config: HostConfig, built: Sequence[BuiltDevice]) -> None:
    """Step on an absolute grid, so that the physics neither drift nor depend on how late a tick comes."""
    loop = asyncio.get_running_loop()
    dt_s = config.tick_s * config.speed
    next_s = loop.time() + config.tick_s
    while not until.is_set():
        wait_s = next_s - loop.time()
        if wait_s > 0.0:
            await _wait(until, wait_s)
            continue
        if -wait_s > _MOST_TICKS_LATE * config.tick_s:  # the machine slept: that time has not passed in here
            next_s = loop.time()
        for entry in built:
            entry.device.step(dt_s)
            await asyncio.sleep(0)  # clients are answered between two devices
        next_s += config.tick_s


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return


def _told(message: str, status: int) -> int:
    sys.stderr.write(f"{message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
