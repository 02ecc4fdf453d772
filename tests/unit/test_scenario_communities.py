"""What a scenario may say of communities: defaults, CSV lists, contradictions, the resolved scenario, the schema."""

import datetime as dt

import pytest

from twin.errors import ScenarioError
from twin.scenario import load_scenario, scenario_json_schema

HEAD = """\
feeder: {source: simbench:1-LV-rural3--2-sw}
period: {start: 2016-07-04, days: 1}
strategies: {none: }
"""
FULL = (
    HEAD
    + """\
market_zone: SICI
communities:
  - name: sun
    kind: CER
    area: T1
    grant_share: 40 %
    plants_since: 2024-05-01
    members:
      - {home: 12, kind: municipality, contract_kw: 4500 W, invest_eur: 20 kEUR, plants_since: 2023-12-31}
      - {match: 'LV3 *', opted_out_share: 10 %, joined: 2016-07-04, left: 2016-07-05}
      - {share: 30 %, match: 'LV4 *', among: pv, within: T2, role: prosumer}
      - count: 3
        delay_s: 30 min
        reserve_share: 20 %
        silent:
          - {from: 2016-07-04T18:00, to: 2016-07-04T20:00}
          - {from: '2016-07-04T21:00+02:00', to: 2016-07-05}
        silent_share: 0.5
      - {csv: members.csv, kind: farm, opted_out_share: 50 %}
  - {name: house, kind: GACC, members: [{home: a, opted_out: true}]}
  - {name: old, kind: CER, perimeter: substation, members: [{home: b}]}
"""
)
ROWS = "home,kind,contract_kw,joined\nf1,,11 kW,2016-07-04\nf2,sme,,\n"


@pytest.fixture
def load(tmp_path):
    def load(text, **files):
        for name, content in {"members__csv": ROWS, **files}.items():
            (tmp_path / name.replace("__", ".")).write_text(content, encoding="utf-8")
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return load_scenario(path)

    return load


@pytest.fixture
def mistakes(load):
    """Return (file, line, field, message) of every mistake."""

    def mistakes(text, **files):
        with pytest.raises(ScenarioError) as caught:
            load(text, **files)
        return [
            (mistake.file.rsplit("/", 1)[-1], mistake.line, mistake.field, mistake.message)
            for mistake in caught.value.mistakes
        ]

    return mistakes


def test_values_are_read_in_their_units(load):
    scenario = load(FULL).scenario
    sun = scenario.communities[0]
    town, rural, drawn, late, _ = sun.members
    assert scenario.market_zone == "SICI"
    assert (sun.grant_share, sun.plants_since) == (0.4, dt.date(2024, 5, 1))
    assert (town.home, town.kind, town.contract_kw, town.invest_eur) == ("12", "municipality", 4.5, 20000.0)
    assert (rural.joined, rural.left) == (dt.date(2016, 7, 4), dt.date(2016, 7, 5))
    assert (drawn.share, drawn.among, drawn.is_drawn) == (0.3, "pv", True)
    assert (late.count, late.delay_s, late.reserve_share, late.is_drawn) == (3, 1800, 0.2, True)
    assert late.silent[0].from_ == dt.datetime(2016, 7, 4, 18)  # noqa: DTZ001 - local time of the scenario
    assert late.silent[1].to == dt.datetime(2016, 7, 5)  # noqa: DTZ001 - same


def test_the_kind_and_the_perimeter_decide_the_defaults(load):
    communities = load(FULL).scenario.communities
    assert [(spec.perimeter, spec.max_plant_kw) for spec in communities] == [
        ("cp", 1000.0),
        ("building", 1000.0),
        ("substation", 200.0),
    ]


def test_a_scenario_without_communities_is_in_the_north(load):
    scenario = load(HEAD).scenario
    assert (scenario.communities, scenario.market_zone) == ((), "NORD")


def test_rows_of_a_file_are_members_with_what_the_entry_says(load):
    placed = [member for member in load(FULL).members if member.entry == 4]
    assert [(member.spec.home, member.spec.kind, member.spec.contract_kw) for member in placed] == [
        ("f1", "farm", 11.0),
        ("f2", "sme", None),
    ]
    assert [member.spec.opted_out_share for member in placed] == [None, None], "a draw is the entry's own"
    assert placed[1].field == "communities[0].members[4].rows[1]"


