"""A small plant of members with batteries, its future, and the loop: what tests of the planners share."""

from dataclasses import replace

import numpy as np

from models.battery import BatteryFleet
from twin.community.meters import HourlyMeters
from twin.community.sharing import community_hours
from twin.control import Observation, Site
from twin.control.forecast import PerfectForecast
from twin.control.rehearsal import rehearse
from twin.members import Communities

HOUR = 1_467_324_000
DT_S = 1800


def fleet(n, **changes):
    base = {
        "capacity_kwh": 10.0,
        "charge_kw": 5.0,
        "discharge_kw": 5.0,
        "eta_charge": 0.95,
        "eta_discharge": 0.95,
        "soc_min": 0.0,
        "soc_max": 1.0,
        "loss_per_day": 0.0,
    }
    return BatteryFleet(**{key: np.full(n, value) for key, value in {**base, **changes}.items()})


def plant(
    *, n_steps=24, community=(0, 0, 0), cp=(0,), battery_home=(0, 1), start_utc_s=HOUR, value=0.12, **changes
):
    """Return a site whose homes are all members; ``changes`` are fields of the communities."""
    n_homes, n_communities = len(community), len(cp)
    members = Communities(
        name=tuple(f"community {i}" for i in range(n_communities)),
        kind=("CER",) * n_communities,
        perimeter=("cp",) * n_communities,
        area=("CP",) * n_communities,
        cp=np.asarray(cp, dtype=np.int64),
        cp_name=tuple(f"CP {i}" for i in range(max(cp) + 1)),
        zone="NORD",
        member_home=np.arange(n_homes),
        member_community=np.asarray(community, dtype=np.int64),
        member_kind=("household",) * n_homes,
        member_role=("prosumer",) * n_homes,
        member_contract_kw=np.full(n_homes, 6.0),
        member_invest_eur=np.zeros(n_homes),
        member_first_step=np.zeros(n_homes, dtype=np.int64),
        member_end_step=np.full(n_homes, n_steps, dtype=np.int64),
        member_opted_out=np.zeros(n_homes, dtype=np.bool_),
        member_reserve_share=np.zeros(n_homes),
        member_delay_steps=np.zeros(n_homes, dtype=np.int64),
        plant_pv=np.arange(n_homes),
        plant_member=np.arange(n_homes),
    )
    return Site(
        dt_s=DT_S,
        n_steps=n_steps,
        steps_per_day=86400 // DT_S,
        home_name=tuple(f"home {i}" for i in range(n_homes)),
        pv_home=np.arange(n_homes),
        pv_rated_kw=np.full(n_homes, 20.0),
        battery_home=np.asarray(battery_home, dtype=np.int64),
        battery=fleet(len(battery_home)),
        start_utc_s=start_utc_s,
        communities=replace(members, **changes),
        shared_value_eur_kwh=np.full(n_communities, value),
    )


def known(net_kw, *, price_import=0.30, price_export=0.10):
    """Return the future of homes with ``net_kw``, shape (T, H)."""
    net_kw = np.asarray(net_kw, dtype=float)
    return PerfectForecast(
        load_kw=np.maximum(net_kw, 0.0),
        pv_kw=np.minimum(net_kw, 0.0),
        price_import_eur_kwh=np.full(len(net_kw), price_import),
        price_export_eur_kwh=np.full(len(net_kw), price_export),
    )


def day(n_steps, n_homes, *, seed=1):
    """Return net power with sun in the first half and load all the time, shape (T, H)."""
    rng = np.random.default_rng(seed)
    sun_kw = np.maximum(np.sin(np.arange(n_steps) / n_steps * 2 * np.pi), 0.0) * 6.0
    return rng.gamma(1.0, 0.8, (n_steps, n_homes)) - sun_kw[:, None] * rng.uniform(0.2, 1.0, n_homes)


def run(controller, site, forecast, *, soc=0.5):
    pv_kw = np.concatenate([forecast.window(step, 1)[1] for step in range(site.n_steps)])
    return rehearse(
        controller,
        site,
        pv_available_kw=pv_kw[:, site.pv_home],
        soc_start=np.full(site.battery.n, soc),
        forecast=forecast,
    )


def observation(site, forecast, *, step, soc):
    load_kw, pv_kw = forecast.window(step, 1)
    return Observation(
        step=step,
        time_s=step * site.dt_s,
        load_kw=load_kw[0],
        pv_kw=pv_kw[0],
        soc=np.full(site.battery.n, soc),
        vm_pu=np.ones(site.n_homes),
        grid_kw=np.zeros(site.n_homes),
        price_import_eur_kwh=0.30,
        price_export_eur_kwh=0.10,
        forecast=forecast,
    )


def settled(site, done):
    """Return the hours of the communities as they are settled; every home is the member of the same number."""
    hourly = done.grid_kw.reshape(-1, 2, site.n_homes)
    injected, withdrawn = (np.maximum(sign * hourly, 0.0).sum(axis=1) * 0.5 for sign in (-1.0, 1.0))
    meters = HourlyMeters(
        hour_start_utc_s=site.start_utc_s + 3600 * np.arange(len(hourly)),
        injected_kwh=injected,
        withdrawn_kwh=withdrawn,
        plant_injected_kwh=injected[:, site.communities.plant_member],
    )
    return community_hours(site.communities, meters)
