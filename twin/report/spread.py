"""How the voltage spreads over buses and time."""

from collections.abc import Mapping

from twin.kpis import KpiContext
from twin.report.model import Table
from twin.results import StrategyReader, query
from twin.signals import Axis

__all__ = ["spread_table"]

_SHARES = (0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0)
_HEAD = ("Strategy", "Lowest", "1 %", "5 %", "Median", "95 %", "99 %", "Highest")


def spread_table(strategies: Mapping[str, StrategyReader], context: KpiContext) -> Table | None:
    """Return quantiles of the voltage over all free buses and steps by strategy label.

    Strategies without a stored step, or with series of only some free buses, are left out; None where all are.
    """
    free = [context.bus_name[position] for position in context.free_buses]
    rows = []
    for label, reader in strategies.items():
        if reader.last_step < 0 or not set(free) <= set(reader.names(Axis.BUS)):
            continue
        levels = query.quantiles_over_all(reader, "bus.vm_pu", _SHARES, names=free)
        rows.append((label, *(f"{level:.4f}" for level in levels)))
    if not rows:
        return None
    return Table(
        caption=f"Voltage over {len(free)} buses and all stored steps [pu]: share of the values that lie below",
        head=_HEAD,
        rows=tuple(rows),
        numeric=tuple(range(1, len(_HEAD))),
    )
