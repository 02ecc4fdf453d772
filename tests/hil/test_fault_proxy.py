"""The proxy: transparent without faults, between framings and lines, with faults of values, and as a command."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from modbus_peers import pty_pair, run_program
from outside import program

from hil_adapters.errors import ExceptionReplyError, LinkError, LinkLostError, LinkTimeoutError
from hil_adapters.faults.catalogue import Fault
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.proxy import FaultProxy, SerialFaultProxy
from hil_adapters.faults.rules import script_from
from hil_adapters.faults.running import ProxyWanted, RunningProxy
from hil_adapters.wire.base import (
    ModbusLink,
    Peer,
    RtuOverTcpTarget,
    SerialTarget,
    Table,
    Target,
    TcpTarget,
)
from hil_adapters.wire.codes import Refusal
from hil_adapters.wire.framing import rtu_frame
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import (
    mask_request,
    read_request,
    read_values,
    read_write_request,
    write_request,
)
from hil_adapters.wire.server import Framing, ModbusServer
from hil_adapters.wire.targets import parse_target

ELSEWHERE: dict[str, object] = {"fault": "silent", "addresses": [60000]}
TIMEOUT_S = 10.0


class Registers:
    """Registers and bits 0 to 999, each at first its own address (bits: its parity)."""

    def __init__(self) -> None:
        self.held = {
            table: [at % 2 if table in {Table.COIL, Table.DISCRETE} else at for at in range(1000)]
            for table in Table
        }

    def has_unit(self, unit: int) -> bool:
        return unit == 1

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        if address + count > 1000:
            raise Refusal(2)
        return self.held[table][address : address + count]

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        if address + len(values) > 1000:
            raise Refusal(2)
        self.held[table][address : address + len(values)] = values


def plan_of(*rules: dict[str, object], framing: Framing = Framing.TCP) -> FaultPlan:
    return FaultPlan(script_from(list(rules), where="test"), framing=framing)


async def with_proxy(
    plan: FaultPlan,
    use: Callable[[ModbusLink, Registers], Awaitable[None]],
    *,
    behind: Framing = Framing.TCP,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Give ``use`` a link to a proxy before a device."""
    registers = Registers()
    server = ModbusServer(registers, framing=behind)
    device_port = await server.start()
    device: Target = TcpTarget(host="127.0.0.1", port=device_port)
    if behind is Framing.RTU:
        device = RtuOverTcpTarget(host="127.0.0.1", port=device_port)
    async with FaultProxy(device, plan, timeout_s=timeout_s) as proxy:
        front: Target = TcpTarget(host="127.0.0.1", port=proxy.port)
        if plan.framing is Framing.RTU:
            front = RtuOverTcpTarget(host="127.0.0.1", port=proxy.port)
        link = open_link(front)
        try:
            await link.open()
            await use(link, registers)
        finally:
            await link.close()
    await server.stop()


async def read(link: ModbusLink, address: int, count: int = 1, table: Table = Table.HOLDING) -> list[int]:
    request = read_request(table, address, count)
    return read_values(request, await link.request(1, request, timeout_s=TIMEOUT_S))


