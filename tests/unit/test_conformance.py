"""Every check of the conformance suite can fail, names the fault, and lets sound strategies pass."""

import datetime as dt
import io
import os
import random
import re
import time
from dataclasses import replace
from datetime import datetime as moment
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from rich.console import Console

from models.battery import clip_power_kw
from twin.conformance import Limits, Outcome, Subject, check_controller, read_params, synthetic_case
from twin.conformance.plants import without_members
from twin.conformance.probes import captured_stdout, seeded, shifted_clock
from twin.console_conformance import conformance_table
from twin.control import Proposal
from twin.control.registry import resolve
from twin.errors import InputError

ROOT = Path(__file__).parents[2]


class Ticking:
    """A clock that goes on by the same time with each reading."""

    def __init__(self, tick_s=0.001):
        self.tick_s, self.at_s = tick_s, 0.0

    def __call__(self):
        self.at_s += self.tick_s
        return self.at_s


def report_on(factory, *, tick_s=0.001, params=None, **options):
    subject = Subject(name=factory.__name__, factory=factory, params={} if params is None else params)
    return check_controller(subject, clock=Ticking(tick_s), **options)


def findings(report, outcome=Outcome.FAILED):
    return {check.id: check for check in report.of(outcome)}


class Idle:
    """Sound; the broken ones differ from it in one thing."""

    def __init__(self, site):
        self.site = site

    def rest(self, power_kw=0.0):
        return Proposal(battery_kw=np.zeros(self.site.battery.n) + power_kw)

    def decide(self, seen):
        return self.rest()


class FailsToBeMade(Idle):
    def __init__(self, site):
        raise KeyError("tariff.csv")


class OfUnknownLevel(Idle):
    level = 9


class OfUnknownForecast(Idle):
    forecast = "crystal ball"


class WithoutDecide:
    def __init__(self, site):
        pass


class ReturnsNothing(Idle):
    def decide(self, seen):
        pass


class WrongShape(Idle):
    def decide(self, seen):
        return Proposal(battery_kw=np.zeros(self.site.n_homes))


class NotANumber(Idle):
    def decide(self, seen):
        return self.rest(np.nan if seen.step == 7 else 0.0)


class Raises(Idle):
    def decide(self, seen):
        return self.rest(1.0 / (3 - seen.step))


class RaisesOnTheFirstAfternoon(Idle):
    def decide(self, seen):
        return self.rest(1.0 / (50 - seen.step))


class Quits(Idle):
    def decide(self, seen):
        raise SystemExit(0)


class FollowsVoltage(Idle):
    def decide(self, seen):
        return Proposal(battery_kw=10.0 * (seen.vm_pu - 1.0)[self.site.battery_home])


class FollowsVoltageFromTheSecondStep(FollowsVoltage):
    def decide(self, seen):
        return self.rest() if seen.step == 0 else super().decide(seen)


class WantsToSeeWhatItDid(Idle):
    """Charges a little and counts on finding more in the battery in the next step, whatever the age says."""

    soc = None

    def decide(self, seen):
        assert self.soc is None or np.all(seen.soc > self.soc)
        self.soc = seen.soc.copy()
        return self.rest(0.02)


class WantsFreshReadings(Idle):
    def decide(self, seen):
        assert seen.age_steps is None
        return self.rest()


class InWatts(Idle):
    def decide(self, seen):
        surplus_kw = np.maximum(-seen.load_kw - seen.pv_kw, 0.0)[self.site.battery_home]
        return self.rest(1000.0 * surplus_kw)


class Clairvoyant(Idle):
    def decide(self, seen):
        load_kw, _ = seen.forecast.window(seen.step + 1, 4)
        return self.rest(0.1 * float(load_kw.sum() > 3.0))


def arrays_in(holder, seen_ids=()):
    """Return every array that can be reached from an object by attributes."""
    if isinstance(holder, np.ndarray):
        return [holder]
    if id(holder) in seen_ids or not hasattr(holder, "__dict__"):
        return []
    return [a for value in vars(holder).values() for a in arrays_in(value, (*seen_ids, id(holder)))]


