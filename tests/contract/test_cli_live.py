"""``twin live``, ``twin estop`` and ``twin replay`` as processes, against an inverter that is served by another program.

mbpoll looks at the inverter from outside. That nobody writes to it any more is seen by a mark in a register which every
command would replace.
"""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from live_runs import (
    ENABLED,
    LIMIT_KW,
    PERCENT,
    RATED_KW,
    SERIAL,
    TIMER_S,
    Bench,
    Inverter,
    Run,
    alive,
    bench,
    served_inverter,
    until,
    write_acceptance,
)
from outside import program

from twin.report import write_report
from twin.results import RunReader, RunStatus

pytestmark = pytest.mark.live

GUIDE = (Path(__file__).parents[2] / "docs/virtual_devices.md").read_text(encoding="utf-8")
LOOKING_S = 1.0
"""For starting mbpoll on a busy machine."""
STEP_S = 0.25
FLUSHED = 12
"""After so many steps the first ones are on the disk: they wait for 2 s, and for the next step."""
LATER = 20
"""A step that comes after the limit was seen in force."""
ARMED = ("--armed", "--confirm", f"Roof={SERIAL}", "--out", "results")
OTHER = ("--armed", "--confirm", "Roof=SN-1", "--out", "results")
FEED_TIMEOUT_S = 2.0


def stated_s(what: str) -> float:
    """Return within what time the guide says that a device is let go [s]."""
    (row,) = re.findall(rf"^\| {re.escape(what)} \| .*? \| ([\d.]+) s \|$", GUIDE, re.MULTILINE)
    return float(row)


@pytest.fixture
def inverter() -> Iterator[Inverter]:
    program("mbpoll")
    with served_inverter() as served:
        yield served


@pytest.fixture
def lab(inverter: Inverter, tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path, inverter.port) as made:
        yield made


def n_finished(lab: Bench) -> int:
    """Return how many steps the run has finished."""
    found = list(lab.results.glob("*/*/limiter/timing.jsonl"))
    return len(found[0].read_text(encoding="utf-8").splitlines()) if found else 0


def limited(lab: Bench, inverter: Inverter, run: Run, *, steps: int = 2) -> frozenset[int]:
    """Wait until the run has finished some steps and holds the inverter back; return the ids of its guardians."""
    until(lambda: run.process.poll() is not None or n_finished(lab) >= steps, "some steps are finished")
    assert run.process.poll() is None, run.ended()
    assert inverter.is_limited
    assert inverter.holds(PERCENT) == 100 * 100 * LIMIT_KW / RATED_KW
    return run.guardians


def let_go(inverter: Inverter, *, within_s: float, since_s: float) -> None:
    """Fail unless mbpoll sees the limit released in time; then leave the mark."""
    until(lambda: not inverter.is_limited, "mbpoll sees the limit released")
    assert time.monotonic() - since_s < within_s + LOOKING_S
    inverter.mark()


def nobody_writes(inverter: Inverter, guardians: frozenset[int], *, for_s: float = 2.0) -> None:
    """Fail if the mark is replaced, or a guardian is left."""
    until(lambda: not any(map(alive, guardians)), "the guardian ends")
    since_s = time.monotonic()  # a limit that is kept up is refreshed within a third of the watchdog
    until(lambda: time.monotonic() - since_s > for_s, "time passes")
    assert inverter.is_marked
    assert inverter.holds(ENABLED) == 0


def stored(lab: Bench, status: RunStatus) -> int:
    """Return how many steps can be read of a run of this status; a report can be written of it."""
    reader = RunReader(lab.run_folder)
    assert reader.manifest.status is status
    n_steps = len(reader.strategy("limiter").series("pv.p_kw"))
    assert write_report(lab.run_folder).stat().st_size > 10_000
    return n_steps


def audit_ends_released(lab: Bench) -> bool:
    """Return whether the last write in the audit is the release, and the audit says that it is there."""
    lines = lab.audit()
    last = [line for line in lines if line["event"] == "write"][-1]
    return (last["address"], last["raw"]) == (ENABLED, [0]) and any(
        line["event"] == "safe_state" for line in lines
    )


