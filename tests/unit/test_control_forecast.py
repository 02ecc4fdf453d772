"""What the forecasts may know."""

from dataclasses import fields

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.control import Site
from twin.control.forecast import PerfectForecast, PersistenceForecast, forecast_kind, make_forecast
from twin.control.mpc import Mpc
from twin.control.rules import NoControl
from twin.errors import InputError

DAY = 4
T = 10


def series(load_kw=None):
    load_kw = np.arange(T, dtype=float)[:, None] * [1.0, 10.0] if load_kw is None else load_kw
    return {
        "load_kw": load_kw,
        "pv_kw": -load_kw,
        "price_import_eur_kwh": np.arange(T) / 10,
        "price_export_eur_kwh": np.arange(T) / 100,
    }


def persistence(load_kw=None):
    return PersistenceForecast(**series(load_kw), steps_per_day=DAY)


def test_perfect_forecast_is_what_will_be_cut_at_the_end_of_the_run():
    forecast = PerfectForecast(**series())
    load_kw, pv_kw = forecast.window(8, 4)
    assert load_kw.tolist() == [[8.0, 80.0], [9.0, 90.0]]
    assert pv_kw.tolist() == [[-8.0, -80.0], [-9.0, -90.0]]
    assert forecast.prices(8, 4)[0].tolist() == [0.8, 0.9]
    assert forecast.prices(0, 2)[1].tolist() == [0.0, 0.01]


@pytest.mark.parametrize(
    ("step", "horizon", "expected_kw"),
    [
        (0, 6, [0, 0, 0, 0, 0, 0]),
        (2, 5, [2, 2, 0, 1, 2]),
        (3, 5, [3, 0, 1, 2, 3]),
        (5, 4, [5, 2, 3, 4]),
        (4, 6, [4, 1, 2, 3, 4, 1]),
        (9, 6, [9]),
    ],
    ids=[
        "nothing seen yet: the present value is held",
        "half a day seen: known times of day are repeated",
        "one day seen",
        "the day before, by time of day",
        "beyond a day the last day is repeated",
        "cut at the end of the run",
    ],
)
def test_persistence_repeats_the_last_day(step, horizon, expected_kw):
    load_kw, pv_kw = persistence().window(step, horizon)
    assert load_kw[:, 0].tolist() == expected_kw
    assert pv_kw.tolist() == (-load_kw).tolist()


@pytest.mark.parametrize("step", range(T))
def test_persistence_never_looks_ahead(step):
    changed = series()["load_kw"].copy()
    changed[step + 1 :] = 1e6
    for known, other in zip(persistence().window(step, T), persistence(changed).window(step, T), strict=True):
        assert known.tolist() == other.tolist()


def test_prices_are_known_for_a_day_and_then_repeated():
    price_import, price_export = persistence().prices(2, 7)
    assert price_import == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.2, 0.3, 0.4])
    assert price_export == pytest.approx(price_import / 10)


def test_a_strategy_cannot_change_the_series():
    load_kw, _ = PerfectForecast(**series()).window(0, 2)
    with pytest.raises(ValueError, match="read-only"):
        load_kw[0, 0] = 1.0


def test_series_of_different_length_are_refused():
    wrong = {**series(), "price_import_eur_kwh": np.zeros(3)}
    with pytest.raises(ValueError, match="one value for each of 10 steps"):
        PerfectForecast(**wrong)
    with pytest.raises(ValueError, match="steps_per_day must be at least 1"):
        PersistenceForecast(**series(), steps_per_day=0)
    with pytest.raises(ValueError, match=r"must both be \(steps, homes\)"):
        PerfectForecast(**{**series(), "pv_kw": np.zeros((T, 1))})


def test_a_strategy_that_says_nothing_does_not_get_the_future(empty_site):
    assert forecast_kind(NoControl(empty_site)) == "persistence"
    assert forecast_kind(Mpc(empty_site)) == "perfect"
    assert forecast_kind(Mpc(empty_site, forecast="persistence")) == "persistence"


def test_an_unknown_kind_of_forecast_is_an_input_error(empty_site):
    controller = NoControl(empty_site)
    controller.forecast = "crystal ball"
    with pytest.raises(InputError, match="'crystal ball' is not known; choose one of perfect, persistence"):
        forecast_kind(controller)


@pytest.mark.parametrize(("kind", "last_kw"), [("perfect", 9.0), ("persistence", 1.0)])
def test_the_kind_decides_what_is_known(kind, last_kw):
    forecast = make_forecast(kind, **series(), steps_per_day=DAY)
    assert forecast.window(4, 6)[0][-1, 0] == last_kw


@pytest.fixture
def empty_site(no_batteries):
    return Site(
        dt_s=900,
        n_steps=T,
        steps_per_day=96,
        home_name=("home",),
        pv_home=np.zeros(0, dtype=np.int64),
        pv_rated_kw=np.zeros(0),
        battery_home=np.zeros(0, dtype=np.int64),
        battery=no_batteries,
    )


@pytest.fixture
def no_batteries():
    return BatteryFleet(**{field.name: np.zeros(0) for field in fields(BatteryFleet)})
