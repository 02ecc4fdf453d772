"""What a run stores about its communities."""

from collections.abc import Mapping
from dataclasses import dataclass

from twin.kpis import KpiValue
from twin.report.communities.deferral_file import Deferral, read_deferral
from twin.report.communities.files import SettledStrategy, read_settled
from twin.results import RunReader

__all__ = ["CommunityRun", "Values", "read_communities"]

Values = Mapping[str, Mapping[str, KpiValue]]
"""KPIs by name for each strategy by its name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CommunityRun:
    """What a run stores about its communities."""

    strategies: tuple[SettledStrategy, ...]
    """Settled ones, at least one."""
    left_out: tuple[str, ...]
    labels: Mapping[str, str]
    """Words for every strategy of the run."""
    values: Values
    deferral: Deferral | None


def read_communities(run: RunReader, labels: Mapping[str, str], values: Values) -> CommunityRun | None:
    """Return what a run stores about communities; None for a run without a settled strategy.

    Args:
        run: the run.
        labels: words for each strategy by its name.
        values: KPIs by name for each strategy by its name.

    Raises:
        RunFolderError: a file is damaged, or the settlements do not belong together.
    """
    settled, left_out = read_settled(run, labels)
    if not settled:
        return None
    return CommunityRun(
        strategies=settled,
        left_out=left_out,
        labels=labels,
        values=values,
        deferral=read_deferral(run.folder),
    )
