"""Levels joined, and what the EMS of a home makes of what it is handed."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twin.control.checks import checked_guidance
from twin.control.management.cascade import Cascade
from twin.control.management.ems import Ems, own_rule_kw
from twin.control.management.guidance import Priority, asked_homes, combine, no_guidance
from twin.control.registry import make_controller, resolve
from twin.control.rules import SelfConsumption
from twin.errors import ControllerError

BATTERY_HOME = np.array([0, 1, 1])


def guidance(site, priority=Priority.ADVICE, **fields):
    nothing = no_guidance(site)
    arrays = {name: np.asarray(value, dtype=float) for name, value in fields.items()}
    return replace(
        nothing,
        **{
            "priority": np.full_like(nothing.priority, priority),
            "expires_step": np.full_like(nothing.expires_step, 9),
            **arrays,
        },
    )


@pytest.fixture
def choose(make_site, see):
    """Return what the one battery of a home does: 10 kWh, 5 kW, no losses, steps of an hour."""

    def run(net_kw, soc, *, reserve=0.0, **fields):
        site = make_site([0], battery_home=(0,), reserve={0: reserve})
        asked = guidance(site, **{name: [value] for name, value in fields.items()})
        return float(Ems(site).choose_kw(see([net_kw], [soc]), asked)[0])

    return run


@pytest.mark.parametrize(
    ("net_kw", "soc", "fields", "expected_kw"),
    [
        (2.0, 0.5, {}, -2.0),
        (2.0, 0.5, {"battery_kw": 1.0}, 1.0),
        (0.0, 0.5, {"battery_kw": 9.0}, 5.0),
        (0.0, 0.8, {"battery_kw": 9.0}, 2.0),
        (0.0, 0.1, {"battery_kw": -9.0}, -1.0),
        (-3.0, 0.5, {"battery_kw": 1.0, "planned_net_kw": -2.0}, 2.0),
        (-3.0, 0.5, {"battery_kw": 1.0}, 1.0),
        (-9.0, 0.5, {"battery_kw": 1.0, "planned_net_kw": -2.0}, 5.0),
        (-1.0, 0.95, {"battery_kw": 2.0, "planned_net_kw": -1.0}, 0.5),
        (4.0, 0.5, {"grid_min_kw": 1.0}, -3.0),
        (-4.0, 0.5, {"grid_max_kw": -1.0}, 3.0),
        (0.0, 0.5, {"battery_kw": 4.0, "grid_max_kw": 1.5}, 1.5),
        (0.0, 0.5, {"battery_kw": -4.0, "grid_min_kw": -1.5}, -1.5),
        (0.0, 0.5, {"grid_max_kw": -9.0}, -5.0),
        (0.0, 0.2, {"grid_max_kw": -9.0}, -2.0),
        (2.0, 0.5, {"hold_soc": 0.4}, -1.0),
        (2.0, 0.5, {"hold_soc": 0.6}, 0.0),
        (0.0, 0.5, {"battery_kw": -3.0, "hold_soc": 0.3}, -2.0),
        (-1.0, 0.5, {"hold_soc": 0.6}, 1.0),
    ],
    ids=[
        "without a proposal the home serves itself",
        "a proposal is followed against the own rule",
        "rated power limits a proposal",
        "room limits a proposal",
        "energy limits a proposal",
        "more PV than planned is stored",
        "without a plan for the meter the set-point holds",
        "the battery makes up for as much as it can",
        "what the battery cannot take is missed",
        "a lowest import leaves load to the grid",
        "a lowest export limits what is stored",
        "the upper bound at the meter comes before the proposal",
        "the lower bound at the meter comes before the proposal",
        "a bound beyond the rated power is met as far as possible",
        "a bound beyond the stored energy is met as far as possible",
        "the own home stops at the state of charge that is held",
        "below what is held nothing is given",
        "others stop at the state of charge that is held",
        "what is held does not draw from the grid",
    ],
)
def test_the_ems_chooses_inside_what_it_is_handed(choose, net_kw, soc, fields, expected_kw):
    assert choose(net_kw, soc, **fields) == pytest.approx(expected_kw)


# 5 of the 10 kWh are the user's
@pytest.mark.parametrize(
    ("net_kw", "soc", "fields", "expected_kw"),
    [
        (0.0, 0.7, {"battery_kw": -4.0}, -2.0),
        (1.0, 0.7, {"battery_kw": -4.0}, -2.0),
        (3.0, 0.7, {"battery_kw": -4.0}, -3.0),
        (0.0, 0.3, {"battery_kw": -4.0}, 0.0),
        (2.0, 0.3, {"battery_kw": -4.0}, -2.0),
        (0.0, 0.7, {"grid_max_kw": -4.0}, -2.0),
        (-4.0, 0.3, {"battery_kw": -4.0}, 2.0),
        (-1.0, 0.3, {"battery_kw": 0.0}, 1.0),
        (2.0, 0.3, {"hold_soc": 0.8}, -2.0),
        (0.0, 0.3, {"battery_kw": 4.0}, 4.0),
    ],
    ids=[
        "others get what is above the reserve",
        "also while the own home needs some of it",
        "the own home gets more than that",
        "others get nothing out of the reserve",
        "the own home is served out of the reserve",
        "a bound at the meter does not open the reserve",
        "surplus fills the reserve before others get any",
        "surplus is not taken from a reserve that it cannot fill",
        "what is held for others does not close the reserve to the own home",
        "charging is not hindered",
    ],
)
def test_the_reserve_of_the_user_is_for_the_own_home_only(choose, net_kw, soc, fields, expected_kw):
    assert choose(net_kw, soc, reserve=0.5, **fields) == pytest.approx(expected_kw)


def test_the_rule_of_a_home_with_several_batteries_keeps_the_meter_where_it_was_planned(make_site, see):
    site = make_site([0, 0], battery_home=(0, 1, 1))
    asked = guidance(site, battery_kw=[np.nan, 1.0, 3.0], planned_net_kw=[np.nan, 0.0])
    chosen_kw = Ems(site).choose_kw(see([1.0, -1.0], [0.5, 0.5, 0.5]), asked)
    # 1 kW more PV goes to the room left, 4 kW and 2 kW
    assert chosen_kw == pytest.approx([-1.0, 1.0 + 4 / 6, 3.0 + 2 / 6])


def test_a_plan_for_the_meter_counts_only_with_set_points_for_all_batteries(make_site, see):
    site = make_site([0], battery_home=(0, 0))
    asked = guidance(site, battery_kw=[1.0, np.nan], planned_net_kw=[7.0])
    assert Ems(site).choose_kw(see([2.0], [0.5, 0.5]), asked) == pytest.approx([1.0, -1.0])


def test_homes_without_guidance_do_to_the_last_bit_what_they_do_alone(make_site, see):
    site = make_site([0, 0], battery_home=(0, 1))
    seen = see([0.1 + 0.2, 1 / 3], [0.37, 0.61])
    asked = guidance(site, battery_kw=[1.0, 1.0], priority=np.array([0, 1]))
    chosen_kw, alone_kw = Ems(site).choose_kw(seen, asked), SelfConsumption(site).decide(seen).battery_kw
    assert chosen_kw[0].tobytes() == alone_kw[0].tobytes()
    assert chosen_kw[1] == 1.0
    assert (
        own_rule_kw(site, seen.load_kw + seen.pv_kw, soc=seen.soc, hold_soc=None).tobytes()
        == alone_kw.tobytes()
    )


def two_levels(site, above, below, *, priorities):
    high, low = (
        guidance(site, priority, **fields)
        for priority, fields in zip(priorities, (above, below), strict=True)
    )
    return combine(high, low, battery_home=site.battery_home)


@pytest.fixture
def site(make_site):
    return make_site([0, 0], battery_home=(0, 1, 1))


ORDER_THEN_ADVICE = (Priority.ORDER, Priority.ADVICE)


def test_set_points_of_the_higher_priority_win_where_it_has_any(site):
    nan = np.nan
    joined = two_levels(
        site,
        {"battery_kw": [nan, 2.0, nan], "planned_net_kw": [nan, 5.0]},
        {"battery_kw": [-1.0, -1.0, -1.0], "planned_net_kw": [3.0, 4.0]},
        priorities=ORDER_THEN_ADVICE,
    )
    assert joined.battery_kw.tolist() == [-1.0, 2.0, -1.0]
    assert joined.planned_net_kw.tolist() == [3.0, 5.0]
    assert joined.priority.tolist() == [3, 3]
    assert asked_homes(joined, site.battery_home).tolist() == [True, True]


def test_a_lower_level_of_higher_priority_wins_and_a_tie_is_won_by_the_higher_level(site):
    asked = [{"battery_kw": [kw] * 3, "planned_net_kw": [10 * kw] * 2} for kw in (1.0, 2.0)]
    for priorities, won_kw in (((1, 2), 2.0), ((2, 2), 1.0)):
        joined = two_levels(site, *asked, priorities=priorities)
        assert joined.battery_kw.tolist() == [won_kw] * 3
        assert joined.planned_net_kw.tolist() == [10 * won_kw] * 2


def test_bounds_are_intersected_and_an_empty_intersection_is_won_by_the_higher_priority(site):
    joined = two_levels(
        site,
        {"grid_min_kw": [-2.0, -2.0], "grid_max_kw": [4.0, 1.0]},
        {"grid_min_kw": [-1.0, 2.0], "grid_max_kw": [9.0, 3.0]},
        priorities=ORDER_THEN_ADVICE,
    )
    assert joined.grid_min_kw.tolist() == [-1.0, -2.0]
    assert joined.grid_max_kw.tolist() == [4.0, 1.0]


def test_bonuses_holds_and_expiries_are_joined(site):
    high = guidance(site, Priority.ORDER, import_bonus_eur_kwh=[0.0, 0.2], hold_soc=[0.5, 0.1, 0.0])
    low = guidance(
        site,
        import_bonus_eur_kwh=[0.1, 0.1],
        hold_soc=[0.2, 0.2, 0.2],
        for_others_kw=[1.0, 2.0],
        expires_step=[4, 12],
    )
    joined = combine(high, low, battery_home=site.battery_home)
    assert joined.import_bonus_eur_kwh.tolist() == [0.1, 0.2]
    assert joined.hold_soc.tolist() == [0.5, 0.2, 0.2]
    assert joined.for_others_kw.tolist() == [1.0, 2.0]
    assert joined.expires_step.tolist() == [4, 9]
    both = combine(joined, low, battery_home=site.battery_home)
    assert both.for_others_kw.tolist() == [2.0, 4.0]


def test_joining_with_nothing_changes_nothing(site):
    asked = guidance(
        site, battery_kw=[1.0, np.nan, 2.0], grid_max_kw=[3.0, 4.0], export_bonus_eur_kwh=[0.1, 0.0]
    )
    for joined in (
        combine(no_guidance(site), asked, battery_home=site.battery_home),
        combine(asked, no_guidance(site), battery_home=site.battery_home),
    ):
        for name in (
            "battery_kw",
            "grid_min_kw",
            "grid_max_kw",
            "export_bonus_eur_kwh",
            "priority",
            "expires_step",
        ):
            assert np.array_equal(getattr(joined, name), getattr(asked, name), equal_nan=True), name
        assert joined.planned_net_kw is None


class Says:
    """A guide that says the same in every step, and keeps what it was handed."""

    def __init__(self, asked):
        self.asked, self.above = asked, []

    def guide(self, seen, above):
        self.above.append(above)
        return self.asked


def test_the_highest_level_speaks_first_and_the_next_hears_it(site, see):
    desk = Says(guidance(site, Priority.ORDER, grid_max_kw=[2.0, 2.0]))
    aggregator = Says(guidance(site, Priority.COORDINATION, grid_max_kw=[1.0, 3.0]))
    cems = Says(guidance(site, battery_kw=[4.0, 4.0, 0.0]))
    chosen_kw = Cascade(site, guides=(desk, aggregator, cems)).decide(see([0.0, 0.0], [0.5] * 3)).battery_kw
    assert desk.above[0].priority.tolist() == [0, 0]
    assert aggregator.above[0].grid_max_kw.tolist() == [2.0, 2.0]
    assert cems.above[0].grid_max_kw.tolist() == [1.0, 2.0]
    assert cems.above[0].priority.tolist() == [3, 3]
    # down to 1 kW and 2 kW at the meter, by what each battery can give: 9 kW and 5 kW
    assert chosen_kw == pytest.approx([1.0, 4.0 - 2.0 * 9 / 14, -2.0 * 5 / 14])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (None, r"Says.guide\(\) returned NoneType, not a Guidance; start from"),
        ({"battery_kw": [1.0, 2.0]}, r"Says: battery_kw: shape \(2,\), expected \(3,\)"),
        (
            {"battery_kw": [1.0, np.inf, 0.0]},
            r"battery_kw\[1\] = inf for home 'home 1': must be finite, or NaN",
        ),
        ({"grid_min_kw": [0.0, np.nan]}, r"grid_min_kw\[1\] = nan for home 'home 1'"),
        (
            {"grid_min_kw": [2.0, 0.0], "grid_max_kw": [1.0, 0.0]},
            "home 'home 0': grid_min_kw 2 lies above grid_max",
        ),
        ({"priority": [1.0, 7.0]}, r"priority\[1\] = 7 for home 'home 1': must be a Priority"),
        ({"hold_soc": [0.1, 0.2, 1.2]}, r"hold_soc\[2\] = 1.2 for home 'home 1': must be from 0 to 1"),
        ({"planned_net_kw": "many"}, "Says: planned_net_kw: not an array of numbers"),
    ],
)
def test_what_is_no_guidance_stops_the_strategy_and_says_why(site, see, asked, message):
    said = asked
    if asked is not None:
        said = replace(no_guidance(site), **asked)
    with pytest.raises(ControllerError, match=message):
        Cascade(site, guides=(Says(said),)).decide(see([0.0, 0.0], [0.5] * 3))


def test_checked_guidance_may_be_given_as_whole_numbers(site):
    asked = replace(no_guidance(site), battery_kw=[1, 2, 3], expires_step=[4.0, 5.0])
    checked = checked_guidance(asked, site, source="mine")
    assert checked.battery_kw.dtype == np.float64
    assert checked.expires_step.tolist() == [4, 5]
    assert checked.planned_net_kw is None


def test_without_communities_there_is_nothing_to_manage(make_site):
    site = make_site([0])
    bare = replace(site, communities=type(site.communities)())
    with pytest.raises(ValueError, match=r"the scenario has none.*describe them under `communities:`"):
        Cascade(bare, guides=())


def test_a_home_that_is_a_member_twice_is_refused(make_site):
    site = make_site([0, 0])
    twice = replace(site.communities, member_home=np.array([1, 1]))
    with pytest.raises(ValueError, match="home 'home 1' is a member more than once"):
        Cascade(replace(site, communities=twice), guides=())


def test_the_guide_of_the_documentation_keeps_meters_below_its_limit(make_site, play, tmp_path):
    text = (Path(__file__).parents[2] / "docs/strategies.md").read_text()
    (example,) = (
        part for part in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "EveningLimit" in part
    )
    (tmp_path / "quiet.py").write_text(example)
    site = make_site([0, 0, None], battery_home=(0, 1, 2), opted_out=(1,))
    controller = make_controller(resolve("quiet.py:QuietEvenings", tmp_path), site, {"limit_kw": 1.0})
    done = play(controller, site, np.full((24, 3), 6.0), [1.0, 1.0, 1.0])
    alone = play(SelfConsumption(site), site, np.full((24, 3), 6.0), [1.0, 1.0, 1.0])
    assert (controller.level, controller.settles) == (2, "community")
    assert done.battery_kw[:, 1:].tobytes() == alone.battery_kw[:, 1:].tobytes()
    late = play(controller, site, np.vstack([np.zeros((18, 3)), np.full((6, 3), 3.0)]), [0.2, 0.0, 0.0])
    assert late.grid_kw[18:, 0] == pytest.approx([1.0, 3.0, 3.0, 3.0, 3.0, 3.0])
