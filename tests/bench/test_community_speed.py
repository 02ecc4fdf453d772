"""A summer week of 500 members at 15 min under one aggregator: by rule, and by optimisation."""

from time import perf_counter

import numpy as np
import pytest

from models.battery import BatteryFleet
from twin.community.sharing import plant_side_kwh, shared_kwh
from twin.control import Site
from twin.control.community_mpc import AggregatorMpc
from twin.control.forecast import PerfectForecast
from twin.control.management.aggregator import AggregatorStrategy
from twin.control.planning.decomposition import Effort, decompose
from twin.control.planning.home_lp import HomeLp, HomeWindow, battery_subset
from twin.control.planning.joint_lp import solve_jointly
from twin.control.planning.pooling import PoolWindow, hour_positions, hourly_kwh, term_values_eur_kwh
from twin.control.rehearsal import rehearse
from twin.members import Communities

N_MEMBERS = 500
N_COMMUNITIES = 4
STEPS_PER_DAY = 96
N_DAYS = 7
VALUE_EUR_KWH = 0.12
UNEVEN_EUR_KWH = np.array([0.10, 0.11, 0.12, 0.13])


class Town:
    """Members in four communities under one primary substation; 60 % have PV, 56 % a battery, some of them that alone."""

    def __init__(self, n_members=N_MEMBERS, *, seed=3, value_eur_kwh=VALUE_EUR_KWH):
        rng = np.random.default_rng(seed)
        n_steps = N_DAYS * STEPS_PER_DAY
        hour = np.arange(n_steps) % STEPS_PER_DAY / 4
        day_kw = 0.15 + 0.25 * np.exp(-((hour - 8) ** 2) / 3) + 0.7 * np.exp(-((hour - 20) ** 2) / 5)
        noise = rng.gamma(1.2, 1 / 1.2, (n_steps, n_members))
        self.load_kw = day_kw[:, None] * rng.uniform(0.4, 1.8, n_members) * noise
        sun = np.maximum(np.sin((hour - 5) / 15 * np.pi), 0.0) * (hour > 5) * (hour < 20)
        sky = rng.uniform(0.4, 1.0, N_DAYS).repeat(STEPS_PER_DAY)
        pv_home = np.flatnonzero(rng.random(n_members) < 0.6)
        rated_kw = rng.uniform(2.0, 9.0, len(pv_home))
        self.pv_available_kw = -(sun * sky)[:, None] * rated_kw
        self.pv_kw = np.zeros((n_steps, n_members))
        self.pv_kw[:, pv_home] = self.pv_available_kw
        battery_home = np.sort(rng.permutation(n_members)[: round(0.56 * n_members)])
        capacity_kwh = rng.uniform(4.0, 14.0, len(battery_home))
        rated = capacity_kwh * rng.uniform(0.3, 0.6, len(battery_home))
        every = np.ones(len(battery_home))
        battery = BatteryFleet(
            capacity_kwh=capacity_kwh,
            charge_kw=rated,
            discharge_kw=rated,
            eta_charge=0.95 * every,
            eta_discharge=0.95 * every,
            soc_min=0.1 * every,
            soc_max=0.95 * every,
            loss_per_day=0.001 * every,
        )
        self.price_import = np.where((hour > 8) & (hour < 19), 0.30, 0.25)
        self.price_export = 0.05 + 0.05 * np.cos((hour - 20) / 24 * 2 * np.pi)
        self.site = Site(
            dt_s=900,
            n_steps=n_steps,
            steps_per_day=STEPS_PER_DAY,
            home_name=tuple(f"member {i}" for i in range(n_members)),
            pv_home=pv_home,
            pv_rated_kw=rated_kw,
            battery_home=battery_home,
            battery=battery,
            start_utc_s=1_467_324_000,
            communities=_communities(n_members, n_steps, pv_home),
            shared_value_eur_kwh=np.broadcast_to(value_eur_kwh, N_COMMUNITIES),
        )

    def run(self, controller):
        """Return what the controller does and how long it takes [s]."""
        known = PerfectForecast(
            load_kw=self.load_kw,
            pv_kw=self.pv_kw,
            price_import_eur_kwh=self.price_import,
            price_export_eur_kwh=self.price_export,
        )
        began = perf_counter()
        done = rehearse(
            controller,
            self.site,
            pv_available_kw=self.pv_available_kw,
            soc_start=np.full(self.site.battery.n, 0.5),
            forecast=known,
        )
        return done, perf_counter() - began

    def shared_kwh(self, done):
        """Return what each community shares by itself, shape (C,), and what all of them share together."""
        communities = self.site.communities
        hourly = done.grid_kw.reshape(-1, 4, self.site.n_homes)
        injected, withdrawn = (np.maximum(sign * hourly, 0.0).sum(axis=1) / 4 for sign in (-1.0, 1.0))
        injected = plant_side_kwh(injected, communities)
        own = shared_kwh(injected, withdrawn, communities.member_community, N_COMMUNITIES)
        everybody = np.zeros(self.site.n_homes, dtype=np.int64)
        return own.sum(axis=0), float(shared_kwh(injected, withdrawn, everybody, 1).sum())

    def paid_eur(self, done):
        """Return all bills less the worth of what is left and what shared energy earns."""
        left_kwh = float(done.soc[-1] @ self.site.battery.capacity_kwh)
        own_kwh, together_kwh = self.shared_kwh(done)
        value = self.site.shared_value_eur_kwh
        shared_eur = float(value @ own_kwh) + float(value.min()) * (together_kwh - own_kwh.sum())
        return float(done.cost_eur.sum()) - 0.16 * left_kwh - shared_eur

    def first_day(self):
        """Return the problem of the first day and a fresh program of each home with a battery."""
        site, coming = self.site, slice(0, STEPS_PER_DAY)
        net_kw = np.ascontiguousarray((self.load_kw + self.pv_kw)[coming].T)
        others = np.ones(site.n_homes, dtype=np.bool_)
        others[site.battery_home] = False
        has_plant = site.communities.home_has_plant(site.n_homes)
        community = site.communities.member_community
        term = np.vstack([community >= 0, community == np.arange(1, N_COMMUNITIES)[:, None]])
        _, hour = hour_positions(site.start_utc_s, site.dt_s, step=0, n=STEPS_PER_DAY)
        injected, withdrawn = hourly_kwh(net_kw, hour, dt_h=0.25)
        price_import, price_export = self.price_import[coming], self.price_export[coming]
        window = PoolWindow(
            step=0,
            hour=hour,
            value_eur_kwh=term_values_eur_kwh(UNEVEN_EUR_KWH, hour, price_import, price_export),
            injected_kwh=(term & others & has_plant).astype(float) @ injected,
            withdrawn_kwh=(term & others).astype(float) @ withdrawn,
            counted=term[:, site.battery_home],
            has_plant=has_plant[site.battery_home],
            homes=tuple(
                HomeWindow(
                    step=0,
                    net_kw=net_kw[home],
                    price_import_eur_kwh=price_import,
                    price_export_eur_kwh=price_export,
                    soc=np.array([0.5]),
                    stored_value_eur_kwh=np.array([0.16]),
                )
                for home in site.battery_home
            ),
        )
        programs = [
            HomeLp(
                site.home_name[home],
                battery_subset(site.battery, np.array([i])),
                dt_s=900,
                horizon=STEPS_PER_DAY,
            )
            for i, home in enumerate(site.battery_home)
        ]
        return window, programs


