"""Every KPI there is, in the order in which tables show them.

Marks as in the sources: "K" is general knowledge that was not checked against the rule itself.
"""

from functools import partial
from typing import Final

from twin.kpis.base import PROJECT_SOURCE, Kpi
from twin.kpis.catalogue_community import CO2, COMMUNITY
from twin.kpis.catalogue_energy import ENERGY, MONEY

__all__ = ["KPIS", "MEASURED", "kpi"]

_EN50160 = "EN 50160, weekly voltage test, as quoted in Schneider Electric note 7EN72-0197"
_REVERSE = (
    "project definition; the share of hours with reverse flow is what Italian DSOs are said to publish per HV/MV "
    "section (1 % and 5 % lists; K, not verified)"
)
_LIMITS = "limits of the scenario"
_RATING = "thermal rating in the network data (pandapower loading_percent)"

_in_voltage = partial(Kpi, question="voltage")
_in_reverse_flow = partial(Kpi, question="reverse_flow")
_in_peak = partial(Kpi, question="peak")
_in_loading = partial(Kpi, question="loading")
_in_losses = partial(Kpi, question="losses")
_in_quality = partial(Kpi, question="quality")

_VOLTAGE: Final = (
    _in_voltage(
        name="vm_min_pu",
        label="Lowest voltage",
        unit="pu",
        better="higher",
        definition="Lowest voltage magnitude of any bus in any step, over nominal voltage.",
        source=PROJECT_SOURCE,
    ),
    _in_voltage(
        name="vm_max_pu",
        label="Highest voltage",
        unit="pu",
        better="lower",
        definition="Highest voltage magnitude of any bus in any step, over nominal voltage.",
        source=PROJECT_SOURCE,
    ),
    _in_voltage(
        name="en50160_outside_percent",
        label="EN 50160: outside ±10 %, worst week",
        unit="%",
        better="lower",
        definition=(
            "Share of the 10-min means of a node in a week that are below 0.90 or above 1.10 of nominal; largest over "
            "nodes and weeks. Passes up to 5 %. Weeks are 7 x 24 h from the run's start, what is left over counts in "
            "the last one. Means of the step values, where the standard takes RMS values; windows of the clock that "
            "the run covers completely."
        ),
        source=_EN50160,
    ),
    _in_voltage(
        name="en50160_beyond_count",
        label="EN 50160: 10-min means beyond +10/-15 %",
        unit="1",
        better="lower",
        definition=(
            "Number of 10-min means below 0.85 or above 1.10 of nominal, summed over nodes and weeks. "
            "Passes at 0. The element named has most of them."
        ),
        source=_EN50160,
    ),
    _in_voltage(
        name="band_hours",
        label="Hours outside the voltage band",
        unit="h",
        better="lower",
        definition="Time in steps in which at least one bus is outside the band of the scenario.",
        source=_LIMITS,
    ),
    _in_voltage(
        name="band_node_hours",
        label="Node-hours outside the voltage band",
        unit="h",
        better="lower",
        definition="Time outside the band of the scenario, summed over the buses.",
        source=_LIMITS,
    ),
    _in_voltage(
        name="band_worst_node_hours",
        label="Hours outside the voltage band, worst node",
        unit="h",
        better="lower",
        definition="Time outside the band of the scenario of the bus that is outside longest.",
        source=_LIMITS,
    ),
)


def _reverse(part: str, place: str, power: str) -> tuple[Kpi, ...]:
    one = "" if part == "head" else ", worst transformer"
    total = "" if part == "head" else ", all transformers"
    worst, added = ("", "") if part == "head" else (", worst", ", all")
    return (
        _in_reverse_flow(
            name=f"reverse_{part}_hours",
            label=f"Reverse flow, {place}: hours{worst}",
            unit="h",
            better="lower",
            definition=f"Time in steps whose mean {power} is below 0{one}.",
            source=PROJECT_SOURCE,
        ),
        _in_reverse_flow(
            name=f"reverse_{part}_percent",
            label=f"Reverse flow, {place}: share of hours{worst}",
            unit="%",
            better="lower",
            definition=f"Hours of reverse flow over the hours of the run{one}.",
            source=_REVERSE,
        ),
        _in_reverse_flow(
            name=f"reverse_{part}_energy_kwh",
            label=f"Reverse flow, {place}: energy{added}",
            unit="kWh",
            better="lower",
            definition=f"Energy of the steps with reverse flow{total}.",
            source=PROJECT_SOURCE,
        ),
        _in_reverse_flow(
            name=f"reverse_{part}_peak_kw",
            label=f"Reverse flow, {place}: peak{worst}",
            unit="kW",
            better="lower",
            definition=f"Largest reverse power, as mean of a step, counted positive{one}.",
            source=PROJECT_SOURCE,
        ),
    )


