"""A hundred thousand spoiled frames at server and client: no crash, no wrong answer, no wrong write."""

import asyncio
import random
import struct
from contextlib import suppress

from modbus_peers import PATIENCE_S, AddressBank, Say, outcome, scripted_server

from hil_adapters.errors import LinkError, LinkLostError, ProtocolViolationError
from hil_adapters.wire.base import LinkStatistics, Peer, Table, TcpTarget
from hil_adapters.wire.exchange_rtu import RtuExchange
from hil_adapters.wire.exchange_tcp import TcpExchange
from hil_adapters.wire.framing import Frame, MbapFramer, RtuFramer, mbap_frame, parse_mbap, rtu_frame
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values, write_request
from hil_adapters.wire.server import Framing, ModbusServer
from hil_adapters.wire.station import Admission, Station

N_SERVER, N_CLIENT = 100_000, 100_000
"""Frames of each kind of test; half of them over TCP, half over RTU."""
ME = Admission(peer=Peer(address="127.0.0.1"))
REQUESTS = (
    read_request(Table.HOLDING, 1000, 40),
    read_request(Table.COIL, 3, 17),
    read_request(Table.INPUT, 65530, 6),
    write_request(Table.HOLDING, 7, [1, 2, 3], single=False),
    write_request(Table.COIL, 7, [1, 0, 1], single=False),
    write_request(Table.HOLDING, 7, [1], single=True),
    bytes.fromhex("16 0004 00F2 0025"),
    bytes.fromhex("17 0003 0002 000E 0001 02 00FF"),
    bytes.fromhex("2B 0E 01 00"),
)


def seeded(seed):
    return random.Random(seed)  # noqa: S311 - a test that repeats, not a secret


def spoiled(rng, frame):
    """Change, drop, insert or repeat bytes, or leave the frame as it is."""
    data = bytearray(frame)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randrange(1, 4)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 4))
            case 3:
                data[at:at] = data[: rng.randrange(12)]
            case _ if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def check_answer_shape(pdu, answer):
    assert 2 <= len(answer) <= 253
    assert answer[0] & 0x7F == pdu[0] & 0x7F


def check_bank(bank):
    for unit, table, address, values, single in bank.writes:
        assert unit == 1
        assert table in {Table.COIL, Table.HOLDING}
        assert 0 <= address <= address + len(values) <= 65536
        assert all(0 <= value <= (1 if table is Table.COIL else 65535) for value in values)
        assert values
        assert len(values) == 1 or not single
    bank.writes.clear()


