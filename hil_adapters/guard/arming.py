"""What a guardian checks before it arms a device."""

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict

from hil_adapters.device.events import SessionState
from hil_adapters.errors import GuardError
from hil_adapters.guard.door import GuardedSession
from hil_adapters.guard.evidence import load_report, map_sha256, objections, release_objection
from hil_adapters.guard.locks import DeviceLock
from hil_adapters.guard.messages import DeviceConfig, GuardianConfig
from hil_adapters.guard.sequences import safe_state_objections
from hil_adapters.guard.states import ArmingCase, DeviceStates
from hil_adapters.maps.binding import watchdog_of
from hil_adapters.maps.schema import RegisterMap

__all__ = ["ArmingDesk"]


class ArmingDesk:
    """Arms one device, holds its lock while it is armed, and knows which commands its acceptance test allows."""

    def __init__(
        self,
        config: DeviceConfig,
        guardian: GuardianConfig,
        *,
        states: DeviceStates,
        loaded: RegisterMap,
        wall_clock: Callable[[], dt.datetime],
    ) -> None:
        self._config = config
        self._guardian = guardian
        self._states = states
        self._digest = map_sha256(loaded)
        self._wall_clock = wall_clock
        self._lock: DeviceLock | None = None
        self._allowed: frozenset[str] | None = None
        self.remarks: tuple[str, ...] = ()
        """Why commands of the map were not allowed when the device was armed."""

    @property
    def needs_report(self) -> bool:
        """Whether a passed acceptance test must be shown: for every device that this run did not start itself."""
        return not self._config.emulated

    def allows(self, command: str) -> bool:
        """Return whether a command may be written; before the first arming (dry run) every one of the map."""
        return self._allowed is None or command in self._allowed

    def arm(self, session: GuardedSession, confirmation: str, *, now_s: float) -> None:
        """Arm; ``GuardError`` with everything that speaks against it."""
        against: list[str] = []
        allowed: set[str] = set()
        identified = session.state is SessionState.IDENTIFIED
        if identified:
            against += self._configuration(session.map)
            refused = self._evidence(session, against) if self.needs_report else {}
            remarks: list[str] = []
            for command in session.map.commands:
                reasons = (*safe_state_objections(session.map, command), *refused.get(command, ()))
                reasons += self._traffic(session.map, command) if not reasons else ()
                remarks += reasons
                if not reasons:
                    allowed.add(command)
            if not allowed and (remarks or not self._config.emulated):
                # an emulated device that only tells is part of a run like any other
                against += remarks or ["its register map has no commands"]
            self.remarks = tuple(remarks)
        case = ArmingCase(identified=identified, objections=tuple(against), confirmation=confirmation)
        self._take_lock()
        try:
            self._states.arm(case, now_s=now_s)
        except GuardError:
            self.leave()
            raise
        self._allowed = frozenset(allowed)

    def leave(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _take_lock(self) -> None:
        if self._lock is None:
            config = self._config
            # emulated devices of one kind share a serial number, and each run has its own of them
            key = f"{config.target} unit {config.unit}"
            if config.serial is not None and not config.emulated:
                key = f"serial number {config.serial}"
            self._lock = DeviceLock(key)

    def _configuration(self, register_map: RegisterMap) -> list[str]:
        known = {*register_map.commands, *register_map.signals}
        found = [
            f"it has no {name}, for which the lab has set a limit; correct the name"
            for name in self._config.limits
            if name not in known
        ]
        if self._config.emulated:
            return found
        if self._config.serial is None:
            found.append("no serial number is configured; an address does not say which device answers")
        if self._guardian.step_s is None:
            found.append(
                "the time of a step is not configured; a run faster than real time could not be noticed"
            )
        return found

    def _evidence(self, session: GuardedSession, against: list[str]) -> dict[str, tuple[str, ...]]:
        """Add what the acceptance report has against the device; return what it has against commands."""
        file, identity = self._config.acceptance_file, session.identity
        if file is None or identity is None:
            against.append("it has no acceptance report; run `twin device check` and name its file")
            return {}
        try:
            report = load_report(file)
        except GuardError as error:
            against.append(str(error))
            return {}
        against += objections(report, identity=asdict(identity), digest=self._digest, now=self._wall_clock())
        found: dict[str, tuple[str, ...]] = {}
        for command in session.map.commands:
            watchdog = watchdog_of(session.map, command)
            objection = (
                None if watchdog is None else release_objection(report, command, timeout_s=watchdog.timeout_s)
            )
            if objection is not None:
                found[command] = (objection,)
        return found

    def _traffic(self, register_map: RegisterMap, command: str) -> tuple[str, ...]:
        watchdog = watchdog_of(register_map, command)
        if watchdog is None or watchdog.kind != "traffic" or self._guardian.poll_s <= watchdog.timeout_s / 2:
            return ()
        return (f"{command}: polling every {self._guardian.poll_s:g} s is too slow for its traffic watchdog",)
