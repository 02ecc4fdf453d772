"""What KPIs must know about a run: checks, JSON and local time."""

import json
from dataclasses import replace

import numpy as np
import pytest

from twin.errors import RunFolderError
from twin.kpis import KpiContext, KpiLimits


def make_context(**changes):
    context = KpiContext(
        dt_s=900,
        n_steps=8,
        start_utc_s=1468274400,  # 2016-07-12 00:00 in Rome
        bus_name=("b1",),
        line_name=(),
        trafo_name=("t1",),
        trafo_level=("MV/LV",),
        head_trafos=(0,),
        home_name=("a", "b"),
        load_home=(0, 1),
        pv_home=(0,),
        battery_home=(0,),
        battery_capacity_kwh=(2.0,),
        limits=KpiLimits(),
    )
    return replace(context, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dt_s": 840}, "must divide 900"),
        ({"n_steps": 0}, "at least 1"),
        ({"trafo_level": ()}, "1 transformers but 0 levels"),
        ({"battery_capacity_kwh": ()}, "1 batteries but 0 capacities"),
        ({"battery_capacity_kwh": (0.0,)}, "above 0 kWh"),
        ({"pv_home": (2,)}, "pv_home holds position 2"),
    ],
)
def test_a_context_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_context(**changes)


def test_the_context_survives_a_trip_through_json():
    context = make_context(load_home=np.array([0, 1]), battery_capacity_kwh=np.array([2.0]))
    again = KpiContext.from_dict(json.loads(json.dumps(context.to_dict())))
    assert again == context


@pytest.mark.parametrize(
    "damage", [{"dt_s": 7}, {"limits": {"vm_low": 1}}, {"extra": 1}], ids=["value", "limits", "unknown field"]
)
def test_a_stored_context_that_is_damaged_is_an_input_error(damage):
    with pytest.raises(RunFolderError, match="KPI context"):
        KpiContext.from_dict(make_context().to_dict() | damage)


def test_time_text_is_local_time():
    context = make_context()
    assert context.time_text(0) == "2016-07-12 00:00"
    assert context.time_text(5) == "2016-07-12 01:15"
    assert make_context(dt_s=10).time_text(1) == "2016-07-12 00:00:10"