async def write(link: ModbusLink, address: int, *values: int, table: Table = Table.HOLDING) -> None:
    request = write_request(table, address, values, single=len(values) == 1)
    await link.request(1, request, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("front", list(Framing))
@pytest.mark.parametrize("behind", list(Framing))
def test_without_a_fault_that_fits_the_proxy_is_not_there(front: Framing, behind: Framing) -> None:
    async def use(link: ModbusLink, registers: Registers) -> None:
        for table in Table:
            assert await read(link, 5, 12, table) == registers.held[table][5:17]
        await write(link, 30, 7)
        await write(link, 31, 8, 9)
        await write(link, 40, 1, table=Table.COIL)
        await write(link, 41, 0, 1, 1, table=Table.COIL)
        await link.request(1, mask_request(32, and_mask=0x00F0, or_mask=0x0001), timeout_s=TIMEOUT_S)
        both = read_write_request(30, 2, write_address=50, values=[3, 4])
        assert read_values(both, await link.request(1, both, timeout_s=TIMEOUT_S)) == [7, 8]
        assert registers.held[Table.HOLDING][30:33] == [7, 8, 1]
        assert registers.held[Table.HOLDING][50:52] == [3, 4]
        assert registers.held[Table.COIL][40:44] == [1, 0, 1, 1]
        with pytest.raises(ExceptionReplyError) as refused:
            await read(link, 999, 2)
        assert refused.value.code == 2

    asyncio.run(with_proxy(plan_of(ELSEWHERE, framing=front), use, behind=behind))


def test_pipelined_requests_are_answered_in_order() -> None:
    async def run() -> list[int]:
        server = ModbusServer(Registers())
        target = TcpTarget(host="127.0.0.1", port=await server.start())
        async with FaultProxy(target, plan_of(ELSEWHERE)) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            requests = b"".join(
                bytes.fromhex(f"{number:04X} 0000 0006 01 03 {number:04X} 0001") for number in range(1, 9)
            )
            # cut at an odd place: frames must not depend on packets
            writer.write(requests[:31])
            await writer.drain()
            writer.write(requests[31:])
            answers = await reader.readexactly(8 * 11)
            writer.close()
            await writer.wait_closed()
        await server.stop()
        return [int.from_bytes(answers[at + 9 : at + 11], "big") for at in range(0, len(answers), 11)]

    assert asyncio.run(run()) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_late_answer_does_not_hold_up_the_ones_after_it() -> None:
    async def run() -> list[int]:
        server = ModbusServer(Registers())
        target = TcpTarget(host="127.0.0.1", port=await server.start())
        plan = plan_of({"fault": "late", "addresses": [1], "parameters": {"delay_s": 0.3}})
        async with FaultProxy(target, plan) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            for number in (1, 2, 3):
                writer.write(bytes.fromhex(f"{number:04X} 0000 0006 01 03 {number:04X} 0001"))
            answers = await reader.readexactly(3 * 11)
            writer.close()
            await writer.wait_closed()
        await server.stop()
        return [int.from_bytes(answers[at + 9 : at + 11], "big") for at in range(0, len(answers), 11)]

    assert asyncio.run(run()) == [2, 3, 1]


def test_values_are_spoiled_on_their_way() -> None:
    plan = plan_of(
        {"fault": "missing_value", "addresses": ["10-11"]},
        {"fault": "scale_change", "addresses": [20]},
        {"fault": "frozen", "addresses": [30], "functions": [3]},
        {"fault": "map_shift", "addresses": [40], "parameters": {"by": 5}},
        {"fault": "map_shift", "addresses": [50], "parameters": {"by": -100}},
        {"fault": "frozen", "addresses": [60], "tables": ["coil"]},
    )

    async def use(link: ModbusLink, registers: Registers) -> None:
        assert await read(link, 9, 4) == [9, 0x8000, 0, 12]
        assert await read(link, 20) == [21]
        assert await read(link, 30) == [30]
        registers.held[Table.HOLDING][30] = 99
        assert await read(link, 30) == [30]
        assert await read(link, 30, table=Table.INPUT) == [30]
        assert await read(link, 40, 2) == [45, 46]
        with pytest.raises(ExceptionReplyError):
            await read(link, 50)
        assert await read(link, 58, 5, Table.COIL) == [0, 1, 0, 1, 0]
        registers.held[Table.COIL][58:63] = [1, 1, 1, 1, 1]
        assert await read(link, 58, 5, Table.COIL) == [1, 1, 0, 1, 1]

    asyncio.run(with_proxy(plan, use))


def test_writes_are_ignored_and_a_second_master_writes_through_the_proxy() -> None:
    plan = plan_of(
        {"fault": "ignored_write", "addresses": ["70-79"]},
        {"fault": "second_master", "addresses": ["80-81"], "parameters": {"value": 55, "every_s": 1000}},
    )

    async def use(link: ModbusLink, registers: Registers) -> None:
        await write(link, 70, 1)
        await write(link, 71, 1, 2)
        await write(link, 79, 1, 2)
        assert registers.held[Table.HOLDING][70:82] == [70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 55, 55]
        assert plan.counts == {Fault.IGNORED_WRITE: 3, Fault.SECOND_MASTER: 1}

    asyncio.run(with_proxy(plan, use))


def test_a_device_that_is_gone_ends_the_connection_of_the_client() -> None:
    async def run() -> None:
        server = ModbusServer(Registers())
        port = await server.start()
        await server.stop()
        async with FaultProxy(TcpTarget(host="127.0.0.1", port=port), plan_of(ELSEWHERE)) as proxy:
            link = open_link(TcpTarget(host="127.0.0.1", port=proxy.port))
            await link.open()
            with pytest.raises(LinkLostError):
                await read(link, 1)
            await link.close()

    asyncio.run(run())


def test_a_device_that_is_silent_makes_the_proxy_silent() -> None:
    async def use(link: ModbusLink, registers: Registers) -> None:
        # the device has no unit 9 and says nothing on RTU
        with pytest.raises(LinkTimeoutError):
            await link.request(9, read_request(Table.HOLDING, 1, 1), timeout_s=0.6)
        assert await read(link, 1) == [1]

    asyncio.run(with_proxy(plan_of(ELSEWHERE), use, behind=Framing.RTU, timeout_s=0.2))


def test_each_client_has_its_own_connection_and_one_may_be_refused() -> None:
    async def use(link: ModbusLink, registers: Registers) -> None:
        assert await read(link, 1) == [1]
        second = open_link(link.target)
        try:
            await second.open()
        except LinkLostError:
            assert not second.is_open
        else:
            with pytest.raises(LinkLostError):
                await read(second, 1)
        await second.close()
        assert await read(link, 2) == [2]

    asyncio.run(with_proxy(plan_of({"fault": "one_client"}), use))


@pytest.mark.parametrize(
    ("allow", "is_let_in"),
    [(None, True), (["127.0.0.0/8"], True), (["192.0.2.0/24"], False), ([], False)],
    ids=["this machine", "its network", "another network", "nobody"],
)
def test_only_listed_addresses_may_connect(allow: list[str] | None, *, is_let_in: bool) -> None:
    async def run() -> bool:
        server = ModbusServer(Registers())
        target = TcpTarget(host="127.0.0.1", port=await server.start())
        async with FaultProxy(target, plan_of(ELSEWHERE), allow=allow) as proxy:
            link = open_link(TcpTarget(host="127.0.0.1", port=proxy.port))
            try:
                await link.open()
                await read(link, 1)
            except LinkLostError:
                answered = False
            else:
                answered = True
            await link.close()
        await server.stop()
        return answered

    assert asyncio.run(run()) is is_let_in


def test_a_port_in_use_is_told() -> None:
    async def run() -> None:
        server = ModbusServer(Registers())
        port = await server.start()
        proxy = FaultProxy(TcpTarget(host="127.0.0.1", port=port), plan_of(ELSEWHERE), port=port)
        with pytest.raises(LinkLostError, match="choose another port"):
            await proxy.start()
        await proxy.stop()
        await server.stop()

    asyncio.run(run())


def test_a_serial_line_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        line = SerialTarget(path=str(tmp_path / "none"))
        proxy = SerialFaultProxy(
            TcpTarget(host="127.0.0.1", port=1), plan_of(ELSEWHERE, framing=Framing.RTU), line=line
        )
        with pytest.raises(LinkLostError, match="check the path"):
            await proxy.start()
        await proxy.stop()

    asyncio.run(run())


async def mbpoll(*arguments: str) -> str:
    """Run mbpoll once; return all it says, and its exit code last."""
    return await run_program(program("mbpoll"), "-1", "-0", "-q", "-o", "3", *arguments)


def test_mbpoll_on_a_serial_line_reads_a_tcp_device_through_the_proxy_and_meets_its_faults(
    tmp_path: Path,
) -> None:
    plan = plan_of({"fault": "exception", "addresses": [200], "parameters": {"code": 6}}, framing=Framing.RTU)

    async def run(front: str, client: str) -> tuple[str, str]:
        server = ModbusServer(Registers())
        target = TcpTarget(host="127.0.0.1", port=await server.start())
        line = SerialTarget(path=front, baudrate=19200)
        async with SerialFaultProxy(target, plan, line=line):
            common = ("-m", "rtu", "-b", "19200", "-P", "even", "-a", "1", "-t", "4")
            good = await mbpoll(*common, "-r", "100", "-c", "3", client)
            struck = await mbpoll(*common, "-r", "200", "-c", "1", client)
        await server.stop()
        return good, struck

    with pty_pair(tmp_path) as ends:
        good, struck = asyncio.run(run(*ends))
    assert good.endswith("exit code 0")
    for value in ("100", "101", "102"):
        assert f"[{value}]: \t{value}" in good
    assert not struck.endswith("exit code 0")
    assert "busy" in struck.lower()


def test_mbpoll_writes_and_reads_over_tcp_through_the_proxy() -> None:
    async def run() -> tuple[str, list[int]]:
        registers = Registers()
        server = ModbusServer(registers)
        target = TcpTarget(host="127.0.0.1", port=await server.start())
        async with FaultProxy(target, plan_of(ELSEWHERE)) as proxy:
            out = await mbpoll(
                "-m", "tcp", "-p", str(proxy.port), "-a", "1", "-t", "4", "-r", "5", "127.0.0.1", "77", "78"
            )
        await server.stop()
        return out, registers.held[Table.HOLDING][5:7]

    out, held = asyncio.run(run())
    assert out.endswith("exit code 0")
    assert held == [77, 78]


def test_what_the_device_itself_answers_wrongly_ends_the_connection_of_the_client() -> None:
    async def run() -> None:
        server = ModbusServer(Registers(), faults=plan_of({"fault": "wrong_unit", "addresses": [7]}))
        target = TcpTarget(host="127.0.0.1", port=await server.start())
        async with FaultProxy(target, plan_of(ELSEWHERE)) as proxy:
            link = open_link(TcpTarget(host="127.0.0.1", port=proxy.port))
            await link.open()
            with pytest.raises(LinkLostError):
                await read(link, 7)
            await link.open()
            assert await read(link, 8) == [8]
            await link.close()
        await server.stop()

    asyncio.run(run())


def test_a_second_master_that_the_device_refuses_does_not_disturb_the_client() -> None:
    async def use(link: ModbusLink, registers: Registers) -> None:
        assert await read(link, 1) == [1]

    asyncio.run(with_proxy(plan_of({"fault": "second_master", "addresses": [5000]}), use))


def test_bytes_that_are_no_frame_end_a_tcp_connection_and_nothing_else() -> None:
    async def use(link: ModbusLink, registers: Registers) -> None:
        assert isinstance(link.target, TcpTarget)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.target.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert await read(link, 1) == [1]

    asyncio.run(with_proxy(plan_of(ELSEWHERE), use))


def test_over_rtu_silence_ends_what_is_no_frame_and_a_frame_in_pieces_is_one() -> None:
    async def use(link: ModbusLink, registers: Registers) -> None:
        assert isinstance(link.target, RtuOverTcpTarget)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.target.port)
        whole = rtu_frame(1, read_request(Table.HOLDING, 3, 1))
        expected = rtu_frame(1, bytes.fromhex("03 02 0003"))
        writer.write(whole[:3])
        await writer.drain()
        # the server takes both parts: the first cannot be told from a frame that is under way
        writer.write(whole[3:])
        assert await reader.readexactly(len(expected)) == expected
        # a broadcast and a frame with a wrong check sum get no answer; the next frame does
        writer.write(rtu_frame(0, write_request(Table.HOLDING, 3, [9], single=True)))
        writer.write(whole[:-1] + bytes([whole[-1] ^ 0xFF]))
        await writer.drain()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        writer.write(whole)
        assert await reader.readexactly(len(expected)) == expected
        writer.write(whole[:3])
        writer.close()
        await writer.wait_closed()
        assert registers.held[Table.HOLDING][3] == 3

    asyncio.run(with_proxy(plan_of(ELSEWHERE, framing=Framing.RTU), use))


