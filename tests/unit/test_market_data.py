"""The price year that comes with the program."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

import models
from models.errors import ModelError
from models.market import PRICE_YEARS, price_year
from twin.clock import utc_s
from twin.scenario import market

NAME = "north_italy_2018"
FILE = Path(models.__file__).parent / "data" / "day_ahead_north_italy_2018.csv"


def test_the_italian_year_has_every_hour_of_2018():
    year = price_year(NAME)
    assert len(year.price_eur_mwh) == 8760
    assert year.start_utc_s == utc_s(date(2018, 1, 1))
    assert year.start_utc_s + 8760 * 3600 == utc_s(date(2019, 1, 1))


def test_the_italian_year_has_the_published_mean_and_extremes():
    prices = price_year(NAME).price_eur_mwh
    assert prices.mean() == pytest.approx(60.713, abs=5e-4)
    assert (prices.min(), prices.max()) == (9.39, 159.4)


@pytest.mark.parametrize(
    ("hour", "price_eur_mwh"),
    [
        ("2017-12-31T23:00", 45.73),
        ("2018-03-25T00:00", 46.0),
        ("2018-03-25T01:00", 37.85),
        ("2018-10-28T00:00", 52.4),
        ("2018-10-28T01:00", 50.12),
        ("2018-12-31T22:00", 49.8),
    ],
    ids=["first", "before clocks go forward", "after", "before clocks go back", "after", "last"],
)
def test_hours_around_the_clock_changes_have_the_prices_of_the_source(hour, price_eur_mwh):
    instant = np.array([hour], dtype="datetime64[s]").astype(np.int64)
    assert price_year(NAME).at(instant).tolist() == [price_eur_mwh]
    assert price_year(NAME).at(instant + 3599).tolist() == [price_eur_mwh]


def test_every_row_of_the_file_is_the_hour_after_the_one_before():
    stamps = [row.split(",")[0].removesuffix("Z") for row in FILE.read_text().splitlines()[1:]]
    assert set(np.diff(np.array(stamps, dtype="datetime64[h]")).astype(int)) == {1}


@pytest.mark.parametrize("hour", ["2017-12-31T22:00", "2018-12-31T23:00"])
def test_an_hour_outside_the_year_has_no_price(hour):
    instant = np.array([hour], dtype="datetime64[s]").astype(np.int64)
    with pytest.raises(ModelError, match=rf"no price for {hour}.*local year 2018.*map other times"):
        price_year(NAME).at(instant)


def test_prices_cannot_be_changed_by_who_reads_them():
    with pytest.raises(ValueError, match="read-only"):
        price_year(NAME).price_eur_mwh[0] = 0.0


def test_an_unknown_year_is_refused_with_those_known():
    with pytest.raises(ModelError, match=r"'sicily_2018'; known are north_italy_2018"):
        price_year("sicily_2018")


def test_a_scenario_can_name_the_years_there_are():
    assert market.PRICE_YEARS == PRICE_YEARS


def test_the_attribution_names_every_data_file_its_source_and_its_licence():
    text = (FILE.parent / "ATTRIBUTION.md").read_text()
    files = [path.name for path in FILE.parent.iterdir() if path.suffix == ".csv"]
    assert files
    assert all(f"## {name}" in text for name in files)
    assert "Bundesnetzagentur | SMARD.de" in text
    assert "CC BY 4.0" in text
    assert price_year(NAME).credit == "Bundesnetzagentur | SMARD.de, CC BY 4.0"
