"""Members and plants of communities, checked against the substations of a feeder.

The feeder: the MV benchmark of CIGRE with primary substations ``Bus 1`` and ``Bus 12``, and beside it the LV benchmark under
a third one, ``Bus 0 @2``, with secondary substations R, I and C.
"""

import datetime as dt

import numpy as np
import pytest

from models.feeder import load_feeder
from twin.assembly import build_plant
from twin.assembly.contracts import contract_kw_for
from twin.errors import ScenarioError
from twin.members import NOBODY
from twin.prepare import prepare
from twin.scenario import load_scenario

SOURCES = ("pandapower:cigre_mv", "pandapower:cigre_lv")
HEAD = """\
feeder: {source: "pandapower:cigre_mv", also: ["pandapower:cigre_lv"]}
period: {start: 2016-07-04, days: 2}
strategies: {none: }
"""
DEVICES = """\
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: load, bus: Bus C14, name: flat 1, profile: constant, p_kw: 1}
  - {kind: load, bus: Bus C14, name: flat 2, profile: constant, p_kw: 4}
  - {kind: pv, home: Load R11 @2, name: roof, p_peak_kw: 6, profile: constant}
  - {kind: pv, home: Load C12, name: barn, p_peak_kw: 250, profile: constant}
  - {kind: pv, home: flat 1, name: balcony, p_peak_kw: 0.8, profile: constant}
  - {kind: pv, bus: Bus R2, name: field, p_peak_kw: 90, profile: constant}
  - {kind: pv, home: Load R3, name: hall, p_peak_kw: 40, profile: constant}
  - {kind: pv, home: Load CI14, name: quarry, p_peak_kw: 1200, profile: constant}
"""


@pytest.fixture(scope="module")
def feeder():
    return load_feeder(SOURCES[0], also=SOURCES[1:])


@pytest.fixture
def plant_of(tmp_path, feeder):
    """Build the plant of a scenario with the given communities."""

    def plant_of(communities, *, devices=DEVICES, extra="", head=HEAD):
        path = tmp_path / "s.yaml"
        path.write_text(f"{head}{devices}{extra}communities:\n{communities}")
        return build_plant(load_scenario(path), feeder)[0]

    return plant_of


@pytest.fixture
def mistakes_of(plant_of):
    """Return (line after ``communities:``, field, message) of every mistake."""

    def mistakes_of(communities, **kwargs):
        with pytest.raises(ScenarioError) as caught:
            plant_of(communities, **kwargs)
        before = len((HEAD + DEVICES).splitlines()) + 1
        return [(each.line - before, each.field, each.message) for each in caught.value.mistakes]

    return mistakes_of


def members(plant, community=0):
    """Return the names of the homes of a community."""
    communities = plant.communities
    of_it = communities.member_home[communities.member_community == community]
    return [plant.home_name[home] for home in of_it]


def entry(*member, name="sun", kind="CER", **fields):
    words = "".join(f", {key}: {value}" for key, value in fields.items())
    return f"  - {{name: {name}, kind: {kind}{words}, members: [{', '.join(member)}]}}\n"


PAIR = ("{home: Load R11 @2}", "{home: Load C13}")


def test_a_scenario_without_communities_has_nobody(tmp_path, feeder):
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + DEVICES)
    assert build_plant(load_scenario(path), feeder)[0].communities is NOBODY


def test_named_members_are_there_in_the_order_of_the_homes(plant_of):
    plant = plant_of(entry("{home: Load C13}", "{home: Load R11 @2}", "{home: field}"))
    communities = plant.communities
    assert members(plant) == ["Load R11 @2", "Load C13", "field"]
    assert communities.member_role == ("prosumer", "consumer", "producer")
    assert communities.member_kind == ("household",) * 3
    assert communities.area == ("Bus 0 @2",)
    assert communities.cp_name == ("Bus 1", "Bus 12", "Bus 0 @2")
    assert communities.cp.tolist() == [2]
    assert (communities.name, communities.kind, communities.perimeter) == (("sun",), ("CER",), ("cp",))


