"""From the arrays of a settlement to its lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twin.community.grouping import shares, sum_columns
from twin.community.meters import HourlyMeters
from twin.community.results import AreaShared, CommunityLine, MemberLine, PlantLine
from twin.community.sharing import CommunityHours, shared_kwh
from twin.members import Communities
from twin.plant import FloatArray, IntArray, total_by

__all__ = ["Amounts", "MemberMoney", "area_lines", "community_lines", "member_lines", "plant_lines"]


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberMoney:
    """What does not depend on the rule set, for M members over the whole run, shape (M,) each."""

    bill_eur: FloatArray
    """Paid for withdrawn energy."""
    sale_eur: FloatArray
    """Earned with injected energy."""
    peak_kw: FloatArray
    over_contract_h: FloatArray
    stored_eur: FloatArray | None = None
    """Worth of what its batteries hold more at the end than at the start; None without batteries."""

    @property
    def worth_eur(self) -> FloatArray:
        """``stored_eur``, or 0 for each member."""
        return np.zeros(len(self.bill_eur)) if self.stored_eur is None else self.stored_eur


@dataclass(frozen=True, kw_only=True, eq=False)
class Amounts:
    """Sums over the run: C configurations, M members, U plants."""

    member_shared_kwh: FloatArray
    """Shape (M,)."""
    member_incentive_eur: FloatArray
    member_valorisation_eur: FloatArray
    member_co2_kg: FloatArray
    plant_shared_kwh: FloatArray
    """Shape (U,)."""
    plant_incentive_eur: FloatArray
    community_shared_kwh: FloatArray
    """Shape (C,)."""
    community_own_kwh: FloatArray
    community_incentive_eur: FloatArray
    community_valorisation_eur: FloatArray
    community_social_eur: FloatArray
    community_social_kept_eur: FloatArray
    by_energy: bool
    """Whether the member split fell back to energies in an hour with shared energy."""


def member_lines(
    communities: Communities,
    meters: HourlyMeters,
    *,
    amounts: Amounts,
    money: MemberMoney,
    home_name: Sequence[str],
) -> tuple[MemberLine, ...]:
    """Return one line per member, in the order of ``communities``."""
    withdrawn, injected = meters.withdrawn_kwh.sum(axis=0), meters.injected_kwh.sum(axis=0)
    earned_eur = money.sale_eur + amounts.member_incentive_eur + amounts.member_valorisation_eur
    net_eur = money.bill_eur - earned_eur - money.worth_eur
    return tuple(
        MemberLine(
            home=home_name[communities.member_home[m]],
            community=communities.name[communities.member_community[m]],
            kind=communities.member_kind[m],
            role=communities.member_role[m],
            contract_kw=float(communities.member_contract_kw[m]),
            withdrawn_kwh=float(withdrawn[m]),
            injected_kwh=float(injected[m]),
            shared_kwh=float(amounts.member_shared_kwh[m]),
            bill_eur=float(money.bill_eur[m]),
            sale_eur=float(money.sale_eur[m]),
            incentive_eur=float(amounts.member_incentive_eur[m]),
            valorisation_eur=float(amounts.member_valorisation_eur[m]),
            stored_eur=float(money.worth_eur[m]),
            net_eur=float(net_eur[m]),
            co2_kg=float(amounts.member_co2_kg[m]),
            peak_kw=float(money.peak_kw[m]),
            over_contract_h=float(money.over_contract_h[m]),
        )
        for m in range(communities.n_members)
    )


def plant_lines(
    communities: Communities,
    meters: HourlyMeters,
    *,
    amounts: Amounts,
    money: MemberMoney,
    home_name: Sequence[str],
    pv_name: Sequence[str],
) -> tuple[PlantLine, ...]:
    """Return one line per plant, in the order of ``communities``.

    The sale of a member is divided over its plants by injected energy, by rated power where nothing was injected.
    """
    member, n_members = communities.plant_member, communities.n_members
    injected = meters.plant_injected_kwh.sum(axis=0)
    by_energy = shares(injected[None, :], member, n_members)[0]
    by_rating = shares(communities.plant_kw[None, :], member, n_members)[0]
    some_kwh = total_by(member, injected, n_members)[member]
    sale_eur = money.sale_eur[member] * np.where(some_kwh > 0, by_energy, by_rating)
    return tuple(
        PlantLine(
            name=pv_name[communities.plant_pv[u]],
            home=home_name[communities.member_home[member[u]]],
            community=communities.name[communities.plant_community[u]],
            rated_kw=float(communities.plant_kw[u]),
            injected_kwh=float(injected[u]),
            shared_kwh=float(amounts.plant_shared_kwh[u]),
            incentive_eur=float(amounts.plant_incentive_eur[u]),
            sale_eur=float(sale_eur[u]),
        )
        for u in range(len(member))
    )


def community_lines(
    communities: Communities, members: Sequence[MemberLine], amounts: Amounts
) -> tuple[CommunityLine, ...]:
    """Return one line per configuration; ``members`` are all member lines."""

    def total(name: str) -> FloatArray:
        values = np.array([getattr(line, name) for line in members], dtype=np.float64)
        return total_by(communities.member_community, values, communities.n_communities)

    count = np.bincount(communities.member_community, minlength=communities.n_communities)
    withdrawn, injected = total("withdrawn_kwh"), total("injected_kwh")
    bill, sale, co2 = total("bill_eur"), total("sale_eur"), total("co2_kg")
    stored = total("stored_eur")
    net = bill - sale - amounts.community_incentive_eur - amounts.community_valorisation_eur - stored
    return tuple(
        CommunityLine(
            name=name,
            kind=communities.kind[c],
            perimeter=communities.perimeter[c],
            area=communities.area[c],
            cp=communities.cp_name[communities.cp[c]],
            n_members=int(count[c]),
            withdrawn_kwh=float(withdrawn[c]),
            injected_kwh=float(injected[c]),
            shared_kwh=float(amounts.community_shared_kwh[c]),
            own_shared_kwh=float(amounts.community_own_kwh[c]),
            incentive_eur=float(amounts.community_incentive_eur[c]),
            valorisation_eur=float(amounts.community_valorisation_eur[c]),
            stored_eur=float(stored[c]),
            bill_eur=float(bill[c]),
            sale_eur=float(sale[c]),
            net_eur=float(net[c]),
            co2_kg=float(co2[c]),
            social_eur=float(amounts.community_social_eur[c]),
            social_kept_eur=float(amounts.community_social_kept_eur[c]),
        )
        for c, name in enumerate(communities.name)
    )


def area_lines(communities: Communities, hours: CommunityHours) -> tuple[AreaShared, ...]:
    """Return one line for each primary substation and one for the market zone; none without configurations."""
    n = communities.n_communities
    if not n:
        return ()
    zone = _areas("zone", (communities.zone,), np.zeros(n, dtype=np.int64), hours=hours)
    return (*_areas("cp", communities.cp_name, communities.cp, hours=hours), *zone)


def _areas(
    level: str, names: Sequence[str], group: IntArray, *, hours: CommunityHours
) -> tuple[AreaShared, ...]:
    injected = sum_columns(hours.injected_kwh, group, len(names))
    withdrawn = sum_columns(hours.withdrawn_kwh, group, len(names))
    shared = shared_kwh(hours.injected_kwh, hours.withdrawn_kwh, group, len(names))
    return tuple(
        AreaShared(
            level=level,
            name=name,
            injected_kwh=float(injected[:, area].sum()),
            withdrawn_kwh=float(withdrawn[:, area].sum()),
            shared_kwh=float(shared[:, area].sum()),
        )
        for area, name in enumerate(names)
    )
