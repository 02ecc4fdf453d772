"""Which registers are read together, and what a whole block decodes to."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from map_files import link, meter_map, point

from hil_adapters.errors import MapError
from hil_adapters.maps.blocks import BlockDecoder
from hil_adapters.maps.checks import mistakes_in
from hil_adapters.maps.codec import decode, reason, register_count
from hil_adapters.maps.plan import READ_ALONG, read_plan

WIDTHS = {"int16": 1, "uint32": 2, "float32": 2, "uint64": 4}


@st.composite
def maps(draw, orders=("big",)):
    """Maps with gaps, several types and tables, and some scale points close to their values."""
    points, address = [], draw(st.integers(0, 50))
    table = draw(st.sampled_from(["holding", "input"]))
    scale = None
    for number in range(draw(st.integers(1, 40))):
        address += draw(st.sampled_from([0, 0, 0, 1, 3, 30]))
        kind = draw(st.sampled_from(sorted(WIDTHS)))
        if draw(st.integers(0, 9)) == 0:
            points.append(point(f"sf{number}", table=table, address=address, type="int16"))
            scale, address = points[-1], address + 1
            continue
        near = scale is not None and address + 4 - scale.address <= 20 and not kind.startswith("float")
        points.append(
            point(
                f"p{number}",
                table=table,
                address=address,
                type=kind,
                scale_point=scale.name if scale is not None and near and draw(st.booleans()) else None,
                word_order=draw(st.sampled_from(orders)),
                byte_order=draw(st.sampled_from(orders)),
            )
        )
        address += WIDTHS[kind]
    limits = link(max_registers=draw(st.integers(20, 125)), max_gap=draw(st.sampled_from([0, 1, 5, 40])))
    return meter_map(*points, link=limits.model_dump())


@settings(deadline=None, max_examples=200)
@given(register_map=maps(), data=st.data())
def test_every_point_is_read_once_with_its_scale_point_and_no_read_is_too_long(register_map, data):
    points = {entry.name: entry for entry in register_map.points}
    wanted = data.draw(st.lists(st.sampled_from(sorted(points)), unique=True))
    scale_points = {points[name].scale_point for name in wanted}
    blocks = read_plan(register_map, wanted)
    found = [name for block in blocks for name in block.points]
    assert set(found) == set(wanted) | (scale_points - {None})
    for name in found:
        assert found.count(name) == 1 or name in scale_points
    for block in blocks:
        assert 1 <= block.count <= register_map.link.max_registers
        for name in block.points:
            entry = points[name]
            assert entry.table is block.table
            assert block.address <= entry.address
            assert entry.address + register_count(entry) <= block.address + block.count
            assert entry.scale_point is None or entry.scale_point in block.points


@settings(deadline=None, max_examples=100)
@given(register_map=maps())
def test_a_map_without_mistakes_is_read_without_registers_that_it_does_not_allow(register_map):
    assume(not list(mistakes_in(register_map)))
    known = {
        address
        for entry in register_map.points
        for address in range(entry.address, entry.address + register_count(entry))
    }
    for block in read_plan(register_map, [entry.name for entry in register_map.points]):
        gap = 0
        for address in range(block.address, block.address + block.count):
            gap = 0 if address in known else gap + 1
            assert gap <= register_map.link.max_gap


@settings(deadline=None, max_examples=150)
@given(register_map=maps(orders=("big", "little")), data=st.data())
def test_a_block_decodes_as_its_points_do_one_by_one(register_map, data):
    points = {entry.name: entry for entry in register_map.points}
    for block in read_plan(register_map, points):
        registers = data.draw(
            st.lists(st.integers(0, 65535), min_size=block.count, max_size=block.count), label="registers"
        )
        decoder = BlockDecoder(register_map, block)
        values, reasons = decoder.decode(registers), decoder.reasons(registers)
        assert set(values) == set(block.points)
        for name in block.points:
            entry = points[name]
            at = entry.address - block.address
            own = registers[at : at + register_count(entry)]
            scale = values.get(entry.scale_point)
            exponent = None if scale is None else int(scale)
            assert values[name] == decode(entry, own, register_map.link, scale_exponent=exponent)
            assert reasons.get(name, "") == reason(entry, own, register_map.link, scale_exponent=exponent)


def test_neighbours_share_a_read_and_a_gap_ends_it():
    map_ = meter_map(*(point(f"p{at}", address=at) for at in (0, 1, 2, 4)))
    assert [(block.address, block.count) for block in read_plan(map_, ["p0", "p1", "p2", "p4"])] == [
        (0, 3),
        (4, 1),
    ]
    bridged = map_.model_copy(update={"link": link(max_gap=1)})
    assert [(block.address, block.count) for block in read_plan(bridged, ["p0", "p4"])] == [(0, 5)]


def test_registers_of_other_points_are_read_along_a_little_way_only():
    map_ = meter_map(*(point(f"p{at}", address=at) for at in range(60)))
    near, far = f"p{READ_ALONG + 1}", f"p{READ_ALONG + 2}"
    assert [block.count for block in read_plan(map_, ["p0", near])] == [READ_ALONG + 2]
    assert [block.count for block in read_plan(map_, ["p0", far])] == [1, 1]


def test_a_point_that_is_only_written_is_never_read_along():
    map_ = meter_map(point("a", address=0), point("b", address=1, access="w"), point("c", address=2))
    assert [(block.address, block.count) for block in read_plan(map_, ["a", "c"])] == [(0, 1), (2, 1)]
    with pytest.raises(MapError, match="b: the point cannot be read"):
        read_plan(map_, ["b"])


def test_a_scale_point_comes_along_without_being_asked_for():
    map_ = meter_map(
        point("w", address=10, scale_point="w_sf"), point("w_sf", address=14), point("x", address=12)
    )
    map_ = map_.model_copy(update={"link": link(max_gap=4)})
    (block,) = read_plan(map_, ["w"])
    assert (block.address, block.count, block.points) == (10, 5, ("w", "w_sf"))
    decoder = BlockDecoder(map_, block)
    assert decoder.decode([1234, 0, 0, 0, 0xFFFF]) == {"w": 123.4, "w_sf": -1.0}


def test_a_scale_factor_out_of_range_leaves_the_value_out_and_is_named():
    map_ = meter_map(point("w", address=0, scale_point="sf"), point("sf", address=1, missing=[0x8000]))
    decoder = BlockDecoder(map_, *read_plan(map_, ["w"]))
    assert decoder.decode([7, 12])["w"] is None
    assert "12" in decoder.reasons([7, 12])["w"]
    assert decoder.decode([7, 0x8000]) == {"w": None, "sf": None}
    assert "not implemented" in decoder.reasons([7, 0x8000])["w"]


def test_a_scale_point_too_far_for_one_read_is_refused_by_name():
    map_ = meter_map(point("w", address=0, scale_point="sf"), point("sf", address=40))
    map_ = map_.model_copy(update={"link": link(max_registers=20)})
    with pytest.raises(MapError, match="w: its scale point sf"):
        read_plan(map_, ["w"])


def test_coils_are_read_as_bits():
    map_ = meter_map(
        *(point(f"c{at}", address=at, table="coil", type="bool") for at in range(3)), point("d", address=1)
    )
    blocks = read_plan(map_, ["c0", "c1", "c2", "d"])
    assert [(block.table, block.count) for block in blocks] == [("coil", 3), ("holding", 1)]
    assert BlockDecoder(map_, blocks[0]).decode([1, 0, 1]) == {"c0": 1.0, "c1": 0.0, "c2": 1.0}


def test_points_that_do_not_exist_and_blocks_of_another_length_are_refused():
    map_ = meter_map(point("a"))
    with pytest.raises(MapError, match="b: there is no such point"):
        read_plan(map_, ["b"])
    with pytest.raises(MapError, match="2 values for a block of 1"):
        BlockDecoder(map_, *read_plan(map_, ["a"])).decode([1, 2])
