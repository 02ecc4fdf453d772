"""Sums and shares over groups of columns: members by configuration, plants by member, configurations by area."""

import numpy as np

from twin.plant import FloatArray, IntArray

__all__ = ["shares", "sum_columns"]


def sum_columns(values: FloatArray, group: IntArray, n_groups: int) -> FloatArray:
    """Return the sum of the columns of each group.

    Args:
        values: shape (N, M).
        group: group of each column, shape (M,), 0 to ``n_groups`` - 1.
        n_groups: number of groups G; one without columns has the sum 0.

    Returns:
        Shape (N, G).
    """
    total = np.zeros((len(values), n_groups))
    order = np.argsort(group, kind="stable")
    used, first = np.unique(group[order], return_index=True)
    if len(used):
        total[:, used] = np.add.reduceat(values[:, order], first, axis=1)
    return total


def shares(values: FloatArray, group: IntArray, n_groups: int) -> FloatArray:
    """Return each column's share of the sum of its group, shape (N, M); 0 where the sum is 0.

    ``values`` has shape (N, M) and is at least 0; ``group`` as in :func:`sum_columns`.
    """
    whole = sum_columns(values, group, n_groups)[:, group]
    return np.divide(values, whole, out=np.zeros_like(whole), where=whole > 0)
