"""Our server under raw bytes: order, bounds, who may connect, and what it says to nonsense."""

import asyncio
import importlib.util
import socket
import struct
from contextlib import asynccontextmanager

import pytest
from modbus_peers import PATIENCE_S, AddressBank, Frames, PlainBank, outcome, until
from outside import lacking

from hil_adapters.errors import LinkLostError
from hil_adapters.wire.base import Cut, Direction, RtuOverTcpTarget, Send, Table, TcpTarget
from hil_adapters.wire.clients import AllowedClients
from hil_adapters.wire.framing import MbapFramer, mbap_frame, parse_mbap, rtu_frame
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values, write_request
from hil_adapters.wire.server import Framing, ModbusServer

READ = read_request(Table.HOLDING, 1000, 2)


@asynccontextmanager
async def serving(bank=None, **options):
    server = ModbusServer(AddressBank() if bank is None else bank, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def connected(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.close()


async def frame_of(reader):
    head = await reader.readexactly(6)
    return parse_mbap(head + await reader.readexactly(struct.unpack_from(">H", head, 4)[0]))


def told(unit, *requests, framing=Framing.TCP, chunks=lambda stream: [stream], bank=None, n_answers=None):
    """Send requests as raw bytes and return the answers (transaction, unit, pdu)."""

    async def scenario():
        async with serving(bank, framing=framing) as server, connected(server) as (reader, writer):
            for chunk in chunks(b"".join(mbap_frame(100 + i, unit, pdu) for i, pdu in enumerate(requests))):
                writer.write(chunk)
                await writer.drain()
            n = len(requests) if n_answers is None else n_answers
            return [await frame_of(reader) for _ in range(n)]

    return [(frame.transaction, frame.unit, frame.pdu) for frame in asyncio.run(scenario())]


def expected(n):
    return [(100 + i, 1, struct.pack(">BBHH", 3, 4, 10 * i, 10 * i + 1)) for i in range(n)]


def reads(n):
    return [read_request(Table.HOLDING, 10 * i, 2) for i in range(n)]


def test_eight_requests_in_one_segment_get_eight_answers_in_order():
    assert told(1, *reads(8)) == expected(8)


@pytest.mark.parametrize("size", [1, 3, 7, 11, 13])
def test_requests_cut_anywhere_get_their_answers_in_order(size):
    answers = told(1, *reads(8), chunks=lambda s: [s[i : i + size] for i in range(0, len(s), size)])
    assert answers == expected(8)


def test_a_unit_that_is_not_there_gets_exception_11_on_tcp():
    assert told(7, READ) == [(100, 7, b"\x83\x0b")]


def test_a_frame_of_another_protocol_closes_the_connection_after_the_answers_before_it():
    async def scenario():
        async with serving() as server, connected(server) as (reader, writer):
            good = mbap_frame(1, 1, READ)
            writer.write(good + b"\0\2\0\1" + good[4:])
            answer = await frame_of(reader)
            rest = await reader.read()
            return answer.pdu, rest, server.statistics.violations

    pdu, rest, violations = asyncio.run(scenario())
    assert pdu == bytes.fromhex("03 04 03E8 03E9")
    assert (rest, violations) == (b"", 1)


def test_a_client_that_does_not_read_holds_up_nobody_and_costs_bounded_memory():
    longest = read_request(Table.HOLDING, 0, 125)

    async def scenario():
        async with serving() as server, connected(server) as (_, deaf), connected(server) as (reader, writer):
            deaf.transport.set_write_buffer_limits(high=0)
            flood = b"".join(mbap_frame(i, 1, longest) for i in range(5000))
            is_stuck = False
            while not is_stuck:
                deaf.write(flood)
                try:
                    async with asyncio.timeout(0.3):
                        await deaf.drain()
                except TimeoutError:
                    is_stuck = True
            served = server.statistics.requests
            [unread] = [client for client in server._clients if client._is_paused]
            # one chunk that asyncio reads has 256 KiB, a request 12 bytes; it holds 64 KiB before it asks to pause
            assert len(unread._requests) <= 256 * 1024 // 12
            assert unread._transport.get_write_buffer_size() < 64 * 1024 + 260
            assert not unread._transport.is_reading()
            for i in range(20):
                writer.write(mbap_frame(i, 1, READ))
                assert (await frame_of(reader)).transaction == i
            after = server.statistics.requests
            deaf.transport.abort()
            return served, after

    served, after = asyncio.run(scenario())
    assert after == served + 20, "the deaf client must not be answered further"


def test_a_client_that_reads_again_gets_every_answer_in_order():
    n = 40_000

    async def scenario():
        async with serving() as server, connected(server) as (reader, writer):
            writer.transport.pause_reading()
            flood = b"".join(mbap_frame(i, 1, read_request(Table.HOLDING, i, 125)) for i in range(n))
            writer.write(flood)
            await until(lambda: any(client._is_paused for client in server._clients))
            n_before = server.statistics.requests
            writer.transport.resume_reading()
            framer = MbapFramer()
            seen = []
            while len(seen) < n:
                frames = framer.feed(await reader.read(1 << 20))
                seen += [(frame.transaction, frame.pdu[2:4]) for frame in frames]
            return seen, n_before

    seen, n_before = asyncio.run(scenario())
    assert seen == [(i, struct.pack(">H", i)) for i in range(n)]
    assert n_before < n, "the server must have stopped while nobody read"


def test_what_clients_write_is_seen_by_the_others():
    async def scenario():
        bank = PlainBank(units=(1, 2))
        async with serving(bank) as server:
            target = TcpTarget(host="127.0.0.1", port=server.port)
            one, two = open_link(target), open_link(target)
            await one.open()
            await two.open()
            await one.request(2, write_request(Table.HOLDING, 1000, [7, 8], single=False), timeout_s=5)
            answers = [read_values(READ, await two.request(unit, READ, timeout_s=5)) for unit in (1, 2)]
            await one.close()
            await two.close()
        return answers, bank.peers

    answers, peers = asyncio.run(scenario())
    assert answers == [[0, 0], [7, 8]]
    assert [(peer.address, peer.role) for peer in peers] == [("127.0.0.1", None)]


async def is_turned_away(server):
    link = open_link(TcpTarget(host="127.0.0.1", port=server.port))
    opened = await outcome(link.open())
    result = opened if isinstance(opened, Exception) else await outcome(link.request(1, READ, timeout_s=5))
    await link.close()
    return isinstance(result, LinkLostError)


def test_a_device_for_one_client_turns_the_second_away_until_the_first_leaves():
    async def scenario():
        async with serving(max_clients=1) as server:
            async with connected(server) as (reader, writer):
                writer.write(mbap_frame(1, 1, READ))
                await frame_of(reader)
                second = await is_turned_away(server)
            await until(lambda: server.n_clients == 0)
            return second, await is_turned_away(server), server.statistics.refused_connections

    assert asyncio.run(scenario()) == (True, False, 1)


@pytest.mark.parametrize(
    ("allow", "turned_away"),
    [
        (None, False),
        (["127.0.0.1"], False),
        (["127.0.0.0/8", "10.0.0.1"], False),
        (["10.0.0.0/8"], True),
        ([], True),
    ],
)
def test_only_listed_addresses_may_connect(allow, turned_away):
    async def scenario():
        async with serving(allow=allow) as server:
            return await is_turned_away(server)

    assert asyncio.run(scenario()) is turned_away


@pytest.mark.parametrize(
    ("address", "allow", "may"),
    [
        ("127.0.0.1", None, True),
        ("::1", None, True),
        ("::ffff:127.0.0.1", None, True),
        ("192.168.1.5", None, False),
        ("fe80::1%eth0", None, False),
        ("192.168.1.5", ["192.168.1.0/24"], True),
        ("::ffff:192.168.1.5", ["192.168.1.0/24"], True),
        ("192.168.2.5", ["192.168.1.0/24"], False),
        ("127.0.0.1", ["192.168.1.0/24"], False),
    ],
)
def test_without_a_list_only_this_machine_may_connect(address, allow, may):
    assert AllowedClients(allow).holds(address) is may


def test_a_port_that_is_taken_is_refused_in_words():
    async def scenario():
        async with serving() as server:
            with pytest.raises(LinkLostError, match=r"cannot listen on .* choose another port"):
                await ModbusServer(PlainBank(), port=server.port).start()

    asyncio.run(scenario())


def test_a_server_that_stops_ends_its_connections_and_starts_again():
    async def scenario():
        server = ModbusServer(AddressBank())
        await server.start()
        async with connected(server) as (reader, writer):
            writer.write(mbap_frame(1, 1, READ))
            await frame_of(reader)
            await server.stop()
            await server.stop()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        await server.start()
        turned_away = await is_turned_away(server)
        await server.stop()
        return turned_away

    assert asyncio.run(scenario()) is False


class Spoiler:
    """A fault layer whose answers and requests a test decides."""

    def __init__(self, *, request=lambda frame: frame, answer=lambda answer: [Send(frame=answer)]):
        self.request = request
        self.spoil = answer

    def refuses_connection(self, clients):
        return clients >= 2

    def answer(self, request, answer):
        return self.spoil(answer)


SILENCE_S = 0.2


async def heard(reader, n_bytes):
    """Read ``n_bytes``, however long that takes, and then what comes until silence or the end."""
    got = b""
    try:
        got = await reader.readexactly(n_bytes)
        async with asyncio.timeout(SILENCE_S):
            while data := await reader.read(1000):
                got += data
    except TimeoutError:
        return got, "open"
    except ConnectionResetError:
        return got, "reset"
    return got, "closed"


def raw_exchange(spoiler, n_bytes, request=None):
    """Return what comes back for one read, until the connection ends or falls silent."""

    async def scenario():
        async with serving(faults=spoiler) as server, connected(server) as (reader, writer):
            writer.write(mbap_frame(1, 1, READ) if request is None else request)
            return await heard(reader, n_bytes)

    return asyncio.run(scenario())


GOOD_ANSWER = bytes.fromhex("0001 0000 0007 01 03 04 03E8 03E9")


@pytest.mark.parametrize(
    ("spoiler", "expected_result"),
    [
        (Spoiler(), (GOOD_ANSWER, "open")),
        (Spoiler(request=lambda frame: None), (b"", "open")),
        (Spoiler(request=lambda frame: frame[:-2]), (b"", "open")),
        (
            Spoiler(request=lambda frame: frame[:-1] + b"\1"),
            (bytes.fromhex("0001 0000 0005 01 03 02 03E8"), "open"),
        ),
        (Spoiler(answer=lambda a: []), (b"", "open")),
        (Spoiler(answer=lambda a: [Send(frame=a), Send(frame=a)]), (GOOD_ANSWER * 2, "open")),
        (
            Spoiler(answer=lambda a: [Send(frame=a[:4], after_s=0.01), Send(frame=a[4:], after_s=0.01)]),
            (GOOD_ANSWER, "open"),
        ),
        (Spoiler(answer=lambda a: [Send(frame=a[:5]), Cut()]), (GOOD_ANSWER[:5], "closed")),
        (Spoiler(answer=lambda a: [Cut(after_s=0.01), Send(frame=a)]), (b"", "closed")),
        (Spoiler(answer=lambda a: [Cut(reset=True)]), (b"", "reset")),
    ],
)
def test_a_fault_layer_decides_what_comes_back(spoiler, expected_result):
    assert raw_exchange(spoiler, len(expected_result[0])) == expected_result


def test_a_slow_answer_does_not_hold_up_the_next():
    def slow_first(answer):
        return [Send(frame=answer, after_s=0.2 if answer[:2] == b"\0\1" else 0.0)]

    request = mbap_frame(1, 1, READ) + mbap_frame(2, 1, READ)
    got, _ = raw_exchange(Spoiler(answer=slow_first), 2 * len(GOOD_ANSWER), request)
    assert got == b"\0\2" + GOOD_ANSWER[2:] + GOOD_ANSWER


def test_a_fault_layer_refuses_connections():
    async def scenario():
        async with serving(faults=Spoiler()) as server, connected(server), connected(server):
            await until(lambda: server.n_clients == 2)
            return await is_turned_away(server)

    assert asyncio.run(scenario())


def test_a_server_shows_every_frame_to_its_observer():
    frames = Frames()

    async def scenario():
        async with serving(observer=frames) as server, connected(server) as (reader, writer):
            writer.write(mbap_frame(1, 1, READ))
            await frame_of(reader)

    asyncio.run(scenario())
    assert frames.seen == [
        (Direction.RECEIVED, mbap_frame(1, 1, READ)),
        (Direction.SENT, GOOD_ANSWER),
    ]


def rtu_talk(*exchanges, units=(1,)):
    """Send RTU frames over TCP, each when its answer (or the silence) is over; check the answers; return the bank."""
    bank = PlainBank(units=units)

    async def scenario():
        async with serving(bank, framing=Framing.RTU) as server, connected(server) as (reader, writer):
            for frame, answer in exchanges:
                writer.write(frame)
                assert await heard(reader, len(answer)) == (answer, "open")

    asyncio.run(scenario())
    return bank


def test_rtu_requests_are_answered_and_foreign_units_and_bad_sums_are_not():
    request = read_request(Table.HOLDING, 0, 1)
    good, right = rtu_frame(1, request), rtu_frame(1, b"\x03\x02\0\0")
    spoiled = good[:-1] + bytes([good[-1] ^ 1])
    rtu_talk((good, right), (rtu_frame(2, request), b""), (spoiled, b""), (good, right))


def test_an_unknown_function_on_rtu_gets_exception_1_after_silence():
    rtu_talk((rtu_frame(1, bytes.fromhex("63 01 02")), rtu_frame(1, b"\xe3\x01")))


def test_a_broadcast_is_taken_by_every_unit_and_answered_by_none():
    write = write_request(Table.HOLDING, 5, [9], single=True)
    read = read_request(Table.HOLDING, 5, 1)
    bank = rtu_talk((rtu_frame(0, write), b""), (rtu_frame(0, read), b""), units=(1, 7))
    assert [unit for unit, *_ in bank.writes] == [1, 7]


def test_our_link_and_our_server_agree_over_rtu_and_tcp():
    async def scenario():
        async with serving(framing=Framing.RTU) as server:
            link = open_link(RtuOverTcpTarget(host="127.0.0.1", port=server.port))
            await link.open()
            results = [
                read_values(request, await link.request(1, request, timeout_s=5))
                for request in (read_request(Table.HOLDING, 3, 125), read_request(Table.COIL, 0, 2000))
            ]
            await link.close()
        return results

    registers, bits = asyncio.run(scenario())
    assert registers == list(range(3, 128))
    assert bits == [0, 1] * 1000


def test_both_ends_send_small_frames_at_once_and_notice_a_peer_that_vanished():
    async def scenario():
        async with serving() as server:
            link = open_link(TcpTarget(host="127.0.0.1", port=server.port))
            await link.open()
            await link.request(1, READ, timeout_s=5)
            [theirs] = server._clients
            options = [
                [
                    transport.get_extra_info("socket").getsockopt(*option)
                    for option in (
                        (socket.IPPROTO_TCP, socket.TCP_NODELAY),
                        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    )
                ]
                for transport in (link._channel, theirs._transport)
            ]
            await link.close()
        return options

    assert all(value != 0 for values in asyncio.run(scenario()) for value in values)


@pytest.mark.parametrize("framing", list(Framing))
def test_another_event_loop_serves_as_well(framing):
    if importlib.util.find_spec("uvloop") is None:
        lacking("uvloop is not installed")
    uvloop = importlib.import_module("uvloop")
    cut = Spoiler(answer=lambda a: [Cut(reset=True)])

    async def scenario():
        kind = TcpTarget if framing is Framing.TCP else RtuOverTcpTarget
        async with serving(framing=framing) as server, serving(framing=framing, faults=cut) as bad:
            link = open_link(kind(host="127.0.0.1", port=server.port))
            await link.open()
            answers = await asyncio.gather(*(link.request(1, READ, timeout_s=5) for _ in range(50)))
            await link.close()
            spoiled = open_link(kind(host="127.0.0.1", port=bad.port))
            await spoiled.open()
            lost = await outcome(spoiled.request(1, READ, timeout_s=5))
            await spoiled.close()
        return answers, lost

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        answers, lost = runner.run(scenario())
    assert answers == [bytes.fromhex("03 04 03E8 03E9")] * 50
    assert isinstance(lost, LinkLostError)
