"""Many faults at once, by chance: whatever comes, a value that belongs to another request is never taken."""

import asyncio
from dataclasses import replace

import pytest

from hil_adapters.errors import LinkError
from hil_adapters.faults.catalogue import Fault
from hil_adapters.faults.entries import CATALOGUE
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.rules import FaultRule, FaultScript
from hil_adapters.wire.base import RtuOverTcpTarget, Table
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values
from hil_adapters.wire.server import Framing, ModbusServer
from tools.fault_matrix import COUNT, UNIT, AddressBank, target_of

STORM: dict[Fault, dict[str, float]] = {
    Fault.RESET: {},
    Fault.CLOSE: {},
    Fault.SILENT: {},
    Fault.LATE: {"delay_s": 0.25},
    Fault.DUPLICATE: {},
    Fault.STALE_FIRST: {},
    Fault.SPLIT: {"delay_s": 0.001},
    Fault.WRONG_UNIT: {},
    Fault.WRONG_TRANSACTION: {},
    Fault.LENGTH_LOW: {},
    Fault.FEWER_REGISTERS: {},
    Fault.MORE_REGISTERS: {},
    Fault.BYTE_COUNT_LOW: {},
    Fault.WRONG_FUNCTION: {},
    Fault.EXCEPTION: {},
    Fault.GARBAGE_BEFORE: {},
    Fault.GARBAGE_ONLY: {},
    Fault.TRUNCATED: {},
    Fault.BAD_CRC: {},
    Fault.LOCAL_ECHO: {},
}


@pytest.mark.parametrize(
    ("framing", "absent", "n_requests"),
    [
        (Framing.TCP, None, 300),
        (Framing.RTU, Fault.STALE_FIRST, 80),
    ],
)
def test_in_a_storm_of_faults_no_value_of_another_request_is_ever_taken(
    framing: Framing, absent: Fault | None, n_requests: int
) -> None:
    rules = tuple(
        FaultRule(fault=fault, probability=0.02, parameters=parameters)
        for fault, parameters in STORM.items()
        if framing in CATALOGUE[fault].framings and fault is not absent
    )
    plan = FaultPlan(FaultScript(seed=11, rules=rules), framing=framing)

    async def run() -> int:
        server = ModbusServer(AddressBank(), framing=framing, faults=plan)
        target = target_of(await server.start(), framing)
        if isinstance(target, RtuOverTcpTarget):
            target = replace(target, turnaround_s=0.15)
        link = open_link(target)
        n_right = 0
        for number in range(n_requests):
            # always the same length: over RTU nothing else tells answers apart
            address = 10 * number
            request = read_request(Table.HOLDING, address, COUNT)
            try:
                await link.open()
                answer = await link.request(UNIT, request, timeout_s=0.15)
            except LinkError:
                continue
            assert read_values(request, answer) == list(range(address, address + COUNT))
            n_right += 1
        plan_was_busy = sum(plan.counts.values()) > 0.15 * n_requests
        await link.close()
        await server.stop()
        assert plan_was_busy
        return n_right

    assert asyncio.run(run()) > n_requests // 3
