"""Devices on the wire for tests of the twin: entries, a register map of a heater, and a guardian that plays its part."""

from collections.abc import Mapping
from pathlib import Path

from hil_adapters.guard.messages import DeviceImage, GuardState, Image, SetPoints
from hil_adapters.samples import Quality, Sample
from twin.hil import HilSlot
from twin.plant import Plant

__all__ = [
    "BATTERY_ENTRY",
    "HEATER_ENTRY",
    "HEATER_MAP",
    "PV_ENTRY",
    "ScriptedGuardian",
    "ScriptedWorld",
    "heater_map",
    "only_slot",
    "sample",
    "written",
]

BATTERY_ENTRY = (
    "  - {kind: battery, home: Load R11, name: store, capacity_kwh: 12, charge_kw: 6, discharge_kw: 4, as: WORD,\n"
    "     modbus: {map: sunspec_battery, host: 10.0.0.2, serial: A1, limits: {p_set_kw: {min: -2, max: 2}}MORE}}\n"
)
PV_ENTRY = (
    "  - {kind: pv, home: Load R1, name: roof, p_peak_kw: 30, profile: constant, as: WORD,\n"
    "     inverter: {function: q_v, v1s_pu: 1.05, v2s_pu: 1.09, p_v: {start_pu: 1.06, end_pu: 1.10}},\n"
    "     modbus: {map: sunspec_pv, host: 10.0.0.3, serial: B2, limits: {p_limit_kw: {min: 0, max: 30}}MORE}}\n"
)
HEATER_ENTRY = (
    "  - {kind: water_heater, home: Load R1, name: tank, draw: generated, volume_l: 300, p_rated_kw: 1.5, as: WORD,\n"
    "     modbus: {map: heater.yaml, host: 10.0.0.4, serial: C3, limits: {COMMAND: {min: 0, max: 2}}MORE}}\n"
)


HEATER_MAP = """\
format: 1
name: heater
title: Water heater of no maker
kind: other
source: {document: Defined by this file, pages: all}
identity: {serial: serial}
points:
  - {name: serial, address: 0, type: string, length: 8, group: once}
  - {name: power, address: 10, type: float32, unit: W, group: fast}
  - {name: top, address: 12, type: float32, unit: degC, group: fast}
  - {name: limit, address: 14, type: float32, unit: W, access: rw, group: fast}
  - {name: seconds, address: 16, type: uint16, unit: s, access: rw, group: slow}
  - {name: active, address: 17, type: uint16, access: rw, group: slow}
writes:
  limit:
    low: 0
    high: 100000
    class: volatile
    watchdog: {kind: timer, point: seconds, timeout_s: 10, falls_back_to: no limit}
  seconds: {low: 0, high: 60, class: volatile, waiver: {signed_by: Test, date: 2026-01-01, reason: part of the watchdog}}
  active: {low: 0, high: 1, class: volatile, waiver: {signed_by: Test, date: 2026-01-01, reason: part of the watchdog}}
signals:
  p_kw: {point: power, sign: consumption}
  temp_top_degc: {point: top}
commands:
  COMMAND:
    writes: [{point: seconds, from_watchdog: true}, {point: limit, sign: consumption}, {point: active, value: 1}]
    release: [{point: active, value: 0}]
"""


def written(entry: str, word: str, more: str = "") -> str:
    """Return an entry with its word, and more in its block."""
    return entry.replace("WORD", word).replace("MORE", more)


def only_slot(plant: Plant) -> HilSlot:
    """Return the one device on the wire of a plant."""
    (slot,) = plant.hil.slots
    return slot


def heater_map(folder: Path, command: str = "p_limit_kw") -> Path:
    """Write the map of a heater that takes one command."""
    file = folder / "heater.yaml"
    file.write_text(HEATER_MAP.replace("COMMAND", command))
    return file


def sample(value: float, received_s: float, quality: Quality = Quality.GOOD) -> Sample:
    """Return a reading."""
    return Sample(value=value, quality=quality, received_s=received_s)


class ScriptedGuardian:
    """Answers with the readings that a test puts in, and keeps what it is sent."""

    def __init__(self) -> None:
        self.signals: dict[str, dict[str, Sample]] = {}
        self.commanded: dict[str, dict[str, float]] = {}
        self.sent: list[SetPoints] = []
        self.reads = 0
        self.told: tuple[str, ...] = ()

    def reads_now(self, device: str, received_s: float, **values: float) -> None:
        """Put in readings of a device that arrived at ``received_s``."""
        known = self.signals.setdefault(device, {})
        known.update({name: sample(value, received_s) for name, value in values.items()})

    def exchange(self, set_points: SetPoints | None) -> Image:
        """Take set-points, give the newest image."""
        if set_points is None:
            self.reads += 1
        else:
            self.sent.append(set_points)
        devices = {
            name: DeviceImage(
                state=GuardState.ARMED, signals=dict(signals), commanded=dict(self.commanded.get(name, {}))
            )
            for name, signals in self.signals.items()
        }
        told, self.told = self.told, ()
        return Image(devices=devices, events=told)


class ScriptedWorld:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, dict[str, float]]] = []

    def world(self, values: Mapping[str, Mapping[str, float]]) -> None:
        """Take what surrounds the devices."""
        self.told.append({device: dict(named) for device, named in values.items()})
