"""How a guardian process is reached, by whom, and how it ends."""

import contextlib
import json
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from guard_rig import (
    Feeder,
    Rig,
    armed,
    audit_of,
    commanded,
    config_for,
    state_of,
    told,
)

from hil_adapters.errors import GuardError, GuardianError
from hil_adapters.guard.calling import call, dial
from hil_adapters.guard.link import started_guardian
from hil_adapters.guard.messages import GuardState
from hil_adapters.guard.registry import estop, running_guardians


def test_the_socket_and_its_folder_are_closed_to_other_users(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        assert stat.S_IMODE(link.socket_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(link.socket_file.parent.stat().st_mode) == 0o700
    assert not link.socket_file.exists()


def test_an_estop_from_another_process_trips_every_guardian(place: Path, rig: Rig) -> None:
    stop = "from hil_adapters.guard.registry import estop; print([done.error for done in estop('by hand')])"
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        assert [guardian.pid for guardian in running_guardians()] == [link.pid]
        done = subprocess.run([sys.executable, "-c", stop], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[None]"
        assert rig.writes()[-1]["values"] == [0]
        assert state_of(feeder.look()) is GuardState.TRIPPED
        told(feeder, "by hand")
    assert running_guardians() == ()
    assert estop("nobody is there") == []


def test_an_estop_says_which_device_did_not_confirm_its_safe_state(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
        rig.process.send_signal(signal.SIGSTOP)
        (stopped,) = estop("a device that does not answer")
        assert stopped.error is not None
        assert "roof: did not confirm its safe state" in stopped.error
        assert "within 2 s, then full power" in stopped.error
        assert state_of(feeder.look()) is GuardState.TRIPPED
        rig.process.send_signal(signal.SIGCONT)
        told(feeder, "safe state reached")


def test_notes_of_guardians_that_are_gone_are_removed(place: Path) -> None:
    folder = place / "guardians"
    folder.mkdir(mode=0o700)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    note = folder / f"{gone.pid}.json"
    about = {"pid": gone.pid, "socket": str(folder / "x.sock"), "devices": [], "folder": "x", "started": "x"}
    note.write_text(json.dumps(about | {"socket": str(note.with_suffix(".sock"))}))
    (folder / "broken.json").write_text("{")
    assert estop("x") == []
    assert not note.exists()


@pytest.mark.parametrize(
    "bytes_", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x02[]", b"\0\0\0\x05{bad}", b"\xff\xff\xff\xff", b"\0"]
)
def test_what_is_no_message_of_ours_does_not_disturb_a_guardian(place: Path, rig: Rig, bytes_: bytes) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        with contextlib.closing(dial(link.socket_file, timeout_s=2.0)) as connection:
            connection.sendall(bytes_)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while connection.recv(4096):
                    pass
        for message in ({"kind": "nonsense"}, {"kind": "arm"}, {"kind": "reset", "device": "none"}):
            with pytest.raises(GuardError):
                call(link.socket_file, message, timeout_s=2.0)
        feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)


def test_an_exchange_is_answered_from_memory_while_the_device_does_not_answer(place: Path, rig: Rig) -> None:
    with started_guardian(config_for(place, rig.port)) as link:
        feeder = armed(link)
        rig.process.send_signal(signal.SIGSTOP)  # it keeps its connections and answers nothing
        times_s = [timed(feeder) for _ in range(200)]
        rig.process.send_signal(signal.SIGCONT)
        assert sorted(times_s)[100] < 0.005


def timed(feeder: Feeder) -> float:
    began_s = time.monotonic()
    feeder.feed(p_limit_kw=2.0)
    return time.monotonic() - began_s


def test_a_guardian_that_cannot_start_says_why(place: Path) -> None:
    (place / "guarded.yaml").write_text("name: [")
    with pytest.raises(GuardianError, match=r"guarded\.yaml"), started_guardian(config_for(place, 1)):
        pytest.fail("it must not start")


def test_an_exception_in_the_run_ends_in_the_safe_state_and_is_the_one_that_is_seen(
    place: Path, rig: Rig
) -> None:
    def run() -> None:
        with started_guardian(config_for(place, rig.port)) as link:
            feeder = armed(link)
            feeder.feed_until(lambda image: commanded(image) == 2.0, "in force", p_limit_kw=2.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert rig.writes()[-1]["values"] == [0]
    assert "ZeroDivisionError" in json.dumps(audit_of(place)[-1])


def test_a_guardian_imports_neither_the_simulator_nor_arrays() -> None:
    code = "import sys, hil_adapters.guard.guardian; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "hil_adapters" in loaded
    assert loaded.isdisjoint({"twin", "models", "mosaik", "mosaik_api_v3", "numpy", "pandas", "pyarrow"})
