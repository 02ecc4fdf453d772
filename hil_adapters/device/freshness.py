"""How often the points of a device can be renewed at all, by which the age of their samples is judged."""

import math

from hil_adapters.device.poller import SLOW_EVERY
from hil_adapters.device.readings import Readings
from hil_adapters.device.statistics import Latency

__all__ = ["limit_age"]

_OLD_PERIODS = 3
"""A sample is stale when it is older than this many of its periods."""


def limit_age(readings: Readings, latency: Latency, *, poll_s: float, min_interval_s: float) -> None:
    """Let samples become stale after three of the periods in which they can be renewed.

    A period is that of polling, or as many of them as the reads of one poll take: all of the group ``fast`` and a tenth of
    ``slow``. A read takes the time within which half of the answers came (waiting for other users of the link and pauses
    included), but never less than the pause that the map demands.

    Args:
        readings: whose samples are judged; their blocks are counted.
        latency: of the answers so far; single slow answers do not change the half of them.
        poll_s: period of polling [s].
        min_interval_s: pause between two requests [s].
    """
    n_reads = len(readings.blocks("fast")) + math.ceil(len(readings.blocks("slow")) / SLOW_EVERY)
    read_s = max(min_interval_s, latency.p50_s) if latency.count else min_interval_s
    periods = max(1, math.ceil(n_reads * read_s / poll_s))
    fast_s = _OLD_PERIODS * periods * poll_s
    readings.limit_age(fast_s=fast_s, slow_s=SLOW_EVERY * fast_s)
