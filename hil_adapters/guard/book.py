"""What is asked of one command, what is in force, and what to do next. Pure; the clock is an argument."""

import math
from dataclasses import dataclass, field
from enum import Enum

from hil_adapters.guard.rules import is_limit
from hil_adapters.maps.schema import Watchdog

__all__ = ["CommandRecord", "Decision", "refresh_interval_s"]

_MISMATCH_INTERVAL_S = 10.0
"""How often a point without a watchdog is written again where another value is found in it [s]."""


class Decision(Enum):
    """What to do with a command at a turn of the guard."""

    NOTHING = "nothing"
    FOLLOW = "follow"
    """Bring it to the value that is asked, where it differs."""
    APPLY = "apply"
    """Write the whole sequence: it is not in force, or its watchdog must be refreshed."""
    RELEASE = "release"


def refresh_interval_s(watchdog: Watchdog | None) -> float:
    """Return how often a command is refreshed [s]: a third of the watchdog's time."""
    return _MISMATCH_INTERVAL_S if watchdog is None else watchdog.timeout_s / 3.0


@dataclass(slots=True, kw_only=True)
class CommandRecord:
    """One command of one device."""

    command: str
    watchdog: Watchdog | None
    wanted: float | None = None
    """As asked last; None: nothing is asked."""
    expires_s: float = 0.0
    step: int = -1
    touched: bool = False
    """Whether something of it may be in force in the device."""
    in_force: bool = False
    """Whether its whole sequence was written and read back on this connection."""
    commanded: float | None = None
    """What was written and read back, in the unit of the command."""
    aimed: float | None = None
    """What its set-point should become in the unit of the point, before its ramp."""
    sent: float | None = None
    """What was last sent to its set-point, before rounding."""
    last_point: float | None = None
    """What its set-point held when it was last read back, also on a connection that is gone."""
    points: dict[str, float] = field(default_factory=dict)
    """What its points hold as far as they were written, in their units."""
    previous_timers: dict[str, float] = field(default_factory=dict)
    """What timer points held before the first write; given back at the end."""
    written_s: float = -math.inf
    last_written_s: float = -math.inf
    """When its set-point was last sent, also before it was let go of, or on a connection that is gone."""
    refreshed_s: float = -math.inf
    not_before_s: float = -math.inf
    """After a failure nothing is tried before this."""
    must_release: bool = False
    """What is in force was asked before something that a rule refuses; it is let go of before anything else."""
    rejected: float | None = None
    """A value that the device refused; it is not sent again."""
    mismatched: bool = False
    """Whether another value than the written one was found; written again at the next refresh, not earlier."""
    mismatches: int = 0
    """Refreshes in a row after which another value was found."""

    @property
    def watchdog_in_words(self) -> str:
        """What lets go of it where the guard cannot."""
        if self.watchdog is None:
            return "it has none, a person must look"
        return f"within {self.watchdog.timeout_s:g} s, then {self.watchdog.falls_back_to}"

    def ask(self, value: float, *, expires_s: float, step: int) -> None:
        """Take what a run asks for until ``expires_s`` on the monotonic clock [s]."""
        if value != self.rejected:
            self.rejected = None
        self.wanted = value
        self.expires_s = expires_s
        self.step = step

    def forget(self) -> None:
        """Drop what was asked; what is in force stays noted, because it must be released."""
        self.wanted = None
        self.rejected = None

    def lost(self) -> None:
        """The connection is another one, or a write is in doubt: what the device holds is not known."""
        self.in_force = False
        self.commanded = None
        self.points.clear()
        self.aimed = None
        self.sent = None
        self.written_s = -math.inf

    def released(self) -> None:
        """Nothing of it is in force."""
        self.lost()
        self.touched = False
        self.must_release = False
        self.last_point = None
        self.mismatched = False
        self.mismatches = 0
        self.previous_timers.clear()

    def decide(self, *, now_s: float) -> Decision:
        """Return what is to be done at ``now_s`` on the monotonic clock [s]."""
        if now_s < self.not_before_s:
            return Decision.NOTHING
        if self.must_release and self.touched:
            return Decision.RELEASE
        gone = self.wanted is None or now_s >= self.expires_s
        # what the device refused is not sent again, and what was in force for an older set-point is not asked any more
        if gone or self.wanted == self.rejected or (self.wanted == math.inf and is_limit(self.command)):
            return Decision.RELEASE if self.touched else Decision.NOTHING
        if not self.in_force:
            return Decision.APPLY
        refresh_due = now_s - self.refreshed_s >= refresh_interval_s(self.watchdog)
        if refresh_due and (self.watchdog is not None or self.mismatched):
            return Decision.APPLY
        return Decision.FOLLOW

    def expire(self, *, now_s: float) -> bool:
        """Forget what was asked where its time is over; return whether that happened at this call."""
        if self.wanted is None or now_s < self.expires_s:
            return False
        self.forget()
        return True
