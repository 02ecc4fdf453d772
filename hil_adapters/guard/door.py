"""The only caller of a session's write: asks for permission and leaves an audit record right before every frame."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from hil_adapters.device.events import SessionState
from hil_adapters.device.exchange import PlannedWrite, WriteLog
from hil_adapters.device.identity import Identity
from hil_adapters.errors import GuardError, HilError
from hil_adapters.guard.audit import Audit
from hil_adapters.guard.contention import matches
from hil_adapters.guard.messages import GuardState
from hil_adapters.guard.states import DeviceStates
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.samples import Sample

__all__ = ["DeviationError", "Door", "GuardedSession", "Occasion", "Purpose"]

_READ_BACK_PAUSES_S = (0.0, 0.1, 0.3)
"""A device may take a moment until a register shows what was written."""


class GuardedSession(Protocol):
    """What the guard needs of a session with a device; ``device.session.DeviceSession`` is one."""

    @property
    def map(self) -> RegisterMap:
        """The map in use."""
        ...

    @property
    def state(self) -> SessionState:
        """Whether the right device answers."""
        ...

    @property
    def connection(self) -> int:
        """Counts identifications."""
        ...

    @property
    def identity(self) -> Identity | None:
        """Who answers."""
        ...

    @property
    def values(self) -> Mapping[str, Sample]:
        """Newest samples by point."""
        ...

    def signals(self) -> dict[str, Sample]:
        """Newest samples by signal."""
        ...

    async def read(self, points: Sequence[str]) -> dict[str, Sample]:
        """Fresh samples."""
        ...

    async def read_back(self, point: str) -> float:
        """One fresh value."""
        ...

    async def write(self, point: str, value: float, *, log: WriteLog) -> PlannedWrite:
        """Write one point."""
        ...


class DeviationError(GuardError):
    """A point does not hold what was written to it."""


class Purpose(Enum):
    """Why something is written; each has its own permission."""

    COMMAND = "command"
    SAFE = "safe state"
    """Release, safe value, and what belongs to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Of which command a write is part, and why."""

    command: str
    why: str
    step: int
    purpose: Purpose


class Door:
    """Writes to one device."""

    def __init__(
        self,
        *,
        device: str,
        session: GuardedSession,
        states: DeviceStates,
        audit: Audit,
        permit: Callable[[Occasion], None],
        sent: Callable[[Occasion], None],
    ) -> None:
        """Make a door.

        Args:
            device: Its name.
            session: The connection.
            states: Of the device.
            audit: Gets a line before every frame.
            permit: Raises where a write is not allowed at this moment.
            sent: Is told of every frame right before it leaves; whatever becomes of it, it may have been carried out.
        """
        self._device = device
        self._session = session
        self._states = states
        self._audit = audit
        self._permit = permit
        self._sent = sent
        self.who = "guardian"
        """On whose behalf: user and process that feed the guardian."""
        self.writes = 0
        """Frames that were sent."""

    async def write(self, point: str, value: float, occasion: Occasion) -> float:
        """Write ``value`` and return what was written after rounding; in DRY_RUN only the audit hears of it.

        Raises:
            GuardError: not permitted at the moment the frame would have been sent.
            RecordingError: its audit record could not be written, or that of its result; then nothing more may be.
            LinkError, MapError: see ``DeviceSession.write``.
        """
        if self._states.state is GuardState.DRY_RUN:
            self._audit.record("would_write", point=point, value=value, **self._about(occasion))
            self._sent(occasion)
            return value
        numbers: list[int] = []

        def before(planned: PlannedWrite) -> None:
            self._permit(occasion)
            numbers.append(self._tell(occasion, "write", planned))
            self.writes += 1
            self._sent(occasion)

        try:
            planned = await self._session.write(point, value, log=before)
        except HilError as error:
            if numbers:
                self._tell_result(occasion, "not_confirmed", numbers[-1], f"{type(error).__name__}: {error}")
            raise
        self._tell_result(occasion, "written", numbers[-1], None)
        return planned.written

    async def verify(self, point: str, written: float, tolerance: float) -> None:
        """Read a point back until it holds what was written; ``DeviationError`` where it does not within about 0.4 s."""
        if self._states.state is GuardState.DRY_RUN:
            return
        read = written
        for pause_s in _READ_BACK_PAUSES_S:
            await asyncio.sleep(pause_s)
            read = await self._session.read_back(point)
            if matches(read, written, tolerance):
                return
        msg = f"{self._device}: {point} holds {read:g} after {written:g} was written to it"
        raise DeviationError(msg)

    def _about(self, occasion: Occasion) -> dict[str, str | float | None]:
        identity = self._session.identity
        return {
            "device": self._device,
            "serial": None if identity is None else identity.serial,
            "command": occasion.command,
            "purpose": occasion.purpose.value,
            "why": occasion.why,
            "step": occasion.step,
            "who": self.who,
        }

    def _tell(self, occasion: Occasion, event: str, planned: PlannedWrite) -> int:
        record = self._audit.record if occasion.purpose is Purpose.COMMAND else self._audit.record_safe_state
        return record(
            event,
            point=planned.point,
            table=planned.table.value,
            address=planned.address,
            old=planned.old,
            value=planned.value,
            written=planned.written,
            raw=list(planned.registers),
            **self._about(occasion),
        )

    def _tell_result(self, occasion: Occasion, event: str, number: int, error: str | None) -> None:
        record = self._audit.record if occasion.purpose is Purpose.COMMAND else self._audit.record_safe_state
        record(event, of=number, device=self._device, error=error)
