"""Frames and samples of a guardian on disk, if that is possible; a recording that fails never stops a guard."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from hil_adapters.errors import RecordingError
from hil_adapters.recording.recorder import Recorder
from hil_adapters.samples import Sample
from hil_adapters.wire.base import FrameObserver

__all__ = ["Recording"]

_log = logging.getLogger(__name__)


class Recording:
    """Keeps each sample once."""

    def __init__(self, folder: Path) -> None:
        self._recorder = Recorder(folder)
        self._last_s: dict[str, dict[str, float]] = {}

    def observer(self, device: str) -> FrameObserver:
        """Return what records the frames of a device."""
        return self._recorder.observer(device)

    def keep(self, device: str, signals: Mapping[str, Sample]) -> None:
        """Record the samples that were not recorded before."""
        last_s = self._last_s.setdefault(device, {})
        fresh = {
            signal: sample
            for signal, sample in signals.items()
            if not math.isnan(sample.received_s) and last_s.get(signal) != sample.received_s
        }
        last_s.update((signal, sample.received_s) for signal, sample in fresh.items())
        if fresh:
            self._recorder.samples(device, fresh)

    def take_error(self) -> str | None:
        """Return once, in words, what stopped the recording."""
        error: RecordingError | None = self._recorder.take_error()
        return None if error is None else f"the recording has stopped: {error}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._recorder.close()
        except RecordingError as failure:
            # the devices are safe and the audit is complete; what else there was to tell goes to the log
            _log.error("%s", failure)
