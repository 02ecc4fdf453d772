"""Figures of the report: drawing primitives and what each figure must contain."""

import base64
import re
import struct
import zlib
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.report.clock import Clock
from twin.report.colour import VOLTAGE_PALETTE
from twin.report.daily import by_day, day_middles_s
from twin.report.figures_flow import day_figure, duration_figure, flow_figure, spans
from twin.report.figures_map import HELD_FILL, farther, map_figure, map_legend, positions
from twin.report.figures_voltage import band_figure, heat_map, profile_figure, voltage_range
from twin.report.model import BusSample, FeederMap, VoltageBand, Worst
from twin.report.png import palette_png
from twin.report.sampling import common_steps
from twin.report.svg import num, path, round_ticks, thin

BAND = VoltageBand(vm_min_pu=0.9, vm_max_pu=1.1)
SCALE = (0.95, 1.05)
# 26 March 2016, 00:00 in Rome; the clock goes forward on the 27th
CLOCK = Clock(start_utc_s=1458946800, dt_s=900, n_steps=288)
SVG = "{http://www.w3.org/2000/svg}"


def _feeder(*, has_geo=False, is_open=False):
    return FeederMap(
        name="three",
        has_geo=has_geo,
        bus_name=("A <1>", "B", "C"),
        x=np.array([10.0, 10.0, 10.1]),
        y=np.array([45.0, 45.1, 45.1]),
        vn_kv=np.array([20.0, 0.4, 0.4]),
        distance_km=np.array([0.0, 0.0, 0.5]),
        bus_free=np.array([False, True, True]),
        line_name=("L1",),
        line_from=np.array([1]),
        line_to=np.array([2]),
        line_open=np.array([is_open]),
        trafo_name=("T1",),
        trafo_hv=np.array([0]),
        trafo_lv=np.array([1]),
        trafo_rating_kva=np.array([160.0]),
        trafo_level=("MV/LV",),
    )


def _worst(loading=50.0):
    return Worst(
        vm_min_pu=np.array([1.0, 0.99, 0.89]),
        vm_max_pu=np.array([1.0, 1.02, 1.03]),
        line_loading_percent=np.array([loading]),
        trafo_loading_percent=np.array([70.0]),
        free=np.array([False, True, True]),
    )


def _sample(n=8):
    vm = np.tile(np.array([1.0, 1.01, 1.02], dtype=np.float32), (n, 1))
    vm[3, 2], vm[5, 2] = 1.08, 0.93
    return BusSample(steps=np.arange(n), vm_pu=vm, line_loading_percent=np.full((n, 1), 20.0), every=1)


def _parsed(markup):
    return ET.fromstring(markup)  # noqa: S314 - made by the code under test


def _absolute(data):
    """Return the points of ``path``'s output."""
    numbers = [tuple(map(float, pair.split())) for pair in re.split("[Ml]", data)[1:]]
    return np.cumsum(np.array(numbers), axis=0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (12.0, "12"), (0.52, ".5"), (-0.25, "-.2"), (10.04, "10")]
)
def test_coordinates_are_short(value, text):
    assert num(value) == text


@given(st.lists(st.tuples(st.floats(0, 640), st.floats(0, 240)), min_size=2, max_size=40))
def test_relative_paths_do_not_drift(points):
    xy = np.array(points)
    drawn = _absolute(path(xy[:, 0], xy[:, 1]))
    assert np.abs(drawn[-1] - xy[-1]).max() <= 0.0501


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 60))
def test_thinning_keeps_both_extremes_and_both_ends(values, most):
    series = np.array(values)
    kept = thin(series, most)
    assert len(kept) <= most + 2
    assert series[kept].max() == series.max()
    assert series[kept].min() == series.min()
    assert kept[0] == 0
    assert kept[-1] == len(series) - 1


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4))
def test_ticks_lie_inside_the_axis_and_are_evenly_spaced(low, span):
    ticks = round_ticks(low, low + span)
    assert 2 <= len(ticks) <= 11
    assert low - 1e-6 * span <= ticks[0]
    assert ticks[-1] <= low + span * (1 + 1e-6)
    assert np.ptp(np.diff(ticks)) <= 1e-6 * span


def test_a_day_with_a_clock_change_has_92_steps():
    first, stop = CLOCK.day_of(100)
    assert (first, stop) == (96, 188)
    assert CLOCK.label(first) == "Sun 27 Mar 2016, 00:00"


def test_day_ticks_stay_at_local_midnight_over_a_clock_change():
    week = Clock(start_utc_s=CLOCK.start_utc_s, dt_s=900, n_steps=672)
    ticks = week.ticks(0, 672)
    assert [tick.label for tick in ticks[:3]] == ["Sat 26 Mar", "Sun 27 Mar", "Mon 28 Mar"]
    assert [tick.at_s / 3600 for tick in ticks[:3]] == [0, 24, 47]


