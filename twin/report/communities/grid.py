"""What sharing does to the grid: key figures of the feeder beside the shared energy, and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.kpis import KPIS
from twin.report.communities.cells import Column, numbers, table_of, words
from twin.report.communities.files import SettledStrategy
from twin.report.communities.run import Values
from twin.report.communities.value import below, pooled_energy_kwh
from twin.report.model import Table
from twin.report.numbers import quantity_text

__all__ = ["GridStep", "grid_step_table", "grid_steps", "pooled_cp_kwh", "sharing_table", "sharing_words"]

_SHOWN = (
    "reverse_head_hours",
    "reverse_head_energy_kwh",
    "reverse_mvlv_energy_kwh",
    "peak_import_kw",
    "peak_export_kw",
    "vm_min_pu",
    "vm_max_pu",
)
_JUDGED = {
    "reverse_head_energy_kwh": (
        "Less reverse energy at the feeder head",
        "reverse energy at the feeder head",
    ),
    "reverse_mvlv_energy_kwh": (
        "Less reverse energy through MV/LV transformers",
        "reverse energy through MV/LV transformers",
    ),
    "peak_import_kw": ("A lower peak import", "peak import"),
    "peak_export_kw": ("A lower peak export", "peak export"),
}
"""What is asked, and the words for its value."""
_HEAD, _SAME_AS_HEAD = "reverse_head_energy_kwh", "reverse_mvlv_energy_kwh"
_KPI = {kpi.name: kpi for kpi in KPIS}
_MOVED_SHARE = 1e-3
"""A change below this share of the larger value counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridStep:
    """What changes from one strategy to another: shared energy and key figures of the grid."""

    upper: str
    """Label."""
    lower: str
    shared_kwh: float
    """Change of the energy shared within primary substations; the same way of counting for all strategies."""
    shared_level_kwh: float
    """The larger of the two values."""
    before: Mapping[str, float]
    """Key figures by name, those that both strategies have."""
    after: Mapping[str, float]

    def change(self, name: str) -> float:
        """Return the change of a key figure."""
        return self.after[name] - self.before[name]

    def moved(self, name: str) -> int:
        """Return 1 where a key figure rises, -1 where it falls, 0 where it stays."""
        return _sign(self.change(name), max(abs(self.before[name]), abs(self.after[name])))

    @property
    def shared_moved(self) -> int:
        """1 where more is shared, -1 where less, 0 where it stays."""
        return _sign(self.shared_kwh, self.shared_level_kwh)


def _sign(change: float, level: float) -> int:
    if abs(change) <= _MOVED_SHARE * level:
        return 0
    return 1 if change > 0 else -1


def pooled_cp_kwh(strategy: SettledStrategy) -> float:
    """Return the energy shared within primary substations, each as one configuration [kWh]."""
    return pooled_energy_kwh(strategy.paid, "cp")


def _known(values: Values, key: str) -> dict[str, float]:
    found = values.get(key, {})
    known = {name: value for name in _SHOWN if name in found and (value := found[name].value) is not None}
    if known.get(_SAME_AS_HEAD) == known.get(_HEAD):  # one transformer is the head: its energy is said once
        known.pop(_SAME_AS_HEAD, None)
    return known


def grid_steps(strategies: Sequence[SettledStrategy], values: Values) -> tuple[GridStep, ...]:
    """Return the change of every strategy against the one below."""
    lower = below(strategies)
    return tuple(_grid_step(upper, lower[upper.key], values) for upper in strategies if upper.key in lower)


def _grid_step(upper: SettledStrategy, lower: SettledStrategy, values: Values) -> GridStep:
    after, before = _known(values, upper.key), _known(values, lower.key)
    both = [name for name in after if name in before]
    shared = pooled_cp_kwh(upper), pooled_cp_kwh(lower)
    return GridStep(
        upper=upper.label,
        lower=lower.label,
        shared_kwh=shared[0] - shared[1],
        shared_level_kwh=max(shared),
        before={name: before[name] for name in both},
        after={name: after[name] for name in both},
    )


