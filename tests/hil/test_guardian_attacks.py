"""What must never happen, tried on a guardian process and the device that it commands."""

import asyncio
import contextlib
import itertools
import json
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guard_rig import (
    BATTERY_TEXT,
    ENABLED,
    LIMIT,
    MAP_TEXT,
    SERIAL,
    SET_ENABLED,
    SET_W,
    TIMER,
    Feeder,
    Rig,
    armed,
    audit_of,
    commanded,
    config_for,
    guard_place,
    running_inverter,
    state_of,
    told,
    until,
    written_map,
)

from hil_adapters.guard.assembling import assembled
from hil_adapters.guard.calling import ask, call, dial
from hil_adapters.guard.encoding import pack
from hil_adapters.guard.guardian import Guardian
from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardianConfig, GuardState, Image, Limits, SetPoints
from hil_adapters.samples import Quality

FEEDER_TIMEOUT_S = 2.0


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for guardians."""
    with guard_place(monkeypatch) as folder:
        yield folder


@pytest.fixture
def rig(place: Path) -> Iterator[Rig]:
    """A running inverter."""
    with running_inverter(place) as found:
        yield found


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


def test_a_trip_before_the_device_answers_is_not_forgotten_by_a_reset(place: Path) -> None:
    port = free_port()
    with started_guardian(config_for(place, port)) as link:
        feeder = Feeder(link.exchange)
        link.trip("somebody is at the terminals")
        link.reset("roof")
        with running_inverter(place, port) as rig:
            feeder.feed_until(
                lambda image: image.devices["roof"].signals["p_kw"].quality is Quality.GOOD,
                "read",
                p_limit_kw=2.0,
            )
            # the guardian arms an emulated device within a tenth of a second of its first reading
            began_s = time.monotonic()
            feeder.feed_until(lambda _image: time.monotonic() - began_s > 1.0, "time passes", p_limit_kw=2.0)
            assert state_of(feeder.image) is GuardState.READ_ONLY
            assert rig.writes() == []


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


# ---------------------------------------------------------------------- limits


def test_rounding_does_not_lead_beyond_the_limit_of_the_lab(place: Path, rig: Rig) -> None:
    # 1 % of 5 kW are 50 W: 2.333 kW are 46.66 %, and 47 % would be 2.35 kW
    config = config_for(place, rig.port, limits={"p_limit_kw": Limits(low=1.333, high=2.333)})
    with started_guardian(config) as link:
        feeder = armed(link)
        feeder.feed_until(
            lambda image: commanded(image) == pytest.approx(2.3), "the upper end", p_limit_kw=5.0
        )
        n_writes = len(rig.writes())
        began_s = time.monotonic()
        feeder.feed_until(lambda _image: time.monotonic() - began_s > 0.5, "time passes", p_limit_kw=5.0)
        assert len(rig.writes()) - n_writes <= 3 * 3, "it is there, and only refreshed"
        feeder.feed_until(
            lambda image: commanded(image) == pytest.approx(1.35), "the lower end", p_limit_kw=0.0
        )
    values = {write["values"][0] for write in rig.writes() if write["address"] == LIMIT}
    assert values == {46, 27}


def test_nothing_is_asked_of_a_device_whose_bounded_temperature_is_not_known(place: Path) -> None:
    written_map(
        place, MAP_TEXT.replace("unit: degC, group: fast", "unit: degC, group: fast, missing: [0x8000]")
    )
    with running_inverter(place) as rig:
        config = config_for(place, rig.port, limits={"temp_degc": Limits(low=-20.0, high=60.0)})
        with started_guardian(config) as link:
            feeder = armed(link)
            feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
            rig.put(23, 0x8000)
            feeder.feed_until(lambda image: commanded(image) is None, "released", p_limit_kw=2.0)
            assert "temp_degc" in told(feeder, "not known")
            rig.put(23, 25)
            feeder.feed_until(lambda image: commanded(image) == 2.0, "in force again", p_limit_kw=2.0)


def test_releasing_in_between_does_not_get_around_the_shortest_time_between_two_writes(place: Path) -> None:
    written_map(
        place,
        MAP_TEXT.replace(
            "    high: 100\n    class: volatile\n",
            "    high: 100\n    min_interval_s: 2\n    class: volatile\n",
        ),
    )
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        for _ in range(4):
            feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
            feeder.feed_until(lambda image: commanded(image) is None, "released", p_limit_kw=float("inf"))
        at_s = [write["at_s"] for write in rig.writes() if write["address"] == LIMIT]
        assert min(later - earlier for earlier, later in itertools.pairwise(at_s)) > 1.5


# ---------------------------------------------------------------------- the device


def test_without_a_timer_that_reads_back_no_set_point_follows(place: Path, rig: Rig) -> None:
    rig.ignore(TIMER)
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: state_of(image) is GuardState.TRIPPED, "tripped", p_limit_kw=2.0)
        told(feeder, "limit_timer holds 0 after 2 was written")
    assert LIMIT not in {write["address"] for write in rig.writes()}


def test_a_timer_that_stops_being_kept_trips_and_lets_go(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        rig.put(TIMER, 0)
        rig.ignore(TIMER)
        feeder.feed_until(lambda image: state_of(image) is GuardState.TRIPPED, "tripped", p_limit_kw=2.0)
        told(feeder, "safe state reached")
        assert (rig.writes()[-1]["address"], rig.writes()[-1]["values"]) == (ENABLED, [0])


def test_a_rating_that_aged_while_the_device_was_away_is_read_again_before_it_counts(place: Path) -> None:
    written_map(place, MAP_TEXT.replace("unit: W, group: once", "unit: W, group: slow"))
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        rig.process.send_signal(signal.SIGSTOP)

        def aged(image: Image) -> bool:
            return image.devices["roof"].signals["p_rated_kw"].quality is Quality.STALE

        until(lambda: aged(feeder.feed(p_limit_kw=2.0)), "the rating is stale", timeout_s=40.0)
        rig.process.send_signal(signal.SIGCONT)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force again", p_limit_kw=2.0)
    assert not [event for event in feeder.events if "stale" in event]


async def flapping(config: GuardianConfig, *, for_s: float) -> None:
    with assembled(config) as devices:
        guardian = Guardian(config, devices, clock_with_sleep=time.monotonic)
        life = asyncio.create_task(guardian.run())
        guard, session, step = devices.guards["roof"], devices.sessions["roof"], 0
        async with asyncio.timeout(20.0):
            while True:
                if guard.states.state is GuardState.ARMED:
                    break
                await asyncio.sleep(0.02)
        began_s = time.monotonic()
        while (now_s := time.monotonic()) - began_s < for_s:
            step += 1
            devices.feed.finished(step, sent_s=now_s, expires_s=60.0, now_s=now_s)
            guard.offer({"p_limit_kw": 0.0}, expires_s=now_s + 60.0, step=step)
            if step % 8 == 0:
                await session.give_up("the line flaps")
            await asyncio.sleep(0.05)
        guardian.end("the test is over")
        await life


def test_a_connection_that_flaps_does_not_make_a_ramp_steeper(place: Path, rig: Rig) -> None:
    # 0.5 kW/s are 10 % of the rating a second
    limits = {"p_limit_kw": Limits(low=0.0, high=5.0, ramp_per_s=0.5)}
    asyncio.run(flapping(config_for(place, rig.port, limits=limits), for_s=4.0))
    written = [(write["at_s"], write["values"][0]) for write in rig.writes() if write["address"] == LIMIT]
    began_s, _ = written[0]
    assert len(written) > 4
    for at_s, percent in written:
        assert 100 - percent <= 10.0 * (at_s - began_s + 1.0) + 1.0


def test_a_safe_value_that_is_not_zero_is_what_remains(place: Path) -> None:
    written_map(place, BATTERY_TEXT.replace("safe: 0", "safe: 1500"))
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(
            lambda image: image.devices["roof"].commanded.get("p_set_kw") == -3.0, "in force", p_set_kw=-3.0
        )
        link.trip("e-stop")
        n_writes = len(rig.writes())
        assert [(w["address"], w["values"]) for w in rig.writes()[-2:]] == [
            (SET_W, [1500]),
            (SET_ENABLED, [1]),
        ]
        assert link.stop().devices["roof"].released
        assert len(rig.writes()) == n_writes


# ---------------------------------------------------------------------- what a guardian tells before there is a device


def test_a_device_that_refuses_the_connection_is_told_of_once(place: Path) -> None:
    with started_guardian(config_for(place, free_port())) as link:
        feeder = Feeder(link.exchange)
        told(feeder, "cannot connect")
        began_s = time.monotonic()
        feeder.look_until(lambda _image: time.monotonic() - began_s > 2.0, "time passes")
        assert len([event for event in feeder.events if "cannot connect" in event]) == 1
        assert "cannot connect" in feeder.image.devices["roof"].trouble
        assert not feeder.image.devices["roof"].is_foreign


def test_a_device_with_another_serial_number_is_known_to_be_foreign(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port, serial="SN-1")) as link:
        feeder = Feeder(link.exchange)
        feeder.look_until(lambda image: image.devices["roof"].is_foreign, "foreign")
        assert SERIAL in feeder.image.devices["roof"].trouble
        assert len([event for event in feeder.events if SERIAL in event]) <= 1


def test_a_cause_that_changes_is_told_again_and_none_is_left_when_the_device_is_there(place: Path) -> None:
    port = free_port()
    with started_guardian(config_for(place, port)) as link:
        feeder = Feeder(link.exchange)
        told(feeder, "cannot connect")
        with running_inverter(place, port) as rig:
            feeder.look_until(lambda image: state_of(image) is GuardState.ARMED, "armed")
            assert feeder.image.devices["roof"].trouble == ""
            rig.process.send_signal(signal.SIGKILL)
            rig.process.wait()
            feeder.look_until(
                lambda image: "cannot connect" in image.devices["roof"].trouble, "refused again"
            )
