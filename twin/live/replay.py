"""What a run took from its devices, step by step, kept so that the run can be repeated without them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hil_adapters.errors import GuardianError
from hil_adapters.guard.encoding import image_from_json, image_to_json
from hil_adapters.guard.messages import Image, SetPoints
from twin.errors import RunError, RunFolderError
from twin.results import layout
from twin.results.events import append_event, read_events
from twin.simulators.exchange import Guardian

__all__ = ["RecordedClock", "RecordingGuardian", "ReplayedGuardian", "exchange_file"]


def exchange_file(strategy: Path) -> Path:
    """Return where the images of a strategy are kept: one line for each that a step took."""
    return strategy / layout.DEVICES / "exchange.jsonl"


class RecordedClock:
    """The time at which the last image was taken: it stands still in between, live and in a replay alike."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Return the time of the last image, on the clock of its samples [s]."""
        return self.now_s


class RecordingGuardian:
    """Passes on what a guardian says and stores what steps take from it."""

    def __init__(
        self,
        guardian: Guardian,
        path: Path,
        clock: RecordedClock,
        *,
        time_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Store to ``path``; at each image that a step takes, ``clock`` is set to ``time_s()``."""
        self._guardian, self._path, self._clock, self._time_s = guardian, path, clock, time_s

    def exchange(self, set_points: SetPoints | None) -> Image:
        """Hand over and return as the guardian does; without set-points it is what a step takes."""
        image = self._guardian.exchange(set_points)
        if set_points is None:
            self._clock.now_s = self._time_s()
            append_event(self._path, {"now_s": self._clock.now_s, "image": image_to_json(image)})
        elif image.events:
            append_event(self._path, {"events": list(image.events)})
        return image


class ReplayedGuardian:
    """Says what a recorded guardian said, in the same order."""

    def __init__(self, path: Path, clock: RecordedClock) -> None:
        """Read the recording.

        Raises:
            RunFolderError: there is none, or it is damaged.
        """
        self._path, self._clock = path, clock
        records = read_events(path)
        if not records:
            raise RunFolderError(
                f"{path}: no recording; only a strategy that ran with devices on the wire can be replayed"
            )
        self._records = _ahead(records)
        self._next = next(self._records, None)
        self._last: Image | None = None

    def exchange(self, set_points: SetPoints | None) -> Image:
        """Return the image of the next step, or what was told when set-points were sent.

        Raises:
            RunError: the recording has ended.
        """
        if set_points is not None:
            return self._told()
        while self._next is not None and "image" not in self._next:
            self._next = next(self._records, None)
        if self._next is None:
            raise RunError(f"{self._path}: the recording ends here; replay as many steps as were run")
        record, self._next = self._next, next(self._records, None)
        try:
            self._last = image_from_json(record["image"])
            self._clock.now_s = float(record["now_s"])
        except (GuardianError, KeyError, TypeError, ValueError) as error:
            raise RunFolderError(f"{self._path}: a record is damaged: {error}") from error
        return self._last

    def _told(self) -> Image:
        events: tuple[str, ...] = ()
        if self._next is not None and "events" in self._next:
            events, self._next = tuple(self._next["events"]), next(self._records, None)
        return Image(devices={} if self._last is None else self._last.devices, events=events)


def _ahead(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from records
