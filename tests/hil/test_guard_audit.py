"""The audit, and the messages that pass between a run and its guardian."""

import json
import math
import os
import resource
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outside import lacking

from hil_adapters.errors import GuardianError, RecordingError
from hil_adapters.guard.audit import Audit
from hil_adapters.guard.encoding import (
    HEADER_BYTES,
    body_length,
    config_from_json,
    config_to_json,
    image_from_json,
    image_to_json,
    pack,
    report_from_json,
    report_to_json,
    set_points_from_json,
    set_points_to_json,
    unpack,
)
from hil_adapters.guard.messages import (
    DeviceConfig,
    DeviceImage,
    DeviceReport,
    FinalReport,
    GuardianConfig,
    GuardState,
    Image,
    Limits,
    SetPoints,
    TlsFiles,
)
from hil_adapters.guard.telling import Events
from hil_adapters.samples import Quality, Sample
from hil_adapters.wire.base import Parity, RtuOverTcpTarget, SerialTarget, TcpTarget

# ---------------------------------------------------------------------- audit

FULL = """
import resource, sys
from pathlib import Path
from hil_adapters.errors import RecordingError
from hil_adapters.guard.audit import Audit
audit = Audit(Path(sys.argv[1]))
audit.record("write", value=1.0)
size = (Path(sys.argv[1]) / "audit.jsonl").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))
for _ in range(2):
    try:
        audit.record("write", value=2.0)
    except RecordingError as error:
        print("refused:", error)
audit.record_safe_state("safe_state", value=3.0)
print("lost:", len(audit.lost), "broken:", audit.broken)
audit.close()
"""


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_line_is_in_the_file_before_record_returns_and_lines_are_numbered(tmp_path: Path) -> None:
    audit = Audit(tmp_path, wall_clock=lambda: 0.0)
    assert audit.record("write", device="roof", value=1.5, raw=[3], old=None) == 1
    assert audit.record("written", of=1) == 2
    first, second = lines(tmp_path)
    assert first["utc"] == "1970-01-01T00:00:00.000000+00:00"
    assert (first["event"], first["device"], first["raw"], first["old"]) == ("write", "roof", [3], None)
    assert (second["n"], second["of"]) == (2, 1)
    audit.close()


def test_an_audit_goes_on_in_the_file_of_an_earlier_guardian(tmp_path: Path) -> None:
    for _ in range(2):
        audit = Audit(tmp_path)
        audit.record("start")
        audit.close()
    assert [line["event"] for line in lines(tmp_path)] == ["start", "start"]


