"""The strategy that is checked."""

import inspect
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from yaml import YAMLError, safe_load

from twin.conformance.probes import seeded
from twin.conformance.watch import copy_of
from twin.control import Controller, ControllerFactory, Site
from twin.control.management.levels import level_of, settles_of
from twin.control.registry import make_controller
from twin.errors import InputError

__all__ = ["Subject", "read_params"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A class, or a function, that makes the strategy, and its parameters."""

    name: str
    factory: ControllerFactory
    params: Mapping[str, Any] = field(default_factory=dict)

    def make(self, site: Site) -> Controller:
        """Return a fresh controller, with parameters of its own.

        Raises:
            InputError: the parameters do not fit, ``decide`` is missing, or ``level`` or ``settles`` is not known;
                whatever else the class raises passes.
        """
        controller = make_controller(self.factory, site, deepcopy(dict(self.params)))
        level_of(controller)
        settles_of(controller)
        return controller

    def refuse_unfit_params(self, site: Site) -> None:
        """Refuse parameters that the class does not take or lacks, and values given that it refuses itself.

        Raises:
            InputError: naming the parameters that are accepted.
        """
        try:
            inspect.signature(self.factory).bind(site, **self.params)
        except TypeError:
            self._make(site)
        except ValueError:  # callables written in C may have no signature
            pass
        if self.params and self._refuses(site):
            self._make(site)

    def _make(self, site: Site) -> Controller:
        return make_controller(self.factory, copy_of(site), deepcopy(dict(self.params)))

    def _refuses(self, site: Site) -> bool:
        """Return whether the class raises what stands for parameters that make no sense."""
        try:
            with seeded(0):
                self.factory(copy_of(site), **deepcopy(dict(self.params)))
        except (TypeError, ValueError):
            return True
        except (Exception, SystemExit):  # noqa: BLE001 - whatever else it raises is a finding
            return False
        return False


def read_params(given: Iterable[str]) -> dict[str, Any]:
    """Return ``KEY=VALUE`` options as values, read like those of a scenario file.

    Raises:
        InputError: naming the option that cannot be read.
    """
    params: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key.isidentifier() or not equals:
            raise InputError(f"--param {text}: must be KEY=VALUE, e.g. --param limit_kw=3")
        try:
            params[key] = safe_load(value)
        except YAMLError as error:
            raise InputError(f"--param {text}: the value cannot be read; put a text in quotes") from error
    return params
