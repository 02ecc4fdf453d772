"""KPIs of a run: definitions, computation chunk by chunk, and verdicts. Pure: arrays in, values out."""

from twin.kpis.accumulator import KpiAccumulator
from twin.kpis.base import Kpi, KpiContext, KpiLimits, KpiValue
from twin.kpis.catalogue import KPIS, kpi
from twin.kpis.verdict import Verdict, verdicts

__all__ = [
    "KPIS",
    "Kpi",
    "KpiAccumulator",
    "KpiContext",
    "KpiLimits",
    "KpiValue",
    "Verdict",
    "kpi",
    "verdicts",
]
