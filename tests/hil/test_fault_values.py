"""Faults of values through a bank: what is said instead of what the device holds."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_adapters.faults.bank import FaultyBank
from hil_adapters.faults.catalogue import Fault
from hil_adapters.faults.plan import FaultPlan
from hil_adapters.faults.rules import script_from
from hil_adapters.wire.answering import serve
from hil_adapters.wire.base import Peer, Table
from hil_adapters.wire.codes import ExceptionCode, Refusal
from hil_adapters.wire.pdu import device_id_request

ME = Peer(address="test")


class Clock:
    def __init__(self) -> None:
        self.at_s = 50.0

    def __call__(self) -> float:
        return self.at_s


class PlainBank:
    """Holding registers and coils 0 to 199; those from 190 on cannot be written, those from 180 on cannot be read."""

    def __init__(self) -> None:
        self.held = {table: [0] * 200 for table in Table}
        self.peers: list[str] = []

    def has_unit(self, unit: int) -> bool:
        return unit == 1

    def read(self, unit: int, table: Table, address: int, count: int) -> list[int]:
        if address + count > 180:
            raise Refusal(ExceptionCode.ADDRESS)
        return self.held[table][address : address + count]

    def write(
        self, unit: int, table: Table, address: int, values: list[int], *, peer: Peer, single: bool
    ) -> None:
        if address + len(values) > 190:
            raise Refusal(ExceptionCode.ADDRESS)
        self.peers.append(peer.address)
        self.held[table][address : address + len(values)] = values


class NamedBank(PlainBank):
    def identification(self, unit: int) -> Mapping[int, str]:
        return {0: "maker"}


class Bench:
    """A bank, the clock of its faults, and the faulty bank around it."""

    def __init__(self, *rules: dict[str, object], bank: PlainBank | None = None) -> None:
        self.clock = Clock()
        self.bank = PlainBank() if bank is None else bank
        self.plan = FaultPlan(script_from(list(rules), where="test"), clock=self.clock)
        self.faulty: FaultyBank = FaultyBank(self.bank, self.plan.values)

    @property
    def holding(self) -> list[int]:
        return self.bank.held[Table.HOLDING]

    def read(self, address: int, count: int, table: Table = Table.HOLDING) -> list[int]:
        return self.faulty.read(1, table, address, count)

    def write(self, address: int, *values: int) -> None:
        self.faulty.write(1, Table.HOLDING, address, list(values), peer=ME, single=len(values) == 1)

    def counter(self, address: int, registers: int) -> int:
        value = 0
        for register in self.read(address, registers):
            value = value << 16 | register
        return value

    def set_counter(self, address: int, registers: int, value: int) -> None:
        for at in range(registers):
            self.holding[address + at] = value >> 16 * (registers - 1 - at) & 0xFFFF


def test_without_a_rule_that_fits_the_bank_is_what_it_was() -> None:
    bench = Bench({"fault": "frozen", "addresses": [150]})
    bench.write(10, 1, 2, 3)
    assert bench.read(10, 3) == [1, 2, 3]
    assert bench.holding[10:13] == [1, 2, 3]
    assert bench.faulty.has_unit(1)
    assert not bench.faulty.has_unit(2)
    with pytest.raises(Refusal):
        bench.read(179, 2)


def test_a_missing_value_carries_its_mark_in_the_first_register_of_each_range() -> None:
    bench = Bench({"fault": "missing_value", "addresses": ["10-11", 13]})
    bench.write(9, 1, 2, 3, 4, 5)
    assert bench.read(9, 5) == [1, 0x8000, 0, 4, 0x8000]
    unsigned = Bench(
        {"fault": "missing_value", "addresses": ["10-11"], "parameters": {"first": 65535, "rest": 65535}}
    )
    assert unsigned.read(10, 2) == [0xFFFF, 0xFFFF]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"fault": "scale_out_of_range"}, 12),
        ({"fault": "scale_out_of_range", "parameters": {"exponent": -11}}, 0xFFF5),
        ({"fault": "scale_missing"}, 0x8000),
        ({"fault": "scale_change"}, 0),
        ({"fault": "scale_change", "parameters": {"add": -1}}, 0xFFFE),
    ],
    ids=str,
)
def test_a_scale_factor_of_minus_one_says_something_else(rule: dict[str, object], said: int) -> None:
    bench = Bench(rule | {"addresses": [20]})
    bench.write(19, 7, 0xFFFF, 8)
    assert bench.read(19, 3) == [7, said, 8]
    assert bench.read(19, 1) == [7]


def test_a_frozen_value_repeats_its_first_reading_until_the_rule_ends() -> None:
    bench = Bench({"fault": "frozen", "addresses": [30], "from_s": 10, "until_s": 20})
    said = []
    for number in range(4):
        bench.holding[30] = bench.holding[31] = number
        bench.clock.at_s = 50.0 + 8.0 * number
        said.append(bench.read(30, 2))
    # at 0, 8, 16 and 24 s
    assert said == [[0, 0], [1, 1], [2, 2], [3, 3]]
    bench.clock.at_s = 50.0 + 17.0
    assert bench.read(30, 2) == [2, 3]


def test_coils_freeze_and_know_no_missing_values() -> None:
    bench = Bench({"fault": "frozen", "addresses": [5]}, {"fault": "missing_value", "addresses": [5]})
    coils = bench.bank.held[Table.COIL]
    coils[5] = 1
    assert bench.read(5, 1, Table.COIL) == [1]
    coils[5] = 0
    assert bench.read(5, 1, Table.COIL) == [1]


def test_a_shifted_map_says_the_neighbours_and_refuses_beyond_its_ends() -> None:
    bench = Bench({"fault": "map_shift", "addresses": ["40-49"], "parameters": {"by": 2}})
    for address in range(60):
        bench.holding[address] = address
    assert bench.read(40, 3) == [42, 43, 44]
    assert bench.read(50, 3) == [50, 51, 52]
    back = Bench({"fault": "map_shift", "parameters": {"by": -1}})
    with pytest.raises(Refusal) as refused:
        back.read(0, 1)
    assert refused.value.code == ExceptionCode.ADDRESS


@pytest.mark.parametrize("registers", [1, 2, 4])
def test_a_counter_that_is_reset_begins_at_zero_and_counts_on(registers: int) -> None:
    bench = Bench({"fault": "counter_reset", "addresses": [f"60-{59 + registers}"], "from_s": 10})
    bench.set_counter(60, registers, 60_000)
    assert bench.counter(60, registers) == 60_000
    bench.clock.at_s += 10.0
    assert bench.counter(60, registers) == 0
    bench.set_counter(60, registers, 60_007)
    assert bench.counter(60, registers) == 7
    # half a counter says nothing of itself
    if registers > 1:
        assert bench.read(60, 1) == [bench.holding[60]]


def test_a_counter_rolls_over_after_what_is_left() -> None:
    bench = Bench({"fault": "counter_rollover", "addresses": ["60-61"], "parameters": {"left": 5}})
    bench.set_counter(60, 2, 1_000_000)
    assert bench.counter(60, 2) == 2**32 - 5
    bench.set_counter(60, 2, 1_000_004)
    assert bench.counter(60, 2) == 2**32 - 1
    bench.set_counter(60, 2, 1_000_012)
    assert bench.counter(60, 2) == 7


@given(values=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=10), left=st.integers(0, 1000))
@settings(deadline=None)
def test_differences_of_a_counter_stay_what_they_were_whatever_it_begins_with(
    values: list[int], left: int
) -> None:
    bench = Bench({"fault": "counter_rollover", "addresses": ["60-61"], "parameters": {"left": left}})
    said = []
    for value in values:
        bench.set_counter(60, 2, value)
        said.append(bench.counter(60, 2))
    assert said[0] == (2**32 - left) % 2**32
    for before, after, said_before, said_after in zip(values, values[1:], said, said[1:], strict=False):
        assert (after - before) % 2**32 == (said_after - said_before) % 2**32


def test_an_ignored_write_changes_nothing_and_others_do() -> None:
    bench = Bench({"fault": "ignored_write", "addresses": [70]})
    bench.write(70, 9)
    bench.write(71, 9)
    assert bench.holding[70:72] == [0, 9]
    assert bench.plan.counts[Fault.IGNORED_WRITE] == 1


def test_a_second_master_writes_when_it_is_due_and_makes_up_for_nothing() -> None:
    bench = Bench(
        {
            "fault": "second_master",
            "addresses": ["80-81"],
            "from_s": 10,
            "until_s": 100,
            "parameters": {"value": 55, "every_s": 20},
        }
    )
    seen = []
    for elapsed_s in (0.0, 10.0, 29.0, 31.0, 99.0, 130.0):
        bench.clock.at_s = 50.0 + elapsed_s
        bench.write(80, 1, 1)
        seen.append(bench.read(80, 2))
    # the write of the second master comes before the request that finds it due, so read again after it
    assert seen == [[1, 1]] * 6
    assert bench.bank.peers.count("second master") == 3
    assert bench.plan.counts[Fault.SECOND_MASTER] == 3


def test_a_second_master_is_seen_by_the_read_that_follows_it() -> None:
    bench = Bench({"fault": "second_master", "addresses": [80], "from_s": 10, "parameters": {"value": 55}})
    bench.write(80, 1)
    assert bench.read(80, 1) == [1]
    bench.clock.at_s += 10.0
    assert bench.read(80, 1) == [55]
    bench.write(80, 2)
    assert bench.read(80, 1) == [2]


def test_a_second_master_may_be_refused_and_nobody_is_told() -> None:
    bench = Bench({"fault": "second_master", "addresses": [195]})
    assert bench.read(0, 1) == [0]
    assert bench.bank.peers == []


def test_after_a_reboot_what_was_written_is_what_it_was_before_the_first_write() -> None:
    bench = Bench({"fault": "reboot", "from_s": 10, "addresses": ["60-61"]})
    bench.holding[90] = 40
    bench.set_counter(60, 2, 500)
    bench.write(90, 60)
    bench.write(90, 70)
    # a register that cannot be read cannot be put back
    bench.write(185, 3)
    assert bench.read(90, 1) == [70]
    assert bench.counter(60, 2) == 500
    bench.clock.at_s += 15.0
    assert bench.read(90, 1) == [40]
    assert bench.counter(60, 2) == 0
    bench.set_counter(60, 2, 503)
    assert bench.counter(60, 2) == 3
    bench.write(90, 80)
    assert bench.read(90, 1) == [80]
    assert bench.bank.held[Table.HOLDING][185] == 3


def test_a_reboot_restarts_the_device_where_it_can_be_restarted() -> None:
    restarts: list[float] = []
    clock = Clock()
    plan = FaultPlan(script_from([{"fault": "reboot", "from_s": 10}], where="test"), clock=clock)
    bank = FaultyBank(PlainBank(), plan.values, on_reboot=lambda: restarts.append(clock.at_s))
    for elapsed_s in (0.0, 9.0, 13.0, 20.0):
        clock.at_s = 50.0 + elapsed_s
        bank.read(1, Table.HOLDING, 0, 1)
    assert restarts == [63.0]


def test_a_device_identifies_itself_as_it_did_without_faults() -> None:
    plan = FaultPlan(script_from([{"fault": "silent"}], where="test"))
    request = device_id_request()
    named = serve(FaultyBank(NamedBank(), plan.values), 1, request, ME)
    assert named == serve(NamedBank(), 1, request, ME)
    assert b"maker" in named
    nameless = serve(FaultyBank(PlainBank(), plan.values), 1, request, ME)
    assert nameless == serve(PlainBank(), 1, request, ME) == bytes.fromhex("AB 01")
