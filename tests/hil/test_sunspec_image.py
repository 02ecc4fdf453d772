"""Registers of emulated SunSpec devices, read by pysunspec2 and by our own maps."""

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec_rigs import (
    MODELS,
    PlainBank,
    decoded,
    peer_models,
    peer_points,
    same,
    served,
    standard,
    typical_counts,
)

from hil_adapters.errors import MapError
from hil_adapters.maps.codec import register_count
from hil_adapters.maps.schema import Point, ValueType
from hil_adapters.sunspec.chain import HEADER, ChainModel, chain_points, model_points
from hil_adapters.sunspec.definitions import (
    counts_by_point,
    model_length,
    repeating_groups,
)
from hil_adapters.sunspec.image import DEFAULT_EXPONENTS, ModelSpec, build_image
from hil_adapters.sunspec.quirks import ImageQuirks, ScaleChange

COMMON = ModelSpec(model=1, values={"Mn": "gemello", "Md": "pv", "Vr": "1.2", "SN": "7"})


def counts_of(model: int) -> dict[str, int]:
    return {name: typical_counts[name] for name in repeating_groups(standard(model))}


def value_of(point: Point, exponent: int, share: float) -> float | str:
    """Return a value that the registers of a point can hold, ``share`` of the way through its range."""
    if point.type is ValueType.STRING:
        return "abcdefgh"[: 1 + int(share * 7)]
    if point.type in {ValueType.FLOAT32, ValueType.FLOAT64}:
        return math.ldexp(round(share * 2000) - 1000, -4)
    bits = 16 * register_count(point)
    top = 2 ** (bits - 1) - 1 if point.type.startswith("int") else 2**bits - 2
    raw = 1 + int(share * (min(top, 2**52) - 1))
    scale = 10.0**exponent
    return raw * scale if exponent >= 0 else raw / 10.0**-exponent


def full_spec(model: int, exponent: int, share: float) -> ModelSpec:
    """Return a model that implements every point."""
    definition = standard(model)
    counts = counts_of(model)
    length = model_length(definition, counts) - HEADER
    points = list(model_points(ChainModel(model=model, address=0, length=length, counts=counts)))
    local = {point.name.partition(".")[2]: point for point in points}
    scales = {name.partition(".")[2] for name in (point.scale_point or "" for point in points)} - {""}
    fixed = set(counts_by_point(definition, counts))
    return ModelSpec(
        model=model,
        counts=counts,
        scale_factors=dict.fromkeys(scales, exponent),
        values={
            name: value_of(point, exponent if point.scale_point else 0, share)
            for name, point in local.items()
            if name not in fixed and not name.endswith("_SF")
        },
    )


def as_the_peer_reads(registers: dict[int, int]) -> list[tuple[int, dict[str, object], str]]:
    async def read() -> list[tuple[int, dict[str, object], str]]:
        async with served(PlainBank(registers)) as (_, port):
            return await asyncio.to_thread(
                peer_models,
                port,
                lambda m: (m.model_id, {n: p.cvalue for n, p in peer_points(m)}, m.error_info),
            )

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("exponent", "share"), [(0, 0.3), (-2, 0.7), (3, 0.01), (-10, 0.999), (10, 0.5), (1, 0.0)]
)
def test_the_peer_reads_every_point_of_every_model_as_it_was_given(exponent: int, share: float) -> None:
    specs = [full_spec(model, exponent, share) for model in MODELS]
    image = build_image(specs)
    peers = as_the_peer_reads(image.registers)
    ours = decoded(list(chain_points(image.chain)), image.registers)
    assert [(number, error) for number, _, error in peers] == [(model, "") for model in MODELS]
    compared = 0
    for spec, (number, theirs, _) in zip(specs, peers, strict=True):
        for name, wanted in spec.values.items():
            read = ours[f"{number}.{name}"]
            assert same(read, theirs[name]), f"{number}.{name}: {read} and {theirs[name]}"
            assert same(read, wanted), f"{number}.{name}"
            compared += 1
    assert compared > 1000


