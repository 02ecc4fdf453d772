"""The noisy forecast: how large its errors are, and that they are the same for everybody."""

from types import SimpleNamespace

import numpy as np
import pytest

from twin.control.forecast import NoisyForecast, forecast_kind, forecast_noise, make_forecast
from twin.errors import InputError

DAY = 96
T = 40 * DAY
N_HOMES = 8


def noisy(*, seed=3, error=0.2, n_steps=T, n_homes=N_HOMES, load_kw=2.0):
    return NoisyForecast(
        load_kw=np.full((n_steps, n_homes), load_kw),
        pv_kw=np.full((n_steps, n_homes), -3.0),
        price_import_eur_kwh=np.arange(n_steps) / 10,
        price_export_eur_kwh=np.zeros(n_steps),
        steps_per_day=DAY,
        seed=seed,
        error=error,
    )


def test_the_present_step_is_exact():
    for step in (0, 5, 24, 100):
        load_kw, pv_kw = noisy().window(step, DAY)
        assert load_kw[0].tolist() == [2.0] * N_HOMES
        assert pv_kw[0].tolist() == [-3.0] * N_HOMES


def test_loads_stay_loads_and_pv_stays_generation():
    load_kw, pv_kw = noisy(error=1.5).window(10, 4 * DAY)
    assert load_kw.min() > 0.0
    assert pv_kw.max() < 0.0
    assert np.all(noisy(load_kw=0.0).window(10, DAY)[0] == 0.0)


# Relative error 0.2 * sqrt(lead / 24 h): 0.1 after 6 h, 0.2 after a day and after two.
@pytest.mark.parametrize(("lead", "expected"), [(DAY // 4, 0.1), (DAY, 0.2), (2 * DAY, 0.2)])
def test_the_error_has_the_size_that_was_asked_for(lead, expected):
    forecast = noisy(n_homes=60)
    ratio = np.concatenate(
        [forecast.window(step, lead + 1)[0][lead] / 2.0 for step in range(0, T - 3 * DAY, DAY // 2)]
    )
    assert ratio.mean() == pytest.approx(1.0, abs=0.03)
    assert ratio.std() == pytest.approx(expected, rel=0.06)


def test_the_same_step_and_lead_give_the_same_number_whoever_asks_and_in_whatever_order():
    one, other = noisy(), noisy()
    expected = {step: one.window(step, DAY) for step in (0, 7, 24, 25, 60, 300)}
    for step in (300, 25, 60, 0, 24, 7):
        other.window(step, 3)
        for known, found in zip(expected[step], other.window(step, DAY + 10), strict=True):
            assert known.tobytes() == found[:DAY].tobytes()
    assert not np.array_equal(noisy(seed=4).window(7, DAY)[0], expected[7][0])


def test_between_two_updates_the_error_of_a_coming_step_only_shrinks():
    forecast, target = noisy(), 60
    errors = np.array([forecast.window(step, DAY)[1][target - step, 0] / -3.0 - 1.0 for step in range(24)])
    assert np.all(np.sign(errors) == np.sign(errors[0]))
    assert abs(errors[-1]) < abs(errors[0])
    after_update = forecast.window(24, DAY)[1][target - 24, 0] / -3.0 - 1.0
    assert after_update != pytest.approx(errors[-1], rel=0.05)


def test_errors_of_neighbouring_steps_are_alike_and_fade_within_hours():
    forecast = noisy(n_homes=200)
    log_error = np.log(forecast.window(0, DAY + 49)[0][DAY - 1 :] / 2.0)
    centred = log_error - log_error.mean(axis=1, keepdims=True)

    def likeness(lag):
        return float(np.mean(centred[0] * centred[lag]) / np.mean(centred[0] ** 2))

    assert likeness(1) == pytest.approx(np.exp(-0.25 / 3.0), abs=0.05)
    assert likeness(12) == pytest.approx(np.exp(-1.0), abs=0.2)
    assert abs(likeness(48)) < 0.25


def test_all_pv_shares_one_sky_and_each_load_errs_for_itself():
    load_kw, pv_kw = noisy().window(3, DAY)
    assert np.all(pv_kw == pv_kw[:, :1])
    assert len(np.unique(load_kw[-1])) == N_HOMES


def test_prices_are_known_and_the_window_ends_with_the_run():
    forecast = noisy(n_steps=20)
    assert forecast.prices(4, 3)[0] == pytest.approx([0.4, 0.5, 0.6])
    assert forecast.window(15, DAY)[0].shape == (5, N_HOMES)


def test_without_error_it_is_the_perfect_forecast():
    load_kw, pv_kw = noisy(error=0.0).window(50, DAY)
    assert np.all(load_kw == 2.0)
    assert np.all(pv_kw == -3.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "forecast_seed must be at least 0"),
        ({"error": -0.1}, "forecast_error must be at least 0"),
    ],
)
def test_noise_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        noisy(**wrong)


def test_a_strategy_asks_for_noise_by_its_attributes():
    asks = SimpleNamespace(forecast="noisy", forecast_seed=9, forecast_error=0.4)
    assert forecast_kind(asks) == "noisy"
    assert forecast_noise(asks) == (9, 0.4)
    assert forecast_noise(SimpleNamespace()) == (0, 0.2)
    series = np.ones((T, 1))
    made = make_forecast(
        "noisy",
        load_kw=series,
        pv_kw=-series,
        price_import_eur_kwh=np.ones(T),
        price_export_eur_kwh=np.ones(T),
        steps_per_day=DAY,
        noise=(9, 0.4),
    )
    expected = noisy(seed=9, error=0.4, n_homes=1).window(5, DAY)[0] / 2.0
    assert made.window(5, DAY)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"forecast_seed": 1.5}, "forecast_seed: must be a whole number of at least 0"),
        ({"forecast_seed": -1}, "forecast_seed: must be a whole number of at least 0"),
        ({"forecast_error": "much"}, "forecast_error: must be a number of at least 0"),
        ({"forecast_error": float("inf")}, "forecast_error: must be a number of at least 0"),
    ],
)
def test_attributes_that_make_no_sense_are_input_errors(attributes, message):
    with pytest.raises(InputError, match=message):
        forecast_noise(SimpleNamespace(**attributes))
