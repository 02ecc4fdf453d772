"""The plain-language answer, made from the numbers only."""

from collections.abc import Mapping, Sequence

from twin.kpis import KpiLimits, KpiValue
from twin.kpis.flows import LEVELS
from twin.kpis.verdict import LOADING_TOLERANCE_PERCENT
from twin.report.numbers import decimals_for, number_text, quantity_text, scaled_unit

__all__ = ["answer"]

Values = Mapping[str, Mapping[str, KpiValue]]
"""KPIs by name for each strategy by label, the base first."""


def _known(values: Values, name: str) -> dict[str, float]:
    found = {label: kpis[name].value for label, kpis in values.items() if name in kpis}
    return {label: value for label, value in found.items() if value is not None}


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _who(known: Mapping[str, float], target: float, decimals: int) -> str:
    """Return the strategies whose rounded value is that of ``target``."""
    same = [label for label, value in known.items() if round(value, decimals) == round(target, decimals)]
    return f"all {len(known)} strategies" if 1 < len(same) == len(known) else _list(same)


def _against_base(values: Values, name: str, unit: str, what: str) -> str:
    """Return a sentence that compares the base with the lowest value as shown; empty where there is no value."""
    known = _known(values, name)
    if not known:
        return ""
    numbers = list(known.values())
    shown, per = scaled_unit(numbers, unit)
    scaled = {label: value / per for label, value in known.items()}
    decimals = decimals_for(list(scaled.values()), shown)
    base, *others = scaled
    first = f"{what} {quantity_text(known[base], unit, numbers)}"
    if not others:
        return f"{first} with {base}."
    low = min(scaled.values())
    least = _who(scaled, low, decimals)
    if least.startswith("all "):
        return f"{first}, the same with {least}."
    if round(low, decimals) == round(scaled[base], decimals):
        return f"{first} with {least}; no other strategy gets it lower."
    text = f"{first} with {base} and least with {least}: {quantity_text(low * per, unit, numbers)}"
    share = round(100 * (low / scaled[base] - 1)) if scaled[base] > 0 else 0
    return f"{text} ({number_text(share, 0, '+')} %)." if share else f"{text}."


def _voltage(values: Values, limits: KpiLimits) -> str:
    low, high, outside = (_known(values, name) for name in ("vm_min_pu", "vm_max_pu", "band_hours"))
    if not low or not high:
        return ""
    band = f"{limits.vm_min_pu:.2f} to {limits.vm_max_pu:.2f} pu"
    kept = [label for label in low if outside.get(label) == 0]
    broken = [label for label in low if label not in kept]
    lowest, highest = min(low.values()), max(high.values())
    spread = f"The extremes are {lowest:.3f} pu ({_who(low, lowest, 3)}) and {highest:.3f} pu ({_who(high, highest, 3)})."
    if not broken:
        who = f"{kept[0]} keeps" if len(low) == 1 else f"all {len(low)} strategies keep"
        return f"Voltage: {who} every bus within {band}. {spread}"
    text = f"Voltage: the band of {band} is left with {_list([f'{label} ({outside[label]:g} h)' for label in broken])}"
    text += f" and kept with {_list(kept)}." if kept else "; no strategy keeps it."
    return f"{text} {spread}"


def _reverse(values: Values) -> str:
    """Return reverse flow at the feeder head, then of the transformer levels that feed back for other hours."""
    head = _known(values, "reverse_head_hours")
    if not head:
        return ""
    parts = [_reverse_at(values, "head", "at the feeder head")]
    for part, level in LEVELS.items():
        hours = _known(values, f"reverse_{part}_hours")
        if hours and hours != head:
            place = f"through the {level} transformer that feeds back longest"
            parts.append(
                _reverse_at(values, part, place, f"Through all {level} transformers the energy fed back is")
            )
    return " ".join(parts)


def _reverse_at(
    values: Values, part: str, place: str, energy_is: str = "The energy fed back there is"
) -> str:
    hours = _known(values, f"reverse_{part}_hours")
    what = f"Reverse power flow {place}:"
    if not any(hours.values()):
        return f"{what} none, with any strategy." if len(hours) > 1 else f"{what} none."
    time = _against_base(values, f"reverse_{part}_hours", "h", what)
    energy = _against_base(values, f"reverse_{part}_energy_kwh", "kWh", energy_is)
    return f"{time} {energy}".strip()


def _loading(values: Values, limits: KpiLimits) -> str:
    parts = []
    for name, what, limit in (
        ("trafo_loading_max_percent", "transformer", limits.trafo_loading_percent),
        ("line_loading_max_percent", "line", limits.line_loading_percent),
    ):
        known = _known(values, name)
        if known:
            top = max(known.values())
            word = "above" if top > limit + LOADING_TOLERANCE_PERCENT else "within"
            parts.append(
                f"the most loaded {what} reaches {top:.1f} % ({_who(known, top, 1)}), {word} the limit of {limit:g} %"
            )
    return f"Loading: {'; '.join(parts)}." if parts else ""


def answer(values: Values, limits: KpiLimits) -> tuple[str, ...]:
    """Return one paragraph per question that the numbers answer; empty without numbers.

    Args:
        values: KPIs by name for each strategy that ran to its end, by label; the first one is what the others are
            compared with.
        limits: what the run is judged by.
    """
    peaks = (
        _against_base(values, "peak_import_kw", "kW", "Peak: the highest 15-min import is"),
        _against_base(values, "peak_export_kw", "kW", "The highest 15-min export is"),
    )
    money = _against_base(
        values, "cost_total_eur", "EUR", "Money: the energy cost of all connection points is"
    )
    if money:
        money += " The tariff is an assumption of the scenario."
    sentences = (
        _voltage(values, limits),
        _reverse(values),
        " ".join(peaks).strip(),
        _loading(values, limits),
        money,
    )
    return tuple(sentence for sentence in sentences if sentence)