def test_a_tcp_server_survives_spoiled_frames():
    rng = seeded(1)
    bank = AddressBank()
    station = Station(bank, Framing.TCP, faults=None, observer=None)
    framer = MbapFramer()
    n_frames = 0
    for i in range(N_SERVER // 2):
        for item in framer.feed(spoiled(rng, mbap_frame(i & 0xFFFF, 1, rng.choice(REQUESTS)))):
            if isinstance(item, Frame):
                n_frames += 1
                reply = station.respond(item, ME)
                assert isinstance(reply, bytes)
                answer = parse_mbap(reply)
                assert answer is not None
                assert (answer.transaction, answer.unit) == (item.transaction, item.unit)
                check_answer_shape(item.pdu, answer.pdu)
            else:
                framer = MbapFramer()
        check_bank(bank)
        assert framer.n_left_over < 260
    assert n_frames > N_SERVER // 8


def test_an_rtu_server_survives_spoiled_frames():
    rng = seeded(2)
    bank = AddressBank()
    station = Station(bank, Framing.RTU, faults=None, observer=None)
    framer = station.new_framer()
    assert isinstance(framer, RtuFramer)
    n_frames = 0
    for _ in range(N_SERVER // 2):
        items = framer.feed(spoiled(rng, rtu_frame(1, rng.choice(REQUESTS))))
        if rng.random() < 0.7:
            items += framer.silence()
        for item in items:
            if isinstance(item, Frame):
                n_frames += 1
                reply = station.respond(item, ME)
                assert reply is None or (isinstance(reply, bytes) and 5 <= len(reply) <= 256)
        check_bank(bank)
        assert framer.n_left_over <= 257
    assert n_frames > N_SERVER // 16


def own_address(request):
    address, count = struct.unpack_from(">HH", request, 1)
    return struct.pack(f">BB{count}H", 3, 2 * count, *range(address, address + count))


def test_a_tcp_client_takes_no_spoiled_answer_for_a_right_one():
    """Only a change of the values themselves can pass, since Modbus TCP has no check sum."""
    rng = seeded(3)
    exchange = TcpExchange(LinkStatistics(), zero_transaction=False)
    n_right = 0
    for i in range(N_CLIENT // 2):
        request = read_request(Table.HOLDING, rng.randrange(60000), rng.choice((1, 4, 40)))
        frame = exchange.start(1, request, now_s=float(i), timeout_s=0.5)
        transaction = struct.unpack_from(">H", frame)[0]
        right = own_address(request)
        verdict = exchange.feed(spoiled(rng, mbap_frame(transaction, 1, right)), now_s=i + 0.1)
        if verdict.answer is not None:
            n_right += verdict.answer == right
            assert len(verdict.answer) == len(right)
            assert verdict.answer[:2] == right[:2]
        elif verdict.error is None:
            verdict = exchange.tick(i + 0.5)
            assert isinstance(verdict.error, LinkError)
        if verdict.drop is not None:
            exchange.reconnected()
    assert n_right > N_CLIENT // 16


def test_an_rtu_client_takes_no_spoiled_answer_at_all():
    rng = seeded(4)
    exchange = RtuExchange(LinkStatistics(), turnaround_s=0.3, gap_s=0.002, quiet_s=0.05)
    n_right = 0
    now_s = 0.0
    for _ in range(N_CLIENT // 2):
        while (wait_s := exchange.wait_s(now_s)) > 0:
            now_s += wait_s + 1e-9
            exchange.tick(now_s)
        request = read_request(Table.HOLDING, rng.randrange(60000), rng.choice((1, 4, 40)))
        exchange.start(1, request, now_s=now_s, timeout_s=0.5)
        right = own_address(request)
        now_s += 0.01
        verdict = exchange.feed(spoiled(rng, rtu_frame(1, right)), now_s=now_s)
        while verdict.answer is None and verdict.error is None:
            now_s = exchange.wakes_at_s
            verdict = exchange.tick(now_s)
        assert verdict.answer in {None, right}
        n_right += verdict.answer == right
    assert n_right > N_CLIENT // 16


def test_a_server_on_a_socket_survives_spoiled_frames():
    rng = seeded(5)
    n_frames = 3000

    async def scenario():
        server = ModbusServer(AddressBank())
        port = await server.start()
        async with asyncio.timeout(2 * PATIENCE_S):
            for _ in range(n_frames // 30):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for i in range(30):
                    frame = mbap_frame(i, 1, rng.choice(REQUESTS))
                    writer.write(spoiled(rng, frame) if rng.random() < 0.1 else frame)
                writer.write_eof()
                with suppress(ConnectionResetError):
                    await reader.read()
                writer.close()
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            await link.open()
            answer = await link.request(1, REQUESTS[0], timeout_s=5)
            await link.close()
        await server.stop()
        return answer, server.statistics

    answer, statistics = asyncio.run(scenario())
    assert read_values(REQUESTS[0], answer) == list(range(1000, 1040))
    assert statistics.requests > 500
    assert statistics.violations > 20


def test_a_link_on_a_socket_survives_spoiled_answers():
    rng = seeded(6)
    request = read_request(Table.HOLDING, 1000, 4)
    right = own_address(request)

    def reply(asked):
        return [Say(spoiled(rng, asked[:2] + mbap_frame(0, 1, right)[2:]))]

    async def scenario():
        results = []
        async with scripted_server(reply) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            for _ in range(1000):
                await link.open()
                results.append(await outcome(link.request(1, request, timeout_s=0.01)))
            await link.close()
        return results

    results = asyncio.run(scenario())
    answers = [result for result in results if isinstance(result, bytes)]
    assert all(len(answer) == len(right) for answer in answers)
    assert answers.count(right) > 100
    assert any(isinstance(result, ProtocolViolationError) for result in results)
    assert all(isinstance(result, bytes | LinkError) for result in results)
    assert not any(
        isinstance(result, LinkLostError) and "cannot connect" in str(result) for result in results
    )
