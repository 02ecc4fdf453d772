"""What the report says of a run in real time: from files and series worked out by hand to its section."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil_adapters.recording.tables import FRAMES, SCHEMAS, part_file
from twin.errors import RunFolderError
from twin.report.clock import Clock
from twin.report.device_data import DeviceEntry, DeviceOutput
from twin.report.document import render
from twin.report.figures_live import distribution_figure, lateness_figure
from twin.report.figures_wire import power_figure, q_of_v_figure, stretches, voltage_figure
from twin.report.live_data import (
    Curve,
    LiveDevice,
    LiveEvent,
    LiveRun,
    OutsideDevice,
    Reading,
    Seen,
    StrategyLive,
    Traffic,
    WireSeries,
    Writes,
)
from twin.report.live_outside import read_outside
from twin.report.live_section import MOST_DEVICES, live_facts, live_section, uncounted
from twin.report.live_stored import live_run, wire_devices
from twin.report.live_tables import (
    MOST_EVENTS,
    device_table,
    event_table,
    outside_table,
    punctuality_table,
    readings_table,
    wire_table,
)
from twin.report.live_wire import (
    guardian_folders,
    read_audit,
    read_seen,
    read_targets,
    read_traffic,
    serials_of,
    told_by_audit,
    writes_of,
)
from twin.results import RunReader
from twin.signals import Axis

CLOCK = Clock(start_utc_s=1_467_583_200, dt_s=1, n_steps=6)  # 4 July 2016, 00:00:00 in Rome
TIMING = {
    "tick_s": 1.0,
    "n_steps": 6,
    "lateness_p50_s": 0.0002,
    "lateness_p99_s": 0.0051,
    "lateness_max_s": 0.25,
    "work_p50_s": 0.004,
    "work_max_s": 0.03,
    "late_share": 1 / 6,
    "late_limit_s": 0.1,
    "lost_ticks": 2,
    "clock_jumps": 0,
}
LATE_S = np.array([0.0, 0.0002, 0.0002, 0.25, 0.0001, 0.0003])
WORK_S = np.array([0.03, 0.004, 0.004, 0.004, 0.003, 0.005])
ROOF = LiveDevice(
    name="Roof",
    hardware=True,
    map_name="sunspec_pv",
    serial="SN-1",
    target="192.168.1.20:502, unit 1",
    stands_for=10.0,
    alpha=0.35,
    readings=(Reading(signal="p_kw", live=3, held=2, model=1, safe=0, oldest_s=2.04),),
)


def series(axis: str = "pv", **changes: Any) -> WireSeries:
    found = WireSeries(
        axis=axis,
        p_kw=np.array([-5.0, -5.0, -4.0, -2.0, -2.0, -2.0]),
        q_kvar=np.array([0.0, 0.5, 0.5, 0.2, 0.1, 0.0]),
        quality=np.array([0.0, 1.0, 2.0, 2.0, 3.0, 0.0]),
        age_s=np.array([0.1, 0.1, 1.1, 2.1, 3.1, 0.1]),
        commanded_kw=np.array([0.0, 0.0, 2.0, 2.0, 2.0, 0.0]),
        in_force=np.array([0.0, 0.0, 1.0, 1.0, 1.0, 0.0]),
        vm_pu=np.array([1.03, 1.03, 1.02, 1.01, 1.01, 1.01]),
    )
    return replace(found, **changes)


SEEN = Seen(step=np.array([0, 1, 5]), vm_v=np.array([230.0, 236.9, 234.6]), q_kvar=np.array([0.0, 1.3, 0.0]))


def strategy(**changes: Any) -> StrategyLive:
    found = StrategyLive(
        key="mine",
        label="Mine",
        mode="armed",
        speed=1.0,
        timing=TIMING,
        invalid=(),
        lateness_s=LATE_S,
        work_s=WORK_S,
        devices=(ROOF,),
        series={"Roof": series()},
        seen={"Roof": SEEN},
        traffic={"Roof": Traffic(requests=4, unanswered=1, round_trip_s=np.array([0.001, 0.002, 0.2]))},
        writes={"Roof": Writes(commands=4, refreshes=8, other=1, not_confirmed=2, refused=3)},
        events=(LiveEvent(utc="2026-11-22T08:44:54.380+00:00", step=2, text="Roof: armed: armed"),),
    )
    return replace(found, **changes)


def run_of(*strategies: StrategyLive, **changes: Any) -> LiveRun:
    return replace(LiveRun(strategies=strategies or (strategy(),)), **changes)


# --- what the guardians left on disk --------------------------------------------------------------------------------

AUDIT: list[dict[str, Any]] = [
    {"event": "start", "state": "armed"},
    {"event": "state", "device": "Roof", "state": "armed", "why": "armed"},
    {"event": "write", "device": "Roof", "serial": "SN-1", "purpose": "command", "why": "brought into force"},
    {"event": "written", "device": "Roof", "error": None},
    {"event": "write", "device": "Roof", "serial": "SN-1", "purpose": "command", "why": "refresh"},
    {"event": "not_confirmed", "device": "Roof", "error": "timeout"},
    {"event": "refused", "device": "Roof", "why": "p_limit_kw: nan is not a number"},
    {"event": "write", "device": "Roof", "serial": "SN-1", "purpose": "release", "why": "the run has ended"},
    {"event": "would_write", "device": "Store", "serial": None, "purpose": "command", "why": "new"},
    {"event": "safe_state", "device": "Roof", "why": "the run has ended"},
    {"event": "contention", "device": "Roof", "why": "someone else wrote 80"},
]


def audit_lines() -> list[dict[str, Any]]:
    return [
        {"n": n, "utc": f"2026-11-22T08:44:{n:02d}+00:00", "monotonic_ns": n} | line
        for n, line in enumerate(AUDIT)
    ]


@pytest.fixture(name="guardian")
def _guardian(tmp_path: Path) -> Path:
    folder = tmp_path / "mine" / "devices" / "hardware"
    folder.mkdir(parents=True)
    text = "".join(f"{json.dumps(line)}\n" for line in audit_lines())
    (folder / "audit.jsonl").write_text(text + '{"n": 99, "event": "wri')  # cut by a kill
    return folder


def test_an_audit_is_read_up_to_the_line_that_a_kill_cut(guardian: Path) -> None:
    assert guardian_folders(guardian.parents[1]) == (guardian,)
    assert [line["event"] for line in read_audit(guardian)] == [line["event"] for line in AUDIT]


def test_writes_are_counted_by_what_they_were_for(guardian: Path) -> None:
    audit = read_audit(guardian)
    assert writes_of(audit) == {
        "Roof": Writes(commands=1, refreshes=1, other=1, not_confirmed=1, refused=1),
        "Store": Writes(dry=1),
    }
    assert serials_of(audit) == {"Roof": "SN-1"}


def test_decisions_of_the_guardian_are_told_in_its_words(guardian: Path) -> None:
    assert [event.text for event in told_by_audit(read_audit(guardian))] == [
        "Roof: armed: armed",
        "Roof: p_limit_kw: nan is not a number",
        "Roof: safe state reached: the run has ended",
        "Roof: contention: someone else wrote 80",
    ]


def test_a_damaged_audit_is_refused_with_its_file(guardian: Path) -> None:
    (guardian / "audit.jsonl").write_text("{]\n")
    with pytest.raises(RunFolderError, match=r"audit\.jsonl.*restore"):
        read_audit(guardian)


def test_addresses_come_from_the_configuration_of_the_guardian(tmp_path: Path) -> None:
    assert read_targets(tmp_path) == {}
    devices = [
        {"name": "Roof", "unit": 3, "target": {"kind": "tcp", "host": "10.0.0.5", "port": 502}},
        {"name": "Meter", "unit": 9, "target": {"kind": "serial", "path": "/dev/ttyUSB0"}},
    ]
    (tmp_path / "guardian.json").write_text(json.dumps({"devices": devices}))
    assert read_targets(tmp_path) == {"Roof": "10.0.0.5:502, unit 3", "Meter": "/dev/ttyUSB0, unit 9"}
    (tmp_path / "guardian.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"guardian\.json"):
        read_targets(tmp_path)


def frames(folder: Path, *rows: tuple[str, str, int]) -> None:
    columns = list(zip(*rows, strict=True))
    pq.write_table(
        pa.table(
            [*columns[:2], columns[2], columns[2], [b""] * len(rows)],
            schema=SCHEMAS[FRAMES],
        ),
        part_file(folder, FRAMES, 0),
    )


def test_a_round_trip_is_from_a_request_to_the_next_frame_of_the_same_device(tmp_path: Path) -> None:
    frames(
        tmp_path,
        ("Roof", "sent", 0),
        ("Store", "sent", 1_000_000),
        ("Roof", "received", 2_000_000),
        ("Roof", "sent", 10_000_000),  # nobody answers
        ("Store", "received", 11_000_000),
        ("Roof", "sent", 20_000_000),
        ("Roof", "received", 25_000_000),
        ("Roof", "received", 26_000_000),  # twice
    )
    found = read_traffic(tmp_path)
    assert found is not None
    assert (found["Roof"].requests, found["Roof"].unanswered) == (3, 1)
    assert found["Roof"].round_trip_s.tolist() == pytest.approx([0.002, 0.005])
    assert found["Store"].round_trip_s.tolist() == pytest.approx([0.010])


def test_a_damaged_recording_is_refused_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "frames-000000.parquet").write_bytes(b"no parquet")
    with pytest.raises(RunFolderError, match=r"frames-000000\.parquet"):
        read_traffic(tmp_path)


def test_only_live_readings_of_voltage_and_reactive_power_are_drawn(tmp_path: Path) -> None:
    def image(vm_v: list[Any], q_kvar: list[Any]) -> str:
        signals = {"vm_v": vm_v, "q_kvar": q_kvar}
        return json.dumps({"now_s": 1.0, "image": {"devices": {"Roof": {"signals": signals}}}}) + "\n"

    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "exchange.jsonl").write_text(
        image([230.0, 0, 1.0, None], [0.0, 0, 1.0, None])  # before the first step
        + image([236.0, 1, 1.0, None], [1.5, 0, 1.0, None])
        + '{"events": ["Roof: read again"]}\n'
        + image([237.0, 2, 1.0, None], [1.6, 0, 1.0, None])  # stale
        + image([None, 4, None, None], [1.7, 0, 1.0, None])
        + image([238.0, 0, 1.0, None], [2.0, 0, 1.0, None])
    )
    (found,) = read_seen(tmp_path, ["Roof"]).values()
    assert found.step.tolist() == [-1, 0, 3]
    assert found.vm_v.tolist() == [230.0, 236.0, 238.0]
    assert found.q_kvar.tolist() == [0.0, 1.5, 2.0]
    assert read_seen(tmp_path, ["Cellar"]) == {}
    assert read_seen(tmp_path / "nowhere", ["Roof"]) == {}


def outside(folder: Path, **files: str) -> Path:
    place = folder / "devices" / "outside"
    place.mkdir(parents=True)
    addresses = {
        "meter": {"host": "127.0.0.1", "port": 502, "unit": 1, "map": "sunspec_meter"},
        "battery": {"host": "127.0.0.1", "port": 502, "unit": 3, "map": "maps/mine.yaml"},
    }
    contents = {
        "addresses.json": json.dumps(addresses),
        "steps.jsonl": (
            '{"step": 0, "commands": {"meter": {}, "battery": {}}, "write_age_s": {"meter": "inf", "battery": "inf"}}\n'
            '{"step": 1, "commands": {"meter": {}, "battery": {"p_set_kw": 0.0}}, '
            '"write_age_s": {"meter": "inf", "battery": 0.25}}\n'
        ),
        "writes.jsonl": (
            '{"step": 1, "device": "battery", "refused": null}\n{"step": 1, "device": "battery", "refused": 3}\n'
        ),
    }
    for name, text in (contents | files).items():
        (place / name).write_text(text)
    return folder


def test_what_a_controller_outside_wrote_is_counted(tmp_path: Path) -> None:
    meter, battery = read_outside(outside(tmp_path))
    assert meter == OutsideDevice(
        name="meter",
        address="127.0.0.1:502, unit 1",
        map_name="sunspec_meter",
        steps=2,
        steps_commanded=0,
        writes=0,
        refused=0,
        oldest_write_s=None,
    )
    assert (battery.map_name, battery.steps_commanded, battery.writes, battery.refused) == ("mine", 1, 1, 1)
    assert battery.oldest_write_s == 0.25
    assert read_outside(tmp_path / "nowhere") == ()


@pytest.mark.parametrize(
    "files", [{"addresses.json": "[]"}, {"steps.jsonl": "{}\n"}, {"writes.jsonl": "{]\n"}]
)
def test_damaged_records_of_a_controller_outside_are_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(RunFolderError, match="outside"):
        read_outside(outside(tmp_path, **files))


# --- a stored run ---------------------------------------------------------------------------------------------------

ON_WIRE = DeviceEntry(
    label="devices[0] roofs",
    axis=Axis.PV,
    devices=("PV 0",),
    origin="virtual devices",
    outputs=(DeviceOutput(name="age_s", unit="s"), DeviceOutput(name="quality", unit="1")),
)
MODEL = DeviceEntry(label="devices[1] tanks", axis=Axis.LOAD, devices=("tank",), origin="a model", outputs=())
SCENARIO: dict[str, Any] = {
    "devices": [
        {
            "kind": "pv",
            "as": "virtual",
            "p_peak_kw": 20.0,
            "modbus": {"faults": [{"fault": "late"}, {"fault": "reset"}, {"fault": "late", "from_s": 3}]},
            "inverter": {
                "function": "q_v",
                "q_max_share": 0.5,
                "v2i_pu": 0.9,
                "v1i_pu": 0.95,
                "v1s_pu": 1.05,
                "v2s_pu": 1.1,
            },
        },
        {"kind": "water_heater", "as": "model"},
    ]
}
TOLD: dict[str, Any] = {
    "mode": "none",
    "speed": 10.0,
    "timing": TIMING,
    "devices": [
        {
            "name": "PV 0",
            "hardware": False,
            "map": "sunspec_pv",
            "serial": None,
            "stands_for": 4.0,
            "alpha": 1.0,
            "readings": {"p_kw": {"live": 5, "safe": 1, "oldest_s": 0.5}},
        }
    ],
}


@pytest.fixture(name="stored")
def _stored(tmp_path: Path, make_stored_run: Callable[..., Path]) -> Path:
    return make_stored_run(tmp_path / "run", days=1, n_buses=8)


def tell(folder: Path, **live: Any) -> RunReader:
    """Give the strategy ``mpc`` of a stored run a real time."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["strategies"]["mpc"] |= {"live": TOLD | live, "invalid": ["too late"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return RunReader(folder)


