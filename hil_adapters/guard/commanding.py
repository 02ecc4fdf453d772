"""The commands of one device: what is asked, under which rules, and what becomes of it."""

import math
from collections.abc import Callable, Mapping

from hil_adapters.device.events import SessionState
from hil_adapters.errors import ExceptionReplyError, GuardError, HilError, LinkError, RecordingError
from hil_adapters.guard.book import CommandRecord, Decision
from hil_adapters.guard.door import DeviationError, Door, GuardedSession, Occasion, Purpose
from hil_adapters.guard.messages import DeviceConfig
from hil_adapters.guard.oversight import Oversight
from hil_adapters.guard.rules import (
    RATINGS,
    Range,
    Refused,
    admit,
    command_range,
    narrow_by_soc,
    unknown_bound,
)
from hil_adapters.guard.sequences import Aim, Sequences, points_of_command
from hil_adapters.guard.telling import Teller
from hil_adapters.maps.binding import safe_writes, watchdog_of
from hil_adapters.samples import NOTHING, Quality

__all__ = ["Commanding"]

_RETRY_S = 0.5
_TOLERATED = 3
"""Writes in a row that a device did not do; then the guard trips."""
_AWAY = frozenset((5, 6, 10, 11))
"""Exception codes of a device that is busy, or of a gateway that does not reach it."""
_REJECTIONS = frozenset((1, 2, 3))
"""Exception codes after which the same write would bring the same answer."""


