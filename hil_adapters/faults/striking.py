"""Whether a rule strikes a request: where, when, and by chance. The chance depends on the seed and on nothing else."""

import hashlib

from hil_adapters.faults.adu import Asked
from hil_adapters.faults.catalogue import Fault
from hil_adapters.faults.rules import FaultRule, FaultScript

__all__ = ["ArmedRule", "armed_rules"]

_DRAW_BYTES = 7
"""56 bits."""


def _fits(rule: FaultRule, asked: Asked) -> bool:
    """Return whether a request lies within the rule; one without registers fits only rules without addresses."""
    if rule.units is not None and asked.unit not in rule.units:
        return False
    if rule.functions is not None and asked.function not in rule.functions:
        return False
    if rule.tables is not None and asked.table not in rule.tables:
        return False
    if rule.addresses is None:
        return True
    return asked.table is not None and any(
        part.touches(asked.address, asked.count) for part in rule.addresses
    )


class ArmedRule:
    """A rule with its chances: the n-th request that fits it meets the same chance in every run of a seed."""

    def __init__(self, rule: FaultRule, *, seed: int, number: int) -> None:
        self.rule = rule
        self._key = f"{seed}/{number}/{rule.fault}"
        self._draws = 0
        self.is_latched = False
        """Whether a fault that lasts has begun."""

    def strikes(self, asked: Asked, elapsed_s: float) -> bool:
        """Return whether the rule strikes this request; draws once for each request that fits while it is due."""
        if not self.rule.is_due(elapsed_s) or not _fits(self.rule, asked):
            return False
        return self.rule.probability >= 1.0 or self._draw() < self.rule.probability

    def _draw(self) -> float:
        self._draws += 1
        digest = hashlib.blake2b(f"{self._key}/{self._draws}".encode(), digest_size=_DRAW_BYTES).digest()
        drawn: float = int.from_bytes(digest, "big") / 2.0 ** (8 * _DRAW_BYTES)
        return min(drawn, 1.0 - 2.0**-53)


def armed_rules(script: FaultScript, faults: frozenset[Fault]) -> tuple[ArmedRule, ...]:
    """Return the rules of a script that name one of ``faults``, in its order."""
    return tuple(
        ArmedRule(rule, seed=script.seed, number=number)
        for number, rule in enumerate(script.rules)
        if rule.fault in faults
    )
