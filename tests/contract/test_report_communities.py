"""Communities in the report of a stored run, and the page of a member, as documents."""

import json
import re
import shutil

import pytest

from twin.errors import RunFolderError
from twin.report import build_report, write_member_page, write_report
from twin.results import RunReader

MEMBER = "Borgo farm 14"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_community_run):
    return make_community_run(tmp_path_factory.mktemp("run") / "whole")


@pytest.fixture(scope="module")
def html(folder):
    return build_report(RunReader(folder))


@pytest.fixture
def changed(tmp_path, folder):
    """A copy of the run whose files may be changed."""
    return shutil.copytree(folder, tmp_path / "changed")


@pytest.fixture
def edit(changed):
    """Change the settlement of a strategy and return the folder of the run."""

    def change(key, content=None, **fields):
        path = changed / key / "settlement.json"
        text = json.dumps({**json.loads(path.read_text()), **fields}) if content is None else content
        path.write_text(text, encoding="utf-8")
        return changed

    return change


def _section(html, id_):
    return html[html.index(f'<section id="{id_}"') :].split("</section>", 1)[0]


def test_the_sections_on_communities_are_numbered_with_the_others(html):
    heads = re.findall(r'<h2 id="h-[a-z]+">(\d+) (.*?)</h2>', html)
    assert [int(number) for number, _ in heads] == list(range(1, 11))
    assert heads[1] == ("2", "Communities")
    assert heads[8] == ("9", "Each community in detail")
    assert "Definitions and sources are in section 10." in html


def test_a_run_without_communities_has_no_trace_of_them(tmp_path, make_stored_run):
    html = build_report(RunReader(make_stored_run(tmp_path / "run", days=1, n_buses=12)))
    assert "communit" not in html.replace("Energy communities", "").lower()
    assert "Definitions and sources are in section 8." in html


@pytest.mark.parametrize(
    "words",
    [
        "The rule set that pays is CACER 2023",
        "settled as one with Aggregator and Aggregator on MSD, else each alone",
        "Premium, flat 2020 [EUR]",
        "Premium, CACER 2023, pays [EUR]",
        "Delta under CP B did not share with Alba, Borgo and Condominio under CP A",
        "by settling communities as one (accounting)",
        "Aggregator on MSD over Aggregator: nothing changes.",
        "Does more sharing mean less reverse flow and lower peaks?",
        "Aggregator on MSD defers the reinforcement most: by 4.0 years",
        "Excise of 0.0227 EUR/kWh &amp; VAT are not &lt;verified&gt;.",
        "Level",
        "Producers: the 7 plants earn",
    ],
)
def test_the_section_says(html, words):
    assert words in _section(html, "communities")


def test_the_summary_begins_with_the_grid_and_ends_with_the_communities(html):
    answer = _section(html, "summary").split("</div>", 1)[0]
    sentences = re.findall("<p>(.*?)</p>", answer)
    assert sentences[0].startswith("Voltage")
    assert sentences[-1].startswith("Of 25 members")


def test_each_community_has_its_figures_members_and_plants(html):
    part = _section(html, "each")
    names = ("Alba", "Borgo", "Condominio", "Delta")
    assert re.findall(r'<h3 id="community-\d">(.*?)</h3>', part) == list(names)
    assert part.count("<details>") == 4
    assert part.count("Hour by hour, ") == part.count("Mean day, ") == 20
    for name in names:
        assert f"<summary>Profiles, members and plants of {name}</summary>" in part
    assert part.count("<caption>Members, ") == 20
    assert part.count("<caption>Plants, by strategy</caption>") == 4


