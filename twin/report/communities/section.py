"""Everything the report says about communities, from the files of a run."""

from collections.abc import Sequence

from twin.report.communities.deferral import deferral_tables, deferral_words
from twin.report.communities.figures import (
    gain_figure,
    gain_range,
    scatter_figure,
    value_figure,
    value_range,
)
from twin.report.communities.files import SettledStrategy
from twin.report.communities.grid import (
    grid_step_table,
    grid_steps,
    pooled_cp_kwh,
    sharing_table,
    sharing_words,
)
from twin.report.communities.model import CommunitySection
from twin.report.communities.parts import community_part
from twin.report.communities.run import CommunityRun, Values
from twin.report.communities.tables import (
    area_table,
    definition_table,
    energy_money_table,
    overview_table,
    step_table,
)
from twin.report.communities.tables_gain import gain_table, gainer_tables, plant_table
from twin.report.communities.value import SAME_EUR, Step, base_of, below, member_changes, steps
from twin.report.communities.words import (
    area_words,
    plant_words,
    rules_words,
    section_words,
    source_words,
    step_words,
)
from twin.report.panels import Panel

__all__ = ["community_section"]

_SCATTER = (
    ("reverse_head_energy_kwh", "Reverse energy at the feeder head", "kWh"),
    ("peak_import_kw", "Peak import, 15 min", "kW"),
)


def _value_figures(found: Sequence[Step]) -> tuple[Panel, ...]:
    found = [step for step in found if any(abs(part) > SAME_EUR for part in step.parts_eur)]
    if not found:
        return ()
    y_range = value_range(found)
    return tuple(
        Panel(
            id=f"value-{i}",
            strategy=step.upper.key,
            heading=f"{step.upper.label} over {step.lower.label}",
            svg=value_figure(f"value-{i}", step, y_range=y_range),
        )
        for i, step in enumerate(found)
    )


def _gain_figures(strategies: Sequence[SettledStrategy]) -> tuple[Panel, ...]:
    base, lower = base_of(strategies), below(strategies)
    pairs = []
    for upper in strategies:
        if upper.key in lower:
            under = lower[upper.key]
            against_base = None if under is base else member_changes(upper, base)
            pairs.append((upper, under, member_changes(upper, under), against_base))
    x_range = gain_range([found for _, _, first, second in pairs for found in (first, second) if found])
    return tuple(
        Panel(
            id=f"gain-{i}",
            strategy=upper.key,
            heading=upper.label,
            svg=gain_figure(
                f"gain-{i}", (first, second), labels=(upper.label, under.label, base.label), x_range=x_range
            ),
        )
        for i, (upper, under, first, second) in enumerate(pairs)
    )


def _scatters(strategies: Sequence[SettledStrategy], values: Values) -> tuple[Panel, ...]:
    panels = []
    for name, what, unit in _SCATTER:
        points = {
            s.label: (pooled_cp_kwh(s), level)
            for s in strategies
            if name in values.get(s.key, {}) and (level := values[s.key][name].value) is not None
        }
        if len(points) > 1:
            svg = scatter_figure(f"sharing-{name}", points, what=what, unit=unit)
            panels.append(Panel(id=f"sharing-{name}", svg=svg, heading=f"{what} against shared energy"))
    return tuple(panels)


def _start_utc_s(strategies: Sequence[SettledStrategy]) -> int:
    return int(next(iter(strategies[0].hours.values())).hour_start_utc_s[0])


def community_section(run: CommunityRun) -> CommunitySection:
    """Return the section and the details of each configuration."""
    strategies = run.strategies
    found, grid = steps(strategies), grid_steps(strategies, run.values)
    marks = dict.fromkeys(
        mark for s in strategies for sets in s.rules.values() for one in sets.values() for mark in one.marks
    )
    communities = [line.name for line in strategies[0].paid.communities]
    return CommunitySection(
        words=section_words(strategies),
        left_out=run.left_out,
        rules_words=rules_words(strategies),
        overview=overview_table(base_of(strategies).paid),
        energy_money=energy_money_table(strategies),
        source_words=source_words(found),
        value_figures=_value_figures(found),
        step_words=step_words(found),
        step_tables=tuple(table for table in (step_table(found), grid_step_table(grid)) if table is not None),
        gain_table=gain_table(strategies),
        gain_figures=_gain_figures(strategies),
        gain_tables=gainer_tables(strategies),
        plant_words=plant_words(strategies),
        plant_table=plant_table(strategies),
        sharing_words=sharing_words(grid),
        sharing_figures=_scatters(strategies, run.values),
        sharing_table=sharing_table(strategies, run.values),
        deferral_words=() if run.deferral is None else deferral_words(run.deferral, run.labels),
        deferral_tables=()
        if run.deferral is None
        else deferral_tables(run.deferral, run.labels, _start_utc_s(strategies)),
        area_words=area_words(strategies),
        area_table=area_table(strategies),
        definitions=definition_table(),
        marks=tuple(marks),
        parts=tuple(community_part(i, name, strategies) for i, name in enumerate(communities)),
    )
