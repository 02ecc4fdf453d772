"""A guardian process with a device: what it carries out and what it refuses."""

import contextlib
import itertools
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from guard_rig import (
    ENABLED,
    LIMIT,
    TIMER,
    Rig,
    armed,
    audit_of,
    commanded,
    config_for,
    state_of,
    told,
    until,
)
from outside import lacking, program

from hil_adapters.errors import GuardError
from hil_adapters.guard.calling import ask, dial
from hil_adapters.guard.encoding import set_points_to_json
from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardState, Image, Limits, SetPoints


def test_a_limit_is_written_timer_first_read_back_refreshed_and_released(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        assert [(write["address"], write["values"]) for write in rig.writes()] == [
            (TIMER, [2]),
            (LIMIT, [40]),
            (ENABLED, [1]),
        ]
        # a third of the 2 s of the watchdog
        feeder.feed_until(lambda _image: len(rig.writes()) >= 9, "refreshed twice", p_limit_kw=2.0)
        at_s = [write["at_s"] for write in rig.writes() if write["address"] == TIMER]
        assert all(later - earlier < 1.0 for earlier, later in itertools.pairwise(at_s))
        feeder.feed_until(lambda image: commanded(image) is None, "released", p_limit_kw=float("inf"))
        assert rig.writes()[-1]["values"] == [0]
        signals = feeder.image.devices["roof"].signals
        assert signals["p_kw"].value == -4.0
        assert signals["p_kw"].age_s(time.monotonic()) < 5.0
    assert link.report is not None
    assert link.report.devices["roof"].released
    assert link.report.devices["roof"].state is GuardState.OFF
    assert [(line["address"], line["raw"]) for line in audit_of(place) if line["event"] == "write"] == [
        (write["address"], write["values"]) for write in rig.writes()
    ]


def is_commanded(limit_kw: float, image: Image) -> bool:
    return commanded(image) == limit_kw


def test_every_write_of_the_wire_is_in_the_audit_as_tshark_sees_it(place: Path, rig: Rig) -> None:
    tshark = program("tshark")
    file = place / "wire.pcapng"
    with subprocess.Popen(
        [tshark, "-q", "-i", "lo", "-f", f"tcp port {rig.port}", "-w", str(file)],
        stderr=subprocess.PIPE,
        text=True,
    ) as capture:
        assert capture.stderr is not None
        for line in capture.stderr:
            if "Capturing on" in line:
                break
        else:
            lacking("capturing is not permitted here: give dumpcap its capabilities, or run as root")
        # the line comes before the capture stands; traffic of ours shows when it does
        until(lambda: knock(rig.port) and file.exists() and file.stat().st_size > 1000, "the capture stands")
        with started_guardian(config_for(place, rig.port)) as link:
            feeder = armed(link)
            for limit_kw in (2.0, 3.0, 1.0):
                feeder.feed_until(partial(is_commanded, limit_kw), "in force", p_limit_kw=limit_kw)
        size = file.stat().st_size
        until(lambda: knock(rig.port) and file.stat().st_size > size, "the last frames are written")
        capture.terminate()
        capture.communicate()
    seen = subprocess.run(
        [tshark, "-r", str(file), "-d", f"tcp.port=={rig.port},mbtcp", "-o", f"mbtcp.tcp.port:{rig.port}", "-T", "fields",
         "-Y", f"(modbus.func_code==6 || modbus.func_code==16) && tcp.dstport=={rig.port}",
         "-e", "modbus.reference_num", "-e", "modbus.data", "-e", "modbus.regval_uint16", "-e", "modbus.func_code"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    on_the_wire = [int(row.split("\t")[0]) for row in seen.stdout.splitlines()]
    assert on_the_wire == [line["address"] for line in audit_of(place) if line["event"] == "write"]
    assert len(on_the_wire) >= 6


def knock(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), timeout=2.0).close()
    return True


def test_what_is_no_number_and_what_the_map_does_not_know_never_reaches_the_wire(
    place: Path, rig: Rig
) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed(p_limit_kw=float("nan"), p_set_kw=1.0, mode=3.0)
        for text in ("p_limit_kw: is not a number", "no such command"):
            told(feeder, text)
    assert rig.writes() == []
    refused = [line["why"] for line in audit_of(place) if line["event"] == "refused"]
    assert len(refused) == 3


def test_a_limit_is_clamped_to_the_lab_and_ramped_down_to_it(place: Path, rig: Rig) -> None:
    limits = {"p_limit_kw": Limits(low=1.0, high=4.0, ramp_per_s=2.0)}
    with started_guardian(config_for(place, rig.port, limits=limits)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 1.0, "the end of the ramp", p_limit_kw=0.5)
        told(feeder, "clamped to 1 by the lab's limit")
    writes = [write for write in rig.writes() if write["address"] == LIMIT]
    levels = [write["values"][0] for write in writes]
    # 4 kW (80 %) is the top of the lab's range, the ramp is 2 kW/s: 40 % per second
    assert levels[0] >= 40
    assert levels[-1] == 20
    steps = itertools.pairwise(writes)
    assert all(
        earlier["values"][0] - later["values"][0] <= 40 * min(1.0, later["at_s"] - earlier["at_s"] + 0.1) + 1
        for earlier, later in steps
    )


def test_an_expired_set_point_is_released_although_the_run_lives(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        feeder.feed(expires_s=0.2, p_limit_kw=2.0)
        feeder.feed_until(lambda image: commanded(image) is None, "released")
        assert state_of(feeder.image) is GuardState.ARMED
        assert rig.writes()[-1]["values"] == [0]
        told(feeder, "the set-point has expired")


def test_a_command_that_waited_before_it_was_sent_is_not_carried_out(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        old = set_points_to_json(
            SetPoints(step=1, expires_s=60.0, values={"roof": {"p_limit_kw": 2.0}}),
            sent_s=time.monotonic() - 10.0,
        )
        ask(link._feed, {"kind": "exchange", "set_points": old}, timeout_s=2.0)
        feeder.step = 1
        feeder.feed_until(lambda _image: bool(feeder.look().devices), "a turn")
        assert rig.writes() == []


def test_only_one_run_feeds_a_guardian(place: Path, rig: Rig) -> None:
    with (
        started_guardian(config_for(place, rig.port)) as link,
        contextlib.closing(dial(link.socket_file, timeout_s=2.0)) as second,
    ):
        with pytest.raises(GuardError, match="another run feeds"):
            ask(second, {"kind": "feed", "pid": 1}, timeout_s=2.0)
        with pytest.raises(GuardError, match="claim it first"):
            ask(second, {"kind": "exchange", "set_points": None}, timeout_s=2.0)
