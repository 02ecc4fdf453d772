"""Programs and libraries that other people wrote, against our server and our client."""

import asyncio
import re
import struct
from typing import ClassVar

import minimalmodbus
import pytest
from modbus_peers import (
    AddressBank,
    Frames,
    PlainBank,
    free_port,
    libmodbus_example,
    outcome,
    pty_pair,
    run_program,
    started,
    until,
)
from outside import program
from pymodbus.client import AsyncModbusTcpClient
from pyModbusTCP.server import DataBank
from pyModbusTCP.server import ModbusServer as PyModbusTcpServer

from hil_adapters.errors import (
    ExceptionReplyError,
    LinkTimeoutError,
    ProtocolViolationError,
)
from hil_adapters.wire.base import Direction, Send, SerialTarget, Table, TcpTarget
from hil_adapters.wire.codes import ExceptionCode, Refusal
from hil_adapters.wire.framing import mbap_frame, rtu_frame
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import mask_request, read_request, read_values, read_write_request, write_request
from hil_adapters.wire.server import Framing, ModbusServer, SerialServer

BITS, INPUT_BITS, REGISTERS, INPUTS = (0x130, 0x25), (0x1C4, 0x16), (0x160, 0x20), (0x108, 1)
"""Tables of libmodbus' unit tests (unit-test.h): first address and size."""
SPECIAL, WRONG_TRANSACTION, SLOW, BYTE_BY_BYTE = 0x170, 0x171, 0x172, 0x173


class UnitTestBank(PlainBank):
    """The tables that libmodbus' unit tests want to see."""

    spans: ClassVar = {
        Table.COIL: BITS,
        Table.DISCRETE: INPUT_BITS,
        Table.HOLDING: REGISTERS,
        Table.INPUT: INPUTS,
    }

    def __init__(self, units):
        super().__init__(units=units)
        bits = int.from_bytes(bytes((0xAC, 0xDB, 0x35)), "little")
        for unit in units:
            self.put(unit, Table.DISCRETE, INPUT_BITS[0], [bits >> i & 1 for i in range(INPUT_BITS[1])])
            self.put(unit, Table.INPUT, INPUTS[0], [10])

    def read(self, unit, table, address, count):
        self.check_span(table, address, count)
        return super().read(unit, table, address, count)

    def write(self, unit, table, address, values, *, peer, single):
        self.check_span(table, address, len(values))
        if single and (table, address) in {(Table.COIL, BITS[0] + 2), (Table.HOLDING, SPECIAL)}:
            raise Refusal(ExceptionCode.VALUE)
        super().write(unit, table, address, values, peer=peer, single=single)

    def check_span(self, table, address, count):
        start, size = self.spans[table]
        if not start <= address <= address + count <= start + size:
            raise Refusal(ExceptionCode.ADDRESS)


class UnitTestOddities:
    """What libmodbus' unit test server does on purpose, as a fault layer; and function 17, which we do not speak."""

    def __init__(self, framing):
        self.head = 1 if framing is Framing.RTU else 7

    def refuses_connection(self, clients):
        return False

    def request(self, frame):
        return frame

    def answer(self, request, answer):
        pdu = request[self.head : len(request) if self.head == 7 else -2]
        if pdu[0] == 17:
            return [Send(frame=self.framed(request, b"\x11\x0a\xb4\xffLMB3.1.6"))]
        if pdu[0] == 3:
            return self.read_answer(request, answer, *struct.unpack_from(">HH", pdu, 1))
        return [Send(frame=answer)]

    def read_answer(self, request, answer, address, count):
        wrong = bytes((request[0] ^ 0x55,)) + request[1:]
        if count == 2:
            return [Send(frame=self.framed(request, b"\x03\x02\0\0"))]
        return {
            SPECIAL: [Send(frame=self.framed(request, b"\x83\x06"))],
            WRONG_TRANSACTION: [Send(frame=self.framed(wrong, b"\x03\x02\0\0"))],
            SLOW: [Send(frame=answer, after_s=0.5)],
            BYTE_BY_BYTE: [Send(frame=answer[i : i + 1], after_s=0.005) for i in range(len(answer))],
        }.get(address, [Send(frame=answer)])

    def framed(self, request, pdu):
        if self.head == 1:
            return rtu_frame(request[0], pdu)
        return mbap_frame(struct.unpack_from(">H", request)[0], request[6], pdu)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("libmodbus")
    return lambda name: libmodbus_example(name, folder)


