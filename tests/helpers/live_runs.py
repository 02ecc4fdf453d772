"""Runs in real time in processes of their own, and the inverter of somebody else that they meet."""

import asyncio
import contextlib
import datetime as dt
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outside import program
from virtual_hosts import LIMIT, polled, written

from hil_adapters.device.identity import Identity
from hil_adapters.device.session import DeviceSession
from hil_adapters.guard.evidence import map_sha256
from hil_adapters.guard.places import RUNTIME_VARIABLE
from hil_adapters.maps.loader import load_map, map_file
from hil_adapters.wire.base import TcpTarget
from twin.results import latest_run

__all__ = [
    "ENABLED",
    "LIMIT_KW",
    "PERCENT",
    "RATED_KW",
    "SERIAL",
    "TIMER_S",
    "Bench",
    "Cable",
    "Inverter",
    "Run",
    "alive",
    "bench",
    "served_inverter",
    "until",
    "write_acceptance",
]

SERIAL = "SN-0317"
RATED_KW = 10.0
LIMIT_KW = 4.0
TIMER_S = 5
"""Watchdog of the inverter in the tests' map; the shipped one says 30 s."""
PERCENT, TIMER, ENABLED = LIMIT + 5, LIMIT + 7, LIMIT + 9
"""Registers of model 123: WMaxLimPct [0.1 %... by its scale], WMaxLimPct_RvrtTms [s], WMaxLim_Ena."""
PATIENCE_S = 60.0

SCENARIO = """\
name: lab
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20T12:00, duration_s: 2 min, step_s: 250 ms}
devices:
  - {kind: load, from: feeder, profile: constant}
  - kind: pv
    name: Roof
    home: Load R1
    p_peak_kw: 10 kW
    profile: constant
    as: hardware
    modbus:
      map: inverter.yaml
      host: 127.0.0.1
      port: PORT
      serial: SERIAL
      limits: {p_limit_kw: {min: 0 kW, max: 10 kW}}
      acceptance: acceptance.json
live: {poll: 200 ms}
strategies:
  limiter: {use: "limiter.py:Limiter", params: {limit_kw: LIMIT}}
"""

STRATEGY = '''\
"""Holds every generator back, and fails when it is told to."""

import threading

import numpy as np

from twin.control import Observation, Proposal, Site


class Limiter:
    def __init__(self, site: Site, *, limit_kw: float, fails_at: int = -1, hangs_at: int = -1) -> None:
        self._site, self._limit_kw, self._fails_at, self._hangs_at = site, limit_kw, fails_at, hangs_at

    def decide(self, seen: Observation) -> Proposal:
        if seen.step == self._fails_at:
            raise RuntimeError("the strategy is broken")
        if seen.step == self._hangs_at:
            threading.Event().wait()
        n = len(self._site.pv_home)
        return Proposal(battery_kw=np.zeros(self._site.battery.n), pv_limit_kw=np.full(n, self._limit_kw))
'''


def until(holds: Callable[[], bool], what: str, *, within_s: float = PATIENCE_S) -> float:
    """Wait until ``holds`` and return how long that took [s]; fail after ``within_s``."""
    began_s = time.monotonic()
    pause = threading.Event()
    while not holds():
        assert time.monotonic() - began_s < within_s, f"not within {within_s:g} s: {what}"
        pause.wait(0.05)
    return time.monotonic() - began_s


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@dataclass(frozen=True)
class Inverter:
    """An inverter that ``twin device serve`` shows, in a session of its own, as mbpoll sees it."""

    port: int
    process: "subprocess.Popen[str]"

    def holds(self, address: int) -> int:
        """Return a register as an outside program reads it."""
        return polled(self.port, address)[0]

    @property
    def is_limited(self) -> bool:
        """Whether a limit is enabled."""
        return self.holds(ENABLED) == 1

    @contextlib.contextmanager
    def through_socat(self) -> Iterator["Cable"]:
        """Give a cable to it."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        listening = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"
        with subprocess.Popen(
            [program("socat"), listening, f"TCP:127.0.0.1:{self.port}"], start_new_session=True
        ) as process:
            try:
                until(lambda: _listens(port), "the cable is there")
                yield Cable(port, process.pid)
            finally:
                os.killpg(process.pid, signal.SIGKILL)

    def mark(self) -> None:
        """Leave a value that any command of a guardian would replace; nothing is enabled by it."""
        assert written(self.port, TIMER, _MARK_S) == 0

    @property
    def is_marked(self) -> bool:
        """Whether the mark is still there: nobody has written a command since."""
        return self.holds(TIMER) == _MARK_S


_MARK_S = 1234


@dataclass(frozen=True)
class Cable:
    """A forwarding program between a run and a device; stopped, it is a network that is cut."""

    port: int
    group: int

    def cut(self) -> None:
        """Let nothing through; connections stay open."""
        os.killpg(self.group, signal.SIGSTOP)

    def mend(self) -> None:
        """Let everything through, also what waited."""
        os.killpg(self.group, signal.SIGCONT)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def served_inverter(port: int = 0) -> Iterator[Inverter]:
    """Serve an inverter with full sun; it belongs to nobody's run."""
    settings = {"serial": SERIAL, "p_rated_kw": RATED_KW, "s_rated_kva": RATED_KW * 1.1}
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "twin",
            "device",
            "serve",
            "sunspec_pv",
            "--port",
            str(port),
            "--json",
            *given,
        ],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or not lines[-1].startswith("}"):
                lines.append(process.stdout.readline())
                assert lines[-1], "the inverter did not start"
            yield Inverter(int(json.loads("".join(lines))["port"]), process)
        finally:
            process.kill()


