"""The guardian process: ``python -m hil_adapters.guard.guardian --config FILE``.

It owns the connections to the devices, polls them, carries out set-points while the run that feeds it lives, and brings every
device to its safe state when that ends, on SIGTERM, on a trip, and when the run closes its connection. It knows nothing of the
simulator.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hil_adapters.errors import GuardError, HilError
from hil_adapters.guard.assembling import Devices, assembled
from hil_adapters.guard.encoding import (
    Message,
    config_from_json,
    image_to_json,
    report_to_json,
    set_points_from_json,
    unpack,
)
from hil_adapters.guard.feed import SleepDetector
from hil_adapters.guard.messages import FinalReport, GuardianConfig, GuardState, Image
from hil_adapters.guard.registry import register, socket_file, withdraw
from hil_adapters.guard.serving import Caller, GuardSocket

__all__ = ["Guardian", "main"]

_WATCH_S = 0.1
_UNCLAIMED_S = 30.0
"""Without a run that feeds it the guardian ends after this time [s]."""
_ANSWERED_S = 1.0
"""Time to send the final report to who asked for it [s]."""

_log = logging.getLogger(__name__)


class Guardian:
    """Answers requests and ends safely. Used in one event loop."""

    def __init__(
        self,
        config: GuardianConfig,
        devices: Devices,
        *,
        clock: Callable[[], float] = time.monotonic,
        clock_with_sleep: Callable[[], float],
    ) -> None:
        self._config = config
        self._devices = devices
        self._guards = devices.guards
        self._feed = devices.feed
        self._events = devices.events
        self._audit = devices.audit
        self._clock = clock
        self._clock_with_sleep = clock_with_sleep
        self._feeder: Caller | None = None
        self._unclaimed_since_s = clock()
        self._stop_reason = asyncio.get_running_loop().create_future()
        self._report = asyncio.get_running_loop().create_future()
        self._sleep = SleepDetector(monotonic_s=clock(), with_sleep_s=clock_with_sleep())
        self._slept_s = 0.0
        for guard in self._guards.values():
            guard.has_slept = self._has_slept
        self._answers = {
            "feed": self._claim,
            "exchange": self._exchange,
            "status": self._status,
            "arm": self._arm,
            "trip": self._trip,
            "reset": self._reset,
            "stop": self._stop,
        }

    # ------------------------------------------------------------------ requests

    async def answer(self, message: Message, caller: Caller) -> Message:
        """Return the answer to a request; ``HilError`` where it is refused."""
        kind = message.get("kind")
        if kind not in self._answers:
            raise GuardError(
                f"request {kind!r}: this guardian does not know it; both ends must be of one version"
            )
        return await self._answers[kind](message, caller)

    def left(self, caller: Caller) -> None:
        """A connection has ended; when it was the run's, everything ends."""
        if caller is self._feeder:
            self.end("the run closed its connection")

    def end(self, reason: str) -> None:
        """Ask for the safe state and the end of the process; the first reason counts."""
        if not self._stop_reason.done():
            self._stop_reason.set_result(reason)

    async def _claim(self, _message: Message, caller: Caller) -> Message:
        if self._feeder is not None:
            raise GuardError(f"another run feeds this guardian ({self._feeder.who}); a device has one master")
        self._feeder = caller
        for guard in self._guards.values():
            guard.door.who = caller.who
        self._audit.record("feed", who=caller.who)
        return {"kind": "claimed"}

    async def _exchange(self, message: Message, caller: Caller) -> Message:
        if caller is not self._feeder:
            raise GuardError("only the run that feeds this guardian exchanges set-points; claim it first")
        offered = message["set_points"]
        if offered is not None:
            self._take(offered)
        image = Image(
            devices={name: guard.image() for name, guard in self._guards.items()}, events=self._events.take()
        )
        return {"kind": "image", **image_to_json(image)}

    def _take(self, offered: Message) -> None:
        now_s = self._clock()
        set_points, sent_s = set_points_from_json(offered)
        try:
            self._feed.finished(set_points.step, sent_s=sent_s, expires_s=set_points.expires_s, now_s=now_s)
        except GuardError as error:
            # each has a number of its own in its text
            self._events.tell_first("step", str(error))
            return
        self._events.settle("step")
        # what waited on its way has used up a part of its time
        expires_s = min(now_s, sent_s) + set_points.expires_s
        for name, values in set_points.values.items():
            guard = self._guards.get(name)
            if guard is None:
                self._events.tell_once(f"unknown {name}", f"{name}: this guardian has no such device")
                continue
            guard.offer(values, expires_s=expires_s, step=set_points.step)

    async def _status(self, _message: Message, _caller: Caller) -> Message:
        return {
            "kind": "status",
            "pid": os.getpid(),
            "devices": {
                name: {"state": guard.states.state.value, "reason": guard.states.reason}
                for name, guard in self._guards.items()
            },
        }

    async def _arm(self, message: Message, caller: Caller) -> Message:
        name = str(message["device"])
        guard = self._guards.get(name)
        if guard is None:
            raise GuardError(f"{name}: this guardian has no such device; it has {', '.join(self._guards)}")
        if self._config.state is not GuardState.ARMED:
            msg = (
                f"{name}: this guardian was started to stay {self._config.state.value}; start one to be armed"
            )
            raise GuardError(msg)
        try:
            guard.arm(str(message["confirmation"]))
        except HilError as error:
            self._audit.record("not_armed", device=name, who=caller.who, why=str(error))
            raise
        self._audit.record("armed", device=name, who=caller.who)
        return {"kind": "armed"}

    async def _trip(self, message: Message, caller: Caller) -> Message:
        reason = f"{message['reason']} (by {caller.who})"
        told = await asyncio.gather(*(guard.trip(reason) for guard in self._guards.values()))
        unsafe = [text for text in told if text is not None]
        if unsafe:
            raise GuardError(f"tripped, but {'; '.join(unsafe)}")
        return await self._status(message, caller)

    async def _reset(self, message: Message, caller: Caller) -> Message:
        name = str(message["device"])
        if name not in self._guards:
            raise GuardError(f"{name}: this guardian has no such device; it has {', '.join(self._guards)}")
        self._audit.record("reset", device=name, who=caller.who)
        self._guards[name].reset()
        return {"kind": "reset"}

    async def _stop(self, message: Message, _caller: Caller) -> Message:
        self.end(str(message["reason"]))
        report: FinalReport = await asyncio.shield(self._report)
        return {"kind": "report", **report_to_json(report)}

    # ------------------------------------------------------------------ life

    async def run(self) -> FinalReport:
        """Guard until something ends it, then bring every device to its safe state; return how they were left."""
        polling = [asyncio.create_task(work) for work in self._devices.polling()]
        turning = {guard: asyncio.create_task(guard.run()) for guard in self._guards.values()}
        watch = asyncio.create_task(self._watch())
        tasks = [watch, *polling, *turning.values()]
        try:
            await asyncio.wait([self._stop_reason, *tasks], return_when=asyncio.FIRST_COMPLETED)
            self.end(_why(tasks))
            reason = self._stop_reason.result()
            for guard in self._guards.values():
                guard.disarm(reason)
            # a guard that failed still has a device to let go of
            tasks += [asyncio.create_task(guard.run()) for guard, task in turning.items() if task.done()]
            reports = await asyncio.gather(*(guard.stop(reason) for guard in self._guards.values()))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._devices.close()
        report = FinalReport(
            reason=reason,
            devices={guard.name: told for guard, told in zip(self._guards.values(), reports, strict=True)},
            events=(*self._events.take(), *self._audit.lost),
        )
        self._audit.record_safe_state("end", why=reason)
        self._report.set_result(report)
        return report

    async def _watch(self) -> None:
        """Arm emulated devices once, notice sleep, and end where nobody feeds."""
        to_arm = (
            [guard for guard in self._guards.values() if guard.config.emulated]
            if self._config.state is GuardState.ARMED
            else []
        )
        while True:
            to_arm = [guard for guard in to_arm if not self._armed_once(guard.name)]
            now_s = self._clock()
            if self._has_slept():
                reason, self._slept_s = f"the machine slept for {self._slept_s:.0f} s", 0.0
                await asyncio.gather(*(guard.trip(reason) for guard in self._guards.values()))
            if self._feeder is None and now_s - self._unclaimed_since_s > _UNCLAIMED_S:
                self.end("no run came to feed this guardian")
            await asyncio.sleep(_WATCH_S)

    def _has_slept(self) -> bool:
        """Return whether the machine slept since the guards were tripped for it; also asked right before a frame leaves."""
        now_s = self._clock()
        self._slept_s += self._sleep.slept_s(monotonic_s=now_s, with_sleep_s=self._clock_with_sleep())
        return self._slept_s > 0.0

    def _armed_once(self, name: str) -> bool:
        """Try to arm an emulated device of this run; return whether that is settled."""
        guard = self._guards[name]
        if guard.states.was_tripped:
            return True
        if not guard.is_read:
            return False
        try:
            guard.arm("")
        except HilError as error:
            self._events.tell(str(error))
        return True


