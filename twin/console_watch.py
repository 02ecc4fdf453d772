"""``twin device watch``: the signals of a device as they change, in a terminal or as lines."""

import asyncio
import contextlib
import json
import math
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from hil_adapters.device.events import Cycle, SessionState
from hil_adapters.device.session import DeviceSession
from hil_adapters.device.statistics import Cause, SessionStatistics
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.wire.base import Target
from twin.console_device import plain_table, sample_cells

__all__ = ["watch"]

_EVENTS = 6
_MILLISECONDS = 1e3


def watch(
    register_map: RegisterMap, target: Target, unit: int, *, poll_s: float, seconds: float | None
) -> bool:
    """Poll and show until q, Ctrl-C, SIGTERM, or ``seconds`` are over; return whether the device ever answered."""
    session = DeviceSession(register_map, target, unit)
    is_terminal = sys.stdout.isatty()
    shown: _Screen | _Lines
    with _Screen(session) if is_terminal else contextlib.nullcontext(_Lines(session)) as shown:
        asyncio.run(_poll(session, shown, poll_s=poll_s, seconds=seconds))
    return session.statistics.causes[Cause.GOOD] > 0


async def _poll(
    session: DeviceSession, shown: "_Screen | _Lines", *, poll_s: float, seconds: float | None
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # elsewhere Ctrl-C interrupts asyncio.run
            loop.add_signal_handler(number, ended.set)

    async def after(cycle: Cycle) -> None:
        if shown.show(cycle):
            ended.set()

    polling = asyncio.create_task(session.run(poll_s, after))
    try:
        async with asyncio.timeout(seconds):
            waiting = asyncio.create_task(ended.wait())
            try:
                await asyncio.wait({waiting, polling}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
    except TimeoutError:
        pass
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await session.close()


class _Lines:
    """One JSON object for every period."""

    def __init__(self, session: DeviceSession) -> None:
        self._session = session

    def show(self, cycle: Cycle) -> bool:
        """Write a line; return whether to end."""
        now_s = time.monotonic()
        line = {
            "state": cycle.state.value,
            "answered": cycle.answered,
            "signals": {
                name: {
                    "value": None if math.isnan(sample.value) else sample.value,
                    "quality": sample.quality.name.lower(),
                    "age_s": None if math.isinf(sample.age_s(now_s)) else round(sample.age_s(now_s), 3),
                }
                for name, sample in self._session.signals().items()
            },
            "events": [event.text for event in cycle.events],
        }
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        return False


class _Screen:
    """A table that is drawn again in every period; q ends it."""

    def __init__(self, session: DeviceSession) -> None:
        self._session = session
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._live = Live(auto_refresh=False, screen=False)
        self._keys = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._keys.enter_context(_single_keys())
        self._live.start()
        return self

    def __exit__(self, *about: object) -> None:
        self._live.stop()
        self._keys.close()

    def show(self, cycle: Cycle) -> bool:
        """Draw; return whether q was pressed."""
        self._events.extend(event.text for event in cycle.events)
        self._live.update(self._picture(cycle), refresh=True)
        return _pressed() == "q"

    def _picture(self, cycle: Cycle) -> Group:
        session, now_s = self._session, time.monotonic()
        who = str(session.identity) if session.identity is not None else "waiting for an answer"
        style = "bold" if cycle.state is SessionState.IDENTIFIED else "bold yellow"
        table = plain_table("Signal", "Value", "Unit", "Quality", "Age (s)", right=(1, 4))
        for name, sample in session.signals().items():
            age_s = sample.age_s(now_s)
            table.add_row(*sample_cells(name, sample), "" if math.isinf(age_s) else f"{age_s:.1f}")
        return Group(
            Text(f"{session.target}, unit {session.unit}: {who} ({cycle.state.value})", style=style),
            table,
            Text(_figures(session.statistics), style="dim"),
            *(Text(event, style="yellow") for event in self._events),
            Text("q or Ctrl-C ends", style="dim"),
        )


def _figures(statistics: SessionStatistics) -> str:
    """Return requests, failures and latency in one line."""
    failed = ", ".join(
        f"{cause.value} {count}" for cause, count in statistics.causes.items() if cause is not Cause.GOOD
    )
    latency = statistics.latency
    times = (
        f"latency {_MILLISECONDS * latency.p50_s:.1f} ms (half), {_MILLISECONDS * latency.p99_s:.1f} ms (99 %)"
        if latency.count
        else "no answer so far"
    )
    return f"{statistics.requests} requests; {times}; failed: {failed or 'none'}"


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Let keys be read without Enter, where the input is a terminal."""
    try:
        import termios  # noqa: PLC0415 - not on every system
        import tty  # noqa: PLC0415 - same
    except ImportError:
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _pressed() -> str:
    """Return a key that was pressed since the last call; empty where there was none."""
    if not sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.0)[0]:
        return ""
    return sys.stdin.read(1)
