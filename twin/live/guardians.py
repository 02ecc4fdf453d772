"""The guardians of a run, seen as one, and how its devices are made ready."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from hil_adapters.errors import GuardError
from hil_adapters.guard.link import GuardianLink, started_guardian
from hil_adapters.guard.messages import DeviceImage, GuardianConfig, GuardState, Image, SetPoints
from hil_adapters.samples import Quality
from twin.errors import InputError, RunError
from twin.hil import HilSlot

__all__ = ["GuardianGroup", "arm", "await_readings", "guarding"]

_FIRST_READING_S = 30.0
"""A device may take this long from the start of the guardian to its first readings [s]."""


_ASK_S = 0.05


class GuardianGroup:
    """Several guardians as one; each is told only of its own devices."""

    def __init__(self) -> None:
        self._links: list[tuple[GuardianLink, frozenset[str]]] = []

    def add(self, link: GuardianLink, devices: Sequence[str]) -> None:
        """Take a running guardian and the names of its devices."""
        self._links.append((link, frozenset(devices)))

    def exchange(self, set_points: SetPoints | None) -> Image:
        """Hand each its part of the set-points and return what all of them know."""
        devices: dict[str, DeviceImage] = {}
        events: list[str] = []
        for link, names in self._links:
            image = link.exchange(None if set_points is None else _part(set_points, names))
            devices.update(image.devices)
            events += image.events
        return Image(devices=devices, events=tuple(events))


@contextmanager
def guarding(config: GuardianConfig, say: Callable[[str], None]) -> Iterator[GuardianLink]:
    """Start a guardian and stop it at the end; ``say`` is told how each real device was left, whatever ended the run.

    Raises:
        GuardianError: it does not start, or had ended before it was stopped.
    """
    real = {device.name for device in config.devices if not device.emulated}
    started: list[GuardianLink] = []
    try:
        with started_guardian(config) as link:
            started.append(link)
            yield link
    finally:
        for link in started:
            for name, left in () if link.report is None else link.report.devices.items():
                if name in real:
                    say(f"{name}: {left.text}")


def _part(set_points: SetPoints, names: frozenset[str]) -> SetPoints:
    values = {name: commands for name, commands in set_points.values.items() if name in names}
    return SetPoints(step=set_points.step, expires_s=set_points.expires_s, values=values)


def await_readings(
    link: GuardianLink, slots: Sequence[HilSlot], *, stop: threading.Event | None = None
) -> None:
    """Wait until every device has given every signal that the run cannot do without, and virtual ones may be commanded.

    Raises:
        KeyboardInterrupt: ``stop`` was set meanwhile.
        RunError: one has not in time, or something else answers in the place of a real one, for which nobody need wait; the
            message says why.
    """
    until_s = time.monotonic() + _FIRST_READING_S
    told: list[str] = []
    while True:
        image = link.exchange(None)
        told += image.events
        silent = [slot for slot in slots if not _has_readings(slot, image.devices)]
        if not silent:
            return
        for slot in silent:
            seen = image.devices.get(slot.name)
            if slot.is_hardware and seen is not None and seen.is_foreign:
                raise RunError(f"{slot.name}: {seen.trouble}")
        if time.monotonic() > until_s:
            names = ", ".join(slot.name for slot in silent)
            standing = _troubles(silent, image.devices)
            causes = [f"{name}: {trouble}" for name, trouble in standing.items()]
            # what stands was told as well, when it began
            causes += [text for text in told if not text.endswith(tuple(standing.values()))][-3:]
            heard = f" ({'; '.join(causes)})" if causes else ""
            raise RunError(
                f"no readings from {names} within {_FIRST_READING_S:g} s{heard}; try `twin device read` on it"
            )
        if stop is None:
            time.sleep(_ASK_S)
        elif stop.wait(_ASK_S):
            raise KeyboardInterrupt


def _troubles(silent: Sequence[HilSlot], devices: Mapping[str, DeviceImage]) -> dict[str, str]:
    """Return why devices have no connection at the moment, by name, as far as that is the cause."""
    seen = {slot.name: devices[slot.name].trouble for slot in silent if slot.name in devices}
    return {name: trouble for name, trouble in seen.items() if trouble}


def _has_readings(slot: HilSlot, devices: Mapping[str, DeviceImage]) -> bool:
    seen = devices.get(slot.name)
    if seen is None or not (slot.is_hardware or seen.state is GuardState.ARMED):
        return False  # a guardian arms virtual devices by itself
    return all(
        signal in seen.signals and seen.signals[signal].quality <= Quality.UNCERTAIN for signal in slot.needed
    )


def arm(link: GuardianLink, slots: Sequence[HilSlot], confirm: Callable[[HilSlot], str]) -> None:
    """Arm real devices, each with the word of a person.

    Raises:
        InputError: one cannot be armed; the message says why.
    """
    for slot in slots:
        try:
            link.arm(slot.name, confirm(slot))
        except GuardError as error:
            raise InputError(f"{slot.name} cannot be armed: {error}") from error
