"""What a read of 40 holding registers costs the server and the client, and what 200 devices at 1 Hz cost one process."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from pymodbus.client import AsyncModbusTcpClient

from hil_adapters.wire.base import ModbusLink, Table, TcpTarget
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values

REGISTERS = 40
READS = 4000
DEVICES = 200
LIVE_S = 8
READ = read_request(Table.HOLDING, 1000, REGISTERS)

SERVER = """
import asyncio, json, sys, time
from hil_adapters.wire.server import ModbusServer

class Bank:
    def __init__(self):
        self.registers = list(range(65536))
    def has_unit(self, unit):
        return unit == 1
    def read(self, unit, table, address, count):
        return self.registers[address:address + count]
    def write(self, unit, table, address, values, *, peer, single):
        self.registers[address:address + len(values)] = values

async def main():
    server = ModbusServer(Bank())
    print(await server.start(), flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        report = {"cpu_s": time.process_time(), "requests": server.statistics.requests}
        print(json.dumps(report), flush=True)
    await server.stop()

asyncio.run(main())
"""


@dataclass
class Server:
    """A server in a process of its own, so that its processor time is its own."""

    process: subprocess.Popen[str]
    port: int

    def report(self) -> tuple[float, int]:
        """Return its processor time [s] and the requests it has served."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        return told["cpu_s"], told["requests"]


@contextmanager
def server() -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Server(process, int(process.stdout.readline()))
        process.stdin.close()


async def our_reads(port: int, n: int) -> float:
    """Return our client's processor time per read [s]."""
    link = open_link(TcpTarget(host="127.0.0.1", port=port))
    await link.open()
    started_s = time.process_time()
    for _ in range(n):
        read_values(READ, await link.request(1, READ, timeout_s=5))
    cpu_s = time.process_time() - started_s
    await link.close()
    return cpu_s / n


async def pymodbus_reads(port: int, n: int) -> float:
    """Return pymodbus' processor time per read [s]."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    started_s = time.process_time()
    for _ in range(n):
        answer = await client.read_holding_registers(1000, count=REGISTERS, device_id=1)
        assert len(answer.registers) == REGISTERS
    cpu_s = time.process_time() - started_s
    client.close()
    return cpu_s / n


@pytest.mark.bench
def test_a_read_of_40_registers_costs_the_server_less_than_150_us() -> None:
    with server() as peer:
        asyncio.run(our_reads(peer.port, READS // 10))
        before_s, n_before = peer.report()
        client_s = asyncio.run(our_reads(peer.port, READS))
        after_s, n_after = peer.report()
        theirs_s = asyncio.run(pymodbus_reads(peer.port, READS // 4))
    server_s = (after_s - before_s) / (n_after - n_before)
    print(f"\nprocessor time per read of {REGISTERS} registers: server {server_s * 1e6:.0f} us")
    print(f"client {client_s * 1e6:.0f} us, pymodbus' client {theirs_s * 1e6:.0f} us")
    assert server_s < 150e-6
    assert client_s < 0.8 * theirs_s


async def polled(link: ModbusLink, start_s: float, late_s: list[float]) -> None:
    """Read once a second at absolute times."""
    for k in range(LIVE_S):
        due_s = start_s + k
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        read_values(READ, await link.request(1, READ, timeout_s=5))
        late_s.append(time.monotonic() - due_s)


async def fleet(port: int) -> tuple[float, list[float]]:
    links = [open_link(TcpTarget(host="127.0.0.1", port=port)) for _ in range(DEVICES)]
    for link in links:
        await link.open()
    late_s: list[float] = []
    cpu_s, begun_s = time.process_time(), time.monotonic()
    start_s = begun_s + 0.05
    await asyncio.gather(*(polled(link, start_s + i / DEVICES, late_s) for i, link in enumerate(links)))
    share = (time.process_time() - cpu_s) / (time.monotonic() - begun_s)
    for link in links:
        await link.close()
    return share, sorted(late_s)


@pytest.mark.bench
def test_200_devices_at_1_hz_need_less_than_a_quarter_of_a_core() -> None:
    with server() as peer:
        share, late_s = asyncio.run(fleet(peer.port))
    p50_s, p99_s = late_s[len(late_s) // 2], late_s[int(len(late_s) * 0.99)]
    print(f"\n{DEVICES} links x 1 Hz x {REGISTERS} registers: {100 * share:.1f} % of a core")
    print(f"from due to answered: median {p50_s * 1e3:.2f} ms, 99 % within {p99_s * 1e3:.1f} ms")
    assert len(late_s) == DEVICES * LIVE_S
    assert share < 0.25
