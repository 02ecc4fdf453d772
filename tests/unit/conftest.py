"""Sites with communities, small enough to work out by hand, and plants from a few lines of a scenario."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from block_plants import Build, Mistakes, Shelf

from models.battery import BatteryFleet
from twin.control import Observation, Site
from twin.control.forecast import PerfectForecast
from twin.control.rehearsal import rehearse
from twin.members import Communities


def _by_home(values, homes, default):
    return np.array([values.get(home, default) for home in homes])


def make_communities(community_of_home, cp, *, n_steps, **of_home):
    homes = [home for home, community in enumerate(community_of_home) if community is not None]
    n_members = len(homes)
    # PV generator i is that of home i; a plant wherever the case does not say otherwise
    plants = np.array([home for home in homes if home not in of_home.get("no_plant", ())], dtype=np.int64)
    silent = [(homes.index(home), first, end) for home, first, end in of_home.get("silent", ())]
    return Communities(
        name=tuple(f"community {i}" for i in range(len(cp))),
        kind=("CER",) * len(cp),
        perimeter=("cp",) * len(cp),
        area=tuple(f"cp {k}" for k in cp),
        cp=np.array(cp),
        cp_name=tuple(f"cp {k}" for k in range(max(cp) + 1)),
        zone="NORD",
        member_home=np.array(homes),
        member_community=np.array([community_of_home[home] for home in homes]),
        member_kind=("household",) * n_members,
        member_role=("prosumer",) * n_members,
        member_contract_kw=np.full(n_members, 6.0),
        member_invest_eur=np.zeros(n_members),
        member_first_step=_by_home(of_home.get("first", {}), homes, 0),
        member_end_step=_by_home(of_home.get("end", {}), homes, n_steps),
        member_opted_out=np.isin(homes, of_home.get("opted_out", ())),
        member_reserve_share=_by_home(of_home.get("reserve", {}), homes, 0.0),
        member_delay_steps=_by_home(of_home.get("delay", {}), homes, 0),
        silent=np.array(silent, dtype=np.int64).reshape(-1, 3),
        plant_pv=plants,
        plant_member=np.searchsorted(homes, plants),
        plant_kw=np.full(len(plants), 20.0),
        plant_entered_day=np.full(len(plants), 20000),
        plant_grant_share=np.zeros(len(plants)),
    )


@pytest.fixture(scope="session")
def make_site():
    """Return a maker of sites: batteries of 10 kWh and 5 kW without losses, window 0 to 1, steps of an hour.

    All homes have a plant but those in ``no_plant``.
    """

    def make(community_of_home, *, cp=(0,), battery_home=(), dt_s=3600, n_steps=24, start_utc_s=0, **of_home):
        one = np.ones(len(battery_home))
        return Site(
            dt_s=dt_s,
            n_steps=n_steps,
            steps_per_day=86400 // dt_s,
            home_name=tuple(f"home {i}" for i in range(len(community_of_home))),
            pv_home=np.arange(len(community_of_home)),
            pv_rated_kw=np.full(len(community_of_home), 20.0),
            battery_home=np.array(battery_home, dtype=np.int64),
            battery=BatteryFleet(
                capacity_kwh=10 * one,
                charge_kw=5 * one,
                discharge_kw=5 * one,
                eta_charge=one,
                eta_discharge=one,
                soc_min=0 * one,
                soc_max=one,
                loss_per_day=0 * one,
            ),
            start_utc_s=start_utc_s,
            communities=make_communities(community_of_home, cp, n_steps=n_steps, **of_home),
        )

    return make


def _forecast(net_kw):
    prices = np.zeros(len(net_kw))
    return PerfectForecast(
        load_kw=np.maximum(net_kw, 0.0),
        pv_kw=np.minimum(net_kw, 0.0),
        price_import_eur_kwh=prices,
        price_export_eur_kwh=prices,
    )


@pytest.fixture(scope="session")
def see():
    """Return a maker of observations: ``see(net_kw, soc, step=0)``."""

    def make(net_kw, soc, *, step=0, dt_s=3600):
        net_kw = np.asarray(net_kw, dtype=float)
        return Observation(
            step=step,
            time_s=step * dt_s,
            load_kw=np.maximum(net_kw, 0.0),
            pv_kw=np.minimum(net_kw, 0.0),
            soc=np.asarray(soc, dtype=float),
            vm_pu=np.full(len(net_kw), np.nan if step == 0 else 1.0),
            grid_kw=np.full(len(net_kw), np.nan) if step == 0 else net_kw,
            price_import_eur_kwh=0.25,
            price_export_eur_kwh=0.08,
            forecast=_forecast(np.tile(net_kw, (step + 4, 1))),
        )

    return make


@pytest.fixture(scope="session")
def play():
    """Return a way to run a strategy: ``play(controller, site, net_kw (T, H), soc)``."""

    def run(controller, site, net_kw, soc):
        net_kw = np.asarray(net_kw, dtype=float)
        known = _forecast(net_kw)
        done = rehearse(
            controller,
            site,
            pv_available_kw=np.minimum(net_kw, 0.0),
            soc_start=np.asarray(soc, dtype=float),
            forecast=known,
        )
        e_kwh = done.grid_kw * site.dt_s / 3600
        per_hour = max(3600 // site.dt_s, 1)
        hourly = (e_kwh.clip(min=0), (-e_kwh).clip(min=0))
        withdrawn, injected = (e.reshape(-1, per_hour, site.n_homes).sum(axis=1) for e in hourly)
        return SimpleNamespace(
            battery_kw=done.battery_kw,
            grid_kw=done.grid_kw,
            soc=done.soc,
            withdrawn=withdrawn,
            injected=injected,
        )

    return run


@pytest.fixture(name="shelf")
def _shelf(tmp_path: Path) -> Shelf:
    """Return a folder for scenarios."""
    return Shelf(tmp_path)


@pytest.fixture(name="build")
def _build(shelf: Shelf) -> Build:
    """Return what builds the plant of some devices."""
    return shelf.plant


@pytest.fixture(name="mistakes")
def _mistakes(shelf: Shelf) -> Mistakes:
    """Return what tells the mistakes in some devices."""
    return shelf.mistakes
