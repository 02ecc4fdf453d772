"""10-min and 15-min windows, weeks and their edges, worked out by hand."""

import numpy as np
import pytest

from twin.kpis.base import KpiContext, KpiLimits
from twin.kpis.flows import peak_values, reduce_peaks
from twin.kpis.stats import window_means
from twin.kpis.voltage import (
    bus_elements,
    has_complete_week,
    is_coarse,
    reduce_voltage,
    voltage_values,
)

MIDNIGHT_UTC_S = 1468274400  # 2016-07-12 00:00 in Rome
DAY_S = 86400


def make_context(dt_s, n_steps, *, start_utc_s=MIDNIGHT_UTC_S, buses=("b1",), **limits):
    return KpiContext(
        dt_s=dt_s,
        n_steps=n_steps,
        start_utc_s=start_utc_s,
        bus_name=buses,
        line_name=(),
        trafo_name=(),
        trafo_level=(),
        head_trafos=(),
        home_name=(),
        load_home=(),
        pv_home=(),
        battery_home=(),
        battery_capacity_kwh=(),
        limits=KpiLimits(**limits),
    )


def column(values):
    return np.asarray(values, dtype=np.float32)[:, None]


def voltages(vm_pu, context):
    stats = reduce_voltage(vm_pu, 0, context)
    return {value.name: value for value in voltage_values(stats, context)}


def test_windows_are_those_of_the_clock_and_only_whole_ones():
    # 5-min steps from 00:05: the first quarter is 00:15 to 00:30, steps 2 to 4
    context = make_context(300, 9, start_utc_s=MIDNIGHT_UTC_S + 300)
    means = window_means(column([9, 9, 1, 2, 3, 4, 5, 6, 9]), 0, context, window_s=900)
    assert means.mean[:, 0].tolist() == [2.0, 5.0]
    assert means.start_s.tolist() == [600, 1500]


def test_a_step_across_a_border_counts_in_both_windows_by_its_share():
    # 450-s steps: 0-600 s takes step 0 and 150 s of step 1, 600-1200 s takes 300 s of steps 1 and 2
    context = make_context(450, 4)
    means = window_means(column([1, 5, 9, 13]), 0, context, window_s=600)
    assert means.mean[:, 0] == pytest.approx([(450 * 1 + 150 * 5) / 600, (300 * 5 + 300 * 9) / 600, 12.0])


def test_windows_count_from_a_start_that_is_on_no_full_step():
    context = make_context(900, 3, start_utc_s=MIDNIGHT_UTC_S + 420)
    stats = reduce_peaks(column([1, 3, 2]), 0, context)
    peak = peak_values(stats, context)[0]
    assert (peak.value, peak.step) == (3.0, 1)
    assert peak.note.startswith("quarters count from the run's start")


def test_the_peak_is_a_mean_over_15_min_and_not_over_a_step():
    # 5-min steps: quarters 20, 10 and -5 kW; mean import (20 + 10 + 0) / 3
    context = make_context(300, 9)
    stats = reduce_peaks(column([60, 0, 0, 10, 10, 10, -5, -5, -5]), 0, context)
    peak_import, peak_export, factor = peak_values(stats, context)
    assert (peak_import.value, peak_import.step) == (20.0, 0)
    assert (peak_export.value, peak_export.step) == (5.0, 6)
    assert factor.value == pytest.approx(0.5)


def test_a_feeder_that_only_exports_has_no_load_factor():
    context = make_context(900, 2)
    peak_import, peak_export, factor = peak_values(reduce_peaks(column([-1, -2]), 0, context), context)
    assert (peak_import.value, peak_import.step) == (0.0, None)
    assert (peak_export.value, peak_export.step) == (2.0, 1)
    assert (factor.value, factor.note) == (None, "not applicable: no import")


def test_a_run_shorter_than_its_windows_has_no_window_values():
    context = make_context(300, 1)
    found = voltages(column([1.0]), context)
    assert found["en50160_outside_percent"].value is None
    assert "no complete 10-min mean" in found["en50160_beyond_count"].note
    peaks = peak_values(reduce_peaks(column([1.0]), 0, context), context)
    assert [value.value for value in peaks] == [None, None, None]
    assert (
        bus_elements(reduce_voltage(column([1.0]), 0, context), context)[0]["en50160_worst_week_percent"]
        is None
    )


def test_en50160_judges_10_min_means_and_not_steps():
    # 5-min steps; pairs: 1.15 and 1.03 give 1.09 (inside), 0.84 and 0.90 give 0.87 (outside, not beyond)
    context = make_context(300, 6, vm_min_pu=0.85, vm_max_pu=1.10)
    found = voltages(column([1.15, 1.03, 0.84, 0.90, 1.0, 1.0]), context)
    assert found["en50160_outside_percent"].value == pytest.approx(100 / 3)
    assert found["en50160_beyond_count"].value == 0.0
    # the user's band is judged by steps: 1.15 and 0.84
    assert found["band_hours"].value == pytest.approx(2 / 12)


def test_en50160_weeks_start_with_the_run_and_the_worst_node_week_counts():
    # 5-min steps, 15 days: weeks of 1008 and 1152 means; b2 has 126 of them outside in week 2, b1 63 in both
    context = make_context(300, 15 * 288, buses=("b1", "b2"))
    vm_pu = np.ones((15 * 288, 2), dtype=np.float32)
    vm_pu[2016 - 126 : 2016 + 126, 0] = 0.875
    vm_pu[2016 : 2016 + 252, 1] = 1.125
    found = voltages(vm_pu, context)
    assert found["en50160_outside_percent"].value == pytest.approx(100 * 126 / 1152)
    assert found["en50160_outside_percent"].where == "b2"
    assert (found["en50160_beyond_count"].value, found["en50160_beyond_count"].where) == (126.0, "b2")
    assert found["en50160_outside_percent"].note == "the last 24 h are no week and count in week 2"
    rows = bus_elements(reduce_voltage(vm_pu, 0, context), context)
    assert [row["en50160_worst_week_percent"] for row in rows] == [6.25, 100 * 126 / 1152]


