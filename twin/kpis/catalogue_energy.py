"""The KPIs of energy and money, a part of the catalogue."""

from functools import partial
from typing import Final

from twin.kpis.base import PROJECT_SOURCE, Kpi

__all__ = ["ENERGY", "MONEY"]

_LUTHANDER = (
    "Luthander et al. 2015, Applied Energy 142, doi:10.1016/j.apenergy.2014.12.028; "
    "project rule for energy that is not of PV"
)
_TARIFF = "simple tariff of the scenario (an assumption, not a bill)"

_in_energy = partial(Kpi, question="energy")
_in_money = partial(Kpi, question="money")


def _match(part: str, who: str, meaning: str) -> tuple[Kpi, ...]:
    used = (
        "PV used is min(consumption, PV - charge) of every step, at least 0, plus what batteries gave to the loads, less "
        "any fall of the stored energy over the run, at most the PV they took"
    )
    return (
        _in_energy(
            name=f"self_consumption_{part}_percent",
            label=f"Self-consumption, {who}",
            unit="%",
            better="higher",
            definition=f"PV used over PV energy fed in; {used}; {meaning}.",
            source=_LUTHANDER,
        ),
        _in_energy(
            name=f"self_sufficiency_{part}_percent",
            label=f"Self-sufficiency, {who}",
            unit="%",
            better="higher",
            definition=f"PV used over consumption; {used}; {meaning}.",
            source=_LUTHANDER,
        ),
    )


ENERGY: Final = (
    _in_energy(
        name="load_kwh",
        label="Consumption",
        unit="kWh",
        better="neutral",
        definition="Energy of all loads.",
        source=PROJECT_SOURCE,
    ),
    _in_energy(
        name="import_kwh",
        label="Energy from the upstream grid",
        unit="kWh",
        better="neutral",
        definition="Energy of the steps in which the feeder head imports.",
        source=PROJECT_SOURCE,
    ),
    _in_energy(
        name="pv_kwh",
        label="PV energy",
        unit="kWh",
        better="neutral",
        definition="Energy that the PV generators fed in, after curtailment.",
        source=PROJECT_SOURCE,
    ),
    _in_energy(
        name="curtailed_kwh",
        label="Curtailed PV energy",
        unit="kWh",
        better="lower",
        definition="PV energy that the sun would have given less what was fed in.",
        source=PROJECT_SOURCE,
    ),
    _in_energy(
        name="curtailed_percent",
        label="Curtailed share of PV",
        unit="%",
        better="lower",
        definition="Curtailed PV energy over what the sun would have given.",
        source=PROJECT_SOURCE,
    ),
    *_match(
        "homes", "points with PV", "behind the meter of each connection point with PV, energies added up"
    ),
    *_match("feeder", "whole feeder", "the feeder as one meter, losses left out"),
    _in_energy(
        name="battery_cycles_mean",
        label="Battery full cycles, mean",
        unit="1",
        better="neutral",
        definition="Energy discharged at the terminals over capacity, mean of all batteries.",
        source=PROJECT_SOURCE,
    ),
    _in_energy(
        name="battery_cycles_max",
        label="Battery full cycles, most used",
        unit="1",
        better="lower",
        definition="Energy discharged at the terminals over capacity, largest of all batteries.",
        source=PROJECT_SOURCE,
    ),
    _in_energy(
        name="stored_change_kwh",
        label="Energy in the batteries, end over start",
        unit="kWh",
        better="neutral",
        definition=(
            "Energy stored at the end less that at the start, all batteries. The last step counts with the energy at "
            "the terminals, without its losses."
        ),
        source=PROJECT_SOURCE,
    ),
    _in_energy(
        name="unmet_kwh",
        label="Unmet need of appliances",
        unit="kWh",
        better="lower",
        definition=(
            "Energy that appliances lacked: heat of hot water that was drawn below the temperature of use, and what cars "
            "had less than they needed when they left."
        ),
        source=PROJECT_SOURCE,
    ),
)

MONEY: Final = (
    _in_money(
        name="cost_total_eur",
        label="Energy cost, all connection points",
        unit="EUR",
        better="lower",
        definition=(
            "Sum over steps and connection points of import x import price - export x export price; what batteries "
            "hold more or less at the end has no price."
        ),
        source=_TARIFF,
    ),
    _in_money(
        name="cost_mean_eur",
        label="Energy cost per connection point",
        unit="EUR",
        better="lower",
        definition="Energy cost of all connection points over their number.",
        source=_TARIFF,
    ),
)
