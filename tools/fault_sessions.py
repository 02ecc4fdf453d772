"""Runs every fault of the catalogue against a device session: what its owner is told, and whether it comes back.

The device gives its serial number, a power with a scale factor, a heartbeat, an energy counter and a set-point. The clock
of the faults and of the session is set by hand: the faults last from 5 s to 15 s.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from hil_adapters.device.clocks import Clocks
from hil_adapters.device.events import EventKind
from hil_adapters.device.pool import LinkPool
from hil_adapters.device.session import DeviceSession
from hil_adapters.errors import HilError, IdentityError, LinkError
from hil_adapters.faults.bank import FaultyBank
from hil_adapters.faults.catalogue import Fault, Level
from hil_adapters.faults.entries import CATALOGUE
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.rules import AddressRange, FaultRule, FaultScript
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.samples import NOTHING, Quality
from hil_adapters.wire.base import Peer, Table, TcpTarget
from hil_adapters.wire.codes import ExceptionCode, Refusal
from hil_adapters.wire.links import open_link
from hil_adapters.wire.server import ModbusServer
from tools.fault_matrix import Case

__all__ = ["SESSION_CASES", "HandClock", "SessionResult", "SmallDevice", "run_session", "small_map"]

UNIT = 1
SERIAL = "GM-0001"
P_W = 123.4
_SET_ADDRESS = 120
_FIRST_SET = 40
_TIMEOUT_S = 1.0
_BEFORE_S, _FROM_S, _DURING_S, _UNTIL_S, _AFTER_S = 0.0, 5.0, 10.0, 15.0, 30.0
_POWER = ((100, 100),)
_SCALE = ((101, 101),)
_HEARTBEAT = ((103, 103),)
_ENERGY = ((104, 105),)
_SET = ((_SET_ADDRESS, _SET_ADDRESS),)
_FAST = ((100, 105),)
_MOST_TRIES = 3


class HandClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        """Return the time [s]."""
        return self.at_s


class SmallDevice:
    """A bank with a few registers; its heartbeat and its energy counter grow with every read of them."""

    def __init__(self) -> None:
        padded = SERIAL.encode().ljust(16, b"\0")
        self.registers = {at // 2: int.from_bytes(padded[at : at + 2], "big") for at in range(0, 16, 2)}
        self.registers |= {
            100: 1234,
            101: 0xFFFF,
            102: 215,
            103: 0,
            104: 0,
            105: 5000,
            _SET_ADDRESS: _FIRST_SET,
        }
        # the neighbours, so that a shift of the map finds something
        self.registers |= {8: 0, 99: 0, 106: 0, 119: 0, 121: 0}

    def has_unit(self, unit: int) -> bool:
        """Return whether it is unit 1."""
        return unit == UNIT

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return registers."""
        del unit
        wanted = range(address, address + count)
        if table is not Table.HOLDING or any(at not in self.registers for at in wanted):
            raise Refusal(ExceptionCode.ADDRESS)
        for growing in (103, 105):
            if growing in wanted:
                self.registers[growing] = (self.registers[growing] + 1) % 0x10000
        return [self.registers[at] for at in wanted]

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        """Take the set-point."""
        del unit, peer, single
        if table is not Table.HOLDING or address != _SET_ADDRESS or len(values) != 1:
            raise Refusal(ExceptionCode.ADDRESS)
        self.registers[address] = values[0]


def small_map() -> RegisterMap:
    """Return the map of :class:`SmallDevice`."""
    points = [
        {"name": "serial", "address": 0, "type": "string", "length": 8, "group": "once"},
        {
            "name": "p",
            "address": 100,
            "type": "int16",
            "scale_point": "p_sf",
            "unit": "W",
            "missing": [0x8000],
        },
        {"name": "p_sf", "address": 101, "type": "int16", "missing": [0x8000]},
        {"name": "temp", "address": 102, "type": "uint16", "scale": 0.1, "unit": "degC"},
        {"name": "beat", "address": 103, "type": "uint16", "frozen_after_s": 2.0},
        {"name": "energy", "address": 104, "type": "uint32", "unit": "Wh", "role": "counter"},
        {"name": "set", "address": _SET_ADDRESS, "type": "uint16", "unit": "%", "access": "rw"},
    ]
    for point in points:
        point.setdefault("group", "fast")
    return RegisterMap.model_validate(
        {
            "name": "small",
            "title": "Device of the fault runs",
            "kind": "other",
            "source": {"document": "tools/fault_sessions.py", "pages": "all"},
            "verified": "emulated",
            "link": {"timeout_s": _TIMEOUT_S, "max_gap": 4},
            "identity": {"serial": "serial"},
            "points": points,
        }
    )


