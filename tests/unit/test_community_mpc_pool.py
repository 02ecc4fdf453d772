"""One pool, one window: the joint program against numbers worked by hand and another solver, the decomposition against it."""

from dataclasses import replace

import numpy as np
import pytest
from planned_homes import fleet, home, programs
from scipy.optimize import linprog

from twin.control.planning.decomposition import Effort, decompose, schedule_of
from twin.control.planning.home_lp import HomeLp
from twin.control.planning.joint_lp import solve_jointly
from twin.control.planning.pooling import (
    PoolWindow,
    bonuses_eur_kwh,
    hour_positions,
    hourly_kwh,
    planned_shared_kwh,
    term_values_eur_kwh,
)


def pool(homes, *, value, injected, withdrawn, counted=None, has_plant=None):
    """Return a pool; ``injected`` and ``withdrawn`` of shape (G, N) or, for one term, (N,), ``value`` of (G,) or ()."""
    injected, withdrawn = np.atleast_2d(injected).astype(float), np.atleast_2d(withdrawn).astype(float)
    n_terms, n_hours = injected.shape
    return PoolWindow(
        step=5,
        hour=np.arange(n_hours).repeat(len(homes[0].net_kw) // n_hours),
        value_eur_kwh=np.outer(np.broadcast_to(value, n_terms), np.ones(n_hours)),
        injected_kwh=injected,
        withdrawn_kwh=withdrawn,
        counted=np.ones((n_terms, len(homes)), dtype=np.bool_) if counted is None else np.array(counted),
        has_plant=np.ones(len(homes), dtype=np.bool_) if has_plant is None else np.array(has_plant),
        homes=tuple(homes),
    )


def undecided(window):
    return np.full(window.value_eur_kwh.shape, 0.5)


# The others inject 3 kWh in hour 1 and draw 2 kWh in hour 2. A kWh that the battery draws in hour 1 (0.30 EUR) and feeds
# in in hour 2 (0.10 EUR) is shared twice: it costs 0.20 and earns 2 * 0.12 = 0.24. Two of them can be shared in hour 2.
# Objective 2 * 0.20 - 4 * 0.12 = -0.08 EUR; 2 kWh are shared in each hour.
@pytest.mark.parametrize("way", ["jointly", "home by home"])
def test_energy_is_moved_to_where_it_is_shared_as_worked_by_hand(way):
    window, lps = pool([home([0, 0])], value=0.12, injected=[3, 0], withdrawn=[0, 2]), programs([fleet()])
    if way == "jointly":
        plan = solve_jointly(window, lps, dt_s=3600)
    else:
        effort = Effort(gap=1e-9)
        plan = decompose(window, lps, dt_s=3600, injection_weight=undecided(window), effort=effort)
    assert plan.battery_kw[0][:, 0] == pytest.approx([2.0, -2.0])
    assert plan.shared_kwh[0] == pytest.approx([2.0, 2.0])
    assert plan.objective_eur == pytest.approx(-0.08)
    assert plan.bound_eur == pytest.approx(-0.08)


# As above, at 0.05 EUR a shared kWh: nothing is worth moving. The most that can be shared is 3 kWh in hour 1 and 2 in
# hour 2; the third kWh stays in the battery, worth 0.11: 3 * 0.30 - 2 * 0.10 - 0.11 = 0.59 EUR.
def test_the_most_shared_energy_comes_before_the_bill_as_worked_by_hand():
    window = pool([home([0, 0], worth=0.11)], value=0.05, injected=[3, 0], withdrawn=[0, 2])
    lps = programs([fleet()])
    assert solve_jointly(window, lps, dt_s=3600).battery_kw[0] == pytest.approx(np.zeros((2, 1)))
    most = solve_jointly(window, lps, dt_s=3600, objective="shared")
    assert most.battery_kw[0][:, 0] == pytest.approx([3.0, -2.0], abs=1e-3)
    assert most.shared_kwh[0] == pytest.approx([3.0, 2.0], abs=1e-3)
    assert most.objective_eur == pytest.approx(0.59, abs=1e-3)


def test_a_meter_that_cannot_be_moved_shares_nothing_by_importing_and_exporting_at_once():
    window = pool([home([1, -1])], value=0.05, injected=[3, 0], withdrawn=[0, 2])
    stuck = programs([fleet(charge_kw=0.0, discharge_kw=0.0)])
    most = solve_jointly(window, stuck, dt_s=3600, objective="shared")
    assert most.shared_kwh[0] == pytest.approx([1.0, 1.0], abs=1e-3)
    assert most.objective_eur == pytest.approx(0.20, abs=1e-3)


def random_pool(rng, *, n_homes, n_hours=6, steps_per_hour=2, value=(0.12,)):
    """Return a pool with a term for each of ``value``; the terms after the first count some homes, a third has no plant."""
    n, n_terms = n_hours * steps_per_hour, len(value)
    batteries = [
        fleet(
            capacity_kwh=rng.uniform(3, 12),
            charge_kw=rng.uniform(1, 5),
            discharge_kw=rng.uniform(1, 5),
            eta_charge=rng.uniform(0.85, 1.0),
            eta_discharge=rng.uniform(0.85, 1.0),
            soc_min=0.1,
            loss_per_day=0.01,
        )
        for _ in range(n_homes)
    ]
    price_import = rng.choice([0.25, 0.32], n_hours).repeat(steps_per_hour)
    homes = [
        replace(
            home(rng.normal(0.0, 2.5, n), soc=rng.uniform(0.1, 1.0), worth=0.18),
            price_import_eur_kwh=price_import,
        )
        for _ in range(n_homes)
    ]
    group = np.arange(n_homes) % max(n_terms - 1, 1) + 1
    window = pool(
        homes,
        value=value,
        injected=rng.gamma(1.0, 1.5, (n_terms, n_hours)),
        withdrawn=rng.gamma(1.0, 1.5, (n_terms, n_hours)),
        counted=[np.ones(n_homes, dtype=np.bool_), *(group == term for term in range(1, n_terms))],
        has_plant=np.arange(n_homes) % 3 > 0,
    )
    return window, programs(batteries, dt_s=3600 // steps_per_hour, horizon=n), 3600 // steps_per_hour


def textbook_objective_eur(window, lps, *, dt_h):
    """Return the optimum of the same problem, written down again with stored energy eliminated, by another solver."""
    n, n_hours, cost, lower, upper = len(window.hour), window.n_hours, [], [], []
    rows_eq, right_eq, rows_le, right_le = [], [], [], []
    n_shared = window.value_eur_kwh.size
    width = 4 * n * len(lps) + n_shared

    def columns(j, kind):
        return slice((4 * j + kind) * n, (4 * j + kind + 1) * n)

    for j, (lp, known) in enumerate(zip(lps, window.homes, strict=True)):
        battery = lp.fleet
        keep = float((1 - battery.loss_per_day[0]) ** (dt_h / 24))
        weight = np.tril(keep ** (np.arange(n)[:, None] - np.arange(n)))
        worth = known.stored_value_eur_kwh[0]
        gain, drain = battery.eta_charge[0] * dt_h, dt_h / battery.eta_discharge[0]
        cost += [
            -worth * gain * weight[-1],
            worth * drain * weight[-1],
            dt_h * known.price_import_eur_kwh,
            -dt_h * known.price_export_eur_kwh,
        ]
        lower += [np.zeros(4 * n)]
        upper += [
            np.full(n, battery.charge_kw[0]),
            np.full(n, battery.discharge_kw[0]),
            np.full(2 * n, np.inf),
        ]
        meter, stored = np.zeros((n, width)), np.zeros((n, width))
        for kind, sign in enumerate((-1.0, 1.0, 1.0, -1.0)):
            meter[:, columns(j, kind)] = sign * np.eye(n)
        rows_eq.append(meter)
        right_eq.append(known.net_kw)
        stored[:, columns(j, 0)], stored[:, columns(j, 1)] = gain * weight, -drain * weight
        capacity = battery.capacity_kwh[0]
        start_kwh = known.soc[0] * capacity * keep ** np.arange(1, n + 1)
        rows_le += [stored, -stored]
        right_le += [
            battery.soc_max[0] * capacity - start_kwh,
            start_kwh - np.minimum(battery.soc_min[0] * capacity, start_kwh),
        ]
    cost.append(-window.value_eur_kwh.ravel())
    lower.append(np.full(n_shared, -np.inf))
    upper.append(np.full(n_shared, np.inf))
    for kind, constant in ((3, window.injected_kwh), (2, window.withdrawn_kwh)):
        for term, counted in enumerate(window.counted):
            shared = np.zeros((n_hours, width))
            first = width - n_shared + term * n_hours
            shared[:, first : first + n_hours] = np.eye(n_hours)
            for j in np.flatnonzero(counted):
                if kind == 2 or window.has_plant[j]:
                    shared[:, columns(j, kind)] = -dt_h * (window.hour == np.arange(n_hours)[:, None])
            rows_le.append(shared)
            right_le.append(constant[term])
    found = linprog(
        np.concatenate(cost),
        A_ub=np.vstack(rows_le),
        b_ub=np.concatenate(right_le),
        A_eq=np.vstack(rows_eq),
        b_eq=np.concatenate(right_eq),
        bounds=np.column_stack([np.concatenate(lower), np.concatenate(upper)]),
        method="highs-ipm",
    )
    left_kwh = [
        known.soc[0] * lp.fleet.capacity_kwh[0] * (1 - lp.fleet.loss_per_day[0]) ** (n * dt_h / 24)
        for lp, known in zip(lps, window.homes, strict=True)
    ]
    worth = [known.stored_value_eur_kwh[0] for known in window.homes]
    return found.fun - float(np.dot(left_kwh, worth))


ONE_VALUE, UNEVEN_VALUES = (0.12,), (0.05, 0.07, 0.03)


@pytest.mark.parametrize("value", [ONE_VALUE, UNEVEN_VALUES])
@pytest.mark.parametrize("seed", range(5))
def test_the_joint_program_finds_the_optimum_of_the_textbook_form(seed, value):
    window, lps, dt_s = random_pool(np.random.default_rng(seed), n_homes=4, value=value)
    joint = solve_jointly(window, lps, dt_s=dt_s)
    assert joint.objective_eur == pytest.approx(
        textbook_objective_eur(window, lps, dt_h=dt_s / 3600), abs=1e-6
    )


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-6])
@pytest.mark.parametrize("value", [ONE_VALUE, UNEVEN_VALUES])
@pytest.mark.parametrize("seed", range(3))
def test_the_decomposition_stays_within_its_gap_of_the_joint_optimum(seed, gap, value):
    window, lps, dt_s = random_pool(np.random.default_rng(seed), n_homes=12, value=value)
    joint = solve_jointly(window, lps, dt_s=dt_s)
    plan = decompose(
        window, lps, dt_s=dt_s, injection_weight=undecided(window), effort=Effort(gap=gap, max_rounds=300)
    )
    assert plan.gap(window.value_eur_kwh) <= gap
    assert plan.bound_eur <= joint.objective_eur + 1e-6
    assert joint.objective_eur - 1e-6 <= plan.objective_eur
    scale_eur = max(abs(plan.bound_eur), float((window.value_eur_kwh * plan.shared_kwh).sum()))
    assert plan.objective_eur - joint.objective_eur <= gap * scale_eur + 1e-6


