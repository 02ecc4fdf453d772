"""What each configuration, plant and member is paid over a run, in arrays."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from twin.community.emissions import co2_kg
from twin.community.grouping import shares, sum_columns
from twin.community.incentives import CacerRules, Rules, social_share, tariff_eur_mwh
from twin.community.lines import Amounts
from twin.community.meters import HourlyMeters
from twin.community.sharing import CommunityHours, Shared, plant_side_kwh, shared_alone, shared_pooled
from twin.community.splitting import (
    ATTRIBUTION,
    MemberHours,
    MemberShares,
    PlantHours,
    SplitRules,
    member_shares,
)
from twin.community.valorisation import Valorisation, valorisation_eur_mwh
from twin.members import Communities
from twin.plant import FloatArray, IntArray, total_by
from twin.units import price_eur_kwh

__all__ = ["Case", "amounts_of"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Everything one settlement is computed from."""

    communities: Communities
    meters: HourlyMeters
    rules: Rules
    valorisation: Valorisation
    splits: SplitRules
    zone_price_eur_mwh: FloatArray
    co2_kg_kwh: FloatArray
    hours: CommunityHours
    plant_name: tuple[str, ...]
    pooled: bool
    """Whether the configurations under one primary substation are settled as one."""

    @property
    def group(self) -> IntArray:
        """What each configuration is settled with, shape (C,)."""
        return self.communities.cp if self.pooled else np.arange(self.communities.n_communities)

    @property
    def n_groups(self) -> int:
        """Number of groups settled as one."""
        return len(self.communities.cp_name) if self.pooled else self.communities.n_communities

    @property
    def active(self) -> BoolArray:
        """Who is a member in each hour, shape (N, M)."""
        if self.meters.active is None:
            return np.ones(self.meters.withdrawn_kwh.shape, dtype=np.bool_)
        return self.meters.active


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sides:
    """An hourly amount of the configurations, shape (N, C) each, by what it is for."""

    own: FloatArray
    """Energy that the configuration shares alone."""
    by_surplus: FloatArray
    """Credit of the pool for what its plants give to others."""
    by_deficit: FloatArray
    """Credit of the pool for what it draws from others."""

    @property
    def total(self) -> FloatArray:
        """All of it, shape (N, C)."""
        return self.own + (self.by_surplus + self.by_deficit)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Parts:
    """How members divide each side of an amount."""

    own: MemberShares
    by_surplus: MemberShares
    """``proportional``: by injection alone, as the pool has divided between both sides already."""
    by_deficit: MemberShares
    """``proportional``: by withdrawal alone."""

    def of(self, amount: _Sides, community: IntArray) -> FloatArray:
        """Return what each member gets over the run, shape (M,)."""
        return sum(
            (
                np.einsum("nm,nm->m", parts.share, hourly[:, community])
                for parts, hourly in (
                    (self.own, amount.own),
                    (self.by_surplus, amount.by_surplus),
                    (self.by_deficit, amount.by_deficit),
                )
            ),
            start=np.zeros(len(community)),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Premium:
    community_eur: _Sides
    plant_kwh: FloatArray
    """Over the run, shape (U,)."""
    plant_eur: FloatArray


def amounts_of(case: Case) -> Amounts:
    """Return the amounts of a settlement; its inputs are checked."""
    members = case.communities.member_community
    alone = shared_alone(case.hours)
    shared = shared_pooled(case.hours, case.group, case.n_groups) if case.pooled else alone
    premium = _premium(case, shared)
    returned_eur = _returned_eur(case, shared)
    parts = _member_parts(case)
    part_eur = parts.of(premium.community_eur, members)
    community_eur = premium.community_eur.total.sum(axis=0)
    shared_kwh = _Sides(
        own=shared.own_kwh, by_surplus=shared.by_surplus_kwh, by_deficit=shared.by_deficit_kwh
    )
    incentive_eur, social_eur, kept_eur = _with_social(
        case,
        part_eur,
        social=_social_share(case, shared),
        community_eur=community_eur,
    )
    net_kwh = case.meters.withdrawn_kwh - case.meters.injected_kwh
    return Amounts(
        member_shared_kwh=parts.of(shared_kwh, members),
        member_incentive_eur=incentive_eur,
        member_valorisation_eur=parts.of(returned_eur, members),
        member_co2_kg=co2_kg(net_kwh, case.co2_kg_kwh),
        plant_shared_kwh=premium.plant_kwh,
        plant_incentive_eur=premium.plant_eur,
        community_shared_kwh=shared.paid_kwh.sum(axis=0),
        community_own_kwh=shared.own_kwh.sum(axis=0),
        community_incentive_eur=community_eur,
        community_valorisation_eur=returned_eur.total.sum(axis=0),
        community_social_eur=social_eur,
        community_social_kept_eur=kept_eur,
        by_energy=bool((parts.own.by_energy & (shared.paid_kwh > 0)).any()),
    )


def _premium(case: Case, shared: Shared) -> _Premium:
    """Pay the plants, and hand what they earn across configurations to both sides of the pool, half and half."""
    communities, plant_community = case.communities, case.communities.plant_community
    n = communities.n_communities
    tariff_eur_kwh = price_eur_kwh(
        tariff_eur_mwh(
            case.rules,
            case.zone_price_eur_mwh,
            plant_kw=communities.plant_kw,
            plant_kind=[communities.kind[c] for c in plant_community],
            plant_grant_share=communities.plant_grant_share,
            plant_name=case.plant_name,
        )
    )
    own_kwh = _attributed(case, shared.own_kwh)
    plant_kwh = _attributed(case, shared.from_plants_kwh) if case.pooled else own_kwh
    own_eur = sum_columns(own_kwh * tariff_eur_kwh, plant_community, n)
    across_eur = sum_columns((plant_kwh - own_kwh) * tariff_eur_kwh, plant_community, n)
    pool_eur = sum_columns(across_eur, case.group, case.n_groups)[:, case.group]
    return _Premium(
        community_eur=_Sides(
            own=own_eur, by_surplus=0.5 * across_eur, by_deficit=0.5 * pool_eur * shared.drawn_share
        ),
        plant_kwh=plant_kwh.sum(axis=0),
        plant_eur=(plant_kwh * tariff_eur_kwh).sum(axis=0),
    )


def _attributed(case: Case, shared_kwh: FloatArray) -> FloatArray:
    """Return each plant's part of the shared energy, shape (N, U)."""
    communities = case.communities
    plants = PlantHours(
        injected_kwh=case.meters.plant_injected_kwh,
        community=communities.plant_community,
        entered_day=communities.plant_entered_day,
        n_communities=communities.n_communities,
    )
    rule = case.splits.attribution
    attributed = ATTRIBUTION[rule](shared_kwh, plants)
    total = sum_columns(attributed, plants.community, plants.n_communities)
    if not np.allclose(total, shared_kwh, rtol=1e-9, atol=1e-9):
        raise ValueError(f"attribution {rule!r} does not add up to the shared energy of every hour")
    return attributed


def _returned_eur(case: Case, shared: Shared) -> _Sides:
    """Return the network charges returned to each configuration."""
    rate_eur_mwh = valorisation_eur_mwh(
        case.valorisation, case.zone_price_eur_mwh, name=case.communities.name, kind=case.communities.kind
    )
    trase_eur_kwh = price_eur_kwh(case.valorisation.trase_eur_mwh)
    return _Sides(
        own=shared.own_kwh * price_eur_kwh(rate_eur_mwh),
        by_surplus=shared.by_surplus_kwh * trase_eur_kwh,
        by_deficit=shared.by_deficit_kwh * trase_eur_kwh,
    )


def _member_parts(case: Case) -> _Parts:
    communities, meters = case.communities, case.meters
    members = MemberHours(
        injected_kwh=plant_side_kwh(meters.injected_kwh, communities),
        withdrawn_kwh=meters.withdrawn_kwh,
        active=case.active,
        invest_eur=communities.member_invest_eur,
        community=communities.member_community,
        n_communities=communities.n_communities,
    )
    own = member_shares(members, case.splits)
    if not case.pooled:
        return _Parts(own=own, by_surplus=own, by_deficit=own)
    return _Parts(
        own=own,
        by_surplus=member_shares(members, replace(case.splits, producer_share=1.0)),
        by_deficit=member_shares(members, replace(case.splits, producer_share=0.0)),
    )


def _social_share(case: Case, shared: Shared) -> FloatArray:
    """Return which share of its premium a configuration owes to members that are not businesses, shape (C,).

    What it shares alone decides, so that a pool which shares nothing more moves no money between members.
    """
    return social_share(
        case.rules,
        shared.own_kwh.sum(axis=0),
        plant_injected_kwh=case.meters.plant_injected_kwh.sum(axis=0),
        plant_grant_share=case.communities.plant_grant_share,
        plant_group=case.communities.plant_community,
    )


def _with_social(
    case: Case, part_eur: FloatArray, *, social: FloatArray, community_eur: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Take the social part of the premium from all members and give it to those that are not businesses.

    They divide it as they divide the premium; equally where none of them has a part. A configuration of businesses
    alone keeps it for social purposes. Who is no member within the run gets nothing.

    Args:
        case: the settlement.
        part_eur: premium of each member by the split rule, shape (M,).
        social: share that is social, shape (C,).
        community_eur: premium of each configuration, shape (C,).

    Returns:
        Premium of each member (M,), social part of each configuration (C,), and what of it no member gets (C,).
    """
    community, n = case.communities.member_community, case.communities.n_communities
    kinds = case.rules.business_kinds if isinstance(case.rules, CacerRules) else frozenset()
    no_business = np.array([kind not in kinds for kind in case.communities.member_kind], dtype=np.bool_)
    entitled = (no_business & case.active.any(axis=0)).astype(np.float64)
    some_eur = total_by(community, part_eur * entitled, n)[community] > 0
    weight = np.where(some_eur, part_eur, 1.0) * entitled
    social_eur = social * community_eur
    given_eur = social_eur[community] * shares(weight[None, :], community, n)[0]
    kept_eur = np.where(total_by(community, entitled, n) > 0, 0.0, social_eur)
    return part_eur * (1.0 - social[community]) + given_eur, social_eur, kept_eur