def read(run: RunReader) -> LiveRun | None:
    stored = [(name, name.upper(), run.strategy(name)) for name in run.strategies]
    return live_run(run, stored, entries=[ON_WIRE, MODEL], scenario=SCENARIO)


def test_a_run_offline_has_no_section(stored: Path) -> None:
    assert read(RunReader(stored)) is None


def test_only_strategies_in_real_time_are_shown(stored: Path) -> None:
    (stored / "mpc" / "timing.jsonl").write_text(
        '{"step": 0, "lateness_s": 0.001, "work_s": 0.002, "lost_ticks": 0, "clock_jump_s": 0.0}\n'
    )
    run = read(tell(stored))
    assert run is not None
    (found,) = run.strategies
    assert (found.key, found.label, found.speed, found.invalid) == ("mpc", "MPC", 10.0, ("too late",))
    assert found.lateness_s.tolist() == [0.001]
    (device,) = found.devices
    assert (device.serial, device.target) == ("", "")
    assert device.readings == (Reading(signal="p_kw", live=5, held=0, model=0, safe=1, oldest_s=0.5),)


def test_the_curve_of_one_device_is_that_of_its_entry_over_the_devices_it_stands_for(stored: Path) -> None:
    run = read(tell(stored))
    assert run is not None
    assert run.curves["PV 0"].q_kvar.tolist() == [-2.5, 0.0, 0.0, 2.5]
    assert run.curves["PV 0"].vm_pu.tolist() == [0.9, 0.95, 1.05, 1.1]
    assert run.faults == {"devices[0] roofs": ("late", "reset")}