def test_what_is_no_number_is_told_as_a_word_and_the_line_stays_json(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.record("write", value=math.nan, old=math.inf)
    audit.close()
    line = json.loads((tmp_path / "audit.jsonl").read_text(), parse_constant=pytest.fail)
    assert (line["value"], line["old"]) == ("nan", "inf")


def test_an_audit_that_cannot_be_opened_refuses_to_begin(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(RecordingError, match="free the disk or choose another folder"):
        Audit(tmp_path)


def test_a_full_disk_refuses_every_later_write_but_not_the_safe_state(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("refused:") == 2
    assert "lost: 1 broken: True" in done.stdout
    # what could not be kept on the disk is told on standard error
    assert '"event": "safe_state"' in done.stderr
    assert [line["event"] for line in lines(tmp_path)] == ["write"]


def test_the_reserve_takes_the_safe_state_where_the_disk_itself_is_full(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        lacking("a small file system cannot be mounted here: it takes a privileged user")
    try:
        audit = Audit(tmp_path)
        with (tmp_path / "other").open("wb", buffering=0) as other:
            fill(other.fileno())
        with pytest.raises(RecordingError, match="No space left"):
            record_until_full(audit)
        audit.record_safe_state("safe_state", device="roof")
        assert lines(tmp_path)[-1]["event"] == "safe_state"
        assert audit.lost == []
        audit.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def record_until_full(audit: Audit) -> None:
    """Write lines; the part of a block that is left takes a few."""
    while True:
        audit.record("write", text="x" * 500)


def fill(file: int) -> None:
    """Write until the file system takes no more."""
    try:
        while os.write(file, bytes(4096)):
            pass
    except OSError:
        return


def test_the_limit_of_the_test_above_does_not_reach_this_process() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


# ---------------------------------------------------------------------- events


def test_an_event_is_told_once_for_as_long_as_its_cause_lasts() -> None:
    events = Events()
    assert events.tell_once("limit", "clamped")
    assert not events.tell_once("limit", "clamped")
    assert events.take() == ("clamped",)
    assert events.take() == ()
    events.settle("limit")
    assert events.tell_once("limit", "clamped")


def test_texts_with_numbers_of_their_own_do_not_fill_the_events() -> None:
    events = Events()
    for number in range(100):
        events.tell_once("clamp", f"clamped to {number}")
        events.tell_first("step", f"step {number} is late")
    told = events.take()
    assert sum("clamped" in text for text in told) == 20
    assert [text for text in told if "late" in text] == ["step 0 is late"]
    events.settle("step")
    assert events.tell_first("step", "step 100 is late")


def test_two_causes_that_take_turns_are_each_told_once() -> None:
    events = Events()
    for _ in range(50):
        events.tell_once("note", "the limit is clamped")
        events.tell_once("note", "the set-point is clamped")
    assert events.take() == ("the limit is clamped", "the set-point is clamped")


# ---------------------------------------------------------------------- messages

numbers = st.floats(allow_nan=True, allow_infinity=True)


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


@settings(deadline=None)
@given(values=st.dictionaries(st.text(), st.dictionaries(st.text(), numbers)), step=st.integers(0, 2**40))
def test_set_points_survive_the_socket_and_what_is_no_number_stays_none(
    values: dict[str, dict[str, float]], step: int
) -> None:
    sent = SetPoints(step=step, expires_s=2.0, values=values)
    frame = pack(set_points_to_json(sent, sent_s=12.5))
    assert body_length(frame[:HEADER_BYTES]) == len(frame) - HEADER_BYTES
    came, sent_s = set_points_from_json(unpack(frame[HEADER_BYTES:]))
    assert (came.step, came.expires_s, sent_s) == (step, 2.0, 12.5)
    assert came.values.keys() == values.keys()
    for device, commands in values.items():
        assert came.values[device].keys() == commands.keys()
        assert all(same(came.values[device][name], value) for name, value in commands.items())


@settings(deadline=None)
@given(value=numbers, received_s=numbers, quality=st.sampled_from(Quality))
def test_images_survive_the_socket(value: float, received_s: float, quality: Quality) -> None:
    sample = Sample(value=value, quality=quality, received_s=received_s)
    image = Image(
        devices={
            "roof": DeviceImage(
                state=GuardState.ARMED, signals={"p_kw": sample}, commanded={"p_limit_kw": 2.0}
            )
        },
        events=("x",),
    )
    came = image_from_json(unpack(pack(image_to_json(image))[HEADER_BYTES:]))
    back = came.devices["roof"].signals["p_kw"]
    assert same(back.value, value)
    assert same(back.received_s, received_s)
    assert back.quality is quality
    assert came.events == ("x",)
    assert came.devices["roof"].commanded == {"p_limit_kw": 2.0}


def config(*devices: DeviceConfig) -> GuardianConfig:
    return GuardianConfig(
        devices=devices,
        state=GuardState.ARMED,
        poll_s=0.5,
        feed_timeout_s=2.0,
        armed_for_s=600.0,
        folder=Path("run"),
        step_s=1.0,
    )


def test_configurations_and_reports_survive_their_file() -> None:
    common: dict[str, Any] = {"map_file": Path("m.yaml"), "unit": 3, "serial": None, "emulated": False}
    sent = config(
        DeviceConfig(
            name="a",
            target=TcpTarget(host="h", port=802),
            limits={"p_limit_kw": Limits(low=0.0, high=math.inf, ramp_per_s=0.5)},
            acceptance_file=Path("a.json"),
            tls=TlsFiles(certificate=Path("c"), key=Path("k"), authority=Path("ca")),
            **common,
        ),
        DeviceConfig(
            name="b",
            target=SerialTarget(path="/dev/x", parity=Parity.NONE),
            **common,
        ),
        DeviceConfig(
            name="c",
            target=RtuOverTcpTarget(host="h", port=1),
            **common,
        ),
    )
    assert config_from_json(unpack(json.dumps(config_to_json(sent)).encode())) == sent
    told = FinalReport(
        reason="x",
        devices={"a": DeviceReport(state=GuardState.TRIPPED, released=False, text="t", writes=1, refused=2)},
        events=("e",),
    )
    assert report_from_json(report_to_json(told)) == told


def test_a_tls_context_cannot_be_handed_over_and_the_message_says_what_can() -> None:
    target = TcpTarget(host="h", tls=ssl.create_default_context())
    device = DeviceConfig(name="a", map_file=Path("m"), target=target, unit=1, serial=None, emulated=False)
    with pytest.raises(GuardianError, match=r"DeviceConfig\.tls"):
        config_to_json(config(device))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"3"])
def test_a_text_that_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(GuardianError):
        unpack(body)


@pytest.mark.parametrize("header", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"GET "])
def test_a_length_that_cannot_be_ours_is_refused_before_anything_is_read(header: bytes) -> None:
    with pytest.raises(GuardianError, match="not a guardian"):
        body_length(header)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"step": 1, "expires_s": 1.0, "sent_s": 1.0, "values": {"roof": {"p_limit_kw": "much"}}},
        {"step": 1, "expires_s": 1.0, "sent_s": 1.0, "values": {"roof": {"p_limit_kw": True}}},
        {"step": 1, "expires_s": 1.0, "sent_s": 1.0, "values": []},
    ],
)
def test_set_points_of_another_form_are_refused(message: dict[str, object]) -> None:
    with pytest.raises(GuardianError):
        set_points_from_json(message)
