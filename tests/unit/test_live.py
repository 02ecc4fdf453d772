import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hil_adapters.guard.messages import DeviceImage, GuardState, Image, SetPoints
from hil_adapters.samples import Quality, Sample
from hil_adapters.wire.base import TcpTarget
from twin.cli.running import exit_code_of
from twin.errors import InputError, RunError, RunFolderError
from twin.hil import HilPlan, HilSlot
from twin.live.guardians import GuardianGroup
from twin.live.replay import RecordedClock, RecordingGuardian, ReplayedGuardian
from twin.live.session import LiveMode, LiveTold, check_live
from twin.live.signals import stop_on_signals
from twin.results import RunStatus
from twin.runner import RunResult, StrategyResult
from twin.scenario.live import LiveSpec

ROOF = HilSlot(
    name="Roof",
    label="devices[0] Roof",
    home=0,
    map_file=Path("sunspec_pv.yaml"),
    target=TcpTarget(host="127.0.0.1", port=502),
    unit=1,
    serial="SN1",
    emulated=None,
    commands=("p_limit_kw",),
    signals={},
)
PLAN = HilPlan(slots=(ROOF,))


def image(value, events=(), name="Roof"):
    sample = Sample(value=value, quality=Quality.GOOD, received_s=1.0)
    device = DeviceImage(state=GuardState.ARMED, signals={"p_kw": sample}, commanded={"p_limit_kw": math.inf})
    return Image(devices={name: device}, events=tuple(events))


class Scripted:
    """A guardian that says what it is told to, in order, and keeps what it is asked for."""

    def __init__(self, images):
        self.images, self.asked = list(images), []

    def exchange(self, set_points):
        self.asked.append(set_points)
        return self.images.pop(0)


def set_points(step=0, **values):
    return SetPoints(step=step, expires_s=2.0, values=values)


def test_real_devices_are_not_touched_by_a_run_that_does_not_say_so():
    with pytest.raises(InputError, match=r"Roof: as: hardware; run it with `twin live SCENARIO --read-only`"):
        check_live(PLAN, LiveSpec(), LiveMode.NONE)
    check_live(HilPlan(), LiveSpec(speed=60.0), LiveMode.NONE)


@pytest.mark.parametrize("mode", [LiveMode.READ_ONLY, LiveMode.ARMED, LiveMode.DRY_RUN])
def test_real_devices_live_in_real_time(mode):
    with pytest.raises(InputError, match=r"live\.speed 10: Roof: a real device lives in real time"):
        check_live(PLAN, LiveSpec(speed=10.0), mode)
    check_live(PLAN, LiveSpec(), mode)


def test_commands_to_a_real_device_are_never_hurried():
    with pytest.raises(
        InputError, match=r"on_late: catch_up: Roof: commands to a real device are never hurried"
    ):
        check_live(PLAN, LiveSpec(on_late="catch_up"), LiveMode.ARMED)
    check_live(PLAN, LiveSpec(on_late="catch_up"), LiveMode.READ_ONLY)


def test_each_guardian_of_a_group_is_told_only_of_its_own_devices():
    roof, store = Scripted([image(-1.0, ["a"])]), Scripted([image(2.0, ["b"], name="Store")])
    group = GuardianGroup()
    group.add(roof, ["Roof"])
    group.add(store, ["Store"])
    seen = group.exchange(set_points(step=3, Roof={"p_limit_kw": 1.0}, Store={"p_set_kw": 2.0}))
    assert set(seen.devices) == {"Roof", "Store"}
    assert seen.events == ("a", "b")
    assert roof.asked == [set_points(step=3, Roof={"p_limit_kw": 1.0})]
    assert store.asked == [set_points(step=3, Store={"p_set_kw": 2.0})]


def test_a_replay_says_what_was_recorded_and_when(tmp_path):
    path, clock = tmp_path / "exchange.jsonl", RecordedClock()
    said = [image(-1.25), image(-1.25, ["trip"]), image(math.nan), image(0.1 + 0.2)]
    times = iter((10.5, 11.0 + 1e-9, 12.0))
    recorder = RecordingGuardian(Scripted(said), path, clock, time_s=lambda: next(times))
    recorder.exchange(None)
    assert clock() == 10.5
    recorder.exchange(set_points())
    recorder.exchange(None)
    recorder.exchange(None)

    again = RecordedClock()
    replayed = ReplayedGuardian(path, again)
    assert replayed.exchange(None) == said[0]
    assert again() == 10.5
    assert replayed.exchange(set_points()).events == ("trip",)
    assert math.isnan(replayed.exchange(None).devices["Roof"].signals["p_kw"].value)
    assert again() == 11.0 + 1e-9
    assert replayed.exchange(set_points()).events == ()
    assert replayed.exchange(None) == said[3]
    with pytest.raises(RunError, match=r"the recording ends here"):
        replayed.exchange(None)


def test_a_strategy_without_a_recording_cannot_be_replayed(tmp_path):
    with pytest.raises(RunFolderError, match=r"no recording; only a strategy that ran with devices"):
        ReplayedGuardian(tmp_path / "exchange.jsonl", RecordedClock())


def test_the_first_signal_asks_for_an_orderly_end_and_the_second_insists():
    stop = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_step_that_hangs_ends_the_process_and_says_where():
    code = """
import threading
from twin.live.hang import WatchedPace
from twin.simulators.pace import Unpaced

def stuck_in_a_solver():
    threading.Event().wait()

with WatchedPace(Unpaced(), limit_s=0.2) as pace:
    pace.begin_step(0)
    pace.end_step(0)
    pace.begin_step(1)
    stuck_in_a_solver()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "step 1 did not finish within 0.2 s" in done.stderr
    assert "stuck_in_a_solver" in done.stderr


@pytest.mark.parametrize(
    ("failed", "interrupted", "invalid", "code"),
    [(False, False, False, 0), (True, False, False, 1), (False, False, True, 1), (True, True, True, 130)],
)
def test_a_run_that_does_not_count_is_no_success_for_a_script(failed, interrupted, invalid, code):
    live = LiveTold(details={}, invalid=("Roof: its guard tripped",) if invalid else ())
    status = RunStatus.INTERRUPTED if interrupted else RunStatus.FAILED if failed else RunStatus.FINISHED
    entry = StrategyResult(name="a", label="A", status=status, message="", values=(), verdicts=(), live=live)
    assert exit_code_of(RunResult(folder=Path(), strategies=(entry,))) == code
