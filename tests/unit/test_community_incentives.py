"""Premium tariffs against the table of the decree, worked out by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from twin.community.incentives import CacerRules, FlatRules, Rules, SizeClass, social_share, tariff_eur_mwh
from twin.errors import InputError
from twin.plant import FloatArray

PRICES = [0.0, 100.0, 140.0, 160.0, 180.0, 300.0]

# 180 - price:     180    80    40    20     0   none
# base plus that: over   over  at     below  at    at
#                  cap   cap   cap    cap   base  base
TABLE = {
    "80 to 120": (3.0, [120.0, 120.0, 120.0, 100.0, 80.0, 80.0]),
    "80 to 120, at the limit": (200.0, [120.0, 120.0, 120.0, 100.0, 80.0, 80.0]),
    "70 to 110": (200.1, [110.0, 110.0, 110.0, 90.0, 70.0, 70.0]),
    "70 to 110, at the limit": (600.0, [110.0, 110.0, 110.0, 90.0, 70.0, 70.0]),
    "60 to 100": (600.1, [100.0, 100.0, 100.0, 80.0, 60.0, 60.0]),
    "60 to 100, at the limit": (1000.0, [100.0, 100.0, 100.0, 80.0, 60.0, 60.0]),
}


def tariff(
    rules: Rules,
    *,
    plant_kw: Sequence[float] = (3.0,),
    kind: Sequence[str] = ("CER",),
    grant: Sequence[float] = (0.0,),
    prices: ArrayLike = PRICES,
) -> FloatArray:
    return tariff_eur_mwh(
        rules,
        np.array(prices),
        plant_kw=np.array(plant_kw),
        plant_kind=kind,
        plant_grant_share=np.array(grant),
        plant_name=[f"pv{i}" for i in range(len(plant_kw))],
    )


@pytest.mark.parametrize(("plant_kw", "expected"), TABLE.values(), ids=TABLE.keys())
def test_the_cacer_tariff_follows_price_and_size(plant_kw: float, expected: list[float]) -> None:
    np.testing.assert_array_equal(tariff(CacerRules(), plant_kw=(plant_kw,))[:, 0], expected)


@pytest.mark.parametrize(("plant_kw", "expected"), TABLE.values(), ids=TABLE.keys())
def test_the_regional_correction_goes_on_top_of_the_cap(plant_kw: float, expected: list[float]) -> None:
    found = tariff(CacerRules(regional_eur_mwh=10.0), plant_kw=(plant_kw,))
    np.testing.assert_array_equal(found[:, 0], np.array(expected) + 10.0)


@pytest.mark.parametrize(("grant", "kept"), [(0.0, 1.0), (0.1, 0.875), (0.2, 0.75), (0.4, 0.5)])
def test_a_capital_grant_cuts_tariff_and_correction_alike(grant: float, kept: float) -> None:
    found = tariff(CacerRules(regional_eur_mwh=4.0), grant=(grant,))
    np.testing.assert_allclose(found[:, 0], kept * (np.array(TABLE["80 to 120"][1]) + 4.0), rtol=1e-15)


def test_a_negative_price_pays_the_cap() -> None:
    assert tariff(CacerRules(), prices=[-50.0])[0, 0] == 120.0


def test_each_plant_has_its_own_class_and_grant() -> None:
    found = tariff(
        CacerRules(), plant_kw=(999.0, 10.0, 300.0), kind=("CER", "GACC", "CER"), grant=(0.0, 0.4, 0.0)
    )
    np.testing.assert_array_equal(found[3], [80.0, 50.0, 90.0])


def test_classes_and_ceiling_are_parameters() -> None:
    rules = CacerRules(
        size_classes=(SizeClass(limit_kw=50.0, base_eur_mwh=90.0, cap_eur_mwh=95.0),),
        price_ceiling_eur_mwh=100.0,
    )
    np.testing.assert_array_equal(tariff(rules, prices=[0.0, 97.0, 100.0])[:, 0], [95.0, 93.0, 90.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"plant_kw": (5.0, 1000.5), "grant": (0, 0), "kind": ("CER", "CER")},
            "plant pv1: 1000.5 kW is above",
        ),
        ({"plant_kw": (np.nan,)}, "plant pv0: nan kW is above the 1000 kW"),
        ({"grant": (0.41,)}, "plant pv0: a capital grant of 41% .* between 0 and 40%"),
        ({"grant": (-0.1,)}, "plant pv0: a capital grant of -10%"),
        ({"grant": (np.nan,)}, "plant pv0: a capital grant of nan%"),
    ],
)
def test_a_plant_that_gets_no_premium_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tariff(CacerRules(), **changes)


def test_the_flat_premium_depends_on_the_kind_alone() -> None:
    found = tariff(
        FlatRules(cer_eur_mwh=111.0), plant_kw=(5.0, 900.0), kind=("CER", "GACC"), grant=(0.4, 0.0)
    )
    np.testing.assert_array_equal(found, [[111.0, 100.0]] * len(PRICES))


def social(
    rules: Rules, shared_kwh: ArrayLike, injected_kwh: ArrayLike, grant: ArrayLike, group: ArrayLike
) -> FloatArray:
    return social_share(
        rules,
        np.array(shared_kwh),
        plant_injected_kwh=np.array(injected_kwh),
        plant_grant_share=np.array(grant),
        plant_group=np.array(group),
    )


def test_the_premium_beyond_55_percent_of_the_injection_is_social() -> None:
    # 80 shared of 100 injected: 25 of 80 are beyond; exactly 55: none; nothing shared: none
    found = social(CacerRules(), [80.0, 55.0, 0.0], [100.0, 100.0, 100.0], [0.0, 0.0, 0.0], [0, 1, 2])
    np.testing.assert_allclose(found, [25 / 80, 0.0, 0.0], atol=1e-15)


def test_plants_with_a_grant_lower_the_threshold_by_their_part_of_the_injection() -> None:
    # 0.45 x 60 + 0.55 x 40 = 49 of 100 kWh; 98 are shared
    found = social(CacerRules(), [98.0], [60.0, 40.0], [0.2, 0.0], [0, 0])
    np.testing.assert_allclose(found, [0.5])


def test_the_flat_rules_know_no_social_threshold() -> None:
    np.testing.assert_array_equal(social(FlatRules(), [98.0], [100.0], [0.0], [0]), [0.0])