@pytest.mark.parametrize(
    ("stop", "what"),
    [
        (Run.interrupt, "Ctrl-C"),
        (lambda run: run.process.terminate(), "SIGTERM"),
        (lambda run: run.process.send_signal(signal.SIGHUP), "the terminal is closed (SIGHUP)"),
    ],
    ids=["ctrl-c", "sigterm", "sighup"],
)
def test_a_run_that_is_asked_to_end_lets_go_of_the_device_and_is_readable(
    lab: Bench, inverter: Inverter, stop: Callable[[Run], None], what: str
) -> None:
    with lab.started("live", lab.scenario(), *ARMED) as run:
        guardians = limited(lab, inverter, run)
        stop(run)
        let_go(inverter, within_s=stated_s(what), since_s=time.monotonic())
        code, said = run.ended()
        assert code == 130, said
        nobody_writes(inverter, guardians)
    assert audit_ends_released(lab)
    assert lab.audit()[-1]["why"] == "the run was interrupted"
    assert stored(lab, RunStatus.INTERRUPTED) >= 2


def test_a_run_that_is_killed_lets_go_of_the_device_and_what_it_stored_is_readable(
    lab: Bench, inverter: Inverter
) -> None:
    with lab.started("live", lab.scenario(), *ARMED) as run:
        guardians = limited(lab, inverter, run, steps=FLUSHED)
        run.process.kill()
        let_go(inverter, within_s=stated_s("the run is killed (SIGKILL)"), since_s=time.monotonic())
        nobody_writes(inverter, guardians)
    assert audit_ends_released(lab)
    assert stored(lab, RunStatus.UNFINISHED) >= 1


def test_a_run_without_its_guardian_fails_and_says_so(lab: Bench, inverter: Inverter) -> None:
    with lab.started("live", lab.scenario(), *ARMED) as run:
        guardians = limited(lab, inverter, run)
        for pid in guardians:
            os.kill(pid, signal.SIGKILL)
        assert inverter.is_limited, "nobody was there to release it"
        late_s = stated_s("the guardian is killed") + TIMER_S
        let_go(inverter, within_s=late_s, since_s=time.monotonic())
        code, said = run.ended()
        assert code == 1
        assert "the guardian" in said
        assert "exit code -9" in said
        nobody_writes(inverter, guardians)
    assert stored(lab, RunStatus.FAILED) >= 2


def test_an_exception_in_a_strategy_lets_go_of_the_device(lab: Bench, inverter: Inverter) -> None:
    with lab.started("live", lab.scenario(**{"params: {": f"params: {{fails_at: {LATER}, "}), *ARMED) as run:
        guardians = limited(lab, inverter, run)
        until(lambda: n_finished(lab) == LATER, "the step before the one that fails")
        let_go(
            inverter, within_s=STEP_S + stated_s("a strategy raises an exception"), since_s=time.monotonic()
        )
        code, said = run.ended()
        assert code == 1
        assert "the strategy is broken" in said
        nobody_writes(inverter, guardians)
    assert audit_ends_released(lab)
    assert stored(lab, RunStatus.FAILED) == LATER


def test_a_strategy_that_hangs_loses_the_device_and_then_the_run(lab: Bench, inverter: Inverter) -> None:
    with lab.started("live", lab.scenario(**{"params: {": f"params: {{hangs_at: {LATER}, "}), *ARMED) as run:
        guardians = limited(lab, inverter, run)
        until(lambda: n_finished(lab) == LATER, "the step before the one that hangs")
        late_s = FEED_TIMEOUT_S + stated_s("a step hangs")
        let_go(inverter, within_s=late_s, since_s=time.monotonic())
        code, said = run.ended()
        assert code == 1
        assert f"step {LATER} did not finish within 10 s" in said
        assert "in decide" in said
        nobody_writes(inverter, guardians)
    assert audit_ends_released(lab)
    assert stored(lab, RunStatus.UNFINISHED) >= 1


