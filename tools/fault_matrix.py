"""Runs every fault of the catalogue against the client's link, and says what became of it.

The device in these runs answers each register with its own address, so a value that belongs to another request shows.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hil_adapters.errors import (
    ExceptionReplyError,
    LinkError,
    LinkLostError,
    LinkTimeoutError,
    ProtocolViolationError,
)
from hil_adapters.faults.catalogue import Fault, Level, Outcome
from hil_adapters.faults.entries import CATALOGUE
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.proxy import FaultProxy
from hil_adapters.faults.rules import AddressRange, FaultRule, FaultScript
from hil_adapters.wire.base import ModbusLink, Peer, RtuOverTcpTarget, Table, Target, TcpTarget
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request, read_values, write_request
from hil_adapters.wire.server import Framing, ModbusServer

__all__ = ["CASES", "AddressBank", "Case", "LinkResult", "Place", "run_link", "run_links", "target_of"]

UNIT = 1
COUNT = 4
_STRUCK = 1000
_WRITTEN = 1050
_CALM = (2000, 3000, 4000)
_SHORT_S = 1.0
"""Deadline of requests that may end there."""
_LONG_S = 10.0
"""Deadline of requests that must end before."""
_LATE_S = 1.3
"""After the deadline, while the next requests are under way."""
_TURNAROUND_S = 0.5
_PAUSE_S = 0.02
_UNTIL_S = 1.0
"""End of the faults, on a clock that is set by hand."""
_MOST_TRIES = 4


class AddressBank:
    """Every holding register holds its own address; writes are kept apart."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, list[int], Peer]] = []

    def has_unit(self, unit: int) -> bool:
        """Return whether it is unit 1."""
        return unit == UNIT

    def read(self, _unit: int, _table: Table, address: int, count: int) -> list[int]:
        """Return the addresses."""
        return list(range(address, address + count))

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        """Keep the write."""
        del unit, table, single
        self.writes.append((address, values, peer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One fault with its parameters."""

    fault: Fault
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it as a row is headed."""
        numbers = ", ".join(f"{name} {value:g}" for name, value in self.parameters.items())
        return f"{self.fault} ({numbers})" if numbers else str(self.fault)

    def rule(self) -> FaultRule:
        """Return the rule that strikes the registers of the runs, and only them."""
        entry = CATALOGUE[self.fault]
        where = None if entry.level is Level.CONNECTION else (AddressRange(first=_STRUCK, last=_STRUCK + 99),)
        if self.fault in {Fault.RESET, Fault.CLOSE, Fault.HALF_OPEN}:
            where = (AddressRange(first=_STRUCK, last=_STRUCK + 99),)
        return FaultRule(
            fault=self.fault, addresses=where, until_s=_UNTIL_S, parameters=dict(self.parameters)
        )


_EXCEPTION_CODES = (1, 2, 3, 4, 5, 6, 10, 11, 0x77)
_OWN_PARAMETERS: Mapping[Fault, tuple[Mapping[str, float], ...]] = {
    Fault.EXCEPTION: tuple({"code": float(code)} for code in _EXCEPTION_CODES),
    Fault.LATE: ({"delay_s": _LATE_S},),
    Fault.RESET: ({}, {"delay_s": 0.05}),
    Fault.LENGTH_HIGH: ({"bytes": 2.0}, {"bytes": 1000.0}),
    Fault.BYTE_COUNT_HIGH: ({"bytes": 2.0}, {"bytes": 200.0}),
}

CASES: tuple[Case, ...] = tuple(
    Case(fault=fault, parameters=parameters)
    for fault, entry in CATALOGUE.items()
    if entry.level is not Level.VALUE
    for parameters in _OWN_PARAMETERS.get(fault, ({},))
)
"""Every fault on the wire; exceptions with every code that the standard defines, and one that it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkResult:
    """What a link made of a fault."""

    outcome: Outcome
    """Of the request that was struck."""
    wrong: int
    """Requests, struck or later, that returned values of another one."""
    tries: int | None
    """Requests until right values came again on registers that are not struck; None where they did not."""
    injected: int
    """How often the fault was injected."""

    def __str__(self) -> str:
        """Return it in words."""
        if self.wrong:
            return f"WRONG VALUES ({self.wrong})"
        after = {None: "no recovery", 1: "next right"}.get(self.tries, f"right at try {self.tries}")
        return f"{self.outcome}, {after}"


def target_of(port: int, framing: Framing) -> Target:
    """Return a server of this machine."""
    if framing is Framing.TCP:
        return TcpTarget(host="127.0.0.1", port=port)
    return RtuOverTcpTarget(host="127.0.0.1", port=port, turnaround_s=_TURNAROUND_S)


class _Prober:
    """Asks one link, and remembers values that belong to another request."""

    def __init__(self, link: ModbusLink) -> None:
        self._link = link
        self.wrong = 0

    async def read(self, address: int, *, timeout_s: float) -> Outcome:
        """Read registers, on an open link."""
        request = read_request(Table.HOLDING, address, COUNT)
        return await self._ask(request, list(range(address, address + COUNT)), timeout_s)

    async def write(self, address: int, *, timeout_s: float) -> Outcome:
        """Write registers, on an open link."""
        return await self._ask(
            write_request(Table.HOLDING, address, [7] * COUNT, single=False), None, timeout_s
        )

    async def _ask(self, request: bytes, expected: list[int] | None, timeout_s: float) -> Outcome:
        try:
            await self._link.open()
            answer = await self._link.request(UNIT, request, timeout_s=timeout_s)
        except LinkError as error:
            return _outcome(error)
        if expected is not None and read_values(request, answer) != expected:
            self.wrong += 1
        return Outcome.RIGHT


def _outcome(error: LinkError) -> Outcome:
    match error:
        case LinkTimeoutError():
            return Outcome.TIMEOUT
        case LinkLostError():
            return Outcome.LOST
        case ProtocolViolationError():
            return Outcome.VIOLATION
        case ExceptionReplyError():
            return Outcome.EXCEPTION
        case _:
            raise error


async def _tries(prober: _Prober) -> int | None:
    """Return how many requests it took until right values came, after which all further ones must be right too."""
    for number in range(1, _MOST_TRIES + 1):
        if await prober.read(_CALM[0], timeout_s=_LONG_S) is Outcome.RIGHT:
            later = [await prober.read(address, timeout_s=_LONG_S) for address in _CALM[1:]]
            return number if set(later) == {Outcome.RIGHT} else None
    return None


async def _let_the_late_answer_come(prober: _Prober, link: ModbusLink) -> None:
    """Go on reading until the answer that was too late has come in between."""
    for _ in range(int(_LONG_S / _PAUSE_S)):
        if link.statistics.late_answers:
            return
        await prober.read(_CALM[0], timeout_s=_LONG_S)
        await asyncio.sleep(_PAUSE_S)
    prober.wrong += 1


class Place(StrEnum):
    """Where the fault is injected."""

    SERVER = "server"
    """In the emulated device."""
    PROXY = "proxy"
    """In a proxy before a device without faults."""


class _Bench:
    """A device with a fault, or one without behind a proxy that has it."""

    def __init__(self, plan: FaultPlan, place: Place) -> None:
        faults = plan if place is Place.SERVER else None
        self.server = ModbusServer(AddressBank(), framing=plan.framing, faults=faults)
        self._plan = plan
        self._proxy: FaultProxy | None = None
        self._place = place

    async def start(self) -> int:
        """Return the port that the client is given."""
        port = await self.server.start()
        if self._place is Place.SERVER:
            return port
        self._proxy = FaultProxy(target_of(port, self._plan.framing), self._plan)
        return await self._proxy.start()

    async def stop(self) -> None:
        """End both."""
        if self._proxy is not None:
            await self._proxy.stop()
        await self.server.stop()


async def run_link(case: Case, framing: Framing, *, place: Place = Place.SERVER) -> LinkResult:
    """Let a fault strike one request, and see what the link makes of it and of the next ones."""
    clock = _Clock()
    plan = FaultPlan(FaultScript(rules=(case.rule(),)), framing=framing, clock=clock)
    bench = _Bench(plan, place)
    link = open_link(target_of(await bench.start(), framing))
    first: ModbusLink | None = None
    try:
        if case.fault is Fault.ONE_CLIENT:
            first = open_link(link.target)
            await first.open()
        prober = _Prober(link)
        if CATALOGUE[case.fault].level is not Level.CONNECTION:
            # an answer before, that a stale one can come from
            await prober.read(_CALM[0], timeout_s=_LONG_S)
        allowed = CATALOGUE[case.fault].tcp if framing is Framing.TCP else CATALOGUE[case.fault].rtu
        timeout_s = _SHORT_S if Outcome.TIMEOUT in allowed and Outcome.RIGHT not in allowed else _LONG_S
        if case.fault is Fault.WRONG_ECHO:
            outcome = await prober.write(_WRITTEN, timeout_s=timeout_s)
        else:
            outcome = await prober.read(_STRUCK, timeout_s=timeout_s)
        injected = plan.counts[case.fault]
        if case.fault is Fault.LATE:
            await _let_the_late_answer_come(prober, link)
        if case.fault in {Fault.REFUSED, Fault.ONE_CLIENT, Fault.HALF_OPEN}:
            clock.at_s = _UNTIL_S
            await _leave(first)
        tries = await _tries(prober)
        return LinkResult(outcome=outcome, wrong=prober.wrong, tries=tries, injected=injected)
    finally:
        await link.close()
        await _leave(first)
        await bench.stop()


async def _leave(first: ModbusLink | None) -> None:
    """Let the first of two clients leave."""
    if first is not None:
        await first.close()


class _Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


async def run_links(framing: Framing, *, place: Place = Place.SERVER) -> dict[str, LinkResult]:
    """Return the result of every case that exists in a framing, by its name; they run side by side."""
    cases = [case for case in CASES if framing in CATALOGUE[case.fault].framings]
    results = await asyncio.gather(*(run_link(case, framing, place=place) for case in cases))
    return {str(case): result for case, result in zip(cases, results, strict=True)}
