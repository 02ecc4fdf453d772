"""The engines by name. A further engine is one entry here; the conformance suite runs over all of them."""

from models.feeder.base import Engine, EngineFactory, Feeder

__all__ = ["ENGINES", "REFERENCE"]


def _pandapower(feeder: Feeder) -> Engine:
    from models.feeder.engine_pandapower import PandapowerEngine  # noqa: PLC0415 - takes seconds to import

    return PandapowerEngine(feeder)


def _pgm(feeder: Feeder) -> Engine:
    from models.feeder.engine_pgm import PgmEngine  # noqa: PLC0415 - only where it is used

    return PgmEngine(feeder)


def _impedance(feeder: Feeder) -> Engine:
    from models.feeder.engine_impedance import ImpedanceEngine  # noqa: PLC0415 - only where it is used

    return ImpedanceEngine(feeder)


REFERENCE = "pandapower"
ENGINES: dict[str, EngineFactory] = {REFERENCE: _pandapower, "pgm": _pgm, "impedance": _impedance}