@pytest.mark.parametrize("value", [ONE_VALUE, UNEVEN_VALUES])
def test_a_plan_costs_what_its_batteries_do(value):
    window, lps, dt_s = random_pool(np.random.default_rng(9), n_homes=4, value=value)
    plan = decompose(
        window, lps, dt_s=dt_s, injection_weight=undecided(window), effort=Effort(gap=1e-7, max_rounds=300)
    )
    schedules = []
    for j, (lp, power_kw) in enumerate(zip(lps, plan.battery_kw, strict=True)):
        stored_kwh = window.homes[j].soc * lp.fleet.capacity_kwh
        for now_kw in power_kw:
            flow_kwh = (
                np.where(now_kw > 0, lp.fleet.eta_charge * now_kw, now_kw / lp.fleet.eta_discharge) * 0.5
            )
            stored_kwh = stored_kwh * (1 - lp.fleet.loss_per_day) ** (0.5 / 24) + flow_kwh
        schedules.append(schedule_of(window, j, power_kw, left_kwh=stored_kwh, dt_h=0.5))
    injected, withdrawn = window.injected_kwh.copy(), window.withdrawn_kwh.copy()
    for term, j in zip(*np.nonzero(window.counted), strict=True):
        meter_kw = window.homes[j].net_kw + plan.battery_kw[j][:, 0]
        if window.has_plant[j]:
            injected[term] += np.maximum(-meter_kw, 0.0).reshape(6, 2).sum(axis=1) * 0.5
        withdrawn[term] += np.maximum(meter_kw, 0.0).reshape(6, 2).sum(axis=1) * 0.5
    shared_kwh = np.minimum(injected, withdrawn)
    assert plan.shared_kwh == pytest.approx(shared_kwh)
    paid_eur = sum(s.cost_eur for s in schedules) - float((window.value_eur_kwh * shared_kwh).sum())
    assert paid_eur == pytest.approx(plan.objective_eur, abs=1e-4)


