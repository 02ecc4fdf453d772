"""``extends: base.yaml``: one file inherits from another."""

from pathlib import Path as FilePath
from typing import Any

from twin.errors import Mistake, ScenarioError
from twin.scenario.checks import is_file
from twin.scenario.marks import Marks, Path, got
from twin.scenario.references import rebase
from twin.scenario.yaml_reader import Document, read_yaml

__all__ = ["read_with_bases"]

_REPLACED: frozenset[Path] = frozenset({("strategies",)})
"""Mappings that are a list of things to compare: a child names all of them."""
_LONGEST_CHAIN = 20


def read_with_bases(path: FilePath) -> Document:
    """Return the file ``path`` merged over the files it extends.

    Mappings merge key by key, everything else (lists too) replaces. File names inside an extended file are relative
    to that file; they are rewritten relative to ``path``. Marks point to the file a value came from.

    Raises:
        ScenarioError: a file cannot be read, or the chain of files is a circle.
    """
    document = _read(path, ())
    folder = path.parent
    rebase(document.data, lambda field: FilePath(document.marks.find(field).file).parent, folder)
    return document


def _read(path: FilePath, chain: tuple[FilePath, ...]) -> Document:
    document = read_yaml(path)
    if "extends" not in document.data:
        return document
    base_name = document.data.pop("extends")
    if not isinstance(base_name, str) or not base_name.strip() or "\0" in base_name:
        _refuse(document, f"must be the name of a scenario file (got {got(base_name)})")
    base = path.parent / base_name
    chain = (*chain, path.resolve())
    if base.resolve() in chain:
        names = " -> ".join([*(link.name for link in chain), base.name])
        _refuse(document, f"the files extend each other in a circle: {names}; remove one 'extends'")
    if len(chain) >= _LONGEST_CHAIN:
        _refuse(document, f"more than {_LONGEST_CHAIN} files extend each other; merge some of them")
    if not is_file(base):
        _refuse(document, f"there is no file {str(base)!r}; the name is relative to this file")
    return _merged(_read(base, chain), document)


def _refuse(document: Document, message: str) -> None:
    raise ScenarioError([*document.mistakes, document.marks.mistake(("extends",), message)])


def _merged(base: Document, child: Document) -> Document:
    replaced: list[Path] = []
    data = _merged_mapping(base.data, child.data, (), replaced)
    marks = Marks(child.marks.find(()))
    gone = set(replaced)
    for path, mark in base.marks.items():
        if path and not any(path[:length] in gone for length in range(1, len(path) + 1)):
            marks[path] = mark
    for path, mark in child.marks.items():
        marks[path] = mark
    mistakes: list[Mistake] = [*child.mistakes, *base.mistakes]
    return Document(data, marks, mistakes)


def _merged_mapping(
    base: dict[str, Any], child: dict[str, Any], path: Path, replaced: list[Path]
) -> dict[str, Any]:
    result = dict(base)
    for key, value in child.items():
        below = (*path, key)
        old = base.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and below not in _REPLACED:
            result[key] = _merged_mapping(old, value, below, replaced)
        else:
            result[key] = value
            replaced.append(below)
    return result
