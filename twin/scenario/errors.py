"""pydantic's errors -> mistakes in a reader's words."""

import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from twin.scenario.base import CONTRADICTION
from twin.scenario.marks import Path, Problem, closest, got, parse_path

__all__ = ["contradictions_beside", "field_names", "problems_of"]

_Details = Mapping[str, Any]
_FMU_DEPTH = 3
"""Length of the path of a wire: fmu, inputs, name of the variable."""


def problems_of(error: ValidationError, model: type[BaseModel], *, prefix: Path = ()) -> Iterator[Problem]:
    """Yield a (path, message) for everything in ``error``, which came from validating ``model`` at ``prefix``."""
    for details in error.errors(include_url=False):
        path, owner = _locate(model, details["loc"])
        if details["type"] == CONTRADICTION:
            for field, message in details["ctx"]["problems"]:
                inside = parse_path(field) if isinstance(field, str) else field
                yield (*prefix, *path, *inside), message
        else:
            yield (*prefix, *path), _message(details, owner)


def contradictions_beside(
    problems: Iterable[Problem], model: type[BaseModel], data: Mapping[str, Any], prefix: Path
) -> Iterator[Problem]:
    """Yield contradictions in ``data`` at ``prefix`` that its wrong fields, known from ``problems``, hide.

    pydantic compares the fields of a model only once each of them is right. Here the wrong ones are left out; what
    then contradicts without naming one of those is a mistake of its own.
    """
    depth = len(prefix)
    kept, left_out = _without_wrong(data, [path[depth:] for path, _ in problems if path[:depth] == prefix])
    if not left_out:
        return
    names = {str(path[-1]) for path in left_out}
    try:
        model.model_validate(kept)
    except ValidationError as error:
        for path, message in problems_of(error, model, prefix=prefix):
            named = {*re.findall(r"\w+", message), *map(str, path[depth:])}
            # what is left out may be just what a mapping lacks now
            lacks = any(place[:-1] == path[depth:] for place in left_out)
            if len(path) > depth and not named & names and not lacks:
                yield path, message


def _without_wrong(data: Mapping[str, Any], wrong: Iterable[Path]) -> tuple[dict[str, Any], set[Path]]:
    """Return ``data`` without its wrong parts, and their paths: whole fields, inside ``fmu`` single entries of mappings."""
    kept = dict(data)
    left_out: set[Path] = set()
    for path in wrong:
        if not path:
            continue
        inside: Any = kept
        length = 1
        deepest = min(len(path), _FMU_DEPTH) if path[0] == "fmu" else 1
        while length < deepest and isinstance(inside.get(path[length - 1]), dict):
            copied = dict(inside[path[length - 1]])
            inside[path[length - 1]] = copied
            inside = copied
            length += 1
        inside.pop(path[length - 1], None)
        left_out.add(path[:length])
    return kept, left_out


def field_names(model: type[BaseModel]) -> list[str]:
    """Return the keys that a mapping for ``model`` may have."""
    return [info.alias or name for name, info in model.model_fields.items()]


def _message(details: _Details, owner: type[BaseModel] | None) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        known = [] if owner is None else field_names(owner)
        return f"unknown key; {closest(str(details['loc'][-1]), known)}"
    if kind in _TEXTS:
        return _TEXTS[kind](context, details["input"])
    return str(details["msg"])


def _is_missing(_context: _Details, _value: object) -> str:
    return "is missing; add it"


def _wants(what: str) -> Callable[[_Details, object], str]:
    return lambda _context, value: f"must be {what} (got {got(value)})"


def _bound(words: str, key: str) -> Callable[[_Details, object], str]:
    return lambda context, value: f"must be {words} {context[key]:g} (got {got(value)})"


def _literal(context: _Details, value: object) -> str:
    choices = str(context["expected"]).replace("'", "")
    hint = closest(value, choices.replace(" or ", ", ").split(", ")) if isinstance(value, str) else ""
    return f"must be {choices} (got {got(value)})" + (f"; {hint}" if hint.startswith("did") else "")


def _bad_kind(context: _Details, _value: object) -> str:
    kinds = str(context["expected_tags"]).replace("'", "")
    hint = closest(str(context["tag"]), kinds.split(", "))
    return f"unknown kind {got(context['tag'])}; the kinds are {kinds}" + (
        f"; {hint}" if hint.startswith("did") else ""
    )


def _no_kind(_context: _Details, _value: object) -> str:
    return "kind is missing; add kind: load, pv, battery, water_heater, ev or fmu"


def _empty(_context: _Details, _value: object) -> str:
    return "must not be empty; write at least one entry"


_TEXTS: dict[str, Callable[[_Details, object], str]] = {
    "missing": _is_missing,
    "finite_number": _wants("a finite number"),
    "int_from_float": _wants("a whole number"),
    "int_parsing_size": _wants("a smaller number"),
    "string_type": _wants("text, in quotes if it looks like something else"),
    "string_too_short": lambda _context, _value: "must not be empty; write a name",
    "model_type": _wants("a mapping of keys and values"),
    "model_attributes_type": _wants("a mapping of keys and values"),
    "dict_type": _wants("a mapping of keys and values"),
    "tuple_type": _wants("a list"),
    "too_short": _empty,
    "literal_error": _literal,
    "union_tag_invalid": _bad_kind,
    "union_tag_not_found": _no_kind,
    "greater_than": _bound("greater than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
}


def _locate(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[Path, type[BaseModel] | None]:
    """Return the path in the file that pydantic's ``loc`` means, and the model that holds its last element.

    pydantic puts the tag of a discriminated union into ``loc``; the file has no such level.
    """
    path: list[str | int] = []
    place: Any = model
    owner: type[BaseModel] | None = None
    for element in loc:
        members = _members(place)
        tagged = next((member for member in members if _kind_of(member) == element), None)
        if len(members) > 1 and tagged is not None:
            place = tagged
            continue
        owner = members[0] if len(members) == 1 else None
        path.append(element)
        place = _below(place, element)
    return tuple(path), owner


def _plain(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _members(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that ``annotation`` stands for."""
    annotation = _plain(annotation)
    if get_origin(annotation) in {Union, types.UnionType}:
        return [model for part in get_args(annotation) for model in _members(part)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _kind_of(model: type[BaseModel]) -> str | None:
    info = model.model_fields.get("kind")
    return (
        None
        if info is None or get_origin(info.annotation) is not Literal
        else str(get_args(info.annotation)[0])
    )


def _below(annotation: Any, element: str | int) -> Any:
    for model in _members(annotation):
        for name, info in model.model_fields.items():
            if element in {name, info.alias}:
                return info.annotation
    annotation = _plain(annotation)
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple:
        return arguments[0]
    return arguments[1] if get_origin(annotation) is dict else None
