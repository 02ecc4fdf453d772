"""Peers for tests of the wire: a plain bank, a server that says what a test wants, programs of others."""

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from outside import program

from hil_adapters.errors import HilError
from hil_adapters.wire.base import Direction, Peer, Table
from hil_adapters.wire.codes import ExceptionCode, Refusal

EXAMPLES = Path("/usr/share/doc/libmodbus-dev/examples")
PATIENCE_S = 15.0


@dataclass
class PlainBank:
    """Units whose tables hold ``size`` zeros from ``start`` on; other addresses are refused."""

    units: Sequence[int] = (1,)
    start: int = 0
    size: int = 65536
    writes: list[tuple[int, Table, int, list[int], bool]] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    cells: dict[tuple[int, Table, int], int] = field(default_factory=dict)

    def has_unit(self, unit: int) -> bool:
        return unit in self.units

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        self._check(address, count)
        return [self.cells.get((unit, table, at), 0) for at in range(address, address + count)]

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        self._check(address, len(values))
        self.writes.append((unit, table, address, values, single))
        self.peers.append(peer)
        self.put(unit, table, address, values)

    def put(self, unit: int, table: Table, address: int, values: Sequence[int]) -> None:
        for at, value in enumerate(values, start=address):
            self.cells[unit, table, at] = value

    def _check(self, address: int, count: int) -> None:
        if not self.start <= address <= address + count <= self.start + self.size:
            raise Refusal(ExceptionCode.ADDRESS)


class AddressBank(PlainBank):
    """Registers hold their own address until they are written, so that a misattributed answer shows."""

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        mask = 1 if table in {Table.COIL, Table.DISCRETE} else 0xFFFF
        return [self.cells.get((unit, table, at), at & mask) for at in range(address, address + count)]


@dataclass
class Frames:
    """An observer that keeps what it is given."""

    seen: list[tuple[Direction, bytes]] = field(default_factory=list)

    def __call__(self, direction: Direction, frame: bytes, at_ns: int) -> None:
        assert at_ns > 0
        self.seen.append((direction, frame))

    def of(self, direction: Direction) -> list[bytes]:
        return [frame for way, frame in self.seen if way is direction]


@dataclass(frozen=True)
class Say:
    """Bytes to send, after a pause."""

    data: bytes
    after_s: float = 0.0


@dataclass(frozen=True)
class End:
    """End of a connection by FIN, or by RST."""

    reset: bool = False


Reply = Callable[[bytes], Sequence[Say | End]]


class _Script:
    """Conversations of a scripted server."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.talks: set[asyncio.Task[None] | None] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.writers: list[asyncio.StreamWriter] = []

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.talks.add(asyncio.current_task())
        self.writers.append(writer)
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readexactly(6)
                request = head + await reader.readexactly(struct.unpack_from(">H", head, 4)[0])
                self.tasks.add(asyncio.create_task(self.say(writer, self.reply(request))))
        writer.close()

    async def say(self, writer: asyncio.StreamWriter, parts: Sequence[Say | End]) -> None:
        for part in parts:
            if isinstance(part, Say):
                await asyncio.sleep(part.after_s)
                if writer.is_closing():
                    return
                writer.write(part.data)
            elif part.reset:
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()

    async def end(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()
        # a conversation ends by itself with its connection
        talks = [talk for talk in self.talks if talk is not None]
        await asyncio.gather(*self.tasks, *talks, return_exceptions=True)


@asynccontextmanager
async def scripted_server(reply: Reply) -> AsyncIterator[int]:
    """Serve Modbus TCP without any library: ``reply`` gets each request (ADU) and says what is sent."""
    script = _Script(reply)
    server = await asyncio.start_server(script.converse, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await script.end()


async def outcome(asked: Awaitable[bytes]) -> bytes | HilError:
    """Return the answer of a request, or its error."""
    try:
        return await asked
    except HilError as error:
        return error


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true"
        await asyncio.sleep(0.005)


def until_sync(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, outside an event loop."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true"
        time.sleep(0.005)


async def run_program(*command: str, stdin: bytes | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program of others beside the event loop; return everything it prints, and its exit code last."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=None if env is None else os.environ | env,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            printed, _ = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return f"{printed.decode(errors='replace')}\nexit code {process.returncode}"


@contextmanager
def started(*command: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block lasts."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=None if env is None else os.environ | env,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def pty_pair(folder: Path) -> Iterator[tuple[str, str]]:
    """Join two pseudo-terminals; return their paths."""
    ends = folder / "line_a", folder / "line_b"
    with started(program("socat"), *(f"pty,raw,echo=0,link={end}" for end in ends)):
        until_sync(lambda: all(end.exists() for end in ends))
        yield str(ends[0]), str(ends[1])


def free_port() -> int:
    """Return a port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def libmodbus_example(name: str, folder: Path) -> str:
    """Compile one of libmodbus' own test programs; it takes PORT and LINE from its environment."""
    compiler = program("gcc")
    source = EXAMPLES / f"{name}.c"
    if not source.exists():
        program(f"libmodbus-dev, whose {source}")
    text = source.read_text()
    text = text.replace('("127.0.0.1", 1502)', '("127.0.0.1", atoi(getenv("PORT")))')
    for line in ('"/dev/ttyUSB0"', '"/dev/ttyUSB1"'):
        text = text.replace(line, 'getenv("LINE")')
    (folder / f"{name}.c").write_text(text)
    shutil.copy(EXAMPLES / "unit-test.h", folder)
    target = folder / name
    flags = ["-w", "-I/usr/include/modbus", "-include", "stdlib.h", "-o", str(target)]
    subprocess.run([compiler, str(folder / f"{name}.c"), *flags, "-lmodbus"], check=True)
    return str(target)