class ReadsTheArraysOfTheForecast(Idle):
    def decide(self, seen):
        load_kw = seen.forecast._load_kw[seen.step + 1 : seen.step + 2]
        return self.rest(0.01 * float(load_kw.sum()))


class WalksToTheSunOfTheNextHour(Idle):
    """Looks for an array of steps and homes that is never positive, wherever it is."""

    def decide(self, seen):
        shape = (self.site.n_steps, self.site.n_homes)
        (pv_kw, *_) = (a for a in arrays_in(seen.forecast) if a.shape == shape and a.max() <= 0.0)
        return self.rest(0.2 * float(pv_kw[seen.step : seen.step + 4].min() < -1.0))


class KeepsTheWholeFuture(Idle):
    """Copies all that is there in the first step and looks up each step when it comes."""

    load_kw = None

    def decide(self, seen):
        if self.load_kw is None:
            self.load_kw = seen.forecast._load_kw.copy()
        return self.rest(0.01 * float(self.load_kw[seen.step].sum()))


class KnowsThePricesOfTheDayAfter(Idle):
    def decide(self, seen):
        later = seen.step + self.site.steps_per_day + 1
        return self.rest(0.1 * float(seen.forecast._price_import[later : later + 1].sum() > 0.3))


class AsksForPricesOfTheDayAfter(Idle):
    def decide(self, seen):
        prices, _ = seen.forecast.prices(seen.step + 40, self.site.steps_per_day)
        return self.rest(1e-3 * float(prices.sum()))


class PlansByThePricesOfTheComingDay(Idle):
    """Sound: prices are published a day ahead."""

    def decide(self, seen):
        prices, _ = seen.forecast.prices(seen.step + 1, self.site.steps_per_day)
        return self.rest(0.02 * float(prices.sum() > 0.25 * len(prices)))


class PlansByTheForecastOfTheFirstStep(Idle):
    """Sound: the forecast is the same object in every step."""

    forecast_kept = None

    def decide(self, seen):
        if self.forecast_kept is None:
            self.forecast_kept = seen.forecast
        load_kw, _ = self.forecast_kept.window(seen.step, self.site.steps_per_day)
        prices, _ = self.forecast_kept.prices(seen.step, self.site.steps_per_day)
        return self.rest(0.01 * float(load_kw.mean() + prices.max()))


class WritesIntoWhatItSees(Idle):
    def decide(self, seen):
        seen.soc[:] = 0.5
        return self.rest()


class UnlocksWhatItSees(Idle):
    def decide(self, seen):
        seen.load_kw.flags.writeable = True
        seen.load_kw[0] = 99.0
        return self.rest()


class WritesIntoTheSite(Idle):
    def __init__(self, site):
        super().__init__(site)
        site.battery.soc_min[:] = 0.0


class UnseededRandom(Idle):
    def __init__(self, site):
        super().__init__(site)
        self.rng = np.random.default_rng()

    def decide(self, seen):
        return self.rest(self.rng.random())


class CountsInTheClass(Idle):
    made = 0

    def __init__(self, site):
        super().__init__(site)
        type(self).made += 1

    def decide(self, seen):
        return self.rest(1e-3 * self.made)


class GlobalRandom(Idle):
    def decide(self, seen):
        return self.rest(np.random.random())  # noqa: NPY002 - the fault


class GlobalRandomFromTheFirstAfternoon(Idle):
    def decide(self, seen):
        return self.rest(np.random.random() if seen.step > 60 else 0.0)  # noqa: NPY002 - the fault


class PythonRandom(Idle):
    def decide(self, seen):
        return self.rest(random.random())  # noqa: S311 - the fault


class ReadsTheDate(Idle):
    def decide(self, seen):
        return self.rest(0.001 * dt.date.today().timetuple().tm_yday)  # noqa: DTZ011 - the fault


