"""Who belongs to which configuration: homes named, homes drawn, and what is not eligible."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.feeder.base import Feeder
from twin.assembly.homes import unknown
from twin.assembly.perimeters import Area, Perimeters
from twin.errors import InputError, Mistake
from twin.members import Role
from twin.plant import Plant
from twin.scenario import LoadedScenario, PlacedMember
from twin.scenario.community import CommunitySpec

__all__ = ["MemberRow", "Membership", "home_roles"]

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One home and the entry that made it a member."""

    home: int
    placed: PlacedMember


def home_roles(plant: Plant) -> tuple[Role, ...]:
    """Return the role of each home by its devices: prosumer with load and PV, producer with PV alone, else consumer."""
    has_load = np.isin(np.arange(plant.n_homes), plant.load_home)
    has_pv = np.isin(np.arange(plant.n_homes), plant.pv_home)
    words: dict[tuple[bool, bool], Role] = {(True, True): "prosumer", (False, True): "producer"}
    return tuple(
        words.get((bool(load), bool(pv)), "consumer") for load, pv in zip(has_load, has_pv, strict=True)
    )


class Membership:
    """Places all members of a scenario; ``mistakes`` holds everything that does not fit."""

    def __init__(self, loaded: LoadedScenario, feeder: Feeder, plant: Plant, order: IntArray) -> None:
        """Place the members.

        Args:
            loaded: the scenario.
            feeder: its network.
            plant: its homes and devices.
            order: all homes in random order, shape (H,); draws take the first ones that are eligible.
        """
        self._loaded, self._feeder, self._plant, self._order = loaded, feeder, plant, order
        self.perimeters = Perimeters(feeder)
        self.roles = home_roles(plant)
        self.mistakes: list[Mistake] = []
        self.rows: list[MemberRow] = []
        self._row_of_home: dict[int, MemberRow] = {}
        self._faulty: set[int] = set()
        self._home_named = {name: position for position, name in enumerate(plant.home_name)}
        self._place_named()
        self.areas: list[Area | None] = [
            self._area_of(position, spec) for position, spec in enumerate(loaded.scenario.communities)
        ]
        self._check_named()
        for placed in loaded.members:
            area = self.areas[placed.community]
            if placed.spec.is_drawn and area is not None:
                self._attempt(placed, "", partial(self._draw, placed, area))
        self._check_configurations()

    def _community(self, placed: PlacedMember) -> CommunitySpec:
        return self._loaded.scenario.communities[placed.community]

    def _note(self, community: int, field: str, message: str) -> None:
        self._faulty.add(community)
        self.mistakes.append(self._loaded.mistake(field, message))

    def _attempt(self, placed: PlacedMember, field: str, work: Callable[[], None]) -> None:
        try:
            work()
        except InputError as error:
            self._note(placed.community, placed.field + field, str(error))

    def _place_named(self) -> None:
        """Take the homes that are named, then those that fit a pattern and were not named in the same configuration."""
        for placed in self._loaded.members:
            if placed.spec.home is not None:
                self._attempt(placed, ".home", partial(self._take_named, placed))
        for placed in self._loaded.members:
            if placed.spec.match is not None and not placed.spec.is_drawn:
                self._attempt(placed, ".match", partial(self._take_matching, placed))

    def _take_named(self, placed: PlacedMember) -> None:
        name = str(placed.spec.home)
        if name not in self._home_named:
            raise unknown("home", name, self._plant.home_name)
        if f"{name} #2" in self._home_named:
            raise InputError(
                f"the network has several homes called {name!r}; rename them there, so that the name is clear"
            )
        self._take(placed, [self._home_named[name]])

    def _take_matching(self, placed: PlacedMember) -> None:
        names, pattern = self._plant.home_name, str(placed.spec.match)
        fits = [home for home, name in enumerate(names) if fnmatchcase(name, pattern)]
        if not fits:
            raise InputError(
                f"`match: {pattern}` fits none of the {len(names)} homes (first: {names[0]!r}); see `twin feeder`"
            )
        self._take(placed, [home for home in fits if not self._is_named_here(home, placed.community)])

    def _is_named_here(self, home: int, community: int) -> bool:
        row = self._row_of_home.get(home)
        return row is not None and row.placed.community == community and row.placed.spec.home is not None

    def _take(self, placed: PlacedMember, homes: Iterable[int]) -> None:
        taken: list[str] = []
        for home in homes:
            row = self._row_of_home.get(home)
            if row is None:
                self._row_of_home[home] = MemberRow(home, placed)
                self.rows.append(self._row_of_home[home])
            else:
                taken.append(f"{self._plant.home_name[home]!r} of {self._community(row.placed).name!r}")
        if taken:
            raise InputError(
                f"{_listed(taken)} cannot be a member of {self._community(placed).name!r} too; a home belongs to one "
                "configuration, so remove it from one of them"
            )

    def _area_of(self, position: int, spec: CommunitySpec) -> Area | None:
        """Return what bounds a configuration; None after noting why it cannot be told."""
        field = f"communities[{position}]" + ("" if spec.area is None else ".area")
        try:
            found = self._find_area(position, spec)
        except InputError as error:
            self._note(position, field, str(error))
            return None
        if found is None and position not in self._faulty:
            self._note(position, field, self._which_area(spec))
        return found

    def _find_area(self, position: int, spec: CommunitySpec) -> Area | None:
        """Return the area named, else that of the first member, else that of the first draw, else the only one."""
        perimeters = self.perimeters
        if spec.area is not None:
            return perimeters.named(spec.perimeter, spec.area)
        homes = [row.home for row in self.rows if row.placed.community == position]
        if homes:
            return perimeters.around(spec.perimeter, int(self._plant.home_bus[self._first_in_file(homes)]))
        within = [member.within for member in spec.members if member.within is not None]
        if within:
            bus = int(np.flatnonzero(perimeters.bus_below(within[0]))[0])
            return perimeters.around(spec.perimeter, bus)
        return perimeters.only(spec.perimeter)

    def _first_in_file(self, homes: list[int]) -> int:
        order = {placed.field: position for position, placed in enumerate(self._loaded.members)}
        return min(homes, key=lambda home: order[self._row_of_home[home].placed.field])

    def _which_area(self, spec: CommunitySpec) -> str:
        areas = self.perimeters.areas
        known = {"cp": areas.cp_name, "substation": areas.substation_name}.get(spec.perimeter, ())
        choice = f"; the feeder has {_listed([repr(name) for name in known])}" if known else ""
        return f"area is missing; write which {spec.perimeter_word} its homes are drawn from{choice}"

    def _check_named(self) -> None:
        """Note homes outside the perimeter, plants that are too large, and roles that are not the devices'."""
        by_entry: dict[str, list[int]] = {}
        for row in self.rows:
            by_entry.setdefault(row.placed.field, []).append(row.home)
        placed_at = {row.placed.field: row.placed for row in self.rows}
        for field, homes in by_entry.items():
            placed = placed_at[field]
            area = self.areas[placed.community]
            if area is not None:
                self._attempt(placed, "", partial(self._check_inside, placed, area, homes))
            self._attempt(placed, "", partial(self._check_plants, placed, homes))
            self._attempt(placed, ".role", partial(self._check_roles, placed, homes))

    def _check_inside(self, placed: PlacedMember, area: Area, homes: list[int]) -> None:
        spec, buses = self._community(placed), self._plant.home_bus
        outside = [home for home in homes if not area.inside[buses[home]]]
        if not outside:
            return
        perimeter = spec.perimeter
        where = [
            f"{self._plant.home_name[home]!r} ({self.perimeters.place_of(perimeter, int(buses[home]))})"
            for home in outside
        ]
        at = "at bus" if perimeter == "building" else f"under {spec.perimeter_word}"
        raise InputError(
            f"{_listed(where)} cannot be in {spec.name!r}, a {spec.kind} whose members are all {at} {area.name!r}; remove it, "
            "or give it a configuration of its own"
        )

    def _check_plants(self, placed: PlacedMember, homes: list[int]) -> None:
        spec, plant = self._community(placed), self._plant
        limit_kw = spec.max_plant_kw
        rated_kw = plant.pv_inverter.p_rated_kw
        large = np.flatnonzero(np.isin(plant.pv_home, homes) & (rated_kw > limit_kw))
        if len(large):
            plants = [
                f"plant {plant.pv_name[pv]!r} of home {plant.home_name[plant.pv_home[pv]]!r} has {rated_kw[pv]:.5g} kW"
                for pv in large.tolist()
            ]
            raise InputError(
                f"{_listed(plants)}; {spec.name!r} takes plants up to {limit_kw:g} kW (max_plant_kw), so remove the home or "
                "make the plant smaller"
            )

    def _check_roles(self, placed: PlacedMember, homes: list[int]) -> None:
        wanted = placed.spec.role
        other = [
            f"{self._plant.home_name[home]!r} is a {self.roles[home]} by its devices"
            for home in homes
            if wanted is not None and self.roles[home] != wanted
        ]
        if other:
            raise InputError(f"{_listed(other)}, not a {wanted}; change the role or the devices")

    def _draw(self, placed: PlacedMember, area: Area) -> None:
        spec = placed.spec
        eligible = self._eligible(placed, area)
        candidates = [home for home in self._order.tolist() if eligible[home]]
        if spec.share is not None:
            number = round(spec.share * len(candidates))
        else:
            number = 0 if spec.count is None else spec.count
        if not candidates or number > len(candidates):
            wanted = f"{number} homes" if spec.count is not None else "homes"
            kind = {"all": "", "pv": " with PV", "no_pv": " without PV"}[spec.among]
            raise InputError(
                f"draws {wanted}{kind} under {area.name!r}, and {len(candidates)} are eligible and in no configuration yet; "
                "lower the number or widen the area"
            )
        self._take(placed, candidates[:number])

    def _eligible(self, placed: PlacedMember, area: Area) -> BoolArray:
        """Return which homes a draw may take, shape (H,)."""
        spec, plant = placed.spec, self._plant
        eligible: BoolArray = area.inside[plant.home_bus]
        if spec.within is not None:
            eligible &= self.perimeters.bus_below(spec.within)[plant.home_bus]
        has_pv = np.isin(np.arange(plant.n_homes), plant.pv_home)
        if spec.match is not None:
            eligible &= np.array([fnmatchcase(name, spec.match) for name in plant.home_name], dtype=np.bool_)
        if spec.among != "all":
            eligible &= has_pv == (spec.among == "pv")
        if spec.role is not None:
            eligible &= np.array([role == spec.role for role in self.roles], dtype=np.bool_)
        eligible[plant.pv_home[plant.pv_inverter.p_rated_kw > self._community(placed).max_plant_kw]] = False
        eligible[list(self._row_of_home)] = False
        return eligible

    def _check_configurations(self) -> None:
        """Note configurations in which nobody can share with anybody."""
        for position, spec in enumerate(self._loaded.scenario.communities):
            if position in self._faulty:
                continue
            roles = [self.roles[row.home] for row in self.rows if row.placed.community == position]
            lacking = ""
            if not any(role in {"producer", "prosumer"} for role in roles):
                lacking = "no member with a plant (PV)"
            elif not any(role in {"consumer", "prosumer"} for role in roles):
                lacking = "no member that consumes"
            elif len(roles) == 1:
                lacking = "one member alone"
            if lacking:
                self._note(
                    position,
                    f"communities[{position}].members",
                    f"{spec.name!r} has {lacking}, so nothing can be shared; a {spec.kind} needs a producer and a consumer",
                )


def _listed(parts: list[str]) -> str:
    shown = ", ".join(parts[:_SHOWN])
    return shown if len(parts) <= _SHOWN else f"{shown} and {len(parts) - _SHOWN} more"