def test_a_run_that_sleeps_loses_the_device_and_does_not_arm_it_again(lab: Bench, inverter: Inverter) -> None:
    with lab.started("live", lab.scenario(), *ARMED) as run:
        guardians = limited(lab, inverter, run)
        run.process.send_signal(signal.SIGSTOP)
        let_go(inverter, within_s=FEED_TIMEOUT_S + stated_s("a step hangs"), since_s=time.monotonic())
        run.process.send_signal(signal.SIGCONT)
        seen = n_finished(lab)
        until(lambda: n_finished(lab) > seen + 2.0 / STEP_S, "the run goes on")
        assert inverter.is_marked, "although the strategy still asks for the limit"
        run.interrupt()
        assert run.ended()[0] == 130
        nobody_writes(inverter, guardians)
    invalid = RunReader(lab.run_folder).manifest.strategies["limiter"].invalid
    assert any("Roof: was disarmed during the run" in reason for reason in invalid)


def test_a_run_that_waits_for_its_device_can_be_interrupted(lab: Bench, inverter: Inverter) -> None:
    inverter.process.kill()
    inverter.process.wait()
    with lab.started("live", lab.scenario(), *ARMED) as run:
        until(lambda: bool(run.guardians), "the guardian looks for the device")
        run.interrupt()
        code, said = run.ended(within_s=15.0)  # without it the run would wait for 30 s
    assert code == 130
    assert "interrupted" in said


def test_a_full_disk_lets_go_of_the_device_and_what_is_stored_is_readable(
    lab: Bench, inverter: Inverter
) -> None:
    with lab.started("live", lab.scenario(), *ARMED) as run:
        guardians = limited(lab, inverter, run, steps=FLUSHED)
        run.fill_disk()
        let_go(inverter, within_s=STEP_S + stated_s("the disk is full"), since_s=time.monotonic())
        code, said = run.ended()
        assert code == 1
        assert "could not write results" in said
        nobody_writes(inverter, guardians)
    assert stored(lab, RunStatus.UNFINISHED) >= 1


def test_an_e_stop_from_another_terminal_lets_go_of_the_device_for_good(
    lab: Bench, inverter: Inverter
) -> None:
    code, said = lab.said("estop")
    assert code == 1
    assert "no guardian is running" in said
    with lab.started("live", lab.scenario(), *ARMED) as run:
        guardians = limited(lab, inverter, run)
        asked_s = time.monotonic()
        code, said = lab.said("estop", "--reason", "smoke")
        assert (code, said) == (0, "Roof: tripped, in the safe state\n")
        let_go(inverter, within_s=STEP_S + stated_s("`twin estop`"), since_s=asked_s)
        seen = n_finished(lab)
        until(lambda: n_finished(lab) > seen + 2.0 / STEP_S, "the run goes on")
        assert inverter.is_marked, "although the strategy still asks for the limit"
        run.interrupt()
        assert run.ended()[0] == 130
        nobody_writes(inverter, guardians)
    reader = RunReader(lab.run_folder)
    assert any("smoke" in str(event.get("message")) for event in reader.strategy("limiter").events())
    (invalid,) = reader.manifest.strategies["limiter"].invalid
    assert "Roof: its guard tripped" in invalid


def test_a_run_that_only_reads_writes_nothing(lab: Bench, inverter: Inverter) -> None:
    inverter.mark()
    code, said = lab.said("live", lab.scenario(), "--read-only", "--duration", "4s", "--out", "results")
    assert code == 0, said
    assert inverter.is_marked
    assert [line for line in lab.audit() if line["event"] == "write"] == []
    strategy = RunReader(lab.run_folder).strategy("limiter")
    assert np.allclose(strategy.series("pv.p_kw"), -RATED_KW), "full sun, whatever the strategy asks for"
    assert stored(lab, RunStatus.FINISHED) == 4.0 / STEP_S


