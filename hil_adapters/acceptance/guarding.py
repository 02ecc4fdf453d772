"""The guard of a device under test, put together in this process, and the way an e-stop reaches it."""

import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from hil_adapters.acceptance.options import AcceptanceOptions
from hil_adapters.device.session import DeviceSession
from hil_adapters.guard.arming import ArmingDesk
from hil_adapters.guard.audit import Audit
from hil_adapters.guard.device_guard import DeviceGuard, Surroundings
from hil_adapters.guard.door import Door, Occasion
from hil_adapters.guard.feed import Feed
from hil_adapters.guard.messages import DeviceConfig, GuardianConfig, GuardState
from hil_adapters.guard.recording import Recording
from hil_adapters.guard.registry import register, socket_file, withdraw
from hil_adapters.guard.serving import Desk, GuardSocket
from hil_adapters.guard.states import DeviceStates
from hil_adapters.guard.telling import Events
from hil_adapters.maps.schema import RegisterMap

__all__ = ["EXPIRES_S", "Guarded", "guarded_device", "reachable"]

_FEED_TIMEOUT_S = 10.0
EXPIRES_S = 10.0
"""Longer than the longest turn of a guard on a slow line; where this process hangs no turn is taken at all [s]."""
_STEP_S = 0.01
"""Less than the time between two steps of the test, which are no steps of a simulation [s]."""
_ARMED_FOR_S = 3600.0
_WHO = "acceptance test"


class _Desk(ArmingDesk):
    """Arms without the report that this test makes."""

    @property
    def needs_report(self) -> bool:
        """No: it is being made."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A device and its guard."""

    config: GuardianConfig
    session: DeviceSession
    states: DeviceStates
    guard: DeviceGuard
    own_values: Door
    """For writing back what the device held before."""
    feed: Feed
    events: Events


def guarded_device(
    options: AcceptanceOptions,
    loaded: RegisterMap,
    *,
    audit: Audit,
    recording: Recording,
    permit: Callable[[Occasion], None],
) -> Guarded:
    """Return a device that is read only, and not connected.

    Args:
        options: of the test.
        loaded: map of the device.
        audit: gets a line before every write.
        recording: gets frames.
        permit: raises where a value that the device held before may not be written back at this moment.
    """
    device = DeviceConfig(
        name=loaded.name,
        map_file=options.map_file,
        target=options.target,
        unit=options.unit,
        serial=options.serial,
        emulated=False,
        limits=dict(options.limits),
    )
    config = GuardianConfig(
        devices=(device,),
        state=GuardState.ARMED,
        poll_s=options.poll_s,
        feed_timeout_s=_FEED_TIMEOUT_S,
        armed_for_s=_ARMED_FOR_S,
        folder=options.folder,
        step_s=_STEP_S,
    )
    session = DeviceSession(
        loaded, options.target, options.unit, serial=options.serial, observer=recording.observer(loaded.name)
    )
    states = DeviceStates(loaded.name, serial=options.serial, emulated=False, armed_for_s=_ARMED_FOR_S)
    desk = _Desk(device, config, states=states, loaded=loaded, wall_clock=lambda: dt.datetime.now(dt.UTC))
    feed, events = Feed(timeout_s=_FEED_TIMEOUT_S, step_s=_STEP_S), Events()
    shared = Surroundings(feed=feed, audit=audit, events=events, poll_s=options.poll_s, clock=time.monotonic)
    guard = DeviceGuard(device, session, states, desk=desk, shared=shared)
    own_values = Door(
        device=loaded.name,
        session=session,
        states=states,
        audit=audit,
        permit=permit,
        sent=lambda _occasion: None,  # what the device held before needs no release
    )
    guard.door.who = own_values.who = _WHO
    states.start(GuardState.READ_ONLY)
    return Guarded(
        config=config,
        session=session,
        states=states,
        guard=guard,
        own_values=own_values,
        feed=feed,
        events=events,
    )


@contextlib.asynccontextmanager
async def reachable(config: GuardianConfig, desk: Desk) -> AsyncIterator[None]:
    """Let an e-stop of this user reach ``desk`` within the block.

    Raises:
        GuardianError: there is no place for its socket.
    """
    path = socket_file()
    server = GuardSocket(path, desk)
    try:
        await server.start()
        register(path, config)
        yield
    finally:
        withdraw(path)
        await server.stop()
