"""Typed JSON documents of a run with a format version."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from twin.errors import RunFolderError
from twin.results import layout
from twin.results.disk import write_atomic
from twin.results.layout import Detail
from twin.signals import Axis

__all__ = ["AxisHeader", "StoreHeader", "read_document", "write_document"]

Document = TypeVar("Document", bound=BaseModel)


class AxisHeader(BaseModel):
    """The entities of one axis."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    stored: tuple[int, ...]
    """Positions in ``names`` of the entities that are stored, ascending."""


class StoreHeader(BaseModel):
    """What the parts of a strategy hold (``axes.json``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = layout.FORMAT
    detail: Detail
    steps_per_part: int
    axes: dict[Axis, AxisHeader]


def write_document(path: Path, document: BaseModel) -> None:
    """Write a document so that readers see the old one or the whole of the other.

    Raises:
        StoreError: the file cannot be written.
        ValueError: a number in it is not finite.
    """
    text = json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")


def read_document(path: Path, model: type[Document], *, missing: str) -> Document:
    """Read a document.

    Args:
        path: the file.
        model: what it must be.
        missing: message if there is no such file.

    Raises:
        RunFolderError: no file, a damaged one, or one of a later version.
    """
    try:
        raw = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise RunFolderError(missing) from exc
    except OSError as exc:
        raise RunFolderError(f"{path}: cannot be read: {exc.strerror}; check its permissions") from exc
    except ValueError as exc:
        raise RunFolderError(f"{path}: not JSON: {exc}; restore the file or run again") from exc
    version = raw.get("format") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > layout.FORMAT:
        raise RunFolderError(
            f"{path}: format {version} is later than {layout.FORMAT}, the last one known here; update gemello"
        )
    try:
        return model.model_validate(raw)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunFolderError(f"{path}: {where}: {first['msg']}; restore the file or run again") from exc
