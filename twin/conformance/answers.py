"""Checks of the answers: valid proposals, device limits, missing and late readings, the forecast."""

from dataclasses import replace

import numpy as np

from twin.conformance.bench import Bench, failed, not_repeatable, passed, skipped
from twin.conformance.results import CheckResult, Outcome
from twin.conformance.unfolding import CHANGES, Unfolding
from twin.conformance.watch import Watch
from twin.control import Observation, Site
from twin.control.management.delivery import DelayLine
from twin.units import SECONDS_PER_HOUR

__all__ = [
    "device_limits",
    "forecast",
    "future",
    "late_readings",
    "missing_first",
    "missing_later",
    "proposal",
]

_SILENCE_H = range(5, 21)
"""Hours of the run in which every third home is not heard."""
_ALL_SILENT_H = 12
"""Hour of the run at whose start no home is heard."""
_MOST_STEPS_LATE = 7
_MOST_BEYOND_RATING = 0.05
"""Share of the set-points that may be more than the rated power of their battery."""


def proposal(bench: Bench) -> CheckResult:
    """Every answer is a proposal with finite values of the right shape."""
    name, title = "proposal", "every answer is a valid proposal"
    if bench.base.failure is None:
        return passed(name, title, f"{bench.base.n_steps} steps on {bench.case.name}")
    return failed(
        name,
        title,
        bench.base.failure.text,
        "return Proposal(battery_kw=...) with one finite value for each battery, in every step",
    )


def device_limits(bench: Bench) -> CheckResult:
    """Set-points that the batteries can follow; beyond them the device has the last word.

    The state of charge ends what a battery can do within a step, so set-points beyond it are advice. The rating is known
    before the run: more than a few set-points beyond it mean that the strategy does not know what it commands.
    """
    name, title, base = "device_limits", "set-points that the batteries can follow", bench.base
    if not base.asked:
        return passed(name, title, "the plant has no batteries")
    percent, over_percent = (100.0 * n / base.asked for n in (base.beyond_limits, base.beyond_rating))
    text = f"{percent:.1f} % of {base.asked} set-points beyond what state of charge and rating allow"
    if not base.beyond_limits:
        return passed(name, title, text)
    if base.beyond_rating > _MOST_BEYOND_RATING * base.asked:
        return failed(
            name,
            title,
            f"{text}, by up to {base.worst_beyond_kw:.2f} kW; {over_percent:.1f} % beyond the rating alone, limit "
            f"{100 * _MOST_BEYOND_RATING:g} %",
            "stay between -site.battery.discharge_kw and site.battery.charge_kw, e.g. with np.clip; are the powers "
            "in kW, one for each battery and not for each home?",
        )
    return CheckResult(
        id=name,
        title=title,
        outcome=Outcome.ADVICE,
        evidence=f"{text}, by up to {base.worst_beyond_kw:.2f} kW",
        remedy="they are cut by the device; where the strategy counts on the power it asked for, use "
        "models.battery.power_limits_kw(site.battery, seen.soc, site.dt_s)",
    )


def missing_first(bench: Bench) -> CheckResult:
    """In the first step meter and voltage have not been read."""

    def unread(seen: Observation) -> Observation:
        nothing = np.full(len(seen.load_kw), np.nan)
        return replace(seen, grid_kw=nothing, vm_pu=nothing) if seen.step == 0 else seen

    return _altered(
        bench,
        Watch(alter=unread, stop_after=bench.case.site.steps_per_day),
        "missing_first",
        "first step: meter and voltage are NaN",
        "grid_kw and vm_pu are NaN in the first step of every run: decide without them there, e.g. np.nan_to_num",
    )


def missing_later(bench: Bench) -> CheckResult:
    """Some homes, and once all of them, are not heard for a while."""

    def unheard(seen: Observation) -> Observation:
        if int(seen.time_s) // SECONDS_PER_HOUR not in _SILENCE_H:
            return seen
        lost = np.arange(len(seen.load_kw)) % 3 == 0
        if int(seen.time_s) == _ALL_SILENT_H * SECONDS_PER_HOUR:
            lost[:] = True
        return replace(
            seen, grid_kw=np.where(lost, np.nan, seen.grid_kw), vm_pu=np.where(lost, np.nan, seen.vm_pu)
        )

    return _altered(
        bench,
        Watch(alter=unheard),
        "missing_later",
        "later steps: some homes are not measured",
        "grid_kw and vm_pu may be NaN for any home in any step: use np.where(np.isnan(...), ..., ...) and keep what "
        "the home did before, or rest",
    )


