"""A map that is unsafe or does not fit together is refused, with line and field."""

import pytest
from map_files import write_map

from hil_adapters.errors import MapError
from hil_adapters.maps.loader import load_map

POINTS = """\
points:
  - {name: timer, address: 10, type: uint16, unit: s, access: rw}
  - {name: set, address: 11, unit: W, type: int16, access: rw}
  - {name: soc, address: 12, unit: "%", type: uint16}
"""
WRITES = """\
writes:
  timer: {low: 1, high: 3600, class: volatile}
  set: {low: -5000, high: 5000, class: volatile, watchdog: {kind: timer, point: timer, timeout_s: 30, falls_back_to: idle}}
"""
COMMANDS = """\
commands:
  p_set_kw:
    writes:
      - {point: timer, from_watchdog: true}
      - {point: set}
    release:
      - {point: set, value: 0}
"""
SOUND = POINTS + WRITES + COMMANDS + "signals: {p_kw: {point: set}, soc: {point: soc}}\n"


def mistakes(folder, body):
    path = write_map(folder, body)
    with pytest.raises(MapError) as caught:
        load_map(path)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def test_a_sound_map_is_taken(tmp_path):
    assert load_map(write_map(tmp_path, SOUND)).commands["p_set_kw"].writes[1].point == "set"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("{name: timer, address: 40, type: int16}", "points[timer].name: stands twice"),
        ("{name: x, address: 11, type: int16}", "points[x].address: shares holding registers with set"),
        ("{name: x, address: 9, type: uint32}", "points[timer].address: shares holding registers with x"),
        ("{name: x, address: 65535, type: uint32}", "points[x].address: takes 2 registers"),
        ("{name: x, address: 40, type: string}", "points[x].length: text needs its number of registers"),
        ("{name: x, address: 40, type: int16, length: 2}", "points[x].length: text needs its number"),
        ("{name: x, address: 40, type: bool}", "points[x].type: bool does not go with table holding"),
        (
            "{name: x, table: coil, address: 40, type: int16}",
            "points[x].type: int16 does not go with table coil",
        ),
        ("{name: x, table: input, address: 40, type: int16, access: rw}", "points[x].access: table input"),
        ("{name: x, address: 40, type: int16, unit: furlong}", "points[x].unit: 'furlong' is not known"),
        ("{name: x, address: 40, type: int16, scale: 0}", "points[x].scale: zero"),
        ("{name: x, address: 40, type: int16, low: 2, high: 2}", "points[x].low: 2 must lie below high 2"),
        ("{name: x, address: 40, type: int16, missing: [-32768]}", "points[x].missing: a raw value of int16"),
        ("{name: x, address: 40, type: int16, bits: {16: y}}", "points[x].bits: int16 has bits 0 to 15"),
        (
            "{name: x, address: 40, type: float32, values: {0: y}}",
            "points[x].values: float32 is no whole number",
        ),
        (
            "{name: x, address: 40, type: string, length: 2, scale: 2}",
            "points[x].scale: string is not scaled",
        ),
        (
            "{name: x, address: 40, type: string, length: 2, role: counter}",
            "points[x].role: text does not count",
        ),
        ("{name: x, address: 40, type: int16, overlaps: [y]}", "points[x].overlaps: there is no point 'y'"),
        (
            "{name: x, address: 13, type: int16, scale_point: y}",
            "points[x].scale_point: there is no point 'y'",
        ),
        ("{name: x, address: 13, type: float32, scale_point: soc}", "float32 carries its own exponent"),
        ("{name: x, address: 13, type: int16, scale_point: timer}", "timer is a power of ten"),
        ("{name: x, address: 200, type: int16, scale_point: soc}", "soc does not come in one read with it"),
        (
            "{name: x, address: 15, type: int16, scale_point: timer}",
            "2 registers without a point lie between",
        ),
        ("{name: x y, address: 40, type: int16}", "points[x y].name: string should match pattern"),
        ("{name: x, address: 70000, type: int16}", "points[x].address: input should be less than or equal"),
        ("{name: x, address: 40, type: int17}", "points[x].type: input should be"),
        ("{name: x, address: 40, type: int16, scael: 1}", "points[x].scael: is not a key of the schema"),
        ("{name: x, type: int16}", "points[x].address: is needed and missing"),
        (
            "{name: x, address: 40, type: int16, scale: .nan}",
            "points[x].scale: input should be a finite number",
        ),
    ],
)
def test_a_mistake_in_a_point_is_told_with_its_line(tmp_path, entry, told):
    found = mistakes(tmp_path, POINTS + f"  - {entry}\n")
    assert any(told in line for line in found), found
    assert all(int(line.split(":")[0]) in range(7, 11) for line in found)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("points: 5\n", ["6: points: must be a list (got 5)"]),
        ("points: [5]\n", ["6: points[0]: must be a mapping of keys and values (got 5)"]),
        ("writes: []\n", ["6: writes: must be a mapping of keys and values"]),
        (
            "signals: {p_kw: {point: 5}}\n",
            ["6: signals.p_kw.point: must be a list (got 5)", "6: signals.p_kw.point: must be text (got 5)"],
        ),
        (
            "commands: {c: {writes: [], release: [{point: 5.5}]}}\n",
            ["6: commands.c.writes: must not be empty"],
        ),
        ("identity: {foo: x}\n", ["6: identity.foo: input should be 'manufacturer'"]),
        ("points: [{name: p, address: true, type: int16}]\n", ["6: points[p].address: is true, and neither"]),
        (
            "writes: {p: {low: 0, high: 1, verify: 7}}\n",
            ["6: writes.p.verify: input should be a valid boolean"],
        ),
    ],
)
def test_what_is_of_another_kind_is_told_in_plain_words(tmp_path, body, told):
    found = mistakes(tmp_path, body)
    for text in told:
        assert any(line.startswith(text) for line in found), found