def test_hour_ticks_skip_the_hour_that_does_not_exist():
    labels = [tick.label for tick in CLOCK.ticks(96, 120)]
    assert labels == ["27 Mar", "01:00", "03:00", "04:00", "05:00", "06:00", "07:00"]


@pytest.mark.parametrize("days", [1, 2, 5, 11, 40, 130, 366, 800])
def test_an_axis_has_a_readable_number_of_ticks(days):
    clock = Clock(start_utc_s=CLOCK.start_utc_s, dt_s=900, n_steps=days * 96)
    assert 2 <= len(clock.ticks(0, days * 96)) <= 14


def test_the_key_of_the_map_names_the_range_used():
    words = [text.text for text in _parsed(map_legend((1.032, 1.066))).iter(f"{SVG}text")]
    assert words[1:4] == ["1.032", "1.049", "1.066 pu"]


def test_a_bus_held_by_the_upstream_grid_is_white_on_the_map():
    root = _parsed(map_figure("m", _worst(), feeder=_feeder(), band=BAND, scale=SCALE, label="idle"))
    fills = [bus.get("fill") for bus in root.findall(f"{SVG}g[@class='mb']/{SVG}circle")]
    assert fills[0] == HELD_FILL
    assert HELD_FILL not in fills[1:]


def test_a_png_decodes_to_the_pixels_given():
    index = np.array([[0, 1, 2], [2, 1, 0]], dtype=np.uint8)
    data = palette_png(index, np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], dtype=np.uint8))
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (3, 2)
    at = data.index(b"IDAT")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    content = data[at + 4 : at + 4 + length]
    assert zlib.decompress(content) == b"\0\0\1\2\0\2\1\0"
    assert struct.unpack(">I", data[at + 4 + length : at + 8 + length])[0] == zlib.crc32(b"IDAT" + content)


def test_spans_are_the_runs_of_true():
    assert spans(np.array([True, False, False, True, True])) == [(0, 1), (3, 5)]
    assert spans(np.array([False, False])) == []


def test_slider_steps_hold_the_extremes_and_stay_in_the_budget():
    steps, every = common_steps(35040, 1028, [17, 35039, 99999])
    assert every == 25
    assert {17, 35039} <= set(steps.tolist())
    assert 99999 not in steps
    assert len(steps) <= 1_500_000 / 1028 + 2


def test_without_a_stored_step_the_slider_has_none():
    steps, every = common_steps(0, 1028, [0])
    assert (steps.tolist(), every) == ([], 1)


def test_a_week_on_129_buses_and_four_strategies_is_kept_whole():
    steps, every = common_steps(672, 4 * 257, [3])
    assert every == 1
    assert len(steps) == 672


def test_the_farther_extreme_of_a_bus_is_shown():
    assert farther(_worst()).tolist() == [1.0, 1.02, 0.89]


def test_a_map_with_coordinates_keeps_its_proportions():
    x, y, _ = positions(_feeder(has_geo=True))
    east, north = x[2] - x[1], y[0] - y[1]
    assert east / north == pytest.approx(np.cos(np.radians(45.0667)), rel=1e-3)


def test_the_map_has_one_element_per_bus_and_line_and_rings_the_bus_outside():
    root = _parsed(map_figure("m", _worst(120.0), feeder=_feeder(), band=BAND, scale=SCALE, label="idle"))
    buses = root.findall(f"{SVG}g[@class='mb']/{SVG}circle")
    (line,) = root.findall(f"{SVG}g[@class='ml']/{SVG}path")
    assert [bus.get("class") for bus in buses] == ["held", None, "out"]
    assert buses[0].find(f"{SVG}title").text == "A <1>: 1.000 to 1.000 pu"
    assert line.get("stroke-dasharray")
    assert "1 of them leave the limits" in root.find(f"{SVG}desc").text


def test_a_loaded_line_is_thicker():
    widths = []
    for loading in (10.0, 60.0, 90.0, 130.0):
        root = _parsed(
            map_figure("m", _worst(loading), feeder=_feeder(), band=BAND, scale=SCALE, label="idle")
        )
        widths.append(float(root.find(f"{SVG}g[@class='ml']/{SVG}path").get("stroke-width")))
    assert widths == sorted(set(widths))


def _bands(n=192):
    low = 0.99 - 0.01 * np.sin(np.arange(n) / 10)
    return {
        "vm_min_pu": low,
        "vm_p05_pu": low + 0.002,
        "vm_median_pu": low + 0.01,
        "vm_p95_pu": low + 0.02,
        "vm_max_pu": low + 0.03,
    }


