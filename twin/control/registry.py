"""From the name of a strategy in a scenario to a controller."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, cast

from twin.control.base import Controller, ControllerFactory, Site
from twin.errors import InputError

__all__ = ["BUILTIN", "ENTRY_POINT_GROUP", "make_controller", "resolve"]

ENTRY_POINT_GROUP = "twin.strategies"

BUILTIN: Mapping[str, str] = MappingProxyType(
    {
        "none": "twin.control.rules:NoControl",
        "self_consumption": "twin.control.rules:SelfConsumption",
        "peak_shaving": "twin.control.rules:PeakShaving",
        "mpc": "twin.control.mpc:Mpc",
        "cems": "twin.control.management.cems:CemsStrategy",
        "aggregator": "twin.control.management.aggregator:AggregatorStrategy",
        "aggregator_msd": "twin.control.management.aggregator:AggregatorMsdStrategy",
        "cems_mpc": "twin.control.community_mpc:CemsMpc",
        "aggregator_mpc": "twin.control.community_mpc:AggregatorMpc",
        "aggregator_msd_mpc": "twin.control.community_mpc:AggregatorMsdMpc",
        "external": "twin.external.controller:External",
    }
)
"""Built-in strategies and where they are, imported only when used."""


def resolve(use: str, base_dir: Path) -> ControllerFactory:
    """Return what ``use`` names.

    Args:
        use: a built-in name, an entry point of the group ``twin.strategies``, ``module:Class`` of an importable
            module, or ``file.py:Class`` with a path relative to ``base_dir``.
        base_dir: folder of the scenario file.

    Raises:
        InputError: there is no such strategy, or it cannot be imported; the cause is chained.
    """
    if use in BUILTIN:
        module_name, _, class_name = BUILTIN[use].partition(":")
        return _member(importlib.import_module(module_name), class_name, use=use)
    if ":" in use:
        where, _, class_name = use.rpartition(":")
        module = (
            _from_file(base_dir / where, use=use) if where.endswith(".py") else _from_name(where, use=use)
        )
        return _member(module, class_name, use=use)
    installed = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if use in installed:
        return _from_entry_point(installed[use])
    known = sorted({*BUILTIN, *installed})
    raise InputError(
        f"strategy {use!r} is not known{_did_you_mean(use, known)}; there are {', '.join(known)}; name your own as "
        "'module:Class' or 'file.py:Class'"
    )


def make_controller(factory: ControllerFactory, site: Site, params: Mapping[str, Any]) -> Controller:
    """Return ``factory(site, **params)``.

    Raises:
        InputError: a parameter is unknown, missing or makes no sense; the message names those that are accepted.
    """
    name = getattr(factory, "__name__", repr(factory))
    accepted = _accepted(factory)
    if accepted is not None:
        _refuse_unfit(name, accepted, params)
    try:
        controller = factory(site, **params)
    except (TypeError, ValueError) as exc:
        given = ", ".join(f"{key}={value!r}" for key, value in params.items())
        raise InputError(f"{name}({given}): {exc}; {_accepts(accepted)}") from exc
    if not callable(getattr(controller, "decide", None)):
        raise InputError(
            f"{name}: has no method decide(seen); a strategy returns a Proposal from it in every step"
        )
    _refuse_unfit_decide(name, controller)
    return controller


def _refuse_unfit_decide(name: str, controller: Controller) -> None:
    try:
        inspect.signature(controller.decide).bind(None)
    except ValueError:  # callables written in C may have no signature
        return
    except TypeError as exc:
        raise InputError(f"{name}: decide is called as decide(seen) in every step; {exc}") from exc


def _from_name(module_name: str, *, use: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except Exception as exc:
        raise InputError(
            f"strategy {use!r}: importing {module_name!r} failed with {type(exc).__name__}: {exc}; install the "
            "package into this environment, or name a file as 'file.py:Class'"
        ) from exc


def _from_file(path: Path, *, use: str) -> ModuleType:
    if not path.is_file():
        beside = sorted(entry.name for entry in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise InputError(
            f"strategy {use!r}: there is no file {path}{_did_you_mean(path.name, beside)}; the path is relative to "
            "the scenario file"
        )
    # one name for each path, so that two files of the same name do not replace each other
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    module_name = f"twin_strategy_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise InputError(
            f"strategy {use!r}: {path} cannot be loaded as a Python module; use a file ending in .py"
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with _folder_on_path(path.parent):
            spec.loader.exec_module(module)
    except Exception as exc:
        del sys.modules[module_name]
        raise InputError(
            f"strategy {use!r}: loading {path} failed with {type(exc).__name__}: {exc}; correct the file"
        ) from exc
    return module


@contextmanager
def _folder_on_path(folder: Path) -> Iterator[None]:
    """Let a strategy file import the modules that stand beside it."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


def _from_entry_point(point: EntryPoint) -> ControllerFactory:
    try:
        found = point.load()
    except Exception as exc:
        raise InputError(
            f"strategy {point.name!r}: loading the entry point {point.value!r} failed with {type(exc).__name__}: "
            f"{exc}; repair or reinstall the package that offers it"
        ) from exc
    if not callable(found):
        raise InputError(f"strategy {point.name!r}: the entry point {point.value!r} is not a class")
    return cast("ControllerFactory", found)


def _member(module: ModuleType, class_name: str, *, use: str) -> ControllerFactory:
    found = getattr(module, class_name, None)
    if callable(found):
        return cast("ControllerFactory", found)
    classes = sorted(
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    )
    what = "is not a class" if found is not None else "does not exist"
    raise InputError(
        f"strategy {use!r}: {class_name!r} {what} in it{_did_you_mean(class_name, classes)}; its classes are "
        f"{', '.join(classes) if classes else 'none'}"
    )


def _accepted(factory: ControllerFactory) -> Mapping[str, inspect.Parameter] | None:
    """Return the parameters after the site, or None where Python cannot tell."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):  # callables written in C may have no signature
        return None
    return {parameter.name: parameter for parameter in parameters[1:]}


def _refuse_unfit(name: str, accepted: Mapping[str, inspect.Parameter], params: Mapping[str, Any]) -> None:
    kinds = {parameter.kind for parameter in accepted.values()}
    named = {
        key: parameter
        for key, parameter in accepted.items()
        if parameter.kind in {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    }
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for key in params:
            if key not in named:
                raise InputError(
                    f"{name}: parameter {key!r} is not known{_did_you_mean(key, named)}; {_accepts(named)}"
                )
    for key, parameter in named.items():
        if parameter.default is inspect.Parameter.empty and key not in params:
            raise InputError(f"{name}: parameter {key!r} is missing; {_accepts(named)}")


def _accepts(accepted: Mapping[str, inspect.Parameter] | None) -> str:
    if accepted is None:
        return "see its documentation for the parameters it accepts"
    if not accepted:
        return "it accepts no parameters"
    return "it accepts " + ", ".join(
        key if parameter.default is inspect.Parameter.empty else f"{key}={parameter.default!r}"
        for key, parameter in accepted.items()
    )


def _did_you_mean(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
