"""The report in a real browser: silent, offline, accessible, working, printable."""

import os
import re
import shutil
from itertools import pairwise

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from twin.report import write_member_page, write_report

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory, make_stored_run):
    return write_report(make_stored_run(tmp_path_factory.mktemp("run") / "whole"))


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing on CI; install the package chromium")
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Watched:
    """A page and what it said and asked for."""

    def __init__(self, page):
        self.page = page
        self.messages = []
        self.requests = []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def watched(browser, report):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    seen = Watched(context.new_page())
    seen.page.goto(report.as_uri())
    seen.page.wait_for_selector("#map-control.ready")
    yield seen
    context.close()


def _fills(page, index=0):
    return page.eval_on_selector_all(
        f"#map-box-map-{index} .mb circle", "parts => parts.map(part => part.getAttribute('fill'))"
    )


def _move(page, value):
    page.eval_on_selector(
        "#map-step",
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        value,
    )


def test_it_opens_offline_without_a_message_or_a_request(watched, report):
    outside = [url for url in watched.requests if not url.startswith(("data:", "blob:"))]
    assert outside == [report.as_uri()]
    assert watched.messages == []


@pytest.mark.parametrize("width", [1280, 420])
def test_axe_finds_no_violation(watched, width):
    watched.page.set_viewport_size({"width": width, "height": 900})
    result = Axe().run(watched.page)
    assert result.violations_count == 0, result.generate_report()


def test_nothing_is_wider_than_the_window(watched):
    for width in (1280, 800, 420):
        watched.page.set_viewport_size({"width": width, "height": 900})
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_slider_recolours_the_map_and_tells_the_time(watched):
    page = watched.page
    worst = _fills(page)
    assert "Whole period" in page.inner_text("#map-time")
    _move(page, 8)
    night = _fills(page)
    _move(page, 52)
    noon = _fills(page)
    assert worst != night
    assert night != noon
    assert page.inner_text("#map-time") == "Mon 13 Jun 2016, 13:00"
    assert page.get_attribute("#map-step", "aria-valuetext") == "Mon 13 Jun 2016, 13:00"


def test_the_slider_works_from_the_keyboard(watched):
    page = watched.page
    page.focus("#map-step")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#map-time") == "Mon 13 Jun 2016, 00:15"


def test_whole_period_brings_the_worst_colours_back(watched):
    page = watched.page
    worst = _fills(page)
    _move(page, 8)
    page.click("button[data-jump=worst]")
    assert _fills(page) == worst
    assert page.get_attribute("button[data-jump=worst]", "aria-pressed") == "true"


@pytest.mark.parametrize(("jump", "place"), [("high", 1), ("low", 0)])
def test_a_jump_shows_the_extreme_voltage_of_the_strategy_shown(watched, jump, place):
    page = watched.page
    page.check("input[name=strategy][value=mpc]")
    extremes = re.findall(r"\d\.\d{3}", page.inner_text("#map-box-map-3 .state"))
    page.click(f"button[data-jump={jump}]")
    shown = re.findall(r"\d\.\d{3}", page.inner_text("#map-box-map-3 .state"))
    assert shown[place] == extremes[place]


def test_the_jump_to_reverse_flow_shows_an_export(watched):
    page = watched.page
    page.click("button[data-jump=reverse]")
    assert "transformer \u2212" in page.inner_text("#map-box-map-0 .state")


def test_the_strategy_switch_shows_one_strategy_and_all_again(watched):
    page = watched.page
    keys = "parts => [...new Set(parts.filter(part => !part.hidden).map(part => part.dataset.strategy))]"
    assert len(page.eval_on_selector_all("[data-strategy]", keys)) == 4
    page.check("input[name=strategy][value=self_consumption]")
    assert page.eval_on_selector_all("[data-strategy]", keys) == ["self_consumption"]
    assert page.is_visible("#map-box-map-1")
    assert page.is_hidden("#map-box-map-0")
    page.check("input[name=strategy][value='']")
    assert page.is_visible("#map-box-map-0")


def test_a_strategy_that_stopped_early_has_no_colours_after_its_end(browser, tmp_path, make_stored_run):
    path = write_report(make_stored_run(tmp_path / "stopped", stop={"mpc": 50}))
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("#map-control.ready")
    _move(page, 120)
    assert page.inner_text("#map-box-map-3 .state") == "No values are stored for this time."
    assert set(_fills(page, 3)) == {"#fff"}
    assert "pu" in page.inner_text("#map-box-map-0 .state")
    context.close()


