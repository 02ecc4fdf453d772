"""Who may be armed, by what evidence, for how long; and whether the run behind the guardian lives."""

import datetime as dt
import math
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.errors import GuardError, TrippedError
from hil_adapters.guard.evidence import (
    AcceptanceReport,
    load_report,
    map_sha256,
    objections,
    release_objection,
)
from hil_adapters.guard.feed import Feed, SleepDetector
from hil_adapters.guard.locks import DeviceLock
from hil_adapters.guard.messages import GuardState
from hil_adapters.guard.states import ArmingCase, DeviceStates
from hil_adapters.maps.loader import load_map

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
IDENTITY = {"serial": "SN-1", "version": "1.0", "fingerprint": "abc"}
GOOD_CASE = ArmingCase(identified=True, objections=(), confirmation="roof SN-1")


def reading(*, emulated: bool = False) -> DeviceStates:
    states = DeviceStates("roof", serial="SN-1", emulated=emulated, armed_for_s=60.0)
    states.start(GuardState.ARMED)
    return states


def report(**changes: Any) -> AcceptanceReport:
    about = {
        "device": {"manufacturer": "M", "model": "X", **IDENTITY},
        "map": "guarded",
        "map_sha256": "digest",
        "performed": NOW - dt.timedelta(days=1),
        "valid_days": 30,
        "passed": True,
        "checks": [{"name": "watchdog", "passed": True, "value": 31.0, "text": "released"}],
        "watchdog": {"p_limit_kw": {"timeout_s": 30.0, "released_after_s": 31.0}},
        "slope_kw_v": None,
    }
    return AcceptanceReport.model_validate(about | changes)


# ---------------------------------------------------------------------- states


def test_a_device_that_shall_be_armed_reads_first() -> None:
    assert reading().state is GuardState.READ_ONLY


def test_name_and_serial_number_typed_arm_an_identified_device() -> None:
    states = reading()
    states.arm(GOOD_CASE, now_s=0.0)
    assert states.state is GuardState.ARMED


@pytest.mark.parametrize("typed", ["", "roof", "SN-1", "yes", "roof SN-2", "Roof SN-1"])
def test_anything_else_typed_does_not_arm(typed: str) -> None:
    states = reading()
    with pytest.raises(GuardError, match="type its name and serial number"):
        states.arm(ArmingCase(identified=True, objections=(), confirmation=typed), now_s=0.0)
    assert states.state is GuardState.READ_ONLY


def test_an_emulated_device_is_armed_without_a_person() -> None:
    states = reading(emulated=True)
    states.arm(ArmingCase(identified=True, objections=(), confirmation=""), now_s=0.0)
    assert states.armed


@pytest.mark.parametrize("emulated", [True, False])
def test_neither_an_unidentified_device_nor_one_with_objections_is_armed(*, emulated: bool) -> None:
    states = reading(emulated=emulated)
    with pytest.raises(GuardError, match="not identified"):
        states.arm(ArmingCase(identified=False, objections=(), confirmation="roof SN-1"), now_s=0.0)
    with pytest.raises(GuardError, match="test failed"):
        states.arm(
            ArmingCase(identified=True, objections=("test failed",), confirmation="roof SN-1"), now_s=0.0
        )
    assert not states.armed


def test_arming_expires() -> None:
    states = reading()
    states.arm(GOOD_CASE, now_s=10.0)
    assert not states.has_expired(now_s=69.9)
    assert states.has_expired(now_s=70.0)


def test_a_trip_latches_and_only_a_reset_leads_back_to_reading() -> None:
    states = reading()
    states.arm(GOOD_CASE, now_s=0.0)
    states.trip("contention")
    states.trip("a second reason")
    states.disarm("a timeout")
    states.stop("the end")
    assert (states.state, states.reason) == (GuardState.TRIPPED, "contention")
    with pytest.raises(TrippedError, match="contention"):
        states.arm(GOOD_CASE, now_s=0.0)
    states.reset()
    assert states.state is GuardState.READ_ONLY