def passed(run):
    """Run libmodbus' unit test to its end; show where it stopped.

    It wants some answers within 5 ms, which a busy machine may miss: it has three tries.
    """
    tries = []
    while len(tries) < 3 and not (tries and "ALL TESTS PASS WITH SUCCESS" in tries[-1]):
        tries.append(asyncio.run(run()))
    assert "ALL TESTS PASS WITH SUCCESS" in tries[-1], [printed[-1500:] for printed in tries]
    assert tries[-1].count("OK\n") > 80


def test_libmodbus_unit_test_passes_against_our_tcp_server(built):
    client = built("unit-test-client")

    async def scenario():
        server = ModbusServer(UnitTestBank((0, 17, 18, 255)), faults=UnitTestOddities(Framing.TCP))
        port = await server.start()
        try:
            return await run_program(client, "tcp", env={"PORT": str(port)})
        finally:
            await server.stop()

    passed(scenario)


def test_libmodbus_unit_test_passes_against_our_serial_server(built, tmp_path):
    client = built("unit-test-client")

    async def scenario():
        with pty_pair(tmp_path) as (here, there):
            bank = UnitTestBank((17,))
            server = SerialServer(bank, here, baudrate=115200, faults=UnitTestOddities(Framing.RTU))
            await server.start()
            try:
                return await run_program(client, "rtu", env={"LINE": there})
            finally:
                await server.stop()

    passed(scenario)


async def opened(link):
    """Open a link to a server that is still starting."""
    for _ in range(500):
        if await outcome(link.open()) is None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the server did not start")


async def ask(link, request, *, timeout_s=5.0, unit=255):
    return await outcome(link.request(unit, request, timeout_s=timeout_s))


def test_our_client_reads_and_writes_libmodbus_server_and_sees_through_its_oddities(built):
    server = built("unit-test-server")
    port = free_port()

    async def scenario():
        with started(server, "tcp", env={"PORT": str(port)}):
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            await opened(link)
            write = write_request(Table.HOLDING, REGISTERS[0], [555, 1, 100], single=False)
            mask = mask_request(REGISTERS[0], and_mask=0xF2, or_mask=0x25)
            both = read_write_request(REGISTERS[0], 3, write_address=REGISTERS[0] + 1, values=[8, 9])
            coils = write_request(Table.COIL, BITS[0], [1, 0, 1, 1, 0, 1, 1, 1, 1], single=False)
            for request in (write, mask, coils, write_request(Table.COIL, BITS[0], [0], single=True)):
                assert isinstance(await ask(link, request), bytes)
            registers = read_request(Table.HOLDING, REGISTERS[0], 3)
            bits = read_request(Table.COIL, BITS[0], 9)
            inputs = read_request(Table.DISCRETE, INPUT_BITS[0], 22)
            got = [
                read_values(request, await link.request(255, request, timeout_s=5))
                for request in (registers, both, bits, read_request(Table.INPUT, INPUTS[0], 1), inputs)
            ]
            refusals = [
                await ask(link, read_request(Table.HOLDING, 0, 1)),
                await ask(link, read_request(Table.HOLDING, SPECIAL, 1)),
                await ask(link, read_request(Table.HOLDING, SLOW, 1), timeout_s=0.1),
                await ask(link, read_request(Table.HOLDING, BYTE_BY_BYTE, 1)),
                await ask(link, read_request(Table.HOLDING, REGISTERS[0], 2)),
            ]
            await link.close()
            return got, refusals, link.statistics

    got, refusals, statistics = asyncio.run(scenario())
    assert got[0] == [555 & 0xF2 | 0x25 & ~0xF2, 1, 100]
    assert got[1] == [got[0][0], 8, 9]
    assert got[2] == [0, 0, 1, 1, 0, 1, 1, 1, 1]
    assert got[3] == [10]
    assert got[4] == [0xAC >> i & 1 for i in range(8)] + [0xDB >> i & 1 for i in range(8)] + [
        1,
        0,
        1,
        0,
        1,
        1,
    ]
    address, busy, slow, byte_by_byte, too_short = refusals
    assert isinstance(address, ExceptionReplyError)
    assert address.code == 2
    assert isinstance(busy, ExceptionReplyError)
    assert busy.code == 6
    assert isinstance(slow, LinkTimeoutError)
    # this server answers as unit 255 with a register of 0, byte by byte
    assert byte_by_byte == b"\x03\x02\0\0"
    assert isinstance(too_short, ProtocolViolationError)
    assert statistics.late_answers == 1


