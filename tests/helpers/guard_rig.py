"""A small inverter on Modbus in a process of its own, for tests of the guard: revert timer, serial number, a log of writes.

``python guard_rig.py LOG`` serves it, prints its port, and ends when its standard input does. Registers (holding):
0-7 serial number, 8-15 version, 20 rated power [W], 22 power [W, int16, generation], 23 temperature [degC],
24 state of charge [%], 30 revert timer [s], 31 limit [% of rated], 32 limit enabled, 33 stored in flash,
34 power set-point [W, int16, consumption], 35 set-point enabled, 36 a point without rules.
"""

import asyncio
import contextlib
import json
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from hil_adapters.guard.link import GuardianLink
from hil_adapters.guard.messages import DeviceConfig, GuardianConfig, GuardState, Image, SetPoints
from hil_adapters.wire.base import Peer, Table, TcpTarget
from hil_adapters.wire.codes import Refusal
from hil_adapters.wire.server import ModbusServer

__all__ = [
    "BATTERY_TEXT",
    "ENABLED",
    "LIMIT",
    "MAP_TEXT",
    "RATED_KW",
    "SERIAL",
    "SET_ENABLED",
    "SET_W",
    "SOC",
    "TIMER",
    "Feeder",
    "InverterBank",
    "Rig",
    "armed",
    "audit_of",
    "commanded",
    "config_for",
    "guard_place",
    "running_inverter",
    "state_of",
    "told",
    "until",
    "written_map",
]

SERIAL = "SN-4711"
RATED_KW = 5.0
SOC = 24
TIMER, LIMIT, ENABLED, FLASH, SET_W, SET_ENABLED, UNRULED = 30, 31, 32, 33, 34, 35, 36
_WRITABLE = range(TIMER, UNRULED + 1)
_ILLEGAL_ADDRESS = 2
_ILLEGAL_VALUE = 3
PATIENCE_S = 20.0

MAP_TEXT = """
format: 1
name: guarded
title: Inverter of the guard's tests
kind: pv
source: {document: Defined by the tests, pages: all}
verified: emulated
link: {port: 502, unit: 1, timeout_s: 0.4}
identity: {serial: serial, version: version}
points:
  - {name: serial, address: 0, type: string, length: 8, group: once}
  - {name: version, address: 8, type: string, length: 8, group: once}
  - {name: rated_w, address: 20, type: uint16, unit: W, group: once}
  - {name: power_w, address: 22, type: int16, unit: W, group: fast}
  - {name: temperature, address: 23, type: int16, unit: degC, group: fast}
  - {name: soc, address: 24, type: uint16, unit: "%", group: fast}
  - {name: limit_timer, address: 30, type: uint16, unit: s, access: rw}
  - {name: limit, address: 31, type: uint16, unit: "%", access: rw, group: fast}
  - {name: limit_enabled, address: 32, type: uint16, access: rw, group: fast}
signals:
  p_kw: {point: power_w, sign: generation}
  p_rated_kw: {point: rated_w}
  temp_degc: {point: temperature}
  soc: {point: soc}
commands:
  p_limit_kw:
    writes:
      - {point: limit_timer, from_watchdog: true}
      - {point: limit, percent_of: rated_w}
      - {point: limit_enabled, value: 1}
    release:
      - {point: limit_enabled, value: 0}
writes:
  limit_timer: {low: 1, high: 600, class: volatile}
  limit:
    low: 0
    high: 100
    class: volatile
    watchdog: &released {kind: timer, point: limit_timer, timeout_s: 2, falls_back_to: full power}
  limit_enabled: {low: 0, high: 1, class: volatile, watchdog: *released}
"""


