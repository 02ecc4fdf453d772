"""Figures of communities and members that need no settlement: stairs, profiles, split, money."""

import itertools
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.community.results import MemberLine
from twin.report.communities.figures_split import split_figure
from twin.report.communities.files import HourlyEnergy
from twin.report.communities.member_figures import money_figure
from twin.report.communities.profiles import (
    chosen_week,
    cut,
    mean_day,
    mean_day_figure,
    profile_top_kwh,
    week_figure,
)
from twin.report.member_page import member_page_name
from twin.report.svg import stairs

SUMMER_UTC_S = 1465768800
"""13 June 2016, 00:00 in Rome."""
AUTUMN_UTC_S = 1477692000
"""29 October 2016, 00:00 in Rome; the clock goes back on the 30th."""


def _energy(n_hours, start=SUMMER_UTC_S, shared=None):
    hour = np.arange(n_hours)
    return HourlyEnergy(
        hour_start_utc_s=start + 3600 * hour,
        injected_kwh=(hour % 24).astype(float),
        withdrawn_kwh=np.full(n_hours, 5.0),
        shared_kwh=np.minimum(hour % 24, 5.0) if shared is None else shared,
    )


def _points(data):
    """Return the corners that path data of M, h and v pass through."""
    x, y = map(float, re.match(r"M([-\d.]+) ([-\d.]+)", data).groups())
    found = [(x, y)]
    for kind, step in re.findall(r"([hv])([-\d.]+)", data):
        x, y = (x + float(step), y) if kind == "h" else (x, y + float(step))
        found.append((x, y))
    return found


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_stairs_keep_each_level_between_its_edges(levels):
    edges = np.arange(len(levels) + 1) * 3.0
    points = _points(stairs(edges, np.array(levels, dtype=float)))
    assert points[0] == (0.0, levels[0])
    assert points[-1] == pytest.approx((3.0 * len(levels), levels[-1]))
    for place, level in enumerate(levels):
        at = 3.0 * place + 1.5
        over = [y1 for (x1, y1), (x2, _) in itertools.pairwise(points) if x1 <= at < x2]
        assert over == pytest.approx([level])


def test_equal_levels_become_one_stretch():
    assert stairs(np.arange(5) * 2.0, np.array([1.0, 1.0, 1.0, 4.0])) == "M0 1h6v3h2"


def test_the_mean_day_takes_every_local_hour_alike():
    day = mean_day(_energy(72))
    assert day.injected_kwh.tolist() == list(range(24))
    assert day.withdrawn_kwh.tolist() == [5.0] * 24


def test_the_hour_that_occurs_twice_in_autumn_counts_twice():
    day = mean_day(_energy(49, AUTUMN_UTC_S))
    # hours 2 on the 29th, 26 and 27 (both 2 o'clock) on the 30th hold 2, 2 and 3
    assert day.injected_kwh[2] == pytest.approx((2 + 2 + 3) / 3)
    assert day.injected_kwh[3] == pytest.approx((3 + 4) / 2)


def test_a_short_run_is_drawn_whole():
    energy = _energy(8 * 24)
    span = chosen_week([energy])
    assert span.words == "The whole run."
    assert len(cut(energy, span).hour_start_utc_s) == 8 * 24


def test_of_a_long_run_the_week_with_most_shared_energy_is_drawn():
    shared = np.ones(30 * 24)
    shared[10 * 24 : 17 * 24] = 3.0
    energy = _energy(30 * 24, shared=shared)
    span = chosen_week([energy])
    assert span.words == "The seven days of the run with the most energy, from Thu 23 Jun 2016."
    assert cut(energy, span).shared_kwh.tolist() == [3.0] * (7 * 24)


def test_of_a_member_the_week_with_most_energy_is_drawn():
    energy = _energy(30 * 24, shared=np.zeros(30 * 24))
    energy.withdrawn_kwh[20 * 24 :] = 50.0
    assert chosen_week([energy]).first_utc_s >= SUMMER_UTC_S + 20 * 86400


@pytest.mark.parametrize(("shares", "words"), [(None, 1), (np.zeros(48), 0)], ids=["community", "member"])
def test_a_profile_names_what_it_draws(shares, words):
    energy = _energy(48, shared=shares)
    top = profile_top_kwh([energy])
    for markup in (
        week_figure("w", energy, top_kwh=top, label="Alba <1>, Zero"),
        mean_day_figure("m", mean_day(energy), top_kwh=top, label="Alba <1>, Zero"),
    ):
        ET.fromstring(markup)  # noqa: S314 - made by the code under test
        assert "Alba &lt;1&gt;, Zero" in markup
        assert "Energy per hour [kWh]" in markup
        assert markup.count("shared by the community alone") == words


def test_energies_of_a_profile_are_said_in_words():
    markup = week_figure("w", _energy(24), top_kwh=24.0, label="Alba")
    assert "injected 276 kWh, withdrawn 120 kWh, shared 105 kWh." in markup


def test_large_energies_are_drawn_in_megawatt_hours():
    energy = _energy(24)
    energy.injected_kwh[:] = 20_000.0
    markup = week_figure("w", energy, top_kwh=profile_top_kwh([energy]), label="Alba")
    assert "Energy per hour [MWh]" in markup
    assert ">20</text>" in markup


def test_the_split_is_drawn_to_scale():
    money = {"Zero": {"household": 30.0, "farm": 10.0}, "One": {"household": 20.0}}
    markup = split_figure("s", money, community="Alba")
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="20"', markup)]
    farm, household, alone = widths
    assert household == pytest.approx(3 * farm, rel=0.01)
    assert alone == pytest.approx(2 * farm, rel=0.01)
    assert ">40.00 EUR</text>" in markup


def test_what_a_member_pays_and_earns_is_drawn_to_scale():
    line = MemberLine(
        home="A",
        community="Alba",
        kind="household",
        role="prosumer",
        contract_kw=3.0,
        withdrawn_kwh=1.0,
        injected_kwh=1.0,
        shared_kwh=1.0,
        bill_eur=40.0,
        sale_eur=20.0,
        incentive_eur=10.0,
        valorisation_eur=0.0,
        net_eur=10.0,
        co2_kg=0.0,
        peak_kw=1.0,
        over_contract_h=0.0,
    )
    markup = money_figure("m", {"Zero": line})
    bill, sale, premium = (float(width) for width in re.findall(r'width="([\d.]+)" height="22"', markup))
    assert bill == pytest.approx(2 * sale, rel=0.01)
    assert sale == pytest.approx(2 * premium, rel=0.01)
    assert "net 10.00 EUR" in markup


@pytest.mark.parametrize(
    ("home", "homes", "expected"),
    [
        ("Caffè Roma, n. 3", {"Caffè Roma, n. 3"}, "member_caffe-roma-n-3.html"),
        ("LV1.101 Bus 4", {"LV1.101 Bus 4", "LV1.101 Bus 5"}, "member_lv1-101-bus-4.html"),
        ("../../etc", {"../../etc"}, "member_etc.html"),
    ],
)
def test_the_file_of_a_member_has_a_plain_name(home, homes, expected):
    assert member_page_name(home, homes) == expected


def test_members_whose_names_look_alike_have_files_of_their_own():
    homes = {"Home 1", "home-1", "***", "???"}
    names = {member_page_name(home, homes) for home in homes}
    assert len(names) == 4
    assert all(re.fullmatch(r"member_[a-z0-9-]+\.html", name) for name in names)
