"""Checks that the same data give the same answers, and that a strategy leaves its surroundings alone."""

from dataclasses import replace

import numpy as np

from twin.conformance.bench import LEVEL_CEMS, Bench, failed, passed, skipped
from twin.conformance.probes import seeded, shifted_clock
from twin.conformance.results import CheckResult
from twin.conformance.watch import Played, Watch, copy_of
from twin.control import Controller, Observation

__all__ = ["no_shared_state", "opted_out", "random_state", "repeatable", "surroundings", "wall_clock"]

_SHIFT_S = 200 * 86400 + 7 * 3600 + 11 * 60
"""To another season and another time of day."""
_OTHER_SEED = 987654321
_OTHER_LOAD = 1.7


def surroundings(bench: Bench) -> CheckResult:
    """It writes neither into what it sees nor into the site."""
    name, title = "surroundings", "leaves observation and site as they are"
    if not bench.base.changed:
        return passed(name, title, "all arrays unchanged")
    return failed(
        name,
        title,
        f"it wrote into {', '.join(sorted(bench.base.changed))}",
        "other parts of the run read the same arrays: work on a copy, e.g. seen.soc.copy()",
    )


def repeatable(bench: Bench) -> CheckResult:
    """Two fresh controllers do the same on the same data."""
    return _compared(
        bench,
        bench.play(bench.case),
        "repeatable",
        "same data, same bits",
        "give random numbers a seed (np.random.default_rng(seed) in __init__), and keep counters in the controller "
        "instead of the class or the module",
    )


def random_state(bench: Bench) -> CheckResult:
    """The global random states do not matter."""
    return _compared(
        bench,
        bench.play(bench.case, seed=_OTHER_SEED),
        "random_state",
        "independent of global random state",
        "replace np.random.* and random.* by a generator of the controller, np.random.default_rng(seed)",
    )


def wall_clock(bench: Bench) -> CheckResult:
    """Date, time of day and speed of the computer do not matter."""
    module_name = getattr(bench.subject.factory, "__module__", "")
    with shifted_clock(_SHIFT_S, module_name):
        played = bench.play(bench.case)
    return _compared(
        bench,
        played,
        "wall_clock",
        "independent of the computer's clock",
        "take the time from seen.time_s and site.start_utc_s (twin.clock.local_time), and limit iterations instead "
        "of seconds",
    )


def no_shared_state(bench: Bench) -> CheckResult:
    """A second controller in the same process does not matter."""
    others: list[Controller] = []

    def disturb(seen: Observation) -> None:
        load_kw = _OTHER_LOAD * seen.load_kw
        load_kw.flags.writeable = bench.writable
        # what it draws from the global random states is not what is looked at here
        with seeded(_OTHER_SEED):
            if not others:
                others.append(bench.subject.make(copy_of(bench.case.site)))
            others[0].decide(replace(seen, load_kw=load_kw))

    return _compared(
        bench,
        bench.play(bench.case, Watch(before=disturb)),
        "no_shared_state",
        "two controllers do not share state",
        "keep state in self and make it in __init__; lists and arrays of the class or the module are shared",
    )


def opted_out(bench: Bench) -> CheckResult:
    """Batteries of members that opted out do not follow what others do."""
    name, title = "opted_out", "members that opted out are left alone"
    case = bench.case
    if bench.level is None or bench.level < LEVEL_CEMS:
        return skipped(name, title, "only for strategies that declare level 2 or more")
    communities = case.site.communities
    out = communities.member_home[communities.member_opted_out]
    batteries = np.isin(case.site.battery_home, out)
    if not batteries.any():
        return skipped(name, title, "no member with a battery has opted out")
    factor = np.where(np.isin(np.arange(case.site.n_homes), out), 1.0, _OTHER_LOAD)
    other = bench.play(replace(case, load_kw=case.load_kw * factor))
    mine = [powers_kw[batteries].tobytes() for powers_kw in bench.base.battery_kw]
    theirs = [powers_kw[batteries].tobytes() for powers_kw in other.battery_kw]
    if other.failure is not None or mine != theirs:
        text = f"their set-points change with the load of other homes ({int(batteries.sum())} batteries)"
        return failed(
            name,
            title,
            text if other.failure is None else other.failure.text,
            "leave homes of communities.member_opted_out to their own EMS",
        )
    return passed(name, title, f"{int(batteries.sum())} batteries do the same whatever others consume")


def _compared(bench: Bench, played: Played, name: str, title: str, remedy: str) -> CheckResult:
    if played.failure is not None:
        return failed(name, title, f"fails then: {played.failure.text}", remedy)
    if played.bits() == bench.base.bits():
        return passed(name, title, f"{played.n_steps} proposals are equal to the bit")
    step = next(
        n
        for n, (one, other) in enumerate(zip(bench.base.proposals, played.proposals, strict=True))
        if one != other
    )
    return failed(name, title, f"differs from step {step} on", remedy)
