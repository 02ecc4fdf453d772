"""Keeps a source at the voltage of a simulated grid, from a thread of its own: a step of the simulation never waits.

A power flow that did not converge freezes the source where it is; the next one that converges moves it on, step by
bounded step.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from hil_adapters.errors import SourceError
from hil_adapters.grid_source.base import GridSource, Output, SourceLimits

__all__ = ["AtEnd", "FeedState", "SourceFeed"]

_log = logging.getLogger(__name__)

_START_S = 30.0
_STOP_S = 30.0
_MOST_STEPS_BACK = 1000


class AtEnd(StrEnum):
    """What happens to the source when the feed ends."""

    HOLD = "hold"
    """It keeps voltage and output."""
    NOMINAL = "nominal"
    """It goes to nominal voltage and frequency in bounded steps; the output stays."""
    OFF = "off"
    """The output is switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What is known of the source."""

    voltage_v: tuple[float, ...]
    """Set by phase [V]."""
    set_at_s: float
    """When, on the monotonic clock [s]."""
    output: Output
    """As the source stated it when it was connected, or as the end of the feed left it; the feed never switches it on."""
    updates: int = 0
    frozen_steps: int = 0
    """Steps without a voltage to follow."""
    failures: int = 0
    error: str | None = None
    """Why the source is not followed any more; None while it is."""


@dataclass(frozen=True, slots=True)
class _Target:
    voltage_v: tuple[float, ...]
    frequency_hz: float | None


class SourceFeed:
    """Use as ``with SourceFeed(source, limits) as feed``; starting and ending wait for the source, nothing else does."""

    def __init__(self, source: GridSource, limits: SourceLimits, *, at_end: AtEnd = AtEnd.HOLD) -> None:
        self._source = source
        self._limits = limits
        self._at_end = at_end
        self._lock = threading.Lock()
        self._target: _Target | None = None
        self._state: FeedState | None = None
        self._start_error: SourceError | None = None
        self._has_started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="grid source", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._has_started.wait(_START_S):
            raise SourceError(f"the source was not ready within {_START_S:g} s; check its connection")
        if self._start_error is not None:
            raise self._start_error
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._is_ending = True
        self._notify()
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            raise SourceError(f"the source did not end within {_STOP_S:g} s; look at it before you go on")

    @property
    def state(self) -> FeedState:
        """The newest state; known after the start."""
        with self._lock:
            if self._state is None:
                raise SourceError("the feed of the source has not started; use it in a with block")
            return self._state

    def follow(self, voltage_v: Sequence[float], *, frequency_hz: float | None = None) -> FeedState:
        """Let the source move one bounded step towards ``voltage_v`` [V per phase]; the newest call wins."""
        self._source.thaw()
        with self._lock:
            self._target = _Target(tuple(voltage_v), frequency_hz)
        self._notify()
        return self.state

    def hold(self) -> FeedState:
        """Freeze the source: the power flow of this step did not converge."""
        self._source.freeze()
        with self._lock:
            self._target = None
        self._update(lambda state: replace(state, frozen_steps=state.frozen_steps + 1))
        return self.state

    def _notify(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None and self._thread.is_alive():
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:  # the loop ended between the question and the call
                _log.info("the feed of the source has ended")

    def _update(self, change: Callable[[FeedState], FeedState]) -> None:
        with self._lock:
            if self._state is not None:
                self._state = change(self._state)

    def _reached(self, voltage_v: tuple[float, ...]) -> None:
        """Take note of what the source is set to; it is followed again."""
        at_s = time.monotonic()
        self._update(lambda state: replace(state, voltage_v=voltage_v, set_at_s=at_s, error=None))

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self._connect()
        except SourceError as error:
            self._start_error = error
            await self._source.close()
            return
        finally:
            self._has_started.set()
        while not self._is_ending:
            await self._wake.wait()
            self._wake.clear()
            await self._step()
        await self._end()

    async def _connect(self) -> None:
        name = await self._source.open()
        reading = await self._source.configure(self._limits)
        _log.info("source %s stands at %s V", name, reading.voltage_v)
        with self._lock:
            if self._state is None:
                self._state = FeedState(
                    voltage_v=reading.voltage_v, set_at_s=time.monotonic(), output=reading.output
                )
        self._reached(reading.voltage_v)
        self._update(lambda state: replace(state, output=reading.output))

    async def _step(self) -> None:
        with self._lock:
            target, self._target = self._target, None
        if target is None or self._is_ending or self._source.is_frozen:
            return
        try:
            if self.state.error is not None:
                await self._connect()
            reached_v = await self._source.set_voltage(target.voltage_v)
            if target.frequency_hz is not None:
                await self._source.set_frequency(target.frequency_hz)
        except SourceError as error:
            self._failed(error)
        else:
            self._reached(reached_v)
            self._update(lambda state: replace(state, updates=state.updates + 1))

    def _failed(self, error: SourceError) -> None:
        if self.state.error is None:
            _log.error("%s", error)
        self._update(lambda state: replace(state, failures=state.failures + 1, error=str(error)))

    async def _end(self) -> None:
        try:
            if self._at_end is AtEnd.OFF:
                await self._source.switch(Output.OFF)
                self._update(lambda state: replace(state, output=Output.OFF))
            elif self._at_end is AtEnd.NOMINAL:
                await self._to_nominal()
        except SourceError as error:
            self._failed(error)
        await self._source.close()

    async def _to_nominal(self) -> None:
        self._source.thaw()
        wanted_v = (self._limits.nominal_v,) * len(self.state.voltage_v)
        for _ in range(_MOST_STEPS_BACK):
            reached_v = await self._source.set_voltage(wanted_v)
            reached_hz = await self._source.set_frequency(self._limits.nominal_hz)
            self._reached(reached_v)
            if reached_v == wanted_v and reached_hz == self._limits.nominal_hz:
                return