def test_the_band_figure_says_when_the_extremes_occur():
    feeder = _bands()
    markup = band_figure("b", feeder, clock=CLOCK, band=BAND, y_range=(0.9, 1.1), label="idle")
    description = _parsed(markup).find(f"{SVG}desc").text
    assert CLOCK.label(int(feeder["vm_min_pu"].argmin())) in description
    assert "Voltage [pu]" in markup
    assert "upper limit 1.10 pu" in markup


def test_the_voltage_axis_shows_a_limit_only_when_values_come_near():
    near = voltage_range([np.array([1.0, 1.07])], BAND)
    calm = voltage_range([np.array([0.99, 1.01])], BAND)
    assert near[1] > BAND.vm_max_pu
    assert calm[1] < 1.03


def test_the_profile_uses_the_steps_of_highest_and_lowest_voltage():
    markup = profile_figure("p", _sample(), feeder=_feeder(), clock=CLOCK, band=BAND, label="idle")
    assert f"highest voltage: {CLOCK.label(3)}" in markup
    assert f"lowest voltage: {CLOCK.label(5)}" in markup
    assert "[km]" in markup


def test_the_heat_map_tells_the_share_outside_and_paints_it_black():
    band = VoltageBand(vm_min_pu=0.95, vm_max_pu=1.05)
    markup = heat_map("h", _sample(), feeder=_feeder(), clock=CLOCK, band=band, label="x", scale=(0.95, 1.05))
    description = _parsed(markup).find(f"{SVG}desc").text
    assert "6.2 % of the values are above the upper limit and 6.2 % below" in description
    data = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", markup)[1])
    assert struct.unpack(">II", data[16:24]) == (8, 2), "the two buses that the feeder decides"
    at = data.index(b"IDAT")
    pixels = zlib.decompress(data[at + 4 : at + 4 + struct.unpack(">I", data[at - 4 : at])[0]])
    nominal, black = 28, len(VOLTAGE_PALETTE)
    rows = [list(pixels[start + 1 : start + 9]) for start in (0, 9)]
    assert rows[1] == [nominal, nominal, nominal, black, nominal, black, nominal, nominal]
    assert len(set(rows[0])) == 1


def test_the_flow_figure_shades_each_reverse_period():
    flow = np.array([5.0, -1.0, -2.0, 4.0, -3.0, 2.0])
    root = _parsed(
        flow_figure("f", flow, clock=CLOCK, y_range=(-5, 8), label="idle", limits=[(6.0, "limit 6 kW")])
    )
    assert len(root.findall(f"{SVG}rect")) == 2
    assert "reverse for 0.8 h in 2 periods" in root.find(f"{SVG}desc").text
    assert any(text.text == "limit 6 kW" for text in root.iter(f"{SVG}text"))


def _label(root, words):
    (found,) = [text for text in root.iter(f"{SVG}text") if text.text == words]
    return float(found.get("x")), found.get("text-anchor", "start")


@pytest.mark.parametrize(("peak_at", "anchor"), [(10, "end"), (180, "start")])
def test_the_words_of_a_limit_stand_on_the_other_side_of_the_peak(peak_at, anchor):
    flow = np.zeros(192)
    flow[peak_at], flow[191 - peak_at] = 124.0, -49.0
    limits = [(125.0, "import limit"), (-50.0, "export limit")]
    root = _parsed(flow_figure("f", flow, clock=CLOCK, y_range=(-60, 135), label="idle", limits=limits))
    assert _label(root, "import limit")[1] == anchor
    assert _label(root, "export limit")[1] != anchor
    distance = abs(_label(root, "import limit")[0] - _label(root, "124 kW")[0])
    assert distance > 300


def test_the_words_of_a_voltage_limit_stand_on_the_other_side_of_the_extreme():
    feeder = _bands()
    feeder["vm_max_pu"] = feeder["vm_max_pu"] + 0.09 * (np.arange(192) == 5)
    markup = band_figure("b", feeder, clock=CLOCK, band=BAND, y_range=(0.89, 1.12), label="idle")
    assert _label(_parsed(markup), "upper limit 1.10 pu")[1] == "end"