def test_plants_are_the_generators_behind_the_meters_of_members(plant_of):
    since = {"plants_since": "2024-05-01", "grant_share": "40 %"}
    plant = plant_of(
        entry("{home: field, plants_since: 2023-12-31}", "{home: Load R11 @2}", "{home: Load C13}", **since)
    )
    communities = plant.communities
    names = [plant.pv_name[pv] for pv in communities.plant_pv]
    assert names == ["roof", "field"]
    assert [plant.home_name[communities.member_home[member]] for member in communities.plant_member] == [
        "Load R11 @2",
        "field",
    ]
    assert communities.plant_kw.tolist() == [6.0, 90.0]
    assert communities.plant_grant_share.tolist() == [0.4, 0.4]
    days = [dt.date(1970, 1, 1) + dt.timedelta(days=int(day)) for day in communities.plant_entered_day]
    assert days == [dt.date(2024, 5, 1), dt.date(2023, 12, 31)]
    assert communities.plant_community.tolist() == [0, 0]


def test_a_plant_without_a_date_entered_on_the_first_day_of_the_run_and_that_is_noted(plant_of):
    communities = plant_of(entry(*PAIR)).communities
    assert communities.plant_entered_day.tolist() == [(dt.date(2016, 7, 4) - dt.date(1970, 1, 1)).days]
    assert any("1 plant(s) of members are taken to enter" in note for note in communities.notes)


def test_contracts_without_a_number_carry_the_peak_of_the_loads(plant_of):
    plant = plant_of(
        entry("{home: flat 1}", "{home: flat 2}", "{home: field}", "{home: Load C12, contract_kw: 70}")
    )
    contracts = dict(zip(members(plant), plant.communities.member_contract_kw.tolist(), strict=True))
    assert contracts == {"flat 1": 3.3, "flat 2": 4.95, "field": 3.3, "Load C12": 70.0}
    assert plant.communities.notes[0].startswith("The contract power of 3 of 4 members is assumed")


@pytest.mark.parametrize(
    ("peak_kw", "contract_kw"),
    [
        (0.0, 3.3),
        (3.3, 3.3),
        (3.31, 4.95),
        (6.6, 6.6),
        (16.6, 22.0),
        (33.0, 33.0),
        (33.1, 44.0),
        (190.0, 198.0),
    ],
)
def test_a_contract_is_the_smallest_common_one(peak_kw, contract_kw):
    assert contract_kw_for(np.array([peak_kw])) == pytest.approx([contract_kw])


def test_two_dates_bound_a_membership(plant_of):
    plant = plant_of(
        entry("{home: flat 1, joined: 2016-07-05}", "{home: flat 2, left: 2016-07-05}", "{home: Load C13}")
    )
    communities = plant.communities
    assert communities.member_first_step.tolist() == [0, 96, 0]
    assert communities.member_end_step.tolist() == [192, 192, 96]
    assert communities.active(95).tolist() == [True, False, True]
    assert communities.active(96).tolist() == [True, True, False]


def test_dates_beyond_the_run_are_members_all_along(plant_of):
    plant = plant_of(entry("{home: flat 1, joined: 2015-01-01, left: 2030-01-01}", "{home: flat 2}"))
    assert plant.communities.member_first_step.tolist() == [0, 0]
    assert plant.communities.member_end_step.tolist() == [192, 192]


def test_silence_delay_and_reserve_reach_the_member(plant_of):
    silent = "silent: [{from: 2016-07-04T06:05, to: 2016-07-04T07:05}]"
    plant = plant_of(
        entry("{home: flat 1, delay_s: 30 min, reserve_share: 25 %, " + silent + "}", "{home: flat 2}")
    )
    communities = plant.communities
    assert communities.silent.tolist() == [[0, 24, 29]], "a step that is partly silent is silent"
    assert communities.member_delay_steps.tolist() == [2, 0]
    assert communities.member_reserve_share.tolist() == [0.25, 0.0]
    assert communities.reachable(24).tolist() == [False, True]


