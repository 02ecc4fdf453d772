"""Whether a device lets go of a command by itself when nobody refreshes it: proven, not believed."""

import math
import time
from collections.abc import Callable, Mapping

from hil_adapters.acceptance.bench import Bench
from hil_adapters.acceptance.results import CheckResult, failed, passed
from hil_adapters.device.events import SessionState
from hil_adapters.errors import GuardError, HilError
from hil_adapters.guard.contention import matches
from hil_adapters.guard.evidence import WatchdogProof
from hil_adapters.guard.sequences import points_of_command
from hil_adapters.maps.schema import Access, Watchdog
from hil_adapters.samples import Quality

__all__ = ["release_check"]

_LATE_SHARE = 1.5
_LATE_S = 2.0
"""As the guard allows: half as long again, and this much more [s]."""
_BACK_S = 10.0
_SHOWN_POLLS = 20
"""Readings after the release, so that the figure of the test shows where the power went."""

Departed = Callable[[Mapping[str, float]], bool]


async def release_check(
    bench: Bench, command: str, watchdog: Watchdog, *, name: str, departed: Departed | None
) -> tuple[CheckResult, WatchdogProof]:
    """Stop refreshing a command that is in force and see when the device lets go of it.

    A device whose watchdog counts any request is left alone altogether, without a connection; what is measured then is the
    time after which it had let go.

    Args:
        bench: the device, armed, with the command in force.
        command: its name.
        watchdog: of the command, as the map says.
        name: of the check.
        departed: tells from the signals whether the power has left what was asked; None: the power does not show it.

    Raises:
        HilError: the device cannot be read.
    """
    held = await _held(bench, command)
    longest_s = _LATE_SHARE * watchdog.timeout_s + _LATE_S
    if not held and departed is None:
        raise GuardError(
            f"{command}: neither a register nor the power would show that the device lets go; repeat it with more power"
        )
    watched = _Watched(bench, held, departed)
    async with bench.unrefreshed():
        refreshed_s = bench.wrote_s
        if watchdog.kind == "traffic":
            released_s, sign = await _after_silence(bench, watched, watchdog, longest_s)
        else:
            released_s, sign = await _while_reading(bench, watched, refreshed_s, longest_s)
        if released_s is not None:  # still without the guard: what follows is the doing of the device alone
            await bench.wait(_SHOWN_POLLS * bench.options.poll_s)
    proof = WatchdogProof(
        timeout_s=watchdog.timeout_s, released_after_s=None if released_s is None else round(released_s, 3)
    )
    if released_s is None:
        text = (
            f"held for {longest_s:.1f} s without refresh, where its map says {watchdog.timeout_s:g} s: on loss of "
            "communication the set-point stays in force; it cannot be armed with this command"
        )
        return failed(name, text, value="held"), proof
    text = (
        f"released {released_s:.1f} s after the last refresh ({sign}), its map says {watchdog.timeout_s:g} s, then "
        f"{watchdog.falls_back_to}: on loss of communication the set-point is not held"
    )
    return passed(name, text, value=round(released_s, 2), unit="s"), proof


class _Watched:
    """What shows that a device has let go."""

    def __init__(self, bench: Bench, held: Mapping[str, float], departed: Departed | None) -> None:
        self._bench, self._held, self._departed = bench, held, departed

    async def sign(self) -> str | None:
        """Return what shows that the device has let go; None where nothing does."""
        session = self._bench.session
        if self._held:
            for point, sample in (await session.read(list(self._held))).items():
                rules = session.map.writes[point]
                if sample.quality is not Quality.BAD and not matches(
                    sample.value, self._held[point], rules.tolerance
                ):
                    return f"{point} went from {self._held[point]:g} to {sample.value:g}"
        signals = session.signals()
        usable = {key: sample.value for key, sample in signals.items() if sample.quality <= Quality.UNCERTAIN}
        if self._departed is not None and self._departed(usable):
            return f"the power went to {usable.get('p_kw', math.nan):.3f} kW"
        return None


async def _held(bench: Bench, command: str) -> dict[str, float]:
    """Return what the points of a command hold that can be read, without those of its watchdog."""
    session = bench.session
    points = {point.name: point for point in session.map.points}
    names = [
        name
        for name in sorted(points_of_command(session.map, command))
        if points[name].access is not Access.WRITE and session.map.writes[name].verify
    ]
    if not names:
        return {}
    samples = await session.read(names)
    return {name: sample.value for name, sample in samples.items() if sample.quality is not Quality.BAD}


async def _while_reading(
    bench: Bench, watched: _Watched, refreshed_s: float, longest_s: float
) -> tuple[float | None, str]:
    while True:
        sign = await watched.sign()
        after_s = time.monotonic() - refreshed_s
        if sign is not None:
            return after_s, sign
        if after_s > longest_s:
            return None, ""
        await bench.wait(bench.options.poll_s / 2.0)


async def _after_silence(
    bench: Bench, watched: _Watched, watchdog: Watchdog, longest_s: float
) -> tuple[float | None, str]:
    """Say nothing for as long as the map says, and look; then for as long as is allowed, and look again."""
    for quiet_s in (watchdog.timeout_s + _LATE_S / 2.0, longest_s):
        began_s = time.monotonic()
        async with bench.silence():
            await bench.wait(quiet_s)
        after_s = time.monotonic() - began_s
        if not await bench.until(lambda: bench.session.state is SessionState.IDENTIFIED, timeout_s=_BACK_S):
            raise GuardError(
                f"the device did not answer within {_BACK_S:g} s after a silence of {quiet_s:.1f} s"
            )
        try:
            await bench.session.poll("fast")
        except HilError as error:
            raise GuardError(
                f"the device could not be read after a silence of {quiet_s:.1f} s: {error}"
            ) from error
        sign = await watched.sign()
        if sign is not None:
            return min(after_s, longest_s), sign
    return None, ""
