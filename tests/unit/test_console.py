"""What the commands print in a terminal of a given width."""

import io
import re

import pytest
from rich.console import Console

from twin import console
from twin.console_table import HEADLINES, folded
from twin.kpis import KPIS, KpiValue, Verdict

LABELS = (
    "Batteries idle",
    "self_consumption_with_reserve",
    "Peak shaving, 3 kW per home",
    "MPC, perfect forecast",
    "MPC, persistence forecast",
    "mine (28 of 96 steps)",
)


def _values(place):
    """Return headline KPIs with numbers that are wide and tell the strategy."""
    return {name: KpiValue(name, 1234.5 + place + 100 * row) for row, name in enumerate(HEADLINES)}


def _verdicts():
    found = (
        ("voltage", "Voltage band", "pass", ""),
        ("en50160", "EN 50160 voltage", "indicative", "exceeded"),
        ("peak", "Peak", "fail", ""),
        ("money", "Energy cost", "not assessed", ""),
    )
    return [
        Verdict(question=question, label=label, status=status, leaning=leaning, reason="Why.")
        for question, label, status, leaning in found
    ]


def _shown(width, labels, **options):
    out = io.StringIO()
    columns = {label: _values(place) for place, label in enumerate(labels)}
    console.comparison(
        columns,
        dict.fromkeys(labels, _verdicts()),
        title="Strategies compared: a",
        console=Console(width=width, file=out),
        **options,
    )
    return out.getvalue()


def _tables(text):
    """Return the lines below each head."""
    pieces = re.split(r"\u2500{5,}\n", text)
    return [piece.splitlines() for piece in pieces[1:]]


def test_every_headline_is_a_kpi():
    assert set(HEADLINES) <= {entry.name for entry in KPIS}


@pytest.mark.parametrize("n", [1, 4, 6])
@pytest.mark.parametrize("width", [60, 80, 100, 130])
def test_the_table_fits_and_every_number_is_whole(width, n):
    text = _shown(width, LABELS[:n])
    assert max(map(len, text.splitlines())) <= width
    numbers = re.findall(r"(?<!\S)(\d\u202f\d{3}(?:\.\d+)?)(?!\S)", text)
    assert len(numbers) == n * len(HEADLINES)
    assert "\u2026" not in text


@pytest.mark.parametrize("n", [4, 6])
def test_no_column_is_narrower_than_its_words(n):
    for table in _tables(_shown(80, LABELS[:n])):
        cells = [cell for line in table for cell in re.split(r"\s{2,}", line.strip()) if cell]
        assert not [cell for cell in cells if len(cell) == 1 and not cell.isdigit()]
    heads = [line for line in _shown(80, LABELS[:n]).splitlines() if "Batteries" in line]
    assert len(heads) == 1


def test_four_strategies_stay_in_one_table_at_80_columns():
    labels = ("Batteries idle", "Self-consumption", "Peak shaving", "MPC, perfect forecast")
    (table,) = _tables(_shown(80, labels))
    peak = next(line for line in table if "Peak import" in line)
    assert peak.count("\u202f") == 4


def test_six_strategies_are_split_and_the_figures_repeated():
    tables = _tables(_shown(80, LABELS))
    assert len(tables) == 2
    for table in tables:
        assert sum("Lowest voltage" in line for line in table) == 1
        assert sum("Verdict: Peak" in line for line in table) == 1


def test_verdicts_come_first_and_say_where_they_lean_to():
    (table,) = _tables(_shown(130, LABELS[1:2]))
    assert table[0].startswith("Verdict: Voltage band")
    assert "\u2713 pass" in table[0]
    assert "! likely exceeded" in table[1]
    assert "\u2717 fail" in table[2]
    assert "Energy cost" not in "".join(table[:3])
    assert "likely kept, likely exceeded: indicative" in "".join(table)


@pytest.mark.parametrize(("mvlv_hours", "shown"), [(5.0, False), (4.0, True)])
def test_the_transformer_that_is_the_head_of_the_feeder_is_not_shown_twice(mvlv_hours, shown):
    values = {
        f"reverse_{level}_{part}": KpiValue(f"reverse_{level}_{part}", 5.0)
        for level in ("mvlv", "head")
        for part in ("hours", "energy_kwh", "peak_kw")
    }
    values["reverse_mvlv_hours"] = KpiValue("reverse_mvlv_hours", mvlv_hours)
    out = io.StringIO()
    console.comparison({"a": values}, {"a": []}, title="t", console=Console(width=100, file=out))
    assert "Reverse flow, head: hours" in out.getvalue()
    assert ("MV/LV" in out.getvalue()) is shown