def test_silence_outside_the_run_has_no_effect_and_is_noted(plant_of):
    silent = "{home: flat 1, silent: [{from: 2016-07-09, to: 2016-07-10}]}"
    communities = plant_of(entry(silent, "{home: flat 2}")).communities
    assert communities.silent.shape == (0, 3)
    assert any("outside the run and has no effect" in note for note in communities.notes)


def test_opting_out_and_silence_are_drawn_among_the_members_of_the_entry(plant_of):
    span = "silent: [{from: 2016-07-04, to: 2016-07-05}], silent_share: 0.25"
    text = entry(
        "{match: 'Load C*', opted_out_share: 50 %, " + span + "}", "{home: Load R11 @2}", area="Bus C1"
    )
    with pytest.raises(ScenarioError, match=r"Load CI1' \(under primary substation 'Bus 1'\)"):
        plant_of(text)
    plant = plant_of(text.replace("Load C*", "Load C1?"))
    communities = plant.communities
    assert members(plant) == [
        "Load R11 @2",
        "Load C12",
        "Load C13",
        "Load C14",
        "Load C17",
        "Load C18",
        "Load C19",
    ]
    assert communities.member_opted_out.sum() == 3
    assert not communities.member_opted_out[0], "named in another entry"
    assert len(communities.silent) == round(0.25 * 6)


def test_rows_of_a_file_are_members(plant_of, tmp_path):
    (tmp_path / "m.csv").write_text("home,kind,contract_kw\nflat 1,,\nflat 2,school,20\n")
    communities = plant_of(entry("{csv: m.csv, kind: farm, opted_out_share: 1}")).communities
    assert communities.member_kind == ("farm", "school")
    assert communities.member_contract_kw.tolist() == [3.3, 20.0]
    assert communities.member_opted_out.tolist() == [True, True]


def test_a_building_holds_all_homes_of_one_bus(plant_of):
    plant = plant_of(entry("{share: 1}", name="house", kind="GACC", area="Bus C14"))
    assert members(plant) == ["Load C14", "flat 1", "flat 2"]
    assert plant.communities.area == ("Bus C14",)
    assert plant.communities.perimeter == ("building",)
    assert plant.communities.cp.tolist() == [2]


@pytest.mark.parametrize("area", ["Bus 12", "Trafo 0-12", "Bus 14"])
def test_an_area_is_named_by_its_busbar_a_transformer_or_any_bus(plant_of, area):
    plant = plant_of(entry("{home: Load CI14}", "{home: Load R14}", area=area, max_plant_kw=2000))
    assert plant.communities.area == ("Bus 12",)


def test_the_area_of_a_draw_is_that_of_its_substation(plant_of):
    plant = plant_of(entry("{share: 1, within: Trafo R0-R1}"))
    assert plant.communities.area == ("Bus 0 @2",)
    assert members(plant) == [name for name in plant.home_name if name.endswith("@2")] + [
        f"Load R{number}" for number in (15, 16, 17, 18)
    ] + ["field"]


def test_the_perimeter_of_2020_ends_at_the_secondary_substation(plant_of, mistakes_of):
    text = entry("{home: flat 1}", "{home: Load C13}", perimeter="substation")
    assert plant_of(text).communities.area == ("Trafo C0-C1",)
    ((_, field, message),) = mistakes_of(text.replace("Load C13", "Load R15"))
    assert field == "communities[0].members[1]"
    assert "under MV/LV substation 'Trafo R0-R1'" in message
    assert "members are all under MV/LV substation 'Trafo C0-C1'" in message
    found = mistakes_of(text.replace("Load C13", "Load C12"))
    assert "plant 'barn' of home 'Load C12' has 250 kW; 'sun' takes plants up to 200 kW" in found[0][2]


