"""Shared libraries of FMUs: loaded once each, functions bound when they are first called, working directory kept."""

import contextlib
import ctypes
import functools
import inspect
import os
import shutil
import threading
import types
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.errors import FmuArchiveError, FmuError
from models.fmu.base import UnpackedFmu
from models.fmu.fmpy_access import fmpy_module

__all__ = [
    "MAX_COPIES",
    "Library",
    "answered_fatal",
    "check_thread_keys",
    "folder_of",
    "kept_directory",
    "open_library",
]

MAX_COPIES = 32
"""Devices of an FMU that may be instantiated only once per process: each has its own copy on disk and in memory."""
_SPARE_KEYS = 4
"""Keys for thread data that are left to Python and its libraries."""
_COPIES = "gemello-copies"
_lock = threading.RLock()
_open: dict[Path, "Library"] = {}


@contextlib.contextmanager
def kept_directory() -> Iterator[None]:
    """Put the working directory back when the block ends, whatever an FMU did to it."""
    with _lock:
        before = _directory()
    try:
        yield
    finally:
        with _lock:
            if before is not None and _directory() != before:
                os.chdir(before)


def _directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  # called in each step: a Path would double its cost
    except FileNotFoundError:
        return None  # someone removed it: there is nothing to go back to


class Library:
    """A loaded shared library with the functions of one FMPy class; counted, and unloaded with its last user."""

    def __init__(self, path: Path, handle: ctypes.CDLL) -> None:
        self.path = path
        self.handle = handle
        self.users = 0
        self.fatal = False
        """An instance answered with `fatal`: nothing in this library may be called again, not even to unload it."""
        self._functions: dict[type, _Functions] = {}

    def functions(self, fmpy_class: type) -> dict[str, Any]:
        """Return the table of bound functions that all instances of this class share."""
        return self._functions.setdefault(fmpy_class, _Functions(self, _signatures(fmpy_class)))

    def release(self) -> None:
        """Give up one use; the last one unloads the library."""
        with _lock:
            self.users -= 1
            if self.users > 0 or self.fatal:
                return
            _open.pop(self.path, None)
            fmpy_module("fmpy").freeLibrary(self.handle._handle)  # noqa: SLF001  # ctypes offers no other way to unload


class _Functions(dict[str, Any]):
    """Functions by name, bound when they are first asked for: many tools leave out functions that the standard wants."""

    def __init__(self, library: Library, signatures: dict[str, tuple[list[Any], Any]]) -> None:
        super().__init__()
        self._library = library
        self._signatures = signatures

    def __missing__(self, name: str) -> Any:
        try:
            function = getattr(self._library.handle, name)
        except AttributeError as error:
            raise FmuError(
                f"{self._library.path.name}: the function {name} is missing, the standard wants it; "
                "ask the maker of the FMU for an export that has it, or use what does not need it"
            ) from error
        function.argtypes, function.restype = self._signatures[name]
        self[name] = function
        return function


@functools.cache
def _signatures(fmpy_class: type) -> dict[str, tuple[list[Any], Any]]:
    """Return argument types and result type of each FMI function, as FMPy annotates them."""
    found = {}
    for name, method in inspect.getmembers(fmpy_class, inspect.isfunction):
        if name.startswith("fmi"):
            signature = inspect.signature(method)
            arguments = [_c_type(entry.annotation) for entry in list(signature.parameters.values())[1:]]
            found[name] = (arguments, _result_type(signature.return_annotation))
    return found


def _c_type(annotation: Any) -> Any:
    return typing.get_args(annotation)[0] if isinstance(annotation, types.UnionType) else annotation


def _result_type(annotation: Any) -> Any:
    return {bytes: ctypes.c_char_p, int: ctypes.c_int}.get(annotation, annotation)


def open_library(path: Path) -> Library:
    """Load a shared library, or count one more use of it.

    While it is loaded the working directory is its folder, since some libraries look for others there.

    Raises:
        FmuArchiveError: the system cannot load it; the text has the reason the system gives.
    """
    path = path.resolve()
    with _lock:
        library = _open.get(path)
        if library is None:
            with kept_directory():
                os.chdir(path.parent)
                try:
                    handle = ctypes.CDLL(str(path))
                except OSError as error:
                    raise FmuArchiveError(
                        f"{path.name}: this machine cannot load the library of the FMU: {error}; install what it "
                        "needs, or ask for an export that needs nothing"
                    ) from error
            library = Library(path, handle)
            _open[path] = library
        library.users += 1
        return library


def answered_fatal(unpacked: UnpackedFmu) -> bool:
    """Return whether an instance of this FMU has answered `fatal`: its library may not be called again here."""
    folder = unpacked.folder.resolve()
    with _lock:
        return any(library.fatal and path.is_relative_to(folder) for path, library in _open.items())


def check_thread_keys(name: str) -> None:
    """Make sure that this process has keys for thread data left.

    FMUs of OpenModelica take one for each instance and never give it back; the system has 1024 (glibc) for a process.
    Without one they go on with a key of somebody else: the process crashes much later, in Python.

    Raises:
        FmuError: there is none left.
    """
    if os.name != "posix":
        return
    c_library = _c_library()
    keys = [ctypes.c_ulong() for _ in range(_SPARE_KEYS)]
    made = [key for key in keys if c_library.pthread_key_create(ctypes.byref(key), None) == 0]
    for key in made:
        c_library.pthread_key_delete(key)
    if len(made) < _SPARE_KEYS:
        raise FmuError(
            f"{name}: this process has made about 1000 instances that each took a key for thread data and kept it, as "
            "FMUs of OpenModelica do, and there is none left; write `trusted: false`, so that each entry has a process of "
            "its own, and give one entry 1000 devices at most"
        )


@functools.cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def folder_of(unpacked: UnpackedFmu, device: int) -> UnpackedFmu:
    """Return where the instance of one device is loaded from.

    An FMU that may be instantiated only once per process gets a copy for each further device: another file is another
    image in memory. The copies lie below the unpacked folder and go with it.

    Raises:
        FmuError: more than ``MAX_COPIES`` devices of such an FMU.
    """
    if not unpacked.info.once_per_process or device == 0:
        return unpacked
    if device >= MAX_COPIES:
        raise FmuError(
            f"{unpacked.info.file.name} may be instantiated only once per process, so each device needs a copy of its "
            f"own; {MAX_COPIES} devices are the most, wanted is device {device + 1}; use fewer devices, spread them "
            "over several entries, or ask for an export without canBeInstantiatedOnlyOncePerProcess"
        )
    copy = unpacked.folder / _COPIES / str(device)
    if not copy.exists():
        shutil.copytree(unpacked.folder, copy, ignore=shutil.ignore_patterns(_COPIES))
    return replace(unpacked, folder=copy)
