"""From what is in force in emulated devices to a proposal for the whole plant."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twin.control.base import Controller, FloatArray, Observation, Proposal, Site
from twin.control.rules import self_consumption_kw
from twin.external.emulated import Command
from twin.external.slots import Role, Slot

__all__ = ["OwnControl", "proposal_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnControl:
    """Who decides where the outside does not."""

    others: Controller
    """The devices of all other homes."""
    takes_surplus: bool
    """Whether a battery without a command takes the surplus and covers the deficit of its home; else it rests."""


def proposal_of(
    seen: Observation,
    commands: Mapping[str, Command],
    *,
    site: Site,
    slots: Sequence[Slot],
    own: OwnControl,
) -> Proposal:
    """Return what is asked of all devices: of the emulated ones what is in force, of the others what ``own`` says."""
    base = own.others.decide(seen)
    battery_kw = np.array(base.battery_kw, dtype=np.float64)
    limit_kw = _copied(base.pv_limit_kw, len(site.pv_home))
    appliance_kw = _copied(base.appliance_kw, len(site.appliance_home))
    for slot in slots:
        command = commands.get(slot.name, Command())
        if slot.role is Role.PV:
            limit_kw[slot.position] = _feed_in_kw(command)
        elif slot.role is Role.APPLIANCE:
            appliance_kw[slot.position] = _least(command.p_set_kw, command.p_limit_kw)
    own_kw = _own_kw(seen, site, limit_kw) if own.takes_surplus else np.zeros(len(site.battery_home))
    for slot in slots:
        if slot.role is Role.BATTERY:
            command = commands.get(slot.name, Command())
            battery_kw[slot.position] = _storage_kw(command, float(own_kw[slot.position]))
    return Proposal(
        battery_kw=battery_kw,
        pv_limit_kw=limit_kw,
        appliance_kw=appliance_kw if len(appliance_kw) else None,
    )


def _copied(values: FloatArray | None, count: int) -> FloatArray:
    return np.full(count, np.inf) if values is None else np.array(values, dtype=np.float64)


def _least(*limits: float | None) -> float:
    return min((limit for limit in limits if limit is not None), default=math.inf)


def _feed_in_kw(command: Command) -> float:
    """Return the largest feed-in: a set-point of feed-in is a limit too, since the sun gives no more than it has."""
    set_kw = None if command.p_set_kw is None else -command.p_set_kw
    return max(_least(command.p_limit_kw, set_kw), 0.0)


def _storage_kw(command: Command, own_kw: float) -> float:
    """Return the set-point of a battery; a limit holds back what it feeds in."""
    wish_kw = own_kw if command.p_set_kw is None else command.p_set_kw
    return wish_kw if command.p_limit_kw is None else max(wish_kw, -command.p_limit_kw)


def _own_kw(seen: Observation, site: Site, limit_kw: FloatArray) -> FloatArray:
    """Return what each battery does by itself, shape (B,): its home's meter rests at 0 where it can."""
    allowed_kw = np.zeros(site.n_homes)
    np.add.at(allowed_kw, site.pv_home, limit_kw)
    feed_in_kw = np.minimum(-seen.pv_kw, allowed_kw)
    return self_consumption_kw(site, seen.load_kw - feed_in_kw, soc=seen.soc)
