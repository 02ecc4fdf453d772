"""One home's program below a planning level: what is kept for others, bounds at the meter, other prices."""

from dataclasses import replace

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.control.planning.home_lp import HomeLp, HomeWindow
from twin.errors import ControllerError


def fleet(n=1, **changes):
    base = {
        "capacity_kwh": 10.0,
        "charge_kw": 5.0,
        "discharge_kw": 5.0,
        "eta_charge": 1.0,
        "eta_discharge": 1.0,
        "soc_min": 0.0,
        "soc_max": 1.0,
        "loss_per_day": 0.0,
    }
    return BatteryFleet(**{key: np.full(n, value) for key, value in {**base, **changes}.items()})


def home(net_kw, *, price_import=0.30, price_export=0.10, soc=0.0, worth=0.0):
    net_kw = np.asarray(net_kw, dtype=float)
    return HomeWindow(
        step=5,
        net_kw=net_kw,
        price_import_eur_kwh=np.full(len(net_kw), price_import),
        price_export_eur_kwh=np.full(len(net_kw), price_export),
        soc=np.array([soc]),
        stored_value_eur_kwh=np.array([worth]),
    )


def programs(batteries, *, dt_s=3600, horizon=2):
    return [HomeLp(f"home {i}", battery, dt_s=dt_s, horizon=horizon) for i, battery in enumerate(batteries)]


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
