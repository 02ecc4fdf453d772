"""A link against devices that misbehave: what is detected, how it is called, and that the next request fares well."""

import asyncio
import ssl
import struct
import time

import pytest
from modbus_peers import AddressBank, End, Frames, Say, outcome, scripted_server, until

from hil_adapters.errors import (
    ExceptionReplyError,
    LinkLostError,
    LinkTimeoutError,
    ProtocolViolationError,
)
from hil_adapters.wire import links
from hil_adapters.wire.base import Direction, RtuOverTcpTarget, Send, Table, TcpTarget
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values, write_request
from hil_adapters.wire.server import Framing, ModbusServer

TIMEOUT_S = 0.5
BAD, GOOD = 1000, 2000
READ_BAD = read_request(Table.HOLDING, BAD, 4)
READ_GOOD = read_request(Table.HOLDING, GOOD, 4)


def right(request):
    """Answer a read with registers that hold their own address."""
    transaction, unit = request[:2], request[6:7]
    address, count = struct.unpack_from(">HH", request, 8)
    data = struct.pack(f">{count}H", *(at & 0xFFFF for at in range(address, address + count)))
    body = unit + bytes((3, len(data))) + data
    return transaction + struct.pack(">HH", 0, len(body)) + body


def patched(request, **parts):
    """Change parts of a right answer: protocol, length, unit, function, n_bytes, data."""
    frame = right(request)
    fields = {
        "transaction": frame[:2],
        "protocol": frame[2:4],
        "length": frame[4:6],
        "unit": frame[6:7],
        "function": frame[7:8],
        "n_bytes": frame[8:9],
        "data": frame[9:],
    } | parts
    if "length" not in parts:
        fields["length"] = struct.pack(">H", 3 + len(fields["data"]))
    return b"".join(fields.values())


def exception(request, code):
    return request[:2] + bytes.fromhex("0000 0003") + request[6:7] + bytes((0x83, code))


def pieces(frame):
    return [Say(frame[i : i + 3], 0.01) for i in range(0, len(frame), 3)]


VIOLATION, TIMEOUT, LOST, RIGHT = ProtocolViolationError, LinkTimeoutError, LinkLostError, "right"

FAULTS = {
    "reset": (lambda q: [End(reset=True)], LOST),
    "closed": (lambda q: [End()], LOST),
    "closed in the middle": (lambda q: [Say(right(q)[:8]), End()], LOST),
    "silence": (lambda q: [], TIMEOUT),
    "late": (lambda q: [Say(right(q), 2 * TIMEOUT_S)], TIMEOUT),
    "wrong unit": (lambda q: [Say(patched(q, unit=b"\x05"))], VIOLATION),
    "wrong transaction": (lambda q: [Say(patched(q, transaction=b"\xab\xcd"))], VIOLATION),
    "zero transaction": (lambda q: [Say(patched(q, transaction=b"\0\0"))], VIOLATION),
    "wrong protocol": (lambda q: [Say(patched(q, protocol=b"\0\1"))], VIOLATION),
    "fewer registers": (lambda q: [Say(patched(q, data=bytes(6), n_bytes=b"\x06"))], VIOLATION),
    "more registers": (lambda q: [Say(patched(q, data=bytes(10), n_bytes=b"\x0a"))], VIOLATION),
    "byte count too small": (lambda q: [Say(patched(q, n_bytes=b"\x06"))], VIOLATION),
    "byte count too large": (lambda q: [Say(patched(q, n_bytes=b"\x0a"))], VIOLATION),
    "odd byte count": (lambda q: [Say(patched(q, data=bytes(7), n_bytes=b"\x07"))], VIOLATION),
    "header length too small": (lambda q: [Say(patched(q, length=b"\0\x09"))], VIOLATION),
    "header length too large": (lambda q: [Say(patched(q, length=b"\0\x20"))], TIMEOUT),
    "header length of one": (lambda q: [Say(patched(q, length=b"\0\1"))], VIOLATION),
    "header length beyond all": (lambda q: [Say(patched(q, length=b"\xff\xff"))], VIOLATION),
    "wrong function": (lambda q: [Say(patched(q, function=b"\x04"))], VIOLATION),
    "exception of another function": (lambda q: [Say(exception(q, 2).replace(b"\x83", b"\x84"))], VIOLATION),
    "garbage only": (lambda q: [Say(b"\xde\xad\xbe\xef" * 4)], VIOLATION),
    "garbage before": (lambda q: [Say(b"\xde\xad\xbe\xef" + right(q))], VIOLATION),
    "garbage behind": (lambda q: [Say(right(q) + b"\xde\xad\xbe\xef" * 2)], VIOLATION),
    "truncated": (lambda q: [Say(right(q)[:-3])], TIMEOUT),
    "twice": (lambda q: [Say(right(q) * 2)], RIGHT),
    "in pieces": (lambda q: pieces(right(q)), RIGHT),
}


