"""From what a user writes (a SimBench code, a pandapower function, a file) to a pandapower network.

Files are read with pandapower's own readers. They create Python objects named in the file, so read only files that you
trust.
"""

import ast
import difflib
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pandapower
import pandapower.networks

from models.errors import FeederError

__all__ = ["library_warnings_ignored", "load_net"]

_ALIASES = {
    "cigre_hv": "create_cigre_network_hv",
    "cigre_lv": "create_cigre_network_lv",
    "cigre_mv": "create_cigre_network_mv",
    "cigre_mv_der": "create_cigre_network_mv?with_der=pv_wind",
    "cigre_mv_all": "create_cigre_network_mv?with_der=all",
}


def load_net(source: str, base_dir: Path | None = None) -> Any:
    """Return the pandapower network that ``source`` names.

    Args:
        source: ``simbench:CODE``, ``pandapower:FUNCTION`` (a function of ``pandapower.networks``, with arguments as
            ``?name=value&name=value``; short names such as ``cigre_lv`` or ``kerber_dorfnetz`` are accepted), or the
            path of a ``.json``, ``.xlsx`` or ``.xls`` file.
        base_dir: what a relative path is relative to; the current directory by default.

    Raises:
        FeederError: the source does not exist, is misspelt or is no network.
    """
    kind, _, rest = source.partition(":")
    if kind == "simbench":
        return _simbench(rest.strip())
    if kind == "pandapower":
        return _built_in(rest.strip())
    path = Path(source)
    return _file(source, path if base_dir is None else base_dir / path)


@contextmanager
def library_warnings_ignored() -> Iterator[None]:
    """Hide deprecation notices that pandapower and simbench raise about their own code."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.filterwarnings("ignore", category=category, module=r"pandapower|simbench|pandas")
        yield


def _simbench(code: str) -> Any:
    try:
        import simbench  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise FeederError(
            f"simbench:{code}: the package simbench is not installed; run: pip install 'gemello[simbench]'"
        ) from error
    codes = simbench.collect_all_simbench_codes()
    if code not in codes:
        raise FeederError(
            f"simbench:{code}: there is no such SimBench code"
            f"{_did_you_mean(code, codes)}; codes look like 1-LV-rural3--2-sw"
        )
    with library_warnings_ignored():
        return simbench.get_simbench_net(code)


def _built_in(call: str) -> Any:
    functions = _network_functions()
    short, _, query = call.partition("?")
    name, _, alias_query = _ALIASES.get(short, short).partition("?")
    if name not in functions and f"create_{name}" in functions:
        name = f"create_{name}"
    if name not in functions:
        raise FeederError(
            f"pandapower:{short}: pandapower.networks has no such network"
            f"{_did_you_mean(short, [*functions, *_ALIASES, *(n.removeprefix('create_') for n in functions)])}"
        )
    arguments = _arguments(call, query or alias_query)
    try:
        with library_warnings_ignored():
            net = functions[name](**arguments)
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise FeederError(
            f"pandapower:{call}: {name} refuses its arguments ({error}); "
            f"its signature is {name}{inspect.signature(functions[name])}"
        ) from error
    return _checked(net, f"pandapower:{call}")


def _network_functions() -> dict[str, Callable[..., Any]]:
    return {
        name: function
        for name, function in inspect.getmembers(pandapower.networks, inspect.isfunction)
        if function.__module__.startswith("pandapower.networks") and not name.startswith("_")
    }


def _arguments(call: str, query: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, strict_parsing=True) if query else []
    except ValueError as error:
        raise FeederError(
            f"pandapower:{call}: arguments are written ?name=value&name=value ({error})"
        ) from error
    return {name: _literal(text) for name, text in pairs}


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text  # a bare word is a string


def _file(source: str, path: Path) -> Any:
    readers: dict[str, Callable[..., Any]] = {
        ".json": pandapower.from_json,
        ".xlsx": pandapower.from_excel,
        ".xls": pandapower.from_excel,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FeederError(
            f"{source}: not a feeder source; write simbench:CODE, pandapower:FUNCTION or a .json, .xlsx or .xls file"
        )
    if not path.is_file():
        raise FeederError(f"{source}: there is no file {path}; paths are relative to the scenario file")
    try:
        with library_warnings_ignored():
            net = reader(str(path))
    except Exception as error:  # pandapower's readers raise whatever the broken content leads to
        raise FeederError(
            f"{source}: cannot be read as a pandapower network ({type(error).__name__}: {error}); "
            "write it with pandapower.to_json or pandapower.to_excel"
        ) from error
    return _checked(net, source)


def _checked(net: Any, source: str) -> Any:
    if not isinstance(net, pandapower.pandapowerNet):
        raise FeederError(f"{source}: holds a {type(net).__name__}, not one pandapower network")
    return net


def _did_you_mean(wrong: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(wrong, sorted(set(known)), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""
