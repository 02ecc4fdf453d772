"""The states of one device: who may write to it, and how it gets there. Pure; the clock is an argument."""

from dataclasses import dataclass

from hil_adapters.errors import GuardError, TrippedError
from hil_adapters.guard.messages import GuardState

__all__ = ["ArmingCase", "DeviceStates", "typed_confirmation"]


def typed_confirmation(device: str, serial: str | None) -> str:
    """Return what a person types to arm a device: its name and its serial number."""
    return device if serial is None else f"{device} {serial}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmingCase:
    """What speaks for arming a device; every part was established by the guardian itself."""

    identified: bool
    """Whether the device that answers is the configured one, by its serial number."""
    objections: tuple[str, ...]
    """What its acceptance report, its map, its lock or its configuration has against it; empty where all is well."""
    confirmation: str
    """As typed."""


class DeviceStates:
    """The state of one device. It starts OFF; nothing but :meth:`arm` leads to ARMED, and nothing leads back by itself."""

    def __init__(self, device: str, *, serial: str | None, emulated: bool, armed_for_s: float) -> None:
        self._device = device
        self._serial = serial
        self._emulated = emulated
        self._armed_for_s = armed_for_s
        self._until_s = 0.0
        self.was_armed = False
        """Whether it ever was; before, nothing can be in force that would have to be let go of."""
        self.was_tripped = False
        """Whether it ever was; from then on only a person arms it, also after a reset."""
        self.state = GuardState.OFF
        self.reason = "not started"
        """Why it is in this state."""

    @property
    def armed(self) -> bool:
        """Whether set-points may be written."""
        return self.state is GuardState.ARMED

    def start(self, state: GuardState) -> None:
        """Leave OFF for DRY_RUN or READ_ONLY; a device that shall be armed reads first."""
        if self.state is not GuardState.OFF:
            raise GuardError(f"{self._device}: is {self.state.value} and cannot be started again")
        self.state = GuardState.DRY_RUN if state is GuardState.DRY_RUN else GuardState.READ_ONLY
        self.reason = "started"

    def arm(self, case: ArmingCase, *, now_s: float) -> None:
        """Go from READ_ONLY to ARMED for the configured time.

        Raises:
            TrippedError: it has tripped; only :meth:`reset` leads on.
            GuardError: it is not reading, is not the configured device, something objects, or the typed text is another.
        """
        self._must_be_resettable()
        if self.state is not GuardState.READ_ONLY:
            msg = f"{self._device}: is {self.state.value}; only a device that is read_only can be armed"
            raise GuardError(msg)
        if not case.identified:
            msg = f"{self._device}: cannot be armed, the device that answers is not identified; check address and serial"
            raise GuardError(msg)
        if case.objections:
            raise GuardError(f"{self._device}: cannot be armed: {'; '.join(case.objections)}")
        expected = typed_confirmation(self._device, self._serial)
        if not self._emulated and case.confirmation.split() != expected.split():
            msg = f"{self._device}: not confirmed; type its name and serial number: {expected}"
            raise GuardError(msg)
        self.state = GuardState.ARMED
        self.was_armed = True
        self.reason = f"for {_in_words(self._armed_for_s)}"
        self._until_s = now_s + self._armed_for_s

    def has_expired(self, *, now_s: float) -> bool:
        """Return whether the time for which it was armed is over."""
        return self.armed and now_s >= self._until_s

    def disarm(self, reason: str) -> None:
        """Go from ARMED back to READ_ONLY; does nothing in another state."""
        if self.armed:
            self.state = GuardState.READ_ONLY
            self.reason = reason

    def trip(self, reason: str) -> None:
        """Latch, from any state but OFF; the first reason stays."""
        if self.state not in {GuardState.OFF, GuardState.TRIPPED}:
            self.state = GuardState.TRIPPED
            self.was_tripped = True
            self.reason = reason

    def reset(self) -> None:
        """A person takes a tripped device back to READ_ONLY; ``GuardError`` where it has not tripped."""
        if self.state is not GuardState.TRIPPED:
            raise GuardError(f"{self._device}: is {self.state.value}; there is nothing to reset")
        self.state = GuardState.READ_ONLY
        self.reason = "reset by a person"

    def stop(self, reason: str) -> None:
        """End: a trip stays latched, anything else goes OFF."""
        if self.state is not GuardState.TRIPPED:
            self.state = GuardState.OFF
            self.reason = reason

    def _must_be_resettable(self) -> None:
        if self.state is GuardState.TRIPPED:
            raise TrippedError(f"{self._device}: has tripped ({self.reason}); find the cause, then reset it")


def _in_words(duration_s: float) -> str:
    """Return a duration in the largest unit that it fills."""
    for unit_s, unit in ((3600.0, "h"), (60.0, "min")):
        if duration_s >= unit_s:
            return f"{duration_s / unit_s:.3g} {unit}"
    return f"{duration_s:g} s"
