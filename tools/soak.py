"""A long run in real time by hand: virtual devices that misbehave, and whether anything grows, drifts or is lost.

Run with ``python -m tools.soak --hours 8``. Every minute a line of JSON tells memory and open files of the run, its guardian and
the host of its devices, the disk in use, and how late the steps were. The last line is the verdict; the exit code is 0 where it is
well. Linux only: it reads ``/proc``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twin.live.timing import read_timing
from twin.results import RunReader, layout

__all__ = ["Look", "growth_mb_h", "main", "scenario", "verdict"]

_HOMES = ("Load R1", "Load R11", "Load R15", "Load R16", "Load R17", "Load R18")
_FAULTS = (
    "{fault: late, probability: 0.002, parameters: {delay_s: 1.5}}",
    "{fault: exception, probability: 0.005, parameters: {code: 6}}",
    "{fault: duplicate, probability: 0.002}",
    "{fault: wrong_function, probability: 0.0005}",
    "{fault: reset, probability: 0.0005}",
    "{fault: fewer_registers, probability: 0.0005}",
)
_STRATEGY = "self_consumption"
_WARM_SHARE = 0.2
"""Memory grows at first; what comes after this share of the run counts."""
_LEAST_S = 3600.0
"""Growth is judged in longer runs only: a recording is in memory until its part of some minutes is finished."""
_MOST_GROWTH_MB_H = {"run": 60.0, "guardian": 5.0, "host": 5.0}
"""The run keeps the steps of a day in memory until the day is stored."""
_LEAST_LOOKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at one time."""

    at_s: float
    """Since the start of the run [s]."""
    memory_mb: Mapping[str, float]
    """Resident memory by process: run, guardian, host."""
    open_files: Mapping[str, int]
    disk_mb: float
    steps: int
    """Finished."""
    late_p99_ms: float
    """Lateness of the steps since the look before, 99th percentile."""


def scenario(*, duration_s: int, devices: int) -> str:
    """Return a scenario with that many inverters and batteries in turn, each with every fault now and then."""
    entries = []
    for n in range(devices):
        wire = f"as: virtual, modbus: {{map: MAP, faults: [{', '.join(_FAULTS)}]}}}}\n"
        home = _HOMES[n % len(_HOMES)]
        if n % 2:
            inside = f"kind: battery, name: store {n}, home: {home}, capacity_kwh: 8, power_kw: 4"
            entries.append(f"  - {{{inside}, {wire.replace('MAP', 'sunspec_battery')}")
        else:
            inside = f"kind: pv, name: roof {n}, home: {home}, p_peak_kw: 5, profile: constant"
            entries.append(f"  - {{{inside}, {wire.replace('MAP', 'sunspec_pv')}")
    return (
        'name: soak\nfeeder: {source: "pandapower:create_cigre_network_lv"}\n'
        f"period: {{start: 2026-06-20T00:00, duration_s: {duration_s}, step_s: 1}}\n"
        f"live: {{poll: 500 ms}}\nstrategies: {{{_STRATEGY}: }}\n"
        f"devices:\n  - {{kind: load, from: feeder, profile: constant}}\n{''.join(entries)}"
    )


def growth_mb_h(looks: Sequence[Look], process: str) -> float:
    """Return how fast the memory of a process grows once it is warm [MB/h]; NaN with too few looks."""
    if not looks:
        return float("nan")
    warm = [look for look in looks if look.at_s > _WARM_SHARE * looks[-1].at_s and process in look.memory_mb]
    if len(warm) < _LEAST_LOOKS:
        return float("nan")
    hours = np.array([look.at_s / 3600 for look in warm])
    slope, _ = np.polyfit(hours, np.array([look.memory_mb[process] for look in warm]), 1)
    return float(slope)


