"""Premium tariffs (tariffa premio) for shared energy: the flat one of 2020 and the CACER decree of 2023."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, assert_never

import numpy as np

from twin.errors import InputError
from twin.plant import FloatArray, IntArray, total_by

__all__ = [
    "BUSINESS_KINDS",
    "REGIONAL_EUR_MWH",
    "SIZE_CLASSES",
    "CacerRules",
    "FlatRules",
    "Rules",
    "SizeClass",
    "social_share",
    "tariff_eur_mwh",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeClass:
    """Premium of the plants up to a rated power."""

    limit_kw: float
    """Largest rated power of the class, included."""
    base_eur_mwh: float
    cap_eur_mwh: float


SIZE_CLASSES = (
    SizeClass(limit_kw=200.0, base_eur_mwh=80.0, cap_eur_mwh=120.0),
    SizeClass(limit_kw=600.0, base_eur_mwh=70.0, cap_eur_mwh=110.0),
    SizeClass(limit_kw=1000.0, base_eur_mwh=60.0, cap_eur_mwh=100.0),
)
"""Classes of the decree as quoted by Regione Emilia-Romagna, "tariffa premio"."""

REGIONAL_EUR_MWH: Mapping[str, float] = MappingProxyType(
    {"NORD": 10.0, "CNOR": 4.0, "CSUD": 4.0, "SUD": 0.0, "CALA": 0.0, "SICI": 0.0, "SARD": 0.0}
)
"""Correction for PV by market zone [EUR/MWh]: north +10, centre +4; south 0 (K: not verified).

