"""Small register maps for tests, as objects and as files."""

from pathlib import Path
from typing import Any

from hil_adapters.maps.schema import LinkDefaults, Order, Point, RegisterMap

__all__ = ["link", "meter_map", "point", "write_map"]

HEAD = "format: 1\nname: mine\ntitle: Mine\nkind: battery\nsource: {document: Made up, pages: '1'}\n"
"""Everything a map needs before its points; five lines."""


def point(name: str = "p", **values: Any) -> Point:
    return Point.model_validate({"name": name, "address": 0, "type": "int16", **values})


def link(byte_order: str = "big", word_order: str = "big", **values: Any) -> LinkDefaults:
    return LinkDefaults.model_validate(
        {"byte_order": Order(byte_order), "word_order": Order(word_order), **values}
    )


def meter_map(*points: Point, **values: Any) -> RegisterMap:
    return RegisterMap.model_validate(
        {
            "name": "mine",
            "title": "Mine",
            "kind": "meter",
            "source": {"document": "Made up", "pages": "1"},
            "points": [entry.model_dump(by_alias=True) for entry in points],
            **values,
        }
    )


def write_map(folder: Path, body: str, *, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(HEAD + body)
    return path