def test_a_mistake_in_a_row_names_file_line_and_column(mistakes):
    rows = "home,kind,joined,left\nf1,villa,,\n,sme,,\nf3,sme,2016-07-05,2016-07-04\n"
    assert [entry[:3] for entry in mistakes(FULL, members__csv=rows)] == [
        ("members.csv", 2, "kind"),
        ("members.csv", 3, ""),
        ("members.csv", 4, "left"),
    ]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("home,share\nf1,1\n", "unknown column 'share'"),
        ("home,hoem\nf1,1\n", "unknown column 'hoem'; did you mean 'home'?"),
        ("home,kind\n", "add one member a line"),
        ("\n", "e.g. home,kind,contract_kw"),
    ],
)
def test_a_faulty_file_of_members_is_named(mistakes, rows, text):
    ((file, _, _, message),) = mistakes(FULL, members__csv=rows)
    assert file == "members.csv"
    assert text in message


@pytest.mark.parametrize(
    ("member", "field", "text"),
    [
        ("{kind: sme}", "", "says not which homes; add one of home, match, share, count, csv"),
        ("{home: a, share: 0.5}", ".share", "chosen twice, by home and share"),
        ("{home: a, match: 'b*'}", ".match", "chosen twice, by home and match"),
        ("{share: 0.1, count: 3, match: a}", ".count", "chosen twice, by share and count"),
        ("{share: 0}", ".share", "greater than 0"),
        ("{share: 130 %}", ".share", "at most 1"),
        ("{count: 0}", ".count", "at least 1"),
        ("{home: a, among: pv}", ".among", "goes with share or count, not with home"),
        ("{match: 'a*', within: T}", ".within", "goes with share or count, not with match"),
        ("{share: 1, among: wind}", ".among", "all, pv or no_pv (got 'wind')"),
        ("{home: a, kind: househld}", ".kind", "did you mean 'household'?"),
        ("{home: a, kind: retailer}", ".kind", "cannot be a member of a community"),
        ("{home: a, role: seller}", ".role", "consumer, producer or prosumer"),
        ("{home: a, joined: 2016-07-05, left: 2016-07-05}", ".left", "must be after joined 2016-07-05"),
        ("{home: a, joined: 5 July}", ".joined", "must be a date such as 2016-07-04 (got '5 July')"),
        ("{home: a, opted_out: yes}", ".opted_out", "must be true or false"),
        ("{match: a, opted_out: true, opted_out_share: 0.1}", ".opted_out_share", "say the same twice"),
        ("{home: a, opted_out_share: 0.1}", ".opted_out_share", "draws among several members"),
        ("{match: a, silent_share: 0.1}", ".silent_share", "no effect without silent"),
        ("{home: a, reserve_share: 110 %}", ".reserve_share", "at most 1"),
        ("{home: a, delay_s: -1}", ".delay_s", "at least 0"),
        ("{home: a, delay_s: 1 kW}", ".delay_s", "unit 'kW' does not fit; use s, min, h"),
        ("{home: a, contract_kw: 0}", ".contract_kw", "greater than 0"),
        ("{home: a, silent: [{from: 2016-07-04T10:00}]}", ".silent[0].to", "is missing"),
        (
            "{home: a, silent: [{from: 2016-07-04T10:00, to: 2016-07-04T10:00}]}",
            ".silent[0].to",
            "must be after from",
        ),
        (
            "{home: a, silent: [{from: 2016-03-27T02:30, to: 2016-03-27T04:00}]}",
            ".silent[0].from",
            "does not exist in Europe/Rome",
        ),
        ("{home: a, silent: [{from: noon, to: 2016-03-27}]}", ".silent[0].from", "must be a time such as"),
        ("{csv: none.csv}", ".csv", "there is no file"),
        ("{hom: a}", ".hom", "unknown key; did you mean 'home'?"),
        ("text", "", "must be a mapping"),
    ],
)
def test_a_mistake_in_a_member_is_named_with_its_line(mistakes, member, field, text):
    found = mistakes(
        f"{HEAD}communities:\n  - name: sun\n    kind: CER\n    members:\n      - {{home: z}}\n      - {member}\n"
    )
    line, message = next(
        (line, message) for _, line, place, message in found if place == f"communities[0].members[1]{field}"
    )
    assert line == 9
    assert text in message


