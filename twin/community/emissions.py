"""CO2 of energy from the grid: hourly factor x net import."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["co2_kg"]

FloatArray = NDArray[np.float64]


def co2_kg(net_import_kwh: FloatArray, factor_kg_kwh: FloatArray) -> FloatArray:
    """Return the CO2 of the energy taken from the grid, shape (...) [kg].

    Energy fed in counts with the factor of its hour against energy taken: it is assumed to displace generation with the
    mean factor of that hour (K: a marginal factor would be higher or lower).

    Args:
        net_import_kwh: withdrawn - injected, consumption positive, shape (N, ...).
        factor_kg_kwh: emissions of a kWh from the grid in each hour, shape (N,).
    """
    total: FloatArray = np.tensordot(factor_kg_kwh, net_import_kwh, axes=1)
    return total
