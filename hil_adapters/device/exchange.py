"""One request and its answer, with the few repeats that are allowed, and the only function that writes to the wire."""

from collections.abc import Callable
from dataclasses import dataclass

from hil_adapters.device.clocks import Clocks
from hil_adapters.device.pool import SharedLink
from hil_adapters.device.statistics import SessionStatistics
from hil_adapters.errors import ExceptionReplyError, LinkError, MapError, ProtocolViolationError
from hil_adapters.maps.schema import LinkDefaults
from hil_adapters.wire.base import Table
from hil_adapters.wire.codes import GATEWAY, ExceptionCode
from hil_adapters.wire.pdu import read_request, read_values, write_request

__all__ = ["Exchange", "PlannedWrite", "WriteLog"]

_BUSY_PAUSES_S = (0.05, 0.1, 0.2)
"""Waits before a request is repeated that the device was too busy for; all inside the deadline of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWrite:
    """What is about to go to the wire."""

    point: str
    value: float
    """As asked, in the unit of the point."""
    written: float
    """After rounding to the nearest value that the registers can hold."""
    old: float | None
    """What was last read there; None where nothing was."""
    table: Table
    address: int
    registers: tuple[int, ...]


WriteLog = Callable[[PlannedWrite], None]
"""Is called right before every frame that writes; what it raises stops the write."""


class Exchange:
    """Sends the requests of one session and counts what becomes of them."""

    def __init__(
        self,
        link: SharedLink,
        unit: int,
        *,
        defaults: LinkDefaults,
        clocks: Clocks,
    ) -> None:
        self._link = link
        self._unit = unit
        self._defaults = defaults
        self._clock = clocks.monotonic
        self._sleep = clocks.sleep
        self.statistics = SessionStatistics()
        self.last_answer_s = self._clock()
        """When the device last answered [s], an exception of its own included; when the session was made if never."""
        self.is_silent = False
        """Whether the last request got no answer of the device."""

    async def read(self, table: Table, address: int, count: int) -> list[int]:
        """Return registers or bits.

        Raises:
            LinkError: no usable answer came.
        """
        request = read_request(table, address, count)
        return read_values(request, await self._ask(request, before=None, repeats=1))

    async def write(self, planned: PlannedWrite, log: WriteLog) -> None:
        """Write registers or a coil with the function code the device takes; ``log`` is called before every frame.

        Raises:
            LinkError: no usable answer came; the write may or may not have been executed.
            MapError: the quirks of the map leave no function code for it.
        """
        request = self._write_request(planned)
        try:
            await self._ask(request, before=lambda: log(planned), repeats=0)
        except ExceptionReplyError as error:
            if error.code != ExceptionCode.FUNCTION:
                raise
            raise ExceptionReplyError(
                ExceptionCode.FUNCTION,
                f"{error}; where the device takes another function code, say so under link.quirks in the map "
                "(no_single_write, no_multiple_write)",
            ) from error

    def _write_request(self, planned: PlannedWrite) -> bytes:
        quirks = self._defaults.quirks
        several = len(planned.registers) > 1
        if several and quirks.no_multiple_write:
            raise MapError(
                f"{planned.point}: takes {len(planned.registers)} registers, and the map says that the device refuses to "
                "write several (no_multiple_write); correct the map"
            )
        single = not several and not quirks.no_single_write
        return write_request(planned.table, planned.address, list(planned.registers), single=single)

    async def _ask(self, request: bytes, *, before: Callable[[], None] | None, repeats: int) -> bytes:
        """Send a request; again where the device is busy, and ``repeats`` times where a line garbled the answer."""
        deadline_s = self._clock() + self._defaults.timeout_s
        pauses = iter(_BUSY_PAUSES_S)
        while True:
            started_s = self._clock()
            try:
                answer = await self._link.request(
                    self._unit, request, timeout_s=self._defaults.timeout_s, before=before
                )
            except LinkError as error:
                self._failed(error)
                if isinstance(error, ProtocolViolationError) and self._link.is_open and repeats > 0:
                    # a serial line stays open and is silent for a while before the next request
                    repeats -= 1
                elif isinstance(error, ExceptionReplyError) and error.code == ExceptionCode.BUSY:
                    pause_s = next(pauses, None)
                    if pause_s is None or self._clock() + pause_s >= deadline_s:
                        raise
                    await self._sleep(pause_s)
                else:
                    raise
                self.statistics.retries += 1
            else:
                self.heard()
                self.statistics.good(self.last_answer_s - started_s)
                return answer

    def heard(self) -> None:
        """Note that the device answered."""
        self.last_answer_s = self._clock()
        self.is_silent = False

    def _failed(self, error: LinkError) -> None:
        self.statistics.failed(error)
        if isinstance(error, ExceptionReplyError) and error.code not in GATEWAY:
            self.heard()
        else:
            self.is_silent = True