class ReadsTheMonthByAnotherName(Idle):
    def decide(self, seen):
        return self.rest(0.01 * moment.now(dt.UTC).month)


class ReadsTheTime(Idle):
    def decide(self, seen):
        return self.rest(0.01 * time.localtime().tm_mon)


class StopsAfterAWhile(Idle):
    def decide(self, seen):
        start_s = perf_counter()
        rounds = 0
        while perf_counter() - start_s < 30.0 and rounds < 1000:
            rounds += 1
        return self.rest(1e-3 * rounds)


class SharesAList(Idle):
    totals: list = []  # noqa: RUF012 - the fault

    def __init__(self, site):
        super().__init__(site)
        self.totals.clear()

    def decide(self, seen):
        self.totals.append(float(seen.load_kw.sum()))
        return self.rest(0.01 * self.totals[max(len(self.totals) - 2, 0)])


class IgnoresWhoOptedOut(Idle):
    level = 2

    def decide(self, seen):
        return self.rest(0.01 * seen.load_kw.mean())


class CommandsEveryMember(Idle):
    """Discharges every member at 3 kW, who has opted out as well; other homes rest."""

    level = 2

    def decide(self, seen):
        member = np.isin(self.site.battery_home, self.site.communities.member_home)
        return self.rest(np.where(member, -np.minimum(3.0, self.site.battery.discharge_kw), 0.0))


class CommandsEverybody(Idle):
    """Discharges every battery at 3 kW while it can, members or not."""

    level = 2

    def decide(self, seen):
        battery = self.site.battery
        return self.rest(clip_power_kw(battery, seen.soc, np.full(battery.n, -3.0), self.site.dt_s))


class NightTariff(Idle):
    """Sound: charges everybody by the clock and discharges members by what the others consume, but not who left."""

    level = 2

    def decide(self, seen):
        communities = self.site.communities
        heard = np.isin(self.site.battery_home, communities.member_home[~communities.member_opted_out])
        night = seen.step % self.site.steps_per_day < self.site.steps_per_day // 4
        wished_kw = (1.0 if night else 0.0) - 0.1 * heard * seen.load_kw.mean()
        return self.rest(clip_power_kw(self.site.battery, seen.soc, wished_kw, self.site.dt_s))


class NeedsABattery(Idle):
    def decide(self, seen):
        return self.rest(0.1 * seen.soc.max())


class NeedsTwoHomes(Idle):
    def decide(self, seen):
        return self.rest(0.1 * seen.load_kw[1])


class ForAFewHomes(Idle):
    def decide(self, seen):
        table = np.zeros(128)
        table[np.arange(self.site.n_homes)] = 1.0
        return self.rest()


class NeedsALongRun(Idle):
    def __init__(self, site):
        super().__init__(site)
        self.sixth = np.arange(site.n_steps)[5]