class Commanding:
    """Brings commands of one device into force and lets go of them. Whether it may is asked elsewhere, at every frame."""

    def __init__(
        self,
        config: DeviceConfig,
        session: GuardedSession,
        door: Door,
        *,
        teller: Teller,
        oversight: Oversight,
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._session = session
        self._teller = teller
        self._oversight = oversight
        self._clock = clock
        self._sequences = Sequences(session, door, clock=clock, note=lambda text: teller.once("note", text))
        self._book: dict[str, CommandRecord] = {}
        self._learnt: set[tuple[str, int]] = set()
        self._failures = 0

    # ------------------------------------------------------------------ what is known

    @property
    def records(self) -> list[CommandRecord]:
        """Every command that was ever asked."""
        return list(self._book.values())

    @property
    def touched(self) -> list[CommandRecord]:
        """Commands of which something may be in force in the device."""
        return [record for record in self._book.values() if record.touched]

    def record(self, command: str) -> CommandRecord:
        """Return the record of a command that was asked."""
        return self._book[command]

    def touch(self, command: str) -> None:
        """A frame of this command is about to leave."""
        self._book[command].touched = True

    def commanded(self) -> dict[str, float]:
        """Return what is in force, written and read back, by command in its unit."""
        return {
            record.command: record.commanded
            for record in self._book.values()
            if record.in_force and record.commanded is not None
        }

    # ------------------------------------------------------------------ asked

    def ask(
        self, values: Mapping[str, float], *, allows: Callable[[str], bool], expires_s: float, step: int
    ) -> None:
        """Take set-points that hold until ``expires_s`` on the clock [s]; what is refused is told."""
        for command, value in values.items():
            if command not in self._session.map.commands:
                self._teller.refuse(
                    command, f"{command}: the register map of this device has no such command"
                )
            elif not allows(command):
                self._teller.refuse(command, f"{command}: was not allowed when the device was armed")
            elif math.isnan(value):
                self._teller.refuse(command, f"{command}: is not a number")
            else:
                self._known(command).ask(value, expires_s=expires_s, step=step)

    def forget(self) -> None:
        """Drop everything that was asked; what is in force must still be let go of."""
        self._failures = 0
        for record in self._book.values():
            record.forget()

    def lost(self) -> None:
        """The device answers on another connection: what it holds is not known."""
        for record in self._book.values():
            record.lost()

    # ------------------------------------------------------------------ turns

    async def serve(self, *, now_s: float) -> str | None:
        """Do what is due for every command; return why to trip, None where that is not needed.

        Raises:
            RecordingError: the audit cannot be written.
        """
        for record in self.records:
            if record.expire(now_s=now_s):
                self._teller.tell(f"{record.command}: the set-point has expired")
            if self._session.state is not SessionState.IDENTIFIED:
                continue
            decision = record.decide(now_s=now_s)
            try:
                await self._act(record, decision)
            except RecordingError:
                raise
            except HilError as error:
                reason = self._failed(record, error, decision)
                if reason is not None:
                    return reason
        return None

    async def let_go(self, reason: str) -> bool:
        """Bring the device to its safe state; return whether it confirmed that for every command."""
        confirmed = True
        for record in self.touched:
            try:
                await self._release(record, reason)
            except HilError as error:
                confirmed = False
                record.lost()
                self._teller.once("safe state", f"{record.command}: the safe state is not confirmed: {error}")
        return confirmed

    async def _act(self, record: CommandRecord, decision: Decision) -> None:
        if decision is Decision.RELEASE:
            await self._release(
                record, "nothing is asked any more" if record.wanted is None else "no limit is asked"
            )
        elif decision in {Decision.APPLY, Decision.FOLLOW} and record.wanted is not None:
            await self._bring(record, record.wanted, decision)

    async def _release(self, record: CommandRecord, reason: str) -> None:
        self._oversight.begin_again()
        occasion = Occasion(command=record.command, why=reason, step=record.step, purpose=Purpose.SAFE)
        await self._sequences.let_go(record, safe_writes(self._session.map, record.command), occasion)

    async def _bring(self, record: CommandRecord, wanted: float, decision: Decision) -> None:
        await self._learn(record.command)
        allowed = self._allowed(record.command)
        if isinstance(allowed, Refused):
            self._drop(record, allowed)
            return
        verdict = admit(record.command, wanted, allowed)
        if isinstance(verdict, Refused):
            self._drop(record, verdict)
            return
        clamp = f"clamp {record.command}"
        for note in verdict.notes:
            self._teller.once(clamp, note)
        if not verdict.notes:
            self._teller.settle(clamp)
        if decision is Decision.APPLY:
            self._oversight.begin_again()
        why = "set-point"
        if decision is Decision.APPLY:
            why = "refresh" if record.in_force else "brought into force"
        lab = self._config.limits.get(record.command)
        await self._sequences.bring(
            record,
            Aim(value=verdict.value, allowed=allowed, lab=lab, whole=decision),
            Occasion(command=record.command, why=why, step=record.step, purpose=Purpose.COMMAND),
        )
        if decision is Decision.APPLY:
            record.mismatched = False
            self._failures = 0
            self._teller.settle(record.command, "state", f"failed {record.command}")

    async def _learn(self, command: str) -> None:
        """Read what a command is judged by, where polling has not come to it (again); once on a connection."""
        if (command, self._session.connection) in self._learnt:
            return
        self._learnt.add((command, self._session.connection))
        register_map, values = self._session.map, self._session.values
        references = [
            register_map.signals[name].point
            for name in dict.fromkeys((*RATINGS, "soc", "p_kw", *self._config.limits))
            if name in register_map.signals
        ]
        references += [
            write.percent_of for write in register_map.commands[command].writes if write.percent_of
        ]
        missing = [
            name
            for name in dict.fromkeys(str(reference) for reference in references)
            if values.get(name, NOTHING).quality is not Quality.GOOD
        ]
        if missing:
            await self._session.read(missing)

    def _drop(self, record: CommandRecord, refused: Refused) -> None:
        """Refuse what is asked; what is in force for an older set-point is let go of at the next turn."""
        record.must_release = record.touched
        self._teller.refuse(record.command, refused.reason)

    def _allowed(self, command: str) -> Range | Refused:
        rival = self._rival(command)
        if rival is not None:
            return Refused(f"{command}: {rival} is in force and uses the same registers; release it first")
        signals = self._session.signals()
        allowed = command_range(command, lab=self._config.limits.get(command), signals=signals)
        unknown = unknown_bound(self._config.limits, signals)
        if unknown is not None:
            return Refused(f"{command}: {unknown}")
        bounded = "soc" in self._config.limits or self._session.map.kind == "battery"
        if bounded and not isinstance(allowed, Refused):
            bounds = self._config.limits.get("soc")
            return narrow_by_soc(command, allowed, bounds=bounds, soc=signals.get("soc"))
        return allowed

    def _rival(self, command: str) -> str | None:
        """Return another command that is in force through the same points."""
        mine = points_of_command(self._session.map, command)
        for record in self.touched:
            if record.command != command and mine & points_of_command(self._session.map, record.command):
                return record.command
        return None

    def _known(self, command: str) -> CommandRecord:
        if command not in self._book:
            self._book[command] = CommandRecord(
                command=command, watchdog=watchdog_of(self._session.map, command)
            )
        return self._book[command]

    def _failed(self, record: CommandRecord, error: HilError, decision: Decision) -> str | None:
        record.not_before_s = self._clock() + _RETRY_S
        rejected = isinstance(error, ExceptionReplyError) and error.code in _REJECTIONS
        # a set-point may be refused; a device that refuses to be let go of does not do what it must
        if rejected and decision is not Decision.RELEASE:
            record.rejected = record.wanted
            self._teller.refuse(record.command, f"{record.command}: the device refuses it: {error}")
            return None
        record.lost()
        if isinstance(error, GuardError) and not isinstance(error, DeviationError):
            record.must_release = record.touched
            self._teller.refuse(record.command, str(error))
            return None
        self._teller.once(f"failed {record.command}", f"{record.command}: {error}")
        if _is_passing(error):
            return None
        self._failures += 1
        return None if self._failures < _TOLERATED else f"{record.command}: {error}"


def _is_passing(error: HilError) -> bool:
    """Return whether the device is only away or busy: its connection opens again, its watchdog is there meanwhile.

    A device that fails, or does not do what is written to it, is another matter.
    """
    if isinstance(error, ExceptionReplyError):
        return error.code in _AWAY
    return isinstance(error, LinkError)