def test_a_real_device_has_no_curve_of_the_scenario(stored: Path) -> None:
    real = [TOLD["devices"][0] | {"hardware": True, "serial": "SN-9"}]
    run = read(tell(stored, devices=real))
    assert run is not None
    assert run.curves == {}
    assert run.strategies[0].devices[0].serial == "SN-9"


def test_series_that_were_not_stored_are_told_of(stored: Path) -> None:
    run = read(tell(stored))
    assert run is not None
    assert run.strategies[0].series == {}
    assert "no figures of these devices" in run.notes[0]


def test_a_manifest_of_another_form_is_refused_with_its_file(stored: Path) -> None:
    with pytest.raises(RunFolderError, match=r"manifest\.json: live of 'mpc'"):
        read(tell(stored, devices=[{"name": "PV 0"}]))


def test_devices_on_the_wire_are_those_that_tell_age_and_quality() -> None:
    assert wire_devices([ON_WIRE, MODEL]) == {"PV 0": ON_WIRE}


def test_events_of_steps_and_of_the_audit_are_told_once(stored: Path) -> None:
    lines = [
        {
            "kind": "device",
            "step": 7,
            "time_utc": "2026-11-22T08:44:01.5+00:00",
            "message": "Roof: armed: armed",
        },
        {"kind": "started", "step": 0, "time_utc": "2026-11-22T08:44:00+00:00"},
    ]
    (stored / "mpc" / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    folder = stored / "mpc" / "devices" / "virtual"
    folder.mkdir(parents=True)
    (folder / "audit.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in audit_lines()))
    run = read(tell(stored))
    assert run is not None
    events = run.strategies[0].events
    assert [(event.step, event.text) for event in events][:2] == [
        (7, "Roof: armed: armed"),
        (None, "Roof: p_limit_kw: nan is not a number"),
    ]
    assert len(events) == 4


# --- tables ---------------------------------------------------------------------------------------------------------


def test_punctuality_is_in_milliseconds_with_the_result_beside_it() -> None:
    (row,) = punctuality_table(run_of()).rows
    assert row == ("Mine", "armed", "counts", "1", "6", "0.2", "5.1", "250", "16.7", "2", "4.0", "30.0")


def test_a_run_that_does_not_count_says_so_and_why() -> None:
    run = run_of(strategy(invalid=("16.7% of the steps were late", "the clock was set")))
    assert punctuality_table(run).rows[0][2] == "does not count"
    assert uncounted(run) == ("Mine does not count: 16.7% of the steps were late; the clock was set.",)
    html = section_html(run)
    assert html.count('class="alarm"') == 1
    assert "the clock was set" in html
    assert uncounted(run_of()) == ()
    assert 'class="alarm"' not in section_html(run_of())


def test_a_replay_has_no_punctuality() -> None:
    run = run_of(
        strategy(mode="replay", timing=None, lateness_s=np.zeros(0), work_s=np.zeros(0)),
        replay_of="results/lab/1",
    )
    assert punctuality_table(run).rows[0][3:] == ("\u2013",) * 9
    assert live_section(run, CLOCK).punctuality == ()
    assert live_section(run, CLOCK).words[0].startswith("A replay of results/lab/1")
    assert live_facts(run) == (("Real time", "replay of results/lab/1"),)


def test_the_title_block_tells_the_worst_of_all_strategies() -> None:
    run = run_of(strategy(), strategy(timing=TIMING | {"lateness_p99_s": 0.02}, mode="read_only"))
    assert live_facts(run) == (
        ("Real time", "armed, read only; 99 % of the steps within 20.0 ms, 4 ticks lost"),
    )


def test_devices_are_told_once_with_what_they_stand_for() -> None:
    table = device_table(run_of(strategy(devices=(replace(ROOF, serial=""),)), strategy(key="b")))
    assert table is not None
    assert table.rows == (("Roof", "real", "sunspec_pv", "SN-1", "192.168.1.20:502, unit 1", "10", "0.35"),)
    assert device_table(run_of(strategy(devices=()))) is None


def test_the_serial_number_of_a_virtual_device_is_not_shown_because_it_is_made_up() -> None:
    virtual = replace(ROOF, hardware=False, serial="12bae6e4b6-virtual")
    table = device_table(run_of(strategy(devices=(virtual,))))
    assert table is not None
    assert table.rows[0][1:4] == ("virtual", "sunspec_pv", "emulated")


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"Roof": False}, "No real device took part: Roof was emulated"),
        ({"Roof": False, "Store": False}, "No real device took part: Roof, Store were emulated"),
        ({"Roof": True, "Store": False}, "Roof was real, Store was emulated"),
        ({f"PV {n}": False for n in range(9)}, "PV 5 and 3 more were emulated"),
    ],
)
def test_it_is_said_which_devices_were_real(kinds: dict[str, bool], said: str) -> None:
    devices = tuple(replace(ROOF, name=name, hardware=real) for name, real in kinds.items())
    words = " ".join(live_section(run_of(strategy(devices=devices)), CLOCK).words)
    assert said in words
    assert "Curtailed PV energy is what the model beside a device" in words


