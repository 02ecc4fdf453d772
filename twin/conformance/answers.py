"""Checks of the answers: valid proposals, device limits, missing and late readings, the forecast."""

from dataclasses import replace

import numpy as np

from twin.conformance.bench import Bench, failed, passed
from twin.conformance.results import CheckResult, Outcome
from twin.conformance.watch import Watch
from twin.control import Observation

__all__ = ["device_limits", "forecast", "late_readings", "missing_first", "missing_later", "proposal"]

_SILENCE = range(5, 21)
"""Steps in which every third home is not heard."""
_ALL_SILENT = 12
_MOST_STEPS_LATE = 8


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
    """Set-points that the batteries can follow; beyond them the device has the last word."""
    name, title, base = "device_limits", "set-points that the batteries can follow", bench.base
    if not base.asked:
        return passed(name, title, "the plant has no batteries")
    percent = 100.0 * base.beyond_limits / base.asked
    text = f"{percent:.1f} % of {base.asked} set-points beyond what state of charge and rating allow"
    if not base.beyond_limits:
        return passed(name, title, text)
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
        Watch(alter=unread),
        "missing_first",
        "first step: meter and voltage are NaN",
        "grid_kw and vm_pu are NaN in the first step of every run: decide without them there, e.g. np.nan_to_num",
    )


def missing_later(bench: Bench) -> CheckResult:
    """Some homes, and once all of them, are not heard for a while."""

    def unheard(seen: Observation) -> Observation:
        if seen.step not in _SILENCE:
            return seen
        lost = np.arange(len(seen.load_kw)) % 3 == 0
        if seen.step == _ALL_SILENT:
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
    """Readings that come with an age."""

    def late(seen: Observation) -> Observation:
        return replace(seen, age_steps=np.minimum(np.arange(len(seen.load_kw)) % _MOST_STEPS_LATE, seen.step))

    return _altered(
        bench,
        Watch(alter=late),
        "late_readings",
        "readings that are some steps old",
        "age_steps is None where all readings are of this step, and an array by home elsewhere: accept both",
    )


def forecast(bench: Bench) -> CheckResult:
    """What it reads of the future."""
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
    ahead_h = base.ahead_steps * bench.case.site.dt_s / 3600
    return passed(name, title, f"reads {base.kind} forecasts up to {ahead_h:g} h ahead")


def _altered(bench: Bench, watch: Watch, name: str, title: str, remedy: str) -> CheckResult:
    played = bench.play(bench.case, watch)
    if played.failure is not None:
        return failed(name, title, played.failure.text, remedy)
    return passed(name, title, f"{played.n_steps} steps with valid proposals")