class DaysOf24Hours(Idle):
    def __init__(self, site):
        super().__init__(site)
        days = max(site.n_steps // site.steps_per_day, 1)
        self.plan_kw = np.zeros(days * site.steps_per_day)

    def decide(self, seen):
        return self.rest(self.plan_kw[seen.step])


class DaysOf24HoursExactly(Idle):
    def __init__(self, site):
        super().__init__(site)
        if site.n_steps > 20:
            np.zeros(site.n_steps).reshape(-1, site.steps_per_day)


class NeedsACommunity(Idle):
    def __init__(self, site):
        super().__init__(site)
        self.first = site.communities.member_home[0]


class RefusesWithoutCommunity(Idle):
    level = 2

    def __init__(self, site):
        super().__init__(site)
        if not site.communities.n_communities:
            raise ValueError("communities: there are none")


class KeepsEverything(Idle):
    def __init__(self, site):
        super().__init__(site)
        self.history = []

    def decide(self, seen):
        self.history.append(seen)
        return self.rest()


class KeepsADay(Idle):
    def __init__(self, site):
        super().__init__(site)
        self.day_kw = np.zeros((site.steps_per_day, site.n_homes))

    def decide(self, seen):
        self.day_kw[seen.step % self.site.steps_per_day] = seen.load_kw
        return self.rest()


class Talks(Idle):
    def decide(self, seen):
        print("step", seen.step)  # noqa: T201 - the fault
        return self.rest()


class TalksLikeASolver(Idle):
    def __init__(self, site):
        super().__init__(site)
        os.write(1, b"Running a solver\n")


@pytest.mark.parametrize(
    ("broken", "ids", "words"),
    [
        (FailsToBeMade, {"construction"}, "KeyError: 'tariff.csv'"),
        (OfUnknownLevel, {"construction"}, "level: must be a whole number"),
        (OfUnknownForecast, {"construction"}, "'crystal ball' is not known"),
        (WithoutDecide, {"construction"}, r"no method decide\(seen\)"),
        (ReturnsNothing, {"proposal"}, "step 0: ControllerError: .* returned NoneType, not a Proposal"),
        (WrongShape, {"proposal"}, r"shape \(10,\), expected \(6,\)"),
        (NotANumber, {"proposal"}, r"step 7: .*battery_kw\[0\] = nan"),
        (Raises, {"proposal"}, r"step 3: ZeroDivisionError: .*test_conformance.py:\d+"),
        (RaisesOnTheFirstAfternoon, {"proposal"}, "step 50: ZeroDivisionError"),
        (Quits, {"proposal"}, "step 0: SystemExit"),
        (FollowsVoltage, {"missing_first", "missing_later"}, "step 0: .*= nan"),
        (FollowsVoltageFromTheSecondStep, {"missing_later"}, "step 20: .*= nan"),
        (WantsFreshReadings, {"late_readings"}, "AssertionError"),
        (WantsToSeeWhatItDid, {"late_readings"}, "step 1: AssertionError"),
        (InWatts, {"device_limits"}, r"beyond the rating alone, limit 5 %"),
        (Clairvoyant, {"forecast"}, "192 windows start after the present step"),
        (ReadsTheArraysOfTheForecast, {"future"}, "proposal of step 0 changes with .* that come later"),
        (WalksToTheSunOfTheNextHour, {"future"}, r"proposal of step \d+ changes"),
        (KeepsTheWholeFuture, {"future"}, "proposal of step 1 changes"),
        (KnowsThePricesOfTheDayAfter, {"future"}, "proposal of step 0 changes"),
        (AsksForPricesOfTheDayAfter, {"future"}, "proposal of step 0 changes"),
        (WritesIntoWhatItSees, {"surroundings"}, "what it sees .*read-only.*test_conformance.py"),
        (UnlocksWhatItSees, {"surroundings"}, "it wrote into load_kw"),
        (WritesIntoTheSite, {"surroundings"}, "it wrote into site.battery.soc_min"),
        (GlobalRandom, {"random_state"}, "differs from step 0 on"),
        (GlobalRandomFromTheFirstAfternoon, {"random_state"}, "differs from step 61 on"),
        (PythonRandom, {"random_state"}, "differs from step 0 on"),
        (ReadsTheDate, {"wall_clock"}, "differs from step 0 on"),
        (ReadsTheMonthByAnotherName, {"wall_clock"}, "differs from step 0 on"),
        (ReadsTheTime, {"wall_clock"}, "differs from step 0 on"),
        (StopsAfterAWhile, {"wall_clock"}, "differs from step 0 on"),
        (SharesAList, {"no_shared_state"}, "differs from step [01] on"),
        (
            IgnoresWhoOptedOut,
            {"opted_out"},
            r"set-points change with load and PV of other homes \(1 batteries\)",
        ),
        (CommandsEveryMember, {"opted_out"}, "not those of the same homes outside any community"),
        (CommandsEverybody, {"opted_out"}, "neither load and PV of the home nor whether it has opted out"),
        (NeedsABattery, {"no_batteries"}, "ValueError: zero-size array"),
        (NeedsTwoHomes, {"one_home"}, "IndexError"),
        (ForAFewHomes, {"many_homes"}, "step 0: IndexError"),
        (NeedsALongRun, {"short_run"}, "construction: IndexError"),
        (DaysOf24Hours, {"day_of_25_h"}, "step 24: IndexError"),
        (DaysOf24HoursExactly, {"day_of_23_h", "day_of_25_h"}, "cannot reshape array of size 23"),
        (NeedsACommunity, {"no_communities"}, "construction: IndexError"),
        (KeepsEverything, {"memory"}, r"\d{4,} bytes a step, limit 1024; \d+ MB in a year"),
        (Talks, {"output"}, "lines, the first: step 0"),
        (TalksLikeASolver, {"output"}, "lines, the first: Running a solver"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_is_found_by_its_check_and_by_no_other(broken, ids, words):
    report = report_on(broken)
    found = findings(report)
    assert found.keys() == ids
    assert not report.passed
    first = next(iter(found.values()))
    assert re.search(words, first.evidence)
    assert first.remedy


@pytest.mark.parametrize("broken", [UnseededRandom, CountsInTheClass])
def test_what_never_repeats_is_found_once_and_no_other_comparison_is_made(broken):
    report = report_on(broken)
    found = findings(report)
    assert found.keys() == {"repeatable"}
    assert "seed" in found["repeatable"].remedy
    skips = {check.id: check.evidence for check in report.of(Outcome.SKIPPED)}
    assert {name for name, why in skips.items() if why == "not repeatable"} == {
        "random_state",
        "wall_clock",
        "no_shared_state",
        "future",
    }


def test_the_batteries_of_those_who_opted_out_are_not_compared_where_nothing_repeats():
    class Undecided(UnseededRandom):
        level = 2

    report = report_on(Undecided)
    assert findings(report).keys() == {"repeatable"}
    assert findings(report, Outcome.SKIPPED)["opted_out"].evidence == "not repeatable"


def test_what_is_asked_ahead_is_found_once():
    skips = findings(report_on(Clairvoyant), Outcome.SKIPPED)
    assert skips["future"].evidence == "see forecast"


@pytest.mark.parametrize("kind", ["perfect", "noisy"])
def test_the_future_matters_to_those_who_say_that_they_know_it(kind):
    class Declared(ReadsTheArraysOfTheForecast):
        forecast = kind

    report = report_on(Declared)
    assert report.passed, findings(report)
    assert findings(report, Outcome.SKIPPED)["future"].evidence == f"declares a {kind} forecast"


def test_what_fails_with_another_future_has_read_it():
    class LooksForAnEvenEvening(Idle):
        def decide(self, seen):
            assert seen.forecast._load_kw[-1].max() < 2.0
            return self.rest()

    case = synthetic_case("ten homes")
    assert case.load_kw[-1].max() < 1.0
    dearer = replace(case, load_kw=case.load_kw + 1.0)
    found = findings(report_on(LooksForAnEvenEvening, case=dearer))
    assert found.keys() == {"future"}
    assert "with another future it fails: step 0: AssertionError" in found["future"].evidence


def test_a_construction_that_fails_is_named_once():
    (check,) = report_on(FailsToBeMade).of(Outcome.FAILED)
    assert check.id == "construction"
    assert check.evidence.startswith("KeyError: 'tariff.csv' (test_conformance.py:")


@pytest.mark.parametrize(
    "sound",
    [
        Idle,
        KeepsADay,
        RefusesWithoutCommunity,
        NightTariff,
        PlansByThePricesOfTheComingDay,
        PlansByTheForecastOfTheFirstStep,
    ],
)
def test_a_sound_strategy_passes_every_check(sound):
    report = report_on(sound)
    assert report.passed, findings(report)
    assert not report.of(Outcome.ADVICE)


def test_late_readings_are_those_of_the_step_that_their_age_says():
    late = []

    class Keeps(Idle):
        def decide(self, seen):
            if seen.age_steps is not None:
                late.append((seen.step, seen.age_steps.copy(), seen.load_kw.copy(), seen.soc.copy()))
            return self.rest()

    case = synthetic_case("ten homes")
    assert report_on(Keeps, case=case).passed
    homes = np.arange(10)
    assert [step for step, *_ in late] == list(range(192))
    for step, age_steps, load_kw, soc in late:
        assert age_steps.tolist() == np.minimum(homes % 8, step).tolist()
        assert load_kw.tolist() == case.load_kw[step - age_steps, homes].tolist()
        # batteries at rest lose a little in every step
        kept = (1 - case.site.battery.loss_per_day) ** ((step - age_steps[case.site.battery_home]) / 96)
        assert soc == pytest.approx(case.soc_start * kept, rel=1e-9)


def test_homes_taken_out_of_their_communities_leave_the_others_as_they_are():
    case = synthetic_case("ten homes")
    before, after = case.site.communities, without_members(case, np.array([2, 5])).site.communities
    assert after.member_home.tolist() == [0, 1, 3, 6, 7, 8]
    assert not after.member_opted_out.any()
    assert after.member_role == ("prosumer", "consumer", "prosumer", "consumer", "prosumer", "prosumer")
    assert after.member_home[after.silent[:, 0]].tolist() == [8]
    assert after.silent[:, 1:].tolist() == before.silent[:, 1:].tolist()
    home_of_plant = before.member_home[before.plant_member]
    stays = ~np.isin(home_of_plant, [2, 5])
    assert after.member_home[after.plant_member].tolist() == home_of_plant[stays].tolist()
    assert after.plant_pv.tolist() == before.plant_pv[stays].tolist()


def test_the_strategy_that_fails_is_not_checked_further():
    report = report_on(Raises)
    assert [check.id for check in report.checks] == ["construction", "proposal", "other", "output"]


def test_set_points_beyond_the_state_of_charge_are_advice_and_counted():
    class Greedy(Idle):
        def decide(self, seen):
            return self.rest(self.site.battery.charge_kw)

    report = report_on(Greedy)
    assert report.passed
    (advice,) = report.of(Outcome.ADVICE)
    assert advice.id == "device_limits"
    assert re.match(r"9\d\.\d % of 1152 set-points", advice.evidence), (
        "all batteries are full after a few hours"
    )

    class Careful(Idle):
        def decide(self, seen):
            power_kw = np.full(self.site.battery.n, 100.0)
            return Proposal(battery_kw=clip_power_kw(self.site.battery, seen.soc, power_kw, self.site.dt_s))

    assert not report_on(Careful).of(Outcome.ADVICE)


@pytest.mark.parametrize(("every", "outcome"), [(24, Outcome.ADVICE), (16, Outcome.FAILED)])
def test_a_few_set_points_beyond_the_rating_are_advice_and_more_than_one_in_twenty_a_fault(every, outcome):
    class Overloads(Idle):
        def decide(self, seen):
            battery = self.site.battery
            return self.rest(1.01 * battery.charge_kw if seen.step % every == 0 else 0.0)

    found = findings(report_on(Overloads), outcome)
    assert found.keys() == {"device_limits"}
    assert f"{100 / every:.1f} % of 1152 set-points" in found["device_limits"].evidence


@pytest.mark.parametrize(
    ("tick_s", "failed", "advised"),
    [
        (0.04, set(), set()),
        (0.06, {"speed"}, set()),
        (89.0, {"speed"}, set()),
        (91.0, {"speed"}, {"real_time"}),
        (901.0, {"speed", "real_time"}, set()),
    ],
)
def test_time_is_judged_by_the_limit_and_by_the_step_of_900_s(tick_s, failed, advised):
    report = report_on(Idle, tick_s=tick_s)
    assert findings(report).keys() == failed
    assert findings(report, Outcome.ADVICE).keys() == advised


def test_the_limits_can_be_set():
    limits = Limits(decide_ms=100.0, memory_byte_per_step=1e6)
    assert report_on(KeepsEverything, tick_s=0.06, limits=limits).passed


def test_a_perfect_forecast_is_advice_for_real_time():
    class Seer(Idle):
        forecast = "perfect"

        def decide(self, seen):
            seen.forecast.window(seen.step + 3, 2)
            return self.rest()

    report = report_on(Seer)
    assert report.passed, "what is declared is allowed"
    assert findings(report, Outcome.ADVICE).keys() == {"real_time"}


@pytest.mark.parametrize("decide_ms", [0.0, -1.0, float("nan")])
def test_a_limit_of_no_time_is_refused(decide_ms):
    with pytest.raises(InputError, match=r"--limit-ms.*above 0"):
        Limits(decide_ms=decide_ms)


def test_values_that_the_class_refuses_are_bad_input_and_no_finding():
    class Careful(Idle):
        def __init__(self, site, *, share=0.5):
            super().__init__(site)
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"share must be from 0 to 1 (got {share:g})")
            if share == 1.0:
                raise KeyError("share")

    assert report_on(Careful, params={"share": 0.2}).passed
    with pytest.raises(InputError, match=r"Careful\(share=7\): share must be .*; it accepts share=0.5"):
        report_on(Careful, params={"share": 7})
    with pytest.raises(InputError, match="not supported between instances"):
        report_on(Careful, params={"share": "half"})
    assert findings(report_on(Careful, params={"share": 1.0})).keys() == {"construction"}


def test_a_value_error_without_parameters_is_a_finding():
    class Refuses(Idle):
        def __init__(self, site):
            raise ValueError("no tariff")

    found = findings(report_on(Refuses))
    assert found.keys() == {"construction"}
    assert found["construction"].evidence.startswith("InputError: Refuses(): no tariff")


def test_parameters_reach_the_class_and_unknown_ones_are_refused():
    class Tuned(Idle):
        def __init__(self, site, *, power_kw):
            super().__init__(site)
            self.power_kw = power_kw

        def decide(self, seen):
            return self.rest(self.power_kw)

    assert report_on(Tuned, params={"power_kw": 0.0}).passed
    with pytest.raises(InputError, match="parameter 'power_kw' is missing"):
        report_on(Tuned)
    with pytest.raises(InputError, match="did you mean 'power_kw'"):
        report_on(Tuned, params={"power_w": 1.0})


def test_where_many_homes_are_too_many_time_is_not_judged():
    class ForDozens(Idle):
        def decide(self, seen):
            np.zeros(64)[np.arange(self.site.n_homes)] = 1.0
            return self.rest()

    report = report_on(ForDozens)
    assert findings(report).keys() == {"many_homes", "speed"}
    assert "IndexError" in findings(report)["speed"].evidence
    assert findings(report, Outcome.SKIPPED)["real_time"].evidence == "see speed"


def test_a_plant_where_nobody_with_a_battery_opted_out_says_so():
    class Manager(Idle):
        level = 2

    report = report_on(Manager, case=synthetic_case("three homes", n_homes=3))
    assert "no member with a battery" in findings(report, Outcome.SKIPPED)["opted_out"].evidence


def test_a_table_says_what_failed_why_and_what_to_do():
    screen = Console(file=io.StringIO(), width=120, color_system=None)
    conformance_table(report_on(GlobalRandom), screen)
    text = screen.file.getvalue()
    assert text.startswith("GlobalRandom() on 10 homes\n")
    assert re.search(
        r"✗ fail +random_state +independent of global random state: differs from step 0 on", text
    )
    assert "\nrandom_state: replace np.random.* and random.* by a generator of the controller" in text
    assert re.search(r"\ndoes not conform \(\d+ pass, 1 fail, 1 advice, 1 skip\)\n$", text)


def test_options_are_read_like_values_of_a_scenario():
    given = ["limit_kw=3", "share=0.5", "name=evening", "on=true", "hours=[1, 2]", "label=a=b"]
    assert read_params(given) == {
        "limit_kw": 3,
        "share": 0.5,
        "name": "evening",
        "on": True,
        "hours": [1, 2],
        "label": "a=b",
    }


def test_a_case_of_ones_own_is_the_plant_of_the_checks():
    case = synthetic_case("mine", n_homes=3, n_steps=30)
    report = report_on(Idle, case=case)
    assert report.plant == "mine"
    assert findings(report, Outcome.PASSED)["proposal"].evidence == "30 steps on mine"
    assert "on mine" in findings(report, Outcome.PASSED)["speed"].evidence


def test_the_report_is_plain_data_with_a_count_of_each_outcome():
    data = report_on(Talks).to_dict()
    assert data["passed"] is False
    assert data["counts"]["fail"] == 1
    assert sum(data["counts"].values()) == len(data["checks"])
    assert len({check["id"] for check in data["checks"]}) == len(data["checks"])
    assert {check["outcome"] for check in data["checks"]} <= {"pass", "fail", "advice", "skip"}


def test_the_checks_leave_random_states_and_clocks_as_they_were():
    np.random.seed(3)  # noqa: NPY002 - the global state is meant
    random.seed(3)
    before = np.random.get_state()[1].tobytes(), random.getstate()  # noqa: NPY002 - as above
    clocks = time.time, time.perf_counter, dt.datetime, moment, perf_counter
    report_on(GlobalRandom)
    assert before == (np.random.get_state()[1].tobytes(), random.getstate())  # noqa: NPY002 - as above
    assert clocks == (time.time, time.perf_counter, dt.datetime, moment, perf_counter)


def test_the_global_random_states_are_set_and_put_back():
    with seeded(1):
        first = random.random(), np.random.random()  # noqa: NPY002, S311 - the global state is meant
    with seeded(1):
        assert first == (random.random(), np.random.random())  # noqa: NPY002, S311 - as above


def test_a_shifted_clock_is_ahead_by_the_shift():
    now_s, day = time.time(), moment.now(dt.UTC)
    today = dt.date.today()  # noqa: DTZ011 - what is tested
    with shifted_clock(86400.0, __name__):
        assert time.time() - now_s == pytest.approx(86400.0, abs=60.0)
        assert time.time_ns() * 1e-9 - now_s == pytest.approx(86400.0, abs=60.0)
        assert (moment.now(dt.UTC) - day).days == 1
        assert (dt.date.today() - today).days in {1, 2}  # noqa: DTZ011 - what is tested
        assert time.gmtime(0).tm_year == 1970
        assert perf_counter() + 0.9 < perf_counter()
    assert moment is dt.datetime


def test_output_of_python_and_of_c_is_captured_together(capfd):
    with captured_stdout() as printed:
        print("python")  # noqa: T201 - what is tested
        os.write(1, b"c\n")
    print("after")  # noqa: T201 - what is tested
    assert sorted(printed.text.split()) == ["c", "python"]
    assert capfd.readouterr().out == "after\n"


@pytest.mark.parametrize(
    ("page", "name"), [("docs/strategies.md", "HalfPower"), ("README.md", "NightCharger")]
)
def test_the_first_strategy_of_a_guide_is_ten_lines_and_conforms(page, name, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    text = next(block for block in blocks if f"class {name}" in block)
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
    (tmp_path / "first.py").write_text(text)
    report = report_on(resolve(f"first.py:{name}", tmp_path))
    assert report.passed, findings(report)


def test_the_example_beside_the_scenarios_conforms():
    assert report_on(resolve("night_charger.py:NightCharger", ROOT / "scenarios")).passed
