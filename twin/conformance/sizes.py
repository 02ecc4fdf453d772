"""Checks on plants and runs of unusual size."""

from dataclasses import dataclass
from datetime import date

from twin.clock import utc_s
from twin.conformance.bench import LEVEL_CEMS, Bench, failed, passed
from twin.conformance.plants import Case, synthetic_case, without_batteries, without_communities
from twin.conformance.results import CheckResult
from twin.conformance.watch import Watch

__all__ = ["SIZES", "Size", "no_communities", "on_size"]

_HOUR_S, _QUARTER_HOUR_S = 3600, 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A plant to try."""

    id: str
    title: str
    case: Case
    stop_after: int | None = None
    remedy: str


SIZES: tuple[Size, ...] = (
    Size(
        id="no_batteries",
        title="a plant without batteries",
        case=without_batteries(synthetic_case("plant without batteries", n_steps=24, dt_s=_HOUR_S)),
        remedy="return an array of shape (0,): start from np.zeros(site.battery.n); empty arrays have no max() or mean()",
    ),
    Size(
        id="one_home",
        title="one home",
        case=synthetic_case("one home", n_homes=1, n_steps=24, dt_s=_HOUR_S),
        remedy="do not take for granted that there are other homes, or communities with more than one member",
    ),
    Size(
        id="many_homes",
        title="500 homes",
        case=synthetic_case("500 homes", n_homes=500, n_steps=96, dt_s=_QUARTER_HOUR_S),
        stop_after=2,
        remedy="take the number of homes and devices from the site, and work on whole arrays",
    ),
    Size(
        id="short_run",
        title="a run of three steps: windows end with it",
        case=synthetic_case("three steps", n_steps=3, dt_s=_HOUR_S),
        remedy="windows of the forecast get shorter towards the end of the run: use len(load_kw), not the horizon",
    ),
    Size(
        id="day_of_23_h",
        title="a day of 23 hours",
        case=synthetic_case("29 March 2026", n_steps=23, dt_s=_HOUR_S, start_utc_s=utc_s(date(2026, 3, 29))),
        remedy="do not index by hour of day over 24; clocks change, and steps per day with them",
    ),
    Size(
        id="day_of_25_h",
        title="a day of 25 hours",
        case=synthetic_case(
            "25 October 2026", n_steps=25, dt_s=_HOUR_S, start_utc_s=utc_s(date(2026, 10, 25))
        ),
        remedy="do not index by hour of day over 24; clocks change, and steps per day with them",
    ),
)


def on_size(bench: Bench, size: Size) -> CheckResult:
    """It answers on another plant, to the end."""
    played = bench.play(size.case, Watch(stop_after=size.stop_after))
    if played.failure is not None:
        return failed(size.id, size.title, played.failure.text, size.remedy)
    return passed(size.id, size.title, f"{played.n_steps} steps with valid proposals")


def no_communities(bench: Bench) -> CheckResult:
    """It answers without communities; a strategy of level 2 or more may refuse at the start."""
    name, title = "no_communities", "a scenario without communities"
    played = bench.play(without_communities(synthetic_case("no communities", n_steps=24, dt_s=_HOUR_S)))
    if played.failure is None:
        return passed(name, title, f"{played.n_steps} steps with valid proposals")
    if played.failure.refused and (bench.level or 0) >= LEVEL_CEMS:
        return passed(name, title, f"refuses at the start, as level {bench.level} may")
    return failed(
        name,
        title,
        played.failure.text,
        "site.communities.n_communities may be 0: do without, or set `level = 2` in the class and raise ValueError in "
        "__init__",
    )
