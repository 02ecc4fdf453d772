"""Guesses which variables of an FMU are which of our signals, from name, unit and causality."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.fmu.base import FmuInfo, FmuVariable
from models.fmu.reading.units import is_convertible

__all__ = ["ProposedWire", "Sign", "Sure", "propose"]


class Sure(StrEnum):
    """What a guess rests on."""

    NAME_AND_UNIT = "name and unit"
    NAME = "name"
    UNIT = "unit"


class Sign(StrEnum):
    """Which flow of a power is positive."""

    CONSUMPTION = "consumption"
    GENERATION = "generation"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedWire:
    """One guess."""

    signal: str
    variable: str
    unit: str | None
    """Unit of the variable: what the FMU says, else what its name says; None where neither does."""
    direction: str
    """``input`` or ``output``."""
    why: str
    sure: Sure
    sign: Sign = Sign.CONSUMPTION
    """Of powers; a guess by name too."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """A name fits where it has a word of each group; the rule with most groups wins."""

    signal: str
    unit: str
    groups: tuple[str, ...]
    without: str = ""
    by_unit: bool = False
    """Also without a fitting name, where exactly one variable has a unit that fits."""


_P = "p power pel pac active pactive kw watt watts"
_NOT_ELECTRIC = "heat thermal th mech mechanical loss losses cool cooling flow dc"
_PRICE = "price tariff cost"
_OUTPUTS = (
    _Rule(
        "p_kw",
        "kW",
        (_P + " pgrid pnet ptotal pdemand load consumption",),
        _NOT_ELECTRIC + " reactive set max limit available avail need needed",
        by_unit=True,
    ),
    _Rule("q_kvar", "kvar", ("q reactive qac qel var kvar",), "heat flow dot thermal th"),
    _Rule("soc", "1", ("soc stateofcharge",), "set need min max start"),
    _Rule("soc", "1", ("state", "charge")),
)
_INPUTS = (
    _Rule(
        "p_set_kw",
        "kW",
        (_P + " pset psp pref", "set setpoint sp ref reference cmd command request target desired"),
    ),
    _Rule("p_available_kw", "kW", (_P, "available avail mpp dc irradiated potential")),
    _Rule("p_limit_kw", "kW", (_P + " plim pmax", "limit lim max cap curtail curtailment")),
    _Rule("p_set_kw", "kW", ("pset pref psp setpoint",)),
    _Rule("p_limit_kw", "kW", ("plim pmax plimit",)),
    _Rule("home_p_kw", "kW", (_P, "home house household building meter grid pcc net")),
    _Rule("vm_pu", "pu", ("v u vm vpu upu voltage vac uac vgrid ugrid",), "dc set ref start nom nominal"),
    _Rule(
        "v_v",
        "V",
        ("v u vm voltage vac uac vgrid ugrid vrms urms",),
        "dc set ref start nom nominal",
        by_unit=True,
    ),
    _Rule("price_export_eur_kwh", "EUR/kWh", (_PRICE, "export sell sold feed feedin injection")),
    _Rule("price_import_eur_kwh", "EUR/kWh", (_PRICE,), "export sell sold feed feedin injection"),
    _Rule("time_s", "s", ("time clock", "s sec seconds sim simulation")),
    _Rule("time_s", "s", ("time",), "departure arrival of hour day constant"),
    _Rule("hour", "h", ("hour hod timeofday",), "departure"),
    _Rule(
        "temp_air_degc",
        "degC",
        (
            "t temp temperature ta",
            "amb ambient air out outdoor outside oat ext external environment dry weather",
        ),
        "set setpoint sp ref reference room indoor zone water tank supply return cold hot start need",
        by_unit=True,
    ),
    _Rule("temp_air_degc", "degC", ("tamb tair tout toutdoor toutside toa oat",)),
    _Rule("draw_l_min", "l/min", ("draw drawoff dhw tap tapping hotwater",)),
    _Rule("plugged", "1", ("plugged plug connected plugin pluggedin parked",)),
    _Rule("used_kwh", "kWh", ("used driven trip drive",), "power"),
    _Rule("departure_h", "h", ("departure depart leave leaving",)),
    _Rule("soc_need", "1", ("soc", "need needed required target desired departure goal")),
)
_SOC = re.compile("soc", re.IGNORECASE)
_HEAT_PUMP = re.compile("heat_?pump", re.IGNORECASE)
"""Its power is electric, unlike that of other things that are called heat."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+")
_GENERATION = frozenset(
    {
        "gen",
        "generated",
        "generation",
        "generator",
        "produced",
        "production",
        "feed",
        "feedin",
        "injected",
        "injection",
        "export",
    }
)
_UNIT_WORDS = {
    "kw": "kW",
    "w": "W",
    "mw": "MW",
    "kvar": "kvar",
    "kwh": "kWh",
    "degc": "degC",
    "pu": "pu",
    "pct": "%",
}


