"""Two units on one serial line: one session each, one link, and a unit that dies does not take the other along."""

import asyncio
from pathlib import Path

from device_bench import MemoryBank, a_map, a_point
from modbus_peers import pty_pair

from hil_adapters.device.events import Cycle, EventKind, SessionState
from hil_adapters.device.pool import LinkPool
from hil_adapters.device.session import DeviceSession
from hil_adapters.wire.base import SerialTarget
from hil_adapters.wire.links import open_link
from hil_adapters.wire.server import SerialServer


def test_a_unit_that_dies_on_a_shared_line_is_found_again_and_the_other_is_polled_throughout(
    tmp_path: Path,
) -> None:
    bank = MemoryBank({1: {10: 1}, 2: {10: 2}})
    died, back = asyncio.Event(), asyncio.Event()
    both = {1: asyncio.Event(), 2: asyncio.Event()}
    kinds: dict[int, list[EventKind]] = {1: [], 2: []}

    async def poll(session: DeviceSession) -> None:
        async def note(cycle: Cycle) -> None:
            kinds[session.unit].extend(event.kind for event in cycle.events)
            if cycle.answered:
                both[session.unit].set()
            if session.unit == 2 and EventKind.DISCONNECTED in kinds[2]:
                died.set()
                if cycle.state is SessionState.IDENTIFIED and cycle.answered:
                    back.set()

        await session.run(0.03, note)

    async def run(server_path: str, client_path: str) -> tuple[int, float, float]:
        server = SerialServer(bank, server_path, baudrate=115200)
        await server.start()
        target = SerialTarget(path=client_path, baudrate=115200, turnaround_s=0.01)
        pool = LinkPool(open_link)
        map_ = a_map(a_point("p", 10), link={"timeout_s": 0.25})
        sessions = [DeviceSession(map_, target, unit, pool=pool) for unit in (1, 2)]
        tasks = [asyncio.create_task(poll(session)) for session in sessions]
        async with asyncio.timeout(30):
            await both[1].wait()
            await both[2].wait()
            dead = bank.units.pop(2)
            await died.wait()
            both[1].clear()
            await both[1].wait()
            bank.units[2] = dead
            await back.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        values = [session.values["p"].value for session in sessions]
        connects = sessions[0].link.statistics.connects
        for session in sessions:
            await session.close()
        await server.stop()
        return connects, values[0], values[1]

    with pty_pair(tmp_path) as ends:
        assert asyncio.run(run(*ends)) == (1, 1.0, 2.0)
    assert kinds[1] == [EventKind.CONNECTED]
    assert kinds[2] == [EventKind.CONNECTED, EventKind.DISCONNECTED, EventKind.CONNECTED]
