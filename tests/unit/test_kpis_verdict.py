"""The verdict of every question says the number, the limit, the element and the time."""

import pytest

from twin.kpis import KpiContext, KpiLimits, KpiValue, verdicts

START_UTC_S = 1468274400  # 2016-07-12 00:00 in Rome

GOOD = (
    KpiValue("vm_min_pu", 0.9712, where="b1", step=80),
    KpiValue("vm_max_pu", 1.0412, where="b2", step=52),
    KpiValue("en50160_outside_percent", 0.0),
    KpiValue("en50160_beyond_count", 0.0),
    KpiValue("band_hours", 0.0),
    KpiValue("reverse_mvlv_percent", 12.5, where="t1"),
    KpiValue("reverse_mvlv_peak_kw", 40.0, where="t1", step=52),
    KpiValue("reverse_hvmv_percent", None, note="not applicable: no HV/MV transformer"),
    KpiValue("reverse_hvmv_peak_kw", None, note="not applicable: no HV/MV transformer"),
    KpiValue("reverse_head_percent", 11.0, where="feeder head"),
    KpiValue("reverse_head_peak_kw", 38.0, where="feeder head", step=51),
    KpiValue("peak_import_kw", 63.2, step=76),
    KpiValue("peak_export_kw", 38.0, step=52),
    KpiValue("line_loading_max_percent", 61.0, where="l7", step=76),
    KpiValue("trafo_loading_max_percent", 100.0, where="t1", step=76),
    KpiValue("cost_total_eur", 120.0, note="simple tariff"),
    KpiValue("cost_mean_eur", 12.0, note="simple tariff"),
)