def test_a_list_is_not_called_empty_because_its_entries_are_wrong(tmp_path):
    body = "commands: {c: {writes: [{point: p, value: .inf}], release: [{point: p, value: 1}]}}\n"
    assert mistakes(tmp_path, body) == [
        "6: commands.c.writes[0].value: input should be a finite number (got inf)"
    ]


def test_points_may_overlap_where_they_say_so(tmp_path):
    body = POINTS + "  - {name: x, address: 11, type: uint32, overlaps: [set, soc]}\n"
    assert len(load_map(write_map(tmp_path, body)).points) == 4


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            ", watchdog: {kind: timer, point: timer, timeout_s: 30, falls_back_to: idle}",
            "",
            "neither watchdog nor waiver",
        ),
        ("low: -5000, high: 5000", "low: 5000, high: -5000", "writes.set.low: 5000 must not lie above high"),
        ("low: -5000, high: 5000", "low: -50000, high: 5000", "writes.set.low: -50000 W does not fit int16"),
        (
            "class: volatile, watchdog",
            "safe: 6000, class: volatile, watchdog",
            "writes.set.safe: 6000 must lie from",
        ),
        ("  set: {low", "  sett: {low", "writes.sett: there is no such point"),
        (
            "  timer: {low: 1, high: 3600, class: volatile}",
            "  soc: {low: 1, high: 90, class: volatile}",
            "writes.soc: the point can only be read",
        ),
        ("  timer: {low: 1, high: 3600, class: volatile}\n", "", "timer has no rules in 'writes'"),
        (
            "low: 1, high: 3600",
            "low: 60, high: 3600",
            "watchdog.timeout_s: 30 s lies beyond what timer may be written",
        ),
        ("kind: timer, point: timer,", "kind: timer,", "a watchdog of kind timer needs its point"),
        ("kind: timer, point: timer,", "kind: traffic, point: timer,", "leave the point out"),
        ("type: uint16, unit: s,", "type: uint16, unit: W,", "timer is in W, a timer is in s or min"),
        (
            "kind: timer, point: timer,",
            "kind: heartbeat, point: set,",
            "set belongs to a command and counting up",
        ),
        ("timeout_s: 30", "timeout_s: 0", "timeout_s: input should be greater than 0"),
        (
            "type: int16, access: rw}",
            "type: int16, access: w}",
            "writes.set.verify: the point cannot be read back",
        ),
        ("high: 5000, class: volatile", "high: 5000, class: persistent", "set is of class persistent"),
        ("high: 5000, class: volatile", "high: 5000", "set is of class unknown"),
        ("      - {point: timer, from_watchdog: true}\n", "", "set is taken back by timer; write that first"),
        (
            "      - {point: timer, from_watchdog: true}\n      - {point: set}\n",
            "      - {point: set}\n      - {point: timer, from_watchdog: true}\n",
            "set is taken back by timer; write that first",
        ),
        (
            "      - {point: set}\n",
            "      - {point: set, value: 5}\n",
            "none of the writes carries the value",
        ),
        ("- {point: set}\n", "- {point: set, optional: true}\n", "cannot be optional"),
        ("{point: set, value: 0}", "{point: set}", "release[0]: the release writes constants"),
        (
            "{point: set, value: 0}",
            "{point: set, value: 7000}",
            "release[0].value: 7000 lies beyond what set",
        ),
        ("{point: set, value: 0}", "{point: soc, value: 0}", "soc has no rules in 'writes'"),
        (
            "{point: set, value: 0}",
            "{point: set, value: 0, sign: generation}",
            "belong to the value of the command only",
        ),
        (
            "{point: timer, from_watchdog: true}",
            "{point: timer, from_watchdog: true, value: 3}",
            "at once; keep one",
        ),
        ("  p_set_kw:", "  q_set_kvar:", "q_set_kvar to set: kvar (reactive power) cannot be turned into W"),
        (
            "- {point: set}\n",
            "- {point: set, percent_of: soc}\n",
            "p_set_kw to set: 1 (share) cannot be turned into W",
        ),
        (
            "p_kw: {point: set}",
            "q_kvar: {point: set}",
            "signals.q_kvar: from set: W (active power) cannot be turned",
        ),
        ("p_kw: {point: set}", "p_kw: {point: [set, sett]}", "signals.p_kw.point: there is no point sett"),
        (
            "p_kw: {point: set}",
            "p_kw: {point: soc, percent_of: w}",
            "signals.p_kw.percent_of: there is no point w",
        ),
        ("signals:", "identity: {serial: sn}\nsignals:", "identity.serial: there is no point sn"),
    ],
)
def test_a_mistake_that_would_be_unsafe_or_senseless_is_told(tmp_path, old, new, told):
    assert old in SOUND
    found = mistakes(tmp_path, SOUND.replace(old, new, 1))
    assert any(told in line for line in found), found


