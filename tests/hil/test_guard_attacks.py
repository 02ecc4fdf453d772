"""What must never happen, tried on the parts of the guard: audit, evidence, places, registry, permission."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from guard_rig import Rig, audit_of, config_for

from hil_adapters.errors import GuardError, GuardianError, RecordingError
from hil_adapters.guard import places, registry
from hil_adapters.guard.assembling import assembled
from hil_adapters.guard.audit import Audit
from hil_adapters.guard.door import Occasion, Purpose
from hil_adapters.guard.encoding import pack, unpack
from hil_adapters.guard.evidence import load_report
from hil_adapters.guard.guardian import Guardian
from hil_adapters.guard.locks import DeviceLock
from hil_adapters.guard.messages import GuardianConfig, GuardState
from hil_adapters.guard.registry import estop, running_guardians
from hil_adapters.wire.base import TcpTarget

PATIENCE_S = 20.0


# ---------------------------------------------------------------------- evidence of writes


def test_a_reason_that_no_encoding_knows_does_not_stop_the_safe_state(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.record_safe_state("state", why="e-stop \udcff")
    audit.close()
    (line,) = (tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["why"] == "e-stop \udcff"


BROKEN = """
import resource, sys
from pathlib import Path
from hil_adapters.guard.audit import Audit
audit = Audit(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
audit.record_safe_state("safe_state", device="roof")
print("lost", len(audit.lost))
"""


def test_a_safe_state_goes_on_where_neither_the_disk_nor_standard_error_takes_its_line(
    tmp_path: Path,
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", BROKEN, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )
    assert done.stdout.strip() == "lost 1"


def test_an_audit_whose_file_was_removed_takes_no_further_write(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.record("write")
    (tmp_path / "audit.jsonl").unlink()
    with pytest.raises(RecordingError, match="removed"):
        audit.record("write")
    assert audit.broken
    audit.close()


# ---------------------------------------------------------------------- evidence of the acceptance test


def report_with(**changes: Any) -> dict[str, Any]:
    device = dict.fromkeys(("manufacturer", "model", "version", "serial", "fingerprint"))
    report = {
        "device": device,
        "map": "guarded",
        "map_sha256": "",
        "performed": "2026-01-01T00:00:00Z",
        "valid_days": 30,
        "passed": True,
        "checks": [],
        "watchdog": {},
        "slope_kw_v": None,
    }
    return report | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_days": 1e300},
        {"valid_days": 36500},
        {"performed": "0001-01-01T00:00:00Z", "valid_days": 1e12},
        {"watchdog": {"p_limit_kw": {"timeout_s": 2.0, "released_after_s": -5.0}}},
    ],
)
def test_a_report_that_no_acceptance_test_writes_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report_with(**changes)), encoding="utf-8")
    with pytest.raises(GuardError, match="not an acceptance report"):
        load_report(file)


# ---------------------------------------------------------------------- configuration


@pytest.mark.parametrize("step_s", [0.0, -1.0, float("inf")])
def test_a_step_that_takes_no_time_would_never_be_too_fast_and_is_refused(place: Path, step_s: float) -> None:
    with pytest.raises(GuardianError, match="step_s"), assembled(config_for(place, 1, step_s=step_s)):
        pytest.fail("it must not begin")


@pytest.mark.parametrize("host", ["192.168.1.20", "inverter.local", "::", "127.0.0.1.example.org"])
def test_a_real_address_is_no_emulated_device(place: Path, host: str) -> None:
    config = config_for(place, 1, target=TcpTarget(host=host, port=502))
    with pytest.raises(GuardianError, match="emulated"), assembled(config):
        pytest.fail("it must not begin")


# ---------------------------------------------------------------------- dry run


async def dry_then_tripped(config: GuardianConfig) -> None:
    with assembled(config) as devices:
        guardian = Guardian(config, devices, clock_with_sleep=time.monotonic)
        life = asyncio.create_task(guardian.run())
        guard, step = devices.guards["roof"], 0
        async with asyncio.timeout(PATIENCE_S):
            while not any(line["event"] == "would_write" for line in audit_of(config.folder.parent)):
                step, now_s = step + 1, time.monotonic()
                devices.feed.finished(step, sent_s=now_s, expires_s=60.0, now_s=now_s)
                guard.offer({"p_limit_kw": 2.0}, expires_s=now_s + 60.0, step=step)
                await asyncio.sleep(0.02)
        # an e-stop in the middle of a release: the rest of the sequence would come as the safe state of a real write
        await guard.trip("e-stop")
        release = Occasion(command="p_limit_kw", why="release", step=step, purpose=Purpose.SAFE)
        with pytest.raises(GuardError, match="never armed"):
            await guard.door.write("limit", 100.0, release)
        guardian.end("the test is over")
        await life


def test_a_trip_in_the_middle_of_a_dry_run_writes_nothing(place: Path, rig: Rig) -> None:
    asyncio.run(dry_then_tripped(config_for(place, rig.port, state=GuardState.DRY_RUN)))
    assert rig.writes() == []


# ---------------------------------------------------------------------- sleep


async def looked_for_sleep(config: GuardianConfig) -> list[bool]:
    asleep_s = 0.0
    with assembled(config) as devices:
        Guardian(config, devices, clock_with_sleep=lambda: time.monotonic() + asleep_s)
        guard = devices.guards["roof"]
        seen = [guard.has_slept()]
        asleep_s = 3600.0
        return [*seen, guard.has_slept(), guard.has_slept()]


def test_sleep_is_seen_at_the_next_frame_and_not_forgotten_before_it_was_acted_on(place: Path) -> None:
    assert asyncio.run(looked_for_sleep(config_for(place, 1))) == [False, True, True]


# ---------------------------------------------------------------------- places


def test_locks_and_notes_do_not_depend_on_where_a_shell_keeps_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMELLO_RUNTIME_DIR", raising=False)
    here = places.lock_folder(), places.runtime_folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert (places.lock_folder(), places.runtime_folder()) == here


def test_a_folder_of_locks_that_is_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMELLO_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "locks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GuardianError, match="link"):
        DeviceLock("SN-1")


def test_a_private_folder_inside_somebody_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "gemello").symlink_to(tmp_path / "elsewhere")
    if os.getuid() == 0:
        os.chown(tmp_path / "gemello", 12345, 12345, follow_symlinks=False)
    else:
        pytest.skip("only root makes a link that belongs to somebody else")
    with pytest.raises(GuardianError, match="not a folder of this user"):
        places.make_private(tmp_path / "gemello" / "guardians")


def test_notes_in_a_folder_of_another_user_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root makes a folder that belongs to somebody else")
    monkeypatch.setenv("GEMELLO_RUNTIME_DIR", str(tmp_path))
    folder = tmp_path / "guardians"
    folder.mkdir()
    noted(folder, pid=os.getpid(), socket_=folder / "x.sock")
    os.chown(folder, 12345, 12345)
    assert estop("x") == []


# ---------------------------------------------------------------------- registry


def noted(folder: Path, *, pid: int, socket_: Path) -> Path:
    """Leave the note of a guardian."""
    folder.mkdir(mode=0o700, exist_ok=True)
    note = folder / f"{pid}.json"
    about = {"pid": pid, "socket": str(socket_), "devices": ["roof"], "folder": "x", "started": "x"}
    note.write_text(json.dumps(about), encoding="utf-8")
    return note


def gone_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_forged_note_does_not_make_an_estop_remove_a_file(place: Path) -> None:
    precious = place / "thesis.tex"
    precious.write_text("three years")
    note = noted(place / "guardians", pid=gone_pid(), socket_=precious)
    assert estop("x") == []
    assert running_guardians() == ()
    assert precious.exists()
    assert not note.exists()


def test_a_killed_guardian_whose_number_went_to_another_process_is_gone(place: Path) -> None:
    left = place / "guardians" / f"{os.getpid()}.sock"
    note = noted(left.parent, pid=os.getpid(), socket_=left)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(left))
    # nobody listens any more, but the process with this number lives: it is this test
    assert estop("x") == []
    assert not note.exists()


def test_an_estop_reaches_the_others_while_one_guardian_does_not_answer(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_TRIP_TIMEOUT_S", 4.0)
    folder = place / "guardians"
    folder.mkdir(mode=0o700)
    heard = threading.Event()

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            unpack(connection.recv(4096)[4:])
            heard.set()
            connection.sendall(pack({"kind": "status"}))

    with socket.socket(socket.AF_UNIX) as hangs, socket.socket(socket.AF_UNIX) as works:
        for number, listener in enumerate((hangs, works), start=1):
            path = folder / f"{number}.sock"
            listener.bind(str(path))
            listener.listen()
            noted(folder, pid=number, socket_=path)
        serving = threading.Thread(target=answer, args=(works,))
        serving.start()
        done: list[registry.Stopped] = []
        stopping = threading.Thread(target=lambda: done.extend(estop("x")))
        stopping.start()
        assert heard.wait(2.0), "the second one is told before the first one has used up its time"
        stopping.join()
        serving.join()
    assert [entry.error is None for entry in done] == [False, True]
