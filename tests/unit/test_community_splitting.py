"""Plant attribution and member split, worked out by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twin.community.splitting import (
    ATTRIBUTION,
    MEMBER_SPLIT,
    MemberHours,
    PlantHours,
    SplitRules,
    check_splits,
    member_shares,
)
from twin.errors import InputError
from twin.members import Communities

PLANTS = PlantHours(
    injected_kwh=np.array([[2.0, 6.0, 4.0, 5.0]]),
    community=np.array([0, 0, 1, 0]),
    entered_day=np.array([300, 100, 50, 100]),
    n_communities=2,
)
# members 0 and 1 inject, 1 to 3 withdraw; member 3 is in another configuration; member 4 joins in hour 1
MEMBERS = MemberHours(
    injected_kwh=np.array([[3.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]),
    withdrawn_kwh=np.array([[0.0, 2.0, 6.0, 5.0, 0.0], [0.0, 2.0, 6.0, 5.0, 8.0]]),
    active=np.array([[True, True, True, True, False], [True, True, True, True, True]]),
    invest_eur=np.array([1000.0, 0.0, 3000.0, 10.0, 4000.0]),
    community=np.array([0, 0, 0, 1, 0]),
    n_communities=2,
)
COMMUNITIES = Communities(
    name=("rich", "poor"), member_community=np.array([0, 0, 1]), member_invest_eur=np.array([5.0, 0.0, 0.0])
)


@pytest.mark.parametrize(
    ("rule", "shared", "expected"),
    [
        ("proportional", [6.5, 1.0], [1.0, 3.0, 1.0, 2.5]),
        ("oldest_first", [6.5, 1.0], [0.0, 6.0, 1.0, 0.5]),
        ("oldest_first", [12.0, 0.0], [1.0, 6.0, 0.0, 5.0]),
        ("oldest_first", [13.0, 4.0], [2.0, 6.0, 4.0, 5.0]),
        ("proportional", [13.0, 0.0], [2.0, 6.0, 0.0, 5.0]),
    ],
)
def test_plants_get_their_part_of_the_shared_energy(
    rule: str, shared: list[float], expected: list[float]
) -> None:
    np.testing.assert_allclose(ATTRIBUTION[rule](np.array([shared]), PLANTS), [expected], rtol=1e-15)


@pytest.mark.parametrize("rule", sorted(ATTRIBUTION))
def test_an_hour_without_sun_is_attributed_to_nobody(rule: str) -> None:
    night = replace(PLANTS, injected_kwh=np.zeros((1, 4)))
    np.testing.assert_array_equal(ATTRIBUTION[rule](np.zeros((1, 2)), night), np.zeros((1, 4)))


@pytest.mark.parametrize(
    ("splits", "first", "second"),
    [
        # half by injection 3 : 1, half by withdrawal 2 : 6
        (SplitRules(), [0.375, 0.25, 0.375, 1.0, 0.0], [0.0, 0.125, 0.375, 1.0, 0.5]),
        (SplitRules(producer_share=1.0), [0.75, 0.25, 0.0, 1.0, 0.0], [0.0, 0.125, 0.375, 1.0, 0.5]),
        (SplitRules(producer_share=0.0), [0.0, 0.25, 0.75, 1.0, 0.0], [0.0, 0.125, 0.375, 1.0, 0.5]),
        (SplitRules(member_split="equal"), [1 / 3, 1 / 3, 1 / 3, 1.0, 0.0], [0.25, 0.25, 0.25, 1.0, 0.25]),
        (
            SplitRules(member_split="by_consumption"),
            [0.0, 0.25, 0.75, 1.0, 0.0],
            [0.0, 0.125, 0.375, 1.0, 0.5],
        ),
        (
            SplitRules(member_split="by_investment"),
            [0.25, 0.0, 0.75, 1.0, 0.0],
            [0.125, 0.0, 0.375, 1.0, 0.5],
        ),
    ],
    ids=["half and half", "producers", "consumers", "equal", "by consumption", "by investment"],
)
def test_members_divide_each_hour_by_the_rule(
    splits: SplitRules, first: list[float], second: list[float]
) -> None:
    found = member_shares(MEMBERS, splits)
    np.testing.assert_allclose(found.share, [first, second], rtol=1e-15)
    assert not found.by_energy.any()


def test_producers_take_all_of_an_hour_in_which_nobody_withdraws() -> None:
    hour = replace(MEMBERS, withdrawn_kwh=np.zeros((2, 5)))
    np.testing.assert_array_equal(member_shares(hour, SplitRules()).share[0], [0.75, 0.25, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("by_consumption", {"withdrawn_kwh": np.zeros((2, 5))}),
        ("by_investment", {"invest_eur": np.array([0.0, 0.0, 0.0, 10.0, 4000.0])}),
    ],
)
def test_an_hour_without_weights_is_divided_by_energies_and_says_so(
    rule: str, changes: dict[str, Any]
) -> None:
    hour = replace(MEMBERS, **changes)
    found = member_shares(hour, SplitRules(member_split=rule))
    assert found.by_energy[0, 0]
    np.testing.assert_array_equal(found.share[0, :3], member_shares(hour, SplitRules()).share[0, :3])
    assert found.share[0, :3].sum() == 1.0


@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_a_rule_with_weights_that_make_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    monkeypatch.setitem(MEMBER_SPLIT, "odd", lambda hours, _: np.full_like(hours.withdrawn_kwh, weight))
    with pytest.raises(ValueError, match="'odd' must give finite weights"):
        member_shares(MEMBERS, SplitRules(member_split="odd"))


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (SplitRules(attribution="newest_first"), "attribution 'newest_first' .* oldest_first, proportional"),
        (
            SplitRules(member_split="by_mood"),
            "member_split 'by_mood' .* by_consumption, by_investment, equal",
        ),
        (SplitRules(producer_share=1.5), r"producer_share 1.5 must lie between 0 and 1"),
        (SplitRules(producer_share=float("nan")), "producer_share nan"),
        (SplitRules(member_split="by_investment"), "community poor: .* paid 0 EUR"),
    ],
)
def test_rules_that_cannot_work_are_refused_before_the_run(splits: SplitRules, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_splits(COMMUNITIES, splits)
