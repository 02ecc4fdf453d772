"""Who a shared kWh belongs to: which plant made it, and which member gets what part of the money.

Rules are functions in two dictionaries, :data:`ATTRIBUTION` and :data:`MEMBER_SPLIT`; a further rule is a further
entry. Sums hold to 1e-12 of the total, and :func:`twin.community.settle` refuses a rule that loses energy.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.community.grouping import shares, sum_columns
from twin.errors import InputError
from twin.members import Communities
from twin.plant import FloatArray, IntArray, total_by

__all__ = [
    "ATTRIBUTION",
    "MEMBER_SPLIT",
    "AttributionRule",
    "MemberHours",
    "MemberRule",
    "MemberShares",
    "PlantHours",
    "SplitRules",
    "check_splits",
    "member_shares",
]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SplitRules:
    """Which rules are used."""

    attribution: str = "proportional"
    """Name in :data:`ATTRIBUTION`."""
    member_split: str = "proportional"
    """Name in :data:`MEMBER_SPLIT`."""
    producer_share: float = 0.5
    """``proportional``: part of those who inject, 0 to 1; the rest is for those who withdraw. In a pool it holds for the
    energy that a configuration shares alone; the credit for a surplus is for those who inject, that for a deficit for
    those who withdraw."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantHours:
    """What an attribution rule sees: U plants of C configurations in N hours."""

    injected_kwh: FloatArray
    """Shape (N, U)."""
    community: IntArray
    """Shape (U,)."""
    entered_day: IntArray
    """Day of entry into service, shape (U,)."""
    n_communities: int


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberHours:
    """What a rule of the member split sees: M members of C configurations in N hours."""

    injected_kwh: FloatArray
    """By members with a plant, shape (N, M)."""
    withdrawn_kwh: FloatArray
    """Shape (N, M)."""
    active: BoolArray
    """Who is a member in some part of the hour, shape (N, M)."""
    invest_eur: FloatArray
    """Shape (M,)."""
    community: IntArray
    """Shape (M,)."""
    n_communities: int


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberShares:
    """How the members of each configuration divide an hour."""

    share: FloatArray
    """Shape (N, M); over a configuration 1, or 0 in an hour in which nobody injects or withdraws."""
    by_energy: BoolArray
    """Hours without weights under the rule, divided by ``proportional`` instead, shape (N, C)."""


AttributionRule = Callable[[FloatArray, PlantHours], FloatArray]
"""From the energy of the plants' side, shape (N, C) [kWh], to each plant's part of it, shape (N, U)."""
MemberRule = Callable[[MemberHours, SplitRules], FloatArray]
"""Returns weights of the members, shape (N, M), at least 0; only their ratio within a configuration counts."""


def _by_injection(shared_kwh: FloatArray, plants: PlantHours) -> FloatArray:
    return shared_kwh[:, plants.community] * shares(
        plants.injected_kwh, plants.community, plants.n_communities
    )


def _oldest_first(shared_kwh: FloatArray, plants: PlantHours) -> FloatArray:
    """Fill plants in the order of entry into service; of one day, in the order of the scenario."""
    attributed = np.zeros_like(plants.injected_kwh)
    left = shared_kwh.copy()
    order = np.lexsort((plants.entered_day, plants.community))
    community = plants.community[order]
    rank = np.arange(len(order)) - np.searchsorted(community, community)
    for place in range(rank.max(initial=-1) + 1):
        plant = order[rank == place]
        of = plants.community[plant]
        attributed[:, plant] = np.minimum(left[:, of], plants.injected_kwh[:, plant])
        left[:, of] -= attributed[:, plant]
    return attributed


ATTRIBUTION: dict[str, AttributionRule] = {"proportional": _by_injection, "oldest_first": _oldest_first}
"""Rules by name: in proportion to the injection of the hour; oldest plant first (order of the GSE, K: not verified)."""


def _proportional(members: MemberHours, splits: SplitRules) -> FloatArray:
    """Divide one part by injection, the other by withdrawal; a side without energy leaves its part to the other."""
    group, n = members.community, members.n_communities
    injects = (sum_columns(members.injected_kwh, group, n) > 0)[:, group]
    withdraws = (sum_columns(members.withdrawn_kwh, group, n) > 0)[:, group]
    producers = np.where(withdraws, splits.producer_share, 1.0)
    consumers = np.where(injects, 1.0 - splits.producer_share, 1.0)
    by_injection = producers * shares(members.injected_kwh, group, n)
    by_withdrawal = consumers * shares(members.withdrawn_kwh, group, n)
    return by_injection + by_withdrawal


def _equal(members: MemberHours, _: SplitRules) -> FloatArray:
    return members.active.astype(np.float64)


def _by_consumption(members: MemberHours, _: SplitRules) -> FloatArray:
    return members.withdrawn_kwh


def _by_investment(members: MemberHours, _: SplitRules) -> FloatArray:
    return np.where(members.active, members.invest_eur, 0.0)


MEMBER_SPLIT: dict[str, MemberRule] = {
    "proportional": _proportional,
    "equal": _equal,
    "by_consumption": _by_consumption,
    "by_investment": _by_investment,
}
"""Rules by name; each divides every hour by itself.

proportional: ``producer_share`` by injection, the rest by withdrawal. equal: the same for every member of the hour.
by_consumption: by withdrawal. by_investment: by what each member of the hour paid towards the plants.
"""


def check_splits(communities: Communities, splits: SplitRules) -> None:
    """Refuse rules that cannot work, before a run.

    Raises:
        InputError: no rule of that name, a producer share outside 0 to 1, or a split by investment where the members
            of a configuration have paid nothing.
    """
    for kind, name, known in (
        ("attribution", splits.attribution, ATTRIBUTION),
        ("member_split", splits.member_split, MEMBER_SPLIT),
    ):
        if name not in known:
            raise InputError(f"{kind} {name!r} is not known; there are {', '.join(sorted(known))}")
    if not 0 <= splits.producer_share <= 1:
        raise InputError(f"producer_share {splits.producer_share} must lie between 0 and 1")
    if splits.member_split == "by_investment":
        paid = total_by(
            communities.member_community, communities.member_invest_eur, communities.n_communities
        )
        for name, amount in zip(communities.name, paid, strict=True):
            if not amount > 0:
                raise InputError(
                    f"community {name}: member_split by_investment needs members who paid for the plants, but they "
                    f"paid {amount:g} EUR; give their investment or choose another split"
                )


def member_shares(members: MemberHours, splits: SplitRules) -> MemberShares:
    """Return the part of each member in each hour.

    An hour without weights under the rule (nobody withdraws, no investor is a member) is divided by
    ``proportional``: nothing is lost, and ``by_energy`` says where.

    Raises:
        ValueError: a rule gave weights that are negative, not finite or of another shape.
    """
    weights = MEMBER_SPLIT[splits.member_split](members, splits)
    if weights.shape != members.withdrawn_kwh.shape or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"member_split {splits.member_split!r} must give finite weights of at least 0 for each hour"
        )
    group, n = members.community, members.n_communities
    by_energy = sum_columns(weights, group, n) <= 0
    if by_energy.any():
        weights = np.where(by_energy[:, group], _proportional(members, splits), weights)
    return MemberShares(share=shares(weights, group, n), by_energy=by_energy)