def _why(tasks: Sequence[asyncio.Task[None]]) -> str:
    """Return why the guardian ends by itself: one of its tasks failed."""
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the guardian failed", exc_info=error)
            return f"the guardian failed: {type(error).__name__}: {error}"
    return "a task of the guardian has ended"


async def _guard(config: GuardianConfig, announce: Callable[[Path], None]) -> FinalReport:
    loop = asyncio.get_running_loop()
    path = socket_file()
    with assembled(config) as devices:
        guardian = Guardian(config, devices, clock_with_sleep=_clock_with_sleep())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, guardian.end, f"signal {number.name}")
        server = GuardSocket(path, guardian)
        try:
            await server.start()
            register(path, config)
            announce(path)
            report = await guardian.run()
            # whoever asked for the end waits for the report
            await server.drain(_ANSWERED_S)
        finally:
            withdraw(path)
            await server.stop()
    return report


def _clock_with_sleep() -> Callable[[], float]:
    number = getattr(time, "CLOCK_BOOTTIME", None)
    # elsewhere the wall clock shows sleep; a step of it by more than a second is taken for sleep, on the safe side
    return time.time if number is None else lambda: time.clock_gettime(number)


def _announce(path: Path) -> None:
    """Tell who started this process where it serves, and that nothing more comes on this output."""
    sys.stdout.write(json.dumps({"socket": str(path), "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a guardian; return 0 where every device was left released or safe, 1 where not, 2 where it could not start."""
    parser = argparse.ArgumentParser(prog="hil_adapters.guard.guardian", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file with the configuration")
    file: Path = parser.parse_args(arguments).config
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = config_from_json(unpack(file.read_bytes()))
        report = asyncio.run(_guard(config, _announce))
    except (HilError, OSError) as error:
        _log.error("%s", error)
        return 2
    for name, device in report.devices.items():
        _log.info("%s: %s: %s", name, device.state.value, device.text)
    return 0 if all(device.released for device in report.devices.values()) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