def judge(question, *changes, dt_s=300, n_hours=168, **limits):
    context = KpiContext(
        dt_s=dt_s,
        n_steps=n_hours * 3600 // dt_s,
        start_utc_s=START_UTC_S,
        bus_name=("b1", "b2"),
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
    values = {value.name: value for value in (*GOOD, *changes)}
    found = {verdict.question: verdict for verdict in verdicts(tuple(values.values()), context)}
    return found[question]


def judged(question, *changes, **limits):
    # steps of 15 min, so that the steps of ``GOOD`` are quarters; EN 50160 asks for finer ones
    verdict = judge(question, *changes, dt_s=300 if question == "en50160" else 900, **limits)
    return verdict.status, verdict.reason


@pytest.mark.parametrize(
    ("question", "changes", "limits", "status", "reason"),
    [
        pytest.param(
            "voltage",
            (),
            {},
            "pass",
            "No node leaves the band: lowest 0.9712 pu at b1 on 2016-07-12 20:00 (limit 0.9) "
            "and highest 1.0412 pu at b2 on 2016-07-12 13:00 (limit 1.1).",
            id="voltage inside",
        ),
        pytest.param(
            "voltage",
            (KpiValue("band_hours", 1.25, where="b2"), KpiValue("vm_max_pu", 1.1234, where="b2", step=52)),
            {},
            "fail",
            "Outside the band for 1.25 h, worst node b2: highest 1.1234 pu at b2 on 2016-07-12 13:00 (limit 1.1).",
            id="voltage too high",
        ),
        pytest.param(
            "voltage",
            (
                KpiValue("band_hours", 2.0, where="b1"),
                KpiValue("vm_min_pu", 0.88, where="b1", step=80),
                KpiValue("vm_max_pu", 1.1234, where="b2", step=52),
            ),
            {},
            "fail",
            "Outside the band for 2 h, worst node b1: lowest 0.8800 pu at b1 on 2016-07-12 20:00 (limit 0.9) "
            "and highest 1.1234 pu at b2 on 2016-07-12 13:00 (limit 1.1).",
            id="voltage too low and too high",
        ),
        pytest.param(
            "en50160",
            (),
            {},
            "pass",
            "Limits kept: 0 % of the 10-min means of the worst node and week are outside ±10 % (limit 5 %) "
            "and 0 are beyond +10/-15 % (limit 0).",
            id="en50160 kept",
        ),
        pytest.param(
            "en50160",
            (KpiValue("en50160_outside_percent", 6.25, where="b2"),),
            {},
            "fail",
            "Limits exceeded: 6.25 % of the 10-min means of the worst node and week are outside ±10 % at b2 "
            "(limit 5 %) and 0 are beyond +10/-15 % (limit 0).",
            id="en50160 exceeded by share",
        ),
        pytest.param(
            "en50160",
            (KpiValue("en50160_outside_percent", None, note="not applicable: no complete 10-min mean"),),
            {},
            "not assessed",
            "Not applicable: no complete 10-min mean.",
            id="en50160 too short",
        ),
        pytest.param(
            "reverse_flow",
            (),
            {},
            "not assessed",
            "MV/LV transformer t1 feeds back in 12.5 % of the hours; peak 40 kW at t1 on 2016-07-12 13:00; "
            "the scenario sets no limit (reverse_hours_percent).",
            id="reverse flow without limit",
        ),
        pytest.param(
            "reverse_flow",
            (),
            {"reverse_hours_percent": 5},
            "fail",
            "MV/LV transformer t1 feeds back in 12.5 % of the hours (limit 5 %); "
            "peak 40 kW at t1 on 2016-07-12 13:00.",
            id="reverse flow above limit",
        ),
        pytest.param(
            "reverse_flow",
            (KpiValue("reverse_mvlv_percent", 0.0), KpiValue("reverse_mvlv_peak_kw", 0.0)),
            {"reverse_hours_percent": 5},
            "pass",
            "No reverse power flow (limit 5 %).",
            id="no reverse flow",
        ),
        pytest.param(
            "reverse_flow",
            (KpiValue("reverse_mvlv_percent", None), KpiValue("reverse_mvlv_peak_kw", None)),
            {"reverse_hours_percent": 20},
            "pass",
            "The feeder head feeds back in 11 % of the hours (limit 20 %); "
            "peak 38 kW at feeder head on 2016-07-12 12:45.",
            id="reverse flow at the head",
        ),
        pytest.param(
            "reverse_flow",
            (
                KpiValue("reverse_hvmv_percent", 30.0, where="T0"),
                KpiValue("reverse_hvmv_peak_kw", 900.0, where="T0", step=0),
            ),
            {"reverse_hours_percent": 20},
            "fail",
            "HV/MV transformer T0 feeds back in 30 % of the hours (limit 20 %); "
            "peak 900 kW at T0 on 2016-07-12 00:00.",
            id="worse level decides",
        ),
        pytest.param(
            "peak",
            (),
            {"peak_import_kw": 63},
            "fail",
            "15-min peak import is 63.2 kW on 2016-07-12 19:00 (limit 63 kW) "
            "and 15-min peak export is 38 kW on 2016-07-12 13:00 (no limit set).",
            id="peak above limit",
        ),
        pytest.param(
            "peak",
            (),
            {"peak_import_kw": 70, "peak_export_kw": 38},
            "pass",
            "15-min peak import is 63.2 kW on 2016-07-12 19:00 (limit 70 kW) "
            "and 15-min peak export is 38 kW on 2016-07-12 13:00 (limit 38 kW).",
            id="peak at limit",
        ),
        pytest.param(
            "loading",
            (),
            {},
            "pass",
            "Highest line loading is 61 % at l7 on 2016-07-12 19:00 (limit 100 %) "
            "and highest transformer loading is 100 % at t1 on 2016-07-12 19:00 (limit 100 %).",
            id="loading at limit",
        ),
        pytest.param(
            "loading",
            (KpiValue("trafo_loading_max_percent", None),),
            {"line_loading_percent": 60},
            "fail",
            "Highest line loading is 61 % at l7 on 2016-07-12 19:00 (limit 60 %).",
            id="lines only",
        ),
        pytest.param(
            "loading",
            (KpiValue("trafo_loading_max_percent", None), KpiValue("line_loading_max_percent", None)),
            {},
            "not assessed",
            "The feeder has no lines and no transformers.",
            id="nothing to load",
        ),
        pytest.param(
            "money",
            (),
            {},
            "not assessed",
            "The connection points pay 120.00 EUR for energy, 12.00 EUR each, under the simple tariff of the "
            "scenario; there is no limit to judge it by.",
            id="money",
        ),
        pytest.param(
            "money",
            (KpiValue("stored_change_kwh", -30.0),),
            {},
            "not assessed",
            "The connection points pay 120.00 EUR for energy, 12.00 EUR each, under the simple tariff of the "
            "scenario; there is no limit to judge it by; batteries hold 30 kWh less at the end than at the start, "
            "which is not priced.",
            id="money with batteries emptied",
        ),
        pytest.param(
            "money",
            (KpiValue("cost_total_eur", None, note="not applicable: no connection points"),),
            {},
            "not assessed",
            "Not applicable: no connection points.",
            id="no connection points",
        ),
        pytest.param(
            "peak",
            (KpiValue("peak_import_kw", 123456.7, step=76),),
            {"peak_import_kw": 120000},
            "fail",
            "15-min peak import is 123457 kW on 2016-07-12 19:00 (limit 120000 kW) "
            "and 15-min peak export is 38 kW on 2016-07-12 13:00 (no limit set).",
            id="large figures are written out",
        ),
        pytest.param("msd", (), {}, "not assessed", "This scenario has no MSD orders.", id="msd"),
        pytest.param(
            "co2",
            (),
            {},
            "not assessed",
            "The run holds no figure of CO2: it did not run to its end, or another version stored it.",
            id="co2",
        ),
        pytest.param(
            "co2",
            (KpiValue("co2_net_kg", 1234.6), KpiValue("co2_avoided_kg", 10.4)),
            {},
            "not assessed",
            "The net import stands for 1235 kg of CO2, 10 kg less than if all consumption came from the upstream grid; there is no "
            "limit to judge it by.",
            id="co2 of days",
        ),
        pytest.param(
            "co2",
            (KpiValue("co2_net_kg", 0.514), KpiValue("co2_avoided_kg", -0.001)),
            {},
            "not assessed",
            "The net import stands for 0.51 kg of CO2, 0.00 kg less than if all consumption came from the upstream grid; there is no "
            "limit to judge it by.",
            id="co2 of minutes",
        ),
    ],
)
def test_verdict(question, changes, limits, status, reason):
    assert judged(question, *changes, **limits) == (status, reason)


@pytest.mark.parametrize(
    "run", [{"dt_s": 900}, {"n_hours": 48}, {"dt_s": 900, "n_hours": 24}], ids=["coarse", "short", "both"]
)
@pytest.mark.parametrize(
    ("share", "beyond", "leaning", "start"),
    [
        (5.0, 0.0, "kept", "Likely kept: 5 % of the 10-min means"),
        (34.0, 0.0, "exceeded", "Likely exceeded: 34 % of the 10-min means"),
        (0.0, 1.0, "exceeded", "Likely exceeded: 0 % of the 10-min means"),
    ],
)
def test_en50160_from_coarse_steps_or_no_week_is_indicative_and_says_which_way(
    run, share, beyond, leaning, start
):
    values = (KpiValue("en50160_outside_percent", share), KpiValue("en50160_beyond_count", beyond))
    verdict = judge("en50160", *values, **run)
    assert (verdict.status, verdict.leaning) == ("indicative", leaning)
    assert verdict.reason.startswith(start)


@pytest.mark.parametrize("n_hours", [167, 168, 169, 8760])
@pytest.mark.parametrize(("share", "status"), [(0.0, "pass"), (34.0, "fail")])
def test_en50160_from_a_week_of_fine_steps_is_a_clear_answer(n_hours, share, status):
    verdict = judge("en50160", KpiValue("en50160_outside_percent", share), n_hours=n_hours)
    assert (verdict.status, verdict.leaning) == (status, "")


def test_words_of_a_note_reach_the_reason_and_do_not_decide():
    note = "indicative: incomplete week"
    status, reason = judged("en50160", KpiValue("en50160_outside_percent", 0.0, note=note))
    assert status == "pass"
    assert reason.endswith(f"; {note}.")


def test_a_figure_that_a_verdict_needs_must_be_there():
    with pytest.raises(ValueError, match="KPI band_hours has no value: lost"):
        judged("voltage", KpiValue("band_hours", None, note="lost"))


def test_one_value_beyond_the_outer_limits_breaks_en50160():
    assert judged("en50160", KpiValue("en50160_beyond_count", 1.0, where="b1"))[0] == "fail"


def test_a_peak_without_limits_or_without_a_quarter_is_not_assessed():
    assert judged("peak")[0] == "not assessed"
    gap = "not applicable: the run holds no complete quarter of an hour"
    assert judged("peak", KpiValue("peak_import_kw", None, note=gap))[1] == f"N{gap[1:]}."


def test_a_peak_above_its_limit_by_less_than_the_resolution_is_kept():
    assert judged("peak", KpiValue("peak_import_kw", 63.2004, step=1), peak_import_kw=63.2)[0] == "pass"
    assert judged("peak", KpiValue("peak_import_kw", 63.2021, step=1), peak_import_kw=63.2)[0] == "fail"
