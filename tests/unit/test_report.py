"""The report page as a document, from a run stored by the real writer."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from twin.errors import RunFolderError
from twin.report import build_report, write_report
from twin.report.document import soft
from twin.results import RunReader

VOID = {"meta", "input", "br", "img", "link", "hr", "wbr", "image", "path", "circle", "rect"}


class Page(HTMLParser):
    """Tags with their attributes and the text inside some of them."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.texts = {}
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open, f"</{tag}> closes nothing"
            opened = self._open.pop()[0]
            assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data):
        if self._open:
            tag, attrs = self._open[-1]
            key = f"{tag}#{attrs['id']}" if "id" in attrs else tag
            self.texts.setdefault(key, []).append(data)

    def close(self):
        super().close()
        assert not self._open

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_stored_run):
    return make_stored_run(tmp_path_factory.mktemp("run") / "whole")


@pytest.fixture(scope="module")
def html(folder):
    return build_report(RunReader(folder))


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def stopped_html(tmp_path_factory, make_stored_run):
    folder = make_stored_run(tmp_path_factory.mktemp("run") / "stopped", stop={"peak_shaving": 0, "mpc": 50})
    return build_report(RunReader(folder))


@pytest.fixture(scope="module")
def kpi_html(tmp_path_factory, make_stored_run):
    return build_report(RunReader(make_stored_run(tmp_path_factory.mktemp("run") / "kpi", detail="kpi")))


def test_every_tag_is_closed(page):
    page.close()


