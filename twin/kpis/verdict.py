"""The answer per question: does the strategy keep the limits, and what says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from twin.kpis.base import KpiContext, KpiValue
from twin.kpis.flows import LEVELS
from twin.kpis.storage import stored_text
from twin.kpis.voltage import EN50160_SHARE_PERCENT, has_complete_week, is_coarse

__all__ = ["LOADING_TOLERANCE_PERCENT", "Leaning", "Status", "Verdict", "verdicts"]

Status = Literal["pass", "fail", "indicative", "not assessed"]
Leaning = Literal["", "kept", "exceeded"]

LOADING_TOLERANCE_PERCENT = 1e-4
"""A loading is above its limit when it is by more than this, the agreement of the power-flow engines."""

_POWER_TOLERANCE_KW = 1e-3
"""Resolution of stored powers."""

_WHOLE_FROM = 1000.0
_MANY_KG = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one question."""

    question: str
    """``voltage``, ``en50160``, ``reverse_flow``, ``peak``, ``loading``, ``money``, ``msd`` or ``co2``."""
    label: str
    status: Status
    reason: str
    """One sentence with the number, the limit, the element and the time."""
    leaning: Leaning = ""
    """What an indicative answer points to; empty for the other answers."""


Values = Mapping[str, KpiValue]


def verdicts(values: Sequence[KpiValue], context: KpiContext) -> tuple[Verdict, ...]:
    """Return the verdict of every question from the KPIs ``values`` of one strategy.

    For a run that was stopped, give the context with the ``n_steps`` that were taken: whether it holds a week counts.

    Raises:
        KeyError: a KPI that a verdict needs is missing.
    """
    found = {value.name: value for value in values}
    return (
        _voltage(found, context),
        _en50160(found, context),
        _reverse_flow(found, context),
        _peak(found, context),
        _loading(found, context),
        _money(found),
        Verdict(
            question="msd",
            label="Ancillary services (MSD)",
            status="not assessed",
            reason="This scenario has no MSD orders.",
        ),
        _co2(found),
    )


def _number(value: KpiValue) -> float:
    if value.value is None:
        raise ValueError(f"KPI {value.name} has no value: {value.note}")
    return value.value


def _figure(value: float) -> str:
    """Return four digits, never as a power of ten for large values."""
    return f"{value:.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.4g}"


def _at(value: KpiValue, context: KpiContext) -> str:
    place = f" at {value.where}" if value.where else ""
    time = "" if value.step is None else f" on {context.time_text(value.step)}"
    return place + time


def _joined(parts: Sequence[str]) -> str:
    sentence = " and ".join(parts)
    return sentence[0].upper() + sentence[1:] + "."


def _voltage(found: Values, context: KpiContext) -> Verdict:
    limits = context.limits
    low, high, hours = found["vm_min_pu"], found["vm_max_pu"], _number(found["band_hours"])
    lowest = f"lowest {_number(low):.4f} pu{_at(low, context)} (limit {limits.vm_min_pu:g})"
    highest = f"highest {_number(high):.4f} pu{_at(high, context)} (limit {limits.vm_max_pu:g})"
    if hours > 0:
        # some node left the band: name the side or sides that did
        sides = []
        if _number(low) < limits.vm_min_pu:
            sides.append(lowest)
        if _number(high) > limits.vm_max_pu:
            sides.append(highest)
        worst = found["band_hours"].where
        reason = _joined([f"outside the band for {hours:g} h, worst node {worst}: {sides[0]}", *sides[1:]])
    else:
        reason = _joined([f"no node leaves the band: {lowest}", highest])
    return Verdict(
        question="voltage", label="Voltage band", status="fail" if hours > 0 else "pass", reason=reason
    )


def _en50160(found: Values, context: KpiContext) -> Verdict:
    share, beyond = found["en50160_outside_percent"], found["en50160_beyond_count"]
    if share.value is None:
        return Verdict(
            question="en50160", label="EN 50160 voltage", status="not assessed", reason=_joined([share.note])
        )
    place = f" at {share.where}" if share.where else ""
    outside = (
        f"{_figure(share.value)} % of the 10-min means of the worst node and week are outside ±10 %{place} "
        f"(limit {EN50160_SHARE_PERCENT:g} %)"
    )
    most = f", most at {beyond.where}" if beyond.where else ""
    beyond_text = f"{_number(beyond):g} are beyond +10/-15 %{most} (limit 0)"
    kept = share.value <= EN50160_SHARE_PERCENT and _number(beyond) == 0
    certain = has_complete_week(context) and not is_coarse(context)
    status: Status = ("pass" if kept else "fail") if certain else "indicative"
    outcome: Leaning = "kept" if kept else "exceeded"
    start = f"limits {outcome}" if certain else f"likely {outcome}"
    reason = f"{start}: {outside} and {beyond_text}" + (f"; {share.note}" if share.note else "")
    return Verdict(
        question="en50160",
        label="EN 50160 voltage",
        status=status,
        reason=_joined([reason]),
        leaning="" if certain else outcome,
    )


