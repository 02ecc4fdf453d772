"""Checks of what a strategy costs: time, memory, noise; and whether it can run against real hardware."""

import math
import statistics

from twin.conformance.bench import Bench, failed, passed, skipped
from twin.conformance.results import CheckResult, Outcome
from twin.conformance.watch import Played, Watch

__all__ = ["memory", "output", "real_time", "speed", "timed"]

_TIMED_STEPS = 24
_YEAR_STEPS = 35040
_MOST_TEXT = 60


def timed(bench: Bench) -> Played:
    """Return a play on the larger plant with the time of each answer."""
    return bench.play(bench.crowd, Watch(clock=bench.clock, stop_after=_TIMED_STEPS))


def speed(bench: Bench, played: Played) -> CheckResult:
    """The median answer comes within the limit."""
    name, title = "speed", "fast enough for long runs"
    if played.failure is not None:
        return failed(name, title, played.failure.text, "it must run on a plant of many homes as well")
    median_ms, slowest_ms = _times_ms(played)
    percent = max(0.1 * median_ms / bench.crowd.site.dt_s, 0.01)
    year_min = math.ceil(statistics.mean(played.decide_s) * _YEAR_STEPS / 60)
    text = (
        f"median {median_ms:.2f} ms, slowest {slowest_ms:.2f} ms on {bench.crowd.name}; up to {percent:.2f} % of a step"
        f" and {year_min} min for a year at 15 min"
    )
    if median_ms <= bench.limits.decide_ms:
        return passed(name, title, text)
    return failed(
        name,
        title,
        f"{text}; limit {bench.limits.decide_ms:g} ms",
        "work on whole arrays instead of loops over homes, keep what does not change in __init__, plan less often; or "
        "raise --limit-ms",
    )


def real_time(bench: Bench, played: Played) -> CheckResult:
    """The slowest answer leaves time in the step, and nothing is known that nobody can know."""
    name, title = "real_time", "can run in real time"
    if played.failure is not None:
        return skipped(name, title, "see speed")
    _, slowest_ms = _times_ms(played)
    dt_s = bench.crowd.site.dt_s
    text = f"slowest answer {slowest_ms:.2f} ms of a step of {dt_s} s"
    if slowest_ms > 1000.0 * dt_s:
        return failed(
            name, title, f"{text}: it comes too late", "plan less often, or in smaller parts with warm starts"
        )
    advice: list[str] = []
    if slowest_ms > 1000.0 * dt_s * bench.limits.step_share:
        advice.append(f"leave more than {100 * (1 - bench.limits.step_share):g} % of a step to the devices")
    if bench.base.kind == "perfect":
        advice.append("its forecast is perfect, which exists offline only: try another one as well")
    if advice:
        return CheckResult(
            id=name, title=title, outcome=Outcome.ADVICE, evidence=text, remedy="; ".join(advice)
        )
    return passed(name, title, text)


def memory(bench: Bench) -> CheckResult:
    """What it holds does not grow without end."""
    name, title = "memory", "does not grow from step to step"
    byte_per_step, limit = bench.growth_byte_per_step(), bench.limits.memory_byte_per_step
    if math.isnan(byte_per_step):
        return skipped(name, title, "it failed on the way; see the other checks")
    text = f"{max(byte_per_step, 0.0):.0f} bytes a step, limit {limit:.0f}"
    if byte_per_step <= limit:
        return passed(name, title, text)
    year_mb = byte_per_step * _YEAR_STEPS / 1e6
    return failed(
        name,
        title,
        f"{text}; {year_mb:.0f} MB in a year at 15 min",
        "keep a window of fixed length (collections.deque(maxlen=...)) instead of everything that was seen",
    )


def output(text: str) -> CheckResult:
    """Nothing is written to stdout."""
    name, title = "output", "writes nothing to stdout"
    if not text:
        return passed(name, title, "silent")
    first = text.strip().splitlines()[0][:_MOST_TEXT] if text.strip() else "blank lines"
    return failed(
        name,
        title,
        f"{len(text.splitlines())} lines, the first: {first}",
        "stdout belongs to the command (--json): use logging, and switch off what a solver prints",
    )


def _times_ms(played: Played) -> tuple[float, float]:
    times_ms = [1000.0 * time_s for time_s in played.decide_s]
    return statistics.median(times_ms), max(times_ms)