def test_everything_is_readable_without_script(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("figure svg:visible").count() == page.locator("figure svg").count()
    assert page.is_hidden("#map-control")
    assert page.is_hidden(".bar")
    context.close()


def test_paper_shows_every_strategy_and_no_controls(watched):
    page = watched.page
    page.check("input[name=strategy][value=mpc]")
    page.emulate_media(media="print")
    assert page.locator("figure svg:visible").count() == page.locator("figure svg").count()
    assert page.is_hidden("#map-control")
    assert page.is_hidden(".bar")


def test_it_prints_to_a_pdf_of_a_sensible_length(watched):
    data = watched.page.pdf(prefer_css_page_size=True)
    assert data.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    assert 8 <= pages <= 24


def test_paper_draws_figures_at_full_width_and_leaves_out_calm_tables(watched):
    page = watched.page
    page.set_viewport_size({"width": 700, "height": 990})
    calm = page.locator(".calm")
    assert calm.count() > 0
    assert page.is_visible(".calm >> nth=0")
    page.emulate_media(media="print")
    assert not any(calm.nth(place).is_visible() for place in range(calm.count()))
    assert page.is_visible(".paper")
    widths = page.eval_on_selector_all(
        "#flow figure svg", "parts => parts.map(part => part.getBoundingClientRect().width)"
    )
    whole = page.eval_on_selector("main", "part => part.getBoundingClientRect().width")
    assert min(widths) > 0.98 * whole


def test_a_bus_held_by_the_upstream_grid_keeps_its_look_at_every_step(watched):
    page = watched.page
    held = "#map-box-map-0 .mb circle.held"
    for step in (8, 52):
        _move(page, step)
        assert page.eval_on_selector_all(held, "parts => parts.map(part => part.getAttribute('fill'))") == [
            "#ffffff"
        ]


def test_flows_in_megawatts_read_the_same_in_script_and_page(browser, tmp_path, make_stored_run):
    path = write_report(make_stored_run(tmp_path / "run", days=1, n_buses=12))
    text = path.read_text(encoding="utf-8")
    start, stop = text.index("  const figure ="), text.index("  const slider =")
    page = browser.new_page()
    found = page.evaluate(f"() => {{ {text[start:stop]} return [90000, -12345.6, 9999.94, 3].map(power); }}")
    assert found == ["90.00 MW", "\u221212.35 MW", "9\u202f999.9 kW", "3.0 kW"]
    page.close()


@pytest.fixture(scope="module")
def community_pages(tmp_path_factory, make_community_run):
    folder = make_community_run(tmp_path_factory.mktemp("run") / "communities")
    return {"report": write_report(folder), "member": write_member_page(folder, "Borgo farm 14")}


@pytest.fixture(params=["report", "member"])
def community_page(browser, community_pages, request):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    seen = Watched(context.new_page())
    seen.page.goto(community_pages[request.param].as_uri())
    seen.page.eval_on_selector_all("details", "parts => parts.forEach(part => { part.open = true; })")
    yield seen
    context.close()


@pytest.fixture
def communities(browser, community_pages):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(community_pages["report"].as_uri())
    page.wait_for_selector("#map-control.ready")
    yield page
    context.close()


def test_pages_on_communities_open_offline_without_a_message_or_a_request(community_page):
    outside = [url for url in community_page.requests if not url.startswith(("data:", "blob:"))]
    assert outside == [community_page.page.url]
    assert community_page.messages == []


@pytest.mark.parametrize("width", [1280, 420])
def test_axe_finds_no_violation_on_pages_on_communities(community_page, width):
    community_page.page.set_viewport_size({"width": width, "height": 900})
    result = Axe().run(community_page.page)
    assert result.violations_count == 0, result.generate_report()


def test_nothing_on_communities_is_wider_than_the_window(community_page):
    for width in (1280, 800, 420):
        community_page.page.set_viewport_size({"width": width, "height": 900})
        assert community_page.page.evaluate("document.documentElement.scrollWidth") <= width


def test_words_of_a_figure_stay_inside_it(community_page):
    outside = community_page.page.eval_on_selector_all(
        ".communities svg text",
        """parts => parts.filter(part => {
            const box = part.getBoundingClientRect(), svg = part.ownerSVGElement.getBoundingClientRect();
            return box.left < svg.left - 1 || box.right > svg.right + 1 || box.top < svg.top - 1 || box.bottom > svg.bottom + 1;
        }).map(part => part.textContent)""",
    )
    assert outside == []


def test_headings_on_communities_never_skip_a_level(community_page):
    levels = community_page.page.eval_on_selector_all(
        "h1, h2, h3, h4", "parts => parts.map(part => Number(part.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_strategy_switch_reaches_into_the_communities(communities):
    page = communities
    page.eval_on_selector_all("details", "parts => parts.forEach(part => { part.open = true; })")
    page.check("input[name=strategy][value=mpc]")
    shown = page.eval_on_selector_all(
        ".communities [data-strategy]",
        "parts => [...new Set(parts.filter(part => part.checkVisibility()).map(part => part.dataset.strategy))]",
    )
    assert shown == ["mpc"]


def test_details_open_from_the_keyboard(communities):
    page = communities
    page.click("a[href='#community-2']")
    assert page.is_hidden("#community-1-week-0-t >> xpath=..")
    page.focus("article[aria-labelledby=community-2] summary")
    page.keyboard.press("Enter")
    assert page.is_visible("#community-1-week-0-t >> xpath=..")


def test_paper_shows_unfolded_communities_only(communities):
    page = communities
    page.click("article[aria-labelledby=community-1] summary")
    page.emulate_media(media="print")
    assert page.is_visible("#community-0-week-0-t >> xpath=..")
    assert page.is_hidden("article[aria-labelledby=community-2] details")
    assert page.is_visible("#value-0-t >> xpath=..")
