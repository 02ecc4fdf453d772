"""Finding out which device answers, and which points it has. Only reads."""

from collections.abc import Callable
from importlib import import_module

from hil_adapters.device.exchange import Exchange
from hil_adapters.device.identity import Identity, fingerprint_of, identity_points
from hil_adapters.device.pool import SharedLink
from hil_adapters.errors import ExceptionReplyError
from hil_adapters.maps.binding import resolve
from hil_adapters.maps.blocks import BlockDecoder
from hil_adapters.maps.plan import read_plan
from hil_adapters.maps.schema import RegisterMap
from hil_adapters.wire.codes import PERMANENT

__all__ = ["identify"]

Said = dict[str, str]
Fingerprint = Callable[[Said], str]


async def identify(
    map_: RegisterMap, exchange: Exchange, link: SharedLink, unit: int
) -> tuple[RegisterMap, Identity]:
    """Return the map with the points that the device has, and who the device says it is.

    Raises:
        LinkError: the device does not answer.
        MapError: the map does not fit the device.
    """
    found, fingerprint = await _points_of_device(map_, link, unit)
    found = resolve(found)
    said: Said = {}
    for part, name in identity_points(found).items():
        text = await _read_text(found, exchange, name)
        if text is not None:
            said[part] = text
    shared = {part: text for part, text in said.items() if part != "serial"}
    identity = Identity(
        manufacturer=said.get("manufacturer"),
        model=said.get("model"),
        version=said.get("version"),
        serial=said.get("serial"),
        fingerprint=fingerprint(shared) if fingerprint is not None else fingerprint_of(found, shared),
    )
    return found, identity


async def _points_of_device(
    map_: RegisterMap, link: SharedLink, unit: int
) -> tuple[RegisterMap, Fingerprint | None]:
    """Return the map filled in by discovery, and how such a device's fingerprint is made."""
    if map_.discovery is None:
        return map_, None
    # the definitions of SunSpec come from an optional package; maps that need no discovery do without it
    discovery = import_module("hil_adapters.sunspec.discovery")
    overlay = import_module("hil_adapters.sunspec.overlay")
    chains = import_module("hil_adapters.sunspec.chain")
    chain = await discovery.discover(link, unit, bases=map_.discovery.bases, timeout_s=map_.link.timeout_s)
    found: RegisterMap = overlay.chain_map(map_, chain)
    return found, lambda said: str(chains.fingerprint(chain, said))[:16]


async def _read_text(map_: RegisterMap, exchange: Exchange, name: str) -> str | None:
    """Return the value of a point as text; None where the device has none."""
    (block,) = read_plan(map_, (name,))
    try:
        registers = await exchange.read(block.table, block.address, block.count)
    except ExceptionReplyError as error:
        if error.code in PERMANENT:
            return None
        raise
    value = BlockDecoder(map_, block).decode(registers)[name]
    if value is None or isinstance(value, str):
        return value
    return f"{value:.0f}" if value.is_integer() else repr(value)
