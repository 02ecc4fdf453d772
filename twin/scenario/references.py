"""Names of files in a scenario: which fields hold one, and how they follow when the file moves."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

from twin.scenario.fmu import PACKAGE
from twin.scenario.marks import Path
from twin.scenario.schema import is_file_source

__all__ = ["file_references", "is_wire_file", "package_references", "rebase", "value_at"]

_MODBUS_FILES: tuple[Path, ...] = tuple(
    ("modbus", *field)
    for field in (
        ("map",),
        ("acceptance",),
        ("faults",),
        ("tls", "authority"),
        ("tls", "certificate"),
        ("tls", "key"),
        ("grid_source", "commands"),
    )
)


def file_references(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield (path of the field, file name as written) for every file that plain scenario ``data`` names."""
    for path, text, head, tail in _fields(data):
        yield path, text[len(head) : len(text) - len(tail)]


def package_references(data: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield (path of the field, text) for every file inside a Python package that plain scenario ``data`` names."""
    devices = data.get("devices")
    for index in range(len(devices) if isinstance(devices, list) else 0):
        path: Path = ("devices", index, "fmu", "file")
        text = value_at(data, path)
        if isinstance(text, str) and text.startswith(PACKAGE):
            yield path, text


def rebase(data: dict[str, Any], folder_of: Callable[[Path], FilePath], new_folder: FilePath) -> None:
    """Rewrite in ``data`` all file names relative to ``folder_of(path)`` so that they are relative to ``new_folder``."""
    for path, text, head, tail in list(_fields(data)):
        name = text[len(head) : len(text) - len(tail)]
        old_folder = folder_of(path)
        if FilePath(name).is_absolute() or old_folder.resolve() == new_folder.resolve():
            continue
        moved = FilePath(os.path.relpath(old_folder.resolve() / name, new_folder.resolve())).as_posix()
        _put(data, path, f"{head}{moved}{tail}")


def _fields(data: dict[str, Any]) -> Iterator[tuple[Path, str, str, str]]:
    """Yield (path, text, head, tail) where ``text`` is head + file name + tail; tolerant of wrong types."""
    yield from _feeder_files(data)
    for name in _keys(data.get("sources")):
        file = value_at(data, ("sources", name, "file"))
        if isinstance(file, str):
            yield ("sources", name, "file"), file, "", ""
    yield from _member_files(data)
    yield from _device_files(data)
    for name in _keys(data.get("strategies")):
        use = value_at(data, ("strategies", name, "use"))
        if isinstance(use, str) and ".py:" in use:
            yield ("strategies", name, "use"), use, "", ":" + use.rpartition(":")[2]


def _device_files(data: dict[str, Any]) -> Iterator[tuple[Path, str, str, str]]:
    devices = data.get("devices")
    for index in range(len(devices) if isinstance(devices, list) else 0):
        for field in (("csv",), ("weather",), ("fmu", "file"), *_MODBUS_FILES):
            path: Path = ("devices", index, *field)
            name = value_at(data, path)
            if isinstance(name, str) and not name.startswith(PACKAGE) and _is_named_file(field, name):
                yield path, name, "", ""
        profile = value_at(data, ("devices", index, "profile"))
        if isinstance(profile, str) and profile.startswith("weather:"):
            yield ("devices", index, "profile"), profile, "weather:", ""


def _is_named_file(field: Path, name: str) -> bool:
    """Return whether a text names a file; maps and command sets may be some that come with the program."""
    may_be_shipped = field in {("modbus", "map"), ("modbus", "grid_source", "commands")}
    return not may_be_shipped or name.lower().endswith((".yaml", ".yml"))


def is_wire_file(path: Path) -> bool:
    """Return whether the field at ``path`` names a file that only a device on the wire uses."""
    return path[2:3] == ("modbus",)


def _feeder_files(data: dict[str, Any]) -> Iterator[tuple[Path, str, str, str]]:
    also = value_at(data, ("feeder", "also"))
    further = range(len(also) if isinstance(also, list) else 0)
    for path in (("feeder", "source"), *(("feeder", "also", index) for index in further)):
        source = value_at(data, path)
        if isinstance(source, str) and is_file_source(source):
            yield path, source, "", ""


def _member_files(data: dict[str, Any]) -> Iterator[tuple[Path, str, str, str]]:
    communities = data.get("communities")
    for index in range(len(communities) if isinstance(communities, list) else 0):
        members = value_at(data, ("communities", index, "members"))
        for entry in range(len(members) if isinstance(members, list) else 0):
            path: Path = ("communities", index, "members", entry, "csv")
            csv = value_at(data, path)
            if isinstance(csv, str):
                yield path, csv, "", ""


def _keys(value: object) -> list[str]:
    return list(value) if isinstance(value, dict) else []


def value_at(data: Any, path: Path) -> Any:
    """Return what plain ``data`` holds at ``path``; None where it ends before."""
    for part in path:
        if isinstance(part, int) and isinstance(data, list):
            data = data[part] if part < len(data) else None
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _put(data: Any, path: Path, text: str) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = text
