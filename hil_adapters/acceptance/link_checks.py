"""Checks of the connection: it is lost and comes back, a second client comes, a register is asked for that is not there."""

import time
from typing import Final

from hil_adapters.acceptance.bench import Bench
from hil_adapters.acceptance.results import CheckResult, Outcome, failed, not_applicable, passed
from hil_adapters.device.events import SessionState
from hil_adapters.errors import ExceptionReplyError, HilError, LinkError, LinkLostError, LinkTimeoutError
from hil_adapters.maps.codec import register_count
from hil_adapters.maps.schema import Access, Point, RegisterMap
from hil_adapters.wire.base import RtuOverTcpTarget, SerialTarget, Table
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request

__all__ = ["link_checks"]

_RECONNECT_S: Final = 10.0
_LAST: Final = 65535


async def link_checks(bench: Bench) -> list[CheckResult]:
    """Return what became of all of them; the device is connected again afterwards."""
    return [await _absent_register(bench), await _second_client(bench), await _reconnect(bench)]


async def _reconnect(bench: Bench) -> CheckResult:
    """Drop the connection and wait until the same device is identified on another one."""
    name, before = "reconnect", bench.session.connection
    await bench.session.give_up("the acceptance test drops the connection")
    began_s = time.monotonic()
    back = await bench.until(
        lambda: bench.session.connection > before and bench.session.state is SessionState.IDENTIFIED,
        timeout_s=_RECONNECT_S,
    )
    took_s = time.monotonic() - began_s
    if not back:
        last = bench.told[-1] if bench.told else "nothing was heard"
        return failed(name, f"not back within {_RECONNECT_S:g} s: {last}")
    return passed(
        name, f"the same device was identified again after {took_s:.2f} s", value=round(took_s, 2), unit="s"
    )


async def _second_client(bench: Bench) -> CheckResult:
    """Connect a second time while the first connection is in use."""
    name, session = "second client", bench.session
    if isinstance(session.target, SerialTarget | RtuOverTcpTarget):
        return not_applicable(name, "a serial line has one master; a second one would talk at the same time")
    before, link = session.connection, open_link(session.target)
    point = _any_point(session.map)
    request = read_request(point.table, point.address, register_count(point))
    try:
        await link.open()
        await link.request(session.unit, request, timeout_s=session.timeout_s)
        seen = "is served"
    except ExceptionReplyError:
        seen = "is served"
    except LinkTimeoutError:
        seen = "is connected and not answered"
    except LinkError:
        seen = "is refused"
    finally:
        await link.close()
    await bench.wait(3.0 * bench.options.poll_s)
    if session.connection != before or session.state is not SessionState.IDENTIFIED:
        return CheckResult(
            name=name,
            outcome=Outcome.FAILED,
            text=f"a second client {seen}, and the first one lost its connection; keep others away from the device",
            value=seen,
            needed=False,
        )
    note = ""
    if seen != "is served" and not session.map.link.quirks.one_client:
        note = "; the map may say so: link.quirks.one_client"
    if seen == "is served":
        note = "; nothing keeps a second master away but the lab"
    return passed(name, f"a second client {seen}{note}", value=seen)


def _any_point(register_map: RegisterMap) -> Point:
    """Return a point that can be read."""
    return next(point for point in register_map.points if point.access is not Access.WRITE)


async def _absent_register(bench: Bench) -> CheckResult:
    """Ask for a register that the map does not have: the device must say so, and go on answering."""
    name, session = "wrong request", bench.session
    point = _any_point(session.map)
    used = {
        address
        for each in session.map.points
        if each.table is Table.HOLDING
        for address in range(each.address, each.address + register_count(each))
    }
    address = next(address for address in range(_LAST, 0, -1) if address not in used)
    try:
        await session.link.request(
            session.unit, read_request(Table.HOLDING, address, 1), timeout_s=session.timeout_s
        )
        seen = "answered with a value"
    except ExceptionReplyError as error:
        seen = f"refused with exception {error.code}"
    except LinkTimeoutError:
        seen = "not answered"
    except LinkLostError as error:
        seen = f"answered by closing the connection ({error})"
    try:
        if not await bench.until(lambda: session.state is SessionState.IDENTIFIED, timeout_s=_RECONNECT_S):
            return failed(
                name, f"register {address}, which the map does not have, is {seen}; then nothing answered"
            )
        await session.read((point.name,))
    except HilError as error:
        return failed(
            name, f"register {address}, which the map does not have, is {seen}; afterwards: {error}"
        )
    return passed(
        name,
        f"register {address}, which the map does not have, is {seen}; wrong values are not sent to a device: "
        "the guard refuses them",
        value=seen,
    )
