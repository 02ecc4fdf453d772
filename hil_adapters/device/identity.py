"""Which device answers. A session remembers whom it met first and accepts nobody else."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields

from hil_adapters.errors import IdentityError
from hil_adapters.maps.schema import RegisterMap, candidates
from hil_adapters.wire.base import Target

__all__ = ["Identity", "check_same", "check_serial", "fingerprint_of", "identity_points"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a device says it is; None where its map names no point for it, or the point has no value."""

    manufacturer: str | None = None
    model: str | None = None
    version: str | None = None
    serial: str | None = None
    fingerprint: str
    """Of the register map in the device: changes with its layout, manufacturer, model and version."""

    def __str__(self) -> str:
        """Return it as a person reads it."""
        said = " ".join(part for part in (self.manufacturer, self.model, self.version) if part)
        return f"{said or 'a device without a name'}, serial number {self.serial or 'unknown'}"


def identity_points(map_: RegisterMap) -> dict[str, str]:
    """Return the point behind each part of the identity (``manufacturer``, ``model``, ``version``, ``serial``).

    The map is a resolved one; a part whose points the device has not is left out.
    """
    known = {point.name for point in map_.points}
    found: dict[str, str] = {}
    for part, ref in map_.identity.items():
        names = [name for name in candidates(ref) if name in known]
        if names:
            found[part] = names[0]
    return found


def fingerprint_of(map_: RegisterMap, said: Mapping[str, str | None]) -> str:
    """Return the fingerprint of a device whose map is a file: of its points and of what the device says it is.

    The serial number is left out, so that two devices of one make and firmware have the same fingerprint.
    """
    digest = hashlib.sha256()
    for point in map_.points:
        digest.update(f"{point.name} {point.table} {point.address} {point.type}\n".encode())
    for part in ("manufacturer", "model", "version"):
        digest.update(f"{part} {said.get(part)}\n".encode())
    return digest.hexdigest()[:16]


def check_serial(seen: Identity, serial: str, target: Target) -> None:
    """Raise where another device answers than the one whose serial number is expected.

    Raises:
        IdentityError: another serial number, or none.
    """
    if seen.serial is None:
        raise IdentityError(
            f"{target}: the device tells no serial number ({seen}), and {serial} is expected; "
            "name the point of the serial number under identity in the map, or correct the map"
        )
    if seen.serial != serial:
        raise IdentityError(
            f"{target}: serial number {seen.serial} answers ({seen}), and {serial} is expected; "
            "check address, unit and cabling, or correct the serial number"
        )


def check_same(seen: Identity, first: Identity, target: Target) -> None:
    """Raise where something else answers than at the first connection.

    Raises:
        IdentityError: names every part that differs.
    """
    changes = [
        f"{part.name} {getattr(first, part.name)} -> {getattr(seen, part.name)}"
        for part in fields(Identity)
        if getattr(first, part.name) != getattr(seen, part.name)
    ]
    if changes:
        raise IdentityError(
            f"{target}: something else answers than at the first connection ({'; '.join(changes)}); "
            "after an exchange or a change of firmware test the device again and start a new run"
        )
