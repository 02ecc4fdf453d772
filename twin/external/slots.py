"""Which devices of a home are emulated, with which register map, and at which address."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from twin.control.base import Site
from twin.virtual.standalone import is_loopback

__all__ = ["Faults", "Role", "Slot", "Wanted", "check_address", "is_file", "slots_of"]

Faults = str | Sequence[Mapping[str, Any]]
"""What a device does wrong: a file, or a list of rules."""

_NOT_EMULATED: Final = "none"
_NAMED_HOMES: Final = 3
_PORTS: Final = range(65536)
_UNITS: Final = range(1, 248)
_METER_ROOM_KW: Final = 25.0
"""Room in the registers of a meter for the loads of a home [kW]."""


class Role(StrEnum):
    """What a device is to the home."""

    METER = "meter"
    PV = "pv"
    BATTERY = "battery"
    APPLIANCE = "appliance"


_MAPS: Final[Mapping[str, str]] = MappingProxyType(
    {Role.METER: "sunspec_meter", Role.PV: "sunspec_pv", Role.BATTERY: "sunspec_battery"}
)
"""Register map of each role unless the user says another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a user writes."""

    home: str
    maps: Mapping[str, str]
    """By role, or by name of an appliance; ``none`` leaves a role out."""
    port: int
    ports: Mapping[str, int]
    """By name of a device."""
    units: Mapping[str, int]
    """By name of a device."""
    rated_kw: Mapping[str, float]
    """By name: of the meter and of appliances."""
    faults: Mapping[str, Faults]
    """By name of a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One emulated device."""

    name: str
    """``meter``, ``pv``, ``battery`` (numbered from 1 where a home has several), or the appliance's own."""
    role: Role
    position: int
    """Of the home, the PV generator, the battery or the appliance."""
    map: str
    port: int
    """0: any free one, shared by all devices that have 0 and no faults."""
    unit: int
    nameplate: Mapping[str, float]
    faults: Faults | None = None

    @property
    def server(self) -> int | str:
        """Devices with the same one answer at the same port; faults on the wire need one of their own."""
        return self.name if self.port == 0 and self.faults is not None else self.port


def slots_of(site: Site, wanted: Wanted) -> tuple[Slot, ...]:
    """Return the devices of the home, meter first.

    Raises:
        ValueError: the home or a device is not known, nothing is left to emulate, or two share an address.
    """
    home = _home(site, wanted.home)
    found = list(_devices(site, home, wanted))
    names = [name for name, _, _ in found]
    _refuse_unknown("ports", wanted.ports, names)
    _refuse_unknown("units", wanted.units, names)
    _refuse_unknown("faults", wanted.faults, names)
    _refuse_unknown("rated_kw", wanted.rated_kw, [*names, Role.METER])
    slots = tuple(
        Slot(
            name=name,
            role=role,
            position=position,
            map=wanted.maps.get(name, wanted.maps.get(role, _MAPS.get(role, ""))),
            port=_whole("ports", wanted.ports.get(name, wanted.port), allowed=_PORTS),
            unit=_whole("units", wanted.units.get(name, number), allowed=_UNITS),
            nameplate=_nameplate(site, role, position, wanted=wanted, name=name),
            faults=_faults(name, wanted.faults.get(name)),
        )
        for number, (name, role, position) in enumerate(found, start=1)
    )
    _refuse_twins(slots)
    return slots


def is_file(map_: str) -> bool:
    """Return whether a register map is a user's own file, not the name of a shipped one."""
    return map_.endswith((".yaml", ".yml"))


def check_address(host: str, allow: Sequence[str]) -> None:
    """Refuse an address that others can reach without a list of who may connect.

    Raises:
        ValueError: there is no such list, or an entry is not an address.
    """
    for entry in allow:
        try:
            ipaddress.ip_network(entry, strict=False)
        except ValueError:
            raise ValueError(
                f"allow: {entry!r} is not an address or a network such as 192.168.1.0/24"
            ) from None
    if not is_loopback(host) and not allow:
        raise ValueError(
            f"host: {host} can be reached from other machines; say which of them may connect with "
            "allow: [192.168.1.0/24]"
        )


def _home(site: Site, name: str) -> int:
    if name in site.home_name:
        return site.home_name.index(name)
    some = ", ".join(site.home_name[:_NAMED_HOMES])
    more = " ..." if site.n_homes > _NAMED_HOMES else ""
    raise ValueError(
        f"home: there is no home {name!r}{_did_you_mean(name, site.home_name)}; there are {some}{more}"
    )


