"""From a guardian's configuration to its devices: maps, sessions, guards, and what they share."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import math
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hil_adapters.device.events import Cycle
from hil_adapters.device.pool import LinkPool
from hil_adapters.errors import GuardianError
from hil_adapters.guard.arming import ArmingDesk
from hil_adapters.guard.audit import Audit
from hil_adapters.guard.device_guard import DeviceGuard, Surroundings
from hil_adapters.guard.feed import Feed
from hil_adapters.guard.knocking import KnockingSession
from hil_adapters.guard.messages import DeviceConfig, GuardianConfig
from hil_adapters.guard.recording import Recording
from hil_adapters.guard.states import DeviceStates
from hil_adapters.guard.telling import Events
from hil_adapters.maps.loader import load_map
from hil_adapters.wire.base import RtuOverTcpTarget, Target, TcpTarget
from hil_adapters.wire.links import open_link

__all__ = ["Devices", "assembled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The devices of a guardian and what they share."""

    guards: dict[str, DeviceGuard]
    sessions: dict[str, KnockingSession]
    feed: Feed
    events: Events
    audit: Audit
    recording: Recording
    poll_s: float

    def polling(self) -> list[Coroutine[Any, Any, None]]:
        """Return the work that reads each device until it is cancelled."""
        return [self._poll(name) for name in self.sessions]

    async def close(self) -> None:
        """Give every link back."""
        await asyncio.gather(*(session.close() for session in self.sessions.values()))

    async def _poll(self, name: str) -> None:
        guard = self.guards[name]

        async def after(cycle: Cycle) -> None:
            guard.heard(cycle, trouble=self.sessions[name].trouble)
            self.recording.keep(name, guard.image().signals)
            error = self.recording.take_error()
            if error is not None:
                self.events.tell(error)

        await self.sessions[name].run(self.poll_s, after)


@contextlib.contextmanager
def assembled(config: GuardianConfig) -> Iterator[Devices]:
    """Give the devices of a configuration; nothing is sent yet.

    Raises:
        GuardianError: the configuration contradicts itself.
        MapError: a register map is wrong. RecordingError: the folder cannot be written to.
    """
    _check(config)
    events = Events()
    audit = Audit(config.folder)
    try:
        feed = Feed(timeout_s=config.feed_timeout_s, step_s=config.step_s)
        shared = Surroundings(
            feed=feed, audit=audit, events=events, poll_s=config.poll_s, clock=time.monotonic
        )
        audit.record(
            "start",
            state=config.state.value,
            devices=", ".join(device.name for device in config.devices),
            feed_timeout_s=config.feed_timeout_s,
            armed_for_s=config.armed_for_s,
        )
        with Recording(config.folder) as recording:
            pool = LinkPool(open_link)
            guards: dict[str, DeviceGuard] = {}
            sessions: dict[str, KnockingSession] = {}
            for device in config.devices:
                sessions[device.name], guards[device.name] = _device(
                    device, config, shared=shared, pool=pool, recording=recording
                )
            yield Devices(
                guards=guards,
                sessions=sessions,
                feed=feed,
                events=events,
                audit=audit,
                recording=recording,
                poll_s=config.poll_s,
            )
    finally:
        audit.close()


def _device(
    device: DeviceConfig,
    config: GuardianConfig,
    *,
    shared: Surroundings,
    pool: LinkPool,
    recording: Recording,
) -> tuple[KnockingSession, DeviceGuard]:
    loaded = load_map(device.map_file)
    session = KnockingSession(
        loaded,
        _target(device),
        device.unit,
        serial=device.serial,
        observer=recording.observer(device.name),
        pool=pool,
    )
    states = DeviceStates(
        device.name, serial=device.serial, emulated=device.emulated, armed_for_s=config.armed_for_s
    )
    desk = ArmingDesk(
        device, config, states=states, loaded=loaded, wall_clock=lambda: dt.datetime.now(dt.UTC)
    )
    guard = DeviceGuard(device, session, states, desk=desk, shared=shared)
    states.start(config.state)
    return session, guard


def _target(device: DeviceConfig) -> Target:
    if device.tls is None:
        return device.target
    if not isinstance(device.target, TcpTarget):
        raise GuardianError(f"{device.name}: TLS runs over TCP only, not over {device.target}")
    from hil_adapters.wire.tls import client_context  # noqa: PLC0415 - most devices speak without TLS

    context = client_context(device.tls.authority, cert=device.tls.certificate, key=device.tls.key)
    return replace(device.target, tls=context)


def _check(config: GuardianConfig) -> None:
    names = [device.name for device in config.devices]
    if not names or len(set(names)) != len(names):
        raise GuardianError("a guardian needs at least one device, each with a name of its own")
    for device in config.devices:
        _check_address(device)
        for command, limit in device.limits.items():
            if not limit.low <= limit.high or (limit.ramp_per_s is not None and not limit.ramp_per_s > 0.0):
                msg = f"{device.name}: {command}: limits from {limit.low} to {limit.high} with a ramp of "
                raise GuardianError(f"{msg}{limit.ramp_per_s} per s allow nothing; correct them")
    for name, value_s in (
        ("poll_s", config.poll_s),
        ("feed_timeout_s", config.feed_timeout_s),
        ("armed_for_s", config.armed_for_s),
        ("step_s", config.step_s),
    ):
        if value_s is not None and not 0.0 < value_s < math.inf:
            raise GuardianError(f"{name}: is {value_s}; it must be a time above zero")


def _check_address(device: DeviceConfig) -> None:
    """Refuse an emulated device, which is armed without evidence, where a real one could answer."""
    if not device.emulated:
        return
    host = device.target.host if isinstance(device.target, TcpTarget | RtuOverTcpTarget) else None
    try:
        is_here = host is not None and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        is_here = False
    if not is_here:
        raise GuardianError(
            f"{device.name}: is emulated, and {device.target} is not this computer; a real device needs its evidence"
        )