def test_an_incomplete_strategy_is_not_marked_as_best():
    labels = ("whole", "other", "half")
    out = io.StringIO()
    columns = {
        label: {"peak_import_kw": KpiValue("peak_import_kw", value)}
        for label, value in zip(labels, (60.0, 48.0, 10.0), strict=True)
    }
    console.comparison(
        columns,
        dict.fromkeys(labels, ()),
        title="t",
        incomplete=["half"],
        console=Console(width=100, file=out, force_terminal=True, color_system="standard"),
    )
    assert re.findall(r"\x1b\[1m\s*(\d+)", out.getvalue()) == ["48"]


def test_legend_and_warnings_stand_above_the_table():
    text = _shown(80, ["[1] a", "[2] a"], legend=["[1] here", "[2] there"], warnings=["not alike"])
    lines = text.splitlines()
    assert lines[:4] == ["Strategies compared: a", "[1] here", "[2] there", "warning: not alike"]
    assert "[1] a" in text
    assert "[2] a" in text


def test_labels_that_look_like_markup_are_shown_as_they_are():
    assert "[bold] x" in _shown(100, ["[bold] x"])


@pytest.mark.parametrize(
    ("label", "width", "lines"),
    [
        ("MPC, perfect forecast", 9, "MPC,\nperfect\nforecast"),
        ("self_consumption", 11, "self_\nconsumption"),
        ("Self-consumption", 16, "Self-consumption"),
        ("abcdefghijkl", 5, "abcde\nfghij\nkl"),
    ],
)
def test_labels_fold_between_words(label, width, lines):
    assert folded(label, width) == lines


def test_one_strategy_as_plain_data_tells_the_leaning():
    data = console.rows_for_json([KpiValue("peak_import_kw", 2.0)], _verdicts())
    assert data["kpis"]["peak_import_kw"]["unit"] == "kW"
    assert data["verdicts"]["en50160"] == {"status": "indicative", "leaning": "exceeded", "reason": "Why."}


@pytest.fixture(scope="module")
def description():
    trafo = {
        "name": "T 1",
        "level": "HV/MV",
        "rating_kva": 25_000.0,
        "hv_bus": "a",
        "lv_bus": "b",
        "vn_hv_kv": 110.0,
        "vn_lv_kv": 20.0,
        "tap_position": None,
        "tap_step_percent": 2.5,
        "tap_side": "hv",
    }
    return {
        "name": "made up",
        "source": "file.json",
        "sha256": "0123456789abcdef" * 4,
        "buses": 12,
        "nodes": 12,
        "lines": 11,
        "line_length_km": 2.5,
        "transformers": [trafo],
        "head_transformers": ["T 1"],
        "primary_substations": ["busbar 1"],
        "slack_vm_pu": [1.02],
        "voltage_levels": [{"vn_kv": 20.0, "buses": 12, "lines": 11, "line_length_km": 2.5}],
        "devices": {
            "loads": 3,
            "load_p_kw": 45_046.0,
            "static_generator_kinds": {"PV": 2, "WP": 1},
            "static_generator_kw": {"PV": 12.0, "WP": 1500.0},
            "storages": 0,
            "storage_kw": 0.0,
            "storage_kwh": 0.0,
        },
        "profiles": None,
        "coordinates": "generated layout",
        "unsupported_by_fast_engines": ["ward", "shunt"],
        "notes": ["A note."],
        "bus_names": [f"bus {i}" for i in range(12)],
        "load_names": ["x", "y", "z"],
    }


@pytest.mark.parametrize("width", [80, 130])
def test_a_feeder_is_shown_with_units_and_short_lists(description, width):
    out = io.StringIO()
    console.feeder_table(description, Console(width=width, file=out))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for pattern in (
        r"SHA-256 +0123456789abcdef\s",
        r"T 1 +HV/MV +25 MVA +110/20 +\u2013 +2\.5 +hv",
        r"20 kV +12 +11 +2\.50 km",
        r"Loads +3 +45\.05 MW",
        r"Generators, PV +2 +12 kW",
        r"Generators, WP +1 +1\u202f500 kW",
        r"Storages +0 +0 kW +0 kWh",
        r"ward, shunt",
        r"Profiles: none",
        r"Load names: x, y, z\n",
        r"-  A note\.",
    ):
        assert re.search(pattern, text), pattern
    assert "bus 9 ... 2 more, --json lists all" in " ".join(text.split())
    assert not re.search(r"(?<!\S)[-\u2212]0(?!\d)", text)
