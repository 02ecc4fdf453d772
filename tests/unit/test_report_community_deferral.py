"""Deferral of reinforcement in the report: its file, table and sentences."""

import json

import pytest

from twin.errors import RunFolderError
from twin.report.communities.deferral import deferral_tables, deferral_words
from twin.report.communities.deferral_file import read_deferral

START_UTC_S = 1467583200
"""4 July 2016 in Rome."""
LABELS = {"none": "No control", "ems": "EMS"}


def _content(years, deferral, npv):
    def entry(years_, deferral_, npv_):
        row = {
            "what": "Peak import",
            "where": "",
            "value": 50.0,
            "limit": 60.0,
            "unit": "kW",
            "years": years_,
        }
        return {"rows": [row], "years": years_, "deferral_years": deferral_, "npv_eur": npv_}

    return {
        "terms": {
            "growth_percent_year": 2.0,
            "discount_percent": 4.0,
            "cost_eur": 150_000,
            "horizon_years": 30,
        },
        "base": "none",
        "strategies": {"none": entry(9.25, 0.0, 0.0), "ems": entry(years, deferral, npv)},
    }


@pytest.fixture
def read(tmp_path):
    def write_and_read(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "reinforcement.json").write_text(text)
        return read_deferral(tmp_path)

    return write_and_read


def test_a_run_without_the_file_has_no_deferral(tmp_path):
    assert read_deferral(tmp_path) is None


def test_the_year_of_each_limit_the_deferral_and_its_value_are_shown(read):
    found = read(_content(12.0, 2.75, 10_500.0))
    summary, limits = deferral_tables(found, LABELS, START_UTC_S)
    assert summary.rows == (
        ("No control", "Peak import", "9.2 (2025)", "0.00", "0"),
        ("EMS", "Peak import", "12.0 (2028)", "+2.75", "+10\u202f500"),
    )
    assert limits.rows[1] == ("Peak import", "EMS", "", "50 kW", "60 kW", "12.0 (2028)")
    assumed, best = deferral_words(found, LABELS)
    assert "grow by 2 % a year" in assumed
    assert "Compared with No control." in assumed
    assert best == "EMS defers the reinforcement most: by 2.8 years, worth 10\u202f500 EUR today."


def test_a_strategy_that_brings_it_forward_is_named(read):
    found = read(_content(4.0, -5.25, -20_000.0))
    assert deferral_words(found, LABELS)[1:] == (
        "No strategy defers the reinforcement against No control.",
        "EMS brings it forward by 5.2 years (\u221220\u202f000 EUR).",
    )


def test_a_limit_that_is_never_reached_has_no_year(read):
    summary, _ = deferral_tables(read(_content(None, 20.75, 90_000.0)), LABELS, START_UTC_S)
    assert summary.rows[1][1:3] == ("\u2013", "never")


def test_without_a_finished_strategy_nothing_is_claimed(read):
    content = {**_content(1.0, 0.0, 0.0), "base": None, "strategies": {}}
    (sentence,) = deferral_words(read(content), LABELS)
    assert sentence.startswith("No strategy ran to its end")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "cannot be read"),
        ('{"terms": NaN}', "NaN is no number"),
        ({**_content(1.0, 0.0, 0.0), "base": "mpc"}, "base 'mpc' is none of none, ems"),
        ({"base": None, "strategies": {}}, "terms: Field required"),
        ({**_content(1.0, 0.0, 0.0), "odd": 1}, "odd: Extra inputs"),
    ],
    ids=["no JSON", "not a number", "unknown base", "missing field", "unknown field"],
)
def test_a_damaged_file_is_named_with_its_mistake(read, content, expected):
    with pytest.raises(RunFolderError, match=rf"reinforcement\.json: .*{expected}.*run again"):
        read(content)
