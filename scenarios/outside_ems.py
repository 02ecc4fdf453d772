"""A small EMS as somebody else would write it: it knows Modbus, SunSpec and its home, and nothing of this program.

It reads the meter of a home, keeps the meter at zero with the battery, and holds back the PV inverter where the home would feed
in more than its contract allows. Every command has a time to live, so that the devices let go if this program dies.

Addresses come from the environment: METER, PV and BATTERY, each with TWIN_<DEVICE>_HOST, _PORT and _UNIT.
"""

import os
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence

FEED_IN_W = 3000.0
"""Largest feed-in of the contract."""
TIME_TO_LIVE_S = 5
CYCLE_S = 0.03
PATIENCE_S = 5.0
MARKER_AT, MARKER = 40000, (0x5375, 0x6E53)
END = 0xFFFF
MOST_REGISTERS = 120


class Device:
    """One SunSpec device: its models by number, and registers counted from the first one behind a model's head."""

    def __init__(self, name: str) -> None:
        """Connect to the device whose address the environment holds, and find its models."""
        host, port = os.environ[f"TWIN_{name}_HOST"], int(os.environ[f"TWIN_{name}_PORT"])
        self._unit = int(os.environ[f"TWIN_{name}_UNIT"])
        self._wire = socket.create_connection((host, port), timeout=PATIENCE_S)
        self._wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._count = 0
        self._start: dict[int, int] = {}
        self._length: dict[int, int] = {}
        self._find_models()

    def read(self, model: int) -> Sequence[int]:
        """Return the registers of a model."""
        return self._read(self._start[model], min(self._length[model], MOST_REGISTERS))

    def write(self, model: int, offset: int, values: Sequence[float]) -> None:
        """Write registers of a model."""
        words = [round(value) & 0xFFFF for value in values]
        head = struct.pack(">BHHB", 16, self._start[model] + offset, len(words), 2 * len(words))
        self._ask(head + struct.pack(f">{len(words)}H", *words))

    def _find_models(self) -> None:
        if tuple(self._read(MARKER_AT, 2)) != MARKER:
            raise SystemExit("this device does not speak SunSpec")
        at = MARKER_AT + 2
        while True:
            model, length = self._read(at, 2)
            if model == END:
                return
            self._start[model], self._length[model] = at + 2, length
            at += 2 + length

    def _read(self, address: int, count: int) -> Sequence[int]:
        answer = self._ask(struct.pack(">BHH", 3, address, count))
        return struct.unpack(f">{count}H", answer[2:])

    def _ask(self, request: bytes) -> bytes:
        self._count = (self._count + 1) % 0x10000
        self._wire.sendall(struct.pack(">HHHB", self._count, 0, len(request) + 1, self._unit) + request)
        count, _, length, unit = struct.unpack(">HHHB", self._take(7))
        answer = self._take(length - 1)
        if count != self._count or unit != self._unit:
            raise OSError("an answer to something else")
        if answer[0] != request[0]:
            raise OSError(f"refused with exception {answer[1]}")
        return answer

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._wire.recv(count - len(data))
            if not part:
                raise OSError("the device has closed the connection")
            data += part
        return data


def signed(word: int) -> int:
    """Return a register as a signed number."""
    return word - 0x10000 if word & 0x8000 else word


def scaled(registers: Sequence[int], value: int, scale: int) -> float:
    """Return a value with its scale factor."""
    return float(signed(registers[value]) * 10.0 ** signed(registers[scale]))


class Ems:
    """Reads, decides, writes."""

    def __init__(self, devices: Mapping[str, Device]) -> None:
        """Take the devices and read what does not change."""
        self._meter, self._pv, self._battery = devices["METER"], devices["PV"], devices["BATTERY"]
        storage, settings = self._battery.read(124), self._pv.read(121)
        self._battery_w = scaled(storage, 0, 16)
        self._pv_w = scaled(settings, 0, 20)
        self._rate_scale = 10.0 ** signed(storage[23])
        self._limit_scale = 10.0 ** signed(self._pv.read(123)[21])

    def cycle(self) -> None:
        """Do one round: what the home draws is covered, what it does not use is stored, the rest is held back."""
        meter_w = scaled(self._meter.read(203), 16, 20)
        charging_w = -scaled(self._battery.read(103), 12, 13)
        pv_w = scaled(self._pv.read(103), 12, 13)
        load_w = meter_w - charging_w + pv_w
        self._charge(charging_w - meter_w)
        self._hold_back(load_w + max(charging_w, 0.0) + FEED_IN_W)

    def _charge(self, wish_w: float) -> None:
        share = max(-1.0, min(1.0, wish_w / self._battery_w))
        rate = 100.0 * share / self._rate_scale
        self._battery.write(124, 13, [TIME_TO_LIVE_S])
        self._battery.write(124, 10, [-rate, rate])
        self._battery.write(124, 3, [3])

    def _hold_back(self, allowed_w: float) -> None:
        share = max(0.0, min(1.0, allowed_w / self._pv_w))
        self._pv.write(123, 5, [TIME_TO_LIVE_S])
        self._pv.write(123, 3, [100.0 * share / self._limit_scale])
        self._pv.write(123, 7, [1])


def main() -> None:
    """Control the home until the devices are gone."""
    ems = Ems({name: Device(name) for name in ("METER", "PV", "BATTERY")})
    sys.stdout.write("controls the home\n")
    sys.stdout.flush()
    while True:
        ems.cycle()
        time.sleep(CYCLE_S)


if __name__ == "__main__":
    try:
        main()
    except OSError as gone:
        sys.exit(f"ends: {gone}")