_PLACES: Mapping[Fault, tuple[tuple[int, int], ...] | None] = {
    Fault.MISSING_VALUE: _POWER,
    Fault.SCALE_OUT_OF_RANGE: _SCALE,
    Fault.SCALE_MISSING: _SCALE,
    Fault.SCALE_CHANGE: _SCALE,
    Fault.FROZEN: _HEARTBEAT,
    Fault.MAP_SHIFT: None,
    Fault.COUNTER_RESET: _ENERGY,
    Fault.COUNTER_ROLLOVER: _ENERGY,
    Fault.REBOOT: _ENERGY,
    Fault.SECOND_MASTER: _SET,
    Fault.IGNORED_WRITE: _SET,
    Fault.WRONG_ECHO: _SET,
    Fault.REFUSED: None,
    Fault.ONE_CLIENT: None,
}
_TCP_CODES = (1, 2, 3, 4, 5, 6, 10, 11, 0x77)
_PARAMETERS: Mapping[Fault, tuple[Mapping[str, float], ...]] = {
    Fault.EXCEPTION: tuple({"code": float(code)} for code in _TCP_CODES),
    Fault.LATE: ({"delay_s": _TIMEOUT_S + 0.3},),
    Fault.SECOND_MASTER: ({"value": 99.0, "every_s": 1.0},),
    Fault.COUNTER_ROLLOVER: ({"left": 1.0},),
    Fault.REBOOT: ({"down_s": 1.0},),
}
SESSION_CASES: tuple[Case, ...] = tuple(
    Case(fault=fault, parameters=parameters)
    for fault, entry in CATALOGUE.items()
    if entry.tcp
    for parameters in _PARAMETERS.get(fault, ({},))
)
"""Every fault that exists over Modbus TCP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """What a session made of a fault."""

    told: str
    """What the struck poll (or write) ended in, and what its owner sees of it."""
    is_wrong: bool
    """Whether a wrong power was ever called good."""
    recovery: str
    """How right values came back after the fault."""

    def __str__(self) -> str:
        """Return it in words."""
        return f"WRONG VALUE; {self.told}" if self.is_wrong else f"{self.told}; {self.recovery}"


class _Run:
    """One device, one session, one fault."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.clock = HandClock()
        self.device = SmallDevice()
        places = _PLACES.get(case.fault, _FAST)
        rule = FaultRule(
            fault=case.fault,
            addresses=None
            if places is None
            else tuple(AddressRange(first=first, last=last) for first, last in places),
            from_s=_FROM_S,
            until_s=math.inf if case.fault is Fault.REBOOT else _UNTIL_S,
            parameters=dict(case.parameters),
        )
        self.plan = FaultPlan(FaultScript(rules=(rule,)), clock=self.clock)
        self.server = ModbusServer(FaultyBank(self.device, self.plan.values), faults=self.plan)
        self.is_wrong = False

    def session(self) -> DeviceSession:
        """Return a session with the device."""
        target = TcpTarget(host="127.0.0.1", port=self.server.port)
        pool = LinkPool(open_link, clocks=Clocks(monotonic=self.clock))
        return DeviceSession(small_map(), target, UNIT, serial=SERIAL, pool=pool)

    def look(self, session: DeviceSession) -> str:
        """Return the quality of the power, and whether it is an older reading; note where a wrong one is called good."""
        sample = session.values.get("p", NOTHING)
        if sample.quality is Quality.GOOD and not math.isclose(sample.value, P_W):
            self.is_wrong = True
        kept = " from before" if sample.received_s < _FROM_S else ""
        return f"{sample.quality.name.lower()}{kept}"


async def _poll(run: _Run, session: DeviceSession) -> str:
    """Poll once; return in words what it ended in."""
    try:
        await session.poll("fast")
    except LinkError as error:
        said = type(error).__name__.removesuffix("Error")
    else:
        said = "no error"
    # the connection may be found lost only when its state is asked for
    state = session.state
    kinds = sorted({event.kind for event in session.take_events()} - {EventKind.CONNECTED})
    told = f"; told: {', '.join(kinds)}" if kinds else ""
    return f"{said}, power {run.look(session)}, {state}{told}"


