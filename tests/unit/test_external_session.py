"""What is told of an EMS outside, and what happens when the thread that answers for the devices ends."""

import subprocess
import sys

import pytest
from outside_homes import Told, site

from hil_adapters.errors import MapError
from twin.errors import RunError, RunFolderError
from twin.external.emulated import Command, Emulated
from twin.external.records import Book, RecordedCommands
from twin.external.seam import Around
from twin.external.serving import serving
from twin.external.session import _Watch
from twin.external.slots import Wanted, slots_of

FREE, GIVEN = Command(), Command(p_limit_kw=1.0)
WANTED = Wanted(home="ours", maps={}, port=0, ports={}, units={}, rated_kw={}, faults={})


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def watch(told, tmp_path):
    around = Around(
        speed=1.0,
        folder=tmp_path,
        base_dir=tmp_path,
        tell=lambda step, text: told.events.append((step, text)),
        say=told.said.append,
    )
    return _Watch(around, silent_s=5.0)


def test_a_device_is_told_of_when_it_comes_under_command_and_when_it_is_let_go(watch, told):
    for step, command in enumerate((FREE, GIVEN, GIVEN, FREE)):
        watch.step(step, {"pv": command}, 0.1)
    assert told.events == [(1, "pv is commanded"), (3, "pv is without a command")]


def test_a_device_that_is_let_go_all_the_time_does_not_fill_the_events(watch, told):
    for step in range(200):
        watch.step(step, {"pv": GIVEN if step % 2 else FREE}, 0.1)
    assert len(told.events) == 20
    assert told.texts[-1].endswith("further changes are in its record only")


def test_an_ems_that_falls_silent_is_told_once_and_when_it_comes_back(watch, told):
    for step, silent_s in enumerate((0.2, 4.9, 5.1, 6.1, 0.1)):
        watch.step(step, {}, silent_s)
    assert told.events == [(2, "the EMS has not asked for anything for 5.1 s"), (4, "the EMS asks again")]


def test_a_second_machine_that_writes_to_a_device_is_told_once(watch, told):
    watch.writers(1, [("battery", "10.0.0.7"), ("battery", "10.0.0.7"), ("pv", "10.0.0.8")])
    assert told.events == []
    watch.writers(2, [("battery", "10.0.0.8"), ("battery", "10.0.0.7"), ("battery", "10.0.0.8")])
    watch.writers(3, [("battery", "10.0.0.8")])
    assert told.events == [
        (2, "battery is written to by 10.0.0.8 as well as by 10.0.0.7; let one EMS command a device")
    ]


def test_the_end_of_an_ems_is_told_once(watch, told):
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as ems:
        ems.wait(30)
        watch.ems(7, ems)
        watch.ems(8, ems)
    assert told.events == [(7, "the EMS ended with status 3: ")]


def test_what_was_in_force_is_read_back_to_the_bit(tmp_path):
    commands = {"pv": Command(p_limit_kw=0.1 + 0.2), "battery": Command(p_set_kw=-1.0 / 3.0), "meter": FREE}
    Book(tmp_path).step(4, commands, {"pv": 0.5, "battery": float("inf")})
    assert RecordedCommands(tmp_path).of(4) == commands
    with pytest.raises(RunError, match=r"the record ends here"):
        RecordedCommands(tmp_path).of(5)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", r"no record"),
        ('{"step": 0}\n', r"a record is damaged"),
        ('{"step": 0, "commands": {"pv": {"p": 1}}}\n', r"damaged"),
    ],
    ids=["empty", "no commands", "another command"],
)
def test_a_damaged_record_is_refused(tmp_path, content, text):
    (tmp_path / "steps.jsonl").write_text(content)
    with pytest.raises(RunFolderError, match=text):
        RecordedCommands(tmp_path)


class Broken(Emulated):
    """A device that does not survive the passing of time."""

    def tick(self, dt_s):
        raise MapError("a register is gone")


def test_a_server_whose_thread_has_ended_is_an_error_of_the_run(tmp_path):
    pv = Broken.of(slots_of(site(), WANTED)[1], base_dir=tmp_path)
    with serving([pv], host="127.0.0.1", allow=()) as (server, ports):
        assert ports["pv"] > 0
        server._thread.join(20)
        assert not server._thread.is_alive()
        with pytest.raises(RunError, match=r"the server has ended \(a register is gone\)"):
            server.do(lambda now_s: now_s)
