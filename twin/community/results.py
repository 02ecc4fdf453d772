"""What a settlement says: one line per member, plant and configuration, and totals by level. Plain values for JSON.

Money is over the period of the run, not scaled to a year. Costs are positive, income is negative in ``net_eur`` only.
"""

from dataclasses import dataclass

__all__ = ["AreaShared", "CommunityLine", "MemberLine", "PlantLine", "Settlement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLine:
    """One connection point over the run. Energies while it was a member; the bill for the whole run."""

    home: str
    community: str
    kind: str
    role: str
    contract_kw: float
    withdrawn_kwh: float
    injected_kwh: float
    shared_kwh: float
    """Shared energy credited to the member by the split rule."""
    bill_eur: float
    """Paid for withdrawn energy, taxes and fixed charges included."""
    sale_eur: float
    """Earned with injected energy at the zonal price (or the export price of the scenario)."""
    incentive_eur: float
    """Member's part of the premium tariff (tariffa premio)."""
    valorisation_eur: float
    """Member's part of the returned network charges (corrispettivo di valorizzazione)."""
    net_eur: float
    """bill - sale - incentive - valorisation - stored."""
    co2_kg: float
    """Hourly factor x (withdrawn - injected)."""
    peak_kw: float
    """Largest mean withdrawal of a quarter of an hour."""
    over_contract_h: float
    """Hours with a withdrawal above the contract power."""
    status: str = ""
    """What a reader must know of the membership: joined or left within the run, opted out, late or silent."""
    stored_eur: float = 0.0
    """Worth of what the batteries hold more at the end than at the start: without it a strategy that empties them would
    look cheap. Energy that reaches the terminals, at the middle of mean import and mean export price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantLine:
    """One plant (UP) over the run."""

    name: str
    home: str
    community: str
    rated_kw: float
    injected_kwh: float
    shared_kwh: float
    """Shared energy attributed to the plant."""
    incentive_eur: float
    sale_eur: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunityLine:
    """One configuration over the run."""

    name: str
    kind: str
    perimeter: str
    area: str
    cp: str
    n_members: int
    withdrawn_kwh: float
    injected_kwh: float
    shared_kwh: float
    """What the configuration is paid for: its own shared energy plus, where communities are settled as one, its part
    of the rest."""
    own_shared_kwh: float
    """min(injected, withdrawn) of its members alone, summed over hours."""
    incentive_eur: float
    valorisation_eur: float
    bill_eur: float
    sale_eur: float
    net_eur: float
    co2_kg: float
    stored_eur: float = 0.0
    """Sum over the members."""
    social_eur: float = 0.0
    """Part of ``incentive_eur`` beyond the social threshold, only for members that are not businesses (CACER)."""
    social_kept_eur: float = 0.0
    """Part of ``social_eur`` that no member gets, as all are businesses: kept for social purposes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaShared:
    """Shared energy as if all members of an area were one configuration."""

    level: str
    """``cp`` or ``zone``."""
    name: str
    injected_kwh: float
    """By connection points with a plant: what a battery alone feeds in cannot be shared."""
    withdrawn_kwh: float
    shared_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One rule set applied to one strategy."""

    rules: str
    """``flat_2020`` or ``cacer_2023``."""
    pooled: str
    """``community``: each configuration alone; ``cp``: those under one primary substation as one."""
    communities: tuple[CommunityLine, ...]
    members: tuple[MemberLine, ...]
    plants: tuple[PlantLine, ...]
    areas: tuple[AreaShared, ...]
    marks: tuple[str, ...]
    """Sentences on parameters that are not verified (K), for the report."""