BATTERY_TEXT = """
format: 1
name: guarded
title: Battery of the guard's tests
kind: battery
source: {document: Defined by the tests, pages: all}
verified: emulated
link: {port: 502, unit: 1, timeout_s: 0.4}
identity: {serial: serial, version: version}
points:
  - {name: serial, address: 0, type: string, length: 8, group: once}
  - {name: version, address: 8, type: string, length: 8, group: once}
  - {name: power_w, address: 22, type: int16, unit: W, group: fast}
  - {name: soc, address: 24, type: uint16, unit: "%", group: fast, missing: [0xffff]}
  - {name: set_w, address: 34, type: int16, unit: W, access: rw}
  - {name: set_enabled, address: 35, type: uint16, access: rw}
signals:
  p_kw: {point: power_w, sign: generation}
  soc: {point: soc}
commands:
  p_set_kw: &set
    writes:
      - {point: set_w, sign: consumption}
      - {point: set_enabled, value: 1}
    release:
      - {point: set_enabled, value: 0}
  p_limit_kw: *set
writes:
  set_w:
    low: -5000
    high: 5000
    class: volatile
    safe: 0
    waiver: &signed {signed_by: A. Rossi, date: 2026-01-01, reason: It has no timer of its own}
  set_enabled: {low: 0, high: 1, class: volatile, waiver: *signed}
"""
"""Without a watchdog, with a safe value, and with two commands on the same registers."""


