"""The same event over and over: told at first, then ever more seldom, so that a file of events stays readable."""

import re
from collections import Counter

__all__ = ["Repeats"]

_ALL_UP_TO = 10
_NUMBER = re.compile(r"\d+(\.\d+)?")


class Repeats:
    """Counts events by their words; numbers in them do not make another event."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def take(self, text: str) -> tuple[str, ...]:
        """Return what is to be told of an event: itself the first ten times and at powers of two, else nothing."""
        words = _NUMBER.sub("#", text)
        self._times[words] += 1
        times = self._times[words]
        if times <= _ALL_UP_TO:
            return (text,)
        return () if times & (times - 1) else (f"{text} ({times} times so far)",)
