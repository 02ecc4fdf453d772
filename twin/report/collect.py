"""A stored run to the data of its report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twin.kpis import KPIS, KpiContext, KpiValue, Verdict
from twin.report.answer import answer
from twin.report.clock import Clock
from twin.report.communities.run import CommunityRun, read_communities
from twin.report.communities.words import section_words
from twin.report.describe import (
    definition_table,
    element_tables,
    facts,
    grid_tables,
    method_notes,
    problem,
    quality_table,
    version_tables,
)
from twin.report.device_series import device_run
from twin.report.feeder_file import read_context, read_devices, read_feeder, read_scenario
from twin.report.incomplete import judged, left_out_sentence, steps_label, verdict_words
from twin.report.live_section import live_facts
from twin.report.live_stored import live_run
from twin.report.model import Array, Card, FeederMap, IntArray, ReportData, StrategyData, VoltageBand
from twin.report.sampling import (
    common_steps,
    element_rows,
    feeder_series,
    open_strategy,
    read_sample,
    read_values,
    watched,
    worst_of_elements,
)
from twin.report.spread import spread_table
from twin.report.strategy_names import strategy_labels
from twin.report.table import comparison_table
from twin.results import RunReader
from twin.signals import Axis

__all__ = ["collect"]

_NAMED = 5
"""Buses listed by name in a sentence."""
_NOTHING = np.zeros(0, dtype=np.float32)


class _Stored:
    """What is read of one strategy before the common steps are known."""

    def __init__(self, name: str, run: RunReader, context: KpiContext) -> None:
        self.key = name
        self.name = strategy_labels(run.manifest)[name]
        self.reader = open_strategy(run, name)
        self.feeder: dict[str, Array] = {}
        self.flow_kw: Array = _NOTHING
        self.loading: Array = _NOTHING
        self.values: tuple[KpiValue, ...] = ()
        self.rows: list[dict[str, Any]] = []
        self._free_names = {context.bus_name[position] for position in context.free_buses}
        done = 0 if self.reader is None else self.reader.last_step + 1
        self.label = steps_label(self.name, done, context.n_steps)
        if self.reader is None or self.reader.last_step < 0:
            return
        self.feeder = feeder_series(self.reader)
        chosen, _ = watched(context)
        self.flow_kw = self.feeder["p_import_kw"]
        if chosen:
            self.flow_kw = self.reader.series("trafo.p_kw", chosen).sum(axis=1)
        if context.trafo_name:
            self.loading = self.reader.series("trafo.loading_percent").max(axis=1)
        self.values, self.rows = read_values(self.reader, context)

    @property
    def n_steps(self) -> int:
        """Steps stored."""
        return len(self.flow_kw)

    @property
    def extremes(self) -> list[int]:
        """Steps that the slider must hold."""
        if not self.n_steps:
            return []
        high, low = self.feeder["vm_max_pu"], self.feeder["vm_min_pu"]
        picks = (high.argmax(), low.argmin(), self.flow_kw.argmax(), self.flow_kw.argmin())
        buses = element_rows(self.rows, Axis.BUS)
        free = [row for row in buses if row["name"] in self._free_names]
        lowest = [min(free, key=lambda row: row["vm_min_pu"])["vm_min_step"]] if free else []
        return [*(int(pick) for pick in picks), *lowest]

    def data(self, steps: IntArray, every: int, *, context: KpiContext, clock: Clock) -> StrategyData:
        """Return the strategy as the report shows it."""
        sample = None
        if self.reader is not None and self.n_steps:
            sample = read_sample(self.reader, steps, every, context=context)
        return StrategyData(
            key=self.key,
            label=self.label,
            feeder=self.feeder,
            flow_kw=self.flow_kw,
            trafo_loading_percent=self.loading,
            worst=worst_of_elements(self.rows, context),
            sample=sample,
            tables=element_tables(self.rows, context=context, clock=clock),
        )


def _cards(found: Mapping[str, Sequence[Verdict]]) -> tuple[Card, ...]:
    return tuple(
        Card(
            question=verdict.question,
            strategy=label,
            verdict=verdict_words(verdict),
            reason=verdict.reason,
        )
        for label, list_ in found.items()
        for verdict in list_
    )


def _answer(stored: Sequence[_Stored], context: KpiContext, cautions: Sequence[str]) -> tuple[str, ...]:
    """Return the summary over the strategies that ran to their end, who is left out of it, and what to bear in mind."""
    planned = context.n_steps
    whole = {e.label: {v.name: v for v in e.values} for e in stored if e.values and e.n_steps >= planned}
    sentences = answer(whole, context.limits)
    if not sentences:
        some = any(entry.n_steps >= planned for entry in stored)
        sentences = (
            "No key figures could be computed from what is stored."
            if some
            else "No strategy ran to its end, so there is no summary.",
        )
    left_out = (left_out_sentence(e.name, e.n_steps, planned) for e in stored if e.n_steps < planned)
    return (*sentences, *left_out, *cautions)


def _held(strategies: Sequence[StrategyData], feeder: FeederMap) -> str:
    worst = next((strategy.worst for strategy in strategies if strategy.worst is not None), None)
    if worst is None or worst.free.all():
        return ""
    fixed = [
        f"{name} ({vm_pu:.3f} pu)"
        for name, vm_pu, free in zip(feeder.bus_name, worst.vm_max_pu, worst.free, strict=True)
        if not free
    ]
    return (
        f"Held at a fixed voltage by the upstream grid and left out of the voltage figures: {', '.join(fixed[:_NAMED])}"
        + (f" and {len(fixed) - _NAMED} more." if len(fixed) > _NAMED else ".")
    )


def _no_series(strategies: Sequence[StrategyData], stored: Sequence[_Stored]) -> str:
    if any(strategy.sample is not None for strategy in strategies):
        return ""
    details = sorted({str(entry.reader.detail) for entry in stored if entry.reader is not None})
    if not details:
        return "No steps are stored, so there are no figures over time."
    return (
        f"The run was stored with detail {' and '.join(details)}, which keeps the feeder and its transformers step by step "
        "but not every bus: time slider, voltage along the feeder and bus-by-time pictures are left out."
    )


def _communities(run: RunReader, stored: Sequence[_Stored]) -> CommunityRun | None:
    values = {entry.key: {value.name: value for value in entry.values} for entry in stored}
    return read_communities(run, strategy_labels(run.manifest), values)


def _community_answer(communities: CommunityRun | None) -> tuple[str, ...]:
    return () if communities is None else section_words(communities.strategies)


def _unsettled(scenario: Mapping[str, Any], communities: CommunityRun | None) -> tuple[str, ...]:
    if communities is not None or not scenario.get("communities"):
        return ()
    return (
        "No strategy with a settlement is stored, so the report says nothing on the energy communities of the scenario.",
    )


def collect(run: RunReader) -> ReportData:
    """Read a run, finished or not, and return what its report shows.

    Raises:
        RunFolderError: files of the run are missing or damaged.
    """
    context = read_context(run.folder)
    feeder, raw = read_feeder(run.folder)
    text, scenario = read_scenario(run.folder)
    clock = Clock(start_utc_s=context.start_utc_s, dt_s=context.dt_s, n_steps=context.n_steps)
    stored = [_Stored(name, run, context) for name in run.strategies]
    longest = max((entry.n_steps for entry in stored), default=0)
    n_values = (len(context.bus_name) + len(context.line_name)) * max(len(stored), 1)
    steps, every = common_steps(longest, n_values, [step for entry in stored for step in entry.extremes])
    strategies = tuple(entry.data(steps, every, context=context, clock=clock) for entry in stored)
    values = {entry.label: {value.name: value for value in entry.values} for entry in stored if entry.values}
    found = {entry.label: judged(entry.values, context, entry.n_steps) for entry in stored if entry.values}
    quality = quality_table({entry.label: entry.rows for entry in stored}, context)
    spread = spread_table(
        {entry.label: entry.reader for entry in stored if entry.reader is not None}, context
    )
    times = {v.step: context.time_text(v.step) for e in stored for v in e.values if v.step is not None}
    questions = {verdict.question: verdict.label for list_ in found.values() for verdict in list_}
    incomplete = [entry.label for entry in stored if entry.n_steps < context.n_steps]
    comparison = comparison_table(KPIS, values, times, incomplete=incomplete)
    limits = context.limits
    communities = _communities(run, stored)
    entries = read_devices(run.folder, raw)
    live = live_run(
        run,
        [(entry.key, entry.name, entry.reader) for entry in stored],
        entries=entries,
        scenario=scenario,
    )
    return ReportData(
        title=str(scenario.get("name", run.manifest.scenario)),
        description=str(scenario.get("description") or ""),
        facts=(*facts(run.manifest, clock, raw), *(() if live is None else live_facts(live))),
        problem=problem(run.manifest, {entry.key: entry.n_steps for entry in stored}),
        clock=clock,
        band=VoltageBand(vm_min_pu=limits.vm_min_pu, vm_max_pu=limits.vm_max_pu),
        trafo_limit_percent=limits.trafo_loading_percent,
        peak_import_kw=limits.peak_import_kw,
        peak_export_kw=limits.peak_export_kw,
        feeder=feeder,
        flow_label=watched(context)[1],
        strategies=strategies,
        comparison=comparison,
        cards=_cards(found),
        questions=tuple(questions.items()),
        answer=(*_answer(stored, context, run.manifest.cautions), *_community_answer(communities)),
        held=_held(strategies, feeder),
        no_series=_no_series(strategies, stored),
        notes=(
            *(str(note) for note in raw["notes"]),
            *run.manifest.notes,
            *_unsettled(scenario, communities),
        ),
        grid_tables=grid_tables(feeder, raw, context=context, scenario=scenario),
        voltage_tables=tuple(table for table in (spread, quality) if table is not None),
        method_tables=(definition_table({row.name for group in comparison.groups for row in group.rows}),),
        version_tables=version_tables(run.manifest),
        method_notes=method_notes(run.manifest, clock),
        communities=communities,
        devices=device_run(
            entries,
            [(entry.label, entry.reader) for entry in stored],
            dt_s=context.dt_s,
        ),
        live=live,
        extras={"scenario": text},
    )
