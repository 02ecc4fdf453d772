"""A scenario with every default filled in, as YAML that loads again to the same scenario."""

from pathlib import Path as FilePath
from typing import Any

import yaml

from twin.scenario.references import rebase
from twin.scenario.schema import Scenario
from twin.scenario.yaml_scalars import resolve_scalar

__all__ = ["resolved_data", "to_yaml"]

_BASE: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BASE):  # type: ignore[misc]  # which base there is depends on how PyYAML was built
    """Quotes what YAML 1.2 would not read as text, and repeats values instead of using aliases."""

    def ignore_aliases(self, _data: object) -> bool:
        """Return True: no aliases."""
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    plain = isinstance(resolve_scalar(text), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)


def resolved_data(scenario: Scenario, *, folder: FilePath, relative_to: FilePath) -> dict[str, Any]:
    """Return ``scenario`` as plain data; file names relative to ``folder`` become relative to ``relative_to``."""
    data = scenario.model_dump(mode="json", by_alias=True, exclude_none=True)
    rebase(data, lambda _path: folder, relative_to)
    return data


def to_yaml(data: dict[str, Any]) -> str:
    """Return plain ``data`` as YAML 1.2."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text
