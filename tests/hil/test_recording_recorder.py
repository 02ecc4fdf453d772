"""Recordings: what goes in comes out in order of time, and nothing that was written is lost when the process is killed."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.errors import RecordingError
from hil_adapters.recording.parts import Parts
from hil_adapters.recording.reader import read_frames, read_samples
from hil_adapters.recording.recorder import Recorder
from hil_adapters.recording.tables import part_file, tail_file
from hil_adapters.samples import NOTHING, Quality, Sample
from hil_adapters.wire.base import Direction

SAMPLE = Sample(value=1.5, quality=Quality.GOOD, received_s=10.0, device_time_s=1.8e9)


def a_row(at_ns: int) -> tuple[object, ...]:
    return ("inv", "sent", at_ns, at_ns, b"\x01")


def test_frames_come_back_in_order_of_time_with_every_byte(tmp_path: Path) -> None:
    with Recorder(tmp_path / "r") as recorder:
        see_one, see_two = recorder.observer("one"), recorder.observer("two")
        see_two(Direction.RECEIVED, bytes(range(256)), 30)
        see_one(Direction.SENT, b"\x00\x01", 10)
        see_two(Direction.SENT, b"", 20)
    table = read_frames(tmp_path / "r")
    assert table.select(["device", "direction", "monotonic_ns", "frame"]).to_pylist() == [
        {"device": "one", "direction": "sent", "monotonic_ns": 10, "frame": b"\x00\x01"},
        {"device": "two", "direction": "sent", "monotonic_ns": 20, "frame": b""},
        {"device": "two", "direction": "received", "monotonic_ns": 30, "frame": bytes(range(256))},
    ]


def test_frames_of_the_same_instant_stay_as_they_were_noted(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        see = recorder.observer("one")
        for number in range(100):
            see(Direction.SENT, bytes((number,)), 7)
    assert [frame[0] for frame in read_frames(tmp_path)["frame"].to_pylist()] == list(range(100))


def test_samples_come_back_and_what_is_not_known_is_null(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.samples("inv", {"p_kw": SAMPLE, "soc": NOTHING})
        recorder.sample("inv", "p_kw", Sample(value=-0.0, quality=Quality.STALE, received_s=10.0))
    rows = read_samples(tmp_path).to_pylist()
    assert [(row["device"], row["signal"], row["value"], row["quality"]) for row in rows] == [
        ("inv", "p_kw", 1.5, int(Quality.GOOD)),
        ("inv", "soc", None, int(Quality.BAD)),
        ("inv", "p_kw", -0.0, int(Quality.STALE)),
    ]
    assert [row["received_s"] for row in rows] == [10.0, None, 10.0]
    assert [row["device_time_s"] for row in rows] == [1.8e9, None, None]
    assert math.copysign(1.0, rows[2]["value"]) == -1.0
    assert rows[0]["monotonic_ns"] <= rows[2]["monotonic_ns"]


def test_a_closed_recording_holds_parquet_only(tmp_path: Path) -> None:
    with Recorder(tmp_path, rows_per_part=10, flush_s=0.01) as recorder:
        see = recorder.observer("one")
        for number in range(5):
            for _ in range(10):
                see(Direction.SENT, b"x", number)
            assert recorder.flush()
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"frames-{n:06d}.parquet" for n in range(5)]
    assert read_frames(tmp_path).num_rows == 50


def test_an_empty_recording_is_an_empty_table_and_no_recording_is_an_error(tmp_path: Path) -> None:
    with Recorder(tmp_path):
        pass
    assert read_frames(tmp_path).num_rows == 0
    assert read_samples(tmp_path).column_names[:3] == ["device", "signal", "value"]
    with pytest.raises(RecordingError, match="no such folder"):
        read_frames(tmp_path / "absent")


def test_a_second_recording_into_the_same_folder_goes_on_behind_the_first(tmp_path: Path) -> None:
    for number in range(3):
        with Recorder(tmp_path) as recorder:
            recorder.observer("one")(Direction.SENT, bytes((number,)), number)
    assert [frame[0] for frame in read_frames(tmp_path)["frame"].to_pylist()] == [0, 1, 2]


def test_many_threads_may_note_at_once(tmp_path: Path) -> None:
    with Recorder(tmp_path, flush_s=0.01) as recorder:

        def note(name: str) -> None:
            see = recorder.observer(name)
            for at_ns in range(500):
                see(Direction.SENT, name.encode(), at_ns)

        threads = [threading.Thread(target=note, args=(f"d{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    table = read_frames(tmp_path)
    assert table.num_rows == 2000
    assert table["monotonic_ns"].to_pylist() == sorted([*range(500)] * 4)


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from hil_adapters.recording.recorder import Recorder
    from hil_adapters.samples import Quality, Sample
    from hil_adapters.wire.base import Direction

    recorder = Recorder(Path(sys.argv[1]), flush_s=0.02, rows_per_part=150)
    see = recorder.observer("inv")
    for number in range(8):
        for at_ns in range(50):
            see(Direction.SENT, bytes((number,)), 50 * number + at_ns)
        recorder.sample("inv", "p_kw", Sample(value=number, quality=Quality.GOOD, received_s=float(number)))
        assert recorder.flush()
    see(Direction.SENT, b"not yet on the disk", 10**9)
    print("written", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == "written\n"
    assert len(list(tmp_path.glob("frames-*.parquet"))) == 2
    assert len(list(tmp_path.glob("frames-*.arrows"))) == 1
    frames = [at_ns for at_ns in read_frames(tmp_path)["monotonic_ns"].to_pylist() if at_ns < 10**9]
    assert frames == list(range(400))
    assert read_samples(tmp_path)["value"].to_pylist() == [float(number) for number in range(8)]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_stream_that_is_cut_anywhere_gives_its_whole_batches(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    parts = Parts(folder, "frames", rows_per_part=10**6)
    ends = []
    for number in range(5):
        parts.append([a_row(3 * number + row) for row in range(3)])
        ends.append(tail_file(folder, "frames", 0).stat().st_size)
    parts.abandon()
    tail = tail_file(folder, "frames", 0)
    cut = data.draw(st.integers(0, ends[-1]))
    os.truncate(tail, cut)
    whole = sum(end <= cut for end in ends)
    assert read_frames(folder)["monotonic_ns"].to_pylist() == list(range(3 * whole))


def test_a_kill_between_the_parquet_file_and_the_end_of_its_stream_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    parts = Parts(tmp_path, "frames", rows_per_part=10**6)
    parts.append([a_row(1), a_row(2)])
    stream = tail_file(tmp_path, "frames", 0).read_bytes()
    parts.finish()
    tail_file(tmp_path, "frames", 0).write_bytes(stream)
    assert read_frames(tmp_path)["monotonic_ns"].to_pylist() == [1, 2]


def test_an_unfinished_parquet_file_is_not_read(tmp_path: Path) -> None:
    parts = Parts(tmp_path, "frames", rows_per_part=10**6)
    parts.append([a_row(1)])
    parts.abandon()
    part_file(tmp_path, "frames", 0).with_suffix(".unfinished").write_bytes(b"PAR1 half a file")
    assert read_frames(tmp_path)["monotonic_ns"].to_pylist() == [1]


def test_a_damaged_part_is_an_error_that_names_it(tmp_path: Path) -> None:
    part_file(tmp_path, "frames", 0).write_bytes(b"PAR1 damaged")
    with pytest.raises(RecordingError, match=r"frames-000000\.parquet"):
        read_frames(tmp_path)


FULL = """
    import resource, sys, time
    from pathlib import Path
    from hil_adapters.recording.recorder import Recorder
    from hil_adapters.wire.base import Direction

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    recorder = Recorder(Path(sys.argv[1]), flush_s=0.01)
    see = recorder.observer("inv")
    number = 0
    slowest_s = 0.0
    while recorder.is_recording:
        begin_s = time.perf_counter()
        see(Direction.SENT, b"x" * 250, number)
        slowest_s = max(slowest_s, time.perf_counter() - begin_s)
        number += 1
        if number % 10 == 0:
            recorder.flush()
    see(Direction.SENT, b"without effect", number)
    told = recorder.take_error()
    print(type(told).__name__, "|", told, "|", recorder.take_error(), "|", number, "|", slowest_s < 1.0)
    recorder.close()
