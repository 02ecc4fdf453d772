"""A guardian process: dry run, reading, trips, and what must be on file before a real device is armed."""

import contextlib
import dataclasses
import datetime as dt
import itertools
import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from guard_rig import (
    ENABLED,
    LIMIT,
    MAP_TEXT,
    SERIAL,
    TIMER,
    Feeder,
    Rig,
    armed,
    audit_of,
    commanded,
    config_for,
    running_inverter,
    state_of,
    told,
    written_map,
)

from hil_adapters.device.identity import fingerprint_of
from hil_adapters.errors import GuardError
from hil_adapters.guard.evidence import AcceptanceReport, map_sha256
from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardState, Image, Limits
from hil_adapters.maps.binding import resolve
from hil_adapters.maps.loader import load_map


def test_a_dry_run_logs_what_it_would_write_and_writes_nothing(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port, state=GuardState.DRY_RUN)) as link:
        feeder = Feeder(link.exchange)
        feeder.feed_until(
            lambda _image: any(line["event"] == "would_write" for line in audit_of(place)),
            "the audit tells",
            p_limit_kw=2.0,
        )
        assert feeder.image.devices["roof"].commanded == {}
        with pytest.raises(GuardError, match="stay dry_run"):
            link.arm("roof", "roof")
    would = [(line["point"], line["value"]) for line in audit_of(place) if line["event"] == "would_write"]
    assert would[:3] == [("limit_timer", 2.0), ("limit", 40.0), ("limit_enabled", 1.0)]
    assert rig.writes() == []


def test_a_guardian_that_only_reads_refuses_set_points_and_arming(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port, state=GuardState.READ_ONLY)) as link:
        feeder = Feeder(link.exchange)
        feeder.feed_until(
            lambda image: image.devices["roof"].signals["p_kw"].value == -4.0, "values", p_limit_kw=2.0
        )
        told(feeder, "set-points are refused: it is read_only")
        with pytest.raises(GuardError, match="stay read_only"):
            link.arm("roof", f"roof {SERIAL}")
    assert rig.writes() == []


def test_the_armed_time_ends_in_the_safe_state_and_is_not_renewed_by_steps(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port, armed_for_s=1.0)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        feeder.feed_until(lambda image: state_of(image) is GuardState.READ_ONLY, "disarmed", p_limit_kw=2.0)
        told(feeder, "safe state reached: the time for which it was armed is over")
        assert rig.writes()[-1]["values"] == [0]
        n_writes = len(rig.writes())
        began_s = time.monotonic()
        feeder.feed_until(lambda _image: time.monotonic() - began_s > 0.7, "time passes", p_limit_kw=2.0)
        assert len(rig.writes()) == n_writes
        assert state_of(feeder.image) is GuardState.READ_ONLY


def test_a_trip_is_safe_when_it_returns_latches_and_is_armed_again_only_by_a_person(
    place: Path, rig: Rig
) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        link.trip("smoke")
        assert (rig.writes()[-1]["address"], rig.writes()[-1]["values"]) == (ENABLED, [0])
        n_writes = len(rig.writes())
        assert state_of(feeder.feed(p_limit_kw=2.0)) is GuardState.TRIPPED
        with pytest.raises(GuardError, match="smoke"):
            link.arm("roof", f"roof {SERIAL}")
        link.reset("roof")
        assert state_of(feeder.feed(p_limit_kw=2.0)) is GuardState.READ_ONLY
        assert len(rig.writes()) == n_writes
        link.arm("roof", f"roof {SERIAL}")
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force again", p_limit_kw=2.0)


