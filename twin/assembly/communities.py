"""Configurations of a scenario in arrays: members, plants, what reaches them and when."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.feeder.base import Feeder
from twin.assembly.contracts import Appliances, contract_powers
from twin.assembly.membership import MemberRow, Membership
from twin.clock import (
    end_of_steps_s,
    first_step_from,
    is_whole_steps,
    local_iso,
    local_time,
    step_at,
    utc_s,
    whole_seconds,
)
from twin.errors import Mistake, ScenarioError
from twin.members import NOBODY, Communities, Role
from twin.plant import Plant
from twin.scenario import LoadedScenario, MemberSpec

__all__ = ["build_communities"]

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_EPOCH = dt.date(1970, 1, 1).toordinal()


def build_communities(
    loaded: LoadedScenario, feeder: Feeder, *, plant: Plant, appliances: Appliances
) -> Communities:
    """Return the configurations of a scenario; ``appliances`` count for contract powers that are not given.

    Raises:
        ScenarioError: with every mistake found: homes that do not exist, belong to two configurations or lie outside the
            perimeter, plants that are too large, dates outside the run.
    """
    specs = loaded.scenario.communities
    if not specs:
        return NOBODY
    # the first two children of the seed place loads and devices
    seeds = np.random.SeedSequence(loaded.scenario.seed).spawn(3)[2].spawn(3)
    order, opt_out_order, silent_order = (
        np.random.default_rng(seed).permutation(plant.n_homes) for seed in seeds
    )
    membership = Membership(loaded, feeder, plant, order)
    rows = sorted(membership.rows, key=lambda row: (row.placed.community, row.home))
    entries = _Entries(loaded, plant, rows)
    mistakes = [*membership.mistakes, *entries.mistakes]
    if mistakes:
        raise ScenarioError(sorted(mistakes, key=_in_file_order))
    found = _with_members(_configurations(loaded, membership), plant, rows, entries, membership.roles)
    given_kw = [row.placed.spec.contract_kw for row in rows]
    contract_kw, contract_notes = contract_powers(plant, found.member_home, given_kw, appliances=appliances)
    found = replace(
        found,
        member_contract_kw=contract_kw,
        member_opted_out=entries.opted_out(opt_out_order),
        silent=entries.silent(silent_order),
    )
    plants = _Plants(loaded, plant, rows)
    notes = (*contract_notes, *_plant_notes(feeder, plant, plants), *_area_notes(membership), *entries.notes)
    return replace(
        found,
        plant_pv=plants.pv,
        plant_member=plants.member,
        plant_kw=plant.pv_inverter.p_rated_kw[plants.pv],
        plant_entered_day=plants.entered_day,
        plant_grant_share=plants.grant_share,
        notes=notes,
    )


def _configurations(loaded: LoadedScenario, membership: Membership) -> Communities:
    """Return the configurations without members."""
    specs = loaded.scenario.communities
    areas = [area for area in membership.areas if area is not None]
    return Communities(
        name=tuple(spec.name for spec in specs),
        kind=tuple(spec.kind for spec in specs),
        perimeter=tuple(spec.perimeter for spec in specs),
        area=tuple(area.name for area in areas),
        cp=np.array([area.cp for area in areas], dtype=np.int64),
        cp_name=membership.perimeters.areas.cp_name,
        zone=loaded.scenario.market_zone,
    )


def _with_members(
    communities: Communities,
    plant: Plant,
    rows: Sequence[MemberRow],
    entries: "_Entries",
    roles: tuple[Role, ...],
) -> Communities:
    """Return the configurations with what each row says of its member; draws and contracts are left out."""
    home = np.array([row.home for row in rows], dtype=np.int64)
    specs = [row.placed.spec for row in rows]
    return replace(
        communities,
        member_home=home,
        member_community=np.array([row.placed.community for row in rows], dtype=np.int64),
        member_kind=tuple(spec.kind for spec in specs),
        member_role=tuple(roles[row.home] for row in rows),
        member_invest_eur=np.array([spec.invest_eur for spec in specs], dtype=np.float64),
        member_first_step=entries.first_step,
        member_end_step=entries.end_step,
        member_reserve_share=np.array([spec.reserve_share for spec in specs], dtype=np.float64),
        member_delay_steps=np.array([step_at(spec.delay_s, plant.dt_s) for spec in specs], dtype=np.int64),
    )


def _in_file_order(mistake: Mistake) -> tuple[str, int]:
    return mistake.file, 0 if mistake.line is None else mistake.line


class _Entries:
    """Times and draws of the member entries, in the order of the rows."""

    def __init__(self, loaded: LoadedScenario, plant: Plant, rows: Sequence[MemberRow]) -> None:
        self._loaded, self._plant, self._rows = loaded, plant, rows
        self.mistakes: list[Mistake] = []
        self.notes: list[str] = []
        self._end_utc_s = plant.start_utc_s + end_of_steps_s(plant.n_steps, plant.dt_s)
        for spec, field in {row.placed.field: (row.placed.spec, row.placed.field) for row in rows}.values():
            self._check(spec, field)
        self.first_step = self._steps("joined", 0)
        self.end_step = self._steps("left", plant.n_steps)
        self._of_entry: dict[tuple[int, int], list[int]] = {}
        for position, row in enumerate(rows):
            self._of_entry.setdefault((row.placed.community, row.placed.entry), []).append(position)

    def opted_out(self, order: IntArray) -> BoolArray:
        """Return who has opted out, shape (M,); ``order`` holds the homes in the order of the draw."""
        opted_out = np.array([row.placed.spec.opted_out for row in self._rows], dtype=np.bool_)
        for key, members in self._of_entry.items():
            share = self._entry(key).opted_out_share
            if share is not None:
                opted_out[self._drawn(members, share, order)] = True
        return opted_out

    def silent(self, order: IntArray) -> IntArray:
        """Return (member, first step, first step after) of every span, shape (S, 3)."""
        spans: list[tuple[int, int, int]] = []
        plant = self._plant
        for key, members in self._of_entry.items():
            spec = self._entry(key)
            chosen = members if spec.silent_share is None else self._drawn(members, spec.silent_share, order)
            for span in spec.silent:
                first = step_at(utc_s(span.from_) - plant.start_utc_s, plant.dt_s)
                end = first_step_from(utc_s(span.to) - plant.start_utc_s, plant.dt_s)
                first, end = max(first, 0), min(end, plant.n_steps)
                if first < end:
                    spans += [(member, first, end) for member in chosen]
                else:
                    self.notes.append(
                        f"Members of {self._loaded.scenario.communities[key[0]].name!r} are silent from "
                        f"{span.from_.isoformat()} to {span.to.isoformat()}, which is outside the run and has no effect."
                    )
        return np.array(sorted(spans), dtype=np.int64).reshape(-1, 3)

    def _entry(self, key: tuple[int, int]) -> MemberSpec:
        community, entry = key
        return self._loaded.scenario.communities[community].members[entry]

    def _drawn(self, members: list[int], share: float, order: IntArray) -> list[int]:
        """Return a share of members: the first ones of ``order``, so that a smaller share lies in a larger."""
        rank = np.argsort(order)
        by_rank = sorted(members, key=lambda member: int(rank[self._rows[member].home]))
        return by_rank[: round(share * len(members))]

    def _steps(self, field: str, default: int) -> IntArray:
        plant = self._plant
        steps = [
            default if day is None else step_at(utc_s(day) - plant.start_utc_s, plant.dt_s)
            for day in (getattr(row.placed.spec, field) for row in self._rows)
        ]
        return np.clip(np.array(steps, dtype=np.int64), 0, plant.n_steps)

    def _check(self, spec: MemberSpec, field: str) -> None:
        plant = self._plant
        run = f"the run lasts from {local_iso(plant.start_utc_s)} to {local_iso(self._end_utc_s)}"
        if spec.joined is not None and utc_s(spec.joined) >= self._end_utc_s:
            self._note(
                f"{field}.joined",
                f"joins on {spec.joined}, after the end; {run}, so remove the member or change the date",
            )
        if spec.left is not None and utc_s(spec.left) <= plant.start_utc_s:
            self._note(
                f"{field}.left",
                f"left on {spec.left}, before the start; {run}, so remove the member or change the date",
            )
        if not is_whole_steps(spec.delay_s, plant.dt_s):
            before_s = whole_seconds(step_at(spec.delay_s, plant.dt_s), plant.dt_s)
            after_s = whole_seconds(step_at(spec.delay_s, plant.dt_s) + 1, plant.dt_s)
            self._note(
                f"{field}.delay_s",
                f"must be whole steps of {plant.dt_s} s (got {spec.delay_s} s); use {before_s} or {after_s} s",
            )

    def _note(self, field: str, message: str) -> None:
        self.mistakes.append(self._loaded.mistake(field, message))


class _Plants:
    """The PV generators behind the meters of members, shape (U,) each, in the order of the members."""

    def __init__(self, loaded: LoadedScenario, plant: Plant, rows: Sequence[MemberRow]) -> None:
        member_of_home = np.full(plant.n_homes, -1, dtype=np.int64)
        member_of_home[[row.home for row in rows]] = np.arange(len(rows))
        member = member_of_home[plant.pv_home]
        pv = np.flatnonzero(member >= 0)
        self.pv: IntArray = pv[np.argsort(member[pv], kind="stable")].astype(np.int64)
        self.member: IntArray = member[self.pv]
        first_day = local_time(plant.start_utc_s).date()
        specs = loaded.scenario.communities
        days, grants = [], []
        self.n_assumed = 0
        for position in self.member.tolist():
            placed = rows[position].placed
            community = specs[placed.community]
            since = community.plants_since if placed.spec.plants_since is None else placed.spec.plants_since
            self.n_assumed += since is None
            days.append((first_day if since is None else since).toordinal() - _EPOCH)
            grants.append(community.grant_share)
        self.entered_day: IntArray = np.array(days, dtype=np.int64)
        self.grant_share: FloatArray = np.array(grants, dtype=np.float64)


def _plant_notes(feeder: Feeder, plant: Plant, plants: _Plants) -> list[str]:
    notes: list[str] = []
    kinds = dict(zip(feeder.devices.sgen_name, feeder.devices.sgen_kind, strict=True))
    others = [
        plant.pv_name[pv]
        for pv in plants.pv.tolist()
        if not kinds.get(plant.pv_name[pv], "PV").upper().startswith("PV")
    ]
    if others:
        notes.append(
            f"{len(others)} generator(s) of members are no PV by the network's own word, or it has none (first: {others[0]!r}, "
            f"{kinds[others[0]]!r}); they count as plants and are paid as PV is."
        )
    if plants.n_assumed:
        notes.append(
            f"{plants.n_assumed} plant(s) of members are taken to enter into service on the first day of the run; "
            "`plants_since` says otherwise."
        )
    return notes


def _area_notes(membership: Membership) -> list[str]:
    areas = membership.perimeters.areas
    used = {area.cp for area in membership.areas if area is not None}
    assumed = [areas.cp_name[cp] for cp in sorted(used) if not areas.cp_upstream_known[cp]]
    if not assumed:
        return []
    names = ", ".join(repr(name) for name in assumed)
    text = f"The network holds no HV/MV transformer above {names}; all that is connected there counts as one area."
    return [text]