def test_a_replay_and_a_run_without_devices_say_nothing_of_real_ones() -> None:
    replayed = live_section(run_of(replay_of="runs/1"), CLOCK)
    without = live_section(run_of(strategy(mode="none", devices=())), CLOCK)
    assert not any("emulated" in word or "Curtailed" in word for word in (*replayed.words, *without.words))


def test_readings_are_counted_by_where_they_came_from() -> None:
    table = readings_table(run_of())
    assert table is not None
    assert table.rows == (("Roof", "p_kw", "Mine", "3", "2", "1", "0", "50.0", "2.0"),)
    assert Reading(signal="p_kw", live=0, held=0, model=0, safe=0, oldest_s=0.0).share_not_live == 0.0


def test_the_wire_table_has_traffic_and_writes() -> None:
    table = wire_table(run_of())
    assert table is not None
    assert table.rows == (("Roof", "Mine", "4", "1", "2.0", "196", "200", "4", "8", "1", "2", "3"),)
    silent = strategy(
        traffic={"Roof": Traffic(requests=3, unanswered=3, round_trip_s=np.zeros(0))}, writes={}
    )
    table = wire_table(run_of(silent))
    assert table is not None
    assert table.rows[0][2:8] == ("3", "3", "\u2013", "\u2013", "\u2013", "0")
    assert wire_table(run_of(strategy(traffic={}, writes={}))) is None