@pytest.mark.parametrize(
    ("text", "field", "parts"),
    [
        (
            entry("{home: Load R3}", "{home: Load R14}"),
            ".members[1]",
            [
                "'Load R14' (under primary substation 'Bus 12')",
                "all under primary substation 'Bus 1'",
                "remove it",
            ],
        ),
        (
            entry("{home: Load R3}", "{home: Load R14}", area="Bus 12"),
            ".members[0]",
            ["'Load R3' (under", "'Bus 1'"],
        ),
        (
            entry("{home: Load CI14}", "{home: Load R14}"),
            ".members[0]",
            [
                "plant 'quarry' of home 'Load CI14' has 1200 kW; 'sun' takes plants up to 1000 kW (max_plant_kw)"
            ],
        ),
        (
            entry("{home: flat 1}", "{home: Load C12}", kind="GACC"),
            ".members[1]",
            ["'Load C12' (at bus 'Bus C12')", "a GACC whose members are all at bus 'Bus C14'"],
        ),
        (
            entry("{home: Load R33}", "{home: Load R3}"),
            ".members[0].home",
            ["no home 'Load R33'", "did you mean"],
        ),
        (entry("{match: 'Flat *'}"), ".members[0].match", ["`match: Flat *` fits none of the 36 homes"]),
        (
            entry("{home: flat 1}", "{home: flat 2, role: prosumer}"),
            ".members[1].role",
            ["'flat 2' is a consumer by its devices, not a prosumer"],
        ),
        (
            entry("{home: flat 2}", "{home: Load C13}"),
            ".members",
            ["'sun' has no member with a plant (PV), so nothing can be shared"],
        ),
        (entry("{home: field}"), ".members", ["no member that consumes"]),
        (entry("{home: flat 1}"), ".members", ["one member alone"]),
        (entry("{share: 10 %}"), "", ["area is missing", "the feeder has 'Bus 1', 'Bus 12', 'Bus 0 @2'"]),
        (entry(*PAIR, area="Bus 99"), ".area", ["no primary substation, transformer or bus 'Bus 99'"]),
        (entry(*PAIR, area="Bus 0"), ".area", ["'Bus 0' (110 kV) is above every primary substation"]),
        (entry(*PAIR, perimeter="building", area="Trafo R0-R1"), ".area", ["no bus 'Trafo R0-R1'"]),
        (
            entry(*PAIR, "{count: 40}"),
            ".members[2]",
            ["draws 40 homes under 'Bus 0 @2', and 16 are eligible"],
        ),
        (
            entry(*PAIR, "{count: 4, among: pv}"),
            ".members[2]",
            ["draws 4 homes with PV", "and 3 are eligible"],
        ),
        (entry(*PAIR, "{share: 1, match: x}"), ".members[2]", ["draws homes under", "and 0 are eligible"]),
        (
            entry(*PAIR, "{share: 1, within: Trafo 0-1}"),
            ".members[2]",
            ["'Trafo 0-1' is no MV/LV transformer"],
        ),
        (entry(*PAIR, "{share: 1, within: Trafo}"), ".members[2]", ["no MV/LV transformer or bus 'Trafo'"]),
        (entry(*PAIR, "{home: flat 2, delay_s: 20 min}"), ".members[2].delay_s", ["use 900 or 1800 s"]),
        (
            entry(*PAIR, "{home: flat 2, joined: 2016-07-06}"),
            ".members[2].joined",
            ["joins on 2016-07-06, after the end", "to 2016-07-06T00:00+02:00"],
        ),
        (
            entry(*PAIR, "{home: flat 2, left: 2016-07-04}"),
            ".members[2].left",
            ["left on 2016-07-04, before the start"],
        ),
    ],
)
def test_what_is_not_eligible_is_named_with_its_line_and_the_reason(mistakes_of, text, field, parts):
    ((line, where, message),) = mistakes_of(text)
    assert (line, where) == (1, f"communities[0]{field}")
    for part in parts:
        assert part in message


def test_a_home_in_two_communities_is_a_mistake_that_names_both(mistakes_of):
    text = entry(*PAIR) + entry("{home: flat 1}", "{home: Load C13}", name="moon")
    ((line, field, message),) = mistakes_of(text)
    assert (line, field) == (2, "communities[1].members[1].home")
    assert "'Load C13' of 'sun' cannot be a member of 'moon' too" in message


