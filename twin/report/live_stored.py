"""A stored run in real time to the data of its section."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twin.errors import RunFolderError
from twin.live.timing import read_timing
from twin.missing_data import SourceUsed
from twin.report.device_data import DeviceEntry
from twin.report.live_data import (
    Array,
    Curve,
    LiveDevice,
    LiveEvent,
    LiveRun,
    Reading,
    StrategyLive,
    Traffic,
    WireSeries,
)
from twin.report.live_outside import read_outside
from twin.report.live_wire import (
    guardian_folders,
    read_audit,
    read_seen,
    read_targets,
    read_traffic,
    serials_of,
    told_by_audit,
    writes_of,
)
from twin.results import RunReader, StrategyReader, StrategyState, layout
from twin.signals import Axis

__all__ = ["live_run", "wire_devices"]

_TOLD = {"age_s", "quality"}
"""Outputs that only devices on the wire have."""
_UNITS = {"age_s": "s", "quality": "1", "commanded_kw": "kW", "in_force": "1"}
_REPLAY = "replay"

Wired = Mapping[str, DeviceEntry]


def wire_devices(entries: Sequence[DeviceEntry]) -> dict[str, DeviceEntry]:
    """Return the entries whose devices are on the wire, by name of the device."""
    return {
        device: entry
        for entry in entries
        if {output.name for output in entry.outputs} >= _TOLD
        for device in entry.devices
    }


def live_run(
    run: RunReader,
    strategies: Sequence[tuple[str, str, StrategyReader | None]],
    *,
    entries: Sequence[DeviceEntry],
    scenario: Mapping[str, Any],
) -> LiveRun | None:
    """Return what a run tells of its real time; None where no strategy ran in real time or repeated one that did.

    Args:
        run: the run.
        strategies: key, label and stored data of each strategy.
        entries: devices that keep their own state.
        scenario: as resolved.

    Raises:
        RunFolderError: files are damaged or do not belong together.
    """
    states, wired = run.manifest.strategies, wire_devices(entries)
    stored = [
        _Stored(run, key, label, reader=reader, wired=wired)
        for key, label, reader in strategies
        if states[key].live
    ]
    if not stored:
        return None
    found = tuple(strategy.data() for strategy in stored)
    return LiveRun(
        strategies=found,
        curves=_curves(wired, scenario, found),
        faults={
            entry.label: names
            for entry in dict.fromkeys(wired.values())
            if (names := _faults(_spec(entry, scenario)))
        },
        replay_of=str(run.manifest.options.get(_REPLAY, "")),
        notes=tuple(dict.fromkeys(note for strategy in stored for note in strategy.notes)),
    )


class _Stored:
    """The files of one strategy."""

    def __init__(
        self, run: RunReader, key: str, label: str, *, reader: StrategyReader | None, wired: Wired
    ) -> None:
        self._key, self._label, self._reader, self._wired = key, label, reader, wired
        self._folder = run.folder / key
        self._state: StrategyState = run.manifest.strategies[key]
        self._manifest = run.folder / layout.MANIFEST
        self.notes: list[str] = []
        """What is not shown, and why."""

    def data(self) -> StrategyLive:
        """Return the strategy as the report shows it."""
        live, folders = self._state.live, guardian_folders(self._folder)
        audits = [read_audit(folder) for folder in folders]
        timings = read_timing(self._folder / layout.TIMING)
        serials = {name: serial for audit in audits for name, serial in serials_of(audit).items()}
        targets = {name: target for folder in folders for name, target in read_targets(folder).items()}
        try:
            devices = tuple(_device(device, serials, targets) for device in live["devices"])
            mode, speed, timing = str(live["mode"]), float(live["speed"]), live["timing"]
            loop = live.get("loop")
            loop_words = "" if loop is None else str(loop["text"])
        except (KeyError, TypeError, ValueError) as exc:
            raise RunFolderError(
                f"{self._manifest}: live of {self._key!r}: {exc} is missing or of another kind; run again"
            ) from exc
        series = self._series([device.name for device in devices])
        return StrategyLive(
            key=self._key,
            label=self._label,
            mode=mode,
            speed=speed,
            timing=timing,
            invalid=self._state.invalid,
            lateness_s=np.array([entry.lateness_s for entry in timings], dtype=np.float64),
            work_s=np.array([entry.work_s for entry in timings], dtype=np.float64),
            devices=devices,
            loop=loop_words,
            outside=read_outside(self._folder),
            series=series,
            seen=read_seen(self._folder, [name for name, found in series.items() if found.axis == Axis.PV]),
            traffic=self._traffic(),
            writes={name: writes for audit in audits for name, writes in writes_of(audit).items()},
            events=self._events([event for audit in audits for event in told_by_audit(audit)]),
        )

    def _traffic(self) -> dict[str, Traffic]:
        found: dict[str, Traffic] = {}
        for folder in guardian_folders(self._folder):
            traffic = read_traffic(folder)
            if traffic is None:
                self.notes.append(
                    f"The frames of {self._label} are too many for a report; they are in {layout.DEVICES}/{folder.name}."
                )
            else:
                found |= traffic
        return found

    def _events(self, audited: Sequence[LiveEvent]) -> tuple[LiveEvent, ...]:
        """Return what devices told during the steps and what the audit has beside it, in order of time."""
        told = [] if self._reader is None else self._reader.events()
        of_steps = [
            LiveEvent(utc=str(event["time_utc"]), step=int(event["step"]), text=str(event["message"]))
            for event in told
            if event.get("kind") == "device"
        ]
        known = {event.text for event in of_steps}
        return tuple(
            sorted((*of_steps, *(event for event in audited if event.text not in known)), key=lambda e: e.utc)
        )

    def _series(self, names: Sequence[str]) -> dict[str, WireSeries]:
        reader = self._reader
        if reader is None or reader.last_step < 0:
            return {}
        found = {
            name: series
            for name in names
            if name in self._wired and (series := _series(reader, name, self._wired[name])) is not None
        }
        without = [name for name in names if name not in found]
        if without:
            self.notes.append(
                f"{self._label} was stored with detail {reader.detail}, which does not keep every series of "
                f"{', '.join(without)}: no figures of these devices. With output.detail: all they are there."
            )
        return found


def _device(raw: Mapping[str, Any], serials: Mapping[str, str], targets: Mapping[str, str]) -> LiveDevice:
    name = str(raw["name"])
    return LiveDevice(
        name=name,
        hardware=bool(raw["hardware"]),
        map_name=str(raw["map"]),
        serial=str(raw["serial"] or serials.get(name, "")),
        target=targets.get(name, ""),
        stands_for=float(raw["stands_for"]),
        alpha=float(raw["alpha"]),
        readings=tuple(
            Reading(
                signal=str(signal),
                **{
                    source.value: int(counts.get(source.value, 0))
                    for source in SourceUsed
                    if source is not SourceUsed.NONE
                },
                oldest_s=float(counts["oldest_s"]),
            )
            for signal, counts in raw["readings"].items()
        ),
    )


def _series(reader: StrategyReader, device: str, entry: DeviceEntry) -> WireSeries | None:
    """Return the stored series of a device; None where some are not stored."""
    power = _one(reader, f"{entry.axis}.p_kw", entry.axis, device)
    reactive = _one(reader, f"{entry.axis}.q_kvar", entry.axis, device)
    told = {
        output.name: _one(
            reader, "state.value", Axis.STATE, f"{device} {output.name} [{_UNITS[output.name]}]"
        )
        for output in entry.outputs
        if output.name in _UNITS
    }
    quality, age_s = told["quality"], told["age_s"]
    if power is None or reactive is None or quality is None or age_s is None:
        return None
    bus = dict(zip(entry.devices, entry.buses, strict=False)).get(device)
    return WireSeries(
        axis=entry.axis,
        p_kw=power,
        q_kvar=reactive,
        quality=quality,
        age_s=age_s,
        commanded_kw=told.get("commanded_kw"),
        in_force=told.get("in_force"),
        vm_pu=None if bus is None else _one(reader, "bus.vm_pu", Axis.BUS, bus),
    )


def _one(reader: StrategyReader, key: str, axis: Axis, name: str) -> Array | None:
    """Return the series of one entity; None where it is not stored."""
    names = reader.names(axis)
    if name not in names or not reader.has(key):
        return None
    return reader.series(key, [names.index(name)])[:, 0].astype(np.float64)


def _spec(entry: DeviceEntry, scenario: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the entry in the resolved scenario; its label starts with ``devices[N]``."""
    number = entry.label.partition("]")[0].removeprefix("devices[")
    devices = scenario.get("devices")
    if not number.isdecimal() or not isinstance(devices, list) or int(number) >= len(devices):
        return {}
    spec = devices[int(number)]
    return spec if isinstance(spec, dict) else {}