def test_flows_from_10_mw_on_are_in_mw():
    flow = np.array([90_000.0, 45_046.4, -12_000.0])
    limits = [(80_000.0, "limit")]
    root = _parsed(flow_figure("f", flow, clock=CLOCK, y_range=(-2e4, 1e5), label="x", limits=limits))
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"Power [MW]", "90 MW", "\u221212 MW"} <= set(words)
    assert "from \u221212 MW to 90 MW" in root.find(f"{SVG}desc").text
    duration = duration_figure("d", {"x": flow}, quantity="Flow", unit="kW", levels=())
    assert "Flow [MW]" in duration
    day = dict.fromkeys(
        ("p_load_kw", "p_pv_kw", "p_battery_kw", "p_other_kw", "p_import_kw"), np.full(96, 2e4)
    )
    drawn = day_figure("d", day, clock=CLOCK, first=0, y_range=(0, 9e4), label="x")
    assert "Power [MW]" in drawn
    assert "load 480.0 MWh" in drawn


def test_duration_curves_fall_from_the_highest_to_the_lowest_value():
    values = np.array([3.0, -2.0, 10.0, 5.0])
    root = _parsed(duration_figure("d", {"idle": values}, quantity="Flow", unit="kW", levels=()))
    curve = next(p for p in root.iter(f"{SVG}path") if len(p.get("d")) > 200)
    y = _absolute(curve.get("d"))[:, 1]
    assert (np.diff(y) >= -1e-9).all()


def test_the_day_figure_states_the_energies():
    day = {
        "p_load_kw": np.full(96, 4.0),
        "p_pv_kw": np.full(96, -2.0),
        "p_battery_kw": np.repeat([1.0, -1.0], 48),
        "p_other_kw": np.zeros(96),
        "p_import_kw": np.full(96, 2.0),
    }
    markup = day_figure("d", day, clock=CLOCK, first=0, y_range=(-4, 6), label="idle")
    description = _parsed(markup).find(f"{SVG}desc").text
    assert "load 96 kWh, PV 48 kWh, charged 12 kWh, discharged 12 kWh" in description
    assert "other elements of the network" not in markup


def test_the_day_figure_shows_other_elements_where_there_are_some():
    day = dict.fromkeys(
        ("p_load_kw", "p_pv_kw", "p_battery_kw", "p_other_kw", "p_import_kw"), np.full(96, -3.0)
    )
    markup = day_figure("d", day, clock=CLOCK, first=0, y_range=(-12, 6), label="idle")
    assert "other elements of the network" in markup


def test_a_bus_held_by_the_upstream_grid_is_left_out_of_the_profile_extremes():
    sample = _sample()
    sample.vm_pu[:, 0] = 0.91
    markup = profile_figure("p", sample, feeder=_feeder(), clock=CLOCK, band=BAND, label="idle")
    assert "lowest 0.930 pu at C" in markup


def test_free_buses_are_those_whose_voltage_moves():
    assert _worst().free.tolist() == [False, True, True]


def test_a_year_of_flow_is_drawn_by_day():
    clock = Clock(start_utc_s=CLOCK.start_utc_s, dt_s=900, n_steps=35040)
    flow = np.tile([4.0, -3.0], 17520)
    root = _parsed(flow_figure("f", flow, clock=clock, y_range=(-5, 8), label="idle", limits=[]))
    assert not root.findall(f"{SVG}rect")
    assert any(part.get("fill") == "#f6d9cf" for part in root.findall(f"{SVG}path"))
    year = {name: np.full(35040, 1.0 + i / 100) for i, name in enumerate(_bands())}
    markup = band_figure("b", year, clock=clock, band=BAND, y_range=(0.9, 1.1), label="idle")
    assert len(markup) < 20_000


def test_a_day_stands_for_its_steps():
    clock = Clock(start_utc_s=0, dt_s=43200, n_steps=5)
    values = np.array([1.0, 3.0, -2.0, 4.0, 7.0])
    assert by_day(values, clock, "lowest").tolist() == [1.0, -2.0, 7.0]
    assert by_day(values, clock, "highest").tolist() == [3.0, 4.0, 7.0]
    assert by_day(values, clock, "mean").tolist() == [2.0, 1.0, 7.0]
    assert day_middles_s(5, clock).tolist() == [43200.0, 129600.0, 194400.0]


def test_an_open_line_is_dotted_on_the_map_and_missing_from_the_profile():
    root = _parsed(
        map_figure("m", _worst(120.0), feeder=_feeder(is_open=True), band=BAND, scale=SCALE, label="idle")
    )
    (line,) = root.findall(f"{SVG}g[@class='ml']/{SVG}path")
    assert line.get("class") == "open"
    assert line.find(f"{SVG}title").text == "L1: open at a switch"
    drawn = [
        profile_figure(
            "p", _sample(), feeder=_feeder(is_open=is_open), clock=CLOCK, band=BAND, label="idle"
        ).count("L")
        for is_open in (False, True)
    ]
    assert drawn[0] - drawn[1] == 2
