"""Events of a strategy: one JSON object per line, on disk before the next step."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twin.errors import RunFolderError
from twin.results.disk import store_errors

__all__ = ["append_event", "read_events"]


def append_event(path: Path, record: Mapping[str, Any]) -> None:
    """Append one line; numbers that are not finite become text, since JSON has no word for them.

    Raises:
        StoreError: the file cannot be written.
    """
    line = json.dumps(_plain(record), ensure_ascii=False, allow_nan=False)
    with store_errors(path), path.open("ab", buffering=0) as file:
        file.write(line.encode() + b"\n")


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return the events in the order they happened, none for a missing file; a line cut by a kill is left out.

    Raises:
        RunFolderError: the file is damaged.
    """
    if not path.exists():
        return []
    whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    try:
        return [json.loads(line) for line in whole]
    except ValueError as exc:
        raise RunFolderError(f"{path}: a line is not JSON: {exc}; restore the file or run again") from exc


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