def late_readings(bench: Bench) -> CheckResult:
    """Readings that are as old as they say; the forecast is that of the present step."""
    return _altered(
        bench,
        Watch(alter=_Late(bench.case.site)),
        "late_readings",
        "readings that are some steps old",
        "age_steps is None where all readings are of this step, and an array by home elsewhere: accept both, and do not "
        "take for granted that soc and grid_kw show what was done in the step before",
    )


class _Late:
    """Lets readings arrive late, home by home; until the first arrives, that of the first step is held."""

    def __init__(self, site: Site) -> None:
        homes = np.arange(site.n_homes)
        self._owner = np.concatenate([homes, homes, homes, homes, site.battery_home])
        self._cuts = np.arange(1, 5) * site.n_homes
        self._delay_steps = homes % (_MOST_STEPS_LATE + 1)
        self._all = np.ones(site.n_homes, dtype=np.bool_)
        self._line: DelayLine | None = None

    def __call__(self, seen: Observation) -> Observation:
        row = np.concatenate([seen.load_kw, seen.pv_kw, seen.grid_kw, seen.vm_pu, seen.soc])
        if self._line is None:
            self._line = DelayLine(self._owner, delay_steps=self._delay_steps, nothing=row)
        held, sent_step = self._line.pass_on(seen.step, row, connected=self._all, known=self._all)
        load_kw, pv_kw, grid_kw, vm_pu, soc = np.split(held, self._cuts)
        return replace(
            seen,
            load_kw=load_kw,
            pv_kw=pv_kw,
            grid_kw=grid_kw,
            vm_pu=vm_pu,
            soc=soc,
            age_steps=seen.step - np.maximum(sent_step, 0),
        )


def forecast(bench: Bench) -> CheckResult:
    """What it asks of the future; prices are published a day ahead, so they may be asked for from any step on."""
    name, title, base = "forecast", "knows no more of the future than it says", bench.base
    if base.peeks and base.kind != "perfect":
        return failed(
            name,
            title,
            f"{base.peeks} windows start after the present step: what is metered then would be read",
            'ask with window(seen.step, horizon) and take rows from it, or declare forecast = "perfect"',
        )
    if not base.ahead_steps:
        return passed(name, title, "reads no forecast")
    ahead_h = base.ahead_steps * bench.case.site.dt_s / SECONDS_PER_HOUR
    return passed(name, title, f"reads {base.kind} forecasts up to {ahead_h:g} h ahead")


def future(bench: Bench) -> CheckResult:
    """What comes later does not matter, by whichever way it may be read.

    It plays twice over arrays that hold other values for everything that is not known yet, and the true ones from the
    step on in which it is: load and PV of a step with that step, prices a day before.
    """
    name, title = "future", "independent of what nobody knows yet"
    if bench.base.kind != "persistence":
        return skipped(name, title, f"declares a {bench.base.kind} forecast")
    if bench.base.peeks:
        return skipped(name, title, "see forecast")
    if not bench.repeats:
        return not_repeatable(name, title)
    remedy = (
        "take what comes from seen.forecast.window(seen.step, horizon) and prices(seen.step, horizon) alone, not from "
        'its attributes or from files of the run, or declare forecast = "perfect"'
    )
    for change in CHANGES:
        unfolding = Unfolding(bench.case, change)
        played = bench.play(bench.case, Watch(after=unfolding.go_on, forecast=unfolding.forecast))
        if played.failure is not None:
            return failed(name, title, f"with another future it fails: {played.failure.text}", remedy)
        step = bench.first_difference(played)
        if step is not None:
            text = f"the proposal of step {step} changes with load, PV or prices that come later"
            return failed(name, title, text, remedy)
    return passed(name, title, f"{bench.base.n_steps} proposals are equal to the bit whatever comes later")


def _altered(bench: Bench, watch: Watch, name: str, title: str, remedy: str) -> CheckResult:
    played = bench.play(bench.case, watch)
    if played.failure is not None:
        return failed(name, title, played.failure.text, remedy)
    return passed(name, title, f"{played.n_steps} steps with valid proposals")