def test_members_of_the_tables_add_up_to_the_community(html, folder):
    paid = json.loads((folder / "mpc" / "settlement.json").read_text())["rules"]["cacer_2023"]["cp"]
    line = next(line for line in paid["communities"] if line["name"] == "Borgo")
    tables = re.findall(
        r"<caption>Members, Aggregator</caption>.*?</table>", _section(html, "each"), re.DOTALL
    )
    rows = re.findall(r'<tr><th scope="row">Borgo.*?</tr>', tables[1])
    bills = [float(re.findall(r'<td class="n">(.*?)</td>', row)[3]) for row in rows]
    assert len(rows) == line["n_members"]
    assert sum(bills) == pytest.approx(line["bill_eur"], abs=0.005 * len(rows))


def test_ids_are_unique_and_links_lead_to_them(html):
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in re.findall(r'href="(#[^"]*)"', html)} <= set(ids)


def test_the_same_run_gives_the_same_bytes(html, folder):
    assert build_report(RunReader(folder)) == html


def test_communities_cost_less_than_four_hundred_kilobytes(tmp_path, make_community_run):
    folder = make_community_run(tmp_path / "week", days=7)
    whole = write_report(folder).stat().st_size
    for path in folder.glob("*/settlement.json"):
        path.unlink()
    assert whole - write_report(folder).stat().st_size < 400_000


def test_a_strategy_without_a_settlement_is_left_out_and_named(changed):
    (changed / "none" / "settlement.json").unlink()
    manifest = json.loads((changed / "manifest.json").read_text())
    manifest["strategies"]["msd"] |= {"status": "failed", "message": "oops"}
    (changed / "manifest.json").write_text(json.dumps(manifest))
    section = _section(build_report(RunReader(changed)), "communities")
    assert "No control has no settlement.json; it is left out of the community figures." in section
    assert "Aggregator on MSD is failed and has no settlement" in section
    assert "EMS and CEMS over EMS per user" in section
    assert "EMS per user over" not in section


def test_one_settled_strategy_is_shown_without_comparisons(changed):
    for key in ("none", "peak_shaving", "mpc", "msd"):
        (changed / key / "settlement.json").unlink()
    (changed / "reinforcement.json").unlink()
    section = _section(build_report(RunReader(changed)), "communities")
    assert "Energy and money of each community" in section
    assert "What each level is worth" not in section
    assert "Deferral of reinforcement" not in section
    assert "There is one settled strategy" in section


def test_communities_that_were_never_settled_are_noted(tmp_path, make_stored_run):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12)
    with (folder / "scenario.yaml").open("a", encoding="utf-8") as file:
        file.write("communities:\n  - {name: Alba}\n")
    html = build_report(RunReader(folder))
    assert "so the report says nothing on the energy communities of the scenario." in html
    assert '<section id="communities"' not in html


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "cannot be read"),
        ("[]", "valid dictionary"),
        (
            '{"level": 0, "pooled": "community", "pays": "flat_2020", "rules": {}}',
            "pays 'flat_2020', but the rule sets are none",
        ),
        ('{"level": 0, "pooled": "village", "pays": "x", "rules": {}}', "pooled: "),
        ('{"level": NaN, "pooled": "cp", "pays": "x", "rules": {}}', "NaN is no number"),
    ],
    ids=["no JSON", "no mapping", "nothing pays", "unknown pool", "not a number"],
)
def test_a_damaged_settlement_is_named_with_its_mistake(edit, content, expected):
    folder = edit("mpc", content)
    with pytest.raises(RunFolderError, match=rf"mpc/settlement\.json: .*{expected}.*run again"):
        write_report(folder)


def test_a_settlement_without_one_way_of_pooling_is_refused(edit, folder):
    rules = json.loads((folder / "mpc" / "settlement.json").read_text())["rules"]
    del rules["flat_2020"]["cp"]
    with pytest.raises(RunFolderError, match=r"'flat_2020' lacks the settlement 'cp'"):
        write_report(edit("mpc", rules=rules))