def test_our_client_refuses_an_answer_of_libmodbus_under_another_transaction(built):
    server = built("unit-test-server")
    port = free_port()

    async def scenario():
        with started(server, "tcp", env={"PORT": str(port)}):
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            await opened(link)
            await ask(link, read_request(Table.HOLDING, REGISTERS[0], 1))
            wrong = await ask(link, read_request(Table.HOLDING, WRONG_TRANSACTION, 1))
            is_open = link.is_open
            await link.close()
            return wrong, is_open

    wrong, is_open = asyncio.run(scenario())
    assert isinstance(wrong, ProtocolViolationError)
    assert not is_open


def test_our_client_speaks_with_libmodbus_on_a_serial_line(built, tmp_path):
    server = built("unit-test-server")

    async def scenario():
        with pty_pair(tmp_path) as (here, there), started(server, "rtu", env={"LINE": there}):
            link = open_link(SerialTarget(path=here, baudrate=115200, turnaround_s=0.1))
            await link.open()
            write = write_request(Table.HOLDING, REGISTERS[0], [1, 2, 3], single=False)
            async with asyncio.timeout(10):
                # the server opens its end at its own pace
                while not isinstance(await ask(link, write, unit=17, timeout_s=0.5), bytes):
                    pass
            read = read_request(Table.HOLDING, REGISTERS[0], 3)
            answer = await link.request(17, read, timeout_s=5)
            await link.close()
            return read_values(read, answer)

    assert asyncio.run(scenario()) == [1, 2, 3]


def numbers(printed):
    """Return what mbpoll read: {reference: value}."""
    return {int(a): int(b) for a, b in re.findall(r"^\[(\d+)\]:\s+(-?\d+)", printed, re.MULTILINE)}


def poll(bank, *arguments, values=()):
    async def scenario():
        server = ModbusServer(bank)
        port = await server.start()
        try:
            return await run_program(
                program("mbpoll"),
                "-1",
                "-0",
                "-q",
                "-p",
                str(port),
                *arguments,
                "127.0.0.1",
                *map(str, values),
            )
        finally:
            await server.stop()

    return asyncio.run(scenario())


@pytest.mark.parametrize(("kind", "table"), [("4", Table.HOLDING), ("3", Table.INPUT)])
def test_mbpoll_reads_our_registers(kind, table):
    bank = PlainBank(units=(3,))
    bank.put(3, table, 40000, range(500, 620))
    printed = poll(bank, "-a", "3", "-t", kind, "-r", "40000", "-c", "120")
    assert numbers(printed) == {40000 + i: 500 + i for i in range(120)}


@pytest.mark.parametrize(("kind", "table"), [("0", Table.COIL), ("1", Table.DISCRETE)])
def test_mbpoll_reads_our_bits(kind, table):
    bank = PlainBank()
    bank.put(1, table, 7, [1, 0, 1, 1])
    assert numbers(poll(bank, "-a", "1", "-t", kind, "-r", "7", "-c", "4")) == {7: 1, 8: 0, 9: 1, 10: 1}


def test_mbpoll_writes_one_register_and_several():
    bank = PlainBank()
    poll(bank, "-a", "1", "-t", "4", "-r", "10", values=[7])
    poll(bank, "-a", "1", "-t", "4", "-r", "20", values=[1, 2, 3])
    poll(bank, "-a", "1", "-t", "0", "-r", "30", values=[1])
    assert bank.writes == [
        (1, Table.HOLDING, 10, [7], True),
        (1, Table.HOLDING, 20, [1, 2, 3], False),
        (1, Table.COIL, 30, [1], True),
    ]


