"""Network charges returned for shared energy (corrispettivo di valorizzazione)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twin.errors import InputError
from twin.plant import FloatArray

__all__ = ["Valorisation", "valorisation_eur_mwh"]


@dataclass(frozen=True, kw_only=True)
class Valorisation:
    """A CER gets TRASE; a GACC gets TRASE, BTAU and the losses avoided (TIAD, ARERA 318/2020; K: not verified)."""

    trase_eur_mwh: float = 10.57
    """Transmission tariff, value of 2024 as quoted by Regione Emilia-Romagna; 7.61 in 2020."""
    btau_eur_mwh: float = 0.65
    """Variable part of the distribution tariff, 2024, same source; 0.61 in 2020."""
    loss_share_lv: float = 0.026
    """Losses avoided by a GACC at low voltage, times the zonal price (K: not verified)."""
    loss_share_mv: float = 0.012
    """The same at medium voltage (K: not verified)."""
    medium_voltage: frozenset[str] = frozenset()
    """Names of the GACC whose building is connected at medium voltage; all others are at low voltage."""


def valorisation_eur_mwh(
    valorisation: Valorisation, zone_price_eur_mwh: FloatArray, *, name: Sequence[str], kind: Sequence[str]
) -> FloatArray:
    """Return what a shared MWh of each configuration earns in each hour, shape (N, C) [EUR/MWh].

    Args:
        valorisation: the charges.
        zone_price_eur_mwh: hourly zonal price, shape (N,).
        name: of the configurations, shape (C,).
        kind: CER or GACC, shape (C,).

    Raises:
        InputError: ``medium_voltage`` names what is not a GACC of the scenario.
    """
    groups = {group for group, of in zip(name, kind, strict=True) if of == "GACC"}
    for stranger in sorted(valorisation.medium_voltage - groups):
        raise InputError(
            f"medium_voltage names {stranger!r}; the GACC are {', '.join(sorted(groups)) or 'none'}"
        )
    is_gacc = np.array([of == "GACC" for of in kind], dtype=np.bool_)
    at_mv = np.array([group in valorisation.medium_voltage for group in name], dtype=np.bool_)
    losses = (
        np.where(at_mv, valorisation.loss_share_mv, valorisation.loss_share_lv) * zone_price_eur_mwh[:, None]
    )
    return valorisation.trase_eur_mwh + np.where(is_gacc, valorisation.btau_eur_mwh + losses, 0.0)