def test_settlements_of_different_members_are_refused(edit, folder):
    rules = json.loads((folder / "mpc" / "settlement.json").read_text())["rules"]
    for sets in rules.values():
        for found in sets.values():
            found["members"][0]["home"] = "Somebody else"
    with pytest.raises(
        RunFolderError, match=r"mpc/settlement\.json: .* differ from those of .*none/settlement\.json"
    ):
        write_report(edit("mpc", rules=rules))


@pytest.mark.parametrize("content", [None, b"no parquet"], ids=["missing", "damaged"])
def test_missing_or_damaged_hours_are_named(changed, content):
    path = changed / "mpc" / "community_hours.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"mpc/community_hours\.parquet"):
        write_report(changed)


def test_hours_of_another_community_are_named(changed):
    for key in ("none", "self_consumption", "peak_shaving", "mpc", "msd"):
        text = (changed / key / "settlement.json").read_text()
        (changed / key / "settlement.json").write_text(text.replace('"Delta"', '"Omega"'))
    with pytest.raises(RunFolderError, match=r"community_hours\.parquet: no hours of community Omega"):
        write_report(changed)


def test_the_page_of_a_member_is_one_file_that_needs_nothing_else(changed):
    before = {path.name for path in changed.iterdir()}
    path = write_member_page(changed, MEMBER)
    assert {path.name for path in changed.iterdir()} - before == {"member_borgo-farm-14.html"} == {path.name}
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"'\s<]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "<script" not in text
    assert "default-src 'none';" in text


def test_the_page_of_a_member_holds_its_figures_and_nobody_elses(changed, folder):
    text = write_member_page(changed, MEMBER).read_text(encoding="utf-8")
    paid = json.loads((folder / "mpc" / "settlement.json").read_text())["rules"]["cacer_2023"]["cp"]
    line = next(line for line in paid["members"] if line["home"] == MEMBER)
    row = re.search(
        r'<caption>Money, by strategy</caption>.*?<th scope="row">Aggregator</th>(.*?)</tr>', text, re.DOTALL
    )[1]
    cells = [float(cell.replace("\u2212", "-")) for cell in re.findall(r'<td class="n">(.*?)</td>', row)]
    keys = ("bill_eur", "sale_eur", "incentive_eur", "valorisation_eur", "stored_eur", "net_eur")
    assert cells[:6] == pytest.approx([line[key] for key in keys], abs=0.005)
    others = [other["home"] for other in paid["members"] if other["home"] != MEMBER]
    assert not any(other in text for other in others)
    assert text.count("Hour by hour, ") == 5
    assert "Net cost under flat 2020 [EUR]" in text


def test_a_member_who_is_worse_off_or_exceeds_the_contract_is_told(edit, folder):
    rules = json.loads((folder / "mpc" / "settlement.json").read_text())["rules"]
    for sets in rules.values():
        for found in sets.values():
            line = next(line for line in found["members"] if line["home"] == MEMBER)
            line |= {"net_eur": 99.0, "over_contract_h": 2.5}
    text = write_member_page(edit("mpc", rules=rules), MEMBER).read_text(encoding="utf-8")
    assert "Worse off than with No control: Aggregator." in text
    assert "The contract power of 6 kW is exceeded for up to 2.50 h (Aggregator)." in text


def test_an_unknown_member_is_answered_with_names_that_look_like_it(folder):
    with pytest.raises(RunFolderError, match=r"no member 'Borgo farm 15'.*there are Borgo farm 14"):
        write_member_page(folder, "Borgo farm 15")


def test_a_run_without_communities_has_no_member_page(tmp_path, make_stored_run):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12)
    with pytest.raises(RunFolderError, match="no settled strategy"):
        write_member_page(folder, "Home 1")


@pytest.mark.parametrize("content", [None, b"no parquet"], ids=["missing", "damaged"])
def test_a_member_page_names_hours_that_cannot_be_read(changed, content):
    path = changed / "none" / "member_hours.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFolderError, match=r"none/member_hours\.parquet"):
        write_member_page(changed, MEMBER)