_PEAK: Final = (
    _in_peak(
        name="peak_import_kw",
        label="Peak import, 15 min",
        unit="kW",
        better="lower",
        definition=(
            "Largest mean import of the feeder head over a quarter of an hour of the clock; finer steps are averaged, "
            "quarters that the run covers in part are left out."
        ),
        source=PROJECT_SOURCE,
    ),
    _in_peak(
        name="peak_export_kw",
        label="Peak export, 15 min",
        unit="kW",
        better="lower",
        definition="Largest mean export of the feeder head over a quarter of an hour of the clock, counted positive.",
        source=PROJECT_SOURCE,
    ),
    _in_peak(
        name="load_factor",
        label="Load factor",
        unit="1",
        better="higher",
        definition=(
            "Mean import over peak import of the feeder head, both from 15-min means; quarters that export count as "
            "import 0."
        ),
        source=PROJECT_SOURCE,
    ),
)


def _loading(kind: str, one: str, source: str) -> tuple[Kpi, ...]:
    return (
        _in_loading(
            name=f"{kind}_loading_max_percent",
            label=f"Highest loading of a {one}",
            unit="%",
            better="lower",
            definition=f"Largest current over rating of any {one} in any step.",
            source=source,
        ),
        _in_loading(
            name=f"{kind}_over_80_hours",
            label=f"Hours with a {one} above 80 %",
            unit="h",
            better="lower",
            definition=f"Time in steps in which at least one {one} is above 80 %; named is the one above longest.",
            source=source,
        ),
        _in_loading(
            name=f"{kind}_over_100_hours",
            label=f"Hours with a {one} above 100 %",
            unit="h",
            better="lower",
            definition=f"Time in steps in which at least one {one} is above 100 %; named is the one above longest.",
            source=source,
        ),
    )


_LOSSES: Final = (
    _in_losses(
        name="loss_kwh",
        label="Losses",
        unit="kWh",
        better="lower",
        definition="Energy lost in lines, transformers and shunts of the feeder.",
        source=PROJECT_SOURCE,
    ),
    _in_losses(
        name="loss_percent",
        label="Losses over consumption",
        unit="%",
        better="lower",
        definition="Losses over the energy delivered to the loads.",
        source=PROJECT_SOURCE,
    ),
)


_QUALITY: Final = (
    _in_quality(
        name="balance_error_max_kw",
        label="Energy balance error, largest",
        unit="kW",
        better="lower",
        definition="Largest magnitude, in any step, of import less losses and all devices.",
        source=PROJECT_SOURCE,
    ),
    _in_quality(
        name="balance_error_percent",
        label="Energy balance error over throughput",
        unit="%",
        better="lower",
        definition=(
            "Energy of the balance error's magnitude over throughput; throughput is half the energy of the magnitudes "
            "of import, losses, loads, PV and batteries."
        ),
        source=PROJECT_SOURCE,
    ),
    _in_quality(
        name="residual_max_kva",
        label="Fixed-point residual, largest",
        unit="kVA",
        better="lower",
        definition="Largest power by which inverter functions and feeder still disagree at the end of a step.",
        source=PROJECT_SOURCE,
    ),
    _in_quality(
        name="power_flows_per_step",
        label="Power flows per step",
        unit="1",
        better="neutral",
        definition="Mean number of power flows solved in a step.",
        source=PROJECT_SOURCE,
    ),
)

MEASURED: Final[tuple[Kpi, ...]] = (
    *_VOLTAGE,
    *_reverse("mvlv", "MV/LV", "power through an MV/LV transformer, from high to low voltage,"),
    *_reverse("hvmv", "HV/MV", "power through an HV/MV transformer, from high to low voltage,"),
    *_reverse("head", "head", "power from the upstream grid"),
    *_PEAK,
    *_loading("line", "line", _RATING),
    *_loading("trafo", "transformer", _RATING),
    *_LOSSES,
    *ENERGY,
    *MONEY,
    *_QUALITY,
)
"""The KPIs that every run has, computed from its signals alone."""

KPIS: Final[tuple[Kpi, ...]] = (
    *(entry for entry in MEASURED if entry.question != "quality"),
    *COMMUNITY,
    *CO2,
    *_QUALITY,
)
"""The catalogue in display order; those of communities and of CO2 need the market and the rules of the scenario."""

_BY_NAME: Final = {entry.name: entry for entry in KPIS}


def kpi(name: str) -> Kpi:
    """Return the KPI called ``name``; ``KeyError`` names the ones there are."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise KeyError(f"no KPI {name!r}; there are {', '.join(sorted(_BY_NAME))}") from None
