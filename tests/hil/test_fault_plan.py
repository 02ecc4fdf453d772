"""Scripts of faults and the plan that follows them: what is struck, when, how often, and the bytes that come out."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.errors import FaultScriptError
from hil_adapters.faults.catalogue import Fault, Level
from hil_adapters.faults.entries import CATALOGUE
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.rules import FaultRule, load_script, script_from
from hil_adapters.wire.base import Cut, FaultAction, Send
from hil_adapters.wire.framing import mbap_frame, rtu_frame
from hil_adapters.wire.station import Framing

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
READ = bytes.fromhex("03 0064 0002")
VALUES = bytes.fromhex("03 04 0007 0008")
WRITE = bytes.fromhex("10 00C8 0002 04 0001 0002")
WRITTEN = bytes.fromhex("10 00C8 0002")


class Clock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


def plan_of(*rules: dict[str, object], framing: Framing = Framing.TCP, seed: int = 0) -> FaultPlan:
    script = script_from({"seed": seed, "rules": list(rules)}, where="test")
    return FaultPlan(script, framing=framing, clock=Clock())


def answered(
    plan: FaultPlan, request: bytes = READ, answer: bytes = VALUES, *, unit: int = 1
) -> list[FaultAction]:
    if plan.framing is Framing.TCP:
        return list(plan.answer(mbap_frame(5, unit, request), mbap_frame(5, unit, answer)))
    return list(plan.answer(rtu_frame(unit, request), rtu_frame(unit, answer)))


def sent(actions: Sequence[FaultAction]) -> bytes:
    assert all(isinstance(action, Send) for action in actions)
    return b"".join(action.frame for action in actions if isinstance(action, Send))


RIGHT = mbap_frame(5, 1, VALUES)
RIGHT_RTU = rtu_frame(1, VALUES)


def test_every_fault_has_a_row_with_an_outcome_and_an_effect() -> None:
    assert set(CATALOGUE) == set(Fault)
    for entry in CATALOGUE.values():
        assert entry.framings, entry.fault
        assert entry.effect
        assert entry.required
        for parameter in entry.parameters:
            assert parameter.low <= parameter.default <= parameter.high, (entry.fault, parameter.name)


def test_the_script_of_the_documentation_is_one() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    block = text.split("```yaml\n")[1].split("```")[0]
    script = script_from(yaml.safe_load(block), where="docs/faults.md")
    assert [rule.fault for rule in script.rules] == [Fault.LATE, Fault.SECOND_MASTER]
    assert script.rules[0].number("delay_s") == 2.0
    assert script.rules[1].number("every_s") == 30.0


@pytest.mark.parametrize(
    "written", [1000, "1000", "1000-1000", [1000, 1000], {"first": 1000, "last": 1000}], ids=str
)
def test_an_address_may_be_written_in_several_ways(written: object) -> None:
    rule = FaultRule.model_validate({"fault": "silent", "addresses": [written]})
    assert rule.addresses is not None
    assert (rule.addresses[0].first, rule.addresses[0].last) == (1000, 1000)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"fault": "melt"}, "rules.0.fault"),
        ({"fault": "garbage"}, r"no fault 'garbage'; did you mean garbage_only or garbage_before\?"),
        ({"fault": "xyz"}, "no fault 'xyz'; docs/faults.md has all of them"),
        ({"fault": "late", "parameters": {"delay": 1}}, "it has: delay_s"),
        ({"fault": "exception", "parameters": {"code": 300}}, "must lie in 1 to 255"),
        ({"fault": "late", "from_s": 10, "until_s": 5}, "let it begin before"),
        ({"fault": "late", "probability": 0}, "probability"),
        ({"fault": "second_master"}, "second_master acts on named registers only"),
        ({"fault": "counter_reset", "addresses": []}, "counter_reset acts on named registers only"),
        ({"fault": "late", "addresses": ["20-10"]}, "is empty"),
        ({"fault": "late", "addresses": [True]}, "addresses"),
        ({"fault": "late", "adresses": [1]}, "adresses"),
        ({"fault": "late", "until_s": float("nan")}, "until_s"),
        ({"fault": "late", "parameters": {"delay_s": float("nan")}}, "delay_s"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_mistake_is_told_with_its_field(rule: dict[str, object], text: str) -> None:
    with pytest.raises(FaultScriptError, match=text):
        script_from([rule], where="faults.yaml")


def test_all_mistakes_are_told_at_once_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("rules:\n  - fault: melt\n  - fault: late\n    probability: 2\n", encoding="utf-8")
    with pytest.raises(FaultScriptError) as caught:
        load_script(file)
    assert str(caught.value).count(str(file)) == 2
    with pytest.raises(FaultScriptError, match="cannot be read"):
        load_script(tmp_path / "absent.yaml")
    file.write_text("rules: [", encoding="utf-8")
    with pytest.raises(FaultScriptError, match="cannot be read"):
        load_script(file)
    file.write_text("rules: []", encoding="utf-8")
    with pytest.raises(FaultScriptError, match="rules"):
        load_script(file)


@pytest.mark.parametrize(
    ("fault", "framing"),
    [
        (entry.fault, framing)
        for entry in CATALOGUE.values()
        for framing in Framing
        if framing not in entry.framings
    ],
)
def test_a_fault_that_a_framing_does_not_know_is_refused(fault: Fault, framing: Framing) -> None:
    with pytest.raises(FaultScriptError, match="remove the rule"):
        plan_of({"fault": str(fault)}, framing=framing)


@pytest.mark.parametrize(
    ("rule", "strikes"),
    [
        ({}, True),
        ({"units": [1, 2]}, True),
        ({"units": [2]}, False),
        ({"functions": [3]}, True),
        ({"functions": [4]}, False),
        ({"tables": ["holding"]}, True),
        ({"tables": ["input"]}, False),
        ({"addresses": ["90-100"]}, True),
        ({"addresses": ["90-99"]}, False),
        ({"addresses": [101]}, True),
        ({"addresses": [102]}, False),
        ({"addresses": ["0-50", "101-200"]}, True),
        ({"from_s": 10}, False),
        ({"until_s": 1}, True),
    ],
    ids=str,
)
def test_a_rule_strikes_what_it_names_and_nothing_else(rule: dict[str, object], *, strikes: bool) -> None:
    # the read is of registers 100 and 101 of unit 1, at the start
    plan = plan_of({"fault": "silent"} | rule)
    assert (answered(plan) == []) is strikes
    assert plan.counts[Fault.SILENT] == int(strikes)


def test_a_rule_ends_when_it_says() -> None:
    clock = Clock()
    plan = FaultPlan(
        script_from([{"fault": "silent", "from_s": 5, "until_s": 10}], where="test"), clock=clock
    )
    heard = []
    for elapsed_s in (0.0, 4.999, 5.0, 9.999, 10.0, 100.0):
        clock.at_s = 100.0 + elapsed_s
        heard.append(sent(answered(plan)) == RIGHT)
    assert heard == [True, True, False, False, True, True]
    assert [round(injection.elapsed_s, 3) for injection in plan.injections] == [5.0, 9.999]
    assert plan.injections[0].asked.address == 100


@given(seed=st.integers(0, 2**32), probability=st.floats(0.05, 0.95), n_requests=st.integers(1, 60))
@settings(deadline=None, max_examples=50)
def test_a_seed_repeats_itself_and_other_rules_do_not_move_it(
    seed: int, probability: float, n_requests: int
) -> None:
    silent = {"fault": "silent", "probability": probability, "units": [1]}
    other = {"fault": "duplicate", "probability": 0.5, "units": [2]}

    def struck(*rules: dict[str, object]) -> list[bool]:
        plan = plan_of(*rules, seed=seed)
        heard = []
        for number in range(n_requests):
            heard.append(answered(plan) == [])
            if number % 3 == 0:
                answered(plan, unit=2)
        return heard

    assert struck(silent) == struck(silent) == struck(silent, other)


def test_chances_follow_their_probability_and_differ_between_seeds() -> None:
    runs = []
    for seed in (1, 2):
        plan = plan_of({"fault": "silent", "probability": 0.2}, seed=seed)
        runs.append([answered(plan) == [] for _ in range(2000)])
        # 400 expected, standard deviation 17.9; five of them
        assert abs(sum(runs[-1]) - 400) < 90
    assert runs[0] != runs[1]


def test_of_several_rules_the_first_acts_on_an_answer() -> None:
    plan = plan_of({"fault": "exception", "parameters": {"code": 6}}, {"fault": "silent"})
    assert sent(answered(plan)) == mbap_frame(5, 1, b"\x83\x06")
    assert plan.counts == {Fault.EXCEPTION: 1}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"fault": "wrong_unit"}, "0005 0000 0007 02 03 04 0007 0008"),
        ({"fault": "wrong_transaction"}, "5A5F 0000 0007 01 03 04 0007 0008"),
        ({"fault": "zero_transaction"}, "0000 0000 0007 01 03 04 0007 0008"),
        ({"fault": "wrong_protocol"}, "0005 0001 0007 01 03 04 0007 0008"),
        ({"fault": "length_low"}, "0005 0000 0005 01 03 04 0007 0008"),
        ({"fault": "length_high"}, "0005 0000 0009 01 03 04 0007 0008"),
        ({"fault": "fewer_registers"}, "0005 0000 0005 01 03 02 0007"),
        ({"fault": "more_registers"}, "0005 0000 0009 01 03 06 0007 0008 0000"),
        ({"fault": "byte_count_low"}, "0005 0000 0007 01 03 02 0007 0008"),
        ({"fault": "byte_count_high"}, "0005 0000 0007 01 03 06 0007 0008"),
        ({"fault": "wrong_function"}, "0005 0000 0007 01 04 04 0007 0008"),
        ({"fault": "exception", "parameters": {"code": 11}}, "0005 0000 0003 01 83 0B"),
        ({"fault": "truncated"}, "0005 0000 0007 01 03 04 00"),
        ({"fault": "duplicate"}, "0005 0000 0007 01 03 04 0007 0008 0005 0000 0007 01 03 04 0007 0008"),
        ({"fault": "garbage_only", "parameters": {"bytes": 3}}, "5B 80 A5"),
        ({"fault": "garbage_before", "parameters": {"bytes": 2}}, "5B 80 0005 0000 0007 01 03 04 0007 0008"),
    ],
    ids=lambda value: str(value.get("fault")) if isinstance(value, dict) else "",
)
def test_what_a_fault_sends_over_tcp_is_what_was_worked_out_by_hand(
    rule: dict[str, object], expected: str
) -> None:
    assert sent(answered(plan_of(rule))).hex() == bytes.fromhex(expected).hex()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"fault": "wrong_unit"}, rtu_frame(2, VALUES)),
        ({"fault": "bad_crc"}, RIGHT_RTU[:-1] + bytes([RIGHT_RTU[-1] ^ 0xFF])),
        ({"fault": "local_echo"}, rtu_frame(1, READ) + RIGHT_RTU),
        ({"fault": "exception"}, rtu_frame(1, b"\x83\x04")),
        ({"fault": "truncated", "parameters": {"bytes": 1}}, RIGHT_RTU[:-1]),
        ({"fault": "fewer_registers"}, rtu_frame(1, bytes.fromhex("03 02 0007"))),
    ],
    ids=lambda value: str(value.get("fault")) if isinstance(value, dict) else "",
)
def test_what_a_fault_sends_over_rtu_has_a_right_check_sum_unless_that_is_the_fault(
    rule: dict[str, object], expected: bytes
) -> None:
    assert sent(answered(plan_of(rule, framing=Framing.RTU))) == expected


def test_delays_and_cuts_come_as_actions() -> None:
    assert answered(plan_of({"fault": "late", "parameters": {"delay_s": 3}})) == [
        Send(frame=RIGHT, after_s=3.0)
    ]
    assert answered(plan_of({"fault": "reset"})) == [Cut(reset=True)]
    assert answered(plan_of({"fault": "close", "parameters": {"delay_s": 1}})) == [Cut(after_s=1.0)]
    pieces = answered(plan_of({"fault": "split", "parameters": {"piece_bytes": 5, "delay_s": 0.1}}))
    assert [(len(piece.frame), piece.after_s) for piece in pieces if isinstance(piece, Send)] == [
        (5, 0.0),
        (5, 0.1),
        (3, 0.1),
    ]
    assert sent(pieces) == RIGHT


def test_a_wrong_echo_is_of_a_write_and_a_read_passes_it_unharmed() -> None:
    plan = plan_of({"fault": "wrong_echo"})
    assert sent(answered(plan)) == RIGHT
    assert plan.counts[Fault.WRONG_ECHO] == 0
    assert sent(answered(plan, WRITE, WRITTEN)) == mbap_frame(5, 1, bytes.fromhex("10 00C9 0002"))
    assert plan.counts[Fault.WRONG_ECHO] == 1


@pytest.mark.parametrize("fault", ["fewer_registers", "more_registers", "byte_count_low", "byte_count_high"])
def test_faults_of_values_leave_writes_and_exceptions_alone(fault: str) -> None:
    plan = plan_of({"fault": fault})
    assert sent(answered(plan, WRITE, WRITTEN)) == mbap_frame(5, 1, WRITTEN)
    assert sent(answered(plan, READ, b"\x83\x02")) == mbap_frame(5, 1, b"\x83\x02")
    assert plan.counts == {}


def test_bits_lose_and_gain_whole_bytes() -> None:
    request, answer = bytes.fromhex("01 0000 000C"), bytes.fromhex("01 02 FF0F")
    assert sent(answered(plan_of({"fault": "fewer_registers"}), request, answer)) == mbap_frame(
        5, 1, bytes.fromhex("01 01 FF")
    )
    assert sent(answered(plan_of({"fault": "more_registers"}), request, answer)) == mbap_frame(
        5, 1, bytes.fromhex("01 03 FF0F00")
    )


def test_a_stale_answer_is_the_one_before_and_the_first_answer_has_none() -> None:
    plan = plan_of({"fault": "stale_first", "addresses": [100]})
    assert sent(answered(plan)) == RIGHT
    other = bytes.fromhex("03 02 0063")
    answered(plan, bytes.fromhex("03 01F4 0001"), other)
    assert sent(answered(plan)) == mbap_frame(5, 1, other) + RIGHT


def test_a_lost_request_does_not_reach_the_device_and_others_do() -> None:
    plan = plan_of({"fault": "lost_request", "addresses": [100]})
    assert plan.request(mbap_frame(5, 1, READ)) is None
    far = mbap_frame(6, 1, bytes.fromhex("03 01F4 0001"))
    assert plan.request(far) == far
    assert plan.counts == {Fault.LOST_REQUEST: 1}


def test_a_half_open_connection_answers_nobody_until_the_rule_ends() -> None:
    clock = Clock()
    script = script_from([{"fault": "half_open", "addresses": [100], "until_s": 10}], where="test")
    plan = FaultPlan(script, clock=clock)
    far_request, far_answer = bytes.fromhex("03 01F4 0001"), bytes.fromhex("03 02 0063")
    assert sent(answered(plan, far_request, far_answer)) == mbap_frame(5, 1, far_answer)
    assert answered(plan) == []
    assert answered(plan, far_request, far_answer) == []
    clock.at_s += 10.0
    assert sent(answered(plan, far_request, far_answer)) == mbap_frame(5, 1, far_answer)


def test_connections_are_refused_by_rule_by_number_and_while_the_device_restarts() -> None:
    assert plan_of({"fault": "refused"}).refuses_connection(0)
    one = plan_of({"fault": "one_client"})
    assert not one.refuses_connection(0)
    assert one.refuses_connection(1)
    clock = Clock()
    script = script_from([{"fault": "reboot", "from_s": 5, "parameters": {"down_s": 2}}], where="test")
    plan = FaultPlan(script, clock=clock)
    seen = []
    for elapsed_s in (4.9, 5.0, 6.9, 7.0):
        clock.at_s = 100.0 + elapsed_s
        seen.append((plan.refuses_connection(0), answered(plan) == [Cut(reset=True)]))
    assert seen == [(False, False), (True, True), (True, True), (False, False)]


def test_frames_that_are_too_short_to_read_pass_unharmed() -> None:
    plan = plan_of({"fault": "silent"}, {"fault": "lost_request"})
    assert plan.request(b"\x00\x01") == b"\x00\x01"
    assert plan.answer(b"\x00\x01", RIGHT) == (Send(frame=RIGHT),)


@given(
    function=st.sampled_from([1, 2, 3, 4]),
    content=st.binary(min_size=1, max_size=250),
    fault=st.sampled_from([fault for fault, entry in CATALOGUE.items() if entry.level is Level.ANSWER]),
    framing=st.sampled_from(list(Framing)),
)
@settings(deadline=None, max_examples=200)
def test_every_fault_makes_something_of_every_answer_and_never_fails(
    function: int, content: bytes, fault: Fault, framing: Framing
) -> None:
    if framing not in CATALOGUE[fault].framings:
        return
    request = struct.pack(">BHH", function, 100, 4)
    answer = bytes([function, len(content)]) + content
    plan = plan_of({"fault": str(fault)}, framing=framing)
    right = mbap_frame(5, 1, answer) if framing is Framing.TCP else rtu_frame(1, answer)
    actions = answered(plan, request, answer)
    harmless = {Fault.SLOW, Fault.LATE, Fault.SPLIT}
    if plan.counts[fault] and fault not in harmless:
        assert actions != [Send(frame=right)]
    elif fault not in harmless:
        assert actions == [Send(frame=right)]
    else:
        assert sent(actions) == right


def test_a_script_without_rules_or_of_another_format_is_refused() -> None:
    with pytest.raises(FaultScriptError, match="format"):
        script_from({"format": 2, "rules": [{"fault": "silent"}]}, where="test")
    with pytest.raises(FaultScriptError, match="rules"):
        script_from({"seed": 1}, where="test")
