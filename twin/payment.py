"""From the settlement section of a scenario to rule sets, and what a shared kWh is worth to a community."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.community.incentives import (
    REGIONAL_EUR_MWH,
    CacerRules,
    FlatRules,
    Rules,
    tariff_eur_mwh,
)
from twin.community.splitting import SplitRules
from twin.community.valorisation import Valorisation, valorisation_eur_mwh
from twin.control.planning.worth import middle_worth_eur_kwh
from twin.members import Communities
from twin.plant import Plant, total_by
from twin.scenario.schema import Scenario
from twin.scenario.settlement import ValorisationSpec
from twin.units import price_eur_kwh

__all__ = ["Payment", "RuleSet", "check_plants", "payment_of", "shared_value_eur_kwh", "stored_worth_eur_kwh"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_LOW_VOLTAGE_KV = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class RuleSet:
    """Premium and network charges of one set of rules."""

    premium: Rules
    valorisation: Valorisation


@dataclass(frozen=True, kw_only=True, eq=False)
class Payment:
    """How the communities of a scenario are paid."""

    rules: Mapping[str, RuleSet]
    """Both rule sets by name."""
    pays: str
    """The one of the headline figures, and of what strategies count on."""
    splits: SplitRules


def payment_of(scenario: Scenario, communities: Communities, home_vn_kv: FloatArray) -> Payment:
    """Return the rule sets that a scenario describes.

    Args:
        scenario: the scenario.
        communities: its configurations.
        home_vn_kv: nominal voltage at each home, shape (H,) [kV]; decides the losses that a GACC avoids.
    """
    spec = scenario.settlement
    at_mv = _groups_at_medium_voltage(communities, home_vn_kv)
    regional = spec.cacer_2023.regional_eur_mwh
    flat = FlatRules(cer_eur_mwh=spec.flat_2020.cer_eur_mwh, gacc_eur_mwh=spec.flat_2020.gacc_eur_mwh)
    cacer = CacerRules(
        regional_eur_mwh=REGIONAL_EUR_MWH[scenario.market_zone] if regional is None else regional,
        grant_cut_share=spec.cacer_2023.grant_cut_share,
    )
    return Payment(
        rules={
            premium.name: RuleSet(premium=premium, valorisation=_valorisation(charges, at_mv))
            for premium, charges in (
                (flat, spec.flat_2020.valorisation),
                (cacer, spec.cacer_2023.valorisation),
            )
        },
        pays=spec.pays,
        splits=SplitRules(
            attribution=spec.attribution,
            member_split=spec.member_split,
            producer_share=spec.producer_share,
        ),
    )


def _valorisation(charges: ValorisationSpec, medium_voltage: frozenset[str]) -> Valorisation:
    return Valorisation(
        trase_eur_mwh=charges.trase_eur_mwh,
        btau_eur_mwh=charges.btau_eur_mwh,
        loss_share_lv=charges.loss_lv_share,
        loss_share_mv=charges.loss_mv_share,
        medium_voltage=medium_voltage,
    )


def stored_worth_eur_kwh(plant: Plant) -> FloatArray:
    """Return what a kWh left in each battery is worth, shape (B,) [EUR/kWh].

    What of it reaches the terminals, at the middle of mean import and mean export price of the run: less than it saves
    where it is used, more than it earns where it is sold. Planners value the end of their windows in the same way.
    """
    return middle_worth_eur_kwh(
        plant.battery.eta_discharge,
        price_import_eur_kwh=plant.tariff.price_import_eur_kwh,
        price_export_eur_kwh=plant.tariff.price_export_eur_kwh,
    )


def _groups_at_medium_voltage(communities: Communities, home_vn_kv: FloatArray) -> frozenset[str]:
    at_mv = home_vn_kv[communities.member_home] > _LOW_VOLTAGE_KV
    return frozenset(
        communities.name[community]
        for community in np.unique(communities.member_community[at_mv])
        if communities.kind[community] == "GACC"
    )


def check_plants(payment: Payment, plant: Plant, community: int) -> None:
    """Refuse a configuration with a plant that one of the rule sets does not pay for.

    Raises:
        InputError: naming the plant.
    """
    for rules in payment.rules.values():
        _tariff_eur_mwh(rules.premium, plant, np.flatnonzero(plant.communities.plant_community == community))


def _tariff_eur_mwh(premium: Rules, plant: Plant, chosen: IntArray) -> FloatArray:
    """Return the premium of chosen plants in every step, shape (T, chosen)."""
    communities = plant.communities
    return tariff_eur_mwh(
        premium,
        plant.market.zone_eur_mwh,
        plant_kw=communities.plant_kw[chosen],
        plant_kind=[communities.kind[community] for community in communities.plant_community[chosen]],
        plant_grant_share=communities.plant_grant_share[chosen],
        plant_name=[plant.pv_name[pv] for pv in communities.plant_pv[chosen]],
    )


def shared_value_eur_kwh(payment: Payment, plant: Plant) -> FloatArray:
    """Return what a shared kWh earns each community on the mean of the run, shape (C,) [EUR/kWh].

    Premium of its plants, weighted by rated power, and network charges returned, at every zonal price of the run. A
    strategy plans with this one value; the settlement goes hour by hour.

    Raises:
        InputError: a plant does not fit the rules.
    """
    communities, n = plant.communities, plant.communities.n_communities
    paid = payment.rules[payment.pays]
    tariff = _tariff_eur_mwh(paid.premium, plant, np.arange(len(communities.plant_pv))).mean(axis=0)
    power_kw = total_by(communities.plant_community, communities.plant_kw, n)
    weighted = total_by(communities.plant_community, communities.plant_kw * tariff, n)
    premium = np.divide(weighted, power_kw, out=np.zeros(n), where=power_kw > 0.0)
    returned = valorisation_eur_mwh(
        paid.valorisation, plant.market.zone_eur_mwh, name=communities.name, kind=communities.kind
    )
    value: FloatArray = price_eur_kwh(premium + returned.mean(axis=0))
    return value