def test_a_controller_outside_has_a_table_and_gives_the_run_its_mode(tmp_path: Path) -> None:
    run = run_of(
        strategy(mode="none", devices=(), series={}, seen={}, outside=read_outside(outside(tmp_path)))
    )
    assert punctuality_table(run).rows[0][1] == "EMS outside"
    table = outside_table(run)
    assert table is not None
    assert table.rows[1] == ("Mine", "battery", "mine", "127.0.0.1:502, unit 3", "1 of 2", "1", "1", "0.25")
    assert outside_table(run_of()) is None
    assert live_facts(run)[0][1].startswith("EMS outside;")


def test_what_was_found_of_the_loop_is_said() -> None:
    section = live_section(
        run_of(strategy(loop="loop gain 0.2 between devices and feeder: settles by itself")), CLOCK
    )
    assert "Loop gain 0.2 between devices and feeder: settles by itself." in section.words


def test_events_have_the_wall_clock_and_the_simulated_time_with_seconds() -> None:
    table = event_table(strategy(), CLOCK)
    assert table is not None
    assert table.rows == (("09:44:54.3", "4 Jul 00:00:02", "Roof: armed: armed"),)
    assert event_table(strategy(events=()), CLOCK) is None


def test_of_very_many_events_the_first_and_the_last_are_shown() -> None:
    events = tuple(
        LiveEvent(utc="2026-11-22T08:44:54+00:00", step=None, text=f"event {n}")
        for n in range(MOST_EVENTS + 40)
    )
    table = event_table(strategy(events=events), CLOCK)
    assert table is not None
    texts = [row[2] for row in table.rows]
    assert len(texts) == MOST_EVENTS + 1
    assert (texts[0], texts[49], texts[51], texts[-1]) == ("event 0", "event 49", "event 90", "event 99")
    assert texts[50].startswith("40 more events")