def propose(info: FmuInfo) -> tuple[ProposedWire, ...]:
    """Return at most one variable for each signal, and one signal for each variable; guesses, to be looked over."""
    fitting = [
        entry
        for entry in info.variables
        if entry.is_number and not any(isinstance(n, int) for n in entry.shape)
    ]
    return (
        *_proposed(
            info, [entry for entry in fitting if entry.causality == "input"], _INPUTS, direction="input"
        ),
        *_proposed(
            info, [entry for entry in fitting if entry.causality == "output"], _OUTPUTS, direction="output"
        ),
    )


def _proposed(
    info: FmuInfo, variables: Sequence[FmuVariable], rules: Sequence[_Rule], *, direction: str
) -> list[ProposedWire]:
    ranked = sorted(
        (
            (-score, len(variable.name), order, variable, rule)
            for order, rule in enumerate(rules)
            for variable in variables
            if (score := _score(info, variable, rule)) > 0
        ),
        key=lambda entry: entry[:3],
    )
    found: dict[str, ProposedWire] = {}
    taken: set[str] = set()
    for *_, variable, rule in ranked:
        if rule.signal not in found and variable.name not in taken:
            found[rule.signal] = _wire_by_name(info, variable, rule, direction=direction)
            taken.add(variable.name)
    for rule in rules:
        left = [entry for entry in variables if entry.name not in taken and _fits_by_unit(info, entry, rule)]
        if rule.signal not in found and len(left) == 1:
            why = f"the only {direction} left in {left[0].unit}"
            found[rule.signal] = _wire(left[0], rule, direction=direction, why=why, sure=Sure.UNIT)
            taken.add(left[0].name)
    return list(found.values())


def _fits_by_unit(info: FmuInfo, variable: FmuVariable, rule: _Rule) -> bool:
    if not rule.by_unit or _words(variable.name) & set(rule.without.split()):
        return False
    return is_convertible(info, variable, rule.unit) is True


def _score(info: FmuInfo, variable: FmuVariable, rule: _Rule) -> int:
    """Return how well a rule fits, 0 for not at all: the exact name, then words found, then the unit."""
    convertible = is_convertible(info, variable, rule.unit)
    if convertible is False:
        return 0
    if variable.name == rule.signal:
        return 100
    words = _words(variable.name)
    if words & set(rule.without.split()) or not all(words & set(group.split()) for group in rule.groups):
        return 0
    if convertible is None and re.fullmatch(r"[uv]\d*", variable.name.lower()):
        return 0  # a single letter that is the usual name of any input
    return 2 * len(rule.groups) + (convertible is True)


def _wire_by_name(info: FmuInfo, variable: FmuVariable, rule: _Rule, *, direction: str) -> ProposedWire:
    exact = variable.name == rule.signal
    why = "has the name of the signal" if exact else f"the name reads like {rule.signal}"
    if is_convertible(info, variable, rule.unit) is not True:
        return _wire(variable, rule, direction=direction, why=why, sure=Sure.NAME)
    why += f" and the unit {variable.unit} fits"
    return _wire(variable, rule, direction=direction, why=why, sure=Sure.NAME_AND_UNIT)


def _wire(variable: FmuVariable, rule: _Rule, *, direction: str, why: str, sure: Sure) -> ProposedWire:
    unit = variable.unit
    if unit is None:
        unit = next((_UNIT_WORDS[word] for word in _unit_words(variable.name)), None)
    return ProposedWire(
        signal=rule.signal,
        variable=variable.name,
        unit=unit,
        direction=direction,
        why=why,
        sure=sure,
        sign=_sign(variable),
    )


def _sign(variable: FmuVariable) -> Sign:
    return Sign.GENERATION if _words(variable.name) & _GENERATION else Sign.CONSUMPTION


def _unit_words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word in _UNIT_WORDS][-1:]


def _words(name: str) -> set[str]:
    """Return the words of a name in lower case: ``bus.pAvailable_kW`` -> bus, p, available, kw."""
    plain = _HEAT_PUMP.sub("_hp_", _SOC.sub("_soc_", name))
    parts = [part for part in re.split(r"[^A-Za-z]+", plain) if part]
    return {word.lower() for part in parts for word in (*_WORDS.findall(part), part)}