# As in the first test, but the home has no plant: what it feeds in is not shared. A kWh drawn in hour 1 is, but its 0.12
# and the 0.10 of the export do not pay for the 0.30.
@pytest.mark.parametrize("way", ["jointly", "home by home"])
def test_what_a_home_without_a_plant_feeds_in_is_not_shared(way):
    window = pool([home([0, 0])], value=0.12, injected=[3, 0], withdrawn=[0, 2], has_plant=[False])
    lps = programs([fleet()])
    if way == "jointly":
        plan = solve_jointly(window, lps, dt_s=3600)
        most = solve_jointly(window, lps, dt_s=3600, objective="shared")
        assert most.shared_kwh[0] == pytest.approx([3.0, 0.0], abs=1e-3)
    else:
        plan = decompose(window, lps, dt_s=3600, injection_weight=undecided(window), effort=Effort(gap=1e-9))
    assert plan.battery_kw[0][:, 0] == pytest.approx([0.0, 0.0])
    assert plan.shared_kwh[0] == pytest.approx([0.0, 0.0])
    assert planned_shared_kwh(window, [np.array([[2.0], [-2.0]])], dt_h=1.0).tolist() == [[2.0, 0.0]]


# Two homes of one pool at 0.05 for a kWh shared; home 0 belongs to a community where one shared earns 0.07 more. Others of
# that community inject 2 kWh in hour 1 and draw 1 in hour 2. A kWh moved by home 0 costs 0.20; it earns 2 * 0.12 while the
# community shares it, and only 0.12 + 0.05 for the second kWh, which the pool draws as well: one is moved by home 0, and
# none by home 1, for which it is 2 * 0.05.
@pytest.mark.parametrize("way", ["jointly", "home by home"])
def test_each_term_counts_its_own_homes_as_worked_by_hand(way):
    window = pool(
        [home([0, 0]), home([0, 0])],
        value=(0.05, 0.07),
        injected=[[2, 0], [2, 0]],
        withdrawn=[[0, 2], [0, 1]],
        counted=[[True, True], [True, False]],
    )
    lps = programs([fleet(), fleet()])
    if way == "jointly":
        plan = solve_jointly(window, lps, dt_s=3600)
    else:
        plan = decompose(window, lps, dt_s=3600, injection_weight=undecided(window), effort=Effort(gap=1e-9))
    assert plan.battery_kw[0][:, 0] == pytest.approx([1.0, -1.0])
    assert plan.battery_kw[1][:, 0] == pytest.approx([0.0, 0.0])
    assert plan.shared_kwh == pytest.approx(np.ones((2, 2)))
    assert plan.objective_eur == pytest.approx(0.20 - 2 * 0.12)


