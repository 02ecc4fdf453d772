"""The feeder: networks, their compiled form, and the engines that solve them.

Importing this package is cheap: pandapower, power-grid-model and simbench are imported where a feeder is built.
"""

from pathlib import Path

from models.feeder.base import (
    Engine,
    EngineFactory,
    Feeder,
    FeederDevices,
    FeederProfiles,
    Flow,
    Grid,
    NetIndex,
    TrafoWindings,
)
from models.feeder.check import EngineCheck, EngineChoice, check_engine, make_engine
from models.feeder.describe import describe
from models.feeder.engines import ENGINES

__all__ = [
    "ENGINES",
    "Engine",
    "EngineCheck",
    "EngineChoice",
    "EngineFactory",
    "Feeder",
    "FeederDevices",
    "FeederProfiles",
    "Flow",
    "Grid",
    "NetIndex",
    "TrafoWindings",
    "check_engine",
    "describe",
    "load_feeder",
    "make_engine",
]


def load_feeder(source: str, base_dir: Path | None = None) -> Feeder:
    """Read and compile a network.

    Args:
        source: ``simbench:CODE``, ``pandapower:FUNCTION`` or the path of a ``.json``, ``.xlsx`` or ``.xls`` file.
        base_dir: what a relative path is relative to; the current directory by default.

    Raises:
        FeederError: the source does not exist or cannot be compiled.
    """
    from models.feeder.compile import compile_feeder  # noqa: PLC0415 - pandapower takes seconds to import
    from models.feeder.sources import load_net  # noqa: PLC0415 - same

    return compile_feeder(load_net(source, base_dir), source=source)
