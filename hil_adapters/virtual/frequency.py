"""Feed-in at high frequency: the reduction P(f) of a generator, as a state machine over time.

Start and return wait are those of a maker's manual (Delta Solivia), which allows a droop of 2 to 5 %. K, not verified: that
2.6 % is the default, that the reference is the feed-in at the moment when the frequency passes the start, and that feed-in
comes back on the ramp of connection.
"""

import math
from typing import Final

from hil_adapters.virtual.protection import ProtectionSettings
from hil_adapters.virtual.state import NOMINAL_HZ

__all__ = ["FrequencyReduction"]

_SECONDS_PER_MINUTE: Final = 60.0
_ROUNDING_S: Final = 1e-9


class FrequencyReduction:
    """Holds the largest feed-in that the frequency allows."""

    def __init__(self, settings: ProtectionSettings, *, p_rated_kw: float) -> None:
        self._settings = settings
        self._rated_kw = p_rated_kw
        self._reference_kw = math.inf
        self._good_s = 0.0
        self._is_returning = False
        self.limit_kw = math.inf
        """Largest feed-in [kW]; infinite while it does not act."""

    def step(self, frequency_hz: float, feed_in_kw: float, *, dt_s: float) -> None:
        """Take the frequency of the last ``dt_s`` [s], and the feed-in before it [kW].

        Above the start feed-in falls by its share of droop: all of it over ``droop`` times nominal frequency. It stays at
        the least value that was reached until the frequency has been in the window of connection for the return wait.
        """
        entry = self._settings
        is_good = entry.connect_low_hz <= frequency_hz <= entry.connect_high_hz
        self._good_s = self._good_s + dt_s if is_good else 0.0
        over_hz = frequency_hz - entry.reduction_start_hz
        if over_hz > 0.0:
            if self.limit_kw == math.inf or self._is_returning:
                self._reference_kw = max(feed_in_kw, 0.0)
                self._is_returning = False
            left = max(0.0, 1.0 - over_hz / (entry.reduction_droop * NOMINAL_HZ))
            self.limit_kw = min(self.limit_kw, self._reference_kw * left)
            return
        waited_s = self._good_s - entry.reduction_wait_s
        if self.limit_kw < math.inf and is_good and waited_s >= -_ROUNDING_S:
            self._grow(dt_s if self._is_returning else max(waited_s, 0.0))
            self._is_returning = True

    def reset(self) -> None:
        """Begin again: the device has left the grid, and its connection has a ramp of its own."""
        self._reference_kw = self.limit_kw = math.inf
        self._good_s = 0.0
        self._is_returning = False

    def _grow(self, dt_s: float) -> None:
        self.limit_kw += self._settings.ramp_share_min * self._rated_kw * dt_s / _SECONDS_PER_MINUTE
        if self.limit_kw >= self._rated_kw:
            self.reset()
