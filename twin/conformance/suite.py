"""All checks of one strategy, in the order in which a developer wants to read them."""

import time
from collections.abc import Callable, Iterator

from twin.conformance import answers, costs, repeats, sizes
from twin.conformance.bench import Bench, Limits, failed, passed, skipped
from twin.conformance.plants import Case, synthetic_case
from twin.conformance.probes import captured_stdout
from twin.conformance.results import CheckResult, Outcome, Report
from twin.conformance.subject import Subject
from twin.conformance.watch import Watch, copy_of
from twin.control.management.levels import LEVEL_NAME, level_of

__all__ = ["Limits", "check_controller"]

_HOMES = 100
_QUARTER_HOUR_S = 900

Check = Callable[[Bench], CheckResult]

_ON_ANSWERS: tuple[Check, ...] = (
    answers.device_limits,
    answers.missing_first,
    answers.missing_later,
    answers.late_readings,
    repeats.surroundings,
    answers.forecast,
    repeats.repeatable,
    repeats.random_state,
    repeats.wall_clock,
    repeats.no_shared_state,
    answers.future,
    repeats.opted_out,
)


def check_controller(
    subject: Subject,
    *,
    case: Case | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.perf_counter,
    on_check: Callable[[CheckResult], None] | None = None,
) -> Report:
    """Return what the checks found about a strategy.

    Nothing it writes to stdout appears there; nothing it does to random states outlives the checks.

    Args:
        subject: the strategy.
        case: plant of most checks and of the time measured; synthetic ones of 10 and 100 homes unless given.
        limits: what counts as too much.
        clock: seconds, to measure ``decide``.
        on_check: called with each result as it comes.

    Raises:
        InputError: the class does not take the parameters, lacks one, or refuses their values with ``ValueError`` or
            ``TypeError``.
    """
    small = synthetic_case("10 homes") if case is None else case
    crowd = (
        synthetic_case(f"{_HOMES} homes", n_homes=_HOMES, n_steps=96, dt_s=_QUARTER_HOUR_S)
        if case is None
        else case
    )
    results: list[CheckResult] = []
    with captured_stdout() as printed:
        subject.refuse_unfit_params(small.site)
        bench = Bench(
            subject=subject,
            case=small,
            crowd=crowd,
            limits=Limits() if limits is None else limits,
            clock=clock,
        )
        for result in _results(bench):
            results.append(result)
            if on_check is not None:
                on_check(result)
    results.append(costs.output(printed.text))
    return Report(
        controller=subject.name, params=dict(subject.params), plant=small.name, checks=tuple(results)
    )


def _results(bench: Bench) -> Iterator[CheckResult]:
    made = _construction(bench)
    yield made
    if made.outcome is Outcome.FAILED:
        return
    bench.rehearse()
    answered = answers.proposal(bench)
    yield answered
    if answered.outcome is Outcome.FAILED:
        yield skipped("other", "all other checks", "the strategy does not run; correct this first")
        return
    for check in _ON_ANSWERS:
        yield check(bench)
    for size in sizes.SIZES:
        yield sizes.on_size(bench, size)
    yield sizes.no_communities(bench)
    yield costs.memory(bench)
    timed = costs.timed(bench)
    yield costs.speed(bench, timed)
    yield costs.real_time(bench, timed)


def _construction(bench: Bench) -> CheckResult:
    name, title = "construction", "is made with site and parameters"
    played = bench.play(bench.case, Watch(stop_after=0))
    if played.failure is not None:
        return failed(
            name,
            title,
            played.failure.what,
            "the class is called as C(site, **params) before the first step and needs decide(seen)",
        )
    bench.level = level_of(bench.subject.make(copy_of(bench.case.site)))
    level = "not declared" if bench.level is None else f"{bench.level}, {LEVEL_NAME[bench.level]}"
    return passed(name, title, f"level of management: {level}; forecast: {played.kind}")
