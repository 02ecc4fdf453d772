"""Plays a strategy in a closed loop with its batteries and writes down what it does."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.battery import power_limits_kw
from twin.conformance.plants import Case
from twin.control import Controller, Forecast, Observation, Proposal, Site, checked
from twin.control.forecast import forecast_kind
from twin.control.rehearsal import rehearse
from twin.errors import ControllerError, InputError

__all__ = ["Failure", "Keep", "Played", "Watch", "copy_of", "play"]

FloatArray = NDArray[np.float64]

_TOLERANCE_KW = 1e-6
_VOLTAGE_DROP_PU_KW = 0.004
"""Makes a voltage of the meter of each home, so that strategies that follow the voltage have something to follow."""
_SEEN_ARRAYS = ("load_kw", "pv_kw", "soc", "vm_pu", "grid_kw", "age_steps")


class Keep(Enum):
    """What is kept of a play."""

    PROPOSALS = "proposals"
    NOTHING = "nothing"
    """For measuring memory."""


def _same(seen: Observation) -> Observation:
    return seen


def _nothing(seen: Observation) -> None:
    del seen


def _no_clock() -> float:
    return 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Watch:
    """How a strategy is played."""

    alter: Callable[[Observation], Observation] = _same
    """Changes what the strategy sees."""
    before: Callable[[Observation], None] = _nothing
    """Called before each question."""
    after: Callable[[Observation], None] = _nothing
    """Called after each answer."""
    forecast: Callable[[Controller], Forecast] | None = None
    """Makes the forecast; that of the case unless given."""
    clock: Callable[[], float] = _no_clock
    """Seconds, to measure ``decide``."""
    stop_after: int | None = None
    """Steps to play; all of the case unless given."""
    writable: bool = False
    """Hand out copies that may be written, to a strategy that is known to write into what it sees."""
    keep: Keep = Keep.PROPOSALS


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a strategy could not be played to the end."""

    where: str
    """In the construction, or in which step."""
    what: str
    """The exception, with file and line."""
    refused: bool
    """It refused the plant at its construction."""
    wrote: bool
    """It tried to write into an array that it was shown."""

    @property
    def text(self) -> str:
        """Where it failed and why."""
        return f"{self.where}: {self.what}"


@dataclass(kw_only=True, eq=False)
class Played:
    """What a strategy did."""

    n_steps: int = 0
    """Steps that were answered with a valid proposal."""
    failure: Failure | None = None
    proposals: list[bytes] = field(default_factory=list)
    """The bits of each proposal."""
    battery_kw: list[FloatArray] = field(default_factory=list)
    beyond_limits: int = 0
    """Set-points that the battery cannot follow for the step."""
    beyond_rating: int = 0
    """Those among them that no state of charge allows."""
    asked: int = 0
    """Set-points in all."""
    worst_beyond_kw: float = 0.0
    changed: set[str] = field(default_factory=set)
    """Arrays of the strategy's surroundings that it wrote into."""
    ahead_steps: int = 0
    """Longest window that it asked for, counted from the present step."""
    peeks: int = 0
    """Windows of load and PV that start after the present step."""
    kind: str = ""
    """Kind of its forecast."""
    decide_s: list[float] = field(default_factory=list)


class _Enough(Exception):  # noqa: N818 - ends a play, it is no error
    """As many steps as were wanted."""


def play(make: Callable[[Site], Controller], case: Case, watch: Watch | None = None) -> Played:
    """Return what a fresh controller does on a case; whatever it raises is part of it.

    Site, forecast and observations are copies, so that a strategy that writes into them spoils nothing.
    """
    watch = Watch() if watch is None else watch
    played = Played()
    site = copy_of(case.site)
    watched: _Watched | None = None
    try:
        controller = make(site)
        played.kind = forecast_kind(controller)
        watched = _Watched(controller, site, watch, played)
        rehearse(
            watched,
            site,
            pv_available_kw=case.pv_available_kw,
            soc_start=case.soc_start,
            forecast=case.forecast(controller) if watch.forecast is None else watch.forecast(controller),
        )
    except _Enough:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a strategy raises is a finding
        played.failure = Failure(
            where="construction" if watched is None else f"step {played.n_steps}",
            what=f"{type(error).__name__}: {error}{_place(error)}",
            refused=watched is None and isinstance(error, InputError),
            wrote=isinstance(error, ValueError) and "read-only" in str(error),
        )
    played.changed |= {f"site.{name}" for name in _differing(case.site, site)}
    return played


