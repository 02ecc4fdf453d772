"""Which units answer at an address, and which register maps fit them. Only reads."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from hil_adapters.acceptance.looking import rank_of
from hil_adapters.acceptance.snapshot import readable_points
from hil_adapters.device.identity import Identity
from hil_adapters.device.pool import LinkPool
from hil_adapters.device.session import DeviceSession
from hil_adapters.errors import (
    ExceptionReplyError,
    HilError,
    LinkLostError,
    LinkTimeoutError,
    ProtocolViolationError,
)
from hil_adapters.maps.loader import load_map, map_names
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.samples import NOTHING, Quality
from hil_adapters.wire.base import ModbusLink, Table, Target
from hil_adapters.wire.links import open_link
from hil_adapters.wire.pdu import read_request

__all__ = ["MapFit", "UnitFound", "scan_units"]

_GATEWAY = frozenset({10, 11})
_PROBES = ((Table.HOLDING, 40000, 2), (Table.HOLDING, 0, 1), (Table.INPUT, 0, 1))
"""Reads of which a device answers at least one, if only with an exception."""
_LEAST_SHARE = 0.8
"""A map fits when it gives at least this share of what it promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFit:
    """A register map that fits a unit."""

    name: str
    good: int
    """Signals and commands that the device has."""
    of: int
    """Those that the map names."""
    identity: Identity
    """What the device says it is, read with this map."""
    rank: tuple[int, int]
    """Larger fits better; see :func:`rank_of`."""

    @property
    def share(self) -> float:
        """``good`` of ``of``; 0 to 1."""
        return self.good / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFound:
    """One unit that answers."""

    unit: int
    fits: tuple[MapFit, ...]
    """Maps that fit, best first."""


async def scan_units(target: Target, units: Iterable[int], *, timeout_s: float) -> AsyncIterator[UnitFound]:
    """Yield the units that answer, one after another.

    Args:
        target: where they are.
        units: unit identifiers to try.
        timeout_s: for each request; a unit that is not there costs up to three of them [s].

    Raises:
        LinkLostError: nobody takes a connection there.
    """
    link = open_link(target)
    try:
        await link.open()
        for unit in units:
            if await _answers(link, unit, timeout_s=timeout_s):
                yield UnitFound(unit=unit, fits=await _fits(target, link, unit, timeout_s=timeout_s))
    finally:
        await link.close()


async def _answers(link: ModbusLink, unit: int, *, timeout_s: float) -> bool:
    """Return whether a unit answers anything of its own."""
    for table, address, count in _PROBES:
        await link.open()
        try:
            await link.request(unit, read_request(table, address, count), timeout_s=timeout_s)
        except ExceptionReplyError as error:
            # a gateway that speaks for an absent unit says the same to every probe
            return error.code not in _GATEWAY
        except (LinkTimeoutError, LinkLostError, ProtocolViolationError):
            continue
        return True
    return False


async def _fits(target: Target, link: ModbusLink, unit: int, *, timeout_s: float) -> tuple[MapFit, ...]:
    """Return the shipped maps that fit a unit, best first; the link of the scan is given over meanwhile."""
    # a device may take one client only
    await link.close()
    pool = LinkPool(open_link)
    loaded = [load_map(name) for name in map_names()]
    discovering = [each for each in loaded if each.discovery is not None]
    written = [each for each in loaded if each.discovery is None]
    # a device that says of what it consists need not be compared with the maps of other makers
    for candidates in (discovering, written):
        tried = [await _fit(_hurried(each, timeout_s), target, unit, pool) for each in candidates]
        found = [fit for fit in tried if fit is not None]
        if found:
            return tuple(sorted(found, key=lambda fit: fit.rank, reverse=True))
    return ()


def _hurried(register_map: RegisterMap, timeout_s: float) -> RegisterMap:
    link = register_map.link.model_copy(update={"timeout_s": timeout_s})
    return register_map.model_copy(update={"link": link})


async def _fit(register_map: RegisterMap, target: Target, unit: int, pool: LinkPool) -> MapFit | None:
    """Return how far a map fits; None where the device does not say who it is, or most of its signals are not there."""
    session = DeviceSession(register_map, target, unit, pool=pool)
    try:
        await session.connect()
        identity = session.identity
        if identity is None or not _says_something(identity):
            return None
        await session.poll("fast")
        await session.poll("slow")
    except HilError:
        return None
    finally:
        await session.close()
    signals = session.signals()
    good = sum(sample.quality is not Quality.BAD for sample in signals.values()) + len(_commands(session))
    of = len(register_map.signals) + len(register_map.commands)
    rank = rank_of(signals, good=good, of=of)
    fit = MapFit(name=register_map.name, good=good, of=of, identity=identity, rank=rank)
    return fit if _has_the_main_thing(register_map, session) and fit.share >= _needed(register_map) else None


def _says_something(identity: Identity) -> bool:
    said = (identity.manufacturer, identity.model, identity.version, identity.serial)
    return any(text not in {None, "", "0"} for text in said)


def _has_the_main_thing(register_map: RegisterMap, session: DeviceSession) -> bool:
    """Return whether nothing is lacking that makes the kind: its power, its state of charge, its commands."""
    needed = {name for name in ("p_kw", "soc") if name in register_map.signals}
    return needed <= set(session.map.signals) and set(register_map.commands) <= _commands(session)


def _commands(session: DeviceSession) -> set[str]:
    """Return the commands of which the device gives every point that can be read."""
    values = session.values
    readable = set(readable_points(session.map))
    return {
        name
        for name, command in session.map.commands.items()
        if all(
            write.point not in readable or values.get(str(write.point), NOTHING).quality is not Quality.BAD
            for write in command.writes
        )
    }


def _needed(register_map: RegisterMap) -> float:
    """Return the least share; maps that discover their points name many alternatives of which a device has some."""
    return _LEAST_SHARE if register_map.discovery is None else _LEAST_SHARE / 2.0
