"""Shared energy beside the key figures of the grid: tables, sentences, a scatter."""

import pytest

from twin.community.results import AreaShared, Settlement
from twin.kpis import KpiValue
from twin.report.communities.cells import net_words, numbers, texts
from twin.report.communities.figures import scatter_figure
from twin.report.communities.files import SettledStrategy
from twin.report.communities.grid import grid_step_table, grid_steps, sharing_table, sharing_words

MINUS = "\u2212"


def _strategy(level, shared_kwh):
    """Return a strategy of which only the energy shared below a substation matters."""
    area = AreaShared(level="cp", name="CP A", injected_kwh=100.0, withdrawn_kwh=90.0, shared_kwh=shared_kwh)
    found = Settlement(
        rules="flat_2020", pooled="community", communities=(), members=(), plants=(), areas=(area,), marks=()
    )
    return SettledStrategy(
        key=f"s{level}",
        label=f"S{level}",
        level=level,
        pooled="community",
        pays="flat_2020",
        rules={"flat_2020": {"community": found, "cp": found}},
        hours={},
    )


def test_columns_share_unit_and_decimals_and_show_no_signed_zero():
    assert texts([12_000.0, 4.0, None], "kWh") == ("MWh", ("12.00", "0.00", "\u2013"))
    assert texts([12_345.6, 0.2], "EUR") == ("EUR", ("12\u202f346", "0"))
    assert texts([0.001, -0.004, 0.5], "EUR", "+")[1] == ("0.00", "0.00", "+0.50")
    assert numbers("Gain", "EUR", [1.0]).head == "Gain [EUR]"
    assert (net_words(3.0), net_words(-3.0)) == ("pay 3.00 EUR net", "earn 3.00 EUR net")


def _grid(shared, **figures):
    """Return strategies and key figures: one per value."""
    strategies = [_strategy(i, value) for i, value in enumerate(shared)]
    values = {
        s.key: {name: KpiValue(name, column[i]) for name, column in figures.items()}
        for i, s in enumerate(strategies)
    }
    return strategies, values


@pytest.mark.parametrize(
    ("shared", "reverse", "expected"),
    [
        ((50, 60, 70), (9.0, 8.0, 7.0), "yes, in 2 of 2 comparisons"),
        ((50, 60, 70), (7.0, 8.0, 9.0), "no, the opposite in 2 of 2 comparisons"),
        ((50, 60, 70), (9.0, 9.0, 9.0), "no, it stays the same in 2 of 2 comparisons"),
        ((50, 60, 70), (9.0, 9.0, 9.5), "no; the opposite in 1 of 2 comparisons, the same in the rest"),
        ((50, 60, 70), (9.0, 8.0, 9.0), "not always; yes in 1 of 2 comparisons, the opposite in 1"),
        ((50, 60, 70), (9.0, 8.0, 8.0), "not always; yes in 1 of 2 comparisons, the same in 1"),
        ((70, 60), (8.0, 9.0), "yes, in the only comparison"),
        ((70, 60), (9.0, 8.0), "no, the opposite in the only comparison"),
    ],
)
def test_the_verdict_on_sharing_follows_the_numbers(shared, reverse, expected):
    strategies, values = _grid(shared, reverse_head_energy_kwh=reverse)
    found = sharing_words(grid_steps(strategies, values))
    assert found[1] == f"Less reverse energy at the feeder head: {expected}."


def test_every_key_figure_is_judged_for_itself():
    strategies, values = _grid((50, 60), peak_import_kw=(20.0, 22.0), peak_export_kw=(30.0, 25.0))
    found = sharing_words(grid_steps(strategies, values))
    assert "A lower peak import: no, the opposite in the only comparison." in found
    assert "A lower peak export: yes, in the only comparison." in found
    assert found[-1] == (
        "The largest change: S1 shares 10 kWh more than S0; peak import 20 kW to 22 kW, peak export 30 kW to 25 kW."
    )


@pytest.mark.parametrize(
    ("shared", "figures", "expected"),
    [
        ((50,), {"peak_import_kw": (1.0,)}, "There is one settled strategy"),
        ((50, 50.01), {"peak_import_kw": (1.0, 2.0)}, "All strategies share the same energy"),
        ((50, 60), {}, "The key figures of the grid are not known"),
        ((50, 60), {"peak_import_kw": (None, 2.0)}, "The key figures of the grid are not known"),
    ],
    ids=["one strategy", "same sharing", "no key figures", "a key figure without a value"],
)
def test_where_the_run_does_not_answer_it_says_so(shared, figures, expected):
    strategies, values = _grid(shared, **figures)
    (sentence,) = sharing_words(grid_steps(strategies, values))
    assert sentence.startswith(expected)


def test_grid_tables_show_what_is_known():
    strategies, values = _grid((50, 60), peak_import_kw=(20.0, 22.0), reverse_mvlv_energy_kwh=(5.0, 4.0))
    assert [row[2:] for row in grid_step_table(grid_steps(strategies, values)).rows] == [
        ("+10", f"{MINUS}1", "+2")
    ]
    assert [row[1:] for row in sharing_table(strategies, values).rows] == [
        ("50", "5", "20"),
        ("60", "4", "22"),
    ]
    assert grid_step_table(grid_steps(*_grid((50, 60)))) is None
    assert sharing_table(*_grid((50, 60))) is None


def test_energy_through_the_only_transformer_is_shown_once():
    figures = {"reverse_head_energy_kwh": (5.0, 4.0), "reverse_mvlv_energy_kwh": (5.0, 4.0)}
    strategies, values = _grid((50, 60), **figures)
    assert len(sharing_table(strategies, values).head) == 3


def test_points_that_meet_share_their_numbers():
    points = {"One": (10.0, 5.0), "Two": (20.0, 5.0), "Three": (20.0, 5.0)}
    markup = scatter_figure("s", points, what="Peak import", unit="kW")
    assert ">B, C</text>" in markup
    assert ">A</text>" in markup
    assert "Peak import [kW]" in markup
