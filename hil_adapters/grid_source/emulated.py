"""An emulated grid source: a small SCPI instrument on a loopback port, for tests and for runs without a rig."""

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Self

from hil_adapters.errors import SourceError
from hil_adapters.grid_source.base import Output, SourceReading

__all__ = ["EmulatedSource", "Instrument", "emulated_source"]

_UNDEFINED = '-113,"Undefined header"'
_OUT_OF_RANGE = '-222,"Data out of range"'
_NOT_A_NUMBER = '-104,"Data type error"'
_MISSING = '-109,"Missing parameter"'
_NO_ERROR = '0,"No error"'
_QUEUE_LENGTH = 16
_PHASES = 3
_START_S = 10.0


class Instrument:
    """The inside: lines in, answers out. Short and long forms of its words are understood, in any case."""

    def __init__(self, *, voltage_v: float = 230.0, high_v: float = 300.0) -> None:
        self.voltage_v = [voltage_v] * _PHASES
        self.frequency_hz = 50.0
        self.current_a = 10.0
        self.output = Output.OFF
        self.lines: list[str] = []
        """Every line that was received."""
        self._high_v = high_v
        self._errors: deque[str] = deque(maxlen=_QUEUE_LENGTH)
        self._selected: int | None = None
        """Index of the phase that is set alone; None for all."""
        self._words: dict[str, Callable[[str], str | None]] = {
            "*IDN?": lambda _: "gemello,emulated source,0,1",
            "*CLS": self._clear,
            "SYST:ERR?": lambda _: self._errors.popleft() if self._errors else _NO_ERROR,
            "INST:COUP": self._couple,
            "INST:NSEL": self._select,
            "VOLT": self._set_voltage,
            "VOLT?": lambda _: f"{self.voltage_v[self._selected or 0]:.2f}",
            "FREQ": self._set_frequency,
            "FREQ?": lambda _: f"{self.frequency_hz:.2f}",
            "CURR": self._set_current,
            "CURR?": lambda _: f"{self.current_a:.2f}",
            "OUTP": self._switch,
            "OUTP?": lambda _: "1" if self.output is Output.ON else "0",
        }

    @property
    def reading(self) -> SourceReading:
        """What it is set to."""
        return SourceReading(
            voltage_v=tuple(self.voltage_v), frequency_hz=self.frequency_hz, output=self.output
        )

    def line(self, text: str) -> str:
        """Carry out one line; return the answers to its queries, joined by ``;``, empty where it has none."""
        self.lines.append(text)
        answers = []
        for part in text.split(";"):
            header, _, argument = part.strip().removeprefix(":").partition(" ")
            word = self._words.get(_short(header))
            if word is None:
                self._errors.append(_UNDEFINED)
                continue
            answer = word(argument.strip())
            if answer is not None:
                answers.append(answer)
        return ";".join(answers)

    def _clear(self, _argument: str) -> None:
        self._errors.clear()

    def _couple(self, argument: str) -> None:
        if argument.upper() == "ALL":
            self._selected = None
        elif argument.upper() == "NONE":
            self._selected = 0 if self._selected is None else self._selected
        else:
            self._errors.append(_OUT_OF_RANGE)

    def _select(self, argument: str) -> None:
        if argument in {"1", "2", "3"}:
            self._selected = int(argument) - 1
        else:
            self._errors.append(_OUT_OF_RANGE)

    def _set_voltage(self, argument: str) -> None:
        value = self._number(argument, low=0.0, high=self._high_v)
        if value is not None:
            phases = range(_PHASES) if self._selected is None else (self._selected,)
            for phase in phases:
                self.voltage_v[phase] = value

    def _set_frequency(self, argument: str) -> None:
        value = self._number(argument, low=40.0, high=70.0)
        self.frequency_hz = self.frequency_hz if value is None else value

    def _set_current(self, argument: str) -> None:
        value = self._number(argument, low=0.0, high=100.0)
        self.current_a = self.current_a if value is None else value

    def _switch(self, argument: str) -> None:
        states = {"ON": Output.ON, "1": Output.ON, "OFF": Output.OFF, "0": Output.OFF}
        if argument.upper() in states:
            self.output = states[argument.upper()]
        else:
            self._errors.append(_NOT_A_NUMBER)

    def _number(self, argument: str, *, low: float, high: float) -> float | None:
        if not argument:
            self._errors.append(_MISSING)
            return None
        try:
            value = float(argument)
        except ValueError:
            self._errors.append(_NOT_A_NUMBER)
            return None
        if not (math.isfinite(value) and low <= value <= high):
            self._errors.append(_OUT_OF_RANGE)
            return None
        return value


_LONG = {
    "SYSTEM": "SYST",
    "ERROR": "ERR",
    "INSTRUMENT": "INST",
    "COUPLE": "COUP",
    "NSELECT": "NSEL",
    "VOLTAGE": "VOLT",
    "FREQUENCY": "FREQ",
    "CURRENT": "CURR",
    "OUTPUT": "OUTP",
}
_OPTIONAL = {"SOUR", "SOURCE", "AC", "NEXT", "STAT", "STATE"}
"""Words that say nothing here: SOUR:VOLT:AC is VOLT."""


def _short(header: str) -> str:
    """Return a header in its short form without optional words."""
    upper = header.upper()
    query = "?" if upper.endswith("?") else ""
    words = [_LONG.get(word, word) for word in upper.removesuffix("?").split(":")]
    return ":".join(word for word in words if word not in _OPTIONAL) + query


class EmulatedSource:
    """An :class:`Instrument` behind a TCP port. Use as ``async with EmulatedSource() as source``."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, high_v: float = 300.0) -> None:
        self.instrument = Instrument(high_v=high_v)
        self.port = port
        """Known after the start."""
        self.is_mute = False
        """Whether it stops answering, for tests of timeouts."""
        self._host = host
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                answer = self.instrument.line(line.decode("ascii", errors="replace").strip())
                if answer and not self.is_mute:
                    writer.write(f"{answer}\n".encode("ascii"))
                    await writer.drain()
        except ConnectionError:
            return
        finally:
            self._writers.discard(writer)
            writer.close()


@contextmanager
def emulated_source(*, high_v: float = 300.0) -> Iterator[EmulatedSource]:
    """Give an emulated source that runs in a thread of its own, for programs without an event loop."""
    source = EmulatedSource(high_v=high_v)
    is_ready = threading.Event()
    ends: list[Callable[[], object]] = []

    async def serve() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        async with source:
            ends.append(partial(loop.call_soon_threadsafe, end.set))
            is_ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="emulated grid source", daemon=True)
    thread.start()
    if not is_ready.wait(_START_S):
        raise SourceError(
            f"the emulated source did not start within {_START_S:g} s; look at the load of this machine"
        )
    try:
        yield source
    finally:
        for end in ends:
            end()
        thread.join(_START_S)
