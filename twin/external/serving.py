"""A thread that answers for emulated devices while the run computes."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from hil_adapters.errors import HilError
from hil_adapters.virtual.serving import Station, served
from twin.errors import RunError
from twin.external.emulated import Emulated

__all__ = ["Server", "serving"]

_TICK_S: Final = 0.1
_PATIENCE_S: Final = 10.0
"""Longest time that the thread may take for a piece of work [s]."""

T = TypeVar("T")


class Server:
    """Devices that answer; made by :func:`serving`. Only its thread touches them: others hand it work."""

    def __init__(self, devices: Sequence[Emulated], *, host: str, allow: tuple[str, ...] | None) -> None:
        self.devices = tuple(devices)
        self.heard = threading.Event()
        """Set once somebody has asked one of the devices for anything."""
        self._stations = _stations(devices, host=host, allow=allow)
        self._started: Future[dict[str, int]] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="emulated devices", daemon=True)

    def start(self) -> dict[str, int]:
        """Start the thread and return the port of each device by name.

        Raises:
            RunError: an address or a port cannot be used.
        """
        self._thread.start()
        try:
            return self._started.result(_PATIENCE_S)
        except HilError as error:
            raise RunError(f"emulated devices: {error}") from error
        except TimeoutError:
            raise RunError(
                f"emulated devices: the server did not start within {_PATIENCE_S:g} s; try again on a less busy machine"
            ) from None

    def do(self, work: Callable[[float], T]) -> T:
        """Return ``work(now_s)``, done between two requests by the thread that serves; ``now_s`` is its clock [s].

        Raises:
            RunError: the thread has ended or does not answer.
        """
        loop = self._loop
        if loop is None or self._failed is not None or not self._thread.is_alive():
            raise RunError(
                f"emulated devices: the server has ended ({self._failed}); run again"
            ) from self._failed
        done: Future[T] = Future()
        try:
            loop.call_soon_threadsafe(_fulfil, done, work)
            return done.result(_PATIENCE_S)
        except HilError as error:
            raise RunError(f"emulated devices: {error}") from error
        except TimeoutError:
            raise RunError(
                f"emulated devices: no answer within {_PATIENCE_S:g} s; use fewer clients or a less busy machine"
            ) from None

    def stop(self) -> None:
        """End the thread; open connections are closed."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it ended in between
                loop.call_soon_threadsafe(stop.set)
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (HilError, OSError) as error:
            self._failed = error
            if not self._started.done():
                self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with served([station for station, _ in self._stations]) as ports:
            pairs = zip(self._stations, ports, strict=True)
            self._started.set_result({name: port for (_, names), port in pairs for name in names})
            while not self._stop.is_set():
                await self._tick(self._stop)

    async def _tick(self, stop: asyncio.Event) -> None:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(_TICK_S):
                await stop.wait()
        except TimeoutError:
            now_s = time.monotonic()
            for device in self.devices:
                device.tick(now_s - began_s)
            if any(device.request_age_s(now_s) < float("inf") for device in self.devices):
                self.heard.set()


@contextmanager
def serving(
    devices: Sequence[Emulated], *, host: str, allow: Sequence[str]
) -> Iterator[tuple[Server, dict[str, int]]]:
    """Serve within the block; gives the server and the port of each device by name.

    Raises:
        RunError: an address or a port cannot be used.
    """
    server = Server(devices, host=host, allow=tuple(allow) if allow else None)
    try:
        yield server, server.start()
    finally:
        server.stop()


def _fulfil(done: "Future[T]", work: Callable[[float], T]) -> None:
    try:
        done.set_result(work(time.monotonic()))
    except (HilError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        done.set_exception(error)


def _stations(
    devices: Sequence[Emulated], *, host: str, allow: tuple[str, ...] | None
) -> list[tuple[Station, tuple[str, ...]]]:
    """Return the ports to serve, each with the names of the devices behind it."""
    groups: dict[int | str, list[Emulated]] = {}
    for device in devices:
        groups.setdefault(device.slot.server, []).append(device)
    return [
        (
            Station(
                banks={device.slot.unit: device.bank for device in group},
                host=host,
                port=group[0].slot.port,
                allow=allow,
                faults=group[0].faults,
            ),
            tuple(device.slot.name for device in group),
        )
        for group in groups.values()
    ]