async def bad_then_good(fault):
    """Ask a bad register and then, three times, good ones; reconnect as often as needed. The answers, and the link."""
    hits = {"n": 0}

    def reply(request):
        if struct.unpack_from(">H", request, 8)[0] == BAD and hits["n"] == 0:
            hits["n"] += 1
            return fault(request)
        return [Say(right(request))]

    async with scripted_server(reply) as port:
        link = open_link(TcpTarget(host="127.0.0.1", port=port))
        await link.open()
        started_s = time.monotonic()
        first = await outcome(link.request(1, READ_BAD, timeout_s=TIMEOUT_S))
        took_s = time.monotonic() - started_s
        rest = []
        while len(rest) < 3 and link.statistics.requests < 8:
            await link.open()
            answer = await outcome(link.request(1, READ_GOOD, timeout_s=5.0))
            if isinstance(answer, bytes) or not isinstance(answer, LinkLostError):
                rest.append(answer)
        await link.close()
    return first, took_s, rest, link.statistics


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_called_by_its_name_and_the_next_requests_get_their_own_answers(name):
    fault, expected = FAULTS[name]
    first, took_s, rest, statistics = asyncio.run(bad_then_good(fault))
    if expected is RIGHT:
        assert isinstance(first, bytes)
        assert read_values(READ_BAD, first) == [1000, 1001, 1002, 1003]
    else:
        assert isinstance(first, expected), first
        assert "tcp://127.0.0.1" in str(first)
        if expected is not TIMEOUT:
            assert took_s < TIMEOUT_S, "what is plain to see must not wait for the deadline"
    assert [read_values(READ_GOOD, answer) for answer in rest] == [[2000, 2001, 2002, 2003]] * 3
    assert (statistics.violations > 0) == (expected is VIOLATION)
    assert statistics.timeouts == (expected is TIMEOUT)


def test_an_answer_that_comes_twice_in_pieces_is_right_or_refused_by_where_the_pieces_end():
    first, _, rest, _ = asyncio.run(bad_then_good(lambda q: pieces(right(q) * 2)))
    assert isinstance(first, ProtocolViolationError) or read_values(READ_BAD, first) == [
        1000,
        1001,
        1002,
        1003,
    ]
    assert [read_values(READ_GOOD, answer) for answer in rest] == [[2000, 2001, 2002, 2003]] * 3


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 10, 11, 0x77])
def test_an_exception_carries_its_code_and_leaves_the_connection_standing(code):
    first, _, rest, statistics = asyncio.run(bad_then_good(lambda q: [Say(exception(q, code))]))
    assert isinstance(first, ExceptionReplyError)
    assert first.code == code
    assert len(rest) == 3
    assert (statistics.connects, statistics.losses, statistics.exceptions) == (1, 0, 1)


def test_late_and_double_answers_are_counted():
    def late_then_twice(request):
        if struct.unpack_from(">H", request, 8)[0] == BAD:
            return [Say(right(request), 1.5 * TIMEOUT_S)]
        return [Say(right(request), TIMEOUT_S), Say(right(request))]

    async def scenario():
        async with scripted_server(late_then_twice) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            await link.open()
            assert isinstance(await outcome(link.request(1, READ_BAD, timeout_s=TIMEOUT_S)), TIMEOUT)
            answer = await link.request(1, READ_GOOD, timeout_s=5.0)
            await until(lambda: link.statistics.late_answers == 2)
            await link.close()
        return answer, link.statistics

    answer, statistics = asyncio.run(scenario())
    assert read_values(READ_GOOD, answer) == [2000, 2001, 2002, 2003]
    assert (statistics.timeouts, statistics.losses, statistics.violations) == (1, 0, 0)


