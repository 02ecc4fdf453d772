"""Shared energy: the hourly minimum of what a configuration injects and withdraws.

Two ways of counting several configurations are here: each alone, and those under one primary substation as one (the
aggregator's "mutual help"). Source: GSE, servizio per l'autoconsumo diffuso; decree MASE 414 of 7-12-2023.
"""

from dataclasses import dataclass

import numpy as np

from twin.community.grouping import shares, sum_columns
from twin.community.meters import HourlyMeters
from twin.members import Communities
from twin.plant import FloatArray, IntArray

__all__ = [
    "CommunityHours",
    "Shared",
    "community_hours",
    "plant_side_kwh",
    "shared_alone",
    "shared_kwh",
    "shared_pooled",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class CommunityHours:
    """N hours of C configurations, shape (N, C) each."""

    injected_kwh: FloatArray
    """By connection points with a plant: what can be shared."""
    withdrawn_kwh: FloatArray
    shared_kwh: FloatArray
    """Minimum of both."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """Shared energy of C configurations in N hours, shape (N, C) each."""

    own_kwh: FloatArray
    """Of the configuration alone."""
    credited_kwh: FloatArray
    """Its part of what configurations share among each other; 0 for one alone."""
    exported_kwh: FloatArray
    """What its plants give to other configurations; over all the same sum as ``credited_kwh``."""
    drawn_share: FloatArray
    """Share of each configuration in the deficit of its pool, 0 to 1; 0 where the pool has none."""

    @property
    def by_surplus_kwh(self) -> FloatArray:
        """The part of the credit for what its plants give to others, shape (N, C)."""
        return 0.5 * self.exported_kwh

    @property
    def by_deficit_kwh(self) -> FloatArray:
        """The part of the credit for what it draws from others, shape (N, C)."""
        return self.credited_kwh - self.by_surplus_kwh

    @property
    def paid_kwh(self) -> FloatArray:
        """What a configuration is paid for, shape (N, C)."""
        return self.own_kwh + self.credited_kwh

    @property
    def from_plants_kwh(self) -> FloatArray:
        """What the plants of a configuration are paid for, shape (N, C); over all the same sum as ``paid_kwh``."""
        return self.own_kwh + self.exported_kwh


def plant_side_kwh(injected_kwh: FloatArray, communities: Communities) -> FloatArray:
    """Return the injection that can be shared, shape (N, M): that of members with a plant."""
    return np.where(communities.member_has_plant, injected_kwh, 0.0)


def shared_kwh(
    injected_kwh: FloatArray, withdrawn_kwh: FloatArray, group: IntArray, n_groups: int
) -> FloatArray:
    """Return the shared energy of each group and hour, shape (N, G).

    Args:
        injected_kwh: by each member, shape (N, M).
        withdrawn_kwh: by each member, shape (N, M).
        group: configuration or area of each member, shape (M,).
        n_groups: number of groups G.
    """
    return np.minimum(sum_columns(injected_kwh, group, n_groups), sum_columns(withdrawn_kwh, group, n_groups))


def community_hours(communities: Communities, meters: HourlyMeters) -> CommunityHours:
    """Return what each configuration injects, withdraws and shares alone in each hour."""
    group, n = communities.member_community, communities.n_communities
    injected, withdrawn = plant_side_kwh(meters.injected_kwh, communities), meters.withdrawn_kwh
    return CommunityHours(
        injected_kwh=sum_columns(injected, group, n),
        withdrawn_kwh=sum_columns(withdrawn, group, n),
        shared_kwh=shared_kwh(injected, withdrawn, group, n),
    )


def shared_alone(hours: CommunityHours) -> Shared:
    """Return the shared energy where each configuration is settled alone."""
    nothing = np.zeros_like(hours.shared_kwh)
    return Shared(own_kwh=hours.shared_kwh, credited_kwh=nothing, exported_kwh=nothing, drawn_share=nothing)


def shared_pooled(hours: CommunityHours, cp: IntArray, n_cp: int) -> Shared:
    """Return the shared energy where the configurations under one primary substation are settled as one.

    Each keeps its own shared energy. What the pool shares beyond is min(surpluses, deficits); half of it is credited
    to configurations with a surplus in that hour, in proportion to it, half to those with a deficit, in proportion.
    So no configuration gets less than alone. The pool itself is a study of this program, not a rule of the GSE.

    Args:
        hours: the configurations.
        cp: primary substation of each, shape (C,).
        n_cp: number of primary substations.
    """
    surplus = hours.injected_kwh - hours.shared_kwh
    deficit = hours.withdrawn_kwh - hours.shared_kwh
    rest = np.minimum(sum_columns(surplus, cp, n_cp), sum_columns(deficit, cp, n_cp))[:, cp]
    given_share, drawn_share = shares(surplus, cp, n_cp), shares(deficit, cp, n_cp)
    exported = rest * given_share
    return Shared(
        own_kwh=hours.shared_kwh,
        credited_kwh=0.5 * (exported + rest * drawn_share),
        exported_kwh=exported,
        drawn_share=drawn_share,
    )
