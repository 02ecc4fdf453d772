"""What a guardian tells: events in words, each once for as long as its cause lasts, and their lines in the audit."""

from collections import deque

from hil_adapters.guard.audit import Audit

__all__ = ["Events", "Teller"]

_MOST_IN_TOPIC = 20
"""Different texts on one cause, such as numbers that change from turn to turn."""
_MOST = 1000
"""Kept while nobody asks; older ones are in the audit."""


class Events:
    """What happened since the last image."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque(maxlen=_MOST)
        self._standing: dict[str, set[str]] = {}

    def tell(self, text: str) -> None:
        """Note an event."""
        self._waiting.append(text)

    def tell_once(self, topic: str, text: str) -> bool:
        """Note an event unless this topic said it before, or said too much; return whether it was noted."""
        said = self._standing.setdefault(topic, set())
        if text in said or len(said) >= _MOST_IN_TOPIC:
            return False
        said.add(text)
        self.tell(text)
        return True

    def tell_first(self, topic: str, text: str) -> bool:
        """Note an event unless this topic said anything before; return whether it was noted."""
        return topic not in self._standing and self.tell_once(topic, text)

    def settle(self, topic: str) -> None:
        """The cause is over; the same text is told again when it comes back."""
        self._standing.pop(topic, None)

    def take(self) -> tuple[str, ...]:
        """Return what happened and forget it."""
        taken = tuple(self._waiting)
        self._waiting.clear()
        return taken


class Teller:
    """Tells for one device."""

    def __init__(self, device: str, events: Events, audit: Audit) -> None:
        self._device = device
        self._events = events
        self._audit = audit
        self.refused = 0
        """Set-points that were refused, each as often as it came."""

    def tell(self, text: str) -> None:
        """Note an event."""
        self._events.tell(f"{self._device}: {text}")

    def once(self, topic: str, text: str) -> bool:
        """Note an event unless its topic said the same last."""
        return self._events.tell_once(f"{self._device} {topic}", f"{self._device}: {text}")

    def settle(self, *topics: str) -> None:
        """Causes are over."""
        for topic in topics:
            self._events.settle(f"{self._device} {topic}")

    def refuse(self, topic: str, reason: str) -> None:
        """Count a refusal and tell it once; ``RecordingError`` where the audit cannot take it."""
        self.refused += 1
        if self.once(topic, reason):
            self._audit.record("refused", device=self._device, why=reason)

    def contention(self, text: str) -> None:
        """Another master; ``RecordingError`` where the audit cannot take it."""
        self.tell(f"contention: {text}")
        self._audit.record("contention", device=self._device, why=text)

    def state(self, state: str, reason: str) -> None:
        """A change of state; it is told even where the audit is full."""
        self.tell(f"{state}: {reason}")
        self._audit.record_safe_state("state", device=self._device, state=state, why=reason)

    def safe(self, reason: str) -> None:
        """The safe state is there."""
        self.settle("safe state")
        self.tell(f"safe state reached: {reason}")
        self._audit.record_safe_state("safe_state", device=self._device, why=reason)