def _communities(n_members, n_steps, pv_home):
    return Communities(
        name=tuple(f"CER {i}" for i in range(N_COMMUNITIES)),
        kind=("CER",) * N_COMMUNITIES,
        perimeter=("cp",) * N_COMMUNITIES,
        area=("CP",) * N_COMMUNITIES,
        cp=np.zeros(N_COMMUNITIES, dtype=np.int64),
        cp_name=("CP",),
        zone="NORD",
        member_home=np.arange(n_members),
        member_community=np.arange(n_members) % N_COMMUNITIES,
        member_kind=("household",) * n_members,
        member_role=("prosumer",) * n_members,
        member_contract_kw=np.full(n_members, 6.0),
        member_invest_eur=np.zeros(n_members),
        member_first_step=np.zeros(n_members, dtype=np.int64),
        member_end_step=np.full(n_members, n_steps, dtype=np.int64),
        member_opted_out=np.zeros(n_members, dtype=np.bool_),
        member_reserve_share=np.zeros(n_members),
        member_delay_steps=np.zeros(n_members, dtype=np.int64),
        plant_pv=np.arange(len(pv_home)),
        plant_member=pv_home,
    )


@pytest.mark.bench
@pytest.mark.timeout(900)
@pytest.mark.parametrize("value_eur_kwh", [VALUE_EUR_KWH, UNEVEN_EUR_KWH], ids=["one value", "uneven values"])
def test_a_week_of_500_members_is_managed_by_rule_and_by_optimisation(value_eur_kwh, capsys):
    town = Town(value_eur_kwh=value_eur_kwh)
    ruled, ruled_s = town.run(AggregatorStrategy(town.site))
    controller = AggregatorMpc(town.site)
    planned, planned_s = town.run(controller)
    records = controller.planner.records
    assert len(records) == N_DAYS * 24
    assert max(record.gap for record in records) <= 1e-3
    assert town.paid_eur(planned) < town.paid_eur(ruled)
    rounds = sum(record.rounds for record in records)
    with capsys.disabled():
        print(
            f"\nlevel 3, {N_MEMBERS} members, {town.site.battery.n} batteries, {town.site.n_steps} steps: by rule "
            f"{ruled_s:.1f} s, by optimisation {planned_s:.0f} s ({len(records)} plans, {rounds} rounds, largest gap "
            f"{max(record.gap for record in records):.1e}); paid {town.paid_eur(ruled):.0f} EUR by rule, "
            f"{town.paid_eur(planned):.0f} EUR by optimisation; shared {town.shared_kwh(ruled)[1]:.0f} and "
            f"{town.shared_kwh(planned)[1]:.0f} kWh"
        )


@pytest.mark.bench
def test_a_day_planned_home_by_home_is_as_good_as_jointly(capsys):
    town = Town(80)
    window, programs = town.first_day()
    began = perf_counter()
    joint = solve_jointly(window, programs, dt_s=900)
    joint_s = perf_counter() - began
    began = perf_counter()
    plan = decompose(
        window,
        programs,
        dt_s=900,
        injection_weight=np.full(window.value_eur_kwh.shape, 0.5),
        effort=Effort(gap=1e-3),
    )
    plan_s = perf_counter() - began
    gap = (plan.objective_eur - joint.objective_eur) / abs(joint.objective_eur)
    assert plan.bound_eur <= joint.objective_eur + 1e-6 <= plan.objective_eur + 2e-6
    assert gap <= 1e-3
    with capsys.disabled():
        print(
            f"\none day, {len(programs)} batteries, 96 steps: jointly {joint_s:.2f} s, home by home {plan_s:.2f} s in "
            f"{plan.rounds} rounds from nothing, {gap:.1e} above the joint optimum (own account "
            f"{plan.gap(window.value_eur_kwh):.1e})"
        )
