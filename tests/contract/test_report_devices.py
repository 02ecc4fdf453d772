"""Devices that keep their own state in the report of a real run, as a document and in a browser."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from twin import RunOptions, load_scenario, run
from twin.errors import RunFolderError
from twin.report import build_report, write_report
from twin.results import RunReader
from twin.signals import Axis

CHROMIUM = shutil.which("chromium")
SCENARIO = """\
name: with_devices
seed: 3
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20, days: 1, step_s: 15 min}
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: pv, share: 50 %, profile: clear_sky, p_peak_kw: 8, place: {latitude_deg: 38.1, longitude_deg: 13.4}}
  - {kind: battery, share: 50 %, capacity_kwh: 8, power_kw: 4, detail: {standby_kw: 20 W}}
  - {kind: water_heater, share: 50 %, draw: generated, litres_day: 150}
  - {kind: ev, share: 40 %, trips: generated}
strategies: {none: , self_consumption: }
"""
SECTION = "Devices with a state of their own"

Run = Callable[..., Path]


@pytest.fixture(scope="module", name="make_run")
def _make_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    def make(extra: str = "") -> Path:
        folder = tmp_path_factory.mktemp("devices")
        path = folder / "scenario.yaml"
        path.write_text(SCENARIO + extra)
        return run(load_scenario(path), RunOptions(out=folder)).folder

    return make


@pytest.fixture(scope="module", name="folder")
def _folder(make_run: Run) -> Path:
    return make_run()


@pytest.fixture(scope="module", name="html")
def _html(folder: Path) -> str:
    return build_report(RunReader(folder))


def section(html: str) -> str:
    return html[html.index('<section id="devices"') :].split("</section>", 1)[0]


def rows(html: str) -> dict[str, list[str]]:
    """Return the cells of each table row by its first cell."""
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    return {head: re.findall(r"<td[^>]*>(.*?)</td>", cells) for head, cells in found}


def number(text: str) -> float:
    return float(text.replace("\u2212", "-").replace("\u202f", ""))


def test_the_energy_of_each_entry_is_that_of_its_stored_series(folder: Path, html: str) -> None:
    energy = rows(section(html))
    for column, name in enumerate(("none", "self_consumption")):
        reader = RunReader(folder).strategy(name)
        for entry, axis in (
            ("devices[2] battery", Axis.BATTERY),
            ("devices[3] water_heater", Axis.LOAD),
            ("devices[4] ev", Axis.LOAD),
        ):
            kind = entry.split()[1]
            chosen = [
                place
                for place, device in enumerate(reader.names(axis))
                if axis is Axis.BATTERY or device.startswith(kind)
            ]
            p_kw = reader.series(f"{axis}.p_kw", chosen).astype(np.float64)
            assert energy[entry][0] == str(len(chosen))
            assert energy[entry][1] == "model in arrays"
            shown = [number(part) for part in energy[entry][2 + column].split(" / ")]
            expected = [p_kw.clip(min=0).sum() / 4, p_kw.clip(max=0).sum() / 4]
            assert shown == pytest.approx([e for e in expected if abs(e) >= 0.05] or [0.0], abs=0.051)
    assert " / \u2212" in energy["devices[2] battery"][3], "charged and discharged"
    assert number(energy["devices[4] ev"][2]) > 0.0


def test_the_extremes_of_an_output_are_those_of_its_stored_series(folder: Path, html: str) -> None:
    reader = RunReader(folder).strategy("none")
    names = reader.names(Axis.STATE)
    chosen = [place for place, name in enumerate(names) if name.endswith("temp_top_degc [degC]")]
    temp_degc = reader.series("state.value", chosen)
    after = section(html).split("devices[3] water_heater: temp_top_degc [\u00b0C]")[1].split("</tbody>")[0]
    lowest, where, mean, highest, _ = next(iter(rows(after).values()))
    assert number(lowest) == pytest.approx(float(temp_degc.min()), abs=0.006)
    assert number(mean) == pytest.approx(float(temp_degc.mean()), abs=0.006)
    assert number(highest) == pytest.approx(float(temp_degc.max()), abs=0.006)
    _, place = np.unravel_index(temp_degc.argmin(), temp_degc.shape)
    assert names[chosen[place]] == f"{where.split(', ')[0]} temp_top_degc [degC]"


def test_the_section_is_numbered_with_the_others_and_small(html: str) -> None:
    heads = re.findall(r'<h2 id="h-[a-z]+">(\d+) (.*?)</h2>', html)
    assert [int(place) for place, _ in heads] == list(range(1, len(heads) + 1))
    assert SECTION in [words for _, words in heads]
    figures = section(html).count("<svg")
    assert 1 <= figures <= 4
    assert len(section(html)) < 100_000


def test_a_run_stored_without_the_devices_still_has_a_report(tmp_path: Path, folder: Path) -> None:
    old = shutil.copytree(folder, tmp_path / "old")
    raw = json.loads((old / "feeder.json").read_text())
    del raw["own_state"]
    (old / "feeder.json").write_text(json.dumps(raw))
    html = build_report(RunReader(old))
    assert SECTION not in re.findall(r'<h2 id="h-[a-z]+">\d+ (.*?)</h2>', html)
    assert '<section id="devices"' not in html


def test_damaged_devices_name_the_file(tmp_path: Path, folder: Path) -> None:
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    raw = json.loads((damaged / "feeder.json").read_text())
    del raw["own_state"][0]["origin"]
    (damaged / "feeder.json").write_text(json.dumps(raw))
    with pytest.raises(RunFolderError, match=r"feeder\.json: own_state: 'origin'"):
        build_report(RunReader(damaged))


def test_a_run_with_key_figures_only_says_what_is_left_out(make_run: Run) -> None:
    text = section(build_report(RunReader(make_run("output: {detail: kpi}\n"))))
    assert "The run was stored with detail kpi" in text
    assert rows(text)["devices[4] ev"][1:] == ["model in arrays"]
    assert "<svg" not in text
    assert text.count("<table>") == 1


@pytest.fixture(scope="module", name="page")
def _page(folder: Path) -> Iterator[Page]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing on CI; install the package chromium")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_context(offline=True).new_page()
        opened.goto(write_report(folder).as_uri())
        yield opened
        browser.close()


@pytest.mark.parametrize("width", [1280, 420])
def test_axe_finds_no_violation_and_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()


def test_the_words_of_the_figures_do_not_cover_each_other(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    boxes = page.eval_on_selector_all(
        "#devices svg",
        "figures => figures.map(figure => [...figure.querySelectorAll('text')].map(text => {"
        " const box = text.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom, text.textContent]; }))",
    )
    assert boxes
    for words in boxes:
        for place, (left, top, right, bottom, said) in enumerate(words):
            for other_left, other_top, other_right, other_bottom, other in words[place + 1 :]:
                apart = (
                    right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
                )
                assert apart, (said, other)
