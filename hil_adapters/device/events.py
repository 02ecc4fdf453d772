"""What a session tells its owner: events in words, and one record per cycle."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Cycle", "Event", "EventKind", "SessionState"]


class EventKind(StrEnum):
    """What happened."""

    CONNECTED = "connected"
    """The device was identified on a fresh connection; whoever commands it re-arms and re-applies."""
    DISCONNECTED = "disconnected"
    """The connection was lost, or the device gave no good answer for three periods."""
    FOREIGN = "foreign"
    """Another device, another firmware or another register map answers."""
    POINT_REFUSED = "point_refused"
    """The device refuses a point for good; it is not polled again on this connection."""
    REFUSED_FOR_A_WHILE = "refused_for_a_while"
    """The device answered with a failure; the value is uncertain and is asked for again."""
    GATEWAY = "gateway"
    """The gateway answers, the device behind it does not."""
    REBOOT = "reboot"
    """An uptime or an energy counter went back."""
    ROLL_OVER = "roll_over"
    """A counter passed its largest value; the session counts on."""
    SCALE_CHANGED = "scale_changed"
    """A scale factor changed and the value jumped with it; uncertain for one sample."""
    IMPOSSIBLE = "impossible"
    """A reading lies beyond what the map says can be true."""
    RECOVERED = "recovered"
    """What was told of readings or refusals before is over."""
    FROZEN = "frozen"
    """A point repeats the same reading for longer than its map allows."""
    CLOCK_JUMP = "clock_jump"
    """The wall clock of this computer jumped against its monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    kind: EventKind
    text: str
    """What, where, and what to do about it."""
    at_s: float
    """On the monotonic clock of the session [s]."""


class SessionState(StrEnum):
    """Whether the right device answers."""

    DISCONNECTED = "disconnected"
    IDENTIFIED = "identified"
    """Connected, and the device is the one that is expected."""
    FOREIGN = "foreign"
    """Something else answers; nothing of it is used, and it is asked again every few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One pass of the poll loop."""

    number: int
    """Counted in periods since the loop began; a gap means that periods were skipped."""
    due_s: float
    """When it should have started, on the monotonic clock [s]."""
    started_s: float
    ended_s: float
    state: SessionState
    answered: bool
    """Whether a good answer of the device came in this cycle."""
    connection: int
    """Counts identifications; a change means that the device must be re-armed before it is commanded again."""
    events: tuple[Event, ...]
    """What happened since the cycle before."""
