"""YAML text to plain data with the line of every value.

Scalars mean what YAML 1.2 says: ``true`` and ``false`` only, whole numbers (also ``0x...``), decimals; dates stay text.
Files may come from anybody: length, depth and number of values are limited, tags are refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hil_adapters.errors import MapError

__all__ = ["Document", "Where", "read_document"]

MAX_BYTES = 2_000_000
MAX_DEPTH = 20
MAX_VALUES = 100_000

Where = tuple[str | int, ...]
"""Path of a value: keys and positions from the root."""

_INT = re.compile(r"[-+]?[0-9]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".nan": float("nan"),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
}


@dataclass(slots=True)
class Document:
    """A file as data."""

    data: dict[Any, Any]
    lines: dict[Where, int]
    """Line of every value, counted from 1."""
    mistakes: list[tuple[Where, str]] = field(default_factory=list)
    """Keys that stand twice."""


def read_document(path: Path) -> Document:
    """Return the content of a YAML file.

    Raises:
        MapError: the file is missing, not UTF-8, not YAML, too large, or not one mapping.
    """
    text = _text(path)
    try:
        _check_events(path, text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f":{error.problem_mark.line + 1}"
        raise MapError(
            f"{path}{line}: not valid YAML: {error.problem}; check indentation, colons and quotes"
        ) from error
    except yaml.YAMLError as error:
        raise MapError(f"{path}: not valid YAML: {error}; save it as plain text in UTF-8") from error
    if not isinstance(root, yaml.MappingNode):
        raise MapError(f"{path}: a register map is a mapping of keys and values; start with 'format: 1'")
    document = Document({}, {})
    document.data = _Builder(path, document).mapping(root, ())
    return document


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise MapError(
            f"{path}: the register map cannot be read: {error.strerror}; check the path"
        ) from error
    if len(raw) > MAX_BYTES:
        raise MapError(f"{path}: larger than {MAX_BYTES / 1e6:g} MB; a register map holds one device")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MapError(f"{path}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from error


def _check_events(path: Path, text: str) -> None:
    """Refuse what would make the parser or the reader of its tree run away; parsing events does not recurse."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise MapError(f"{path}:{_line(event)}: nested deeper than {MAX_DEPTH}; flatten the file")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise MapError(f"{path}:{_line(event)}: the tag {tag!r} is not allowed; leave it out")


class _Builder:
    def __init__(self, path: Path, document: Document) -> None:
        self._path = path
        self._document = document
        self._values = 0

    def mapping(self, node: yaml.MappingNode, where: Where) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            at = (*where, key)
            if key in found:
                self._document.mistakes.append(
                    (at, f"stands twice, again in line {_line(key_node)}; keep one")
                )
                continue
            self._document.lines[at] = _line(key_node)
            found[key] = self._value(value_node, at)
        return found

    def _key(self, node: yaml.Node) -> str | int:
        if not isinstance(node, yaml.ScalarNode):
            raise MapError(
                f"{self._path}:{_line(node)}: a key must be a word or a whole number; write it plainly"
            )
        plain = node.style is None
        return (
            int(node.value, 0)
            if plain and re.fullmatch(r"0|[1-9][0-9]*|0x[0-9a-fA-F]+", node.value)
            else str(node.value)
        )

    def _value(self, node: yaml.Node, where: Where) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise MapError(
                f"{self._path}: more than {MAX_VALUES} values, aliases counted; a register map holds one device"
            )
        if len(where) > MAX_DEPTH:
            raise MapError(f"{self._path}:{_line(node)}: nested deeper than {MAX_DEPTH}; flatten the file")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return list(self._items(node, where))
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return _scalar(str(node.value)) if plain else str(node.value)

    def _items(self, node: yaml.SequenceNode, where: Where) -> Iterator[Any]:
        for position, item in enumerate(node.value):
            at = (*where, position)
            self._document.lines[at] = _line(item)
            yield self._value(item, at)


def _line(part: Any) -> int:
    """Return the line of an event or a node, counted from 1."""
    return int(part.start_mark.line) + 1


def _scalar(text: str) -> object:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.match(text):
        return int(text, 16) if text.startswith("0x") else int(text)
    return float(text) if _FLOAT.match(text) else text