def test_a_proxy_on_a_line_runs_until_the_line_is_lost_or_it_is_cancelled(tmp_path: Path) -> None:
    async def run(front: str, client: str) -> None:
        server = ModbusServer(Registers())
        target = f"127.0.0.1:{await server.start()}"
        running = RunningProxy(
            ProxyWanted(target=target, listen=f"rtu:{front}"), script_from([ELSEWHERE], where="test")
        )
        ready = asyncio.Event()
        task = asyncio.create_task(running.run(lambda _: ready.set()))
        await ready.wait()
        link = open_link(SerialTarget(path=client))
        await link.open()
        assert await read(link, 6) == [6]
        await link.close()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert running.counts == {}
        await server.stop()

    with pty_pair(tmp_path) as ends:
        asyncio.run(run(*ends))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("192.168.1.5", TcpTarget(host="192.168.1.5", port=502)),
        ("inverter.local:1502", TcpTarget(host="inverter.local", port=1502)),
        ("tcp://10.0.0.1:802", TcpTarget(host="10.0.0.1", port=802)),
        ("[fe80::1]:502", TcpTarget(host="fe80::1", port=502)),
        ("[::1]", TcpTarget(host="::1", port=502)),
        ("rtu+tcp://10.0.0.1:4001", RtuOverTcpTarget(host="10.0.0.1", port=4001)),
        ("rtu:/dev/ttyUSB0@9600", SerialTarget(path="/dev/ttyUSB0", baudrate=9600)),
        ("rtu:COM3", SerialTarget(path="COM3", baudrate=19200)),
    ],
    ids=str,
)
def test_a_target_is_read_as_it_is_written(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    ["", ":502", "host:", "host:0", "host:65536", "host:x", "rtu+tcp://host", "rtu:", "rtu:@9600", "rtu:x@fast",
     "http://host:80", "::1", "rtu:x@0"],
)  # fmt: skip
def test_what_names_no_target_is_told(text: str) -> None:
    with pytest.raises(LinkError, match="names no device"):
        parse_target(text)


