"""Checks that write: within the rules of the map and the limits of the lab, through the guard and its audit."""

import math
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from hil_adapters.acceptance.bench import Bench
from hil_adapters.acceptance.judging import StepResponse, step_response
from hil_adapters.acceptance.levels import levels_of
from hil_adapters.acceptance.reading_checks import ratings_kw
from hil_adapters.acceptance.releasing import release_check
from hil_adapters.acceptance.results import CheckResult, Outcome, Trace, failed, not_applicable, passed
from hil_adapters.errors import HilError
from hil_adapters.guard.evidence import WatchdogProof
from hil_adapters.guard.rules import is_limit
from hil_adapters.maps.binding import watchdog_of

__all__ = ["CommandFindings", "try_command"]

_BAND_SHARE = 0.02
"""A step is carried out when the power is within 2 % of the rating. Source: the test of a limit set by a network operator,
executed within 10 s and +-2 %, in CEI 0-16 edition of 2025 as published summaries tell it; K: not verified in the standard."""
_EXECUTED_S = 10.0
_LEAST_BAND_KW = 0.01
_QUIET_S = 1.5
_LOOK_BACK_S = 2.0
_SAFE_S = 10.0
_REFUSAL_S = 0.5
_FOLLOW_S = 10.0

Tell = Callable[[CheckResult], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFindings:
    """What the test of a command brought besides its checks."""

    proof: WatchdogProof | None
    trace: Trace


async def try_command(bench: Bench, command: str, tell: Tell) -> CommandFindings:
    """Try one command of an identified device that is not armed; it is released and not armed afterwards.

    Raises:
        HilError: the test cannot go on; what was found so far was told.
    """
    trial = _Trial(bench, command, tell)
    began_s = time.monotonic()
    try:
        await trial.run()
    finally:
        await bench.trip("the test of a command is over")
    return CommandFindings(proof=trial.proof, trace=trial.trace(began_s))


class _Trial:
    def __init__(self, bench: Bench, command: str, tell: Tell) -> None:
        self._bench, self._command, self._tell = bench, command, tell
        self._limits = bench.options.limits[command]
        rated_kw = ratings_kw(bench)
        self._scale_kw = max(abs(self._limits.low), abs(self._limits.high)) if rated_kw is None else rated_kw
        self._band_kw = max(_BAND_SHARE * self._scale_kw, _LEAST_BAND_KW)
        self._generates = is_limit(command) and bench.loaded.kind in {"pv", "battery"}
        self._levels = levels_of(
            command, self._limits, present_kw=self._present_kw(), rated_kw=rated_kw, band_kw=self._band_kw
        )
        self.proof: WatchdogProof | None = None

    async def run(self) -> None:
        """Try everything; a check that fails does not keep the next ones from being made."""
        self._bench.arm()
        await self._made(f"guard of {self._command}", self._guarded)
        await self._made(f"step of {self._command}", self._steps)
        await self._made(f"e-stop of {self._command}", self._estop)
        await self._made(f"watchdog of {self._command}", self._watchdog)

    def trace(self, began_s: float) -> Trace:
        """Return what the power did meanwhile."""
        return Trace(
            command=self._command,
            title=f"Test of {self._command}",
            power_kw=tuple(
                (at_s - began_s, value) for at_s, value in self._bench.series("p_kw", since_s=began_s)
            ),
            asked_kw=tuple(
                (at_s - began_s, None if value is None else self._asked_as_power(value))
                for at_s, command, value in self._bench.asked
                if at_s >= began_s and command == self._command and (value is None or math.isfinite(value))
            ),
        )

    # ------------------------------------------------------------------ checks

    async def _made(self, name: str, check: Callable[[str], Awaitable[None]]) -> None:
        """Make a check; what the wire or the guard raises is its failure, an e-stop ends the test."""
        try:
            await check(name)
        except HilError as error:
            if self._bench.stopped_by is not None:
                raise
            self._tell(failed(name, str(error)))

    async def _guarded(self, name: str) -> None:
        """No number is refused, too much is clamped."""
        bench = self._bench
        writes = bench.writes
        bench.ask(self._command, math.nan)
        await bench.wait(_REFUSAL_S)
        if bench.writes > writes:
            self._tell(failed(name, "the guard wrote although what was asked is no number; this is a defect"))
            return
        bench.ask(self._command, self._levels.beyond)
        held = await bench.in_force(self._command)
        text = f"no number: refused; {self._levels.beyond:g} kW, above the limit of the lab: {held:.3f} kW in force, read back"
        if held > self._limits.high + self._band_kw:
            self._tell(failed(name, text, value=round(held, 4), unit="kW"))
            return
        self._tell(passed(name, text, value=round(held, 4), unit="kW"))

    async def _steps(self, name: str) -> None:
        """A step within the limits of the lab, and back."""
        executed = f"execution within 10 s of {self._command}"
        if not self._levels.biting:
            why = f"the device gives {self._present_kw():.3f} kW, too little for a step to show; repeat it with more power"
            self._tell(not_applicable(name, why))
            self._tell(not_applicable(executed, why))
            self._bench.ask(self._command, self._levels.second)
            await self._bench.in_force(self._command)
            return
        # a limit shows only as far as the device gives as much
        most = min(self._levels.first, self._present_kw()) if is_limit(self._command) else None
        await self._reach(self._levels.first, expected=most)
        down = await self._reach(self._levels.second, expected=None)
        target = self._target()
        self._tell(self._step_result(name, down, target))
        self._tell(self._executed_result(executed, down, target))
        up = await self._reach(self._levels.first, expected=most)
        self._tell(self._back_result(f"step back of {self._command}", up))

    async def _estop(self, name: str) -> None:
        """The safe state on an e-stop, read back by the guard."""
        bench = self._bench
        bench.ask(self._command, self._levels.second)
        await bench.in_force(self._command)
        took_s = await bench.trip("the acceptance test tries the e-stop")
        text = f"the safe state was written and read back {took_s:.2f} s after the e-stop"
        result = passed if took_s <= _SAFE_S else failed
        self._tell(result(name, text, value=round(took_s, 2), unit="s"))

    async def _watchdog(self, name: str) -> None:
        """Stop the refresh and see when the device lets go."""
        bench = self._bench
        watchdog = watchdog_of(bench.session.map, self._command)
        if watchdog is None:
            self._tell(
                not_applicable(
                    name, "the device has none; a person has signed a waiver in the register map for it"
                )
            )
            return
        if not bench.armed:
            bench.arm()
        bench.ask(self._command, self._levels.second)
        await bench.in_force(self._command)
        if self._levels.biting:
            await self._reach(self._levels.second, expected=None)
        result, self.proof = await release_check(
            bench,
            self._command,
            watchdog,
            name=name,
            departed=self._departed() if self._levels.biting else None,
        )
        self._tell(result)

    # ------------------------------------------------------------------ steps

    async def _reach(self, value: float, *, expected: float | None) -> StepResponse:
        """Ask for a value and return how the power followed; waits until it has settled or the time is over.

        ``expected`` is where the power should end, counted as the command counts; None: at what is in force.
        """
        bench, command = self._bench, self._command
        begin, start_s, previous = self._present_kw(), time.monotonic(), self._target()
        bench.ask(command, value)
        await bench.in_force(command)
        if abs(value - previous) > self._band_kw:  # a map may ask for time between two writes
            await bench.until(lambda: self._target() != previous, timeout_s=_FOLLOW_S)
        limit_s = bench.options.settle_s + self._ramp_s(abs(value - begin))
        held, changed_s = self._target(), start_s
        while True:
            await bench.wait(bench.options.poll_s / 2.0)
            now_s = time.monotonic()
            if self._target() != held:
                held, changed_s = self._target(), now_s
            response = self._response(begin, held if expected is None else min(expected, held), start_s)
            over = now_s - start_s > limit_s
            if over or (response.settled_after_s is not None and now_s - changed_s >= _QUIET_S):
                return response

    def _response(self, begin: float, target: float, start_s: float) -> StepResponse:
        band = self._band_kw
        low = -math.inf if is_limit(self._command) and target < begin else target - band
        return step_response(
            [(at_s, self._counted(value)) for at_s, value in self._bench.series("p_kw", since_s=start_s)],
            start_s=start_s,
            begin=begin,
            low=low,
            high=target + band,
            target=target,
        )

    def _step_result(self, name: str, found: StepResponse, target: float) -> CheckResult:
        ramp = "faster than it is read" if found.ramp_per_s is None else f"{found.ramp_per_s:.3f} kW/s"
        text = f"to {target:.3f} kW, ended at {found.final:.3f} kW; ramp {ramp}"
        if found.settled_after_s is None:
            return failed(
                name,
                f"{text}; not settled within +-{self._band_kw:.3f} kW after {self._bench.options.settle_s:g} s: "
                "check sign, unit and scale of the command, and whether something else commands the device",
            )
        settled_s = round(found.settled_after_s, 2)
        return passed(name, f"{text}; settled after {settled_s:g} s", value=settled_s, unit="s")

    def _executed_result(self, name: str, found: StepResponse, target: float) -> CheckResult:
        settled_s = found.settled_after_s
        band = f"+-2 % ({self._band_kw:.3f} kW) of {target:.3f} kW"
        if settled_s is None or settled_s > _EXECUTED_S:
            return CheckResult(
                name=name,
                outcome=Outcome.FAILED,
                text=f"not within {band} after {_EXECUTED_S:g} s",
                value=None if settled_s is None else round(settled_s, 2),
                unit="s",
                needed=False,
            )
        return CheckResult(
            name=name,
            outcome=Outcome.PASSED,
            text=f"within {band} after {settled_s:.2f} s",
            value=round(settled_s, 2),
            unit="s",
            needed=False,
        )

    def _back_result(self, name: str, found: StepResponse) -> CheckResult:
        """Judge the way back, for information: what the device could give may have changed meanwhile."""
        settled = found.settled_after_s is not None
        return CheckResult(
            name=name,
            outcome=Outcome.PASSED if settled else Outcome.FAILED,
            text=f"ended at {found.final:.3f} kW"
            + ("" if settled else "; the power before did not come back"),
            value=None if found.settled_after_s is None else round(found.settled_after_s, 2),
            unit="s",
            needed=False,
        )

    # ------------------------------------------------------------------ power

    def _counted(self, p_kw: float) -> float:
        """Return power as the command counts it: a limit of a generator counts what is fed in."""
        return -p_kw if self._generates else p_kw

    def _asked_as_power(self, value: float) -> float:
        return -value if self._generates else value

    def _present_kw(self) -> float:
        recent = [value for _, value in self._bench.series("p_kw", since_s=time.monotonic() - _LOOK_BACK_S)]
        return self._counted(statistics.median(recent)) if recent else 0.0

    def _target(self) -> float:
        held = self._bench.commanded(self._command)
        return math.nan if held is None else held

    def _ramp_s(self, step_kw: float) -> float:
        return 0.0 if self._limits.ramp_per_s is None else step_kw / self._limits.ramp_per_s

    def _departed(self) -> Callable[[Mapping[str, float]], bool]:
        """Return what tells from the signals whether the power has left what is in force."""
        held, band = self._target(), 2.0 * self._band_kw

        def departed(signals: Mapping[str, float]) -> bool:
            p_kw = signals.get("p_kw")
            if p_kw is None:
                return False
            off = self._counted(p_kw) - held
            return off > band if is_limit(self._command) else abs(off) > band

        return departed
