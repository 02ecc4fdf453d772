"""Stored series of devices that keep their own state, reduced to what the report shows."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from twin.errors import RunFolderError
from twin.report.device_data import DeviceEntry, DeviceRun, Energy, OutputValues, StrategyDevices
from twin.results import StrategyReader
from twin.signals import Axis
from twin.units import energy_kwh

__all__ = ["device_run", "energy_of", "values_of"]

_BLOCK_VALUES = 20_000_000
"""Values of a series read at once: 80 MB."""

Array = NDArray[np.floating]


def energy_of(blocks: Iterator[Array], dt_s: float) -> Energy:
    """Return the energy of devices from their powers.

    Args:
        blocks: powers of some devices each, shape (T, n), consumption positive [kW].
        dt_s: length of a step.
    """
    taken_kw = given_kw = 0.0
    for p_kw in blocks:
        taken_kw += float(np.maximum(p_kw, 0.0).sum(dtype=np.float64))
        given_kw += float(np.minimum(p_kw, 0.0).sum(dtype=np.float64))
    taken_kwh, given_kwh = energy_kwh(np.array([taken_kw, given_kw]), dt_s)
    return Energy(taken_kwh=float(taken_kwh), given_kwh=float(given_kwh))


def values_of(blocks: Iterator[Array], devices: Sequence[str]) -> OutputValues:
    """Return lowest, mean and highest of an output, and who had them; the first device where several share one.

    Args:
        blocks: values of some devices each, shape (T, n), T at least 1, in the order of ``devices``.
        devices: names of all, at least one.
    """
    lowest: list[tuple[float, int, int]] = []
    highest: list[tuple[float, int, int]] = []
    total: NDArray[np.float64] | None = None
    seen = 0
    for values in blocks:
        for kept, flat in ((lowest, int(values.argmin())), (highest, int(values.argmax()))):
            step, place = divmod(flat, values.shape[1])
            kept.append((float(values[step, place]), seen + place, step))
        sums = values.sum(axis=1, dtype=np.float64)
        total = sums if total is None else total + sums
        seen += values.shape[1]
    if total is None:
        raise ValueError("there must be at least one device")
    low, high = min(lowest, key=lambda found: found[0]), max(highest, key=lambda found: found[0])
    return OutputValues(
        lowest=low[0],
        lowest_device=devices[low[1]],
        lowest_step=low[2],
        mean=float(total.mean() / len(devices)),
        highest=high[0],
        highest_device=devices[high[1]],
        highest_step=high[2],
        mean_series=total / len(devices),
    )


class _Stored:
    """Where the devices of a run are among the stored series of one strategy."""

    def __init__(self, reader: StrategyReader, entries: Sequence[DeviceEntry], dt_s: float) -> None:
        self._reader = reader
        self._dt_s = dt_s
        self._n_steps = reader.last_step + 1
        self._places: dict[Axis, dict[int, int]] = {}
        expected = [
            f"{device} {output.name} [{output.unit}]"
            for entry in entries
            for output in entry.outputs
            for device in entry.devices
        ]
        if list(reader.all_names(Axis.STATE)) != expected:
            raise RunFolderError(
                f"{reader.folder}: the stored outputs are not those of the devices in feeder.json; "
                "restore the files or run again"
            )

    def of_devices(self, entry: DeviceEntry) -> list[int] | None:
        """Return the positions of the devices' powers; None where some have no series."""
        every = {name: place for place, name in enumerate(self._reader.all_names(entry.axis))}
        return self._stored(entry.axis, [every.get(name, -1) for name in entry.devices])

    def of_output(self, first: int, n_devices: int) -> list[int] | None:
        """Return the positions of an output whose first device is at ``first``; None where some have no series."""
        return self._stored(Axis.STATE, range(first, first + n_devices))

    def energy(self, axis: Axis, places: Sequence[int]) -> Energy:
        """Return the energy of the devices at ``places``."""
        return energy_of(self.blocks(f"{axis}.p_kw", places), self._dt_s)

    def blocks(self, key: str, places: Sequence[int]) -> Iterator[Array]:
        """Return the series at ``places``, some at a time, shape (T, n) each."""
        size = max(_BLOCK_VALUES // self._n_steps, 1)
        for first in range(0, len(places), size):
            yield self._reader.series(key, places[first : first + size])

    def _stored(self, axis: Axis, wanted: Sequence[int]) -> list[int] | None:
        if axis not in self._places:
            # names choose what is stored, so of two of the same name both are stored or none
            names = set(self._reader.names(axis))
            chosen = (place for place, name in enumerate(self._reader.all_names(axis)) if name in names)
            self._places[axis] = {place: row for row, place in enumerate(chosen)}
        known = self._places[axis]
        return [known[place] for place in wanted] if all(place in known for place in wanted) else None


def _strategy(
    label: str, position: int, *, stored: _Stored, entries: Sequence[DeviceEntry]
) -> StrategyDevices:
    energy: list[Energy | None] = []
    outputs: list[tuple[OutputValues | None, ...]] = []
    first = 0
    for entry in entries:
        places = stored.of_devices(entry)
        energy.append(None if places is None else stored.energy(entry.axis, places))
        found: list[OutputValues | None] = []
        for _ in entry.outputs:
            at = stored.of_output(first, len(entry.devices))
            found.append(None if at is None else values_of(stored.blocks("state.value", at), entry.devices))
            first += len(entry.devices)
        outputs.append(tuple(found))
    return StrategyDevices(label=label, position=position, energy=tuple(energy), outputs=tuple(outputs))


def _left_out(
    entries: Sequence[DeviceEntry], found: Sequence[StrategyDevices], details: Sequence[str]
) -> tuple[str, ...]:
    """Return why values are missing."""
    without = [
        entry.label
        for place, entry in enumerate(entries)
        if any(strategy.energy[place] is None or None in strategy.outputs[place] for strategy in found)
    ]
    sentence = (
        f"The run was stored with detail {' and '.join(details)}, which does not keep every series of "
        f"{', '.join(without)}: what needs them is left out. With output.detail: all it is there."
    )
    return (sentence,) if without else ()


def _not_shown(absent: Sequence[str], found: Sequence[StrategyDevices]) -> tuple[str, ...]:
    """Return which strategies have no values."""
    if not found:
        return ("No steps are stored, so there are no values of these devices.",)
    return (f"No steps are stored of {', '.join(absent)}: not among the strategies here.",) if absent else ()


def device_run(
    entries: Sequence[DeviceEntry],
    strategies: Sequence[tuple[str, StrategyReader | None]],
    *,
    dt_s: float,
) -> DeviceRun | None:
    """Return what a run stored of devices that keep their own state; None where it has none.

    Args:
        entries: the devices.
        strategies: label of each strategy of the run and what is stored of it.
        dt_s: length of a step.

    Raises:
        RunFolderError: files are damaged or do not belong together.
    """
    if not entries:
        return None
    found = tuple(
        _strategy(label, position, stored=_Stored(reader, entries, dt_s), entries=entries)
        for position, (label, reader) in enumerate(strategies)
        if reader is not None and reader.last_step >= 0
    )
    shown = [strategy.label for strategy in found]
    absent = [label for label, _ in strategies if label not in shown]
    details = sorted({str(reader.detail) for _, reader in strategies if reader is not None})
    return DeviceRun(
        entries=tuple(entries),
        strategies=found,
        left_out=(*_not_shown(absent, found), *_left_out(entries, found, details)),
    )
