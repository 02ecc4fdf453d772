"""YAML text -> plain data and the line of every value.

Parsing is PyYAML's (in C where it is there), up to its events; what a scalar means is decided in ``yaml_scalars``.
The tree is built here and not by ``yaml.compose``, because ``compose`` recurses without a limit on nested input.
Files are untrusted: size, depth and the number of values after expanding aliases are limited.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, NoReturn

import yaml

from twin.errors import Mistake, ScenarioError
from twin.scenario.marks import Mark, Marks, Path, format_path
from twin.scenario.yaml_scalars import resolve_scalar

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_VALUES", "Document", "read_text", "read_yaml"]

MAX_BYTES = 5_000_000
MAX_VALUES = 100_000
MAX_DEPTH = 40

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAGS = frozenset(("!", "tag:yaml.org,2002:str"))


@dataclass
class Document:
    """One file as plain data: mappings with text keys, lists, and scalars."""

    data: dict[str, Any]
    marks: Marks
    mistakes: list[Mistake] = field(default_factory=list)
    """Mistakes that do not hinder reading on, such as duplicate keys (the first value is kept)."""


@dataclass(slots=True)
class _Node:
    value: "str | list[_Node] | list[tuple[_Node, _Node]]"
    kind: str
    """``plain`` or ``text`` (scalars), ``list`` or ``mapping``."""
    line: int


def read_yaml(path: FilePath) -> Document:
    """Return the content of the YAML file ``path``.

    Raises:
        ScenarioError: the file is missing, no UTF-8 text, no YAML, empty, not one mapping, or too large.
    """
    shown = str(path)
    text = read_text(path, max_bytes=MAX_BYTES, remedy="put device lists in CSV files (devices: csv: FILE)")
    root = _compose(text, shown)
    if root is None or (root.kind == "plain" and resolve_scalar(str(root.value)) is None):
        _refuse(shown, None, "the file is empty; write at least feeder, period and strategies")
    if root.kind != "mapping":
        what = "a list" if root.kind == "list" else "a single value"
        _refuse(
            shown,
            root.line,
            f"a scenario is a mapping of keys and values, this is {what}; start with 'feeder:'",
        )
    reader = _Reader(shown, root)
    data = reader.mapping(root, ())
    return Document(data, reader.marks, reader.mistakes)


def read_text(path: FilePath, *, max_bytes: int, remedy: str) -> str:
    """Return the text of ``path``; ``remedy`` says what to do where it is longer than ``max_bytes``.

    Raises:
        ScenarioError: the file is missing, unreadable, too large, binary or not UTF-8.
    """
    shown = str(path)
    try:
        if path.is_dir():
            _refuse(shown, None, "this is a folder; name a file in it")
        with path.open("rb") as stream:
            raw = stream.read(max_bytes + 1)
    except FileNotFoundError:
        _refuse(shown, None, "there is no such file; check the path")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _refuse(shown, None, f"the file cannot be read: {reason}; check path and permissions")
    if len(raw) > max_bytes:
        _refuse(shown, None, f"the file is larger than {max_bytes / 1e6:g} MB; {remedy}")
    if b"\0" in raw:
        _refuse(shown, None, "this is a binary file; a text file in UTF-8 is needed")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        _refuse(shown, line, f"byte 0x{raw[error.start]:02x} is not UTF-8 text; save the file as UTF-8")


def _refuse(shown: str, line: int | None, message: str, *, path: Path = ()) -> NoReturn:
    raise ScenarioError([Mistake(file=shown, line=line, field=format_path(path), message=message)])


def _compose(text: str, shown: str) -> _Node | None:
    """Return the tree of the only document of ``text``; None if there is no document."""
    events = _events(text, shown)
    root: _Node | None = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if root is not None:
                _refuse(
                    shown,
                    _line(event),
                    "the file holds several YAML documents; keep one, remove the '---' line",
                )
            root = _Composer(events, shown).node(next(events), 0)
    return root


def _events(text: str, shown: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        if mark is not None and "\t" in "".join(text.split("\n")[mark.line : mark.line + 1]):
            _refuse(shown, line, "a tab character where YAML wants spaces; indent with spaces only")
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        _refuse(
            shown, line, f"not valid YAML: {problem}; check indentation, colons and quotes here or just above"
        )
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", None) or "unreadable"
        _refuse(
            shown, None, f"not valid YAML: {reason}; remove the special character or save the file as UTF-8"
        )


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Composer:
    """Builds the tree of one document from parser events."""

    def __init__(self, events: Iterator[Any], shown: str) -> None:
        self._events = events
        self._shown = shown
        self._anchors: dict[str, _Node] = {}
        self._count = 0

    def node(self, event: Any, depth: int) -> _Node:
        """Return the node that starts with ``event``."""
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), line)
        self._count += 1
        if self._count > MAX_VALUES * 2:  # keys count as well here
            _refuse(self._shown, line, _too_many())
        if depth > MAX_DEPTH:
            _refuse(self._shown, line, f"nested deeper than {MAX_DEPTH} levels; flatten the file")
        node = self._content(event, line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, line: int) -> _Node:
        if anchor not in self._anchors:
            _refuse(
                self._shown,
                line,
                f"*{anchor} refers to nothing; write &{anchor} before it, and not around it",
            )
        return self._anchors[anchor]

    def _content(self, event: Any, line: int, depth: int) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            if event.tag is not None and event.tag not in _TEXT_TAGS:
                self._refuse_tag(event.tag, line)
            return _Node(event.value, "plain" if event.implicit[0] and event.tag is None else "text", line)
        if event.tag is not None and event.tag != "!":
            self._refuse_tag(event.tag, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return _Node(list(self._children(yaml.SequenceEndEvent, depth)), "list", line)
        children = list(self._children(yaml.MappingEndEvent, depth))
        return _Node(list(zip(children[::2], children[1::2], strict=True)), "mapping", line)

    def _refuse_tag(self, tag: str, line: int) -> NoReturn:
        _refuse(self._shown, line, f"the tag {tag!r} is not allowed; write the value without a tag")

    def _children(self, end: type, depth: int) -> Iterator[_Node]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield self.node(event, depth + 1)


def _too_many() -> str:
    return f"more than {MAX_VALUES} values after expanding aliases; put device lists in CSV files (devices: csv: FILE)"


class _Reader:
    """Turns the tree into plain data, with aliases expanded and a mark for every path."""

    def __init__(self, shown: str, root: _Node) -> None:
        self._shown = shown
        self._count = 0
        self.marks = Marks(Mark(shown, root.line))
        self.mistakes: list[Mistake] = []

    def mapping(self, node: _Node, path: Path) -> dict[str, Any]:
        """Return a mapping as a dict with text keys."""
        result: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        pairs: Any = node.value
        for key_node, value_node in pairs:
            key = self._key(key_node, path)
            if key in result:
                self.mistakes.append(_duplicate(self._shown, key_node.line, (*path, key), first_line[key]))
                continue
            first_line[key] = key_node.line
            self.marks[*path, key] = Mark(self._shown, key_node.line)
            result[key] = self._value(value_node, (*path, key))
        return result

    def _key(self, node: _Node, path: Path) -> str:
        if node.kind not in {"plain", "text"}:
            _refuse(self._shown, node.line, "a key must be a plain word, not a list or mapping", path=path)
        if node.value == "<<" and node.kind == "plain":
            remedy = "repeat the keys, or inherit from another file with 'extends'"
            _refuse(
                self._shown, node.line, f"the merge key '<<' is not part of YAML 1.2; {remedy}", path=path
            )
        return str(node.value)

    def _value(self, node: _Node, path: Path) -> Any:
        self._count += 1
        # Aliases make a tree that is small in memory and huge when expanded ("billion laughs").
        if self._count > MAX_VALUES:
            _refuse(self._shown, node.line, _too_many(), path=path[:1])
        if len(path) > MAX_DEPTH:
            _refuse(
                self._shown,
                node.line,
                f"nested deeper than {MAX_DEPTH} levels; flatten the file",
                path=path[:1],
            )
        if node.kind == "mapping":
            return self.mapping(node, path)
        if node.kind == "list":
            return [self._item(child, (*path, index)) for index, child in enumerate(node.value)]
        return resolve_scalar(str(node.value)) if node.kind == "plain" else node.value

    def _item(self, node: Any, path: Path) -> Any:
        self.marks[path] = Mark(self._shown, node.line)
        return self._value(node, path)


def _duplicate(shown: str, line: int, path: Path, first_line: int) -> Mistake:
    message = f"the key is here twice, first on line {first_line}; remove one"
    return Mistake(file=shown, line=line, field=format_path(path), message=message)
