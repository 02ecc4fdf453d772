"""Finding the models of devices, over a real connection."""

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec_rigs import (
    MODELS,
    PlainBank,
    WirelessLink,
    known_to_peer,
    peer_models,
    served,
    standard,
    typical_counts,
)

from hil_adapters.errors import ExceptionReplyError, LinkLostError, LinkTimeoutError, MapError
from hil_adapters.maps.binding import resolve, set_point_of
from hil_adapters.maps.codec import register_count
from hil_adapters.maps.loader import load_map
from hil_adapters.sunspec.chain import Chain, ChainModel, chain_points, fingerprint
from hil_adapters.sunspec.definitions import repeating_groups
from hil_adapters.sunspec.discovery import discover
from hil_adapters.sunspec.image import ModelSpec, build_image
from hil_adapters.sunspec.overlay import chain_map
from hil_adapters.sunspec.quirks import ChainEnd, ImageQuirks
from hil_adapters.wire.base import TcpTarget
from hil_adapters.wire.links import open_link

COMMON = ModelSpec(model=1, values={"Mn": "gemello", "Md": "pv", "SN": "7"})
INVERTER = ModelSpec(model=103, values={"W": 1234})
CONTROLS = ModelSpec(model=123)


def found_in(bank: PlainBank, *, bases: Sequence[int] = (40000, 0, 50000)) -> Chain:
    async def scan() -> Chain:
        async with served(bank) as (link, _):
            return await discover(link, bank.unit, bases=bases)

    return asyncio.run(scan())


def bank_of(*models: ModelSpec, base: int = 40000, quirks: ImageQuirks | None = None) -> PlainBank:
    return PlainBank(build_image(models, base=base, quirks=quirks).registers)


@pytest.mark.parametrize("base", [40000, 0, 50000])
def test_the_chain_is_found_at_every_base(base: int) -> None:
    image = build_image([COMMON, INVERTER, CONTROLS], base=base)
    assert found_in(PlainBank(image.registers)) == image.chain
    assert image.chain.base == base


def test_a_base_of_ones_own_is_looked_at() -> None:
    chain = found_in(bank_of(COMMON, INVERTER, base=39999), bases=[39999])
    assert [(m.model, m.address) for m in chain.models] == [(1, 40001), (103, 40069)]


def test_every_model_is_found_with_its_repetitions() -> None:
    models = [
        ModelSpec(model=m, counts={g: typical_counts[g] for g in repeating_groups(standard(m))})
        for m in MODELS
    ]
    image = build_image(models)
    chain = found_in(PlainBank(image.registers))
    assert chain.quirks == ()
    assert dataclasses.replace(chain, absent=frozenset()) == image.chain


def test_models_that_the_peer_encodes_are_found() -> None:
    registers = [0x5375, 0x6E53]
    for model in MODELS:
        data = known_to_peer(model, typical_counts).get_mb()
        registers += [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    bank = PlainBank(dict(enumerate([*registers, 0xFFFF, 0], start=40000)))
    chain = found_in(bank)
    assert [m.model for m in chain.models] == list(MODELS)
    assert chain.quirks == ()
    assert {name: n for m in chain.models for name, n in m.counts.items()} == dict(typical_counts)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (ChainEnd.STANDARD, []),
        (ChainEnd.MARKER_ONLY, ["the chain ends at 40122 with one register 0xFFFF and no length"]),
        (ChainEnd.ONE_ZERO, ["the chain ends at 40122 with one register 0x0000 and no length"]),
        (ChainEnd.ADDRESS_ERROR, ["the chain ends at 40122 with an address error"]),
    ],
    ids=lambda value: value.name if isinstance(value, ChainEnd) else "",
)
def test_ends_of_the_field_are_tolerated_and_told(end: ChainEnd, said: list[str]) -> None:
    chain = found_in(bank_of(COMMON, INVERTER, quirks=ImageQuirks(end=end)))
    assert [m.model for m in chain.models] == [1, 103]
    assert list(chain.quirks) == said


def test_two_zeros_end_the_chain_too() -> None:
    bank = bank_of(COMMON, INVERTER, quirks=ImageQuirks(end=ChainEnd.ONE_ZERO))
    bank.registers[40123] = 0
    assert [m.model for m in found_in(bank).models] == [1, 103]


def test_a_common_model_of_65_registers_shifts_what_follows() -> None:
    chain = found_in(bank_of(COMMON, INVERTER, quirks=ImageQuirks(short_common=True)))
    assert [(m.model, m.address, m.length) for m in chain.models] == [(1, 40002, 65), (103, 40069, 50)]
    assert chain.quirks == ("model 1 at 40002 has 65 registers where the standard has 66",)


def test_several_common_models_and_meters_are_told_apart() -> None:
    chain = found_in(bank_of(COMMON, INVERTER, COMMON, ModelSpec(model=203), ModelSpec(model=203)))
    assert [(m.prefix, m.instance) for m in chain.models] == [
        ("1", 1),
        ("103", 1),
        ("1_2", 2),
        ("203", 1),
        ("203_2", 2),
    ]