def test_a_write_whose_echo_differs_is_a_violation():
    def other_value(request):
        return [Say(request[:-1] + b"\x09")]

    async def scenario():
        async with scripted_server(other_value) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            await link.open()
            request = write_request(Table.HOLDING, 5, [7], single=True)
            result = await outcome(link.request(1, request, timeout_s=TIMEOUT_S))
            is_open = link.is_open
            await link.close()
        return result, is_open

    result, is_open = asyncio.run(scenario())
    assert isinstance(result, VIOLATION)
    assert not is_open


def test_a_declared_zero_transaction_is_accepted():
    async def scenario():
        async with scripted_server(lambda q: [Say(patched(q, transaction=b"\0\0"))]) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port), zero_transaction=True)
            await link.open()
            answer = await link.request(1, READ_GOOD, timeout_s=5.0)
            await link.close()
        return read_values(READ_GOOD, answer)

    assert asyncio.run(scenario()) == [2000, 2001, 2002, 2003]


def test_everything_that_waits_fails_at_once_when_the_connection_is_reset():
    async def scenario():
        async with scripted_server(lambda q: [End(reset=True)]) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            await link.open()
            started_s = time.monotonic()
            results = await asyncio.gather(
                *(outcome(link.request(1, READ_GOOD, timeout_s=30)) for _ in range(5))
            )
            await link.close()
        return results, time.monotonic() - started_s

    results, took_s = asyncio.run(scenario())
    assert all(isinstance(result, LOST) for result in results)
    assert took_s < 5


def test_a_closed_link_says_so_and_opens_again():
    async def scenario():
        async with scripted_server(lambda q: [Say(right(q))]) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            unopened = await outcome(link.request(1, READ_GOOD, timeout_s=1))
            await link.open()
            await link.open()
            await link.close()
            await link.close()
            closed = await outcome(link.request(1, READ_GOOD, timeout_s=1))
            await link.open()
            answer = await link.request(1, READ_GOOD, timeout_s=5)
            await link.close()
        return unopened, closed, answer, link.statistics

    unopened, closed, answer, statistics = asyncio.run(scenario())
    assert isinstance(unopened, LOST)
    assert isinstance(closed, LOST)
    assert "it was closed" in str(closed)
    assert read_values(READ_GOOD, answer) == [2000, 2001, 2002, 2003]
    assert (statistics.connects, statistics.losses) == (2, 0)


def test_nobody_listening_is_a_lost_link():
    async def scenario():
        async with scripted_server(lambda q: []) as port:
            pass
        return await outcome(open_link(TcpTarget(host="127.0.0.1", port=port)).open())

    result = asyncio.run(scenario())
    assert isinstance(result, LOST)
    assert "cannot connect" in str(result)


def test_a_request_that_is_given_up_does_not_disturb_the_next_one():
    async def scenario():
        async with scripted_server(lambda q: [Say(right(q), 0.1)]) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            await link.open()
            given_up = asyncio.create_task(link.request(1, READ_BAD, timeout_s=5))
            await until(lambda: link.statistics.requests == 1)
            given_up.cancel()
            answer = await link.request(1, READ_GOOD, timeout_s=5)
            assert given_up.cancelled()
            await link.close()
        return answer

    assert read_values(READ_GOOD, asyncio.run(scenario())) == [2000, 2001, 2002, 2003]


def test_closing_ends_a_request_under_way():
    async def scenario():
        async with scripted_server(lambda q: []) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port))
            await link.open()
            asked = asyncio.create_task(outcome(link.request(1, READ_BAD, timeout_s=30)))
            await until(lambda: link.statistics.requests == 1)
            await link.close()
            return await asked

    assert isinstance(asyncio.run(scenario()), LOST)


def test_callers_are_served_in_order_and_one_at_a_time():
    async def scenario():
        frames = Frames()
        async with scripted_server(lambda q: [Say(right(q), 0.002)]) as port:
            link = open_link(TcpTarget(host="127.0.0.1", port=port), observer=frames)
            await link.open()
            reads = [read_request(Table.HOLDING, 10 * i, 2) for i in range(20)]
            answers = await asyncio.gather(*(link.request(1, read, timeout_s=5) for read in reads))
            await link.close()
        return reads, answers, frames

    reads, answers, frames = asyncio.run(scenario())
    assert [read_values(*pair) for pair in zip(reads, answers, strict=True)] == [
        [10 * i, 10 * i + 1] for i in range(20)
    ]
    assert [way for way, _ in frames.seen] == [Direction.SENT, Direction.RECEIVED] * 20
    assert [frame[7:] for frame in frames.of(Direction.SENT)] == reads
    assert [frame[7:] for frame in frames.of(Direction.RECEIVED)] == answers