def test_a_dry_run_only_tells_what_it_would_write(lab: Bench, inverter: Inverter) -> None:
    inverter.mark()
    code, said = lab.said("live", lab.scenario(), "--dry-run", "--duration", "4s", "--out", "results")
    assert code == 0, said
    assert inverter.is_marked
    assert not inverter.is_limited
    told = [(line["event"], line.get("point")) for line in lab.audit() if "write" in line["event"]]
    assert ("would_write", "123.WMaxLimPct") in told
    assert {event for event, _ in told} == {"would_write"}


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "says"),
    [
        (("run",), {}, 2, "as: hardware; run it with `twin live SCENARIO --read-only`"),
        (("live",), {}, 2, "one of --armed, --read-only, --dry-run"),
        (("live", *ARMED), {"strategies:": "strategies:\n  none: "}, 2, "--armed: one strategy"),
        (("live", "--armed"), {}, 2, "nobody is there to confirm it"),
        (("live", *OTHER), {}, 2, f"the scenario expects serial number {SERIAL}"),
        (("live", *OTHER), {"serial: SERIAL": "serial: SN-1"}, 1, f"serial number {SERIAL}"),
        (("live", *ARMED), {"      acceptance: acceptance.json\n": ""}, 1, "it has no acceptance report"),
    ],
    ids=[
        *("run", "no-mode", "two-strategies"),
        *("nobody", "other-name", "other-serial", "untested"),
    ],
)
def test_a_device_is_not_commanded_by(
    lab: Bench,
    inverter: Inverter,
    arguments: tuple[str, ...],
    changes: dict[str, str],
    code: int,
    says: str,
) -> None:
    inverter.mark()
    ended, said = lab.said(arguments[0], lab.scenario(**changes), *arguments[1:])
    assert says in said
    assert ended == code, said
    assert inverter.is_marked
    assert not inverter.is_limited


def test_a_device_that_has_passed_its_acceptance_test_is_armed(lab: Bench, inverter: Inverter) -> None:
    (lab.folder / "acceptance.json").unlink()
    where = ("--host", "127.0.0.1", "--port", str(inverter.port), "--serial", SERIAL)
    limits = ("--write", "--limit", f"p_limit_kw=0:{RATED_KW}", "--confirm", SERIAL)
    short = ("--seconds", "1", "--settle-s", "3", "--out", "acceptance.json")
    code, said = lab.said("device", "check", "inverter.yaml", *where, *limits, *short)
    assert code == 0, said
    assert not inverter.is_limited
    with lab.started("live", lab.scenario(), *ARMED) as run:
        limited(lab, inverter, run)
        run.interrupt()
        assert run.ended()[0] == 130


def test_an_acceptance_test_that_failed_keeps_a_device_from_being_armed(
    lab: Bench, inverter: Inverter
) -> None:
    failed = [{"name": "second client", "passed": False, "value": None, "text": "was refused"}]
    write_acceptance(
        lab.folder / "acceptance.json",
        lab.folder / "inverter.yaml",
        inverter.port,
        passed=False,
        checks=failed,
    )
    inverter.mark()
    code, said = lab.said("live", lab.scenario(), *ARMED)
    assert code == 1
    assert "its acceptance test failed (second client)" in said
    assert inverter.is_marked


def test_a_device_has_one_master(lab: Bench, inverter: Inverter) -> None:
    with lab.started("live", lab.scenario(), *ARMED) as run:
        limited(lab, inverter, run)
        code, said = lab.said("live", lab.scenario(), *ARMED[:-1], "second")
        assert code == 1
        assert "another guardian commands this device" in said
        assert inverter.is_limited
        run.interrupt()
        assert run.ended()[0] == 130
    assert not inverter.is_limited


