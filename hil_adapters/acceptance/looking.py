"""A look at one device: who it is, everything it says, and of what its SunSpec map consists. Only reads."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hil_adapters.acceptance.snapshot import PointReading, snapshot
from hil_adapters.device.identity import Identity
from hil_adapters.device.session import DeviceSession
from hil_adapters.errors import LinkLostError, MapError
from hil_adapters.maps.binding import resolve
from hil_adapters.maps.loader import load_map, map_names
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.samples import Sample
from hil_adapters.sunspec.chain import Chain
from hil_adapters.sunspec.discovery import discover
from hil_adapters.sunspec.overlay import chain_map
from hil_adapters.wire.base import Target
from hil_adapters.wire.links import open_link

__all__ = ["Exploration", "Look", "best_map", "explore", "look_at", "rank_of", "who_answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a device said."""

    target: Target
    unit: int
    map: RegisterMap
    """Resolved: the points that the device has."""
    identity: Identity
    readings: tuple[PointReading, ...]
    signals: dict[str, Sample]
    """In the twin's units, consumption positive; empty where only some points were asked for."""

    @property
    def says_anything(self) -> bool:
        """Whether at least one of the points that were read has a value."""
        return any(reading.value is not None for reading in self.readings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """A SunSpec device."""

    look: Look
    chain: Chain


async def look_at(
    register_map: RegisterMap, target: Target, unit: int, *, points: Sequence[str] | None = None
) -> Look:
    """Connect, identify, and read every point once, or those of ``points``.

    Raises:
        LinkError: the device does not answer.
        MapError: the map does not fit, or has no such point.
    """
    session = DeviceSession(register_map, target, unit)
    try:
        await session.connect()
        identity = session.identity
        if identity is None:
            raise LinkLostError(f"{target}, unit {unit}: the connection was lost; try again")
        readings = await snapshot(session, points)
        if points is None:
            await session.poll("slow")
            await session.poll("fast")
        return Look(
            target=target,
            unit=unit,
            map=session.map,
            identity=identity,
            readings=readings,
            signals=session.signals() if points is None else {},
        )
    finally:
        await session.close()


async def who_answers(
    register_map: RegisterMap, target: Target, unit: int, *, serial: str | None = None
) -> Identity:
    """Connect and return who answers; nothing but the identity is read.

    Raises:
        LinkError: the device does not answer. IdentityError: another serial number than ``serial`` does.
        MapError: the map does not fit.
    """
    session = DeviceSession(register_map, target, unit, serial=serial)
    try:
        await session.connect()
        if session.identity is None:
            raise LinkLostError(f"{target}, unit {unit}: the connection was lost; try again")
        return session.identity
    finally:
        await session.close()


async def explore(target: Target, unit: int, *, timeout_s: float = 1.0) -> Exploration:
    """Find the SunSpec models of a device and read all their points, with the shipped map that fits best.

    Raises:
        LinkError: it does not answer.
        MapError: it is no SunSpec device.
    """
    link = open_link(target)
    try:
        await link.open()
        chain = await discover(link, unit, timeout_s=timeout_s)
    finally:
        await link.close()
    return Exploration(look=await look_at(best_map(chain), target, unit), chain=chain)


def rank_of(signals: Collection[str], *, good: int, of: int) -> tuple[int, int]:
    """Return how well a map fits, to be compared: a state of charge that is there must be told, then few gaps count.

    Args:
        signals: those of the map that the device has.
        good: signals and commands of the map that the device has.
        of: those that the map names.
    """
    return int("soc" in signals), good - 2 * (of - good)


def best_map(chain: Chain) -> RegisterMap:
    """Return the shipped map that fits a chain of models best; one whose commands are all there, if any.

    Raises:
        MapError: none has anything to do with it.
    """
    ranked: list[tuple[bool, tuple[int, int], RegisterMap]] = []
    for name in map_names():
        loaded = load_map(name)
        if loaded.discovery is None:
            continue
        try:
            found = resolve(chain_map(loaded, chain))
        except MapError:
            continue
        whole = set(loaded.commands) == set(found.commands) and "p_kw" in found.signals
        good, of = (len(each.signals) + len(each.commands) for each in (found, loaded))
        ranked.append((whole, rank_of(found.signals, good=good, of=of), loaded))
    if not ranked:
        models = ", ".join(str(model.model) for model in chain.models)
        raise MapError(f"no shipped map has anything of the SunSpec models {models}; write a map for it")
    return max(ranked, key=lambda entry: entry[:2])[2]