def test_a_home_named_twice_in_one_community_is_a_mistake(mistakes_of):
    ((_, field, message),) = mistakes_of(entry(*PAIR, "{home: Load C13, kind: sme}"))
    assert field == "communities[0].members[2].home"
    assert "'Load C13' of 'sun' cannot be a member of 'sun' too" in message


def test_a_pattern_leaves_the_homes_alone_that_are_named_beside_it(plant_of):
    plant = plant_of(entry("{match: 'flat *'}", "{home: flat 2, kind: sme}"))
    assert plant.communities.member_kind == ("household", "sme")


def test_homes_with_a_name_that_the_network_has_twice_are_not_guessed(plant_of):
    devices = DEVICES + "  - {kind: load, bus: Bus C14, name: 'flat 2 #2', profile: constant, p_kw: 1}\n"
    with pytest.raises(ScenarioError, match="several homes called 'flat 2'"):
        plant_of(entry("{home: flat 1}", "{home: flat 2}"), devices=devices)


def test_all_mistakes_are_reported_together_in_the_order_of_the_file(mistakes_of):
    text = (
        entry("{home: Load R3}", "{home: nobody}", "{home: Load R14}")
        + entry("{share: 1}", name="moon")
        + entry("{home: flat 2}", "{home: flat 1, delay_s: 1}", name="house", kind="GACC")
    )
    assert [each[:2] for each in mistakes_of(text)] == [
        (1, "communities[0].members[1].home"),
        (1, "communities[0].members[2]"),
        (2, "communities[1]"),
        (3, "communities[2].members[1].delay_s"),
    ]


def test_an_area_without_a_transformer_above_it_is_noted(plant_of):
    notes = plant_of(entry(*PAIR)).communities.notes
    assert any("no HV/MV transformer above 'Bus 0 @2'" in note for note in notes)
    notes = plant_of(entry("{home: Load R3}", "{home: Load R4}")).communities.notes
    assert not any("no HV/MV transformer" in note for note in notes)


def test_generators_of_the_network_that_are_no_pv_count_and_are_noted(tmp_path):
    feeder = load_feeder("pandapower:cigre_mv?with_der=pv_wind")
    path = tmp_path / "s.yaml"
    path.write_text(
        "feeder: {source: 'pandapower:cigre_mv?with_der=pv_wind'}\nperiod: {start: 2016-07-04, days: 1}\n"
        "strategies: {none: }\ndevices:\n  - {kind: load, from: feeder, profile: constant}\n"
        "  - {kind: pv, from: feeder, profile: constant}\n"
        "communities:\n  - {name: a, kind: CER, max_plant_kw: 2000, members: [{match: 'Load R[3-9]'}, {home: Load CI7}]}\n"
    )
    communities = build_plant(load_scenario(path), feeder)[0].communities
    assert len(communities.plant_pv) == 6
    assert any(
        "1 generator(s) of members are no PV" in note and "WKA 7" in note for note in communities.notes
    )


def test_the_market_zone_is_that_of_the_scenario(plant_of):
    assert plant_of(entry(*PAIR)).communities.zone == "NORD"
    assert plant_of(entry(*PAIR), extra="market_zone: SICI\n").communities.zone == "SICI"


def test_a_plant_with_communities_is_prepared_with_both_networks(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + DEVICES + "communities:\n" + entry(*PAIR))
    prepared = prepare(load_scenario(path))
    assert prepared.engine_check.engine == "impedance"
    assert prepared.plant.communities.n_members == 2


def test_a_further_network_that_does_not_exist_is_a_mistake_in_its_line(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        HEAD.replace('["pandapower:cigre_lv"]', '["pandapower:cigre_lv", "pandapower:cigre_lw"]') + DEVICES
    )
    with pytest.raises(ScenarioError) as caught:
        prepare(load_scenario(path))
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.field) == (1, "feeder.also[1]")
    assert "did you mean" in mistake.message
