"""The socket of a guardian: one connection that feeds it, any number that control it, all of the same user."""

import asyncio
import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import Protocol

from hil_adapters.errors import GuardError, GuardianError, HilError
from hil_adapters.guard.encoding import HEADER_BYTES, Message, body_length, pack, unpack

__all__ = ["Caller", "Desk", "GuardSocket"]

_SOCKET_MODE = 0o600
_IDLE_BYTES = 1 << 20
_CLOSED_S = 1.0
"""How long a connection may take to give its last bytes away [s]."""


class Caller:
    """Who asks on a connection."""

    def __init__(self, who: str) -> None:
        self.who = who
        """User and process, as the system says."""


class Desk(Protocol):
    """What answers."""

    async def answer(self, message: Message, caller: Caller) -> Message:
        """Return the answer to a request; ``HilError`` where it is refused."""
        ...

    def left(self, caller: Caller) -> None:
        """A connection has ended."""
        ...


class GuardSocket:
    """Serves a desk on a Unix socket."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._path = path
        self._desk = desk
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[object], asyncio.StreamWriter] = {}
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Listen; ``GuardianError`` where that is not possible."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            # the folder is closed to others already; this closes the time between bind and chmod as well
            self._path.chmod(_SOCKET_MODE)
            self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_IDLE_BYTES)
        except OSError as error:
            listener.close()
            raise GuardianError(f"{self._path}: the guardian cannot listen there: {error}") from error

    async def drain(self, timeout_s: float) -> None:
        """Wait until every request that has come is answered, ``timeout_s`` [s] at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def stop(self) -> None:
        """Close the socket and every connection that is left, also those whose other end does not read."""
        if self._server is not None:
            self._server.close()
        for writer in self._connections.values():
            writer.close()
        if self._connections:
            await asyncio.wait(self._connections, timeout=_CLOSED_S)
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections[task] = writer
            task.add_done_callback(self._connections.pop)
        caller = Caller(_who(writer))
        try:
            while True:
                body = await reader.readexactly(body_length(await reader.readexactly(HEADER_BYTES)))
                self._began()
                try:
                    writer.write(pack(await self._answer(body, caller)))
                    await writer.drain()
                finally:
                    self._ended()
        except (asyncio.IncompleteReadError, OSError, GuardianError):
            # gone, or no client of ours; either way nothing more can be understood from it
            pass
        finally:
            self._desk.left(caller)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _began(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _ended(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self._idle.set()

    async def _answer(self, body: bytes, caller: Caller) -> Message:
        try:
            return await self._desk.answer(unpack(body), caller)
        except HilError as error:
            return {"error": str(error), "class": type(error).__name__}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return {"error": f"the request has another form than expected: {error!r}", "class": "GuardError"}


def _who(writer: asyncio.StreamWriter) -> str:
    """Return user and process at the other end, where the system tells them."""
    connection = writer.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)
    if connection is None or option is None:
        return f"uid {os.getuid()}"
    pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, 12))
    if uid not in {os.getuid(), 0}:
        raise GuardError(f"user {uid} is not the one who started this guardian")
    return f"uid {uid} pid {pid}"