def test_what_the_peer_writes_means_the_same_to_us() -> None:
    image = build_image(
        [
            COMMON,
            ModelSpec(model=123, values={"WMaxLimPct": 100, "OutPFSet": 1}),
            ModelSpec(model=704, values={"WSet": 0, "WSetRvrtTms": 0}, scale_factors={"WSet_SF": 1}),
        ]
    )
    bank = PlainBank(dict(image.registers))
    wanted = {
        "123.WMaxLimPct": 37.25,
        "123.OutPFSet": -0.905,
        "704.WSet": -12340.0,
        "704.WSetRvrtTms": 70000.0,
    }

    def write(model: Any) -> None:
        for name, point in peer_points(model):
            if f"{model.model_id}.{name}" in wanted:
                point.cvalue = wanted[f"{model.model_id}.{name}"]
                # 32-bit integers without a scale are packed as they are
                point.value = int(point.value)
                point.write()

    async def serve_it() -> None:
        async with served(bank) as (_, port):
            await asyncio.to_thread(peer_models, port, write)

    asyncio.run(serve_it())
    read = decoded(list(chain_points(image.chain)), bank.registers)
    assert {name: read[name] for name in wanted} == wanted
    changed = {address for address, value in bank.registers.items() if value != image.registers[address]}
    assert changed <= image.writable


def test_what_is_not_given_is_not_implemented_for_the_peer_either() -> None:
    image = build_image([ModelSpec(model=model, counts=counts_of(model)) for model in MODELS])
    ours = decoded(list(chain_points(image.chain)), image.registers)
    for number, theirs, _ in as_the_peer_reads(image.registers):
        told = {"ID", "L", *counts_by_point(standard(number), counts_of(number))}
        for name, value in theirs.items():
            if name.endswith("_SF"):
                assert ours[f"{number}.{name}"] == value == DEFAULT_EXPONENTS.get(name, 0)
            elif name not in told:
                assert ours.get(f"{number}.{name}") is None
                # pysunspec2 takes empty text for text
                assert value in {None, "", "\0"} or "Pad" in name, f"{number}.{name}: {value!r}"


@given(
    model=st.sampled_from(MODELS),
    exponent=st.integers(-10, 10),
    share=st.floats(0, 1),
)
@settings(deadline=None, max_examples=60)
def test_values_given_come_back_in_every_scale(model: int, exponent: int, share: float) -> None:
    spec = full_spec(model, exponent, share)
    image = build_image([spec])
    read = decoded(list(chain_points(image.chain)), image.registers)
    for name, wanted in spec.values.items():
        value = read[f"{model}.{name}"]
        assert same(value, wanted), name


def test_a_hand_worked_image_is_register_for_register() -> None:
    image = build_image(
        [ModelSpec(model=123, values={"WMaxLimPct": 37.5, "WMaxLim_Ena": 1, "WMaxLimPct_RvrtTms": 30})],
        base=100,
    )
    nothing = 0xFFFF
    expected = [
        *(0x5375, 0x6E53),
        *(123, 24),
        *(nothing, nothing, nothing),  # Conn_WinTms, Conn_RvrtTms, Conn
        *(3750, nothing, 30, nothing, 1),  # WMaxLimPct, _WinTms, _RvrtTms, _RmpTms, WMaxLim_Ena
        *(0x8000, nothing, nothing, nothing, nothing),  # OutPFSet is signed, then three times and Ena
        *(0x8000, 0x8000, 0x8000),  # VArWMaxPct, VArMaxPct, VArAvalPct
        *(nothing, nothing, nothing, nothing, nothing),  # three times, Mod, Ena
        *(0xFFFE, 0xFFFD, 0xFFFE),  # 10^-2, 10^-3, 10^-2
        *(0xFFFF, 0),
    ]
    assert [image.registers[address] for address in sorted(image.registers)] == expected
    assert min(image.registers) == 100
    # everything of model 123 may be written but its scale factors, ID and length
    assert image.writable == frozenset(range(104, 125))


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MapError, match=r"103\.W: 40000"):
        build_image([ModelSpec(model=103, values={"W": 40000}, scale_factors={"W_SF": 0})])


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec(model=103, values={"Watts": 1}),
        ModelSpec(model=103, scale_factors={"X_SF": 1}),
        ModelSpec(model=160, counts={"module": 1}, values={"2.DCW": 1}),
    ],
    ids=["value", "scale factor", "repetition"],
)
def test_names_that_a_model_does_not_have_are_refused(spec: ModelSpec) -> None:
    with pytest.raises(MapError, match=f"model {spec.model} has no points"):
        build_image([spec])


