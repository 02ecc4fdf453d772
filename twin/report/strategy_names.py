"""Words for the strategies of a run."""

from twin.results import Manifest

__all__ = ["strategy_labels"]


def strategy_labels(manifest: Manifest) -> dict[str, str]:
    """Return words for each strategy by its name; its name is added where two have the same words."""
    labels = [state.label for state in manifest.strategies.values()]
    return {
        name: state.label if labels.count(state.label) == 1 else f"{state.label} ({name})"
        for name, state in manifest.strategies.items()
    }
