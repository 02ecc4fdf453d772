"""Register maps from files: shipped ones by name, a user's own by path. Every mistake is told, with line and field."""

from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from hil_adapters.errors import MapError
from hil_adapters.maps.checks import Mistake, mistakes_in
from hil_adapters.maps.reading import Document, Where, read_document
from hil_adapters.maps.schema import CommandWrite, Quirks, RegisterMap, WriteRules

__all__ = ["json_schema", "load_map", "map_file", "map_names"]

_BOOLEANS = frozenset(
    name
    for model in (Quirks, WriteRules, CommandWrite)
    for name, field in model.model_fields.items()
    if field.annotation is bool
)
"""Keys whose value is true or false."""
_PLAIN = MappingProxyType(
    {
        "missing": "is needed and missing; add it",
        "extra_forbidden": "is not a key of the schema; correct or remove it",
        "string_type": "must be text",
        "tuple_type": "must be a list",
        "dict_type": "must be a mapping of keys and values",
        "model_type": "must be a mapping of keys and values",
        "too_short": "must not be empty",
    }
)
"""What pydantic's types of mistakes are called here."""
_LIBRARY = Path(str(resources.files("hil_adapters.maps") / "library"))


def map_names() -> tuple[str, ...]:
    """Return the names of the maps that are shipped, sorted."""
    return tuple(sorted(path.stem for path in _LIBRARY.glob("*.yaml")))


def map_file(name_or_file: str | Path, *, base_dir: Path | None = None) -> Path:
    """Return the file of a shipped map (a name without ending) or of a user's own (a path ending in .yaml or .yml).

    A relative path starts at ``base_dir``, or at the working folder.

    Raises:
        MapError: there is no such map.
    """
    path = Path(name_or_file)
    if path.suffix in {".yaml", ".yml"}:
        return path if base_dir is None else base_dir / path
    shipped = _LIBRARY / f"{name_or_file}.yaml"
    if str(name_or_file) not in map_names():
        raise MapError(
            f"there is no register map {str(name_or_file)!r}; shipped are {', '.join(map_names())}; "
            "name one of them, or a file ending in .yaml"
        )
    return shipped


def load_map(name_or_file: str | Path, *, base_dir: Path | None = None) -> RegisterMap:
    """Return a register map: a shipped one by its name, or one of a user by its file.

    Raises:
        MapError: there is no such map, it cannot be read, or it is wrong: one line for every mistake, each with file, line
            and field.
    """
    path = map_file(name_or_file, base_dir=base_dir)
    document = read_document(path)
    mistakes = [*document.mistakes, *_misplaced_booleans(document.data, ())]
    try:
        register_map = RegisterMap.model_validate(document.data)
    except ValidationError as error:
        mistakes.extend(_schema_mistakes(error, document))
        raise MapError(_listed(path, document, mistakes)) from None
    mistakes.extend(mistakes_in(register_map))
    if mistakes:
        raise MapError(_listed(path, document, mistakes))
    return register_map


@cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of register maps, for editors."""
    schema = RegisterMap.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Register map of a Modbus device, format 1",
    }


def _misplaced_booleans(data: Any, where: Where) -> Iterator[Mistake]:
    """Yield every true and false that stands where a number or a text belongs."""
    if isinstance(data, bool) and where[-1] not in _BOOLEANS:
        yield where, f"is {str(data).lower()}, and neither a number nor a text; write what is meant"
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield from _misplaced_booleans(value, (*where, key))


def _schema_mistakes(error: ValidationError, document: Document) -> Iterator[Mistake]:
    entries = [(_path_of(entry["loc"], document), entry) for entry in error.errors()]
    paths = [where for where, _ in entries]
    for where, entry in entries:
        spoilt_inside = any(len(other) > len(where) and other[: len(where)] == where for other in paths)
        if entry["type"] != "too_short" or not spoilt_inside:
            yield where, _told(entry)


def _path_of(location: Iterable[str | int], document: Document) -> Where:
    """Return the path of a value in the file; names of alternatives that pydantic puts in between are left out."""
    path: Where = ()
    parts = tuple(location)
    for at, part in enumerate(parts):
        if (*path, part) in document.lines or (at == len(parts) - 1 and not _is_marker(part)):
            path = (*path, part)
    return path


def _is_marker(part: str | int) -> bool:
    return part in {"str", "[key]"} or str(part).startswith("tuple[")


def _told(entry: Any) -> str:
    given = entry["input"]
    shown = "" if isinstance(given, dict | list | tuple) else f" (got {given!r})"
    kind = str(entry["type"])
    if kind in _PLAIN:
        return _PLAIN[kind] + ("" if kind in {"missing", "extra_forbidden"} else shown)
    return f"{entry['msg'][0].lower()}{entry['msg'][1:]}{shown}"


def _listed(path: Path, document: Document, mistakes: list[Mistake]) -> str:
    rows = sorted({(_line(where, document), _field(where, document), text) for where, text in mistakes})
    return "\n".join(f"{path}:{line}: {name}: {text}" for line, name, text in rows)


def _line(where: Where, document: Document) -> int:
    """Return the line of a value, or of the nearest part above that stands in the file."""
    while where and where not in document.lines:
        where = where[:-1]
    return document.lines.get(where, 1)


def _field(where: Where, document: Document) -> str:
    """Return a path as a person reads it; points by their name."""
    shown = ""
    for at, part in enumerate(where):
        if isinstance(part, int) and where[at - 1 : at] == ("points",):
            shown += f"[{_point_name(document, part)}]"
        elif isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += f".{part}" if shown else part
    return shown or "map"


def _point_name(document: Document, position: int) -> str | int:
    points = document.data.get("points")
    entry = points[position] if isinstance(points, list) and position < len(points) else None
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else position
