"""The store of a run: Parquet parts and a tail while it runs, readers afterwards."""

from twin.results.layout import Detail
from twin.results.manifest import Manifest, RunStatus, StrategyState, read_manifest, write_manifest
from twin.results.reader import RunReader, StrategyReader
from twin.results.run_folder import create_run_folder, latest_run
from twin.results.tables import write_columns, write_rows
from twin.results.writer import StrategyWriter

__all__ = [
    "Detail",
    "Manifest",
    "RunReader",
    "RunStatus",
    "StrategyReader",
    "StrategyState",
    "StrategyWriter",
    "create_run_folder",
    "latest_run",
    "read_manifest",
    "write_columns",
    "write_manifest",
    "write_rows",
]