def _devices(site: Site, home: int, wanted: Wanted) -> Iterator[tuple[str, Role, int]]:
    """Yield name, role and position of each device that is emulated."""
    own = [position for position, at in enumerate(site.appliance_home) if at == home]
    appliances = {site.appliance_name[position]: position for position in own}
    _refuse_unknown("maps", wanted.maps, [*_MAPS, *appliances])
    of_role: dict[Role, Sequence[int]] = {
        Role.METER: [home],
        Role.PV: [position for position, at in enumerate(site.pv_home) if at == home],
        Role.BATTERY: [position for position, at in enumerate(site.battery_home) if at == home],
    }
    for role, positions in of_role.items():
        if wanted.maps.get(role) == _NOT_EMULATED:
            continue
        if not positions and role in wanted.maps:
            raise ValueError(f"maps: {wanted.home!r} has no {role}; remove the entry")
        for number, position in enumerate(positions, start=1):
            yield (role.value if len(positions) == 1 else f"{role}-{number}", role, position)
    for name, position in appliances.items():
        if wanted.maps.get(name, _NOT_EMULATED) != _NOT_EMULATED:
            yield name, Role.APPLIANCE, position


def _nameplate(site: Site, role: Role, position: int, *, wanted: Wanted, name: str) -> Mapping[str, float]:
    if role is Role.PV:
        rated_kw = float(site.pv_rated_kw[position])
        return {"p_rated_kw": rated_kw, "s_rated_kva": rated_kw}
    if role is Role.BATTERY:
        fleet = site.battery
        return {
            "charge_kw": float(fleet.charge_kw[position]),
            "discharge_kw": float(fleet.discharge_kw[position]),
            "capacity_kwh": float(fleet.capacity_kwh[position]),
        }
    if role is Role.APPLIANCE and name not in wanted.rated_kw:
        raise ValueError(
            f"rated_kw: {name!r} has none; give what its plate says, e.g. rated_kw: {{{name}: 11}}"
        )
    rated_kw = wanted.rated_kw.get(name, _room_kw(site, position))
    if isinstance(rated_kw, bool) or not isinstance(rated_kw, int | float) or not rated_kw > 0.0:
        raise ValueError(f"rated_kw: {name}: must be a number above 0 (got {rated_kw!r})")
    return {"p_rated_kw": float(rated_kw)}


def _room_kw(site: Site, home: int) -> float:
    """Return what the registers of a meter have room for: its devices at once, and loads."""
    fleet, of_home = site.battery, site.battery_home == home
    largest_kw = max(float(fleet.charge_kw[of_home].sum()), float(fleet.discharge_kw[of_home].sum()))
    return _METER_ROOM_KW + largest_kw + float(site.pv_rated_kw[site.pv_home == home].sum())


def _refuse_unknown(what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ValueError(
                f"{what}: the home has no device {name!r}{_did_you_mean(name, known)}; it has {', '.join(known)}"
            )


def _refuse_twins(slots: Sequence[Slot]) -> None:
    if not any(slot.role is not Role.METER for slot in slots):
        raise ValueError(
            "home: nothing is left to control; it needs a battery, a PV generator or an appliance with a map"
        )
    for slot in slots:
        others = [other.name for other in slots if other is not slot and other.server == slot.server]
        if slot.faults is not None and others:
            raise ValueError(
                f"faults: {slot.name} shares port {slot.port} with {', '.join(others)}; give it its own"
            )
    seen: dict[tuple[int | str, int], str] = {}
    for slot in slots:
        other = seen.setdefault((slot.server, slot.unit), slot.name)
        if other != slot.name:
            raise ValueError(
                f"units: {other} and {slot.name} have port {slot.port} and unit {slot.unit}; give one another unit"
            )


def _faults(name: str, given: object) -> Faults | None:
    if given is None or isinstance(given, str):
        return given
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"faults: {name}: must be a file or a list of rules (got {given!r})")
    return tuple(given)


def _whole(what: str, value: object, *, allowed: range) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise ValueError(
            f"{what}: must be a whole number from {allowed.start} to {allowed.stop - 1} (got {value!r})"
        )
    return value


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, [str(name) for name in known], n=1)
    return f", did you mean {close[0]!r}?" if close else ""
