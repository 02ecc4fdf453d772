"""The settlement of one strategy under one rule set: from hourly readings to lines of money.

Sums hold to 1e-12 of the total: members and what is kept for social purposes add up to their configuration,
configurations and plants to the same premium.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from twin.clock import local_iso
from twin.community.amounts import Case, amounts_of
from twin.community.grouping import sum_columns
from twin.community.incentives import Rules
from twin.community.lines import MemberMoney, area_lines, community_lines, member_lines, plant_lines
from twin.community.marks import marks_of
from twin.community.meters import HourlyMeters
from twin.community.results import Settlement
from twin.community.sharing import community_hours
from twin.community.splitting import SplitRules, check_splits
from twin.community.valorisation import Valorisation
from twin.errors import InputError, ProfileError
from twin.members import Communities
from twin.plant import FloatArray

__all__ = ["MemberMoney", "Pooled", "settle"]

Pooled = Literal["community", "cp"]
"""Each configuration alone, or those under one primary substation as one."""


def settle(  # noqa: PLR0913 - every input of a settlement is named once, by keyword
    communities: Communities,
    meters: HourlyMeters,
    *,
    rules: Rules,
    valorisation: Valorisation,
    splits: SplitRules,
    money: MemberMoney,
    zone_price_eur_mwh: FloatArray,
    co2_kg_kwh: FloatArray,
    home_name: Sequence[str],
    pv_name: Sequence[str],
    pooled: Pooled,
) -> Settlement:
    """Settle a run.

    Args:
        communities: C configurations with M members and U plants; without any the settlement is empty.
        meters: readings of N hours.
        rules: the premium.
        valorisation: the network charges returned. What configurations of a pool share among each other earns TRASE
            alone: it does not stay in a building.
        splits: plant attribution and member split.
        money: bill, sale and peak of each member, the same for every rule set.
        zone_price_eur_mwh: hourly zonal price, shape (N,).
        co2_kg_kwh: hourly emission factor, shape (N,).
        home_name: of all homes of the plant, shape (H,).
        pv_name: of all PV generators of the plant, shape (P,).
        pooled: ``community`` or ``cp``, see :func:`twin.community.sharing.shared_pooled`. What a pool shares between
            configurations is paid at the premium of the plants that have the surplus.

    Raises:
        InputError: a price or factor is not a number, a plant is too large for the rules, or a rule cannot work.
        ValueError: shapes that do not fit, readings that contradict each other, or a split that loses energy.
    """
    check_splits(communities, splits)
    _check_series("zonal price", zone_price_eur_mwh, meters)
    _check_series("emission factor", co2_kg_kwh, meters)
    _check_readings(communities, meters)
    _check_money(communities, money)
    if pooled not in {"community", "cp"}:
        raise InputError(f"pooled {pooled!r} is not known; there are community and cp")
    case = Case(
        communities=communities,
        meters=meters,
        rules=rules,
        valorisation=valorisation,
        splits=splits,
        zone_price_eur_mwh=zone_price_eur_mwh,
        co2_kg_kwh=co2_kg_kwh,
        hours=community_hours(communities, meters),
        plant_name=tuple(pv_name[pv] for pv in communities.plant_pv),
        pooled=pooled == "cp",
    )
    amounts = amounts_of(case)
    members = member_lines(communities, meters, amounts=amounts, money=money, home_name=home_name)
    plants = plant_lines(
        communities, meters, amounts=amounts, money=money, home_name=home_name, pv_name=pv_name
    )
    return Settlement(
        rules=rules.name,
        pooled=pooled,
        communities=community_lines(communities, members, amounts),
        members=members,
        plants=plants,
        areas=area_lines(communities, case.hours),
        marks=marks_of(
            rules.name,
            kinds=communities.kind,
            attribution=splits.attribution,
            pooled=pooled,
            fallbacks=("by_energy",) if amounts.by_energy else (),
        ),
    )


def _check_series(what: str, values: FloatArray, meters: HourlyMeters) -> None:
    n_hours = len(meters.hour_start_utc_s)
    if values.shape != (n_hours,):
        raise ValueError(
            f"the {what} has shape {values.shape}, expected one value for each of {n_hours} hours"
        )
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise ProfileError(
            f"the {what} is {values[wrong[0]]} in the hour from {local_iso(meters.hour_start_utc_s[wrong[0]])}, the "
            f"first of {len(wrong)} such hours; a settlement needs every hour: complete the series"
        )


def _check_readings(communities: Communities, meters: HourlyMeters) -> None:
    n_hours, n_members = len(meters.hour_start_utc_s), communities.n_members
    for name, n_columns in (
        ("injected_kwh", n_members),
        ("withdrawn_kwh", n_members),
        ("plant_injected_kwh", len(communities.plant_member)),
    ):
        values: FloatArray = getattr(meters, name)
        if values.shape != (n_hours, n_columns):
            raise ValueError(f"{name} has shape {values.shape}, expected {(n_hours, n_columns)}")
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError(f"{name} must hold finite energies of at least 0")
    has_plant = np.zeros(n_members, dtype=np.bool_)
    has_plant[communities.plant_member] = True
    by_plants = sum_columns(meters.plant_injected_kwh, communities.plant_member, n_members)
    if not np.allclose(by_plants[:, has_plant], meters.injected_kwh[:, has_plant], rtol=1e-9, atol=1e-9):
        raise ValueError("plant_injected_kwh does not add up to injected_kwh of the members with plants")
    if meters.active is not None:
        if meters.active.shape != (n_hours, n_members):
            raise ValueError(f"active has shape {meters.active.shape}, expected {(n_hours, n_members)}")
        if (meters.injected_kwh + meters.withdrawn_kwh)[~meters.active].any():
            raise ValueError("there are readings of hours in which the connection point is no member")
    spans = (communities.member_first_step, communities.member_end_step)
    if meters.active is None and any(len(np.unique(span)) > 1 for span in spans):
        raise ValueError("members join or leave within the run; give HourlyMeters.active")


def _check_money(communities: Communities, money: MemberMoney) -> None:
    for name in ("bill_eur", "sale_eur", "peak_kw", "over_contract_h"):
        values: FloatArray = getattr(money, name)
        if values.shape != (communities.n_members,) or not np.isfinite(values).all():
            raise ValueError(
                f"{name} must hold one finite number for each of {communities.n_members} members"
            )
