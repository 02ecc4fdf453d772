"""Bills, emissions, and what putting off a reinforcement is worth."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from twin.clock import utc_s
from twin.community.bills import (
    energy_by_band_kwh,
    fixed_charges_eur,
    price_by_band_eur_kwh,
    taxed_eur,
    years_between,
)
from twin.community.emissions import co2_kg
from twin.community.reinforcement import (
    deferral_npv_eur,
    deferral_years,
    years_to_limit,
)

HOUR = 3600


def at(year, month, day):
    return utc_s(date(year, month, day))


def test_a_household_pays_its_share_of_a_year_of_fixed_charges():
    # a week of 2017: 7 / 365 of (60 + 3 x 20) = 120 EUR is 2.30137, with VAT 2.53151 EUR
    years = years_between(at(2017, 7, 3), at(2017, 7, 10))
    paid = fixed_charges_eur(
        np.array([3.0, 6.0]), years, fixed_eur_year=60.0, power_eur_kw_year=20.0, vat_percent=10.0
    )
    assert paid == pytest.approx([2.53151, 3.79726], abs=5e-6)


@pytest.mark.parametrize("year", [2016, 2017, 2018])
def test_a_calendar_year_is_one_year_leap_or_not(year):
    assert years_between(at(year, 1, 1), at(year + 1, 1, 1)) == 1.0


def test_a_run_over_new_year_counts_each_part_by_its_own_year():
    assert years_between(at(2015, 12, 22), at(2016, 1, 11)) == pytest.approx(10 / 365 + 10 / 366, rel=1e-12)
    assert years_between(at(2015, 7, 1), at(2018, 7, 1)) == pytest.approx(3.0, abs=0.01)


@settings(deadline=None)
@given(st.lists(st.integers(at(2010, 1, 1), at(2030, 1, 1)), min_size=3, max_size=3).map(sorted))
def test_the_parts_of_a_run_add_up_to_it(instants):
    first, between, last = instants
    parts = years_between(first, between) + years_between(between, last)
    assert parts == pytest.approx(years_between(first, last), abs=1e-12)


def test_vat_is_on_everything():
    assert taxed_eur(0.12 + 0.06 + 0.0227, 10.0) == pytest.approx(0.22297)
    assert taxed_eur(0.2, 0.0) == 0.2


def test_energy_is_counted_in_its_band():
    hours = np.arange(at(2016, 7, 1), at(2016, 7, 4), HOUR, dtype=np.int64)  # Friday to Sunday
    withdrawn_kwh = np.stack([np.ones(72), np.where(np.arange(72) < 24, 0.5, 0.0)], axis=1)
    # Friday 11, 5, 8 hours; Saturday 0, 16, 8; Sunday 0, 0, 24
    assert energy_by_band_kwh(hours, withdrawn_kwh).tolist() == [[11.0, 21.0, 40.0], [5.5, 2.5, 4.0]]


def test_every_band_has_its_price():
    hours = at(2016, 7, 4) + HOUR * np.array([6, 7, 8, 18, 19, 22, 23])
    prices = price_by_band_eur_kwh(hours, (0.3, 0.2, 0.1))
    assert prices.tolist() == [0.1, 0.2, 0.3, 0.3, 0.2, 0.2, 0.1]


def test_co2_is_the_factor_of_the_hour_times_net_import():
    net_import_kwh = np.array([[1.0, -2.0], [3.0, 4.0]])
    factor_kg_kwh = np.array([0.5, 0.25])
    assert co2_kg(net_import_kwh, factor_kg_kwh).tolist() == [1.25, 0.0]
    assert co2_kg(net_import_kwh[:, 0], factor_kg_kwh) == 1.25


def test_what_is_moved_to_a_cleaner_hour_is_avoided():
    factor_kg_kwh = np.array([0.4, 0.1])
    base, moved = (co2_kg(np.array(net), factor_kg_kwh) for net in ([[2.0], [0.0]], [[0.0], [2.0]]))
    assert base - moved == pytest.approx([0.6])


def test_a_loading_of_half_the_limit_takes_the_doubling_time():
    # rule of 72: at 2 % a year a quantity doubles in 35.0 years
    assert years_to_limit(50.0, 100.0, 2.0) == pytest.approx(35.0028, abs=1e-4)
    assert years_to_limit(100.0 / 1.03**7, 100.0, 3.0) == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("value", "growth_percent_year", "years"),
    [(100.0, 2.0, 0.0), (130.0, 0.0, 0.0), (50.0, 0.0, None), (0.0, 2.0, None)],
    ids=["at the limit", "over it without growth", "no growth", "no flow"],
)
def test_a_limit_is_reached_at_once_or_never(value, growth_percent_year, years):
    assert years_to_limit(value, 100.0, growth_percent_year) == years


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 100.0, 2.0), "value -1"),
        ((1.0, 0.0, 2.0), "limit 0"),
        ((1.0, 100.0, -2.0), "growth -2"),
        ((math.nan, 100.0, 2.0), "value must be finite"),
    ],
)
def test_what_cannot_grow_to_a_limit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        years_to_limit(*arguments)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0.01, 50.0))
def test_growth_over_the_years_leads_exactly_to_the_limit(value, limit, growth_percent_year):
    assume(value < limit)
    years = years_to_limit(value, limit, growth_percent_year)
    assert value * (1.0 + growth_percent_year / 100.0) ** years == pytest.approx(limit, rel=1e-9)


def test_deferral_is_worth_the_difference_of_two_present_values():
    # 100 000 EUR in 10 or 15 years at 5 %: 61 391.33 - 48 101.71
    saved = deferral_npv_eur(10.0, 15.0, cost_eur=1e5, discount_percent=5.0, horizon_years=30.0)
    assert saved == pytest.approx(13289.62, abs=0.01)
    assert deferral_years(10.0, 15.0, 30.0) == 5.0


def test_dates_beyond_the_horizon_count_as_the_horizon_in_years_and_in_money():
    arguments = {"cost_eur": 1e5, "discount_percent": 5.0, "horizon_years": 30.0}
    to_the_end = 1e5 * (1.05**-10 - 1.05**-30)
    assert deferral_npv_eur(10.0, None, **arguments) == pytest.approx(to_the_end, rel=1e-12)
    assert deferral_npv_eur(10.0, 31.0, **arguments) == pytest.approx(to_the_end, rel=1e-12)
    assert deferral_npv_eur(None, 35.0, **arguments) == 0.0
    assert deferral_years(10.0, None, 30.0) == 20.0


def test_bringing_a_reinforcement_forward_costs():
    arguments = {"cost_eur": 1e5, "discount_percent": 5.0, "horizon_years": 30.0}
    assert deferral_npv_eur(15.0, 10.0, **arguments) == -deferral_npv_eur(10.0, 15.0, **arguments)
    assert deferral_years(15.0, 10.0, 30.0) == -5.0


def test_waiting_is_worth_nothing_without_discounting():
    arguments = {"cost_eur": 1e5, "discount_percent": 0.0, "horizon_years": 30.0}
    assert deferral_npv_eur(5.0, 25.0, **arguments) == 0.0
    assert deferral_npv_eur(5.0, 31.0, **arguments) == 0.0