def test_a_device_that_restarts_gets_its_limit_again_and_the_run_tells_what_was_not_live(
    lab: Bench, inverter: Inverter
) -> None:
    with lab.started("live", lab.scenario(**{"duration_s: 2 min": "duration_s: 15 s"}), *ARMED) as run:
        limited(lab, inverter, run)
        inverter.process.kill()
        inverter.process.wait()
        seen = n_finished(lab)
        until(lambda: n_finished(lab) >= seen + 2.0 / STEP_S, "the run goes on without it")
        with served_inverter(port=inverter.port) as again:
            until(lambda: again.is_limited, "the limit is in force again")
            code, said = run.ended()
            # two seconds of fifteen without it are too many for the run to count
            assert code == 1, said
            assert "the run does not count: Roof" in said
            assert not again.is_limited
    (device,) = RunReader(lab.run_folder).manifest.strategies["limiter"].live["devices"]
    used = device["readings"]["p_kw"]
    assert used["live"] + used.get("held", 0) + used.get("model", 0) == 15.0 / STEP_S
    assert used["live"] < 15.0 / STEP_S


def test_a_network_that_is_cut_leaves_the_device_to_its_watchdog_and_is_survived(
    lab: Bench, inverter: Inverter
) -> None:
    with inverter.through_socat() as cable:
        scenario = lab.scenario(**{f"port: {lab.port}": f"port: {cable.port}"})
        with lab.started("live", scenario, *ARMED) as run:
            limited(lab, inverter, run)
            cable.cut()
            let_go(inverter, within_s=stated_s("the network is cut") + TIMER_S, since_s=time.monotonic())
            until(lambda: inverter.is_marked, "nothing comes through")
            cable.mend()
            until(lambda: inverter.is_limited, "the limit is in force again")
            run.interrupt()
            assert run.ended()[0] == 130
            assert not inverter.is_limited


VIRTUAL = """\
name: lab
feeder: {source: "pandapower:create_cigre_network_lv"}
period: {start: 2026-06-20T12:00, duration_s: 15 s, step_s: 1 s}
devices:
  - {kind: load, from: feeder, profile: constant}
  - {kind: pv, name: Roof, home: Load R1, p_peak_kw: 30 kW, profile: constant, as: virtual,
     modbus: {map: sunspec_pv, faults: [{fault: wrong_function, from_s: 1.0, until_s: 2.0}]}}
  - {kind: battery, name: Store, home: Load R1, capacity_kwh: 1, power_kw: 10, as: virtual,
     modbus: {map: sunspec_battery, faults: [{fault: close, from_s: 2.0, until_s: 2.5}]}}
live: {speed: 5, poll: 50 ms, invalid_if: {stale_share: 90 %}}   # the faults are meant
strategies: {self_consumption: , none: }
"""


def test_a_replay_gives_the_same_results_bit_for_bit_without_the_devices(tmp_path: Path) -> None:
    with bench(tmp_path, None) as lab:
        code, said = lab.said("live", lab.scenario(VIRTUAL), "--dry-run", "--out", "live")
        assert code == 0, said
        code, said = lab.said("replay", "live", "--out", "again")
        assert code == 0, said
    live, again = (RunReader(next((tmp_path / name).glob("*/*"))) for name in ("live", "again"))
    assert live.strategies == again.strategies == ("self_consumption", "none")
    for name in live.strategies:
        first, second = live.strategy(name), again.strategy(name)
        assert first.kpis() == second.kpis()
        assert first.elements() == second.elements()
        chunks = zip(first.chunks(), second.chunks(), strict=True)
        for one, other in chunks:
            assert one.arrays.keys() == other.arrays.keys()
            for key, values in one.arrays.items():
                assert values.tobytes() == other.arrays[key].tobytes(), key
        assert np.ptp(first.series("battery.soc")) > 0.0 or name == "none"
        told = live.manifest.strategies[name].live["devices"], again.manifest.strategies[name].live["devices"]
        assert told[0] == told[1]
    assert json.loads((again.folder / "manifest.json").read_text())["options"]["replay"]


def test_a_run_without_devices_on_the_wire_cannot_be_replayed(tmp_path: Path) -> None:
    with bench(tmp_path, None) as lab:
        code, said = lab.said(
            "run",
            lab.scenario(VIRTUAL.replace("as: virtual", "as: model")),
            "--strategy",
            "none",
            "--out",
            "live",
        )
        assert code == 0, said
        code, said = lab.said("replay", "live")
        assert code == 2
        assert "had no devices on the wire" in said