async def _struck_poll(run: _Run, session: DeviceSession) -> str:
    return await _poll(run, session)


async def _second_poll(run: _Run, session: DeviceSession) -> str:
    """Poll twice: the fault shows against the reading before it."""
    await session.poll("fast")
    run.clock.at_s += 4.0
    return await _poll(run, session)


async def _refused(run: _Run, session: DeviceSession) -> str:
    await session.link.abort()
    try:
        await session.connect()
    except LinkError as error:
        return (
            f"{type(error).__name__.removesuffix('Error')} when connecting again, power {run.look(session)}"
        )
    return "connected"


async def _one_client(run: _Run, session: DeviceSession) -> str:
    second = run.session()
    try:
        await second.connect()
    except LinkError as error:
        said = f"second session: {type(error).__name__.removesuffix('Error')}"
    else:
        said = "second session connected"
    finally:
        await second.close()
    return f"{said}; first session: {await _poll(run, session)}"


async def _moved(run: _Run, session: DeviceSession) -> str:
    """Let the device come back with shifted registers, as after a change of its firmware."""
    await session.link.abort()
    try:
        await session.connect()
    except (IdentityError, LinkError) as error:
        return f"{type(error).__name__.removesuffix('Error')} when connecting again, power {run.look(session)}, {session.state}"
    return f"connected; {await _poll(run, session)}"


async def _rebooted(run: _Run, session: DeviceSession) -> str:
    """Poll while the device is down and again when it is back; the set-point that was written is lost."""
    run.clock.at_s = _FROM_S + 0.5
    down = await _poll(run, session)
    run.clock.at_s = _DURING_S
    await session.connect()
    back = await _poll(run, session)
    held = run.device.registers[_SET_ADDRESS]
    return f"{down}; then {back}; set-point {'lost' if held == _FIRST_SET else 'kept'}"


async def _written(run: _Run, session: DeviceSession) -> str:
    try:
        await session.write("set", 60.0, log=lambda _: None)
    except HilError as error:
        return f"{type(error).__name__.removesuffix('Error')} of the write, power {run.look(session)}"
    run.clock.at_s += 2.0
    back = await session.read_back("set")
    return f"write confirmed, read back {back:g} where 60 was written"


_STRIKES: Mapping[Fault, Callable[[_Run, DeviceSession], Awaitable[str]]] = {
    Fault.REFUSED: _refused,
    Fault.ONE_CLIENT: _one_client,
    Fault.MAP_SHIFT: _moved,
    Fault.REBOOT: _rebooted,
    Fault.WRONG_ECHO: _written,
    Fault.SECOND_MASTER: _written,
    Fault.IGNORED_WRITE: _written,
    Fault.FROZEN: _second_poll,
    Fault.COUNTER_ROLLOVER: _second_poll,
}


async def _recovery(run: _Run, session: DeviceSession) -> str:
    """Poll after the end of the fault until the power is right and good; connect again where that is needed."""
    run.clock.at_s = _AFTER_S
    connections = session.connection
    for number in range(_MOST_TRIES):
        if number == _MOST_TRIES - 1:
            await session.link.abort()
        try:
            await session.connect()
            await session.poll("fast")
        except LinkError:
            continue
        if run.look(session) == Quality.GOOD.name.lower():
            return "good again" if session.connection == connections else "good again after connecting"
    return "NO RECOVERY"


async def run_session(case: Case) -> SessionResult:
    """Let a fault strike a session, and see what it tells and how it comes back."""
    run = _Run(case)
    await run.server.start()
    session = run.session()
    try:
        await session.connect()
        await session.poll("fast")
        session.take_events()
        if case.fault is Fault.REBOOT:
            await session.write("set", 60.0, log=lambda _: None)
        run.clock.at_s = _DURING_S
        told = await _STRIKES.get(case.fault, _struck_poll)(run, session)
        recovery = await _recovery(run, session)
        return SessionResult(told=told, is_wrong=run.is_wrong, recovery=recovery)
    finally:
        await session.close()
        await run.server.stop()


def value_faults() -> tuple[Fault, ...]:
    """Return the faults that a link cannot see."""
    return tuple(fault for fault, entry in CATALOGUE.items() if entry.level is Level.VALUE)


async def run_sessions() -> dict[str, SessionResult]:
    """Return the result of every case by its name; they run side by side."""
    results = await asyncio.gather(*(run_session(case) for case in SESSION_CASES))
    return {str(case): result for case, result in zip(SESSION_CASES, results, strict=True)}