def test_a_measured_value_outside_the_limits_of_the_lab_trips(place: Path, rig: Rig) -> None:
    limits = {"temp_degc": Limits(low=-10.0, high=60.0)}
    with started_guardian(config_for(place, rig.port, limits=limits)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        rig.put(23, 61)
        feeder.feed_until(lambda image: state_of(image) is GuardState.TRIPPED, "tripped", p_limit_kw=2.0)
        told(feeder, "temp_degc is 61")
        assert rig.writes()[-1]["values"] == [0]


def test_a_second_master_is_told_of_not_fought_and_trips_in_the_end(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)

        def tripped(image: Image) -> bool:
            rig.put(LIMIT, 90)
            return state_of(image) is GuardState.TRIPPED

        feeder.feed_until(tripped, "tripped", p_limit_kw=2.0)
        assert "contention" in " ".join(feeder.events)
        # the timer is written once for each refresh: never faster than a third of 2 s
        at_s = [write["at_s"] for write in rig.writes() if write["address"] == TIMER]
        assert all(later - earlier > 0.4 for earlier, later in itertools.pairwise(at_s))
        assert rig.writes()[-1]["address"] == ENABLED


def test_a_device_that_does_not_keep_what_is_written_is_not_commanded(place: Path) -> None:
    text = MAP_TEXT.replace(
        "limit_timer, address: 30", "limit_timer, address: 37"
    )  # a register that the device refuses
    written_map(place, text)
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(
            lambda _image: any("the device refuses it" in event for event in feeder.events),
            "the refusal",
            p_limit_kw=2.0,
        )
        # without its timer the limit itself was never written
        assert {write["address"] for write in rig.writes()} == {37}


def test_an_audit_that_cannot_be_written_trips_and_still_brings_the_safe_state(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        size = (place / "run" / "audit.jsonl").stat().st_size
        resource.prlimit(link.pid, resource.RLIMIT_FSIZE, (size + 100, size + 100))
        feeder.feed_until(lambda image: state_of(image) is GuardState.TRIPPED, "tripped", p_limit_kw=2.0)
        told(feeder, "safe state reached")
        assert (rig.writes()[-1]["address"], rig.writes()[-1]["values"]) == (ENABLED, [0])
        report = link.stop()
    # nothing was written without a record: those that the disk did not take came with the report
    lost = [json.loads(event) for event in report.events if event.startswith("{")]
    recorded = [line for line in (*audit_of(place), *lost) if line["event"] == "write"]
    assert [(line["address"], line["raw"]) for line in recorded] == [
        (write["address"], write["values"]) for write in rig.writes()
    ]


def test_another_serial_number_is_never_armed_nor_written(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port, serial="SN-1")) as link:
        feeder = Feeder(link.exchange)
        told(feeder, f"serial number {SERIAL} answers")
        feeder.feed(p_limit_kw=2.0)
        assert state_of(feeder.image) is GuardState.READ_ONLY
        with pytest.raises(GuardError, match="not identified"):
            link.arm("roof", "roof SN-1")
    assert rig.writes() == []


def test_a_device_that_is_another_one_after_a_reconnect_gets_no_write_at_all(place: Path) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running_inverter(place))
        link = stack.enter_context(started_guardian(config_for(place, first.port)))
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        first.process.kill()
        feeder.feed_until(lambda image: commanded(image) is None, "the loss is seen", p_limit_kw=2.0)
        n_writes = len(first.writes())
        second = stack.enter_context(running_inverter(place, first.port, serial="SN-9"))
        feeder.feed_until(
            lambda _image: any("SN-9 answers" in event for event in feeder.events), "noticed", p_limit_kw=2.0
        )
        began_s = time.monotonic()
        feeder.feed_until(lambda _image: time.monotonic() - began_s > 1.0, "time passes", p_limit_kw=2.0)
        assert commanded(feeder.image) is None
        report = link.stop()
        assert len(second.writes()) == n_writes
    assert not report.devices["roof"].released
    assert "full power" in report.devices["roof"].text