def test_models_that_the_standard_does_not_have_are_refused() -> None:
    with pytest.raises(MapError, match="model 64999 is not in the standard"):
        build_image([ModelSpec(model=64999)])


def test_an_image_beyond_the_last_address_is_refused() -> None:
    with pytest.raises(MapError, match="65535 is the last"):
        build_image([COMMON], base=65500)


def test_points_that_refuse_a_function_are_told_by_address() -> None:
    image = build_image(
        [COMMON, ModelSpec(model=704)],
        quirks=ImageQuirks(
            no_multiple_write=frozenset({"704.WMaxLimPct"}), no_single_write=frozenset({"704.WSet"}), unit=71
        ),
    )
    points = {point.name: point for point in image.map.points}
    assert image.no_multiple_write == {points["704.WMaxLimPct"].address}
    assert image.no_single_write == {points["704.WSet"].address, points["704.WSet"].address + 1}
    assert image.unit == 71
    with pytest.raises(MapError, match=r"there are no points 123\.WMaxLimPct"):
        build_image([COMMON], quirks=ImageQuirks(no_multiple_write=frozenset({"123.WMaxLimPct"})))


def test_a_short_common_model_lacks_its_padding_only() -> None:
    image = build_image([COMMON, ModelSpec(model=103)], quirks=ImageQuirks(short_common=True))
    read = decoded(list(chain_points(image.chain)), image.registers)
    assert (read["1.Mn"], read["1.SN"]) == ("gemello", "7")
    assert image.registers[40003] == 65
    assert image.registers[40069] == 103


def test_the_peer_accepts_a_short_common_model() -> None:
    image = build_image(
        [COMMON, ModelSpec(model=103, values={"W": 5})], quirks=ImageQuirks(short_common=True)
    )
    (_, common, error), (_, inverter, _) = as_the_peer_reads(image.registers)
    assert (common["SN"], error, inverter["W"]) == ("7", "", 5)


def test_a_counter_at_zero_reads_as_not_implemented_as_the_standard_says() -> None:
    image = build_image([ModelSpec(model=103, values={"WH": 0})])
    assert decoded(list(chain_points(image.chain)), image.registers)["103.WH"] is None


def test_a_changed_scale_factor_leaves_every_value_as_it_was() -> None:
    image = build_image(
        [
            COMMON,
            ModelSpec(
                model=103, values={"PhVphA": 230.4, "PhVphB": 229.0, "W": 900}, scale_factors={"V_SF": -1}
            ),
        ]
    )
    points = list(chain_points(image.chain))
    changed = image.rescaled(image.registers, "103.V_SF", -2)
    before = decoded(points, image.registers)
    after = decoded(points, image.registers | changed)
    assert after.pop("103.V_SF") == -2.0
    assert before.pop("103.V_SF") == -1.0
    assert after == before
    assert len(changed) == 3
    back = image.rescaled(image.registers | changed, "103.V_SF", -1)
    assert image.registers | changed | back == image.registers


def test_a_scale_that_cannot_tell_a_value_is_refused() -> None:
    image = build_image([ModelSpec(model=103, values={"W": 9000}, scale_factors={"W_SF": 0})])
    with pytest.raises(MapError, match=r"103\.W: 9000"):
        image.rescaled(image.registers, "103.W_SF", -1)
    with pytest.raises(MapError, match="no scale factor"):
        image.rescaled(image.registers, "103.X_SF", -1)


def test_a_scale_change_walks_through_its_exponents_again_and_again() -> None:
    change = ScaleChange(point="103.W_SF", exponents=(0, 1, -1), every_s=2.0)
    assert [change.exponent(t) for t in (0.0, 1.9, 2.0, 4.5, 6.0, 7.9, 8.0)] == [0, 0, 1, -1, 0, 0, 1]