def test_a_waiver_stands_for_a_watchdog_where_it_is_signed(tmp_path):
    signed = "waiver: {signed_by: Anna Bianchi, date: 2026-03-01, reason: the device has no timer at all}"
    watchdog = "watchdog: {kind: timer, point: timer, timeout_s: 30, falls_back_to: idle}"
    body = SOUND.replace(watchdog, signed).replace("      - {point: timer, from_watchdog: true}\n", "")
    body = body.replace("  timer: {low: 1, high: 3600, class: volatile}\n", "")
    waiver = load_map(write_map(tmp_path, body)).writes["set"].waiver
    assert waiver is not None
    assert waiver.date.isoformat() == "2026-03-01"
    assert any(
        "reason" in line
        for line in mistakes(tmp_path, body.replace("the device has no timer at all", "none"))
    )


def test_two_ends_of_a_window_must_let_go_together(tmp_path):
    other = SOUND.replace("      - {point: set}\n", "      - {point: set}\n      - {point: soc}\n").replace(
        'unit: "%", type: uint16}', "unit: W, type: int16, access: rw}"
    )
    rules = "  soc: {low: 0, high: 1, class: volatile, watchdog: {kind: traffic, timeout_s: 9, falls_back_to: idle}}\n"
    found = mistakes(tmp_path, other.replace("commands:", rules + "commands:"))
    assert any("carry one value under different watchdogs" in line for line in found)


@pytest.mark.parametrize(
    ("carriers", "told"),
    [
        ("{point: set, sign: generation}\n      - {point: soc}", "the upper end of a window"),
        ("{point: set}\n      - {point: soc}\n      - {point: soc}", "3 writes carry the value"),
    ],
)
def test_the_ends_of_a_window_are_two_and_in_order(tmp_path, carriers, told):
    found = mistakes(tmp_path, SOUND.replace("      - {point: set}\n", f"      - {carriers}\n"))
    assert any(told in line for line in found), found


def test_every_mistake_is_told_at_once_with_its_line_in_order(tmp_path):
    body = POINTS.replace("uint16, unit: s", "uint16, unit: x").replace(
        "int16, access", "int16, scale: 0, access"
    )
    found = mistakes(tmp_path, body + "signals: {p_kw: {point: nothing}}\n")
    assert [line.split(":")[0] for line in found] == ["7", "8", "10"]


def test_a_map_with_discovery_may_name_points_it_does_not_have_yet(tmp_path):
    body = "discovery: {kind: sunspec}\nsignals: {p_kw: {point: [103.W, 701.W]}}\nidentity: {serial: 1.SN}\n"
    assert load_map(write_map(tmp_path, body)).points == ()
    assert any("no points and no discovery" in line for line in mistakes(tmp_path, "signals: {}\n"))
