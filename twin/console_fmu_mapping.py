"""The ``devices:`` entry that ``twin fmu inspect`` proposes, as text to paste into a scenario."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from models.fmu.base import FmuInfo, FmuVariable
from models.fmu.checking.ports import array_size_of
from models.fmu.reading.proposal import ProposedWire
from twin.scenario.device_base import COMMON_SIGNALS

__all__ = ["mapping_text"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
_NO_NAME = re.compile(r"[^A-Za-z0-9_]+")
_PURE = frozenset({"vm_pu", "soc", "soc_need", "plugged"})
"""Signals that are numbers without a unit."""
_CANDIDATES = 6
"""Outputs that are named where none looks like the power."""
_EV = frozenset({"plugged", "used_kwh", "departure_h", "soc_need"})
_INPUTS: Mapping[str, frozenset[str]] = {
    "battery": frozenset({"p_set_kw"}),
    "pv": frozenset({"p_available_kw", "p_limit_kw"}),
    "water_heater": frozenset({"p_set_kw", "p_limit_kw", "draw_l_min", "temp_room_degc"}),
    "ev": frozenset({"p_set_kw", "p_limit_kw"}) | _EV,
    "fmu": frozenset({"p_set_kw", "p_limit_kw"}),
}
"""Signals that feed an FMU of each kind, beside the common ones."""
_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "battery": ("p_kw", "soc"),
    "pv": ("p_kw", "q_kvar"),
    "water_heater": ("p_kw", "q_kvar"),
    "ev": ("p_kw", "q_kvar", "soc"),
    "fmu": ("p_kw", "q_kvar"),
}
_FURTHER: Mapping[str, tuple[str, ...]] = {
    "battery": ("capacity_kwh: 10    # as in the FMU, for the strategies", "power_kw: 5         # same"),
    "pv": ("profile: constant    # or clear_sky, weather:FILE, SOURCE.COLUMN", "p_peak_kw: 5"),
    "water_heater": ("draw: generated      # or SOURCE.COLUMN",),
    "ev": ("trips: generated     # or SOURCE.COLUMN",),
    "fmu": (),
}
"""What the entry needs beside the FMU."""


def mapping_text(info: FmuInfo, wires: Sequence[ProposedWire]) -> str:
    """Return YAML with what was guessed, why, and what is left to be decided.

    The kind of device follows from the signals that were found. The entry is complete where the power was found;
    otherwise its line is a comment.
    """
    kind = _kind(wires)
    fed = {
        wire.variable: wire
        for wire in wires
        if wire.direction == "input" and wire.signal in _INPUTS[kind] | COMMON_SIGNALS
    }
    given = {wire.signal: wire for wire in wires if wire.direction == "output"}
    name = _NO_NAME.sub("_", info.model_name).strip("_").lower() or "device"
    lines = [
        f"- kind: {kind}",
        *(["  as: fmu"] if kind != "fmu" else []),
        f"  prefix: {_quoted(f'{name}_fmu')}",
        "  share: 0.5           # of the homes; or home: NAME, bus: NAME",
        *(f"  {line}" for line in _FURTHER[kind]),
    ]
    if any(wire.signal == "temp_air_degc" for wire in fed.values()):
        lines.append("  temp_air_degc: 15    # or SOURCE.COLUMN, or weather: FILE")
    lines += [
        "  fmu:",
        f"    file: {_quoted(info.file.name)}",
        *_inputs(info, fed),
        *_outputs(info, {signal: given[signal] for signal in _OUTPUTS[kind] if signal in given}),
    ]
    size = array_size_of(info)
    if size is not None:
        lines.append(f"    array: {_quoted(size)}    # one instance holds all devices")
    if not info.can_serialise_state:
        lines.append("    # on_failure: restart is not possible: the FMU does not serialise its state")
    return "\n".join(lines) + "\n"


def _kind(wires: Sequence[ProposedWire]) -> str:
    """Return the kind of device whose signals were found."""
    fed = {wire.signal for wire in wires if wire.direction == "input"}
    given = {wire.signal for wire in wires if wire.direction == "output"}
    if "p_available_kw" in fed:
        return "pv"
    if "draw_l_min" in fed:
        return "water_heater"
    if _EV & fed:
        return "ev"
    return "battery" if "p_set_kw" in fed and {"p_kw", "soc"} <= given else "fmu"


def _inputs(info: FmuInfo, fed: Mapping[str, ProposedWire]) -> Iterator[str]:
    ports = [entry for entry in info.variables if entry.causality == "input" and entry.is_number]
    if not ports:
        return
    yield "    inputs:" if fed else "    # inputs:"
    for entry in ports:
        wire = fed.get(entry.name)
        if wire is None:
            start = f"start {entry.start}" if entry.start is not None else "no start value"
            unit = f"{entry.unit}, " if entry.unit is not None else ""
            what = f"{{value: {_start(entry)}}}    # {unit}{start}; or {{signal: ...}}, {{column: ...}}"
            yield f"      # {_quoted(entry.name)}: {what}"
        else:
            sign = f", sign: {wire.sign}" if wire.sign != "consumption" else ""
            yield (
                f"      {_quoted(entry.name)}: {{signal: {wire.signal}{_given_unit(entry, wire)}{sign}}}"
                f"    # {wire.why}{_no_unit(entry, wire)}"
            )


def _outputs(info: FmuInfo, given: Mapping[str, ProposedWire]) -> Iterator[str]:
    yield "    outputs:" if given else "    # outputs:"
    if "p_kw" not in given:
        ports = [entry.name for entry in info.variables if entry.causality == "output" and entry.is_float]
        some = ", ".join(ports[:_CANDIDATES]) + (" ..." if len(ports) > _CANDIDATES else "")
        which = f"which is the power? {some or 'no output is a real number'}"
        yield f"      # p_kw: {{variable: ?, unit: W, sign: consumption}}    # {which}"
    for signal, wire in given.items():
        variable = info.variable(wire.variable)
        if variable is None:
            continue
        is_power = signal in {"p_kw", "q_kvar"}
        sign = f", sign: {wire.sign}" if is_power else ""
        yield (
            f"      {signal}: {{variable: {_quoted(wire.variable)}{_given_unit(variable, wire)}{sign}}}"
            f"    # {wire.why}{'; check the sign' if is_power else ''}{_no_unit(variable, wire)}"
        )


def _given_unit(variable: FmuVariable, wire: ProposedWire) -> str:
    """Return the unit to write where the FMU does not say it and its name does."""
    return f", unit: {_quoted(wire.unit)}" if variable.unit is None and wire.unit is not None else ""


def _no_unit(variable: FmuVariable, wire: ProposedWire) -> str:
    is_unknown = variable.unit is None and wire.unit is None and wire.signal not in _PURE
    return "; the FMU says no unit: add `unit:`" if is_unknown else ""


def _start(variable: FmuVariable) -> str:
    word = next(iter((variable.start or "0").split()), "0")
    return {"true": "1", "false": "0"}.get(word.lower(), word)


def _quoted(text: str) -> str:
    """Return a text as YAML reads it back, in quotes where needed."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML
    return text if is_plain else json.dumps(text, ensure_ascii=False)
