"""How strategies that did not run to their end are named and judged, in the report and in the terminal."""

from collections.abc import Sequence
from dataclasses import replace

from twin.kpis import KpiContext, KpiValue, Verdict, verdicts

__all__ = ["downgraded", "judged", "left_out_sentence", "steps_label", "verdict_words"]


def steps_label(label: str, done: int, planned: int) -> str:
    """Return the label of a strategy with the steps done where it is incomplete, e.g. ``mine (28 of 96 steps)``."""
    return label if done >= planned else f"{label} ({done} of {planned} steps)"


def verdict_words(verdict: Verdict) -> str:
    """Return the status in words, e.g. ``indicative, likely kept``."""
    leans = verdict.status == "indicative" and verdict.leaning
    return f"{verdict.status}, likely {verdict.leaning}" if leans else verdict.status


def judged(values: Sequence[KpiValue], context: KpiContext, done: int) -> tuple[Verdict, ...]:
    """Return the verdicts of a strategy with ``done`` of the planned steps."""
    if done >= context.n_steps:
        return verdicts(values, context)
    return downgraded(verdicts(values, replace(context, n_steps=max(done, 1))))


def downgraded(found: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Return verdicts on part of a period as verdicts on the whole of it.

    A limit that part of the period breaks is broken; one that part of the period keeps is not known to be kept: a
    pass becomes indicative, and nothing is likely kept.
    """
    return tuple(
        replace(
            verdict,
            status="indicative" if verdict.status == "pass" else verdict.status,
            leaning="" if verdict.leaning == "kept" else verdict.leaning,
            reason=f"Incomplete run. {verdict.reason}",
        )
        for verdict in found
    )


def left_out_sentence(label: str, done: int, planned: int) -> str:
    """Return why a strategy is not part of the summary."""
    return f"{label} is incomplete ({done} of {planned} steps) and is left out of this summary."
