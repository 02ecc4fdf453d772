"""YAML 1.2 core scalars: what a plain word in a file means.

PyYAML follows YAML 1.1, where ``12:30`` is 750, ``no`` is False and ``1e3`` is text. The rules here are those of the
core schema, YAML 1.2.2 section 10.3.2. Dates stay text; the field that takes one reads it.
"""

import re

__all__ = ["resolve_scalar"]

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NAN = frozenset((".nan", ".NaN", ".NAN"))

_LONGEST_INTEGER = 300
"""Longer whole numbers are read as floats: no field takes them, and Python refuses to convert very long ones."""


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """Return what the plain scalar ``text`` means in YAML 1.2.

    Infinite values and NaN are returned as such; the fields that take numbers refuse them.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if len(text) <= _LONGEST_INTEGER:
        whole = _whole_number(text)
        if whole is not None:
            return whole
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return float(f"{infinite[1]}inf")
    return float("nan") if text in _NAN else text


def _whole_number(text: str) -> int | None:
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return int(text, base)
    return None
