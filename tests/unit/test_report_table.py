"""The comparison of strategies as text."""

import pytest

from twin.kpis import Kpi, KpiLimits, KpiValue
from twin.report.answer import answer
from twin.report.numbers import decimals_for, number_text, quantity_text, scaled_unit
from twin.report.table import comparison_rows, comparison_table


def _kpi(name, unit="kW", better="lower", question="peak"):
    return Kpi(
        name=name, label=name.title(), unit=unit, better=better, question=question, definition="d", source="s"
    )


def _column(**values):
    return {name: KpiValue(name, value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ((12.345, 9.1), "kW", 2),
        ((6079.4,), "kWh", 0),
        ((0.0,), "kW", 0),
        ((3.0, 17.0), "h", 0),
        ((1.0,), "pu", 4),
        ((923.3,), "EUR", 2),
        ((0.204,), "1", 3),
        ((1e-9,), "kW", 2),
        ((9.75, 9.0), "h", 2),
    ],
)
def test_a_row_keeps_four_digits_of_its_largest_value(values, unit, expected):
    assert decimals_for(values, unit) == expected


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "expected"),
    [
        (-157.93, 1, "-", "\u2212157.9"),
        (6078.8, 0, "-", "6\u202f079"),
        (2.5, 1, "+", "+2.5"),
        (-0.04, 1, "-", "0.0"),
        (3e-9, 3, "-", "3e\u221209"),
        (0.0, 3, "-", "0.000"),
    ],
)
def test_numbers_have_a_real_minus_and_thin_spaces(value, decimals, sign, expected):
    assert number_text(value, decimals, sign) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (90_000.0, "kW", "90 MW"),
        (-45_046.0, "kW", "\u221245.05 MW"),
        (9_999.0, "kW", "9\u202f999 kW"),
        (125.0, "kW", "125 kW"),
        (25_000.0, "kVA", "25 MVA"),
        (12_345.6, "kWh", "12.35 MWh"),
        (34.76, "%", "34.76 %"),
        (20_000.0, "h", "20\u202f000 h"),
    ],
)
def test_quantities_have_thin_spaces_and_mega_from_10_mega_on(value, unit, expected):
    assert quantity_text(value, unit) == expected


def test_quantities_that_belong_together_share_unit_and_decimals():
    values = (45_046.0, 90_000.0, 800.0)
    assert [quantity_text(value, "kW", values) for value in values] == ["45.05 MW", "90.00 MW", "0.80 MW"]
    assert scaled_unit(values, "kW") == ("MW", 1000.0)
    assert scaled_unit((), "kW") == ("kW", 1.0)


def test_a_row_of_large_powers_is_in_mw():
    (row,) = comparison_rows([_kpi("peak")], [_column(peak=45_046.0), _column(peak=90_000.0)])
    assert row.unit == "MW"
    assert row.values == ("45.05", "90.00")
    assert row.differences == ("", "+44.95")


def test_an_incomplete_strategy_is_neither_best_nor_compared():
    columns = {"half": _column(peak=10.0), "a": _column(peak=60.0), "b": _column(peak=48.0)}
    table = comparison_table([_kpi("peak")], columns, incomplete=["half"])
    (row,) = table.groups[0].rows
    assert table.base == "a"
    assert row.values == ("10", "60", "48")
    assert row.differences == ("", "", "\u221212")
    assert row.best == (False, False, True)


def test_without_a_whole_strategy_nothing_is_compared():
    columns = {"a": _column(peak=60.0), "b": _column(peak=48.0)}
    table = comparison_table([_kpi("peak")], columns, incomplete=["a", "b"])
    (row,) = table.groups[0].rows
    assert (table.base, row.differences, row.best) == ("", ("", ""), (False, False))


def test_the_lowest_value_is_best_and_differences_are_to_the_first_strategy():
    columns = [_column(peak=60.0), _column(peak=48.0), _column(peak=63.5)]
    (row,) = comparison_rows([_kpi("peak")], columns)
    assert row.values == ("60.00", "48.00", "63.50")
    assert row.differences == ("", "\u221212.00", "+3.50")
    assert row.best == (False, True, False)


def test_the_highest_value_is_best_where_higher_is_better():
    (row,) = comparison_rows([_kpi("share", better="higher")], [_column(share=1.0), _column(share=2.0)])
    assert row.best == (False, True)


def test_nothing_is_best_where_all_strategies_show_the_same_number():
    (row,) = comparison_rows([_kpi("peak")], [_column(peak=1234.1), _column(peak=1234.2)])
    assert row.best == (False, False)
    assert row.differences == ("", "\u00b10")


@pytest.mark.parametrize("kpi", [_kpi("x", better="neutral"), _kpi("x", question="quality")])
def test_nothing_is_best_where_no_direction_is_a_merit(kpi):
    (row,) = comparison_rows([kpi], [_column(x=1.0), _column(x=2.5)])
    assert row.best == (False, False)


