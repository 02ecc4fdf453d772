"""Real time in the report of a run with an emulated inverter and battery, as a document and in a browser."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from outside import lacking
from playwright.sync_api import Page, sync_playwright

from twin import RunOptions, load_scenario, run
from twin.report import build_report, write_report
from twin.report.collect import collect
from twin.report.live_data import Seen, StrategyLive
from twin.results import RunReader
from twin.units import volts

CHROMIUM = shutil.which("chromium")
SCENARIO = """\
name: with_live_devices
seed: 3
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20T12:00, duration_s: 60, step_s: 1 s}
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: load, name: Shed, bus: Bus R18, p_kw: 1, profile: constant}
  - kind: pv
    name: Roof
    home: Shed
    profile: constant
    p_peak_kw: 60
    inverter: {function: q_v, v2i_pu: 0.85, v1i_pu: 0.88, v1s_pu: 0.9, v2s_pu: 0.95}
    as: virtual
    modbus: {map: sunspec_pv, faults: [{fault: silent, addresses: [40084], probability: 0.15}]}
  - {kind: battery, name: Store, home: Shed, capacity_kwh: 40, power_kw: 20, as: virtual, modbus: {map: sunspec_battery}}
live: {speed: 8, poll: 100 ms, invalid_if: {stale_share: 0}}
strategies: {self_consumption: {label: Self-consumption}}
"""
SECTION = "Real time and devices on the wire"


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO)
    return run(load_scenario(path), RunOptions(out=folder)).folder


@pytest.fixture(scope="module", name="told")
def _told(folder: Path) -> StrategyLive:
    live = collect(RunReader(folder)).live
    assert live is not None
    assert set(live.curves) == {"Roof"}
    return live.strategies[0]


@pytest.fixture(scope="module", name="section")
def _section(folder: Path) -> str:
    html = build_report(RunReader(folder))
    return html[html.index('<section id="live"') :].split("</section>", 1)[0]


def test_punctuality_is_that_of_every_step(told: StrategyLive, section: str) -> None:
    assert len(told.lateness_s) == len(told.work_s) == 60
    assert told.timing is not None
    assert told.timing["lateness_max_s"] == pytest.approx(told.lateness_s.max())
    assert told.timing["tick_s"] == 0.125
    assert section.count("<svg") == 2 + 3 + 1, "punctuality, inverter, battery"


def test_readings_add_up_to_the_steps_of_the_run(told: StrategyLive) -> None:
    for device in told.devices:
        for reading in device.readings:
            assert reading.steps == 60, f"{device.name} {reading.signal}"
    roof = told.series["Roof"]
    counted = {reading.signal: reading for reading in told.devices[0].readings}["p_kw"]
    assert counted.held == int((roof.quality == 2).sum()) > 0, "the fault struck"


def test_the_device_reads_the_voltage_that_the_feeder_has(told: StrategyLive) -> None:
    roof, seen = told.series["Roof"], told.seen["Roof"]
    assert roof.vm_pu is not None
    late = seen.step > 20
    simulated_v = volts(roof.vm_pu)[seen.step[late] - 1]
    assert np.median(np.abs(seen.vm_v[late] - simulated_v)) < 0.5


def test_reactive_power_follows_the_curve_of_the_scenario(told: StrategyLive) -> None:
    seen: Seen = told.seen["Roof"]
    last = seen.step > 45
    expected_kvar = np.interp(
        seen.vm_v[last], volts(np.array([0.85, 0.88, 0.9, 0.95])), 0.436 * 60 * np.array([-1, 0, 0, 1])
    )
    assert last.any()
    assert expected_kvar.max() > 1.0, "the voltage is where the curve acts"
    assert seen.q_kvar[last] == pytest.approx(expected_kvar, abs=0.6)


def test_what_was_written_and_where_is_told(told: StrategyLive) -> None:
    addresses = [device.target for device in told.devices]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+, unit 1", address) for address in addresses)
    assert told.writes["Store"].commands > 0
    assert told.traffic["Roof"].requests > told.traffic["Roof"].unanswered > 0
    assert told.traffic["Roof"].round_trip_s.min() > 0.0
    assert any("Store: armed" in event.text for event in told.events)


def test_a_run_that_does_not_count_says_so_first(folder: Path, section: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (reason, *_) = manifest["strategies"]["self_consumption"]["invalid"]
    html = build_report(RunReader(folder))
    header = html[: html.index("</header>")]
    for part in (header, section):
        assert 'class="alarm"' in part
        assert "Self-consumption does not count: Roof" in part
    assert reason.startswith("Roof")


def test_a_replay_shows_what_was_stored_and_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    options = RunOptions(out=tmp_path, replay=folder, changed={"replay": str(folder)})
    again = run(load_scenario(folder / "scenario.yaml"), options).folder
    live = collect(RunReader(again)).live
    assert live is not None
    first = collect(RunReader(folder)).live
    assert first is not None
    assert live.replay_of == str(folder)
    assert live.strategies[0].series["Roof"].p_kw.tolist() == first.strategies[0].series["Roof"].p_kw.tolist()
    html = build_report(RunReader(again))
    assert "A replay of" in html
    assert html.count('id="late-0-t"') == 0


def test_the_report_stays_small(folder: Path) -> None:
    assert write_report(folder).stat().st_size < 500_000


@pytest.fixture(name="page", scope="module")
def _page(folder: Path) -> Iterator[Page]:
    if CHROMIUM is None:
        lacking("chromium is not installed: install the package chromium")
    report = write_report(folder)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
        messages: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(report.as_uri())
        yield page
        assert messages == []
        chromium.close()


def test_the_section_is_in_the_contents_with_the_number_of_its_heading(page: Page) -> None:
    entry = page.locator('nav.toc a[href="#live"]').inner_text()
    assert entry.endswith(SECTION)
    assert page.locator("#h-live").inner_text() == entry


@pytest.mark.parametrize("width", [1280, 420])
def test_axe_finds_no_violation(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()


def test_nothing_is_drawn_outside_its_picture(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    outside = page.eval_on_selector_all(
        "#live svg",
        """pictures => pictures.flatMap(picture => {
          const edge = picture.getBoundingClientRect();
          return [...picture.querySelectorAll('path, text, rect, circle')].filter(part => {
            const box = part.getBoundingClientRect();
            return box.left < edge.left - 3 || box.right > edge.right + 3 || box.top < edge.top - 3
              || box.bottom > edge.bottom + 3;
          }).map(part => picture.querySelector('title').textContent + ': ' + (part.textContent || part.tagName));
        })""",
    )
    assert outside == []


def test_no_words_of_a_picture_lie_on_each_other(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    crossing = page.eval_on_selector_all(
        "#live svg",
        """pictures => pictures.flatMap(picture => {
          const words = [...picture.querySelectorAll('text')].map(part => [part.textContent, part.getBoundingClientRect()]);
          return words.flatMap(([one, a], at) => words.slice(at + 1).filter(([, b]) =>
            Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3
          ).map(([other]) => picture.querySelector('title').textContent + ': ' + one + ' / ' + other));
        })""",
    )
    assert crossing == []