def _worst_reverse(found: Values) -> tuple[KpiValue, KpiValue, str]:
    """Return share, peak and place of the level with most reverse flow; the feeder head without such levels."""
    parts = [part for part in LEVELS if found[f"reverse_{part}_percent"].value is not None]
    if not parts:
        return found["reverse_head_percent"], found["reverse_head_peak_kw"], "the feeder head"
    worst = max(parts, key=lambda part: _number(found[f"reverse_{part}_percent"]))
    share = found[f"reverse_{worst}_percent"]
    return share, found[f"reverse_{worst}_peak_kw"], f"{LEVELS[worst]} transformer {share.where}".rstrip()


def _reverse_flow(found: Values, context: KpiContext) -> Verdict:
    limit = context.limits.reverse_hours_percent
    share, peak, place = _worst_reverse(found)
    allowed = "" if limit is None else f" (limit {limit:g} %)"
    reason = f"no reverse power flow{allowed}"
    if _number(share) > 0:
        reason = (
            f"{place} feeds back in {_figure(_number(share))} % of the hours{allowed}; "
            f"peak {_figure(_number(peak))} kW{_at(peak, context)}"
        )
    status: Status = "not assessed"
    if limit is None:
        reason += "; the scenario sets no limit (reverse_hours_percent)"
    else:
        status = "fail" if _number(share) > limit else "pass"
    return Verdict(
        question="reverse_flow", label="Reverse power flow", status=status, reason=_joined([reason])
    )


def _peak(found: Values, context: KpiContext) -> Verdict:
    limits = context.limits
    sides = (
        ("import", found["peak_import_kw"], limits.peak_import_kw),
        ("export", found["peak_export_kw"], limits.peak_export_kw),
    )
    if sides[0][1].value is None:
        return Verdict(
            question="peak", label="Peak", status="not assessed", reason=_joined([sides[0][1].note])
        )
    parts = [
        f"15-min peak {side} is {_figure(_number(value))} kW{_at(value, context)} "
        + ("(no limit set)" if limit is None else f"(limit {_figure(limit)} kW)")
        for side, value, limit in sides
    ]
    limited = [(_number(value), limit) for _, value, limit in sides if limit is not None]
    status: Status = "not assessed"
    if limited:
        broken = any(value > limit + _POWER_TOLERANCE_KW for value, limit in limited)
        status = "fail" if broken else "pass"
    return Verdict(question="peak", label="Peak", status=status, reason=_joined(parts))


def _loading(found: Values, context: KpiContext) -> Verdict:
    limits = context.limits
    kinds = (
        ("line", found["line_loading_max_percent"], limits.line_loading_percent),
        ("transformer", found["trafo_loading_max_percent"], limits.trafo_loading_percent),
    )
    present = [(kind, value, limit) for kind, value, limit in kinds if value.value is not None]
    if not present:
        return Verdict(
            question="loading",
            label="Loading",
            status="not assessed",
            reason="The feeder has no lines and no transformers.",
        )
    parts = [
        f"highest {kind} loading is {_figure(_number(value))} %{_at(value, context)} (limit {limit:g} %)"
        for kind, value, limit in present
    ]
    broken = any(_number(value) > limit + LOADING_TOLERANCE_PERCENT for _, value, limit in present)
    return Verdict(
        question="loading", label="Loading", status="fail" if broken else "pass", reason=_joined(parts)
    )


def _money(found: Values) -> Verdict:
    total, mean = found["cost_total_eur"], found["cost_mean_eur"]
    if total.value is None:
        reason = _joined([total.note])
    else:
        # a run stored before this figure existed has none
        change = found.get("stored_change_kwh")
        stored = "" if change is None or change.value is None else stored_text(change.value)
        reason = (
            f"The connection points pay {total.value:.2f} EUR for energy, {_number(mean):.2f} EUR each, "
            "under the simple tariff of the scenario; there is no limit to judge it by"
            + (f"; {stored}, which is not priced." if stored else ".")
        )
    return Verdict(question="money", label="Energy cost", status="not assessed", reason=reason)


def _kg_text(value_kg: float) -> str:
    """Return a mass with decimals where it is small: minutes of a feeder are grams."""
    digits = 0 if abs(value_kg) >= _MANY_KG else 2
    return f"{round(value_kg, digits) + 0.0:.{digits}f}"  # without the sign of a rounded zero


def _co2(found: Values) -> Verdict:
    net = found.get("co2_net_kg")
    if net is None or net.value is None:
        reason = "The run holds no figure of CO2: it did not run to its end, or another version stored it."
    else:
        avoided = _number(found["co2_avoided_kg"])
        reason = (
            f"The net import stands for {_kg_text(net.value)} kg of CO2, {_kg_text(avoided)} kg less than if all consumption came from "
            "the upstream grid; there is no limit to judge it by."
        )
    return Verdict(question="co2", label="CO2", status="not assessed", reason=reason)