def test_models_of_makers_stay_in_the_chain_and_are_passed_over() -> None:
    image = build_image([COMMON, INVERTER])
    end = image.chain.models[-1].end
    registers = image.registers | dict(enumerate([64999, 3, 1, 2, 3, 0xFFFF, 0], start=end))
    chain = found_in(PlainBank(registers))
    assert chain.models[-1] == ChainModel(model=64999, address=end, length=3)


def test_counting_points_that_do_not_fit_the_length_are_cut_and_told() -> None:
    bank = bank_of(COMMON, ModelSpec(model=714, counts={"Prt": 2}))
    model = found_in(bank).models[-1]
    bank.registers[model.address + 4] = 40_000  # NPrt
    chain = found_in(bank)
    assert chain.models[-1].counts == {"Prt": 2}
    assert "has room for 2 of its 40000 groups Prt" in chain.quirks[0]


def test_ratings_that_a_device_does_not_implement_are_told_and_not_chosen() -> None:
    plate = ModelSpec(model=702, values={"WMaxRtg": 6000})
    bank = bank_of(COMMON, ModelSpec(model=701), plate, ModelSpec(model=704))
    chain = found_in(bank)
    assert "702.WMax" in chain.absent
    assert not chain.absent & {"702.WMaxRtg", "702.W_SF", "704.WMaxLimPct", "701.W"}
    found = resolve(chain_map(load_map("sunspec_pv"), chain))
    set_point = set_point_of(found, "p_limit_kw")
    assert (set_point.point, set_point.percent_of) == ("704.WMaxLimPct", "702.WMaxRtg")


def test_ratings_that_cannot_be_read_in_one_go_are_left_as_they_are() -> None:
    bank = bank_of(COMMON, INVERTER, ModelSpec(model=120))
    bank.refusals = {40124: [3]}
    assert found_in(bank).absent == frozenset()
    bank.refusals = {40124: []}
    assert "120.WRtg" in found_in(bank).absent


def test_a_busy_device_is_asked_again_and_a_failing_one_is_not() -> None:
    bank = bank_of(COMMON, INVERTER)
    bank.refusals = {40000: [6, 6], 40070: [6]}
    assert len(found_in(bank).models) == 2
    bank.refusals = {40070: [4]}
    with pytest.raises(ExceptionReplyError) as caught:
        found_in(bank)
    assert caught.value.code == 4


def test_a_device_that_is_silent_where_it_has_nothing_is_found_all_the_same() -> None:
    bank = bank_of(COMMON, INVERTER, base=50000)
    link = WirelessLink(bank, silent_at=frozenset({40000}))
    assert asyncio.run(discover(link, 1)).base == 50000


def test_a_device_that_never_answers_is_a_timeout_and_not_a_wrong_map() -> None:
    link = WirelessLink(PlainBank({}), silent_at=frozenset({40000, 0, 50000}))
    with pytest.raises(LinkTimeoutError):
        asyncio.run(discover(link, 1))


@pytest.mark.parametrize("others", [{}, {0: 0, 1: 0, 50000: 1, 50001: 1}], ids=["refused", "other values"])
def test_one_base_without_an_answer_is_a_timeout_and_not_a_wrong_map(others: dict[int, int]) -> None:
    link = WirelessLink(PlainBank(others), silent_at=frozenset({40000}))
    with pytest.raises(LinkTimeoutError, match=r"no answer within 1\.0 s$"):
        asyncio.run(discover(link, 1))


def test_a_failure_at_the_base_of_the_models_is_not_a_wrong_map() -> None:
    bank = bank_of(COMMON, INVERTER)
    bank.refusals = {40000: [4]}
    with pytest.raises(ExceptionReplyError, match="no 'SunS' at 0, 50000, and 40000 is not known") as caught:
        asyncio.run(discover(WirelessLink(bank), 1))
    assert caught.value.code == 4


@pytest.mark.parametrize("code", [10, 11])
def test_a_device_behind_a_gateway_that_does_not_reach_it_is_not_a_wrong_map(code: int) -> None:
    bank = bank_of(COMMON, INVERTER)
    bank.refusals = {40000: [code]}
    with pytest.raises(ExceptionReplyError) as caught:
        asyncio.run(discover(WirelessLink(bank), 1))
    assert caught.value.code == code


def test_a_device_that_fails_everywhere_is_not_a_wrong_map() -> None:
    bank = bank_of(COMMON)
    bank.refusals = {40000: [4], 0: [4], 50000: [4]}
    with pytest.raises(ExceptionReplyError):
        asyncio.run(discover(WirelessLink(bank), 1))