"""


def test_a_full_disk_ends_the_recording_is_told_once_and_keeps_what_was_written(tmp_path: Path) -> None:
    program = [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    kind, text, again, number, was_quick = done.stdout.strip().split(" | ")
    assert kind == "RecordingError"
    assert "free the disk" in text
    assert again == "None"
    assert was_quick == "True"
    kept = read_frames(tmp_path)["monotonic_ns"].to_pylist()
    assert kept == list(range(len(kept)))
    assert 0 < len(kept) < int(number)


def test_a_failure_that_nobody_was_told_is_raised_at_the_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, capacity=3, flush_s=60.0)
    see = recorder.observer("one")
    for at_ns in range(5):
        see(Direction.SENT, b"x", at_ns)
    assert not recorder.is_recording
    with pytest.raises(RecordingError, match="3 rows wait to be written"):
        recorder.close()
    recorder.close()


def test_an_error_under_way_is_not_hidden_by_a_failed_recording(tmp_path: Path) -> None:
    def fail() -> None:
        with Recorder(tmp_path, capacity=0) as recorder:
            recorder.sample("inv", "p_kw", SAMPLE)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()


def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="cannot be made"):
        Recorder(tmp_path / "file" / "r")


def test_the_library_that_writes_is_not_imported_by_the_caller() -> None:
    code = (
        "import sys, hil_adapters.recording.recorder; print('pyarrow' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False False\n"
