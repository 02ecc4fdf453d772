"""What the guardians of a run left on disk: audit, frames, and the images that steps took."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hil_adapters.errors import RecordingError
from hil_adapters.recording.reader import read_frames
from hil_adapters.samples import Quality
from twin.errors import RunFolderError
from twin.report.live_data import LiveEvent, Seen, Traffic, Writes
from twin.results import layout

__all__ = [
    "MOST_FRAME_BYTES",
    "guardian_folders",
    "read_audit",
    "read_seen",
    "read_targets",
    "read_traffic",
    "serials_of",
    "told_by_audit",
    "writes_of",
]

MOST_FRAME_BYTES = 300_000_000
"""Recordings larger than this are not read for the report."""
_MOST_IMAGE_BYTES = 60_000_000
"""Of longer files of images every second, third ... line is read, so that about this much is parsed."""
_NS_PER_S = 1e9
_AUDIT = "audit.jsonl"
_CONFIG = "guardian.json"
_EXCHANGE = "exchange.jsonl"

Record = Mapping[str, Any]


def guardian_folders(strategy: Path) -> tuple[Path, ...]:
    """Return the folders of the guardians of a strategy: one for virtual devices, one for real ones."""
    return tuple(sorted(file.parent for file in (strategy / layout.DEVICES).glob(f"*/{_AUDIT}")))


def read_targets(folder: Path) -> dict[str, str]:
    """Return where each device of a guardian was looked for, in words; empty where that is not stored.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = folder / _CONFIG
    if not path.exists():
        return {}
    try:
        devices = json.loads(path.read_text(encoding="utf-8"))["devices"]
        return {str(device["name"]): _target_text(device) for device in devices}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RunFolderError(f"{path}: cannot be read: {exc}; restore the file or run again") from exc


def _target_text(device: Record) -> str:
    target = device["target"]
    place = target["path"] if "path" in target else f"{target['host']}:{target['port']}"
    return f"{place}, unit {device['unit']}"


def _lines(path: Path, *, holding: str, every: int = 1) -> Iterator[tuple[int, Record]]:
    """Yield number among those that hold a text, and content, of every n-th of these lines; one cut by a kill is left out."""
    if not path.exists():
        return
    number = -1
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if holding not in line or not line.endswith("\n"):
                    continue
                number += 1
                if number % every == 0:
                    yield number, json.loads(line)
    except (OSError, ValueError) as exc:
        raise RunFolderError(f"{path}: cannot be read: {exc}; restore the file or run again") from exc


def read_audit(folder: Path) -> list[Record]:
    """Return the lines of an audit in their order.

    Raises:
        RunFolderError: the file is damaged.
    """
    return [record for _, record in _lines(folder / _AUDIT, holding="{")]


def serials_of(audit: list[Record]) -> dict[str, str]:
    """Return the serial number that each device had when it was written to last."""
    return {
        str(line["device"]): str(line["serial"])
        for line in audit
        if line.get("event") in {"write", "would_write"} and line.get("serial")
    }


def writes_of(audit: list[Record]) -> dict[str, Writes]:
    """Return what was written, by device."""
    found: dict[str, Writes] = {}
    for line in audit:
        field = _counted_as(line)
        if field is not None:
            writes = found.setdefault(str(line["device"]), Writes())
            found[str(line["device"])] = replace(writes, **{field: getattr(writes, field) + 1})
    return found


def _counted_as(line: Record) -> str | None:
    """Return which count of :class:`Writes` a line of the audit adds to."""
    event = line.get("event")
    if event == "write":
        if line.get("purpose") != "command":
            return "other"
        return "refreshes" if line.get("why") == "refresh" else "commands"
    return {"would_write": "dry", "not_confirmed": "not_confirmed", "refused": "refused"}.get(str(event))


def told_by_audit(audit: list[Record]) -> tuple[LiveEvent, ...]:
    """Return the decisions of a guardian in the words that it tells them with."""
    texts = {
        "state": "{device}: {state}: {why}",
        "safe_state": "{device}: safe state reached: {why}",
        "contention": "{device}: contention: {why}",
        "refused": "{device}: {why}",
        "not_armed": "{device}: not armed: {why}",
        "armed": "{device}: armed by {who}",
        "reset": "{device}: reset by {who}",
    }
    return tuple(
        LiveEvent(utc=str(line["utc"]), step=None, text=texts[line["event"]].format_map(_Known(line)))
        for line in audit
        if line.get("event") in texts
    )


class _Known(dict[str, Any]):
    """Words for a text; what a line does not say is left open."""

    def __missing__(self, key: str) -> str:
        return "\u2013"


def read_traffic(folder: Path) -> dict[str, Traffic] | None:
    """Return requests and answers by device; None where the recording is too large for a report.

    Raises:
        RunFolderError: the recording is damaged.
    """
    parts = [*folder.glob("frames-*.parquet"), *folder.glob("frames-*.arrows")]
    if sum(part.stat().st_size for part in parts) > MOST_FRAME_BYTES:
        return None
    try:
        frames = read_frames(folder).select(["device", "direction", "monotonic_ns"])
    except RecordingError as exc:
        raise RunFolderError(str(exc)) from exc
    return {
        str(device): _traffic(frames.filter(pc.equal(frames["device"], device)))
        for device in pc.unique(frames["device"]).to_pylist()
    }


def _traffic(frames: pa.Table) -> Traffic:
    sent = pc.equal(frames["direction"], "sent").to_numpy()
    at_ns = frames["monotonic_ns"].to_numpy()
    answered = np.flatnonzero(sent[:-1] & ~sent[1:])
    requests = int(sent.sum())
    return Traffic(
        requests=requests,
        unanswered=requests - len(answered),
        round_trip_s=(at_ns[answered + 1] - at_ns[answered]) / _NS_PER_S,
    )


def read_seen(strategy: Path, devices: list[str]) -> dict[str, Seen]:
    """Return what the images of a strategy say of voltage and reactive power, by device; none where they say nothing.

    Raises:
        RunFolderError: the file is damaged.
    """
    path = strategy / layout.DEVICES / _EXCHANGE
    if not path.exists() or not devices:
        return {}
    every = 1 + path.stat().st_size // _MOST_IMAGE_BYTES
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in devices}
    for number, record in _lines(path, holding='"image"', every=every):
        images = record.get("image", {}).get("devices", {})
        for name, kept in rows.items():
            signals = images.get(name, {}).get("signals", {})
            vm_v, q_kvar = (_live_value(signals.get(signal)) for signal in ("vm_v", "q_kvar"))
            if not math.isnan(vm_v) and not math.isnan(q_kvar):
                kept.append((number - 1, vm_v, q_kvar))  # the first image was taken before step 0
    return {name: _seen(kept) for name, kept in rows.items() if kept}


def _live_value(sample: Any) -> float:
    """Return the number in a sample that is good or uncertain; NaN where there is none."""
    if not isinstance(sample, list) or sample[0] is None or sample[1] > Quality.UNCERTAIN:
        return math.nan
    value = float(sample[0])
    return value if math.isfinite(value) else math.nan


def _seen(rows: list[tuple[float, float, float]]) -> Seen:
    step, vm_v, q_kvar = np.array(rows, dtype=np.float64).T
    return Seen(step=step.astype(np.int64), vm_v=vm_v, q_kvar=q_kvar)