def grid_step_table(found: Sequence[GridStep]) -> Table | None:
    """Return the change of the grid from each strategy to the next; None without key figures."""
    names = [name for name in _SHOWN if all(name in step.before for step in found)]
    if not found or not names:
        return None
    columns = [
        words("Strategy", [step.upper for step in found]),
        words("Compared with", [step.lower for step in found]),
        numbers("Shared in substations", "kWh", [step.shared_kwh for step in found], "+"),
        *(
            numbers(_KPI[name].label, _KPI[name].unit, [step.change(name) for step in found], "+")
            for name in names
        ),
    ]
    return table_of("Grid effects of each strategy over the one below, whole feeder", columns)


def sharing_table(strategies: Sequence[SettledStrategy], values: Values) -> Table | None:
    """Return shared energy beside the key figures of the grid; None without key figures."""
    known = {strategy.key: _known(values, strategy.key) for strategy in strategies}
    names = [name for name in _SHOWN if any(name in found for found in known.values())]
    if not names:
        return None
    columns: list[Column] = [
        words("Strategy", [strategy.label for strategy in strategies]),
        numbers("Shared in substations", "kWh", [pooled_cp_kwh(strategy) for strategy in strategies]),
    ]
    for name in names:
        column = [known[strategy.key].get(name) for strategy in strategies]
        columns.append(numbers(_KPI[name].label, _KPI[name].unit, column))
    return table_of("Shared energy and the grid, by strategy, whole feeder", columns)


def _verdict(found: Sequence[GridStep], name: str, what: str) -> str:
    """Return one sentence on whether more sharing goes with a lower key figure."""
    moves = [step.shared_moved * step.moved(name) for step in found]
    n, better, worse = len(moves), moves.count(-1), moves.count(1)
    cases = f"{n} of {n} comparisons" if n > 1 else "the only comparison"
    if better == n:
        return f"{what}: yes, in {cases}."
    if worse == n:
        return f"{what}: no, the opposite in {cases}."
    if not better and not worse:
        return f"{what}: no, it stays the same in {cases}."
    if not better:
        return f"{what}: no; the opposite in {worse} of {n} comparisons, the same in the rest."
    rest = [f"the opposite in {worse}"] if worse else []
    rest += [f"the same in {n - better - worse}"] if n > better + worse else []
    return f"{what}: not always; yes in {better} of {n} comparisons, {' and '.join(rest)}."


def sharing_words(found: Sequence[GridStep]) -> tuple[str, ...]:
    """Return whether more sharing means less reverse flow and lower peaks, as the numbers of this run say.

    Only comparisons in which the shared energy changes count; the way a strategy is paid does not change it here.
    """
    if not found:
        return ("There is one settled strategy, so the run does not say what more sharing does to the grid.",)
    moved = [step for step in found if step.shared_moved]
    if not moved:
        return (
            "All strategies share the same energy within the substations, so the run does not say what more sharing does to the grid.",
        )
    names = [name for name in _JUDGED if all(name in step.before for step in moved)]
    if not names:
        return (
            "The key figures of the grid are not known, so the run does not say what sharing does to it.",
        )
    lead = (
        f"Does more sharing mean less reverse flow and lower peaks? Each strategy is held against the one below it; the "
        f"shared energy changes in {len(moved)} of {len(found)} comparisons. A change below {100 * _MOVED_SHARE:g} % counts as none."
    )
    sentences = [lead, *(_verdict(moved, name, _JUDGED[name][0]) for name in names)]
    return (*sentences, *_largest(moved, names))


def _largest(moved: Sequence[GridStep], names: Sequence[str]) -> tuple[str, ...]:
    """Return the comparison with the largest change of the shared energy, in numbers."""
    step = max(moved, key=lambda one: abs(one.shared_kwh))
    word = "more" if step.shared_kwh > 0 else "less"
    parts = [
        f"{_JUDGED[name][1]} {quantity_text(step.before[name], _KPI[name].unit, (step.before[name], step.after[name]))} "
        f"to {quantity_text(step.after[name], _KPI[name].unit, (step.before[name], step.after[name]))}"
        for name in names
    ]
    return (
        (
            f"The largest change: {step.upper} shares {quantity_text(abs(step.shared_kwh), 'kWh')} {word} than {step.lower}; "
            f"{', '.join(parts)}."
        ),
    )