def test_a_running_proxy_refuses_what_it_cannot_understand() -> None:
    script = script_from([ELSEWHERE], where="test")
    with pytest.raises(LinkError, match="no place to listen"):
        RunningProxy(ProxyWanted(target="127.0.0.1:502", listen="127.0.0.1:1502"), script)
    with pytest.raises(LinkError, match="--allow"):
        RunningProxy(ProxyWanted(target="127.0.0.1:502", listen="0", allow=["lab"]), script)


COMMAND = """
import typer
from twin.cli.device_proxy import proxy_command
app = typer.Typer()
app.command()(proxy_command)
app()
"""


def start_command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )


def json_of(stream: Iterator[str]) -> dict[str, object]:
    """Read one object that is written over several lines."""
    text = ""
    for line in stream:
        text += line
        if line.startswith("}"):
            break
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def test_the_command_serves_until_it_is_interrupted_and_counts_what_it_injected(tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("rules:\n  - {fault: exception, addresses: [3]}\n", encoding="utf-8")

    async def run() -> dict[str, object]:
        server = ModbusServer(Registers())
        device = f"127.0.0.1:{await server.start()}"
        loop = asyncio.get_running_loop()
        with start_command(device, "--listen", "0", "--faults", str(faults), "--json") as command:
            try:
                assert command.stdout is not None
                told = await loop.run_in_executor(None, json_of, iter(command.stdout))
                link = open_link(parse_target(str(told["listen"])))
                await link.open()
                assert await read(link, 4) == [4]
                with pytest.raises(ExceptionReplyError):
                    await read(link, 3)
                await link.close()
                command.send_signal(signal.SIGINT)
                counted = await loop.run_in_executor(None, json_of, iter(command.stdout))
                assert await loop.run_in_executor(None, command.wait, 30) == 0
            finally:
                command.kill()
        await server.stop()
        return counted

    assert asyncio.run(run()) == {"injected": {"exception": 1}}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["host:0"], "names no device"),
        (["127.0.0.1:502", "--host", "192.0.2.1"], "--allow"),
        (["127.0.0.1:502", "--listen", "here"], "no place to listen"),
    ],
    ids=["no target", "beyond this machine", "no place"],
)
def test_the_command_refuses_bad_input_in_one_line(arguments: list[str], text: str, tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("rules:\n  - {fault: silent}\n", encoding="utf-8")
    with start_command(*arguments, "--faults", str(faults)) as command:
        _, err = command.communicate(timeout=60)
    assert command.returncode == 2
    assert err.startswith("error: ")
    assert text in err
