"""What the report must say about the rules of a settlement: parameters that are not verified, and assumptions."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

__all__ = ["MARKS", "marks_of"]

MARKS: Mapping[str, str] = MappingProxyType(
    {
        "valorisation": (
            "Valorisation: that a CER gets TRASE only, and a GACC TRASE, BTAU and avoided losses, follows the text of "
            "ARERA 318/2020 and the TIAD as reported by others; not verified."
        ),
        "loss_share": (
            "Avoided losses of a GACC (loss_share_lv 2.6 %, loss_share_mv 1.2 % of the zonal price by default) are not "
            "verified; published values of 2023 agree with them, but may exchange low and medium voltage."
        ),
        "regional_eur_mwh": (
            "Regional correction of the CACER tariff: that it is 0 in the south is not verified; the decree counts by "
            "region, which a market zone does not always show (CSUD: Lazio and Abruzzo +4 EUR/MWh, Campania 0)."
        ),
        "grant_cut_share": (
            "The cut F of the CACER tariff by a capital grant (0.5 at a grant of 40 % by default, in proportion below) "
            "is not verified."
        ),
        "plant_limit": (
            "The limit of 1000 kW for a plant is read from a source that writes 1000 MW; not verified in the decree."
        ),
        "social_threshold": (
            "Social threshold: that 55 % (45 % with a capital grant) refers to the energy injected is not verified; the "
            "decree counts calendar years, this settlement counts the simulated period as one. What a configuration shares "
            "alone decides, also where it is settled in a pool."
        ),
        "business_kinds": (
            "Which kinds of members count as businesses beyond the social threshold is an assumption (business_kinds)."
        ),
        "fees": (
            "The fee of the GSE (decree MASE 106 of 15-3-2024, a fixed part and one per kW) and what an aggregator or an "
            "ESCO keeps are not taken off."
        ),
        "one_bill": (
            "Every member has the same bill, prices and taxes, whatever its kind; those of businesses and public bodies differ."
        ),
        "storage": (
            "What a battery beside a plant feeds in counts as that plant's energy, even if it was charged from the grid; "
            "how the GSE corrects for that is not verified and not modelled."
        ),
        "oldest_first": (
            "Attribution oldest_first: that the GSE attributes shared energy to plants in the order of their entry into "
            "service is not verified."
        ),
        "pooled": (
            "Configurations of one primary substation are settled as one: a study of mutual help, not a rule of the GSE. "
            "What they share among each other is paid at the premium of the plants with the surplus and at TRASE, half "
            "to the side with the surplus, half to the side with the deficit."
        ),
        "by_energy": (
            "In some hours the split among members had no weights (nobody withdrew, or no investor was a member); those "
            "hours were divided by injection and withdrawal (rule proportional)."
        ),
    }
)
"""Sentences by parameter."""

_BY_RULES = MappingProxyType(
    {
        "flat_2020": (),
        "cacer_2023": (
            "regional_eur_mwh",
            "grant_cut_share",
            "plant_limit",
            "social_threshold",
            "business_kinds",
        ),
    }
)


def marks_of(
    rules: str, *, kinds: Collection[str], attribution: str, pooled: str, fallbacks: Collection[str]
) -> tuple[str, ...]:
    """Return the sentences that concern one settlement, in the order of :data:`MARKS`.

    Args:
        rules: name of the rule set.
        kinds: kinds of the configurations, CER or GACC.
        attribution: name of the attribution rule.
        pooled: ``community`` or ``cp``.
        fallbacks: further keys of :data:`MARKS` that happened in this settlement.
    """
    wanted = {"valorisation", "fees", "one_bill", "storage", *_BY_RULES[rules], *fallbacks}
    wanted |= {"loss_share"} if "GACC" in kinds else set()
    wanted |= {attribution} & MARKS.keys()
    wanted |= {"pooled"} if pooled == "cp" else set()
    return tuple(sentence for key, sentence in MARKS.items() if key in wanted)