def test_nothing_points_outside(html, page):
    addresses = [
        attrs[name] for _, attrs in page.tags for name in ("src", "href", "action", "data") if attrs.get(name)
    ]
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in addresses)
    assert set(re.findall(r"https?://[^\"'\s<]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in html
    assert "url(" not in html


def test_the_policy_allows_exactly_the_inline_style_and_script(html, page):
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    for kind, content in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy


def test_no_inline_style_or_handler_is_used(page):
    names = {name for _, attrs in page.tags for name in attrs}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]


def test_the_document_names_its_language_and_title(page):
    assert page.all("html")[0]["lang"] == "en"
    assert page.texts["title"][0] == "tiny_rural: feeder report"


def test_every_figure_has_a_text_alternative(page):
    pictures = page.all("svg")
    assert len(pictures) > 20
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    for picture in pictures:
        assert picture["role"] == "img"
        assert {picture["aria-labelledby"], picture["aria-describedby"]} <= ids
    assert all(picture.get("alt") for picture in page.all("img"))


def test_ids_are_unique(page):
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_every_table_has_a_caption_and_scoped_heads(page):
    assert len(page.all("table")) == len(page.all("caption")) > 10
    assert all(head.get("scope") in {"col", "row", "rowgroup"} for head in page.all("th"))


def test_headings_never_skip_a_level(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_contents_lead_to_every_section(page):
    sections = [attrs["id"] for attrs in page.all("section")]
    links = [attrs["href"][1:] for attrs in page.all("a") if attrs["href"] != "#main"]
    assert links == sections
    assert len(sections) == 8


def test_words_of_the_user_are_escaped(html):
    assert "4 strategies &amp; a few &lt;odd&gt; signs" in html
    assert "<odd>" not in html
    assert "network &lt;file&gt; &amp; applied" in html


@pytest.mark.parametrize(
    "words",
    [
        "Mon 13 Jun 2016, 00:00 to Wed 15 Jun 2016, 00:00",
        "15 min, 192 steps",
        "No control, Self-consumption, Peak shaving, Predictive (MPC)",
        "0123456789abcdef",
        "synthetic:tiny",
        "The network brings no coordinates: the layout is generated",
        "This scenario has no MSD orders.",
        "0.25 EUR/kWh (assumption)",
        "1.8e-09",
        "doi:10.1016/j.apenergy.2014.12.028",
        "K, not verified",
        "its figures are indicative",
        "Prices are assumptions.",
    ],
)
def test_the_report_says(html, words):
    assert words in html


def test_every_question_has_a_verdict_in_words_for_every_strategy(html):
    matrix = html[html.index("Verdicts at a glance") : html.index("<h3>Why</h3>")]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', matrix, re.DOTALL)
    assert [name for name, _ in rows][:5] == [
        "Voltage band",
        "EN 50160 voltage",
        "Reverse power flow",
        "Peak",
        "Loading",
    ]
    for _, cells in rows:
        assert (
            len(
                re.findall(
                    r"</span> (pass|fail|indicative(?:, likely (?:kept|exceeded))?|not assessed)</span>",
                    cells,
                )
            )
            == 4
        )


def test_a_complete_run_raises_no_alarm(html):
    assert "INCOMPLETE" not in html


def test_an_unfinished_run_is_said_loudly(stopped_html):
    assert "INCOMPLETE RUN" in stopped_html
    assert "Predictive (MPC): 50 of 192 steps stored (interrupted)" in stopped_html
    assert "Peak shaving: 0 of 192 steps stored (interrupted)" in stopped_html
    Page(stopped_html).close()


def test_an_unfinished_strategy_never_passes(stopped_html):
    page = stopped_html[stopped_html.index("<h3>Why</h3>") : stopped_html.index("<h3>Key figures</h3>")]
    cards = re.findall(
        r"</span> ([a-z, ]+)</span>\s*<span class=\"who\">(.*?)</span><p class=\"why\">(.*?)</p>", page
    )
    mine = [(verdict, why) for verdict, who, why in cards if who == "Predictive (MPC) (50 of 192 steps)"]
    assert mine
    assert all(
        verdict not in {"pass", "indicative, likely kept"} and why.startswith("Incomplete run.")
        for verdict, why in mine
    )


def test_figures_of_an_unfinished_strategy_come_from_the_stored_steps(stopped_html):
    labels = re.findall(r'<title id="band-\d-t">Voltage over time, (.*?)</title>', stopped_html)
    assert labels == ["No control", "Self-consumption", "Predictive (MPC) (50 of 192 steps)"]


def test_without_bus_series_the_slider_is_left_out_and_the_reason_given(kpi_html, html):
    assert "The run was stored with detail kpi" in kpi_html
    assert 'id="map-step"' not in kpi_html
    assert 'id="heat-0-t"' not in kpi_html
    assert 'id="map-0-t"' in kpi_html
    assert 'id="map-step"' in html
    Page(kpi_html).close()


def _unpacked(text, columns):
    values = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8).reshape(columns, -1)
    return np.cumsum(values, axis=1, dtype=np.uint8)


def test_the_slider_data_give_back_the_stored_voltages(html, folder):
    data = json.loads(re.search(r'id="map-data">(.*?)</script>', html, re.DOTALL)[1])
    stored = RunReader(folder).strategy("mpc").series("bus.vm_pu")
    entry = data["strategies"][3]
    assert entry["key"] == "mpc"
    shown = data["v_low"] + _unpacked(entry["v"], stored.shape[1]) * data["v_step"]
    assert np.abs(shown.T - stored).max() <= data["v_step"] * 0.501
    assert data["times"][4] == "Mon 13 Jun 2016, 01:00"
    assert len(entry["low"]) == len(entry["flow"]) == stored.shape[0]


def test_the_map_holds_every_bus_and_line_of_each_strategy(html):
    maps = re.findall(r'<g class="mb".*?</g>', html, re.DOTALL)
    lines = re.findall(r'<g class="ml".*?</g>', html, re.DOTALL)
    assert [text.count("<circle") for text in maps] == [130] * 4
    assert [text.count("<path") for text in lines] == [128] * 4


def test_the_same_run_gives_the_same_bytes(html, folder):
    assert build_report(RunReader(folder)) == html


def test_a_week_of_four_strategies_stays_below_two_megabytes(tmp_path, make_stored_run):
    path = write_report(make_stored_run(tmp_path / "week", days=7, n_buses=129))
    assert path.name == "report.html"
    assert path.stat().st_size < 2_000_000


def test_writing_leaves_no_other_file_behind(tmp_path, make_stored_run):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12)
    before = {path.name for path in folder.iterdir()}
    write_report(folder)
    assert {path.name for path in folder.iterdir()} - before == {"report.html"}


@pytest.mark.parametrize("name", ["feeder.json", "context.json", "scenario.yaml", "manifest.json"])
def test_a_missing_file_is_named(tmp_path, make_stored_run, name):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12)
    (folder / name).unlink()
    with pytest.raises(RunFolderError, match=re.escape(name)):
        write_report(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "x"}'])
