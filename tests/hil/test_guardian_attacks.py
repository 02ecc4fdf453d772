"""What must never happen, tried on a guardian process and the device that it commands."""

import contextlib
import json
import socket
import struct
import time
from pathlib import Path

import pytest
from guard_rig import (
    ENABLED,
    LIMIT,
    MAP_TEXT,
    Rig,
    armed,
    audit_of,
    commanded,
    config_for,
    running_inverter,
    state_of,
    told,
    until,
    written_map,
)

from hil_adapters.guard.calling import ask, call, dial
from hil_adapters.guard.encoding import pack
from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardState, SetPoints

FEEDER_TIMEOUT_S = 2.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# ---------------------------------------------------------------------- e-stop and trips


def test_an_estop_whose_reason_is_no_text_still_lets_go(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        link.trip("pulled by \udcff")
        assert (rig.writes()[-1]["address"], rig.writes()[-1]["values"]) == (ENABLED, [0])
        assert state_of(feeder.look()) is GuardState.TRIPPED


TWO_RELEASES = MAP_TEXT.replace(
    "    release:\n      - {point: limit_enabled, value: 0}\n",
    "    release:\n      - {point: limit_enabled, value: 0}\n      - {point: limit, value: 100}\n",
)


def test_a_release_that_the_device_refuses_trips_and_does_not_hammer_it(place: Path) -> None:
    written_map(place, TWO_RELEASES)
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        rig.refuse(ENABLED)
        feeder.feed_until(
            lambda image: state_of(image) is GuardState.TRIPPED, "tripped", p_limit_kw=float("inf")
        )
        told(feeder, "the safe state is not confirmed")
        # what comes after it in the sequence is done all the same
        until(lambda: (LIMIT, [100]) in [(w["address"], w["values"]) for w in rig.writes()], "the rest")
        before, began_s = len(rig.writes()), time.monotonic()
        feeder.feed_until(lambda _image: time.monotonic() - began_s > 4.0, "time passes", p_limit_kw=2.0)
        assert len(rig.writes()) - before <= 8
        assert len(audit_of(place)) < 100


# ---------------------------------------------------------------------- the socket


def test_a_feeder_that_never_reads_does_not_keep_the_guardian_from_ending(place: Path, rig: Rig) -> None:
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(started_guardian(config_for(place, rig.port)))
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        with contextlib.closing(dial(link.socket_file, timeout_s=0.5)) as deaf:
            with contextlib.suppress(TimeoutError):
                while True:
                    deaf.sendall(pack({"kind": "status"}) * 1000)
            began_s = time.monotonic()
            report = link.stop()
            assert report.devices["roof"].released
            assert time.monotonic() - began_s < 8.0


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"kind":"trip","reason":"' + b"x" * 100 + b'"'])
def test_a_message_that_cannot_be_read_is_answered_with_a_refusal_or_the_end(
    place: Path, rig: Rig, body: bytes
) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        armed(link)
        with contextlib.closing(dial(link.socket_file, timeout_s=FEEDER_TIMEOUT_S)) as connection:
            connection.sendall(struct.pack(">I", len(body)) + body)
            assert b"not JSON" in connection.recv(4096)
        call(link.socket_file, {"kind": "status"}, timeout_s=FEEDER_TIMEOUT_S)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", True),
        ("step", "7"),
        ("step", 7.5),
        ("step", float("inf")),
        ("step", 10**400),
        ("expires_s", True),
        ("values", {"roof": {"p_limit_kw": True}}),
        ("values", {"roof": {"p_limit_kw": "2"}}),
        ("values", {"roof": {"p_limit_kw": [2.0]}}),
        ("values", {"roof": None}),
    ],
)
def test_set_points_of_another_form_are_refused_and_the_feeder_keeps_its_connection(
    place: Path, rig: Rig, key: str, value: object
) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        armed(link)
        good = {"step": 1, "expires_s": 5.0, "sent_s": time.monotonic(), "values": {}}
        feed = link._feed
        with pytest.raises(Exception, match=r"another form|stands where"):
            ask_raw(feed, {"kind": "exchange", "set_points": good | {key: value}})
        assert ask(feed, {"kind": "exchange", "set_points": good}, timeout_s=FEEDER_TIMEOUT_S)["devices"]
    assert rig.writes() == []


def ask_raw(connection: socket.socket, message: dict[str, object]) -> None:
    """Ask with numbers that no link sends; raise what is answered."""
    body = json.dumps(message).encode()
    connection.sendall(struct.pack(">I", len(body)) + body)
    answer = json.loads(connection.recv(int.from_bytes(connection.recv(4))))
    raise ValueError(answer["error"])


def test_a_feeder_that_repeats_old_steps_is_told_once(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port, feed_timeout_s=20.0)) as link:
        feeder = armed(link)
        feeder.step = 1000
        feeder.feed(p_limit_kw=2.0)
        events: list[str] = []
        for step in range(200):
            events += link.exchange(SetPoints(step=step, expires_s=5.0, values={})).events
        assert sum("is not newer" in event for event in events) <= 2