def test_a_missing_value_is_a_dash_and_has_no_difference():
    (row,) = comparison_rows([_kpi("peak")], [_column(peak=None), _column(peak=3.5)])
    assert row.values == ("\u2013", "3.50")
    assert row.differences == ("", "")
    assert row.best == (False, False)


def test_place_time_and_note_of_a_value_are_kept():
    cell = {"peak": KpiValue("peak", 1.5, where="Trafo 1", step=7, note="indicative")}
    (row,) = comparison_rows([_kpi("peak")], [cell], {7: "2016-06-13 01:45"})
    assert row.where == ("Trafo 1, 2016-06-13 01:45, indicative",)


def test_a_kpi_without_any_value_is_left_out_with_its_reason():
    catalogue = [_kpi("peak"), _kpi("upper", question="reverse_flow")]
    cell = {"peak": KpiValue("peak", 2.0), "upper": KpiValue("upper", None, note="no HV/MV transformer")}
    table = comparison_table(catalogue, {"A": cell, "B": cell})
    assert [group.title for group in table.groups] == ["Peak"]
    assert table.left_out == ("Upper (no HV/MV transformer)",)
    assert table.strategies == ("A", "B")


def test_the_answer_names_the_base_the_best_strategy_and_the_saving():
    base = _column(
        vm_min_pu=0.97, vm_max_pu=1.04, band_hours=0.0, peak_import_kw=100.0, reverse_head_hours=0.0
    )
    other = _column(
        vm_min_pu=0.98, vm_max_pu=1.03, band_hours=0.0, peak_import_kw=80.0, reverse_head_hours=0.0
    )
    sentences = answer({"idle": base, "smart": other}, KpiLimits())
    assert sentences[0] == (
        "Voltage: all 2 strategies keep every bus within 0.90 to 1.10 pu. "
        "The extremes are 0.970 pu (idle) and 1.040 pu (idle)."
    )
    assert sentences[1] == "Reverse power flow at the feeder head: none, with any strategy."
    assert "is 100 kW with idle and least with smart: 80 kW (\u221220 %)." in sentences[2]


def test_the_answer_tells_which_strategies_leave_the_band():
    bad = _column(vm_min_pu=0.88, vm_max_pu=1.0, band_hours=2.5)
    good = _column(vm_min_pu=0.95, vm_max_pu=1.0, band_hours=0.0)
    (sentence,) = answer({"idle": bad, "smart": good}, KpiLimits())
    assert "is left with idle (2.5 h) and kept with smart." in sentence


def _peaks(*values):
    names = ("idle", "smart", "other")
    columns = {name: _column(peak_import_kw=value) for name, value in zip(names, values, strict=False)}
    return answer(columns, KpiLimits())[0]


def test_values_that_are_equal_when_rounded_are_ties_in_the_answer():
    assert _peaks(200.21, 200.19, 200.2).endswith("is 200.2 kW, the same with all 3 strategies.")
    assert _peaks(200.2, 150.01, 149.99).endswith("least with smart and other: 150.0 kW (\u221225 %).")
    assert _peaks(150.01, 150.0, 200.2).endswith(
        "is 150.0 kW with idle and smart; no other strategy gets it lower."
    )


def test_a_saving_of_0_percent_is_not_mentioned():
    assert _peaks(200.4, 199.8).endswith("least with smart: 199.8 kW.")


def test_one_strategy_is_compared_with_nothing():
    assert _peaks(90_000.0) == "Peak: the highest 15-min import is 90 MW with idle."


def test_extremes_of_several_strategies_name_all_of_them():
    same = _column(vm_min_pu=0.9701, vm_max_pu=1.04, band_hours=0.0, line_loading_max_percent=50.01)
    other = _column(vm_min_pu=0.9702, vm_max_pu=1.03, band_hours=0.0, line_loading_max_percent=49.99)
    voltage, loading = answer({"idle": same, "smart": other}, KpiLimits())
    assert "0.970 pu (all 2 strategies) and 1.040 pu (idle)" in voltage
    assert "line reaches 50.0 % (all 2 strategies), within" in loading


def test_reverse_flow_names_its_place_and_levels_with_other_hours():
    columns = {
        name: _column(
            reverse_head_hours=hours,
            reverse_head_energy_kwh=5.0,
            reverse_mvlv_hours=hours,
            reverse_mvlv_energy_kwh=6.0,
        )
        for name, hours in (("idle", 4.0), ("smart", 2.0))
    }
    (head,) = answer(columns, KpiLimits())
    assert head.startswith("Reverse power flow at the feeder head: 4 h with idle and least with smart: 2 h")
    assert "The energy fed back there is 5 kWh, the same" in head
    assert "MV/LV" not in head
    columns["smart"]["reverse_mvlv_hours"] = KpiValue("reverse_mvlv_hours", 3.0)
    (both,) = answer(columns, KpiLimits())
    assert "Reverse power flow through the MV/LV transformer that feeds back longest: 4 h with idle" in both
    assert "Through all MV/LV transformers the energy fed back is 6 kWh" in both


def test_there_is_no_answer_without_numbers():
    assert answer({}, KpiLimits()) == ()
