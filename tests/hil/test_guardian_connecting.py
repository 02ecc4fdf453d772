"""What a guardian tells of a device that it cannot reach, and what it asks for again when it is back."""

import signal
import socket
import time
from pathlib import Path

from guard_rig import (
    MAP_TEXT,
    SERIAL,
    Feeder,
    Rig,
    armed,
    commanded,
    config_for,
    running_inverter,
    state_of,
    told,
    until,
    written_map,
)

from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardState, Image
from hil_adapters.samples import Quality

FEEDER_TIMEOUT_S = 2.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


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