class LateAnswers:
    """A fault layer of a slow device: the answer to a read of one address comes late."""

    def __init__(self, address, delay_s):
        self.head = b"\x01" + read_request(Table.HOLDING, address, 4)
        self.delay_s = delay_s

    def refuses_connection(self, clients):
        return False

    def request(self, frame):
        return frame

    def answer(self, request, answer):
        return [Send(frame=answer, after_s=self.delay_s if request.startswith(self.head) else 0.0)]


@pytest.mark.parametrize("delay_s", [0.3, 0.6])
def test_over_rtu_a_late_answer_never_reaches_another_request(delay_s):
    """Equal reads after one another; the first answer comes during the silence, or after it."""

    async def scenario():
        server = ModbusServer(AddressBank(), framing=Framing.RTU, faults=LateAnswers(BAD, delay_s))
        port = await server.start()
        link = open_link(RtuOverTcpTarget(host="127.0.0.1", port=port, turnaround_s=0.3))
        await link.open()
        results = []
        for address in (BAD, 2000, 3000, 4000):
            request = read_request(Table.HOLDING, address, 4)
            answer = await outcome(link.request(1, request, timeout_s=0.2))
            results.append(read_values(request, answer) if isinstance(answer, bytes) else answer)
        await link.close()
        await server.stop()
        return results, link.statistics

    results, statistics = asyncio.run(scenario())
    assert isinstance(results[0], TIMEOUT)
    for address, result in zip((2000, 3000, 4000), results[1:], strict=True):
        assert isinstance(result, VIOLATION) or result == list(range(address, address + 4))
    assert results[3] == [4000, 4001, 4002, 4003]
    assert statistics.late_answers == 1


def test_a_line_that_is_never_silent_is_told(monkeypatch):
    monkeypatch.setattr(links, "_LONGEST_SILENCE_S", 0.2)

    async def scenario():
        is_over = asyncio.Event()

        async def chatter(reader, writer):
            while not writer.is_closing():
                writer.write(b"\x55")
                await asyncio.sleep(0.01)
            is_over.set()

        server = await asyncio.start_server(chatter, "127.0.0.1", 0)
        link = open_link(RtuOverTcpTarget(host="127.0.0.1", port=server.sockets[0].getsockname()[1]))
        await link.open()
        await outcome(link.request(1, READ_GOOD, timeout_s=0.1))
        result = await outcome(link.request(1, READ_GOOD, timeout_s=0.1))
        await link.close()
        await is_over.wait()
        server.close()
        return result

    result = asyncio.run(scenario())
    assert isinstance(result, TIMEOUT)
    assert "never silent" in str(result)


def test_a_link_that_is_closed_while_it_opens_stays_closed():
    async def scenario():
        server = ModbusServer(AddressBank())
        link = open_link(TcpTarget(host="127.0.0.1", port=await server.start()))
        opening = asyncio.create_task(outcome(link.open()))
        await asyncio.sleep(0)
        await link.close()
        result = await opening
        await until(lambda: server.statistics.connections == 1)
        await server.stop()
        return result, link.is_open

    result, is_open = asyncio.run(scenario())
    assert isinstance(result, LOST)
    assert "closed while it was being opened" in str(result)
    assert not is_open


def test_a_device_that_does_not_shake_hands_is_given_up():
    async def scenario():
        async with scripted_server(lambda q: []) as port:
            context = ssl.create_default_context()
            target = TcpTarget(host="127.0.0.1", port=port, tls=context)
            return await outcome(open_link(target, connect_timeout_s=0.2).open())

    result = asyncio.run(scenario())
    assert isinstance(result, LOST)
    assert "no connection within 0.2 s" in str(result)


@pytest.mark.parametrize("pdu", [b"", b"\x11"])
def test_a_request_whose_answer_could_not_be_verified_is_not_sent(pdu):
    with pytest.raises(ValueError, match="not spoken here"):
        asyncio.run(open_link(TcpTarget(host="127.0.0.1", port=1)).request(1, pdu, timeout_s=1))