def test_the_most_shared_energy_is_that_of_the_first_term():
    terms = {"injected": [[2, 0], [2, 0]], "withdrawn": [[0, 2], [0, 1]], "counted": [[True], [True]]}
    window = pool([home([0, 0])], value=(0.05, 0.07), **terms)
    most = solve_jointly(window, programs([fleet()]), dt_s=3600, objective="shared")
    assert most.shared_kwh == pytest.approx(np.array([[2.0, 2.0], [2.0, 1.0]]), abs=1e-3)


# 0.05 and 0.08 with weights 1/4 and 1/2: home 0 is counted by both, home 1 by the first, home 2 as home 0 without a plant.
def test_prices_of_a_home_add_up_over_the_terms_that_count_it():
    window = pool(
        [home([0])] * 3,
        value=(0.05, 0.08),
        injected=[[0], [0]],
        withdrawn=[[0], [0]],
        counted=[[True, True, True], [True, False, True]],
        has_plant=[True, True, False],
    )
    fed_in, drawn = bonuses_eur_kwh(window, np.array([[0.25], [0.5]]))
    assert fed_in[:, 0] == pytest.approx([0.0525, 0.0125, 0.0])
    assert drawn[:, 0] == pytest.approx([0.0775, 0.0375, 0.0775])


def test_a_plan_is_never_worse_than_what_was_known_before():
    window, lps, dt_s = random_pool(np.random.default_rng(2), n_homes=5)
    best = decompose(
        window, lps, dt_s=dt_s, injection_weight=undecided(window), effort=Effort(gap=1e-6, max_rounds=300)
    )
    stored = [HomeLp("x", lp.fleet, dt_s=dt_s, horizon=lp.horizon) for lp in lps]
    known = {}
    for j, power_kw in enumerate(best.battery_kw):
        stored_kwh = window.homes[j].soc * stored[j].fleet.capacity_kwh
        for now_kw in power_kw:
            flow_kwh = np.where(
                now_kw > 0, stored[j].fleet.eta_charge * now_kw, now_kw / stored[j].fleet.eta_discharge
            )
            stored_kwh = stored_kwh * (1 - stored[j].fleet.loss_per_day) ** (0.5 / 24) + flow_kwh * 0.5
        known[j] = schedule_of(window, j, power_kw, left_kwh=stored_kwh, dt_h=0.5)
    hasty = Effort(gap=0.0, max_rounds=1)
    cold = decompose(window, lps, dt_s=dt_s, injection_weight=np.zeros((1, 6)), effort=hasty)
    warm = decompose(window, lps, dt_s=dt_s, injection_weight=np.zeros((1, 6)), known=known, effort=hasty)
    assert warm.rounds == 1
    assert warm.objective_eur <= best.objective_eur + 1e-4 < cold.objective_eur