def accepted(folder: Path, **changes: Any) -> Path:
    """Write a report of the acceptance test of the inverter."""
    map_ = load_map(folder / "guarded.yaml")
    report = {
        "device": {
            "manufacturer": None,
            "model": None,
            "version": "1.0",
            "serial": SERIAL,
            "fingerprint": fingerprint_of(resolve(map_), {"version": "1.0"}),
        },
        "map": "guarded",
        "map_sha256": map_sha256(map_),
        "performed": dt.datetime.now(dt.UTC) - dt.timedelta(hours=1),
        "valid_days": 30,
        "passed": True,
        "checks": [],
        "watchdog": {"p_limit_kw": {"timeout_s": 2.0, "released_after_s": 2.1}},
        "slope_kw_v": None,
    }
    file = folder / "accepted.json"
    file.write_text(AcceptanceReport.model_validate(report | changes).model_dump_json(), encoding="utf-8")
    return file


def test_a_real_device_is_armed_by_its_report_and_its_typed_name_and_serial_number(
    place: Path, rig: Rig
) -> None:
    config = config_for(place, rig.port, emulated=False, acceptance_file=accepted(place), step_s=0.01)
    with started_guardian(config) as link:
        feeder = Feeder(link.exchange)
        feeder.look_until(lambda image: image.devices["roof"].signals["p_kw"].value == -4.0, "values")
        assert state_of(feeder.feed(p_limit_kw=2.0)) is GuardState.READ_ONLY
        with pytest.raises(GuardError, match="type its name and serial number"):
            link.arm("roof", "yes")
        link.arm("roof", f"roof {SERIAL}")
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        # nobody else commands the same device meanwhile, whatever its address
        second = dataclasses.replace(config, folder=place / "second")
        with started_guardian(second) as other:
            rival = Feeder(other.exchange)
            rival.look_until(lambda image: image.devices["roof"].signals["p_kw"].value == -4.0, "values")
            with pytest.raises(GuardError, match="another guardian commands this device"):
                other.arm("roof", f"roof {SERIAL}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"acceptance_file": None}, "no acceptance report"),
        ({"serial": None}, "no serial number is configured"),
        ({"step_s": None}, "time of a step is not configured"),
        ({"limits": {"p_limit_kv": Limits(low=0.0, high=1.0)}}, "has no p_limit_kv"),
        ({"proof": {}}, "did not prove"),
        ({"passed": False}, "acceptance test failed"),
    ],
)
def test_a_real_device_is_not_armed_without_evidence(
    place: Path, rig: Rig, changes: dict[str, Any], said: str
) -> None:
    report = {"watchdog": changes.pop("proof")} if "proof" in changes else {}
    if "passed" in changes:
        report["passed"] = changes.pop("passed")
    settings = {"emulated": False, "acceptance_file": accepted(place, **report), "step_s": 1.0}
    with started_guardian(config_for(place, rig.port, **(settings | changes))) as link:
        feeder = Feeder(link.exchange)
        feeder.look_until(lambda image: image.devices["roof"].signals["p_kw"].value == -4.0, "values")
        with pytest.raises(GuardError, match=said):
            link.arm("roof", f"roof {SERIAL}")
        assert state_of(feeder.feed(p_limit_kw=2.0)) is GuardState.READ_ONLY
    assert rig.writes() == []


def test_a_run_faster_than_real_time_trips_a_real_device(place: Path, rig: Rig) -> None:
    config = config_for(place, rig.port, emulated=False, acceptance_file=accepted(place), step_s=60.0)
    with started_guardian(config) as link:
        feeder = Feeder(link.exchange)
        feeder.look_until(lambda image: image.devices["roof"].signals["p_kw"].value == -4.0, "values")
        link.arm("roof", f"roof {SERIAL}")
        feeder.feed_until(lambda image: state_of(image) is GuardState.TRIPPED, "tripped", p_limit_kw=2.0)
        told(feeder, "faster than real time")
        link.trip("nothing is left to do")
        assert not rig.writes() or rig.writes()[-1]["values"] == [0]
