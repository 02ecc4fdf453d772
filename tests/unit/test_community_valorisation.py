"""Network charges returned, worked out by hand."""

import numpy as np
import pytest
from numpy.typing import ArrayLike

from twin.community.valorisation import Valorisation, valorisation_eur_mwh
from twin.errors import InputError
from twin.plant import FloatArray


def rates(valorisation: Valorisation, prices: ArrayLike = (0.0, 100.0)) -> FloatArray:
    return valorisation_eur_mwh(
        valorisation, np.array(prices), name=("c", "low", "medium"), kind=("CER", "GACC", "GACC")
    )


def test_a_cer_gets_trase_and_a_gacc_also_btau_and_avoided_losses() -> None:
    found = rates(Valorisation(medium_voltage=frozenset({"medium"})))
    # 10.57 + 0.65 = 11.22; plus 2.6 % or 1.2 % of 100
    np.testing.assert_allclose(found, [[10.57, 11.22, 11.22], [10.57, 13.82, 12.42]], rtol=1e-14)


def test_the_charges_of_2020_are_parameters() -> None:
    found = rates(Valorisation(trase_eur_mwh=7.61, btau_eur_mwh=0.61, loss_share_lv=0.0), prices=(100.0,))
    np.testing.assert_allclose(found, [[7.61, 8.22, 8.22]], rtol=1e-14)


def test_a_cer_at_medium_voltage_is_a_mistake() -> None:
    with pytest.raises(InputError, match="medium_voltage names 'c'; the GACC are low, medium"):
        rates(Valorisation(medium_voltage=frozenset({"c"})))