# --- figures --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_stretches_cover_the_levels_without_gaps(levels: list[int]) -> None:
    found = list(stretches(np.array(levels)))
    assert [level for first, stop, level in found for _ in range(first, stop)] == levels
    assert all(one[2] != other[2] for one, other in pairwise(found))


def test_the_limit_is_in_the_picture_where_a_step_comes_near_it() -> None:
    near = lateness_figure("l", LATE_S, WORK_S, late_limit_s=0.2, clock=CLOCK, label="Mine")
    far = lateness_figure("l", LATE_S, WORK_S, late_limit_s=1.0, clock=CLOCK, label="Mine")
    assert "late from 200 ms on<" in near
    assert "late from 1\u202f000 ms on (not in the picture)" in far
    assert "Highest lateness 250 ms, longest work 30.0 ms" in near


def test_the_distribution_is_on_decades_and_a_time_of_zero_is_drawn() -> None:
    svg = distribution_figure("d", LATE_S, WORK_S, late_limit_s=1.0, label="Mine")
    assert [f">{label}<" in svg for label in ("0.001", "0.1", "1000", "10000")] == [True, True, True, False]
    assert "NaN" not in svg
    assert "inf" not in svg


def test_a_limit_of_a_generator_is_drawn_below_zero_and_only_while_in_force() -> None:
    svg = power_figure("p", series(), clock=CLOCK, title="Roof")
    assert "limit in force" in svg
    assert svg.count('stroke-dasharray="6 3"') == 2, "one stretch, and its key"
    assert "Power from \u22125 to \u22122 kW." in svg
    assert ">0<" not in svg, "both lie below zero"
    idle = power_figure("p", series(in_force=np.zeros(6)), clock=CLOCK, title="Roof")
    assert "in force" not in idle
    battery = power_figure("p", series("battery"), clock=CLOCK, title="Store")
    assert "set-point in force" in battery