class _Watched:
    """Stands between the loop and the strategy."""

    def __init__(self, inner: Controller, site: Site, watch: Watch, played: Played) -> None:
        self._inner, self._site, self._watch, self._played = inner, site, watch, played

    def decide(self, seen: Observation) -> Proposal:
        watch, played = self._watch, self._played
        if watch.stop_after is not None and played.n_steps >= watch.stop_after:
            raise _Enough
        forecast = _WatchedForecast(seen.forecast, played)
        shown = _sealed(replace(watch.alter(_with_voltage(seen)), forecast=forecast), writable=watch.writable)
        unchanged = {name: _bytes(getattr(shown, name)) for name in _SEEN_ARRAYS}
        watch.before(shown)
        start_s = watch.clock()
        proposal = self._inner.decide(shown)
        if watch.keep is Keep.PROPOSALS:
            played.decide_s.append(watch.clock() - start_s)
        if not watch.writable:
            played.changed |= {
                name for name in _SEEN_ARRAYS if _bytes(getattr(shown, name)) != unchanged[name]
            }
        valid = checked(proposal, self._site)
        self._write_down(valid, seen)
        watch.after(shown)
        return valid

    def _write_down(self, proposal: Proposal, seen: Observation) -> None:
        played, fleet, battery_kw = self._played, self._site.battery, proposal.battery_kw
        lowest_kw, highest_kw = power_limits_kw(fleet, seen.soc, self._site.dt_s)
        beyond_kw = np.maximum(lowest_kw - battery_kw, battery_kw - highest_kw)
        over_kw = np.maximum(-fleet.discharge_kw - battery_kw, battery_kw - fleet.charge_kw)
        played.beyond_limits += int((beyond_kw > _TOLERANCE_KW).sum())
        played.beyond_rating += int((over_kw > _TOLERANCE_KW).sum())
        played.asked += len(battery_kw)
        played.worst_beyond_kw = max(played.worst_beyond_kw, float(beyond_kw.max(initial=0.0)))
        if self._watch.keep is Keep.PROPOSALS:
            played.proposals.append(_bytes(battery_kw) + _bytes(proposal.pv_limit_kw))
            played.battery_kw.append(battery_kw.copy())
        played.n_steps += 1


class _WatchedForecast:
    """Counts what is asked for, and shows the attributes of the forecast as they are in a run."""

    def __init__(self, inner: Forecast, played: Played) -> None:
        self.__dict__.update(vars(inner))
        self._inner, self._played = inner, played

    def window(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        self._note(step, horizon)
        self._played.peeks += step > self._played.n_steps
        return self._inner.window(step, horizon)

    def prices(self, step: int, horizon: int) -> tuple[FloatArray, FloatArray]:
        self._note(step, horizon)
        return self._inner.prices(step, horizon)

    def _note(self, step: int, horizon: int) -> None:
        self._played.ahead_steps = max(self._played.ahead_steps, step + horizon - self._played.n_steps)


def _with_voltage(seen: Observation) -> Observation:
    """Let the voltage follow the meter, and have both measured in the first step as well."""
    grid_kw = np.where(np.isnan(seen.grid_kw), seen.load_kw + seen.pv_kw, seen.grid_kw)
    return replace(seen, grid_kw=grid_kw, vm_pu=1.0 - _VOLTAGE_DROP_PU_KW * grid_kw)


def _sealed(seen: Observation, *, writable: bool) -> Observation:
    arrays: dict[str, Any] = {}
    for name in _SEEN_ARRAYS:
        value = getattr(seen, name)
        if value is not None:
            arrays[name] = np.array(value)
            arrays[name].flags.writeable = writable
    return replace(seen, **arrays)


def _bytes(values: NDArray[Any] | None) -> bytes:
    return b"" if values is None else values.tobytes()


def copy_of(site: Site) -> Site:
    """Return a site with arrays of its own, also in what it holds."""
    copies: dict[str, Any] = {}
    for entry in fields(site):
        value = getattr(site, entry.name)
        if isinstance(value, np.ndarray):
            copies[entry.name] = value.copy()
        elif is_dataclass(value) and not isinstance(value, type):
            inner = {e.name: getattr(value, e.name) for e in fields(value)}
            copies[entry.name] = replace(
                value, **{name: part.copy() for name, part in inner.items() if isinstance(part, np.ndarray)}
            )
    return replace(site, **copies)


def _differing(one: Any, other: Any) -> set[str]:
    """Return the names of the arrays that differ between two dataclasses of a kind."""
    names: set[str] = set()
    for entry in fields(one):
        left, right = getattr(one, entry.name), getattr(other, entry.name)
        if isinstance(left, np.ndarray):
            if left.tobytes() != right.tobytes():
                names.add(entry.name)
        elif is_dataclass(left):
            names |= {f"{entry.name}.{name}" for name in _differing(left, right)}
    return names


def _place(error: BaseException) -> str:
    """Return file and line where an error was raised, as an author looks for it."""
    if isinstance(error, ControllerError):
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