def test_a_dry_run_cannot_be_armed() -> None:
    states = DeviceStates("roof", serial=None, emulated=True, armed_for_s=60.0)
    states.start(GuardState.DRY_RUN)
    with pytest.raises(GuardError, match="dry_run"):
        states.arm(GOOD_CASE, now_s=0.0)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["start", "trip", "reset", "disarm", "stop", "bad case", "expire"]), max_size=25)
)
def test_nothing_but_arming_with_a_good_case_ever_arms(orders: list[str]) -> None:
    states = DeviceStates("roof", serial="SN-1", emulated=False, armed_for_s=60.0)
    do: dict[str, Callable[[], object]] = {
        "start": lambda: states.start(GuardState.ARMED),
        "trip": lambda: states.trip("x"),
        "reset": states.reset,
        "disarm": lambda: states.disarm("x"),
        "stop": lambda: states.stop("x"),
        "bad case": lambda: states.arm(
            ArmingCase(identified=True, objections=(), confirmation="roof"), now_s=0.0
        ),
        "expire": lambda: states.has_expired(now_s=math.inf),
    }
    for order in orders:
        try:
            do[order]()
        except GuardError:
            continue
        finally:
            assert not states.armed


# ---------------------------------------------------------------------- evidence


def test_a_fresh_report_of_this_device_has_nothing_against_it() -> None:
    assert objections(report(), identity=IDENTITY, digest="digest", now=NOW) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"passed": False, "checks": [{"name": "sign", "passed": False, "value": None, "text": ""}]}, "sign"),
        ({"performed": NOW - dt.timedelta(days=31)}, "was valid for 30 days"),
        ({"performed": NOW + dt.timedelta(hours=1)}, "in the future"),
        ({"performed": NOW.replace(tzinfo=None)}, "without time zone"),
        ({"map_sha256": "another"}, "register map has changed"),
        ({"device": {"manufacturer": "M", "model": "X", **IDENTITY, "serial": "SN-2"}}, "SN-2"),
        ({"device": {"manufacturer": "M", "model": "X", **IDENTITY, "version": "2.0"}}, "version"),
        ({"device": {"manufacturer": "M", "model": "X", **IDENTITY, "fingerprint": "x"}}, "fingerprint"),
    ],
)
def test_a_report_of_another_time_device_or_map_forbids_arming(changes: dict[str, Any], said: str) -> None:
    found = objections(report(**changes), identity=IDENTITY, digest="digest", now=NOW)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("proof", "said"),
    [
        ({}, "did not prove"),
        ({"p_limit_kw": {"timeout_s": 60.0, "released_after_s": 31.0}}, "tested with 60 s"),
        ({"p_limit_kw": {"timeout_s": 30.0, "released_after_s": None}}, "did not let go"),
        ({"p_limit_kw": {"timeout_s": 30.0, "released_after_s": 48.0}}, "after 48 s only"),
    ],
)
def test_a_command_needs_a_watchdog_that_was_seen_to_release_it(proof: dict[str, Any], said: str) -> None:
    assert release_objection(report(), "p_limit_kw", timeout_s=30.0) is None
    found = release_objection(report(watchdog=proof), "p_limit_kw", timeout_s=30.0)
    assert found is not None
    assert said in found


def test_a_missing_report_and_a_file_that_is_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="no acceptance report"):
        load_report(tmp_path / "none.json")
    file = tmp_path / "other.json"
    file.write_text('{"format": 2}')
    with pytest.raises(GuardError, match="not an acceptance report: format"):
        load_report(file)
    file.write_text(report().model_dump_json())
    assert load_report(file) == report()


def test_the_digest_of_a_map_changes_with_any_rule_in_it() -> None:
    map_ = load_map("generic_charger")
    command = map_.commands["p_limit_kw"].model_copy(update={"text": "changed"})
    changed = map_.model_copy(update={"commands": {**map_.commands, "p_limit_kw": command}})
    assert map_sha256(map_) == map_sha256(load_map("generic_charger"))
    assert map_sha256(map_) != map_sha256(changed)


# ---------------------------------------------------------------------- the run behind it


