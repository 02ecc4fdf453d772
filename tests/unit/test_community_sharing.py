"""Shared energy of an hour, worked out by hand."""

import numpy as np
from numpy.typing import ArrayLike

from twin.community.grouping import shares, sum_columns
from twin.community.meters import HourlyMeters
from twin.community.sharing import (
    CommunityHours,
    community_hours,
    plant_side_kwh,
    shared_alone,
    shared_kwh,
    shared_pooled,
)
from twin.members import Communities


def hours(injected: ArrayLike, withdrawn: ArrayLike) -> CommunityHours:
    injected, withdrawn = np.array([injected], dtype=float), np.array([withdrawn], dtype=float)
    return CommunityHours(
        injected_kwh=injected, withdrawn_kwh=withdrawn, shared_kwh=np.minimum(injected, withdrawn)
    )


def test_columns_are_summed_by_group_whatever_their_order() -> None:
    values = np.array([[1.0, 2.0, 4.0, 8.0], [10.0, 20.0, 40.0, 80.0]])
    np.testing.assert_array_equal(
        sum_columns(values, np.array([2, 0, 2, 0]), 4), [[10.0, 0.0, 5.0, 0.0], [100.0, 0.0, 50.0, 0.0]]
    )


def test_shares_of_an_empty_sum_are_zero() -> None:
    values = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 5.0]])
    np.testing.assert_array_equal(
        shares(values, np.array([0, 0, 1]), 2), [[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]]
    )


def test_shared_energy_is_the_smaller_sum_of_each_hour() -> None:
    injected = np.array([[6.0, 1.0, 5.0], [0.0, 1.0, 5.0]])
    withdrawn = np.array([[0.0, 4.0, 9.0], [2.0, 3.0, 0.0]])
    found = shared_kwh(injected, withdrawn, np.array([0, 0, 1]), 2)
    np.testing.assert_array_equal(found, [[4.0, 5.0], [1.0, 0.0]])


def test_injection_of_a_battery_without_a_plant_is_not_shared() -> None:
    communities = Communities(
        name=("c",),
        kind=("CER",),
        member_home=np.array([0, 1, 2]),
        member_community=np.array([0, 0, 0]),
        plant_member=np.array([2]),
        plant_pv=np.array([0]),
    )
    meters = HourlyMeters(
        hour_start_utc_s=np.array([0]),
        injected_kwh=np.array([[3.0, 0.0, 1.0]]),
        withdrawn_kwh=np.array([[0.0, 9.0, 0.0]]),
        plant_injected_kwh=np.array([[1.0]]),
    )
    assert community_hours(communities, meters).shared_kwh == [[1.0]]
    np.testing.assert_array_equal(plant_side_kwh(meters.injected_kwh, communities), [[0.0, 0.0, 1.0]])


def test_a_configuration_alone_is_paid_for_its_own_energy() -> None:
    alone = shared_alone(hours([10, 2], [4, 5]))
    np.testing.assert_array_equal(alone.paid_kwh, [[4.0, 2.0]])
    np.testing.assert_array_equal(alone.from_plants_kwh, [[4.0, 2.0]])


def test_a_pool_credits_the_rest_half_to_surplus_and_half_to_deficit() -> None:
    # surplus 6, 0, 0; deficit 0, 3, 1: the pool shares 4 beyond; min(12, 10) = 10 in all
    pool = shared_pooled(hours([10, 2, 0], [4, 5, 1]), np.array([0, 0, 0]), 1)
    np.testing.assert_array_equal(pool.own_kwh, [[4.0, 2.0, 0.0]])
    np.testing.assert_array_equal(pool.credited_kwh, [[2.0, 1.5, 0.5]])
    np.testing.assert_array_equal(pool.exported_kwh, [[4.0, 0.0, 0.0]])
    np.testing.assert_array_equal(pool.paid_kwh.sum(), 10.0)


def test_several_surpluses_serve_a_deficit_in_proportion() -> None:
    # surplus 6, 2, 0; deficit 0, 0, 4
    pool = shared_pooled(hours([7, 2, 0], [1, 0, 4]), np.array([0, 0, 0]), 1)
    np.testing.assert_array_equal(pool.exported_kwh, [[3.0, 1.0, 0.0]])
    np.testing.assert_array_equal(pool.credited_kwh, [[1.5, 0.5, 2.0]])


def test_primary_substations_do_not_help_each_other() -> None:
    pool = shared_pooled(hours([10, 0, 0], [0, 6, 8]), np.array([0, 1, 0]), 2)
    np.testing.assert_array_equal(pool.paid_kwh, [[4.0, 0.0, 4.0]])
