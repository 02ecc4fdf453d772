"""Every KPI against numbers worked out by hand on a small run.

The run: two buses, one line, one MV/LV transformer, two homes; home ``a`` has PV and a 2 kWh battery, ``b`` only a
load. Eight steps of 15 min from 2016-07-12 00:00 local time, so a step of 1 kW is 0.25 kWh.
"""

from dataclasses import replace

import numpy as np
import pytest

from twin.errors import RunError
from twin.kpis import KPIS, KpiAccumulator, KpiContext, KpiLimits, KpiValue, kpi
from twin.kpis.accumulator import NEEDED
from twin.kpis.catalogue import MEASURED
from twin.signals import SIGNALS, Chunk

START_UTC_S = 1468274400  # 2016-07-11 22:00 UTC, midnight in Rome


def make_context(**changes):
    context = KpiContext(
        dt_s=900,
        n_steps=8,
        start_utc_s=START_UTC_S,
        bus_name=("b1", "b2"),
        line_name=("l1",),
        trafo_name=("t1",),
        trafo_level=("MV/LV",),
        head_trafos=(0,),
        home_name=("a", "b"),
        load_home=(0, 1),
        pv_home=(0,),
        battery_home=(0,),
        battery_capacity_kwh=(2.0,),
        limits=KpiLimits(),
        n_states=3,
        unmet_state=(0, 2),
        unmet_device=("car", "tank"),
    )
    return replace(context, **changes)


def column(*values):
    return np.array(values, dtype=np.float32)[:, None]


