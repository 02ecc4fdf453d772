"""What a device does when the run, its guardian, the network or the device itself dies; seen by mbpoll."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guard_rig import (
    ENABLED,
    LIMIT,
    TIMER,
    Feeder,
    Rig,
    config_for,
    running_inverter,
    until,
)
from outside import program

from hil_adapters.errors import GuardianError
from hil_adapters.guard.encoding import config_to_json
from hil_adapters.guard.link import GuardianLink, started_guardian
from hil_adapters.guard.messages import GuardState, Image

TIMER_S = 2.0
"""Watchdog of the device, as its map says."""
LATE_S = 2.5
"""For starting mbpoll on a busy machine, again and again."""


@contextlib.contextmanager
def feeding(folder: Path, port: int) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Start a run in a process of its own; gives it and the process id of its guardian."""
    file = folder / "feeder.json"
    file.write_text(json.dumps(config_to_json(config_for(folder, port))), encoding="utf-8")
    script = Path(__file__).parent.parent / "helpers" / "guard_feeder.py"
    with subprocess.Popen(
        [sys.executable, str(script), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout is not None
            guardian = int(json.loads(run.stdout.readline())["guardian"])
            yield run, guardian
        finally:
            run.kill()
        until(lambda: not alive(guardian), "the guardian ends")


@contextlib.contextmanager
def guarded_to_its_end(folder: Path, port: int) -> Iterator[GuardianLink]:
    """Start a guardian that ends before it is stopped, which its link says."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(GuardianError))
        yield stack.enter_context(started_guardian(config_for(folder, port)))


def in_force(image: Image) -> bool:
    """Return whether the limit of 2 kW was written and read back."""
    return image.devices["roof"].commanded.get("p_limit_kw") == 2.0


def alive(pid: int) -> bool:
    """Return whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def seen_by_mbpoll(port: int, address: int) -> int:
    """Return a register as an outside program reads it."""
    mbpoll = program("mbpoll")
    done = subprocess.run(
        [mbpoll, "-m", "tcp", "-0", "-1", "-q", "-t", "4", "-p", str(port), "-r", str(address), "127.0.0.1"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return int(done.stdout.split(f"[{address}]:")[1].split()[0])


def released_within(rig: Rig, most_s: float, since_s: float) -> None:
    until(lambda: seen_by_mbpoll(rig.port, ENABLED) == 0, "mbpoll sees the limit released")
    assert time.monotonic() - since_s < most_s


def no_more_writes(rig: Rig, for_s: float = 1.0) -> None:
    """Fail if anything reaches the device within ``for_s``."""
    before, began_s = len(rig.writes()), time.monotonic()
    until(lambda: time.monotonic() - began_s > for_s, "time passes")
    assert len(rig.writes()) == before


def audited_writes(folder: Path) -> list[tuple[int, list[int]]]:
    lines = [json.loads(line) for line in (folder / "run" / "audit.jsonl").read_text().splitlines()]
    return [(line["address"], line["raw"]) for line in lines if line["event"] == "write"]


def test_a_run_that_is_killed_leaves_the_device_released_and_nobody_writes_after_it(place: Path) -> None:
    program("mbpoll")
    with running_inverter(place) as rig, feeding(place, rig.port) as (run, guardian):
        assert seen_by_mbpoll(rig.port, ENABLED) == 1
        killed_s = time.monotonic()
        run.send_signal(signal.SIGKILL)
        # the guardian notices the closed connection; the device's own timer would need 2 s
        until(lambda: rig.writes()[-1]["address"] == ENABLED and rig.writes()[-1]["values"] == [0], "release")
        assert time.monotonic() - killed_s < 1.5
        released_within(rig, 1.5 + LATE_S, killed_s)
        until(lambda: not alive(guardian), "the guardian ends")
        no_more_writes(rig)
        assert audited_writes(place) == [(write["address"], write["values"]) for write in rig.writes()]


def test_a_run_that_hangs_loses_the_device_although_its_connection_stays(place: Path) -> None:
    program("mbpoll")
    with running_inverter(place) as rig, feeding(place, rig.port) as (run, _guardian):
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write("hang\n")
        run.stdin.flush()
        hangs_s = json.loads(run.stdout.readline())["hangs_s"]
        # feed_timeout_s is 1 s
        released_within(rig, 1.0 + 1.0 + LATE_S, hangs_s)
        no_more_writes(rig)


def test_a_guardian_that_is_killed_leaves_the_device_to_its_own_timer(place: Path) -> None:
    program("mbpoll")
    with running_inverter(place) as rig, guarded_to_its_end(place, rig.port) as link:
        feeder = Feeder(link.exchange)
        feeder.feed_until(in_force, "the limit is in force", p_limit_kw=2.0)
        os.kill(link.pid, signal.SIGKILL)
        killed_s = time.monotonic()
        assert seen_by_mbpoll(rig.port, LIMIT) == 40
        released_within(rig, TIMER_S + LATE_S, killed_s)
        no_more_writes(rig)
        with pytest.raises(GuardianError, match="ended"):
            feeder.feed(p_limit_kw=2.0)


def test_a_device_that_is_killed_gets_its_limit_again_when_it_is_back(place: Path) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running_inverter(place))
        port = first.port
        link = stack.enter_context(started_guardian(config_for(place, port)))
        feeder = Feeder(link.exchange)

        feeder.feed_until(in_force, "the limit is in force", p_limit_kw=2.0)
        first.process.kill()
        feeder.feed_until(lambda image: not in_force(image), "the loss is seen", p_limit_kw=2.0)
        assert feeder.image.devices["roof"].state is GuardState.ARMED
        n_writes = len(first.writes())
        second = stack.enter_context(running_inverter(place, port))
        feeder.feed_until(in_force, "the limit is in force again", p_limit_kw=2.0)
        again = second.writes()[n_writes:]
        # the timer first: the device that came back knows of none
        assert [write["address"] for write in again[:3]] == [TIMER, LIMIT, ENABLED]
        assert link.stop().devices["roof"].released


def test_a_cut_network_leaves_the_device_to_its_own_timer_and_is_survived(place: Path) -> None:
    socat = program("socat")
    program("mbpoll")
    with contextlib.ExitStack() as stack:
        rig = stack.enter_context(running_inverter(place))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        proxy = stack.enter_context(
            subprocess.Popen(
                [socat, f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", f"TCP:127.0.0.1:{rig.port}"],
                start_new_session=True,
            )
        )
        stack.callback(os.killpg, proxy.pid, signal.SIGKILL)
        until(lambda: listens(port), "the proxy listens")
        link = stack.enter_context(started_guardian(config_for(place, port)))
        feeder = Feeder(link.exchange)

        feeder.feed_until(in_force, "the limit is in force", p_limit_kw=2.0)
        os.killpg(proxy.pid, signal.SIGSTOP)
        cut_s = time.monotonic()
        n_writes = len(rig.writes())
        feeder.feed_until(
            lambda _image: seen_by_mbpoll(rig.port, ENABLED) == 0, "the device lets go", p_limit_kw=2.0
        )
        assert time.monotonic() - cut_s < TIMER_S + 1.0 + LATE_S
        assert len(rig.writes()) == n_writes
        feeder.feed_until(lambda image: not in_force(image), "the guardian knows", p_limit_kw=2.0)
        os.killpg(proxy.pid, signal.SIGCONT)
        feeder.feed_until(in_force, "the limit is in force again", p_limit_kw=2.0)
        assert seen_by_mbpoll(rig.port, ENABLED) == 1


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def test_sigterm_brings_the_safe_state_before_the_end(place: Path) -> None:
    with running_inverter(place) as rig, guarded_to_its_end(place, rig.port) as link:
        feeder = Feeder(link.exchange)
        feeder.feed_until(in_force, "the limit is in force", p_limit_kw=2.0)
        os.kill(link.pid, signal.SIGTERM)
        until(lambda: not alive(link.pid), "the guardian ends")
        assert (rig.writes()[-1]["address"], rig.writes()[-1]["values"]) == (ENABLED, [0])


def test_ctrl_c_in_the_terminal_of_the_run_does_not_reach_the_guardian(place: Path) -> None:
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        assert os.getsid(link.pid) == link.pid
        assert os.getpgid(link.pid) == link.pid


def test_a_guardian_that_was_stopped_for_a_while_carries_out_nothing_that_waited(place: Path) -> None:
    with running_inverter(place) as rig, started_guardian(config_for(place, rig.port)) as link:
        feeder = Feeder(link.exchange)
        feeder.feed_until(in_force, "the limit is in force", p_limit_kw=2.0)
        os.kill(link.pid, signal.SIGSTOP)
        stopped_s = time.monotonic()
        until(lambda: time.monotonic() - stopped_s > 1.5, "longer than the feed may be silent")
        n_writes = len(rig.writes())
        os.kill(link.pid, signal.SIGCONT)
        feeder.look_until(lambda image: image.devices["roof"].state is GuardState.READ_ONLY, "disarmed")
        until(
            lambda: any("safe state" in event for event in feeder.look().events + tuple(feeder.events)),
            "safe",
        )
        late = rig.writes()[n_writes:]
        assert [(write["address"], write["values"]) for write in late] in ([], [(ENABLED, [0])])