def test_only_a_newer_step_shows_that_the_run_lives() -> None:
    feed = Feed(timeout_s=2.0, step_s=None)
    assert not feed.lives(now_s=0.0)
    feed.finished(1, sent_s=10.0, expires_s=5.0, now_s=10.0)
    assert feed.lives(now_s=12.0)
    with pytest.raises(GuardError, match="not newer"):
        feed.finished(1, sent_s=11.0, expires_s=5.0, now_s=11.0)
    assert not feed.lives(now_s=12.1)


def test_a_step_that_waited_too_long_on_its_way_is_not_carried_out() -> None:
    feed = Feed(timeout_s=2.0, step_s=None)
    with pytest.raises(GuardError, match=r"3\.0 s late"):
        feed.finished(1, sent_s=10.0, expires_s=5.0, now_s=13.0)
    assert not feed.has_begun


@pytest.mark.parametrize("sent_s", [11.0, math.nan])
def test_a_step_from_another_clock_is_refused(sent_s: float) -> None:
    with pytest.raises(GuardError, match="future"):
        Feed(timeout_s=2.0, step_s=None).finished(1, sent_s=sent_s, expires_s=5.0, now_s=10.0)


@pytest.mark.parametrize("expires_s", [math.inf, math.nan, 0.0, -1.0])
def test_set_points_that_never_expire_are_refused(expires_s: float) -> None:
    with pytest.raises(GuardError, match="must expire"):
        Feed(timeout_s=2.0, step_s=None).finished(1, sent_s=1.0, expires_s=expires_s, now_s=1.0)


def test_a_run_that_keeps_to_the_clock_or_catches_up_is_not_too_fast() -> None:
    feed = Feed(timeout_s=100.0, step_s=1.0)
    for step in range(10):
        feed.finished(step, sent_s=float(step), expires_s=5.0, now_s=float(step))
        assert feed.too_fast(now_s=float(step)) is None
    for step in range(10, 15):  # 5 s late, then five steps at once
        feed.finished(step, sent_s=15.0, expires_s=5.0, now_s=15.0)
    assert feed.too_fast(now_s=15.0) is None


def test_a_run_faster_than_real_time_is_noticed_at_its_fourth_step() -> None:
    feed = Feed(timeout_s=100.0, step_s=1.0)
    for step in range(3):
        feed.finished(step, sent_s=0.0, expires_s=5.0, now_s=0.0)
        assert feed.too_fast(now_s=0.0) is None
    feed.finished(3, sent_s=0.0, expires_s=5.0, now_s=0.0)
    assert "faster than real time" in str(feed.too_fast(now_s=0.0))


def test_sleep_of_the_machine_is_noticed_once_and_drift_is_not() -> None:
    clock = SleepDetector(monotonic_s=100.0, with_sleep_s=500.0)
    assert clock.slept_s(monotonic_s=101.0, with_sleep_s=501.2) == 0.0
    assert clock.slept_s(monotonic_s=102.0, with_sleep_s=3000.0) == pytest.approx(2497.8)
    assert clock.slept_s(monotonic_s=103.0, with_sleep_s=3001.0) == 0.0


# ---------------------------------------------------------------------- one master


def test_a_device_has_one_master_also_across_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMELLO_RUNTIME_DIR", str(tmp_path))
    take = "from hil_adapters.guard.locks import DeviceLock; DeviceLock('SN-1')"
    with DeviceLock("SN-1"), DeviceLock("SN-2"):
        with pytest.raises(GuardError, match=f"process {os.getpid()}"):
            DeviceLock("SN-1")
        other = subprocess.run([sys.executable, "-c", take], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert "another guardian commands this device" in other.stderr
    # the other one's end, however it came, gives the device free
    subprocess.run([sys.executable, "-c", take], check=True)
    DeviceLock("SN-1").release()


def test_the_folder_of_locks_is_for_every_user_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMELLO_RUNTIME_DIR", str(tmp_path))
    DeviceLock("SN-1").release()
    folder = tmp_path / "locks"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o666]