@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_whatever_a_device_says_of_its_models_ends_in_a_chain_or_in_a_told_error(data: st.DataObject) -> None:
    header = st.tuples(
        st.sampled_from([*MODELS, 0, 0xFFFF, 64999]), st.integers(0, 200) | st.sampled_from([65535, 40000])
    )
    registers: dict[int, int] = {}
    address = data.draw(st.sampled_from([40002, 65000]))
    base = address - 2
    registers |= {base: 0x5375, base + 1: 0x6E53}
    for model, length in data.draw(st.lists(header, max_size=6)):
        body = data.draw(st.sampled_from([0, 1, 7, 0x8000, 0xFFFF]))
        span = min(length, 300)
        registers |= dict(enumerate([model, length, *[body] * span], start=address))
        address += 2 + length
    bank = PlainBank({here: value for here, value in registers.items() if here <= 0xFFFF})
    try:
        chain = asyncio.run(discover(WirelessLink(bank), 1, bases=[base]))
    except (MapError, ExceptionReplyError):
        return
    points = list(chain_points(chain))
    assert len({point.name for point in points}) == len(points)
    assert all(point.address + register_count(point) <= 0x10000 for point in points)
    assert chain.models[0].address == base + 2


def test_a_device_without_the_marker_is_refused_with_a_remedy() -> None:
    bank = PlainBank(dict.fromkeys(range(40000, 40100), 0))
    with pytest.raises(MapError, match=r"unit 1: no 'SunS' at 40000, 0, 50000; check the unit"):
        found_in(bank)


def test_a_marker_without_models_is_refused() -> None:
    bank = PlainBank(dict(enumerate([0x5375, 0x6E53, 0xFFFF, 0], start=40000)))
    with pytest.raises(MapError, match="no model behind it"):
        found_in(bank)


def test_a_chain_that_does_not_end_is_refused() -> None:
    registers = dict.fromkeys(range(40000, 41000), 0) | dict(enumerate([0x5375, 0x6E53], start=40000))
    registers |= dict.fromkeys(range(40002, 41000, 2), 64999)
    with pytest.raises(MapError, match="more than 200 models"):
        found_in(PlainBank(registers))


def test_a_model_that_leads_beyond_the_last_address_ends_the_chain() -> None:
    registers = dict(enumerate([0x5375, 0x6E53, 64999, 65535], start=40000))
    chain = found_in(PlainBank(registers))
    assert "the chain ends at 105539 with an address error" in chain.quirks


def test_a_model_header_cut_in_two_is_refused() -> None:
    bank = bank_of(COMMON, INVERTER, quirks=ImageQuirks(end=ChainEnd.ADDRESS_ERROR))
    bank.registers[40122] = 123
    with pytest.raises(MapError, match="model 123 at 40122 has no length"):
        found_in(bank)


def test_a_chain_that_begins_without_a_common_model_is_told() -> None:
    chain = found_in(bank_of(INVERTER))
    assert chain.quirks == ("the first model is 103, not 1",)


def test_a_dead_address_is_a_lost_link() -> None:
    async def scan() -> None:
        async with served(bank_of(COMMON)) as (_, port):
            pass
        link = open_link(TcpTarget(host="127.0.0.1", port=port))
        try:
            await discover(link, 1)
        finally:
            await link.close()

    with pytest.raises(LinkLostError):
        asyncio.run(scan())


def test_discovery_finds_what_the_peer_finds() -> None:
    image = build_image(
        [
            COMMON,
            INVERTER,
            ModelSpec(model=160, counts={"module": 2}),
            CONTROLS,
            ModelSpec(model=714, counts={"Prt": 3}),
        ]
    )

    async def both() -> tuple[Chain, list[tuple[int, int, int, str]]]:
        async with served(PlainBank(image.registers)) as (link, port):
            theirs = await asyncio.to_thread(
                peer_models, port, lambda m: (m.model_id, m.model_addr, m.model_len, m.error_info)
            )
            return await discover(link, 1), theirs

    chain, theirs = asyncio.run(both())
    assert [(m.model, m.address, m.length, "") for m in chain.models] == theirs


def test_the_fingerprint_changes_with_layout_and_with_who_answers() -> None:
    chain = build_image([COMMON, INVERTER, CONTROLS]).chain
    moved = build_image([COMMON, INVERTER, CONTROLS], quirks=ImageQuirks(short_common=True)).chain
    other = build_image([COMMON, ModelSpec(model=160, counts={"module": 1})]).chain
    more = build_image([COMMON, ModelSpec(model=160, counts={"module": 2})]).chain
    who = {"manufacturer": "gemello", "model": "pv"}
    prints = {
        fingerprint(chain, who),
        fingerprint(moved, who),
        fingerprint(other, who),
        fingerprint(more, who),
        fingerprint(chain, {**who, "version": "2"}),
        fingerprint(chain, {"manufacturer": "gemello"}),
    }
    assert len(prints) == 6
    again = fingerprint(
        build_image([COMMON, INVERTER, CONTROLS]).chain, {"model": "pv", "manufacturer": "gemello"}
    )
    assert again == fingerprint(chain, who)


def test_a_connected_inverter_reads_as_connected() -> None:
    image = build_image([COMMON, ModelSpec(model=122, values={"ECPConn": 1, "PVConn": 1})])
    points = {point.name: point for point in chain_points(image.chain)}
    connected = points["122.ECPConn"]
    assert (dict(connected.values), dict(connected.bits)) == ({0: "DISCONNECTED", 1: "CONNECTED"}, {})
    assert image.registers[connected.address] == 1
    assert points["122.PVConn"].bits[0] == "CONNECTED"
