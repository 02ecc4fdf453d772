"""Homes and their programs, as tests of the planners build them."""

import numpy as np

from models.battery import BatteryFleet
from twin.control.planning.home_lp import HomeLp, HomeWindow


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
