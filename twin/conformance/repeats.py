"""Checks that the same data give the same answers, and that a strategy leaves its surroundings alone."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from twin.conformance.bench import LEVEL_CEMS, Bench, failed, not_repeatable, passed, skipped
from twin.conformance.plants import opted_in, with_other_data, without_members
from twin.conformance.probes import seeded, shifted_clock
from twin.conformance.results import CheckResult, Outcome
from twin.conformance.watch import Played, Watch, copy_of
from twin.control import Controller, Observation
from twin.control.base import IntArray

__all__ = ["no_shared_state", "opted_out", "random_state", "repeatable", "surroundings", "wall_clock"]

_SHIFT_S = 200 * 86400 + 7 * 3600 + 11 * 60
"""To another season and another time of day."""
_OTHER_SEED = 987654321
_OTHER_LOAD = 1.7

BoolArray = NDArray[np.bool_]


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
    result = _compared(
        bench,
        bench.play(bench.case),
        "repeatable",
        "same data, same bits",
        "give random numbers a seed (np.random.default_rng(seed) in __init__), and keep counters in the controller "
        "instead of the class or the module",
    )
    bench.repeats = result.outcome is Outcome.PASSED
    return result


def random_state(bench: Bench) -> CheckResult:
    """The global random states do not matter."""
    name, title = "random_state", "independent of global random state"
    if not bench.repeats:
        return not_repeatable(name, title)
    return _compared(
        bench,
        bench.play(bench.case, seed=_OTHER_SEED),
        name,
        title,
        "replace np.random.* and random.* by a generator of the controller, np.random.default_rng(seed)",
    )


def wall_clock(bench: Bench) -> CheckResult:
    """Date, time of day and speed of the computer do not matter."""
    name, title = "wall_clock", "independent of the computer's clock"
    if not bench.repeats:
        return not_repeatable(name, title)
    module_name = getattr(bench.subject.factory, "__module__", "")
    with shifted_clock(_SHIFT_S, module_name):
        played = bench.play(bench.case)
    return _compared(
        bench,
        played,
        name,
        title,
        "take the time from seen.time_s and site.start_utc_s (twin.clock.local_time), and limit iterations instead "
        "of seconds",
    )


def no_shared_state(bench: Bench) -> CheckResult:
    """A second controller in the same process does not matter."""
    name, title = "no_shared_state", "two controllers do not share state"
    if not bench.repeats:
        return not_repeatable(name, title)
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
        name,
        title,
        "keep state in self and make it in __init__; lists and arrays of the class or the module are shared",
    )


def opted_out(bench: Bench) -> CheckResult:
    """Batteries of members that opted out do what their own home makes them do, and nothing else.

    Three things tell: they do not follow the data of other homes; they do the same where their home is in no
    community; and what they are told, if it is not to rest, follows from the data of the home or changes with the
    opting out. A class that commands all batteries alike, members or not, fails the last one.
    """
    name, title = "opted_out", "members that opted out do as homes outside any community"
    case = bench.case
    if bench.level is None or bench.level < LEVEL_CEMS:
        return skipped(name, title, "only for strategies that declare level 2 or more")
    if not bench.repeats:
        return not_repeatable(name, title)
    communities = case.site.communities
    homes = communities.member_home[communities.member_opted_out]
    batteries = np.isin(case.site.battery_home, homes)
    if not batteries.any():
        return skipped(name, title, "no member with a battery has opted out")
    others = np.setdiff1d(np.arange(case.site.n_homes), homes)
    text = _commanded(bench, batteries, homes=homes, others=others)
    if text is not None:
        remedy = (
            "leave homes of communities.member_opted_out to their own EMS, like homes that are no members"
        )
        return failed(name, title, f"{text} ({int(batteries.sum())} batteries)", remedy)
    return passed(
        name,
        title,
        f"{int(batteries.sum())} batteries do the same whatever others consume, and as no members",
    )


def _commanded(bench: Bench, batteries: BoolArray, *, homes: IntArray, others: IntArray) -> str | None:
    """Return what shows that these batteries, shape (B,), are commanded by a community; None if nothing does."""
    case = bench.case
    for other, change, text in (
        (with_other_data(case, others), "other data of the others", "change with load and PV of other homes"),
        (
            without_members(case, homes),
            "fewer members",
            "are not those of the same homes outside any community",
        ),
    ):
        played = bench.play(other)
        if played.failure is not None:
            return f"with {change} it fails: {played.failure.text}"
        if _bits_of(played, batteries) != _bits_of(bench.base, batteries):
            return f"their set-points {text}"
    if any(powers_kw[batteries].any() for powers_kw in bench.base.battery_kw) and all(
        _bits_of(bench.play(other), batteries) == _bits_of(bench.base, batteries)
        for other in (with_other_data(case, homes), opted_in(case, homes))
    ):
        return "their set-points follow neither load and PV of the home nor whether it has opted out"
    return None


def _bits_of(played: Played, batteries: BoolArray) -> list[bytes]:
    return [powers_kw[batteries].tobytes() for powers_kw in played.battery_kw]


def _compared(bench: Bench, played: Played, name: str, title: str, remedy: str) -> CheckResult:
    if played.failure is not None:
        return failed(name, title, f"fails then: {played.failure.text}", remedy)
    step = bench.first_difference(played)
    if step is None:
        return passed(name, title, f"{played.n_steps} proposals are equal to the bit")
    return failed(name, title, f"differs from step {step} on", remedy)
