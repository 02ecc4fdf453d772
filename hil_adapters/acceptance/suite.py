"""The acceptance test of one device: everything it has to show before it may be commanded."""

import asyncio
import contextlib
import datetime as dt
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

from hil_adapters.acceptance.bench import Bench, open_bench
from hil_adapters.acceptance.command_checks import CommandFindings, try_command
from hil_adapters.acceptance.link_checks import link_checks
from hil_adapters.acceptance.options import AcceptanceOptions, MeterOptions
from hil_adapters.acceptance.reading_checks import reading_checks, slope_check, with_meter
from hil_adapters.acceptance.restoring import Before, before_writing
from hil_adapters.acceptance.results import (
    AcceptanceResult,
    CheckResult,
    Findings,
    Outcome,
    Trace,
    failed,
    not_applicable,
    passed,
    report_of,
)
from hil_adapters.device.session import DeviceSession
from hil_adapters.errors import HilError, LinkLostError
from hil_adapters.guard.evidence import WatchdogProof
from hil_adapters.guard.messages import DeviceReport
from hil_adapters.maps.loader import load_map

__all__ = ["run_acceptance"]

Watch = Callable[[CheckResult], None]


async def run_acceptance(options: AcceptanceOptions, *, watch: Watch) -> AcceptanceResult:
    """Test a device and return everything that was found; its state before is restored.

    SIGINT and SIGTERM end it like an exception: the device is brought to its safe state first. Called in the main thread.

    Args:
        options: what to do.
        watch: is given every check as it is made.

    Raises:
        LinkError: the device does not answer. IdentityError: another one does. MapError: the map is wrong or does not fit.
        RecordingError: the folder cannot be written to. TrippedError: an e-stop ended it.
        asyncio.CancelledError: a signal ended it.
    """
    test = _Test(options, watch)
    began_s = time.monotonic()
    performed = dt.datetime.now(dt.UTC)
    with _cancelled_by_signals():
        async with open_bench(options) as bench:
            await test.run(bench)
    if bench.left_as is not None and options.confirmation is not None:
        test.left(bench.left_as)
    identity = bench.session.identity
    if identity is None:
        raise LinkLostError(f"{options.target}: the device never said who it is")
    findings = Findings(watchdogs=test.watchdogs, slope_kw_v=test.slope_kw_v)
    return AcceptanceResult(
        report=report_of(
            test.results,
            findings,
            identity=identity,
            loaded=bench.loaded,
            performed=performed,
            valid_days=options.valid_days,
        ),
        results=tuple(test.results),
        target=str(options.target),
        unit=options.unit,
        seconds=time.monotonic() - began_s,
        writes=bench.writes,
        traces=tuple(test.traces),
        events=tuple(bench.told),
    )


class _Test:
    def __init__(self, options: AcceptanceOptions, watch: Watch) -> None:
        self._options, self._watch = options, watch
        self.results: list[CheckResult] = []
        self.watchdogs: dict[str, WatchdogProof] = {}
        self.traces: list[Trace] = []
        self.slope_kw_v: float | None = None

    async def run(self, bench: Bench) -> None:
        await bench.wait(self._options.seconds)
        await self._made(bench, "readings", reading_checks(bench))
        await self._made(bench, "meter", self._metered(bench))
        await self._made(bench, "connection", link_checks(bench))
        await self._writing(bench)
        result, self.slope_kw_v = slope_check(bench)
        self._tell(result)

    def _tell(self, result: CheckResult) -> None:
        self.results.append(result)
        self._watch(result)

    async def _made(self, bench: Bench, name: str, checks: Awaitable[Sequence[CheckResult]]) -> None:
        """Make checks; what the wire raises is a failure, an e-stop ends the test."""
        try:
            for result in await checks:
                self._tell(result)
        except HilError as error:
            if bench.stopped_by is not None:
                raise
            self._tell(failed(name, str(error)))

    def left(self, report: DeviceReport) -> None:
        """Take how the device was left."""
        name = "state after the test"
        self._tell(passed(name, report.text) if report.released else failed(name, report.text))

    async def _metered(self, bench: Bench) -> list[CheckResult]:
        if self._options.meter is None:
            return await with_meter(bench, None, None)
        try:
            async with _meter(self._options.meter) as meter:
                return await with_meter(bench, meter, None)
        except HilError as error:
            if bench.stopped_by is not None:
                raise
            return await with_meter(bench, None, error)

    # ------------------------------------------------------------------ writing

    async def _writing(self, bench: Bench) -> None:
        commands = self._commands(bench)
        if not commands:
            return
        try:
            before = await before_writing(bench, commands)
        except HilError as error:
            self._tell(failed("state before", str(error)))
            return
        self._tell(before.free())
        if before.in_force:
            return
        try:
            await self._write(bench, before, commands)
        finally:
            await self._restored(bench, before)

    def _commands(self, bench: Bench) -> list[str]:
        """Return the commands that may be tried; tells why the others are not."""
        options, name = self._options, "commands"
        if not bench.session.map.commands:
            self._tell(
                not_applicable(name, "the register map has none; nothing is ever written to the device")
            )
            return []
        if options.confirmation is None:
            self._tell(
                not_applicable(
                    name, "nothing was written (--no-write); without them the device cannot be armed"
                )
            )
            return []
        wrong = [check.name for check in self.results if check.outcome is Outcome.FAILED and check.needed]
        if wrong:
            # a reading on a wrong scale would put set-points on a wrong scale, too
            self._tell(not_applicable(name, f"nothing was written: {', '.join(wrong)} must pass first"))
            return []
        for command in bench.session.map.commands:
            if command not in options.limits:
                text = f"no limit of the lab; without --limit {command}=LOW:HIGH it is not tried and cannot be armed"
                self._tell(not_applicable(f"command {command}", text))
        return [command for command in bench.session.map.commands if command in options.limits]

    async def _write(self, bench: Bench, before: Before, commands: Sequence[str]) -> None:
        try:
            bench.arm()
        except HilError as error:
            self._tell(failed("arming for the test", str(error)))
            return
        self._tell(await before.probe())
        await bench.trip("from one test to the next")
        for command in commands:
            try:
                found: CommandFindings = await try_command(bench, command, self._tell)
            except HilError as error:
                if bench.stopped_by is not None:
                    raise
                self._tell(failed(f"command {command}", str(error)))
                continue
            self.traces.append(found.trace)
            if found.proof is not None:
                self.watchdogs[command] = found.proof

    async def _restored(self, bench: Bench, before: Before) -> None:
        """Restore what was there; not after an e-stop, or where the test is being ended."""
        task = asyncio.current_task()
        is_ending = bench.stopped_by is not None or (task is not None and task.cancelling())
        if is_ending or bench.writes == 0:
            return
        try:
            bench.arm()
            self._tell(await before.restore())
            await bench.trip("the test is over")
        except HilError as error:
            if bench.stopped_by is not None:
                raise
            self._tell(failed("restore", str(error)))


@contextlib.asynccontextmanager
async def _meter(options: MeterOptions) -> AsyncIterator[DeviceSession]:
    session = DeviceSession(load_map(options.map_file), options.target, options.unit)
    try:
        await session.connect()
        yield session
    finally:
        await session.close()


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Cancel this task on the first signal; later ones are ignored, for the safe state is being written."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end() -> None:
        if task is not None and not task.cancelling():
            task.cancel()

    taken = []
    for number in numbers:
        # asyncio raises these where a system has no such handlers, and outside the main thread
        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(number, end)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