def test_mbpoll_names_our_exceptions():
    assert "Illegal data address" in poll(PlainBank(size=10), "-a", "1", "-t", "4", "-r", "11")
    assert "Target device failed to respond" in poll(PlainBank(), "-a", "9", "-t", "4", "-r", "1")


def test_mbpoll_reads_our_serial_server(tmp_path):
    async def scenario():
        with pty_pair(tmp_path) as (here, there):
            server = SerialServer(AddressBank(units=(5,)), here)
            await server.start()
            try:
                return await run_program(
                    program("mbpoll"),
                    "-1",
                    "-0",
                    "-q",
                    "-m",
                    "rtu",
                    "-b",
                    "19200",
                    "-P",
                    "none",
                    *("-a", "5", "-t", "4", "-r", "100", "-c", "20"),
                    there,
                )
            finally:
                await server.stop()

    assert numbers(asyncio.run(scenario())) == {100 + i: 100 + i for i in range(20)}


def test_our_client_speaks_with_pymodbustcp():
    data = DataBank()
    peer = PyModbusTcpServer(host="127.0.0.1", port=free_port(), no_block=True, data_bank=data)
    peer.start()
    try:

        async def scenario():
            link = open_link(TcpTarget(host="127.0.0.1", port=peer.port))
            await opened(link)
            await link.request(1, write_request(Table.HOLDING, 10, [1, 2, 65535], single=False), timeout_s=5)
            await link.request(1, write_request(Table.COIL, 3, [1], single=True), timeout_s=5)
            requests = [
                read_request(Table.HOLDING, 10, 3),
                read_request(Table.COIL, 2, 3),
                read_request(Table.HOLDING, 0, 125),
            ]
            got = [read_values(one, await link.request(1, one, timeout_s=5)) for one in requests]
            await link.close()
            return got, link.statistics

        (registers, coils, many), statistics = asyncio.run(scenario())
    finally:
        peer.stop()
    assert registers == [1, 2, 65535]
    assert coils == [0, 1, 0]
    assert many[10:13] == [1, 2, 65535]
    assert data.get_holding_registers(10, 3) == [1, 2, 65535]
    assert (statistics.answers, statistics.violations, statistics.connects) == (5, 0, 1)


def test_pymodbus_client_speaks_with_our_server():
    async def scenario():
        bank = AddressBank(units=(3,))
        server = ModbusServer(bank)
        port = await server.start()
        client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
        try:
            await client.connect()
            await client.write_registers(10, [1, 2, 3], device_id=3)
            await client.mask_write_register(address=10, and_mask=0xF0, or_mask=0x05, device_id=3)
            both = await client.readwrite_registers(
                read_address=10, read_count=3, write_address=11, values=[7], device_id=3
            )
            reads = await asyncio.gather(
                *(client.read_holding_registers(1000 + i, count=2, device_id=3) for i in range(20))
            )
            missing = await client.read_holding_registers(0, count=1, device_id=9)
            return both.registers, [read.registers for read in reads], missing.exception_code
        finally:
            client.close()
            await server.stop()

    both, reads, code = asyncio.run(scenario())
    assert both == [5, 7, 3]
    assert reads == [[1000 + i, 1001 + i] for i in range(20)]
    assert code == 11


def test_minimalmodbus_speaks_with_our_serial_server(tmp_path):
    async def scenario():
        with pty_pair(tmp_path) as (here, there):
            bank = AddressBank(units=(4,))
            server = SerialServer(bank, here)
            await server.start()
            try:
                return await asyncio.to_thread(talk, there), bank.writes
            finally:
                await server.stop()

    def talk(path):
        instrument = minimalmodbus.Instrument(path, 4, close_port_after_each_call=False)
        instrument.serial.timeout = 5
        try:
            instrument.write_float(200, 12.5)
            instrument.write_register(300, 42, functioncode=6)
            instrument.write_bit(7, 1)
            return (
                instrument.read_registers(1000, 30),
                instrument.read_float(200),
                instrument.read_register(300, functioncode=3),
                instrument.read_bits(5, 4, functioncode=1),
            )
        finally:
            instrument.serial.close()

    (registers, number, single, bits), writes = asyncio.run(scenario())
    assert registers == list(range(1000, 1030))
    assert (number, single, bits) == (12.5, 42, [1, 0, 1, 0])
    assert [(table, address) for _, table, address, _, _ in writes] == [
        (Table.HOLDING, 200),
        (Table.HOLDING, 300),
        (Table.COIL, 7),
    ]


