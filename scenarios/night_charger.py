"""A strategy of one's own: charge in the night, cover the home's load in the evening.

In a scenario: ``use: night_charger.py:NightCharger``, with the hours as ``params``. Hours are counted from the start
of the run, so let it start at midnight.
"""

import numpy as np

from twin.control import Observation, Proposal, Site, share_out_kw

__all__ = ["NightCharger"]


class NightCharger:
    """Charge until ``charge_until_h``, discharge into the home's load from ``discharge_from_h``."""

    def __init__(self, site: Site, *, charge_until_h: float = 5.0, discharge_from_h: float = 18.0) -> None:
        self._site, self._charge_until_h, self._discharge_from_h = site, charge_until_h, discharge_from_h

    def decide(self, seen: Observation) -> Proposal:
        """Return half the rated power in the night and the home's deficit in the evening; else rest."""
        site, hour = self._site, 24.0 * (seen.step % self._site.steps_per_day) / self._site.steps_per_day
        if hour < self._charge_until_h:
            return Proposal(battery_kw=0.5 * site.battery.charge_kw)
        if hour < self._discharge_from_h:
            return Proposal(battery_kw=np.zeros(site.battery.n))
        deficit_kw = np.maximum(seen.load_kw + seen.pv_kw, 0.0)
        return Proposal(
            battery_kw=-share_out_kw(deficit_kw, site.battery.discharge_kw, home=site.battery_home)
        )
