"""The plain-language answer, made from the numbers only."""

from collections.abc import Mapping, Sequence

from twin.kpis import KpiLimits, KpiValue
from twin.report.table import decimals_for, number_text

__all__ = ["answer"]

Values = Mapping[str, Mapping[str, KpiValue]]
"""KPIs by name for each strategy by label, the base first."""


def _known(values: Values, name: str) -> dict[str, float]:
    found = {label: kpis[name].value for label, kpis in values.items() if name in kpis}
    return {label: value for label, value in found.items() if value is not None}


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _quantity(value: float, unit: str, numbers: Sequence[float]) -> str:
    return f"{number_text(value, decimals_for(numbers, unit))} {unit}".rstrip()


def _against_base(values: Values, name: str, unit: str, what: str) -> str:
    """Return a sentence that compares the base with the lowest value; empty where there is no value."""
    known = _known(values, name)
    if not known:
        return ""
    base, *_ = known
    numbers = list(known.values())
    start = f"{what} {_quantity(known[base], unit, numbers)} with {base}"
    if len(known) == 1:
        return start + "."
    least = min(known, key=lambda label: known[label])
    decimals = decimals_for(numbers, unit)
    if round(known[least], decimals) == round(known[base], decimals):
        return start + "; no other strategy gets it lower."
    text = f"{start} and least with {least}: {_quantity(known[least], unit, numbers)}"
    if known[base] > 0:
        text += f" ({number_text(100 * (known[least] / known[base] - 1), 0, '+')} %)"
    return text + "."


def _voltage(values: Values, limits: KpiLimits) -> str:
    low, high, outside = (_known(values, name) for name in ("vm_min_pu", "vm_max_pu", "band_hours"))
    if not low or not high:
        return ""
    band = f"{limits.vm_min_pu:.2f} to {limits.vm_max_pu:.2f} pu"
    kept = [label for label in low if outside.get(label) == 0]
    broken = [label for label in low if label not in kept]
    lowest, highest = min(low, key=lambda label: low[label]), max(high, key=lambda label: high[label])
    spread = f"The extremes are {low[lowest]:.3f} pu ({lowest}) and {high[highest]:.3f} pu ({highest})."
    if not broken:
        who = "The strategy keeps" if len(low) == 1 else f"All {len(low)} strategies keep"
        return f"Voltage: {who[0].lower()}{who[1:]} every bus within {band}. {spread}"
    text = f"Voltage: the band of {band} is left with {_list([f'{label} ({outside[label]:g} h)' for label in broken])}"
    text += f" and kept with {_list(kept)}." if kept else "; no strategy keeps it."
    return f"{text} {spread}"


def _reverse(values: Values) -> str:
    places = (
        ("hvmv", "the HV/MV transformer that feeds back longest does so for"),
        ("mvlv", "the MV/LV transformer that feeds back longest does so for"),
        ("head", "the feeder head feeds back for"),
    )
    for part, place in places:
        hours = _known(values, f"reverse_{part}_hours")
        if not hours:
            continue
        if not any(hours.values()):
            return "Reverse power flow: none, with any strategy."
        time = _against_base(values, f"reverse_{part}_hours", "h", f"Reverse power flow: {place}")
        energy = _against_base(values, f"reverse_{part}_energy_kwh", "kWh", "The energy fed back is")
        return f"{time} {energy}"
    return ""


def _loading(values: Values, limits: KpiLimits) -> str:
    parts = []
    for name, what, limit in (
        ("trafo_loading_max_percent", "transformer", limits.trafo_loading_percent),
        ("line_loading_max_percent", "line", limits.line_loading_percent),
    ):
        known = _known(values, name)
        if known:
            top = max(known, key=lambda label: known[label])
            word = "above" if known[top] > limit else "within"
            parts.append(
                f"the most loaded {what} reaches {known[top]:.1f} % ({top}), {word} the limit of {limit:g} %"
            )
    return f"Loading: {'; '.join(parts)}." if parts else ""


def answer(values: Values, limits: KpiLimits) -> tuple[str, ...]:
    """Return one paragraph per question that the numbers answer; empty without numbers.

    Args:
        values: KPIs by name for each strategy by label; the first one is what the others are compared with.
        limits: what the run is judged by.
    """
    peaks = (
        _against_base(values, "peak_import_kw", "kW", "Peak: the highest 15-min import is"),
        _against_base(values, "peak_export_kw", "kW", "The highest 15-min export is"),
    )
    money = _against_base(values, "cost_total_eur", "EUR", "Money: the energy cost of all homes is")
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