def test_the_worse_a_reading_the_higher_its_bar() -> None:
    svg = power_figure("p", series(commanded_kw=None), clock=CLOCK, title="Roof")
    bars = [part.split('"')[0] for part in svg.split('height="')[1:]]
    assert bars == ["5", "10", "15", "5", "10", "15"], "those of the run, then their key"
    assert "Reading held: 2 of 6 steps." in svg


def test_of_a_long_run_the_worst_reading_of_each_stretch_is_drawn() -> None:
    n = 50_000
    quality = np.zeros(n)
    quality[12_345] = 3.0
    long = series(
        p_kw=np.zeros(n), q_kvar=np.zeros(n), quality=quality, commanded_kw=None, in_force=None, vm_pu=None
    )
    svg = power_figure("p", long, clock=replace(CLOCK, n_steps=n), title="Roof")
    assert svg.count('height="15"') == 2, "one bar, and its key"
    assert len(svg) < 20_000


def test_the_simulated_voltage_stands_beside_what_the_device_reads() -> None:
    svg = voltage_figure("v", series(), SEEN, clock=CLOCK, title="Roof")
    assert "Voltage at its bus, simulated: 232.3 to 236.9 V." in svg
    assert "Voltage as the device reads it: 230.0 to 236.9 V." in svg
    without = voltage_figure("v", series(vm_pu=None), SEEN, clock=CLOCK, title="Roof")
    assert "simulated" not in without


def test_readings_lie_on_the_curve_of_the_scenario() -> None:
    curve = Curve(vm_pu=np.array([0.9, 0.95, 1.02, 1.04]), q_kvar=np.array([-2.6, 0.0, 0.0, 2.6]))
    svg = q_of_v_figure("q", SEEN, curve, title="Roof")
    assert "Q(V) of the scenario" in svg
    assert svg.count('fill-opacity=".45"') == 3
    assert "Q(V) of the scenario" not in q_of_v_figure("q", SEEN, None, title="Roof")


