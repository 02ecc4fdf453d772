"""The acceptance test of an inverter over TCP: what it finds, what it writes, and what it leaves behind."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from acceptance_rig import FollowingBank, Run, accepted, written
from guard_rig import ENABLED, LIMIT, RATED_KW, SERIAL, config_for, guard_place, running_inverter, until

from hil_adapters.acceptance.pages import html_page, write_reports
from hil_adapters.acceptance.results import Outcome
from hil_adapters.guard.evidence import load_report, map_sha256, objections, release_objection
from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardState
from hil_adapters.maps.loader import load_map


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that a socket's path fits in, where guardians register."""
    patch = pytest.MonkeyPatch()
    with patch.context() as inside, guard_place(inside) as folder:
        yield folder


@pytest.fixture(scope="module")
def good(place: Path) -> Run:
    """The test of an inverter that does everything right."""
    return accepted(place, FollowingBank())


def test_a_good_inverter_passes_every_check(good: Run) -> None:
    assert good.names(Outcome.FAILED) == []
    assert good.result.passed
    assert good.names(Outcome.NOT_APPLICABLE) == [
        "scale and sign against a meter",
        "slope of power over voltage",
    ]


def test_every_part_of_the_test_is_made(good: Run) -> None:
    assert good.names(Outcome.PASSED) == [
        "identity",
        "register map",
        "latency",
        "errors",
        "values",
        "plausibility",
        "wrong request",
        "second client",
        "reconnect",
        "nobody commands it",
        "write access",
        "guard of p_limit_kw",
        "step of p_limit_kw",
        "execution within 10 s of p_limit_kw",
        "step back of p_limit_kw",
        "e-stop of p_limit_kw",
        "watchdog of p_limit_kw",
        "restore",
        "state after the test",
    ]


def test_the_release_of_the_watchdog_is_measured(good: Run) -> None:
    proof = good.result.report.watchdog["p_limit_kw"]
    assert proof.timeout_s == 1.0
    # the timer of the device counts whole writes, readings come every 0.05 s
    assert proof.released_after_s is not None
    assert 0.95 <= proof.released_after_s <= 1.6


def test_the_figure_goes_on_until_the_power_after_the_release_is_seen(good: Run) -> None:
    (trace,) = good.result.traces
    ended_s = next(at_s for at_s, value in reversed(trace.asked_kw) if value is None)
    last = trace.power_kw[-10:]
    assert [value for _, value in last] == pytest.approx(10 * [-4.0])
    assert last[0][0] > ended_s


def test_nothing_above_the_limit_of_the_lab_was_written_but_what_the_device_held_itself(good: Run) -> None:
    own, *tried, restored = written(good.bank.log, LIMIT)
    assert (own, restored) == (100, 100), "its own value, while no limit is in force"
    assert max(tried) / 100.0 * RATED_KW == pytest.approx(3.0)
    assert min(tried) / 100.0 * RATED_KW >= 0.5


def test_every_write_stands_in_the_audit_before_it_reached_the_device_and_no_other(good: Run) -> None:
    told = [(line["address"], line["raw"]) for line in good.audit() if line["event"] == "write"]
    seen = [(entry["address"], entry["values"]) for entry in good.bank.log]
    assert told == seen
    assert good.result.writes == len(seen)
    for line, entry in zip(
        (line for line in good.audit() if line["event"] == "write"), good.bank.log, strict=True
    ):
        assert line["monotonic_ns"] / 1e9 <= entry["at_s"]


def test_the_device_is_left_as_it_was_found(good: Run) -> None:
    assert good.bank.registers[ENABLED] == 0
    assert good.bank.registers[LIMIT] == 100
    assert "limit_timer stays at 1 (before 0" in good.check("restore").text


def test_the_report_lets_a_guardian_arm_the_device_and_only_this_one(good: Run) -> None:
    report, loaded = good.result.report, load_map(good.folder.parent / "guarded.yaml")
    identity = {"serial": SERIAL, "version": "1.0", "fingerprint": report.device.fingerprint}
    now = dt.datetime.now(dt.UTC)
    assert objections(report, identity=identity, digest=map_sha256(loaded), now=now) == ()
    assert release_objection(report, "p_limit_kw", timeout_s=1.0) is None
    other = objections(report, identity={**identity, "serial": "X"}, digest=map_sha256(loaded), now=now)
    assert any("serial" in text for text in other)


def test_a_real_guardian_arms_with_the_report_that_was_written(good: Run, place: Path) -> None:
    file = place / "acceptance.json"
    page = write_reports(good.result, file)
    assert load_report(file) == good.result.report
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with running_inverter(place) as rig:
        config = config_for(place, rig.port, emulated=False, acceptance_file=file, step_s=0.5)
        with started_guardian(config) as link:
            until(lambda: link.exchange(None).devices["roof"].signals["p_kw"].value == -4.0, "it reads")
            link.arm("roof", f"roof {SERIAL}")
            assert link.exchange(None).devices["roof"].state is GuardState.ARMED


def test_the_page_shows_every_check_and_the_step_without_anything_from_elsewhere(good: Run) -> None:
    page = html_page(good.result)
    for check in good.result.results:
        assert check.name in page
    assert page.count("<polyline") >= 2
    assert "http" not in page
    assert "<script" not in page


def test_what_a_device_says_is_text_on_the_page_and_nothing_else(good: Run) -> None:
    page = html_page(replace(good.result, events=("<script>alert(1)</script>",)))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_frames_and_samples_of_the_test_are_kept(good: Run) -> None:
    names = {path.name.split("-")[0] for path in good.folder.iterdir()}
    assert {"frames", "samples", "audit.jsonl"} <= names


def test_what_is_no_number_never_stands_in_a_report(good: Run) -> None:
    text = json.dumps(json.loads(good.result.report.model_dump_json()), allow_nan=False)
    assert "NaN" not in text
    assert asdict(good.check("identity"))["value"] == SERIAL
