"""How communities are paid: incentive rule sets, network charges returned, and who gets which part."""

from typing import Annotated, Literal

from pydantic import Field

from twin.scenario.base import Spec
from twin.scenario.quantities import Quantity

__all__ = ["CacerSpec", "FlatSpec", "MarketZone", "SettlementSpec", "ValorisationSpec"]

MarketZone = Literal["NORD", "CNOR", "CSUD", "SUD", "CALA", "SICI", "SARD"]
_Tariff = Annotated[float, Quantity("EUR/MWh", ge=0)]
_Share = Annotated[float, Quantity("1", ge=0, le=1)]


class ValorisationSpec(Spec):
    """Network charges that are returned for shared energy; the defaults are of 2024."""

    trase_eur_mwh: _Tariff = Field(default=10.57, description="Transmission tariff TRASE [EUR/MWh].")
    btau_eur_mwh: _Tariff = Field(default=0.65, description="Distribution tariff BTAU [EUR/MWh]; GACC only.")
    loss_lv_share: _Share = Field(
        default=0.026, description="Avoided losses at low voltage, times the zonal price (K) [1]; GACC only."
    )
    loss_mv_share: _Share = Field(
        default=0.012, description="Avoided losses at medium voltage, times the zonal price (K) [1]."
    )


def _of_2020() -> ValorisationSpec:
    return ValorisationSpec(trase_eur_mwh=7.61, btau_eur_mwh=0.61)


class FlatSpec(Spec):
    """The premium of the transitional rules of 2020: one tariff for each kind."""

    cer_eur_mwh: _Tariff = Field(default=110.0, description="Premium of a CER [EUR/MWh].")
    gacc_eur_mwh: _Tariff = Field(default=100.0, description="Premium of a GACC [EUR/MWh].")
    valorisation: ValorisationSpec = Field(
        default_factory=_of_2020,
        description="Network charges returned; default TRASE 7.61, BTAU 0.61 EUR/MWh.",
    )


class CacerSpec(Spec):
    """The premium of the CACER decree of 2023, which falls as the zonal price rises."""

    regional_eur_mwh: _Tariff | None = Field(
        default=None,
        description="Correction for PV on top of the capped tariff [EUR/MWh]; default by market zone.",
    )
    grant_cut_share: _Share = Field(
        default=0.5,
        description="Cut of the tariff at a capital grant of 40 %, in proportion below (K, not verified) [1].",
    )
    valorisation: ValorisationSpec = Field(
        default_factory=ValorisationSpec, description="Network charges returned."
    )


class SettlementSpec(Spec):
    """How shared energy is paid and divided. Both rule sets are always computed."""

    pays: Literal["cacer_2023", "flat_2020"] = Field(
        default="cacer_2023", description="Rule set of the headline figures."
    )
    flat_2020: FlatSpec = Field(default_factory=FlatSpec, description="Transitional rules of 2020.")
    cacer_2023: CacerSpec = Field(default_factory=CacerSpec, description="CACER decree of 2023.")
    attribution: Literal["proportional", "oldest_first"] = Field(
        default="proportional", description="How the shared energy of an hour is attributed to plants."
    )
    member_split: Literal["proportional", "equal", "by_consumption", "by_investment"] = Field(
        default="proportional", description="How members divide what the community gets."
    )
    producer_share: _Share = Field(
        default=0.5, description="proportional: part of those who inject; the rest is for those who draw [1]."
    )