@pytest.mark.parametrize(
    ("n_hours", "share", "note"),
    [
        # 20 min, two means, at the very end are outside
        pytest.param(166, 200 / 996, "incomplete week: 6.92 of 7 days", id="no week"),
        pytest.param(167, 200 / 1002, "week 1 has 167 of 168 h and counts as complete", id="spring"),
        pytest.param(168, 200 / 1008, "", id="a week"),
        pytest.param(169, 200 / 1014, "the last 1 h are no week and count in week 1", id="autumn"),
        pytest.param(
            335, 200 / 1002, "week 2 has 167 of 168 h and counts as complete", id="spring fortnight"
        ),
        pytest.param(8760, 200 / 1152, "the last 24 h are no week and count in week 52", id="a year"),
    ],
)
def test_what_is_left_of_a_week_counts_in_the_last_whole_one(n_hours, share, note):
    context = make_context(300, 12 * n_hours)
    vm_pu = np.ones((12 * n_hours, 1), dtype=np.float32)
    vm_pu[-4:] = 0.89
    found = voltages(vm_pu, context)["en50160_outside_percent"]
    assert (found.value, found.note) == (pytest.approx(share), note)
    row = bus_elements(reduce_voltage(vm_pu, 0, context), context)[0]
    assert row["en50160_worst_week_percent"] == pytest.approx(share)


def test_weeks_are_those_of_the_steps_taken_when_a_run_stops_early():
    # 8 of 14 days are there: one week and a day, and not a week and a second one of a day
    context = make_context(300, 14 * 288)
    vm_pu = np.ones((8 * 288, 1), dtype=np.float32)
    vm_pu[-144:] = 0.89
    found = voltages(vm_pu, context)["en50160_outside_percent"]
    assert found.value == pytest.approx(100 * 72 / 1152)
    assert found.note == "the last 24 h are no week and count in week 1"


@pytest.mark.parametrize(
    ("dt_s", "n_hours", "coarse", "week"),
    [(450, 167, False, True), (300, 166, False, False), (900, 168, True, True), (300, 8760, False, True)],
)
def test_a_context_knows_whether_it_holds_a_week_of_10_min_means(dt_s, n_hours, coarse, week):
    context = make_context(dt_s, n_hours * 3600 // dt_s)
    assert (is_coarse(context), has_complete_week(context)) == (coarse, week)


def test_whole_weeks_of_5_min_steps_need_no_note():
    context = make_context(300, 2016)
    assert voltages(np.ones((2016, 1), np.float32), context)["en50160_outside_percent"].note == ""


@pytest.mark.parametrize(
    ("dt_s", "days", "note"),
    [
        (900, 7, "indicative: step 15 min is coarser than the 10-min mean of EN 50160"),
        (300, 2, "incomplete week: 2 of 7 days"),
        (
            180,
            7,
            "step 3 min does not divide 10 min: a step across a window's border counts in both by its share of time",
        ),
        (
            900,
            1,
            "indicative: step 15 min is coarser than the 10-min mean of EN 50160; incomplete week: 1 of 7 days",
        ),
    ],
)
def test_steps_and_days_that_en50160_does_not_foresee_are_marked(dt_s, days, note):
    n_steps = days * DAY_S // dt_s
    found = voltages(np.ones((n_steps, 1), np.float32), make_context(dt_s, n_steps))
    assert found["en50160_outside_percent"].note == note
    assert found["en50160_beyond_count"].note == note


def test_a_start_off_the_step_grid_is_marked():
    context = make_context(300, 2016, start_utc_s=MIDNIGHT_UTC_S + 60)
    note = voltages(np.ones((2016, 1), np.float32), context)["en50160_outside_percent"].note
    assert note == "10-min windows count from the run's start, which is not on a full step of the clock"


def test_a_voltage_at_the_limit_is_inside_and_one_just_beyond_is_outside():
    context = make_context(300, 8)
    found = voltages(column(np.repeat([0.9, 1.1, 0.89999, 1.10001], 2)), context)
    assert found["band_hours"].value == pytest.approx(2 / 6)
    assert found["en50160_outside_percent"].value == pytest.approx(50.0)
    assert found["en50160_beyond_count"].value == 1.0


def test_band_hours_count_a_step_once_and_node_hours_each_node():
    context = make_context(900, 4, buses=("b1", "b2"), vm_min_pu=0.95, vm_max_pu=1.05)
    vm_pu = np.array([[1.06, 1.06], [1.0, 0.94], [1.0, 1.06], [1.0, 1.0]], dtype=np.float32)
    found = voltages(vm_pu, context)
    assert found["band_hours"].value == pytest.approx(0.75)
    assert found["band_node_hours"].value == pytest.approx(1.0)
    assert (found["band_worst_node_hours"].value, found["band_worst_node_hours"].where) == (0.75, "b2")


def test_at_a_tie_across_blocks_the_earlier_step_stands():
    context = make_context(900, 4)
    early = reduce_voltage(column([1.0, 1.0625]), 0, context)
    late = reduce_voltage(column([1.0625, 1.0]), 2, context)
    merged = early.merge(late)
    assert (merged.high.step.tolist(), merged.low.step.tolist()) == ([1], [0])
    higher = early.merge(reduce_voltage(column([1.0, 1.09375]), 2, context))
    assert (higher.high.value.tolist(), higher.high.step.tolist()) == ([1.09375], [3])
