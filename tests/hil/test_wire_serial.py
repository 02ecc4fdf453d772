"""A serial line (two joined pseudo-terminals): our client, our server, and what happens when the line goes."""

import asyncio
import os
import threading

import pytest
from modbus_peers import AddressBank, PlainBank, outcome, pty_pair, until

from hil_adapters.errors import LinkLostError, LinkTimeoutError, ProtocolViolationError
from hil_adapters.wire.base import Parity, Send, SerialTarget, Table
from hil_adapters.wire.framing import silent_interval_s
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values, write_request
from hil_adapters.wire.serial_line import open_serial
from hil_adapters.wire.server import SerialServer

READ = read_request(Table.HOLDING, 1000, 40)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with pty_pair(tmp_path_factory.mktemp("line")) as ends:
        yield ends


def target(path, **options):
    return SerialTarget(path=path, **{"baudrate": 115200, "turnaround_s": 0.2} | options)


async def with_server(line, talk, *, bank=None, faults=None, **options):
    server = SerialServer(AddressBank() if bank is None else bank, line[0], baudrate=115200, faults=faults)
    await server.start()
    link = open_link(target(line[1], **options))
    try:
        await link.open()
        return await talk(link, server)
    finally:
        await link.close()
        await server.stop()


def test_a_read_and_a_write_go_over_the_line(line):
    bank = PlainBank()

    async def talk(link, server):
        await link.request(1, write_request(Table.HOLDING, 1000, [7] * 40, single=False), timeout_s=5)
        return await link.request(1, READ, timeout_s=5)

    answer = asyncio.run(with_server(line, talk, bank=bank))
    assert read_values(READ, answer) == [7] * 40
    assert bank.peers[0].address == line[0]


def test_units_that_are_not_there_are_silent_and_the_others_go_on(line):
    async def talk(link, server):
        nobody = await outcome(link.request(2, READ, timeout_s=0.2))
        return nobody, await link.request(1, READ, timeout_s=5), link.is_open

    nobody, answer, is_open = asyncio.run(with_server(line, talk))
    assert isinstance(nobody, LinkTimeoutError)
    assert read_values(READ, answer) == list(range(1000, 1040))
    assert is_open


class OneFault:
    """A fault layer that spoils the first answer."""

    def __init__(self, spoil):
        self.spoil = spoil
        self.n = 0

    def refuses_connection(self, clients):
        return False

    def request(self, frame):
        return frame

    def answer(self, request, answer):
        self.n += 1
        return self.spoil(answer) if self.n == 1 else [Send(frame=answer)]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda a: [Send(frame=a[:-1] + bytes([a[-1] ^ 4]))], ProtocolViolationError),
        (lambda a: [Send(frame=b"\x55" + a)], ProtocolViolationError),
        (lambda a: [Send(frame=a[:-4])], ProtocolViolationError),
        (lambda a: [], LinkTimeoutError),
        (lambda a: [Send(frame=a, after_s=0.6)], LinkTimeoutError),
    ],
    ids=["check sum", "garbage before", "truncated", "lost", "late"],
)
def test_after_a_fault_the_line_rests_and_the_next_reads_get_their_own_answers(line, spoil, expected):
    async def talk(link, server):
        results = [await outcome(link.request(1, READ, timeout_s=0.5))]
        for address in (2000, 3000):
            request = read_request(Table.HOLDING, address, 40)
            results.append(read_values(request, await link.request(1, request, timeout_s=5)))
        return results, link.is_open

    results, is_open = asyncio.run(with_server(line, talk, faults=OneFault(spoil)))
    assert isinstance(results[0], expected), results[0]
    assert results[1:] == [list(range(2000, 2040)), list(range(3000, 3040))]
    assert is_open


def test_an_answer_in_pieces_is_put_together(line):
    def pieces(answer):
        return [Send(frame=answer[i : i + 30], after_s=0.005) for i in range(0, len(answer), 30)]

    async def talk(link, server):
        return await link.request(1, READ, timeout_s=5)

    answer = asyncio.run(with_server(line, talk, faults=OneFault(pieces)))
    assert read_values(READ, answer) == list(range(1000, 1040))


def test_a_line_has_one_master(line):
    async def talk(link, server):
        return await outcome(open_link(target(line[1])).open())

    refused = asyncio.run(with_server(line, talk))
    assert isinstance(refused, LinkLostError)
    assert line[1] in str(refused)


def test_a_line_that_is_not_there_is_a_lost_link(tmp_path):
    async def scenario():
        path = str(tmp_path / "nothing")
        with pytest.raises(LinkLostError, match="check the path"):
            await SerialServer(PlainBank(), path).start()
        return await outcome(open_link(target(path)).open())

    assert isinstance(asyncio.run(scenario()), LinkLostError)


def test_a_line_that_is_unplugged_fails_the_request_under_way(tmp_path):
    async def scenario():
        with pty_pair(tmp_path) as (here, there):
            server = SerialServer(PlainBank(), there)
            await server.start()
            link = open_link(target(here))
            await link.open()
            asked = asyncio.create_task(outcome(link.request(9, READ, timeout_s=30)))
            await until(lambda: server.statistics.requests == 1)
        result = await asked
        await until(server.has_ended.is_set)
        await server.stop()
        await link.close()
        return result, link.is_open

    result, is_open = asyncio.run(scenario())
    assert isinstance(result, LinkLostError)
    assert not is_open


def test_a_loop_that_cannot_watch_files_reads_in_a_thread(line, monkeypatch):
    """As on Windows."""

    def refuse(self, *args):
        raise NotImplementedError

    def readers():
        return [thread for thread in threading.enumerate() if thread.name.startswith("serial ")]

    async def talk(link, server):
        assert len(readers()) == 2
        return await link.request(1, READ, timeout_s=5)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", refuse)
    answer = asyncio.run(with_server(line, talk))
    assert read_values(READ, answer) == list(range(1000, 1040))
    assert readers() == []


@pytest.mark.parametrize("is_threaded", [False, True])
def test_a_line_that_takes_no_more_bytes_counts_as_lost(is_threaded, monkeypatch):
    """A pseudo-terminal that nobody reads from."""

    def refuse(self, *args):
        raise NotImplementedError

    lost = []

    class Listener(asyncio.Protocol):
        def connection_lost(self, exc):
            lost.append(exc)

    async def scenario():
        if is_threaded:
            monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", refuse)
        deaf, end = os.openpty()
        try:
            channel = open_serial(SerialTarget(path=os.ttyname(end)), Listener())
            for _ in range(1000):
                channel.write(bytes(1000))
            await until(lambda: len(lost) == 1)
            channel.write(b"x")
            channel.close()
        finally:
            os.close(deaf)
            os.close(end)

    asyncio.run(scenario())
    assert isinstance(lost[0], OSError)
    assert "of 1000 bytes" in str(lost[0])


def test_a_slow_line_rests_longer_between_frames():
    assert silent_interval_s(1200) > silent_interval_s(9600) > silent_interval_s(115200)
    assert SerialTarget(path="x", parity=Parity.ODD).parity is Parity.ODD