def _faults(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the faults that the scenario gives virtual devices, or the file that has them."""
    modbus = spec.get("modbus")
    rules = modbus.get("faults") if isinstance(modbus, dict) and spec.get("as") == "virtual" else None
    if isinstance(rules, str):
        return (f"those of {rules}",)
    return tuple(dict.fromkeys(str(rule.get("fault")) for rule in rules or () if isinstance(rule, dict)))


def _curves(wired: Wired, scenario: Mapping[str, Any], found: Sequence[StrategyLive]) -> dict[str, Curve]:
    """Return Q(V) by device as the scenario sets it; a real device has a curve of its own, which nobody here knows."""
    stands_for = {
        device.name: device.stands_for
        for strategy in found
        for device in strategy.devices
        if not device.hardware
    }
    curves = {}
    for name, n in stands_for.items():
        spec = _spec(wired[name], scenario) if name in wired else {}
        inverter, p_peak_kw = spec.get("inverter"), spec.get("p_peak_kw")
        if (
            isinstance(inverter, dict)
            and inverter.get("function") == "q_v"
            and isinstance(p_peak_kw, int | float)
        ):
            most_kvar = float(inverter["q_max_share"]) * p_peak_kw / n
            corners = [float(inverter[key]) for key in ("v2i_pu", "v1i_pu", "v1s_pu", "v2s_pu")]
            curves[name] = Curve(vm_pu=np.array(corners), q_kvar=np.array([-most_kvar, 0.0, 0.0, most_kvar]))
    return curves