@pytest.mark.parametrize(
    ("community", "field", "text"),
    [
        ("{kind: CER, members: [{home: a}]}", ".name", "is missing"),
        ("{name: x, members: [{home: a}]}", ".kind", "is missing"),
        (
            "{name: x, kind: CEC, members: [{home: a}]}",
            ".kind",
            "CER or GACC (got 'CEC'); did you mean 'CER'?",
        ),
        ("{name: x, kind: CER}", ".members", "is missing"),
        ("{name: x, kind: CER, members: []}", ".members", "must not be empty"),
        (
            "{name: x, kind: GACC, perimeter: cp, members: [{home: a}]}",
            ".perimeter",
            "a GACC is one building",
        ),
        (
            "{name: x, kind: CER, perimeter: city, members: [{home: a}]}",
            ".perimeter",
            "cp, substation or building",
        ),
        ("{name: x, kind: CER, max_plant_kw: 0, members: [{home: a}]}", ".max_plant_kw", "greater than 0"),
        ("{name: x, kind: CER, grant_share: 2, members: [{home: a}]}", ".grant_share", "at most 1"),
        ("{name: sun, kind: CER, members: [{home: a}]}", ".name", "name 'sun' is already used at"),
    ],
)
def test_a_mistake_in_a_community_is_named_with_its_line(mistakes, community, field, text):
    found = mistakes(
        f"{HEAD}communities:\n  - {{name: sun, kind: CER, members: [{{home: z}}]}}\n  - {community}\n"
    )
    line, message = next(
        (line, message) for _, line, place, message in found if place == f"communities[1]{field}"
    )
    assert line == 6
    assert text in message


def test_a_wrong_value_does_not_hide_a_contradiction_beside_it(mistakes):
    text = "{name: x, kind: GACC, perimeter: cp, grant_share: 2, members: [{home: a, match: b, contract_kw: -1}]}"
    found = mistakes(f"{HEAD}communities:\n  - {text}\n")
    assert {field for _, _, field, _ in found} == {
        "communities[0].grant_share",
        "communities[0].perimeter",
        "communities[0].members[0].contract_kw",
        "communities[0].members[0].match",
    }


@pytest.mark.parametrize("zone", ["NORTH", "5"])
def test_a_market_zone_is_one_of_the_seven(mistakes, zone):
    ((_, line, field, message),) = mistakes(f"{HEAD}market_zone: {zone}\n")
    assert (line, field) == (4, "market_zone")
    assert "NORD, CNOR, CSUD, SUD, CALA, SICI or SARD" in message


def test_the_resolved_scenario_loads_to_the_same_and_follows_its_files(load, tmp_path):
    loaded = load(FULL)
    elsewhere = tmp_path / "below" / "there"
    elsewhere.mkdir(parents=True)
    resolved = elsewhere / "resolved.yaml"
    resolved.write_text(loaded.resolved_yaml(relative_to=elsewhere))
    again = load_scenario(resolved, overrides={"name": loaded.scenario.name})
    assert "csv: ../../members.csv" in resolved.read_text()
    assert [member.spec for member in again.members] == [member.spec for member in loaded.members]
    for old, new in zip(loaded.scenario.communities, again.scenario.communities, strict=True):
        assert old.model_copy(update={"members": ()}) == new.model_copy(update={"members": ()})
    assert "perimeter: building" in resolved.read_text(), "defaults are written out"


def test_the_hash_follows_the_rows_of_the_files(load):
    first = load(FULL).sha256
    assert load(FULL).sha256 == first
    assert load(FULL, members__csv=ROWS.replace("f2", "f3")).sha256 != first


def test_the_schema_has_communities():
    schema = scenario_json_schema()
    member, community = schema["$defs"]["MemberSpec"], schema["$defs"]["CommunitySpec"]
    assert community["required"] == ["name", "kind", "members"]
    assert community["properties"]["perimeter"]["enum"] == ["cp", "substation", "building"]
    assert "municipality" in member["properties"]["kind"]["enum"]
    assert schema["$defs"]["SilentSpan"]["required"] == ["from", "to"]


def test_further_networks_are_files_relative_to_the_scenario(mistakes, load, tmp_path):
    text = HEAD.replace("simbench:1-LV-rural3--2-sw}", "a.json, also: [simbench:x, b.json]}")
    found = mistakes(text, a__json="{}")
    assert [entry[1:3] for entry in found] == [(1, "feeder.also[1]")]
    loaded = load(text, a__json="{}", b__json="{}")
    assert loaded.scenario.feeder.also == ("simbench:x", "b.json")
    (tmp_path / "below").mkdir()
    assert "- ../b.json" in loaded.resolved_yaml(relative_to=tmp_path / "below")


def test_a_further_network_that_is_written_in_no_known_way_is_refused(mistakes):
    found = mistakes(HEAD.replace("-sw}", "-sw, also: [net.txt]}"))
    assert found[0][2] == "feeder.also[0]"
    assert "must be simbench:CODE" in found[0][3]
