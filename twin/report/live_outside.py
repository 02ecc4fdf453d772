"""What a controller outside the program did to the devices that were emulated for it."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twin.errors import RunFolderError
from twin.report.live_data import OutsideDevice
from twin.results import layout
from twin.results.events import read_events

__all__ = ["read_outside"]

_FOLDER, _ADDRESSES, _STEPS, _WRITES = "outside", "addresses.json", "steps.jsonl", "writes.jsonl"
_NEVER = "inf"


def read_outside(strategy: Path) -> tuple[OutsideDevice, ...]:
    """Return the devices that a strategy emulated for someone outside; none where it did not.

    Raises:
        RunFolderError: files are damaged.
    """
    folder = strategy / layout.DEVICES / _FOLDER
    path = folder / _ADDRESSES
    if not path.exists():
        return ()
    try:
        addresses = json.loads(path.read_text(encoding="utf-8"))
        steps, writes = read_events(folder / _STEPS), read_events(folder / _WRITES)
        taken = Counter(str(write["device"]) for write in writes if write["refused"] is None)
        refused = Counter(str(write["device"]) for write in writes if write["refused"] is not None)
        return tuple(
            OutsideDevice(
                name=name,
                address=f"{place['host']}:{place['port']}, unit {place['unit']}",
                map_name=Path(str(place["map"])).stem,
                steps=len(steps),
                steps_commanded=sum(bool(step["commands"].get(name)) for step in steps),
                writes=taken[name],
                refused=refused[name],
                oldest_write_s=_oldest_s(steps, name),
            )
            for name, place in addresses.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RunFolderError(f"{folder}: cannot be read: {exc!r}; restore the files or run again") from exc


def _oldest_s(steps: list[dict[str, Any]], name: str) -> float | None:
    """Return the largest age of the last write in a step [s], from the first write on; None where there was none."""
    ages = [float(age) for age in (_age(step, name) for step in steps) if age != _NEVER]
    return max(ages, default=None)


def _age(step: Mapping[str, Any], name: str) -> Any:
    return step["write_age_s"].get(name, _NEVER)
