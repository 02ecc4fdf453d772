"""One home's program below a planning level: what is kept for others, bounds at the meter, other prices."""

from dataclasses import replace

import numpy as np
import pytest
from planned_homes import fleet, home, programs

from twin.errors import ControllerError


def test_what_a_level_above_keeps_stays_in_the_battery():
    kept = replace(home([3, 3], soc=0.5), keep_soc=np.full((2, 1), 0.3))
    plan = programs([fleet()])[0].solve(kept)
    assert -plan.battery_kw.sum() == pytest.approx(2.0)
    for_a_step = replace(kept, keep_soc=np.array([[0.5], [0.0]]))
    assert programs([fleet()])[0].solve(for_a_step).battery_kw[:, 0] == pytest.approx([0.0, -5.0])


# Buying at 0.10 to save 0.30 an hour later fills the need of 4 kWh; with at most 1 kW at the meter, 1 kWh.
@pytest.mark.parametrize(("most_kw", "expected_kw"), [(np.inf, 4.0), (1.0, 1.0), (-2.0, 0.0)])
def test_a_plan_charges_no_more_than_a_bound_at_the_meter_leaves(most_kw, expected_kw):
    window = replace(home([0, 4]), price_import_eur_kwh=np.array([0.10, 0.30]))
    bounded = replace(window, grid_max_kw=np.array([most_kw, np.inf]))
    assert programs([fleet()])[0].solve(bounded).battery_kw[0, 0] == pytest.approx(expected_kw)


@pytest.mark.parametrize(("least_kw", "expected_kw"), [(-np.inf, -4.0), (-1.0, -1.0), (2.0, 0.0)])
def test_a_plan_feeds_in_no_more_than_a_bound_at_the_meter_leaves(least_kw, expected_kw):
    window = replace(home([0, 0], soc=0.4), price_export_eur_kwh=np.array([0.20, 0.10]))
    bounded = replace(window, grid_min_kw=np.array([least_kw, -np.inf]))
    assert programs([fleet()])[0].solve(bounded).battery_kw[0, 0] == pytest.approx(expected_kw)


def test_new_prices_give_the_plan_of_a_program_made_for_them():
    window = home([2, -3], soc=0.4, worth=0.2)
    kept, anew = programs([fleet()])[0], programs([fleet()])[0]
    kept.solve(window)
    dear = np.array([0.50, 0.45])
    found = kept.reprice(dear, window.price_export_eur_kwh)
    expected = anew.solve(replace(window, price_import_eur_kwh=dear))
    assert found.cost_eur == pytest.approx(expected.cost_eur)
    with pytest.raises(ValueError, match=r"call solve\(\) first"):
        programs([fleet()])[0].reprice(dear, dear)


def test_a_gap_in_new_prices_names_the_home():
    kept = programs([fleet()])[0]
    kept.solve(home([2, -3]))
    with pytest.raises(ControllerError, match="home 'home 0', step 5: price_import_eur_kwh"):
        kept.reprice(np.array([np.nan, 0.3]), np.array([0.1, 0.1]))
