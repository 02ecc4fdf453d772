"""The KPIs of energy communities and of CO2, a part of the catalogue."""

from functools import partial
from typing import Final

from twin.kpis.base import PROJECT_SOURCE, Kpi

__all__ = ["CO2", "COMMUNITY"]

_SHARED = "GSE, servizio per l'autoconsumo diffuso: hourly minimum of what members inject and withdraw"
_RULES = (
    "rule set of the scenario (settlement.pays); parameters that are not verified are listed in the report"
)
_FACTOR = "emission factor of the scenario"

_in_community = partial(Kpi, question="community")
_in_co2 = partial(Kpi, question="co2")

COMMUNITY: Final = (
    _in_community(
        name="shared_kwh",
        label="Shared energy, as paid",
        unit="kWh",
        better="higher",
        definition=(
            "Shared energy that the communities are paid for, all hours: each community alone, or those under one primary "
            "substation as one where the strategy coordinates them."
        ),
        source=_SHARED,
    ),
    _in_community(
        name="shared_own_kwh",
        label="Shared energy, each community alone",
        unit="kWh",
        better="higher",
        definition="Sum over communities of min(injected, withdrawn) of every hour.",
        source=_SHARED,
    ),
    _in_community(
        name="shared_cp_kwh",
        label="Shared energy, communities of a CP as one",
        unit="kWh",
        better="higher",
        definition="The same with all communities under one primary substation (cabina primaria, CP) as one.",
        source=_SHARED,
    ),
    _in_community(
        name="shared_zone_kwh",
        label="Shared energy, market zone as one",
        unit="kWh",
        better="higher",
        definition="The same with all communities of the market zone as one.",
        source=_SHARED,
    ),
    _in_community(
        name="shared_injected_percent",
        label="Shared part of the energy injected",
        unit="%",
        better="higher",
        definition="Shared energy as paid over the energy that members inject.",
        source=_SHARED,
    ),
    _in_community(
        name="shared_withdrawn_percent",
        label="Shared part of the energy withdrawn",
        unit="%",
        better="higher",
        definition="Shared energy as paid over the energy that members withdraw.",
        source=_SHARED,
    ),
    _in_community(
        name="incentive_eur",
        label="Premium for shared energy",
        unit="EUR",
        better="higher",
        definition="Premium tariff (tariffa premio) of all communities for the shared energy as paid.",
        source=_RULES,
    ),
    _in_community(
        name="valorisation_eur",
        label="Network charges returned",
        unit="EUR",
        better="higher",
        definition="Corrispettivo di valorizzazione of all communities for the shared energy as paid.",
        source=_RULES,
    ),
    _in_community(
        name="members_bill_eur",
        label="Bills of the members",
        unit="EUR",
        better="lower",
        definition="What members pay for the energy they withdraw, with fixed charges where the scenario has a bill.",
        source=_RULES,
    ),
    _in_community(
        name="members_sale_eur",
        label="Sales of the members",
        unit="EUR",
        better="higher",
        definition="What members earn with the energy they inject, at the export price.",
        source=_RULES,
    ),
    _in_community(
        name="social_kept_eur",
        label="Premium kept for social purposes",
        unit="EUR",
        better="neutral",
        definition=(
            "Part of the premium beyond the social threshold that no member gets, as all members of the community are businesses."
        ),
        source=_RULES,
    ),
    _in_community(
        name="members_stored_eur",
        label="Energy left in the members' batteries",
        unit="EUR",
        better="neutral",
        definition=(
            "Worth of what the batteries hold more at the end than at the start: what of it reaches the terminals, at the "
            "middle of mean import and mean export price."
        ),
        source=PROJECT_SOURCE,
    ),
    _in_community(
        name="members_net_eur",
        label="Net cost of the members",
        unit="EUR",
        better="lower",
        definition=(
            "Bills less sales, premium, network charges returned and the worth of the energy left in batteries; premium that "
            "a community keeps for social purposes is not the members'."
        ),
        source=_RULES,
    ),
)

CO2: Final = (
    _in_co2(
        name="co2_net_kg",
        label="CO2 of the net import",
        unit="kg",
        better="lower",
        definition="Sum over steps of emission factor x energy from the upstream grid; export counts negative.",
        source=_FACTOR,
    ),
    _in_co2(
        name="co2_avoided_kg",
        label="CO2 avoided",
        unit="kg",
        better="higher",
        definition=(
            "CO2 if all consumption came from the upstream grid without losses, less the CO2 of the net import."
        ),
        source=_FACTOR,
    ),
    _in_co2(
        name="market_value_eur",
        label="Net import at the zonal price",
        unit="EUR",
        better="neutral",
        definition=(
            "Sum over steps of zonal price x energy from the upstream grid: what the producers of the market earn with "
            "this feeder. Less than before is their loss."
        ),
        source=PROJECT_SOURCE,
    ),
)