The decree counts by region, not by zone: CSUD stands for Lazio and Abruzzo; give 0 for Campania.
"""

BUSINESS_KINDS = frozenset({"sme", "company", "farm", "cooperative"})
"""Kinds of members that count as businesses (imprese) where the premium beyond the social threshold is divided."""


@dataclass(frozen=True, kw_only=True)
class FlatRules:
    """The transitional premium of 2020: one value for each kind of configuration, at every price and size."""

    name: ClassVar[str] = "flat_2020"
    cer_eur_mwh: float = 110.0
    gacc_eur_mwh: float = 100.0


@dataclass(frozen=True, kw_only=True)
class CacerRules:
    """Decree MASE 414 of 7-12-2023: a premium that falls as the zonal price rises."""

    name: ClassVar[str] = "cacer_2023"
    size_classes: tuple[SizeClass, ...] = SIZE_CLASSES
    """In rising order of ``limit_kw``."""
    price_ceiling_eur_mwh: float = 180.0
    """Zonal price from which on only the base is paid."""
    regional_eur_mwh: float = 0.0
    """Correction for PV, added on top of the capped value; see :data:`REGIONAL_EUR_MWH`."""
    grant_cut_share: float = 0.5
    """F at the largest capital grant, in proportion below it (K: not verified); the tariff is multiplied by 1 - F."""
    grant_max_share: float = 0.40
    """Largest capital grant, as a share of the investment."""
    social_threshold: float = 0.55
    """Shared over injected energy beyond which the premium is only for members that are not businesses."""
    social_threshold_grant: float = 0.45
    """The same for plants with a capital grant."""
    business_kinds: frozenset[str] = BUSINESS_KINDS


Rules = FlatRules | CacerRules


def tariff_eur_mwh(
    rules: Rules,
    zone_price_eur_mwh: FloatArray,
    *,
    plant_kw: FloatArray,
    plant_kind: Sequence[str],
    plant_grant_share: FloatArray,
    plant_name: Sequence[str],
) -> FloatArray:
    """Return the premium of U plants in N hours, shape (N, U) [EUR/MWh].

    Args:
        rules: the rule set. CACER: (min(cap, base + max(0, ceiling - price)) + regional correction) x (1 - F), as in
            the decree quoted by Regione Emilia-Romagna; F = ``grant_cut_share`` x grant / ``grant_max_share``.
        zone_price_eur_mwh: hourly zonal price, shape (N,).
        plant_kw: rated power, shape (U,).
        plant_kind: kind of each plant's configuration, CER or GACC, shape (U,).
        plant_grant_share: share of the investment paid by a capital grant, shape (U,).
        plant_name: for messages, shape (U,).

    Raises:
        InputError: CACER: a plant is above the largest size class, or its grant is outside 0 to the largest.
    """
    n_hours = len(zone_price_eur_mwh)
    match rules:
        case FlatRules():
            is_cer = np.array([kind == "CER" for kind in plant_kind], dtype=np.bool_)
            return np.tile(np.where(is_cer, rules.cer_eur_mwh, rules.gacc_eur_mwh), (n_hours, 1))
        case CacerRules():
            size = _size_class(rules, plant_kw, plant_name)
            kept = 1.0 - _grant_cut(rules, plant_grant_share, plant_name)
            base = np.array([entry.base_eur_mwh for entry in rules.size_classes])
            cap = np.array([entry.cap_eur_mwh for entry in rules.size_classes])
            room = np.maximum(0.0, rules.price_ceiling_eur_mwh - zone_price_eur_mwh)
            by_class = np.minimum(cap, base + room[:, None]) + rules.regional_eur_mwh
            tariff: FloatArray = by_class[:, size] * kept
            return tariff
        case _:
            assert_never(rules)


def social_share(
    rules: Rules,
    shared_kwh: FloatArray,
    *,
    plant_injected_kwh: FloatArray,
    plant_grant_share: FloatArray,
    plant_group: IntArray,
) -> FloatArray:
    """Return which share of the premium is only for members that are not businesses, shape (G,), 0 to 1.

    The threshold of a group is that of its plants, weighted by what they inject. The decree counts calendar years;
    here the period is the one of the arguments. That the threshold refers to injected energy is not verified (K).

    Args:
        rules: the rule set; 0 under the flat rules, which know no threshold.
        shared_kwh: energy that each group shares in the period, shape (G,).
        plant_injected_kwh: of each plant in the period, shape (U,).
        plant_grant_share: share of the investment paid by a capital grant, shape (U,).
        plant_group: group of each plant, e.g. its configuration, shape (U,).
    """
    match rules:
        case FlatRules():
            return np.zeros(len(shared_kwh))
        case CacerRules():
            limit = np.where(plant_grant_share > 0, rules.social_threshold_grant, rules.social_threshold)
            free_kwh = total_by(plant_group, limit * plant_injected_kwh, len(shared_kwh))
            beyond = np.maximum(0.0, shared_kwh - free_kwh)
            return np.divide(beyond, shared_kwh, out=np.zeros(len(shared_kwh)), where=shared_kwh > 0)
        case _:
            assert_never(rules)


def _size_class(rules: CacerRules, plant_kw: FloatArray, plant_name: Sequence[str]) -> IntArray:
    limits = np.array([entry.limit_kw for entry in rules.size_classes])
    size = np.searchsorted(limits, plant_kw, side="left")
    for plant in np.flatnonzero(size == len(limits)).tolist():
        raise InputError(
            f"plant {plant_name[plant]}: {plant_kw[plant]:g} kW is above the {limits[-1]:g} kW up to which the CACER "
            "decree pays a premium; take it out of the community or correct its rated power"
        )
    return size.astype(np.int64, copy=False)


def _grant_cut(rules: CacerRules, grant_share: FloatArray, plant_name: Sequence[str]) -> FloatArray:
    for plant in np.flatnonzero(~((grant_share >= 0) & (grant_share <= rules.grant_max_share))).tolist():
        raise InputError(
            f"plant {plant_name[plant]}: a capital grant of {grant_share[plant]:.0%} of the investment must lie between "
            f"0 and {rules.grant_max_share:.0%}; correct the grant"
        )
    return rules.grant_cut_share * grant_share / rules.grant_max_share
