"""The inside of an emulated device of any register map: readings by its signals, commands by undoing its writes."""

import math
import zlib
from collections.abc import Collection, Mapping

from hil_adapters.maps.binding import command_writes, set_point_of, signals_of
from hil_adapters.maps.schema import Command, CommandWrite, SignalBinding, ValueType, decided
from hil_adapters.maps.units import factor_between, unit_of_signal
from hil_adapters.samples import NOTHING, Quality, Sample
from hil_adapters.virtual.plate import Plate
from hil_adapters.virtual.registers import RegisterStore

__all__ = ["SignalPanel", "map_commands", "set_identity", "set_ratings", "set_released"]

_ONE = Sample(value=1.0, quality=Quality.GOOD, received_s=0.0)
_SAME = 1e-6
_SERIAL_NUMBERS = 60_000
"""They fit into one register."""


class SignalPanel:
    """Writes signals, in the twin's units and sign, into the points that a resolved map binds them to.

    A signal is proportional to its point; what one unit of the point means is asked from the binding that clients use.
    """

    def __init__(self, store: RegisterStore) -> None:
        self._store = store
        self._fixed = {
            name: (decided(binding.point), self._one(name, binding))
            for name, binding in store.map.signals.items()
            if binding.percent_of is None
        }

    def show(self, signals: Mapping[str, float]) -> None:
        """Show what is given; signals that the map does not bind are not shown."""
        for name, binding in self._store.map.signals.items():
            value = signals.get(name)
            if value is None:
                continue
            point, one = self._fixed.get(name, (decided(binding.point), math.nan))
            if binding.percent_of is not None:
                one = self._one(name, binding)
            if one != 0.0 and math.isfinite(one):
                self._store.show(point, value / one)

    def _one(self, name: str, binding: SignalBinding) -> float:
        """Return the signal where its point is 1 in its unit; NaN where the base of a percentage has no value."""
        part = self._store.map.model_copy(update={"signals": {name: binding}})
        known = {decided(binding.point): _ONE}
        if binding.percent_of is not None:
            base = decided(binding.percent_of)
            known[base] = _sample(self._store.number(base))
        return signals_of(part, known)[name].value


def map_commands(store: RegisterStore, written: Collection[str]) -> dict[str, float]:
    """Return the commands of a resolved map that the registers hold in force, in the units of their names.

    A command with an enable (a constant that its release sets to another one) is in force while the enable stands. One
    without is in force from the first time that a client wrote its set-point: ``written`` holds the points written since
    the start. Its value is what a client would have asked for to have the set-point so.
    """
    found: dict[str, float] = {}
    for name, command in store.map.commands.items():
        point = decided(set_point_of(store.map, name).point)
        enables = _enables(command)
        in_force = all(_stands(store, write) for write in enables) if enables else point in written
        value = _value(store, name, point) if in_force else None
        if value is not None:
            found[name] = value
    return found


def set_released(store: RegisterStore) -> None:
    """Put every command of a resolved map into its release."""
    for command in store.map.commands.values():
        for write in command.release:
            if write.value is not None:
                store.set(decided(write.point), write.value)


def set_ratings(store: RegisterStore, plate: Plate) -> None:
    """Write the ratings into the points that percentages refer to and into those bound to signals of ratings."""
    ratings = {
        "p_rated_kw": plate.p_rated_kw,
        "p_max_kw": plate.p_rated_kw,
        "p_charge_max_kw": plate.charge_kw,
        "p_discharge_max_kw": plate.discharge_kw,
        "e_capacity_kwh": plate.capacity_kwh,
        "soh": 1.0,
    }
    references = [
        (write.percent_of, name, plate.largest_kw if name == "p_set_kw" else plate.p_rated_kw)
        for name, command in store.map.commands.items()
        for write in command.writes
    ]
    references += [
        (binding.percent_of, name, plate.p_rated_kw) for name, binding in store.map.signals.items()
    ]
    for reference, name, rating in references:
        unit = unit_of_signal(name)
        if reference is not None and unit == "kW":
            point = store.cells[decided(reference)].point
            store.set(point.name, rating * factor_between(unit, point.unit))
    SignalPanel(store).show(ratings)


def set_identity(store: RegisterStore, plate: Plate) -> None:
    """Write maker, model, version and serial number into the points that the map names.

    A serial number of letters shows in a point for numbers as a number made from it, always the same; other texts are
    left out there.
    """
    texts = {
        "manufacturer": plate.manufacturer,
        "model": plate.model,
        "version": plate.version,
        "serial": plate.serial,
    }
    for key, reference in store.map.identity.items():
        name, text = decided(reference), texts[key]
        if store.cells[name].point.type is ValueType.STRING:
            store.set(name, text[: 2 * len(store.cells[name].addresses)])
        elif text.isdecimal():
            store.set(name, float(text))
        elif key == "serial":
            store.set(name, float(zlib.crc32(text.encode()) % _SERIAL_NUMBERS))


def _enables(command: Command) -> list[CommandWrite]:
    """Return the constants of a command that its release sets to others."""
    released = {decided(write.point): write.value for write in command.release}
    return [
        write
        for write in command.writes
        if write.value is not None and released.get(decided(write.point), write.value) != write.value
    ]


def _stands(store: RegisterStore, write: CommandWrite) -> bool:
    value = store.number(decided(write.point))
    if value is None or write.value is None:
        return False
    return math.isclose(value, write.value, rel_tol=_SAME, abs_tol=_SAME)


def _value(store: RegisterStore, command: str, point: str) -> float | None:
    """Return the value of a command that its set-point stands for; the two are proportional."""
    held = store.number(point)
    bases = [decided(write.percent_of) for write in store.map.commands[command].writes if write.percent_of]
    known = {base: _sample(store.number(base)) for base in bases}
    if held is None or any(not sample.value > 0.0 for sample in known.values()):
        return None
    one = next(write for write in command_writes(store.map, command, 1.0, known) if write.point == point)
    return held / one.value


def _sample(value: float | None) -> Sample:
    return NOTHING if value is None else Sample(value=value, quality=Quality.GOOD, received_s=0.0)
