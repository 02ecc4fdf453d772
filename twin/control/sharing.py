"""From homes to devices and back, over whole arrays: H homes, N devices, ``home`` maps device -> home."""

import numpy as np

from twin.control.base import FloatArray, IntArray
from twin.plant import total_by

__all__ = ["share_out_kw"]


def share_out_kw(wanted_kw: FloatArray, available_kw: FloatArray, *, home: IntArray) -> FloatArray:
    """Return what each device contributes to what its home wants, shape (N,) [kW].

    Args:
        wanted_kw: power wanted by each home, shape (H,), at least 0.
        available_kw: power each device can give or take, shape (N,), at least 0.
        home: home of each device, shape (N,).

    The devices of a home contribute in proportion to what they have available, and never more than that: where a
    home wants more than it has, all of its devices are at their limit.
    """
    total_kw = total_by(home, available_kw, len(wanted_kw))
    share = np.divide(wanted_kw, total_kw, out=np.zeros_like(total_kw), where=total_kw > 0.0)
    contribution_kw: FloatArray = np.minimum(share, 1.0)[home] * available_kw
    return contribution_kw