def write_acceptance(file: Path, map_: Path, port: int, **changes: Any) -> None:
    """Write the report of an acceptance test that the device at ``port`` has passed, with ``changes``."""
    register_map = load_map(map_)

    async def identified() -> Identity:
        session = DeviceSession(register_map, TcpTarget(host="127.0.0.1", port=port), register_map.link.unit)
        try:
            await session.connect()
            assert session.identity is not None
            return session.identity
        finally:
            await session.close()

    said = asyncio.run(identified())
    report: dict[str, Any] = {
        "format": 1,
        "device": {
            "manufacturer": said.manufacturer,
            "model": said.model,
            "version": said.version,
            "serial": said.serial,
            "fingerprint": said.fingerprint,
        },
        "map": register_map.name,
        "map_sha256": map_sha256(register_map),
        "performed": dt.datetime.now(dt.UTC).isoformat(),
        "valid_days": 30,
        "passed": True,
        "checks": [],
        "watchdog": {"p_limit_kw": {"timeout_s": TIMER_S, "released_after_s": TIMER_S}},
        "slope_kw_v": None,
    }
    file.write_text(json.dumps(report | changes), encoding="utf-8")


class Run:
    """A command ``twin`` that runs, in a session of its own like a terminal."""

    def __init__(self, process: "subprocess.Popen[str]", bench: "Bench") -> None:
        self.process, self._bench = process, bench
        self._before = bench.guardians

    @property
    def guardians(self) -> frozenset[int]:
        """Process ids of the guardians that have come since the run began."""
        return self._bench.guardians - self._before

    def interrupt(self) -> None:
        """Press Ctrl-C: everything in the foreground gets the signal."""
        os.killpg(self.process.pid, signal.SIGINT)

    def fill_disk(self) -> None:
        """Let no file of the run and its guardians grow any more."""
        for pid in (self.process.pid, *self.guardians):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def ended(self, *, within_s: float = PATIENCE_S) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was printed."""
        said, _ = self.process.communicate(timeout=within_s)
        return self.process.returncode, said


@dataclass(frozen=True)
class Bench:
    """A folder with a scenario, a strategy, a map and results; guardians register in it."""

    folder: Path
    runtime: Path
    port: int | None

    @property
    def results(self) -> Path:
        """Where runs are stored."""
        return self.folder / "results"

    @property
    def guardians(self) -> frozenset[int]:
        """Process ids of the guardians that are registered."""
        notes = (self.runtime / "guardians").glob("*.json")
        return frozenset(int(note.stem) for note in notes)

    @property
    def run_folder(self) -> Path:
        """The newest run."""
        return latest_run(next(self.results.iterdir()))

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the commands."""
        return {**os.environ, RUNTIME_VARIABLE: str(self.runtime), "NO_COLOR": "1", "COLUMNS": "200"}

    def scenario(self, text: str = SCENARIO, **changes: str) -> Path:
        """Write the scenario, with text replaced, and return its file."""
        for old, new in {"PORT": str(self.port), "LIMIT": str(LIMIT_KW), **changes}.items():
            text = text.replace(old, new)
        file = self.folder / "lab.yaml"
        file.write_text(text.replace("SERIAL", SERIAL), encoding="utf-8")
        return file

    @contextlib.contextmanager
    def started(self, *arguments: str | Path) -> Iterator[Run]:
        """Run ``twin`` with ``arguments``; it is killed at the end if it still runs, its guardians too."""
        with subprocess.Popen(
            [sys.executable, "-m", "twin", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
        ) as process:
            run = Run(process, self)
            try:
                yield run
            finally:
                left = run.guardians
                process.kill()
                until(lambda: not any(map(alive, left)), "the guardians end")

    def said(self, *arguments: str | Path, within_s: float = PATIENCE_S) -> tuple[int, str]:
        """Run ``twin`` to its end; return the exit code and what was printed."""
        with self.started(*arguments) as run:
            return run.ended(within_s=within_s)

    def audit(self, strategy: str = "limiter", who: str = "hardware") -> list[Mapping[str, Any]]:
        """Return the lines of the audit of the newest run."""
        file = self.run_folder / strategy / "devices" / who / "audit.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@contextlib.contextmanager
def bench(folder: Path, port: int | None) -> Iterator[Bench]:
    """Give a bench, for the inverter at ``port`` with a quick map and its acceptance report."""
    text = map_file("sunspec_pv").read_text(encoding="utf-8")
    assert text.count("timeout_s: 30") == 2
    map_ = folder / "inverter.yaml"
    map_.write_text(text.replace("timeout_s: 30", f"timeout_s: {TIMER_S}"), encoding="utf-8")
    (folder / "limiter.py").write_text(STRATEGY, encoding="utf-8")
    if port is not None:
        write_acceptance(folder / "acceptance.json", map_, port)
    with tempfile.TemporaryDirectory(prefix="live-") as runtime:  # short: it holds a socket
        yield Bench(folder, Path(runtime), port)
