"""How the blocks of a run reach the devices on the wire: one image at the start of a step, one message at its end.

In step k the blocks see the newest image and say what they ask for; ``finish_step`` sends that once the step has been
solved and stored, so that nothing is commanded by a step that failed. What a device does about it is in the image of step
k + 1. The guardian takes the message as the sign of life of the run.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hil_adapters.errors import HilError
from hil_adapters.guard.messages import DeviceImage, GuardState, Image, SetPoints
from twin.errors import RunError
from twin.hil import HilPlan, HilSlot
from twin.missing_data import Choice, SourceUsed
from twin.simulators.ports import Array

__all__ = ["Guardian", "HilExchange", "Tally", "WorldSink"]


class Guardian(Protocol):
    """The run's end of its guardian process."""

    def exchange(self, set_points: SetPoints | None) -> Image:
        """Hand over set-points (None: nothing new, and no sign of life) and return the newest image."""
        ...


class WorldSink(Protocol):
    """Who is told what surrounds the devices: the host of virtual devices, a source that feeds hardware."""

    def world(self, values: Mapping[str, Mapping[str, float]]) -> None:
        """Take values by device and name; never waits."""
        ...


@dataclass(slots=True)
class Tally:
    """What the simulation used for one signal of one device."""

    steps: Counter[SourceUsed] = field(default_factory=Counter)
    oldest_s: float = 0.0
    """Largest age of a reading that was used, live or held [s]."""

    @property
    def stale_share(self) -> float:
        """Share of steps in which the value was not live [1]; 0 before the first."""
        total = self.steps.total()
        return 0.0 if not total else 1.0 - self.steps[SourceUsed.LIVE] / total


class HilExchange:
    """One for all blocks of a run; a ``DeviceExchange`` of ``twin.hil``."""

    def __init__(
        self,
        plan: HilPlan,
        guardian: Guardian,
        *,
        worlds: Sequence[tuple[WorldSink, Sequence[str]]] = (),
        expires_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the two ends.

        Args:
            plan: the devices.
            guardian: running, with all devices of the plan.
            worlds: who is told what surrounds which devices, by name.
            expires_s: a set-point without a newer one is released after this time [s].
            clock: the clock of ``received_s`` in images.
        """
        self._slots = {slot.name: slot for slot in plan.slots}
        self._guardian, self._worlds, self._expires_s, self._clock = guardian, tuple(worlds), expires_s, clock
        self._image: Image | None = None
        self._image_step = -2
        self._commands: dict[str, dict[str, float]] = {}
        self._around: dict[str, dict[str, float]] = {}
        self._vm_pu: dict[str, float] = {}
        """Voltage that each device was told last."""
        self._events: list[str] = []
        self.tripped: dict[str, None] = {}
        """Devices whose guard has tripped at some time of the run, in the order it was seen."""
        self.disarmed: dict[str, None] = {}
        """Devices that were armed and then only read: their armed time was over, or a step took too long."""
        self._armed: set[str] = set()
        self.tallies: dict[tuple[str, str], Tally] = {}
        """By device and signal."""

    def slot(self, device: str) -> HilSlot:
        """Return what is known of a device."""
        return self._slots[device]

    def now_s(self) -> float:
        """Return the time on the clock of ``received_s`` [s]."""
        return self._clock()

    def image(self, device: str, *, step: int) -> DeviceImage:
        """Return what is known of a device; the first call of a step fetches the newest image for all devices.

        Raises:
            RunError: the guardian does not answer, or does not know the device.
        """
        if self._image is None or self._image_step != step:
            self._take(None)
            self._image_step = step
        found = None if self._image is None else self._image.devices.get(device)
        if found is None:
            raise RunError(f"device {device!r}: the guardian does not know it; start the run again")
        return found

    def hand_over(self, device: str, *, commands: Mapping[str, float], world: Mapping[str, float]) -> None:
        """Say what a device is asked for and what surrounds it in the step under way; :meth:`finish_step` sends it."""
        self._commands[device] = dict(commands)
        self._around[device] = dict(world)

    def see_voltage(self, home_vm_pu: Array) -> None:
        """Take the voltages that the step was solved with, shape (H,) by home, before it is finished.

        The devices are then told this voltage and answer to it in the next step. Without it they are told that of the step
        before, which their blocks know, and answer a step later.
        """
        for device, around in self._around.items():
            around["vm_pu"] = float(home_vm_pu[self._slots[device].home])

    def finish_step(self, step: int) -> None:
        """Send what the blocks said in a step that is solved and stored; call it once a step.

        A change of voltage is told as far as the loop gain allows; none is told to the source of a real device that is not
        commanded any more.

        Raises:
            RunError: the guardian or a host does not answer.
        """
        for device, around in self._around.items():
            if "vm_pu" in around:
                before = self._vm_pu.get(device, around["vm_pu"])
                around["vm_pu"] = before + self._slots[device].alpha * (around["vm_pu"] - before)
                self._vm_pu[device] = around["vm_pu"]
        for sink, devices in self._worlds:
            sink.world(
                {name: self._around[name] for name in devices if name in self._around and self._follows(name)}
            )
        self._take(SetPoints(step=step, expires_s=self._expires_s, values=self._commands))
        self._commands, self._around = {}, {}

    def _follows(self, device: str) -> bool:
        """Return whether a device is told what surrounds it: the source of a real one stays where it is after a trip."""
        return not self._slots[device].is_hardware or device not in {*self.tripped, *self.disarmed}

    def count(self, device: str, signal: str, choice: Choice) -> None:
        """Take note of what the simulation used for a signal."""
        tally = self.tallies.setdefault((device, signal), Tally())
        tally.steps[choice.source] += 1
        if choice.source in {SourceUsed.LIVE, SourceUsed.HELD}:
            tally.oldest_s = max(tally.oldest_s, choice.age_s)

    def take_events(self) -> tuple[str, ...]:
        """Return what the guardian told since the last call, in words."""
        told = tuple(self._events)
        self._events.clear()
        return told

    def stale_shares(self) -> Iterator[tuple[str, str, float]]:
        """Yield device, signal and the share of steps without a live reading [1].

        A signal that its device can do without and that never came is left out: the device does not have it.
        """
        for (device, signal), tally in self.tallies.items():
            if signal in self._slots[device].needed or tally.steps[SourceUsed.LIVE]:
                yield device, signal, tally.stale_share

    def _take(self, set_points: SetPoints | None) -> None:
        try:
            self._image = self._guardian.exchange(set_points)
        except HilError as error:
            raise RunError(str(error)) from error
        self._events += self._image.events
        for name, seen in self._image.devices.items():
            self._note_state(name, seen.state)

    def _note_state(self, device: str, state: GuardState) -> None:
        if state is GuardState.ARMED:
            self._armed.add(device)
        elif state is GuardState.TRIPPED:
            self.tripped[device] = None
        elif device in self._armed and device not in self.tripped:
            self.disarmed[device] = None
