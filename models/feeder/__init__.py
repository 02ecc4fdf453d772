"""The feeder: networks, their compiled form, and the engines that solve them.

Importing this package is cheap: pandapower, power-grid-model and simbench are imported where a feeder is built.
"""

from collections.abc import Sequence
from pathlib import Path

from models.errors import FeederError, FurtherNetworkError
from models.feeder.areas import SupplyAreas, separate_parts, supply_areas
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
    "SupplyAreas",
    "TrafoWindings",
    "check_engine",
    "describe",
    "load_feeder",
    "make_engine",
    "separate_parts",
    "supply_areas",
]


def load_feeder(source: str, base_dir: Path | None = None, *, also: Sequence[str] = ()) -> Feeder:
    """Read and compile a network, or several side by side.

    Args:
        source: ``simbench:CODE``, ``pandapower:FUNCTION`` or the path of a ``.json``, ``.xlsx`` or ``.xls`` file.
        base_dir: what a relative path is relative to; the current directory by default.
        also: sources of further networks, each with its own upstream grid.

    Raises:
        FurtherNetworkError: a source in ``also`` does not exist or is no feeder.
        FeederError: the source does not exist or cannot be compiled.
    """
    from models.feeder.compile import compile_feeder  # noqa: PLC0415 - pandapower takes seconds to import
    from models.feeder.sources import load_net  # noqa: PLC0415 - imports pandapower

    net = load_net(source, base_dir)
    if not also:
        return compile_feeder(net, source=source)
    from models.feeder.merge import join_nets  # noqa: PLC0415 - imports pandapower
    from models.feeder.preparation import validate  # noqa: PLC0415 - imports pandapower

    nets = [net]
    for position, further in enumerate(also):
        try:
            nets.append(load_net(further, base_dir))
            validate(nets[-1], further)
        except FeederError as error:
            raise FurtherNetworkError(position, str(error)) from error
    sources = (source, *also)
    joined, notes = join_nets(nets, sources)
    return compile_feeder(joined, source=" + ".join(sources), notes=notes)
