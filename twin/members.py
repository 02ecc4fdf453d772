"""Who shares energy with whom, in arrays: C configurations (CER, GACC), M members, U plants, K primary substations.

A *member* is a connection point (POD, a home of the plant) that belongs to one configuration for a span of steps. A
*plant* (unità di produzione, UP) is a generator behind the meter of a member. Built by ``twin.assembly``.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOBODY", "Communities", "CommunityKind", "Perimeter", "Role"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

CommunityKind = Literal["CER", "GACC"]
Perimeter = Literal["cp", "substation", "building"]
"""Where members may be: under one primary substation, one MV/LV substation, or at one bus."""
Role = Literal["consumer", "producer", "prosumer"]


def _ints() -> IntArray:
    return np.zeros(0, dtype=np.int64)


def _floats() -> FloatArray:
    return np.zeros(0)


def _bools() -> BoolArray:
    return np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class Communities:
    """All configurations of a scenario. A home is a member at most once."""

    name: tuple[str, ...] = ()
    """Shape (C,)."""
    kind: tuple[CommunityKind, ...] = ()
    perimeter: tuple[Perimeter, ...] = ()
    area: tuple[str, ...] = ()
    """Name of the primary substation, MV/LV substation or bus that bounds each configuration, shape (C,)."""
    cp: IntArray = field(default_factory=_ints)
    """Primary substation of each configuration, shape (C,); position in ``cp_name``."""
    cp_name: tuple[str, ...] = ()
    zone: str = ""
    """Market zone of all of them, e.g. ``NORD``."""
    member_home: IntArray = field(default_factory=_ints)
    """Home of each member, shape (M,)."""
    member_community: IntArray = field(default_factory=_ints)
    member_kind: tuple[str, ...] = ()
    """household, municipality, sme, farm, public_body, cooperative ..., shape (M,)."""
    member_role: tuple[Role, ...] = ()
    member_contract_kw: FloatArray = field(default_factory=_floats)
    """Power of the supply contract, shape (M,) [kW]."""
    member_invest_eur: FloatArray = field(default_factory=_floats)
    """What each member paid towards the plants, shape (M,) [EUR]; for the split by investment."""
    member_first_step: IntArray = field(default_factory=_ints)
    """First step of the membership, shape (M,); 0 for members from before the run."""
    member_end_step: IntArray = field(default_factory=_ints)
    """First step after the membership, shape (M,)."""
    member_opted_out: BoolArray = field(default_factory=_bools)
    """Takes no guidance from CEMS or aggregator; its energy still counts, shape (M,)."""
    member_reserve_share: FloatArray = field(default_factory=_floats)
    """Share of the battery window kept for the home's own use, whatever is asked, shape (M,), 0 to 1."""
    member_delay_steps: IntArray = field(default_factory=_ints)
    """Steps by which readings and guidance of a member arrive late, shape (M,)."""
    silent: IntArray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    """Spans without any communication: (member, first step, first step after), shape (S, 3)."""
    plant_pv: IntArray = field(default_factory=_ints)
    """PV generator of each plant, shape (U,); position in the plant's ``pv_name``."""
    plant_member: IntArray = field(default_factory=_ints)
    """Member that each plant stands behind, shape (U,)."""
    plant_kw: FloatArray = field(default_factory=_floats)
    """Rated power of each plant, shape (U,) [kW]; decides its size class."""
    plant_entered_day: IntArray = field(default_factory=_ints)
    """Day of entry into service, days since 1970-01-01, shape (U,)."""
    plant_grant_share: FloatArray = field(default_factory=_floats)
    """Share of the investment paid by a capital grant, shape (U,), 0 to 1."""
    notes: tuple[str, ...] = ()
    """Assumptions made where the scenario says nothing, in words for the report."""

    @property
    def n_communities(self) -> int:
        """Number of configurations C."""
        return len(self.name)

    @property
    def n_members(self) -> int:
        """Number of members M."""
        return len(self.member_home)

    @property
    def plant_community(self) -> IntArray:
        """Configuration of each plant, shape (U,)."""
        return self.member_community[self.plant_member]

    @property
    def member_has_plant(self) -> BoolArray:
        """Whether what a member injects can be shared, shape (M,): only renewable plants count.

        A connection point without a plant, e.g. with a battery alone, injects but does not share.
        """
        has_plant = np.zeros(self.n_members, dtype=np.bool_)
        has_plant[self.plant_member] = True
        return has_plant

    def home_has_plant(self, n_homes: int) -> BoolArray:
        """Return :attr:`member_has_plant` by home, shape (n_homes,); False for homes that are no members."""
        found = np.zeros(n_homes, dtype=np.bool_)
        found[self.member_home] = self.member_has_plant
        return found

    def active(self, step: int) -> BoolArray:
        """Return who is a member in a step, shape (M,)."""
        active: BoolArray = (self.member_first_step <= step) & (step < self.member_end_step)
        return active

    def community_of_home(self, step: int, n_homes: int) -> IntArray:
        """Return the configuration of each home in a step, shape (n_homes,); -1 for none."""
        found = np.full(n_homes, -1, dtype=np.int64)
        active = self.active(step)
        found[self.member_home[active]] = self.member_community[active]
        return found

    def reachable(self, step: int) -> BoolArray:
        """Return which members communicate in a step, shape (M,); opted-out members do not."""
        heard = ~self.member_opted_out
        quiet = (self.silent[:, 1] <= step) & (step < self.silent[:, 2])
        heard[self.silent[quiet, 0]] = False
        return heard


NOBODY = Communities()
"""A scenario without configurations."""