def make_arrays():
    load_a = column(1, 1, 1, 1, 2, 2, 2, 2)
    load_b = column(1, 1, 1, 1, 1, 1, 1, 3)
    pv = column(0, -4, -4, -2, 0, 0, 0, 0)
    available = column(0, -4, -6, -2, 0, 0, 0, 0)
    battery = column(0, 1, 1, 0, -1, -1, 0, 0)
    home_a = load_a + pv + battery  # 1 -2 -2 -1 1 1 2 2
    loss = column(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    imported = home_a + load_b + loss  # 2.5 -0.5 -0.5 0.5 2.5 2.5 3.5 5.5
    ones = np.ones_like(loss)
    return {
        "feeder.p_import_kw": imported,
        "feeder.p_loss_kw": loss,
        "feeder.p_load_kw": load_a + load_b,
        "feeder.p_pv_kw": pv,
        "feeder.p_battery_kw": battery,
        "feeder.p_balance_kw": column(0, 0, -0.25, 0, 0, 0.125, 0, 0),
        "feeder.residual_kva": column(0, 0, 0, 0.5, 0, 0, 0, 0),
        "feeder.iterations": column(1, 1, 3, 3, 1, 1, 1, 1),
        "feeder.price_import_eur_kwh": 0.25 * ones,
        "feeder.price_export_eur_kwh": column(0.5, 0.5, 0.25, 0.25, 0, 0, 0, 0),
        "bus.vm_pu": np.hstack([ones, column(1, 1.125, 1.0625, 1, 0.875, 0.75, 1, 1)]),
        "line.loading_percent": column(10, 85, 120, 80, 100, 20, 10, 10),
        "trafo.p_kw": imported - 0.5,  # 2 -1 -1 0 2 2 3 5
        "trafo.loading_percent": column(10, 10, 10, 10, 10, 10, 30, 50),
        "home.p_kw": np.hstack([home_a, load_b]),
        "load.p_kw": np.hstack([load_a, load_b]),
        "pv.p_kw": pv,
        "pv.p_available_kw": available,
        "battery.p_kw": battery,
        # 2 kWh, no losses: 0.25 kWh more or less after a step of 1 kW
        "battery.soc": column(0.5, 0.5, 0.625, 0.75, 0.75, 0.625, 0.5, 0.5),
        "state.value": np.hstack([column(0, 0, 3, 0, 0, 0, 0.5, 0), ones, 0.125 * ones]),
    }


def evaluate(arrays, context):
    accumulator = KpiAccumulator(context)
    accumulator.add(Chunk(first_step=0, arrays=arrays))
    return {value.name: value for value in accumulator.values()}, accumulator.elements()


@pytest.fixture(scope="module")
def values():
    return evaluate(make_arrays(), make_context())[0]


EXPECTED = {
    "vm_min_pu": (0.75, "b2", 5),
    "vm_max_pu": (1.125, "b2", 1),
    # 3 of 8 steps: 1.125, 0.875 and 0.75; two of them are beyond +10/-15 %
    "en50160_outside_percent": (37.5, "b2", None),
    "en50160_beyond_count": (2.0, "b2", None),
    "band_hours": (0.75, "b2", None),
    "band_node_hours": (0.75, "b2", None),
    "band_worst_node_hours": (0.75, "b2", None),
    "reverse_mvlv_hours": (0.5, "t1", None),
    "reverse_mvlv_percent": (25.0, "t1", None),
    "reverse_mvlv_energy_kwh": (0.5, "", None),
    "reverse_mvlv_peak_kw": (1.0, "t1", 1),
    "reverse_hvmv_hours": (None, "", None),
    "reverse_hvmv_percent": (None, "", None),
    "reverse_hvmv_energy_kwh": (None, "", None),
    "reverse_hvmv_peak_kw": (None, "", None),
    "reverse_head_hours": (0.5, "feeder head", None),
    "reverse_head_percent": (25.0, "feeder head", None),
    "reverse_head_energy_kwh": (0.25, "", None),
    "reverse_head_peak_kw": (0.5, "feeder head", 1),
    "peak_import_kw": (5.5, "", 7),
    "peak_export_kw": (0.5, "", 1),
    # 2.5 + 0.5 + 2.5 + 2.5 + 3.5 + 5.5 = 17 over 8 quarters, over 5.5
    "load_factor": (17 / 8 / 5.5, "", None),
    "line_loading_max_percent": (120.0, "l1", 2),
    "line_over_80_hours": (0.75, "l1", None),
    "line_over_100_hours": (0.25, "l1", None),
    "trafo_loading_max_percent": (50.0, "t1", 7),
    "trafo_over_80_hours": (0.0, "", None),
    "trafo_over_100_hours": (0.0, "", None),
    "loss_kwh": (1.0, "", None),
    # loads: a 12 kW steps, b 10 kW steps, so 5.5 kWh
    "loss_percent": (100 / 5.5, "", None),
    "load_kwh": (5.5, "", None),
    "import_kwh": (17 / 4, "", None),
    "pv_kwh": (2.5, "", None),
    "curtailed_kwh": (0.5, "", None),
    "curtailed_percent": (100 * 2 / 12, "", None),
    # home a: M = 0 1 1 1 1 1 0 0 = 5 of P = 10 and L = 12 kW steps; the battery ends as it started
    "self_consumption_homes_percent": (50.0, "", None),
    "self_sufficiency_homes_percent": (100 * 5 / 12, "", None),
    # feeder: L = 2 2 2 2 3 3 3 5, P + S = 0 3 3 2 1 1 0 0, M = 0 2 2 2 1 1 0 0 = 8 of P = 10 and L = 22
    "self_consumption_feeder_percent": (80.0, "", None),
    "self_sufficiency_feeder_percent": (100 * 8 / 22, "", None),
    # 2 kW steps = 0.5 kWh of 2 kWh
    "battery_cycles_mean": (0.25, "", None),
    "battery_cycles_max": (0.25, "a", None),
    "stored_change_kwh": (0.0, "", None),
    # the car 3.5, the tank 8 * 0.125
    "unmet_kwh": (4.5, "car", None),
    # a: imports 1+1+1+2+2 = 7, b: 10 kW steps at 0.25; exports 2 at 0.5, 2 and 1 at 0.25
    "cost_total_eur": ((7 + 10) / 4 * 0.25 - (2 * 0.5 + 3 * 0.25) / 4, "", None),
    "cost_mean_eur": (((7 + 10) / 4 * 0.25 - (2 * 0.5 + 3 * 0.25) / 4) / 2, "", None),
    "balance_error_max_kw": (0.25, "", 2),
    # magnitudes: import 18, loss 4, load 22, PV 10, battery 4: half of 58; error 0.375
    "balance_error_percent": (100 * 0.375 / 29, "", None),
    "residual_max_kva": (0.5, "", 3),
    "power_flows_per_step": (1.5, "", None),
}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_kpi_has_the_value_place_and_step_worked_out_by_hand(values, name):
    value, where, step = EXPECTED[name]
    got = values[name]
    assert got.value == (None if value is None else pytest.approx(value, rel=1e-12))
    assert (got.where, got.step) == (where, step)


def test_every_kpi_of_the_catalogue_is_produced_once_and_in_order(values):
    assert list(values) == [entry.name for entry in MEASURED]
    assert set(EXPECTED) == set(values)
    assert len({entry.name for entry in KPIS}) == len(KPIS)
    assert len({entry.label for entry in KPIS}) == len(KPIS)


@pytest.mark.parametrize("entry", KPIS, ids=lambda entry: entry.name)
def test_every_kpi_has_unit_definition_and_source(entry):
    assert entry.unit in {"pu", "%", "1", "h", "kWh", "kW", "kVA", "EUR", "kg"}
    assert 0 < len(entry.label) <= 45
    assert entry.definition.endswith(".")
    assert entry.source
    assert kpi(entry.name) is entry


def test_values_are_plain_floats_and_a_missing_one_says_why(values):
    for value in values.values():
        assert type(value.value) in {float, type(None)}
        assert type(value.step) in {int, type(None)}
        assert value.value is not None or value.note.startswith("not applicable")


def test_an_unknown_kpi_is_named():
    with pytest.raises(KeyError, match="no KPI 'voltage'"):
        kpi("voltage")


def test_every_signal_needed_is_recorded_on_its_axis():
    assert {key: SIGNALS[key].axis for key in NEEDED} == dict(NEEDED)


def test_elements_hold_one_row_per_bus_line_transformer_and_home():
    rows = evaluate(make_arrays(), make_context())[1]
    table = {(row["axis"], row["name"]): {k: v for k, v in row.items() if v is not None} for row in rows}
    assert list(table) == [
        ("bus", "b1"),
        ("bus", "b2"),
        ("line", "l1"),
        ("trafo", "t1"),
        ("home", "a"),
        ("home", "b"),
    ]
    assert len({tuple(row) for row in rows}) == 1
    assert table["bus", "b2"] == {
        "axis": "bus",
        "name": "b2",
        "vm_min_pu": 0.75,
        "vm_min_step": 5,
        "vm_max_pu": 1.125,
        "vm_max_step": 1,
        "hours_outside_band": 0.75,
        "en50160_worst_week_percent": 37.5,
    }
    assert table["line", "l1"] == {
        "axis": "line",
        "name": "l1",
        "loading_max_percent": 120.0,
        "loading_max_step": 2,
        "hours_over_80": 0.75,
        "hours_over_100": 0.25,
    }
    assert table["trafo", "t1"] == {
        "axis": "trafo",
        "name": "t1",
        "loading_max_percent": 50.0,
        "loading_max_step": 7,
        "hours_over_80": 0.0,
        "hours_over_100": 0.0,
        "level": "MV/LV",
        "head": True,
        "reverse_hours": 0.5,
        "reverse_energy_kwh": 0.5,
        "reverse_peak_kw": 1.0,
        "p_max_kw": 5.0,
        "p_max_step": 7,
        "p_min_kw": -1.0,
        "p_min_step": 1,
    }
    assert table["home", "a"] == {
        "axis": "home",
        "name": "a",
        "import_kwh": 1.75,
        "export_kwh": 1.25,
        "peak_import_kw": 2.0,
        "peak_export_kw": 2.0,
        "cost_eur": pytest.approx(0.0, abs=1e-12),
    }


def test_without_pv_the_pv_figures_do_not_apply():
    arrays, context = make_arrays(), make_context(pv_home=())
    empty = np.zeros((8, 0), dtype=np.float32)
    arrays |= {"pv.p_kw": empty, "pv.p_available_kw": empty, "feeder.p_pv_kw": np.zeros((8, 1), np.float32)}
    values = evaluate(arrays, context)[0]
    for name in ("pv_kwh", "curtailed_kwh", "curtailed_percent", "self_consumption_homes_percent"):
        assert values[name].value is None
        assert values[name].note.startswith("not applicable: no PV")
    assert values["self_sufficiency_feeder_percent"].value is None


def test_without_appliances_that_tell_what_they_lack_the_unmet_need_does_not_apply():
    arrays = make_arrays() | {"state.value": np.ones((8, 1), dtype=np.float32)}
    values = evaluate(arrays, make_context(n_states=1, unmet_state=(), unmet_device=()))[0]
    assert values["unmet_kwh"].value is None
    assert values["unmet_kwh"].note.startswith("not applicable")
    satisfied = make_arrays() | {"state.value": np.zeros((8, 3), dtype=np.float32)}
    assert evaluate(satisfied, make_context())[0]["unmet_kwh"] == KpiValue("unmet_kwh", 0.0)


def test_without_battery_the_cycles_do_not_apply():
    empty = np.zeros((8, 0), dtype=np.float32)
    arrays = make_arrays() | {"battery.p_kw": empty, "battery.soc": empty}
    values = evaluate(arrays, make_context(battery_home=(), battery_capacity_kwh=()))[0]
    assert values["battery_cycles_mean"].value is None
    assert values["battery_cycles_max"].note == "not applicable: no battery"
    assert values["stored_change_kwh"] == KpiValue(
        "stored_change_kwh", None, note="not applicable: no battery"
    )
    assert "batteries" not in values["cost_total_eur"].note
    # home a without its battery: M = min(1, 4), min(1, 4), min(1, 2) = 3 of 10
    assert values["self_consumption_homes_percent"].value == pytest.approx(30.0)


def test_without_transformers_and_lines_the_feeder_head_remains():
    empty = np.zeros((8, 0), dtype=np.float32)
    arrays = make_arrays() | {
        "trafo.p_kw": empty,
        "trafo.loading_percent": empty,
        "line.loading_percent": empty,
    }
    context = make_context(trafo_name=(), trafo_level=(), head_trafos=(), line_name=())
    values = evaluate(arrays, context)[0]
    assert values["reverse_mvlv_hours"].note == "not applicable: no MV/LV transformer"
    assert values["trafo_loading_max_percent"].note == "not applicable: the feeder has no transformers"
    assert values["line_over_80_hours"].value is None
    assert values["reverse_head_hours"].value == pytest.approx(0.5)


def test_reverse_flow_names_the_worst_transformer_of_each_level_and_adds_the_energy():
    p_kw = np.array([[-1, -3, -2], [-1, 2, -2], [1, 1, -2], [1, 1, 1]], dtype=np.float32).repeat(2, axis=0)
    arrays = make_arrays() | {"trafo.p_kw": p_kw, "trafo.loading_percent": np.zeros_like(p_kw)}
    context = make_context(
        trafo_name=("t1", "t2", "t3"), trafo_level=("MV/LV", "MV/LV", "HV/MV"), head_trafos=(2,)
    )
    values = evaluate(arrays, context)[0]
    assert (values["reverse_mvlv_hours"].value, values["reverse_mvlv_hours"].where) == (1.0, "t1")
    assert (values["reverse_mvlv_peak_kw"].value, values["reverse_mvlv_peak_kw"].where) == (3.0, "t2")
    assert values["reverse_mvlv_energy_kwh"].value == pytest.approx((4 + 6) / 4)
    assert values["reverse_mvlv_hours"].note == "2 of 2 transformers with reverse flow"
    assert (values["reverse_hvmv_percent"].value, values["reverse_hvmv_percent"].where) == (75.0, "t3")


def meter(*, pv, battery, soc, load=(1, 1, 1, 1, 1, 1, 1, 1)):
    """Return the values of a run in which home ``a`` (2 kWh battery) has these powers [kW], all counted positive."""
    arrays = make_arrays()
    arrays["pv.p_kw"] = -column(*pv)
    arrays["battery.p_kw"] = column(*battery)
    arrays["battery.soc"] = column(*soc)
    arrays["load.p_kw"] = np.hstack([column(*load), np.zeros((8, 1), np.float32)])
    arrays["feeder.p_pv_kw"] = arrays["pv.p_kw"]
    arrays["feeder.p_battery_kw"] = arrays["battery.p_kw"]
    arrays["feeder.p_load_kw"] = column(*load)
    return evaluate(arrays, make_context())[0]


FULL_TO_EMPTY = {"battery": (0, 0, 0, 0, -2, -2, -2, -2), "soc": (1, 1, 1, 1, 1, 0.75, 0.5, 0.25)}


@pytest.mark.parametrize(
    ("powers", "consumption", "sufficiency"),
    [
        # PV meets 1 of 2 kW for 4 steps, the other kW is exported; the battery then gives what it started with
        pytest.param(FULL_TO_EMPTY | {"pv": (2, 2, 2, 2, 0, 0, 0, 0)}, 50.0, 50.0, id="starts full"),
        pytest.param(
            FULL_TO_EMPTY | {"pv": (1, 1, 1, 1, 0, 0, 0, 0)}, 100.0, 50.0, id="starts full, no export"
        ),
        pytest.param(
            FULL_TO_EMPTY | {"pv": (0.001, 0, 0, 0, 0, 0, 0, 0)}, 100.0, 0.0125, id="starts full, no sun"
        ),
        # gives 4 kW steps, has 2 of them left from the start and took 2 from PV
        pytest.param(
            {
                "pv": (0, 0, 3, 3, 0, 0, 0, 0),
                "battery": (-1, -1, 1, 1, -1, -1, 0, 0),
                "soc": (0.5, 0.375, 0.25, 0.375, 0.5, 0.375, 0.25, 0.25),
            },
            100 * 4 / 6,
            50.0,
            id="half of it is PV",
        ),
        # the battery is filled by the grid and gives that back: none of it is PV
        pytest.param(
            {
                "pv": (1, 1, 0, 0, 0, 0, 0, 0),
                "battery": (0, 0, 1, 1, -1, -1, 0, 0),
                "soc": (0.5, 0.5, 0.5, 0.625, 0.75, 0.625, 0.5, 0.5),
            },
            100.0,
            25.0,
            id="charged from the grid",
        ),
        # 4 kW steps of PV: 2 to the load, 2 into the battery and still in it
        pytest.param(
            {
                "pv": (2, 2, 0, 0, 0, 0, 0, 0),
                "battery": (1, 1, 0, 0, 0, 0, 0, 0),
                "soc": (0.5, 0.625, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75),
            },
            50.0,
            25.0,
            id="still stored",
        ),
    ],
)
@pytest.mark.parametrize("part", ["homes", "feeder"])
def test_only_pv_counts_as_used_and_not_what_batteries_held_before_or_bought(
    part, powers, consumption, sufficiency
):
    values = meter(**powers)
    assert values[f"self_consumption_{part}_percent"].value == pytest.approx(consumption)
    assert values[f"self_sufficiency_{part}_percent"].value == pytest.approx(sufficiency)


def test_energy_that_left_or_stayed_in_the_batteries_is_named_where_it_matters():
    values = meter(**FULL_TO_EMPTY, pv=(2, 2, 2, 2, 0, 0, 0, 0))
    # the last step takes the last quarter of 2 kWh
    assert values["stored_change_kwh"].value == pytest.approx(-2.0)
    text = "batteries hold 2 kWh less at the end than at the start"
    assert (
        values["self_consumption_homes_percent"].note
        == f"{text}; what they gave of that is not counted as PV"
    )
    assert values["self_sufficiency_feeder_percent"].note == values["self_consumption_homes_percent"].note
    assert values["cost_total_eur"].note.endswith(f"; {text}; not priced")
    assert values["cost_mean_eur"].note == values["cost_total_eur"].note
    values = meter(pv=(2, 2, 0, 0, 0, 0, 0, 0), battery=(1,) + 7 * (0,), soc=(0.5,) + 7 * (0.625,))
    text = "batteries hold 0.25 kWh more at the end than at the start"
    assert (
        values["self_consumption_feeder_percent"].note
        == f"{text}; what they still hold is not counted as used"
    )


def test_a_change_below_one_percent_of_the_energy_is_no_note_at_its_share():
    # 0.0625 kWh stored of 10 kWh of PV: below 1 %; of 2 kWh of load: above
    values = meter(pv=(10, 10, 10, 10, 0, 0, 0, 0), battery=7 * (0,) + (0.25,), soc=8 * (0.5,))
    assert values["stored_change_kwh"].value == pytest.approx(0.0625)
    assert values["self_consumption_homes_percent"].note == ""
    assert values["self_sufficiency_homes_percent"].note.startswith("batteries hold 0.0625 kWh more")
    assert values["cost_total_eur"].note.endswith("not priced")


def test_a_battery_without_pv_at_its_point_leaves_the_points_with_pv_alone():
    arrays = make_arrays()
    arrays["battery.p_kw"] = column(0, 0, 0, 0, -1, -1, 0, 0)
    arrays["battery.soc"] = column(0.5, 0.5, 0.5, 0.5, 0.5, 0.375, 0.25, 0.25)
    values = evaluate(arrays, make_context(battery_home=(1,)))[0]
    # home a: M = 0 1 1 1 = 3 of 10; its batteries, of which it has none, changed by nothing
    assert values["self_consumption_homes_percent"] == KpiValue(
        "self_consumption_homes_percent", pytest.approx(30.0)
    )
    assert values["stored_change_kwh"].value == pytest.approx(-0.5)


def test_the_stored_energy_at_the_end_stays_within_the_capacity():
    values = meter(pv=8 * (1,), battery=7 * (0,) + (3,), soc=8 * (0.875,))
    # 0.75 kWh at the terminals would make 2.5 kWh of 2
    assert values["stored_change_kwh"].value == pytest.approx(0.25)


def test_charging_more_than_the_pv_gives_is_no_negative_self_consumption():
    arrays = make_arrays()
    arrays["battery.p_kw"] = column(5, 0, 0, 0, 0, 0, 0, 0)
    # home a: M = max(min(1, 0 - 5), 0) + 1 + 1 + 1 = 3 of 10
    got = evaluate(arrays, make_context())[0]["self_consumption_homes_percent"]
    assert got.value == pytest.approx(30.0)


def test_several_devices_of_a_home_count_as_one_meter():
    arrays = make_arrays()
    # the PV of home a in two halves, listed around one that home b owns and that gives nothing
    half = arrays["pv.p_kw"] / 2
    arrays["pv.p_kw"] = np.hstack([half, 0 * half, half])
    arrays["pv.p_available_kw"] = arrays["pv.p_kw"]
    values = evaluate(arrays, make_context(pv_home=(0, 1, 0)))[0]
    assert values["self_consumption_homes_percent"].value == pytest.approx(50.0)
    # home b is a home with PV too: its consumption counts
    assert values["self_sufficiency_homes_percent"].value == pytest.approx(100 * 5 / 22)


def test_a_feeder_at_rest_without_homes_has_no_shares():
    arrays = {
        key: np.zeros((8, 0 if axis in {"home", "load", "pv", "battery"} else array.shape[1]), np.float32)
        for (key, axis), array in zip(NEEDED.items(), (make_arrays()[key] for key in NEEDED), strict=True)
    }
    context = make_context(home_name=(), load_home=(), pv_home=(), battery_home=(), battery_capacity_kwh=())
    values = evaluate(arrays, context)[0]
    for name in ("cost_total_eur", "cost_mean_eur", "loss_percent", "balance_error_percent", "load_factor"):
        assert values[name].value is None
        assert values[name].note.startswith("not applicable")
    assert values["loss_kwh"].value == 0.0


def test_pv_in_the_dark_has_no_share_curtailed():
    arrays = make_arrays()
    for key in ("pv.p_kw", "pv.p_available_kw"):
        arrays[key] = np.zeros((8, 1), np.float32)
    values = evaluate(arrays, make_context())[0]
    assert values["pv_kwh"].value == 0.0
    assert values["curtailed_percent"].note == "not applicable: the sun gave nothing"


def test_a_chunk_must_follow_the_last_one():
    accumulator = KpiAccumulator(make_context())
    with pytest.raises(ValueError, match="starts at step 3, expected 0"):
        accumulator.add(Chunk(first_step=3, arrays=make_arrays()))
    with pytest.raises(ValueError, match="goes to step 8, the run has 4"):
        KpiAccumulator(make_context(n_steps=4)).add(Chunk(first_step=0, arrays=make_arrays()))


def test_missing_and_misshapen_signals_are_named():
    arrays = make_arrays()
    del arrays["home.p_kw"]
    with pytest.raises(ValueError, match=r"lacks the signal home\.p_kw"):
        KpiAccumulator(make_context()).add(Chunk(first_step=0, arrays=arrays))
    arrays = make_arrays() | {"home.p_kw": np.zeros((8, 3), np.float32)}
    with pytest.raises(ValueError, match=r"home\.p_kw has shape \(8, 3\), expected \(8, 2\)"):
        KpiAccumulator(make_context()).add(Chunk(first_step=0, arrays=arrays))


def test_a_value_that_is_not_a_number_stops_the_run_with_its_place():
    arrays = make_arrays()
    arrays["bus.vm_pu"][6, 1] = np.nan
    with pytest.raises(RunError, match=r"bus\.vm_pu, entity 1, step 6"):
        KpiAccumulator(make_context()).add(Chunk(first_step=0, arrays=arrays))


def test_no_steps_give_no_values():
    with pytest.raises(ValueError, match="no step was taken"):
        KpiAccumulator(make_context()).values()


def test_values_in_the_middle_of_a_run_cover_the_steps_so_far():
    accumulator = KpiAccumulator(make_context())
    half = {key: array[:4].copy() for key, array in make_arrays().items()}
    accumulator.add(Chunk(first_step=0, arrays=half))
    early = {value.name: value.value for value in accumulator.values()}
    assert early["loss_kwh"] == pytest.approx(0.5)
    assert early["reverse_mvlv_percent"] == pytest.approx(50.0)
    for array in half.values():
        array[:] = 0  # a writer fills its buffers again
    accumulator.add(Chunk(first_step=4, arrays={key: array[4:] for key, array in make_arrays().items()}))
    late = {value.name: value.value for value in accumulator.values()}
    assert late == {name: value.value for name, value in evaluate(make_arrays(), make_context())[0].items()}


def test_a_bus_held_by_the_model_does_not_count_as_the_feeders_voltage():
    arrays = make_arrays()
    arrays["bus.vm_pu"] = np.array([[1.2, 1.02]] * 7 + [[0.7, 0.99]], dtype=np.float32)
    accumulator = KpiAccumulator(make_context(held_buses=(0,)))
    accumulator.add(Chunk(first_step=0, arrays=arrays))
    found = {value.name: value for value in accumulator.values()}
    assert found["vm_max_pu"].value == pytest.approx(1.02)
    assert (found["vm_min_pu"].value, found["vm_min_pu"].where) == (pytest.approx(0.99), "b2")
    assert found["band_hours"].value == 0.0
    assert found["en50160_beyond_count"].value == 0.0
