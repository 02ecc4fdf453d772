"""Hourly readings against values worked out by hand."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from twin.clock import local_time, utc_s
from twin.community.meters import MeterAccumulator
from twin.errors import RunError
from twin.members import Communities
from twin.signals import Chunk

NOON_UTC_S = utc_s(date(2018, 6, 4)) + 12 * 3600
QUARTER_S = 900
LATER = 10**9

# home 0: two PV generators of 6 and 2 kW; home 1: none; home 2 is nobody's member
PV_HOME = np.array([0, 0, 2])


def members(**changes: Any) -> Communities:
    base = Communities(
        name=("solare",),
        kind=("CER",),
        perimeter=("cp",),
        area=("CP1",),
        cp=np.array([0]),
        cp_name=("CP1",),
        zone="NORD",
        member_home=np.array([0, 1]),
        member_community=np.array([0, 0]),
        member_kind=("household", "household"),
        member_role=("prosumer", "consumer"),
        member_contract_kw=np.array([3.0, 4.4]),
        member_invest_eur=np.zeros(2),
        member_first_step=np.array([0, 0]),
        member_end_step=np.array([LATER, LATER]),
        plant_pv=np.array([0, 1]),
        plant_member=np.array([0, 0]),
        plant_kw=np.array([6.0, 2.0]),
        plant_entered_day=np.array([0, 0]),
        plant_grant_share=np.zeros(2),
    )
    return replace(base, **changes)


def chunk(
    home_kw: Any, *, first_step: int = 0, pv_kw: Any = None, prices: tuple[float, float] = (0.25, 0.125)
) -> Chunk:
    home = np.asarray(home_kw, dtype=np.float32)
    n_steps = len(home)
    pv = np.zeros((n_steps, 3)) if pv_kw is None else np.asarray(pv_kw)
    return Chunk(
        first_step=first_step,
        arrays={
            "home.p_kw": np.column_stack([home, np.full(n_steps, 50.0)]).astype(np.float32),
            "pv.p_kw": pv.astype(np.float32),
            "feeder.price_import_eur_kwh": np.full((n_steps, 1), prices[0], dtype=np.float32),
            "feeder.price_export_eur_kwh": np.full((n_steps, 1), prices[1], dtype=np.float32),
        },
    )


def metered(
    home_kw: Any,
    *,
    pv_kw: Any = None,
    start_utc_s: int = NOON_UTC_S,
    dt_s: int = QUARTER_S,
    communities: Communities | None = None,
) -> MeterAccumulator:
    found = MeterAccumulator(
        members() if communities is None else communities,
        dt_s=dt_s,
        start_utc_s=start_utc_s,
        n_steps=len(home_kw),
        pv_home=PV_HOME,
    )
    found.add(chunk(home_kw, pv_kw=pv_kw))
    return found


def test_injection_and_withdrawal_of_one_hour_are_two_meters() -> None:
    meters = metered([[4, 1], [-2, 1], [-6, 1], [2, 1]]).hourly()
    np.testing.assert_array_equal(meters.withdrawn_kwh, [[1.5, 1.0]])
    np.testing.assert_array_equal(meters.injected_kwh, [[2.0, 0.0]])
    np.testing.assert_array_equal(meters.hour_start_utc_s, [NOON_UTC_S])


def test_a_run_that_starts_and_ends_within_an_hour_has_two_partial_hours() -> None:
    meters = metered([[4, 0]] * 6, start_utc_s=NOON_UTC_S + 3 * QUARTER_S).hourly()
    np.testing.assert_array_equal(meters.hour_start_utc_s, [NOON_UTC_S, NOON_UTC_S + 3600, NOON_UTC_S + 7200])
    np.testing.assert_array_equal(meters.withdrawn_kwh[:, 0], [1.0, 4.0, 1.0])


@pytest.mark.parametrize(
    ("day", "n_hours", "offset_h_at_end"), [(date(2018, 3, 25), 23, 2), (date(2018, 10, 28), 25, 1)]
)
def test_a_day_with_a_clock_change_has_its_own_number_of_hours(
    day: date, n_hours: int, offset_h_at_end: int
) -> None:
    meters = metered([[1, -1]] * (4 * n_hours), start_utc_s=utc_s(day)).hourly()
    hour = [local_time(s) for s in meters.hour_start_utc_s]
    assert len(hour) == n_hours
    assert (hour[0].hour, hour[-1].hour) == (0, 23)
    assert hour[-1].utcoffset() == timedelta(hours=offset_h_at_end)
    np.testing.assert_array_equal(meters.withdrawn_kwh[:, 0], np.ones(n_hours))
    np.testing.assert_array_equal(meters.injected_kwh[:, 1], np.ones(n_hours))


def test_energy_counts_from_the_step_of_joining_to_the_step_of_leaving() -> None:
    communities = members(member_first_step=np.array([2, 0]), member_end_step=np.array([LATER, 5]))
    accumulator = metered([[4, 8]] * 12, communities=communities)
    meters = accumulator.hourly()
    np.testing.assert_array_equal(meters.withdrawn_kwh, [[2.0, 8.0], [4.0, 2.0], [4.0, 0.0]])
    np.testing.assert_array_equal(meters.active, [[True, True], [True, True], [True, False]])
    np.testing.assert_array_equal(accumulator.totals().energy_cost_eur, [3.0, 6.0])


def test_a_membership_without_a_step_is_never_active() -> None:
    communities = members(member_first_step=np.array([0, 4]), member_end_step=np.array([4, 4]))
    active = metered([[1, 1]] * 8, communities=communities).hourly().active
    np.testing.assert_array_equal(active, [[True, False], [False, False]])


def test_the_money_of_the_run_is_energy_times_the_price_of_the_step() -> None:
    totals = metered([[4, 0], [-8, 0], [0, 2], [0, 0]]).totals()
    np.testing.assert_array_equal(totals.energy_cost_eur, [0.25, 0.125])
    np.testing.assert_array_equal(totals.sale_eur, [0.25, 0.0])


def test_the_peak_is_the_mean_withdrawal_of_a_quarter_of_an_hour() -> None:
    steps = [[9, 0], [0, 0], [0, 0], [4, 0], [4, 0], [4, 0], [12, 0], [-12, 0], [3, 0]]
    assert metered(steps, dt_s=300).totals().peak_kw[0] == 5.0


def test_a_quarter_of_an_hour_that_the_run_cuts_short_is_averaged_over_its_own_time() -> None:
    steps = [[3, 0], [3, 0], [3, 0], [6, 0], [2, 0]]
    assert metered(steps, dt_s=300).totals().peak_kw[0] == 4.0


def test_time_above_the_contract_leaves_out_steps_at_the_contract() -> None:
    np.testing.assert_array_equal(
        metered([[3, 4.4], [3.1, 4.4], [-9, 4.5], [5, 4.3]]).totals().over_contract_h, [0.5, 0.25]
    )


def test_plants_behind_one_meter_share_its_injection_by_their_pv_energy_of_the_hour() -> None:
    pv_kw = [[-6, -2, -9], [-3, -1, -9], [0, 0, 0], [-3, -1, 0]] + [[0, 0, -9]] * 4
    home_kw = [[-4, 0], [-4, 0], [0, 0], [0, 0]] + [[-2, 0]] * 4
    meters = metered(home_kw, pv_kw=pv_kw).hourly()
    # hour 1: 3 and 1 kWh of PV; hour 2: a battery alone, so 6 and 2 kW of rated power
    np.testing.assert_array_equal(meters.plant_injected_kwh, [[1.5, 0.5], [1.5, 0.5]])


def test_a_plant_that_stands_still_takes_no_part_of_the_injection() -> None:
    meters = metered([[-4, 0]] * 4, pv_kw=[[-4.5, 0, 0]] * 4).hourly()
    np.testing.assert_array_equal(meters.plant_injected_kwh, [[4.0, 0.0]])


def test_without_members_there_are_hours_and_nothing_else() -> None:
    found = MeterAccumulator(Communities(), dt_s=900, start_utc_s=NOON_UTC_S, n_steps=8, pv_home=PV_HOME)
    found.add(chunk([[1, 1]] * 8))
    assert found.hourly().withdrawn_kwh.shape == (2, 0)
    assert found.totals().peak_kw.shape == (0,)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (chunk([[1, 1]], first_step=1), "steps 1 to 2, expected some from 0"),
        (chunk([[1, 1]] * 9), "at most 8"),
        (Chunk(first_step=0, arrays={"home.p_kw": np.zeros((1, 3), np.float32)}), "lacks the signal pv.p_kw"),
        (chunk([[1, 1]], pv_kw=np.zeros((1, 2))), "pv.p_kw has 2 columns, expected 3"),
    ],
    ids=["out of order", "beyond the run", "signal missing", "generators missing"],
)
def test_a_chunk_that_does_not_fit_is_refused(wrong: Chunk, message: str) -> None:
    accumulator = MeterAccumulator(
        members(), dt_s=QUARTER_S, start_utc_s=NOON_UTC_S, n_steps=8, pv_home=PV_HOME
    )
    with pytest.raises(ValueError, match=message):
        accumulator.add(wrong)


def test_a_reading_that_is_not_a_number_stops_the_run() -> None:
    with pytest.raises(RunError, match=r"home.p_kw, entity 1, step 2: the value is nan"):
        metered([[1, 1], [1, 1], [1, np.nan], [1, 1]])


def test_readings_of_an_unfinished_run_are_refused() -> None:
    accumulator = MeterAccumulator(
        members(), dt_s=QUARTER_S, start_utc_s=NOON_UTC_S, n_steps=8, pv_home=PV_HOME
    )
    accumulator.add(chunk([[1, 1]] * 7))
    with pytest.raises(ValueError, match="7 of 8 steps"):
        accumulator.hourly()
    with pytest.raises(ValueError, match="7 of 8 steps"):
        accumulator.totals()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dt_s": 7}, "do not fit quarters"),
        ({"start_utc_s": NOON_UTC_S + 60}, "do not fit quarters"),
        ({"communities": members(plant_pv=np.array([0, 2]))}, "plant 1 is a PV generator of another home"),
        ({"communities": members(plant_kw=np.array([6.0, 0.0]))}, "plant 1 has no rated power"),
    ],
    ids=["odd step", "odd start", "plant elsewhere", "plant without power"],
)
def test_an_accumulator_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {
        "communities": members(),
        "dt_s": 900,
        "start_utc_s": NOON_UTC_S,
        "n_steps": 4,
        "pv_home": PV_HOME,
    }
    arguments = right | changes
    with pytest.raises(ValueError, match=message):
        MeterAccumulator(arguments.pop("communities"), **arguments)