def packet(direction, frame, at):
    """One frame as an IPv4 packet with a TCP header, as a capture of raw packets holds it."""
    ports = (40000, 502) if direction is Direction.SENT else (502, 40000)
    tcp = struct.pack(">HHIIBBHHH", *ports, *at[direction], 0x50, 0x18, 8192, 0, 0)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(frame), 0, 0, 64, 6, 0, b"\x7f\0\0\1", b"\x7f\0\0\2")
    return ip + tcp + frame


def capture(frames):
    """Write frames as a pcap file of raw IP packets in the order they were seen."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    counts = {Direction.SENT: 1, Direction.RECEIVED: 1}
    for i, (direction, frame) in enumerate(frames):
        other = Direction.RECEIVED if direction is Direction.SENT else Direction.SENT
        body = packet(direction, frame, {direction: (counts[direction], counts[other])})
        counts[direction] += len(frame)
        data += struct.pack("<IIII", i, 0, len(body), len(body)) + body
    return data


def test_tshark_finds_no_malformed_frame_and_the_writes_we_made(tmp_path):
    frames = Frames()
    requests = [
        read_request(Table.HOLDING, 1000, 125),
        read_request(Table.COIL, 0, 2000),
        read_request(Table.DISCRETE, 5, 3),
        read_request(Table.INPUT, 9, 1),
        write_request(Table.HOLDING, 11, [5], single=True),
        write_request(Table.HOLDING, 12, [6, 7], single=False),
        write_request(Table.COIL, 13, [1], single=True),
        write_request(Table.COIL, 14, [1, 0, 1], single=False),
        mask_request(15, and_mask=1, or_mask=2),
        read_write_request(20, 2, write_address=16, values=[1]),
        read_request(Table.HOLDING, 60000, 1),
    ]

    async def scenario():
        server = ModbusServer(AddressBank(units=(1,)))
        port = await server.start()
        link = open_link(TcpTarget(host="127.0.0.1", port=port), observer=frames)
        await link.open()
        for unit in (1, 2):
            for request in requests:
                await outcome(link.request(unit, request, timeout_s=5))
        await link.close()
        await server.stop()
        file = tmp_path / "frames.pcap"
        file.write_bytes(capture(frames.seen))
        fields = (
            "modbus.func_code",
            "modbus.reference_num",
            "modbus.read_reference_num",
            "modbus.exception_code",
        )
        return await run_program(
            program("tshark"), "-r", str(file), "-Y", "mbtcp", "-T", "fields", "-E", "separator=;",
            *(part for field in (*fields, "_ws.malformed", "tcp.dstport") for part in ("-e", field)),
        )  # fmt: skip

    rows = [line.split(";") for line in asyncio.run(scenario()).splitlines() if line.count(";") == 5]
    assert len(rows) == len(frames.seen) == 4 * len(requests)
    assert not any(malformed for *_, malformed, _ in rows)
    asked = [row for row in rows if row[5] == "502"]
    seen = [(int(function), int(reference or other)) for function, reference, other, *_ in asked]
    assert seen == [struct.unpack_from(">BH", request) for request in requests] * 2
    refused = [row for row in rows if row[5] != "502" and row[3]]
    assert [row[3] for row in refused] == ["11"] * len(requests)


def test_observers_of_client_and_server_see_the_same_frames():
    ours, theirs = Frames(), Frames()

    async def scenario():
        server = ModbusServer(AddressBank(), observer=theirs)
        port = await server.start()
        link = open_link(TcpTarget(host="127.0.0.1", port=port), observer=ours)
        await link.open()
        for i in range(10):
            await link.request(1, read_request(Table.HOLDING, i, 2), timeout_s=5)
        await until(lambda: len(theirs.seen) == 20)
        await link.close()
        await server.stop()

    asyncio.run(scenario())
    assert ours.of(Direction.SENT) == theirs.of(Direction.RECEIVED)
    assert ours.of(Direction.RECEIVED) == theirs.of(Direction.SENT)