def test_threads_do_not_change_a_bit():
    window, lps, dt_s = random_pool(np.random.default_rng(4), n_homes=20)

    def solved(workers):
        again = [HomeLp("x", lp.fleet, dt_s=dt_s, horizon=lp.horizon) for lp in lps]
        effort = Effort(gap=1e-4, workers=workers)
        return decompose(window, again, dt_s=dt_s, injection_weight=undecided(window), effort=effort)

    one, two = solved(1), solved(2)
    assert one.rounds == two.rounds > 1
    for alone_kw, threaded_kw in zip(one.battery_kw, two.battery_kw, strict=True):
        assert alone_kw.tobytes() == threaded_kw.tobytes()


def test_the_value_is_cut_to_the_smallest_spread_of_the_hour():
    hour = np.array([0, 0, 1, 1, 2, 2])
    price_import = np.array([0.30, 0.20, 0.30, 0.30, 0.10, 0.30])
    price_export = np.array([0.10, 0.15, 0.10, 0.10, 0.15, 0.10])
    value = term_values_eur_kwh(np.array([0.12]), hour, price_import, price_export)
    assert value == pytest.approx(np.array([[0.05, 0.12, 0.0]]))
    # a home of the last community sees the first and the last term
    value = term_values_eur_kwh(np.array([0.04, 0.12, 0.25]), hour, price_import, price_export)
    assert value == pytest.approx(np.array([[0.04, 0.04, 0.0], [0.01, 0.08, 0.0], [0.01, 0.16, 0.0]]))


def test_hours_are_settlement_hours_from_the_middle_of_one_on():
    first, hour = hour_positions(3600 * 10 + 1800, 900, step=1, n=6)
    assert first == 10
    assert hour.tolist() == [0, 1, 1, 1, 1, 2]
    injected, withdrawn = hourly_kwh(np.array([[1.0, -4.0, 4.0, 4.0, -8.0, 2.0]]), hour, dt_h=0.25)
    assert injected.tolist() == [[0.0, 3.0, 0.0]]
    assert withdrawn.tolist() == [[0.25, 2.0, 0.5]]