def verdict(looks: Sequence[Look], strategy: Mapping[str, Any], events: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a run and, under ``wrong``, what is not well.

    Args:
        looks: in order of time.
        strategy: the strategy in the manifest: ``status``, ``invalid`` and ``live``.
        events: what the devices told.
    """
    growth = {process: growth_mb_h(looks, process) for process in _MOST_GROWTH_MB_H}
    wrong = [
        f"{process} grows by {growth[process]:.1f} MB/h, {limit:g} are allowed"
        for process, limit in _MOST_GROWTH_MB_H.items()
        if looks and looks[-1].at_s > _LEAST_S and growth[process] > limit
    ]
    warm = [look for look in looks if look.at_s > _WARM_SHARE * looks[-1].at_s]
    files = {
        process: [look.open_files[process] for look in warm if process in look.open_files]
        for process in growth
    }
    wrong += [
        f"{process} has {counts[-1]} open files, {counts[0]} at first"
        for process, counts in files.items()
        if counts and counts[-1] > counts[0] + 5
    ]
    wrong += [f"the run is {strategy['status']}"] if strategy["status"] != "finished" else []
    wrong += list(strategy["invalid"])
    wrong += [event for event in events if "tripped" in event]
    return {
        "growth_mb_h": growth,
        "timing": strategy["live"].get("timing"),
        "n_events": len(events),
        "wrong": wrong,
    }


def _memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def _processes(pid: int) -> dict[str, int]:
    """Return run, guardian and host by name; those that there are."""
    found = {"run": pid}
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    for child in map(int, children):
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        for name, module in (
            ("guardian", b"hil_adapters.guard.guardian"),
            ("host", b"twin.virtual.host_main"),
        ):
            if module in command:
                found[name] = child
    return found


def _look(pid: int, folder: Path, *, at_s: float, steps_before: int) -> Look | None:
    """Look at a run; None where a process ended meanwhile."""
    try:
        processes = _processes(pid)
        memory_mb = {name: _memory_mb(each) for name, each in processes.items()}
        open_files = {name: len(list(Path(f"/proc/{each}/fd").iterdir())) for name, each in processes.items()}
    except (OSError, StopIteration):
        return None
    timings = [timing for file in folder.glob(f"*/*/*/{layout.TIMING}") for timing in read_timing(file)]
    late_ms = [1e3 * timing.lateness_s for timing in timings[steps_before:]]
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Look(
        at_s=at_s,
        memory_mb=memory_mb,
        open_files=open_files,
        disk_mb=size / 1e6,
        steps=len(timings),
        late_p99_ms=float(np.quantile(late_ms, 0.99)) if late_ms else 0.0,
    )


def _watch(process: subprocess.Popen[bytes], folder: Path, *, every_s: float) -> list[Look]:
    """Look at a run until it ends, and tell each look."""
    looks: list[Look] = []
    began_s = time.monotonic()
    while True:
        try:
            process.wait(every_s)
        except subprocess.TimeoutExpired:
            steps = looks[-1].steps if looks else 0
            look = _look(process.pid, folder, at_s=time.monotonic() - began_s, steps_before=steps)
            if look is not None:
                looks.append(look)
                _say(asdict(look))
        else:
            return looks


def _say(content: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, look, judge; return 0 where all is well."""
    parser = argparse.ArgumentParser(prog="tools.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0, help="length of the run, up to 24")
    parser.add_argument("--devices", type=int, default=12)
    parser.add_argument("--every-s", type=float, default=60.0, help="period of looking [s]")
    parser.add_argument("--out", type=Path, default=None, help="folder for the scenario and its results")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="soak-")) if given.out is None else given.out
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "soak.yaml"
    file.write_text(scenario(duration_s=round(given.hours * 3600), devices=given.devices), encoding="utf-8")
    command = [sys.executable, "-m", "twin", "run", str(file), "--out", str(folder / "results"), "--quiet"]
    process = subprocess.Popen(command)  # noqa: S603 - our own command
    try:
        looks = _watch(process, folder / "results", every_s=given.every_s)
    except KeyboardInterrupt:
        process.wait()  # Ctrl-C reached it too, and it ends in order
        raise
    (run,) = (folder / "results").glob("*/*")
    reader = RunReader(run)
    strategy = reader.manifest.strategies[_STRATEGY].model_dump(mode="json")
    events = [str(event.get("message", "")) for event in reader.strategy(_STRATEGY).events()]
    found = verdict(looks, strategy, events)
    _say(found | {"run": str(run)})
    return 1 if found["wrong"] or process.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
