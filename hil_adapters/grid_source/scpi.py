"""A grid source that speaks SCPI over TCP: one line a command, and the error queue asked after every change.

Source of the grammar: IEEE 488.2 common commands and SCPI-1999 (``SYSTem:ERRor?``); the words are a
:class:`~hil_adapters.grid_source.commands.CommandSet`.
"""

import asyncio
import errno
import logging
import os
import time
from collections.abc import Sequence

from hil_adapters.errors import SourceError
from hil_adapters.grid_source.base import Output, SourceLimits, SourceReading, Stepper
from hil_adapters.grid_source.commands import CommandSet

__all__ = ["ScpiSource"]

_log = logging.getLogger(__name__)

_QUEUE_LENGTH = 32
"""More errors than this are not read out of a source's queue."""
_LONGEST_LINE = 4096


class ScpiSource:
    """See :class:`~hil_adapters.grid_source.base.GridSource`.

    After a timeout or an answer that cannot be understood the connection is closed: a late answer would be taken for the
    next one. Tasks that use one source wait for each other.
    """

    def __init__(
        self, host: str, port: int | None = None, *, commands: CommandSet, timeout_s: float = 1.0
    ) -> None:
        self._host = host
        self._port = commands.port if port is None else port
        self._words = commands
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._stepper: Stepper | None = None
        self._is_frozen = False
        self._turn = asyncio.Lock()

    @property
    def is_frozen(self) -> bool:
        """Whether changes are refused."""
        return self._is_frozen

    async def open(self) -> str:
        """Connect, empty the error queue, and return what the source calls itself."""
        await self.close()
        try:
            async with asyncio.timeout(self._timeout_s):
                self._streams = await asyncio.open_connection(self._host, self._port, limit=_LONGEST_LINE)
        except (OSError, TimeoutError) as error:
            raise SourceError(
                f"source at {self._host}:{self._port} cannot be reached ({_cause(error)}); "
                "check that it is on and set to remote control over the network"
            ) from error
        async with self._turn:
            await self._send(self._words.clear)
            return await self._ask(self._words.identify)

    async def configure(self, limits: SourceLimits) -> SourceReading:
        """Take the limits, read the set-points, and return them; nothing but the current limit is changed."""
        async with self._turn:
            if limits.current_a is not None:
                if self._words.set_current is None:
                    raise SourceError(
                        f"command set {self._words.name} has no current limit; set it on the source and leave it out"
                    )
                await self._change(self._words.filled(self._words.set_current, value=limits.current_a))
            reading = await self._reading()
            self._stepper = Stepper(limits, voltage_v=reading.voltage_v, frequency_hz=reading.frequency_hz)
            return reading

    async def set_voltage(self, voltage_v: Sequence[float]) -> tuple[float, ...]:
        """Move each phase towards ``voltage_v`` by one step at most, and return what was set [V]."""
        async with self._turn:
            stepper = self._free_stepper()
            step_v = stepper.next_voltage_v(voltage_v)
            words = self._words
            if not words.sets_phases and len(set(step_v)) > 1:
                raise SourceError(
                    f"command set {words.name} sets all phases together and was given {step_v}; give equal values"
                )
            if not words.sets_phases:
                await self._change(words.filled(words.set_voltage, value=step_v[0]))
                stepper.voltage_v = step_v
                return step_v
            for phase, value in enumerate(step_v, start=1):
                await self._change(words.filled(words.set_voltage, value=value, phase=phase))
                # phase by phase, so that a refusal in between does not let the next step be larger
                stepper.voltage_v = (*step_v[:phase], *stepper.voltage_v[phase:])
            return step_v

    async def set_frequency(self, frequency_hz: float) -> float:
        """Move towards ``frequency_hz`` by one step at most, and return what was set [Hz]."""
        async with self._turn:
            stepper = self._free_stepper()
            step_hz = stepper.next_frequency_hz(frequency_hz)
            await self._change(self._words.filled(self._words.set_frequency, value=step_hz))
            stepper.frequency_hz = step_hz
            return step_hz

    async def switch(self, output: Output) -> None:
        """Switch the output; allowed while frozen."""
        async with self._turn:
            await self._change(self._words.switch_on if output is Output.ON else self._words.switch_off)

    async def read(self) -> SourceReading:
        """Return the set-points and the output as the source states them."""
        async with self._turn:
            return await self._reading()

    def freeze(self) -> None:
        """Keep voltage and frequency where they are; until :meth:`thaw` every change is refused."""
        if not self._is_frozen:
            _log.warning("source at %s:%d is frozen", self._host, self._port)
        self._is_frozen = True

    def thaw(self) -> None:
        """Allow changes again."""
        self._is_frozen = False

    async def close(self) -> None:
        """End the connection; the source keeps its set-points and its output."""
        streams, self._streams = self._streams, None
        self._stepper = None
        if streams is not None:
            streams[1].close()
            try:
                await streams[1].wait_closed()
            except OSError as error:
                _log.info("source at %s:%d: connection ended with %s", self._host, self._port, error)

    def _free_stepper(self) -> Stepper:
        if self._is_frozen:
            raise SourceError(
                f"source at {self._host}:{self._port} is frozen; it keeps its voltage until it is thawed"
            )
        if self._stepper is None:
            raise SourceError(
                f"source at {self._host}:{self._port} has no limits yet; open it and configure it first"
            )
        return self._stepper

    async def _reading(self) -> SourceReading:
        words = self._words
        phases = range(1, words.phases + 1)
        if words.sets_phases:
            voltage_v = [await self._number(words.filled(words.get_voltage, phase=phase)) for phase in phases]
        else:
            voltage_v = [await self._number(words.get_voltage)] * words.phases
        frequency_hz = await self._number(words.get_frequency)
        said = (await self._ask(words.get_output)).strip().upper()
        if said not in {"0", "1", "OFF", "ON"}:
            raise await self._broken(f"said {said!r} when asked for its output")
        output = Output.ON if said in {"1", "ON"} else Output.OFF
        return SourceReading(voltage_v=tuple(voltage_v), frequency_hz=frequency_hz, output=output)

    async def _change(self, command: str) -> None:
        """Send a command, then empty the error queue; ``SourceError`` where it holds something."""
        await self._send(command)
        errors: list[str] = []
        for _ in range(_QUEUE_LENGTH):
            said = await self._ask(self._words.error)
            if said.lstrip("+").split(",")[0].strip() == "0":
                break
            errors.append(said)
        if errors:
            raise SourceError(
                f"source at {self._host}:{self._port} refused {command!r}: {'; '.join(errors)}; "
                "check the limits set on it and the command set"
            )

    async def _number(self, query: str) -> float:
        said = await self._ask(query)
        try:
            return float(said)
        except ValueError as error:
            raise await self._broken(f"answered {said!r} to {query!r}, which is not a number") from error

    async def _ask(self, query: str) -> str:
        await self._send(query)
        reader, _ = self._connected()
        deadline_s = time.monotonic() + self._timeout_s
        try:
            async with asyncio.timeout(self._timeout_s):
                line = await reader.readuntil(b"\n")
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            late = time.monotonic() >= deadline_s
            reason = (
                f"did not answer {query!r} within {self._timeout_s:g} s"
                if late
                else f"broke off at {query!r}"
            )
            raise await self._broken(reason) from error
        return line.decode("ascii", errors="replace").strip()

    async def _send(self, command: str) -> None:
        _, writer = self._connected()
        _log.debug("source at %s:%d < %s", self._host, self._port, command)
        try:
            writer.write((command + self._words.terminator).encode("ascii"))
            async with asyncio.timeout(self._timeout_s):
                await writer.drain()
        except (OSError, TimeoutError) as error:
            raise await self._broken(f"did not take {command!r}") from error

    def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            raise SourceError(f"source at {self._host}:{self._port} is not connected; open it first")
        return self._streams

    async def _broken(self, reason: str) -> SourceError:
        """Close the connection and return what to raise."""
        await self.close()
        return SourceError(
            f"source at {self._host}:{self._port} {reason}; the connection is closed, check the source"
        )


def _cause(error: OSError) -> str:
    """Return why a connection failed, in the words the wire uses."""
    code = None if error.errno is None else errno.errorcode.get(error.errno)
    if error.errno is None or code is None:
        return str(error) or "no answer"
    return f"{code}: {os.strerror(error.errno)}"
