"""What keeping the program in the solver saves."""

from time import perf_counter

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.control.planning.home_lp import HomeLp, HomeWindow

N_HOMES = 16
HORIZON = 96
N_STEPS = 24


def windows():
    """Yield the windows of every home, step by step, over quarter hours of a sunny day."""
    rng = np.random.default_rng(1)
    step = np.arange(HORIZON + N_STEPS)
    sun_kw = 5.0 * np.maximum(np.sin((step % 96 / 96 - 0.25) * 2 * np.pi), 0.0)
    net_kw = rng.gamma(1.0, 0.5, (N_HOMES, len(step))) - rng.uniform(0.5, 1.0, (N_HOMES, len(step))) * sun_kw
    price = np.where((step % 96 > 32) & (step % 96 < 76), 0.30, 0.20)
    for start in range(N_STEPS):
        coming = slice(start, start + HORIZON)
        for home in range(N_HOMES):
            yield (
                home,
                HomeWindow(
                    step=start,
                    net_kw=net_kw[home, coming],
                    price_import_eur_kwh=price[coming],
                    price_export_eur_kwh=np.full(HORIZON, 0.08),
                    soc=np.array([0.5]),
                    stored_value_eur_kwh=np.array([0.16]),
                ),
            )


@pytest.fixture
def battery():
    one = np.ones(1)
    return BatteryFleet(
        capacity_kwh=10 * one,
        charge_kw=5 * one,
        discharge_kw=5 * one,
        eta_charge=0.95 * one,
        eta_discharge=0.95 * one,
        soc_min=0.1 * one,
        soc_max=0.95 * one,
        loss_per_day=0.0013 * one,
    )


@pytest.mark.bench
def test_kept_programs_find_the_same_optima_in_a_fraction_of_the_time(battery, capsys):
    kept = [HomeLp(f"home {i}", battery, dt_s=900, horizon=HORIZON) for i in range(N_HOMES)]
    began = perf_counter()
    warm = [kept[home].solve(window).cost_eur for home, window in windows()]
    warm_s = perf_counter() - began
    began = perf_counter()
    cold = [
        HomeLp(f"home {home}", battery, dt_s=900, horizon=HORIZON).solve(window).cost_eur
        for home, window in windows()
    ]
    cold_s = perf_counter() - began
    assert len(warm) == N_STEPS * N_HOMES
    assert warm == pytest.approx(cold, abs=1e-6)
    with capsys.disabled():
        print(
            f"\nMPC, {N_HOMES} homes x {HORIZON} steps: kept {1e3 * warm_s / N_STEPS:.1f} ms a step, "
            f"built anew {1e3 * cold_s / N_STEPS:.1f} ms a step, ratio {cold_s / warm_s:.1f}"
        )