def test_a_damaged_feeder_file_is_named(tmp_path, make_stored_run, content):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12)
    (folder / "feeder.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"feeder\.json"):
        write_report(folder)


def test_importing_the_report_loads_no_heavy_library():
    heavy = ("matplotlib", "jinja2", "pandas", "pandapower", "scipy", "duckdb", "mosaik")
    code = f"import sys, twin.report; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bus_held_by_the_upstream_grid_is_named_and_left_out_of_the_voltage_bands(html):
    assert "left out of the voltage figures: MV bus (1.010 pu)." in html


def test_strategies_with_the_same_label_are_told_apart(tmp_path, make_stored_run):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["strategies"]["mpc"]["label"] = manifest["strategies"]["none"]["label"]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    text = build_report(RunReader(folder))
    assert "No control (none)" in text
    assert "No control (mpc)" in text


def test_differences_are_spoken_of_only_where_there_is_something_to_differ_from(
    tmp_path, make_stored_run, html
):
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["strategies"] = {"mpc": manifest["strategies"]["mpc"]}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "Beside each value stands its difference" in html
    alone = build_report(RunReader(folder))
    assert "Beside each value" not in alone
    assert "Definitions and sources are in section" in alone


def test_only_the_key_figures_shown_are_defined(html):
    definitions = html[html.index("Definitions of the key figures") :]
    assert "Highest loading of a transformer" in definitions
    assert "Reverse flow, HV/MV" not in definitions
    assert "Left out: Reverse flow, HV/MV" in html


def test_buses_held_by_the_upstream_grid_are_named_with_and_without_bus_series(html, kpi_html):
    for page in (html, kpi_html):
        assert (
            "Held at a fixed voltage by the upstream grid and left out of the voltage figures: MV bus" in page
        )


def _summary(html):
    return re.findall(
        "<p>(.*?)</p>",
        html[html.index('class="answer"') : html.index("</div>", html.index('class="answer"'))],
    )


def test_an_incomplete_strategy_is_left_out_of_the_summary_and_never_best(stopped_html):
    sentences = _summary(stopped_html)
    assert sentences[-2:] == [
        "Peak shaving is incomplete (0 of 192 steps) and is left out of this summary.",
        "Predictive (MPC) is incomplete (50 of 192 steps) and is left out of this summary.",
    ]
    assert not any("Predictive" in sentence or "Peak shaving" in sentence for sentence in sentences[:-2])
    figures = stopped_html[stopped_html.index("Key figures of all strategies</caption>") :]
    figures = figures[: figures.index("</table>")]
    heads = re.findall(r'<th scope="col" class="n">(.*?)</th>', figures)
    assert heads[-1] == "Predictive (MPC) (50 of 192 steps)"
    rows = [
        re.findall(r"<td class=\"n(.*?)\".*?</td>", row)
        for row in re.findall("<tr><th.*?</tr>", figures, re.DOTALL)
    ]
    assert any("best" in cell for row in rows for cell in row)
    assert not any("best" in row[-1] for row in rows if len(row) == len(heads))


@pytest.mark.parametrize("n_stored", [1, 0], ids=["one without steps", "no step at all"])
def test_a_report_needs_no_stored_step(tmp_path, make_stored_run, n_stored):
    names = ("none", "self_consumption", "peak_shaving", "mpc")
    folder = make_stored_run(tmp_path / "run", days=1, n_buses=12, stop=dict.fromkeys(names[n_stored:], 0))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["strategies"]["mpc"] |= {"status": "failed", "message": "decide raised <oops>"}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    html = build_report(RunReader(folder))
    Page(html).close()
    assert "Predictive (MPC): 0 of 96 steps stored (failed: decide raised &lt;oops&gt;)" in html
    sentences = _summary(html)
    assert "Predictive (MPC) is incomplete (0 of 96 steps) and is left out of this summary." in sentences
    assert ("No strategy ran to its end, so there is no summary." in sentences) is (n_stored == 0)


def test_reverse_flow_in_figures_names_the_transformer(html):
    captions = re.findall("<figcaption>(Reverse through .*?)</figcaption>", html)
    assert len(captions) == 4
    assert all(
        re.match(r"Reverse through the MV/LV transformer Trafo 1 for .* h, .* kWh\.", text)
        for text in captions
    )


def test_tables_far_from_a_limit_are_marked_to_be_left_out_on_paper(html):
    worst = html[html.index('id="worst"') : html.index('id="methods"')]
    calm = re.findall(r'<div class="scroll calm"[^>]*aria-label="(.*?)"', worst)
    near = re.findall(r'<div class="scroll"[^>]*aria-label="(.*?)"', worst)
    assert any(label.startswith("Lines") for label in calm)
    assert any(label.startswith("Highest voltages") for label in near)


def test_long_names_break_after_punctuation_only():
    assert str(soft("pandapower:create_cigre_network_mv")) == (
        "pandapower:<wbr>create_<wbr>cigre_<wbr>network_<wbr>mv"
    )
    assert str(soft("a:b & 13:00, gemello 0.1.0")) == "a:b &amp; 13:00, gemello 0.1.0"