class InverterBank:
    """The registers; every write is logged with its time before it is carried out."""

    def __init__(
        self, log: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._clock = clock
        self._armed_s: float | None = None
        self.registers = [0] * 64
        self.text(0, SERIAL)
        self.text(8, "1.0")
        self.registers[20] = int(RATED_KW * 1000)
        self.registers[22] = 4000
        self.registers[23] = 25
        self.registers[24] = 50
        self.registers[LIMIT] = 100
        self.refused: set[int] = set()
        """Registers to which every write is answered with an exception."""
        self.ignored: set[int] = set()
        """Registers to which writes are confirmed and not carried out."""

    def text(self, address: int, text: str) -> None:
        """Put a text of 8 registers."""
        self.registers[address : address + 8] = struct.unpack(">8H", text.encode().ljust(16, b"\0"))

    def has_unit(self, unit: int) -> bool:
        """Only unit 1."""
        return unit == 1

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        """Return registers, after what the revert timer does."""
        self._revert()
        if table is not Table.HOLDING or address + count > len(self.registers):
            raise Refusal(_ILLEGAL_ADDRESS)
        return self.registers[address : address + count]

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        """Take registers; any write to the timer, the limit or its enable starts the timer again."""
        self._log({"at_s": self._clock(), "address": address, "values": values})
        if address not in _WRITABLE or address in self.refused:
            raise Refusal(_ILLEGAL_ADDRESS)
        if address == LIMIT and values[0] > 100:
            raise Refusal(_ILLEGAL_VALUE)
        self._revert()
        if address in self.ignored:
            return
        self.registers[address : address + len(values)] = values
        self._armed_s = self._clock()

    def _revert(self) -> None:
        timer_s = self.registers[TIMER]
        if self._armed_s is not None and timer_s and self._clock() - self._armed_s >= timer_s:
            self.registers[ENABLED] = self.registers[SET_ENABLED] = 0
            self._armed_s = None


def written_map(folder: Path, text: str = MAP_TEXT) -> Path:
    """Write the map and return its file."""
    file = folder / "guarded.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@contextlib.contextmanager
def guard_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder with the map, in which guardians register and keep their locks; its path fits a socket."""
    with tempfile.TemporaryDirectory(prefix="guard-") as name:
        monkeypatch.setenv("GEMELLO_RUNTIME_DIR", name)
        written_map(Path(name))
        yield Path(name)


@dataclass
class Rig:
    """A running inverter."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def writes(self) -> list[dict[str, Any]]:
        """Return every write that reached it."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def put(self, address: int, value: int) -> None:
        """Change a register from inside."""
        self._say({"address": address, "value": value})

    def refuse(self, address: int) -> None:
        """Answer every later write to a register with an exception."""
        self._say({"refuse": address})

    def ignore(self, address: int) -> None:
        """Confirm every later write to a register and do nothing."""
        self._say({"ignore": address})

    def _say(self, order: dict[str, Any]) -> None:
        stream: IO[str] | None = self.process.stdin
        assert stream is not None
        stream.write(json.dumps(order) + "\n")
        stream.flush()


@contextlib.contextmanager
def running_inverter(folder: Path, port: int = 0, serial: str = SERIAL) -> Iterator[Rig]:
    """Serve the inverter in a process of its own."""
    log = folder / "device_writes.jsonl"
    log.touch()
    with subprocess.Popen(
        [sys.executable, __file__, str(log), str(port), serial],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield Rig(process, int(process.stdout.readline()), log)
        finally:
            process.kill()


def config_for(folder: Path, port: int, **changes: Any) -> GuardianConfig:
    """Return the configuration of a guardian of the inverter at ``port``; ``changes`` by field of either."""
    device: dict[str, Any] = {
        "name": "roof",
        "map_file": folder / "guarded.yaml",
        "target": TcpTarget(host="127.0.0.1", port=port),
        "unit": 1,
        "serial": SERIAL,
        "emulated": True,
    }
    device.update({key: changes.pop(key) for key in list(changes) if key in DeviceConfig.__slots__})
    guardian: dict[str, Any] = {
        "state": GuardState.ARMED,
        "poll_s": 0.1,
        "feed_timeout_s": 1.0,
        "armed_for_s": 600.0,
        "folder": folder / "run",
    }
    return GuardianConfig(devices=(DeviceConfig(**device),), **(guardian | changes))


def until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> float:
    """Wait until ``condition`` holds and return how long that took [s]; fail after ``timeout_s``."""
    began_s = time.monotonic()
    pause = threading.Event()
    while not condition():
        assert time.monotonic() - began_s < timeout_s, f"not within {timeout_s} s: {what}"
        pause.wait(0.01)
    return time.monotonic() - began_s


class Feeder:
    """Feeds a guardian step by step."""

    def __init__(self, exchange: Callable[[SetPoints | None], Image]) -> None:
        self._exchange = exchange
        self.step = 0
        self.events: list[str] = []
        self.image: Image = Image(devices={}, events=())

    def feed(self, expires_s: float = 5.0, **values: float) -> Image:
        """Finish a step that asks ``values`` by command of the one device."""
        self.step += 1
        return self._keep(
            self._exchange(SetPoints(step=self.step, expires_s=expires_s, values={"roof": values}))
        )

    def look(self) -> Image:
        """Only read."""
        return self._keep(self._exchange(None))

    def _keep(self, image: Image) -> Image:
        self.image = image
        self.events.extend(image.events)
        return image

    def feed_until(self, condition: Callable[[Image], bool], what: str, **values: float) -> float:
        """Go on finishing steps until an image fulfils ``condition``."""
        return until(lambda: condition(self.feed(**values)), f"{what}; events: {self.events}")

    def look_until(self, condition: Callable[[Image], bool], what: str) -> float:
        """Read, without finishing a step, until an image fulfils ``condition``."""
        return until(lambda: condition(self.look()), f"{what}; events: {self.events}")


def state_of(image: Image) -> GuardState:
    return image.devices["roof"].state


def commanded(image: Image) -> float | None:
    return image.devices["roof"].commanded.get("p_limit_kw")


def armed(link: GuardianLink) -> Feeder:
    """Wait until the device is armed."""
    feeder = Feeder(link.exchange)
    feeder.look_until(lambda image: state_of(image) is GuardState.ARMED, "armed")
    return feeder


def audit_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run" / "audit.jsonl").read_text().splitlines()]


def told(feeder: Feeder, text: str) -> str:
    """Wait until an event with ``text`` comes, reading only; return it."""
    feeder.look_until(lambda _image: any(text in event for event in feeder.events), text)
    return next(event for event in feeder.events if text in event)


async def _serve(log: IO[str], port: int, serial: str) -> None:
    def note(line: dict[str, Any]) -> None:
        log.write(json.dumps(line) + "\n")
        log.flush()

    bank = InverterBank(note)
    bank.text(0, serial)
    server = ModbusServer(bank, port=port)
    print(await server.start(), flush=True)  # noqa: T201 - who started it waits for the port
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if "refuse" in order:
            bank.refused.add(order["refuse"])
            continue
        if "ignore" in order:
            bank.ignored.add(order["ignore"])
            continue
        bank.registers[order["address"]] = order["value"]
    await server.stop()


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", encoding="utf-8") as writes:
        asyncio.run(_serve(writes, int(sys.argv[2]), sys.argv[3]))
