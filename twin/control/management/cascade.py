"""Management in levels: market desk or aggregator, CEMS of each community, EMS of each home, device.

In each step the levels above the homes get the readings that arrived, highest level first, and each narrows what the
next may do; the result travels to the homes, and the EMS of each home chooses inside it. The EMS sees its own meters
of the present step, whatever the levels above know.
"""

from collections.abc import Sequence

from twin.control.base import Observation, Proposal, Site
from twin.control.checks import checked_guidance
from twin.control.management.delivery import Delivery
from twin.control.management.ems import Ems
from twin.control.management.guidance import Guide, combine, no_guidance

__all__ = ["Cascade"]


class Cascade:
    """A strategy made of levels.

    Args:
        site: the plant.
        guides: the levels above the homes, the highest first.
        ems: what chooses in the homes; an :class:`Ems` unless given.

    Raises:
        ValueError: the scenario has no communities, or a home is a member twice.
    """

    def __init__(self, site: Site, *, guides: Sequence[Guide], ems: Ems | None = None) -> None:
        communities = site.communities
        if communities.n_communities == 0:
            raise ValueError(
                "communities: the scenario has none, so there is nothing above the homes to manage; describe them under "
                "`communities:` or use a strategy of level 0 or 1, e.g. self_consumption"
            )
        member_home = communities.member_home.tolist()
        if len(set(member_home)) < len(member_home):
            twice = next(home for home in member_home if member_home.count(home) > 1)
            raise ValueError(
                f"communities: home {site.home_name[twice]!r} is a member more than once; keep one of its memberships"
            )
        self._site = site
        self._guides = tuple(guides)
        self._delivery = Delivery(site)
        self._ems = Ems(site) if ems is None else ems

    def decide(self, seen: Observation) -> Proposal:
        """Return what the EMS of each home chooses.

        Raises:
            ControllerError: a guide returned something that is not valid guidance.
        """
        site = self._site
        view = self._delivery.view(seen)
        guidance = no_guidance(site)
        for guide in self._guides:
            asked = checked_guidance(guide.guide(view, guidance), site, source=type(guide).__name__)
            guidance = combine(guidance, asked, battery_home=site.battery_home)
        return Proposal(battery_kw=self._ems.choose_kw(seen, self._delivery.deliver(guidance, seen.step)))