# --- the section ----------------------------------------------------------------------------------------------------


def section_html(run: LiveRun) -> str:
    return render("live.html.j2", live=live_section(run, CLOCK), number={"live": 7})


def test_a_generator_has_three_figures_and_a_battery_one() -> None:
    store = replace(ROOF, name="Store")
    run = run_of(
        strategy(devices=(ROOF, store), series={"Roof": series(), "Store": series("battery")}),
    )
    panels = {heading: [panel.id for panel in found] for heading, found in live_section(run, CLOCK).devices}
    assert panels == {"Roof": ["wire-p-0-0", "wire-v-0-0", "wire-q-0-0"], "Store": ["wire-p-1-0"]}


def test_reactive_power_is_not_drawn_over_a_voltage_that_stands_still() -> None:
    still = replace(SEEN, vm_v=np.array([230.0, 230.2, 230.1]))
    ((_, panels),) = live_section(run_of(strategy(seen={"Roof": still})), CLOCK).devices
    assert [panel.id for panel in panels] == ["wire-p-0-0", "wire-v-0-0"]


def test_the_voltage_of_a_real_device_is_not_taken_for_the_simulated_one() -> None:
    captions = [
        live_section(run_of(strategy(devices=(replace(ROOF, hardware=hardware),))), CLOCK)
        .devices[0][1][1]
        .caption
        for hardware in (True, False)
    ]
    assert "stands on" in captions[0]
    assert captions[1] == ""


def test_figures_of_a_strategy_hide_with_it() -> None:
    html = section_html(run_of(strategy(), strategy(key="other", label="Other")))
    assert html.count('<figure data-strategy="mine">') == html.count('<figure data-strategy="other">') == 5


def test_many_devices_are_not_all_drawn() -> None:
    many = {f"d{n}": series("battery") for n in range(MOST_DEVICES + 3)}
    section = live_section(run_of(strategy(series=many)), CLOCK)
    assert len(section.devices) == MOST_DEVICES
    assert "3 devices of Mine" in section.notes[-1]


def test_words_of_the_scenario_are_escaped() -> None:
    bad = strategy(events=(LiveEvent(utc="2026-11-22T08:44:54+00:00", step=None, text="<script>x</script>"),))
    assert "<script>" not in section_html(run_of(bad))


@pytest.mark.parametrize(
    ("mode", "said"), [("read_only", "never written to"), ("dry_run", "A dry run"), ("armed", "commanded")]
)
def test_what_the_run_was_allowed_to_do_is_said(mode: str, said: str) -> None:
    assert any(said in sentence for sentence in live_section(run_of(strategy(mode=mode)), CLOCK).words)


# --- time axes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_steps", "labels"),
    [
        (6, ["00:00:00", "00:00:01", "00:00:02", "00:00:03", "00:00:04", "00:00:05", "00:00:06"]),
        (
            240,
            [
                "00:00:00",
                "00:00:30",
                "00:01:00",
                "00:01:30",
                "00:02:00",
                "00:02:30",
                "00:03:00",
                "00:03:30",
                "00:04:00",
            ],
        ),
        (3600, ["00:00", "00:10", "00:20", "00:30", "00:40", "00:50", "01:00"]),
    ],
)
def test_a_short_run_has_marks_at_round_seconds_and_minutes(n_steps: int, labels: list[str]) -> None:
    ticks = replace(CLOCK, n_steps=n_steps).ticks(0, n_steps)
    assert [tick.label for tick in ticks] == labels
    spacing = np.diff([tick.at_s for tick in ticks])
    assert spacing == pytest.approx(np.full(len(labels) - 1, n_steps / (len(labels) - 1)))


def test_marks_of_a_run_that_starts_between_them_lie_at_round_times() -> None:
    ticks = replace(CLOCK, start_utc_s=CLOCK.start_utc_s + 7).ticks(0, 120)
    assert [(tick.at_s, tick.label) for tick in ticks][:2] == [(8.0, "00:00:15"), (23.0, "00:00:30")]
