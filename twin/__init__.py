"""gemello: a digital twin of a distribution feeder with its energy communities.

``load_scenario(path)`` reads a scenario file, ``run(scenario)`` runs its strategies and returns the results.
Both are imported on first use, so that ``import twin`` stays light.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twin.runner import RunOptions, RunResult, run
    from twin.scenario import LoadedScenario, load_scenario

__all__ = ["LoadedScenario", "RunOptions", "RunResult", "load_scenario", "run"]

_HOME = {
    "LoadedScenario": "twin.scenario",
    "RunOptions": "twin.runner",
    "RunResult": "twin.runner",
    "load_scenario": "twin.scenario",
    "run": "twin.runner",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module 'twin' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # only when a name is asked for

    return getattr(import_module(_HOME[name]), name)
