"""The models of the standard, against pysunspec2's own reading of them."""

import subprocess
import sys

import pytest
import sunspec2.device
import sunspec2.mb
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec_rigs import MODELS, known_to_peer, peer_points, standard, typical_counts

from hil_adapters.maps.codec import decode, register_count
from hil_adapters.maps.schema import Access, LinkDefaults, ValueType
from hil_adapters.maps.units import UNITS
from hil_adapters.sunspec.chain import HEADER, ChainModel, counts_that_fit, model_points
from hil_adapters.sunspec.definitions import (
    counts_by_point,
    kind_code,
    model_definition,
    model_length,
    place,
    repeating_groups,
)

WITHOUT_POINT = {"pad"}


@pytest.mark.parametrize("model", MODELS)
def test_every_point_lies_where_the_peer_has_it(model: int) -> None:
    definition = standard(model)
    ours = {
        placed.name: (placed.offset, placed.definition.size) for placed in place(definition, typical_counts)
    }
    peer = known_to_peer(model, typical_counts)
    assert peer.error_info == ""
    assert ours == {name: (point.offset, point.len) for name, point in peer_points(peer)}
    assert model_length(definition, typical_counts) == peer.len


@pytest.mark.parametrize("model", MODELS)
def test_scale_points_and_access_are_those_of_the_peer(model: int) -> None:
    chain_model = ChainModel(
        model=model,
        address=100,
        length=model_length(standard(model), typical_counts) - HEADER,
        counts=typical_counts,
    )
    points = {point.name: point for point in model_points(chain_model)}
    for name, peer in peer_points(known_to_peer(model, typical_counts)):
        if name in {"ID", "L"} or peer.pdef["type"] in WITHOUT_POINT:
            assert f"{model}.{name}" not in points
            continue
        point = points.pop(f"{model}.{name}")
        assert point.address == 100 + peer.offset
        assert (point.access is Access.READ_WRITE) == (peer.pdef.get("access") == "RW")
        assert (point.scale_point is None) == (peer.sf is None)
        assert point.unit in UNITS
        assert register_count(point) == peer.len
        if point.scale_point is not None:
            assert point.scale_point in {f"{model}.{peer.sf}", f"{model}.{name.rpartition('.')[0]}.{peer.sf}"}
    assert points == {}


@pytest.mark.parametrize(
    "kind", sorted(set(sunspec2.mb.unimpl_value) - {"string", "ipv6addr", "pad", "eui48"})
)
def test_the_sign_for_a_missing_value_is_the_peers(kind: str) -> None:
    data = sunspec2.mb.create_unimpl_value(kind)
    code = kind_code(kind)
    assert code is not None
    assert int.from_bytes(data, "big") in code.missing


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_implements_nothing_has_no_values(model: int) -> None:
    peer = known_to_peer(model, typical_counts)
    length = model_length(standard(model), typical_counts) - HEADER
    data = peer.get_mb()
    given_counts = {"ID", "L", *counts_by_point(standard(model), typical_counts)}
    for point in model_points(ChainModel(model=model, address=0, length=length, counts=typical_counts)):
        if point.name.partition(".")[2] in given_counts:
            continue
        words = [
            int.from_bytes(data[2 * at : 2 * at + 2], "big")
            for at in range(point.address, point.address + register_count(point))
        ]
        exponent = 0 if point.scale_point else None
        assert decode(point, words, LinkDefaults(), scale_exponent=exponent) is None, point.name


def test_without_pysunspec2_the_remedy_is_told() -> None:
    code = (
        "import sys; sys.modules['sunspec2'] = None\n"
        "from hil_adapters.sunspec.definitions import model_definition\n"
        "model_definition(1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert "MapError: SunSpec models: pysunspec2 is not installed; install gemello with the extra 'hil'" in (
        done.stderr
    )


def test_models_of_makers_have_no_points() -> None:
    assert model_definition(64999) is None
    assert list(model_points(ChainModel(model=64999, address=0, length=10))) == []


def test_points_behind_the_length_of_a_model_are_left_out_with_those_they_scale() -> None:
    whole = [p.name for p in model_points(ChainModel(model=103, address=0, length=50))]
    cut = [p.name for p in model_points(ChainModel(model=103, address=0, length=12))]
    assert "103.PhVphB" in whole
    # 12 registers: up to PhVphC at offset 12 and V_SF at 13
    assert "103.V_SF" in cut
    assert "103.PhVphB" in cut
    assert "103.W" not in cut
    cut = [p.name for p in model_points(ChainModel(model=103, address=0, length=11))]
    assert "103.PhVphB" not in cut


def test_text_of_the_common_model_is_text() -> None:
    points = {p.name: p for p in model_points(ChainModel(model=1, address=40002, length=66))}
    assert (points["1.Mn"].type, points["1.Mn"].length, points["1.Mn"].address) == (
        ValueType.STRING,
        16,
        40004,
    )
    assert points["1.DA"].access is Access.READ_WRITE


def test_bits_and_states_keep_their_names() -> None:
    points = {p.name: p for p in model_points(ChainModel(model=103, address=0, length=50))}
    assert points["103.St"].values[4] == "MPPT"
    assert points["103.Evt1"].bits[0] == "GROUND_FAULT"
    assert points["103.Evt1"].values == {}


@given(
    model=st.sampled_from([m for m in MODELS if repeating_groups(standard(m))]),
    numbers=st.lists(st.integers(0, 4), min_size=2, max_size=2),
)
@settings(deadline=None, max_examples=60)
def test_repetitions_are_found_again_from_length_and_counting_points(model: int, numbers: list[int]) -> None:
    definition = standard(model)
    names = list(repeating_groups(definition))
    counts = dict(zip(names, numbers, strict=False))
    if counts[names[0]] == 0:
        counts = dict.fromkeys(names, 0)
    length = model_length(definition, counts) - HEADER
    assert counts_that_fit(definition, length, counts_by_point(definition, counts)) == counts


@given(length=st.integers(0, 65535), counted=st.integers(0, 65535))
@settings(deadline=None, max_examples=100)
def test_repetitions_never_reach_beyond_the_length(length: int, counted: int) -> None:
    for model in (160, 705, 707, 711, 714, 803):
        definition = standard(model)
        points = {name: counted for name in repeating_groups(definition).values() if isinstance(name, str)}
        counts = counts_that_fit(definition, length, points)
        outer = next(group.name for group in definition.groups if group.repeats)
        assert counts[outer] == 0 or model_length(definition, counts) <= HEADER + length
