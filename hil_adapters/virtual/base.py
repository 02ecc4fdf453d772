"""What an emulated device needs of its physics, whatever computes them."""

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Physics"]


class Physics(Protocol):
    """The inside of one emulated device."""

    @property
    def nameplate(self) -> Mapping[str, float]:
        """Ratings by name: ``p_rated_kw``, ``s_rated_kva``, ``charge_kw``, ``discharge_kw``, ``capacity_kwh``."""
        ...

    def step(
        self, commands: Mapping[str, float], world: Mapping[str, float], *, dt_s: float
    ) -> Mapping[str, float]:
        """Advance by ``dt_s`` [s] and return the signals: ``p_kw``, ``q_kvar``, ``soc``, ...

        ``commands`` hold what registers ask for (``p_limit_kw``, ``p_set_kw``), absent where nothing is in force;
        ``world`` what surrounds the device (``vm_pu``, ``p_available_kw``, ``frequency_hz``). Consumption positive.
        """
        ...
